"""Files and folders that are whole or not there at all, whatever happens while they are written.

Each is written under another name beside its place, synced to the disk and renamed. A kill, an error or a full disk at
any moment leaves what was there before.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Writes a file, in place of an older one."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Lets `fill` write files into an empty folder, which then takes the place of `folder`."""
    folder = folder.absolute()
    draft, previous = folder.with_name(f".{folder.name}.draft"), _previous(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if previous.exists() and not folder.exists():  # an earlier writer was killed between its two renames
        previous.rename(folder)
    remove(previous)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        fill(draft)
        for file in draft.iterdir():
            sync(file)
        sync(draft)
        if folder.exists():  # a folder that holds something cannot be replaced in one move
            folder.rename(previous)
        try:
            draft.rename(folder)
        except OSError:
            if previous.exists():
                previous.rename(folder)
            raise
        sync(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # a full disk needs the space
    remove(previous)


def found(folder: Path) -> Path:
    """Where `folder` is: at its place, or, after a kill between the two renames, at its second one."""
    previous = _previous(folder)
    return previous if previous.exists() and not folder.exists() else folder


def remove(folder: Path) -> None:
    """Removes a folder, as far as it can; half removed it no longer bears its name."""
    if not folder.exists():
        return
    going = folder.with_name(f".{folder.name.strip('.')}.going")
    shutil.rmtree(going, ignore_errors=True)
    with suppress(OSError):
        folder.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders, and keeps their names safe by itself
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _previous(folder: Path) -> Path:
    folder = folder.absolute()
    return folder.with_name(f".{folder.name}.previous") if folder.name else folder
