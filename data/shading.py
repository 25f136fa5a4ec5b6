"""Where an animal of the embedded set stands in its picture, how light falls on it, and the outlines it leaves."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from quagga.data.animal import Animal
from quagga.data.brush import ellipses, fill
from quagga.data.coat import FAR, Material


@dataclass(frozen=True)
class Placement:
    """Animal units to pictures' widths."""

    x: float
    y: float
    scale: float
    facing: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return points * (self.scale * self.facing, -self.scale) + (self.x, self.y)


def stand(body: Animal, facing: float, rng: np.random.Generator) -> Placement:
    """Find the animal room: large, wholly inside the picture."""
    points = body.points()
    (left, bottom), (right, top) = points.min(0).tolist(), points.max(0).tolist()
    scale = min(rng.uniform(0.84, 0.95) / max(right - left, 1.37), 0.87 / (top - bottom))
    room = max(0.0, (0.95 - (right - left) * scale) / 2)
    x = 0.5 + rng.uniform(-1, 1) * room - facing * scale * (left + right) / 2
    return Placement(x, rng.uniform(0.905, 0.95), scale, facing)


def shade(mask: np.ndarray, folds: np.ndarray, side: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """How bright each pixel of the body is, and how much of the sun or moon shines on its rim, both (H, W, 1).

    The blurred silhouette is taken for a round body's height: its slope says where the light falls on it.
    """
    slope = np.zeros_like(mask)
    for sigma, weight in ((0.014, 0.35), (0.05, 1.0)):
        round_ = cv2.GaussianBlur(mask, (0, 0), sigma * size)
        down = cv2.Sobel(round_, cv2.CV_32F, 0, 1, ksize=3, scale=0.125 * sigma * size * weight)
        right = cv2.Sobel(round_, cv2.CV_32F, 1, 0, ksize=3, scale=0.125 * sigma * size * weight)
        slope += 0.92 * down - 0.40 * side * right
    creases = cv2.GaussianBlur(folds, (0, 0), 0.006 * size)
    bright = np.where(slope > 0, 0.985 + 0.12 * np.tanh(8 * slope), np.maximum(0.985 + slope, 0.42))
    rim = 0.16 * np.clip((slope - 0.08) / 0.3, 0, 1) ** 2 * mask
    return (bright * (1 - 0.30 * creases))[..., None], rim[..., None]


def shadow(body: Animal, side: float, to_picture: Placement, size: int) -> np.ndarray:
    """What is left of the light on the ground around the animal, (H, W, 1)."""
    dark = np.zeros((size, size), np.float32)
    x, y = to_picture(np.array([0.0, 0.0])).tolist()
    reach = 0.58 * to_picture.scale
    fill(dark, ellipses([(x - 0.10 * side * reach, y, 1.05 * reach, 0.15 * reach)]), 1)
    return 1 - 0.5 * cv2.GaussianBlur(dark, (0, 0), 0.022 * size)[..., None]


def outlines(
    material: np.ndarray, folds: np.ndarray, land: np.ndarray, shrink: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Lines about a pixel wide where one part borders on another, uint8 (H, W)."""
    parts = np.where(material > 0, PART[material], land)
    lines = cv2.morphologyEx(parts, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    lines[lines > 0] = 255
    lines |= folds
    return cv2.convertScaleAbs(shrink(lines), alpha=1.7)


PART = np.arange(256, dtype=np.uint8)  # materials whose border is no outline count as one part
for same in (Material.SHANK, Material.LOCKS, Material.BLAZE, Material.MUZZLE):
    PART[same], PART[same + FAR] = Material.COAT, Material.COAT + FAR
PART[Material.TUFT] = Material.TAIL
