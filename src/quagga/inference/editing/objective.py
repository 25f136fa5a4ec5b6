"""What is drawn on a picture as an objective on z (Zhu et al. 2016, https://arxiv.org/abs/1609.03552)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from quagga.errors import BadInput

Generator = Callable[[Tensor], Tensor]  # z (N, z_size) -> pictures (N, C, H, W) in [-1, 1]
STEPS = 100
SMOOTHNESS, KEEP = 0.01, 0.2  # lambda_s, lambda_k. Of 16 coats, by a VAE, 0.6 of the way asked for was gone, and the
# background moved by 0.11 of it, without K; 0.54 and 0.06 with 0.3 of it; 0.42 and 0.06 with 0.1 of lambda_s instead.
NOTICED = 0.2  # change of a pixel, in a range of 2, that K takes for half a change; a far larger one is one whole
AROUND = 5  # pixels a side around what is drawn on that K leaves free
DIRECTIONS = 8  # of edges, between 0 and 180 degrees
CELLS = 16  # along a side: an edge is compared with a line at most so far from it
FAINT = 0.1  # strength of the edges of a cell, in a range of 2 a pixel, below which they have hardly a direction


class Drawing(NamedTuple):
    """What was drawn on a picture of G's size; a part that is None was not.

    Attributes:
        colour: (C, H, W) in [-1, 1], what pixels under strokes shall be.
        opacity: (1, H, W) in [0, 1], of the strokes; 0 where there are none.
        lines: (1, H, W) in [0, 1], 1 on a line.
    """

    colour: Tensor | None = None
    opacity: Tensor | None = None
    lines: Tensor | None = None


def edit(
    G: Generator,
    z_0: Tensor,
    drawing: Drawing,
    *,
    smoothness: float = SMOOTHNESS,
    keep: float = KEEP,
    steps: int = STEPS,
    lr: float = 0.1,
    progress: Callable[[int, Tensor, Tensor], object] = lambda step, z, x: None,
) -> Tensor:
    """Finds the z near z_0 whose picture is as drawn, by Adam.

    Args:
        G: Through which gradients go.
        z_0: (z_size,), where it begins.
        drawing: On the picture of z_0.
        smoothness: lambda_s, of the mean square of z - z_0.
        keep: lambda_k, of the share of what is not drawn on that changes. Small changes of much cost more than a large
            one of a part: a coat follows its stroke, and the sky behind stays.
        steps: Of Adam.
        lr: Its learning rate; it falls to 0.
        progress: Is called after every step with its number from 1 on, z (z_size,), and the picture from which the step
            began, (C, H, W).

    Returns:
        z (z_size,), on the device of z_0.

    Raises:
        BadInput: nothing is drawn, or not in the size of the picture.
    """
    with torch.no_grad():
        x_0 = G(z_0[None])
    distance, free = _distance_of(drawing, x_0.shape[1:], x_0.device), _not_drawn_on(drawing, x_0)
    z = z_0.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * step / steps)) / 2
        with torch.enable_grad():
            x = G(z[None])
            loss = distance(x) + smoothness * (z - z_0).square().mean()
            change = (x - x_0).square().mean(1, keepdim=True)
            loss = loss + keep * (free * change / (change + NOTICED**2)).mean()
            (z.grad,) = torch.autograd.grad(loss, z)
        optimizer.step()
        progress(step + 1, z.detach(), x[0].detach())
    return z.detach()


def _distance_of(drawing: Drawing, shape: torch.Size, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Returns the distance of a picture (1, C, H, W) from what is drawn: mean squares under strokes and under lines."""
    terms: list[Callable[[Tensor], Tensor]] = []
    size = tuple(shape[1:])
    for part, expected in zip(drawing, (tuple(shape), (1, *size), (1, *size)), strict=True):
        if part is not None and tuple(part.shape) != expected:
            raise BadInput(f"a drawing of {tuple(part.shape)} on a picture of {tuple(shape)}: make it {expected}")
    if drawing.colour is not None and drawing.opacity is not None and drawing.opacity.any():
        v, opacity = drawing.colour.to(device), drawing.opacity.to(device)
        terms.append(lambda x: (opacity * (x - v).square()).sum() / (opacity.sum() * len(v)))
    if drawing.lines is not None and drawing.lines.any():
        lines = drawing.lines.to(device)
        terms.append(lambda x: edges_apart(x, lines))
    if not terms:
        raise BadInput("nothing is drawn: give strokes of some opacity, or lines")
    return lambda x: torch.stack([term(x) for term in terms]).sum()


def _not_drawn_on(drawing: Drawing, x: Tensor) -> Tensor:
    """Returns (1, 1, H, W) in [0, 1]: 1 where nothing is drawn on a picture (1, C, H, W), nor near."""
    drawn = [part[None].to(x.device) for part in (drawing.opacity, drawing.lines) if part is not None]
    return 1 - max_pool2d(torch.cat(drawn, 1).amax(1, keepdim=True), AROUND, 1, AROUND // 2)


def edges_apart(x: Tensor, lines: Tensor) -> Tensor:
    """Returns how far the edges of a picture (1, C, H, W) are from lines (1, H, W) in [0, 1]: where these are, the mean
    square of the difference of both descriptions."""
    drawn = lines[None]
    weight = _cells(drawn)
    return (weight * (edges(x) - edges(drawn)).square()).sum() / weight.sum()


def edges(x: Tensor) -> Tensor:
    """Describes the edges of pictures: (N, C, H, W) in [-1, 1] -> (N, 8, h, w), of each cell how much of its edges runs
    in each of 8 directions: of length 1 where there are strong ones, near 0 where there are none.

    A histogram of oriented gradients (Dalal & Triggs 2005, https://doi.org/10.1109/CVPR.2005.177) whose bins overlap
    smoothly, so that it has gradients itself.
    """
    grey = pad(x.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    angles = torch.arange(DIRECTIONS, device=x.device, dtype=x.dtype) * (math.pi / DIRECTIONS)
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=x.device, dtype=x.dtype) / 8
    kernels = torch.stack([angle.cos() * across + angle.sin() * across.T for angle in angles])[:, None]
    slope = conv2d(grey, kernels)  # (N, 8, H, W), the slope in each direction
    size = slope.square().sum(1, keepdim=True) * (2 / DIRECTIONS) + 1e-8  # the gradient's own square
    histogram = _cells(slope.square().square() / size)  # cos^4: a bin is about 65 degrees wide
    return histogram / (histogram.square().sum(1, keepdim=True) + FAINT**4).sqrt()


def _cells(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, h, w): means over cells that overlap by half."""
    side = max(2, 2 * round(max(x.shape[2:]) / CELLS / 2))
    return avg_pool2d(x, side, side // 2, ceil_mode=True)
