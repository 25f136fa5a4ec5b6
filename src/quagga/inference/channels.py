"""Pictures in memory with another number of channels than a model takes: grey or colour, as a decoder converts them."""

import numpy as np
from torch import Tensor

from quagga.data.io.pixel_format import Native, fitting_channels
from quagga.errors import BadInput


def tensor_to_channels(x: Tensor, channels: int) -> Tensor:
    """(..., C, H, W) -> (..., channels, H, W): repeats grey, weighs colours as the decoder does (ITU-R 601-2).

    Raises:
        BadInput: C is neither `channels` nor the other of 1 and 3.
    """
    given = x.shape[-3]
    if given == channels:
        return x
    if given == 1 and channels == 3:
        return x.expand(*x.shape[:-3], channels, *x.shape[-2:])
    if given == 3 and channels == 1:
        weights = x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        return (x * weights).sum(dim=-3, keepdim=True)
    raise BadInput(f"the picture has {given} channels, the model takes {channels}: convert it first")


def array_to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """float32 (H, W) or (H, W, C) in [0, 1] -> (H, W, channels), by the decoder's rules but without rounding to 8 bits.

    Raises:
        BadInput: the decoder does not convert C channels to so many.
    """
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    try:
        return fitting_channels(Native(pixels, alpha=pixels.shape[2] in (2, 4)), channels)
    except ValueError as error:
        raise BadInput(f"this picture: {error}") from None


def squeeze_channel(array: np.ndarray) -> np.ndarray:
    """(H, W, 1) -> (H, W); an array of more channels stays as it is."""
    return array[:, :, 0] if array.shape[2] == 1 else array
