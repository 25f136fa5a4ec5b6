"""Two programs that teach GANs, as they were meant and with what misprints do to them, on MNIST.

    python benchmarks/as_printed.py --mnist FOLDER --images 48000 --place runs/as_printed \\
        --output benchmarks/results/as_printed.txt

FOLDER holds MNIST's four idx files. Each is trained by the command line for so many images, with one thread; the last
point of its curves is printed: the loss of D, its accuracy, the loss of G, and the diversity of samples beside that of
held-out pictures, where real ones have 1. The sheets of 25 samples are in PLACE/*/samples. For the whole of the Keras
example, 30,000 steps of 32, its minutes are reckoned from the steps that were made. Rows are appended; what is there
is not made again.
"""

import argparse
import os
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch
from report import processor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from quagga.cli.main import command_line

TRIES = {  # name -> options beside the number of images
    "plain, as meant": "--recipe gan-plain",
    "plain, D's optimiser holds G's weights": "--recipe gan-plain --lr_discriminator 0",
    "plain, gradient descent at Adam's rate": "--recipe gan-plain --optimizer sgd",
    "Keras, as meant": "--recipe gan-keras",
}
CURVES = {"D": "discriminators/D", "accuracy": "D/accuracy", "G": "generators/G", "diversity": "held_out/diversity"}
FEW, STEPS, BATCH = 100, 30_000, 32  # steps of a run that shows what a start costs; those of the Keras example


def trained(options: str, mnist: Path, run: Path, images: int) -> float:
    """Trains, and returns the seconds of CPU."""
    start = process_time()
    words = [*options.split(), "--images", str(images), "--root", str(mnist), "--output", str(run)]
    quiet = "--device cpu --workers 0 --cache ram --save_every 1000000 --sample_every 1000000"
    assert command_line(["train", *words, *quiet.split()]) == 0
    return process_time() - start


def last_points(run: Path) -> dict[str, float]:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {name: events.Scalars(curve)[-1].value for name, curve in CURVES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--images", type=int, default=STEPS * BATCH)
    parser.add_argument("--only", default="", help="those whose names hold this")
    parser.add_argument("--place", type=Path, default=Path("runs/as_printed"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/as_printed.txt"))
    chosen = parser.parse_args()
    chosen.place.mkdir(parents=True, exist_ok=True)
    kept = chosen.output.read_text() if chosen.output.exists() else ""
    if not kept:
        kept = f"{processor()}, torch {torch.__version__}, one thread\n"
        kept += f"{'':<42}{'images':>10}{'D':>8}{'accuracy':>10}{'G':>8}{'diversity':>11}{'minutes':>9}\n"
    for number, (name, options) in enumerate(TRIES.items()):
        begin = f"{name:<42}{chosen.images:>10,}"
        if begin in kept or chosen.only not in name:
            continue
        run = chosen.place / f"{number}-{chosen.images}"
        seconds = trained(options, chosen.mnist, run, chosen.images)
        points = last_points(run)
        row = begin + f"{points['D']:>8.3f}{points['accuracy']:>10.1%}{points['G']:>8.3f}{points['diversity']:>11.2f}"
        lines = [row + f"{seconds / 60:>9.1f}"]
        if name == "Keras, as meant":
            start = trained(options, chosen.mnist, chosen.place / f"{number}-start", FEW * BATCH)
            whole = start + (seconds - start) / (chosen.images / BATCH - FEW) * (STEPS - FEW)
            lines += [f"  {STEPS:,} steps, reckoned from {chosen.images // BATCH:,}: {whole / 60:.1f} minutes of CPU"]
        print(*lines, sep="\n", flush=True)
        kept += "\n".join(lines) + "\n"
        chosen.output.write_text(kept)


if __name__ == "__main__":
    main()
