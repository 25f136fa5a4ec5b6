"""A trained classifier as a function of a picture.

>>> what = quagga.load("runs/animals")
>>> what(Image.open("horse.jpg"))
{'horse': 0.93, 'zebra': 0.07}
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from quagga.data.io.pixel_format import Fitted, PixelFormat
from quagga.data.io.read import read_fitted, to_fitted
from quagga.data.io.tensors import to_tensor
from quagga.data.transforms.augment import Augment
from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.inference.predictor import Predictor


@dataclass
class Classifier:
    """Says what pictures show. They may have any size: they are scaled and cut as held-out ones were in training.

    Args:
        predictor: The export, of a picture, whose output is the probability of each name, (N, K).
        source: Name of the domain whose pictures it takes ("animals").
        input_format: Channels, kind and value range of the pictures it takes; others are converted.
        size: Pixels a side of the square that the network sees.
        fit: How a picture becomes such a square, see `Augment`.
    """

    predictor: Predictor
    source: str
    input_format: PixelFormat
    size: int
    fit: str = "crop"

    @cached_property
    def conditions(self) -> Conditions:
        """The classes or attributes that it knows."""
        return Conditions.of(self.predictor.output)

    def __call__(self, picture: Image.Image | np.ndarray) -> dict[str, float]:
        """Returns the probability of each class, which add up to 1, or of each attribute by itself.

        Args:
            picture: A PIL image of any mode, or an array (H, W) or (H, W, C) of integers or floats in [0, 1].

        Raises:
            BadInput: the picture is neither, or the network makes values that are not finite.
        """
        if not isinstance(picture, Image.Image | np.ndarray):
            raise BadInput(f"a picture is a PIL image or a numpy array, not {type(picture).__name__}")
        return self.classify(to_fitted(picture, self.input_format))

    def read(self, path: Path) -> Fitted:
        """Reads a file for `classify`. Raises BadInput where it cannot be read or converted."""
        return read_fitted(path, self.input_format)

    def classify(self, picture: Fitted) -> dict[str, float]:
        """Returns what a call returns, of a picture that `read` has returned."""
        x = to_tensor(np.ascontiguousarray(self._square.without_chance(picture.pixels))).unsqueeze(0)
        [probabilities] = self.predictor(**{self.predictor.inputs[0].name: x}).tolist()
        return dict(zip(self.conditions.names, probabilities, strict=True))

    def verify(self) -> float:
        """Replays the golden input, see `Predictor.verify`."""
        return self.predictor.verify()

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.predictor.device

    @cached_property
    def _square(self) -> Augment:
        kind = "uint8" if self.input_format.eight_bits else "float32"
        fit = "squash" if self.fit == "squash" else "crop"
        return Augment(self.size, self.size, fit, False, None, self.input_format.channels, kind)
