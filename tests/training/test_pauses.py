"""How often a run looks and saves, and what it says of the time that takes. The clock is a toy: it moves when told."""

import signal
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace

import pytest
import torch
from test_train import TINY, a_second_later, curves, events, model, pictures
from tiny_run import signalled

from quagga.cli.main import command_line
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training import checkpoint
from quagga.training.intervals import Due
from quagga.training.loop import TrainingLoop
from quagga.training.reporting import step_clock
from quagga.training.reporting.start_lines import unused_processes_lines
from quagga.training.reporting.time_estimate import SpeedMeter
from quagga.training.run_options import RunOptions
from quagga.training.signals import SignalHandler, Stopped
from quagga.training.step_agreement import StepAgreement

assert pictures  # a fixture


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def after(self, method, seconds: float):
        def slow(*args, **kwargs):
            self.now += seconds
            return method(*args, **kwargs)

        return slow


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(step_clock, "perf_counter", clock)
    return clock


FREE = [word for word in TINY if not word.startswith(("--log_every", "--sample_every", "--save_every"))]


def train(*words: object, free: bool = False) -> int:
    """A small run; `free`: without stated intervals."""
    return command_line(["train", "cyclegan", *(FREE if free else TINY), *map(str, words)])


def steps_of(folder: Path, tag: str) -> list[int]:
    return [step for step, _ in curves(folder)[tag]]


def test_speed_counts_the_wait_for_the_device_and_no_looking(pictures, tmp_path, monkeypatch, clock):
    monkeypatch.setattr(Trainer, "readings", clock.after(Trainer.readings, 2.0))
    monkeypatch.setattr(Trainer, "examine", clock.after(Trainer.examine, 1000.0))
    monkeypatch.setattr(TrainingLoop, "show_strips", clock.after(TrainingLoop.show_strips, 1000.0))
    monkeypatch.setattr(TrainingLoop, "save", clock.after(TrainingLoop.save, 1000.0))
    assert train("--root", pictures, "--output", tmp_path / "run", "--images=16") == 0
    speed = [point.value for point in events(tmp_path / "run").Scalars("speed/images_per_second")]
    assert speed == [2.0] * 4  # 4 images between two points


@pytest.mark.parametrize(
    ("playing", "saving", "said"),
    [(100.0, 1000.0, 1), (100.0, 0.0, 0), (1.0, 10.0, 0)],  # the last is over too soon to be judged
)
def test_a_run_that_mostly_looks_and_saves_says_so_once(
    pictures, tmp_path, monkeypatch, clock, capsys, playing, saving, said
):
    monkeypatch.setattr(Trainer, "readings", clock.after(Trainer.readings, playing))
    monkeypatch.setattr(TrainingLoop, "save", clock.after(TrainingLoop.save, saving))
    assert train("--root", pictures, "--output", tmp_path / "run", "--images=32") == 0
    out = capsys.readouterr().out
    # 1,000 of 1,200 seconds, when first it is judged
    assert out.count("what --sample_every and --save_every (now 8 and 8 images) ask for takes 83% of the time") == said


def test_intervals_that_nobody_has_stated_are_no_reason_for_advice(pictures, tmp_path, monkeypatch, clock, capsys):
    monkeypatch.setattr(Trainer, "readings", clock.after(Trainer.readings, 100.0))
    monkeypatch.setattr(Trainer, "examine", clock.after(Trainer.examine, 1000.0))
    where = ("--root", pictures, "--output", tmp_path / "run", "--images=16")
    assert train(*where, free=True) == 0
    assert "of the time" not in capsys.readouterr().out


EIGHTHS = list(range(2, 17, 2))  # of a run of 16 images


def test_a_short_run_has_eight_points_and_a_checkpoint_at_its_end(pictures, tmp_path):
    assert train("--root", pictures, "--output", tmp_path / "run", "--images=16", free=True) == 0
    assert steps_of(tmp_path / "run", "held_out/cycle_x") == EIGHTHS
    assert steps_of(tmp_path / "run", "generators/G") == EIGHTHS
    assert [path.name for path in checkpoint.list_saved(tmp_path / "run" / "checkpoints")] == ["000000016"]
    samples = sorted(path.name for path in (tmp_path / "run" / "samples").glob("[!.]*"))
    assert samples[0].startswith("000000000") and samples[-1].startswith("000000016")


def test_the_clock_decides_when_a_run_pauses_and_nothing_else(pictures, tmp_path, monkeypatch, clock):
    """A machine on which an image takes 300 s, and one on which it takes a millisecond."""
    update = SpeedMeter.update
    for name, seconds in (("fast", 0.001), ("slow", 300.0)):
        monkeypatch.setattr(SpeedMeter, "update", clock.after(update, seconds))
        assert train("--root", pictures, "--images=16", "--output", tmp_path / name, free=True) == 0
    folders = {name: tmp_path / name / "checkpoints" for name in ("fast", "slow")}
    saved = {name: [int(path.name) for path in checkpoint.list_saved(folder)] for name, folder in folders.items()}
    assert saved == {"fast": [16], "slow": [12, 14, 16]}  # every 600 s; the newest three are kept
    fast, slow = curves(tmp_path / "fast"), curves(tmp_path / "slow")
    assert fast == slow
    first, second = model(tmp_path / "fast"), model(tmp_path / "slow")
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_that_goes_on_knows_what_its_pauses_have_cost(pictures, tmp_path, monkeypatch, clock):
    monkeypatch.setattr(Trainer, "examine", clock.after(Trainer.examine, 7.0))
    monkeypatch.setattr(SpeedMeter, "update", clock.after(SpeedMeter.update, 10.0))
    where = ("--root", pictures, "--output", tmp_path / "run", "--images=16")
    with signalled(signal.SIGTERM, 6):
        assert train(*where, free=True) == 143

    def known() -> dict:
        return checkpoint.load(checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1])["intervals"]

    before = known()
    assert before["played"] == 60.0  # the sixth eighth ends with it, but a signal comes first
    assert before["pauses"]["examine"] == {"spent": 14.0, "costs": [7.0, 7.0], "images": 4, "played": 40.0}
    a_second_later()
    assert train(*where, free=True) == 0
    assert known()["played"] == 160.0 and known()["pauses"]["examine"]["images"] == 16
    assert known()["pauses"]["examine"]["spent"] == 8 * 7.0
    assert steps_of(tmp_path / "run", "held_out/cycle_x") == EIGHTHS


class Joined:
    """Accelerators of two processes, here threads: what each gives is gathered, in their order, for both."""

    def __init__(self):
        self.barrier, self.given = Barrier(2, timeout=60), {}

    def of(self, rank: int) -> SimpleNamespace:
        def gather(own: torch.Tensor) -> torch.Tensor:
            self.given[rank] = own
            self.barrier.wait()
            both = torch.cat([self.given[0], self.given[1]])
            self.barrier.wait()
            return both

        return SimpleNamespace(num_processes=2, device=torch.device("cpu"), gather=gather)


@pytest.mark.parametrize("asked", [0, 15])
def test_two_processes_pause_at_the_same_moments(asked):
    """Whatever their clocks say: the second one is asked to stop, and has no say in the rest."""
    joined, heard = Joined(), {}
    wanted = [Due(examine=True), Due(), Due(save=True), Due(strips=True, save=True)]

    def process(rank: int) -> None:
        signals = SignalHandler(ends_process=True, received=asked * rank)
        agreement = StepAgreement(joined.of(rank), signals)  # pyright: ignore[reportArgumentType]
        agreement.last_exchange = 0.0
        heard[rank] = [agreement.exchange(True, due if rank == 0 else Due()) for due in wanted]

    threads = [Thread(target=process, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard[0] == heard[1] == [(asked, due) for due in wanted]


def test_no_process_leaves_before_all_has_been_saved():
    done: list[str] = []
    run = TrainingLoop.__new__(TrainingLoop)
    accelerator = SimpleNamespace(wait_for_everyone=lambda: done.append("waited"))
    run.trainer = SimpleNamespace(images_seen=8, length=16, accelerator=accelerator)  # pyright: ignore
    run.options, run.signals = RunOptions(), SignalHandler(ends_process=True)
    run.save = lambda *_, **__: done.append("saved")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(Stopped):
        run.save_and_stop(15)
    assert done == ["saved", "waited"]


def test_gpus_that_stand_by_are_told(monkeypatch):
    one = SimpleNamespace(num_processes=1, device=torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    [line] = unused_processes_lines(one)  # pyright: ignore[reportArgumentType]
    assert line.startswith("one of 4 GPUs is used: `accelerate launch --multi_gpu --num_processes 4 ")
    several = SimpleNamespace(num_processes=4, device=torch.device("cuda", 0))
    cpu = SimpleNamespace(num_processes=1, device=torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [unused_processes_lines(several), unused_processes_lines(cpu), unused_processes_lines(one)] == [[], [], []]  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [unused_processes_lines(several), unused_processes_lines(cpu)] == [[], []]  # pyright: ignore[reportArgumentType]
