"""Whether other programs want the cores on which the threads of a run wait for one another."""

import os
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

import psutil
import torch

WINDOW = 10.0  # seconds over which it is judged, at least
MUCH = 0.5  # cores that are wanted beyond those there are


class Spent(NamedTuple):
    """CPU seconds since some moment: of all cores together, of this process and those that it has started."""

    all: float
    own: float


def spent() -> Spent:
    """By now."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    own = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended, and counts above
            own += sum(child.cpu_times()[:2])
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # of which user and nice know too
    return Spent(sum(times) - idle - guests, own)


class Cores:
    """Watches the cores of a run on the CPU.

    Args:
        read: what was spent by now.
        clock: seconds on the wall.
    """

    def __init__(self, read: Callable[[], Spent] = spent, clock: Callable[[], float] = monotonic):
        self.read, self.clock = read, clock
        self.since, self.before, self.said = clock(), read(), False

    def crowded(self) -> str | None:
        """A line, once, where others have come that want cores which this run's threads need: each loop then waits
        until the last thread has had its turn, and a step takes ten times as long as on a single thread (measured on
        two cores). The run itself never changes their number (`quagga.pipelines.threads`)."""
        threads, cores = torch.get_num_threads(), os.cpu_count() or 1
        if self.said or threads == 1 or (wall := self.clock() - self.since) < WINDOW:  # to read asks all processes
            return None
        now = self.read()
        others = (now.all - self.before.all - now.own + self.before.own) / wall
        self.since, self.before = self.since + wall, now
        if others + threads < cores + MUCH:
            return None
        self.said = True
        left = max(1, int(cores - others))
        return (
            f"other programs keep {others:.1f} of {cores} cores busy, and this run keeps its {threads} threads, which"
            f" wait for one another: stopped and begun again with OMP_NUM_THREADS={left}, it goes on faster"
        )
