"""The laws of the learning rates: what a batch, the images seen, a stop or another process do to them."""

from importlib import import_module
from itertools import pairwise

import pytest
from test_minimax_trainer import in_processes, small_cyclegan
from toys import Quadratic, Rows, distance, played, trainer_of, weights

from quagga.pipelines import PIPELINES
from quagga.pipelines.core.schedule import Schedule

SIDES = ("generators", "discriminators")


def rates(trainer, batch_size: int = 1) -> dict[int, list[float]]:
    """Images seen -> the rates of both sides' optimisers in the step that began there."""
    found, seen = {}, trainer.images_seen
    for after in trainer.play(Rows(batch_size, size=1).batches(trainer.row)):
        found[seen] = [trainer.sides[side].optimizer.param_groups[0]["lr"] for side in SIDES]
        seen = after
    return found


@pytest.mark.parametrize("batch", [{"batch_size": 16}, {"batch_size": 4, "accumulation": 4}])
@pytest.mark.parametrize(
    ("rule", "lr_batch", "times"),
    [("none", 1, 1), ("none", 4, 1), ("sqrt", 1, 4), ("sqrt", 4, 2), ("linear", 1, 16), ("linear", 64, 1 / 4)],
)
def test_rates_follow_the_rule(rule, lr_batch, times, batch):
    rule = {"lr_rule": rule, "lr_batch": lr_batch, "lr": 1e-3, "lr_discriminator": 2e-3}
    trainer = trainer_of(Quadratic(), images=32, **rule, **batch)
    curves = [trainer.readings()[f"rate/{side}"] for side in SIDES]
    assert curves == pytest.approx([1e-3 * times, 2e-3 * times])
    assert all(rate == pytest.approx(curves) for rate in rates(trainer, batch["batch_size"]).values())


def test_the_papers_rate_stays_at_the_papers_batch():
    for module, _ in PIPELINES.values():
        defaults = import_module(module).defaults
        batch, lr_batch = defaults.get("batch_size", Schedule.batch_size), defaults.get("lr_batch", Schedule.lr_batch)
        for rule in ("none", "sqrt", "linear"):
            assert Schedule(lr_rule=rule, lr_batch=lr_batch).scale(batch) == 1


def test_one_step_of_a_large_batch_goes_as_far_as_the_small_ones_it_stands_for():
    small, large = Quadratic(), Quadratic()  # whose loss is the same for all rows
    played(small, size=1, images=4, lr=1e-6)
    played(large, size=1, images=4, lr=1e-6, batch_size=4, lr_rule="linear")
    moved = {name: float(1 - weight) for name, weight in weights(small).items()}
    assert {name: float(1 - weight) for name, weight in weights(large).items()} == pytest.approx(moved, rel=1e-4)


def test_rates_rise_and_fall_with_the_images_seen():
    schedule = {"images": 32, "warmup": 8, "decay": 0.5, "lr": 1.0}
    for batch in ({}, {"batch_size": 2}, {"batch_size": 2, "accumulation": 2}, {"k": 3}):
        step = batch.get("batch_size", 1) * batch.get("accumulation", 1)
        found = rates(trainer_of(Quadratic(), **schedule, **batch), batch.get("batch_size", 1))
        assert {0, 4, 16, 28} <= found.keys()
        for seen, rate in found.items():  # no step stands still, and that which ends the warm-up has the whole rate
            assert rate == pytest.approx([min(1, (seen + step) / 8, (32 - seen) / 16)] * 2)


def test_a_warm_up_into_the_decay_never_rises_above_it():
    schedule = Schedule(images=10, warmup=8, decay=1.0)
    found = [schedule.rate(seen, 10) for seen in range(11)]
    assert found == pytest.approx([min(seen / 8, 1 - seen / 10) for seen in range(11)])


def test_curves_show_the_rate_of_the_step_to_come():
    trainer = trainer_of(Quadratic(), images=16, warmup=4, decay=0.5, lr=0.25, lr_rule="linear", batch_size=2)
    play, read = trainer.play(Rows(2, size=1).batches(trainer.row)), [trainer.readings()]
    played_at = []
    for _ in play:
        played_at.append([trainer.sides[side].optimizer.param_groups[0]["lr"] for side in SIDES])
        read.append(trainer.readings())
    for curve, rates_played in zip(read, played_at, strict=False):
        assert [curve[f"rate/{side}"] for side in SIDES] == pytest.approx(rates_played)
    assert any(a != b for a, b in pairwise(played_at))


@pytest.mark.parametrize("rule", ["sqrt", "linear"])
def test_accumulation_of_four_equals_a_batch_four_times_larger_under_the_rule(rule):
    schedule = {"images": 20, "lr": 0.005, "lr_rule": rule, "warmup": 8, "decay": 0.5}
    plain, whole, parts = small_cyclegan(), small_cyclegan(), small_cyclegan()
    played(plain, batch_size=4, **{**schedule, "lr_rule": "none"})
    played(whole, batch_size=4, **schedule)
    played(parts, batch_size=1, accumulation=4, **schedule)
    assert distance(weights(plain), weights(whole)) > 1e-4
    assert distance(weights(whole), weights(parts)) < 1e-12


def test_two_processes_have_the_rate_of_one_with_their_batch(tmp_path):
    schedule = {"images": 8, "batch_size": 2, "optimizer": "sgd", "lr": 0.01, "decay": 0.0}
    schedule |= {"lr_rule": "linear", "warmup": 4}
    one = in_processes(1, tmp_path / "one.pt", {}, schedule)
    two = in_processes(2, tmp_path / "two.pt", {}, schedule)
    assert one["readings"]["rate/generators"] == two["readings"]["rate/generators"] == 0.02
    assert distance(one["weights"], two["weights"]) < 1e-12


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_game_has_the_rates_of_one_that_never_stopped(stop):
    schedule = {"images": 16, "batch_size": 2, "optimizer": "adam", "lr": 0.01, "decay": 0.5}
    schedule |= {"lr_rule": "sqrt", "warmup": 8}
    straight, first, second = Quadratic(), Quadratic(), Quadratic()
    whole = rates(trainer_of(straight, **schedule), 2)
    stopped = trainer_of(first, **schedule)
    play = stopped.play(Rows(2, size=1).batches(stopped.row))
    for _ in range(stop):
        next(play)
    resumed = trainer_of(second, **schedule)
    resumed.load_state_dict(stopped.state_dict())
    assert rates(resumed, 2) == {seen: rate for seen, rate in whole.items() if seen >= 2 * stop}
    assert distance(weights(straight), weights(second)) == 0
