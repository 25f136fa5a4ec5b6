"""What games that make pictures of noise have in common: what their options may be, and how various samples are."""

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pdist

from quagga import BadInput
from quagga.pipelines.bounds import WIDEST, bounded
from quagga.pipelines.losses import ObjectiveName, PenaltyName

Norm = Literal["batch", "instance", "layer", "none"]
LARGEST, MOST_UNITS, DEEPEST = 1024, 16384, 16  # pixels a side, units of a layer, hidden layers


def check_sizes(
    size: int, widths: Sequence[int] | None, widths_discriminator: Sequence[int] | None, **counts: int
) -> None:
    """Raises BadInput where an option is below 1 or too large.

    Args:
        size: side of the pictures in pixels.
        widths: units of the hidden layers of a generator.
        widths_discriminator: of a discriminator.
        counts: other options, by name: numbers of channels, noise and features.
    """
    bounded([("size", size, LARGEST), *((name, count, WIDEST) for name, count in counts.items())])
    for name, units in (("widths", widths or []), ("widths_discriminator", widths_discriminator or [])):
        if len(units) > DEEPEST:
            raise BadInput(f"{name} has {len(units)} layers: {DEEPEST} are the most")
        bounded([(name, count, MOST_UNITS) for count in units])


def norm_of_discriminator(norm: Norm | None, penalty: PenaltyName, network: str) -> Norm:
    """What a discriminator is normalised by: by default batch norm, or under a penalty, which is of single pictures,
    layer norm (Gulrajani et al. 2017, Sec. 4).

    Raises:
        BadInput: a penalty and batch norm in a convolutional network.
    """
    if norm is None:
        return "batch" if penalty == "none" else "layer"
    if network == "conv" and penalty != "none" and norm == "batch":
        raise BadInput(f"--penalty {penalty} needs a D that does not mix pictures: take --norm_discriminator layer")
    return norm


def warn_of_unbounded(
    objective: ObjectiveName, penalty: PenaltyName, clip_weights: float | None, spectral: bool
) -> None:
    """Warns of a Wasserstein critic that nothing keeps Lipschitz (Arjovsky et al. 2017, Sec. 3)."""
    if objective == "wasserstein" and penalty == "none" and clip_weights is None and not spectral:
        warnings.warn(
            "nothing keeps this Wasserstein critic Lipschitz, and its objective has no bound: add --penalty"
            " gradient_penalty, --clip_weights 0.01 or --spectral true",
            stacklevel=3,
        )


def distances(x: Tensor) -> Tensor:
    """mean |x_i - x_j| over pixels, of all pairs of pictures (N, C, H, W): (N (N - 1) / 2,) in the order of `pdist`,
    on the CPU, as Apple GPUs have no `pdist`."""
    return pdist(x.flatten(1).cpu(), p=1) / x[0].numel()


def nearest_kind(samples: Tensor, x: Tensor, kinds: Tensor) -> Tensor:
    """Of which kind the nearest mean picture is, in pixels: a rough measure of what a sample shows.

    Args:
        samples: (M, C, H, W).
        x: known pictures (N, C, H, W).
        kinds: int64 (N,), theirs.

    Returns:
        int64 (M,), one of `kinds` for each sample.
    """
    known = kinds.unique()
    means = torch.stack([x[kinds == kind].mean(0) for kind in known])
    return known[torch.cdist(samples.flatten(1), means.flatten(1).to(samples)).argmin(1)]
