"""Before the first step, the processes of a run check that all can train, and that all have the same settings.

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

from quagga import __version__
from quagga.data.loading.row_order import Rows
from quagga.errors import BadInput
from quagga.training.option_comparison import abbreviate

# Machines may keep the pictures in different places and read them differently; which pictures they are is compared.
PER_MACHINE_OPTIONS = {"root", "x", "y", "table", "pictures", "pairs", "workers", "worker_timeout", "cache"}
COMPARED_ROWS = 1000  # rows whose files are compared by name
MAX_DIFFERENCES = 3  # differences in a message
FAILURE_WAIT = 5.0  # seconds: a process that fails alone says why within 3, see `quagga.cli.main.print_error`


class ProcessReport(NamedTuple):
    """What one process reports to the others."""

    machine: str
    failure: str | None  # why it cannot go on; None: it can
    is_complete: bool  # whether `failure` is all that the user needs to know
    digests: Mapping[str, str]  # name -> digest of a setting that must be the same on all processes


class ProcessAgreement:
    """A block after which all processes go on together, or none does.

        with ProcessAgreement(accelerator) as agreement:
            ...  # each process by itself: no collective in here
            agreement.compare(settings)

    An exception within becomes a BadInput on all other processes. For a single process nothing is done.
    """

    def __init__(self, accelerator: Accelerator):
        self.is_settled = accelerator.num_processes == 1

    def __enter__(self) -> "ProcessAgreement":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.is_settled:
            return
        if error is None:
            self.compare(dict)
        elif isinstance(error, Exception):  # a signal is not reported: the launcher forwards it
            is_complete = isinstance(error, BadInput)
            reason = str(error).strip().splitlines()[-1] if is_complete else type(error).__name__
            with suppress(Exception):  # if another process has ended too, this error is still the one to raise
                self._exchange(reason, is_complete, {})

    def compare(self, settings: Callable[[], Mapping[str, Any]]) -> None:
        """Waits for all processes and compares their settings.

        Args:
            settings: Returns what must be the same on all processes, under the names that a message uses.

        Raises:
            BadInput: a process has failed, or differs from the first; all processes raise it in the same words.
        """
        if self.is_settled:
            return
        own = settings()
        reports = self._exchange(None, True, {name: _digest(value) for name, value in own.items()})
        for rank, report in enumerate(reports):
            if report.failure is not None:
                if not report.is_complete:
                    sleep(FAILURE_WAIT)
                raise BadInput(f"{_process_name(rank, reports)} has failed before the first step: {report.failure}")
        others = [rank for rank, report in enumerate(reports) if report.digests != reports[0].digests]
        if not others:
            return
        first, other = reports[0].digests, reports[others[0]].digests
        names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        values = gather_object([{name: abbreviate(own.get(name, "not known")) for name in names}])
        differences = [f"{name} is {values[others[0]][name]}, not {values[0][name]}" for name in names]
        more = f"; and {len(differences) - MAX_DIFFERENCES} more" if len(differences) > MAX_DIFFERENCES else ""
        also = f" (and {len(others) - 1} others do)" if len(others) > 1 else ""
        raise BadInput(
            f"{_process_name(others[0], reports)} differs from process 0{also}:"
            f" {'; '.join(differences[:MAX_DIFFERENCES])}{more}: give all processes of a run the same command, the same"
            " pictures and the same version of Quagga"
        )

    def _exchange(self, failure: str | None, is_complete: bool, digests: Mapping[str, str]) -> list[ProcessReport]:
        """Returns the reports of all processes, by rank."""
        self.is_settled = True
        return gather_object([ProcessReport(socket.gethostname(), failure, is_complete, digests)])


def shared_settings(config: Mapping[str, Any], rows: Rows, length: int) -> dict[str, Any]:
    """Returns what must be the same on all processes of a run, by the names that a message uses. Reads the first row.

    Args:
        config: all options, with what the data determine.
        rows: the training data.
        length: images of the run.
    """
    first = {name: torch.as_tensor(value) for name, value in rows.sample(0).tensors.items()}
    compared = range(min(rows.images_per_epoch, COMPARED_ROWS))
    files = [name.replace("\\", "/").rpartition("/")[-1] for row in compared for name in rows.files(row)]
    return {
        "the version of Quagga": __version__,
        **{f"--{name}": value for name, value in config.items() if name not in PER_MACHINE_OPTIONS},
        "the number of images in the run": length,
        "the number of images in an epoch": rows.images_per_epoch,
        "the format of the pictures": {side: tuple(pixel_format) for side, pixel_format in rows.forms.items()},
        "the size of a row": {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in first.items()},
        "the list of pictures": ", ".join(files),
    }


def _digest(value: Any) -> str:
    return blake2b(repr(value).encode(), digest_size=16).hexdigest()


def _process_name(rank: int, reports: list[ProcessReport]) -> str:
    """Returns what a message calls a process, with its machine if there are several."""
    machine = reports[rank].machine
    return f"process {rank}" + (f" (on {machine})" if len({report.machine for report in reports}) > 1 else "")
