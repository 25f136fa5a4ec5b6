"""Generators as chains of layers: the one description from which come their output, their features and their strips.

A generator pads its picture, applies one layer after the other, and crops. In a U-Net some layers also see what an
earlier one gave. `quagga.inference.tiling` computes the same chain strip by strip, for pictures that are too large for
the memory; it knows kinds of layers, but no generator.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from quagga.models.blocks.layers import crop_middle

Maps = TypeVar("Maps")  # feature maps: a tensor (N, C, H, W), or what stands for one


class Step(NamedTuple):
    """One layer of a chain, which takes what the step before gave.

    Args:
        layer: is applied.
        skip: "keep" remembers the output; "join" puts the output that was remembered last before the layer's own, along
            the channels, and forgets it; None does neither.
    """

    layer: nn.Module
    skip: Literal["keep", "join"] | None = None


@runtime_checkable
class LayerChain(Protocol):
    """A generator, (N, C, H, W) in [-1, 1] -> (N, C', H, W) in [-1, 1], that names its steps."""

    def pad(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> what the first step takes, (N, C, H', W'); `crop_middle` undoes it."""
        ...

    def steps(self) -> Sequence[Step]:
        """Returns the layers in order; the last one gives maps of the padded size, (N, C', H', W')."""
        ...

    def finish(self, y: Tensor, x: Tensor) -> Tensor:
        """What the last step gave, and the picture, of one size -> the output. Each pixel is treated by itself."""
        ...


def run_chain(
    steps: Sequence[Step],
    h: Maps,
    apply: Callable[[nn.Module, Maps], Maps],
    join: Callable[[Maps, Maps], Maps],
    after: Callable[[int, Maps], object] | None = None,
) -> Maps:
    """Takes feature maps through steps.

    Args:
        steps: of a chain, from its first one on.
        h: what the first step takes.
        apply: (layer, its input) -> its output.
        join: two outputs -> both as one, along the channels.
        after: is called after each step with its number, from 0, and with what the next step takes.

    Returns:
        What the last step gives.
    """
    kept = []
    for number, (layer, skip) in enumerate(steps):
        h = apply(layer, h)
        if skip == "keep":
            kept.append(h)
        elif skip == "join":
            h = join(kept.pop(), h)
        if after is not None:
            after(number, h)
    return h


def chain_output(network: LayerChain, x: Tensor) -> Tensor:
    """Returns the output of a generator, (N, C', H, W), for pictures (N, C, H, W)."""
    _, _, height, width = x.shape
    y = run_chain(network.steps(), network.pad(x), _apply, _join)
    return network.finish(crop_middle(y, height, width), x)


def chain_features(network: LayerChain, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Returns what steps of a generator give, and so what the next ones take. Steps after the last of them do not run.

    Args:
        network: a generator.
        x: pictures (N, C, H, W).
        layers: numbers of steps, from 0; in any order.

    Returns:
        For each number maps (N, c, h, w), not cropped: copies, since the layer that follows may work in place.

    Raises:
        ValueError: there is no step of that number.
    """
    steps = network.steps()
    if unknown := [number for number in layers if not 0 <= number < len(steps)]:
        raise ValueError(f"layer {unknown[0]} does not exist: expected 0 to {len(steps) - 1}")
    found: dict[int, Tensor] = {}

    def keep(number: int, h: Tensor) -> None:
        if number in layers:
            found[number] = h.clone()

    run_chain(steps[: max(layers, default=-1) + 1], network.pad(x), _apply, _join, keep)
    return [found[number] for number in layers]


def _apply(layer: nn.Module, h: Tensor) -> Tensor:
    return layer(h)


def _join(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], dim=1)
