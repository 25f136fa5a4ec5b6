"""Reads the idx files of MNIST and its relatives (LeCun, Cortes, Burges 1998): pictures in one file, labels in another.

    train-images-idx3-ubyte  train-labels-idx1-ubyte     for training, plain or .gz
    t10k-images-idx3-ubyte   t10k-labels-idx1-ubyte      the test; "test" serves too

A file is two zero bytes, 8 for bytes, the number of axes, each axis's length as 4 bytes, and the values.
"""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from quagga.errors import BadInput, one_line

UNSIGNED_BYTES = 8
MOST_BYTES = 1 << 30  # bytes of values; EMNIST, the largest set in this format, has 0.64 of them
NAMES = re.compile(r"(.*?)(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")


class IdxSplit(NamedTuple):
    """The file with the pictures of a split, and the one with their labels; None: there is none."""

    images: Path
    labels: Path | None


def idx_files(folder: Path) -> dict[str, IdxSplit]:
    """Finds the idx files of a folder. Returns "train" and, if it exists, "test" -> files; {} if there are none.

    Raises:
        BadInput: the files are of several sets, or none are for training.
    """
    found: dict[tuple[str, str, str], Path] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # "...ubyte.gz" before "...ubyte", which then is taken
        if (match := NAMES.fullmatch(path.name)) and path.is_file():
            found[match[1], "train" if match[2] == "train" else "test", match[3]] = path
    if not found:
        return {}
    sets = sorted({name for name, _, _ in found})
    if len(sets) > 1:
        raise BadInput(f"{folder} holds idx files of {len(sets)} sets, {', '.join(sets[:4])}: give each its own folder")
    splits = {
        split: IdxSplit(found[sets[0], split, "images"], found.get((sets[0], split, "labels")))
        for split in ("train", "test")
        if (sets[0], split, "images") in found
    }
    if "train" not in splits:
        raise BadInput(f"{folder} holds idx files, but no {sets[0]}train-images-idx3-ubyte: put it there")
    return splits


def idx_pictures(path: Path) -> np.ndarray:
    """Reads a file of pictures: uint8 (N, H, W, C); C is 1 if the file has three axes.

    Raises:
        BadInput: "<path>: why": it is missing, damaged, cut off, longer than its header says, or holds no pictures.
    """
    pixels = read_idx(path)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or 0 in pixels.shape:
        raise BadInput(f"{path}: its axes are {pixels.shape}: expected pictures x rows x columns")
    return pixels


def idx_labels(path: Path, count: int) -> np.ndarray:
    """Reads a file of labels: uint8 (count,). Raises BadInput as `idx_pictures`, and unless it holds `count` labels."""
    labels = read_idx(path)
    if labels.ndim != 1:
        raise BadInput(f"{path}: its axes are {labels.shape}: expected one label for each picture")
    if len(labels) != count:
        raise BadInput(
            f"{path} has {len(labels):,} labels for {count:,} pictures: are both files of one set, and whole?"
        )
    return labels


def read_idx(path: Path) -> np.ndarray:
    """Reads an idx file of bytes, plain or .gz, as an array of its shape. No more is unpacked than its header says.

    Raises:
        BadInput: it is missing, damaged, cut off or longer than its header says.
    """
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not is_gzip:
                return _read(file)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise BadInput(f"{path}: {one_line(error, None)}: get it again") from None


def _read(file: IO[bytes] | gzip.GzipFile) -> np.ndarray:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != UNSIGNED_BYTES or not 1 <= start[3] <= 4:
        raise ValueError("it is no idx file of bytes")
    axes = file.read(4 * start[3])
    if len(axes) < 4 * start[3]:
        raise ValueError("it is cut off within its header")
    shape = tuple(int(length) for length in np.frombuffer(axes, ">u4"))
    size = math.prod(shape)
    if size > MOST_BYTES:
        raise ValueError(f"{' x '.join(map(str, shape))} bytes are more than {MOST_BYTES >> 20} MiB")
    values = file.read(size)
    if len(values) < size:
        raise ValueError(f"it is cut off: {len(values):,} of {size:,} values are there")
    if file.read(1):  # of a .gz this read compares the checksum too
        raise ValueError(f"it holds more than the {size:,} values its header says")
    return np.frombuffer(values, np.uint8).reshape(shape)
