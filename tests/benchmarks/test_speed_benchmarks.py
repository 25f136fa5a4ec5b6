"""What the benchmarks of speed count and read, and that the script for GPUs runs where there is none."""

import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from time import perf_counter, sleep

import cpu_means
import gpu
import pytest
import scaling
import threads
import torch
from inference import best_batch, leave_model, leave_pictures, processes
from report import keep
from stepping import (
    Failed,
    Setting,
    Subject,
    batches,
    flops,
    flops_of_a_row,
    highest_memory,
    looked,
    matrix_rate,
    milliseconds,
    ours,
    played,
    trainer,
)
from torch.utils.tensorboard import SummaryWriter
from train_step import Rates, by_turns, promise, ratio, row, setting_of, started
from whole_process import Command, seconds
from whole_process import by_turns as whole_by_turns

import quagga
from quagga.pipelines import cyclegan, gan, pix2pix

ROOT = Path(__file__).parents[2]
TINY = Setting(size=16, width=4, build={"blocks": 1, "layers": 1, "width_discriminator": 4})


# -- arithmetic --------------------------------------------------------------------------------------------------------


def test_a_matrix_product_counts_two_operations_for_each_of_its_terms():
    a, b = torch.randn(5, 7), torch.randn(7, 11)
    assert flops(lambda: a @ b) == 2 * 5 * 7 * 11


def test_a_gradient_costs_a_product_for_each_factor():
    a, b = torch.randn(5, 7, requires_grad=True), torch.randn(7, 11, requires_grad=True)
    assert flops(lambda: (a @ b).sum().backward()) == 3 * 2 * 5 * 7 * 11


def test_a_step_of_cyclegan_at_256_pixels_is_1_9_tera_flop():
    """Six passes of a generator, forward and backward, 297 GFLOP each, and the discriminators. All but the borders
    grows with the pixels, so that a picture of 64 shows it in a sixteenth of the time."""
    step = flops_of_a_row(Setting(size=64, build={"blocks": 9}))
    assert step * 16 == pytest.approx(1.9e12, rel=0.05)
    without = flops_of_a_row(Setting(size=64, build={"blocks": 9, "lambda_identity": 0.0}))
    assert (step - without) * 16 == pytest.approx(2 * 297e9, rel=0.05)


@pytest.mark.parametrize("pipeline", ["cyclegan", "pix2pix", "gan", "conditional"])
def test_operations_are_counted_a_row(pipeline):
    build = TINY.build if pipeline == "cyclegan" else {}
    setting = Setting(pipeline, size=32, width=4, build=build)
    one = flops_of_a_row(replace(setting, batch_size=1))
    assert one == flops_of_a_row(replace(setting, batch_size=8)) > 0
    assert flops(ours(replace(setting, batch_size=8))) == pytest.approx(8 * one, rel=0.02)


# -- time and memory ---------------------------------------------------------------------------------------------------


def test_time_is_of_a_step_however_many_are_taken():
    taken = []
    for count in (1, 4):
        steps = []
        assert milliseconds(lambda steps=steps: (steps.append(1), sleep(0.01)), "cpu", count) >= 10
        taken.append(len(steps))
    assert taken == [1, 4]


def test_a_matrix_rate_is_the_operations_over_the_time(monkeypatch):
    monkeypatch.setattr("stepping.milliseconds", lambda *words: 2.0)
    assert matrix_rate("cpu", torch.float32, side=100) == pytest.approx(2 * 100**3 / 0.002)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_memory_is_in_mebibytes():
    resident = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert highest_memory("cpu") >= 0.99 * int(resident.split()[1]) / 1024
    assert highest_memory("cpu") < 100 * int(resident.split()[1]) / 1024


class Counted:
    """Stands in for a `Subject`: says in which order it was asked."""

    def __init__(self, name: str, asked: list[str], fails: bool = False):
        self.name, self.asked, self.fails = name, asked, fails

    def milliseconds(self, count: int) -> float:
        self.asked.append(self.name)
        if self.fails:
            raise Failed("it cannot")
        return float(len(self.asked))


def test_turns_alternate_and_the_warm_up_does_not_count():
    asked: list[str] = []
    subjects = {name: Counted(name, asked) for name in "ab"}
    times, failed = by_turns(subjects, turns=3, warmup=1)  # pyright: ignore[reportArgumentType]
    assert "".join(asked) == "abbaabba"
    assert times == {"a": [4, 5, 8], "b": [3, 6, 7]} and not failed


def test_one_that_fails_is_named_and_the_others_go_on():
    asked: list[str] = []
    subjects = {"a": Counted("a", asked), "b": Counted("b", asked, fails=True)}
    times, failed = by_turns(subjects, turns=2, warmup=1)  # pyright: ignore[reportArgumentType]
    assert len(times["a"]) == 2 and "b" not in times and failed == {"b": "it cannot"}
    assert asked.count("b") == 1


def test_a_subject_lives_in_a_process_of_its_own_and_may_fail_without_ending_it():
    with Subject(TINY) as subject:
        assert subject.process.pid and subject.milliseconds(2) > 0 and subject.memory() > 100
        assert subject.flops_of_a_row() == flops_of_a_row(TINY)
        with pytest.raises(Failed, match="lambda_rainbow"):
            subject.become(replace(TINY, build={"lambda_rainbow": 1}))
        subject.become(TINY)
        assert subject.milliseconds() > 0
    assert not subject.process.is_alive()
    with pytest.raises(Failed):
        subject.milliseconds()


def test_a_subject_that_takes_too_long_is_ended():
    with pytest.raises(Failed, match="no answer after 0 s"):
        Subject(TINY, longest=0.01)
    with pytest.raises(Failed, match="no answer after 0 s"):
        Subject(TINY, until=perf_counter())
    assert not multiprocessing.active_children()


def test_a_subject_that_cannot_begin_is_ended_and_named_and_the_others_begin(tmp_path):
    """A reference that misses a module to import is one."""
    settings = {"reference": replace(TINY, reference=tmp_path), "ours": TINY}
    with started(settings) as (subjects, missing):
        assert list(subjects) == ["ours"] and subjects["ours"].milliseconds() > 0
        assert list(missing) == ["reference"] and "No module named" in missing["reference"]
        assert [child.pid for child in multiprocessing.active_children()] == [subjects["ours"].process.pid]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("pipeline", ["cyclegan", "pix2pix", "gan", "conditional"])
def test_a_look_takes_statistics_anew_and_leaves_the_game_as_it_was(pipeline):
    build = TINY.build if pipeline == "cyclegan" else {}
    setting = Setting(pipeline, size=32, width=4, batch_size=8, build=build)
    player, rows = trainer(setting), batches(setting)
    step = played(player, rows)
    step()
    before = [p.clone() for network in player.game.generators.values() for p in network.parameters()]
    drawn = []
    visualize = player.visualize
    player.visualize = lambda batch: drawn.append((len(batch["x"]), visualize(batch)))
    looked(player, next(rows))
    [(few, strips)] = drawn
    assert few == 4 and strips
    assert (player.estimated is not None) == player.has_statistics == (pipeline != "cyclegan")
    after = [p for network in player.game.generators.values() for p in network.parameters()]
    assert all(map(torch.equal, before, after))
    step()
    assert player.images_seen == 16


def test_a_subject_looks_between_steps():
    with Subject(TINY) as subject:
        subject.milliseconds()
        subject.look()
        assert subject.milliseconds() > 0


# -- what is printed ---------------------------------------------------------------------------------------------------


def test_rates_follow_from_the_median():
    line = row("paper", 4, [100.0, 200.0, 900.0], 1e12, Rates(1e14, 1e13), 512)
    name, batch, middle, *_, pairs, achieved, of_bf16, of_float32, memory = line.split()
    assert (name, batch, middle, pairs, memory) == ("paper", "4", "200.0", "20", "512")
    assert (achieved, of_bf16, of_float32) == ("20", "20.0%", "200.0%")


def test_a_ratio_is_taken_turn_by_turn_beside_its_promise():
    said = ratio("paper", [1.0, 10.0, 3.0], [2.0, 20.0, 3.0], 1.05)
    assert "0.500" in said and said.endswith("at most 1.05, kept")
    assert ratio("paper", [3.0], [2.0], 1.05).endswith("NOT KEPT")
    assert ratio("fast", [1.0], [2.0], None).endswith("2.00 x as fast")


def test_promises_are_made_for_one_machine_and_size():
    promised = Setting(size=128)
    assert promise("paper", promised) == 1.05 and promise("default", promised) == 0.67
    others = [replace(promised, size=256), replace(promised, device="cuda"), replace(promised, pipeline="pix2pix")]
    assert [promise("paper", setting) for setting in [*others, replace(promised, batch_size=4)]] == [None] * 4


def test_modes_say_nothing_everything_or_what_the_paper_says():
    paper, default, fast = (setting_of(mode, TINY, 8) for mode in ("paper", "default", "fast"))
    assert (paper.precision, paper.compile, paper.channels_last, paper.batch_size) == ("no", False, False, 1)
    assert (default.precision, default.compile, default.channels_last, default.batch_size) == (None, None, None, 1)
    assert fast.compile and fast.batch_size == 8


# -- whole processes ---------------------------------------------------------------------------------------------------


def test_a_process_is_waited_for_and_its_failure_told():
    slept = seconds(Command([sys.executable, "-c", "import time; time.sleep(0.2)"]))
    assert slept.waited >= 0.2 > 0 and slept.worked > 0
    with pytest.raises(SystemExit, match="so it goes"):
        seconds(Command([sys.executable, "-c", "raise SystemExit('so it goes')"]))


def test_processes_alternate(tmp_path):
    file = tmp_path / "order"
    commands = {
        name: Command([sys.executable, "-c", f"open({str(file)!r}, 'a').write({name!r})"]) for name in ("a", "b")
    }
    taken = whole_by_turns(commands, 2)
    assert file.read_text() == "ababba" and [len(times) for times in taken.values()] == [2, 2]


def test_what_is_timed_is_translated(tmp_path):
    run, pictures = leave_model(tmp_path / "run", width=4, blocks=1), leave_pictures(tmp_path / "some", 2, 16)
    for command, made in zip(processes(tmp_path, run, pictures, None, 4).values(), ("ours", "narrow"), strict=False):
        seconds(command)
        assert {file.name for file in (tmp_path / made).glob("[!.]*")} == {file.name for file in pictures.iterdir()}
    first, batch, best = best_batch(quagga.load(run, device="cpu"), 16, "cpu", 1)  # pyright: ignore
    assert best >= first > 0 and batch in (1, 2, 4)


# -- the script for a GPU ----------------------------------------------------------------------------------------------


class Clock:
    """Stands in for `perf_counter`."""

    def __init__(self):
        self.now = 0.0
        self.starting: float | None = None  # since when subjects start that began one right after the other: together

    def __call__(self) -> float:
        return self.now


class Slow:
    """Stands in for a `Subject`: takes its time by a clock of ours, and notes what it was asked.

    seconds: what it takes for; what is not named takes none; steps for a row, of 10 at least. fails: what it cannot do.
    """

    def __init__(self, setting: Setting, until: float, clock: Clock, seconds: dict[str, float], fails: str = ""):
        self.setting, self.until, self.clock, self.seconds, self.fails = setting, until, clock, seconds, fails
        self.asked, self.ended = [], False
        self.take("start")

    def take(self, what: str, times: float = 1) -> None:
        self.asked.append(what)
        if self.ended:
            raise Failed("its process has died")
        needed = self.seconds[what] * times if what in self.seconds else 0
        clock = self.clock
        clock.starting = (clock.now if clock.starting is None else clock.starting) if what == "start" else None
        begun = clock.now if clock.starting is None else clock.starting
        clock.now = max(clock.now, begun + (spent := min(needed, max(0, self.until - begun))))
        if what == self.fails:
            raise Failed("out of memory")
        if spent < needed:
            self.end()
            raise Failed("no answer")

    def become(self, setting: Setting) -> None:
        self.setting, self.asked = setting, []
        self.take("become")

    def flops_of_a_row(self) -> float:
        self.take("flops")
        return 1e12

    def milliseconds(self, count: int = 1) -> float:
        pix2pix = self.setting.pipeline == "pix2pix"
        if "steps" not in self.asked:
            compiled = self.setting.compile is not False and not self.setting.reference
            self.take("compile" if compiled else "search", 0.6 if pix2pix else 1)
        rows = max(10, self.setting.batch_size) * (0.1 if pix2pix else 1)  # a smaller batch leaves a GPU idle
        self.take("steps", count * rows)
        return 1000 * rows * self.seconds.get("steps", 0.1)

    def look(self) -> None:
        self.take("look")

    def memory(self) -> float:
        return 0

    def alive(self) -> bool:
        return not self.ended

    def end(self) -> None:
        self.ended = True

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def slowly(monkeypatch, folder: Path, seconds: dict[str, float], fails: str = "", ends: float = 0) -> list[str]:
    """The report of a machine on which everything takes as long as said. ends: what a training takes to stop."""
    clock = Clock()

    def training(words, seconds):
        clock.now += seconds + ends
        return iter(())

    def ceiling(*_: object) -> float:
        clock.now += seconds.get("ceiling", 0)
        return 1e15

    monkeypatch.setattr(gpu, "perf_counter", clock)
    monkeypatch.setattr(gpu, "Subject", lambda setting, until: Slow(setting, until, clock, seconds, fails))
    for name in ("matrix_rate", "copy_rate"):
        monkeypatch.setattr(gpu, name, ceiling)
    monkeypatch.setattr(gpu, "played", training)
    monkeypatch.setattr(gpu, "curves", lambda *_: iter(["266,800 pairs would take a while"]))
    bench = gpu.Bench(gpu.Scale(), "cpu", folder, folder, folder, until=520)
    told = list(gpu.report(bench))
    assert clock.now <= 520
    return told


PROMISED = ("cyclegan: ", "pix2pix: ", "cyclegan at batch 1, default: ", "266,800 pairs")
COMPARED = ("cyclegan", "pix2pix")  # at their best batch, with the reference at its defaults
EXPECTED = {"ceiling": 3, "start": 10, "become": 2, "flops": 5, "search": 5, "compile": 80, "look": 2, "steps": 0.008}


def parts_of(told: list[str]) -> dict[str, str]:
    """Title -> all lines."""
    text = "\n".join(told).split("\n== ")[1:]
    return {part.partition("\n")[0]: part for part in text}


@pytest.mark.parametrize("times", [0.5, 1, 1.1])
def test_all_that_is_promised_is_measured_in_time_and_what_is_left_out_says_so(tmp_path, monkeypatch, times):
    told = slowly(monkeypatch, tmp_path, {what: times * seconds for what, seconds in EXPECTED.items()}, ends=10)
    for promised in PROMISED:
        assert any(line.startswith(promised) for line in told), promised
    for name in COMPARED:
        [line] = [line for line in told if line.startswith(f"{name}: ") and "x as many as the reference's" in line]
        assert " 10.00 x as many" in line  # of a GPU that is idle but for a tenth of its time at batch 1
    assert {title for title, lines in parts_of(told).items() if "left out" in lines} == {
        0.5: set(),
        1: {"pix2pix at batch 1", "precision and memory, CycleGAN"},
        1.1: {"pix2pix at batch 1", "precision and memory, CycleGAN"},
    }[times]


@pytest.mark.parametrize("what", ["start", "flops", "search", "compile", "look", "steps"])
def test_what_hangs_takes_nothing_from_the_promised_parts_after_it(tmp_path, monkeypatch, what):
    told = slowly(monkeypatch, tmp_path, {**EXPECTED, what: inf}, ends=gpu.STOPPING)
    promised = [part.title for part in gpu.PARTS if part.promised]
    assert not [title for title in promised if "left out" in parts_of(told)[title]]
    if what == "search":  # eager, and a process that is ended for it leaves the compiler its time
        for title in ("CycleGAN, ResNet, identity loss", "pix2pix, U-Net"):
            assert "eager" in parts_of(told)[title] and "pairs/s; promise" in parts_of(told)[title]
    if what == "compile":  # what runs without it has its figure
        for figure in ("cyclegan: ", "pix2pix: ", "cyclegan at batch 1, paper: "):
            assert any(line.startswith(figure) for line in told), figure


def test_the_budget_holds_what_is_promised():
    assert sum(part.needs for part in gpu.PARTS if part.promised) < 520


def test_where_no_batch_can_be_measured_it_is_said_in_words(tmp_path, monkeypatch):
    told = parts_of(slowly(monkeypatch, tmp_path, {}, fails="become"))["pix2pix, U-Net"]
    assert "out of memory" in told and "pix2pix: " in told  # compiled, at the first batch
    told = parts_of(slowly(monkeypatch, tmp_path, {}, fails="steps"))["pix2pix, U-Net"]
    assert "pix2pix: not measured, since batch 64 failed both eager and compiled" in told and "KeyError" not in told


def test_without_one_of_the_subjects_the_others_are_measured(tmp_path, monkeypatch):
    """At batch 1, where the reference cannot be imported, or the compiler hangs."""
    begin, clock = gpu.Bench.subject, Clock()

    def start(bench, setting, keeping=0.0):
        if setting.reference:
            raise Failed("No module named 'dominate'")
        return begin(bench, setting, keeping)

    monkeypatch.setattr(gpu, "Subject", lambda setting, until: Slow(setting, until, clock, {}))
    monkeypatch.setattr(gpu.Bench, "subject", start)
    bench = gpu.Bench(gpu.Scale(), "cpu", tmp_path, None, tmp_path, until=inf)
    told = list(gpu.beside_the_reference(bench, "cyclegan"))
    assert [line.split()[0] for line in told] == ["paper", "default", "reference", "cyclegan"]
    assert "dominate" in told[2] and "not compared, see above" in told[3]


def test_a_subject_that_fails_when_it_warms_up_is_ended_before_the_turns(tmp_path, monkeypatch):
    subjects: list[Slow] = []

    def start(setting, until):
        subjects.append(Slow(setting, until, Clock(), {}, fails="look"))
        return subjects[-1]

    monkeypatch.setattr(gpu, "Subject", start)
    bench = gpu.Bench(gpu.Scale(), "cpu", tmp_path, None, tmp_path, until=inf)
    told = list(gpu.beside_the_reference(bench, "cyclegan"))
    assert [line.split()[0] for line in told] == ["reference", "paper", "default", "cyclegan"]
    ours = [subject for subject in subjects if not subject.setting.reference]
    assert len(ours) == 2 and all(subject.ended and subject.asked[-1] == "look" for subject in ours)


def test_what_is_timed_has_compiled_and_looked_before():
    subject = Slow(Setting(), inf, Clock(), {})
    gpu.warm(subject)  # pyright: ignore[reportArgumentType]
    asked = [what for what in subject.asked if what in ("steps", "look")]
    assert asked.index("look") > asked.index("steps") and asked[-1] == "steps"
    other = Slow(Setting(reference=ROOT), inf, Clock(), {})
    gpu.warm(other)  # pyright: ignore[reportArgumentType]
    assert "steps" in other.asked and "look" not in other.asked


def test_a_training_without_a_reading_says_so(tmp_path):
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    said = ["no rate: the training ended before its first reading"]
    assert list(gpu.curves(tmp_path / "none", 1)) == said
    assert list(gpu.curves(tmp_path, 1)) == said
    EventFileWriter(str(tmp_path)).close()
    assert list(gpu.curves(tmp_path, 1)) == said


def readings(folder: Path, count: int, often: int) -> list[str]:
    """Of a training that compiles for 100 s, and then plays 200 images/s for 10 s, and looks at them for 10."""
    writer = SummaryWriter(str(folder))
    for number in range(1, count + 1):
        writer.add_scalar("speed/images_per_second", 20 if number == 1 else 200, 2000 * number, 100 + 20 * number)
        writer.add_scalar("speed/seconds_waiting_for_data", 0.1, 2000 * number, 100 + 20 * number)
    writer.close()
    return list(gpu.curves(folder, often))


def test_a_schedule_takes_what_the_looks_take_too_and_not_what_compiling_took(tmp_path):
    """1,334 s of playing, and 8 looks of 10 s or of 20, or a twentieth where 8 are less."""
    told = readings(tmp_path / "four", 4, often=2000)
    assert told[0].startswith("8,000 pairs, 200 pairs/s between looks; 1.0% of the time")
    assert told[1].endswith("a checkpoint: 10.0 s")
    assert "would take 23.6 minutes" in told[2] and told[2].endswith(" kept")
    assert "would take 24.9 minutes" in readings(tmp_path / "two looks", 4, often=4000)[2]
    none = readings(tmp_path / "none", 4, often=10_000)
    assert "no look" in none[1] and "would take 23.3 minutes" in none[2]
    assert readings(tmp_path / "one", 1, often=2000) == [
        "no rate: 2,000 pairs, a single reading, which holds the compiling"
    ]


def test_a_training_that_ends_by_itself_says_how():
    told = list(gpu.played(["--no_such_option", "1"], 60))
    assert "ended by itself" in told[0] and "exit code 2" in told[0] and "no_such_option" in " ".join(told[1:])


def test_a_part_that_fails_is_told_and_one_without_time_left_out(tmp_path):
    def lines(bench):
        yield "a line"
        raise RuntimeError("no such thing\nand more")

    bench = gpu.Bench(gpu.SMALL, "cpu", None, None, tmp_path, until=gpu.perf_counter() + 100)
    told = list(gpu.guarded(gpu.Part("part", lines, needs=10), bench))
    assert told[:4] == ["", "== part", "a line", "failed: RuntimeError: no such thing"]
    assert "left out: it needs 200 s" in list(gpu.guarded(gpu.Part("part", lines, needs=200), bench))[-1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_script_for_a_gpu_goes_through_all_of_it_on_a_cpu(tmp_path):
    """In minutes: the budget is for slow machines, on which nothing may be left out either."""
    words = [sys.executable, str(ROOT / "benchmarks/gpu.py"), "--device", "cpu", "--small", "--output", str(tmp_path)]
    subprocess.run([*words, "--budget", "3500"], check=True, cwd=tmp_path)
    told = (tmp_path / "gpu.txt").read_text()
    assert told.count("== ") == 7 and "no answer" not in told and "failed" not in told and "left out" not in told
    assert "266,800 pairs, and looks at them, would take" in told and (tmp_path / "samples.png").stat().st_size


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_its_second_half_goes_through_all_of_it_on_a_cpu(tmp_path):
    words = [sys.executable, str(ROOT / "benchmarks/gpu.py"), "--recipe", "--device", "cpu", "--small"]
    subprocess.run([*words, "--output", str(tmp_path), "--budget", "1700"], check=True, cwd=tmp_path)
    told = (tmp_path / "recipe.txt").read_text()
    assert told.count("== ") == 3 and "failed" not in told and "left out" not in told
    for text in ("translated          called zebra", "real zebras", " passed", "two over one: "):
        assert text in told
    assert (tmp_path / "half-hour.png").stat().st_size


# -- what more GPUs give -----------------------------------------------------------------------------------------------


class Two:
    """Stands in for an accelerator of two processes."""

    num_processes, process_index, device, mixed_precision = 2, 1, torch.device("cpu"), "no"

    def reduce(self, *_: object):
        raise AssertionError("something is reduced")

    def autocast(self):
        return torch.autocast("cpu", enabled=False)


@pytest.mark.parametrize("pipeline", ["cyclegan", "pix2pix", "gan"])
def test_the_model_on_paper_counts_what_a_step_computes(pipeline):
    build = TINY.build if pipeline == "cyclegan" else {}
    setting = Setting(pipeline, size=64, width=4, build=build, batch_size=2)
    sizes = {"size": 64, "x_channels": 3} if pipeline == "gan" else {"crop_size": 64}
    made = {"cyclegan": cyclegan.build, "pix2pix": pix2pix.build, "gan": gan.build}[pipeline]
    of = scaling.cost(made, {"width": 4, **sizes, **build}, 64)
    assert of.operations == pytest.approx(flops_of_a_row(setting), rel=0.02)
    game = trainer(setting).game
    networks = [*game.generators.values(), *game.discriminators.values()]
    assert of.bytes == 4 * sum(p.numel() for network in networks for p in network.parameters())
    assert (of.normalised > 0) == (pipeline != "cyclegan")


def test_processes_side_by_side_reduce_nothing(monkeypatch):
    monkeypatch.setattr(scaling, "TINY", {**TINY.build, "width": 4, "crop_size": 64})
    player = scaling.stepping(scaling.Alone(Two()), 1)  # pyright: ignore[reportArgumentType]
    player.step()
    player.step()
    with pytest.raises(AttributeError):
        scaling.Alone(Two()).no_such_thing  # pyright: ignore  # noqa: B018


def test_processes_begin_every_turn_together_and_the_first_does_not_count(monkeypatch):
    clock, order = Clock(), []

    def takes(name: str, first: float, later: float):
        def action():
            clock.now += first if order.count(name) < scaling.STEPS else later
            order.append(name)

        return action

    monkeypatch.setattr(scaling, "perf_counter", clock)
    actions = {"alone": takes("alone", 9, 1), "together": takes("together", 9, 2)}
    taken = scaling.by_turns(actions, lambda: order.append("meet"))
    assert taken == {"alone": 1, "together": 2}
    turn = [word for name in actions for word in ("meet", *[name] * scaling.STEPS)]
    assert order == turn * (1 + scaling.TURNS)


def test_efficiency_is_the_step_without_reductions_over_that_with_them():
    [_, line, *_] = scaling.measured({"4": {"alone": 0.08, "together": 0.16, "reductions": 0.02}})
    assert line.split() == ["4", "80", "160", "20.0", "50%", "80%"]


@pytest.mark.slow
def test_two_processes_are_measured_on_this_machine():
    told = list(scaling.on_this_machine())
    assert f"cores of an {scaling.processor()}" in told[1] and "GPU" in told[1]
    assert [line.split()[0] for line in told[3:7]] == ["1", "2", "4", "8"]


# -- what helps a CPU --------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Subjects whose steps take 100 ms, beside busy processes 400, and on one thread 150 always; one setting fails."""
    begun: list[Setting] = []
    children: list[list[str]] = []

    class Quick(Counted):
        def __init__(self, setting: Setting):
            super().__init__("some", [])
            if os.environ.get("OMP_WAIT_POLICY") == "active":
                raise Failed("its process has died")
            self.threads = setting.threads
            begun.append(setting)

        def milliseconds(self, count: int = 1) -> float:
            return 150 if self.threads == 1 else 400 if children else 100

        def memory(self) -> float:
            return 1

        def choose(self, steps: int) -> int:
            self.threads = 1 if children else 2
            return self.threads

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None: ...

    class Child:
        def __init__(self, words: list[str], start_new_session: bool):
            assert start_new_session
            children.append(words)

        def kill(self) -> None:
            children.pop()

        def wait(self) -> None: ...

    for script in (cpu_means, threads):
        monkeypatch.setattr(script, "Subject", Quick)
        monkeypatch.setattr(script, "machine", lambda device: device)
    monkeypatch.setattr(threads.subprocess, "Popen", Child)
    monkeypatch.setattr(threads, "sleep", lambda seconds: None)
    yield begun
    assert not children


def test_one_report_shows_by_what_means_a_step_on_the_cpu_is_faster(quick):
    told = [line.split() for line in cpu_means.report(["the demo's, 64x64, batch 4"], 1, compiled=False)]
    for words in ("float32, memory is given back", "bf16, memory is given back"):
        assert [*words.split(), "100", "1.00", "1"] in told


def test_one_report_shows_threads_on_a_quiet_machine_and_on_a_busy_one(quick):
    told = list(threads.report(turns=4, seconds=9, passes=2))
    rows = {line[:32].strip(): line[32:].split() for line in told[4:]}
    assert rows["libgomp's own way of waiting"] == ["100", "1.00", "400", "2.67"]
    assert rows["1 thread"] == ["150", "1.50", "150", "1.00"]
    assert rows["quagga's own choice"] == ["100", "1.00", "150", "1.00"]
    assert rows["OMP_WAIT_POLICY=active"] == ["its", "process", "has", "died"]  # no setting is passed over in silence
    assert "threads chosen, quiet and busy: 2 and 1; 2 and 1" in told
    assert told[-2].endswith(": kept")
    assert {setting.precision for setting in quick} == {None}


def test_a_report_may_be_added_to_the_one_before(tmp_path):
    file = tmp_path / "report.txt"
    keep(["one"], file)
    keep(["two"], file, file.read_text())
    assert file.read_text() == "one\ntwo\n"


def test_a_subject_chooses_its_threads_as_a_run_does():
    with Subject(replace(TINY, threads=1)) as subject:
        assert subject.choose(1600) == 1
        assert subject.milliseconds() > 0


# -- what is not waited for --------------------------------------------------------------------------------------------


def imported(words: list[str]) -> tuple[set[str], str]:
    """The modules of a whole command line, and what it complained of."""
    code = (
        "import sys; from quagga.cli.main import command_line; code = command_line(sys.argv[1:]);"
        "print('modules:', *sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("modules:")[2].split()), done.stderr


def test_a_translation_does_not_wait_for_what_it_does_not_use(tmp_path):
    """Each of these takes half a second or more to import: torch's compiler, and what only training uses."""
    run, pictures = leave_model(tmp_path / "run", width=4, blocks=1), leave_pictures(tmp_path / "some", 1, 16)
    modules, _ = imported(["translate", str(run), str(pictures), "--output", str(tmp_path / "out"), "--device", "cpu"])
    assert "torch" in modules
    assert not {"torch._dynamo", "torch._inductor", "sympy", "albumentations", "scipy", "tensorboard"} & modules


@pytest.mark.parametrize("command", ["translate", "sample", "verify", "export"])
def test_help_does_not_wait_for_torch(command):
    modules, _ = imported([command, "--help"])
    assert not {"torch", "numpy", "cv2"} & modules


def test_a_translation_ends_quietly(tmp_path):
    """At its end Python does not go through what torch has imported; nothing may complain of that."""
    run, pictures = leave_model(tmp_path / "run", width=4, blocks=1), leave_pictures(tmp_path / "some", 1, 16)
    words = ["translate", str(run), str(pictures), "--output", str(tmp_path / "out"), "--device", "cpu"]
    done = subprocess.run([sys.executable, "-m", "quagga", *words], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.startswith("1 picture")
