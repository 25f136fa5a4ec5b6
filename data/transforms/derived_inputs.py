"""What x is made of: a picture as it is, the planes of a label map (see `label_maps`), or edges or grey values of y."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from quagga.data.io.pixel_format import NATURAL_RANGES, PixelFormat, grey_or_rgb
from quagga.errors import BadInput

XAs = Literal["picture", "labels", "edges", "grey"]
INPUT_KINDS: tuple[XAs, ...] = ("picture", "labels", "edges", "grey")
MOST_LABELS = 256
CANNY_LOW, CANNY_HIGH = 60, 150  # Canny's thresholds: strong edges, and weaker ones that hang on them
CANNY_BLUR = 1.0  # pixels, the Gaussian before it: without, hair and grass are all edges


@dataclass(frozen=True)
class DerivedInput:
    """How x is made.

    Args:
        kind: "picture", "labels", "edges" (drawn from y, black on white) or "grey" (of y).
        labels: The values of a label map, sorted: numbers of one channel or colours of three.
        nearest: Whether a value that is none of them counts as the nearest one, as in noisy JPEGs.
    """

    kind: XAs = "picture"
    labels: tuple[tuple[int, ...], ...] = ()
    nearest: bool = False

    @property
    def of_y(self) -> bool:
        """Whether x needs no pictures of its own."""
        return self.kind in ("edges", "grey")

    @property
    def pixel_format(self) -> PixelFormat:
        """The format of a label map's files: their numbers as they are."""
        deep = any(value > 255 for label in self.labels for value in label)
        kind = "uint16" if deep else "uint8"
        return PixelFormat(len(self.labels[0]), kind, NATURAL_RANGES[kind])

    def to_json(self) -> dict[str, Any]:
        """Returns what a model's JSON stores of it; nothing for plain pictures."""
        if self.kind == "labels":
            return {"as": "labels", "labels": [list(label) for label in self.labels], "nearest": self.nearest}
        return {} if self.kind == "picture" else {"as": self.kind}


def input_from_json(stored: Mapping[str, Any], source: object) -> DerivedInput:
    """Reads back what `DerivedInput.to_json` has written.

    Args:
        stored: The JSON of the model's domain x.
        source: Where it was read, for messages.

    Raises:
        BadInput: it is damaged, or of a newer Quagga.
    """
    kind, labels = stored.get("as", "picture"), stored.get("labels", [])
    if kind not in INPUT_KINDS:
        raise BadInput(f"{source}: x is made as {str(kind)[:40]!r}, unknown to this Quagga: install a newer one")
    fits = isinstance(labels, list) and len(labels) <= MOST_LABELS and all(isinstance(label, list) for label in labels)
    flat = [value for label in labels for value in label] if fits else []
    lengths = {len(label) for label in labels} if fits else set()
    numbers = all(type(value) is int and 0 <= value <= 65535 for value in flat)
    if (
        not fits
        or not numbers
        or (kind == "labels" and (lengths not in ({1}, {3}) or len(labels) != stored["channels"]))
    ):
        raise BadInput(f"{source} is damaged: its table of labels is not what Quagga writes; copy the model again")
    return DerivedInput(kind, tuple(tuple(label) for label in labels), bool(stored.get("nearest", False)))


# -- made of y --------------------------------------------------------------------------------------------------------


def derive_input(pixels: np.ndarray, kind: XAs) -> np.ndarray:
    """Returns the edges of a picture, black on white, or its grey values: (H, W, C), uint8 or float32 in [0, 1] ->
    uint8 (H, W, 1)."""
    grey = pixels if pixels.shape[-1] in (1, 3) else pixels.astype(np.float32).mean(-1, keepdims=True)
    if grey.dtype == np.float32:
        white = 1 if pixels.dtype == np.float32 else 255
        grey = np.rint(np.clip(grey / white, 0, 1) * 255).astype(np.uint8)
    grey = grey_or_rgb(grey, 1)
    if kind == "grey":
        return grey
    smooth = cv2.GaussianBlur(np.ascontiguousarray(grey[..., 0]), (0, 0), CANNY_BLUR)
    return 255 - cv2.Canny(smooth, CANNY_LOW, CANNY_HIGH)[..., None]
