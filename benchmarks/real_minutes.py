"""Zebras of real horses in minutes of one CPU: which recipe makes the best, by a judge that has seen real ones?

    python benchmarks/real_minutes.py FOLDER today --size 64 --minutes 10 --place runs/real \\
        --output benchmarks/results/real_minutes.txt

FOLDER holds trainA, trainB, testA, testB (horse2zebra). A try is one of `TRIES`, trained by the command line, with one
thread, for so many minutes of CPU; its length in images is fixed beforehand by its own speed, so that its rates reach 0
when its minutes end. Words after the try are options of `quagga train` that are to be otherwise, and part of its name.

The judge is `quagga train classifier`, trained on trainA and trainB at the same size. It shares nothing with any
discriminator. Of the translated horses of testA it says how many are zebras, and how far they are from the zebras of
trainB: a Frechet distance in its last hidden layer. Both stand beside untranslated horses and the zebras of testB; a
high share alone is worth nothing, mush was called zebra too. "change" is mean |G(x) - x|, in a range of 2, in the
middle half of the picture, where the animals are, and in the frame around it. A sheet of 24 horses is drawn to be
looked at: that is the judge that counts.

Rows are appended, and a try that is there is not played again. A training that was stopped goes on.
"""

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a CPU second is a second of one thread

import cv2
import numpy as np
import torch
from digits import frechet
from report import processor
from torch import Tensor

import quagga
from quagga.cli.main import command_line
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.read import read_picture
from quagga.data.io.tensors import to_tensor
from quagga.inference.classifier import Classifier
from quagga.inference.translator import Translator
from quagga.training import checkpoint

SMALL = "--load_size {size} --crop_size {size} --batch_size 4 --workers 0 --cache ram --ema_halflife 500 --skip true"
NETWORKS = "--width 24 --blocks 4 --width_discriminator 32 --layers 2 --lr 4e-4"
FEATURES = "--discriminator both --diffaugment [translation,cutout]"
TRIES = {
    # The recipe for minutes that docs/cyclegan.md has had: small networks, a skip, no identity.
    "today": f"cyclegan {SMALL} --width 16 --blocks 3 --width_discriminator 32 --layers 2 --lr 4e-4"
    " --lambda_identity 0",
    # The networks and settings of the reference implementation.
    "reference": "cyclegan --load_size {enlarged} --crop_size {size} --batch_size 1 --workers 0 --cache ram"
    " --blocks 9 --ema_halflife 0 --mixed_precision no",
    "cyclegan": f"cyclegan {SMALL} {NETWORKS} --lambda_identity 0",
    "cyclegan, both": f"cyclegan {SMALL} {NETWORKS} --lambda_identity 0 {FEATURES}",
    "cut": f"cut {SMALL} {NETWORKS} --width_heads 64 --patches 128 --lambda_Y 0",
    "cut, both": f"cut {SMALL} {NETWORKS} --width_heads 64 --patches 128 --lambda_Y 0 --lambda_X 0.5 {FEATURES}",
}
JUDGE = (
    "--network deep --width 32 --batch_size 32 --lr 1e-3 --decay 0.8 --flip true --workers 0 --cache ram --examined 0"
    ' --augment {{"RandomResizedCrop":{{"size":[{size},{size}],"scale":[0.6,1.0]}},"ToGray":{{"p":0.2}},'
    '"ColorJitter":{{"p":0.8,"brightness":0.3,"contrast":0.3,"saturation":0.5,"hue":0.05}}}}'
)
JUDGES_IMAGES = 150_000  # 11 minutes of one thread at 96 pixels
SPEED_STEPS = 30  # steps by which a try's speed is measured
COLUMNS = ("try", "size", "seed", "minutes", "images", "zebras", "frechet", "change", "frame")


def read(folder: Path, size: int) -> Tensor:
    """The pictures of a folder, in the order of their names, (N, 3, size, size) in [-1, 1]."""
    files = sorted(folder.iterdir())
    return to_tensor(np.stack([cv2.resize(read_picture(f), (size, size), interpolation=cv2.INTER_AREA) for f in files]))


def judge(folder: Path, place: Path, size: int, device: str = "cpu", images: int = JUDGES_IMAGES) -> Classifier:
    """The classifier of horses and zebras, trained if it is not there."""
    run, table = place / f"judge{size}deep", place / "animals.csv"
    sides = {"trainA": "horse", "trainB": "zebra"}
    lines = [(file.resolve(), sides[name]) for name in sides for file in sorted((folder / name).iterdir())]
    with table.open("w", newline="") as opened:
        csv.writer(opened).writerows([("file", "label"), *lines])
    if not (run / "model").exists():
        words = f"train classifier --table {table} --output {run} --device {device} --size {size} --images {images}"
        assert command_line([*words.split(), *JUDGE.format(size=size).split()]) == 0
    found = quagga.load(run, device="cpu")
    assert isinstance(found, Classifier)
    return found


@torch.inference_mode()
def verdict(judge: Classifier, x: Tensor) -> tuple[Tensor, Tensor]:
    """Of pictures (N, 3, size, size): the probability of a zebra (N,), and the judge's last hidden layer (N, K)."""
    network: Any = judge.predictor.network.logits
    hidden = torch.cat([network.hidden(part) for part in x.split(64)])
    return torch.cat([judge.predictor(x=part) for part in x.split(64)])[:, 1], hidden


def play(line: str, folder: Path, run: Path, size: int, seed: int, minutes: float, keep: int = 1) -> tuple[int, float]:
    """Trains a try; the images seen, and the minutes of CPU it took. A run that is there goes on, and so do they. It
    leaves its last `keep` checkpoints, an eighth of the run apart."""
    spent, length = run.parent / f"{run.name}.cpu", run.parent / f"{run.name}.images"
    said = line.format(size=size, enlarged=round(size * 286 / 256)).split()
    often = ["--log_every", "400", "--sample_every", "1000000", "--examined", "0", "--samples", "1"]
    words = ["train", *said, "--root", str(folder), "--seed", str(seed), "--device", "cpu", *often, "--keep", str(keep)]
    if not length.exists():
        batch = int(said[said.index("--batch_size") + 1])
        seconds = []
        for steps in (5, SPEED_STEPS + 5):
            start = process_time()
            place = run.parent / f"{run.name}.speed{steps}"
            assert command_line([*words, "--images", str(steps * batch), "--output", str(place)]) == 0
            seconds.append(process_time() - start)
        images = 60 * minutes / ((seconds[1] - seconds[0]) / (SPEED_STEPS * batch))
        length.write_text(str(int(images / batch) * batch))
    start = process_time() - (float(spent.read_text()) if spent.exists() else 0.0)
    images = length.read_text()
    code = command_line([*words, "--images", images, "--save_every", str(int(images) // 8), "--output", str(run)])
    spent.write_text(str(process_time() - start))
    assert code == 0, code
    return checkpoint.images_seen_at(checkpoint.list_saved(run / "checkpoints")[-1]), (process_time() - start) / 60


def share_of_zebras(p: Tensor) -> float:
    return (p > 0.5).float().mean().item()


def changes(x: Tensor, made: Tensor) -> tuple[float, float]:
    """Mean |G(x) - x| in the middle half of the pictures, and in the frame around it."""
    change, quarter = (made - x).abs().mean((0, 1)), x.shape[-1] // 4
    middle = torch.zeros_like(change, dtype=torch.bool)
    middle[quarter:-quarter, quarter:-quarter] = True
    return change[middle].mean().item(), change[~middle].mean().item()


def row(cells: Sequence[object]) -> str:
    first, *others = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return f"{first:<44}" + "".join(f"{cell:>10}" for cell in others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", choices=TRIES)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10, help="of CPU, of one thread")
    parser.add_argument("--place", type=Path, default=Path("runs/real"), help="where judge and runs are kept")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/real_minutes.txt"))
    chosen, more = parser.parse_known_args()
    name, size, seed, minutes = " ".join([chosen.name, *more]), chosen.size, chosen.seed, chosen.minutes
    chosen.place.mkdir(parents=True, exist_ok=True)
    text = chosen.output.read_text() if chosen.output.exists() else ""
    begins = row((name, size, seed, f"{minutes:g}"))
    if begins in text:
        print(f"{chosen.output} has this row already:\n{row(COLUMNS)}")
        print(next(line for line in text.splitlines() if line.startswith(begins)))
        return

    found = judge(chosen.folder, chosen.place, size)
    horses, zebras, real = (read(chosen.folder / part, size) for part in ("testA", "testB", "trainB"))
    (p_horses, h_horses), (p_zebras, h_zebras), (_, h_real) = (verdict(found, x) for x in (horses, zebras, real))
    right = torch.cat([p_horses < 0.5, p_zebras > 0.5]).float().mean().item()
    lines = [
        f"{processor()}, one thread, torch {torch.__version__}; {size} pixels",
        f"the judge, a deep classifier, is right on {right:.1%} of testA and testB",
        row(COLUMNS),
        row(("horses as they are", size, "", "", "", share_of_zebras(p_horses), frechet(h_horses, h_real), 0.0, 0.0)),
        row(("real zebras, testB", size, "", "", "", share_of_zebras(p_zebras), frechet(h_zebras, h_real), "", "")),
    ]
    label = "-".join(name.replace("--", "").replace(",", "").split()) + f"-{size}-{seed}-{minutes:g}"
    line = f"{TRIES[chosen.name]} {' '.join(more)}"
    seen, taken = play(line, chosen.folder, chosen.place / label, size, seed, minutes)
    translator = quagga.load(chosen.place / label, device="cpu")
    assert isinstance(translator, Translator)
    made = translator(horses)
    p, hidden = verdict(found, made)
    middle, frame = changes(horses, made)
    lines.append(
        row((name, size, seed, f"{minutes:g}", seen, share_of_zebras(p), frechet(hidden, h_real), middle, frame))
    )
    new = [each for each in lines if each not in text]
    print("\n".join(lines), f"\n{taken:.1f} minutes of CPU taken")
    with chosen.output.open("a") as opened:
        opened.write("\n".join(new) + "\n")
    columns = {}
    for first in (0, 5, 10):  # 24 of 120 horses, in three columns
        some = torch.arange(first, len(horses), 15)
        columns |= {f"x {first}": horses[some], f"G(x) {first}": made[some]}
    contact_sheet(columns, chosen.place / f"{label}.png")


if __name__ == "__main__":
    main()
