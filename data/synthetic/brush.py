"""Paints polygons. Coordinates are in picture widths: (0, 0) is the upper left corner, (1, 1) the lower right one."""

import cv2
import numpy as np

Colour = tuple[float, float, float]  # red, green, blue in [0, 255]; or factors of them around 1, as a light has

CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 28, False)), np.sin(np.linspace(0, 2 * np.pi, 28, False))], 1)


def fill(
    canvas: np.ndarray, polygons: np.ndarray | list[np.ndarray], colour: Colour | int, at_once: bool = False
) -> None:
    """Paints polygons with one colour.

    Args:
        canvas: uint8 (side, side, 3), or (side, side) for a number in place of a colour; it is changed.
        polygons: (K, P, 2) or a list of (P, 2), in picture widths.
        colour: to paint with.
        at_once: whether to paint all in one call, which is faster but leaves holes where they overlap.
    """
    scale = 16 * canvas.shape[0]  # OpenCV takes integers with 4 bits below the pixel
    if isinstance(polygons, np.ndarray):
        scaled = list(np.rint(polygons * scale - 8).astype(np.int32))
    else:
        scaled = [np.rint(polygon * scale - 8).astype(np.int32) for polygon in polygons]
    for group in [scaled] if at_once and scaled else [[polygon] for polygon in scaled]:
        cv2.fillPoly(canvas, group, colour, cv2.LINE_8, 4)


def mix(a: Colour, b: Colour, amount: float) -> Colour:
    """Interpolates linearly from a (amount 0) to b (amount 1)."""
    x, y, z = (p * (1 - amount) + q * amount for p, q in zip(a, b, strict=True))
    return (x, y, z)


def lit(colour: Colour, factor: Colour, brightness: float = 1.0) -> Colour:
    """Returns a colour in a light: each channel times its factor and the brightness, at most 255."""
    x, y, z = (min(255.0, p * q * brightness) for p, q in zip(colour, factor, strict=True))
    return (x, y, z)


def ellipses(boxes: np.ndarray | list[tuple[float, float, float, float]]) -> np.ndarray:
    """Returns the outlines (K, P, 2) of ellipses (K, 4), given by x and y of the centre and the two radii."""
    box = np.asarray(boxes)[:, None]
    return CIRCLE * box[..., 2:] + box[..., :2]
