"""The border between files and networks: bytes on one side, values in [-1, 1] on the other."""

import numpy as np
import torch
from torch import Tensor


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 (H, W, C) or (N, H, W, C) in 0..255 -> float32 (C, H, W) or (N, C, H, W) in [-1, 1], contiguous."""
    channels_first = np.ascontiguousarray(np.moveaxis(pixels, -1, -3), dtype=np.float32)
    return torch.from_numpy(channels_first) / 127.5 - 1


def to_uint8(picture: Tensor) -> np.ndarray:
    """Any float (C, H, W) or (N, C, H, W) in [-1, 1] -> uint8 (H, W, C) or (N, H, W, C); what lies outside is clipped.

    The exact inverse of `to_tensor`: all 256 levels come back.
    """
    levels = ((picture.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(np.moveaxis(levels.cpu().numpy(), -3, -1))
