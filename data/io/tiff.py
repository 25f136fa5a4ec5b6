"""Reads the tags of a TIFF's first picture, and TIFFs that neither Pillow nor OpenCV reads correctly.

These are pictures of two or of more than four channels, in planes, of half floats, or written by tifffile as an array
of three axes. Pillow would drop channels and keep the high bytes of planes, OpenCV would mix the planes up.
"""

import json
import logging
import math
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import TiffImagePlugin

from quagga.data.io.numpy_files import MAX_BYTES, check_size, picture_shape
from quagga.data.io.pixel_format import Native

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # sample formats
WHITE_IS_ZERO, RGB = 0, 2  # photometric interpretations
NEED_CONVERSION = (5, 6, 8, 9, 10)  # photometric interpretations CMYK, YCbCr and Lab
DEFLATE = (8, 32946, 50013)  # compressions
BUILT_IN_COMPRESSIONS = (1, 32773, *DEFLATE[:2])  # what tifffile decodes without imagecodecs: none, PackBits, deflate
HIGHEST_RATIO = 1032  # of unpacked to packed bytes that deflate can reach
CODECS = find_spec("imagecodecs") is not None


class Tags(NamedTuple):
    """The tags of a TIFF's first picture."""

    height: int
    width: int
    channels: int
    bits: int
    format: int  # UNSIGNED, SIGNED or FLOAT
    planes: bool  # whether the channels are stored one after the other
    photometric: int  # photometric interpretation
    compression: int
    extra: tuple[int, ...]  # for each channel beside grey or RGB: 0 no stated meaning, 1 and 2 opacity
    orientation: object  # value of the tag; None: missing
    stack: tuple[int, ...] | None  # shape of an array of three axes that tifffile wrote page by page; None: no such

    @property
    def dtype(self) -> np.dtype:
        """The type of its numbers; V0 if numpy has none."""
        if self.format == FLOAT:
            return np.dtype({16: "float16", 32: "float32", 64: "float64"}.get(self.bits, "V0"))
        size = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32 if self.bits <= 32 else 64
        return np.dtype(f"{'int' if self.format == SIGNED else 'uint'}{size}")

    @property
    def alpha(self) -> bool:
        """Whether the last channel is the opacity: the tags say so, or they say nothing of a fourth channel."""
        stated = self.extra[-1:] in ((1,), (2,))
        return self.channels in (2, 4) and (stated or (self.channels == 4 and not self.extra))

    @property
    def spare(self) -> bool:
        """Whether a fourth channel beside RGB has no stated meaning, such as infrared or padding."""
        return self.photometric == RGB and self.channels == 4 and not self.alpha


def read_tags(file: IO[bytes]) -> Tags:
    """Reads the tags of an open file, which begins with one of MAGIC.

    Raises:
        ValueError, KeyError, ...: the tags are damaged, or the picture is too large or of an unknown number type.
    """
    start = file.read(16)
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(start if 43 in start[2:4] else start[:8])
    file.seek(tags.next)
    tags.load(file)
    bits, formats = tags.get(258, (1,)), tags.get(339, (1,))
    if len({*bits}) != 1 or len({*formats}) != 1:
        raise ValueError(f"its channels are of different kinds, of {bits} bits: save it with one")
    channels = int(tags.get(277, 1))
    found = Tags(
        height=int(tags[257]),
        width=int(tags[256]),
        channels=channels,
        bits=int(bits[0]),
        format=int(formats[0]) if formats[0] in (SIGNED, FLOAT) else UNSIGNED,
        planes=channels > 1 and tags.get(284, 1) == 2,
        photometric=int(tags.get(262, 1)),
        compression=int(tags.get(259, 1)),
        extra=tuple(tags.get(338, ())),
        orientation=tags.get(274),
        stack=_stack_shape(tags.get(270), channels),
    )
    itemsize = found.dtype.itemsize
    if not itemsize:
        raise ValueError(f"its numbers are floats of {found.bits} bits: save it with 32")
    if found.stack:  # the tags are those of one page
        height, width, channels, _ = picture_shape(found.stack)
        found = found._replace(height=height, width=width, channels=channels)
    check_size(found.height, found.width, found.channels, itemsize)
    return found


def read_tiff(path: str | Path, tags: Tags) -> Native:
    """Reads the picture of a file with tifffile, in the orientation in which it is stored.

    Raises:
        Nearly anything: the file is damaged, or its compression needs imagecodecs.
    """
    import tifffile  # takes 0.1 s, which folders of photos need not wait for

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is raised
    if tags.format == UNSIGNED and tags.photometric in NEED_CONVERSION:
        raise ValueError("its colours are CMYK, YCbCr or Lab of more than 8 bits or in planes: save it as RGB")
    try:
        with Path(path).open("rb") as file, tifffile.TiffFile(file) as tiff:
            if tags.stack:
                series = tiff.series[0]
                shape, first = series.shape, picture_shape(tags.stack)[3]
                for page in series.pages:
                    _check_page(path, page)
                pixels = series.asarray(maxworkers=1)
                _check_shape(shape, tags.stack)
            else:
                page: Any = tiff.pages[0]
                _check_page(path, page)
                pixels = page.asarray(maxworkers=1)
                first = tags.planes
                shape = (tags.height, tags.width)
                axes = (tags.channels, *shape) if first else (*shape, tags.channels)
                _check_shape(pixels.shape, axes if tags.channels > 1 else shape)
    except Exception as error:
        if tags.compression not in BUILT_IN_COMPRESSIONS and not CODECS:
            raise ValueError(
                f"its compression ({tags.compression}) needs more: pip install 'quagga[tiff]', or save it with deflate"
            ) from error
        raise
    pixels = pixels[..., None] if pixels.ndim == 2 else np.moveaxis(pixels, 0, -1) if first else pixels
    if tags.photometric == WHITE_IS_ZERO and tags.format == UNSIGNED:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return Native(np.ascontiguousarray(pixels), tags.alpha, tags.spare)


def _stack_shape(description: Any, channels: int) -> tuple[int, ...] | None:
    """Returns the shape that tifffile states in a file's description, if it is that of an array of three axes of which
    each page holds one slice; else None."""
    if channels > 1 or not isinstance(description, str) or not description.startswith('{"shape":'):
        return None
    try:
        shape = json.loads(description)["shape"]
    except (ValueError, KeyError, RecursionError):
        return None
    plain = isinstance(shape, list) and len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape)
    return tuple(shape) if plain and shape[0] > 1 else None


def _check_page(path: str | Path, page: Any) -> None:
    """Raises ValueError if parts of a page are missing, or unpack to far more than the tags say."""
    size = Path(path).stat().st_size
    chunks = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(chunks) != math.prod(page.chunked) or any(at <= 0 or not 0 < count <= size - at for at, count in chunks):
        raise ValueError("it is cut off: parts of its pixels are missing")
    unpacked = math.prod(page.shape) * page.dtype.itemsize
    stored = sum(count for _, count in chunks)
    if page.compression == 1 and stored < unpacked:
        raise ValueError(f"it is cut off: {stored} of {unpacked} bytes are there")
    if page.compression in DEFLATE and unpacked > HIGHEST_RATIO * stored:
        raise ValueError(f"it is cut off: {stored} bytes cannot hold {unpacked} bytes of values")
    chunk_size = math.prod(page.chunks) * page.dtype.itemsize
    for at, count in chunks:
        if page.compression in DEFLATE and count * HIGHEST_RATIO > MAX_BYTES:  # smaller ones cannot become gigabytes
            with Path(path).open("rb") as file:
                file.seek(at)
                inflater = zlib.decompressobj()
                inflater.decompress(file.read(count), chunk_size + 1)
            if inflater.unconsumed_tail:
                raise ValueError("it holds more than its tags say")


def _check_shape(actual: tuple[int, ...], stated: tuple[int, ...]) -> None:
    """Raises ValueError if an array has another shape than its tags state."""
    if actual != stated:
        raise ValueError(f"its tags say {stated}, and {actual} are there")
