"""The phases of a run: parts of it with a size, a batch and learning rates of their own.

A phase begins at a row. So which phase row n belongs to, and how far that phase is, follows from the schedule and n,
for any number of processes and however often the run was stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nextafter
from typing import NamedTuple

from quagga.did_you_mean import did_you_mean

PhaseOptions = Mapping[str, int | float | None]  # what a schedule states of a phase: name -> value
WHOLE_NUMBERS = ("images", "size", "batch_size")
RATES = ("lr", "lr_discriminator")


class Progress(NamedTuple):
    """How far a game is: the number of the phase, from 0 on, and the share of its images seen before this step, in
    [0, 1). All moves of a step have the same."""

    phase: int = 0
    share: float = 0.0


@dataclass(frozen=True)
class Phase:
    """One phase of a run.

    Args:
        index: its number, from 0 on.
        first_row: row with which it begins.
        head_start: rows of it that only the discriminators see, before the generators' first step.
        images: that train the generators.
        end_row: row with which the next phase begins; None: it is the last one.
        size: side of its pictures in pixels; None: that of the data.
        batch_size: rows of a micro-batch.
        minibatch: rows of a minibatch, over all processes and micro-batches.
        k: minibatches of a step.
        lr: learning rate of the generators, for this minibatch.
        lr_discriminator: of the discriminators.
    """

    index: int
    first_row: int
    head_start: int
    images: int
    end_row: int | None
    size: int | None
    batch_size: int
    minibatch: int
    k: int
    lr: float
    lr_discriminator: float

    def steps(self, from_row: int, to_row: int) -> int:
        """Returns the whole steps of this phase between two rows."""
        first = max(from_row, self.first_row + self.head_start)
        last = to_row if self.end_row is None else min(to_row, self.end_row)
        return max(0, last - first) // (self.k * self.minibatch)

    def progress(self, row: int) -> Progress:
        """Returns how far the phase is in the step that the minibatch from `row` on belongs to."""
        share = self.steps(0, row) * self.minibatch / max(1, self.images)
        # Where rows were skipped, as after a loss that was not finite, the last phase has more rows than planned.
        return Progress(self.index, min(share, nextafter(1, 0)))


def check_phases(phases: list[dict[str, int | float | None]]) -> None:
    """Raises ValueError if what a schedule states of its phases cannot be."""
    if not phases:
        raise ValueError("phases is an empty list: leave it out for a run of one phase")
    for number, stated in enumerate(phases, 1):
        for name, value in stated.items():
            if name not in (*WHOLE_NUMBERS, *RATES):
                raise ValueError(f"phases: phase {number} has no {name}{did_you_mean(name, (*WHOLE_NUMBERS, *RATES))}")
            if value is None:
                continue
            if name in WHOLE_NUMBERS and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"phases: {name} of phase {number} is {value}: it must be a whole number, 1 or more")
            if value < 0:
                raise ValueError(f"phases: {name} of phase {number} is {value}: it must be 0 or more")
        if stated.get("images") is None and number < len(phases):
            raise ValueError(f"phases: phase {number} states no images: only the last one may leave them out")


def check_border(number: int, images: int, minibatch: int) -> None:
    """Raises ValueError if a phase that another one follows does not end with a step. number: the phase's, from 1 on.

    A step reads k minibatches of rows and counts the images of one, so that k plays no part.
    """
    if images % minibatch:
        nearest = max(1, round(images / minibatch)) * minibatch
        raise ValueError(
            f"phases: phase {number} has {images} images, and its steps have {minibatch} (batch_size x accumulation x"
            f" processes): let it end with a step; the nearest number is {nearest}"
        )
