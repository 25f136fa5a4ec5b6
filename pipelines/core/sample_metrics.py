"""Metrics of samples: how much they differ from each other, and which class they resemble."""

from collections.abc import Callable
from functools import reduce
from operator import add

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, pdist


def pass_in_parts(network: Callable[..., Tensor], *inputs: Tensor, rows: int = 32) -> Tensor:
    """Returns the output of a network for inputs (N, ...), for `rows` of them at a time: its maps are large."""
    return torch.cat([network(*part) for part in zip(*(tensor.split(rows) for tensor in inputs), strict=True)])


def distance_in_parts(network: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, rows: int = 4) -> Tensor:
    """Returns E |network(x) - y| over pictures (N, C, H, W), a scalar, with `rows` of them at a time in the network."""
    parts = zip(x.split(rows), y.split(rows), strict=True)
    return reduce(add, (l1_loss(network(part), target) * len(part) for part, target in parts)) / len(x)


def diversity(samples: Tensor, x: Tensor, c: Tensor | None = None) -> Tensor:
    """Returns the mean difference of two samples as a share of that of two pictures, a scalar.

    Args:
        samples: (N, C, H, W), two or more.
        x: pictures (N, C, H, W).
        c: the condition of each row, (N,) or (N, ...): only rows of the same condition are compared, if any two share
            one. None compares all.
    """
    of_samples, of_pictures = pairwise_distances(samples), pairwise_distances(x)
    if c is not None:
        same = upper_triangle(torch.stack([(row == c).flatten(1).all(1) if c.ndim > 1 else row == c for row in c]))
        same = (same if same.any() else torch.ones_like(same)).cpu()
        of_samples, of_pictures = of_samples[same], of_pictures[same]
    return of_samples.mean() / of_pictures.mean()


def upper_triangle(square: Tensor) -> Tensor:
    """Returns the entries above the diagonal of (N, N), in the order of `pdist`."""
    rows, columns = torch.triu_indices(*square.shape, offset=1, device=square.device)
    return square[rows, columns]


def pairwise_distances(x: Tensor) -> Tensor:
    """Returns mean |x_i - x_j| over pixels for all pairs of pictures (N, C, H, W): (N (N - 1) / 2,) in the order of
    `pdist`, on the CPU, since Apple GPUs have no `pdist`."""
    return pdist(x.flatten(1).cpu(), p=1) / x[0].numel()


def nearest_class(samples: Tensor, x: Tensor, classes: Tensor) -> Tensor:
    """Returns the class whose mean picture is nearest, in pixels: a rough measure of what a sample shows.

    Args:
        samples: (M, C, H, W).
        x: labelled pictures (N, C, H, W).
        classes: int64 (N,), of x.

    Returns:
        int64 (M,), one of `classes` for each sample.
    """
    known = classes.unique()
    means = torch.stack([x[classes == number].mean(0) for number in known])
    return known[torch.cdist(samples.flatten(1), means.flatten(1).to(samples)).argmin(1)]
