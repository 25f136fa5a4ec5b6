"""Pictures saved by numpy: .npy holds one array, .npz one or one that is called "image".

Shapes are (H, W), (H, W, C) or (C, H, W). Of three axes the channels are the last, unless the first is the shortest of
all. Nothing is unpickled. The header is read first, and nothing is loaded that is larger than it says or than
`MAX_PIXELS` and `MAX_BYTES` allow.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

MAX_PIXELS = 178_956_970  # where Pillow, too, takes a file for a decompression bomb; a 100-megapixel photo passes
MAX_BYTES = 1 << 30  # what so many pixels of 16-bit colour take
HEADER = 12_000  # bytes; numpy, too, refuses headers above 10,000
NPY, NPZ = b"\x93NUMPY", b"PK\x03\x04"  # how the files begin


class Array(NamedTuple):
    """What a header says."""

    height: int
    width: int
    channels: int
    dtype: np.dtype
    channels_first: bool


def read_array(path: str | Path) -> np.ndarray:
    """The array of a file as (H, W, C), of the numbers it holds.

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


def array_header(path: str | Path) -> Array:
    """Size and kind of a file's array, without its values; errors as `read_array`."""
    with Path(path).open("rb") as file:
        if file.read(len(NPY)) == NPY:
            file.seek(0)
            return _header(file)[0]
        with zipfile.ZipFile(file) as archive, archive.open(_member(archive)) as stream:
            return _header(stream)[0]


def picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """(height, width, channels, whether the channels are the first axis) of an array."""
    if len(shape) == 2:
        return (*shape, 1, False)
    if len(shape) != 3 or 0 in shape:
        raise ValueError(f"its shape is {shape}: a picture is (H, W), (H, W, C) or (C, H, W)")
    if shape[0] < min(shape[1:]):
        return shape[1], shape[2], shape[0], True
    return (*shape, False)


def check_size(height: int, width: int, channels: int, itemsize: int) -> None:
    """Raises ValueError where a picture is too large to be read."""
    if height < 1 or width < 1 or channels < 1:
        raise ValueError(f"it has {width} x {height} pixels of {channels} channels: it is empty")
    if height * width > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MAX_PIXELS}: cut or shrink it first")
    if height * width * channels * itemsize > MAX_BYTES:
        size = f"{width} x {height} pixels of {channels} channels and {8 * itemsize} bits"
        raise ValueError(f"{size} are more than {MAX_BYTES >> 20} MiB: cut or shrink it first")


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
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


def _header(stream: IO[bytes]) -> tuple[Array, tuple[int, ...], bool]:
    """What the header says: as a picture, and as numpy has it (shape, whether columns come first)."""
    # From a copy: of a damaged length a file would reserve gigabytes before it finds that they are not there.
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
    return Array(height, width, channels, dtype, first), shape, fortran


def _read(stream: IO[bytes], size: int) -> np.ndarray:
    """The array of a stream whose length is said to be `size` bytes."""
    header, shape, fortran = _header(stream)
    count = math.prod(shape) * header.dtype.itemsize
    if count > size:
        raise ValueError(f"it is cut off: {size} bytes cannot hold {count} bytes of values")
    content = stream.read(count)
    if len(content) != count:
        raise ValueError(f"it is cut off: {len(content)} of {count} bytes are there")
    if stream.read(1):  # of an .npz: then also its checksum has been compared
        raise ValueError("it holds more than its header says")
    pixels = np.frombuffer(content, header.dtype).reshape(shape, order="F" if fortran else "C")
    if pixels.ndim == 2:
        return pixels[..., None]
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1) if header.channels_first else pixels)
