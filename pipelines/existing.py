"""`--existing error|skip|overwrite`: what a command does with files that it would write and that are there already."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from quagga import BadInput

Existing = Literal["error", "skip", "overwrite"]
NAMED = 3  # files that a complaint names


def kept(targets: Sequence[Path], existing: Existing) -> set[Path]:
    """Those of the files and folders to be written that stay as they are: with skip what is there, else none.

    Every file is written under another name first, so that one that is there is whole. Empty files are none of ours, or
    what a power cut has left: skip writes them anew.

    Raises:
        BadInput: `existing` is error, and some are there.
    """
    there = [target for target in dict.fromkeys(targets) if target.exists()]
    if existing == "skip":
        return {target for target in there if target.is_dir() or target.stat().st_size}
    if there and existing == "error":
        names = ", ".join(map(str, there[:NAMED])) + (", ..." if len(there) > NAMED else "")
        raise BadInput(
            f"{len(there)} of {len(targets)} outputs exist ({names}): --existing skip makes the others, --existing"
            " overwrite makes all anew; or choose another --output"
        )
    return set()
