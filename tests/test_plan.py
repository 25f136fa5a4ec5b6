"""`quagga plan`: the table, the command that it ends with, and what is not tried, on tiny games on the CPU."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from quagga.data import embedded
from quagga.pipelines import cli, cyclegan, plan_entry
from quagga.pipelines.cli import command_line
from quagga.pipelines.options import resolve
from quagga.pipelines.plan import PlanOptions, command, duration, entries, predicted
from quagga.pipelines.plan_entry import Job, Measured, caught, in_a_process

SMALL = ["--workers=0", "--device=cpu", "--width=4", "--width_discriminator=4"]
TRANSLATION = [*SMALL, "--load_size=18", "--crop_size=16", "--layers=1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """3 pictures or pairs of each kind: batches of 1 and 2 are played, one of 4 is refused."""
    folder = tmp_path_factory.mktemp("home")
    embedded.write(folder / "set", train=3, test=1, size=40)
    embedded.write(folder / "pairs", train=3, test=1, size=40, kind="pairs")
    for number in range(8):
        (folder / f"digits/{number % 2}").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(folder / f"digits/{number % 2}/{number}.png")
    return folder


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def job(home: Path, *words: str, build: Any = cyclegan.build, seconds: float = 0.001) -> Job:
    typed = ["--root", str(home / "set"), *TRANSLATION, "--blocks=1", *words]
    _, options = resolve("cyclegan", build, cyclegan.data, typed, "quagga plan cyclegan", cyclegan.defaults)
    return Job("cyclegan", build, cyclegan.data, options, seconds)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("cyclegan", ["--root=set", *TRANSLATION, "--blocks=1"]),
        ("pix2pix", ["--root=pairs", *TRANSLATION, "--blocks=2"]),
        ("conditional", ["--root=digits", *SMALL, "--images=50"]),
        ("gan", ["--root", "digits", "--size", "16", *SMALL, "--config", "yours.yaml"]),
    ],
)
def test_the_table_ends_with_a_command_that_trains(home, monkeypatch, capsys, pipeline, words):
    monkeypatch.chdir(home)
    (home / "yours.yaml").write_text("pipeline: gan\nbatch_size: 2\n")
    before = files(home)
    assert command_line(["plan", pipeline, *words, "--seconds=0.3", "--batch_size", "2"]) == 0
    said = capsys.readouterr().out
    assert files(home) == before  # nothing was written
    own = 16
    table = re.findall(r"^ +(\d+) +(\d+) +([\d.e+]+) +([\d.]+) GB +(\d.*?)  +\d+%$", said, re.MULTILINE)
    assert {int(size) for size, *_ in table} <= {own // 2, own, own * 2}
    assert {(str(own), "1"), (str(own), "2")} <= {(size, batch) for size, batch, *_ in table}
    assert all(float(rate) > 0 and 0.05 < float(memory) < 20 for _, _, rate, memory, _ in table)
    lines = said.splitlines()
    typed = next(line for line in lines if line.startswith("    quagga train")).split("quagga ", 1)[1]
    chosen = re.search(r"--batch_size (\d+)$", typed)
    assert chosen and typed.startswith(f"train {pipeline} ") and "seconds" not in typed
    assert (str(own), chosen[1]) in {(size, batch) for size, batch, *_ in table}
    monkeypatch.chdir(home)
    run = ["--images=1", "--samples=1", "--examined=1", f"--output={home}-run-{pipeline}"]
    assert command_line([*shlex.split(typed), *run]) == 0
    assert (Path(f"{home}-run-{pipeline}") / "model/model.json").exists()


def test_what_is_typed_wrong_is_said_before_the_table(home, capsys):
    root = str(home / "set")
    for words, line in (
        (["cyclegan", "--root", "nowhere"], "nowhere"),
        (["cyclegan", "--root", root, "--seconds=0"], "seconds is 0"),
        (["cyclegan", "--root", root, "--batchsize=2"], "did you mean --batch_size"),
        (["cyclegan", "--root", root, "--crop_size=8", "--load_size=8"], "--crop_size of 24 or more"),
        (["cyclegans"], "did you mean cyclegan"),
        (["--root", root], "quagga plan cyclegan"),
    ):
        assert command_line(["plan", *words]) == 2, words
        said = capsys.readouterr()
        assert line in said.err and said.err.count("\n") == 1 and "batch" not in said.out
    assert command_line(["plan"]) == 0 and "quagga plan PIPELINE" in capsys.readouterr().out


def test_of_several_processes_one_plans(home, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert command_line(["plan", "cyclegan", "--root", str(home / "set"), *TRANSLATION]) == 0
    assert capsys.readouterr().out == ""


# -- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_counts_images_time_memory_and_waiting(home):
    measured = caught(job(home, "--accumulation=2", "--head_start=100", "--k=1", seconds=0.2), Accelerator(cpu=True))
    assert (measured.batch, measured.images, measured.why) == (1, 2, "")
    assert measured.step > 0 and measured.rate == 2 / measured.step and 0 <= measured.waited <= 1
    assert measured.peak >= measured.ground > 1e7


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_what_does_not_fit_is_said_and_what_is_a_bug_is_raised(home, monkeypatch, error):
    def failing(*_):
        raise error

    monkeypatch.setattr(cyclegan.CycleGAN, "generator_loss", failing)
    measured = caught(job(home), Accelerator(cpu=True))
    assert measured.over and measured.batch == 1 and measured.step == 0
    error = ValueError("ours")
    with pytest.raises(ValueError, match="ours"):
        caught(job(home), Accelerator(cpu=True))


def killed(**options: Any) -> Any:
    """A game that the system kills."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def broken(**options: Any) -> Any:
    raise ValueError("the roof fell in")


def test_on_the_cpu_a_process_that_is_killed_did_not_fit(home):
    whole = job(home)
    measured = in_a_process(replace(whole, build=killed))
    assert measured.over and "SIGKILL" in measured.why
    with pytest.raises(RuntimeError, match="the roof fell in"):
        in_a_process(replace(whole, build=broken))
    assert "cannot be played" in in_a_process(whole.of(4, {})).why  # of 3 pictures


def played(
    monkeypatch, home, rates: dict[int, float], *words: str, free: float = 1e12, own: int = 16
) -> list[Measured]:
    """The entries of a device that plays so many images/s at each batch, where a row takes 1 GB and the rest 1 GB;
    rate 0: it does not fit."""

    def measure(one: Job, _accelerator: Accelerator) -> Measured:
        batch = one.options["schedule"]["batch_size"]
        if not rates[batch]:
            return Measured(batch, why=plan_entry.OVER)
        return Measured(batch, batch, batch / rates[batch], int(1e9 * (1 + batch)), int(1e9))

    monkeypatch.setattr(plan_entry, "measure", measure)
    monkeypatch.setattr(plan_entry, "free", lambda _: free)
    whole = job(home, *words, seconds=10)
    return list(entries(whole, {}, 16, Accelerator(cpu=True), [], own))


def test_batches_rise_until_nothing_is_gained_or_they_do_not_fit(home, monkeypatch):
    def batches(*words, **more):
        return [entry.batch for entry in played(monkeypatch, home, *words, **more)]

    slow = {1: 1.0, 2: 1.9, 4: 1.92, 8: 1.93, 16: 9.0, 3: 1.9}
    assert batches(slow) == [1, 2, 4, 8]
    assert batches(slow, "--batch_size=3") == [1, 2, 3, 4, 8]
    assert batches({1: 1.0, 2: 2.0, 4: 0.0}) == [1, 2, 4]
    entry = played(monkeypatch, home, {1: 1.0, 2: 2.0, 4: 4.0}, free=5e9)[-1]
    assert entry.batch == 4 and "not tried: it would take 5.0 GB" in entry.why
    entry = played(monkeypatch, home, {1: 0.04})[-1]  # 25 s a step, and 50 for the next
    assert entry.batch == 2 and "a step would take 50 s" in entry.why


def test_memory_is_predicted_on_a_line():
    one, two = Measured(1, 1, 1.0, 30, 10), Measured(2, 2, 3.0, 50, 10)
    assert predicted([], 7) == (0, 0)
    assert predicted([(100, one)], 300) == (70, 3)
    assert predicted([(100, one), (200, two)], 400) == pytest.approx((90, 6))


def test_the_command_is_the_users_with_other_sizes():
    words = ["--root", "my pictures", "--batch_size=3", "--crop_size", "64", "--seconds", "3", "--flip=false"]
    made = command("quagga train cyclegan", words, {"batch_size": 8, "crop_size": 128})
    assert made == "quagga train cyclegan --root 'my pictures' --flip=false --batch_size 8 --crop_size 128"


def test_durations_have_two_units():
    assert [duration(n) for n in (5, 65, 3720, 90000)] == ["5 s", "1 min 5 s", "1 h 2 min", "1 d 1 h"]
    assert PlanOptions().seconds == 10



def test_out_of_memory_in_a_training_points_to_the_plan(home, tmp_path, monkeypatch, capsys):
    def failing(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(cyclegan.CycleGAN, "generator_loss", failing)
    words = ["--root", str(home / "set"), *TRANSLATION, "--blocks=1", f"--output={tmp_path / 'run'}"]
    assert command_line(["train", "cyclegan", *words]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("quagga: error")]
    assert "quagga plan PIPELINE" in line and "--gradient_checkpointing true" in line and "Tried to allocate" in line
    assert "plan" in cli.COMMANDS
