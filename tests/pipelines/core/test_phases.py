"""The laws of phases: a border changes size, batch and rates, and nothing else that a stop, another number of processes
or accumulation could see."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from test_minimax_trainer import in_processes, small_cyclegan
from toys import Growing, Quadratic, Rows, distance, played, steps_of, trainer_of, weights

from quagga.pipelines.core.game_protocol import Draw, Loss
from quagga.pipelines.core.minimax_trainer import NotFinite
from quagga.pipelines.core.phases import Progress
from quagga.pipelines.core.schedule import Schedule

# Both borders change all there is to change.
PHASES = [
    {"images": 8, "size": 12, "batch_size": 4},
    {"images": 4, "size": 16, "lr": 0.02},
    {"size": 20, "batch_size": 4, "lr_discriminator": 0.005},
]
THREE = {"images": 24, "batch_size": 2, "lr": 0.01, "phases": PHASES}


def test_one_phase_is_the_whole_run():
    plain, stated = small_cyclegan(), small_cyclegan()
    options = {"images": 8, "batch_size": 2, "k": 2, "lr": 0.01, "decay": 0.5, "head_start": 3}
    straight = played(plain, **options)
    one = played(stated, **options, phases=[{"lr": None}])
    assert distance(weights(plain), weights(stated)) == 0
    assert straight.readings() == one.readings()
    assert (
        straight.state_dict()["counters"]
        == one.state_dict()["counters"]
        == {"images_seen": 8, "row": 20, "minibatch": 2}
    )


def test_rows_of_a_phase_have_its_size_its_batch_and_its_rates():
    seen: list[tuple[int, ...]] = []

    class Watched(Quadratic):
        def generate(self, batch, draw):
            seen.append((int(batch["row"][0]), *batch["x"].shape[::2]))
            return {}

    trainer, rates = trainer_of(Watched(), **THREE), {}
    before = 0
    for after in steps_of(trainer, Rows()):
        rates[before] = [side.optimizer.param_groups[0]["lr"] for side in trainer.sides.values()]
        before = after
    assert seen == [(0, 4, 12), (4, 4, 12), (8, 2, 16), (10, 2, 16), (12, 4, 20), (16, 4, 20), (20, 4, 20)]
    first, second, third = [0.01, 0.01], [0.02, 0.02], [0.01, 0.005]
    assert rates == {0: first, 4: first, 8: second, 10: second, 12: third, 16: third, 20: third}


def test_rates_of_a_phase_follow_the_rule_for_its_batch_and_the_factor_of_the_run():
    phases = [{"images": 16, "batch_size": 8}, {"batch_size": 2, "lr": 0.5}]
    first, second = Schedule(lr=1.0, lr_rule="linear", phases=phases).plan(32, processes=2)
    assert (first.lr, second.lr, second.lr_discriminator) == (16.0, 2.0, 2.0)
    trainer = trainer_of(Quadratic(), images=16, lr=1.0, decay=0.5, phases=[{"images": 8}, {"lr": 0.5}])
    curve = {0: trainer.readings()["rate/generators"]}
    for seen in steps_of(trainer, Rows(size=1)):
        curve[seen] = trainer.readings()["rate/generators"]
    assert curve == {seen: pytest.approx((1 if seen < 8 else 0.5) * min(1, (16 - seen) / 8)) for seen in range(17)}


@pytest.mark.parametrize("stop", range(1, 7))
@pytest.mark.parametrize("options", [{}, {"k": 2}, {"accumulation": 2, "batch_size": 1, "phases": None}], ids=str)
def test_a_game_that_was_stopped_anywhere_goes_on_as_if_never_stopped(stop, options):
    """Before a border, at it and behind it; with pools, which begin anew there."""
    if options.get("phases", 0) is None:
        options = {**options, "phases": [{**phase, "batch_size": phase.get("batch_size", 2) // 2} for phase in PHASES]}
    schedule = {**THREE, "optimizer": "adam", "decay": 0.5, **options}
    games = [small_cyclegan(seed, pool_size=3) for seed in (0, 0, 1)]
    straight, first, second = (trainer_of(game, **schedule) for game in games)
    for _ in steps_of(straight, Rows()):
        pass
    steps = steps_of(first, Rows())
    for _ in range(stop):
        next(steps)
    second.load_state_dict(deepcopy(first.state_dict()))
    assert second.progress == first.progress and second.phase == first.phase
    assert second.state_dict()["memory"].keys() == first.state_dict()["memory"].keys()
    for _ in steps_of(second, Rows()):
        pass
    assert distance(weights(games[0]), weights(games[2])) == 0
    assert straight.readings() == second.readings()
    for name, average in straight.averages.items():
        assert distance(average.state_dict(), second.averages[name].state_dict()) == 0


def test_accumulation_equals_a_larger_batch_across_a_border():
    whole, parts = small_cyclegan(pool_size=3), small_cyclegan(pool_size=3)
    divided = [{**phase, "batch_size": phase.get("batch_size", 2) // 2} for phase in PHASES]
    played(whole, **THREE)
    played(parts, **{**THREE, "batch_size": 1, "accumulation": 2, "phases": divided})
    assert distance(weights(small_cyclegan()), weights(whole)) > 1e-4
    assert distance(weights(whole), weights(parts)) < 1e-12


def test_one_process_equals_two_across_borders(tmp_path):
    schedule = {**THREE, "optimizer": "sgd", "decay": 0.0, "k": 2}
    one = in_processes(1, tmp_path / "one.pt", {"pool_size": 6}, schedule)
    two = in_processes(2, tmp_path / "two.pt", {"pool_size": 6}, schedule)
    assert distance(one["weights"], two["weights"]) < 1e-12
    assert one["readings"] == pytest.approx(two["readings"], rel=1e-5, abs=1e-5)
    for pool in ("pool_X", "pool_Y"):
        assert one["memory"][pool].pop("phase") == two["memory"][pool].pop("phase") == 2
        assert distance(one["memory"][pool], two["memory"][pool]) < 1e-12


# -- how far a game is -------------------------------------------------------------------------------------------------


class Recorded(Growing):
    """Writes down how far each call says the game is."""

    fresh_noise = True

    def __init__(self):
        super().__init__()
        for network in (self.G, self.D):
            network.double()
        self.calls: list[tuple[str, Progress]] = []

    def generate(self, batch, draw):
        self.calls.append(("generate", draw.progress))
        return super().generate(batch, draw)

    def discriminator_loss(self, batch, fakes, draw):
        self.calls.append(("discriminators", draw.progress))
        return super().discriminator_loss(batch, fakes, draw)

    def generator_loss(self, batch, fakes, draw):
        self.calls.append(("generators", draw.progress))
        return super().generator_loss(batch, fakes, draw)

    def visualize(self, batch, draw):
        self.calls.append(("visualize", draw.progress))
        return super().visualize(batch, draw)

    def examine(self, batch, draw):
        self.calls.append(("examine", draw.progress))
        return super().examine(batch, draw)


@pytest.mark.parametrize("more", [{}, {"accumulation": 2}, {"k": 3}, {"head_start": 5}], ids=str)
def test_every_call_is_told_how_far_the_game_is(more):
    """All calls of a step the same, and what looks at the game afterwards too."""
    game, schedule = Recorded(), {"images": 16, "batch_size": 2, "lr": 0.01, **more}
    trainer = trainer_of(game, **schedule, phases=[{"images": 8, "size": 8}, {}])
    held_out, found, before = Rows(size=8).batch(100, 2), {}, 0
    trainer.examine(held_out)
    assert game.calls == [("examine", Progress(0, 0.0))]
    for seen in steps_of(trainer, Rows()):
        trainer.visualize(held_out)
        trainer.examine(held_out)
        with trainer.averaged([held_out]):
            trainer.examine(held_out)
        found.setdefault(before, set()).update(game.calls)
        assert {name for name, _ in game.calls} >= {"generate", "discriminators", "visualize", "examine"}
        game.calls.clear()
        before = seen
    step = 2 * more.get("accumulation", 1)
    expected = {seen: Progress(seen // 8, seen % 8 / 8) for seen in range(0, 16, step)}
    assert {seen: {progress for _, progress in calls} for seen, calls in found.items()} == {
        seen: {progress} for seen, progress in expected.items()
    }


def test_a_resumed_game_looks_as_far_as_it_was():
    options = {"images": 16, "lr": 0.01, "phases": [{"images": 6}, {}]}
    first, held_out = trainer_of(Recorded(), **options), Rows().batch(100, 2)
    for seen in steps_of(first, Rows()):
        second = trainer_of(Recorded(), **options)
        second.load_state_dict(deepcopy(first.state_dict()))
        expected = pytest.approx((seen - 1) / 6 if seen <= 6 else (seen - 7) / 10)
        assert first.examine(held_out)["alpha"] == second.examine(held_out)["alpha"] == expected


def test_rows_that_are_skipped_do_not_end_a_phase_early_or_late():
    """As after a loss that was not finite: a phase begins at its row, and the last one is as long as it takes."""
    trainer = trainer_of(Recorded(), images=16, lr=0.01, phases=[{"images": 8}, {}])
    steps = steps_of(trainer, Rows())
    for _ in range(4):
        next(steps)
    trainer.row = 7
    shares = [(trainer.row, trainer.progress) for _ in steps_of(trainer, Rows())]
    assert shares[:2] == [(8, Progress(0, 7 / 8)), (9, Progress(1, 0.0))]
    assert trainer.images_seen == 16 and trainer.row == 19
    last = shares[-1][1]
    assert last.phase == 1 and 7 / 8 < last.share < 1


def test_what_is_not_finite_is_found_behind_a_border_too():
    class Sick(Growing):
        def generator_loss(self, batch, fakes, draw):
            loss = super().generator_loss(batch, fakes, draw)
            return Loss({"G": loss.terms["G"] * float("nan")}) if 6 in draw.rows else loss

    game = Sick()
    for network in (game.G, game.D):
        network.double()
    trainer = trainer_of(game, images=16, batch_size=2, lr=0.01, phases=[{"images": 8, "batch_size": 4}, {}])
    for seen in steps_of(trainer, Rows()):
        if seen == 12:
            break
    with pytest.raises(NotFinite) as fault:
        trainer.readings()
    assert fault.value.rows == range(4, 8) and fault.value.images_seen == 4


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "processes", "nearest"), [(11, 1, 12), (9, 1, 8), (1, 1, 4), (12, 2, 16), (20, 4, 16)]
)
def test_a_border_within_a_step_is_refused_with_the_nearest(images, processes, nearest):
    schedule = Schedule(images=100, batch_size=2, accumulation=2, k=3, phases=[{"images": images}, {}])
    with pytest.raises(ValueError, match=f"phase 1 has {images} images, .*; the nearest number is {nearest}$"):
        schedule.plan(100, processes)
    Schedule(images=100, batch_size=2, accumulation=2, phases=[{"images": nearest}, {}]).plan(100, processes)


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ([], "empty list"),
        ([{"imgaes": 8}], "phase 1 has no imgaes: did you mean images"),
        ([{"images": 8}, {"size": 0}], "size of phase 2 is 0"),
        ([{"images": 8.5}], "images of phase 1 is 8.5: it must be a whole number"),
        ([{"images": True}], "images of phase 1 is True"),
        ([{"lr": -1.0}], "lr of phase 1 is -1.0"),
        ([{"size": 8}, {}], "phase 1 states no images"),
        ([{"images": 8}, {"images": 8}], "phases have 16 images together, and images is 32"),
    ],
)
def test_phases_that_cannot_be_are_refused(phases, said):
    with pytest.raises(ValueError, match=said):
        Schedule(images=32, phases=phases)


def test_the_length_of_a_run_is_that_of_its_phases():
    assert Schedule(phases=[{"images": 8}, {"images": 8}]).length(100) == 16
    assert Schedule(epochs=2, phases=[{"images": 8}, {}]).length(100) == 200
    assert Schedule(images=32, phases=[{"images": 8}, {}]).length(100) == 32
    with pytest.raises(ValueError, match="8 images are before phase 2, and the run has 8: raise images"):
        Schedule(images=8, phases=[{"images": 8}, {}]).plan(8)


def test_a_draw_without_a_run_stands_at_its_beginning():
    draw: Any = Draw(0, [0])
    assert draw.progress == Progress(0, 0.0) and torch.is_tensor(draw.normal((1,), torch.zeros(1)))
