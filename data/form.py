"""What the pictures of a domain are like: how many channels, which kind of number, and which range of it counts.

On their way to the network stored numbers become values in [0, 1], by the range of their domain; on their way out they
become numbers of the target's kind and range again.
"""

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

KINDS = ("uint8", "uint16", "int16", "float32")
NATURAL = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "float32": (0.0, 1.0)}  # int16 has no black and no white


class Native(NamedTuple):
    """A picture as its file holds it, upright."""

    pixels: np.ndarray  # (H, W, C) of one of KINDS; C counts the opacity
    alpha: bool  # whether the last channel is the opacity
    spare: bool = False  # whether the last of 4 is of no stated meaning: kept where 4 are asked for, else dropped


class Form(NamedTuple):
    """How a domain's pictures are read and written."""

    channels: int = 3
    kind: str = "uint8"  # one of KINDS
    value_range: tuple[float, float] = (0.0, 255.0)  # what becomes black, -1 to the network, and white, 1

    @property
    def eight_bits(self) -> bool:
        """Whether pictures stay bytes until they are tensors, as most do."""
        return self.kind == "uint8" and self.value_range == NATURAL["uint8"]

    @property
    def dtype(self) -> Literal["uint8", "float32"]:
        """What pictures are until they are tensors: bytes, or floats in [0, 1]."""
        return "uint8" if self.eight_bits else "float32"

    def card(self, name: str) -> dict[str, Any]:
        """What a model says of a domain of this name (JSON)."""
        return {"name": name, "channels": self.channels, "value_range": list(self.value_range), "kind": self.kind}

    def owns(self, kind: str) -> bool:
        """Whether pictures of this kind are read by the form's range, and not by that of their kind."""
        deep = ("uint16", "int16")  # integers of more than 16 bits become the one or the other
        return kind == self.kind or kind not in NATURAL or (kind in deep and self.kind in deep)


class Fitted(NamedTuple):
    """A picture in the form of its domain."""

    pixels: np.ndarray  # (H, W, channels): uint8 where the form is of 8 bits, else float32 in [0, 1]
    clipped: int  # how many values lay outside the range


def fitted(native: Native, form: Form, side: str = "") -> Fitted:
    """A picture as its domain wants it.

    A picture of the domain's own kind is read by the domain's value range. Another kind is read by its own range, uint8
    0..255, uint16 0..65535, floats 0..1; int16, which has none, by the domain's. Of the two of 16 bits either is own.

    Args:
        native: The picture.
        form: What its domain is like.
        side: "x" or "y": whose options a complaint names.

    Raises:
        ValueError: its channels do not fit, or its values are not finite, or not in a range of their own.
    """
    pixels = finite(fitting_channels(native, form.channels, side))
    kind = str(pixels.dtype)
    if form.eight_bits:
        return Fitted(to_eight_bits(pixels), 0)
    own = form.owns(kind)
    if kind == "float32" and not own:
        _check_unit(pixels)
    low, high = form.value_range if own else NATURAL[kind]
    unit = (pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    clipped = np.count_nonzero(unit < 0) + np.count_nonzero(unit > 1)
    return Fitted(np.clip(unit, 0, 1, out=unit), int(clipped))


def fitting_channels(native: Native, channels: int, side: str = "") -> np.ndarray:
    """(H, W, C) -> (H, W, channels). Opacity stays where `channels` counts it, and is laid on white elsewhere."""
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


def finite(pixels: np.ndarray) -> np.ndarray:
    """The same pixels; raises ValueError where one is NaN or infinite."""
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        raise ValueError("it holds values that are NaN or infinite: replace them, or leave it out")
    return pixels


def from_unit(unit: np.ndarray, form: Form) -> np.ndarray:
    """Any shape, floats, [0, 1] to the value range -> numbers of the form's kind; what lies outside is clipped."""
    low, high = form.value_range
    values = low + np.clip(unit.astype(np.float64), 0, 1) * (high - low)
    if form.kind == "float32":
        return values.astype(np.float32)
    bounds = np.iinfo(form.kind)
    return np.clip(np.rint(values), bounds.min, bounds.max).astype(form.kind)


def on_white(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C + 1), the opacity last -> (H, W, C): c alpha + white (1 - alpha), at the depth of the input."""
    white = np.float32(1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max)
    alpha = pixels[..., -1:].astype(np.float32) / white
    laid = pixels[..., :-1].astype(np.float32) * alpha + white * (1 - alpha)
    return laid if pixels.dtype == np.float32 else np.rint(laid).astype(pixels.dtype)


def grey_or_rgb(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, 1 or 3) -> (H, W, channels): RGB to grey by ITU-R 601 luma, grey to RGB by repetition."""
    has = pixels.shape[-1]
    if has == channels:
        return pixels
    if (has, channels) == (3, 1):
        if pixels.dtype == np.int16:  # which OpenCV does not weigh
            return np.rint(grey_or_rgb(pixels.astype(np.float32), 1)).astype(np.int16)
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)[..., None]
    if (has, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=-1)
    raise ValueError(other_channels(has, channels))


def other_channels(has: int, channels: int, side: str = "") -> str:
    """Why channels do not fit, and the option of the side, "x" or "y", that helps."""
    option = f"say --{side}_channels {has}, as " if side else ""
    return f"it has {has} channels, and {channels} are asked for: {option}only 1 and 3 become each other"


def to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float32 in [0, 1] -> uint8, white to white."""
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


def depth_kept(pixels: np.ndarray) -> np.ndarray:
    """Any numbers as one of KINDS. Integers of more than 16 bits become uint16 where they fit, else int16."""
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
    """The kind that `depth_kept` gives, as far as the type of the numbers shows it."""
    if dtype.kind == "f":
        return "float32"
    if dtype.kind == "b" or dtype == np.uint8:
        return "uint8"
    return "int16" if dtype.kind == "i" and dtype.itemsize <= 2 else "uint16"


def holding(kind: str, value_range: tuple[float, float]) -> str:
    """The kind, or, where it cannot hold the range, the first of int16 and float32 that can."""
    low, high = value_range
    for candidate in (kind, "int16"):
        if candidate == "float32" or (np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max):
            return candidate
    return "float32"


def _check_unit(pixels: np.ndarray) -> None:
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # also where either is NaN
        raise ValueError(
            f"its values are floats from {low:g} to {high:g}: scale them to [0, 1], or state the value range"
        )
