"""An edit carried back to a photo: motion and colour (Zhu et al. 2016, https://arxiv.org/abs/1609.03552)."""

from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor

from quagga.inference.editing.objective import Generator
from quagga.inference.latent_space import interpolate

FRAMES = 8  # of the way, between which a picture's motion is followed
FLOW_SIDE = 256  # pixels at which motion is measured; smaller frames are enlarged to it
WINDOW = 5  # pixels of G's pictures a side, in which the change of colour is about the same
WIDE_WINDOW = 17  # the same, while motion is not known yet: so wide that a change of colour cannot pass for motion
STIFFNESS = 0.003  # variance of colours, in a range of 2, below which a window's colours are shifted and not mixed


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

    scale = np.array([width / frames.shape[3], height / frames.shape[2]], np.float32)
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
