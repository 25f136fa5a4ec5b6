"""How long one waits for the command line: whole processes, medians of several. Promise: `quagga --help` in 0.3 s.

python benchmarks/startup.py --output benchmarks/results/startup.txt
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from inference import leave_model, leave_pictures
from report import keep, processor
from whole_process import Command, by_turns, told, waited

PROMISE = 0.3  # seconds


def commands(place: Path, width: int, size: int) -> dict[str, Command]:
    """What is waited for, by name; `place` is an empty folder for a model and a picture."""
    quagga = [sys.executable, "-m", "quagga"]
    run, one = leave_model(place / "run", width=width), leave_pictures(place / "one", 1, size)
    translate = [*quagga, "translate", str(run), str(one), "--output", str(place / "made"), "--overwrite"]
    return {
        "python -c pass": Command([sys.executable, "-c", "pass"]),
        "python -c 'import quagga'": Command([sys.executable, "-c", "import quagga"]),
        "quagga --help": Command([*quagga, "--help"]),
        "quagga train --help": Command([*quagga, "train", "--help"]),
        "quagga translate --help": Command([*quagga, "translate", "--help"]),
        "quagga train cyclegan --help": Command([*quagga, "train", "cyclegan", "--help"]),
        "python -c 'import torch'": Command([sys.executable, "-c", "import torch"]),
        f"quagga translate, one picture of {size}x{size}": Command(translate),
    }


def report(rounds: int, width: int, size: int) -> Iterator[str]:
    yield f"Whole processes, medians of {rounds} by turns (smallest to largest)"
    yield f"{processor()}, {torch.get_num_threads()} threads"
    yield f"Python {platform.python_version()}, torch {torch.__version__}"
    yield ""
    with tempfile.TemporaryDirectory() as folder:
        taken = by_turns(commands(Path(folder), width, size), rounds)
    for name, times in taken.items():
        yield f"{name:<48}{told(times)}"
    least = waited(taken["quagga --help"])
    yield ""
    yield f"quagga --help: {least:.2f} s; promise: under {PROMISE} s, {'kept' if least < PROMISE else 'NOT KEPT'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=64, help="of the ResNet that translates")
    parser.add_argument("--size", type=int, default=256, help="side of the picture it translates")
    parser.add_argument("--output", type=Path, help="text file to write the report to as well")
    arguments = parser.parse_args()
    keep(report(arguments.rounds, arguments.width, arguments.size), arguments.output)


if __name__ == "__main__":
    main()
