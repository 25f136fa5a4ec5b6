"""Faults that are planted in short runs are named, and nothing is said of healthy ones."""

from pathlib import Path

import diagnoses as measured
import pytest
from diagnoses import FAULTS, named, onset, play, wilson

from quagga.data.synthetic import scenes
from quagga.diagnoses import Readings


def test_the_onset_is_where_the_curve_shows_the_fault_to_the_end():
    readings = Readings({}, 4)
    for number, accuracy in enumerate([0.99, 0.8, 0.97, 0.99]):
        readings.add(100 * number, {"D/accuracy": accuracy})
    assert onset(readings, FAULTS["D has won"]) == 200
    readings.add(400, {"D/accuracy": 0.5})
    assert onset(readings, FAULTS["D has won"]) is None


def test_an_interval_holds_its_share_and_narrows():
    """10 of 10 and 0 of 10: 0.722 and 0.278, from Wilson's formula by hand, z^2 = 3.8416: 10 / (10 + 3.8416)."""
    assert wilson(10, 10) == "10 of 10 (100%, 95 % interval 72% to 100%)"
    assert wilson(0, 10) == "0 of 10 (0%, 95 % interval 0% to 28%)"
    assert wilson(0, 0) == "none run"


def test_all_proven_faults_are_planted_in_three_recipes():
    assert len(FAULTS) == len(measured.PROVEN)
    for fault in FAULTS.values():
        assert len(set(fault.recipes)) == 3 and set(fault.recipes) <= measured.RECIPES.keys()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    for kind in ("unpaired", "pairs", "classes"):
        scenes.write(folder / kind, kind=kind, size=measured.SIZE, train=60, test=20)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_in_time(name, place):
    fault = FAULTS[name]
    readings = play(name, fault.recipes[-1], 5, 1400, place)
    visible = onset(readings, fault)
    assert visible is not None
    found = [images for other, (images, _) in named(readings).items() if other in fault.names]
    assert found and found[0] <= visible + measured.LATEST * measured.BATCH


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["cut", "pix2pix", "vae"])
def test_of_a_healthy_run_none_of_the_six_is_said(recipe, place):
    assert not [name for name, (_, proven) in named(play(None, recipe, 5, 1400, place)).items() if proven]
