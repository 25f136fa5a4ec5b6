"""NaN and infinity planted everywhere in a game: what is caught, what is saved, and how often nothing is to be caught.

    python benchmarks/nonfinite.py --output benchmarks/results/nonfinite.txt

In the fifth step of a small CycleGAN one number of a loss, of a gradient or of a picture is made NaN or infinite. It is
caught if the readings name it and the minibatch, no weight has taken it in, and nothing can be saved.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from itertools import count
from math import inf, nan
from pathlib import Path
from typing import NamedTuple

from report import processor

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from accelerate import Accelerator
from torch import Tensor

from quagga.option_groups import call_flat
from quagga.pipelines import cyclegan
from quagga.pipelines.core.game_protocol import Batch, Loss
from quagga.pipelines.core.minimax_trainer import NotFinite, Trainer
from quagga.pipelines.core.schedule import Schedule

SIZE, STEP = 16, 5
TERMS = {
    "discriminators": ["D_Y", "D_X", "D_Y_penalty", "D_X_penalty"],
    "generators": ["G", "F", "cycle_x", "cycle_y", "identity_x", "identity_y"],
}
NETWORKS = ["G", "F", "D_X", "D_Y"]
Plant = Callable[[Trainer, Batch], None]


class Outcome(NamedTuple):
    planted: int
    caught: int
    bad_weights: int  # cases in which a weight was not finite
    saved: int  # cases in which a state could be taken


def game() -> Trainer:
    torch.manual_seed(0)
    small = {"width": 4, "blocks": 1, "width_discriminator": 4, "layers": 1, "penalty": "r1", "crop_size": SIZE}
    return Trainer(call_flat(cyclegan.build, **small), Schedule(images=10**6), 10**6, Accelerator(cpu=True))


def batches(plant: Plant | None, trainer: Trainer) -> Iterator[Batch]:
    noise = torch.Generator().manual_seed(1)
    for row in count():
        x, y = torch.rand(2, 1, 3, SIZE, SIZE, generator=noise) * 2 - 1
        batch = {"x": x, "y": y, "row": torch.tensor([row])}
        if plant and row == STEP:
            plant(trainer, batch)
        yield batch


def in_loss(side: str, term: str, number: float) -> Plant:
    def plant(trainer: Trainer, _: Batch) -> None:
        method = f"{side.removesuffix('s')}_loss"
        original = getattr(trainer.game, method)

        def planted(*arguments: object) -> Loss:
            loss = original(*arguments)
            return Loss({**loss.terms, term: loss.terms[term] * number}, loss.readings)

        setattr(trainer.game, method, planted)

    return plant


def in_gradient(network: str, number: float) -> Plant:
    def plant(trainer: Trainer, _: Batch) -> None:
        owner = {**trainer.game.generators, **trainer.game.discriminators}[network]

        def spoil(gradient: Tensor) -> Tensor:
            spoiled = gradient.clone()
            spoiled[(0,) * spoiled.ndim] = number
            return spoiled

        next(owner.parameters()).register_hook(spoil)

    return plant


def in_picture(side: str, number: float) -> Plant:
    def plant(_: Trainer, batch: Batch) -> None:
        batch[side][0, 0, 3, 3] = number

    return plant


def cases() -> dict[str, Plant]:
    losses = {f"loss {term}": in_loss(side, term, nan) for side, terms in TERMS.items() for term in terms}
    gradients = {f"gradient of {name}": in_gradient(name, nan) for name in NETWORKS}
    infinite = {"infinite loss G": in_loss("generators", "G", inf), "infinite gradient of F": in_gradient("F", inf)}
    pictures = {f"{number} in {side}": in_picture(side, number) for side in "xy" for number in (nan, inf)}
    return losses | gradients | infinite | pictures


def planted() -> Outcome:
    caught = bad = saved = 0
    for plant in cases().values():
        trainer = game()
        for seen in trainer.play(batches(plant, trainer)):
            if seen > STEP:
                break
        networks = {**trainer.game.generators, **trainer.game.discriminators, **trainer.averages}
        bad += not all(p.isfinite().all() for network in networks.values() for p in network.parameters())
        try:
            trainer.state_dict()
            saved += 1
        except NotFinite:
            pass
        try:
            trainer.readings()
        except NotFinite as fault:
            caught += bool(fault.what) and fault.rows == range(STEP, STEP + 1) and fault.images_seen == STEP
    return Outcome(len(cases()), caught, bad, saved)


def false_alarms(steps: int) -> int:
    trainer, alarms = game(), 0
    for seen in trainer.play(batches(None, trainer)):
        if seen % 100 == 0:
            try:
                trainer.readings()
            except NotFinite:
                alarms += 1
        if seen >= steps:
            return alarms
    return alarms


def report(steps: int) -> Iterator[str]:
    outcome = planted()
    yield f"planted: {outcome.planted}; caught, with minibatch and names: {outcome.caught}"
    yield f"bad weights: {outcome.bad_weights}; states that could be saved: {outcome.saved}"
    yield f"false alarms in {steps:,} steps of an ordinary game: {false_alarms(steps)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--output", type=Path, help="a text file for the figures")
    chosen = parser.parse_args()
    lines = []
    for line in report(chosen.steps):
        print(line, flush=True)
        lines.append(line)
    if chosen.output:
        chosen.output.write_text("\n".join([*lines, "", f"{processor()}, torch {torch.__version__}"]) + "\n")
