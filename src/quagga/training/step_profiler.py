"""Profiles the steps of a game at one batch and size: their time and their memory. `quagga plan` prints the profiles.

On a GPU all profiles are taken in one process, which catches an out-of-memory error. On the CPU the system would kill
it, so each profile has a process of its own, whose peak memory the system knows.

Networks run uncompiled, since compiling them takes minutes for each profile. Of pictures that a run keeps in memory a
profile reads a few, which stand in for the others: data are loaded as in the run, without reading the whole set.
"""

import gc
import multiprocessing
import pickle
import sys
import traceback
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

from quagga.data.loading.free_memory import free_memory
from quagga.data.loading.ram_cache import check_free_memory, ram_caches
from quagga.data.loading.row_order import DataFault, Rows
from quagga.errors import COMPILATION_FAILED, OUT_OF_MEMORY, BadInput, exhausted_resource, one_line
from quagga.pipelines.core.game_protocol import networks_of
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
from quagga.training.hardware.acceleration import Acceleration, acceleration_for, apply_acceleration
from quagga.training.hardware.cpu_threads import UNREACHABLE
from quagga.training.hardware.device_setup import start_accelerator
from quagga.training.run_options import RunOptions
from quagga.training.setup.rows_and_game import add_known_options, build_game, check_batch_norm, load_rows

MAX_WARMUP_STEPS = 3  # steps before the measurement; a slow CPU takes one only
MAX_STEPS = 1000  # at most
STAND_IN_IMAGES = 256  # pictures of a RAM cache that a profile reads
DOES_NOT_FIT = "does not fit"
MEMORY_SIGNALS = ("SIGKILL", "SIGBUS")  # how the system ends a process for which there is no memory


@dataclass(frozen=True)
class StepProfile:
    """What was measured at one batch and size; only `batch` and `problem` if it could not be.

    Args:
        batch: rows of a process.
        images: of a step.
        seconds: of a step.
        peak: bytes of memory at most, without `cached`.
        baseline: bytes of memory before the first step, without `cached`.
        waited: share of a step that was spent waiting for data.
        cached: bytes of pictures that stay in the same memory.
        compiled: whether networks were compiled.
        problem: why there is no measurement; "" if there is one.
    """

    batch: int
    images: int = 0
    seconds: float = 0.0
    peak: int = 0
    baseline: int = 0
    waited: float = 0.0
    cached: int = 0
    compiled: bool = False
    problem: str = ""

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds

    @property
    def memory(self) -> int:
        """Bytes of memory that a run takes at most."""
        return self.peak + self.cached

    @property
    def exceeds_memory(self) -> bool:
        """Whether a run takes more memory than there is."""
        return self.problem.startswith(DOES_NOT_FIT)

    @property
    def may_work_uncompiled(self) -> bool:
        """Whether it failed for a reason that may not apply to uncompiled networks."""
        return self.problem.startswith((DOES_NOT_FIT, COMPILATION_FAILED))


@dataclass(frozen=True)
class ProfileJob:
    """What is profiled.

    Args:
        pipeline, build, data, options: of `quagga.training.train.train`.
        seconds: of steps that are measured.
        compiled: whether networks may be compiled, which takes a minute or two for every batch and size.
        cached: bytes of pictures that stay in memory.
    """

    pipeline: str
    build: Callable[..., Any]
    data: Callable[..., Any]
    options: Mapping[str, Mapping[str, Any]]
    seconds: float
    compiled: bool = False
    cached: int = 0

    def at_size(self, batch_size: int, sizes: Mapping[str, int]) -> "ProfileJob":
        """Returns the same job at this batch size, and with other values for size options."""
        sizes = {**sizes, "batch_size": batch_size}
        changed = {
            receiver: {name: sizes.get(name, value) for name, value in own.items()}
            for receiver, own in self.options.items()
        }
        return replace(self, options=changed)

    @property
    def schedule(self) -> Schedule:
        """The schedule of the options."""
        return Schedule(**self.options["schedule"])

    def rows_and_game(self) -> tuple[Rows, Any]:
        """Opens the training data and builds the game, on the CPU. Raises BadInput."""
        rows = load_rows(self.build, self.data, self.options)
        options, _ = add_known_options(self.options["build"], {}, rows.known())
        game, _ = build_game(self.build, options, rows, self.schedule.seed)
        return rows, game


def accelerator_for(job: ProfileJob) -> Accelerator:
    """Returns the accelerator of a job. Raises BadInput."""
    run = RunOptions(**job.options["run"])
    return start_accelerator(run.device, run.mixed_precision, run.deterministic)


def acceleration_of(
    job: ProfileJob, accelerator: Accelerator, networks: Sequence[nn.Module] = ()
) -> tuple[Acceleration, list[str]]:
    """Returns the acceleration of a job, and lines for the user about what is missing. If nothing is compiled, the
    memory format is that of an uncompiled run."""
    run = RunOptions(**job.options["run"])
    compiled = run.compile if job.compiled else False
    wanted = compiled, run.channels_last, run.gradient_checkpointing, run.deterministic
    return acceleration_for(accelerator.device, *wanted, networks, accelerator.mixed_precision)


def with_cached_bytes(job: ProfileJob, rows: Rows) -> tuple[ProfileJob, list[str]]:
    """Returns the job with the bytes of pictures that its rows keep in memory, and a line that says how many.

    Raises:
        BadInput: that is more than is free.
    """
    caches = ram_caches(rows)
    if not caches:
        return replace(job, cached=0), []
    line = (
        f"{check_free_memory(caches)}; to measure, each line of the table reads at most {STAND_IN_IMAGES} pictures of"
        " each folder, in place of all of them"
    )
    return replace(job, cached=sum(cache.bytes for cache in caches)), [line]


def fill_with_stand_ins(rows: Any) -> int:
    """Fills the rows' caches with the first few pictures, which also stand in for the others; returns their bytes."""
    caches = ram_caches(rows)
    for cache in caches:
        numbers, cache.numbers = cache.numbers, cache.numbers[:STAND_IN_IMAGES]
        cache.fill(getattr(rows, "workers", 0))
        if read := list(cache.where.values()):
            cache.where = {number: read[at % len(read)] for at, number in enumerate(numbers)}
    return sum(cache.bytes for cache in caches)


def profile(job: ProfileJob, accelerator: Accelerator) -> StepProfile:
    """Profiles a job where running out of memory does no harm."""
    return profile_in_process(job) if accelerator.device.type == "cpu" else profile_safely(job, accelerator)


def profile_safely(job: ProfileJob, accelerator: Accelerator) -> StepProfile:
    """Profiles a job; if it does not fit or cannot be trained, the profile says so."""
    batch, problem = job.options["schedule"]["batch_size"], ""
    try:
        return profile_here(job, accelerator)
    except (BadInput, DataFault) as error:
        problem = f"cannot be trained: {one_line(error, None)}"
    except Exception as error:
        resource = exhausted_resource(error) or ""
        if not resource.startswith((OUT_OF_MEMORY, COMPILATION_FAILED)):
            raise
        problem = DOES_NOT_FIT if resource.startswith(OUT_OF_MEMORY) else resource
    finally:
        gc.collect()
        if accelerator.device.type in ("cuda", "mps"):
            getattr(torch, accelerator.device.type).empty_cache()
    return StepProfile(batch, problem=problem)


def profile_here(job: ProfileJob, accelerator: Accelerator) -> StepProfile:
    """Profiles a job in this process. Raises BadInput, DataFault, or what torch raises when memory is out."""
    device = accelerator.device.type
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    schedule = replace(job.schedule, head_start=0, warmup=0)
    rows, game = job.rows_and_game()
    stand_in_bytes = fill_with_stand_ins(rows)
    rows.check(schedule.batch_size * schedule.accumulation)
    if getattr(rows, "cache", None) == "device":
        rows.move_to(accelerator.device)  # pyright: ignore[reportAttributeAccessIssue]
    check_batch_norm(game, schedule.batch_size)
    networks = networks_of(game)
    acceleration, _ = acceleration_of(job, accelerator, networks)
    apply_acceleration(networks, acceleration)
    trainer = Trainer(game, schedule, UNREACHABLE, accelerator)
    baseline = psutil.Process().memory_info().rss
    with closing(rows.batches(0, schedule.batch_size)) as stream:
        seconds, waited = time_steps(
            trainer, trainer.play(stream), job.seconds, 1 if device == "cpu" else MAX_WARMUP_STEPS
        )
    peak = {"cuda": torch.cuda.max_memory_allocated, "mps": torch.mps.driver_allocated_memory}.get(
        device, peak_process_memory
    )()
    peak = max(peak, baseline) if device == "cpu" else peak  # the system counts the two in different ways
    cached = 0
    if device == "cpu":
        peak, baseline, cached = peak - stand_in_bytes, baseline - stand_in_bytes, job.cached
    else:
        baseline = 0
    memory = peak, baseline, waited, cached
    return StepProfile(schedule.batch_size, trainer.minibatch, seconds, *memory, acceleration.compile)


def time_steps(trainer: Trainer, steps: Iterator[int], seconds: float, min_warmup: int) -> tuple[float, float]:
    """Returns the seconds of a step, and the share of it that was spent waiting for data.

    Args:
        trainer: of the game.
        steps: takes a step with each `next`.
        seconds: of measurement, about.
        min_warmup: steps before the measurement, at least.
    """
    start, last = perf_counter(), 0.0
    for number in range(MAX_WARMUP_STEPS):
        if number >= min_warmup and perf_counter() - start > seconds / 2:
            break
        step_start = perf_counter()
        next(steps)
        synchronize_device(trainer)
        last = perf_counter() - step_start
    count = max(1, min(MAX_STEPS, int(seconds / last)))
    trainer.waited, start = 0.0, perf_counter()
    for _ in range(count):
        next(steps)
    synchronize_device(trainer)
    total = perf_counter() - start
    return total / count, min(1.0, trainer.waited / total)


def synchronize_device(trainer: Trainer) -> None:
    """Waits until the device has finished all work."""
    kind = trainer.accelerator.device.type
    if kind in ("cuda", "mps"):
        getattr(torch, kind).synchronize()


def profile_in_process(job: ProfileJob) -> StepProfile:
    """Profiles a job in a process of its own; if the system kills it for its memory, the job does not fit.

    Raises:
        BadInput: `build` or `data` cannot be pickled, or the process ended without an answer.
        RuntimeError: with the traceback of a bug.
    """
    batch = job.options["schedule"]["batch_size"]
    try:
        pickled = pickle.dumps(job)
    except Exception as error:
        reason = one_line(error, None)
        raise BadInput(f"on the CPU a plan needs build and data at the top of a file ({reason})") from None
    forks = "forkserver" in multiprocessing.get_all_start_methods()  # forks a process that has only imported torch
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:  # not the user's own file: if it failed there, the process that all others are forked from would end
        preloaded = [name for name in (__name__, job.build.__module__) if name.startswith("quagga.")]
        context.set_forkserver_preload(preloaded)  # pyright: ignore[reportAttributeAccessIssue]
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(  # pyright: ignore[reportAttributeAccessIssue]
        target=send_profile, args=(pickled, batch, sender)
    )
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        ended = next((known.name for known in Signals if known == -code), str(code))
        if ended not in MEMORY_SIGNALS:
            raise BadInput(
                f"a line of the plan was not measured: its process ended with {ended}, and what it said is above"
            ) from None
        result = StepProfile(batch, problem=f"{DOES_NOT_FIT}: its process was killed by {ended}")
    finally:
        if process.is_alive():
            process.join(10)
            process.kill()
    if isinstance(result, Exception):
        raise result
    return result


def send_profile(pickled: bytes, batch: int, sender: Connection) -> None:
    """Sends the profile, or an exception; runs in the process of one profile. The job is pickled, so that a user's file
    that cannot be imported in this process is reported as such."""
    try:
        sender.send(profile_pickled(pickled, batch))
    except KeyboardInterrupt:
        return
    except BadInput as error:
        _send(sender, BadInput(str(error)))
    except Exception:
        _send(sender, RuntimeError(traceback.format_exc()))


def profile_pickled(pickled: bytes, batch: int) -> StepProfile:
    """Profiles a pickled job. Raises BadInput if the user's files cannot be imported in this process."""
    try:
        job: ProfileJob = pickle.loads(pickled)
    except MemoryError:
        return StepProfile(batch, problem=DOES_NOT_FIT)
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}", None)
        raise BadInput(
            f"another process cannot import the functions build and data ({reason}): on the CPU a plan starts one for"
            " each line of its table"
        ) from error
    return profile_safely(job, accelerator_for(job))


def _send(sender: Connection, error: Exception) -> None:
    with suppress(OSError):
        sender.send(error)


def peak_process_memory() -> int:
    """Returns the bytes of memory that this process has held at most."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def free_device_memory(accelerator: Accelerator) -> int:
    """Returns the bytes of memory that are free on the device."""
    if accelerator.device.type == "cuda":
        return torch.cuda.mem_get_info()[0]
    if accelerator.device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return free_memory()
