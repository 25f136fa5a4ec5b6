"""How often a run looks and saves, and what it says of the time that takes. The clock is a toy: it moves when told."""

from types import SimpleNamespace

import pytest
import torch
from test_run import events, pictures, train

from quagga.pipelines import play as play_module
from quagga.pipelines.minimax import Trainer
from quagga.pipelines.play import Play
from quagga.pipelines.run import idle
from quagga.pipelines.run_options import RunOptions
from quagga.pipelines.stop import Ear, Stopped

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
    monkeypatch.setattr(play_module, "perf_counter", clock)
    return clock


def test_what_nobody_says_follows_the_images_or_the_steps():
    assert RunOptions().rhythm(1) == (100, 5000, 5000)
    assert RunOptions().rhythm(256) == (2560, 51_200, 51_200)
    assert RunOptions(log_every=7, sample_every=8, save_every=9).rhythm(256) == (7, 8, 9)


def test_speed_counts_the_wait_for_the_device_and_no_looking(pictures, tmp_path, monkeypatch, clock):
    monkeypatch.setattr(Trainer, "readings", clock.after(Trainer.readings, 2.0))
    monkeypatch.setattr(Trainer, "examine", clock.after(Trainer.examine, 1000.0))
    monkeypatch.setattr(Play, "show", clock.after(Play.show, 1000.0))
    monkeypatch.setattr(Play, "save", clock.after(Play.save, 1000.0))
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
    monkeypatch.setattr(Play, "save", clock.after(Play.save, saving))
    assert train("--root", pictures, "--output", tmp_path / "run", "--images=32") == 0
    out = capsys.readouterr().out
    assert out.count("of the time: raise --sample_every and --save_every (now 8 and 8 images)") == said
    assert out.count("saving take 83% of the time") == said  # 1,000 of 1,200 seconds, when first it is judged


def test_no_process_leaves_before_all_has_been_saved():
    done: list[str] = []
    play = Play.__new__(Play)
    accelerator = SimpleNamespace(wait_for_everyone=lambda: done.append("waited"))
    play.trainer = SimpleNamespace(images_seen=8, length=16, accelerator=accelerator)  # pyright: ignore
    play.options, play.ear = RunOptions(), Ear(alone=True)
    play.save = lambda *_, **__: done.append("saved")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(Stopped):
        play.stop(15)
    assert done == ["saved", "waited"]


def test_gpus_that_stand_by_are_told(monkeypatch):
    one = SimpleNamespace(num_processes=1, device=torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    [line] = idle(one)  # pyright: ignore[reportArgumentType]
    assert line.startswith("one of 4 GPUs is used: `accelerate launch --multi_gpu --num_processes 4 ")
    several = SimpleNamespace(num_processes=4, device=torch.device("cuda", 0))
    cpu = SimpleNamespace(num_processes=1, device=torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [idle(several), idle(cpu), idle(one)] == [[], [], []]  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [idle(several), idle(cpu)] == [[], []]  # pyright: ignore[reportArgumentType]
