"""One pass through a network for several batches, if that does not change the result.

A network that treats every row by itself gives the same for two batches in one pass as in two, and a GPU is used better
than with a batch of 1. Networks whose rows interact, or that change with every pass, take one pass for each batch.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized


def joint_pass(network: nn.Module, *batches: Tensor | tuple[Tensor, ...]) -> list[Any]:
    """Returns the output of a network for each batch.

    Args:
        network: takes one tensor or several, (N, ...) each, and gives one, or a tuple of some.
        batches: each one's tensor, or all of its tensors; N may differ from batch to batch, other sizes may not.

    Returns:
        `[network(*batch) for batch in batches]`, in one pass if rows do not interact.
    """
    several = [batch if isinstance(batch, tuple) else (batch,) for batch in batches]
    if not has_independent_rows(network):
        return [network(*batch) for batch in several]
    output = network(*(torch.cat(parts) for parts in zip(*several, strict=True)))
    sizes = [len(batch[0]) for batch in several]
    if isinstance(output, tuple):
        return list(zip(*(part.split(sizes) for part in output), strict=True))
    return list(output.split(sizes))


def has_independent_rows(network: nn.Module) -> bool:
    """Returns whether a row's result depends on that row alone, and on no pass before.

    Batch normalisation in training mixes rows; the singular vectors of spectral normalisation improve with every pass
    in training; dropout draws its numbers in the order of the rows.
    """
    if not network.training:
        return True
    return not any(
        isinstance(layer, _BatchNorm | nn.modules.dropout._DropoutNd) or is_parametrized(layer)
        for layer in network.modules()
    )
