"""Planted curves are named, and healthy ones are not; what is odd for a moment is nothing."""

from collections.abc import Callable, Sequence

import pytest

from quagga.diagnoses import Diagnosis, Readings, find_faults
from quagga.diagnoses.faults import HINTS, PROVEN
from quagga.option_groups import flat_parameters
from quagga.pipelines import cut, cyclegan, gan, pix2pix, stargan

BATCH, POINTS, EVERY = 4, 16, 100  # images of a step, points of a curve, images between two
HEALTHY = {
    "D_Y/accuracy": 0.75,
    "discriminators/D_Y": 0.2,
    "D_Y/real": 0.7,
    "D_Y/fake": 0.3,
    "held_out/D_Y/real": 0.65,
    "gradient/generators": 3.0,
    "held_out/diversity": 0.8,
    "held_out/share/horse": 0.4,
    "held_out/share/zebra": 0.6,
    "speed/images_per_second": 20.0,
    "speed/seconds_waiting_for_data": 0.2,
    "strips/x to y/change": 0.5,
    "strips/x to y/variety": 0.9,
    "strips/x to y/light": 0.9,
    "strips/x to y/contrast": 0.9,
    "strips/x to y/saturation": 0.9,
    "strips/x to y/detail": 0.9,
    "strips/x to y/same": 0.0,
    "strips/x to y/rim": 0.8,
    "strips/x to y/lag": 0.05,
    "strips/x to y/grid2": 0.01,
    "strips/x to y/grid4": 0.02,
    "strips/x to y/grid8": 0.03,
    "strips/x to c/condition": 0.3,
    "rate/generators": 2e-4,
}
OPTIONS = {  # such as a run has them
    "lr": 2e-4,
    "lr_discriminator": None,
    "lambda_identity": 0.5,
    "lambda_cls": 1.0,
    "workers": 2,
    "cache": "none",
    "penalty": "none",
    "diffaugment": None,
    "ema_halflife": 10_000,
    "clip_gradients": None,
    "upsample": "transposed",
    "side": "left",
    "skip": False,
}
PARTNERS = {"strips/x to y/gap": 0.4, "strips/x to y/light_y": 0.8}
GROWING = [3.0 * (1 if number < POINTS - 4 else 10 ** (number - POINTS + 5)) for number in range(POINTS)]
FALLEN = [0.25] + [0.002] * (POINTS - 1)
# name of the fault -> the curves that show it
FAULTS: dict[str, dict[str, float | Sequence[float]]] = {
    "G copies its input": {"strips/x to y/change": 0.03, "D_Y/accuracy": 0.95},
    "D has won": {"D_Y/accuracy": 0.998, "discriminators/D_Y": FALLEN},
    "modes have collapsed": {"strips/x to y/variety": 0.1},
    "modes have been dropped": {"held_out/share/zebra": [0.6] * 8 + [0.03] * (POINTS - 8)},
    "both sides hold the same pictures": {"strips/x to y/same": 1.0},
    "the sides are exchanged": {**PARTNERS, "strips/x to y/detail": 4.0},
    "colours are inverted": {"strips/x to y/light": -0.7},
    "colours are washed out": {"strips/x to y/saturation": 0.2},
    "data starve the device": {"speed/seconds_waiting_for_data": 3.5},
    "gradients grow towards NaN": {"gradient/generators": GROWING},
    "a checkerboard stays": {f"strips/x to y/grid{period}": 0.3 for period in (2, 4, 8)},
    "averaged weights lag behind": {"strips/x to y/lag": 0.4},
    "D knows its pictures by heart": {"held_out/D_Y/real": 0.35},
    "the condition is ignored": {"strips/x to c/condition": 0.001},
    "foreground and background are exchanged": {"strips/x to y/rim": 3.0},
}


def run(**changed: float | Sequence[float]) -> Readings:
    """The readings of a run with these curves beside healthy ones; a number is a curve that stays there."""
    readings = Readings(OPTIONS, BATCH)
    for number in range(POINTS):
        values = {
            name: value if isinstance(value, int | float) else value[number]
            for name, value in {**HEALTHY, **changed}.items()
        }
        readings.add((number + 1) * EVERY, values)
    return readings


def names(readings: Readings) -> list[str]:
    return [fault.name for fault in find_faults(readings)]


def test_a_healthy_run_is_told_nothing():
    assert names(run()) == [] and names(run(**PARTNERS)) == [] and names(Readings()) == []


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_alone_with_figures_and_what_can_be_typed(name):
    [fault] = find_faults(run(**FAULTS[name]))
    assert fault.name == name and any(digit in fault.evidence for digit in "0123456789")
    assert fault.remedies or "--x and --y" in fault.evidence
    assert fault.line().startswith("diagnosis: " if fault.proven else "hint: ") and "\n" not in fault.line()


def test_six_kinds_are_proven_and_six_are_hints():
    found = [fault for name in FAULTS for fault in find_faults(run(**FAULTS[name]))]
    assert len(PROVEN) == len(HINTS) == 6
    assert [fault.proven for fault in found] == [True] * 9 + [False] * 6


AT_ONCE = {"both sides hold the same pictures", "the sides are exchanged"}  # what the pictures are is seen at once


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - AT_ONCE - {"gradients grow towards NaN"}))
def test_what_shows_only_of_late_is_not_said_yet(name):
    def late(value: float | Sequence[float], healthy: float) -> list[float]:
        newest = [value, value] if isinstance(value, int | float) else value[-2:]
        return [healthy] * (POINTS - 2) + [float(number) for number in newest]

    assert names(run(**{curve: late(value, HEALTHY[curve]) for curve, value in FAULTS[name].items()})) == []


@pytest.mark.parametrize("name", ["G copies its input", "modes have collapsed", "colours are inverted"])
def test_what_shows_at_the_start_and_passes_is_never_said(name):
    opening = 11  # points: 150 steps of 4 images that count for nothing, and not quite as many that do
    broken, healthy = run(**FAULTS[name]), run()
    readings = Readings(OPTIONS, BATCH)
    for number in range(POINTS):
        source = broken if number < opening else healthy
        readings.add((number + 1) * EVERY, {curve: points[number].value for curve, points in source.curves.items()})
        assert names(readings) == []


def test_one_odd_point_hides_no_fault():
    accuracy = [0.999] * POINTS
    accuracy[-4] = 0.97
    assert names(run(**{**FAULTS["D has won"], "D_Y/accuracy": accuracy})) == ["D has won"]


def test_it_is_said_since_when():
    diversity = [0.7] * 8 + [0.1] * 8
    [fault] = find_faults(run(**{"strips/x to y/variety": diversity}))
    assert fault.since == 9 * EVERY


@pytest.mark.parametrize("step", [0.0, 0.01])
def test_of_what_mends_nothing_is_said(step):
    diversity = [0.01 + step * number for number in range(POINTS)]
    assert names(run(**{"strips/x to y/variety": diversity})) == ([] if step else ["modes have collapsed"])


def test_a_D_that_is_sure_but_has_to_work_for_it_has_not_won():
    """As of a small DCGAN that learns: every decision right, and a tenth of the loss left."""
    loss = [1.1] + [0.1] * (POINTS - 1)
    assert names(run(**{"D_Y/accuracy": 0.998, "discriminators/D_Y": loss})) == []


def test_pale_pictures_are_pale_and_not_all_alike():
    pale = {"strips/x to y/variety": 0.2, "strips/x to y/contrast": 0.25}
    assert names(run(**pale)) == ["colours are washed out"]


def test_a_kind_that_was_never_made_was_not_dropped():
    assert names(run(**{"held_out/share/zebra": 0.0})) == []
    only_in_the_opening = [0.6] * 5 + [0.03] * (POINTS - 5)
    assert names(run(**{"held_out/share/zebra": only_in_the_opening})) == []


def test_a_copy_that_D_takes_for_real_is_no_fault():
    """Where both sides differ in nothing that D can see, G has nothing to change."""
    assert names(run(**{"strips/x to y/change": 0.03, "D_Y/accuracy": 0.6})) == []


def test_partners_decide_whether_a_copy_is_wrong_and_what_is_inverted():
    copied = {"strips/x to y/change": 0.03, "strips/x to y/light_y": 0.8}
    assert names(run(**copied, **{"strips/x to y/gap": 1.0})) == ["G copies its input"]
    assert names(run(**copied, **{"strips/x to y/gap": 0.3})) == []
    negative = {"strips/x to y/light": -0.9, "strips/x to y/gap": 0.3}  # y is the negative of x
    assert names(run(**negative, **{"strips/x to y/light_y": 0.9})) == []


def test_the_layer_of_a_checkerboard_is_named_by_its_period():
    def evidence(*shares: float) -> str:
        grids = {f"strips/x to y/grid{2**number}": share for number, share in enumerate(shares, 1)}
        [fault] = find_faults(run(**grids))
        return fault.evidence

    assert "2 pixels: the last layer" in evidence(0.3, 0.31, 0.32)
    assert "4 pixels: the layer before" in evidence(0.02, 0.3, 0.32)
    assert "8 pixels: an early layer" in evidence(0.01, 0.02, 0.32)


def test_a_longer_run_needs_a_longer_stretch():
    readings = Readings(OPTIONS, BATCH)
    for number in range(1, 400):
        readings.add(number * EVERY, {"held_out/diversity": 0.1 if number > 380 else 0.8})
    assert names(readings) == []
    for number in range(400, 440):
        readings.add(number * EVERY, {"held_out/diversity": 0.1})
    assert names(readings) == ["modes have collapsed"]


def test_what_was_rolled_back_counts_for_nothing_and_a_point_twice_counts_once():
    readings = run(**FAULTS["D has won"])
    assert names(readings) == ["D has won"]
    readings.rewind(700)
    assert names(readings) == [] and all(curve[-1].images == 700 for curve in readings.curves.values())
    readings.add(700, HEALTHY)
    assert len(readings.curves["D_Y/accuracy"]) == 7


@pytest.mark.parametrize("pipeline", [cyclegan, cut, pix2pix, gan, stargan])
def test_remedies_are_options_that_the_pipeline_has(pipeline):
    known = set(flat_parameters(pipeline.build)) | {"lr", "lr_discriminator", "workers", "cache", "ema_halflife"}
    known |= {"clip_gradients", "side"}
    of_pipeline = {name: value for name, value in OPTIONS.items() if name in known}

    def faults(look: Callable[[Readings], list[Diagnosis]]) -> list[Diagnosis]:
        found = []
        for curves in FAULTS.values():
            readings = run(**curves)
            readings.config = of_pipeline
            found += look(readings)
        return found

    found = faults(find_faults)
    assert len(found) == len(FAULTS)
    for fault in found:
        for remedy in fault.remedies:
            name, value = remedy.split()[0].removeprefix("--"), remedy.split()[1]
            assert name in known and str(of_pipeline[name]) != value
