"""The measures of benchmarks/equal_minutes.py and benchmarks/batch_size.py, and what they promise."""

import json

import batch_size
import equal_minutes
import pytest

from quagga.cli.options import config_parser
from quagga.option_groups import call_flat
from quagga.pipelines import cyclegan
from quagga.pipelines.core.schedule import Schedule


def split_of(side: str, place) -> dict:
    said = equal_minutes.words(equal_minutes.SIDES[side], 0, 100, place, side)
    return config_parser.resolve("cyclegan", cyclegan.build, cyclegan.data, said, "test")[1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(equal_minutes, "ANIMALS", 4)
    return tmp_path


def test_theirs_is_the_papers_game(place):
    split = split_of("theirs", place)
    game, papers = call_flat(cyclegan.build, **split["build"]), call_flat(cyclegan.build)
    count = {name: sum(p.numel() for p in n.parameters()) for name, n in {"G": game.G, "D": game.D_Y}.items()}
    assert round(count["G"] / 1e6, 3) == 11.378 and round(count["D"] / 1e6, 3) == 2.765  # as the reference prints them
    assert Schedule(**split["schedule"]) == Schedule(images=100, ema_halflife=0)  # no average, and another length
    for name in ("adversary", "lambda_cycle", "lambda_identity", "pool_size"):
        assert getattr(game, name) == getattr(papers, name)
    assert split["data"]["load_size"] / split["data"]["crop_size"] == pytest.approx(286 / 256, abs=0.01)


def test_both_sides_see_the_same_pictures_and_are_looked_at_as_rarely(place):
    theirs, ours = split_of("theirs", place), split_of("ours", place)
    assert {k: v for k, v in theirs["run"].items() if k not in ("output", "mixed_precision")} == {
        k: v for k, v in ours["run"].items() if k not in ("output", "mixed_precision")
    }
    assert theirs["data"] == {**ours["data"], "load_size": 72}


def test_all_that_differs_goes_back_once():
    back = [name for names in equal_minutes.BACK.values() for name in names]
    differs = {name for name, value in equal_minutes.OURS.items() if value != equal_minutes.THEIRS[name]}
    assert sorted(back) == sorted(differs | {"mixed_precision"})


@pytest.mark.parametrize("part", equal_minutes.PARTS)
def test_each_part_is_a_command_that_can_be_given(place, part):
    ours, other = (equal_minutes.PLAYED[name] for name in ("ours", part))
    said = equal_minutes.words(other, 0, 10_000, place, "part")
    config, _ = config_parser.resolve("cyclegan", cyclegan.build, cyclegan.data, said, "test")
    assert all(config[option] == value for option, value in other.items())
    assert (other == ours) == (part == "ours but nothing")


def test_the_report_puts_the_seeds_of_a_part_side_by_side(place):
    (place / "results").mkdir()
    for seed, error in enumerate((0.111, 0.222)):
        line = {"name": "ours and R1", "seed": seed, "images": 4321, "cpu_minutes": 5.0, "error": error}
        (place / "results" / f"{seed}.json").write_text(json.dumps(line))
    row = ["ours", "and", "R1", "4,321", "5.0", "0.111", "0.222"]
    assert row in [said.split() for said in equal_minutes.report(place)]


def test_the_clock_of_a_run_that_was_stopped_counts_on(tmp_path):
    file = tmp_path / "clock.json"
    file.write_text(json.dumps({"0": 1.0, "100": 50.0, "200": 99.0}))
    clock = equal_minutes.Clock(file)  # the checkpoint was that of 100 images
    clock(200, {})
    assert 50 <= clock.known[200] < 51
    clock.note(201)
    assert 50 <= json.loads(file.read_text())["201"] < 51
    again = equal_minutes.Clock(file)
    again(300, {})
    assert json.loads(file.read_text())["201"] <= again.known[300] < 52


@pytest.mark.parametrize(("error", "verdict"), [(0.13, "kept"), (0.15, "NOT kept")])
def test_the_report_says_whether_the_promise_is_kept(place, error, verdict):
    (place / "results").mkdir()
    for side, value in (("theirs", 0.2), ("ours", error)):
        line = {"name": side, "seed": 0, "precision": "no", "images": 10, "cpu_minutes": 30.0}
        line |= {"error": value, "background": value / 2, "coat": value / 2}
        (place / "results" / f"{side}-0.json").write_text(json.dumps(line))
    said = "\n".join(equal_minutes.report(place))
    assert f"ours / theirs: {error / 0.2:.2f}; promised: at most 0.7: {verdict}, so far" in said
    assert "1 of 3 seeds" in said


def test_the_table_of_batches_differs_in_nothing_but_batch_and_rates():
    for row, changed in batch_size.ROWS.items():
        assert changed.keys() <= {"batch_size", "accumulation", "lr_rule", "warmup", "images"}
        images = Schedule(**{"images": batch_size.IMAGES, **changed}).length(1)
        assert ("x images" in row) == (images > batch_size.IMAGES)
        assert str(changed["batch_size"] * changed.get("accumulation", 1)) in row.replace(",", " ").split()


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(3600)
def test_our_recipe_is_ahead_after_five_minutes_already(tmp_path):
    """The promise is of 30 minutes and 3 seeds; this is a sixth of it, with one."""
    for side in equal_minutes.SIDES:
        equal_minutes.play(side, 0, side, 5.0, tmp_path, [])
    errors = [json.loads((tmp_path / "results" / f"{side}-0.json").read_text())["error"] for side in ("ours", "theirs")]
    assert errors[0] <= equal_minutes.PROMISE * errors[1]
