"""When do more GPUs help? A model on paper, and what two processes on this CPU lose by their reductions.

    python benchmarks/scaling.py --output benchmarks/results/scaling.txt

A step computes for b F / R seconds (b rows a GPU, F operations a row, rate R) and then waits for its reductions, one a
side, which do not overlap with it: 2 (P - 1) / P B / W seconds for B bytes of gradients over the slowest link W, and
2 log2(P) hops for each reduction, those of batch normalisation too. With the reduction cut into buckets that are sent
during the backward pass, as DistributedDataParallel does, up to 2/3 of the compute would hide it.

Measured here: two processes of one thread each that reduce, by turns with the same two side by side that do not. They
share cores and memory either way; what differs are the reductions, in which each also waits for the other.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from math import ceil, log2
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from report import keep, processor
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from quagga.option_groups import call_flat
from quagga.pipelines import cyclegan, gan, pix2pix
from quagga.pipelines.core.game_protocol import Draw, Game, networks_of
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.one_side import Player
from quagga.pipelines.core.schedule import Schedule

RATE = 0.35 * 790e12  # operations a second: a share of what is reported of an H200's bf16 products; not measured here
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
BATCHES = (1, 2, 4, 8)
TURNS, STEPS = 7, 3


class Cost(NamedTuple):
    """Of a step: operations for a row, bytes of gradients, and reductions of batch normalisation, two a pass."""

    operations: float
    bytes: int
    normalised: int


def cost(build: Any, options: dict[str, Any], size: int, rows: int = 2) -> Cost:
    """Counted without computing anything."""
    with FakeTensorMode():  # autocast, which layers turn off for a moment, knows no device meta
        return _cost(call_flat(build, **options), {side: torch.zeros(rows, 3, size, size) for side in "xy"}, rows)


def _cost(game: Game, batch: dict[str, Tensor], rows: int) -> Cost:
    normalised = 0

    def count(*_: object) -> None:
        nonlocal normalised
        normalised += 2  # forward, and backward again

    for network in networks_of(game):
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
    yield "links: " + "; ".join(
        f"{name} {rate / 1e9:g} GB/s a way, {hop * 1e6:g} us a hop" for name, (rate, hop) in LINKS.items()
    )
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


class Alone:
    """An accelerator of several processes, each of which plays as if it were the only one."""

    num_processes, process_index, is_main_process = 1, 0, True

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator

    def __getattr__(self, name: str) -> Any:
        return getattr(self.accelerator, name)


def play() -> None:
    """On both processes: what a step takes at each batch, without reductions and with them, and what they take alone;
    the first prints the means over the processes."""
    torch.set_num_threads(1)
    accelerator, found = Accelerator(cpu=True), {}
    for size in BATCHES:
        alone, together = (stepping(a, size) for a in (Alone(accelerator), accelerator))
        gradients = [side.gradient.clone() for side in together.sides.values()]

        def reduce(gradients: list[Tensor] = gradients) -> None:
            for gradient in gradients:
                accelerator.reduce(gradient, "mean")

        actions = {"alone": alone.step, "together": together.step, "reductions": reduce}
        taken = by_turns(actions, accelerator.wait_for_everyone)
        found[size] = {name: fmean(gather_object([seconds])) for name, seconds in taken.items()}
    if accelerator.is_main_process:
        print(json.dumps(found), flush=True)
    accelerator.end_training()


class SteppedGame(NamedTuple):
    step: Callable[[], object]
    sides: dict[str, Player]


def stepping(accelerator: Any, size: int) -> SteppedGame:
    """A step of the small CycleGAN, of so many rows a process."""
    torch.manual_seed(0)
    trainer = Trainer(call_flat(cyclegan.build, **TINY), Schedule(batch_size=size), 1 << 40, accelerator)
    batch = {"x": torch.rand(size, 3, 64, 64), "y": torch.rand(size, 3, 64, 64), "row": torch.arange(size)}
    steps = trainer.play(iter(lambda: batch, None))
    return SteppedGame(lambda: next(steps), trainer.sides)


def by_turns(actions: Mapping[str, Callable[[], object]], meet: Callable[[], object]) -> dict[str, float]:
    """Seconds that each takes, the median of turns after one that warms up; all processes begin a turn together."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(1 + TURNS):
        for name, action in actions.items():
            meet()
            begun = perf_counter()
            for _ in range(STEPS):
                action()
            taken[name].append((perf_counter() - begun) / STEPS)
    return {name: median(times[1:]) for name, times in taken.items()}


def on_this_machine() -> Iterator[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", __file__, "--play"]
    with tempfile.TemporaryFile("w+") as said:
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *launch], stdout=said, stderr=subprocess.DEVNULL, env=env, check=True)
        said.seek(0)
        found = json.loads(said.read().strip().splitlines()[-1])
    gpu = "its GPU idle" if torch.cuda.is_available() else "no GPU"
    yield "measured: two processes of one thread each play a small CycleGAN at 64 pixels, over gloo"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    yield f"{os.cpu_count()} cores of an {processor()}, {gpu}; {versions}"
    yield from measured(found)


def measured(found: dict[str, dict[str, float]]) -> Iterator[str]:
    """found: batch -> seconds of a step without reductions, of one with them, and of the reductions by themselves."""
    yield "  batch   without reductions/ms   with them/ms   they by themselves/ms   efficiency   by the model"
    for size, seconds in found.items():
        alone, together, reductions = (seconds[name] for name in ("alone", "together", "reductions"))
        yield (
            f"  {size:>5}   {1e3 * alone:>21.0f}   {1e3 * together:>12.0f}   {1e3 * reductions:>21.1f}"
            f"   {alone / together:>10.0%}   {alone / (alone + reductions):>12.0%}"
        )
    yield "efficiency: the step without reductions over the step with them; by the model: over the step without and the"
    yield "reductions by themselves"


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
