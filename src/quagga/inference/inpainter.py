"""A trained inpainting as a function of a picture and of what is missing in it.

>>> fill = quagga.load("runs/filled")
>>> fill(Image.open("scratched.png"), Image.open("scratches.png")).save("whole.png")
"""

from dataclasses import dataclass, field
from typing import Any, overload

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from quagga.data.io.metadata import metadata_of
from quagga.data.io.pixel_format import NATURAL_RANGES, Native, PixelFormat, from_unit, grey_or_rgb, to_domain_format
from quagga.data.io.read import to_fitted, to_native
from quagga.data.io.tensors import to_tensor
from quagga.errors import BadInput
from quagga.fields import field_of
from quagga.inference.channels import squeeze_channel
from quagga.inference.device import explain_out_of_memory
from quagga.inference.predictor import Predictor
from quagga.inference.resolution import Resolution, network_size, resized

WHITE = 128  # of 255: a pixel is missing whose mask is as light, or lighter
LEAST_KNOWN = 1e-3  # share of an area from which on its mean is taken


@dataclass
class Inpainter:
    """Fills what is missing in pictures of any width and height. What is known comes back to the bit.

    Args:
        predictor: The export that fills, of a picture and a mask.
        source: Name of the domain whose pictures it takes ("horses").
        pixel_format: Channels, kind and value range of the pictures that the network takes; others are converted.
        resolution: At which size a picture goes through the network: "model" (the scale of training; what is filled in
            is brought to the picture's own size), "full" (its own), or the pixels of its shorter side.
        preprocessing: The `preprocessing` of model.json: the scale of training.
    """

    predictor: Predictor
    source: str
    pixel_format: PixelFormat
    resolution: Resolution = "model"
    preprocessing: dict[str, Any] = field(default_factory=dict, repr=False)

    @overload
    def __call__(self, picture: Image.Image, missing: Image.Image | np.ndarray) -> Image.Image: ...
    @overload
    def __call__(self, picture: np.ndarray, missing: Image.Image | np.ndarray) -> np.ndarray: ...
    def __call__(self, picture, missing):
        """Returns the picture with what is missing filled in, as the same kind of object.

        Args:
            picture: A PIL image of any mode, or an array (H, W) or (H, W, C) of integers or floats in [0, 1].
            missing: An image or an array of the same size, white (or True) where pixels are missing.

        Raises:
            BadInput: it is none of these, sizes differ, nothing is missing or all of it, or the picture cannot be
                converted.
        """
        if not isinstance(picture, Image.Image | np.ndarray):
            raise BadInput(f"a picture is a PIL image or a numpy array, not {type(picture).__name__}")
        if not isinstance(missing, Image.Image | np.ndarray):
            raise BadInput(f"what is missing is a PIL image or a numpy array, not {type(missing).__name__}")
        holes = to_fitted(missing, PixelFormat(1)).pixels[..., 0] >= WHITE
        filled = squeeze_channel(self.fill_native(to_native(picture), holes))
        if isinstance(picture, np.ndarray):
            return filled.reshape(*picture.shape[:2], -1) if picture.ndim == 3 else filled
        if filled.ndim == 3 and filled.dtype != np.uint8:
            raise BadInput(
                f"a PIL image cannot hold colours of {filled.dtype}: give an array, or use `quagga translate`"
            )
        result = Image.fromarray(filled)
        result.info.update(metadata_of(picture).blocks_for(*result.size, result.mode != "L"))
        return result

    def fill_native(self, native: Native, holes: np.ndarray, opaque: bool = False) -> np.ndarray:
        """Fills the holes of a picture as its file holds it.

        Args:
            native: The picture.
            holes: bool (H, W), True where pixels are missing. What stands there in the picture changes nothing.
            opaque: Whether the opacity is left out of the result. Else holes become opaque, and others stay.

        Returns:
            (H, W, C) of the picture's own type; outside of the holes the same numbers.

        Raises:
            BadInput: it cannot be converted, sizes differ, nothing is missing or all of it, or it is too large for the
                memory.
        """
        height, width = native.pixels.shape[:2]
        if holes.shape != (height, width):
            raise BadInput(
                f"its mask has {holes.shape[1]}x{holes.shape[0]} pixels, the picture {width}x{height}: give a mask of"
                " its size"
            )
        if not holes.any():
            raise BadInput("nothing is missing in it: leave it out, or mark what is")
        if holes.all():
            raise BadInput("all of it is missing, and a picture is filled from what is known: mark less")
        emptied = native.pixels.copy()
        emptied[holes] = 0  # so that what is missing may be anything, NaN too
        try:
            fitted = to_domain_format(native._replace(pixels=emptied), self.pixel_format)
        except ValueError as error:
            raise BadInput(f"this picture: {error}") from None
        known = torch.from_numpy(~holes)[None, None].float()
        y = self.fill(to_tensor(fitted.pixels)[None], known)[0].cpu().movedim(0, -1).numpy()
        colours = native.pixels[..., :-1] if self._has_opacity(native) else native.pixels
        filled = colours.copy()
        filled[holes] = self._numbers(y, colours)[holes]
        if colours is native.pixels or opaque:
            return filled
        opacity = native.pixels[..., -1:].copy()
        opacity[holes] = np.iinfo(opacity.dtype).max if opacity.dtype.kind in "ui" else 1
        return np.concatenate([filled, opacity], -1)

    def fill(self, x: Tensor, m: Tensor) -> Tensor:
        """Fills pictures (N, C, H, W) in [-1, 1] where masks (N, 1, H, W) are 0; they are 1 where a pixel is known ->
        (N, C, H, W) in [-1, 1].

        Raises:
            BadInput: they are too large for the memory, or the network makes values that are not finite.
        """
        height, width = x.shape[2:]
        size = network_size(self.resolution, height, width, self.preprocessing)
        with explain_out_of_memory(width, height, self.predictor.device):
            if size == (height, width):
                return self._network(x, m)
            x, m = x.to("cpu", torch.float32), m.to("cpu", torch.float32)
            y = self._network(*resized_known(x, m, size)).cpu()
            return torch.where(m > 0, x, resized(y, height, width).clamp_(-1, 1))

    def verify(self) -> float:
        """Replays the golden input, see `Predictor.verify`."""
        return self.predictor.verify()

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.predictor.device

    def _network(self, x: Tensor, m: Tensor) -> Tensor:
        names = [field_of(self.predictor.inputs, kind) for kind in ("picture", "mask")]
        return self.predictor(**{name.name: part for name, part in zip(names, (x, m), strict=True) if name})

    def _has_opacity(self, native: Native) -> bool:
        """Whether the last channel is opacity, of which the network knows nothing, or stands for nothing."""
        return (native.alpha or native.spare) and native.pixels.shape[-1] != self.pixel_format.channels

    def _numbers(self, y: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Pictures of the network, float32 (H, W, C) in [-1, 1] -> numbers of the type, and as many channels, as a
        file's (H, W, C')."""
        own, kind = self.pixel_format, str(like.dtype)
        own_range = not own.eight_bits and own.owns(kind)
        value_range = own.value_range if own_range else NATURAL_RANGES[kind]
        unit = grey_or_rgb(np.ascontiguousarray((y + 1) / 2), like.shape[-1])
        return from_unit(unit, PixelFormat(like.shape[-1], kind, value_range))


def resized_known(x: Tensor, m: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Resizes pictures and their masks so that what is missing changes nothing: a pixel is the mean of the known ones
    in its area, and is known where there are any.

    Args:
        x: (N, C, H, W), float32 on the CPU.
        m: (N, 1, H, W), 1 where a pixel is known and else 0, likewise.
        size: (height, width).

    Returns:
        (N, C, height, width) and (N, 1, height, width), the mask 0 or 1.
    """

    def areas(planes: Tensor) -> Tensor:
        small = [cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA) for plane in planes.flatten(0, 1).numpy()]
        return torch.from_numpy(np.stack(small)).unflatten(0, planes.shape[:2])

    share = areas(m).clamp_(0, 1)
    colours = areas(torch.where(m > 0, x, torch.zeros_like(x))) / share.clamp_min(LEAST_KNOWN)
    return colours.clamp(-1, 1), (share > LEAST_KNOWN).float()
