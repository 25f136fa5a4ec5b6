"""The one place where picture files become arrays.

A file is first read at its own depth (`read_native`), then brought to what training works with (`read_fitted`; 8 bits:
`read_picture`). What each kind of file becomes is stated by `MODES` and `DEEP_MODES`, by the module `tiff` and, for
numpy's files, by `arrays`; what none of them names is refused, not guessed. By itself Pillow would clip 16-bit grey,
turn float pictures black, drop the opacity and leave photos lying on their side.

- EXIF rotation is applied.
- Colours of 8 bits are converted to sRGB by the profile (ICC) that is embedded, see `colour`; the numbers of label maps
  are not, and deeper pictures are read as they are.
- Transparent pixels are laid on white, unless as many channels are asked for as there are with the opacity.
- A file is known by its first bytes, not by its name.
- Of an animation, or a file of several pages, the first picture is read; pages that tifffile wrote of one array are
  its channels.
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

from quagga import BadInput
from quagga.data import arrays, tiff
from quagga.data.arrays import MAX_PIXELS, check_size
from quagga.data.colour import in_srgb
from quagga.data.form import Fitted, Form, Native, depth_kept, fitted, fitting_channels, kind_of, to_eight_bits

HEIC = find_spec("pillow_heif") is not None
AVIF = features.check("avif")
if HEIC:
    import pillow_heif

    pillow_heif.register_heif_opener()
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # of a damaged file it would print ten lines

LEFT_OUT = {  # suffixes of pictures that cannot be read here -> the next move
    **({} if HEIC else dict.fromkeys((".heic", ".heif"), "pip install 'quagga[heic]'")),
    **({} if AVIF else {".avif": "install a Pillow with AVIF, or convert them"}),
}
MORE = tuple(suffix for suffix in (".avif", ".heic", ".heif") if suffix not in LEFT_OUT)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".npy", ".npz", *MORE)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if AVIF else []), *(["HEIF"] if HEIC else []))

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
    "HSV": "RGB",  # in memory alone: no file stores it
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


class Header(NamedTuple):
    """What a file says of itself before it is decoded."""

    shorter: int  # sides in pixels, whichever way the picture stands
    longer: int
    channels: int  # opacity included
    kind: str  # "uint8", "uint16", "int16" or "float32"
    mode: str = "deep"  # Pillow's name of how the pixels are stored; "deep" for what Pillow does not read
    wide: bool = False  # whether it is stored wider than high, before its EXIF turns it


def read_picture(path: str | Path, channels: int = 3) -> np.ndarray:
    """The picture in a file as uint8 (H, W, channels), with 1 (grey) or 3 (RGB) channels.

    Raises:
        BadInput: "<path>: why", for a file that is missing, damaged, no picture, too large or of no known kind.
    """
    native = read_native(path)
    with _explained(path):
        return _finished(native, channels)


def read_fitted(
    path: str | Path, form: Form, side: str = "", cut: Callable[[Native], Native] = lambda native: native
) -> Fitted:
    """The picture in a file, or what `cut` leaves of it, as its domain wants it, see `fitted`.

    Raises:
        BadInput: as `read_picture`, and where channels or values do not fit the form; `side` names the option.
    """
    native = read_native(path)
    with _explained(path):
        return fitted(cut(native), form, side)


def to_channels(picture: Image.Image | np.ndarray, channels: int) -> np.ndarray:
    """A picture that is in memory already, as uint8 (H, W, channels) by the same rules as one in a file.

    Args:
        picture: A PIL image of any mode in the tables; or an array (H, W) or (H, W, C), C = 1, 2 (grey and opacity), 3
            or 4 (RGB and opacity), of uint8, uint16 or floats in [0, 1].
        channels: 1 (grey), 3 (RGB), or as many as there are.

    Raises:
        BadInput: "this picture: why".
    """
    return to_fitted(picture, Form(channels)).pixels


def to_fitted(picture: Image.Image | np.ndarray, form: Form) -> Fitted:
    """A picture that is in memory already, see `to_channels`, in the form of a domain.

    Raises:
        BadInput: "this picture: why".
    """
    native = to_native(picture)
    with _explained("this picture"):
        return fitted(native, form)


def to_native(picture: Image.Image | np.ndarray, as_stored: bool = False) -> Native:
    """A picture that is in memory already, as `read_native` has one of a file; its profile is in a PIL image's `info`.

    Raises:
        BadInput: "this picture: why".
    """
    with _explained("this picture"):
        size = picture.size if isinstance(picture, Image.Image) else picture.shape
        if 0 in size:
            raise ValueError(f"its size is {size}: it is empty")
        if isinstance(picture, Image.Image):
            return _with_pillow(picture, as_stored)
        pixels = picture[..., None] if picture.ndim == 2 else picture
        return Native(depth_kept(pixels), alpha=pixels.shape[-1] in (2, 4))


def read_native(path: str | Path, as_stored: bool = False) -> Native:
    """The picture in a file at the depth it is stored in, upright, its opacity kept.

    Args:
        path: The file.
        as_stored: Leave out the conversion to sRGB: the numbers of a label map are names, not colours.

    Raises:
        BadInput: as `read_picture`.
    """
    with _explained(path), Path(path).open("rb") as file:
        start = _start(path, file)
        if start.startswith((arrays.NPY, arrays.NPZ)):
            return Native(depth_kept(arrays.read_array(path)), alpha=False)
        if start.startswith(tiff.MAGIC):
            return _tiff(path, file, as_stored)
        with _opened(file) as image:
            # Pillow has no 16-bit RGB: it would keep the high byte. Its name for the raw data gives the depth away.
            if not _deep_colour(image):
                return _with_pillow(image, as_stored)
            image.load()  # as `_with_pillow` does, for the orientation
            return _with_opencv(path, image.getexif().get(ORIENTATION))


def read_header(path: str | Path) -> Header:
    """Size and kind of a picture without decoding it (about 0.1 ms).

    Raises:
        BadInput: as `read_picture`, as far as the first bytes show it.
    """
    with _explained(path), Path(path).open("rb") as file:
        start = _start(path, file)
        if start.startswith((arrays.NPY, arrays.NPZ)):
            array = arrays.array_header(path)
            return _header(array.height, array.width, array.channels, kind_of(array.dtype))
        if start.startswith(tiff.MAGIC):
            tags = tiff.read_tags(file)
            if not _pillows(tags):
                return _header(tags.height, tags.width, tags.channels, kind_of(tags.dtype))
        with _opened(file) as image:
            if image.mode in DEEP_MODES:
                kind, channels = kind_of(np.dtype(DEEP_MODES[image.mode])), 1
            else:
                kind = "uint16" if _deep_colour(image) else "uint8"
                channels = len(_target(image))
            return _header(image.height, image.width, channels, kind, image.mode)


def _header(height: int, width: int, channels: int, kind: str, mode: str = "deep") -> Header:
    return Header(min(height, width), max(height, width), channels, kind, mode, width > height)


def _start(path: str | Path, file: IO[bytes]) -> bytes:
    """The first bytes of a file, by which it is known."""
    start = file.read(8)
    if not start:
        raise BadInput(f"{path}: the file is empty")
    file.seek(0)
    return start


def _pillows(tags: tiff.Tags) -> bool:
    """Whether Pillow reads such a TIFF rightly: 8 bits and fewer, palettes, CMYK, and grey of 12 bits."""
    if tags.stack:
        return False
    if tags.bits <= 8 and tags.format == tiff.UNSIGNED:
        if tags.spare:  # which Pillow drops: better than nothing where tifffile knows no such compression
            return tags.compression not in tiff.PLAIN and not tiff.CODECS
        return tags.channels in (1, 3, 4) or (tags.channels == 2 and tags.alpha and not tags.planes)
    return (tags.bits, tags.channels) == (12, 1)


def _tiff(path: str | Path, file: IO[bytes], as_stored: bool) -> Native:
    tags = tiff.read_tags(file)
    if _pillows(tags):
        with _opened(file) as image:
            return _with_pillow(image, as_stored)
    contiguous = tags.channels in (1, 3, 4) and not tags.planes and tags.stack is None
    plain = tags.photometric in (1, tiff.RGB) and tags.dtype != np.float16 and tags.bits in (16, 32, 64)
    if contiguous and plain:
        found = _with_opencv(path, None)
        if found.pixels.shape[-1] == tags.channels:
            return Native(found.pixels, tags.alpha, tags.spare)
        raise ValueError(f"OpenCV finds {found.pixels.shape[-1]} channels where its tags say {tags.channels}")
    found = tiff.read_tiff(path, tags)
    return found._replace(pixels=_upright(depth_kept(found.pixels), tags.orientation))


def _finished(native: Native, channels: int) -> np.ndarray:
    return to_eight_bits(fitting_channels(native, channels))


def _with_pillow(image: Image.Image, as_stored: bool) -> Native:
    image.load()  # which turns TIFFs, and strikes out their orientation
    orientation = image.getexif().get(ORIENTATION)
    if image.mode in DEEP_MODES:
        pixels = depth_kept(np.asarray(image).astype(DEEP_MODES[image.mode]))
        return Native(_upright(pixels[..., None], orientation), alpha=False)
    target = _target(image)
    pixels = np.asarray(in_srgb(image, target, None if as_stored else image.info.get("icc_profile")))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return Native(_upright(pixels, orientation), alpha=target.endswith("A"))


def _target(image: Image.Image) -> str:
    """The mode of 8 bits that an image is converted to."""
    if image.mode not in MODES:
        raise ValueError(f"its pixels are stored as {image.mode}, which is not read: save it as PNG")
    # A palette's transparent entry, or one colour declared transparent.
    transparent = image.mode != "LAB" and image.has_transparency_data
    return WITH_ALPHA[MODES[image.mode]] if transparent else MODES[image.mode]


def deep(image: Image.Image) -> bool:
    """Whether it has more than 8 bits a channel, so that no colour profile is applied. Of colours Pillow tells until it
    is loaded; then it has kept 8."""
    return image.mode in DEEP_MODES or (isinstance(image, ImageFile.ImageFile) and _deep_colour(image))


def _deep_colour(image: ImageFile.ImageFile) -> bool:
    return image.mode in MODES and ";16" in str(image.tile)


def _with_opencv(path: str | Path, orientation: object) -> Native:
    """`orientation` is what is left to do: OpenCV, too, turns TIFFs itself."""
    encoded = np.frombuffer(Path(path).read_bytes(), np.uint8)  # cv2.imread cannot open every name on every system
    pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[-1] in (3, 4):
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]]  # BGR(A) to RGB(A)
    return Native(_upright(depth_kept(pixels), orientation), alpha=pixels.shape[-1] in (2, 4))


def _upright(pixels: np.ndarray, orientation: object) -> np.ndarray:
    """Not Pillow's `exif_transpose`, which writes the EXIF block anew and fails where that is damaged."""
    turn = UPRIGHT.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    # An open file, not a name: Pillow maps named ones into memory and garbles grey TIFFs that lie on their side.
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        check_size(image.height, image.width, 1, 1)
        yield image


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
        move = LEFT_OUT.get(Path(path).suffix.lower())
        if move:
            raise BadInput(f"{path}: {Path(path).suffix[1:].upper()} is not read here: {move}") from None
        raise BadInput(
            f"{path}: not a picture in a format that is read ({', '.join((*FORMATS, 'NPY', 'NPZ'))})"
        ) from None
    except Image.DecompressionBombError:
        raise BadInput(f"{path}: more than {MAX_PIXELS} pixels: cut or shrink it first") from None
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path}: cannot be read: {why}") from error
