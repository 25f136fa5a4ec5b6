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

from quagga.data.io.pixel_format import Fitted
from quagga.data.transforms.conditions import Conditions
from quagga.inference.predictor import Predictor
from quagga.inference.square_reader import SquareReader


@dataclass
class Classifier:
    """Says what pictures show. They may have any size: they are scaled and cut as held-out ones were in training.

    Args:
        predictor: The export, of a picture, whose output is the probability of each name, (N, K).
        source: Name of the domain whose pictures it takes ("animals").
        reader: Reads pictures for it.
    """

    predictor: Predictor
    source: str
    reader: SquareReader

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
        return self.classify(self.reader.read(picture))

    def read(self, path: Path) -> Fitted:
        """Reads a file for `classify`. Raises BadInput where it cannot be read or converted."""
        return self.reader.read(path)

    def classify(self, picture: Fitted) -> dict[str, float]:
        """Returns what a call returns, of a picture that `read` has returned."""
        x = self.reader.tensor(picture)
        [probabilities] = self.predictor(**{self.predictor.inputs[0].name: x}).tolist()
        return dict(zip(self.conditions.names, probabilities, strict=True))

    def verify(self) -> float:
        """Replays the golden input, see `Predictor.verify`."""
        return self.predictor.verify()

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.predictor.device
