"""The lock of a run's folder: one run at a time writes into it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from quagga.atomic import check_folder
from quagga.errors import BadInput

LOCK_FILE = ".lock"


class LockLost(BadInput):
    """The folder no longer belongs to this run, which must not write into it."""


@dataclass(frozen=True)
class FolderLock:
    """A folder's lock, held by this process.

    Args:
        folder: The folder.
        file_id: Device and inode of the locked file in it; None on a file system without locks.
    """

    folder: Path
    file_id: tuple[int, int] | None

    def check(self) -> None:
        """Raises LockLost where the folder was deleted or moved: another run may have begun in its place."""
        if self.is_lost():
            raise LockLost(
                f"{self.folder} was deleted, moved or given to another run while this run was using it, so this run"
                " stops and writes nothing more: move it back and the same command goes on, or choose another --output"
            )

    def is_lost(self) -> bool:
        """Returns whether the folder's path no longer leads to the locked file."""
        if self.file_id is None:
            return False
        try:
            return _lock_file_id(self.folder) != self.file_id
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # a network disk that does not answer: nothing is known
            return False


@contextmanager
def hold_lock(folder: Path) -> Iterator[FolderLock]:
    """Creates the folder and holds its lock within the block. The system releases it when the process ends, however it
    ends.

    Raises:
        BadInput: another run holds it, or the folder cannot be created.
    """
    check_folder(folder)
    owner = folder / ".owner"  # not in the locked file itself, which the next process to try would empty
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE)
        lock.acquire(timeout=0)
        held = FolderLock(folder, _lock_file_id(folder))
        owner.write_text(json.dumps({"process": os.getpid(), "machine": socket.gethostname()}))
    except Timeout:
        raise BadInput(f"{folder} is in use{_owner_text(owner)}: stop that run, or choose another --output") from None
    except NotImplementedError:  # a file system without locks: a run without a lock is better than none
        yield FolderLock(folder, None)
        return
    except OSError as error:
        raise BadInput(f"cannot write into {folder} ({error.strerror}): choose another --output") from error
    try:
        yield held
    finally:
        if not held.is_lost():  # otherwise it is another run's
            with suppress(OSError):
                owner.unlink(missing_ok=True)
        lock.release()


def _lock_file_id(folder: Path) -> tuple[int, int]:
    status = (folder / LOCK_FILE).stat()
    return status.st_dev, status.st_ino


def _owner_text(owner: Path) -> str:
    try:
        holder = json.loads(owner.read_text())
        return f" by process {holder['process']} on {holder['machine']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
