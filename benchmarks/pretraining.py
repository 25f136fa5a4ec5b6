"""Few labels, many pictures: a classifier that begins with an autoencoder's encoder, beside one that begins by chance.

    python benchmarks/pretraining.py --mnist FOLDER --images 1000000 --place runs/pretraining \\
        --output benchmarks/results/pretraining.txt

FOLDER holds MNIST's four idx files. The autoencoder is trained by the command line for so many images, with one thread,
on the 60,000 training pictures without their labels. `quagga train classifier --network encoder` then sees 100,
300 or 1,000 of them with labels, as many of each digit, with --init_from the autoencoder and without, all else equal:
10,000 images each, three seeds, which draw the labelled pictures too. Accuracy is of the 10,000 test pictures. Rows are
appended; what is there is not made again.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import torch
from digits import QUIET, Set, real
from dimensions import trained
from PIL import Image
from report import keep, processor

import quagga
from quagga.cli.main import command_line
from quagga.data.io.tensors import to_uint8
from quagga.inference.classifier import Classifier

LABELS, SEEDS = (100, 300, 1000), (0, 1, 2)
ENCODER = "--width 16 --code_size 64"
CLASSIFIER = f"classifier --size 28 --network encoder {ENCODER} --batch_size 50 --lr 1e-3 --images 10000 --cache ram"


def labelled(train: Set, test: Set, count: int, seed: int, folder: Path) -> Path:
    """Writes so many training pictures, as many of each digit, and a few test pictures, as folders of classes."""
    order = np.random.default_rng(seed).permutation(len(train.y))
    for split, own, chosen, each in (("train", train, order, count // 10), ("test", test, np.arange(1000), 1)):
        for digit in range(10):
            place = folder / split / str(digit)
            place.mkdir(parents=True, exist_ok=True)
            for number in chosen[own.y[chosen].numpy() == digit][:each]:
                Image.fromarray(to_uint8(own.x[number])[..., 0]).save(place / f"{number}.png")
    return folder


@torch.inference_mode()
def accuracy(run: Path, test: Set) -> float:
    network = quagga.load(run, device="cpu")
    assert isinstance(network, Classifier)
    read = torch.cat([network.predictor(x=part).argmax(1) for part in test.x.split(500)])
    return float((read == test.y).float().mean())


def report(mnist: Path, images: int, noise: float, place: Path) -> Iterator[str]:
    train, test = real(mnist)
    before = place / (f"autoencoder-{images}" + (f"-{noise:g}" if noise else ""))
    minutes = trained(f"--size 28 --network conv {ENCODER} --noise {noise} --images {images}", mnist, before)
    yield f"digits: an autoencoder of {images:,} images, noise {noise:g}, {minutes:.1f} minutes of one thread;"
    yield f"{processor()}, torch {torch.__version__}; accuracy on {len(test.y):,} test pictures, %, of seeds"
    yield f"{SEEDS}, and their mean"
    yield f"{'labels':<8}{'from chance':>32}{'from the autoencoder':>32}"
    for count in LABELS:
        row = ""
        for name, words in (("chance", []), (before.name, ["--init_from", str(before)])):
            found = []
            for seed in SEEDS:
                folder = labelled(train, test, count, seed, place / f"digits-{count}-{seed}")
                run = place / f"{name}-{count}-{seed}"
                if not (run / "model").exists():
                    line = ["train", *CLASSIFIER.split(), "--root", str(folder), "--output", str(run)]
                    assert command_line([*line, *QUIET.split(), "--seed", str(seed), *words]) == 0
                found.append(100 * accuracy(run, test))
            row += f"{' '.join(f'{one:.1f}' for one in found) + f'  {np.mean(found):.1f}':>32}"
        yield f"{count:<8,}{row}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--noise", type=float, default=0.0, help="of a denoising autoencoder")
    parser.add_argument("--place", type=Path, default=Path("runs/pretraining"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/pretraining.txt"))
    chosen = parser.parse_args()
    chosen.place.mkdir(parents=True, exist_ok=True)
    before = chosen.output.read_text() if chosen.output.exists() else ""
    if f"autoencoder of {chosen.images:,} images, noise {chosen.noise:g}," in before:
        print(f"{chosen.output} has {chosen.images:,} images and noise {chosen.noise:g} already")
        return
    keep(
        report(chosen.mnist, chosen.images, chosen.noise, chosen.place), chosen.output, before + "\n" if before else ""
    )


if __name__ == "__main__":
    main()
