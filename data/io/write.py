"""Writes pictures into files so that reading them gives the same numbers; only JPEG loses some, invisibly."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from quagga.data.io.metadata import NO_METADATA, Metadata, save_options
from quagga.data.io.pixel_format import PixelFormat
from quagga.errors import BadInput, one_line

PILLOW_OPTIONS: dict[str, dict[str, Any]] = {  # suffix -> Pillow's options for 8 bits; all but JPEG are lossless
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".webp": {"format": "WEBP", "lossless": True},
    ".bmp": {"format": "BMP"},
    ".tif": {"format": "TIFF", "compression": "tiff_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_deflate"},
}
ARRAYS, TIFFS = (".npy", ".npz"), (".tif", ".tiff")


def suffix_for(suffix: str, pixel_format: PixelFormat) -> str:
    """Returns `suffix` if its files can hold pictures of this format, else .png, or .tif if a PNG cannot either."""
    fits_png = pixel_format.channels in (1, 3, 4) and pixel_format.kind in ("uint8", "uint16")
    fitting = [*ARRAYS, *TIFFS]
    if fits_png:
        fitting.append(".png")
    if pixel_format.kind == "uint8" and pixel_format.channels in (1, 3):
        fitting += PILLOW_OPTIONS
    if suffix.lower() in fitting:
        return suffix
    return ".png" if fits_png else ".tif"


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yields the path of a draft for the block to write; at the block's end the draft replaces `path`. A kill, an error
    or a full disk leaves the old file. Folders above it are made.

    Raises:
        BadInput: the draft cannot be written: the block raised OSError, as on a full disk, or ValueError.
    """
    # Short, since names have at most 255 bytes, which that of `path` may use; hidden, so that no folder lists it.
    draft = path.with_name(f".{os.getpid()}.part{path.suffix[:16]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except BadInput:
        raise
    except OSError as error:
        reason = one_line(error.strerror or error, None)
        raise BadInput(f"cannot write {path} ({reason}): free some space or choose another --output") from error
    except ValueError as error:
        raise BadInput(f"cannot write {path}: {one_line(error, None)}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def save(path: Path, pixels: np.ndarray, suffix: str, metadata: Metadata = NO_METADATA) -> None:
    """Writes a picture in the file format of a suffix.

    Args:
        path: the file; it may have another suffix.
        pixels: (H, W, C) of one of `pixel_format.KINDS`.
        suffix: as `suffix_for` returns it, such as ".png".
        metadata: is written with pictures of 8 bits into a JPEG, PNG, WebP or TIFF.

    Raises:
        OSError: the disk is full, or the file cannot be written for another reason.
        ValueError: an array has so few rows that they would be taken for its channels.
    """
    suffix, channels = suffix.lower(), pixels.shape[2]
    plain = pixels[..., 0] if channels == 1 else pixels
    if suffix in ARRAYS:
        if plain.ndim == 3 and plain.shape[0] < min(plain.shape[1:]):
            raise ValueError(f"an array of {plain.shape} would be read with its rows as channels: ask for a TIFF")
        with path.open("wb") as file:
            if suffix == ".npy":
                np.save(file, plain)
            else:
                np.savez_compressed(file, image=plain)
    elif pixels.dtype == np.uint8 and channels in (1, 3, 4):
        blocks = save_options(suffix, metadata.blocks_for(pixels.shape[1], pixels.shape[0], channels > 1))
        Image.fromarray(plain).save(path, **{**PILLOW_OPTIONS[suffix], **blocks})
    elif suffix == ".png":
        order = [2, 1, 0, 3][:channels] if channels > 1 else [0]  # OpenCV's BGR(A)
        succeeded, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels[..., order]))
        assert succeeded
        path.write_bytes(encoded.tobytes())
    else:
        import tifffile  # takes 0.1 s, which other formats need not wait for

        options: dict[str, Any] = {"photometric": "rgb" if channels in (3, 4) else "minisblack", "compression": "zlib"}
        if channels > 1:
            options["planarconfig"] = "contig"
        with path.open("wb") as file:
            tifffile.imwrite(file, plain, metadata=None, **options)
