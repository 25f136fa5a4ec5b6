"""A run folder is played in by one run at a time."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from quagga import BadInput


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and holds its lock, which the system releases when the process ends, however it ends.

    Raises:
        BadInput: another run holds it, or the folder cannot be made.
    """
    owner = folder / ".owner"  # not in the locked file itself, which the next one to ask would empty
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
        owner.write_text(json.dumps({"process": os.getpid(), "machine": socket.gethostname()}))
    except Timeout:
        raise BadInput(f"{folder} is being played in{_by(owner)}: stop that run, or choose another --output") from None
    except NotImplementedError:  # a file system without locks: better unlocked than not at all
        yield
        return
    except OSError as error:
        raise BadInput(f"cannot write into {folder} ({error.strerror}): choose another --output") from error
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _by(owner: Path) -> str:
    try:
        who = json.loads(owner.read_text())
        return f" by process {who['process']} on {who['machine']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
