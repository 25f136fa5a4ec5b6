"""Two pictures that lie side by side in one file, and functions that cut one of them out."""

from collections.abc import Callable
from typing import Literal

from quagga.data.io.pixel_format import Native

Cut = Callable[[Native], Native]  # a file's picture -> the part of it that is one side's
CutName = Literal["left", "right", "whole"]


def halves(native: Native) -> tuple[Native, Native]:
    """Splits a picture into its left and its right half.

    Raises:
        ValueError: its width is odd.
    """
    width = native.pixels.shape[1]
    if width % 2:
        raise ValueError(f"its width of {width} pixels is odd, so it has no two halves: cut it, or give two folders")
    left, right = native.pixels[:, : width // 2], native.pixels[:, width // 2 :]
    return native._replace(pixels=left), native._replace(pixels=right)


def uncut(native: Native) -> Native:
    """Returns the whole picture."""
    return native


def left_half(native: Native) -> Native:
    """Returns the left of two pictures side by side. Raises ValueError as `halves` does."""
    return halves(native)[0]


def right_half(native: Native) -> Native:
    """Returns the right of two pictures side by side. Raises ValueError as `halves` does."""
    return halves(native)[1]


CUTS: dict[CutName | None, Cut] = {None: uncut, "whole": uncut, "left": left_half, "right": right_half}
