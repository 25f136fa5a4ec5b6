"""A row of a table, and a figure that is computed of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from quagga.evaluation.measures.figures import Figure

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Shown:
    """The pictures of one row, and what is known of each.

    Args:
        pictures: (N, C, S, S) in [-1, 1].
        fold: int64 (N,), which of the classifiers may judge each.
        source: What each was made of, likewise.
        target: What each should be.
        back: What a way back makes of each.
        asked: What each should show, int64 (N,) or float (N, A).
        answers: What was read in each, as probabilities (N, K); only of a classifier.
    """

    pictures: Tensor
    fold: Tensor | None = None
    source: Tensor | None = None
    target: Tensor | None = None
    back: Tensor | None = None
    asked: Tensor | None = None
    answers: Tensor | None = None

    def folds(self) -> Tensor:
        """The fold of each picture, 0 where nobody has seen any."""
        return torch.zeros(len(self.pictures), dtype=torch.long) if self.fold is None else self.fold


@dataclass(frozen=True)
class Measure:
    """A figure of a row.

    Args:
        title: As the table calls it, with its unit.
        text: What it says, in a sentence.
        better: Which is better; "": neither by itself.
        of: Computes it; None where a row has not what it needs.
        digits: After the point, in the table.
        percent: Whether it is a share, shown in percent.
        never_negative: Whether it cannot be below 0, so that neither is its interval.
    """

    title: str
    text: str
    better: Better
    of: Callable[[Shown], Figure | None]
    digits: int = 3
    percent: bool = False
    never_negative: bool = True
