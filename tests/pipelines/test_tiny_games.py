"""Laws on games a student can follow by hand: those of docs/games.md, whose code is what is tested here, and the ring.

The saddle of the quadratic has its laws in core/test_minimax_trainer.py.
"""

import re
import runpy
from math import exp, inf, log, pi, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from documentation import Part, assert_printed_as_said, run_as_one
from scipy.integrate import quad

from quagga.pipelines.core.losses import OBJECTIVES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "games.md").read_text(encoding="utf-8")
RING = runpy.run_path(str(ROOT / "benchmarks" / "ring.py"))


@pytest.fixture(scope="module")
def games(tmp_path_factory) -> tuple[dict[str, Any], list[Part]]:
    """What the code of docs/games.md defines, and its parts."""
    return run_as_one("docs/games.md", tmp_path_factory.mktemp("games"))


@pytest.fixture(scope="module")
def page(games) -> dict[str, Any]:
    """What the page's code defines."""
    return games[0]


def test_the_page_prints_what_it_says(games):
    assert_printed_as_said(games[1])


def test_the_page_shows_what_was_measured():
    measured = (ROOT / "benchmarks" / "results" / "ring.txt").read_text(encoding="utf-8")
    tables = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert len(tables) == 2 and all(table in measured for table in tables)
    assert measured.splitlines()[1] in PAGE.replace("\n", " ")  # the machine


def divergence(mean: float) -> float:
    """JSD(N(0, 1) || N(mean, 1)) = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, by numerical integration."""

    def density(x: float) -> float:
        return exp(-x * x / 2) / sqrt(2 * pi)

    def integrand(x: float) -> float:
        p, q = density(x), density(x - mean)
        return sum(r * log(2 * r / (p + q)) for r in (p, q) if r > 0) / 2

    return quad(integrand, -10, 10 + mean)[0]


@pytest.mark.parametrize("mean", [1.0, 3.0])
def test_the_best_discriminator_plays_for_the_jensen_shannon_divergence(page, mean):
    game = page["Referee"]()
    torch.manual_seed(0)
    assert page["value_of"](game, mean) == pytest.approx(2 * divergence(mean) - log(4), abs=1e-3)
    x = torch.linspace(-2, 2 + mean, 9)[:, None]  # where there are points: D*(x) = p / (p + q)
    best = torch.sigmoid(mean * mean / 2 - mean * x)
    torch.testing.assert_close(game.D(x).sigmoid().detach(), best, atol=0.02, rtol=0)


def test_a_sure_discriminator_silences_the_saturating_generator_only():
    at_first, later = 0, 100 * RING["BATCH"]
    saturating = [RING["sureness"]("minimax", n) for n in (at_first, later)]
    other = [RING["sureness"]("non_saturating", n) for n in (at_first, later)]
    assert [s.belief for s in saturating] == [s.belief for s in other]  # both have met the same D
    assert saturating[0].belief > 0.3 and saturating[1].belief < 0.01
    assert saturating[1].gradient < saturating[0].gradient / 20
    assert other[1].gradient > other[0].gradient


def test_the_score_of_the_ring():
    truth, centres, score = RING["truth"], RING["CENTRES"], RING["score"]
    assert score(truth(1000, 5)).modes == 8 and score(truth(1000, 5)).on_modes > 0.99
    assert score(centres[torch.arange(1000) % 3]).modes == 3
    shift = torch.tensor([0.3, 0.4])  # a cloud moved by 0.5 is 0.5 away
    points = truth(200, 5)
    assert RING["earth_mover"](points, points.flip(0)) == pytest.approx(0, abs=1e-6)
    assert RING["earth_mover"](points, points + shift) == pytest.approx(0.5, abs=1e-3)
    low, high = RING["floor"](), score(centres[torch.zeros(1000, dtype=torch.int64)]).distance
    assert 0 < low < high / 10 < inf


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_with_a_penalty_no_mode_is_left_out(objective):
    relativistic = RING["Entry"]("relativistic", "r1_r2", 0.5, 1200, 1)  # gamma is 1
    *_, entry = [e for e in [*RING["ENTRIES"], relativistic] if e.objective == objective]
    assert entry.penalty != "none"
    found = RING["score"](RING["play"](entry, seed=0))
    assert found.modes == 8
    assert found.on_modes > 0.6
    assert found.distance < 3 * RING["floor"]()
