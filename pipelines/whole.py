"""Files and folders that are whole or not there at all, whatever happens while they are written.

Each is written under another name beside its place, synced to the disk and renamed. A kill, an error or a full disk at
any moment leaves what was there before. Where a folder is a link, the folder that it leads to is replaced, and the link
stays: so a rename never crosses from one disk to another. Where a file is a link, the link is replaced, and the file
that it leads to stays as it is.
"""

import os
import shutil
import socket
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from quagga import BadInput

# Seconds without a write after which the draft of another machine's process counts as left behind: whether that process
# still lives cannot be asked from here.
SILENT = 3600.0


def write_file(path: Path, content: bytes) -> None:
    """Writes a file, in place of an older one."""
    draft = draft_of(path)
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
    folder = behind_links(folder)
    draft, previous = draft_of(folder), _previous(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if previous.exists() and not folder.exists():  # an earlier writer was killed between its two renames
        previous.rename(folder)
    remove(previous)
    sweep(folder.parent, folder.name)
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


def behind_links(path: Path) -> Path:
    """The absolute path of a file or folder, all links followed; it need not exist."""
    return Path(os.path.realpath(path))  # Path.resolve raises for links in a circle, before Python 3.13


def found(folder: Path) -> Path:
    """Where `folder` is: at its place, or, after a kill between the two renames, at its second one."""
    previous = _previous(behind_links(folder))
    return previous if previous.exists() and not folder.exists() else folder


def check_replaceable(folder: Path) -> None:
    """Looks whether `write_folder` could replace a folder, or make it.

    Raises:
        BadInput: a file has its name, a link there leads nowhere, or the folder's place cannot be written to.
    """
    check_folder(folder)
    place = behind_links(folder)
    if os.path.ismount(place):  # it cannot be renamed
        raise BadInput(f"{folder} is a disk, which cannot be replaced: make it a link to a folder on that disk")
    if place.parent.is_dir():
        _check_writable(folder, place.parent)


def check_folder(folder: Path, written_into: bool = False) -> None:
    """Looks whether a place has a folder, or could get one.

    Args:
        folder: The place.
        written_into: Whether a folder that is there must take new files.

    Raises:
        BadInput: a file has its name, a link there leads nowhere, or the folder cannot be written to.
    """
    if folder.is_symlink() and not found(folder).exists():
        raise BadInput(
            f"{folder} is a link to {folder.readlink()}, which is not there: make that folder or connect its disk, or"
            " remove the link"
        )
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, and a folder is to be written there: move the file away")
    if written_into and folder.is_dir():
        _check_writable(folder, folder)


def _check_writable(folder: Path, taker: Path) -> None:
    if not os.access(taker, os.W_OK | os.X_OK):
        raise BadInput(f"cannot write {folder}: {taker} takes no new files: allow it, or choose another --output")


def remove(folder: Path) -> None:
    """Removes a folder, as far as it can; half removed it no longer bears its name. Of a link to a folder only the link
    is removed."""
    if not os.path.lexists(folder):
        return
    going = folder.with_name(f".{folder.name.strip('.')}.going")
    _discard(going)
    with suppress(OSError):
        folder.rename(going)
    _discard(going)


def sweep(folder: Path, name: str | None = None) -> None:
    """Removes from a folder what killed processes have left of their writing, of all names or of one. Drafts of
    processes that live stay."""
    for left in (*folder.glob(".*.draft"), *folder.glob(".*.going")):
        if (name is None or left.name.startswith(f".{name}.")) and not _is_written(left):
            _discard(left)


def draft_of(path: Path) -> Path:
    """The name beside its place under which this process writes a file or folder: it says who writes."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.draft")


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


def _machine() -> str:
    """A short word for this machine: a name has 255 bytes, and a host's may take 64 of them."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_written(draft: Path) -> bool:
    """Whether another process may still be writing a draft."""
    machine, _, process = draft.name.removesuffix(".draft").rpartition(".")[2].partition("-")
    if not draft.name.endswith(".draft") or not process.isdecimal():  # Quagga 0.1 did not say who writes
        return False
    if machine == _machine():
        return int(process) != os.getpid() and psutil.pid_exists(int(process))
    with suppress(OSError):
        newest = max(path.lstat().st_mtime for path in (draft, *draft.glob("*")))
        return time.time() - newest < SILENT
    return False


def _discard(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        with suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
