"""What the benchmarks of speed count and read, and that the script for GPUs runs where there is none."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep

import gpu
import pytest
import torch
from inference import best_batch, leave_model, leave_pictures, processes
from stepping import Failed, Setting, Subject, flops, flops_of_a_row, highest_memory, matrix_rate, milliseconds, ours
from train_step import Rates, by_turns, promise, ratio, row, setting_of
from whole_process import Command, seconds
from whole_process import by_turns as whole_by_turns

import quagga

ROOT = Path(__file__).parents[1]
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
    [command] = processes(tmp_path, run, pictures, None, 4).values()
    seconds(command)
    assert {file.name for file in (tmp_path / "ours").iterdir()} == {file.name for file in pictures.iterdir()}
    first, batch, best = best_batch(quagga.load(run, device="cpu"), 16, "cpu", 1)  # pyright: ignore
    assert best >= first > 0 and batch in (1, 2, 4)


# -- the script for a GPU ----------------------------------------------------------------------------------------------


def test_a_part_that_fails_is_told_and_one_without_time_left_out(tmp_path):
    def part():
        yield "a line"
        raise RuntimeError("no such thing\nand more")

    bench = gpu.Bench(gpu.SMALL, "cpu", None, None, tmp_path, until=gpu.perf_counter() + 100)
    told = list(gpu.guarded("part", bench, part))
    assert told[:4] == ["", "== part", "a line", "failed: RuntimeError: no such thing"]
    assert "left out" in list(gpu.guarded("part", bench, part, needs=200))[-1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_script_for_a_gpu_goes_through_all_of_it_on_a_cpu(tmp_path):
    words = [sys.executable, str(ROOT / "benchmarks/gpu.py"), "--device", "cpu", "--small", "--output", str(tmp_path)]
    subprocess.run([*words, "--budget", "1000"], check=True, cwd=tmp_path)
    told = (tmp_path / "gpu.txt").read_text()
    assert told.count("== ") == 7 and "no answer" not in told and "failed" not in told and "left out" not in told
    assert "266,800 pairs would take" in told and (tmp_path / "samples.png").stat().st_size


# -- what is not waited for --------------------------------------------------------------------------------------------


def imported(words: list[str]) -> tuple[set[str], str]:
    """The modules of a whole command line, and what it complained of."""
    code = (
        "import sys; from quagga.pipelines.cli import command_line; code = command_line(sys.argv[1:]);"
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
