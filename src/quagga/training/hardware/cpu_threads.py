"""Chooses the number of threads with which a run trains on the CPU.

If other programs use the cores, a step of two threads can take ten times as long as a step of one: each loop waits for
the thread that comes last. On a quiet machine two are a third faster (benchmarks/threads.py). No fixed number is right
for both, so a few trial steps at the start of a run choose one. It is kept for the whole run and written into its
checkpoints, since sums over two threads round differently from sums over one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import repeat
from statistics import median
from time import perf_counter
from typing import Any

import torch
from accelerate import Accelerator

from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training.setup.first_minibatches import first_minibatches

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # by which a user or a launcher sets the number of threads
TRIAL_SHARE = 0.03  # of a run's steps, which the trial may cost at most
MAX_ROUNDS = 8  # steps with each number of threads, at most
MIN_ROUNDS = 3  # rounds after which a clear difference ends the trial, and MARGIN decides
MAX_TRIAL_SECONDS = 10.0  # of a trial, after which no round begins
MARGIN = 1.15  # how much faster than with all threads a step must be with fewer, for fewer to be taken
CLEAR_SPEEDUP = 1.5  # a speedup that is no accident
CLEAR_SLOWDOWN = 0.9  # nor is this slowdown
UNREACHABLE = 1 << 40  # images: no trial, and no profile, reaches the end of its game


@dataclass(frozen=True)
class ThreadTrial:
    """The result of a trial. times: threads -> seconds of its steps, all threads first. seconds: of the whole trial."""

    times: dict[int, list[float]]
    seconds: float

    def speedup(self, count: int) -> float:
        """Returns how many times faster a step is with `count` threads than with all."""
        return median(self.times[max(self.times)]) / median(self.times[count])

    @property
    def fastest(self) -> int:
        """The number of threads with the shortest median."""
        return max(self.times, key=self.speedup)

    @property
    def chosen(self) -> int:
        """All threads, unless fewer are faster by MARGIN; after fewer than MIN_ROUNDS rounds, by CLEAR_SPEEDUP."""
        margin = MARGIN if self.rounds >= MIN_ROUNDS else CLEAR_SPEEDUP
        return self.fastest if self.speedup(self.fastest) >= margin else max(self.times)

    @property
    def rounds(self) -> int:
        """The number of steps that each number of threads took."""
        return min(map(len, self.times.values()))

    @property
    def is_clear(self) -> bool:
        """Whether more steps would hardly change the choice."""
        fewer = max(self.speedup(count) for count in self.times if count < max(self.times))
        return self.rounds >= MIN_ROUNDS and (fewer >= CLEAR_SPEEDUP or fewer <= CLEAR_SLOWDOWN)

    def __str__(self) -> str:
        steps = sum(map(len, self.times.values())) + 1
        measured = ", ".join(f"{1000 * median(own):,.0f} ms with {count}" for count, own in self.times.items())
        most = max(self.times)
        trial = f"{steps} trial steps in {self.seconds:.1f} s"
        line = f"{thread_count_text(self.chosen)}, chosen by {trial}: a step takes {measured}"
        if self.chosen == most:
            return line
        return f"{line}. The run keeps this number; OMP_NUM_THREADS={most} takes all"


def thread_count_to_save(accelerator: Accelerator) -> int | None:
    """Returns the number of threads that a checkpoint stores; None: it stores none."""
    return torch.get_num_threads() if is_single_cpu_process(accelerator) else None


def is_single_cpu_process(accelerator: Accelerator) -> bool:
    """Returns whether a run is a single process on the CPU. For several processes the launcher sets the threads."""
    return accelerator.device.type == "cpu" and accelerator.num_processes == 1


def choose_threads(trainer: Trainer, rows: Any, is_resumed: bool, stored: int | None, deterministic: bool) -> list[str]:
    """Sets the number of threads with which a run on the CPU trains, and returns lines for the user.

    A new run makes a trial, see `run_trial`, unless a user or launcher has set the number or the same bits are asked
    for every time. A resumed run takes the number of its checkpoint. Runs of several processes, and on other devices,
    are left alone.

    Args:
        trainer: stands where the run begins or resumes, and is in the same state afterwards.
        rows: the training data of the first phase.
        is_resumed: whether the run resumes from a checkpoint.
        stored: threads with which that checkpoint was trained; None: not known.
        deterministic: whether the results must be the same bits every time.
    """
    if not is_single_cpu_process(trainer.accelerator):
        return []
    available = torch.get_num_threads()
    torch.set_num_threads(
        available
    )  # once it is set, MKL no longer takes fewer by itself, which would round differently
    is_stated = any(name in os.environ for name in THREAD_VARIABLES)
    if is_resumed:
        return [] if stored in (None, available) else [_restore_thread_count(stored, available, is_stated)]
    steps = (trainer.length - trainer.images_seen) // trainer.minibatch
    counts, rounds = plan_trial(available, steps)
    if is_stated or deterministic or not rounds:
        return []
    start = perf_counter()
    try:
        batch = first_minibatches(rows, trainer.phase.batch_size, 1)[0]
    except Exception:  # the first step reads the same rows, and reports the error
        return []
    with restoring(trainer):
        steps_of_game = trainer.play(repeat(batch))
        times = run_trial(lambda: next(steps_of_game), counts, rounds, torch.set_num_threads)
    trial = ThreadTrial(times, perf_counter() - start)
    torch.set_num_threads(trial.chosen)
    return [str(trial)]


def _restore_thread_count(stored: int, available: int, is_stated: bool) -> str:
    """Sets the checkpoint's number of threads if that is possible, and returns a line for the user."""
    effect = "sums over another number of threads round differently"
    if is_stated:
        return f"{thread_count_text(available)}, as the environment says, until now {stored}: {effect}"
    if stored > available:
        return f"{thread_count_text(available)}, which is all there are here, until now {stored}: {effect}"
    torch.set_num_threads(stored)
    return (
        f"{thread_count_text(stored)} of {available}, as the run has been trained until now;"
        f" OMP_NUM_THREADS={available} takes all"
    )


def plan_trial(most: int, steps: int) -> tuple[list[int], int]:
    """Plans the trial of a run of so many steps.

    Args:
        most: all threads.
        steps: of the run.

    Returns:
        The numbers of threads to try, all first, and the rounds that the run can afford; 0 if it is too short. The
        cost assumes that fewer threads are slower in proportion, which is the worst case.
    """
    counts, affordable = [most], TRIAL_SHARE * steps - 1  # in steps with all threads, after one that warms up
    for count in sorted({-(-most // 2), 1}, reverse=True):
        if count < counts[-1] and round_cost([*counts, count]) <= affordable:
            counts.append(count)
    return counts, 0 if len(counts) == 1 else min(MAX_ROUNDS, int(affordable / round_cost(counts)))


def round_cost(counts: Sequence[int]) -> float:
    """Returns the cost of a round, in steps with all threads."""
    return sum(counts[0] / count for count in counts)


def run_trial(
    step: Callable[[], object],
    counts: Sequence[int],
    rounds: int,
    set_threads: Callable[[int], object],
    clock: Callable[[], float] = perf_counter,
) -> dict[int, list[float]]:
    """Takes steps with each number of threads in turn, so that the machine's other load falls on all of them.

    Args:
        step: takes a step.
        counts: numbers of threads, all first.
        rounds: at most; fewer if the difference is clear, or after MAX_TRIAL_SECONDS.
        set_threads: sets the number of threads.
        clock: returns seconds.

    Returns:
        Number of threads -> seconds of its steps, in the order of `counts`.
    """
    times: dict[int, list[float]] = {count: [] for count in counts}
    start, order = clock(), list(counts)
    step()  # the first one allocates memory
    for _ in range(rounds):
        for count in order:
            set_threads(count)
            before = clock()
            step()
            times[count].append(clock() - before)
        order.reverse()
        if ThreadTrial(times, 0.0).is_clear or clock() - start > MAX_TRIAL_SECONDS:
            break
    return times


@contextmanager
def restoring(trainer: Trainer) -> Iterator[None]:
    """Restores the trainer after the block, bit for bit, as if a checkpoint had been loaded. Within the block networks
    run uncompiled, since compiling them takes minutes."""
    state, schedule, length = deepcopy(trainer.state_dict()), trainer.schedule, trainer.length
    phases, endless = trainer.phases, replace(trainer.phase, first_row=0, images=UNREACHABLE, end_row=None)
    # A step of one micro-batch that trains both sides: its use of threads is that of any other step.
    trainer.schedule, trainer.length = replace(schedule, head_start=0, accumulation=1), UNREACHABLE
    trainer.phases = [endless]  # the phase of the trial does not end
    try:
        with torch.random.fork_rng(devices=[]), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        trainer.schedule, trainer.length, trainer.phases = schedule, length, phases
        trainer.load_state_dict(state)


def thread_count_text(count: int) -> str:
    """Returns "1 thread", "2 threads", ..."""
    return "1 thread" if count == 1 else f"{count} threads"
