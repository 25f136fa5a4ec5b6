"""Reads picture files into arrays; every file that Quagga reads comes through here.

A file is first read at its own depth (`read_native`), then converted to the pixel format of its domain (`read_fitted`),
or to 8 bits (`read_picture`). `MODES` and `DEEP_MODES`, the module `tiff`, and for numpy's files `numpy_files` state
what each kind of file becomes; other kinds are refused, not guessed. By itself Pillow would clip 16-bit grey, turn
float pictures black, drop the opacity and leave photos lying on their side.

- EXIF rotation is applied.
- Colours of 8 bits are converted to sRGB by the embedded profile (ICC), see `color_profile`; label maps and deeper
  pictures are not converted.
- Transparent pixels are laid on white, unless the opacity is among the channels that are asked for.
- The kind of a file is known by its first bytes, not by its name.
- Of an animation, or of a file with several pages, the first picture is read. Pages of one array, as tifffile writes
  them, are the channels of one picture.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError, features

from quagga.data.io import numpy_files, tiff
from quagga.data.io.color_profile import in_srgb
from quagga.data.io.numpy_files import MAX_PIXELS, check_size
from quagga.data.io.pixel_format import (
    Fitted,
    Native,
    PixelFormat,
    fitting_channels,
    kind_of,
    to_domain_format,
    to_eight_bits,
    to_known_kind,
)
from quagga.errors import BadInput, one_line

HEIC = find_spec("pillow_heif") is not None
AVIF = features.check("avif")
if HEIC:
    import pillow_heif

    pillow_heif.register_heif_opener()
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it would print ten lines about a damaged file

UNREADABLE_SUFFIXES = {  # suffixes of pictures that cannot be read here -> the next move
    **({} if HEIC else dict.fromkeys((".heic", ".heif"), "pip install 'quagga[heic]'")),
    **({} if AVIF else {".avif": "install a Pillow with AVIF, or convert them"}),
}
OPTIONAL_SUFFIXES = tuple(suffix for suffix in (".avif", ".heic", ".heif") if suffix not in UNREADABLE_SUFFIXES)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".npy", ".npz", *OPTIONAL_SUFFIXES)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if AVIF else []), *(["HEIF"] if HEIC else []))

# Pillow's mode of a file -> the mode of 8 bits to which it is converted. CMYK in a JPEG is taken as inverted, as
# Adobe's programs write it.
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
    "HSV": "RGB",  # of images in memory; no file stores it
}
DEEP_MODES = {  # Pillow's modes of one channel that is kept at its depth -> numpy's type
    "I;16": np.uint16,
    "I;16L": np.uint16,
    "I;16B": np.uint16,
    "I;16N": np.uint16,
    "I": np.int32,
    "F": np.float32,
}
WITH_ALPHA = {"L": "LA", "LA": "LA", "RGB": "RGBA", "RGBA": "RGBA"}

ORIENTATION = 274  # the tag of EXIF and TIFF that says how the camera was held
# Value of the tag -> function that turns the array (H, W, C) upright.
ORIENTATION_TURNS: dict[object, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


class Header(NamedTuple):
    """The properties of a picture that can be read without decoding it."""

    shorter: int  # the shorter side in pixels
    longer: int  # the longer side in pixels
    channels: int  # with the opacity
    kind: str  # "uint8", "uint16", "int16" or "float32"
    mode: str = "deep"  # Pillow's mode; "deep" for files that Pillow does not read
    wide: bool = False  # whether it is stored wider than high, before EXIF rotation


def read_picture(path: str | Path, channels: int = 3) -> np.ndarray:
    """Reads the picture in a file as uint8 (H, W, channels), with 1 (grey) or 3 (RGB) channels.

    Raises:
        BadInput: "<path>: why": the file is missing, damaged, no picture, too large or of no known kind.
    """
    native = read_native(path)
    with _as_bad_input(path):
        return to_eight_bits(fitting_channels(native, channels))


def read_fitted(
    path: str | Path, pixel_format: PixelFormat, side: str = "", cut: Callable[[Native], Native] = lambda native: native
) -> Fitted:
    """Reads the picture in a file in the format of its domain.

    Args:
        path: the file.
        pixel_format: of the domain, see `to_domain_format`.
        side: "x" or "y", whose options a message names; "": none.
        cut: takes the picture of the file, and returns the part of it to be converted.

    Raises:
        BadInput: as `read_picture`, and if channels or values do not fit the format.
    """
    native = read_native(path)
    with _as_bad_input(path):
        return to_domain_format(cut(native), pixel_format, side)


def to_channels(picture: Image.Image | np.ndarray, channels: int) -> np.ndarray:
    """Converts a picture in memory to uint8 (H, W, channels), by the rules for files.

    Args:
        picture: a PIL image of any mode in the tables; or an array (H, W) or (H, W, C), C = 1, 2 (grey and opacity), 3
            or 4 (RGB and opacity), of uint8, uint16 or floats in [0, 1].
        channels: 1 (grey), 3 (RGB), or the picture's own number.

    Raises:
        BadInput: "this picture: why".
    """
    return to_fitted(picture, PixelFormat(channels)).pixels


def to_fitted(picture: Image.Image | np.ndarray, pixel_format: PixelFormat) -> Fitted:
    """Converts a picture in memory, see `to_channels`, to the format of a domain.

    Raises:
        BadInput: "this picture: why".
    """
    native = to_native(picture)
    with _as_bad_input("this picture"):
        return to_domain_format(native, pixel_format)


def to_native(picture: Image.Image | np.ndarray, as_stored: bool = False) -> Native:
    """Converts a picture in memory to what `read_native` returns of a file; a PIL image's profile is in its `info`.

    Raises:
        BadInput: "this picture: why".
    """
    with _as_bad_input("this picture"):
        size = picture.size if isinstance(picture, Image.Image) else picture.shape
        if 0 in size:
            raise ValueError(f"its size is {size}: it is empty")
        if isinstance(picture, Image.Image):
            return _decode_with_pillow(picture, as_stored)
        pixels = picture[..., None] if picture.ndim == 2 else picture
        return Native(to_known_kind(pixels), alpha=pixels.shape[-1] in (2, 4))


def read_native(path: str | Path, as_stored: bool = False) -> Native:
    """Reads the picture in a file at the depth it is stored in, upright, with its opacity.

    Args:
        path: the file.
        as_stored: whether to leave out the conversion to sRGB: the numbers of a label map are names, not colours.

    Raises:
        BadInput: as `read_picture`.
    """
    with _as_bad_input(path), Path(path).open("rb") as file:
        first = _first_bytes(path, file)
        if first.startswith((numpy_files.NPY, numpy_files.NPZ)):
            return Native(to_known_kind(numpy_files.read_array(path)), alpha=False)
        if first.startswith(tiff.MAGIC):
            return _read_tiff(path, file, as_stored)
        with _open_with_pillow(file) as image:
            # Pillow has no 16-bit RGB: it would keep the high byte. Its name of the raw data shows the depth.
            if not _has_deep_colour(image):
                return _decode_with_pillow(image, as_stored)
            image.load()  # the orientation may follow the pixels
            return _decode_with_opencv(path, image.getexif().get(ORIENTATION))


def read_header(path: str | Path) -> Header:
    """Reads size and kind of a picture without decoding it (about 0.1 ms).

    Raises:
        BadInput: as `read_picture`, as far as that can be known without decoding.
    """
    with _as_bad_input(path), Path(path).open("rb") as file:
        first = _first_bytes(path, file)
        if first.startswith((numpy_files.NPY, numpy_files.NPZ)):
            array = numpy_files.read_array_header(path)
            return _header(array.height, array.width, array.channels, kind_of(array.dtype))
        if first.startswith(tiff.MAGIC):
            tags = tiff.read_tags(file)
            if not _pillow_can_read(tags):
                return _header(tags.height, tags.width, tags.channels, kind_of(tags.dtype))
        with _open_with_pillow(file) as image:
            if image.mode in DEEP_MODES:
                kind, channels = kind_of(np.dtype(DEEP_MODES[image.mode])), 1
            else:
                kind = "uint16" if _has_deep_colour(image) else "uint8"
                channels = len(_target_mode(image))
            return _header(image.height, image.width, channels, kind, image.mode)


def _header(height: int, width: int, channels: int, kind: str, mode: str = "deep") -> Header:
    return Header(min(height, width), max(height, width), channels, kind, mode, width > height)


def _first_bytes(path: str | Path, file: IO[bytes]) -> bytes:
    """Returns the first 8 bytes of a file, which show its kind, and rewinds it. Raises BadInput if it is empty."""
    first = file.read(8)
    if not first:
        raise BadInput(f"{path}: the file is empty")
    file.seek(0)
    return first


def _pillow_can_read(tags: tiff.Tags) -> bool:
    """Returns whether Pillow reads such a TIFF correctly: 8 bits and fewer, palettes, CMYK, and grey of 12 bits."""
    if tags.stack:
        return False
    if tags.bits <= 8 and tags.format == tiff.UNSIGNED:
        if tags.spare:  # Pillow drops this channel, which is acceptable only if tifffile cannot read the compression
            return tags.compression not in tiff.BUILT_IN_COMPRESSIONS and not tiff.CODECS
        return tags.channels in (1, 3, 4) or (tags.channels == 2 and tags.alpha and not tags.planes)
    return (tags.bits, tags.channels) == (12, 1)


def _read_tiff(path: str | Path, file: IO[bytes], as_stored: bool) -> Native:
    tags = tiff.read_tags(file)
    if _pillow_can_read(tags):
        with _open_with_pillow(file) as image:
            return _decode_with_pillow(image, as_stored)
    contiguous = tags.channels in (1, 3, 4) and not tags.planes and tags.stack is None
    plain = tags.photometric in (1, tiff.RGB) and tags.dtype != np.float16 and tags.bits in (16, 32, 64)
    if contiguous and plain:
        native = _decode_with_opencv(path, None)
        if native.pixels.shape[-1] == tags.channels:
            return Native(native.pixels, tags.alpha, tags.spare)
        raise ValueError(f"OpenCV finds {native.pixels.shape[-1]} channels where its tags say {tags.channels}")
    native = tiff.read_tiff(path, tags)
    return native._replace(pixels=_upright(to_known_kind(native.pixels), tags.orientation))


def _decode_with_pillow(image: Image.Image, as_stored: bool) -> Native:
    image.load()  # which turns TIFFs upright, and removes their orientation
    orientation = image.getexif().get(ORIENTATION)
    if image.mode in DEEP_MODES:
        pixels = to_known_kind(np.asarray(image).astype(DEEP_MODES[image.mode]))
        return Native(_upright(pixels[..., None], orientation), alpha=False)
    target = _target_mode(image)
    pixels = np.asarray(in_srgb(image, target, None if as_stored else image.info.get("icc_profile")))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return Native(_upright(pixels, orientation), alpha=target.endswith("A"))


def _target_mode(image: Image.Image) -> str:
    """Returns the mode of 8 bits to which an image is converted."""
    if image.mode not in MODES:
        raise ValueError(f"its pixels are stored as {image.mode}, which is not read: save it as PNG")
    transparent = image.mode != "LAB" and image.has_transparency_data  # by a palette entry, or by one colour
    return WITH_ALPHA[MODES[image.mode]] if transparent else MODES[image.mode]


def is_deep(image: Image.Image) -> bool:
    """Returns whether an image has more than 8 bits a channel, so that no colour profile is applied. Of colours Pillow
    keeps 8 bits when it loads them: after that the answer is no."""
    return image.mode in DEEP_MODES or (isinstance(image, ImageFile.ImageFile) and _has_deep_colour(image))


def _has_deep_colour(image: ImageFile.ImageFile) -> bool:
    """Returns whether a file holds colours of 16 bits, as long as it is not loaded."""
    return image.mode in MODES and ";16" in str(image.tile)


def _decode_with_opencv(path: str | Path, orientation: object) -> Native:
    """Decodes a file with OpenCV. `orientation` is the turn that is left to do; None for TIFFs, which OpenCV turns."""
    encoded = np.frombuffer(Path(path).read_bytes(), np.uint8)  # cv2.imread cannot open every name on every system
    pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[-1] in (3, 4):
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]]  # BGR(A) to RGB(A)
    return Native(_upright(to_known_kind(pixels), orientation), alpha=pixels.shape[-1] in (2, 4))


def _upright(pixels: np.ndarray, orientation: object) -> np.ndarray:
    """Turns (H, W, C) upright, given the value of the tag ORIENTATION."""
    turn = ORIENTATION_TURNS.get(orientation)  # Pillow's `exif_transpose` fails if the block of EXIF is damaged
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


@contextmanager
def _open_with_pillow(file: IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    """Opens a file with Pillow; raises ValueError if the picture is too large."""
    # An open file, not a name: Pillow maps named files into memory and garbles grey TIFFs that lie on their side.
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        check_size(image.height, image.width, 1, 1)
        yield image


@contextmanager
def _as_bad_input(path: str | Path) -> Iterator[None]:
    """Turns every error of a decoder into BadInput with the path: damaged files raise nearly anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual sizes and tags; what matters is checked or raised
            yield
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except UnidentifiedImageError:
        advice = UNREADABLE_SUFFIXES.get(Path(path).suffix.lower())
        if advice:
            raise BadInput(f"{path}: {Path(path).suffix[1:].upper()} is not read here: {advice}") from None
        raise BadInput(
            f"{path}: not a picture in a format that is read ({', '.join((*FORMATS, 'NPY', 'NPZ'))})"
        ) from None
    except Image.DecompressionBombError:
        raise BadInput(f"{path}: more than {MAX_PIXELS} pixels: cut or shrink it first") from None
    except Exception as error:
        why = one_line(error, None) or type(error).__name__
        raise BadInput(f"{path}: cannot be read: {why}") from error
