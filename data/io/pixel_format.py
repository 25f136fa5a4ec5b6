"""The pixel format of a domain: how many channels its pictures have, of which kind of number, in which range.

When a picture is read, its numbers become values in [0, 1] by the range of its domain; when one is written, values
become numbers of the domain's kind and range.
"""

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

KINDS = ("uint8", "uint16", "int16", "float32")
NATURAL_RANGES = {
    "uint8": (0.0, 255.0),
    "uint16": (0.0, 65535.0),
    "float32": (0.0, 1.0),
}  # int16 has none


class Native(NamedTuple):
    """A picture as its file holds it, upright."""

    pixels: np.ndarray  # (H, W, C) of one of KINDS; C counts the opacity
    alpha: bool  # whether the last channel is the opacity
    spare: bool = False  # whether the last of 4 channels has no stated meaning; it is dropped unless 4 are asked for


class PixelFormat(NamedTuple):
    """The format of a domain's pictures."""

    channels: int = 3
    kind: str = "uint8"  # one of KINDS
    value_range: tuple[float, float] = (0.0, 255.0)  # the numbers of black, -1 for the network, and of white, 1

    @property
    def eight_bits(self) -> bool:
        """Whether pictures stay uint8 until they are tensors, as those of most domains do."""
        return self.kind == "uint8" and self.value_range == NATURAL_RANGES["uint8"]

    @property
    def dtype(self) -> Literal["uint8", "float32"]:
        """The type of pictures that are read but not yet tensors: uint8, or float32 in [0, 1]."""
        return "uint8" if self.eight_bits else "float32"

    def to_json(self, name: str) -> dict[str, Any]:
        """Returns the description, for a model's JSON, of a domain with this name and format."""
        return {"name": name, "channels": self.channels, "value_range": list(self.value_range), "kind": self.kind}

    def owns(self, kind: str) -> bool:
        """Returns whether pictures of this kind are read by the format's range, and not by their kind's natural one."""
        deep = ("uint16", "int16")  # `to_known_kind` converts larger integers to either of them
        return kind == self.kind or kind not in NATURAL_RANGES or (kind in deep and self.kind in deep)


class Fitted(NamedTuple):
    """A picture in the format of its domain."""

    pixels: np.ndarray  # (H, W, channels): uint8 where the format is of 8 bits, else float32 in [0, 1]
    clipped: int  # number of values that lay outside the range


def to_domain_format(native: Native, pixel_format: PixelFormat, side: str = "") -> Fitted:
    """Converts a picture to the format of its domain.

    A picture of the domain's own kind is read by the domain's value range; uint16 and int16 count as one kind. Another
    kind is read by its natural range, uint8 by 0..255, uint16 by 0..65535, floats by 0..1; int16, which has none, by
    the domain's.

    Args:
        native: the picture.
        pixel_format: the format of its domain.
        side: "x" or "y", whose options a message names; "": none.

    Raises:
        ValueError: its channels do not fit, or its values are not finite or outside their natural range.
    """
    pixels = check_finite(fitting_channels(native, pixel_format.channels, side))
    kind = str(pixels.dtype)
    if pixel_format.eight_bits:
        return Fitted(to_eight_bits(pixels), 0)
    own = pixel_format.owns(kind)
    if kind == "float32" and not own:
        _check_unit(pixels)
    low, high = pixel_format.value_range if own else NATURAL_RANGES[kind]
    unit = (pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    clipped = np.count_nonzero(unit < 0) + np.count_nonzero(unit > 1)
    return Fitted(np.clip(unit, 0, 1, out=unit), int(clipped))


def fitting_channels(native: Native, channels: int, side: str = "") -> np.ndarray:
    """(H, W, C) -> (H, W, channels). Opacity is kept if `channels` counts it; otherwise the picture is laid on white.

    Raises:
        ValueError: the channels do not fit; the message names the option of `side`.
    """
    pixels, alpha, spare = native
    if pixels.shape[-1] == channels:
        return pixels
    if alpha:
        pixels = on_white(pixels)
    elif spare:
        pixels = pixels[..., :-1]
    has = pixels.shape[-1]
    if has != channels and {has, channels} != {1, 3}:
        raise ValueError(other_channels(native.pixels.shape[-1], channels, side))
    return grey_or_rgb(pixels, channels)


def check_finite(pixels: np.ndarray) -> np.ndarray:
    """Returns the same pixels; raises ValueError where one is NaN or infinite."""
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        raise ValueError("it holds values that are NaN or infinite: replace them, or leave it out")
    return pixels


def from_unit(unit: np.ndarray, pixel_format: PixelFormat) -> np.ndarray:
    """Floats in [0, 1], any shape -> numbers of the format's kind and range; values outside [0, 1] are clipped."""
    low, high = pixel_format.value_range
    values = low + np.clip(unit.astype(np.float64), 0, 1) * (high - low)
    if pixel_format.kind == "float32":
        return values.astype(np.float32)
    bounds = np.iinfo(pixel_format.kind)
    return np.clip(np.rint(values), bounds.min, bounds.max).astype(pixel_format.kind)


def on_white(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C + 1) with the opacity last -> (H, W, C) of the same type: c alpha + white (1 - alpha)."""
    white = np.float32(1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max)
    alpha = pixels[..., -1:].astype(np.float32) / white
    blended = pixels[..., :-1].astype(np.float32) * alpha + white * (1 - alpha)
    return blended if pixels.dtype == np.float32 else np.rint(blended).astype(pixels.dtype)


def grey_or_rgb(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, 1 or 3) -> (H, W, channels): RGB to grey by ITU-R 601 luma, grey to RGB by repetition."""
    has = pixels.shape[-1]
    if has == channels:
        return pixels
    if (has, channels) == (3, 1):
        if pixels.dtype == np.int16:  # OpenCV does not convert it
            return np.rint(grey_or_rgb(pixels.astype(np.float32), 1)).astype(np.int16)
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)[..., None]
    if (has, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=-1)
    raise ValueError(other_channels(has, channels))


def other_channels(has: int, channels: int, side: str = "") -> str:
    """Returns the message that channels do not fit, with the option of the side, "x" or "y", that helps."""
    option = f"say --{side}_channels {has}, as " if side else ""
    return f"it has {has} channels, and {channels} are asked for: {option}only 1 and 3 become each other"


def to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float32 in [0, 1] -> uint8 by the natural ranges. Raises ValueError for other values."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype == np.int16:
        raise ValueError(
            f"its values are int16 from {pixels.min()} to {pixels.max()}, which have no black and no white of their"
            " own: state the value range"
        )
    _check_unit(pixels)
    return np.rint(pixels * 255).astype(np.uint8)


def to_known_kind(pixels: np.ndarray) -> np.ndarray:
    """Converts any numbers to one of KINDS. Integers of more than 16 bits become uint16 if they fit, else int16.

    Raises:
        ValueError: they are no numbers, or fit neither.
    """
    kind = pixels.dtype.newbyteorder("=")
    if str(kind) in KINDS:
        return pixels.astype(kind, copy=False)
    if kind.kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255)
    if kind.kind == "f":
        return pixels.astype(np.float32)
    if kind.kind not in "ui":
        raise ValueError(f"its values are {kind}, not numbers of a picture")
    if kind == np.int8:
        return pixels.astype(np.int16)
    low, high = int(pixels.min()), int(pixels.max())
    if low >= 0 and high <= 65535:
        return pixels.astype(np.uint16)
    if low >= -32768 and high <= 32767:
        return pixels.astype(np.int16)
    raise ValueError(f"its values are integers from {low} to {high}: scale them to 0..65535 and save as 16 bits")


def kind_of(dtype: np.dtype) -> str:
    """Returns the kind that `to_known_kind` converts numbers of this type to; of large integers uint16, whatever their
    values."""
    if dtype.kind == "f":
        return "float32"
    if dtype.kind == "b" or dtype == np.uint8:
        return "uint8"
    return "int16" if dtype.kind == "i" and dtype.itemsize <= 2 else "uint16"


def kind_for_range(kind: str, value_range: tuple[float, float]) -> str:
    """Returns `kind` if it can hold the range, else the first of int16 and float32 that can."""
    low, high = value_range
    for candidate in (kind, "int16"):
        if candidate == "float32" or (np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max):
            return candidate
    return "float32"


def _check_unit(pixels: np.ndarray) -> None:
    """Raises ValueError if a value lies outside [0, 1]."""
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # also where either is NaN
        raise ValueError(
            f"its values are floats from {low:g} to {high:g}: scale them to [0, 1], or state the value range"
        )
