"""The one place where picture files become arrays.

A file is first read at its own depth (`read_native`), then brought to what training works with (`read_picture`). What
each kind of file becomes is stated by `MODES` and `DEEP_MODES`; what neither names is refused, not guessed. By itself
Pillow would clip 16-bit grey, turn float pictures black, drop the opacity and leave photos lying on their side.

- EXIF rotation is applied. Colour profiles (ICC) are not.
- Transparent pixels are laid on white.
- 16 bits become 8 by v / 257, rounded; floats are taken as [0, 1] and refused outside.
- Of an animation, or a file of several pages, the first picture is read.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFile, TiffImagePlugin, UnidentifiedImageError

from quagga import BadInput

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 178_956_970  # where Pillow, too, takes a file for a decompression bomb; a 100-megapixel photo passes

# Pillow's name of how the file stores its pixels -> the mode of 8 bits it is converted to. CMYK in a JPEG is taken as
# inverted, as Adobe's programs write it.
MODES = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",  # opacity already multiplied in
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
}
DEEP_MODES = {  # one channel, kept at its depth
    "I;16": np.uint16,
    "I;16L": np.uint16,
    "I;16B": np.uint16,
    "I;16N": np.uint16,
    "I": np.int32,
    "F": np.float32,
}
WITH_ALPHA = {"L": "LA", "LA": "LA", "RGB": "RGBA", "RGBA": "RGBA"}

ORIENTATION = 274  # the tag of EXIF and TIFF that says how the camera was held
UPRIGHT: dict[object, Callable[[np.ndarray], np.ndarray]] = {  # its value -> what turns the array (H, W, C) upright
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


class Native(NamedTuple):
    """A picture as its file holds it, upright."""

    pixels: np.ndarray  # (H, W, C), uint8, uint16 or float32; C counts the opacity
    alpha: bool  # whether the last channel is the opacity


class Header(NamedTuple):
    """What a file says of itself before it is decoded."""

    shorter: int  # sides in pixels, whichever way the picture stands
    longer: int
    mode: str  # Pillow's name, a key of MODES or DEEP_MODES; "deep" for what only OpenCV reads


def read_picture(path: str | Path, channels: int = 3) -> np.ndarray:
    """The picture in a file as uint8 (H, W, channels), with 1 (grey) or 3 (RGB) channels.

    Raises:
        BadInput: "<path>: why", for a file that is missing, damaged, no picture, too large or of no known kind.
    """
    native = read_native(path)
    with _explained(path):
        return _finished(native, channels)


def to_channels(picture: Image.Image | np.ndarray, channels: int) -> np.ndarray:
    """A picture that is in memory already, as uint8 (H, W, channels) by the same rules as one in a file.

    Args:
        picture: A PIL image of any mode in the tables; or an array (H, W) or (H, W, C), C = 1, 2 (grey and opacity), 3
            or 4 (RGB and opacity), of uint8, uint16 or floats in [0, 1].
        channels: 1 (grey) or 3 (RGB).

    Raises:
        BadInput: "this picture: why".
    """
    with _explained("this picture"):
        if isinstance(picture, Image.Image):
            return _finished(_with_pillow(picture), channels)
        pixels = picture[..., None] if picture.ndim == 2 else picture
        return _finished(Native(_depth_kept(pixels), alpha=pixels.shape[-1] in (2, 4)), channels)


def read_native(path: str | Path) -> Native:
    """The picture in a file at the depth it is stored in, upright, its opacity kept.

    Raises:
        BadInput: as `read_picture`.
    """
    with _explained(path):
        try:
            with _opened(path) as image:
                # Pillow has no 16-bit RGB: it would keep the high byte. Its name for the raw data gives the depth away.
                deep_colour = image.mode in MODES and ";16" in str(image.tile)
                if not deep_colour:
                    return _with_pillow(image)
                image.load()  # as `_with_pillow` does, for the orientation
                return _with_opencv(path, image.getexif().get(ORIENTATION))
        except UnidentifiedImageError:
            tags = _tiff_tags(path)  # TIFFs of several floats or 32-bit integers a pixel, which Pillow does not know
            if tags is None:
                raise
            _check_size(path, tags[257], tags[256])
            return _with_opencv(path, None)


def read_header(path: str | Path) -> Header:
    """Size and kind of a picture without decoding it (about 0.1 ms).

    Raises:
        BadInput: as `read_picture`, as far as the first bytes show it.
    """
    with _explained(path):
        try:
            with _opened(path) as image:
                size, mode = image.size, image.mode
        except UnidentifiedImageError:
            tags = _tiff_tags(path)
            if tags is None:
                raise
            size, mode = (tags[256], tags[257]), "deep"
    return Header(min(size), max(size), mode)


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
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)[..., None]
    if (has, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=-1)
    raise ValueError(f"it has {has} channels, and {channels} are asked for: only 1 and 3 become each other")


def to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float32 in [0, 1] -> uint8, white to white."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # also where either is NaN
        raise ValueError(f"its values are floats from {low:g} to {high:g}: scale them to [0, 1]")
    return np.rint(pixels * 255).astype(np.uint8)


def _finished(native: Native, channels: int) -> np.ndarray:
    pixels = on_white(native.pixels) if native.alpha else native.pixels
    return to_eight_bits(grey_or_rgb(pixels, channels))


def _with_pillow(image: Image.Image) -> Native:
    image.load()  # which turns TIFFs, and strikes out their orientation
    orientation = image.getexif().get(ORIENTATION)
    if image.mode in DEEP_MODES:
        pixels = _depth_kept(np.asarray(image).astype(DEEP_MODES[image.mode]))
        return Native(_upright(pixels[..., None], orientation), alpha=False)
    if image.mode not in MODES:
        raise ValueError(f"its pixels are stored as {image.mode}, which is not read: save it as PNG")
    target = MODES[image.mode]
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        image = converted
    elif image.has_transparency_data:  # a palette's transparent entry, or one colour declared transparent
        target = WITH_ALPHA[target]
    pixels = np.asarray(image.convert(target))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return Native(_upright(pixels, orientation), alpha=target.endswith("A"))


def _with_opencv(path: str | Path, orientation: object) -> Native:
    """`orientation` is what is left to do: OpenCV, too, turns TIFFs itself."""
    encoded = np.frombuffer(Path(path).read_bytes(), np.uint8)  # cv2.imread cannot open every name on every system
    pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[-1] in (3, 4):
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]]  # BGR(A) to RGB(A)
    return Native(_upright(_depth_kept(pixels), orientation), alpha=pixels.shape[-1] in (2, 4))


def _upright(pixels: np.ndarray, orientation: object) -> np.ndarray:
    """Not Pillow's `exif_transpose`, which writes the EXIF block anew and fails where that is damaged."""
    turn = UPRIGHT.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _depth_kept(pixels: np.ndarray) -> np.ndarray:
    """Any numbers as uint8, uint16 or float32. Other integers have no white of their own: 16 bits, where they fit."""
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise ValueError(f"its values are integers from {low} to {high}: scale them to 0..65535 and save as 16 bits")
    return pixels.astype(np.uint16)


@contextmanager
def _opened(path: str | Path) -> Iterator[ImageFile.ImageFile]:
    if Path(path).stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty")
    # An open file, not a name: Pillow maps named ones into memory and garbles grey TIFFs that lie on their side.
    with Path(path).open("rb") as file, Image.open(file, formats=FORMATS) as image:
        _check_size(path, image.height, image.width)
        yield image


def _check_size(path: str | Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise BadInput(f"{path}: {width} x {height} pixels are more than {MAX_PIXELS}: cut or shrink it first")


def _tiff_tags(path: str | Path) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """The tags of a TIFF's first picture; None where the file is no TIFF."""
    with Path(path).open("rb") as file:
        start = file.read(8)
        if start[:4] not in (b"II*\0", b"MM\0*"):
            return None
        tags = TiffImagePlugin.ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
    return tags


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    """Whatever a decoder raises leaves as BadInput with the path: damaged files raise nearly anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful sizes and tags: what matters is checked or raised
            yield
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except UnidentifiedImageError:
        raise BadInput(f"{path}: not a picture in a format that is read ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise BadInput(f"{path}: more than {MAX_PIXELS} pixels: cut or shrink it first") from None
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path}: cannot be read: {why}") from error
