"""The laws of the game, for every pipeline: a new one adds a line to PIPELINES.

They are played in float64 without batch normalisation and without dropout, which break some of them by nature: the
statistics of a batch mix its rows, so that four small batches are not one large one, and dropout draws for a batch, not
for a row.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from toys import CONDITIONS, Rows, distance, trainer_of, weights

import quagga
from quagga.data.form import Form
from quagga.pipelines import cli, conditional, cyclegan, gan, pix2pix
from quagga.pipelines.minimax import Draw, Trainer
from quagga.pipelines.run import keep_model

SIZE = 16
NET = {"width": 4, "width_discriminator": 4}
PICTURES = {**NET, "crop_size": SIZE, "layers": 1}
NOISE = {**NET, "size": SIZE, "x_channels": 3, "z_size": 5}
BARE = {"norm": "none", "norm_discriminator": "none"}
CYCLE = {**PICTURES, "blocks": 1, "lambda_cycle": 1.0, "pool_size": 3}

Player = tuple[Callable[..., Any], dict[str, Any], dict[str, Any], dict[str, Any]]


def conditions(kind: str) -> dict[str, Any]:
    return {"condition": kind, "names": CONDITIONS[kind][0], "caption_length": 4, "width_condition": 3}


# name -> build, its options, those that keep rows apart and chance in `draw`, and what its rows hold
PIPELINES: dict[str, Player] = {
    "cyclegan": (cyclegan.build, CYCLE, {}, {}),
    "cyclegan-pairs": (cyclegan.build, {**CYCLE, "lambda_paired": 1.0}, {}, {"paired_every": 2}),
    "pix2pix": (pix2pix.build, {**PICTURES, "blocks": 3, "lambda_L1": 1.0}, {"norm": "instance", "dropout": 0.0}, {}),
    "gan": (gan.build, NOISE, BARE, {}),
    "gan-mlp": (gan.build, {**NOISE, "network": "mlp", "widths": [6], "widths_discriminator": [6]}, BARE, {}),
    "class": (
        conditional.build,
        {**NOISE, **conditions("class")},
        {**BARE, "mismatched": True},
        {"condition": "class"},
    ),
    "attributes": (
        conditional.build,
        {**NOISE, **conditions("attributes"), "joining": "projection"},
        BARE,
        {"condition": "attributes"},
    ),
    "caption": (conditional.build, {**NOISE, **conditions("caption")}, BARE, {"condition": "caption"}),
    "class-mlp": (
        conditional.build,
        {**NOISE, **conditions("class"), "network": "mlp", "widths": [6], "widths_discriminator": [6]},
        {**BARE, "dropout": 0.0},
        {"condition": "class"},
    ),
}
every_pipeline = pytest.mark.parametrize("name", PIPELINES)


def game_of(name: str, seed: int = 0, bare: bool = True, **options) -> Any:
    """A small game; bare: in float64, its weights far enough from 0 for gradients to matter."""
    build, own, apart, _ = PIPELINES[name]
    torch.manual_seed(seed)
    game = build(**{**own, **(apart if bare else {}), **options})
    for network in [*game.generators.values(), *game.discriminators.values()] if bare else []:
        network.double()
        for p in network.parameters():
            p.data.mul_(3)
    return game


def rows_of(
    name: str, batch_size: int = 1, place: tuple[int, int] = (0, 1), dtype: torch.dtype = torch.float64
) -> Rows:
    return Rows(batch_size, SIZE, dtype, place, **PIPELINES[name][3])


def play(trainer: Trainer, rows: Rows) -> Trainer:
    for _ in trainer.play(rows.batches):
        pass
    return trainer


def test_every_pipeline_of_the_command_line_is_here():
    builds = {build for build, *_ in PIPELINES.values()}
    assert builds == {import_module(module).build for module, _ in cli.PIPELINES.values()}


@every_pipeline
def test_a_pass_adds_nothing_to_the_other_side_and_leaves_nobody_idle(name):
    game = game_of(name)
    trainer = trainer_of(game, batch_size=3)
    minibatch = trainer._minibatch(rows_of(name, 3).batches(0))
    moved = []
    for side in trainer.sides.values():  # stop at the door of every step, to look at both gradients
        side.step = lambda *_, side=side: (  # pyright: ignore[reportAttributeAccessIssue]
            moved.append({key: other.gradient.clone() for key, other in trainer.sides.items()}),
            side.gradient.zero_(),
            (torch.zeros(()), torch.tensor(False)),
        )[-1]
    before = weights(game)
    fakes = trainer._discriminators_move(minibatch, last=True)
    trainer._generators_move(minibatch, fakes)
    of_discriminators, of_generators = moved
    assert of_discriminators["generators"].abs().max() == 0 and of_generators["discriminators"].abs().max() == 0
    assert distance(before, weights(game)) == 0
    for gradients, key in ((of_discriminators, "discriminators"), (of_generators, "generators")):
        start = 0
        for network, part in trainer.sides[key].networks.items():
            count = sum(p.numel() for p in part.parameters())
            assert gradients[key][start : start + count].abs().max() > 0, f"{network} learns nothing"
            start += count


@every_pipeline
def test_four_small_batches_are_one_large_one(name):
    """A small one is a row; with pairs one of each kind of row: means over the pairs and over the others are alike only
    where every batch holds as many of them, which `Unpaired` sees to."""
    whole, parts = game_of(name), game_of(name)
    small = PIPELINES[name][3].get("paired_every", 1)
    options = {"k": 2, "images": 12 * small, "lr": 0.01}
    play(trainer_of(whole, batch_size=4 * small, **options), rows_of(name, 4 * small))
    play(trainer_of(parts, batch_size=small, accumulation=4, **options), rows_of(name, small))
    assert distance(weights(game_of(name)), weights(whole)) > 1e-4
    assert distance(weights(whole), weights(parts)) < 1e-12


@every_pipeline
def test_chance_comes_from_the_draw_alone(name):
    game = game_of(name)
    batch = rows_of(name).batch(0, 3)
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        game_now = deepcopy(game)
        fakes = game_now.generate(batch, Draw(0, [0, 1, 2]))
        losses = [
            game_now.discriminator_loss(
                batch, {key: fake.detach() for key, fake in fakes.items()}, Draw(0, [0, 1, 2], 1)
            ),
            game_now.generator_loss(batch, fakes, Draw(0, [0, 1, 2], 2)),
        ]
        terms = {f"{n} {key}": term for n, loss in enumerate(losses) for key, term in loss.terms.items()}
        made.append({**fakes, **terms, **game_now.examine(batch, Draw(0, [0, 1, 2], 3))})
    assert distance(*made) == 0


@every_pipeline
@pytest.mark.parametrize("bare", [True, False])
def test_a_stopped_game_goes_on_as_if_never_stopped(name, bare):
    options = {"images": 12, "batch_size": 2, "optimizer": "adam", "lr": 0.01, "decay": 0.5}
    rows = rows_of(name, 2, dtype=torch.float64 if bare else torch.float32)
    straight, stopped, resumed = (game_of(name, seed, bare) for seed in (0, 0, 1))
    whole = play(trainer_of(straight, **options), rows)
    first = trainer_of(stopped, **options)
    steps = first.play(rows.batches)
    for _ in range(2):
        next(steps)
    second = trainer_of(resumed, **options)
    second.load_state_dict(deepcopy(first.state_dict()))
    play(second, rows)
    assert distance(weights(straight), weights(resumed)) == 0
    for key, average in whole.averages.items():
        assert distance(average.state_dict(), second.averages[key].state_dict()) == 0
    assert whole.readings() == second.readings()


@every_pipeline
@pytest.mark.parametrize("bare", [True, False])
def test_looking_changes_nothing(name, bare):
    dtype = torch.float64 if bare else torch.float32
    rows, games = rows_of(name, 2, dtype=dtype), (game_of(name, bare=bare), game_of(name, bare=bare))
    seen, unseen = (trainer_of(game, images=8, batch_size=2, optimizer="adam", lr=0.01) for game in games)
    held_out, some = rows.batch(100, 4), [rows.batch(0, 2), rows.batch(2, 2)]
    for _ in seen.play(rows.batches):
        strips, read = seen.visualize(held_out), seen.examine(held_out)
        with seen.averaged(some):
            averaged, read = seen.visualize(held_out), seen.examine(held_out)
        assert strips.keys() == averaged.keys() and all(torch.isfinite(torch.tensor(list(read.values()))))
        for columns in averaged.values():
            assert all(column.shape[1:] == (3, SIZE, SIZE) for column in columns.values())
            assert all(column.abs().max() <= 1 for column in columns.values())
    play(unseen, rows)
    assert distance(weights(games[0]), weights(games[1])) == 0
    for key in games[0].generators:
        assert distance(*(game.generators[key].state_dict() for game in games)) == 0


@every_pipeline
def test_what_is_kept_is_what_is_loaded(name, tmp_path):
    """Batch normalisation and dropout on, as users have them."""
    build, options, *_ = PIPELINES[name]
    pipeline = next(key for key, (module, _) in cli.PIPELINES.items() if import_module(module).build is build)
    game, rows = game_of(name, bare=False), rows_of(name, 2, dtype=torch.float32)
    trainer = play(trainer_of(game, images=8, batch_size=2, lr=0.01), rows)
    about = {side: {"name": side, "channels": 3, "value_range": [0, 255], "kind": "uint8"} for side in "xy"}
    data: Any = SimpleNamespace(domains=lambda: about, preprocessing=dict)
    keep = partial(keep_model, trainer=trainer, pipeline=pipeline, rows=data, options=options)
    with trainer.averaged([rows.batch(0, 4)]):
        keep(tmp_path / "model", example=rows.batch(50, 1))
        twins = {key: deepcopy(network).eval() for key, network in game.generators.items()}
    assert cli.command_line(["verify", str(tmp_path), "--device=cpu"]) == 0
    for key, twin in twins.items():
        if hasattr(game, "samples"):
            sampler = quagga.load(tmp_path, device="cpu")
            z, c = sampler.latents([3, 4]), rows.batch(0, 2).get("c")
            expected = twin(z) if c is None else twin(z, c)
            torch.testing.assert_close(sampler.decode(z, c), expected.detach())
            assert list(sampler.names) == list(options.get("names") or [])
        else:
            target = game.translations[key][1]
            translator = quagga.load(tmp_path, to=target, device="cpu", dropout=False, statistics="running")
            x = rows.batch(0, 2)["x"]
            torch.testing.assert_close(translator(x), twin(x).detach(), atol=1e-4, rtol=1e-4)
            assert translator.gives == Form(3, "uint8", (0.0, 255.0))


PROCESS = """
import os, sys, torch
sys.path.insert(0, os.environ["TESTS"])
from accelerate import Accelerator
from toys import weights
from test_laws import PIPELINES, game_of, rows_of
from quagga.pipelines.minimax import Trainer
from quagga.pipelines.schedule import Schedule
accelerator = Accelerator(cpu=True)
processes = accelerator.num_processes
assert processes == int(os.environ["EXPECTED"]), processes
left = {}
for name in PIPELINES:
    game = game_of(name, seed=accelerator.process_index)  # the first process's weights are broadcast
    schedule = Schedule(images=8, batch_size=4 // processes, k=2, optimizer="sgd", lr=0.01, decay=0.0)
    trainer = Trainer(game, schedule, 8, accelerator)
    for _ in trainer.play(rows_of(name, 4 // processes, (accelerator.process_index, processes)).batches):
        pass
    left[name] = {"weights": weights(game), "readings": trainer.readings()}
if accelerator.is_main_process:
    torch.save(left, os.environ["OUT"])
"""


def in_processes(count: int, out: Path) -> dict:
    """What every pipeline's game left behind, played on `count` processes. gloo's processes may abort after their work
    is done, so they are judged by what they wrote."""
    script = out.with_suffix(".py")
    script.write_text(PROCESS)
    more = {"TESTS": str(Path(__file__).parent), "EXPECTED": str(count), "OUT": str(out), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    ran = subprocess.run([*launcher, str(script)], env=os.environ | more, capture_output=True, text=True, timeout=300)
    assert out.exists(), ran.stderr[-2000:]
    return torch.load(out, weights_only=True)


def test_one_process_equals_two(tmp_path):
    one, two = in_processes(1, tmp_path / "one.pt"), in_processes(2, tmp_path / "two.pt")
    assert one.keys() == two.keys() == PIPELINES.keys()
    for name in PIPELINES:
        assert distance(one[name]["weights"], two[name]["weights"]) < 1e-12, name
        assert one[name]["readings"] == pytest.approx(two[name]["readings"], rel=1e-5, abs=1e-5), name
