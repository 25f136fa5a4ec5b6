"""How many threads play a run on the CPU: trial steps choose, leave no trace, and what they chose is kept."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import repeat
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_laws import PIPELINES, game_of, play, rows_of
from test_train import pictures, train
from toys import trainer_of

from quagga.training import checkpoint
from quagga.training.hardware import cpu_threads
from quagga.training.hardware.cpu_threads import ThreadTrial, choose_threads, plan_trial, restoring, run_trial

assert pictures  # a fixture


@pytest.fixture
def two(monkeypatch) -> None:
    """Two threads that nobody has asked for, as on a machine of two cores; here by their number alone, since two real
    ones on busy cores are what tests must not wait for."""
    for name in cpu_threads.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    number = [2]
    monkeypatch.setattr(torch, "get_num_threads", lambda: number[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: number.__setitem__(0, count))


def flat(value: object, place: str = "") -> dict[str, object]:
    """A nested state, as place -> number, text or tensor; without what pauses have cost, which is seconds."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if items is None:
        return {place: value}
    return {
        where: leaf for key, item in items if key != "intervals" for where, leaf in flat(item, f"{place}/{key}").items()
    }


def same(a: object, b: object) -> None:
    left, right = flat(a), flat(b)
    assert left.keys() == right.keys()
    for place, value in left.items():
        other = right[place]
        equal = torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other  # pyright: ignore
        assert equal, place


# -- the trial leaves no trace -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("more", [{}, {"optimizer": "adam", "accumulation": 2, "k": 2, "head_start": 4}], ids=str)
def test_a_game_that_was_rehearsed_is_played_to_the_same_bit(name, more):
    """With batch norm, dropout and pools of old fakes, all of which remember."""
    states = []
    for rehearsed in (False, True):
        trainer = trainer_of(game_of(name, bare=False), images=16, batch_size=2, **more)
        rows = rows_of(name, 2, dtype=torch.float32)
        torch.manual_seed(7)
        if rehearsed:
            with restoring(trainer):
                steps = trainer.play(repeat(rows.batch(0, 2)))
                for _ in range(12):  # more than the game is long
                    next(steps)
        chance = torch.rand(1)
        play(trainer, rows)
        states.append({**trainer.state_dict(), "chance": chance})
    same(*states)


def test_a_run_with_a_trial_is_the_same_run(pictures, tmp_path, two, monkeypatch, capsys):
    """With any threads: here all are kept, whatever the clock said."""
    monkeypatch.setattr(cpu_threads, "CLEAR_SPEEDUP", inf)
    where = ("--root", pictures, "--images=24", "--pool_size=3", "--batch_size=2")
    assert train(*where, "--output", tmp_path / "without") == 0
    assert "trial steps" not in capsys.readouterr().out
    monkeypatch.setattr(cpu_threads, "TRIAL_SHARE", 1.0)
    monkeypatch.setattr(cpu_threads, "MAX_ROUNDS", 2)
    assert train(*where, "--output", tmp_path / "with") == 0
    assert "2 threads, chosen by 5 trial steps in " in capsys.readouterr().out
    left = [checkpoint.load(checkpoint.list_saved(tmp_path / run / "checkpoints")[-1]) for run in ("without", "with")]
    for state in left:
        assert state["threads"] == 2
        del state["config"]
    same(*left)


# -- what is chosen ----------------------------------------------------------------------------------------------------


def with_clock(seconds: Callable[[int, int], float], counts: list[int], rounds: int) -> dict[int, list[float]]:
    """A trial of steps that take seconds(number of threads, which step of them)."""
    now, using, steps = 0.0, counts[0], -1

    def step() -> None:
        nonlocal now, steps
        now, steps = now + seconds(using, steps), steps + 1

    def use(count: int) -> None:
        nonlocal using
        using = count

    return run_trial(step, counts, rounds, use, lambda: now)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        (lambda count, step: {2: 0.1, 1: 0.14}[count], 2),  # a quiet machine
        (lambda count, step: {2: 1.5, 1: 0.14}[count], 1),  # a crowded one
        (lambda count, step: {2: 0.1, 1: 0.095}[count], 2),  # fewer must be clearly faster
        (lambda count, step: {2: 30.0, 1: 50.0}[count], 2),  # a huge step, of which there is one each
        (lambda count, step: {2: 30.0, 1: 24.0}[count], 2),
        (lambda count, step: {2: 300.0, 1: 40.0}[count], 1),
        (lambda count, step: 5.0 if step == 3 else {2: 0.1, 1: 0.14}[count], 2),  # something came in between
        (lambda count, step: 1.0 if step < 2 else {2: 0.5, 1: 0.14}[count], 1),  # the first steps are slow
    ],
)
def test_all_threads_play_unless_fewer_are_clearly_faster(seconds, chosen):
    assert ThreadTrial(with_clock(seconds, [2, 1], 8), 1.0).chosen == chosen


def test_of_several_numbers_the_fastest_is_taken():
    times = with_clock(lambda count, step: {8: 0.5, 4: 0.1, 1: 0.3}[count], [8, 4, 1], 8)
    assert ThreadTrial(times, 1.0).chosen == 4


def test_a_trial_is_as_short_as_it_may_be():
    clear = with_clock(lambda count, step: {2: 0.1, 1: 0.2}[count], [2, 1], 8)
    close = with_clock(lambda count, step: {2: 0.1, 1: 0.1}[count], [2, 1], 8)
    huge = with_clock(lambda count, step: {2: 30.0, 1: 40.0}[count], [2, 1], 8)
    assert [len(times[1]) for times in (clear, close, huge)] == [cpu_threads.MIN_ROUNDS, 8, 1]


def test_no_trial_takes_more_than_its_share_of_the_run():
    for most in range(1, 130):
        for steps in (1, 50, 100, 133, 134, 1000, 10_000, 1_000_000):
            counts, rounds = plan_trial(most, steps)
            worst = 1 + rounds * sum(most / count for count in counts)  # steps of all threads, where fewer are slower
            assert counts[0] == most and counts == sorted(set(counts), reverse=True)
            assert rounds == 0 or (len(counts) > 1 and worst <= cpu_threads.TRIAL_SHARE * steps + 1e-6)
    assert plan_trial(2, 1600) == ([2, 1], 8)
    assert plan_trial(8, 100_000)[0] == [8, 4, 1]


def test_the_line_says_what_was_chosen_why_and_what_it_cost():
    line = str(ThreadTrial({2: [1.495, 1.6, 1.2], 1: [0.143, 0.143, 0.2]}, 6.04))
    assert line == (
        "1 thread, chosen by 7 trial steps in 6.0 s: a step takes 1,495 ms with 2, 143 ms with 1. The run keeps this"
        " number; OMP_NUM_THREADS=2 takes all"
    )


# -- where nothing is tried, and what is kept --------------------------------------------------------------------------


def settled(kind: str = "cpu", processes: int = 1, deterministic: bool = False, length: int = 100_000) -> list[str]:
    """The lines of a run that begins, whose trial would stop the test."""
    accelerator = SimpleNamespace(device=torch.device(kind), num_processes=processes)
    trainer = SimpleNamespace(
        accelerator=accelerator, length=length, images_seen=0, minibatch=1, schedule=SimpleNamespace(batch_size=1)
    )
    rows = SimpleNamespace(sample=lambda row: pytest.exit("a trial was begun"))
    return choose_threads(trainer, rows, False, None, deterministic)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", cpu_threads.THREAD_VARIABLES)
def test_nothing_is_tried_where_the_number_is_said(two, monkeypatch, name):
    monkeypatch.setenv(name, "2")
    assert settled() == [] and torch.get_num_threads() == 2


@pytest.mark.parametrize("more", [{"processes": 2}, {"kind": "cuda"}, {"deterministic": True}, {"length": 99}], ids=str)
def test_nothing_is_tried_where_it_could_not_gain_or_must_not_differ(two, more):
    assert settled(**more) == [] and torch.get_num_threads() == 2


def test_nothing_is_tried_with_one_thread(two):
    torch.set_num_threads(1)
    assert settled() == []


@pytest.fixture
def fewer(monkeypatch):
    """Trials find that one thread is faster."""
    monkeypatch.setattr(cpu_threads, "TRIAL_SHARE", 1.0)
    monkeypatch.setattr(cpu_threads, "run_trial", lambda *_: {2: [2.0], 1: [1.0]})


def test_a_run_keeps_its_threads_where_it_goes_on(pictures, tmp_path, two, fewer, monkeypatch, capsys):
    def goes_on(images: int) -> tuple[int, str]:
        """Threads of the last checkpoint, and what was said."""
        assert train("--root", pictures, "--output", tmp_path / "run", f"--images={images}") == 0
        newest = checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1]
        return checkpoint.load(newest)["threads"], capsys.readouterr().out

    count, said = goes_on(8)
    assert count == 1 and "1 thread, chosen by" in said
    assert torch.get_num_threads() == 2  # who called goes on as before
    monkeypatch.setattr(cpu_threads, "run_trial", lambda *_: pytest.exit("a trial was begun"))
    count, said = goes_on(16)
    assert count == 1 and "1 thread of 2, as the run has been trained until now; OMP_NUM_THREADS=2 takes all" in said
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    count, said = goes_on(24)
    assert count == 2 and "2 threads, as the environment says, until now 1: sums" in said
    monkeypatch.delenv("OMP_NUM_THREADS")
    torch.set_num_threads(1)
    count, said = goes_on(32)
    assert count == 1 and "1 thread, which is all there are here, until now 2: sums" in said
    count, said = goes_on(40)
    assert count == 1 and "OMP_NUM_THREADS" not in said


def test_a_run_of_a_version_that_did_not_know_goes_on_with_all(two):
    accelerator = SimpleNamespace(device=torch.device("cpu"), num_processes=1)
    trainer = SimpleNamespace(accelerator=accelerator)
    assert choose_threads(trainer, None, True, None, False) == []  # pyright: ignore[reportArgumentType]
    assert torch.get_num_threads() == 2


# -- how threads wait --------------------------------------------------------------------------------------------------

OWN = "import quagga, torch\nif __name__ == '__main__':\n    quagga.main(lambda: None, argv=['--help'])\n"
WORDS = ["train", "cyclegan", "--width=0.5"]  # refused by the command's own parser, which has imported torch
WAYS = {  # by which a run is started
    "python -m": ["-m", "quagga", *WORDS],
    "quagga.main": ["own.py"],
    "accelerate launch": ["-m", "accelerate.commands.launch", "--cpu", "-m", "quagga", *WORDS],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1", "-m", "quagga", *WORDS],
}


def python(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Where nobody has said how threads wait, but for `environment`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=200)


@pytest.mark.skipif(sys.platform != "linux", reason="torch has another OpenMP there")
@pytest.mark.parametrize("way", WAYS)
def test_threads_look_briefly_however_a_run_is_started(way, tmp_path):
    """By the word of the OpenMP that torch has loaded, in the last process that was started."""
    (tmp_path / "own.py").write_text(OWN)
    said = python(*WAYS[way], folder=tmp_path, OMP_DISPLAY_ENV="VERBOSE").stderr
    assert [line.strip() for line in said.splitlines() if "GOMP_SPINCOUNT" in line][-1].endswith("= '10000'"), said


@pytest.mark.parametrize("importing", ["quagga", "quagga.__main__"])  # what a user's file, and the console script, do
@pytest.mark.parametrize(
    ("said", "heard"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")]
)
def test_threads_wait_as_the_user_says(importing, said, heard, tmp_path):
    program = f"import os, sys, {importing}; print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"
    ran = python("-c", program, folder=tmp_path, **said)
    assert ran.stdout.split() == ["False", heard], ran.stderr
