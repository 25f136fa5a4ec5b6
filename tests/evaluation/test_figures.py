"""Intervals hold what they promise, and say so where a seed is not enough."""

import numpy as np
import pytest

from quagga.evaluation.measures.figures import (
    Figure,
    counts,
    difference,
    drawn,
    mean_of,
    over_seeds,
    share_of,
    wilson,
)

CHANCE = np.random.default_rng(0)


def apart(a, b) -> tuple[float, float]:
    found = difference(a, b)
    assert found
    return found


def ends(figure: Figure) -> tuple[float, float]:
    assert figure.interval
    return figure.interval


def width(figures) -> float:
    _, interval = over_seeds(figures)
    assert interval
    return interval[1] - interval[0]


def test_the_interval_of_a_mean_holds_it_19_times_of_20():
    held = 0
    for _ in range(200):
        low, high = ends(mean_of(CHANCE.normal(3, 2, 60).astype(np.float32)))
        held += low < 3 < high
    assert 180 <= held <= 198


def test_the_error_of_a_mean_is_the_deviation_over_the_root_of_n():
    each = CHANCE.normal(0, 1, 400)
    assert mean_of(each).error == pytest.approx(each.std() / 20, rel=0.15)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_the_interval_of_a_share_holds_it_and_is_never_a_point(share):
    low, high = wilson(share, 60)
    assert 0 <= low <= share <= high <= 1 and high - low > 0.02
    held = [wilson(CHANCE.binomial(60, 0.1) / 60, 60) for _ in range(400)]
    assert np.mean([low <= 0.1 <= high for low, high in held]) > 0.92


def test_a_share_of_all_may_be_fewer():
    found = share_of(np.ones(60, bool))
    assert found.value == 1 and ends(found)[0] < 0.95


def test_draws_are_of_as_many_pictures_and_always_the_same():
    assert (counts(37).sum(1) == 37).all() and (counts(37) == counts(37)).all()
    each = CHANCE.normal(size=30)
    assert drawn(30, lambda at: each[at].mean(), 50) == pytest.approx(counts(30, 50) @ each / 30, abs=1e-6)


def test_what_two_rows_share_cancels_out_of_their_difference():
    hard = CHANCE.normal(0, 10, 60)  # some pictures are hard for both
    a, b = mean_of(hard + 1 + CHANCE.normal(0, 0.1, 60)), mean_of(hard + CHANCE.normal(0, 0.1, 60))
    value, half = apart([a], [b])
    assert value == pytest.approx(1, abs=0.1) and half < 0.1 < (a.error or 0)


def test_two_seeds_that_differ_widen_the_interval_and_three_narrow_it():
    def runs(*values):
        return [mean_of(CHANCE.normal(0, 0.01, 60) + value) for value in values]

    widths = [width(runs(*values)) for values in ((1.0,), 3 * (0.9, 1.1), (0.9, 1.1))]
    assert over_seeds(runs(0.9, 1.1))[0].value == pytest.approx(1, abs=0.01) and widths == sorted(widths)
    assert widths[2] > 12 * 0.2 / 2  # Student's quantile of one degree of freedom is 12.7


def test_runs_are_told_apart_by_more_than_their_seeds_differ():
    def runs(*values):
        return [mean_of(CHANCE.normal(0, 0.01, 60) + value) for value in values]

    value, half = apart(runs(1.0, 1.3), runs(1.2, 1.5))
    assert abs(value) < half
    value, half = apart(runs(1.0, 1.01, 0.99), runs(2.0, 2.01, 1.99))
    assert abs(value) > half
    assert difference([Figure(1.0)], [Figure(2.0)]) is None
