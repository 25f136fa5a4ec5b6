"""Watches whether other programs need the CPU cores on which the threads of a run wait for one another."""

import os
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

import psutil
import torch

CONTENTION_WINDOW = 10.0  # seconds over which the load is measured, at least
MIN_EXCESS_CORES = 0.5  # cores in demand beyond those of the machine, from which on the user is warned


class CpuTimes(NamedTuple):
    """CPU seconds so far: of all cores together, and of this process and those that it has started."""

    total: float
    own: float


def cpu_times() -> CpuTimes:
    """Returns the CPU seconds so far."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    own = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended, and is counted above
            own += sum(child.cpu_times()[:2])
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # also counted in user and nice
    return CpuTimes(sum(times) - idle - guests, own)


class ContentionWatch:
    """Watches the cores of a run on the CPU.

    Args:
        read_times: returns the CPU seconds so far.
        clock: returns wall-clock seconds.
    """

    def __init__(self, read_times: Callable[[], CpuTimes] = cpu_times, clock: Callable[[], float] = monotonic):
        self.read_times, self.clock = read_times, clock
        self.window_start, self.times_at_start, self.has_warned = clock(), read_times(), False

    def warning(self) -> str | None:
        """Returns a line, once, if other programs need cores on which this run's threads depend. Each loop then waits
        until the last thread has had its turn, and a step takes ten times as long as on a single thread (measured on
        two cores). A run never changes its number of threads by itself (`quagga.training.hardware.cpu_threads`)."""
        threads, cores = torch.get_num_threads(), os.cpu_count() or 1
        if self.has_warned or threads == 1:
            return None
        if (seconds := self.clock() - self.window_start) < CONTENTION_WINDOW:  # reading asks all processes
            return None
        times, before = self.read_times(), self.times_at_start
        others = (times.total - before.total - times.own + before.own) / seconds
        self.window_start, self.times_at_start = self.window_start + seconds, times
        if others + threads < cores + MIN_EXCESS_CORES:
            return None
        self.has_warned = True
        free_cores = max(1, int(cores - others))
        return (
            f"other programs keep {others:.1f} of {cores} cores busy, and this run keeps its {threads} threads, which"
            f" wait for one another: stop it and give the same command again with OMP_NUM_THREADS={free_cores} before"
            " it: it goes on, faster"
        )
