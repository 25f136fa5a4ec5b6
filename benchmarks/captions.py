"""Do captions decide the colour of hair and eyes? Faces of 64 pixels with captions such as "aqua hair red eyes".

    python benchmarks/captions.py FOLDER --minutes 30 --output benchmarks/results/captions.txt

FOLDER holds images/ and a table of files and captions. A conditional GAN is trained on them by the command line, for so
many minutes of CPU; a classifier, trained apart, reads hair and eyes of 1,000 samples. Its own accuracy on held-out
faces is the most that can be asked for. "red eyes" beside "blue eyes" of the same seeds are drawn side by side.
"""

import argparse
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
import torch
from classifier import Classifier, accuracy, read, trained
from report import keep, processor
from torch import Tensor

import quagga
from quagga.cli.main import command_line
from quagga.data.conditioned import Conditioned
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.tensors import to_tensor

TRAINING = (
    "--batch_size 64 --lr 4e-4 --beta1 0.5 --joining projection --width 32 --width_discriminator 32 --caption_length 4"
    " --z_size 100 --diffaugment [translation] --workers 1 --sample_every 50000 --save_every 10000"
)
RATE = 80  # images that one CPU sees in a second, about: so long is the run that is asked for by minutes
SHARE = 0.8  # of the classifier's own accuracy: the promise with a GPU


class Faces(NamedTuple):
    """Faces in memory and what is said of them."""

    x: Tensor  # (N, 3, 64, 64) in [-1, 1]
    colours: Tensor  # int64 (N, 2): of hair and eyes, places in the two lists of names
    hair: list[str]
    eyes: list[str]


def colours_of(caption: str) -> tuple[str, str]:
    """ "aqua hair red eyes" -> ("aqua", "red")"""
    words = caption.split()
    return words[words.index("hair") - 1], words[words.index("eyes") - 1]


def faces(folder: Path) -> Faces:
    """All faces of the folder that are different, byte for byte: copies would be in training and test."""
    rows = Conditioned(root=str(folder), condition="caption", workers=0)
    captions = rows.collection.labels or []
    seen: dict[bytes, int] = {}
    pixels = [rows.dataset.store.read(number) for number in range(len(captions))]
    for number, picture in enumerate(pixels):
        seen.setdefault(picture.tobytes(), number)
    kept = sorted(seen.values())
    said = [colours_of(captions[number]) for number in kept]
    hair, eyes = (sorted({pair[at] for pair in said}) for at in (0, 1))
    colours = torch.tensor([[hair.index(one), eyes.index(other)] for one, other in said])
    return Faces(to_tensor(np.stack([pixels[number] for number in kept])), colours, hair, eyes)


def judge(found: Faces, epochs: int = 8) -> tuple[Classifier, list[float]]:
    """A classifier of hair and eyes, and its accuracy on a tenth of the faces, which it has not seen."""
    order = torch.randperm(len(found.x), generator=torch.Generator().manual_seed(0))
    test, train = order[: len(order) // 10], order[len(order) // 10 :]
    network = trained(found.x[train], found.colours[train], epochs=epochs, width=24)
    return network, accuracy(network, found.x[test], found.colours[test])


def play(folder: Path, run: Path, images: int, device: str) -> float:
    """Trains the GAN; the seconds of CPU it took. A run that is there already goes on, and so do its seconds."""
    spent = run / "cpu_seconds.txt"
    start = process_time() - (float(spent.read_text()) if spent.exists() else 0.0)
    words = ["train", "conditional", "--root", str(folder), "--condition", "caption", "--output", str(run)]
    code = command_line([*words, *TRAINING.split(), "--images", str(images), "--device", device])
    assert code == 0
    spent.write_text(str(process_time() - start))
    return process_time() - start


def obeyed(run: Path, network: Classifier, found: Faces, count: int = 1000) -> list[float]:
    """The share of samples in which the classifier reads the hair and the eyes that were asked for, all pairs of
    colours equally often."""
    pairs = list(product(range(len(found.hair)), range(len(found.eyes))))
    asked = [pairs[number % len(pairs)] for number in range(count)]
    words = [f"{found.hair[one]} hair {found.eyes[other]} eyes" for one, other in asked]
    samples = to_tensor(quagga.load(run)(words, count=count))
    return (read(network, samples) == torch.tensor(asked)).float().mean(0).tolist()


def side_by_side(run: Path, path: Path, hair: str = "blonde", count: int = 8) -> None:
    """The same seeds with red eyes and with blue eyes."""
    sampler = quagga.load(run)
    columns = {f"{colour} eyes": sampler(f"{hair} hair {colour} eyes", count=count) for colour in ("red", "blue")}
    contact_sheet(columns, path)


def report(folder: Path, run: Path, images: int, device: str, sheet: Path) -> Iterator[str]:
    found = faces(folder)
    yield f"Captions to faces of 64 pixels: {len(found.x):,} different faces, {images:,} images"
    yield f"{processor()}, {device}, {torch.get_num_threads()} threads; torch {torch.__version__}"
    yield f"quagga train conditional --condition caption {TRAINING}"
    network, own = judge(found)
    seconds = play(folder, run, images, device)
    yield ""
    yield f"{'':30}{'hair':>8}{'eyes':>8}"
    yield f"{'read, held-out faces':30}{own[0]:>8.1%}{own[1]:>8.1%}"
    shares = obeyed(run, network, found)
    yield f"{'obeyed, 1,000 samples':30}{shares[0]:>8.1%}{shares[1]:>8.1%}"
    relative = [share / most for share, most in zip(shares, own, strict=True)]
    yield f"{'as a share of the former':30}{relative[0]:>8.1%}{relative[1]:>8.1%}"
    yield f"{'chance':30}{1 / len(found.hair):>8.1%}{1 / len(found.eyes):>8.1%}"
    yield ""
    yield f"{seconds:,.0f} s of CPU in this training; promise with a GPU: both shares at least {SHARE:.0%}"
    side_by_side(run, sheet)
    yield f'"red eyes" beside "blue eyes", one seed a row: {sheet.name}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=30, help="of CPU that the training may take, about")
    parser.add_argument("--images", type=int, help="instead of --minutes, as many images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--run", type=Path, help="where the run is kept; it goes on if it is there")
    parser.add_argument("--sheet", type=Path, default=Path("red_and_blue_eyes.png"))
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    images = arguments.images or int(60 * arguments.minutes * RATE)
    with tempfile.TemporaryDirectory() as place:
        run = arguments.run or Path(place) / "run"
        keep(report(arguments.folder, run, images, arguments.device, arguments.sheet), arguments.output)


if __name__ == "__main__":
    main()
