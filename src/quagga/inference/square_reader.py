"""Reads pictures for networks that take squares of one size: classifiers and encoders."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from quagga.data.io.pixel_format import Fitted, PixelFormat
from quagga.data.io.read import read_fitted, to_fitted
from quagga.data.io.tensors import to_tensor
from quagga.data.transforms.augment import Augment
from quagga.errors import BadInput
from quagga.inference.model_files.model_folder import ModelFolder
from quagga.inference.predictor import Predictor
from quagga.inference.predictor_loading import picture_name


@dataclass(frozen=True)
class SquareReader:
    """Scales and cuts pictures of any size as held-out ones were in training.

    Args:
        input_format: Channels, kind and value range of the pictures that the network takes; others are converted.
        size: Pixels a side of the square that it sees.
        fit: How a picture becomes such a square, see `Augment`.
    """

    input_format: PixelFormat
    size: int
    fit: str = "crop"

    def read(self, source: Path | Image.Image | np.ndarray) -> Fitted:
        """Reads a file, or takes a PIL image of any mode or an array (H, W) or (H, W, C) of integers or floats in
        [0, 1].

        Raises:
            BadInput: it cannot be read or converted, or is none of these.
        """
        if isinstance(source, Path):
            return read_fitted(source, self.input_format)
        if not isinstance(source, Image.Image | np.ndarray):
            raise BadInput(f"a picture is a PIL image or a numpy array, not {type(source).__name__}")
        return to_fitted(source, self.input_format)

    def tensor(self, picture: Fitted) -> Tensor:
        """Returns what the network sees of a picture that `read` has returned, (1, C, size, size) in [-1, 1]."""
        return to_tensor(np.ascontiguousarray(self._square.without_chance(picture.pixels))).unsqueeze(0)

    @cached_property
    def _square(self) -> Augment:
        kind = "uint8" if self.input_format.eight_bits else "float32"
        fit = "squash" if self.fit == "squash" else "crop"
        return Augment(self.size, self.size, fit, False, None, self.input_format.channels, kind)


def reader_for(model: ModelFolder, predictor: Predictor) -> SquareReader:
    """Returns the reader for an export that takes one picture."""
    name = picture_name(predictor.inputs)
    domain, preprocessing = model.domains[name], model.preprocessing
    golden = predictor.golden[0][name]
    size, fit = preprocessing.get("crop_size") or golden.shape[-1], preprocessing.get("fit") or "crop"
    return SquareReader(domain.pixel_format, size, fit)
