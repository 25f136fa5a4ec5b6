"""Pictures in a terminal: coloured half blocks of two pixels each, or letters where there is no colour."""

import numpy as np
from PIL import Image

SHADES = " .:-=+*#%@"  # from dark to light


def picture_lines(pictures: list[np.ndarray], columns: int, color: bool) -> list[str]:
    """Returns lines of text that show pictures side by side, each `columns` characters wide, a blank between them.

    Args:
        pictures: uint8 (H, W, 3), all of one shape.
        columns: characters a picture; a character is assumed to be twice as high as wide.
        color: use 24-bit colours, else letters from dark to light.
    """
    height, width = pictures[0].shape[:2]
    rows = max(1, round(columns * height / width / 2))
    small = [np.asarray(Image.fromarray(p).resize((columns, 2 * rows), Image.Resampling.BOX)) for p in pictures]
    if not color:
        grey = [p.reshape(rows, 2, columns, 3).mean((1, 3)) for p in small]
        return ["  ".join("".join(SHADES[int(v * len(SHADES) / 256)] for v in g[r]) for g in grey) for r in range(rows)]

    def block(upper: np.ndarray, lower: np.ndarray) -> str:
        return "\033[38;2;{};{};{};48;2;{};{};{}m▀".format(*upper, *lower)

    return [
        " ".join("".join(block(p[2 * r, c], p[2 * r + 1, c]) for c in range(columns)) + "\033[0m" for p in small)
        for r in range(rows)
    ]
