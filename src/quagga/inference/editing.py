"""Pictures edited by hand: what is drawn on a picture becomes an objective on z, and the edit is carried back.

Zhu, Kraehenbuehl, Shechtman, Efros: Generative Visual Manipulation on the Natural Image Manifold, ECCV 2016
https://arxiv.org/abs/1609.03552

    z* = argmin_z  sum_g |f_g(G(z)) - v_g|^2 + lambda_s |z - z_0|^2 + lambda_k K(G(z), G(z_0))

f is the colour of a pixel under a stroke, and the direction of the edges under a line; v is what was drawn. K is ours:
the share of what is not drawn on that changes. So whatever is drawn, the result is a picture that G can make. `edit`
finds z*, `way` is what lies between, and `carry_back` does to a photo what G's pictures did on the way: they move, and
they change colour.

    >>> G = sampler.generator()
    >>> z = edit(G, z_0, Drawing(colour, opacity), progress=lambda step, z, x: show(x))
    >>> carry_back(photo, way(G, z_0, z))

The functions know no file and no command: a page with brushes calls them too.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from quagga.errors import BadInput
from quagga.inference.latent_space import interpolate

Generator = Callable[[Tensor], Tensor]  # z (N, z_size) -> pictures (N, C, H, W) in [-1, 1]
STEPS = 100
SMOOTHNESS, KEEP = 0.01, 0.2  # lambda_s, lambda_k. Of 16 coats, by a VAE, 0.6 of the way asked for was gone, and the
# background moved by 0.11 of it, without K; 0.54 and 0.06 with 0.3 of it; 0.42 and 0.06 with 0.1 of lambda_s instead.
NOTICED = 0.2  # change of a pixel, in a range of 2, that K takes for half a change; a far larger one is one whole
AROUND = 5  # pixels a side around what is drawn on that K leaves free
DIRECTIONS = 8  # of edges, between 0 and 180 degrees
CELLS = 16  # along a side: an edge is compared with a line at most so far from it
FAINT = 0.1  # strength of the edges of a cell, in a range of 2 a pixel, below which they have hardly a direction
FRAMES = 8  # of the way, between which a picture's motion is followed
FLOW_SIDE = 256  # pixels at which motion is measured; smaller frames are enlarged to it
WINDOW = 5  # pixels of G's pictures a side, in which the change of colour is about the same
WIDE_WINDOW = 17  # the same, while motion is not known yet: so wide that a change of colour cannot pass for motion
STIFFNESS = 0.003  # variance of colours, in a range of 2, below which a window's colours are shifted and not mixed


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


def way(G: Generator, z_0: Tensor, z_1: Tensor, frames: int = FRAMES + 1) -> Tensor:
    """Returns G's pictures on the straight way from z_0 to z_1, (z_size,) each: (frames, C, H, W) in [-1, 1], on the
    CPU."""
    with torch.no_grad():
        return G(interpolate(torch.stack([z_0, z_1]), frames, straight=True)).clamp(-1, 1).cpu()


def carry_back(photo: Tensor, frames: Tensor) -> Tensor:
    """Does to a photo what happens from the first frame to the last: what they show moves, and changes its colour.

    Motion is followed from frame to frame. The change of colour is for each place an affine function of colours, which
    maps what the first frame shows there, moved, to what the last one shows; both are enlarged to the photo's size.
    Where nothing changes, the photo keeps its own detail; where all is moved or coloured, its detail goes along.

    Args:
        photo: (C, H, W) in [-1, 1], what the first frame shows, of any size of its shape.
        frames: (N, C, h, w) in [-1, 1], N at least 2, as `way` returns them.

    Returns:
        (C, H, W) in [-1, 1].
    """
    moved = _motion(frames)  # where in the first frame each pixel of the last one was
    first = _sampled(_channels_last(frames[0]), moved)
    A, b = _colour_change(first, _channels_last(frames[-1]))
    height, width = photo.shape[1:]

    def enlarged(field: np.ndarray) -> np.ndarray:
        flat = field.reshape(*field.shape[:2], -1)
        planes = [
            cv2.resize(flat[..., n], (width, height), interpolation=cv2.INTER_LINEAR) for n in range(flat.shape[2])
        ]
        return np.stack(planes, -1).reshape(height, width, *field.shape[2:])

    scale = np.float32([width / frames.shape[3], height / frames.shape[2]])
    pixels = _sampled(_channels_last(photo.float().cpu()), enlarged(moved) * scale)
    coloured = np.einsum("hwij,hwj->hwi", enlarged(A), pixels) + enlarged(b)
    return torch.from_numpy(coloured.astype(np.float32)).permute(2, 0, 1).clamp(-1, 1)


def _channels_last(picture: Tensor) -> np.ndarray:
    """(C, H, W) -> float32 (H, W, C)."""
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy(), np.float32)


def _motion(frames: Tensor) -> np.ndarray:
    """Frames (N, C, H, W) -> float32 (H, W, 2): how many pixels to the right and down of a place in the last one its
    content was in the first. By dense inverse search (Kroeger et al. 2016, https://arxiv.org/abs/1603.03590)."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = frames.shape[2:]
    scale = max(1.0, FLOW_SIDE / max(height, width))
    large = (round(width * scale), round(height * scale))

    def grey(picture: np.ndarray) -> np.ndarray:
        levels = (np.clip(picture.mean(2), -1, 1) + 1) * 127.5
        return np.rint(np.clip(cv2.resize(levels, large, interpolation=cv2.INTER_CUBIC), 0, 255)).astype(np.uint8)

    moved = np.zeros((large[1], large[0], 2), np.float32)
    pictures = [_channels_last(frame) for frame in frames]
    for before, after in pairwise(pictures):
        A, b = _colour_change(before, after, WIDE_WINDOW)  # the search takes what is as bright for the same
        back = search.calc(grey(after), grey(np.einsum("hwij,hwj->hwi", A, before) + b), None)  # type: ignore[call-overload]
        moved = _sampled(moved, back) + back
    return cv2.resize(moved, (width, height), interpolation=cv2.INTER_AREA) / np.float32(scale)


def _sampled(picture: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """(H, W, C) at places that are `moved` (H, W, 2) pixels away, right and down: (H, W, C)."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there = x + moved[..., 0], y + moved[..., 1]
    planes = [
        cv2.remap(np.ascontiguousarray(picture[..., n]), *there, cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)
        for n in range(picture.shape[2])
    ]
    return np.stack(planes, -1)


def _colour_change(before: np.ndarray, after: np.ndarray, window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, C) twice -> A (H, W, C, C) and b (H, W, C) such that A before + b is about `after` in the window around
    each pixel: least squares, in which A is drawn towards the identity. Both are means over the windows that hold a
    pixel, as in the guided filter (He et al. 2013, https://doi.org/10.1109/TPAMI.2012.213)."""

    def mean(field: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(field.reshape(*field.shape[:2], -1))
        planes = [cv2.blur(flat[..., n], (window, window), borderType=cv2.BORDER_REFLECT) for n in range(flat.shape[2])]
        return np.stack(planes, -1).reshape(field.shape)

    before, after = before.astype(np.float64), after.astype(np.float64)
    mean_before, mean_after = mean(before), mean(after)

    def covariance(a: np.ndarray, mean_a: np.ndarray) -> np.ndarray:
        products = mean(a[..., :, None] * before[..., None, :])
        return products - mean_a[..., :, None] * mean_before[..., None, :]

    ridge = STIFFNESS * np.eye(before.shape[2])
    own, cross = covariance(before, mean_before) + ridge, covariance(after, mean_after) + ridge
    A = np.linalg.solve(own, cross.swapaxes(-1, -2)).swapaxes(-1, -2)  # own is symmetric
    b = mean_after - np.einsum("hwij,hwj->hwi", A, mean_before)
    return mean(A), mean(b)
