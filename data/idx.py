"""The idx files of MNIST and its relatives (LeCun, Cortes, Burges 1998): pictures in one file, labels in another.

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

from quagga import BadInput

UNSIGNED_BYTES = 8
MOST = 1 << 30  # bytes of values; EMNIST, the largest set of this form, has 0.64 of them
NAMES = re.compile(r"(.*?)(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")


class IdxSplit(NamedTuple):
    """The pictures of one split and, where there are any, their labels."""

    images: Path
    labels: Path | None


def idx_files(folder: Path) -> dict[str, IdxSplit]:
    """ "train" and, if it is there, "test" -> files; empty where the folder holds no idx files.

    Raises:
        BadInput: pictures of several sets, or none to train on.
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
    """uint8 (N, H, W, C) of a file of pictures; of three axes C is 1.

    Raises:
        BadInput: "<path>: why": it is missing, damaged, cut off, longer than it says, or holds no pictures.
    """
    pixels = read_idx(path)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or 0 in pixels.shape:
        raise BadInput(f"{path}: its axes are {pixels.shape}: expected pictures x rows x columns")
    return pixels


def idx_labels(path: Path, count: int) -> np.ndarray:
    """uint8 (count,) of a file of labels, as many as there are pictures."""
    labels = read_idx(path)
    if labels.ndim != 1:
        raise BadInput(f"{path}: its axes are {labels.shape}: expected one label for each picture")
    if len(labels) != count:
        raise BadInput(
            f"{path} has {len(labels):,} labels for {count:,} pictures: are both files of one set, and whole?"
        )
    return labels


def read_idx(path: Path) -> np.ndarray:
    """The bytes of an idx file in their shape. No more is unpacked than its header says."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                return _read(file)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}: get it again") from None


def _read(file: IO[bytes] | gzip.GzipFile) -> np.ndarray:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != UNSIGNED_BYTES or not 1 <= start[3] <= 4:
        raise ValueError("it is no idx file of bytes")
    axes = file.read(4 * start[3])
    if len(axes) < 4 * start[3]:
        raise ValueError("it is cut off within its header")
    shape = tuple(int(length) for length in np.frombuffer(axes, ">u4"))
    size = math.prod(shape)
    if size > MOST:
        raise ValueError(f"{' x '.join(map(str, shape))} bytes are more than {MOST >> 20} MiB")
    values = file.read(size)
    if len(values) < size:
        raise ValueError(f"it is cut off: {len(values):,} of {size:,} values are there")
    if file.read(1):  # of a .gz: then also its checksum has been compared
        raise ValueError(f"it holds more than the {size:,} values its header says")
    return np.frombuffer(values, np.uint8).reshape(shape)
