"""Logits of a discriminator that has several judges: its own network's, if it has one, and those of heads on features.

`quagga.models.pretrained.projected` gives them as a tuple, own first; a discriminator of one network gives a tensor.
"""

from typing import TypeAlias

import torch
from torch import Tensor

from quagga.pipelines.core.losses import Objective, critic_generator, hinge_discriminator

Logits: TypeAlias = Tensor | tuple[Tensor, ...]  # (N, ...) each


def with_heads(own: Objective | None, weight: float) -> Objective:
    """Returns an objective of a tuple of logits: `own` of the first, and hinge of the others, the mean over heads
    (Sauer et al. 2021, Sec. 3.1, arXiv:2111.01007).

    Args:
        own: of D's own network; None if all logits are of heads.
        weight: of the heads in the generator's loss. D's has none: heads share no weights with D's own network.
    """
    first = 1 if own else 0

    def discriminator(real: tuple[Tensor, ...], fake: tuple[Tensor, ...]) -> Tensor:
        loss = mean([hinge_discriminator(*both) for both in zip(real[first:], fake[first:], strict=True)])
        return loss + own.discriminator(real[0], fake[0]) if own else loss

    def generator(fake: tuple[Tensor, ...], real: tuple[Tensor, ...] | None = None) -> Tensor:
        loss = weight * mean([critic_generator(each) for each in fake[first:]])
        return loss + own.generator(fake[0], real[0] if real else None) if own else loss

    boundary, relativistic = (own.boundary, own.relativistic) if own else (0.0, False)
    return Objective(discriminator, generator, boundary, relativistic)


def own_logits(logits: Logits) -> Tensor:
    """Returns the logits of D's own network."""
    return logits if isinstance(logits, Tensor) else logits[0]


def where(rows: Tensor, a: Logits, b: Logits) -> Logits:
    """Returns the logits of `a` in those rows for which `rows`, bool (N,), is true, and of `b` in the others."""

    def chosen(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return chosen(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else tuple(map(chosen, a, b))


def mean(terms: list[Tensor]) -> Tensor:
    """Returns the mean of scalars."""
    return torch.stack(terms).mean()
