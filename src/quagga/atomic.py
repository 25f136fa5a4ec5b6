"""Writes files and folders atomically: they are complete or do not exist, whatever happens meanwhile.

Each is written as a draft, under another name in the same folder, synced to the disk and renamed. A kill, an error or a
full disk at any moment leaves the previous version. Where a folder is a link, its target is replaced and the link
stays, so that a rename never crosses from one disk to another. Where a file is a link, the link is replaced and its
target stays as it is.
"""

import os
import shutil
import socket
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from quagga.errors import BadInput

# Seconds without a write after which a draft from another machine counts as abandoned: whether its process still lives
# cannot be checked from here.
STALE_AFTER = 3600.0


def write_file(path: Path, content: bytes) -> None:
    """Writes a file atomically, replacing an older one."""
    draft = draft_path(path)
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_to_disk(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Calls `fill` with an empty draft folder, to write files into, and then replaces `folder` by it."""
    folder = resolve_links(folder)
    draft, previous = draft_path(folder), _previous_path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if previous.exists() and not folder.exists():  # an earlier writer was killed between its two renames
        previous.rename(folder)
    remove_folder(previous)
    remove_stale_drafts(folder.parent, folder.name)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        fill(draft)
        for file in draft.iterdir():
            sync_to_disk(file)
        sync_to_disk(draft)
        if folder.exists():  # a non-empty folder cannot be replaced in one rename
            folder.rename(previous)
        try:
            draft.rename(folder)
        except OSError:
            if previous.exists():
                previous.rename(folder)
            raise
        sync_to_disk(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # frees the space on a full disk
    remove_folder(previous)


def resolve_links(path: Path) -> Path:
    """Returns the absolute path with all links resolved; it need not exist."""
    return Path(os.path.realpath(path))  # Path.resolve raises for circular links, before Python 3.13


def existing_folder(folder: Path) -> Path:
    """Returns where a written folder is: at its path or, after a kill between the two renames of `write_folder`, at its
    backup path."""
    previous = _previous_path(resolve_links(folder))
    return previous if previous.exists() and not folder.exists() else folder


def check_replaceable(folder: Path) -> None:
    """Checks that `write_folder` could replace a folder, or create it.

    Raises:
        BadInput: the path is a file, a broken link or a mount point, or its parent folder is not writable.
    """
    check_folder(folder)
    target = resolve_links(folder)
    if os.path.ismount(target):  # it cannot be renamed
        raise BadInput(f"{folder} is a disk, which cannot be replaced: make it a link to a folder on that disk")
    if target.parent.is_dir():
        _check_writable(folder, target.parent)


def check_folder(folder: Path, must_be_writable: bool = False) -> None:
    """Checks that a path is a folder, or that one could be created there.

    Args:
        folder: The path.
        must_be_writable: Whether an existing folder must also accept new files.

    Raises:
        BadInput: the path is a file or a broken link, or the folder is not writable.
    """
    if folder.is_symlink() and not existing_folder(folder).exists():
        raise BadInput(
            f"{folder} is a link to {folder.readlink()}, which is not there: make that folder or connect its disk, or"
            " remove the link"
        )
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, and a folder is to be written there: move the file away")
    if must_be_writable and folder.is_dir():
        _check_writable(folder, folder)


def _check_writable(folder: Path, parent: Path) -> None:
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BadInput(f"cannot write {folder}: {parent} takes no new files: allow it, or choose another --output")


def remove_folder(folder: Path) -> None:
    """Removes a folder as far as possible; it is renamed first, so that a half-removed folder never keeps its name. If
    the path is a link, only the link is removed."""
    if not os.path.lexists(folder):
        return
    doomed = folder.with_name(f".{folder.name.strip('.')}.going")
    _delete(doomed)
    with suppress(OSError):
        folder.rename(doomed)
    _delete(doomed)


def remove_stale_drafts(folder: Path, name: str | None = None) -> None:
    """Removes the drafts that killed processes have left in a folder: those of one name, or all. Drafts of running
    processes stay."""
    for leftover in (*folder.glob(".*.draft"), *folder.glob(".*.going")):
        if (name is None or leftover.name.startswith(f".{name}.")) and not _is_in_use(leftover):
            _delete(leftover)


def draft_path(path: Path) -> Path:
    """Returns the path, in the same folder, of this process's draft of a file or folder; its name holds the machine and
    the process."""
    return path.with_name(f".{path.name}.{_machine_id()}-{os.getpid()}.draft")


def sync_to_disk(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders, and syncs their names by itself
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _previous_path(folder: Path) -> Path:
    folder = folder.absolute()
    return folder.with_name(f".{folder.name}.previous") if folder.name else folder


def _machine_id() -> str:
    """Returns a short hash of the host name: a file name has 255 bytes, of which a host name could take 64."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_in_use(draft: Path) -> bool:
    """Returns whether another process may still be writing a draft."""
    machine, _, process = draft.name.removesuffix(".draft").rpartition(".")[2].partition("-")
    if not draft.name.endswith(".draft") or not process.isdecimal():  # Quagga 0.1 did not say who writes
        return False
    if machine == _machine_id():
        import psutil  # which loading a model need not wait for

        return int(process) != os.getpid() and psutil.pid_exists(int(process))
    with suppress(OSError):
        newest = max(path.lstat().st_mtime for path in (draft, *draft.glob("*")))
        return time.time() - newest < STALE_AFTER
    return False


def _delete(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        with suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
