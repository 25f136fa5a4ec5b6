"""Sketches of the embedded scenes, as the other side of pairs.

A sketch is drawn with a pencil of the coat's colour, on paper of the hour's: white by day, orange at sunset, blue at
night. So it says what the picture will be like, as far as lines can say it.
"""

import numpy as np

from quagga.data.coat import HORSES

PAPER = {"day": (255, 255, 255), "sunset": (255, 190, 120), "night": (120, 135, 190)}


def sketch(edges: np.ndarray, hour: str, coat: str) -> np.ndarray:
    """Outlines, uint8 (H, W) with 255 where one is -> uint8 (H, W, 3)."""
    ink = edges[..., None].astype(np.float32) / 255
    paper, pencil = np.array(PAPER[hour], np.float32), np.array(HORSES[coat][0], np.float32)
    return np.rint(paper * (1 - ink) + pencil * ink).astype(np.uint8)
