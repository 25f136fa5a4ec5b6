"""Rows: what a run sees, in an order that depends on nothing but its seed.

Row n is a pure function of (seed, n). So any number of workers and processes sees the same rows, what workers have read
ahead is no state, and a run resumes exactly from the number of its next row. This module knows no kind of data: a
`Source` says what a row is, `batches` reads them.
"""

import hashlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from quagga import BadInput
from quagga.data.form import Form

Batch = dict[str, Tensor]
Batches = Generator[Batch, None, None]  # without end; closing it ends the workers
Results = Generator["Sample | _Complaint", None, None]
Read, Named = TypeVar("Read"), TypeVar("Named")
Whole = Callable[[np.ndarray], Batch | None]  # int64 (N,), numbers of rows -> the rows, stacked

AHEAD = 2  # batches that a thread has ready
POLL = 1.0  # seconds between two looks at whether the workers live
HINTS = {
    "SIGKILL": "often that means that memory ran out: lower --workers",
    "SIGBUS": "often that means that shared memory ran out: lower --workers, or give the container a larger --shm-size",
}


class DataFault(RuntimeError):
    """A worker died, hung or raised. One sentence that names the files."""


class Sample(NamedTuple):
    """One row, read."""

    tensors: dict[str, Tensor]
    skipped: Sequence[str] = ()  # what could not be read and was replaced, "path: why"


class Source(Protocol):
    """What a kind of data has to say for its rows to be read."""

    def sample(self, row: int) -> Sample:
        """A row, numbered from 0 on without end: tensors of the same names, shapes and dtypes for all rows, without N.

        Raises:
            BadInput: it cannot be read, and nothing may take its place. (Anything else becomes a `DataFault`.)
        """

    def files(self, row: int) -> list[str]:
        """Paths or other names, for messages: what the row asks for, whether or not it could be read."""


class Rows(Source, Protocol):
    """What a kind of data has to say to be trained on: `Unpaired` and its kin, or your own class."""

    forms: Mapping[str, Form]  # side -> channels, kind and value range of its pictures
    notices: Sequence[str]  # what the user should hear before training
    skipped: Mapping[str, int]  # "path: why" -> how often another picture took its place

    @property
    def title(self) -> str:
        """ "horse2zebra": a name for the data; a run's folder is runs/<title>-<pipeline> where none is named."""

    @property
    def images_per_epoch(self) -> int:
        """Rows of one pass over the data, 1 or more: by it epochs become images."""

    def check(self, global_batch: int) -> None:
        """Is called once, before training. global_batch: rows of a step, of all processes and micro-batches.

        Raises:
            BadInput: there are fewer, or no such batch can be made.
        """

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """This process's batches, without end, shared out as by the function `batches`; pictures are (N, C, H, W),
        floats in [-1, 1] or bytes, of which the trainer makes such floats on its device.

        Raises:
            BadInput: the data cannot be read.
            DataFault: a worker died, hung or raised anything else.
        """

    def held_out(self, count: int) -> Batch:
        """Up to `count` rows, 1 or more, that training never sees, unaugmented, the same every time: pictures, and what
        else `visualize` and `examine` read; "row" counts from 0.

        Raises:
            BadInput: they cannot be read.
        """

    def preprocessing(self) -> dict[str, Any]:
        """What was done to the pictures, for the model to carry along (JSON): with `load_size` in pixels and `fit`, by
        which pictures are later translated at the scale of training."""

    def domains(self) -> dict[str, dict[str, Any]]:
        """Side -> name, channels, value_range and kind of its pictures, for the model to carry along (JSON)."""

    def known(self) -> dict[str, Any]:
        """Options of `build` that follow from the data -> their values, which heed what the user has said. {}: none."""


# -- which picture is in which row ------------------------------------------------------------------------------------


def key(*parts: int | str) -> int:
    """A number of 64 bits from a seed and what it is for: `key(seed, "x", row)`. The same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=8)
def order(seed: int, stream: str, epoch: int, size: int) -> np.ndarray:
    """A permutation of `size` numbers for one pass through one side."""
    # The raw output of a bit generator stays the same from one numpy to the next; `permutation` promises no such thing.
    return np.random.Philox(key=key(seed, stream, epoch)).random_raw(size).argsort(kind="stable")


def place(seed: int, stream: str, row: int, size: int) -> Iterator[int]:
    """The number (0 to size - 1) of the picture that row `row` takes, then those that replace it if it is unreadable.

    A side is an endless stream: pass after pass through all its pictures, each pass in a new order. So every picture is
    seen equally often, whatever the size of the other side.
    """
    epoch, position = divmod(row, size)
    numbers = order(seed, stream, epoch, size)
    for step in range(size):
        yield int(numbers[(position + step) % size])


def places(seed: int, stream: str, rows: np.ndarray, size: int) -> np.ndarray:
    """What `place` says first of each row."""
    epochs, positions = np.divmod(rows, size)
    found = np.empty_like(rows)
    for epoch in np.unique(epochs):
        found[epochs == epoch] = order(seed, stream, int(epoch), size)[positions[epochs == epoch]]
    return found


def first_readable(read: Callable[[Named], Read], names: Iterator[Named], skip: bool) -> tuple[Read, list[str]]:
    """The first picture that can be read, by its path or number, and why those before it could not; without `skip` the
    first must."""
    skipped: list[str] = []
    for name in names:
        try:
            return read(name), skipped
        except BadInput as error:
            if not skip:
                raise
            skipped.append(str(error))
    raise BadInput(f"none of {len(skipped)} pictures can be read; the first is {skipped[0]}")


# -- reading them -----------------------------------------------------------------------------------------------------


def batches(
    source: Source,
    from_row: int,
    batch_size: int,
    process: int = 0,
    processes: int = 1,
    workers: int = 0,
    timeout: float = 300.0,
    on_skip: Callable[[Sequence[str]], None] | None = None,
    start_method: str | None = None,
    whole: Whole | None = None,
) -> Batches:
    """Endless batches of consecutive rows: the source's tensors stacked, and "row", their numbers, int64 (N,).

    Global batch j is the rows from_row + j B P to from_row + (j + 1) B P; each process takes its B consecutive ones.

    Args:
        source: What a row is. Pickled where workers are spawned.
        from_row: The first row.
        batch_size: B, rows a batch and process.
        process: Number of this process, 0 to processes - 1.
        processes: P.
        workers: Processes that read ahead. 0: read here, when asked.
        timeout: Seconds to wait for a batch until its worker counts as hanging. Not heeded without workers.
        on_skip: Told of pictures that were replaced, when their batch is handed out.
        start_method: "fork", "spawn", "forkserver". None: the system's.
        whole: What makes the same batch at once, or nothing of it, where pictures are in memory and only cut. Then no
            worker is asked, as handing over takes longer; if there were to be any, a thread makes batches ahead.

    Closing the iterator ends the workers.

    Raises:
        BadInput: the user's data cannot be read, or the rows' own complaint.
        DataFault: a worker died, hung or raised anything else.
    """
    numbers = _RowNumbers(from_row, batch_size, process, processes)
    if whole:
        results = _in_a_thread(_Desk(source, 0, whole), numbers, ahead=AHEAD if workers else 0)
    else:
        results = _by_workers(_Desk(source, workers), numbers, workers, timeout, start_method)
    with closing(results):
        for result in results:
            if isinstance(result, _Complaint):
                raise result.error()
            if on_skip and result.skipped:
                on_skip(result.skipped)
            yield result.tensors


class _Complaint(NamedTuple):
    """An exception on its way from a worker: as data, since raised there it would arrive as a page of text."""

    line: str
    bad_input: bool
    trace: str

    def error(self) -> Exception:
        if self.bad_input:
            return BadInput(self.line)
        fault = DataFault(self.line)
        fault.add_note(self.trace)
        return fault


class _Desk(Dataset):
    """Reads rows, and leaves word of the one it is at, for the case that nothing else is heard of it."""

    def __init__(self, source: Source, workers: int, whole: Whole | None = None):
        self.source, self.whole = source, whole
        self.pids = torch.zeros(workers, dtype=torch.int64).share_memory_()
        self.rows = torch.full((workers,), -1, dtype=torch.int64).share_memory_()

    def __getitems__(self, rows: list[int]) -> Sample | _Complaint:
        batch = None
        if self.whole is not None:
            with suppress(Exception):  # one by one it happens again, and is told with its row
                batch = self.whole(np.array(rows))
        if batch is not None:
            return Sample({**batch, "row": torch.tensor(rows)})
        return _collated([self[row] for row in rows])

    def __getitem__(self, row: int) -> Sample | _Complaint:
        worker = get_worker_info()
        if worker is not None:
            self.rows[worker.id] = row
        try:
            sample = self.source.sample(row)
        except BadInput as error:
            return _Complaint(str(error), True, "")
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            line = f"reading row {row} ({self.names(row)}) failed: {what}"
            return _Complaint(line, False, traceback.format_exc())
        if worker is not None:
            self.rows[worker.id] = -1
        return Sample({**sample.tensors, "row": torch.tensor(row)}, sample.skipped)

    def names(self, row: int) -> str:
        return ", ".join(self.source.files(row))

    def read_by(self, pid: int | None) -> str:
        """What the worker with this process number was reading; empty between two rows."""
        for at, row in zip(self.pids.tolist(), self.rows.tolist(), strict=True):
            if at == pid and row >= 0:
                return f" while reading row {row}: {self.names(row)}"
        return ""


class _RowNumbers:
    """The numbers of this process's rows, batch after batch, without end."""

    def __init__(self, from_row: int, batch_size: int, process: int, processes: int):
        self.first, self.size, self.stride = from_row + process * batch_size, batch_size, batch_size * processes

    def __iter__(self) -> Iterator[list[int]]:
        start = self.first
        while True:
            yield list(range(start, start + self.size))
            start += self.stride


def _collated(samples: Sequence[Sample | _Complaint]) -> Sample | _Complaint:
    complaint = next((sample for sample in samples if isinstance(sample, _Complaint)), None)
    if complaint:
        return complaint
    rows = [sample for sample in samples if isinstance(sample, Sample)]
    return Sample(default_collate([row.tensors for row in rows]), [line for row in rows for line in row.skipped])


def _in_a_thread(desk: _Desk, numbers: _RowNumbers, ahead: int) -> Results:
    """So many batches are made ahead of time, beside the training step; 0: each when it is asked for."""
    of = iter(numbers)
    if not ahead:
        while True:
            yield _pinned(desk.__getitems__(next(of)))

    def made(rows: list[int]) -> Sample | _Complaint:
        return _pinned(desk.__getitems__(rows))

    # One thread: more would only take turns, as half of the work is Python's.
    pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
    try:
        due = deque(pool.submit(made, next(of)) for _ in range(ahead))
        while True:
            due.append(pool.submit(made, next(of)))
            yield due.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _by_workers(desk: _Desk, numbers: _RowNumbers, workers: int, timeout: float, start_method: str | None) -> Results:
    """Without workers each is read here when it is asked for."""
    loader = DataLoader(
        desk,
        batch_sampler=numbers,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        timeout=POLL if workers else 0,
        worker_init_fn=partial(_sit_down, desk) if workers else None,
        multiprocessing_context=start_method if workers else None,
        generator=torch.Generator(),  # else it would draw from torch's own and change what the run draws
    )
    others, handler = set(multiprocessing.active_children()), _child_handler()
    iterator = iter(loader)
    crew = [child for child in multiprocessing.active_children() if child not in others]
    if handler is not None and handler is not _child_handler():
        # The loader's handler for dead children would raise amid a training step. `_next` looks for them where we wait.
        signal.signal(signal.SIGCHLD, handler)
    try:
        while True:
            yield _next(iterator, desk, crew, timeout)
    except DataFault:
        for worker in crew:  # one that hangs would not hear of the end
            worker.kill()
        raise
    finally:
        del iterator
        for worker in crew:  # they do not hear SIGTERM, which is the loader's last word
            if worker.is_alive():
                worker.kill()


def _pinned(result: Sample | _Complaint) -> Sample | _Complaint:
    """In memory from which a GPU can take it while the host goes on."""
    if isinstance(result, _Complaint) or not torch.cuda.is_available():
        return result
    return result._replace(tensors={name: tensor.pin_memory() for name, tensor in result.tensors.items()})


def _as_it_is(batch: Any) -> Sample | _Complaint:
    return batch


def _sit_down(desk: _Desk, worker: int) -> None:
    desk.pids[worker] = os.getpid()
    cv2.setNumThreads(0)  # workers are the threads; after a fork OpenCV's own can hang
    # What is sent to the whole group is for the main process: it finishes its step, for which it needs its workers, and
    # then ends them.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _next(iterator: Iterator, desk: _Desk, crew: list, timeout: float) -> Sample | _Complaint:
    """The next batch, or a fault where the worker that owes it is dead or silent for `timeout` seconds."""
    waited = 0.0
    while True:
        try:
            return next(iterator)
        except (RuntimeError, OSError, EOFError) as error:
            slow = "timed out" in str(error)
            # A broken connection can be seen a moment before the end of the process that broke it.
            ended = multiprocessing.connection.wait([worker.sentinel for worker in crew], 0 if slow else 1.0)
            for worker in crew:
                if worker.sentinel in ended:
                    worker.join()  # for its exit code
                    raise DataFault(_obituary(worker, desk)) from None
            if not slow:
                raise DataFault(f"the data workers failed: {' '.join(str(error).split())}") from error
            waited += POLL
            if waited >= timeout:
                reading = ";".join(filter(None, (desk.read_by(worker.pid) for worker in crew)))
                raise DataFault(
                    f"no batch for {waited:.0f} s: the data workers hang{reading}; raise --worker_timeout if the disk"
                    " is only slow"
                ) from None


def _obituary(worker: multiprocessing.Process, desk: _Desk) -> str:
    code = worker.exitcode or 0
    killer = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    end = f"was killed by {killer}" if code < 0 else f"exited with code {code}"
    hint = HINTS.get(killer, "--workers 0 reads in the main process and shows more")
    return f"a data worker {end}{desk.read_by(worker.pid)}; {hint}"


def _child_handler() -> Any:
    return signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
