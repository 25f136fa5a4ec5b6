"""A grid of samples: a column for each condition, a row for each noise."""

from typing import Protocol

import torch
from torch import Tensor, nn

from quagga.pipelines.core.game_protocol import Images

COLUMNS, SAMPLES_PER_CONDITION = 10, 5  # of the grid


class Named(Protocol):
    """Conditions that have names: those of `quagga.data.transforms.conditions`."""

    @property
    def kind(self) -> str:
        """ "class", "attributes" or "caption"."""
        ...

    @property
    def count(self) -> int:
        """The number of classes."""
        ...

    def describe(self, c: Tensor) -> str:
        """Returns the name of one condition, on the CPU."""
        ...


def condition_grid(G: nn.Module, z: Tensor, x: Tensor, c: Tensor, conditions: Named) -> Images:
    """Returns a column for each condition among the rows, and for each other class: on top a real picture (grey if
    there is none), below it samples of the same noise in all columns.

    Args:
        G: z (SAMPLES_PER_CONDITION, z_size), conditions -> pictures (SAMPLES_PER_CONDITION, C, H, W).
        z: the noise.
        x: pictures (N, C, H, W) in [-1, 1].
        c: their conditions.
        conditions: the conditions' kind and names.

    Returns:
        Name of a condition -> (1 + SAMPLES_PER_CONDITION, C, H, W), 10 columns at most.
    """
    examples = list(zip(x, c, strict=True))
    if conditions.kind == "class":
        examples += [(torch.zeros_like(x[0]), number) for number in torch.arange(conditions.count, device=c.device)]
        first = {int(number): (real, number) for real, number in reversed(examples)}
        examples = [first[number] for number in sorted(first)]
    columns: Images = {}
    for real, condition in examples:
        name = conditions.describe(condition.cpu())
        if name not in columns and len(columns) < COLUMNS:
            samples = G(z, condition.expand(len(z), *condition.shape))
            columns[name] = torch.cat([real[None], samples])
    return columns
