"""Pictures into files, such that reading them gives the same numbers back (but for JPEG, whose loss is not seen)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from quagga import BadInput
from quagga.data.form import Form
from quagga.data.metadata import NOTHING, Metadata, options_of

PILLOW: dict[str, dict[str, Any]] = {  # suffix -> how Pillow writes 8 bits; lossless, but for JPEG at 95
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".webp": {"format": "WEBP", "lossless": True},
    ".bmp": {"format": "BMP"},
    ".tif": {"format": "TIFF", "compression": "tiff_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_deflate"},
}
ARRAYS, TIFFS = (".npy", ".npz"), (".tif", ".tiff")


def suffix_for(suffix: str, form: Form) -> str:
    """A file's suffix where it can hold pictures of this form, else one that can: .png, or .tif where that cannot."""
    png = form.channels in (1, 3, 4) and form.kind in ("uint8", "uint16")
    holds = [*ARRAYS, *TIFFS]
    if png:
        holds.append(".png")
    if form.kind == "uint8" and form.channels in (1, 3):
        holds += PILLOW
    if suffix.lower() in holds:
        return suffix
    return ".png" if png else ".tif"


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Where to write a file, which takes the place of `path` at the end of the block. A kill, an error or a full disk
    leaves what was there before; folders above it are made.

    Raises:
        BadInput: the disk is full, or what the block raises where it writes (OSError, ValueError).
    """
    # Short, since a name has 255 bytes and that of the path may use them; hidden, so that no folder counts it.
    draft = path.with_name(f".{os.getpid()}.part{path.suffix[:16]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except BadInput:
        raise
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise BadInput(f"cannot write {path} ({reason}): free some space or choose another --output") from error
    except ValueError as error:
        raise BadInput(f"cannot write {path}: {' '.join(str(error).split())}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def save(path: Path, pixels: np.ndarray, suffix: str, metadata: Metadata = NOTHING) -> None:
    """Writes (H, W, C) as the kind of file that a suffix stands for, see `suffix_for`; the path may have another.

    Args:
        path: The file.
        pixels: Of one of `form.KINDS`.
        suffix: Such as ".png".
        metadata: What goes with pictures of 8 bits into a JPEG, PNG, WebP or TIFF.

    Raises:
        OSError: the disk is full, or the like.
        ValueError: an array of so few rows that its channels could not be told from them.
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
        told = options_of(suffix, metadata.told(pixels.shape[1], pixels.shape[0], channels > 1))
        Image.fromarray(plain).save(path, **{**PILLOW[suffix], **told})
    elif suffix == ".png":
        order = [2, 1, 0, 3][:channels] if channels > 1 else [0]  # OpenCV's BGR(A)
        done, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels[..., order]))
        assert done
        path.write_bytes(encoded.tobytes())
    else:
        import tifffile  # 0.1 s, which others need not wait for

        how: dict[str, Any] = {"photometric": "rgb" if channels in (3, 4) else "minisblack", "compression": "zlib"}
        if channels > 1:
            how["planarconfig"] = "contig"
        with path.open("wb") as file:
            tifffile.imwrite(file, plain, metadata=None, **how)
