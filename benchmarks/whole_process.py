"""Seconds of whole processes, from the call to the end: what a user waits for."""

import os
import resource
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple


class Command(NamedTuple):
    """What is started: words, a working folder, and what its environment has more."""

    words: Sequence[str]
    folder: Path | None = None
    more: Mapping[str, str] = {}


class Seconds(NamedTuple):
    """Of one process: from its start to its end, and of all its threads on the CPU, which is steadier."""

    waited: float
    worked: float


def seconds(command: Command) -> Seconds:
    """Starts a process and waits for its end. Raises SystemExit with its last words where it fails."""
    start, before = perf_counter(), worked()
    done = subprocess.run(
        command.words,
        cwd=command.folder,
        env={**os.environ, **command.more},
        capture_output=True,
        text=True,
        check=False,
    )
    taken = Seconds(perf_counter() - start, worked() - before)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command.words))}: {(done.stderr or done.stdout).strip()[-500:]}")
    return taken


def worked() -> float:
    """CPU seconds of all processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_turns(commands: Mapping[str, Command], rounds: int) -> dict[str, list[Seconds]]:
    """Seconds of each, `rounds` times after one that fills the caches; the order turns round after every round."""
    order = list(commands)
    for name in order:
        seconds(commands[name])
    taken: dict[str, list[Seconds]] = {name: [] for name in order}
    for _ in range(rounds):
        for name in order:
            taken[name].append(seconds(commands[name]))
        order.reverse()
    return taken


def waited(taken: Sequence[Seconds]) -> float:
    """The median."""
    return median(one.waited for one in taken)


def told(taken: Sequence[Seconds]) -> str:
    """Median, smallest and largest, and the median on the CPU."""
    low, high = min(one.waited for one in taken), max(one.waited for one in taken)
    cpu = median(one.worked for one in taken)
    return f"{waited(taken):8.2f} s ({low:.2f} to {high:.2f}), {cpu:.2f} s of CPU"
