"""Reading rows: here when they are asked for, in a thread ahead of time, or by workers.

What comes is the same however it is read, see `quagga.data.rows`. A worker that dies, hangs or raises is one sentence
that names its files.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from quagga import BadInput
from quagga.data.rows import Batch, Batches, DataFault, Sample, Source

Whole = Callable[[np.ndarray], Batch | None]  # int64 (N,), numbers of rows -> the rows, stacked
Results = Generator["Sample | _Complaint", None, None]

AHEAD = 2  # batches that a thread has ready
POLL = 1.0  # seconds between two looks at whether the workers live
HINTS = {
    "SIGKILL": "often that means that memory ran out: lower --workers",
    "SIGBUS": "often that means that shared memory ran out: lower --workers, or give the container a larger --shm-size",
}


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
    if whole and workers:
        results = _in_a_thread(_Desk(source, 0, whole), numbers)
    else:
        results = _by_workers(_Desk(source, workers, whole), numbers, workers, timeout, start_method)
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


def _in_a_thread(desk: _Desk, numbers: _RowNumbers) -> Results:
    """Batches are made ahead of time, beside the training step."""
    of = iter(numbers)

    def made(rows: list[int]) -> Sample | _Complaint:
        return _pinned(desk.__getitems__(rows))

    # One thread: more would only take turns, as half of the work is Python's.
    pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
    try:
        due = deque(pool.submit(made, next(of)) for _ in range(AHEAD))
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
