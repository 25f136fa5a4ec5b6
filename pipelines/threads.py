"""How many threads play a run on the CPU.

Where other programs want the cores, a step of two threads can take ten times as long as a step of one: each loop waits
for the thread that comes last. On a quiet machine two are a third faster (benchmarks/threads.py). No fixed number is
right for both, so a few trial steps at the start of a run choose one. It is kept for the whole run and written into its
checkpoints, since sums over two threads round otherwise than sums over one.
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
from torch.utils.data import default_collate

from quagga.pipelines.minimax import Batch, Trainer

SAID = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # by which a user or a launcher sets the number of threads
SHARE = 0.03  # of a run's steps, that the trial may cost at most
ROUNDS = 8  # steps with each number of threads, at most
ENOUGH = 3  # rounds after which a clear difference ends the trial, and a margin is enough
SECONDS = 10.0  # of a trial, after which no round begins
MARGIN = 1.15  # how much faster than with all threads a step must be with fewer, for fewer to be taken
CLEAR = 1.5  # so much faster is no accident
SLOWER = 0.9  # nor is so much slower
FAR = 1 << 40  # images: no trial comes to the end of its game


@dataclass(frozen=True)
class Trial:
    """What a trial found. times: threads -> seconds of its steps, all threads first. seconds: of the whole trial."""

    times: dict[int, list[float]]
    seconds: float

    def speedup(self, count: int) -> float:
        """How much faster a step is with `count` threads than with all."""
        return median(self.times[max(self.times)]) / median(self.times[count])

    @property
    def fastest(self) -> int:
        """The number of threads with the shortest median."""
        return max(self.times, key=self.speedup)

    @property
    def chosen(self) -> int:
        """All threads, unless fewer are faster by a margin; after few steps, only if it is clear."""
        margin = MARGIN if self.rounds >= ENOUGH else CLEAR
        return self.fastest if self.speedup(self.fastest) >= margin else max(self.times)

    @property
    def rounds(self) -> int:
        """How many steps each number of threads took."""
        return min(map(len, self.times.values()))

    @property
    def clear(self) -> bool:
        """Whether more steps would hardly change the choice."""
        fewer = max(self.speedup(count) for count in self.times if count < max(self.times))
        return self.rounds >= ENOUGH and (fewer >= CLEAR or fewer <= SLOWER)

    def __str__(self) -> str:
        steps = sum(map(len, self.times.values())) + 1
        took = ", ".join(f"{1000 * median(own):,.0f} ms with {count}" for count, own in self.times.items())
        most = max(self.times)
        line = f"{threads(self.chosen)}, chosen by {steps} trial steps in {self.seconds:.1f} s: a step takes {took}"
        if self.chosen == most:
            return line
        return f"{line}. The run keeps this number; OMP_NUM_THREADS={most} takes all"


def number_kept(accelerator: Accelerator) -> int | None:
    """What a checkpoint says of the threads by which its run is played; None: nothing."""
    return torch.get_num_threads() if one_on_the_cpu(accelerator) else None


def one_on_the_cpu(accelerator: Accelerator) -> bool:
    """Whether a run is one process, on the CPU. Threads of several are the launcher's to set."""
    return accelerator.device.type == "cpu" and accelerator.num_processes == 1


def settle(trainer: Trainer, rows: Any, begun: bool, kept: int | None, deterministic: bool) -> list[str]:
    """Sets the number of threads with which a run on the CPU is played, and returns lines for the user.

    A run that begins tries, see `tried`; not where a user or launcher has set the number, nor where the same bits are
    asked for every time. A run that goes on takes the number of its checkpoint. Runs of several processes, and on other
    devices, are left alone.

    Args:
        trainer: stands where the run begins or goes on, and stands there afterwards.
        rows: what is trained on.
        begun: whether the run goes on from a checkpoint.
        kept: threads by which that checkpoint was played; None: not known.
        deterministic: whether the same bits are asked for every time.
    """
    if not one_on_the_cpu(trainer.accelerator):
        return []
    there = torch.get_num_threads()
    torch.set_num_threads(
        there
    )  # once it is set, MKL no longer takes fewer of its own accord, which would round otherwise
    said = any(name in os.environ for name in SAID)
    if begun:
        return [] if kept in (None, there) else [_gone_on(kept, there, said)]
    steps = (trainer.length - trainer.images_seen) // trainer.minibatch
    counts, rounds = worth_trying(there, steps)
    if said or deterministic or not rounds:
        return []
    begun_at = perf_counter()
    try:
        batch = first_batch(rows, trainer.schedule.batch_size)
    except Exception:  # the first step meets the same rows, and says what is wrong with them
        return []
    with rehearsal(trainer):
        played = trainer.play(lambda _row: repeat(batch))
        times = tried(lambda: next(played), counts, rounds, torch.set_num_threads)
    trial = Trial(times, perf_counter() - begun_at)
    torch.set_num_threads(trial.chosen)
    return [str(trial)]


def _gone_on(kept: int, there: int, said: bool) -> str:
    """Takes the number of threads of the checkpoint where it can be had, and says what is other than expected."""
    other = "sums over another number of threads round otherwise"
    if said:
        return f"{threads(there)}, as the environment says, until now {kept}: {other}"
    if kept > there:
        return f"{threads(there)}, which is all there are here, until now {kept}: {other}"
    torch.set_num_threads(kept)
    return f"{threads(kept)} of {there}, as the run has been played until now; OMP_NUM_THREADS={there} takes all"


def worth_trying(most: int, steps: int) -> tuple[list[int], int]:
    """The numbers of threads that a run of so many steps can afford to try, all first, and how often each; 0 times
    where it is too short. Counted as if fewer threads were slower in proportion, as they are at worst."""
    counts, affordable = [most], SHARE * steps - 1  # in steps with all threads, after one that warms up
    for count in sorted({-(-most // 2), 1}, reverse=True):
        if count < counts[-1] and cost([*counts, count]) <= affordable:
            counts.append(count)
    return counts, 0 if len(counts) == 1 else min(ROUNDS, int(affordable / cost(counts)))


def cost(counts: Sequence[int]) -> float:
    """Of a round, in steps with all threads."""
    return sum(counts[0] / count for count in counts)


def tried(
    step: Callable[[], object],
    counts: Sequence[int],
    rounds: int,
    use: Callable[[int], object],
    clock: Callable[[], float] = perf_counter,
) -> dict[int, list[float]]:
    """Takes steps with each number of threads by turns, so that what else the machine does falls on all of them.

    Args:
        step: takes one.
        counts: numbers of threads, all first.
        rounds: of turns, at most: there are fewer where the difference is clear, or after SECONDS.
        use: sets the number of threads.
        clock: seconds.

    Returns:
        Number of threads -> seconds of its steps, in the order of `counts`.
    """
    times: dict[int, list[float]] = {count: [] for count in counts}
    begun, order = clock(), list(counts)
    step()  # the first allocates
    for _ in range(rounds):
        for count in order:
            use(count)
            before = clock()
            step()
            times[count].append(clock() - before)
        order.reverse()
        if Trial(times, 0.0).clear or clock() - begun > SECONDS:
            break
    return times


@contextmanager
def rehearsal(trainer: Trainer) -> Iterator[None]:
    """Within, the trainer may play; afterwards it stands where it stood, bit for bit, as if a checkpoint had been
    loaded. Networks are played as they are written, since to compile them takes minutes."""
    state, schedule, length = deepcopy(trainer.state_dict()), trainer.schedule, trainer.length
    # A step of one micro-batch that moves both sides: in it threads do what they do in any other.
    trainer.schedule, trainer.length = replace(schedule, head_start=0, accumulation=1), FAR
    try:
        with torch.random.fork_rng(devices=[]), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        trainer.schedule, trainer.length = schedule, length
        trainer.load_state_dict(state)


def first_batch(rows: Any, batch_size: int) -> Batch:
    """The run's first rows, read here. Raises what reading them raises."""
    numbers = range(batch_size)
    return {**default_collate([rows.sample(row).tensors for row in numbers]), "row": torch.tensor(numbers)}


def threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
