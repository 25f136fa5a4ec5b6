"""What a stranger may send: bombs, archives that climb, models and configs that want to run. Does the suite call out?

python benchmarks/hostile.py --output benchmarks/results/hostile.txt     # --suite also runs the fast tests, minutes

Every case is played in a process of its own, forked when all is imported: its seconds, and the memory it takes on top.
A case is held when it ends in one line of BadInput, ran no payload (a file called `canary` would be there) and left no
byte outside its target. Needs fork (Linux, macOS); memory is read from /proc (Linux).
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hostile_archives import bombs
from hostile_models import CHECKPOINTS, CONFIGS, MODELS, good_run, words_of
from report import keep

ROOT = Path(__file__).parents[1]
SECONDS, MEGABYTES = 1.0, 50.0  # promised of bombs and archives
PATIENCE = 10  # seconds after which a case is ended
MOST_MEMORY = 4 << 30  # above what the imports take; a case that wants more fails there


@dataclass
class Outcome:
    """How a case ended."""

    group: str
    name: str
    code: int | None  # exit code of the command line; None: it did not end by itself
    said: str  # its last line on stderr
    lines: int
    seconds: float
    megabytes: float
    outside: int  # bytes that were written outside the target
    payload: bool  # whether the canary is there

    @property
    def held(self) -> bool:
        in_words = self.code == 2 and self.lines == 1 and self.said.startswith("quagga: error: ")
        quick = self.group != "bomb" or (self.seconds < SECONDS and self.megabytes < MEGABYTES)
        return in_words and quick and not self.payload and self.outside == 0


def memory() -> float:
    """The most memory this process ever had, in MB; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


def in_a_child(action: Callable[[], int]) -> tuple[int | None, str, float, float]:
    """(exit code, what it said on stderr, seconds, MB on top) of an action in a process of its own."""
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as said:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            import resource

            os.close(reader)
            os.dup2(said.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if memory() else 0
            if taken:
                resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_MEMORY, taken + MOST_MEMORY))
            before, start, code = memory(), time.perf_counter(), 1
            try:
                code = action()
            except BaseException as error:
                print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr)
            finally:
                sys.stderr.flush()
                took = [code, time.perf_counter() - start, memory() - before]
                os.write(writer, json.dumps(took).encode())
                os._exit(0)
        os.close(writer)
        end = time.monotonic() + PATIENCE
        while not (done := os.waitpid(child, os.WNOHANG)[0]) and time.monotonic() < end:
            time.sleep(0.005)
        if not done:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as pipe_end:
            took = json.loads(pipe_end.read() or f"[null, {PATIENCE}, 0]")
        said.seek(0)
        return took[0], said.read().decode(errors="replace"), took[1], took[2]


def weight(place: Path) -> int:
    """Bytes in a folder, and one for each name."""
    return sum(1 + (path.lstat().st_size if path.is_file() else 0) for path in place.rglob("*"))


def play(place: Path, only: str) -> list[Outcome]:
    """All cases, below an empty folder; `only` picks those whose name contains it."""
    import quagga.cli.translate
    import quagga.inference.load
    import quagga.pipelines.cyclegan
    import quagga.training.train  # noqa: F401  all that is imported now need not be imported in a child
    from quagga.cli.main import command_line, run_explaining_errors

    outcomes = []

    def judged(group: str, name: str, action: Callable[[], int], canary: Path, around: Path | None) -> None:
        before = weight(around) if around else 0
        code, said, seconds, megabytes = in_a_child(action)
        lines = said.strip().splitlines()
        outside = weight(around) - before if around else 0
        last = (lines[-1] if lines else "").replace(f"{place}/", "")
        last = "".join(letter if letter.isprintable() else "?" for letter in last)
        evil = canary.exists() or any(place.rglob("canary")) or any(place.rglob("evil.txt"))
        outcomes.append(Outcome(group, name, code, last[:300], len(lines), seconds, megabytes, outside, evil))
        if not outcomes[-1].held:
            print(f"NOT HELD: {outcomes[-1]}", file=sys.stderr, flush=True)

    (place / "bombs").mkdir()
    for number, (name, act) in enumerate(bombs(place / "bombs")):
        if only in name:
            case = place / "bombs" / f"case{number}"
            (case / "in").mkdir(parents=True)
            judged(
                "bomb",
                name,
                lambda act=act, case=case: run_explaining_errors(lambda: (act(case), 0)[1]),
                case / "canary",
                place,
            )
    shutil.rmtree(place / "bombs")
    run = good_run(place)
    shutil.copy(run / "config.yaml", place / "config.yaml")
    for name, damage in {**MODELS, **CONFIGS, **CHECKPOINTS}.items():
        if only in name:
            sent = place / "sent"
            shutil.copytree(run, sent, symlinks=True)
            damage(sent, str(place / "canary"))
            words = words_of(name, sent)
            group = "checkpoint" if name in CHECKPOINTS else "model"
            judged(group, name, lambda words=words: command_line(words), place / "canary", None)
            shutil.rmtree(sent)
    return outcomes


def outcomes(only: str = "") -> list[Outcome]:
    """Plays the cases in a fresh interpreter, from which the children are forked."""
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
        words = [sys.executable, str(Path(__file__).absolute()), "--play", place, "--only", only]
        ran = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT, check=True)
    return [Outcome(**fields) for fields in json.loads(ran.stdout.splitlines()[-1])]


def suite() -> tuple[str, str]:
    """Runs the fast tests, which the guard of tests/conftest.py keeps from the network: (their result, look-ups)."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-n", "2"]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    found = re.search(r"(\d+) look-ups", ran.stdout)
    lines = ran.stdout.strip().splitlines()
    return (lines[-1] if lines else "nothing"), (found[1] if found else "unknown")


def report(played: list[Outcome]) -> list[str]:
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    import PIL
    import torch

    lines = [
        f"{os.cpu_count()} cores of an {processor}, no GPU",
        f"Python {platform.python_version()}, torch {torch.__version__}, Pillow {PIL.__version__}",
        "",
    ]
    bad, models, checkpoints = (
        [case for case in played if case.group == group] for group in ("bomb", "model", "checkpoint")
    )
    slowest, largest = (max([getattr(case, what) for case in bad], default=0) for what in ("seconds", "megabytes"))
    outside = sum(case.outside for case in bad)
    lines += [
        f"bombs and hostile archives: {sum(case.held for case in bad)} of {len(bad)} refused in one line,"
        f" the slowest in {slowest:.2f} s (promised: below {SECONDS:g} s), the largest with {largest:.0f} MB"
        f" (promised: below {MEGABYTES:g} MB), {outside} bytes left (promised: 0)",
        f"hostile models and configs: {sum(case.held for case in models)} of {len(models)} refused in one"
        f" line, {sum(case.payload for case in models)} payloads run (promised: 0),"
        f" the slowest in {max([case.seconds for case in models], default=0):.2f} s,"
        f" the largest with {max([case.megabytes for case in models], default=0):.0f} MB",
        f"hostile checkpoints: {sum(case.held for case in checkpoints)} of {len(checkpoints)} refused in one line,"
        f" {sum(case.payload for case in checkpoints)} payloads run (promised: 0)",
        "",
        f"{'seconds':>7}{'MB':>6}{'left':>6}  case: answer",
    ]
    for case in played:
        mark = "" if case.held else "NOT HELD: "
        said = case.said.removeprefix("quagga: error: ")
        lines.append(f"{case.seconds:>7.2f}{case.megabytes:>6.0f}{case.outside:>6}  {mark}{case.name}: {said[:120]}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a text file for the figures")
    parser.add_argument("--suite", action="store_true", help="also run the fast tests and count their look-ups")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.play:
        print(json.dumps([asdict(case) for case in play(chosen.play, chosen.only)]))
        return
    lines = report(outcomes(chosen.only))
    if chosen.suite:
        result, look_ups = suite()
        lines += ["", f"the suite with the network blocked: {result}; {look_ups} look-ups (promised: 0)"]
    keep(lines, chosen.output)


if __name__ == "__main__":
    main()
