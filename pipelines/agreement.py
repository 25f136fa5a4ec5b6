"""Several processes play one run: before the first step they hear whether all can, and whether all play the same.

A process that ends on its own, or counts other steps than the rest, leaves them waiting in a collective.
"""

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import blake2b
from time import sleep
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from quagga import BadInput, __version__
from quagga.data.rows import Rows
from quagga.pipelines.resume import short

# Where a machine keeps the pictures and how it reads them is its own affair; which pictures they are is compared.
OWN = {"root", "x", "y", "table", "pictures", "pairs", "workers", "worker_timeout", "cache"}
NAMED_ROWS = 1000  # rows whose files are compared by name
SHOWN = 3  # differences in a message
WAIT = 5.0  # seconds: a process that fails alone says why within 3, see `quagga.pipelines.cli.complain`


class Word(NamedTuple):
    """What one process tells the others."""

    machine: str
    failure: str | None  # why it cannot go on; None: it can
    whole: bool  # whether that is all that the user need know of it
    parts: Mapping[str, str]  # name -> digest of what must be the same on all processes


class Meeting:
    """All processes go on together, or none does.

        with Meeting(accelerator) as meeting:
            ...  # each by itself: no collective in here
            meeting.compare(parts)

    An exception within becomes a BadInput on all other processes. For one process alone nothing is done.
    """

    def __init__(self, accelerator: Accelerator):
        self.over = accelerator.num_processes == 1

    def __enter__(self) -> "Meeting":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.over:
            return
        if error is None:
            self.compare(dict)
        elif isinstance(error, Exception):  # not a signal: the launcher passes it on
            whole = isinstance(error, BadInput)
            reason = str(error).strip().splitlines()[-1] if whole else type(error).__name__
            with suppress(Exception):  # where another process has gone too, this error is still the one to raise
                self._tell(reason, whole, {})

    def compare(self, parts: Callable[[], Mapping[str, Any]]) -> None:
        """Waits for all processes. parts: gives what must be the same on all of them, by the names a message calls it.

        Raises:
            BadInput: a process has failed, or differs from the first; all processes raise it in the same words.
        """
        if self.over:
            return
        own = parts()
        words = self._tell(None, True, {name: _digest(value) for name, value in own.items()})
        for rank, word in enumerate(words):
            if word.failure is not None:
                if not word.whole:
                    sleep(WAIT)
                raise BadInput(f"{_process(rank, words)} has failed before the first step: {word.failure}")
        others = [rank for rank, word in enumerate(words) if word.parts != words[0].parts]
        if not others:
            return
        first, other = words[0].parts, words[others[0]].parts
        names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        values = gather_object([{name: short(own.get(name, "not known")) for name in names}])
        told = [f"{name} is {values[others[0]][name]}, not {values[0][name]}" for name in names]
        more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        also = f" (and {len(others) - 1} others do)" if len(others) > 1 else ""
        raise BadInput(
            f"{_process(others[0], words)} differs from process 0{also}: {'; '.join(told[:SHOWN])}{more}: give all"
            " processes of a run the same command, the same pictures and the same version of Quagga"
        )

    def _tell(self, failure: str | None, whole: bool, parts: Mapping[str, str]) -> list[Word]:
        """What all processes say, by rank."""
        self.over = True
        return gather_object([Word(socket.gethostname(), failure, whole, parts)])


def parts_of(config: Mapping[str, Any], rows: Rows, length: int) -> dict[str, Any]:
    """What must be the same on all processes of a run. Reads the first row.

    Args:
        config: all options, with what the data know.
        rows: what is trained on.
        length: images of the run.
    """
    first = {name: torch.as_tensor(value) for name, value in rows.sample(0).tensors.items()}
    named = range(min(rows.images_per_epoch, NAMED_ROWS))
    files = [name.replace("\\", "/").rpartition("/")[-1] for row in named for name in rows.files(row)]
    return {
        "the version of Quagga": __version__,
        **{f"--{name}": value for name, value in config.items() if name not in OWN},
        "the number of images in the run": length,
        "the number of images in an epoch": rows.images_per_epoch,
        "the form of the pictures": {side: tuple(form) for side, form in rows.forms.items()},
        "the size of a row": {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in first.items()},
        "the list of pictures": ", ".join(files),
    }


def _digest(value: Any) -> str:
    return blake2b(repr(value).encode(), digest_size=16).hexdigest()


def _process(rank: int, words: list[Word]) -> str:
    """What a message calls a process: its machine too where there are several."""
    machine = words[rank].machine
    return f"process {rank}" + (f" (on {machine})" if len({word.machine for word in words}) > 1 else "")
