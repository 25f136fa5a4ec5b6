"""A ring of eight Gaussians in the plane: how many of the eight does each objective's generator find?

    python benchmarks/ring.py --output benchmarks/results/ring.txt

The smallest game in which a generator can fail as large ones do: it may leave modes out. `Ring` also shows a game with
noise, in which G makes points of the plane out of nothing. About five minutes on one core.
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import fmean, median
from time import process_time
from typing import NamedTuple

import torch
from accelerate import Accelerator
from report import keep, processor
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from quagga.models.description.export import Export
from quagga.pipelines.core.game_protocol import Batch, Draw, Images, Loss, Stateful, Terms
from quagga.pipelines.core.losses import OBJECTIVES, ObjectiveName, PenaltyName, penalty, readings
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule

RADIUS, SIGMA, NOISE, WIDTH, BATCH = 2.0, 0.05, 16, 128, 128
ANGLES = torch.arange(8) * torch.pi / 4
CENTRES = RADIUS * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)  # (8, 2)


def truth(points: int, seed: int) -> Tensor:
    """(points, 2): each from one of the eight Gaussians, all equally likely."""
    chance = torch.Generator().manual_seed(seed)
    modes = torch.randint(8, (points,), generator=chance)
    return CENTRES[modes] + SIGMA * torch.randn(points, 2, generator=chance)


def network(inputs: int, outputs: int) -> nn.Module:
    hidden = [nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, outputs))


@dataclass
class Ring:
    """min over G, max over D. Batches hold "x", (N, 2) points of the truth; G(z) is (N, 2) too."""

    objective: ObjectiveName
    penalty: PenaltyName = "none"
    lambda_penalty: float = 0.0

    fresh_noise = True

    def __post_init__(self):
        self.G, self.D = network(NOISE, 2), network(2, 1)
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}
        self.memory: dict[str, Stateful] = {}
        self.exports: dict[str, Export] = {}  # points are not pictures

    def generate(self, batch: Batch, draw: Draw) -> Images:
        return {"G(z)": self.G(draw.normal((NOISE,), like=batch["x"]))}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        x, fake = batch["x"], fakes["G(z)"]
        real_logits, fake_logits = self.D(x), self.D(fake)
        terms = {"D": OBJECTIVES[self.objective].discriminator(real_logits, fake_logits)}
        if self.penalty != "none":
            terms["penalty"] = self.lambda_penalty * penalty(self.penalty, self.D, x, fake, draw)
        return Loss(terms, readings(self.objective, real_logits, fake_logits))

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        objective = OBJECTIVES[self.objective]
        real_logits = self.D(batch["x"]) if objective.relativistic else None
        return Loss({"G": objective.generator(self.D(fakes["G(z)"]), real_logits)})

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        return {}  # points are not pictures

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        return {}


def batches(from_row: int) -> Iterator[Batch]:
    """Row n is point n of 50,000, over and over."""
    points = truth(50_000, seed=0)
    for start in count(from_row, BATCH):
        rows = torch.arange(start, start + BATCH)
        yield {"x": points[rows % len(points)], "row": rows}


class Entry(NamedTuple):
    objective: ObjectiveName
    penalty: PenaltyName
    lambda_penalty: float
    moves: int  # of G
    k: int  # moves of D before each


# The four objectives that work with any D, bare and with R1; and Wasserstein's, whose critic must be Lipschitz and near
# its optimum: hence a gradient penalty and five moves of D for each of G (Gulrajani et al. 2017, Algorithm 1). It plays
# with k = 1 too: for as many moves of G, and for as many moves of both together.
ENTRIES = [
    Entry("minimax", "none", 0.0, 1200, 1),
    Entry("non_saturating", "none", 0.0, 1200, 1),
    Entry("least_squares", "none", 0.0, 1200, 1),
    Entry("hinge", "none", 0.0, 1200, 1),
    Entry("minimax", "r1", 0.5, 1200, 1),
    Entry("non_saturating", "r1", 0.5, 1200, 1),
    Entry("least_squares", "r1", 0.5, 1200, 1),
    Entry("hinge", "r1", 0.5, 1200, 1),
    Entry("wasserstein", "gradient_penalty", 0.3, 800, 1),
    Entry("wasserstein", "gradient_penalty", 0.3, 2400, 1),
    Entry("wasserstein", "gradient_penalty", 0.3, 800, 5),
]


def trainer_of(entry: Entry, seed: int, head_start: int = 0) -> Trainer:
    """Networks, optimiser and learning rate are the same for all."""
    torch.manual_seed(seed)
    game = Ring(entry.objective, entry.penalty, entry.lambda_penalty)
    schedule = Schedule(
        images=entry.moves * BATCH,
        batch_size=BATCH,
        k=entry.k,
        head_start=head_start,
        lr=3e-3,
        beta1=0.5,
        beta2=0.9,
        ema_halflife=50 * BATCH,
        seed=seed,
    )
    return Trainer(game, schedule, entry.moves * BATCH, Accelerator(cpu=True))


def samples(trainer: Trainer) -> Tensor:
    """(1000, 2): what the averaged generator makes of noise that no training has seen."""
    z = torch.randn(1000, NOISE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), trainer.averaged():
        return trainer.game.generators["G"](z)


def play(entry: Entry, seed: int) -> Tensor:
    """(1000, 2): samples after the whole game."""
    trainer = trainer_of(entry, seed)
    for _ in trainer.play(batches(0)):
        pass
    return samples(trainer)


class Score(NamedTuple):
    modes: int  # Gaussians that got at least a fifth of their fair share of the samples
    on_modes: float  # share of the samples within 4 sigma of a centre
    distance: float  # earth mover's, to as many true points


def score(points: Tensor) -> Score:
    distance, mode = torch.cdist(points, CENTRES).min(1)
    near = distance < 4 * SIGMA
    share = torch.bincount(mode[near], minlength=8) / len(points)
    covered = int((share > 1 / 8 / 5).sum())
    return Score(covered, near.float().mean().item(), earth_mover(points, truth(len(points), seed=1)))


def earth_mover(a: Tensor, b: Tensor) -> float:
    """How far, on average, the points of `a` must move to become those of `b`, under the best plan; exact. Both are
    (N, 2)."""
    cost = torch.cdist(a.double(), b.double()).numpy()
    return float(cost[linear_sum_assignment(cost)].mean())


def floor() -> float:
    """The distance between two samples of the truth, 1,000 points each: no generator can be asked for less."""
    return fmean(score(truth(1000, seed)).distance for seed in range(2, 12))


class Sureness(NamedTuple):
    belief: float  # D's mean probability that a point of the untrained G is real
    gradient: float  # norm of G's first gradient


def sureness(objective: ObjectiveName, head_start: int) -> Sureness:
    """What G has to learn from once D alone has seen `head_start` points."""
    trainer = trainer_of(Entry(objective, "none", 0.0, 1, 1), seed=0, head_start=head_start)
    untrained = samples(trainer)
    next(seen for seen in trainer.play(batches(0)) if seen)
    belief = trainer.game.discriminators["D"](untrained).sigmoid().mean().item()
    return Sureness(belief, trainer.readings()["gradient/generators"])


NOTES = """\
modes: Gaussians that get at least a fifth of their fair share of 1,000 samples, one figure for each seed
on modes: samples within 4 sigma of a centre
distance: earth mover's, of 1,000 samples to 1,000 true points; median (least to most)
moves: of G, each after k moves of D

D learns alone from so many points (a head start); then the norm of the first gradient that G gets from it
"""


FIGURES = f"{'modes':<8}{'on modes':<10}{'distance':<22}CPU s"


def figures(entry: Entry, seeds: int) -> str:
    """What stands below `FIGURES`, of so many games."""
    start = process_time()
    scores = [score(play(entry, seed)) for seed in range(seeds)]
    seconds = (process_time() - start) / seeds
    distances = sorted(s.distance for s in scores)
    return (
        f"{' '.join(str(s.modes) for s in scores):<8}{fmean(s.on_modes for s in scores):<10.0%}"
        f"{f'{median(distances):.2f} ({distances[0]:.2f} to {distances[-1]:.2f})':<22}{seconds:>5.0f}"
    )


def report(seeds: int) -> Iterator[str]:
    yield f"A ring of eight Gaussians (radius {RADIUS:g}, sigma {SIGMA:g}), {seeds} seeds each"
    yield f"{processor()}, 1 thread; Python {platform.python_version()}, torch {torch.__version__}"
    yield ""
    yield f"{'objective':<16}{'penalty':<18}k  moves   {FIGURES}"
    for entry in ENTRIES:
        yield f"{entry.objective:<16}{entry.penalty:<18}{entry.k:>1}{entry.moves:>7}   {figures(entry, seeds)}"
    low, high = score(CENTRES[torch.zeros(1000, dtype=torch.int64)]).distance, floor()
    yield f"{'(the truth itself)':<42}   {'8':<8}{'100%':<10}{high:.2f}"
    yield f"{'(all on one centre)':<42}   {'1':<8}{'100%':<10}{low:.2f}"
    yield ""
    yield from NOTES.splitlines()
    yield f"{'points':>8}{'D(G(z))':>12}{'minimax':>12}{'non_saturating':>16}"
    for steps in (0, 10, 30, 100, 300):
        saturating, other = sureness("minimax", steps * BATCH), sureness("non_saturating", steps * BATCH)
        yield f"{steps * BATCH:>8,}{saturating.belief:>12.1e}{saturating.gradient:>12.1e}{other.gradient:>16.1e}"


def main(describe: str | None, report: Callable[[int], Iterator[str]]) -> None:
    """Reads the command line of a script that plays the ring, and prints its report of so many seeds."""
    parser = argparse.ArgumentParser(description=describe, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep(report(arguments.seeds), arguments.output)


if __name__ == "__main__":
    main(__doc__, report)
