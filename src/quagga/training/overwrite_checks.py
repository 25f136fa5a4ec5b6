"""Checks that a run replaces only what a run has written. Anything else is refused, before any work is done.

A run's folder is recognized by its lock or a checkpoint. (Contact sheets name their writer in their EXIF data. Files of
`translate`, `sample`, `export` and `import` bear no mark, and are replaced only if the user says so.)
"""

from pathlib import Path

from quagga.data.sources.folders import RUN_FOLDERS
from quagga.errors import BadInput
from quagga.training.checkpoint import MANIFEST
from quagga.training.lock import LOCK_FILE
from quagga.training.resume import CHECKPOINTS, CONFIG, SUPERSEDED


def check_run_folder(folder: Path) -> None:
    """Raises BadInput if a run would replace what no run has written: files and folders with the names of a run's own,
    in a folder without a run."""
    checkpoints = folder / CHECKPOINTS
    if (folder / LOCK_FILE).exists() or any(
        any(checkpoints.glob(f"{subfolder}*/{MANIFEST}")) for subfolder in ("", f"{SUPERSEDED}/")
    ):
        return
    existing = [name for name in (CONFIG, *RUN_FOLDERS) if _contains_files(folder / name)]
    if existing:
        raise BadInput(
            f"{folder} holds no run, but {', '.join(existing)}, which a run would replace: choose another --output"
            + (f"; --init_from {folder} begins with that model" if (folder / "model" / "model.json").exists() else "")
        )


def _contains_files(path: Path) -> bool:
    """Returns whether a path is a file, or a folder with a file in it or below. A broken link contains nothing."""
    return any(inside.is_file() for inside in path.rglob("*")) if path.is_dir() else path.exists()
