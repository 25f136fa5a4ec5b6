"""When a run pauses. Nothing is played here: the seconds of a step and of a pause are given."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quagga.training.intervals import (
    MAX_POINTS,
    MAX_UNSAVED_SECONDS,
    MIN_POINTS,
    MIN_SAVE_SECONDS,
    TIME_SHARES,
    Due,
    Intervals,
)
from quagga.training.run_options import RunOptions

KINDS = tuple(TIME_SHARES)


@dataclass
class Run:
    """A run of equal steps; `came` says at which images seen each kind of pause came."""

    step: float  # seconds
    steps: int
    costs: dict[str, float]  # seconds
    minibatch: int = 1
    options: RunOptions = field(default_factory=RunOptions)
    seen: int = 0
    played: float = 0.0
    paused: float = 0.0
    points: list[int] = field(default_factory=list)
    came: dict[str, list[int]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    gap: float = 0.0  # the most seconds of steps between two checkpoints

    def __post_init__(self):
        self.length = self.steps * self.minibatch
        self.intervals = Intervals(self.options, self.minibatch, self.length)

    def play(self, until: int | None = None) -> "Run":
        """To the end, or until so many steps are over."""
        if self.seen == 0:
            self.pause("strips")
        saved = self.intervals.pauses["save"].train_seconds
        for _ in range(self.seen // self.minibatch, self.steps if until is None else until):
            self.seen, self.played = self.seen + self.minibatch, self.played + self.step
            due = self.intervals.due_by_images(self.seen)
            self.points += [self.seen] * due.log
            due |= self.intervals.due_by_clock(self.seen, self.played, self.minibatch / self.step, due)
            for kind in KINDS:
                if getattr(due, kind):
                    self.pause(kind)
            if due.save:
                self.gap, saved = max(self.gap, self.played - saved), self.played
        return self

    def pause(self, kind: str) -> None:
        self.intervals.begin_pause(kind, self.seen, self.played)
        self.paused += self.costs[kind]
        self.intervals.end_pause(kind, self.costs[kind])
        self.came[kind].append(self.seen)

    def stopped(self) -> "Run":
        """The same run, begun again with what a checkpoint holds."""
        again = Run(self.step, self.steps, self.costs, self.minibatch, self.options, self.seen, paused=self.paused)
        again.played = again.intervals.load_state_dict(self.intervals.state_dict(self.played))
        again.points, again.came = self.points, self.came
        return again


STEP, SHARE = st.floats(1e-4, 60), st.floats(0, 1)


@st.composite
def runs(draw: st.DrawFn, least: int = MIN_POINTS, most: int = 1000) -> Run:
    """Of any speed, whose pauses cost from nothing to all that a run can pay for those that must come."""
    steps, step = draw(st.integers(least, most)), draw(STEP)
    must = {"examine": MIN_POINTS, "strips": 2, "save": 2}
    costs: dict[str, float] = {kind: TIME_SHARES[kind] * steps * step / must[kind] * draw(SHARE) for kind in KINDS}
    return Run(step, steps, costs, draw(st.integers(1, 300)))


@given(runs())
def test_pauses_take_less_than_a_twentieth_of_a_run_that_can_pay_for_eight_points(run):
    run.play()
    assert run.paused <= 0.05 * (run.paused + run.played)


@given(STEP, st.integers(MIN_POINTS, 300), st.integers(1, 300), st.floats(0, 1e6), st.integers(1, 10**9) | st.none())
def test_every_run_of_eight_steps_has_eight_points_whatever_they_cost(step, steps, minibatch, cost: float, log_every):
    options = RunOptions(log_every=log_every)
    run = Run(step, steps, dict.fromkeys(KINDS, cost), minibatch, options).play()
    assert len(set(run.came["examine"])) >= MIN_POINTS and len(set(run.points)) >= MIN_POINTS
    assert all(came[-1] == run.length for came in run.came.values()) and run.came["strips"][0] == 0
    assert set(run.came["examine"]) | set(run.came["strips"]) <= {0, *run.points}


@given(runs(), st.data())
def test_a_run_that_was_stopped_keeps_its_moments(run, data):
    straight = Run(run.step, run.steps, run.costs, run.minibatch).play()
    for steps in sorted(data.draw(st.lists(st.integers(1, run.steps), max_size=4))):
        run = run.play(steps).stopped()
    run.play()
    assert run.came == straight.came and run.points == straight.points


@given(runs(), st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_what_the_user_states_is_obeyed_whatever_it_costs(run, log, sample, save):
    options = RunOptions(log_every=log, sample_every=sample, save_every=save)
    costs = dict.fromkeys(KINDS, 1e6)
    first, second = (Run(run.step, run.steps, c, run.minibatch, options).play() for c in (run.costs, costs))
    assert first.came == second.came and first.points == second.points

    def multiples(every: int) -> list[int]:
        seen = range(run.minibatch, run.length + 1, run.minibatch)
        return [n for n in seen if n % every < run.minibatch or n == run.length]

    assert first.came["examine"] == multiples(sample) and first.came["save"] == multiples(save)
    strips = first.came["strips"]
    assert all(after - before < sample + run.minibatch for before, after in pairwise(strips[:-1]))


def test_a_stated_interval_leaves_the_others_as_they_are():
    costs = {"examine": 1.0, "strips": 0.2, "save": 1.0}
    free, stated = Run(0.1, 20_000, costs), Run(0.1, 20_000, costs, options=RunOptions(save_every=100))
    assert len(stated.play().came["save"]) == 200 and len(free.play().came["save"]) == 4
    assert stated.came["examine"] == free.came["examine"] and len(stated.came["examine"]) > MIN_POINTS


@given(runs(least=200))
def test_looks_are_not_more_than_a_page_of_tensorboard_holds(run):
    run.play()
    assert max(len(run.came["strips"]), len(run.came["examine"])) <= 2 * MAX_POINTS


@given(st.floats(5, 60), st.floats(0, 1))
@settings(max_examples=20)
def test_half_an_hour_is_the_most_that_is_lost_where_a_checkpoint_costs_little(step, share):
    """Up to 9 s: then it may come every quarter of an hour, and the last one half an hour after the one before."""
    run = Run(step, 400 + round(10_000 / step), {"examine": 20.0, "strips": 2.0, "save": 9.0 * share}).play()
    assert MIN_SAVE_SECONDS <= run.gap <= MAX_UNSAVED_SECONDS + step


def test_a_dear_checkpoint_comes_every_half_hour_where_the_other_pauses_leave_room():
    """60 s: of its own share it could come every 100 minutes. The first two, which nothing has been saved up for, are a
    little further apart."""
    run = Run(10.0, 8640, {"examine": 5.0, "strips": 1.0, "save": 60.0}).play()
    assert run.gap <= 1.25 * MAX_UNSAVED_SECONDS and run.paused <= 0.05 * (run.paused + run.played)


def test_one_busy_moment_of_the_disk_does_not_put_off_the_checkpoints_for_hours():
    run = Run(5.0, 8000, {"examine": 5.0, "strips": 1.0, "save": 2.0})
    run.play(1400)
    run.costs["save"] = 90.0
    run.play(1540)
    run.costs["save"] = 2.0
    run.gap = 0.0
    assert run.play().gap <= MAX_UNSAVED_SECONDS + 5


@given(st.floats(0.01, 60), st.integers(300, 1000))
def test_the_first_strips_come_soon(step, steps):
    """Those before the first step cost as much: a run that pays a twentieth can have others after 40 times that."""
    cost = 0.1 * TIME_SHARES["strips"] * step * steps
    run = Run(step, steps, {"examine": cost, "strips": cost, "save": 0.0}, options=RunOptions(log_every=1)).play()
    assert run.came["strips"][1] * step <= 2 * cost / sum(TIME_SHARES.values()) + 2 * step


def test_checkpoints_that_are_compared_come_in_each_eighth():
    costs = {"examine": 0.1, "strips": 0.1, "save": 0.1}
    plain = Run(0.01, 800, costs).play()
    judged = Run(0.01, 800, costs, options=RunOptions(keep_best="held_out/L1")).play()
    assert plain.came["save"] == [800]
    assert judged.came["save"] == list(range(100, 801, 100)) and set(judged.came["save"]) <= set(judged.came["examine"])


def test_without_held_out_pictures_nothing_waits_for_them():
    run = Run(0.01, 800, dict.fromkeys(KINDS, 1.0), options=RunOptions(examined=0)).play()
    assert run.came["examine"] == [] and run.points == list(range(100, 801, 100))


@pytest.mark.parametrize(("minibatch", "points"), [(1, range(100, 5001, 100)), (50, range(500, 5001, 500))])
def test_points_follow_the_images_or_the_steps(minibatch, points):
    run = Run(1.0, 5000 // minibatch, dict.fromkeys(KINDS, 0.0), minibatch, RunOptions(examined=0)).play()
    assert run.points == list(points)


def test_what_is_due_travels_as_a_number():
    kinds = [Due(*(bool(n >> place & 1) for place in range(4))) for n in range(16)]
    assert [Due.from_bits(due.bits) for due in kinds] == kinds and [due.bits for due in kinds] == list(range(16))
    assert Due(log=True) | Due(save=True) == Due(log=True, save=True)


def test_a_run_that_went_back_looks_again():
    run = Run(0.1, 8000, {"examine": 0.2, "strips": 0.1, "save": 0.1})
    run.play(4000)
    run.seen = 1000
    run.intervals.rewind(1000)
    run.came = {kind: [] for kind in KINDS}
    run.play()
    assert len(run.came["examine"]) >= 7 and min(run.came["strips"]) < 1500
