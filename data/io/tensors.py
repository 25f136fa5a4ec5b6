"""Converts pictures to tensors and back: arrays of a pixel format on one side, values in [-1, 1] on the other."""

import numpy as np
import torch
from torch import Tensor

from quagga.data.io.pixel_format import PixelFormat, from_unit


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, C) or (N, H, W, C), uint8 in 0..255 or float32 in [0, 1] -> float32 (C, H, W) or (N, C, H, W) in [-1, 1],
    contiguous."""
    return floats(to_row(pixels))


def to_row(pixels: np.ndarray) -> Tensor:
    """Converts as `to_tensor`, but uint8 stays uint8: workers pass rows so, since floats are four times as large."""
    owned = pixels.flags.owndata and pixels.flags.writeable  # otherwise the memory is shared, or Pillow's
    channels_first = torch.from_numpy(pixels if owned else pixels.copy()).movedim(-1, -3)
    return channels_first if pixels.dtype == np.uint8 else _centred(channels_first, 0.5)


def floats(pictures: Tensor) -> Tensor:
    """uint8 (..., C, H, W) -> float32 in [-1, 1], contiguous, on the same device. Floats are returned unchanged."""
    return _centred(pictures, 127.5) if pictures.dtype == torch.uint8 else pictures


def with_floats(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the same batch with its pictures, (N, C, H, W), converted by `floats`."""
    return {name: floats(tensor) if tensor.ndim == 4 else tensor for name, tensor in batch.items()}


def _centred(pictures: Tensor, half: float) -> Tensor:
    """Returns pictures / half - 1 as contiguous float32."""
    # A tensor, not a number: a GPU multiplies with the inverse of a number, whose result differs in the last bit.
    divisor = torch.full((), half, device=pictures.device)
    copied = torch.empty(pictures.shape, device=pictures.device).copy_(pictures)  # which makes it contiguous as well
    return copied.div_(divisor).sub_(1)


def to_uint8(picture: Tensor) -> np.ndarray:
    """Floats (C, H, W) or (N, C, H, W) in [-1, 1] -> uint8 (H, W, C) or (N, H, W, C); values outside are clipped.

    The exact inverse of `to_tensor` for all 256 levels.
    """
    levels = ((picture.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(np.moveaxis(levels.cpu().numpy(), -3, -1))


def to_pixel_format(picture: Tensor, pixel_format: PixelFormat) -> np.ndarray:
    """Floats (C, H, W) or (N, C, H, W) in [-1, 1] -> (H, W, C) or (N, H, W, C) of the format's kind and range; values
    outside are clipped."""
    if pixel_format.eight_bits:
        return to_uint8(picture)
    unit = (picture.detach().cpu().double().numpy() + 1) / 2
    return from_unit(np.ascontiguousarray(np.moveaxis(unit, -3, -1)), pixel_format)
