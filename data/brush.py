"""Painting polygons: places are in pictures' widths, (0, 0) is the upper left corner, (1, 1) the lower right one."""

import cv2
import numpy as np

Colour = tuple[float, float, float]  # red, green, blue in [0, 255]; a factor of light is a colour around 1

ROUND = np.stack([np.cos(np.linspace(0, 2 * np.pi, 28, False)), np.sin(np.linspace(0, 2 * np.pi, 28, False))], 1)


def fill(
    canvas: np.ndarray, polygons: np.ndarray | list[np.ndarray], colour: Colour | int, whole: bool = False
) -> None:
    """Paint polygons (K, P, 2), or a list of (P, 2), in pictures' widths, with one colour.

    Args:
        whole: paint all in one go, which is faster but leaves holes where they overlap.
    """
    fine = 16 * canvas.shape[0]  # 4 bits below the pixel
    if isinstance(polygons, np.ndarray):
        exact = list(np.rint(polygons * fine - 8).astype(np.int32))
    else:
        exact = [np.rint(polygon * fine - 8).astype(np.int32) for polygon in polygons]
    for some in [exact] if whole and exact else [[one] for one in exact]:
        cv2.fillPoly(canvas, some, colour, cv2.LINE_8, 4)


def mix(a: Colour, b: Colour, amount: float) -> Colour:
    """From a (amount 0) to b (amount 1), each channel linearly."""
    x, y, z = (p * (1 - amount) + q * amount for p, q in zip(a, b, strict=True))
    return (x, y, z)


def lit(colour: Colour, factor: Colour, brightness: float = 1.0) -> Colour:
    """A colour in a light: each channel times its factor and the brightness, at most 255."""
    x, y, z = (min(255.0, p * q * brightness) for p, q in zip(colour, factor, strict=True))
    return (x, y, z)


def ellipses(boxes: np.ndarray | list[tuple[float, float, float, float]]) -> np.ndarray:
    """Outlines (K, P, 2) of ellipses (K, 4): x, y and the two radii."""
    box = np.asarray(boxes)[:, None]
    return ROUND * box[..., 2:] + box[..., :2]
