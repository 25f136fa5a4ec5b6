"""Splines, and limbs along them, from which the animals of the embedded set are built."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@lru_cache
def basis(knots: int, samples: int, closed: bool) -> np.ndarray:
    """Returns the matrix (samples, knots) that maps knots to points of the Catmull-Rom spline through them."""
    u = np.linspace(0, knots, samples, endpoint=False) if closed else np.linspace(0, knots - 1, samples)
    k = np.minimum(u.astype(int), knots - 1 if closed else knots - 2)
    t = u - k
    weights = np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2],
    )
    matrix = np.zeros((samples, knots))
    for j, weight in enumerate(weights / 2):
        knot = (k + j - 1) % knots if closed else np.clip(k + j - 1, 0, knots - 1)
        np.add.at(matrix, (np.arange(samples), knot), weight)
    return matrix


def outline(knots: list[tuple[float, float]], samples: int = 64) -> np.ndarray:
    """Returns a smooth closed outline (samples, 2) through the knots."""
    return basis(len(knots), samples, True) @ np.array(knots)


@dataclass(frozen=True)
class Limb:
    """A smooth line with a width, and a pair of coordinates that follow it.

    s in [0, 1] runs along the limb, t in [-1, 1] from its right edge to its left edge; the spine of an animal that
    walks to the right has the animal's back at t = 1. Stripes are drawn in (s, t), so that they turn with the limb.
    """

    middle: np.ndarray  # (M, 2), points of the line
    normal: np.ndarray  # (M, 2), of length 1, to the left
    half: np.ndarray  # (M,), half the width
    length: float

    @classmethod
    def through(cls, knots: list[tuple[float, float, float]], samples: int = 40) -> "Limb":
        """Returns the limb through knots (x, y, half width)."""
        line = basis(len(knots), samples, False) @ np.array(knots)
        along = np.empty((samples, 2))
        along[1:-1] = line[2:, :2] - line[:-2, :2]
        along[0], along[-1] = line[1, :2] - line[0, :2], line[-1, :2] - line[-2, :2]
        size = np.hypot(along[:, 0], along[:, 1])
        normal = np.stack([-along[:, 1], along[:, 0]], 1) / size[:, None]
        return cls(line[:, :2], normal, line[:, 2], float(size[1:-1].sum() / 2 + size[0] / 2 + size[-1] / 2))

    def at(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Returns the points (..., 2) at the coordinates s, t, which are broadcast against each other."""
        position = np.clip(s, 0, 1) * (len(self.half) - 1)
        k = np.minimum(position.astype(int), len(self.half) - 2)
        f = position - k
        middle = self.middle[k] * (1 - f)[..., None] + self.middle[k + 1] * f[..., None]
        normal = self.normal[k] * (1 - f)[..., None] + self.normal[k + 1] * f[..., None]
        half = self.half[k] * (1 - f) + self.half[k + 1] * f
        return middle + normal * (half * t)[..., None]

    def polygon(self, start: float = 0.0, stop: float = 1.0) -> np.ndarray:
        """Returns the outline (P, 2) of the part between s = start and s = stop."""
        first, last = round(start * (len(self.half) - 1)), round(stop * (len(self.half) - 1)) + 1
        side = self.normal[first:last] * self.half[first:last, None]
        middle = self.middle[first:last]
        return np.concatenate([middle + side, (middle - side)[::-1]])


@dataclass(frozen=True)
class Frame:
    """The coordinate system of a head: x from the poll to the nose, y towards the forehead. Calling it maps points
    (K, 2) to animal units."""

    origin: np.ndarray  # (2,), in animal units
    angle: float  # radians
    scale: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        c, s = np.cos(self.angle) * self.scale, np.sin(self.angle) * self.scale
        return self.origin + points @ np.array([[c, s], [-s, c]])
