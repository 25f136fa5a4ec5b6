"""Reads rows: in this process when they are asked for, in a thread ahead of time, or in worker processes.

The rows are the same however they are read, see `quagga.data.loading.row_order`. A worker that dies, hangs or raises is
reported in one sentence that names its files.
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

from quagga.data.loading.row_order import Batch, Batches, DataFault, Sample, Source
from quagga.errors import BadInput, one_line

ReadBatch = Callable[[np.ndarray], Batch | None]  # int64 (N,), numbers of rows -> the rows, stacked
Results = Generator["Sample | _WorkerError", None, None]

BATCHES_AHEAD = 2  # batches that a thread has ready
POLL_SECONDS = 1.0  # seconds between two looks at whether the workers live
SIGNAL_HINTS = {
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
    read_batch: ReadBatch | None = None,
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
        read_batch: Reads a whole batch at once, where pictures are in memory and only cut; returns None where one is
            not there. Then no worker is asked, since handing over takes longer; with workers above 0 a thread makes
            batches ahead.

    Closing the iterator ends the workers.

    Raises:
        BadInput: the user's data cannot be read.
        DataFault: a worker died, hung or raised anything else.
    """
    numbers = _RowNumbers(from_row, batch_size, process, processes)
    if read_batch and workers:
        results = _in_a_thread(_RowDataset(source, 0, read_batch), numbers)
    else:
        results = _by_workers(_RowDataset(source, workers, read_batch), numbers, workers, timeout, start_method)
    with closing(results):
        for result in results:
            if isinstance(result, _WorkerError):
                raise result.error()
            if on_skip and result.skipped:
                on_skip(result.skipped)
            yield result.tensors


class _WorkerError(NamedTuple):
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


class _RowDataset(Dataset):
    """Reads rows, and records which one each worker is reading, so that the message about a dead worker can name it."""

    def __init__(self, source: Source, workers: int, read_batch: ReadBatch | None = None):
        self.source, self.read_batch = source, read_batch
        self.pids = torch.zeros(workers, dtype=torch.int64).share_memory_()
        self.rows = torch.full((workers,), -1, dtype=torch.int64).share_memory_()

    def __getitems__(self, rows: list[int]) -> Sample | _WorkerError:
        batch = None
        if self.read_batch is not None:
            with suppress(Exception):  # one by one it happens again, and is told with its row
                batch = self.read_batch(np.array(rows))
        if batch is not None:
            return Sample({**batch, "row": torch.tensor(rows)})
        return _collated([self[row] for row in rows])

    def __getitem__(self, row: int) -> Sample | _WorkerError:
        worker = get_worker_info()
        if worker is not None:
            self.rows[worker.id] = row
        try:
            sample = self.source.sample(row)
        except BadInput as error:
            return _WorkerError(str(error), True, "")
        except Exception as error:
            what = one_line(f"{type(error).__name__}: {error}", None)
            line = f"reading row {row} ({self.names(row)}) failed: {what}"
            return _WorkerError(line, False, traceback.format_exc())
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


def _collated(samples: Sequence[Sample | _WorkerError]) -> Sample | _WorkerError:
    complaint = next((sample for sample in samples if isinstance(sample, _WorkerError)), None)
    if complaint:
        return complaint
    rows = [sample for sample in samples if isinstance(sample, Sample)]
    return Sample(default_collate([row.tensors for row in rows]), [line for row in rows for line in row.skipped])


def _in_a_thread(dataset: _RowDataset, numbers: _RowNumbers) -> Results:
    """Batches are made ahead of time, beside the training step."""
    of = iter(numbers)

    def made(rows: list[int]) -> Sample | _WorkerError:
        return _pinned(dataset.__getitems__(rows))

    # One thread: more would only take turns, as half of the work is Python's.
    pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
    try:
        due = deque(pool.submit(made, next(of)) for _ in range(BATCHES_AHEAD))
        while True:
            due.append(pool.submit(made, next(of)))
            yield due.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _by_workers(
    dataset: _RowDataset, numbers: _RowNumbers, workers: int, timeout: float, start_method: str | None
) -> Results:
    """Without workers each is read here when it is asked for."""
    loader = DataLoader(
        dataset,
        batch_sampler=numbers,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        timeout=POLL_SECONDS if workers else 0,
        worker_init_fn=partial(_start_worker, dataset) if workers else None,
        multiprocessing_context=start_method if workers else None,
        generator=torch.Generator(),  # else it would draw from torch's own and change what the run draws
    )
    others, handler = set(multiprocessing.active_children()), _child_handler()
    iterator = iter(loader)
    worker_processes = [child for child in multiprocessing.active_children() if child not in others]
    if handler is not None and handler is not _child_handler():
        # The loader's handler for dead children would raise amid a training step. `_next` looks for them where we wait.
        signal.signal(signal.SIGCHLD, handler)
    try:
        while True:
            yield _next(iterator, dataset, worker_processes, timeout)
    except DataFault:
        for worker in worker_processes:  # one that hangs would not hear of the end
            worker.kill()
        raise
    finally:
        del iterator
        for worker in worker_processes:  # they do not hear SIGTERM, which is the loader's last word
            if worker.is_alive():
                worker.kill()


def _pinned(result: Sample | _WorkerError) -> Sample | _WorkerError:
    """In memory from which a GPU can take it while the host goes on."""
    if isinstance(result, _WorkerError) or not torch.cuda.is_available():
        return result
    return result._replace(tensors={name: tensor.pin_memory() for name, tensor in result.tensors.items()})


def _as_it_is(batch: Any) -> Sample | _WorkerError:
    return batch


def _start_worker(dataset: _RowDataset, worker: int) -> None:
    dataset.pids[worker] = os.getpid()
    cv2.setNumThreads(0)  # workers are the threads; after a fork OpenCV's own can hang
    # A signal sent to the whole process group is for the main process: it finishes its step, for which it needs its
    # workers, and then ends them.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _next(iterator: Iterator, dataset: _RowDataset, worker_processes: list, timeout: float) -> Sample | _WorkerError:
    """The next batch, or a fault where the worker that owes it is dead or silent for `timeout` seconds."""
    waited = 0.0
    while True:
        try:
            return next(iterator)
        except (RuntimeError, OSError, EOFError) as error:
            slow = "timed out" in str(error)
            # A broken connection can be seen a moment before the end of the process that broke it.
            ended = multiprocessing.connection.wait(
                [worker.sentinel for worker in worker_processes], 0 if slow else 1.0
            )
            for worker in worker_processes:
                if worker.sentinel in ended:
                    worker.join()  # for its exit code
                    raise DataFault(_worker_failure(worker, dataset)) from None
            if not slow:
                raise DataFault(f"the data workers failed: {one_line(error, None)}") from error
            waited += POLL_SECONDS
            if waited >= timeout:
                reading = ";".join(filter(None, (dataset.read_by(worker.pid) for worker in worker_processes)))
                raise DataFault(
                    f"no batch for {waited:.0f} s: the data workers hang{reading}; raise --worker_timeout if the disk"
                    " is only slow"
                ) from None


def _worker_failure(worker: multiprocessing.Process, dataset: _RowDataset) -> str:
    code = worker.exitcode or 0
    killer = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    end = f"was killed by {killer}" if code < 0 else f"exited with code {code}"
    hint = SIGNAL_HINTS.get(killer, "--workers 0 reads in the main process and shows more")
    return f"a data worker {end}{dataset.read_by(worker.pid)}; {hint}"


def _child_handler() -> Any:
    return signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
