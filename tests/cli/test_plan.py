"""`quagga plan`: the table, the command that it ends with, and what is not tried, on tiny games on the CPU."""

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from quagga.cli import main
from quagga.cli.main import command_line
from quagga.cli.options.config_parser import resolve
from quagga.cli.plan import PlanOptions, entries, plan_lines, predict_step, train_command
from quagga.data.indexed import IndexedDataset
from quagga.data.loading.ram_cache import RamCache
from quagga.data.synthetic import scenes
from quagga.errors import BadInput
from quagga.pipelines import conditional, cyclegan, gan, pix2pix
from quagga.training import step_profiler
from quagga.training.hardware import acceleration
from quagga.training.hardware.acceleration import Acceleration
from quagga.training.reporting.time_estimate import format_duration
from quagga.training.step_profiler import (
    ProfileJob,
    StepProfile,
    profile_in_process,
    profile_safely,
    ram_caches,
    with_cached_bytes,
)

SMALL = ["--workers=0", "--device=cpu", "--width=4", "--width_discriminator=4"]
TRANSLATION = [*SMALL, "--load_size=18", "--crop_size=16", "--layers=1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """3 pictures or pairs of each kind: batches of 1 and 2 are played, one of 4 is refused."""
    folder = tmp_path_factory.mktemp("home")
    scenes.write(folder / "set", train=3, test=1, size=40)
    scenes.write(folder / "pairs", train=3, test=1, size=40, kind="pairs")
    trainings = [sorted((folder / f"set/{side}").iterdir()) for side in ("trainA", "trainB")]
    listed = "".join(f"{x},{y}\n" for x, y in zip(*trainings, strict=True))
    (folder / "pairs.csv").write_text(f"x,y\n{listed}")
    for number in range(8):
        (folder / f"digits/{number % 2}").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(folder / f"digits/{number % 2}/{number}.png")
    return folder


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def job(home: Path, *words: str, build: Any = cyclegan.build, seconds: float = 0.001) -> ProfileJob:
    typed = ["--root", str(home / "set"), *TRANSLATION, "--blocks=1", *words]
    _, options = resolve("cyclegan", build, cyclegan.data, typed, "quagga plan cyclegan", cyclegan.defaults)
    return ProfileJob("cyclegan", build, cyclegan.data, options, seconds)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("cyclegan", ["--root=set", *TRANSLATION, "--blocks=1"]),
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


def test_under_a_launcher_one_process_says_to_start_without(home, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(main, "exit_if_distributed", lambda code: code)  # which would end this process
    said = []
    for rank, code in (("0", 2), ("1", 0)):
        monkeypatch.setenv("RANK", rank)
        assert command_line(["plan", "cyclegan", "--root", str(home / "set"), *TRANSLATION]) == code
        out, err = capsys.readouterr()
        assert out == ""
        said.append(err)
    assert "start it without the launcher" in said[0] and said[0].count("\n") == 1 and said[1] == ""


# -- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_counts_images_time_memory_and_waiting(home, monkeypatch):
    moves, move = [], cyclegan.CycleGAN.generator_loss
    monkeypatch.setattr(cyclegan.CycleGAN, "generator_loss", lambda *a: moves.append(1) or move(*a))
    measured = profile_safely(
        job(home, "--accumulation=2", "--head_start=100", "--k=1", seconds=0.2), Accelerator(cpu=True)
    )
    assert (measured.batch, measured.images, measured.problem) == (1, 2, "")
    assert moves  # whole steps, also where a run would begin with a head start
    assert measured.seconds > 0 and measured.rate == 2 / measured.seconds and 0 <= measured.waited <= 1
    assert measured.peak >= measured.baseline > 1e7


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_what_does_not_fit_is_said_and_what_is_a_bug_is_raised(home, monkeypatch, error):
    def failing(*_):
        raise error

    monkeypatch.setattr(cyclegan.CycleGAN, "generator_loss", failing)
    measured = profile_safely(job(home), Accelerator(cpu=True))
    assert measured.exceeds_memory and measured.batch == 1 and measured.seconds == 0
    error = ValueError("ours")
    with pytest.raises(ValueError, match="ours"):
        profile_safely(job(home), Accelerator(cpu=True))


def on_a_gpu(monkeypatch) -> None:
    """The means of speed are those of a GPU with a compiler, though the game is played on the CPU."""
    monkeypatch.setattr(acceleration, "missing_for_compile", lambda _: None)
    monkeypatch.setattr(
        step_profiler, "acceleration_for", lambda _, *asked: acceleration.acceleration_for(torch.device("cuda"), *asked)
    )


def test_what_is_not_compiled_is_played_as_a_run_that_is_not(home, monkeypatch):
    on_a_gpu(monkeypatch)
    taken = []
    monkeypatch.setattr(step_profiler, "apply_acceleration", lambda _networks, means: taken.append(means))
    for compiled, words, means in (
        (False, [], Acceleration()),  # channels-last is for what is compiled
        (False, ["--channels_last=true"], Acceleration(channels_last=True)),
        (True, [], Acceleration(compile=True, channels_last=True)),
        (True, ["--compile=false"], Acceleration()),
        (False, ["--gradient_checkpointing=true"], Acceleration(gradient_checkpointing=True)),
    ):
        measured = profile_safely(replace(job(home, *words), compiled=compiled), Accelerator(cpu=True))
        assert (taken.pop(), measured.compiled) == (means, means.compile), (compiled, words)


def lines_at_once(
    home: Path, monkeypatch, words: list[str], compiled: Callable[[ProfileJob], StepProfile]
) -> list[str]:
    """The plan of a GPU that plays a batch of 4 and more slowly. compiled: what comes of a compiled entry."""

    def measure(one: ProfileJob, _accelerator: Accelerator) -> StepProfile:
        batch = one.options["schedule"]["batch_size"]
        return compiled(one) if one.compiled else StepProfile(batch, batch, 1.0 if batch < 4 else 9.0, 100, 50)

    on_a_gpu(monkeypatch)
    monkeypatch.setattr(step_profiler, "profile", measure)
    whole = job(home, *words, seconds=10)
    words = ["--root", str(home / "set"), *TRANSLATION, "--blocks=1", *words]
    config, _ = resolve("cyclegan", cyclegan.build, cyclegan.data, words, "quagga plan cyclegan", cyclegan.defaults)
    return list(plan_lines(whole, config, "quagga train cyclegan", words))


@pytest.mark.parametrize("asked", [True, False])
def test_lines_say_what_is_not_compiled_where_the_run_is(home, monkeypatch, asked):
    lines = lines_at_once(
        home,
        monkeypatch,
        [] if asked else ["--compile=false"],
        lambda _: StepProfile(2, 2, 1.0, 100, 50, compiled=True),
    )
    table = [line for line in lines if " GB " in line and "free" not in line]
    fastest = [line for line in lines if line.startswith("fastest")]
    last = table.pop() if asked else ""
    assert len(table) > 5 and len(fastest) == 3
    assert {line.endswith("%  not compiled") for line in table} == {asked}
    assert last.endswith("%  compiled") == asked
    own, *others = fastest
    assert "at 16 pixels" in own and "not compiled" not in own
    assert {", not compiled." in line for line in others} == {asked}


class LoweringError(RuntimeError):
    __module__ = "torch._inductor.exc"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LoweringError("no kernel for you"), "the networks could not be compiled (no kernel for you)"),
        (torch.OutOfMemoryError("CUDA out of memory"), "does not fit"),
    ],
)
def test_what_cannot_be_compiled_leaves_the_table_and_a_command_without(home, monkeypatch, error, said):
    def fails(*_):
        raise error

    monkeypatch.setattr(step_profiler, "apply_acceleration", fails)
    lines = lines_at_once(home, monkeypatch, [], lambda one: profile_safely(one, Accelerator(cpu=True)))
    assert sum(said in line for line in lines) == 1
    commands = [line for line in lines if line.startswith("    quagga train")]
    assert len(commands) == 3 and all(line.endswith("--compile false") for line in commands)


# -- pictures that stay in memory -------------------------------------------------------------------------------------


def test_of_pictures_that_stay_in_memory_a_few_are_read_and_stand_in(home, monkeypatch):
    read, events, put, fill = [], [], RamCache._put, RamCache.fill
    monkeypatch.setattr(step_profiler, "STAND_IN_IMAGES", 2)
    monkeypatch.setattr(RamCache, "_put", lambda cache_, at: read.append(at) or put(cache_, at))
    monkeypatch.setattr(RamCache, "fill", lambda *a: (fill(*a), events.append("filled"))[0])
    monkeypatch.setattr(cyclegan.data, "sample", lambda *_: pytest.fail("a picture was read from the disk"))
    monkeypatch.setattr(step_profiler, "psutil", Noted(events))
    whole = job(home, "--cache=ram", seconds=0.2)
    measured = profile_safely(replace(whole, cached=10**12), Accelerator(cpu=True))
    assert measured.problem == "" and measured.seconds > 0
    assert sorted(read) == [0, 0, 1, 1]  # of 3 pictures a side
    assert events.index("memory") > events.index("filled")  # else every prediction would count them twice
    assert measured.cached == 10**12 and measured.memory == measured.peak + 10**12
    assert measured.baseline < measured.peak < 10**11
    rows, _ = whole.rows_and_game()
    few = step_profiler.fill_with_stand_ins(rows)
    assert all(set(cache_.where) == {0, 1, 2} for cache_ in ram_caches(rows))
    assert few == sum(cache_.bytes for cache_ in ram_caches(rows)) == 2 * 2 * 18 * 18 * 3


class Noted:
    """psutil, of a process of 1,000 bytes, that leaves word of when it was asked."""

    def __init__(self, events: list[str]):
        self.events = events

    def Process(self) -> "Noted":
        return self

    def memory_info(self) -> "Noted":
        self.events.append("memory")
        return self

    rss = 1_000_000


@pytest.mark.parametrize(
    ("pipeline", "data", "words", "count"),
    [
        ("cyclegan", cyclegan.data, ["--root=set", *TRANSLATION, "--blocks=1"], 2),
        ("cyclegan", cyclegan.data, ["--root=set", "--pairs=pairs.csv", *TRANSLATION, "--blocks=1"], 3),
        ("pix2pix", pix2pix.data, ["--root=pairs", *TRANSLATION, "--blocks=2"], 1),
        ("gan", gan.data, ["--root=digits", "--size=16", *SMALL], 1),
        ("conditional", conditional.data, ["--root=digits", *SMALL], 1),
    ],
)
def test_the_shelves_of_all_data_are_found_and_what_they_take_is_said(home, monkeypatch, pipeline, data, words, count):
    monkeypatch.chdir(home)
    build = {"cyclegan": cyclegan, "pix2pix": pix2pix, "gan": gan, "conditional": conditional}[pipeline].build
    for cache in ("none", "ram"):
        _, options = resolve(pipeline, build, data, [*words, f"--cache={cache}"], "quagga plan")
        whole = ProfileJob(pipeline, build, data, options, 1.0)
        rows, _ = whole.rows_and_game()
        found = ram_caches(rows)
        knowing, lines = with_cached_bytes(replace(whole, cached=1), rows)
        assert len(found) == (count if cache == "ram" else 0)
        assert knowing.cached == sum(cache_.bytes for cache_ in found) and (knowing.cached > 0) == (cache == "ram")
        assert len(lines) == (cache == "ram") and all("pictures kept in memory" in line for line in lines)


def test_pictures_that_stay_are_part_of_what_an_entry_takes_on_the_cpu(home, monkeypatch):
    def why(kept: int, free: float) -> list[str]:
        return [
            entry.problem for entry in played(monkeypatch, home, {1: 1.0, 2: 2.0, 4: 2.0, 8: 2.0}, free=free, kept=kept)
        ]

    assert why(0, 12e9) == ["", "", "", ""]
    assert why(5 * 10**9, 12e9) == ["", "", "", "not tried: it would take 14.0 GB of memory"]  # 5 + 1 + 8
    assert why(5 * 10**9, 6e9) == ["does not fit: it would take 7.0 GB of memory"]
    assert why(5 * 10**9, 5e9) == ["not tried: it would take 5.0 GB of memory"]


def test_pictures_of_another_size_take_what_they_take(home, monkeypatch):
    monkeypatch.setattr(
        step_profiler, "profile", lambda one, _: StepProfile(1, problem=f"{step_profiler.DOES_NOT_FIT}: {one.cached}")
    )
    whole, sizes = replace(job(home, "--cache=ram"), cached=7), {"crop_size": 32, "load_size": 36}
    for more, kept in ((sizes, 2 * 3 * 36 * 36 * 3), ({}, 7)):  # 3 pictures a side
        [entry] = entries(whole, more, 32, Accelerator(cpu=True), [], 16)
        assert entry.problem == f"{step_profiler.DOES_NOT_FIT}: {kept}"


def test_more_pictures_than_memory_are_said_before_the_table(home, monkeypatch, capsys):
    monkeypatch.setattr("quagga.data.loading.ram_cache.free_memory", lambda: 1000)
    assert command_line(["plan", "cyclegan", "--root", str(home / "set"), *TRANSLATION, "--cache=ram"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "are free: make them smaller, or leave out --cache" in said.err


def test_pictures_of_the_device_are_put_there(home, monkeypatch):
    monkeypatch.chdir(home)
    moved, move_to = [], IndexedDataset.move_to
    monkeypatch.setattr(
        IndexedDataset, "move_to", lambda dataset, device: moved.append((dataset, device)) or move_to(dataset, device)
    )
    monkeypatch.setattr(IndexedDataset, "read_batch", lambda *_: pytest.fail("a batch came from memory"))
    monkeypatch.setattr(IndexedDataset, "sample", lambda *_: pytest.fail("a row came from the disk"))
    words = ["--root=digits", "--size=16", *SMALL, "--cache=device", "--flip=false", "--batch_size=2"]
    _, options = resolve("gan", gan.build, gan.data, words, "quagga plan gan", gan.defaults)
    monkeypatch.setattr(step_profiler, "STAND_IN_IMAGES", 1)
    measured = profile_safely(ProfileJob("gan", gan.build, gan.data, options, 0.001), Accelerator(cpu=True))
    [(dataset, device)] = moved
    assert measured.problem == "" and device == torch.device("cpu")
    assert len(dataset.on_device["x"]) == len(dataset.train) > 1  # as much memory as in the run


def killed(**options: Any) -> Any:
    """A game that the system kills."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def broken(**options: Any) -> Any:
    raise ValueError("the roof fell in")


def leaves(how: str = "", **options: Any) -> Any:
    """A game that ends its process without a word, by an exit code or a signal."""
    import os
    import signal

    if how.isdigit():
        os._exit(int(how))
    os.kill(os.getpid(), getattr(signal, how))


@pytest.mark.parametrize("how", ["1", "0", "SIGTERM", "SIGSEGV"])
def test_a_process_that_ends_otherwise_is_no_want_of_memory(home, how):
    whole = job(home)
    options = {**whole.options, "build": {**whole.options["build"], "how": how}}
    with pytest.raises(BadInput, match=f"its process ended with {how}, and what it said is above"):
        profile_in_process(replace(whole, build=leaves, options=options))


@pytest.mark.parametrize("text", [None, "import such_a_module_there_is_not", "raise OSError('no such_a_module')"])
def test_an_import_that_fails_in_the_other_process_is_told_as_that(home, tmp_path, monkeypatch, text):
    """A file that the command could import and the processes of the entries cannot."""
    name = f"file_of_a_user_{len(text or '')}"
    file = tmp_path / f"{name}.py"
    file.write_text("def build(**options):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    build = import_module(name).build
    file.write_text(text) if text else file.unlink()
    with pytest.raises(BadInput, match=r"cannot import the functions build and data \(.*(such_a_module|user_0)"):
        profile_in_process(replace(job(home), build=build))


def test_on_the_cpu_a_process_that_is_killed_did_not_fit(home):
    whole = job(home)
    measured = profile_in_process(replace(whole, build=killed))
    assert measured.exceeds_memory and "SIGKILL" in measured.problem
    with pytest.raises(RuntimeError, match="the roof fell in"):
        profile_in_process(replace(whole, build=broken))
    assert "cannot be trained" in profile_in_process(whole.at_size(4, {})).problem  # of 3 pictures
    with pytest.raises(BadInput, match="at the top of a file"):
        profile_in_process(replace(whole, build=lambda **options: None))


def played(
    monkeypatch, home, rates: dict[int, float], *words: str, free: float = 1e12, own: int = 16, kept: int = 0
) -> list[StepProfile]:
    """The entries of a device that plays so many images/s at each batch, where a row takes 1 GB and the rest 1 GB;
    rate 0: it does not fit."""

    def measure(one: ProfileJob, _accelerator: Accelerator) -> StepProfile:
        batch = one.options["schedule"]["batch_size"]
        if not rates[batch]:
            return StepProfile(batch, problem=step_profiler.DOES_NOT_FIT)
        return StepProfile(batch, batch, batch / rates[batch], int(1e9 * (1 + batch)), int(1e9), cached=one.cached)

    monkeypatch.setattr(step_profiler, "profile", measure)
    monkeypatch.setattr(step_profiler, "free_device_memory", lambda _: free)
    whole = replace(job(home, *words, seconds=10), cached=kept)
    return list(entries(whole, {}, 16, Accelerator(cpu=True), [], own))


def test_batches_rise_until_nothing_is_gained_or_they_do_not_fit(home, monkeypatch):
    def batches(*words, **more):
        return [entry.batch for entry in played(monkeypatch, home, *words, **more)]

    slow = {1: 1.0, 2: 1.9, 4: 1.92, 8: 1.93, 16: 9.0, 3: 1.9}
    assert batches(slow) == [1, 2, 4, 8]
    assert batches(slow, "--batch_size=3") == [1, 2, 3, 4, 8]
    assert batches({1: 1.0, 2: 2.0, 4: 0.0}) == [1, 2, 4]
    entry = played(monkeypatch, home, {1: 1.0, 2: 2.0, 4: 4.0}, free=5e9)[-1]
    assert entry.batch == 4 and "not tried: it would take 5.0 GB" in entry.problem
    entry = played(monkeypatch, home, {1: 0.04})[-1]  # 25 s a step, and 50 for the next
    assert entry.batch == 2 and "a step would take 50 s" in entry.problem
    tried = [
        entry.batch for entry in played(monkeypatch, home, {1: 0.04, 8: 0.04}, "--batch_size=8") if not entry.problem
    ]
    assert tried == [1, 8]  # what is asked for is measured


def test_a_size_that_networks_cannot_have_is_one_line(home):
    whole = job(home, "--batch_size=8")
    [entry] = entries(whole, {"crop_size": 4, "load_size": 4}, 4, Accelerator(cpu=True), [], 16)
    assert "--crop_size of 6 or more" in entry.problem and not entry.exceeds_memory


def test_memory_is_predicted_on_a_line():
    one, two = StepProfile(1, 1, 1.0, 30, 10), StepProfile(2, 2, 3.0, 50, 10)
    assert predict_step([], 7) == (0, 0)
    assert predict_step([(100, one)], 300) == (70, 3)
    assert predict_step([(100, one), (200, two)], 400) == pytest.approx((90, 6))


def test_the_command_is_the_users_with_other_sizes():
    words = ["--root", "my pictures", "--batch_size=3", "--crop_size", "64", "--seconds", "3", "--flip=false"]
    made = train_command("quagga train cyclegan", words, {"batch_size": 8, "crop_size": 128})
    assert made == "quagga train cyclegan --root 'my pictures' --flip=false --batch_size 8 --crop_size 128"


def test_durations_have_two_units():
    assert [format_duration(n) for n in (5, 65, 3720, 90000)] == ["5 s", "1 min 5 s", "1 h 2 min", "1 d 1 h"]
    assert PlanOptions().seconds == 10


def test_out_of_memory_in_a_training_points_to_the_plan(home, tmp_path, monkeypatch, capsys):
    def failing(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(cyclegan.CycleGAN, "generator_loss", failing)
    words = ["--root", str(home / "set"), *TRANSLATION, "--blocks=1", f"--output={tmp_path / 'run'}"]
    assert command_line(["train", "cyclegan", *words]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("quagga: error")]
    assert "quagga plan PIPELINE" in line and "--gradient_checkpointing true" in line and "Tried to allocate" in line
    assert "plan" in main.COMMANDS


@pytest.mark.parametrize(
    ("images", "missing", "more", "said"),
    [
        ("7300", None, [], 1),
        ("7100", None, [], 0),
        ("7300", "none", [], 0),
        ("7300", None, ["--compile=false"], 0),
        ("7300", None, ["--mixed_precision=no"], 0),
        ("7300", None, ["--norm=batch"], 0),
    ],
)
def test_a_long_run_on_a_cpu_is_told_what_compiling_gives(home, monkeypatch, images, missing, more, said):
    monkeypatch.setattr(step_profiler, "profile", lambda one, _: StepProfile(1, 2, 1.0, 100, 50))  # 2 images/s
    monkeypatch.setattr(acceleration, "missing_for_compile", lambda device: missing)
    narrow = ["--mixed_precision=bf16", f"--images={images}"]
    words = ["--root", str(home / "set"), *TRANSLATION, "--blocks=1", *narrow, *more]
    config, _ = resolve("cyclegan", cyclegan.build, cyclegan.data, words, "quagga plan cyclegan", cyclegan.defaults)
    lines = list(plan_lines(job(home, *words[2:], seconds=10), config, "quagga train cyclegan", words))
    assert sum("--compile true may save a fifth of the time" in line for line in lines) == said
