"""A run folder is played in by one run at a time."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from quagga import BadInput
from quagga.pipelines.whole import check_folder

LOCK = ".lock"


class Lost(BadInput):
    """The folder is no longer this run's: nothing more may be written into it."""


@dataclass(frozen=True)
class Lock:
    """The lock of a folder, held by this process.

    Args:
        folder: The folder.
        file: Device and inode of the file in it that is locked; None on a file system without locks.
    """

    folder: Path
    file: tuple[int, int] | None

    def check(self) -> None:
        """Raises Lost where the folder was deleted or moved: another run may have begun in its place."""
        if self.is_lost():
            raise Lost(
                f"{self.folder} was deleted, moved or given to another run while this run played in it, which stops and"
                " writes nothing more: move it back and the same command goes on, or choose another --output"
            )

    def is_lost(self) -> bool:
        """Whether the folder's path no longer leads to the file that is locked."""
        if self.file is None:
            return False
        try:
            return _identity(self.folder) != self.file
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # a network disk that does not answer: that tells nothing
            return False


@contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Makes the folder and holds its lock, which the system releases when the process ends, however it ends.

    Raises:
        BadInput: another run holds it, or the folder cannot be made.
    """
    check_folder(folder)
    owner = folder / ".owner"  # not in the locked file itself, which the next one to ask would empty
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
        held = Lock(folder, _identity(folder))
        owner.write_text(json.dumps({"process": os.getpid(), "machine": socket.gethostname()}))
    except Timeout:
        raise BadInput(f"{folder} is being played in{_by(owner)}: stop that run, or choose another --output") from None
    except NotImplementedError:  # a file system without locks: better unlocked than not at all
        yield Lock(folder, None)
        return
    except OSError as error:
        raise BadInput(f"cannot write into {folder} ({error.strerror}): choose another --output") from error
    try:
        yield held
    finally:
        if not held.is_lost():  # else it is another run's
            with suppress(OSError):
                owner.unlink(missing_ok=True)
        lock.release()


def _identity(folder: Path) -> tuple[int, int]:
    status = (folder / LOCK).stat()
    return status.st_dev, status.st_ino


def _by(owner: Path) -> str:
    try:
        who = json.loads(owner.read_text())
        return f" by process {who['process']} on {who['machine']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
