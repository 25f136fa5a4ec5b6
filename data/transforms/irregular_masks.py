"""Masks of pictures: which pixels are known. Drawn, as strokes of a brush and ellipses that hide a stated share of a
picture, or read of files, in which white is what is missing.

After Liu et al. 2018, "Image Inpainting for Irregular Holes Using Partial Convolutions", Sec. 4.1 (arXiv:1804.07723),
whose masks come from the occlusions of a film and are sorted by their shares of holes; strokes as Yu et al. 2019 draw
them, "Free-Form Image Inpainting with Gated Convolution" (arXiv:1806.03589, Algorithm 1).
"""

from pathlib import Path

import cv2
import numpy as np

from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.read import read_fitted

ELLIPSES = 0.3  # of the shapes; the others are strokes
MOST_TRIES = 400  # shapes that are tried before single pixels fill what lacks


def draw_mask(rng: np.random.Generator, height: int, width: int, least: float, most: float) -> np.ndarray:
    """Draws a mask, bool (height, width), True where a pixel is known. The share of its holes is in [least, most],
    about uniformly, to the nearest pixel.

    Args:
        rng: draws.
        height: pixels.
        width: pixels.
        least: smallest share of holes, from 0.
        most: largest share, to 1.
    """
    pixels = height * width
    lowest, highest = round(least * pixels), round(most * pixels)
    wanted = int(rng.integers(lowest, highest + 1))
    holes, count, scale = np.zeros((height, width), np.uint8), 0, 1.0
    for _ in range(MOST_TRIES):
        if count >= wanted:
            break
        drawn = holes.copy()
        draw_shape(rng, drawn, scale * min(1.0, 2 * (wanted - count) / pixels + 0.05))
        more = int(np.count_nonzero(drawn))
        if more <= highest:
            holes, count = drawn, more
        else:
            scale *= 0.7  # the next shapes are smaller
    if count < wanted:
        known = np.flatnonzero(holes == 0)
        holes.reshape(-1)[rng.permutation(known)[: wanted - count]] = 1
    return holes == 0


def draw_shape(rng: np.random.Generator, holes: np.ndarray, scale: float) -> None:
    """Draws an ellipse or a stroke of 1s into (H, W) uint8. scale: of its size, in (0, 1]."""
    height, width = holes.shape
    side = min(height, width)
    x, y = rng.random() * width, rng.random() * height
    if rng.random() < ELLIPSES:
        axes = np.maximum(1, side * scale * rng.uniform(0.1, 0.45, 2)).astype(int)
        cv2.ellipse(holes, (int(x), int(y)), axes.tolist(), rng.uniform(0, 180), 0, 360, 1, -1)
        return
    thickness = max(1, round(side * scale**0.5 * rng.uniform(0.03, 0.2)))
    angle = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(1, 5))):
        angle += rng.uniform(-1, 1) * 0.7 * np.pi
        length = side * scale**0.5 * rng.uniform(0.1, 0.5)
        to_x, to_y = np.clip(x + length * np.cos(angle), 0, width), np.clip(y + length * np.sin(angle), 0, height)
        cv2.line(holes, (int(x), int(y)), (int(to_x), int(to_y)), 1, thickness)
        x, y = to_x, to_y


def read_mask(path: Path) -> np.ndarray:
    """Reads a mask, bool (H, W), True where a pixel is known: where the picture is darker than half.

    Raises:
        BadInput: it cannot be read.
    """
    return read_fitted(path, PixelFormat(1)).pixels[..., 0] < 128


def turned_mask(rng: np.random.Generator, mask: np.ndarray, size: int) -> np.ndarray:
    """Returns a mask (H, W) as a square of `size` pixels, turned by a multiple of 90 degrees and perhaps mirrored."""
    square = cv2.resize(mask.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
    square = np.rot90(square, int(rng.integers(4)))
    return (square[:, ::-1] if rng.random() < 0.5 else square) > 0
