"""The laws of the game, for every pipeline: a new one adds a line to PIPELINES.

They are played in float64 without batch normalisation and without dropout, which break some of them by nature: the
statistics of a batch mix its rows, so that four small batches are not one large one, and dropout draws for a batch, not
for a row.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from toys import (
    CONDITIONS,
    Autoencoder,
    Growing,
    Inpainting,
    Rows,
    distance,
    steps_of,
    tiny_features,
    trainer_of,
    weights,
)

import quagga
from quagga import pipelines
from quagga.cli import main
from quagga.data.io.pixel_format import PixelFormat
from quagga.fields import Field, fills, samples, translates
from quagga.inference.inpainter import Inpainter
from quagga.inference.model_files.model_folder import read_model
from quagga.inference.predictor import Predictor
from quagga.inference.predictor_loading import load_predictor
from quagga.inference.sampler import Sampler
from quagga.inference.translator import Translator
from quagga.models import (
    ConvDiscriminator,
    MaxoutDiscriminator,
    MLPDiscriminator,
    PatchGAN,
    PixelGAN,
    StarDiscriminator,
)
from quagga.models.network_mode import network_in_mode
from quagga.models.progressive import EqualizedConv2d
from quagga.option_groups import call_flat, flat_parameters
from quagga.pipelines import (
    autoencoder,
    classifier,
    conditional,
    cut,
    cyclegan,
    gan,
    inpainting,
    pix2pix,
    progressive,
    stargan,
    vae,
)
from quagga.pipelines.core.game_protocol import Batch, Draw
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.options import adversary, feature_losses
from quagga.training.train import write_model

SIZE = 16
NET = {"width": 4, "width_discriminator": 4}
PICTURES = {**NET, "crop_size": SIZE, "layers": 1}
NOISE = {**NET, "size": SIZE, "x_channels": 3, "z_size": 5}
BARE = {"norm": "none", "norm_discriminator": "none"}
CYCLE = {**PICTURES, "blocks": 1, "lambda_cycle": 1.0, "pool_size": 3}
CODE = {"size": SIZE, "x_channels": 3, "width": 4, "code_size": 5}
GROWS = {"size": SIZE, "x_channels": 3, "z_size": 5, "width": 4, "wide_until": 8}
GROWS |= {"phases": [{"images": 1, "size": SIZE // 2}, {}]}
HOLES = {**NET, "size": SIZE, "x_channels": 3, "depth": 2}
STAR = {**NET, "size": SIZE, "x_channels": 3, "blocks": 1, "names": CONDITIONS["class"][0]}

Player = tuple[Callable[..., Any], dict[str, Any], dict[str, Any], dict[str, Any]]


def conditions(kind: str) -> dict[str, Any]:
    return {"condition": kind, "names": CONDITIONS[kind][0], "caption_length": 4, "width_condition": 3}


# name -> build, its options, those that keep rows apart and chance in `draw`, and what its rows hold
PIPELINES: dict[str, Player] = {
    "cyclegan": (cyclegan.build, CYCLE, {}, {}),
    "cyclegan-pairs": (cyclegan.build, {**CYCLE, "lambda_paired": 1.0}, {}, {"paired_every": 2}),
    "cut": (cut.build, {**PICTURES, "blocks": 2, "patches": 20, "width_heads": 32}, {}, {}),
    "cut-features": (
        cut.build,
        {**PICTURES, "blocks": 2, "patches": 20, "width_heads": 32, "discriminator": "both"},
        {},
        {},
    ),
    "pix2pix": (pix2pix.build, {**PICTURES, "blocks": 3, "lambda_L1": 1.0}, {"norm": "instance", "dropout": 0.0}, {}),
    "gan": (gan.build, NOISE, BARE, {}),
    "gan-relativistic": (
        gan.build,
        {**NOISE, "objective": "relativistic", "penalty": "r1_r2", "diffaugment": ["translation", "cutout"]},
        BARE,
        {},
    ),
    "gan-pooled": (gan.build, {**NOISE, "downsample": "max", "penalty": "r1"}, BARE, {}),
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
    "class-features": (
        conditional.build,
        {**NOISE, **conditions("class"), "discriminator": "projected"},
        BARE,
        {"condition": "class"},
    ),
    "caption": (conditional.build, {**NOISE, **conditions("caption")}, BARE, {"condition": "caption"}),
    "class-mlp": (
        conditional.build,
        {**NOISE, **conditions("class"), "network": "mlp", "widths": [6], "widths_discriminator": [6]},
        {**BARE, "dropout": 0.0},
        {"condition": "class"},
    ),
    "classifier": (
        classifier.build,
        {"names": CONDITIONS["class"][0], "x_channels": 3, "width": 4},
        {"norm": "none", "dropout": 0.0},
        {"condition": "class"},
    ),
    "classifier-attributes": (
        classifier.build,
        {"condition": "attributes", "names": CONDITIONS["attributes"][0], "x_channels": 3, "width": 4},
        {"norm": "none", "dropout": 0.0},
        {"condition": "attributes"},
    ),
    "classifier-encoder": (
        classifier.build,
        {**CODE, "names": CONDITIONS["class"][0], "network": "encoder"},
        {"norm": "none", "dropout": 0.0},
        {"condition": "class"},
    ),
    "autoencoder-conv": (autoencoder.build, CODE, {"norm": "none"}, {}),
    "autoencoder-areas": (
        autoencoder.build,
        {**CODE, "network": "mlp", "area": 8, "noise": 0.1},
        {},
        {},
    ),
    "vae": (vae.build, CODE, {"norm": "none"}, {}),
    "vae-mlp": (vae.build, {**CODE, "network": "mlp", "widths": [6], "likelihood": "bernoulli", "beta": 2.0}, {}, {}),
    "progressive": (progressive.build, GROWS, {"group": 1}, {}),
    # Rows in pairs, as with pairs of pictures: a group of two is never split.
    "progressive-groups": (
        progressive.build,
        {**GROWS, "group": 2, "objective": "non_saturating", "penalty": "r1", "discriminator": "both"},
        {},
        {"paired_every": 2},
    ),
    "inpainting": (inpainting.build, HOLES, {"norm": "none"}, {"masked": True}),
    "inpainting-adversary": (
        inpainting.build,
        {**HOLES, "loss_features": "none", "lambda_gan": 1.0, "layers": 1},
        {"norm": "none"},
        {"masked": True},
    ),
    "stargan": (stargan.build, STAR, {}, {"condition": "class"}),
    "stargan-attributes": (
        stargan.build,
        {**STAR, "condition": "attributes", "names": CONDITIONS["attributes"][0]},
        {},
        {"condition": "attributes"},
    ),
}
every_pipeline = pytest.mark.parametrize("name", PIPELINES)
ADVERSARIAL = [  # those that may have a penalty
    name
    for name, (build, options, *_) in PIPELINES.items()
    if "penalty" in flat_parameters(build) and options.get("discriminator") != "projected" and name != "inpainting"
]
# Games that no command plays, in the same form; a game of one's own is tried by a line here: docs/your_own_pipeline.md.
# Of the two phases the first is a single step, of small pictures.
TOYS: dict[str, Player] = {
    "two phases": (Growing, {}, {}, {}),
    "autoencoder": (Autoencoder, {}, {"norm": "none", "dropout": 0.0}, {}),
    "context encoder": (Inpainting, {}, {}, {}),
}
EXPORTING = {name: player for name, player in (PIPELINES | TOYS).items() if name != "two phases"}
every_exporting_game = pytest.mark.parametrize("name", EXPORTING)
GAMES = PIPELINES | TOYS
every_game = pytest.mark.parametrize("name", GAMES)


def game_of(name: str, seed: int = 0, bare: bool = True, **options) -> Any:
    """A small game; bare: in float64, its weights far enough from 0 for gradients to matter, and without spectral norm,
    whose singular vectors improve with every pass."""
    build, own, apart, _ = GAMES[name]
    torch.manual_seed(seed)
    with (
        patch.object(adversary, "named_features", tiny_features),
        patch.object(feature_losses, "named_features", lambda *_: tiny_features()),
    ):
        game = call_flat(build, **{**own, **(apart if bare else {}), **options})
    for network in [*game.generators.values(), *game.discriminators.values()] if bare else []:
        for layer in network.modules():
            if is_parametrized(layer):
                remove_parametrizations(layer, "weight")
        network.double()
        for layer in network.modules():
            for p in layer.parameters(recurse=False):
                p.data.mul_(1 if isinstance(layer, EqualizedConv2d) else 3)  # which begins with a deviation of 1
    return game


def rows_of(
    name: str, batch_size: int = 1, place: tuple[int, int] = (0, 1), dtype: torch.dtype = torch.float64
) -> Rows:
    return Rows(batch_size, SIZE, dtype, place, **GAMES[name][3])


def phases_of(name: str, minibatch: int) -> dict[str, Any]:
    """What its schedule says beside what all say."""
    grows = name == "two phases" or GAMES[name][0] is progressive.build
    return {"phases": [{"images": minibatch, "size": SIZE // 2}, {}]} if grows else {}


def trainer_for(name: str, game: Any, **schedule: Any) -> Trainer:
    minibatch = schedule.get("batch_size", 1) * schedule.get("accumulation", 1)
    return trainer_of(game, **schedule, **phases_of(name, minibatch))


def play(trainer: Trainer, rows: Rows) -> Trainer:
    for _ in steps_of(trainer, rows):
        pass
    return trainer


def test_every_pipeline_of_the_command_line_is_here():
    builds = {build for build, *_ in PIPELINES.values()}
    assert builds == {import_module(module).build for module, _ in pipelines.PIPELINES.values()}


@every_game
def test_a_pass_adds_nothing_to_the_other_side_and_leaves_nobody_idle(name):
    game = game_of(name)
    trainer = trainer_for(name, game, batch_size=3)
    minibatch = trainer._next_minibatch(rows_of(name, 3).batches(0))
    moved = {}
    for name_of_side, side in trainer.sides.items():  # stop at the door of every step, to look at both gradients
        side.step = lambda *_, key=name_of_side, side=side: (  # pyright: ignore[reportAttributeAccessIssue]
            moved.update({key: {other: player.gradient.clone() for other, player in trainer.sides.items()}}),
            side.gradient.zero_(),
            (torch.zeros(()), torch.tensor(False)),
        )[-1]
    before = weights(game)
    fakes = trainer._discriminators_move(minibatch, last=True)
    trainer._generators_move(minibatch, fakes)
    assert (
        moved.keys() == trainer.sides.keys() == {key for key in ("generators", "discriminators") if getattr(game, key)}
    )
    assert distance(before, weights(game)) == 0
    for key, gradients in moved.items():
        assert all(gradient.abs().max() == 0 for other, gradient in gradients.items() if other != key)
        start = 0
        for network, part in trainer.sides[key].networks.items():
            count = sum(p.numel() for p in part.parameters())
            assert gradients[key][start : start + count].abs().max() > 0, f"{network} learns nothing"
            start += count


@every_game
def test_four_small_batches_are_one_large_one(name):
    """A small one is a row; with pairs one of each kind of row: means over the pairs and over the others are alike only
    where every batch holds as many of them, which `Unpaired` sees to."""
    whole, parts = game_of(name), game_of(name)
    small = GAMES[name][3].get("paired_every", 1)
    options = {"k": 2, "images": 12 * small, "lr": 0.01}
    play(trainer_for(name, whole, batch_size=4 * small, **options), rows_of(name, 4 * small))
    play(trainer_for(name, parts, batch_size=small, accumulation=4, **options), rows_of(name, small))
    assert distance(weights(game_of(name)), weights(whole)) > 1e-4
    assert distance(weights(whole), weights(parts)) < 1e-12


@every_game
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


@every_game
@pytest.mark.parametrize("bare", [True, False])
def test_a_stopped_game_goes_on_as_if_never_stopped(name, bare):
    options = {"images": 12, "batch_size": 2, "optimizer": "adam", "lr": 0.01, "decay": 0.5}
    rows = rows_of(name, 2, dtype=torch.float64 if bare else torch.float32)
    straight, stopped, resumed = (game_of(name, seed, bare) for seed in (0, 0, 1))
    whole = play(trainer_for(name, straight, **options), rows)
    first = trainer_for(name, stopped, **options)
    steps = steps_of(first, rows)
    for _ in range(2):
        next(steps)
    second = trainer_for(name, resumed, **options)
    second.load_state_dict(deepcopy(first.state_dict()))
    play(second, rows)
    assert distance(weights(straight), weights(resumed)) == 0
    for key, average in whole.averages.items():
        assert distance(average.state_dict(), second.averages[key].state_dict()) == 0
    assert whole.readings() == second.readings()


@every_game
@pytest.mark.parametrize("bare", [True, False])
def test_looking_changes_nothing(name, bare):
    dtype = torch.float64 if bare else torch.float32
    rows, games = rows_of(name, 2, dtype=dtype), (game_of(name, bare=bare), game_of(name, bare=bare))
    seen, unseen = (trainer_for(name, game, images=8, batch_size=2, optimizer="adam", lr=0.01) for game in games)
    held_out, some = rows.batch(100, 4), [rows.batch(0, 2), rows.batch(2, 2)]
    for _ in steps_of(seen, rows):
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


def drawn(field: Field, batch: Batch) -> Tensor:
    """Three rows of an input of an export: those of a batch, or by its kind."""
    if field.kind in ("noise", "code"):
        return torch.randn(3, field.size or 1, generator=torch.Generator().manual_seed(1))
    return (batch["y"][:, :1] > 0).float() if field.kind == "mask" else batch[field.name]


ABOUT = {side: {"name": side, "channels": 3, "value_range": [0, 255], "kind": "uint8"} for side in "xy"}


def saved(name: str, run: Path) -> dict[str, tuple[dict[str, Tensor], Tensor]]:
    """Trains a small game and saves its model, with batch normalisation and dropout on, as users have them. Returns
    inputs of each export and what its network makes of them."""
    build, options, *_ = GAMES[name]
    builds = {import_module(module).build: key for key, (module, _) in pipelines.PIPELINES.items()}
    pipeline = builds.get(build, "toy")
    game, rows = game_of(name, bare=False), rows_of(name, 2, dtype=torch.float32)
    trainer = play(trainer_of(game, images=8, batch_size=2, lr=0.01), rows)
    data: Any = SimpleNamespace(domains=lambda: ABOUT, preprocessing=lambda: {"crop_size": SIZE})
    made = {}
    with trainer.averaged([rows.batch(0, 4)]), torch.no_grad():
        write_model(run / "model", trainer=trainer, pipeline=pipeline, rows=data, options=options)
        for key, export in game.exports.items():
            inputs = {field.name: drawn(field, rows.batch(50, 3)) for field in export.inputs}
            network = network_in_mode(deepcopy(export.network).eval(), export.mode)
            made[key] = inputs, network(*inputs.values())
    return made


@every_exporting_game
def test_what_is_exported_is_what_is_loaded_without_the_game(name, tmp_path, monkeypatch):
    """To the bit, by the network alone: no pipeline builds its game, and no discriminator is made. (A toy's network may
    be built by the function that made it.)"""
    made, options = saved(name, tmp_path), GAMES[name][1]
    own = TOYS[name][0] if name in TOYS else None
    for module, _ in pipelines.PIPELINES.values():
        monkeypatch.setattr(f"{module}.build", raises)
    discriminators = PatchGAN, PixelGAN, ConvDiscriminator, MLPDiscriminator, MaxoutDiscriminator, StarDiscriminator
    for network in discriminators if not own else ():
        monkeypatch.setattr(network, "__init__", raises)
    if not own:
        assert main.command_line(["verify", str(tmp_path), "--device=cpu"]) == 0
    model = read_model(tmp_path)
    assert model.exports.keys() == made.keys()
    for key, (inputs, output) in made.items():
        predictor = load_predictor(model, key, "cpu", own)
        predictor.verify()
        assert torch.equal(predictor(**inputs), output)
        if name == "autoencoder":
            assert torch.equal(load_predictor(model, key, "cpu")(**inputs), output)
        found = quagga.load(tmp_path, to=key, device="cpu", build=own)
        if isinstance(found, Predictor):
            assert torch.equal(found(**inputs), output)
        elif translates(predictor.inputs, predictor.output):
            translator = quagga.load(tmp_path, to=predictor.output.name, device="cpu", build=own)
            assert isinstance(translator, Translator)
            for n in range(len(output)):  # a row at a time, since what is asked for is one text for all
                row = {field: value[n : n + 1] for field, value in inputs.items()}
                asked = [translator.conditions.describe(row["c"][0])] if translator.conditions else []
                assert torch.equal(translator(row[predictor.inputs[0].name], *asked), predictor(**row))
            assert translator.output_format == PixelFormat(3, "uint8", (0.0, 255.0))
        elif fills(predictor.inputs, predictor.output):
            assert isinstance(found, Inpainter)
            assert torch.equal(found.fill(inputs["x"], inputs["m"]), output)
        elif samples(predictor.inputs, predictor.output):
            assert isinstance(found, Sampler)
            assert torch.equal(found.decode(inputs["z"], inputs.get("c")), output)
            assert list(found.names) == list(options.get("names") or [])


def raises(*_arguments: object, **_options: object) -> None:
    raise AssertionError("it was called")


LOADS = """
import sys, quagga
quagga.load(sys.argv[1], device="cpu")
begin = "quagga.pipelines.", "quagga.training", "quagga.data.sources", "quagga.data.loading", "accelerate", "jsonarg"
datasets = {"quagga.data.unpaired", "quagga.data.paired", "quagga.data.conditioned", "quagga.data.images"}
print(sorted(name for name in sys.modules if name.startswith(begin) or name in datasets))
"""


@pytest.mark.parametrize("name", ["cyclegan", "caption"])
def test_loading_imports_no_pipeline_and_no_dataset(name, tmp_path):
    saved(name, tmp_path)
    ran = subprocess.run([sys.executable, "-c", LOADS, str(tmp_path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.strip() == "[]"


@every_exporting_game
def test_a_loaded_model_may_be_called_by_several_threads(name, tmp_path):
    """Each of four threads makes the same four outputs as one alone, 50 times in an order of its own."""
    made = saved(name, tmp_path)
    for key, (inputs, _) in made.items():
        own = TOYS[name][0] if name in TOYS else None
        predictor = load_predictor(read_model(tmp_path), key, "cpu", own)
        some = [{field: x[n : n + 1] for field, x in inputs.items()} for n in (0, 1, 2, 1)]
        expected = [predictor(**each) for each in some]

        def wrong(thread: int) -> int:
            order = np.random.default_rng(thread).permutation(200) % 4
            return sum(not torch.equal(predictor(**some[n]), expected[n]) for n in order)  # noqa: B023

        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(wrong, range(4))) == 0


PROCESS = """
import os, torch
from accelerate import Accelerator
from toys import weights
from test_laws import GAMES, game_of, phases_of, play, rows_of
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
accelerator = Accelerator(cpu=True)
processes = accelerator.num_processes
assert processes == int(os.environ["EXPECTED"]), processes
left = {}
for name in GAMES:
    game = game_of(name, seed=accelerator.process_index)  # the first process's weights are broadcast
    options = {"batch_size": 4 // processes, "k": 2, "optimizer": "sgd", "lr": 0.01, **phases_of(name, 4)}
    trainer = Trainer(game, Schedule(images=8, decay=0.0, **options), 8, accelerator)
    play(trainer, rows_of(name, 4 // processes, (accelerator.process_index, processes)))
    left[name] = {"weights": weights(game), "readings": trainer.readings()}
if accelerator.is_main_process:
    torch.save(left, os.environ["OUT"])
"""


def in_processes(count: int, out: Path) -> dict:
    """What every pipeline's game left behind, played on `count` processes. gloo's processes may abort after their work
    is done, so they are judged by what they wrote."""
    script = out.with_suffix(".py")
    script.write_text(PROCESS)
    more = {"EXPECTED": str(count), "OUT": str(out), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    ran = subprocess.run([*launcher, str(script)], env=os.environ | more, capture_output=True, text=True, timeout=300)
    assert out.exists(), ran.stderr[-2000:]
    return torch.load(out, weights_only=True)


def test_one_process_equals_two(tmp_path):
    one, two = in_processes(1, tmp_path / "one.pt"), in_processes(2, tmp_path / "two.pt")
    assert one.keys() == two.keys() == GAMES.keys()
    for name in GAMES:
        assert distance(one[name]["weights"], two[name]["weights"]) < 1e-12, name
        assert one[name]["readings"] == pytest.approx(two[name]["readings"], rel=1e-5, abs=1e-5), name
