"""Places an animal of the embedded set in its picture, and draws its shading, its shadow and its outlines."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from quagga.data.synthetic.animal import Animal
from quagga.data.synthetic.brush import ellipses, fill
from quagga.data.synthetic.coat_and_stripes import FAR, Material


@dataclass(frozen=True)
class Placement:
    """Maps points (K, 2) in animal units to picture widths."""

    x: float  # of the animal's origin, in picture widths
    y: float
    scale: float  # picture widths of an animal unit
    facing: float  # 1: to the right; -1: to the left

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return points * (self.scale * self.facing, -self.scale) + (self.x, self.y)


def place_animal(body: Animal, facing: float, rng: np.random.Generator) -> Placement:
    """Draws a random placement in which the animal is large and entirely inside the picture."""
    points = body.points()
    (left, bottom), (right, top) = points.min(0).tolist(), points.max(0).tolist()
    scale = min(rng.uniform(0.84, 0.95) / max(right - left, 1.37), 0.87 / (top - bottom))
    room = max(0.0, (0.95 - (right - left) * scale) / 2)
    x = 0.5 + rng.uniform(-1, 1) * room - facing * scale * (left + right) / 2
    return Placement(x, rng.uniform(0.905, 0.95), scale, facing)


def shade(mask: np.ndarray, folds: np.ndarray, side: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes the brightness of each pixel of the body, and the light of sun or moon on its rim, both (H, W, 1).

    The blurred silhouette is taken for the height of a round body, whose slope decides how light falls on it.

    Args:
        mask: float32 (H, W) in [0, 1], the share of animal in each pixel.
        folds: float32 (H, W) in [0, 1], dark lines on the body.
        side: from which the light comes: -1 is left, 1 is right.
        size: of the picture in pixels.
    """
    slope = np.zeros_like(mask)
    for sigma, weight in ((0.014, 0.35), (0.05, 1.0)):
        height = cv2.GaussianBlur(mask, (0, 0), sigma * size)
        down = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125 * sigma * size * weight)
        right = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125 * sigma * size * weight)
        slope += 0.92 * down - 0.40 * side * right
    creases = cv2.GaussianBlur(folds, (0, 0), 0.006 * size)
    bright = np.where(slope > 0, 0.985 + 0.12 * np.tanh(8 * slope), np.maximum(0.985 + slope, 0.42))
    rim = 0.16 * np.clip((slope - 0.08) / 0.3, 0, 1) ** 2 * mask
    return (bright * (1 - 0.30 * creases))[..., None], rim[..., None]


def shadow(body: Animal, side: float, to_picture: Placement, size: int) -> np.ndarray:
    """Returns the factors (H, W, 1) by which the animal's shadow darkens the ground."""
    dark = np.zeros((size, size), np.float32)
    x, y = to_picture(np.array([0.0, 0.0])).tolist()
    reach = 0.58 * to_picture.scale
    fill(dark, ellipses([(x - 0.10 * side * reach, y, 1.05 * reach, 0.15 * reach)]), 1)
    return 1 - 0.5 * cv2.GaussianBlur(dark, (0, 0), 0.022 * size)[..., None]


def outlines(
    material: np.ndarray, folds: np.ndarray, land: np.ndarray, shrink: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Returns lines about a pixel wide where one part borders on another, uint8 (H, W).

    Args:
        material: canvas of the animal, uint8 (side, side).
        folds: 255 on the lines on its body, uint8 (side, side).
        land: of `landscape_parts`.
        shrink: scales a canvas down to the picture.
    """
    parts = np.where(material > 0, PART[material], land)
    lines = cv2.morphologyEx(parts, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    lines[lines > 0] = 255
    lines |= folds
    return cv2.convertScaleAbs(shrink(lines), alpha=1.7)


PART = np.arange(256, dtype=np.uint8)  # material -> part; materials without an outline between them are one part
for material in (Material.SHANK, Material.LOCKS, Material.BLAZE, Material.MUZZLE):
    PART[material], PART[material + FAR] = Material.COAT, Material.COAT + FAR
PART[Material.TUFT] = Material.TAIL
