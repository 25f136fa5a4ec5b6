"""What a run says of its speed, of how long it will take, and that it is alive. The clocks are toys."""

import re
from itertools import pairwise
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pauses import Clock, clock, train
from test_train import pictures

from quagga.cli.main import command_line
from quagga.training.reporting import heartbeat
from quagga.training.reporting.heartbeat import QUIET_LIMIT, Heartbeat
from quagga.training.reporting.tensorboard_logger import Logger
from quagga.training.reporting.time_estimate import SETTLED_SECONDS, SpeedMeter, time_estimate_line

assert clock and pictures  # fixtures

PAPER = {"crop_size": 256, "load_size": 286}


def noted(*steps: float, images: int = 1, speed: SpeedMeter | None = None) -> SpeedMeter:
    """After steps of so many seconds."""
    speed = speed or SpeedMeter()
    seen, played = speed.latest
    for seconds in steps:
        seen, played = seen + images, played + seconds
        speed.update(seen, played)
    return speed


def test_the_first_steps_do_not_count():
    assert noted(100.0, 50.0).images_per_second is None
    assert noted(100.0, 50.0, 0.5, 0.5, images=4).images_per_second == 8


def test_the_speed_is_that_of_late():
    speed = noted(*[1.0] * 300)
    assert speed.images_per_second == 1
    assert noted(*[4.0] * 30, speed=speed).images_per_second == 0.25
    speed.update(100, 421.0)  # the run went back
    assert speed.images_per_second is None and noted(2.0, speed=speed).images_per_second == 0.5


@given(st.floats(1e-3, 100))
def test_it_is_said_once_and_when_enough_was_seen(step):
    speed, said = SpeedMeter(), []
    for _ in range(4 + int(20 / step)):
        noted(step, speed=speed)
        said.append(speed.settled_speed())
    [number] = [n for n, rate in enumerate(said) if rate is not None]
    assert said[number] == pytest.approx(1 / step)
    measured = (number - 1) * step  # the first two do not count
    assert SETTLED_SECONDS * (1 - 1e-9) <= measured < SETTLED_SECONDS + step * (1 + 1e-9)


def test_days_of_a_cpu_come_with_what_takes_half_an_hour():
    line = time_estimate_line(0.1334, 4, 266_800, PAPER, "cpu", 1, begins=True)
    assert line == (
        "at this speed (0.133 images/s at 256 pixels on this CPU) the whole run takes about 23 d 3 h."
        " With --crop_size 64 --load_size 72 --images 3800, and another --output, it takes about half an hour"
    )  # 0.1334 x (256 / 64)^2 images/s x 1,800 s = 3,842
    named = time_estimate_line(0.1334, 4, 266_800, {**PAPER, "pipeline": "cyclegan"}, "cpu", 1, begins=True)
    assert named.endswith("`quagga train --recipe half-hour`, with the same pictures, takes about half an hour")
    small = time_estimate_line(0.1334, 4, 266_800, {"size": 32}, "cpu", 2, begins=True)
    assert "at 32 pixels on 2 x cpu" in small and "With --images 240, and another --output," in small


@pytest.mark.parametrize(
    ("device", "length", "begins", "said"),
    [
        ("cuda", 266_800, True, "on this GPU) the whole run takes about 23 d 3 h"),
        ("cpu", 266_800, False, "on this CPU) what is left takes about 11 d 13 h"),
        ("cpu", 1000, True, "on this CPU) the whole run takes about 2 h 4 min"),
    ],
)
def test_elsewhere_the_time_alone_is_said(device, length, begins, said):
    assert time_estimate_line(0.1334, 133_400 * (not begins), length, PAPER, device, 1, begins).endswith(said)


def test_a_run_says_once_how_long_it_takes_and_one_that_goes_on_what_is_left(
    pictures, tmp_path, monkeypatch, clock, capsys
):
    monkeypatch.setattr(SpeedMeter, "update", clock.after(SpeedMeter.update, 10.0))
    where = ("--root", pictures, "--output", tmp_path / "run", "--batch_size=2")
    assert train(*where, "--images=16") == 0
    said = capsys.readouterr().out
    assert said.count("at this speed") == 1
    assert "(0.2 images/s at 16 pixels on this CPU) the whole run takes about 1 min 20 s\n" in said
    assert train(*where, "--images=48") == 0
    said = capsys.readouterr().out
    assert re.findall("at this speed.*", said) == [
        "at this speed (0.2 images/s at 16 pixels on this CPU) what is left takes about 2 min 10 s"
    ]


def test_what_is_suggested_can_be_played(pictures, tmp_path, monkeypatch, clock, capsys):
    """As it is written, on a machine on which a step takes a minute."""
    monkeypatch.setattr(SpeedMeter, "update", clock.after(SpeedMeter.update, 60.0))
    words = ["train", "gan", "--root", str(pictures / "trainA"), "--width=2", "--width_discriminator=2"]
    words += ["--workers=0", "--device=cpu", "--samples=1", "--epochs=1000", "--batch_size=4"]
    large = ["--size=128", "--output", str(tmp_path / "large")]

    class Enough(BaseException):  # no bug, which would become a line
        pass

    def stop(*_):
        if "at this speed" in (said := capsys.readouterr().out):
            raise Enough(said)

    monkeypatch.setattr(Logger, "progress", stop)
    with pytest.raises(Enough) as end:
        command_line([*words, *large])
    [typed] = re.findall("With (.*), and another --output", str(end.value))
    assert typed == "--size 64 --images 480"  # a quarter of the pixels: four times 4 images a minute, for half an hour
    monkeypatch.undo()
    typed = typed.replace("480", "4")  # four images of it will do
    assert command_line([*words, *typed.split(), "--output", str(tmp_path / "short")]) == 0


# -- a line by time ----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0.01, 20), st.booleans()), min_size=1, max_size=60))
def test_it_is_never_quiet_for_longer_than_half_a_minute(events):
    """Whatever else is said meanwhile: the thread sleeps no longer than it may, or wakes sooner."""
    clock, said = Clock(), [0.0]
    heart = Heartbeat(lambda: said.append(clock.now), clock)
    for seconds, speaks in events:
        clock.now += min(seconds, heart.beat_if_due())
        if speaks:
            heart.reset()
            said.append(clock.now)
        heart.beat_if_due()
    assert all(after - before <= QUIET_LIMIT * (1 + 1e-9) for before, after in pairwise(said))
    assert clock.now - said[-1] <= QUIET_LIMIT
    assert clock.now < QUIET_LIMIT or len(said) > 1


@pytest.fixture
def log(tmp_path):
    with Logger(tmp_path / "run", {}, 0, 800) as log:
        yield log


def test_a_line_says_where_the_run_stands(log, capsys):
    log.print_status()
    log.progress(4)
    log.progress(4, 0.5)
    log.scalars({"generators/total": 1.5, "discriminators/total": 0.25, "D/accuracy": 0.75, "D/real": 1.0}, 8)
    log.scalars({"held_out/accuracy": 0.5, "held_out/D/accuracy": 0.5}, 8)
    log.print_status()
    with log.during("saving"):
        log.print_status()
    log.progress(792, 0.5)
    log.print_status()
    stands = "8 of 800 images, 0.5 images/s, 26 min 24 s left, generators 1.500, discriminators 0.250, D/accuracy 0.750"
    assert capsys.readouterr().out.splitlines() == [
        "0 of 800 images, now: the first steps",
        stands,
        f"{stands}, now: saving",
        "800 of 800 images, 0.5 images/s, generators 1.500, discriminators 0.250, D/accuracy 0.750",
    ]


def test_every_line_counts_and_a_twentieth_of_the_run_has_one(log, capsys):
    log.heartbeat.clock = clock = Clock()
    clock.now = 1e9
    log.say("a word")
    assert log.heartbeat.beat_if_due() == QUIET_LIMIT
    for seen in range(4, 801, 4):
        log.progress(4, 1.0)
        log.scalars({"generators/total": 1.0}, seen)
    assert capsys.readouterr().out.count("of 800 images") == 20


def test_what_takes_long_is_said_while_it_lasts(tmp_path, monkeypatch, capsys):
    """By a thread: the main one is busy until the line is there."""
    monkeypatch.setattr(heartbeat, "QUIET_LIMIT", 0.01)
    told = Event()
    with Logger(tmp_path / "run", {}, 0, 800) as log:
        monkeypatch.setattr(log, "say", lambda line: told.set() if line.endswith("now: reading pictures") else None)
        with log.during("reading pictures"):
            assert told.wait(60)
    assert not log.heartbeat.thread.is_alive()


def test_a_bar_needs_no_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Logger(tmp_path / "run", {}, 0, 800) as log:
        assert not log.heartbeat.thread.is_alive()
