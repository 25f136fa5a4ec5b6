"""Makes the models that come with Quagga: trains them, and puts their weights in float16 into src/quagga/box.

    python benchmarks/box.py horse2zebra --root FOLDER --place runs/box
    python benchmarks/box.py digits --root FOLDER --place runs/box
    python benchmarks/box.py animals --place runs/box

horse2zebra takes its FOLDER of trainA, trainB, testA and testB; digits that of MNIST's four idx files; animals are
drawn. A training that is stopped goes on when the script is called again. The cards beside the weights, README.md, are
written by hand.

horse2zebra has one direction. The other was tried with the same options, zebras to horses, for 11,500 images: G erased
stripes in patches and left most of them. Stripes are what PatchNCE finds a place of a zebra by.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from quagga.boxed_models import CARD, FOLDER
from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.inference.model_files.model_folder import read_model
from quagga.inference.model_files.model_saving import save_model
from quagga.inference.predictor_loading import load_network
from quagga.models.description.export import Export

LINES = {  # name of a model -> how it is trained
    "horse2zebra": "cut --recipe half-hour --load_size 128 --crop_size 128 --images 20000 --cache ram --workers 0"
    " --root {root} --x_name horse --y_name zebra",
    "animals": "cyclegan --recipe half-hour-plain --load_size 64 --width 16 --blocks 3 --images 12000 --workers 0"
    " --root {root} --x_name horse --y_name zebra",
    "digits": "conditional --recipe digits --images 200000 --root {root}",
}
ANIMALS = 400  # that are drawn, a side


def pack(run: Path, folder: Path) -> None:
    """Writes what a run can do as a model with weights in float16; what else is in the folder stays."""
    model = read_model(run)
    exports = {
        name: Export(load_network(model, name), own.inputs, own.output, own.mode) for name, own in model.exports.items()
    }
    domains: Mapping = {
        name: domain.model_dump(by_alias=True, exclude_unset=True) for name, domain in model.domains.items()
    }
    with tempfile.TemporaryDirectory() as temporary:
        save_model(
            Path(temporary) / "model",
            pipeline=model.pipeline,
            options=model.options,
            exports=exports,
            domains=domains,
            preprocessing=model.preprocessing,
            images_seen=model.images_seen,
            dtype=torch.float16,
        )
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted((Path(temporary) / "model").iterdir()):
            (folder / file.name).write_bytes(file.read_bytes())
            print(f"{folder / file.name}: {file.stat().st_size:,} bytes")
    if not (folder / CARD).exists():
        print(f"its card is missing: write {folder / CARD}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=LINES)
    parser.add_argument("--root", type=Path, help="the pictures; animals are drawn")
    parser.add_argument("--place", type=Path, default=Path("runs/box"), help="where runs are kept")
    chosen, more = parser.parse_known_args()
    if chosen.root is None:
        if chosen.name != "animals":
            parser.error(f"{chosen.name} needs its pictures: --root FOLDER")
        chosen.root = chosen.place / "pictures"
        if not chosen.root.exists():
            scenes.write(chosen.root, train=ANIMALS, size=64, seed=0)
    run = chosen.place / chosen.name
    words = ["train", *LINES[chosen.name].format(root=chosen.root).split(), "--output", str(run), *more]
    if (code := command_line(words)) == 0:
        pack(run, FOLDER / chosen.name)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
