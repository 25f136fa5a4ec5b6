"""What a TIFF says of its first picture, and those TIFFs that neither Pillow nor OpenCV reads rightly.

Those are pictures of two or of more than four channels, in planes, of half floats, or written by tifffile as an array
of three axes. Pillow would drop channels and keep the high bytes of planes, OpenCV mix the planes up.
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

from quagga.data.arrays import MAX_BYTES, check_size, picture_shape
from quagga.data.form import Native

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # sample formats
WHITE_IS_ZERO, RGB = 0, 2  # photometric interpretations
SUBTRACTIVE = (5, 6, 8, 9, 10)  # and those that need a conversion: CMYK, YCbCr, Lab
DEFLATE = (8, 32946, 50013)
PLAIN = (1, 32773, *DEFLATE[:2])  # compressions that tifffile undoes by itself: none, PackBits, deflate
HIGHEST_RATIO = 1032  # of deflate
CODECS = find_spec("imagecodecs") is not None


class Tags(NamedTuple):
    """A TIFF's first picture, before it is decoded."""

    height: int
    width: int
    channels: int
    bits: int
    format: int  # UNSIGNED, SIGNED or FLOAT
    planes: bool  # whether channel after channel is stored
    photometric: int
    compression: int
    extra: tuple[int, ...]  # for each further channel: 0 of no stated meaning, 1 and 2 opacity
    orientation: object
    stack: tuple[int, ...] | None  # the shape of three axes that tifffile has written page by page

    @property
    def dtype(self) -> np.dtype:
        """The type of its numbers."""
        if self.format == FLOAT:
            return np.dtype({16: "float16", 32: "float32", 64: "float64"}.get(self.bits, "V0"))
        size = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32 if self.bits <= 32 else 64
        return np.dtype(f"{'int' if self.format == SIGNED else 'uint'}{size}")

    @property
    def alpha(self) -> bool:
        """Whether the last channel is the opacity; without a word a fourth channel beside RGB is taken for it."""
        stated = self.extra[-1:] in ((1,), (2,))
        return self.channels in (2, 4) and (stated or (self.channels == 4 and not self.extra))

    @property
    def spare(self) -> bool:
        """Whether a fourth channel beside RGB is of no stated meaning: infrared, or filling."""
        return self.photometric == RGB and self.channels == 4 and not self.alpha


def read_tags(file: IO[bytes]) -> Tags:
    """The tags of an open file, which begins with one of MAGIC.

    Raises:
        ValueError, KeyError, ...: the tags are damaged.
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
        stack=_stack(tags.get(270), channels),
    )
    itemsize = found.dtype.itemsize
    if not itemsize:
        raise ValueError(f"its numbers are floats of {found.bits} bits: save it with 32")
    if found.stack:  # said once for all pages
        height, width, channels, _ = picture_shape(found.stack)
        found = found._replace(height=height, width=width, channels=channels)
    check_size(found.height, found.width, found.channels, itemsize)
    return found


def read_tiff(path: str | Path, tags: Tags) -> Native:
    """The picture of a file, by tifffile. It lies as it is stored.

    Raises:
        Nearly anything: the file is damaged, or compressed in a way that needs imagecodecs.
    """
    import tifffile  # 0.1 s, which folders of photos need not wait for

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is raised
    if tags.format == UNSIGNED and tags.photometric in SUBTRACTIVE:
        raise ValueError("its colours are CMYK, YCbCr or Lab of more than 8 bits or in planes: save it as RGB")
    try:
        with Path(path).open("rb") as file, tifffile.TiffFile(file) as tiff:
            if tags.stack:
                series = tiff.series[0]
                shape, first = series.shape, picture_shape(tags.stack)[3]
                for page in series.pages:
                    _check(path, page)
                pixels = series.asarray(maxworkers=1)
                _same(shape, tags.stack)
            else:
                page: Any = tiff.pages[0]
                _check(path, page)
                pixels = page.asarray(maxworkers=1)
                first = tags.planes
                shape = (tags.height, tags.width)
                axes = (tags.channels, *shape) if first else (*shape, tags.channels)
                _same(pixels.shape, axes if tags.channels > 1 else shape)
    except Exception as error:
        if tags.compression not in PLAIN and not CODECS:
            raise ValueError(
                f"its compression ({tags.compression}) needs more: pip install 'quagga[tiff]', or save it with deflate"
            ) from error
        raise
    pixels = pixels[..., None] if pixels.ndim == 2 else np.moveaxis(pixels, 0, -1) if first else pixels
    if tags.photometric == WHITE_IS_ZERO and tags.format == UNSIGNED:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return Native(np.ascontiguousarray(pixels), tags.alpha, tags.spare)


def _stack(description: Any, channels: int) -> tuple[int, ...] | None:
    """The shape that tifffile states, of an array of three axes whose pages are not its channels-last pictures."""
    if channels > 1 or not isinstance(description, str) or not description.startswith('{"shape":'):
        return None
    try:
        shape = json.loads(description)["shape"]
    except (ValueError, KeyError, RecursionError):
        return None
    plain = isinstance(shape, list) and len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape)
    return tuple(shape) if plain and shape[0] > 1 else None


def _check(path: str | Path, page: Any) -> None:
    """Raises ValueError where parts of a page are missing, or would become far larger than they say."""
    size = Path(path).stat().st_size
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(parts) != math.prod(page.chunked) or any(at <= 0 or not 0 < n <= size - at for at, n in parts):
        raise ValueError("it is cut off: parts of its pixels are missing")
    whole = math.prod(page.shape) * page.dtype.itemsize
    stored = sum(n for _, n in parts)
    if page.compression == 1 and stored < whole:
        raise ValueError(f"it is cut off: {stored} of {whole} bytes are there")
    if page.compression in DEFLATE and whole > HIGHEST_RATIO * stored:
        raise ValueError(f"it is cut off: {stored} bytes cannot hold {whole} bytes of values")
    part = math.prod(page.chunks) * page.dtype.itemsize
    for at, n in parts:
        if page.compression in DEFLATE and n * HIGHEST_RATIO > MAX_BYTES:  # smaller ones cannot become gigabytes
            with Path(path).open("rb") as file:
                file.seek(at)
                inflater = zlib.decompressobj()
                inflater.decompress(file.read(n), part + 1)
            if inflater.unconsumed_tail:
                raise ValueError("it holds more than its tags say")


def _same(found: tuple[int, ...], said: tuple[int, ...]) -> None:
    if found != said:
        raise ValueError(f"its tags say {said}, and {found} are there")
