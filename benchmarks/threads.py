"""How threads wait for one another, and how many there are: a step of the demo's on the CPU, on a quiet machine and
beside busy processes that were started from another terminal.

    python benchmarks/threads.py --output benchmarks/results/threads.txt

Linux shares the cores by session (CONFIG_SCHED_AUTOGROUP): beside processes of its own session a run gets more. So each
busy process has a session of its own. Every setting steps in a process of its own, since OpenMP reads it once; all are
gone through `--passes` times. "quagga's own choice" is what a run begins with, by its trial steps: they are taken quiet
for the first column and beside the busy processes for the second. The promise: at most 3 % slower than the best fixed
setting when quiet, and 0.8 of its speed beside others. The table is added to the end of the output.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from cpu_means import GAMES, environment
from report import keep
from stepping import Failed, Setting, Subject
from train_step import machine

from quagga import SPIN_COUNT

GAME = "the demo's, 64x64, batch 4"
STEPS = 1600  # of a demo, whose trial is measured
BRIEFLY = {"GOMP_SPINCOUNT": SPIN_COUNT}
OWN = "quagga's own choice"
FIXED: dict[str, tuple[int | None, dict[str, str]]] = {  # threads, and what the environment says
    "libgomp's own way of waiting": (None, {}),
    f"they look {SPIN_COUNT} times": (None, BRIEFLY),
    "they look 1000 times": (None, {"GOMP_SPINCOUNT": "1000"}),
    "they look 100 times": (None, {"GOMP_SPINCOUNT": "100"}),
    "they do not look": (None, {"GOMP_SPINCOUNT": "0"}),
    "OMP_WAIT_POLICY=passive": (None, {"OMP_WAIT_POLICY": "passive"}),
    "OMP_WAIT_POLICY=active": (None, {"OMP_WAIT_POLICY": "active"}),
    "1 thread": (1, {}),
}
SAID = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
Columns = tuple[list[float], list[float]]  # milliseconds of a step, quiet and busy


@contextmanager
def busy(others: int) -> Iterator[None]:
    """Within, so many processes do something else, each in a session of its own, as if from another terminal."""
    program = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(program, start_new_session=True) for _ in range(others)]
    try:
        sleep(1)  # until they are busy
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def timed(subject: Subject, turns: int, seconds: float) -> list[float]:
    """Milliseconds of `turns` steps, or of fewer where they take more than so many seconds, but of three at least."""
    subject.milliseconds()
    times, begun = [], perf_counter()
    while len(times) < turns and (len(times) < 3 or perf_counter() - begun < seconds):
        times.append(subject.milliseconds())
    return times


def fixed(setting: Setting, more: dict[str, str], turns: int, seconds: float, others: int) -> Columns:
    """Of one setting. Raises Failed."""
    with environment(more), Subject(setting) as subject:
        quiet = timed(subject, turns, seconds)
        with busy(others):
            return quiet, timed(subject, turns, seconds)


def own(setting: Setting, turns: int, seconds: float, others: int) -> tuple[Columns, list[int]]:
    """Of what a run chooses, and the two numbers of threads. Raises Failed."""
    with environment(BRIEFLY):
        with Subject(setting) as subject:
            chosen = [subject.choose(STEPS)]
            quiet = timed(subject, turns, seconds)
        with Subject(setting) as subject, busy(others):
            chosen.append(subject.choose(STEPS))
            return (quiet, timed(subject, turns, seconds)), chosen


def table(base: Setting, turns: int, seconds: float, others: int, passes: int) -> Iterator[str]:
    """Medians over all passes, and each over the best fixed one of its column."""
    found: dict[str, Columns] = {name: ([], []) for name in (*FIXED, OWN)}
    failed: dict[str, str] = {}
    chosen: list[list[int]] = []
    for _ in range(passes):
        for name in found:
            try:
                if name == OWN:
                    columns, numbers = own(base, turns, seconds, others)
                    chosen.append(numbers)
                else:
                    threads, more = FIXED[name]
                    columns = fixed(replace(base, threads=threads), more, turns, seconds, others)
            except Failed as error:
                failed[name] = str(error)
                continue
            for kept, new in zip(found[name], columns, strict=True):
                kept += new
    medians = {name: [median(column) for column in found[name]] for name in found if name not in failed}
    best = [min(medians[name][column] for name in FIXED if name in medians) for column in (0, 1)]
    yield f"{'ms/step':<32}{'quiet':>9}{'of best':>9}{'busy':>9}{'of best':>9}"
    for name in found:
        if name in failed:
            yield f"{name:<32}{failed[name]}"
            continue
        shares = [time / least for time, least in zip(medians[name], best, strict=True)]
        quiet, beside = medians[name]
        yield f"{name:<32}{quiet:>9.0f}{shares[0]:>9.2f}{beside:>9.0f}{shares[1]:>9.2f}"
        if name == OWN:
            yield "threads chosen, quiet and busy: " + "; ".join(f"{a} and {b}" for a, b in chosen)
            kept = shares[0] <= 1.03 and shares[1] <= 1 / 0.8
            yield f"promise: at most 1.03 when quiet and 1.25 when busy: {'kept' if kept else 'NOT KEPT'}"


def report(turns: int, seconds: float, passes: int) -> Iterator[str]:
    others = os.cpu_count() or 1
    yield machine("cpu")
    yield f"load before: {', '.join(f'{load:.2f}' for load in os.getloadavg())}"
    yield (
        f"{GAME}, in the precision that `quagga train` takes; busy: {others} processes in sessions of their own;"
        f" medians of {passes} times {turns} steps"
    )
    yield from table(replace(GAMES[GAME], precision=None), turns, seconds, others, passes)
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15, help="steps of a setting, quiet and busy each")
    parser.add_argument("--seconds", type=float, default=10, help="after which there are fewer, but 3 at least")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--output", type=Path, help="text file to whose end the report is written as well")
    arguments = parser.parse_args()
    for name in SAID:
        os.environ.pop(name, None)  # what is measured is said for each setting
    before = arguments.output.read_text() if arguments.output and arguments.output.exists() else ""
    keep(report(arguments.turns, arguments.seconds, arguments.passes), arguments.output, before)


if __name__ == "__main__":
    main()
