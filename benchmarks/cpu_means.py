"""What makes a step faster on the CPU, and what does not: precision, memory format, threads, allocator, compiling.

    python benchmarks/cpu_means.py --output benchmarks/results/cpu_means.txt

Each way steps in a process of its own, by turns with plain float32, so that whatever else the machine does falls on
both. `quagga train` takes bf16 unasked on a processor with matrix units for it (AMX), keeps freed memory for the next
tensor, and nothing else of this. How threads wait, and how many play beside other programs: benchmarks/threads.py.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from report import keep
from stepping import Setting, Subject
from train_step import by_turns, machine

GIVEN_BACK = {"MALLOC_PERTURB_": "0"}  # says nothing to glibc, and to quagga that somebody has spoken
DEMO = {"blocks": 3, "width_discriminator": 32, "layers": 2, "skip": True, "lambda_identity": 0.0}
GAMES = {
    "CycleGAN 128x128, batch 1": Setting("cyclegan", size=128),
    "CycleGAN 128x128, batch 4": Setting("cyclegan", size=128, batch_size=4),
    "the demo's, 64x64, batch 4": Setting("cyclegan", size=64, batch_size=4, width=16, build=DEMO),
    "pix2pix 128x128, batch 1": Setting("pix2pix", size=128),
    "pix2pix 256x256, batch 1": Setting("pix2pix", size=256),
    "DCGAN 64x64, batch 64": Setting("gan", size=64, batch_size=64),
    "conditional, DCGAN 64x64, batch 64": Setting("conditional", size=64, batch_size=64),
}


def ways(base: Setting, compiled: bool) -> dict[str, tuple[Setting, dict[str, str]]]:
    """Name -> the setting, and what the environment says."""
    narrow = replace(base, precision="bf16")
    found = {
        "float32, another time": (base, {}),
        "float32, channels-last": (replace(base, channels_last=True), {}),
        "float32, memory is given back": (base, GIVEN_BACK),
        "float32, 1 thread": (replace(base, threads=1), {}),
        "bf16": (narrow, {}),
        "bf16, channels-last": (replace(narrow, channels_last=True), {}),
        "bf16, memory is given back": (narrow, GIVEN_BACK),
        "bf16, 1 thread": (replace(narrow, threads=1), {}),
        "bf16, checkpointing": (replace(narrow, gradient_checkpointing=True), {}),
    }
    if compiled:
        found["float32, compiled"] = (replace(base, compile=True), {})
        found["bf16, compiled"] = (replace(narrow, compile=True), {})
        found["bf16, compiled, channels-last"] = (replace(narrow, compile=True, channels_last=True), {})
    return found


@contextmanager
def environment(more: dict[str, str]) -> Iterator[None]:
    """For processes that are started within."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def table(base: Setting, turns: int, compiled: bool) -> Iterator[str]:
    yield f"{'':<32}{'ms/step':>9}{'of float32':>12}{'MiB':>7}"
    with Subject(base) as plain:
        for name, (setting, more) in ways(base, compiled).items():
            with environment(more), Subject(setting) as subject:
                times, failed = by_turns({"float32": plain, name: subject}, turns, warmup=1)
                if name in failed:
                    yield f"{name:<32}{failed[name]}"
                    continue
                share = median(own / first for own, first in zip(times[name], times["float32"], strict=True))
                yield f"{name:<32}{median(times[name]):>9.0f}{share:>12.2f}{subject.memory():>7.0f}"


def report(games: Sequence[str], turns: int, compiled: bool) -> Iterator[str]:
    yield "A training step on the CPU, by what means; the median of turns, and of ratios turn by turn"
    yield machine("cpu")
    for name in games:
        yield ""
        yield name
        yield from table(GAMES[name], turns, compiled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", nargs="+", choices=list(GAMES), default=list(GAMES))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--output", type=Path, help="text file to write the report to as well")
    arguments = parser.parse_args()
    keep(report(arguments.games, arguments.turns, arguments.compiled), arguments.output)


if __name__ == "__main__":
    main()
