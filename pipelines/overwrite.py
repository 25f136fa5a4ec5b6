"""What a command may replace: what it has written itself. Anything else is refused, before any work is done.

A contact sheet says in its EXIF what has written it. A run's folder holds its lock or a checkpoint. Files of
`translate`, `sample`, `export` and `import` bear no mark, and are replaced only where the user says so.
"""

import os
from pathlib import Path

from quagga import BadInput
from quagga.data.folders import OF_A_RUN
from quagga.data.preview import software_of
from quagga.pipelines.checkpoint import MANIFEST
from quagga.pipelines.resume import ASIDE, CHECKPOINTS, CONFIG

PREVIEW = "Quagga data preview"  # what its sheets say of themselves


def check_sheet(path: Path) -> None:
    """Raises BadInput where a preview would replace what is no preview."""
    if path.is_dir():
        raise BadInput(f"--output {path} is a folder: name a picture, such as {path / 'preview.png'}")
    if os.path.lexists(path) and software_of(path) != PREVIEW:
        raise BadInput(f"{path} exists, and is no sheet of quagga data preview: choose another --output, or remove it")


def check_run(folder: Path) -> None:
    """Raises BadInput where a run would replace what no run has written: in a folder without a run, files and folders
    of the names that it gives to its own."""
    checkpoints = folder / CHECKPOINTS
    if (folder / ".lock").exists() or any(any(checkpoints.glob(f"{at}*/{MANIFEST}")) for at in ("", f"{ASIDE}/")):
        return
    there = [name for name in (CONFIG, *OF_A_RUN) if _holds_something(folder / name)]
    if there:
        raise BadInput(
            f"{folder} holds no run, but {', '.join(there)}, which a run would replace: choose another --output"
            + (f"; --init_from {folder} begins with that model" if (folder / "model" / "model.json").exists() else "")
        )


def _holds_something(path: Path) -> bool:
    """Whether there is a file, or one in a folder and below. A link that leads nowhere holds nothing."""
    return any(inside.is_file() for inside in path.rglob("*")) if path.is_dir() else path.exists()
