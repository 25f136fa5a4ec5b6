"""The laws of the game: what holds for every pipeline, whatever it plays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toys import Number, Quadratic, Rows, distance, played, trainer_of, weights

from quagga.option_groups import call_flat
from quagga.pipelines import cyclegan
from quagga.pipelines.core import minimax_trainer
from quagga.pipelines.core.game_protocol import Draw, Loss
from quagga.pipelines.core.minimax_trainer import NotFinite
from quagga.pipelines.core.schedule import Schedule

SMALL = {"width": 4, "blocks": 1, "width_discriminator": 4, "layers": 1, "crop_size": 16}


def small_cyclegan(seed: int = 0, **options):
    """A CycleGAN in float64 whose generators are far enough from 0 for their gradients to matter."""
    torch.manual_seed(seed)
    game = call_flat(cyclegan.build, **{**SMALL, "lambda_cycle": 1.0, "lambda_penalty": 0.01, **options})
    for network in [*game.generators.values(), *game.discriminators.values()]:
        network.double()
        for p in network.parameters():
            p.data.mul_(4)
    return game


def test_the_quadratic_reaches_its_saddle():
    game = Quadratic()
    played(game, size=1, images=400, lr=0.05)
    assert abs(float(game.x.value.detach()) + 17 / 8) < 1e-6
    assert abs(float(game.y.value.detach()) - 1 / 8) < 1e-6


def test_the_quadratic_with_its_roles_swapped_diverges():
    game = Quadratic(swapped=True)
    played(game, size=1, images=200, lr=0.05)
    assert abs(float(game.x.value.detach())) > 1e6


@pytest.mark.parametrize("penalty", ["none", "r1", "gradient_penalty"])
def test_a_pass_adds_nothing_to_the_other_side(penalty):
    game = small_cyclegan(penalty=penalty)
    trainer = trainer_of(game, batch_size=2)
    before = weights(game)
    minibatch = trainer._next_minibatch(Rows(2).batches(0))
    sides, seen = trainer.sides, []
    for side in sides.values():  # stop at the door of every step, to look at both gradients
        side.step = lambda *_, side=side: (  # pyright: ignore[reportAttributeAccessIssue]
            seen.append({name: s.gradient.abs().max().item() for name, s in sides.items()}),
            side.gradient.zero_(),
            (torch.zeros(()), torch.tensor(False)),
        )[-1]
    fakes = trainer._discriminators_move(minibatch, last=True)
    trainer._generators_move(minibatch, fakes)
    discriminators_pass, generators_pass = seen
    assert discriminators_pass["discriminators"] > 0 and discriminators_pass["generators"] == 0
    assert generators_pass["generators"] > 0 and generators_pass["discriminators"] == 0
    assert distance(before, weights(game)) == 0


@pytest.mark.parametrize(
    "options", [{}, {"penalty": "gradient_penalty"}, {"diffaugment": ["color", "translation", "cutout"]}]
)
@pytest.mark.parametrize("k", [1, 2])
def test_accumulation_of_four_equals_a_batch_four_times_larger(options, k):
    whole, parts = small_cyclegan(**options), small_cyclegan(**options)
    played(whole, batch_size=4, k=k, images=20, lr=0.01)
    played(parts, batch_size=1, accumulation=4, k=k, images=20, lr=0.01)
    assert distance(weights(small_cyclegan(**options)), weights(whole)) > 1e-4
    assert distance(weights(whole), weights(parts)) < 1e-12


def test_one_generation_serves_both_moves_of_a_translation():
    game = small_cyclegan()
    calls = []
    generate = game.generate
    game.generate = lambda batch, draw: calls.append(torch.is_grad_enabled()) or generate(batch, draw)
    played(game, batch_size=1, images=2)
    assert calls == [True, True]  # two steps
    calls.clear()
    played(game, batch_size=1, images=1, k=3)
    assert calls == [False, False, True]  # only the last is needed by the generators


def test_fresh_noise_is_drawn_anew_for_the_generators():
    drawn: list[Tensor] = []

    class Noisy(Quadratic):
        fresh_noise = True

        def generate(self, batch, draw):
            drawn.append(draw.normal((2,), batch["x"]))
            return {}

    played(Noisy(), size=1, images=1, batch_size=2)
    assert len(drawn) == 2 and (drawn[0] != drawn[1]).all()


def test_either_side_may_be_empty():
    class Alone(Quadratic):
        def __init__(self):
            super().__init__()
            self.y.value.requires_grad_(False)
            self.discriminators = {}

    game = Alone()
    played(game, size=1, images=300, lr=0.1)
    assert abs(float(game.x.value.detach()) + 3) < 1e-6  # argmin of f(x, 1) = x^2 + 6x + ...


def test_a_row_draws_the_same_in_any_batch():
    like = torch.zeros(1)
    together = Draw(7, range(10, 20)).normal((3, 4), like)
    apart = torch.cat([Draw(7, [row]).normal((3, 4), like) for row in range(10, 20)])
    assert torch.equal(together, apart)
    assert len(torch.unique(together)) == together.numel()
    assert not torch.equal(Draw(7, [10]).normal((4,), like), Draw(8, [10]).normal((4,), like))
    assert not torch.equal(Draw(7, [10], 0).normal((4,), like), Draw(7, [10], 1).normal((4,), like))
    draw = Draw(7, [10])
    assert not torch.equal(draw.normal((4,), like), draw.normal((4,), like))


def test_time_is_counted_in_images():
    schedule = Schedule(epochs=4, decay=0.5)
    assert schedule.length(100) == 400 and Schedule(images=30).length(100) == 30
    assert [schedule.rate(seen, 400) for seen in (0, 200, 300, 400)] == [1, 1, 0.5, 0]
    assert Schedule(decay=0).rate(400, 400) == 1
    assert schedule.rate(404, 400) == 0  # the last minibatch may reach beyond the end
    for batch_size, accumulation, k in ((2, 1, 1), (1, 2, 1), (2, 1, 3)):
        trainer = played(Quadratic(), size=1, images=12, batch_size=batch_size, accumulation=accumulation, k=k)
        assert trainer.images_seen == 12
        assert trainer.row == 12 * k


def test_rates_fall_to_zero():
    trainer = trainer_of(Quadratic(), images=10, decay=0.5, lr=1.0, lr_discriminator=0.5)
    rates = [
        (trainer.readings()["rate/generators"], trainer.readings()["rate/discriminators"])
        for _ in trainer.play(Rows(size=1).batches(trainer.row))
    ]
    assert rates[:5] == [(1.0, 0.5)] * 5
    assert [generators for generators, _ in rates[5:]] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])


def test_a_head_start_moves_only_the_discriminators():
    game = Quadratic()
    trainer = trainer_of(game, images=1, head_start=50, lr=0.05)
    play = trainer.play(Rows(size=1).batches(trainer.row))
    x_before = float(game.x.value.detach())
    moved: list[float] = []
    move = trainer._generators_move
    trainer._generators_move = lambda *a: moved.append(float(game.x.value.detach())) or move(*a)  # pyright: ignore
    while trainer.images_seen == 0:
        next(play)
    assert moved == [x_before]
    assert trainer.images_seen == 1 and trainer.row == 51


def test_clipping():
    norms = []
    for clip in (None, 1e-3):
        game = Quadratic()
        before = weights(game)
        played(game, size=1, images=1, lr=1.0, clip_gradients=clip)
        norms.append(distance(before, weights(game)))
    assert norms[0] > 1 and norms[1] == pytest.approx(1e-3)
    game = small_cyclegan()
    played(game, images=3, clip_weights=0.01, lr=0.1)
    assert max(p.abs().max().item() for D in game.discriminators.values() for p in D.parameters()) <= 0.01
    assert max(p.abs().max().item() for G in game.generators.values() for p in G.parameters()) > 0.01


def test_averages_follow_their_halflife(monkeypatch):
    class Ramp(Quadratic):
        def generator_loss(self, batch, fakes, draw):
            return Loss({"f": -self.x.value})  # with SGD at rate 1 the weight grows by 1 an image

    game = Ramp()
    monkeypatch.setattr(minimax_trainer, "EMA_RAMP", 1e9)
    trainer = played(game, size=1, images=4, lr=1.0, ema_halflife=1.0)
    x = float(game.x.value.detach())
    expected = x - 3  # the weight after the first step, where the average starts
    for value in (x - 2, x - 1, x):
        expected = value + 0.5 * (expected - value)
    average = trainer.averages["x"]
    assert isinstance(average, Number)
    assert float(average.value.detach()) == pytest.approx(expected)
    with trainer.averaged():
        assert float(game.x.value.detach()) == pytest.approx(expected)
    assert float(game.x.value.detach()) == x


class Scaled(torch.nn.Module):
    """x -> w x, normalised over the batch: its statistics say what w was."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.norm = torch.nn.BatchNorm1d(1, affine=False, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.w * x.mean((1, 2, 3))[:, None] + self.w)


class Normalised(Quadratic):
    def __init__(self):
        super().__init__()
        self.G = Scaled()
        self.generators = {"G": self.G}

    def generate(self, batch, draw):
        return {"G(x)": self.G(batch["x"])}

    def generator_loss(self, batch, fakes, draw):
        return Loss({"G": (self.G.w - 5) ** 2 + 0 * fakes["G(x)"].sum()})


def test_averaged_weights_take_their_batch_statistics_anew():
    game = Normalised()
    trainer = played(game, batch_size=4, images=40, lr=0.1, ema_halflife=20)
    assert trainer.has_statistics and not trainer_of(Quadratic(), images=1).has_statistics
    before = {key: value.clone() for key, value in game.G.state_dict().items()}
    some = [Rows(4).batch(0, 4), Rows(4).batch(4, 4)]
    means = torch.stack([batch["x"].mean((1, 2, 3)) for batch in some])
    with trainer.averaged(some):
        w = game.G.w.detach()
        assert w != before["w"]
        torch.testing.assert_close(game.G.norm.running_mean, (w * means + w).mean()[None])
        torch.testing.assert_close(game.G.norm.running_var, w**2 * means.var(1).mean()[None])
        assert game.G.norm.momentum == 0.1
    assert all(torch.equal(before[key], value) for key, value in game.G.state_dict().items())
    with trainer.averaged():  # without rows they stay
        assert torch.equal(before["norm.running_mean"], game.G.norm.running_mean)  # pyright: ignore


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("culprit", ["discriminator_loss", "generator_loss"])
def test_what_is_not_finite_never_reaches_the_weights(optimizer, culprit):
    class Sick(Quadratic):
        def generate(self, batch, draw):
            self.sick = 5 in draw.rows
            return {}

        def discriminator_loss(self, batch, fakes, draw):
            return self.spoil("discriminator_loss", super().discriminator_loss(batch, fakes, draw))

        def generator_loss(self, batch, fakes, draw):
            return self.spoil("generator_loss", super().generator_loss(batch, fakes, draw))

        def spoil(self, where, loss):
            [(name, term)] = loss.terms.items()
            return Loss({name: term * float("nan") if self.sick and where == culprit else term})

    game = Sick()
    trainer = trainer_of(game, images=20, optimizer=optimizer, lr=0.01)
    play = trainer.play(Rows(size=1).batches(trainer.row))
    for _ in range(5):
        next(play)
    trainer.readings()  # nothing to report
    before = weights(game)
    next(play)  # row 5
    after = weights(game)
    idle, moving = ("y.value", "x.value") if culprit == "discriminator_loss" else ("x.value", "y.value")
    assert torch.equal(before[idle], after[idle]) and not torch.equal(before[moving], after[moving])
    next(play)
    with pytest.raises(NotFinite) as fault:
        trainer.readings()
    side, term = culprit.split("_")[0] + "s", "-f" if culprit == "discriminator_loss" else "f"
    assert f"{side}/{term}" in fault.value.what and list(fault.value.rows) == [5]
    assert all(value.isfinite().all() for value in weights(game).values())


def test_a_stopped_game_goes_on_as_if_never_stopped():
    options = {"images": 8, "batch_size": 2, "optimizer": "adam", "lr": 0.01, "decay": 0.5}
    straight = small_cyclegan(pool_size=3)
    whole = played(straight, **options)
    stopped = small_cyclegan(pool_size=3)
    play = (first := trainer_of(stopped, **options)).play(Rows(2).batches(0))
    for _ in range(2):
        next(play)
    resumed = small_cyclegan(seed=1, pool_size=3)
    second = trainer_of(resumed, **options)
    second.load_state_dict(first.state_dict())
    for _ in second.play(Rows(2).batches(second.row)):
        pass
    assert distance(weights(straight), weights(resumed)) == 0
    assert distance(dict(whole.averages["G"].named_parameters()), dict(second.averages["G"].named_parameters())) == 0


PROCESS = """
import os, json, torch
from accelerate import Accelerator
from toys import Rows, steps_of, weights
from test_minimax_trainer import small_cyclegan
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
accelerator = Accelerator(cpu=True)
options, schedule = json.loads(os.environ["OPTIONS"])
processes = accelerator.num_processes
assert processes == int(os.environ["EXPECTED"]), processes
for phase in schedule.get("phases") or []:
    phase["batch_size"] = phase.get("batch_size", schedule["batch_size"]) // processes
schedule["batch_size"] //= processes
game = small_cyclegan(seed=accelerator.process_index, **options)  # the first process's weights are broadcast
trainer = Trainer(game, Schedule(**schedule), schedule["images"], accelerator)
for _ in steps_of(trainer, Rows(place=(accelerator.process_index, processes))):
    pass
readings, state = trainer.readings(), trainer.state_dict()
if accelerator.is_main_process:
    torch.save({"weights": weights(game), "readings": readings, "memory": state["memory"]}, os.environ["OUT"])
"""


def in_processes(count: int, out: Path, options: dict, schedule: dict) -> dict:
    """What the game left behind, played on `count` processes. gloo's processes may abort after their work is done, so
    they are judged by what they wrote."""
    script = out.with_suffix(".py")
    script.write_text(PROCESS)
    environment = os.environ | {
        "OPTIONS": json.dumps([options, schedule]),
        "EXPECTED": str(count),
        "OUT": str(out),
        "OMP_NUM_THREADS": "1",
    }
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    ran = subprocess.run(
        [sys.executable, *launcher, str(script)], env=environment, capture_output=True, text=True, timeout=200
    )
    assert out.exists(), ran.stderr[-2000:]
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        ({"penalty": "gradient_penalty", "pool_size": 4}, {"k": 2}),
        ({"penalty": "r1", "pool_size": 4}, {"accumulation": 2}),
    ],
)
def test_one_process_equals_two(tmp_path, options, schedule):
    schedule = {"images": 16, "batch_size": 2, "optimizer": "sgd", "lr": 0.01, "decay": 0.0} | schedule
    one = in_processes(1, tmp_path / "one.pt", options, schedule)
    two = in_processes(2, tmp_path / "two.pt", options, schedule)
    assert distance(one["weights"], two["weights"]) < 1e-12
    assert one["readings"] == pytest.approx(two["readings"], rel=1e-5, abs=1e-5)
    for pool in ("pool_X", "pool_Y"):
        assert one["memory"][pool].keys() == two["memory"][pool].keys()
        assert distance(one["memory"][pool], two["memory"][pool]) < 1e-12


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"images": 0},
        {"epochs": 0},
        {"lr": -1},
        {"beta1": 1.0},
        {"clip_gradients": -1},
        {"decay": 2},
        {"seed": -1},
        {"lr_rule": "cubic"},
        {"lr_batch": 0},
        {"warmup": -1},
        {"warmup": 10, "images": 10},
        {"warmup": 5, "head_start": 5},
    ],
)
def test_a_schedule_that_cannot_be_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Schedule(**wrong)
