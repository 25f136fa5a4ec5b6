"""Reads pictures saved by numpy: a .npy with one array, a .npz with one array, or with one that is called "image".

Shapes are (H, W), (H, W, C) or (C, H, W). Of three axes the channels are the last, unless the first is the shortest.
Nothing is unpickled. The header is read first; an array that is larger than it says, or than `MAX_PIXELS` and
`MAX_BYTES` allow, is refused before it is loaded.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

MAX_PIXELS = 178_956_970  # Pillow's limit, above which it raises DecompressionBombError; a 100-megapixel photo passes
MAX_BYTES = 1 << 30  # so many pixels of 16-bit colour
HEADER = 12_000  # bytes; numpy refuses headers above 10,000
NPY, NPZ = b"\x93NUMPY", b"PK\x03\x04"  # the first bytes of the files


class ArrayHeader(NamedTuple):
    """The header of an array, as that of a picture."""

    height: int
    width: int
    channels: int
    dtype: np.dtype
    channels_first: bool


def read_array(path: str | Path) -> np.ndarray:
    """Reads the array of a file as (H, W, C), in its own number type.

    Raises:
        ValueError, OSError, zipfile.BadZipFile, zlib.error: it is damaged, too large or no picture.
    """
    with Path(path).open("rb") as file:
        if file.read(len(NPY)) == NPY:
            file.seek(0)
            return _read(file, Path(path).stat().st_size)
        with zipfile.ZipFile(file) as archive:
            member = _member(archive)
            with archive.open(member) as stream:
                return _read(stream, member.file_size)


def read_array_header(path: str | Path) -> ArrayHeader:
    """Reads size and number type of a file's array, without its values; raises the errors of `read_array`."""
    with Path(path).open("rb") as file:
        if file.read(len(NPY)) == NPY:
            file.seek(0)
            return _header(file)[0]
        with zipfile.ZipFile(file) as archive, archive.open(_member(archive)) as stream:
            return _header(stream)[0]


def picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """Returns (height, width, channels, whether the channels are the first axis) of an array's shape.

    Raises:
        ValueError: the shape is not that of a picture.
    """
    if len(shape) == 2:
        return (*shape, 1, False)
    if len(shape) != 3 or 0 in shape:
        raise ValueError(f"its shape is {shape}: a picture is (H, W), (H, W, C) or (C, H, W)")
    if shape[0] < min(shape[1:]):
        return shape[1], shape[2], shape[0], True
    return (*shape, False)


def check_size(height: int, width: int, channels: int, itemsize: int) -> None:
    """Raises ValueError if a picture is empty or too large to be read; `itemsize` is in bytes a number."""
    if height < 1 or width < 1 or channels < 1:
        raise ValueError(f"it has {width} x {height} pixels of {channels} channels: it is empty")
    if height * width > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MAX_PIXELS}: cut or shrink it first")
    if height * width * channels * itemsize > MAX_BYTES:
        size = f"{width} x {height} pixels of {channels} channels and {8 * itemsize} bits"
        raise ValueError(f"{size} are more than {MAX_BYTES >> 20} MiB: cut or shrink it first")


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Returns the entry of the archive that holds the picture. Raises ValueError if there is no such one."""
    members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    named = [info for info in members if info.filename == "image.npy"]
    if len(named) != 1 and len(members) != 1:
        names = ", ".join(info.filename.removesuffix(".npy") for info in members[:6]) or "no array"
        raise ValueError(f"it holds {names}: expected one array, or one called image")
    member = (named or members)[0]
    if member.flag_bits & 1:
        raise ValueError("it is encrypted: save it without a password")
    if member.file_size > MAX_BYTES + HEADER:
        raise ValueError(f"{member.file_size} bytes are more than {MAX_BYTES >> 20} MiB: cut or shrink it first")
    return member


def _header(stream: IO[bytes]) -> tuple[ArrayHeader, tuple[int, ...], bool]:
    """Reads a header. Returns it as that of a picture, and numpy's shape and whether the order is Fortran's."""
    # From a copy: with a damaged length, numpy would allocate gigabytes before it finds that the file ends.
    beginning = io.BytesIO(stream.read(HEADER))
    version = npy.read_magic(beginning)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its format {version[0]}.{version[1]} is not numpy's 1.0 or 2.0")
    shape, fortran, dtype = read(beginning)
    stream.seek(beginning.tell())
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise ValueError(f"its values are {dtype}, not numbers of a picture")
    height, width, channels, first = picture_shape(shape)
    check_size(height, width, channels, dtype.itemsize)
    return ArrayHeader(height, width, channels, dtype, first), shape, fortran


def _read(stream: IO[bytes], size: int) -> np.ndarray:
    """Reads the array (H, W, C) of a stream, which is said to be `size` bytes long."""
    header, shape, fortran = _header(stream)
    count = math.prod(shape) * header.dtype.itemsize
    if count > size:
        raise ValueError(f"it is cut off: {size} bytes cannot hold {count} bytes of values")
    content = stream.read(count)
    if len(content) != count:
        raise ValueError(f"it is cut off: {len(content)} of {count} bytes are there")
    if stream.read(1):  # of an .npz this read compares the checksum too
        raise ValueError("it holds more than its header says")
    pixels = np.frombuffer(content, header.dtype).reshape(shape, order="F" if fortran else "C")
    if pixels.ndim == 2:
        return pixels[..., None]
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1) if header.channels_first else pixels)
