"""Makes the models that come with Quagga: trains them, and puts their weights in float16 into src/quagga/box.

    python benchmarks/box.py horse2zebra --root FOLDER --place runs/box
    python benchmarks/box.py digits --root FOLDER --place runs/box
    python benchmarks/box.py animals --place runs/box

horse2zebra takes its FOLDER of trainA, trainB, testA and testB; digits that of MNIST's four idx files; animals are
drawn. A model of two directions that are trained apart is made of two runs. A training that is stopped goes on when the
script is called again, and with --images a part of it is enough for a model. The cards beside the weights, README.md,
are written by hand.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from quagga.boxed_models import CARD, FOLDER
from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.fields import Field
from quagga.inference.model_files.model_folder import ModelFolder, read_model
from quagga.inference.model_files.model_saving import save_model
from quagga.inference.predictor_loading import load_network
from quagga.models.description.export import Export

PHOTOS = "--recipe half-hour --load_size 128 --crop_size 128 --images 20000 --cache ram --workers 0"
# Name of a model -> its runs: the second has its sides the other way round.
RUNS: dict[str, list[str]] = {
    "horse2zebra": [
        f"cut {PHOTOS} --x {{root}}/trainA --y {{root}}/trainB --x_name horse --y_name zebra",
        f"cut {PHOTOS} --x {{root}}/trainB --y {{root}}/trainA --x_name zebra --y_name horse",
    ],
    "animals": [
        "cyclegan --recipe half-hour-plain --load_size 64 --width 16 --blocks 3 --images 20000 --root {root}"
        " --x_name horse --y_name zebra"
    ],
    "digits": ["conditional --recipe digits --root {root}"],
}
TURNED = {"G": "F", "x": "y", "y": "x"}  # names of exports and pictures, in a run of the other direction
ANIMALS = 400  # that are drawn, a side


def train(name: str, root: Path, place: Path, more: list[str]) -> list[Path]:
    """Trains a model's runs as far as they are not, one after the other, and returns their folders."""
    runs = []
    for number, line in enumerate(RUNS[name]):
        runs.append(place / f"{name}{number}")
        words = ["train", *line.format(root=root).split(), "--output", str(runs[-1]), *more]
        assert command_line(words) == 0, words
    return runs


def exports(model: ModelFolder, turned: bool) -> dict[str, Export]:
    """The exports of a run's model, of one whose sides are the other way round under their other names."""

    def field(own: Field) -> Field:
        return replace(own, name=TURNED.get(own.name, own.name)) if turned else own

    return {
        TURNED[name] if turned else name: Export(
            load_network(model, name), tuple(map(field, own.inputs)), field(own.output), own.mode
        )
        for name, own in model.exports.items()
    }


def pack(runs: list[Path], folder: Path) -> None:
    """Writes the exports of runs as one model; what else is in the folder stays."""
    first, *others = map(read_model, runs)
    both = exports(first, turned=False)
    for other in others:
        both |= exports(other, turned=True)
    domains: Mapping = {
        name: domain.model_dump(by_alias=True, exclude_unset=True) for name, domain in first.domains.items()
    }
    with tempfile.TemporaryDirectory() as temporary:
        save_model(
            Path(temporary) / "model",
            pipeline=first.pipeline,
            options=first.options,
            exports=both,
            domains=domains,
            preprocessing=first.preprocessing,
            images_seen=first.images_seen,
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
    parser.add_argument("name", choices=RUNS)
    parser.add_argument("--root", type=Path, help="the pictures; animals are drawn")
    parser.add_argument("--place", type=Path, default=Path("runs/box"), help="where runs are kept")
    chosen, more = parser.parse_known_args()
    if chosen.root is None:
        if chosen.name != "animals":
            parser.error(f"{chosen.name} needs its pictures: --root FOLDER")
        chosen.root = chosen.place / "pictures"
        if not chosen.root.exists():
            scenes.write(chosen.root, train=ANIMALS, size=64, seed=0)
    pack(train(chosen.name, chosen.root, chosen.place, more), FOLDER / chosen.name)


if __name__ == "__main__":
    main()
