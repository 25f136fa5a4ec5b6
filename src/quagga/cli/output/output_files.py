"""The files that a command writes: `--existing error|skip|overwrite`, the mark of their folder, writing pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quagga.errors import BadInput, some
from quagga.escapes import printable

if TYPE_CHECKING:
    import numpy as np

    from quagga.data.io.metadata import Metadata

Existing = Literal["error", "skip", "overwrite"]


def outputs_to_keep(targets: Sequence[Path], existing: Existing) -> set[Path]:
    """Returns those of the files and folders to be written that are left as they are: with skip what exists, else none.

    Every file is written under another name first, so one that exists is complete. An empty file is none of ours, or
    was left by a power cut: skip writes it again.

    Raises:
        BadInput: `existing` is error, and some exist.
    """
    present = [target for target in dict.fromkeys(targets) if target.exists()]
    if existing == "skip":
        return {target for target in present if target.is_dir() or target.stat().st_size}
    if present and existing == "error":
        raise BadInput(
            f"{len(present)} of {len(targets)} outputs exist ({some(present, 3)}): --existing skip makes the others,"
            " --existing overwrite makes all anew; or choose another --output"
        )
    return set()


def check_output_folder(output: Path) -> None:
    """Raises BadInput where --output names a file."""
    if output.exists() and not output.is_dir():
        raise BadInput(f"--output {output} is a file: name a folder")


def mark_output_folder(output: Path) -> None:
    """Makes a folder, if it does not exist, and marks a new one as Quagga's output, so that no training takes its
    pictures for data, see `quagga.data.sources.folders.claim`.

    Raises:
        BadInput: it cannot be written.
    """
    from quagga.data.sources.folders import claim

    try:
        claim(output)
    except OSError as error:
        raise BadInput(
            f"cannot write {output} ({error.strerror}): free some space or choose another --output"
        ) from None


def left_out(path: Path, error: BadInput) -> str:
    """Returns the line that says why a picture was left out."""
    message = str(error) if str(path) in str(error) else f"{path}: {error}"
    return f"quagga: left out: {printable(message)}"


def write_picture(target: Path, picture: "np.ndarray", metadata: "Metadata | None" = None) -> None:
    """Writes an (H, W, C) picture under another name first, then renames it, so that no half-written file remains.

    Raises:
        BadInput: it cannot be written.
    """
    from quagga.data.io.metadata import NO_METADATA
    from quagga.data.io.write import draft_of, save

    with draft_of(target) as draft:
        save(draft, picture, target.suffix, metadata or NO_METADATA)
