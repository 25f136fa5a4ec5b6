"""The measures of benchmarks/digits.py, and what it promises."""

import os
from pathlib import Path

import pytest
import torch
from classifier import read
from digits import CONDITIONAL, DIVERSE, OBEYED, READS, frechet, judge, obedience, play, real, within

MNIST = os.environ.get("QUAGGA_MNIST")  # the folder of the four idx files


def test_the_distance_of_two_gaussians():
    torch.manual_seed(0)
    a = torch.randn(4000, 6, dtype=torch.float64)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    shift = torch.arange(6.0, dtype=torch.float64)
    assert frechet(a, a + shift) == pytest.approx(float(shift.square().sum()), rel=1e-6)
    scaled = frechet(a, 3 * a)  # (3 - 1)^2 of each variance, and of the mean
    expected = 4 * float(torch.cov(a.T).trace() + a.mean(0).square().sum())
    assert scaled == pytest.approx(expected, rel=1e-6)


def test_variety_is_measured_within_a_digit():
    x = torch.tensor([0.0, 3.0, 100.0, 101.0])[:, None]
    assert within(x, torch.tensor([0, 0, 1, 1])) == pytest.approx((3 + 1) / 2)


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not MNIST, reason="QUAGGA_MNIST names no folder with MNIST's idx files")
def test_digits_are_as_asked_for_and_as_various_as_real_ones(tmp_path: Path):
    train, test = real(Path(str(MNIST)))
    network = judge(train)
    assert (read(network, test.x)[:, 0] == test.y).float().mean() >= READS
    play(CONDITIONAL, Path(str(MNIST)), tmp_path / "run")
    found = obedience(tmp_path / "run", network, train, test)
    assert found.obeyed >= OBEYED
    assert min(found.pixels, found.features) >= DIVERSE
