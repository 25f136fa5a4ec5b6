"""Checks of options that several pipelines share. Sizes have the bounds of `quagga.models.arguments`, so that a config
from elsewhere cannot build an enormous network."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from quagga.errors import BadInput
from quagga.models.arguments import MAX_CHANNELS, MAX_LAYERS, MAX_SIZE, MAX_UNITS
from quagga.pipelines.core.losses import ObjectiveName, PenaltyName

Norm = Literal["batch", "instance", "layer", "none"]


def check_bounds(sizes: Iterable[tuple[str, int | None, int]]) -> None:
    """Checks options that count something.

    Args:
        sizes: name, value (None is valid) and maximum of each option.

    Raises:
        BadInput: a value is below 1 or too large.
    """
    for name, size, most in sizes:
        if size is not None and not 1 <= size <= most:
            raise BadInput(f"{name} is {size}: it must be from 1 to {most}")


def check_sizes(
    size: int | None, widths: Sequence[int] | None, widths_discriminator: Sequence[int] | None, **counts: int | None
) -> None:
    """Raises BadInput if an option is below 1 or too large; None is valid.

    Args:
        size: side of the pictures in pixels.
        widths: units of the hidden layers of a generator.
        widths_discriminator: of a discriminator.
        counts: other options, by name: numbers of channels, noise and features.
    """
    check_bounds([("size", size, MAX_SIZE), *((name, count, MAX_CHANNELS) for name, count in counts.items())])
    for name, units in (("widths", widths or []), ("widths_discriminator", widths_discriminator or [])):
        if len(units) > MAX_LAYERS:
            raise BadInput(f"{name} has {len(units)} layers: {MAX_LAYERS} are the most")
        check_bounds([(name, count, MAX_UNITS) for count in units])


@contextmanager
def refusing_sizes() -> Iterator[None]:
    """Decorates a method that makes a network: where the network refuses its sizes with a ValueError, the user's input
    cannot work, so it raises BadInput."""
    try:
        yield
    except ValueError as error:
        raise BadInput(str(error)) from None


def discriminator_norm(norm: Norm | None, penalty: PenaltyName, network: str) -> Norm:
    """Returns a discriminator's normalisation: by default batch norm or, with a penalty, which needs separate pictures,
    layer norm (Gulrajani et al. 2017, Sec. 4).

    Raises:
        BadInput: a convolutional network has both a penalty and batch norm.
    """
    if norm is None:
        return "batch" if penalty == "none" else "layer"
    if network == "conv" and penalty != "none" and norm == "batch":
        raise BadInput(f"--penalty {penalty} needs a D that does not mix pictures: take --norm_discriminator layer")
    return norm


def warn_unconstrained_critic(
    objective: ObjectiveName, penalty: PenaltyName, clip_weights: float | None, spectral: bool
) -> None:
    """Warns if nothing keeps a Wasserstein critic Lipschitz (Arjovsky et al. 2017, Sec. 3)."""
    if objective == "wasserstein" and penalty == "none" and clip_weights is None and not spectral:
        warnings.warn(
            "nothing keeps this Wasserstein critic Lipschitz, and its objective has no bound: add --penalty"
            " gradient_penalty, --clip_weights 0.01 or --spectral true",
            stacklevel=4,
        )
