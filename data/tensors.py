"""The border between files and networks: numbers of some kind on one side, values in [-1, 1] on the other."""

import numpy as np
import torch
from torch import Tensor

from quagga.data.form import Form, from_unit


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, C) or (N, H, W, C), uint8 in 0..255 or float32 in [0, 1] -> float32 (C, H, W) or (N, C, H, W) in [-1, 1],
    contiguous."""
    return floats(to_row(pixels))


def to_row(pixels: np.ndarray) -> Tensor:
    """What `to_tensor` makes, but bytes stay bytes: so rows travel, as floats are four times their size."""
    own = pixels.flags.owndata and pixels.flags.writeable  # else it is somebody's memory, or what Pillow gives
    channels_first = torch.from_numpy(pixels if own else pixels.copy()).movedim(-1, -3)
    return channels_first if pixels.dtype == np.uint8 else _centred(channels_first, 0.5)


def floats(pictures: Tensor) -> Tensor:
    """uint8 (..., C, H, W) -> float32 in [-1, 1], contiguous, on the same device; floats stay as they are."""
    return _centred(pictures, 127.5) if pictures.dtype == torch.uint8 else pictures


def with_floats(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same batch, with pictures, (N, C, H, W), as `floats` makes them."""
    return {name: floats(tensor) if tensor.ndim == 4 else tensor for name, tensor in batch.items()}


def _centred(pictures: Tensor, half: float) -> Tensor:
    # A tensor, not a number: by a number a GPU multiplies with its inverse, which is another last bit.
    by = torch.full((), half, device=pictures.device)
    copied = torch.empty(pictures.shape, device=pictures.device).copy_(pictures)  # which transposes it as well
    return copied.div_(by).sub_(1)


def to_uint8(picture: Tensor) -> np.ndarray:
    """Any float (C, H, W) or (N, C, H, W) in [-1, 1] -> uint8 (H, W, C) or (N, H, W, C); what lies outside is clipped.

    The exact inverse of `to_tensor`: all 256 levels come back.
    """
    levels = ((picture.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(np.moveaxis(levels.cpu().numpy(), -3, -1))


def to_form(picture: Tensor, form: Form) -> np.ndarray:
    """Any float (C, H, W) or (N, C, H, W) in [-1, 1] -> (H, W, C) or (N, H, W, C) of the form's kind and range; what
    lies outside is clipped."""
    if form.eight_bits:
        return to_uint8(picture)
    unit = (picture.detach().cpu().double().numpy() + 1) / 2
    return from_unit(np.ascontiguousarray(np.moveaxis(unit, -3, -1)), form)
