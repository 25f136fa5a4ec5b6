"""The border between files and networks: numbers of some kind on one side, values in [-1, 1] on the other."""

import numpy as np
import torch
from torch import Tensor

from quagga.data.form import Form, from_unit


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, C) or (N, H, W, C), uint8 in 0..255 or float32 in [0, 1] -> float32 (C, H, W) or (N, C, H, W) in [-1, 1],
    contiguous."""
    half = 127.5 if pixels.dtype == np.uint8 else 0.5
    channels_first = torch.from_numpy(pixels.copy()).movedim(-1, -3)  # what Pillow gives may not be written to
    floats = torch.empty(channels_first.shape).copy_(channels_first)  # torch transposes in half the time of numpy
    return floats.div_(half).sub_(1)


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
    unit = (picture.detach().double().cpu().numpy() + 1) / 2
    return from_unit(np.ascontiguousarray(np.moveaxis(unit, -3, -1)), form)
