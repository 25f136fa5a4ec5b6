"""What a run says of other programs that want its cores."""

import os
from time import monotonic

import pytest
import torch
from test_train import pictures, train

from quagga.training.hardware.cpu_contention import ContentionWatch, CpuTimes, cpu_times
from quagga.training.reporting import speed_report

assert pictures  # a fixture


@pytest.fixture
def threads(monkeypatch):
    def are(count: int, of: int) -> None:
        monkeypatch.setattr(torch, "get_num_threads", lambda: count)
        monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)
        monkeypatch.setattr(os, "cpu_count", lambda: of)

    return are


def watched(*readings: tuple[float, float, float]) -> ContentionWatch:
    """readings: on the wall, of all, own."""
    walls, several = (
        iter([0, *(wall for wall, *_ in readings)]),
        iter([(0, 0), *(both for _, *both in readings)]),
    )
    return ContentionWatch(lambda: CpuTimes(*next(several)), lambda: next(walls))


def test_others_that_take_a_core_of_two_are_told_once(threads):
    threads(2, 2)
    watch = watched((20, 40, 20), (40, 80, 40))
    line = watch.warning()
    assert line and "keep 1.0 of 2 cores busy" in line and "OMP_NUM_THREADS=1 before it" in line
    assert watch.warning() is None


@pytest.mark.parametrize(
    ("count", "of", "reading"),
    [
        (2, 2, (20, 40, 38)),  # the run itself
        (1, 2, (20, 40, 20)),  # one thread waits for nobody
        (2, 2, (5, 10, 5)),  # too soon
        (8, 64, (20, 700, 100)),  # there is room
    ],
)
def test_nothing_is_told_where_nothing_is_the_matter(threads, count, of, reading):
    threads(count, of)
    assert watched(reading).warning() is None


def test_processes_are_asked_once_a_window(threads):
    """Which takes a while where there are thousands."""
    threads(2, 2)
    asked, walls = [], iter((0, 1, 2, 11, 12))
    watch = ContentionWatch(lambda: asked.append(1) or CpuTimes(2 * len(asked), 2 * len(asked)), lambda: next(walls))
    for _ in range(4):
        watch.warning()
    assert len(asked) == 2


def test_each_window_is_judged_by_itself(threads):
    threads(4, 4)
    watch = watched((20, 80, 80), (40, 160, 120))
    assert watch.warning() is None
    line = watch.warning()
    assert line and "keep 2.0 of 4" in line and "OMP_NUM_THREADS=2 before it" in line


def test_what_is_read_of_the_system_is_seconds():
    begun, before = monotonic(), cpu_times()
    while cpu_times().own < before.own + 0.2:
        pass
    after = cpu_times()
    cores_ = os.cpu_count() or 1
    assert 0.1 <= after.total - before.total <= cores_ * (monotonic() - begun) + 0.5
    assert after.own - before.own <= after.total - before.total + 0.2


def test_a_run_says_it(pictures, tmp_path, monkeypatch, capsys, threads):
    threads(2, 2)
    times, walls = iter(range(0, 1000, 20)), iter(range(0, 1000, 20))
    monkeypatch.setattr(
        speed_report,
        "ContentionWatch",
        lambda: ContentionWatch(lambda: CpuTimes(2 * (t := next(times)), t), lambda: next(walls)),
    )
    assert train("--root", pictures, "--output", tmp_path / "run", "--images=16") == 0
    assert capsys.readouterr().out.count("other programs keep 1.0 of 2 cores busy") == 1
