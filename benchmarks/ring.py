"""A ring of eight Gaussians in the plane, played with every objective: how many of the eight does the generator find?

    python benchmarks/ring.py --output benchmarks/results/ring.txt

The smallest game in which a generator can fail the way large ones do: it may leave modes out. `Ring` is also the shortest
example of a pipeline of one's own: a game with noise, in which G makes points of the plane from nothing.
"""

import argparse
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from quagga.pipelines.losses import OBJECTIVES, ObjectiveName, PenaltyName, penalty, readings
from quagga.pipelines.minimax import Batch, Draw, Images, Loss, Schedule, Stateful, Trainer

RADIUS, SIGMA, NOISE, WIDTH = 2.0, 0.05, 16, 128
ANGLES = torch.arange(8) * torch.pi / 4
CENTRES = RADIUS * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)  # (8, 2)


def truth(count: int, seed: int) -> Tensor:
    """(count, 2) points of the ring."""
    chance = torch.Generator().manual_seed(seed)
    modes = torch.randint(8, (count,), generator=chance)
    return CENTRES[modes] + SIGMA * torch.randn(count, 2, generator=chance)


def mlp(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs)
    )


@dataclass
class Ring:
    """min over G, max over D, of any objective. Batches hold "x", (N, 2) true points."""

    objective: ObjectiveName
    penalty: PenaltyName = "none"
    lambda_penalty: float = 0.1

    fresh_noise = True

    def __post_init__(self):
        self.G, self.D = mlp(NOISE, 2), mlp(2, 1)
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}
        self.memory: dict[str, Stateful] = {}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        return {"G(z)": self.G(draw.normal((NOISE,), batch["x"]))}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        real, fake = self.D(batch["x"]), self.D(fakes["G(z)"])
        terms = {"D": OBJECTIVES[self.objective].discriminator(real, fake)}
        if self.penalty != "none":
            terms["penalty"] = self.lambda_penalty * penalty(self.penalty, self.D, batch["x"], fakes["G(z)"], draw)
        return Loss(terms, readings(self.objective, real, fake))

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({"G": OBJECTIVES[self.objective].generator(self.D(fakes["G(z)"]))})

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        return {"ring": {"G(z)": self.generate(batch, draw)["G(z)"]}}
