"""Draws sketches of the embedded scenes, as the inputs of pairs.

The pencil has the colour of the coat, and the paper that of the hour: white by day, orange at sunset, blue at night. So
the colours of the picture can be known from its sketch.
"""

import numpy as np

from quagga.data.synthetic.coat_and_stripes import HORSES

PAPER = {"day": (255, 255, 255), "sunset": (255, 190, 120), "night": (120, 135, 190)}


def sketch(edges: np.ndarray, hour: str, coat: str) -> np.ndarray:
    """Outlines, uint8 (H, W) with 255 on a line -> sketch, uint8 (H, W, 3)."""
    ink = edges[..., None].astype(np.float32) / 255
    paper, pencil = np.array(PAPER[hour], np.float32), np.array(HORSES[coat][0], np.float32)
    return np.rint(paper * (1 - ink) + pencil * ink).astype(np.uint8)
