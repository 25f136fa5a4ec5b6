"""Time, arithmetic and memory of one training step: ours in three modes and, by turns on the same pictures, the
reference's.

    python benchmarks/train_step.py --size 128 --reference DIR --output benchmarks/results/train_step.txt
    python benchmarks/train_step.py --pipeline gan conditional --size 64 --batch_size 64
    python benchmarks/train_step.py --pipeline cyclegan cut --modes paper --size 128

DIR is a checkout of junyanz/pytorch-CycleGAN-and-pix2pix (the version of August 2025), which is imported and driven at
its own defaults, batch 1 and float32, with the networks that ours has; nothing of it is kept here. Ours plays in three
modes:

    paper    float32, eager, contiguous, batch 1: the same arithmetic as the reference's
    default  what `quagga train` does on this device when nothing is said
    fast     bf16 where there is hardware for it, compiled, at `--batch_size`

The settings are else the papers': CycleGAN with a ResNet of 9 blocks (6 below 256 pixels; `--blocks 9`: the
reference's own default at any size), identity loss and a pool of
50 fakes, pix2pix with a U-Net, DCGAN for gan and conditional.

Time: each subject lives in a process of its own and all step strictly by turns, A B C, C B A, A B C, ..., so that
whatever else the machine does falls on all; ratios are taken turn by turn, per pair of pictures. Arithmetic: the
operations of one eager step, counted, over its time; beside them what a matrix product reaches on the same device a
moment before. Memory: the highest resident set of the subject's process, with Python and torch in it (on CUDA: the most
that tensors took).
"""

import argparse
import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from report import keep, processor
from stepping import PAIRED, Failed, Setting, Subject, blocks_of, matrix_rate, rounds

from quagga.training.hardware.device_setup import has_bf16

MODES = ("paper", "default", "fast")
RESNETS = ("cyclegan", "cut")  # whose generators are ResNets
PROMISED = {"paper": 1.05, "default": 0.67}  # times the reference's time: CycleGAN, 128x128, batch 1, 2-core CPU


class Rates(NamedTuple):
    """FLOP/s of a matrix product."""

    bf16: float
    float32: float


def setting_of(mode: str, base: Setting, batch_size: int) -> Setting:
    """A mode on a device. batch_size: of the fast one."""
    if mode == "paper":
        return replace(base, precision="no", compile=False, channels_last=False)
    if mode == "default":
        return replace(base, precision=None, compile=None, channels_last=None)
    precision = "bf16" if has_bf16(base.device.startswith("cuda")) else "no"
    return replace(base, precision=precision, compile=True, channels_last=None, batch_size=batch_size)


@contextmanager
def started(
    settings: dict[str, Setting], start: Callable[[Setting], Subject] = Subject
) -> Iterator[tuple[dict[str, Subject], dict[str, str]]]:
    """A subject for each setting, which start together and live until the end of the block; and why those are missing
    that could not begin."""
    subjects: dict[str, Subject] = {}
    missing: dict[str, str] = {}
    with ThreadPoolExecutor(len(settings)) as pool, ExitStack() as stack:
        starting = {name: pool.submit(start, setting) for name, setting in settings.items()}
        for name, future in starting.items():
            try:
                subjects[name] = stack.enter_context(future.result())
            except Failed as error:
                missing[name] = str(error)
        yield subjects, missing


def by_turns(
    subjects: dict[str, Subject], turns: int, warmup: int, steps: int = 1
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Milliseconds of a step of each, `turns` times after the warm-up; the order turns round after every turn. And why
    those failed that did."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    failed: dict[str, str] = {}
    order = list(subjects)
    for turn in range(warmup + turns):
        for name in [name for name in order if name not in failed]:
            try:
                taken = subjects[name].milliseconds(steps)
            except Failed as error:
                failed[name] = str(error)
                continue
            if turn >= warmup:
                times[name].append(taken)
        order.reverse()
    return {name: times[name] for name in times if name not in failed}, failed


def compare(pipeline: str, arguments: argparse.Namespace, rates: Rates) -> Iterator[str]:
    """The table of a pipeline, and its ratios."""
    base = Setting(
        pipeline,
        size=arguments.size,
        device=arguments.device,
        width=arguments.width,
        images=arguments.images,
        threads=arguments.threads,
        batch_size=1 if pipeline in PAIRED else arguments.batch_size,
        build={"blocks": arguments.blocks} if pipeline in RESNETS and arguments.blocks else {},
    )
    settings = {mode: setting_of(mode, base, arguments.batch_size) for mode in arguments.modes}
    if arguments.reference and pipeline in ("cyclegan", "pix2pix"):
        settings["reference"] = replace(base, reference=arguments.reference)
    with Subject(base) as counted:
        operations = counted.flops_of_a_row()
    with started(settings) as (subjects, missing):
        times, failed = by_turns(subjects, arguments.turns, arguments.warmup, arguments.steps)
        memory = {name: subjects[name].memory() for name in times}
    what = "pairs" if pipeline in PAIRED else "images"
    networks = f"width {arguments.width}" + (f", {blocks_of(base)} blocks" if pipeline in RESNETS else "")
    yield f"{pipeline} {arguments.size}x{arguments.size}, {networks}: {tera(operations)} TFLOP a row"
    yield f"{'':<11}{'batch':>6}{'ms/step':>10}{'quartiles':>17}{what + '/s':>11}{'TFLOP/s':>10}{'of bf16':>9}" + (
        f"{'of float32':>12}{'MiB':>8}"
    )
    for name, taken in times.items():
        yield row(name, settings[name].batch_size, taken, operations, rates, memory[name])
    for name, why in {**missing, **failed}.items():
        yield f"{name:<11}{why}"
    for name in [mode for mode in times if mode != "reference" and "reference" in times]:
        rows = settings[name].batch_size
        yield ratio(name, [t / rows for t in times[name]], times["reference"], promise(name, settings[name]))


def row(name: str, batch: int, taken: Sequence[float], operations: float, rates: Rates, memory: float) -> str:
    """A line of the table. taken: milliseconds; operations: of a row of the batch."""
    middle, low, high = median(taken), *np.quantile(taken, [0.25, 0.75])
    achieved = operations * batch / middle * 1000
    shares = f"{achieved / rates.bf16:>9.1%}{achieved / rates.float32:>12.1%}"
    spread = f"{low:.0f} to {high:.0f}" if low >= 100 else f"{low:.1f} to {high:.1f}"
    return (
        f"{name:<11}{batch:>6}{middle:>10.1f}{spread:>17}{1000 * batch / middle:>11.3g}{tera(achieved):>10}"
        f"{shares}{memory:>8.0f}"
    )


def tera(operations: float) -> str:
    return f"{operations / 1e12:.3g}"


def promise(mode: str, setting: Setting) -> float | None:
    """What the mode is promised to take of the reference's time, where something is promised."""
    promised = setting.pipeline == "cyclegan" and setting.device == "cpu" and setting.size == 128
    return PROMISED.get(mode) if promised and setting.batch_size == 1 else None


def ratio(name: str, own: Sequence[float], theirs: Sequence[float], most: float | None) -> str:
    """Our time for a pair over theirs, turn by turn; beside the promise."""
    ratios = [a / b for a, b in zip(own, theirs, strict=True)]
    low, high = np.quantile(ratios, [0.25, 0.75])
    middle = median(ratios)
    said = f"{name} / reference: time of a pair {middle:.3f} (median of turns; quartiles {low:.3f} to {high:.3f})"
    if most is None:
        return f"{said}, {1 / middle:.2f} x as fast"
    return f"{said}; promise: at most {most}, {'kept' if middle <= most else 'NOT KEPT'}"


def machine(device: str) -> str:
    """On what it was measured, in one line."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else processor()
    return (
        f"{name}, {torch.get_num_threads()} threads; Python {platform.python_version()}, torch {torch.__version__}, "
        f"accelerate {importlib.metadata.version('accelerate')}"
    )


def report(arguments: argparse.Namespace) -> Iterator[str]:
    yield "One training step, paper: float32, eager, batch 1; default: as `quagga train` chooses; fast: compiled, bf16"
    yield machine(arguments.device)
    yield (
        f"{arguments.turns} turns of {arguments.steps} steps after {arguments.warmup} of warm-up, each in a process of "
        f"its own; {'noise' if arguments.images is None else 'photographs'}"
    )
    rates = Rates(*(matrix_rate(arguments.device, dtype) for dtype in (torch.bfloat16, torch.float32)))
    float32 = "float32, as TF32" if rounds(arguments.device) else "float32"
    yield f"a matrix product: {tera(rates.bf16)} TFLOP/s in bf16, {tera(rates.float32)} in {float32}"
    for pipeline in arguments.pipeline:
        yield ""
        yield from compare(pipeline, arguments, rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", nargs="+", default=["cyclegan", "pix2pix"], help="of ours")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--reference", type=Path, help="checkout of the reference implementation")
    parser.add_argument("--images", type=Path, help="folder of pictures; noise where it is left out")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--batch_size", type=int, default=4, help="of the fast mode; of all modes of gan, conditional")
    parser.add_argument("--width", type=int, default=64, help="channels after a generator's first layer")
    parser.add_argument("--blocks", type=int, help="of CycleGAN's ResNet, of both; default: the paper's")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1, help="of a turn; more on a GPU, where one is short")
    parser.add_argument("--warmup", type=int, default=3, help="turns before those; the first of them compiles")
    parser.add_argument("--threads", type=int, help="CPU threads; torch's own choice where it is left out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="text file to write the report to as well")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    keep(report(arguments), arguments.output)


if __name__ == "__main__":
    main()
