"""An entry of the plan: some steps of a game at one batch and size, their time and their memory.

On a GPU all entries are played in one process, which catches what does not fit. On the CPU the system would kill it, so
each has a process of its own, whose largest memory the system knows.

Networks are played as written, since to compile them takes minutes an entry, and of pictures that are to stay in memory
an entry reads a few, which stand in for the others: fed as in the run, without reading the whole set for every entry.
"""

import gc
import multiprocessing
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from signal import Signals
from time import perf_counter
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from torch import nn

from quagga import BadInput
from quagga.data.cache import Shelf, afford
from quagga.data.free import free_memory
from quagga.data.rows import DataFault, Rows
from quagga.pipelines.cli import OUT_OF_MEMORY, UNCOMPILED, exhausted
from quagga.pipelines.minimax import Trainer, networks_of
from quagga.pipelines.pace import Pace, pace_for, quicken
from quagga.pipelines.run import check_batch, rows_of, start, with_known
from quagga.pipelines.run_options import RunOptions
from quagga.pipelines.schedule import Schedule

FAR = 1 << 40  # images: no entry comes to the end of its game
WARM = 3  # steps before the clock counts; on the CPU one is enough where it is slow
STEPS = 1000  # at most
FEW = 256  # pictures of a shelf that an entry reads
OVER = "does not fit"
KILLED = ("SIGKILL", "SIGBUS")  # how the system ends a process for which there is no memory


@dataclass(frozen=True)
class Measured:
    """batch: rows of a process. images: of a step. step: its seconds. peak: bytes at most, and ground: bytes before the
    first step, both without kept: bytes of pictures that stay in the same memory. waited: share of a step. compiled:
    whether networks were. why: what stands in the way, and then the others are 0."""

    batch: int
    images: int = 0
    step: float = 0.0
    peak: int = 0
    ground: int = 0
    waited: float = 0.0
    kept: int = 0
    compiled: bool = False
    why: str = ""

    @property
    def rate(self) -> float:
        """Images/s."""
        return self.images / self.step

    @property
    def memory(self) -> int:
        """Bytes that a run takes at most."""
        return self.peak + self.kept

    @property
    def over(self) -> bool:
        """Whether it takes more memory than there is."""
        return self.why.startswith(OVER)

    @property
    def uncompiled(self) -> bool:
        """Whether it failed in ways that it may not have where nothing is compiled."""
        return self.why.startswith((OVER, UNCOMPILED))


@dataclass(frozen=True)
class Job:
    """What is to be played: what `quagga.pipelines.run.train` is given. compiled: whether networks may be compiled,
    which takes a minute or two for every batch and size. kept: bytes of pictures that stay in memory."""

    pipeline: str
    build: Callable[..., Any]
    data: Callable[..., Any]
    options: Mapping[str, Mapping[str, Any]]
    seconds: float
    compiled: bool = False
    kept: int = 0

    def of(self, batch_size: int, sizes: Mapping[str, int]) -> "Job":
        """The same at this batch, and at other sizes for all who take them."""
        sizes = {**sizes, "batch_size": batch_size}
        taken = {
            who: {name: sizes.get(name, value) for name, value in own.items()} for who, own in self.options.items()
        }
        return replace(self, options=taken)

    @property
    def schedule(self) -> Schedule:
        return Schedule(**self.options["schedule"])

    def prepared(self) -> tuple[Rows, Any]:
        """The rows and the game, on the CPU. Raises BadInput."""
        rows = rows_of(self.build, self.data, self.options)
        options, _ = with_known(self.options["build"], {}, rows.known())
        torch.manual_seed(self.schedule.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return rows, self.build(**options)


def begin(job: Job) -> Accelerator:
    """The device and the precision. Raises BadInput."""
    run = RunOptions(**job.options["run"])
    return start(run.device, run.mixed_precision, run.deterministic)


def pace_of(job: Job, accelerator: Accelerator, networks: Sequence[nn.Module] = ()) -> tuple[Pace, list[str]]:
    """The means of speed, and lines for the user about those that are missing. Where nothing is compiled, channels lie
    as they do in a run that is not compiled."""
    run = RunOptions(**job.options["run"])
    compiled = run.compile if job.compiled else False
    means = compiled, run.channels_last, run.gradient_checkpointing, run.deterministic
    return pace_for(accelerator.device, *means, networks, accelerator.mixed_precision)


def with_kept(job: Job, rows: Rows) -> tuple[Job, list[str]]:
    """The job that knows what the pictures take that its rows keep in memory, and a line that says it.

    Raises:
        BadInput: that is more than is free.
    """
    whole = kept_by(rows)
    if not whole:
        return replace(job, kept=0), []
    line = f"{afford(whole)}; an entry reads {FEW} at most of each folder, which stand in for the others"
    return replace(job, kept=sum(shelf.bytes for shelf in whole)), [line]


def kept_by(rows: Any) -> list[Shelf]:
    """Where rows keep pictures in memory; those from elsewhere may know no such thing."""
    return getattr(rows, "kept", [])


def stand_in(rows: Any) -> int:
    """Fills the rows' shelves with the first few pictures, in the others' places too; returns the bytes of the few."""
    filled = kept_by(rows)
    for shelf in filled:
        numbers, shelf.numbers = shelf.numbers, shelf.numbers[:FEW]
        shelf.fill(getattr(rows, "workers", 0))
        if read := list(shelf.where.values()):
            shelf.where = {number: read[at % len(read)] for at, number in enumerate(numbers)}
    return sum(shelf.bytes for shelf in filled)


def measure(job: Job, accelerator: Accelerator) -> Measured:
    """Plays an entry where it can do no harm."""
    return in_a_process(job) if accelerator.device.type == "cpu" else caught(job, accelerator)


def caught(job: Job, accelerator: Accelerator) -> Measured:
    """Plays an entry; what does not fit or cannot be played is said in it."""
    batch, why = job.options["schedule"]["batch_size"], ""
    try:
        return play(job, accelerator)
    except (BadInput, DataFault) as error:
        why = f"cannot be played: {' '.join(str(error).split())}"
    except Exception as error:
        said = exhausted(error) or ""
        if not said.startswith((OUT_OF_MEMORY, UNCOMPILED)):
            raise
        why = OVER if said.startswith(OUT_OF_MEMORY) else said
    finally:
        gc.collect()
        if accelerator.device.type in ("cuda", "mps"):
            getattr(torch, accelerator.device.type).empty_cache()
    return Measured(batch, why=why)


def play(job: Job, accelerator: Accelerator) -> Measured:
    """Raises BadInput, DataFault, or what torch raises where memory is out."""
    device = accelerator.device.type
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    schedule = replace(job.schedule, head_start=0, warmup=0)
    rows, game = job.prepared()
    few = stand_in(rows)
    rows.check(schedule.batch_size * schedule.accumulation)
    if getattr(rows, "cache", None) == "device":
        rows.on(accelerator.device)  # pyright: ignore[reportAttributeAccessIssue]
    check_batch(game, schedule.batch_size)
    networks = networks_of(game)
    pace, _ = pace_of(job, accelerator, networks)
    quicken(networks, pace)
    trainer = Trainer(game, schedule, FAR, accelerator)
    ground = psutil.Process().memory_info().rss
    with closing(rows.batches(0, schedule.batch_size)) as stream:
        step, waited = timed(trainer, trainer.play(lambda _row: stream), job.seconds, 1 if device == "cpu" else WARM)
    peak = {"cuda": torch.cuda.max_memory_allocated, "mps": torch.mps.driver_allocated_memory}.get(device, largest)()
    peak = max(peak, ground) if device == "cpu" else peak  # the system counts the two in different ways
    peak, ground, kept = (peak - few, ground - few, job.kept) if device == "cpu" else (peak, 0, 0)
    return Measured(schedule.batch_size, trainer.minibatch, step, peak, ground, waited, kept, pace.compile)


def timed(trainer: Trainer, steps: Iterator[int], seconds: float, warm: int) -> tuple[float, float]:
    """Seconds of a step, and the share of it that was spent waiting for data. warm: steps at least that come before."""
    begun, took = perf_counter(), 0.0
    for number in range(WARM):
        if number >= warm and perf_counter() - begun > seconds / 2:
            break
        at = perf_counter()
        next(steps)
        finish(trainer)
        took = perf_counter() - at
    count = max(1, min(STEPS, int(seconds / took)))
    trainer.waited, begun = 0.0, perf_counter()
    for _ in range(count):
        next(steps)
    finish(trainer)
    took = perf_counter() - begun
    return took / count, min(1.0, trainer.waited / took)


def finish(trainer: Trainer) -> None:
    """Waits until the device has done all it was asked for."""
    kind = trainer.accelerator.device.type
    if kind in ("cuda", "mps"):
        getattr(torch, kind).synchronize()


def in_a_process(job: Job) -> Measured:
    """Plays an entry in a process of its own; one that the system kills for its memory did not fit.

    Raises:
        BadInput: another process cannot have what makes the game or its data, or ended without a word.
        RuntimeError: with the traceback of a bug.
    """
    batch = job.options["schedule"]["batch_size"]
    try:
        pickled = pickle.dumps(job)
    except Exception as error:
        why = " ".join(str(error).split())
        raise BadInput(f"on the CPU a plan needs build and data at the top of a file ({why})") from None
    forks = "forkserver" in multiprocessing.get_all_start_methods()  # of a process that has imported torch and no more
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:  # a file of the user's that failed there would end the process of which all others are forks
        ours = [name for name in (__name__, job.build.__module__) if name.startswith("quagga.")]
        context.set_forkserver_preload(ours)  # pyright: ignore[reportAttributeAccessIssue]
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(pickled, batch, sender))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        ended = next((known.name for known in Signals if known == -code), str(code))
        if ended not in KILLED:
            raise BadInput(
                f"a line of the plan was not measured: its process ended with {ended}, and what it said is above"
            ) from None
        result = Measured(batch, why=f"{OVER}: its process was killed by {ended}")
    finally:
        if process.is_alive():
            process.join(10)
            process.kill()
    if isinstance(result, Exception):
        raise result
    return result


def answer(pickled: bytes, batch: int, sender: Connection) -> None:
    """In the process of an entry: sends what was measured, or an exception with what went wrong. The job comes as
    bytes, so that a file that cannot be imported here is told as that."""
    try:
        sender.send(played_here(pickled, batch))
    except KeyboardInterrupt:
        return
    except BadInput as error:
        _send(sender, BadInput(str(error)))
    except Exception:
        _send(sender, RuntimeError(traceback.format_exc()))


def played_here(pickled: bytes, batch: int) -> Measured:
    """Raises BadInput where the job's own files cannot be imported in this process."""
    try:
        job: Job = pickle.loads(pickled)
    except MemoryError:
        return Measured(batch, why=OVER)
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInput(
            f"another process cannot import what makes the game or its data ({why}): a plan on the CPU plays each line"
            " of its table in one"
        ) from error
    return caught(job, begin(job))


def _send(sender: Connection, error: Exception) -> None:
    with suppress(OSError):
        sender.send(error)


def largest() -> int:
    """Bytes of memory this process has held at most."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def free(accelerator: Accelerator) -> int:
    """Bytes of memory that are free on the device."""
    if accelerator.device.type == "cuda":
        return torch.cuda.mem_get_info()[0]
    if accelerator.device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return free_memory()
