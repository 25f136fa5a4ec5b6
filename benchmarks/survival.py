"""What a run survives: kills, failing writes, damaged checkpoints, signals.

    python benchmarks/survival.py --output benchmarks/results/survival.txt

Kills: a run is killed (SIGKILL) at random moments, again and again, and goes on each time. After every kill the newest
checkpoint that is whole may be one interval (`--save_every`) and one step behind at most.
Writes: at every call that a save makes to the file system, and at every few kilobytes that it writes, the disk is full.
Damage: every file of the newest of two checkpoints, in seven ways, at several places.
Signals: SIGTERM, SIGINT and SIGUSR1 while starting up, training, drawing samples and saving.
"""

import argparse
import errno
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from report import processor
from tiny_run import pictures, words

from quagga import atomic
from quagga.cli.main import command_line
from quagga.errors import BadInput
from quagga.training import checkpoint, loop
from quagga.training.loop import TrainingLoop
from quagga.training.reporting import sample_sheets
from quagga.training.resume import _choose_checkpoint

# Torch is imported once, not once a kill; and not in this process, whose OpenMP threads a fork would not bring along.
FORK = multiprocessing.get_context("forkserver")
# Where that process finds them: before Python 3.12 it does not take over sys.path.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).rstrip(":")
FORK.set_forkserver_preload(["warm", "survival"])
WAIT = 30.0  # seconds a launcher grants
signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell leaves it ignored in the background; forks inherit it


# -- kills ------------------------------------------------------------------------------------------------------------


class Kills(NamedTuple):
    kills: int
    saving: int  # of them while a save was under way
    unloadable: int  # after which no checkpoint was whole, though one had been
    lost: int  # after which more than an interval and a step was lost


def kills(folder: Path, count: int, seed: int = 0) -> Kills:
    root, run, every = pictures(folder), folder / "run", 4
    command = words(root, run, images=10**9, save_every=every, log_every=4, sample_every=10**9)
    chance = random.Random(seed)
    saving = unloadable = lost = reached = 0
    for number in range(count):
        # No lock: the kill may hit the child while it holds one, and then nobody could read the number any more.
        seen, before = FORK.Value("q", 0, lock=False), drafts(run)
        child = FORK.Process(target=counted, args=(command, seen))
        child.start()
        deadline = time.monotonic() + WAIT
        while seen.value <= reached and time.monotonic() < deadline:  # until it has gone on
            time.sleep(0.001)
        assert seen.value > reached, "the run does not go on"
        if number % 2:  # every second kill amid a save, where it hurts
            while not drafts(run) - before and time.monotonic() < deadline:
                pass
            time.sleep(chance.uniform(0, 0.003))  # a small save is over in a few milliseconds
        else:
            time.sleep(chance.uniform(0, 0.15))
        child.kill()
        child.join()
        saving += bool(drafts(run) - before)
        choice = _choose_checkpoint(run, "auto")
        if choice.path is None:
            unloadable += reached > every
            continue
        newest = int(Path(choice.path).name)
        lost += newest < seen.value - every - 1
        reached = newest
    return Kills(count, saving, unloadable, lost)


def drafts(run: Path) -> set[tuple[str, int]]:
    """What is being written, or was when a run was killed."""
    found = set()
    for path in (*run.glob(".*.draft"), *(run / "checkpoints").glob(".*.draft")):
        with suppress(OSError):  # it has just got its name
            found.add((path.name, path.stat().st_ino))
    return found


def counted(command: list[str], shared: Any) -> None:
    multiprocessing.set_start_method("fork", force=True)  # of the workers, as outside of this script
    after_step = TrainingLoop.after_step

    def counting(self: TrainingLoop, seen: int) -> None:
        shared.value = seen
        after_step(self, seen)

    TrainingLoop.after_step = counting
    silent(lambda: command_line(command))


def silent(action: Callable[[], int]) -> tuple[int, str]:
    """The exit code, and all that was said."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = action()
    return code, said.getvalue()


# -- failing writes ---------------------------------------------------------------------------------------------------


class Faults(NamedTuple):
    faults: int
    unloadable: int  # after which the checkpoint before could not be loaded


CALLS = [(os, "fsync"), (os, "open"), (Path, "mkdir"), (Path, "rename"), (Path, "write_text"), (Path, "open"),
         (checkpoint, "save_file"), (atomic, "sync_to_disk"), (shutil, "rmtree")]  # fmt: skip


def faults(folder: Path) -> Faults:
    """A save fails at its nth call of each kind, for every n; and when the disk takes n bytes more, for every n."""
    state, later = example(0), example(1)
    count = unloadable = 0

    def check(broken: bool) -> None:
        nonlocal count, unloadable
        if not broken:
            return
        count += 1
        choice = _choose_checkpoint(folder, "auto")
        if choice.path is None or not same(checkpoint.load(Path(choice.path)), (state, later)):
            unloadable += 1

    for owner, name in CALLS:
        for nth in range(100):
            fresh(folder, state)
            with failing(owner, name, nth) as hit:
                broken = fails(lambda: checkpoint.save(folder / "checkpoints", 2, later, keep=1))
            check(broken or hit[0])
            if not hit[0]:
                break
    size = sum(path.stat().st_size for path in (folder / "checkpoints").glob("*/*"))
    for limit in range(0, size, 512):
        fresh(folder, state)
        child = FORK.Process(target=on_a_full_disk, args=(folder / "checkpoints", later, limit))
        child.start()
        child.join()
        check(True)
    return Faults(count, unloadable)


def example(seed: int) -> dict[str, Any]:
    noise = torch.Generator().manual_seed(seed)
    return {"weights": {str(n): torch.randn(300, generator=noise) for n in range(5)}, "counters": {"row": seed}}


def same(state: dict[str, Any], either: tuple[dict[str, Any], ...]) -> bool:
    return any(
        state["counters"] == other["counters"]
        and all(torch.equal(state["weights"][n], tensor) for n, tensor in other["weights"].items())
        for other in either
    )


def fresh(folder: Path, state: dict[str, Any]) -> None:
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    checkpoint.save(folder / "checkpoints", 1, state, keep=1)


def fails(action: Callable[[], object]) -> bool:
    try:
        action()
        return False
    except OSError:
        return True


@contextmanager
def failing(owner: Any, name: str, nth: int) -> Iterator[list[bool]]:
    original, calls, hit = getattr(owner, name), 0, [False]

    def broken(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth + 1:
            hit[0] = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments, **options)

    setattr(owner, name, broken)
    try:
        yield hit
    finally:
        setattr(owner, name, original)


def on_a_full_disk(folder: Path, state: dict[str, Any], limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    fails(lambda: checkpoint.save(folder, 2, state, keep=1))


# -- damage -----------------------------------------------------------------------------------------------------------


class Damages(NamedTuple):
    damages: int
    silent: int  # loaded as if nothing were
    unnamed: int  # the message did not name the checkpoint
    not_skipped: int  # the one before was not taken


WAYS: dict[str, Callable[[bytes, int, bytes], bytes | None]] = {  # content, place, the other checkpoint's file
    "cut": lambda content, at, _: content[:at],
    "emptied": lambda *_: b"",
    "a flipped bit": lambda content, at, _: content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :],
    "zeroed": lambda content, at, _: content[:at] + bytes(min(16, len(content) - at)) + content[at + 16 :],
    "longer": lambda content, *_: content + b"\0",
    "missing": lambda *_: None,
    "another checkpoint's": lambda _content, _at, other: other,
}


def damages(folder: Path, places: int = 12) -> Damages:
    count = unharmed = unnamed = not_skipped = 0
    for file in (*checkpoint.FILES, checkpoint.MANIFEST):
        for harm in WAYS.values():
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            older = checkpoint.save(folder / "checkpoints", 1, example(1), keep=2)
            newer = checkpoint.save(folder / "checkpoints", 2, example(2), keep=2)
            content, other = (newer / file).read_bytes(), (older / file).read_bytes()
            for number in range(places):
                harmed = harm(content, number * len(content) // places, other)
                if harmed == content:
                    continue
                (newer / file).unlink(missing_ok=True)
                if harmed is not None:
                    (newer / file).write_bytes(harmed)
                count += 1
                try:
                    checkpoint.load(newer)
                    unharmed += 1
                except BadInput as error:
                    unnamed += str(newer) not in str(error)
                choice = _choose_checkpoint(folder, "auto")
                not_skipped += choice.path != str(older) or str(newer) not in "".join(choice.lines)
    return Damages(count, unharmed, unnamed, not_skipped)


# -- signals ----------------------------------------------------------------------------------------------------------


class Signals(NamedTuple):
    signals: int
    good: int  # saved where it stood, or a stated reason, with the exit code of the signal
    slowest: float  # seconds from the signal to the end of the process


def signals(folder: Path, times: int, seed: int = 0) -> Signals:
    root, chance, count, good, slowest = pictures(folder), random.Random(seed), 0, 0, 0.0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        for phase in ("start-up", "training", "sampling", "saving"):
            for _ in range(times):
                run = folder / f"run-{count}"
                count += 1
                command = words(root, run, images=10**9, sample_every=12, workers=count % 2)
                trial = start_up if phase == "start-up" else under_way
                code, said, seconds = trial(command, number, phase, chance)
                slowest = max(slowest, seconds)
                good += code == 128 + number and seconds < WAIT and explained(run, said)
                shutil.rmtree(run, ignore_errors=True)
    return Signals(count, good, slowest)


def explained(run: Path, said: str) -> bool:
    if "before the first step: there was nothing to save" in said:
        return not checkpoint.list_saved(run / "checkpoints")
    stopped = [line for line in said.splitlines() if "stopped by" in line]
    if len(stopped) != 1 or "saved" not in stopped[0]:
        return False
    at = int(stopped[0].split(" at ")[1].split(" of ")[0].replace(",", ""))
    return checkpoint.load(checkpoint.list_saved(run / "checkpoints")[-1])["counters"]["images_seen"] == at


def start_up(command: list[str], number: int, _phase: str, chance: random.Random) -> tuple[int, str, float]:
    """A process of its own, since here the imports count."""
    child = subprocess.Popen(
        [sys.executable, "-m", "quagga", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    time.sleep(0.1)
    while "quagga" not in Path(f"/proc/{child.pid}/cmdline").read_text():
        time.sleep(0.01)
    time.sleep(chance.uniform(0.2, 3))
    begin = time.monotonic()
    child.send_signal(number)
    said, _ = child.communicate(timeout=2 * WAIT)
    return child.returncode, said, time.monotonic() - begin


def under_way(command: list[str], number: int, phase: str, chance: random.Random) -> tuple[int | None, str, float]:
    """A signal in the middle of a step, of the drawing of strips, of a save."""
    parent, child = FORK.Pipe()
    process = FORK.Process(target=paused, args=(command, phase, chance.randint(1, 4), child), daemon=False)
    process.start()
    child.close()
    parent.recv()  # the moment has come
    begin = time.monotonic()
    assert process.pid
    os.kill(process.pid, number)
    code, said = parent.recv() if parent.poll(2 * WAIT) else (None, "it hangs")
    process.join(2 * WAIT)
    return code, said, time.monotonic() - begin


def paused(command: list[str], phase: str, nth: int, pipe: Any) -> None:
    """Plays, and tells when the nth moment of its phase has come."""
    multiprocessing.set_start_method("fork", force=True)
    owner, name = {
        "training": (loop.Trainer, "_generators_move"),
        "sampling": (sample_sheets, "contact_sheet"),
        "saving": (checkpoint, "save_file"),
    }[phase]
    original, calls = getattr(owner, name), 0

    def telling(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            pipe.send("now")
            time.sleep(0.05)
        return original(*arguments, **options)

    setattr(owner, name, telling)
    pipe.send(silent_with_descriptors(lambda: command_line(command)))


def silent_with_descriptors(action: Callable[[], int]) -> tuple[int, str]:
    """As `silent`, with what is written to the descriptors themselves."""
    with tempfile.TemporaryFile("w+") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)  # noqa: SIM115
        code = action()
        sys.stdout.flush()
        file.seek(0)
        return code, file.read()


# -- report -----------------------------------------------------------------------------------------------------------


def report(count: int, times: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for name in ("kills", "faults", "damages", "signals"):
            (place / name).mkdir()
        k = kills(place / "kills", count)
        yield (
            f"SIGKILL: {k.kills} kills, {k.saving} amid a save; without a checkpoint that loads: {k.unloadable};"
            f" more than one interval lost: {k.lost}"
        )
        f = faults(place / "faults")
        yield f"a failing call or a full disk amid a save: {f.faults}; without a checkpoint that loads: {f.unloadable}"
        d = damages(place / "damages")
        yield (
            f"damaged files of the newest checkpoint, {len(WAYS)} ways: {d.damages}; silent: {d.silent}; not named:"
            f" {d.unnamed}; the one before not taken: {d.not_skipped}"
        )
        s = signals(place / "signals", times)
        yield (
            f"signals while starting up, training, drawing samples, saving: {s.good} of {s.signals} saved or with a"
            f" stated reason, with the signal's exit code; the slowest took {s.slowest:.1f} s"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--times", type=int, default=5, help="signals of each kind in each phase")
    parser.add_argument("--output", type=Path, help="a text file for the figures")
    chosen = parser.parse_args()
    lines = []
    for line in report(chosen.kills, chosen.times):
        print(line, flush=True)
        lines.append(line)
    if chosen.output:
        chosen.output.write_text("\n".join([*lines, "", f"{processor()}, torch {torch.__version__}"]) + "\n")
