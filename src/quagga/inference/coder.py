"""Pictures as short codes, and pictures of codes: the faces of an encoder and a decoder.

>>> coder = load_coder("runs/coded")
>>> kept = coder.encode(Path("horse.jpg"))   # a Code of 8-bit numbers
>>> coder.decode(kept)                       # (H, W, C) as it was trained on
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.tensors import to_pixel_format
from quagga.errors import BadInput
from quagga.fields import decodes, encodes
from quagga.inference.model_files.model_folder import ModelFolder, read_whole
from quagga.inference.predictor import Predictor
from quagga.inference.predictor_loading import load_predictor
from quagga.inference.square_reader import SquareReader, reader_for

LEVELS = 255  # steps of a stored number, which has 8 bits


@dataclass(frozen=True)
class Code:
    """A code as it is stored: numbers (m,) in uint8, and what 0 and 255 stand for."""

    numbers: np.ndarray
    low: float
    high: float

    @classmethod
    def of(cls, z: np.ndarray) -> "Code":
        """Rounds a code (m,) to 256 levels: of [-1, 1], where it keeps to that, else from its least to its greatest."""
        low, high = (-1.0, 1.0) if np.abs(z).max() <= 1 else (float(z.min()), float(z.max()))
        return cls(np.rint((z - low) * (LEVELS / (high - low or 1.0))).astype(np.uint8), low, high)

    def values(self) -> np.ndarray:
        """Returns the code, float32 (m,)."""
        return (self.low + self.numbers * ((self.high - self.low) / LEVELS)).astype(np.float32)


@dataclass(frozen=True)
class Coder:
    """Codes pictures of any size, which are scaled and cut as held-out ones were in training, and makes them again.

    Args:
        encoder: The export from a picture to a code.
        decoder: The export from such a code to a picture.
        reader: Reads pictures for the encoder.
        output_format: Of the pictures that the decoder makes.
    """

    encoder: Predictor
    decoder: Predictor
    reader: SquareReader
    output_format: PixelFormat

    @property
    def length(self) -> int:
        """Numbers of a code."""
        size = self.encoder.output.size
        assert size is not None
        return size

    def encode(self, picture: Path | Image.Image | np.ndarray) -> Code:
        """Returns the code of a picture.

        Raises:
            BadInput: it cannot be read, or the network makes values that are not finite.
        """
        return Code.of(self.numbers(self.reader.tensor(self.reader.read(picture))))

    def numbers(self, x: torch.Tensor) -> np.ndarray:
        """Returns the code of what `reader` has made of a picture, float32 (m,), as it is.

        Raises:
            BadInput: the network makes values that are not finite.
        """
        return self.encoder(**{self.encoder.inputs[0].name: x})[0].float().cpu().numpy()

    def decode(self, code: Code) -> np.ndarray:
        """Returns the picture (H, W, C) of a code, of the kind and value range of training.

        Raises:
            BadInput: it has another length, or the network makes values that are not finite.
        """
        if len(code.numbers) != self.length:
            raise BadInput(f"it holds {len(code.numbers):,} numbers, and this model's codes have {self.length:,}")
        z = torch.from_numpy(code.values())[None]
        return to_pixel_format(self.decoder(**{self.decoder.inputs[0].name: z}), self.output_format)[0]


def load_coder(
    run: str | Path, device: str | torch.device | None = None, build: Callable[..., Any] | None = None
) -> Coder | None:
    """Loads the encoder and the decoder of a run; None: it has none. The arguments are those of `quagga.load`.

    Raises:
        BadInput: as `quagga.load` does.
    """

    def read(model: ModelFolder) -> Coder | None:
        names = [
            next((name for name, export in model.exports.items() if does(export.inputs, export.output)), None)
            for does in (encodes, decodes)
        ]
        if names[0] is None or names[1] is None:
            return None
        encoder, decoder = (load_predictor(model, str(name), device, build) for name in names)
        return Coder(encoder, decoder, reader_for(model, encoder), model.domains[decoder.output.name].pixel_format)

    return read_whole(run, read)
