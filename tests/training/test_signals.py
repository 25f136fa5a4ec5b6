"""The first signal saves and goes, the second goes at once."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import survival
import tiny_run
from tiny_run import words

from quagga.cli.main import command_line
from quagga.data.loading.ram_cache import RamCache
from quagga.training import checkpoint, signals

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def launched(*command: str, seconds: int = 120, **environment: str) -> str:
    """What two processes said."""
    env = os.environ | {"OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [*LAUNCH, *command], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds
    ).stdout


@pytest.fixture
def out(monkeypatch):
    """Instead of ending the tests' process: a list of the exit codes it would have had."""
    codes: list[int] = []

    def leave(code):
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    return codes


def test_before_the_first_step_it_leaves_at_once(out, capfd):
    with signals.handling_signals(ends_process=True), pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)
    assert out == [143] and "SIGTERM before the first step" in capfd.readouterr().err


def test_while_playing_it_is_asked_once_and_leaves_at_the_second(out, capfd):
    with signals.handling_signals(ends_process=True) as handler:
        handler.in_training = True
        os.kill(os.getpid(), signal.SIGUSR1)
        assert handler.received == signal.SIGUSR1 and not out
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
    assert out == [143]
    said = capfd.readouterr().err
    assert "SIGUSR1: saving" in said and "SIGTERM again" in said


def test_while_pictures_are_read_the_first_one_leaves(out, capfd):
    with signals.handling_signals(ends_process=True) as handler:
        handler.in_training = True
        with handler.leaving_at_once(), pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGINT)
        assert out == [130] and handler.in_training and not handler.received


def test_a_run_that_reads_pictures_into_memory_leaves_at_once(tmp_path, out, capfd, monkeypatch):
    """Which may take minutes, and a launcher grants 30 seconds."""
    monkeypatch.setattr(RamCache, "fill", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert command_line(words(tiny_run.pictures(tmp_path), tmp_path / "run", cache="ram")) == 143
    assert out == [143] and "SIGTERM before the first step" in capfd.readouterr().err


def test_under_a_launcher_ctrl_c_arrives_twice_and_counts_once(out, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with signals.handling_signals(ends_process=True) as handler:
        handler.in_training = True
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert handler.received == signal.SIGINT and not out
        handler.received_at -= 2 * signals.DUPLICATE_WINDOW
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGINT)


def test_in_a_notebook_nobody_ends_the_process():
    with signals.handling_signals() as handler:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        handler.in_training = True
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_afterwards_signals_do_what_they_did_and_what_was_ignored_stays_so():
    before = {name: signal.getsignal(getattr(signal, name)) for name in signals.SIGNAL_NAMES}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with signals.handling_signals() as handler, signals.handling_signals(ends_process=True) as inner:
            assert inner is handler and not inner.ends_process
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) == handler.handle
    finally:
        signal.signal(signal.SIGHUP, before["SIGHUP"])
    assert before == {name: signal.getsignal(getattr(signal, name)) for name in signals.SIGNAL_NAMES}


@pytest.mark.parametrize("phase", ["training", "sampling", "saving"])
def test_a_signal_is_obeyed_whatever_the_run_is_doing(tmp_path, phase):
    command = words(tiny_run.pictures(tmp_path), tmp_path / "run", images=10**9, sample_every=12, workers=1)
    code, said, _ = survival.under_way(command, signal.SIGTERM, phase, random.Random(0))
    assert code == 143 and survival.explained(tmp_path / "run", said)


def test_a_signal_during_start_up_has_nothing_to_save(tmp_path):
    command = words(tiny_run.pictures(tmp_path), tmp_path / "run", images=10**9)
    code, said, _ = survival.start_up(command, signal.SIGINT, "start-up", random.Random(0))
    assert code == 130 and survival.explained(tmp_path / "run", said)


def test_a_terminal_that_goes_leaves_a_saved_run(tmp_path):
    """SIGHUP comes when the terminal has gone: nothing can be written to it any more."""
    import pty

    command = words(tiny_run.pictures(tmp_path), tmp_path / "run", images=10**9)
    master, slave = pty.openpty()
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup a child would be deaf to it, as it should
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "quagga", *command], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    os.close(slave)
    deadline = time.monotonic() + 120
    while not checkpoint.list_saved(tmp_path / "run" / "checkpoints") and time.monotonic() < deadline:
        time.sleep(0.1)
    os.close(master)
    child.send_signal(signal.SIGHUP)
    assert child.wait(60) == 129
    newest = checkpoint.load(checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1])
    assert newest["counters"]["images_seen"] > 0


def test_nobody_listens_and_the_run_goes_on(tmp_path):
    command = words(tiny_run.pictures(tmp_path), tmp_path / "run", images=30)
    child = subprocess.Popen(
        [sys.executable, "-m", "quagga", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout and child.stdout.readline()
    child.stdout.close()  # as `| head -1` does
    child.wait(120)
    assert checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1].name == "000000030"


def test_a_head_start_hears_signals(tmp_path):
    command = words(tiny_run.pictures(tmp_path), tmp_path / "run", images=4, head_start=12)
    with tiny_run.signalled(signal.SIGTERM, 5):
        assert command_line(command) == 143
    (saved,) = checkpoint.list_saved(tmp_path / "run" / "checkpoints")
    assert checkpoint.load(saved)["counters"] == {"images_seen": 0, "row": 5, "minibatch": 1}
    tiny_run.another_second()
    assert command_line(command) == 0
    straight = words(tmp_path / "pictures", tmp_path / "straight", images=4, head_start=12)
    assert command_line(straight) == 0
    assert tiny_run.differing(tiny_run.left(tmp_path / "run"), tiny_run.left(tmp_path / "straight")) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "rank"), [("SIGTERM", 0), ("SIGINT", 1), ("SIGUSR1", 1)])
def test_two_processes_stop_together_whichever_hears_it(tmp_path, name, rank):
    run, command = tmp_path / "run", [str(Path(tiny_run.__file__)), f"{name}:5:{rank}"]
    said = launched(*command, *words(tiny_run.pictures(tmp_path), run, images=10**9, batch_size=1))
    assert f"stopped by {name} at" in said and said.count("stopped by") == 1
    newest = checkpoint.list_saved(run / "checkpoints")[-1]
    # points are due every 3 images, and a step is 2
    assert 10 <= checkpoint.load(newest)["counters"]["images_seen"] <= 14


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_the_launcher_hands_its_own_signal_on(tmp_path, name):
    """To the launcher alone, as a batch system sends it; SIGUSR1 it must be told of (docs/runs.md)."""
    run = words(tiny_run.pictures(tmp_path), tmp_path / "run", images=10**9)
    command = [*LAUNCH, "--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", "-m", "quagga", *run]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    launcher = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert launcher.stdout
    for line in launcher.stdout:
        if "watch:" in line:
            break
    deadline = time.monotonic() + 60
    while not checkpoint.list_saved(tmp_path / "run" / "checkpoints") and time.monotonic() < deadline:  # into the game
        time.sleep(0.1)
    launcher.send_signal(getattr(signal, name))
    try:
        said = launcher.communicate(timeout=60)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launcher.pid, signal.SIGKILL)  # with what it may have left
    assert f"stopped by {name} at" in said, said
    checkpoint.load(checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_error_on_one_process_ends_both_with_its_message(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text(
        "import os, sys\n"
        "from quagga.cli.main import command_line\n"
        "from quagga.training.loop import TrainingLoop\n"
        "after_step = TrainingLoop.after_step\n"
        "def broken(self, seen):\n"
        "    if seen == 10 and os.environ['RANK'] == '1':\n"
        "        raise RuntimeError('the roof fell in')\n"
        "    after_step(self, seen)\n"
        "TrainingLoop.after_step = broken\n"
        "sys.exit(command_line(sys.argv[1:]))\n"
    )
    said = launched(str(script), *words(tiny_run.pictures(tmp_path), tmp_path / "run", images=10**9), seconds=90)
    assert "the roof fell in" in said


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("at_twelve", "said", "saved"),
    [
        ("shutil.move(run := self.context.folder, f'{run}-moved')", "was deleted, moved or given", "000000006"),
        (
            "TrainingLoop.show_strips = broken",
            "RuntimeError: the roof fell in",
            "000000012",
        ),  # where a save is due on both
    ],
)
def test_what_only_the_first_of_two_processes_finds_ends_both(tmp_path, at_twelve, said, saved):
    script = tmp_path / "broken.py"
    script.write_text(
        "import os, shutil, sys\n"
        "from quagga.cli.main import command_line\n"
        "from quagga.training.loop import TrainingLoop\n"
        "after_step = TrainingLoop.after_step\n"
        "def broken(*_):\n"
        "    raise RuntimeError('the roof fell in')\n"
        "def breaking(self, seen):\n"
        "    if seen == 12 and os.environ['RANK'] == '0':\n"
        f"        {at_twelve}\n"
        "    after_step(self, seen)\n"
        "TrainingLoop.after_step = breaking\n"
        "sys.exit(command_line(sys.argv[1:]))\n"
    )
    often = {"images": 10**9, "batch_size": 1, "log_every": 6, "sample_every": 6, "save_every": 6}
    heard = launched(str(script), *words(tiny_run.pictures(tmp_path), tmp_path / "run", **often), seconds=90)
    assert heard.count(said) == 1, heard
    [run] = tmp_path.glob("run*")
    assert checkpoint.list_saved(run / "checkpoints")[-1].name == saved


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_look_for_a_curve_together(tmp_path):
    often = {"images": 4, "batch_size": 1, "norm": "batch", "log_every": 2}
    command = words(tiny_run.pictures(tmp_path), tmp_path / "run", **often)
    heard = launched("-m", "quagga", *command, "--keep_best=held_out/cycel_x", seconds=90)
    assert heard.count("did you mean held_out/cycle_x?") == 1, heard
    launched("-m", "quagga", *command, "--keep_best=held_out/cycle_x", seconds=90)
    assert checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1].name == "000000004"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_signal_in_each_phase_twice(tmp_path):
    """`python benchmarks/survival.py` sends each five times."""
    outcome = survival.signals(tmp_path, times=2)
    assert outcome.signals == outcome.good == 24 and outcome.slowest < survival.WAIT
