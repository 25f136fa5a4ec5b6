"""When do more GPUs help? A model on paper, and its form held against two processes on this CPU.

    python benchmarks/scaling.py --output benchmarks/results/scaling.txt

A step computes for b F / R seconds (b rows a GPU, F operations a row, rate R) and then waits for its reductions, one a
side, which do not overlap with it: 2 (P - 1) / P B / W seconds for B bytes of gradients over the slowest link W, and
2 log2(P) hops for each reduction, those of batch normalisation too. With the reduction cut into buckets that are sent
during the backward pass, as DistributedDataParallel does, up to 2/3 of the compute would hide it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from math import ceil, log2
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from report import keep, processor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from quagga.pipelines import cyclegan, gan, pix2pix
from quagga.pipelines.minimax import Draw, Schedule, Trainer

RATE = 0.35 * 790e12  # operations a second: 35 % of what an H200 was measured to reach on bf16 matrix products
LINKS = {  # name -> bytes/s a direction, seconds a hop: datasheets, and assumptions
    "NVLink 4": (450e9, 5e-6),
    "PCIe 4 x16": (25e9, 5e-6),
    "100 Gbit/s": (12.5e9, 20e-6),
}
PLACES = ((8, "NVLink 4"), (8, "PCIe 4 x16"), (64, "100 Gbit/s"))  # GPUs, and their slowest link
ENOUGH = 0.8  # efficiency below which more GPUs are said to have stopped helping
BACKWARD = 2 / 3  # share of a step that is backward, during which buckets could be sent
GAMES: dict[str, tuple[Any, dict[str, Any], int]] = {
    "cyclegan, 256 pixels": (cyclegan.build, {}, 256),
    "pix2pix, U-Net-256": (pix2pix.build, {}, 256),
    "gan, DCGAN of 64 pixels": (gan.build, {"size": 64, "x_channels": 3}, 64),
}
TINY: dict[str, Any] = {"width": 16, "blocks": 2, "width_discriminator": 16, "crop_size": 64}  # what this CPU plays
BATCHES, STEPS = (1, 2, 4, 8), 6


class Cost(NamedTuple):
    """Of a step: operations for a row, bytes of gradients, and reductions of batch normalisation, two a pass."""

    operations: float
    bytes: int
    normalised: int


def cost(build: Any, options: dict[str, Any], size: int, rows: int = 2) -> Cost:
    """Counted without computing anything, on the device meta."""
    normalised = 0

    def count(*_: object) -> None:
        nonlocal normalised
        normalised += 2  # forward, and backward again

    with torch.device("meta"):
        game = build(**options)
        batch = {side: torch.zeros(rows, 3, size, size) for side in "xy"}
    for network in [*game.generators.values(), *game.discriminators.values()]:
        for layer in network.modules():
            if isinstance(layer, _BatchNorm):
                layer.register_forward_hook(count)
    parameters = [
        p for side in (game.generators, game.discriminators) for network in side.values() for p in network.parameters()
    ]
    with FlopCounterMode(display=False) as counter:
        fakes = game.generate(batch, Draw(0, range(rows)))
        held = {name: fake.detach() for name, fake in fakes.items()}
        torch.stack(list(game.discriminator_loss(batch, held, Draw(0, range(rows), 1)).terms.values())).sum().backward()
        if game.fresh_noise:
            fakes = game.generate(batch, Draw(0, range(rows), 2))
        for network in game.discriminators.values():
            network.requires_grad_(False)
        torch.stack(list(game.generator_loss(batch, fakes, Draw(0, range(rows), 3)).terms.values())).sum().backward()
    return Cost(counter.get_total_flops() / rows, 4 * sum(p.numel() for p in parameters), normalised)


def waiting(of: Cost, processes: int, link: str) -> tuple[float, float]:
    """Seconds of a step for the gradients of both sides, and for the statistics of batch normalisation."""
    width, hop = LINKS[link]
    start = 2 * ceil(log2(processes)) * hop
    return 2 * (processes - 1) / processes * of.bytes / width + 2 * start, of.normalised * start


def least(of: Cost, processes: int, link: str, buckets: bool = False) -> int:
    """Rows a GPU from which on processes are `ENOUGH` efficient; buckets: if gradients were sent during backward."""
    gradients, statistics = waiting(of, processes, link)
    bearable = 1 / ENOUGH - 1  # seconds of waiting that a second of compute bears
    compute = (gradients + statistics) / (bearable + (BACKWARD if buckets else 0))
    return max(1, ceil(max(compute, statistics / bearable) / (of.operations / RATE)))


def on_paper() -> Iterator[str]:
    yield f"compute at {RATE / 1e12:.0f} TFLOP/s; gradients in float32; nothing overlaps; efficiency: share of a step"
    yield "that is compute. Least batch: rows a GPU for 80 %; in brackets if gradients went in buckets during backward"
    for name, (build, options, size) in GAMES.items():
        of = cost(build, options, size)
        row = 1e3 * of.operations / RATE
        yield ""
        yield (
            f"{name}: {of.operations / 1e12:.3g} TFLOP and {row:.2g} ms a row, {of.bytes / 1e6:.0f} MB of gradients,"
            f" {of.normalised} reductions of statistics"
        )
        yield "  GPUs  slowest link   waits/ms   efficiency at batch 1     4    16    64   least batch"
        for processes, link in PLACES:
            wait = 1e3 * sum(waiting(of, processes, link))
            shares = "".join(f"{batch * row / (batch * row + wait):>6.0%}" for batch in (1, 4, 16, 64))
            batch, buckets = least(of, processes, link), least(of, processes, link, buckets=True)
            yield f"  {processes:>4}  {link:<13}  {wait:>8.3g}   {' ':>15}{shares}   {batch} ({buckets})"


# -- two processes on this CPU ----------------------------------------------------------------------------------------


def play() -> None:
    """On every process: seconds a step at each batch, and of its two reductions alone; the first prints them."""
    torch.set_num_threads(1)
    accelerator, found = Accelerator(cpu=True), {}
    game = trainer = None
    for size in BATCHES:
        torch.manual_seed(0)
        game = cyclegan.build(**TINY)
        trainer = Trainer(game, Schedule(batch_size=size), 1 << 40, accelerator)
        batch = {"x": torch.rand(size, 3, 64, 64), "y": torch.rand(size, 3, 64, 64), "row": torch.arange(size)}
        steps = trainer.play(lambda _row, batch=batch: iter(lambda: batch, None))
        found[size] = quickest(lambda steps=steps: next(steps))
    assert trainer is not None

    def reduce() -> None:
        for side in trainer.sides.values():
            accelerator.reduce(side.gradient, "mean")

    found["reductions"] = quickest(reduce) if accelerator.num_processes > 1 else 0.0
    if accelerator.is_main_process:
        print(json.dumps(found), flush=True)
    accelerator.end_training()


def quickest(action: Any) -> float:
    """Seconds: the least of some times, after one that warms up."""
    taken = []
    for _ in range(STEPS):
        begun = perf_counter()
        action()
        taken.append(perf_counter() - begun)
    return min(taken[1:])


def on_this_machine() -> Iterator[str]:
    found = {}
    for processes in (1, 2):
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), __file__, "--play"]
        with tempfile.TemporaryFile("w+") as said:
            env = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run([sys.executable, *launch], stdout=said, stderr=subprocess.DEVNULL, env=env)
            said.seek(0)
            found[processes] = json.loads(said.read().strip().splitlines()[-1])
    one, two = found[1], found[2]
    yield f"measured: a small CycleGAN at 64 pixels over gloo, one thread a process, on {processor()}"
    yield f"its two reductions alone: {1e3 * two['reductions']:.0f} ms"
    yield "  batch   1 process/ms   2 processes/ms   1 process and the reductions   efficiency   by the model"
    for size in map(str, BATCHES):
        model = one[size] + two["reductions"]
        yield (
            f"  {size:>5}   {1e3 * one[size]:>12.0f}   {1e3 * two[size]:>14.0f}   {1e3 * model:>28.0f}"
            f"   {one[size] / two[size]:>10.0%}   {one[size] / model:>12.0%}"
        )
    yield "efficiency beside the model's says what sharing memory and cores costs, which the model leaves out"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path)
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        play()
        return

    def lines() -> Iterator[str]:
        yield from on_paper()
        yield ""
        yield from on_this_machine()

    keep(lines(), arguments.output)


if __name__ == "__main__":
    main()
