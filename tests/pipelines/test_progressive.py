"""Progressive growing plays WGAN-GP with a drift, fades larger pictures in, and leaves a model at any time."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from toys import Rows, distance, steps_of, trainer_of, weights

import quagga
from quagga.cli.main import command_line
from quagga.errors import BadInput
from quagga.inference.sampler import Sampler
from quagga.models.progressive import enlarged, reduced
from quagga.option_groups import call_flat
from quagga.pipelines import progressive
from quagga.pipelines.core.game_protocol import Draw
from quagga.pipelines.core.losses import OBJECTIVES, gradient_penalty, r1
from quagga.pipelines.core.phases import Progress
from quagga.pipelines.progressive import Progressive, faded
from quagga.recipe_files import recipe_file

PHASES: list[dict[str, Any]] = [{"images": 4, "size": 4}, {"images": 8, "size": 8}, {"images": 4, "size": 8}, {}]
SMALL = {"size": 16, "x_channels": 3, "width": 4, "wide_until": 8, "z_size": 5, "phases": PHASES}


def game(**options: Any) -> Progressive:
    torch.manual_seed(0)
    made = call_flat(progressive.build, **{**SMALL, **options})
    for network in (made.G, made.D):
        network.double()
    return made


def draw(progress: tuple[int, float] = (0, 0.0), count: int = 4) -> Draw:
    return Draw(0, range(count), progress=Progress(*progress))


@pytest.mark.parametrize(
    ("progress", "alpha"),
    [((0, 0.0), 1), ((0, 0.9), 1), ((1, 0.0), 0), ((1, 0.125), 0.25), ((1, 0.5), 1), ((2, 0.1), 1), ((3, 0.25), 0.5)],
)
def test_alpha_rises_where_pictures_are_larger_than_before(progress, alpha):
    found = game().alpha(draw(progress), torch.zeros(()))
    assert (found is None) if alpha == 1 else float(found) == alpha  # pyright: ignore[reportArgumentType]
    assert game(fade=0.0).alpha(draw(progress), torch.zeros(())) is None
    at_once = game(fade=1.0).alpha(draw(progress), torch.zeros(()))
    assert at_once is None or float(at_once) == progress[1]


@pytest.mark.parametrize("progress", [(0, 0.5), (1, 0.125)])
def test_both_objectives_are_the_papers(progress):
    play, batch = game(), Rows(size=8).batch(0, 4)
    fakes = play.generate(batch, draw(progress))
    alpha = play.alpha(draw(progress), batch["x"])
    z = draw(progress).normal((5,), like=batch["x"])
    assert torch.equal(fakes["G(z)"], play.G(z, 8, alpha))
    real = batch["x"] if alpha is None else 0.75 * enlarged(reduced(batch["x"])) + 0.25 * batch["x"]
    D = lambda x: play.D(x, alpha)  # noqa: E731
    terms, read = play.discriminator_loss(batch, fakes, draw(progress))
    assert terms.keys() == {"D", "D_penalty", "D_drift"}
    torch.testing.assert_close(terms["D"], D(fakes["G(z)"]).mean() - D(real).mean())
    expected = 10 * gradient_penalty(D, real, fakes["G(z)"].detach(), draw(progress))
    torch.testing.assert_close(terms["D_penalty"], expected)
    torch.testing.assert_close(terms["D_drift"], 0.001 * D(real).square().mean())
    assert float(read["alpha"]) == (0.25 if progress[0] else 1)
    terms, _ = play.generator_loss(batch, fakes, draw(progress))
    torch.testing.assert_close(terms["G"], -D(fakes["G(z)"]).mean())


def test_the_objective_may_be_non_saturating_with_r1_or_any_other():
    batch = Rows(size=8).batch(0, 4)
    play = game(objective="non_saturating", penalty="r1", lambda_penalty=5.0, lambda_drift=0.0)
    terms, _ = play.discriminator_loss(batch, play.generate(batch, draw()), draw())
    assert terms.keys() == {"D", "D_penalty"}
    torch.testing.assert_close(terms["D_penalty"], 5 * r1(play.D, batch["x"]))
    for objective in OBJECTIVES:
        play = game(objective=objective, penalty="none", clip_weights=1.0)
        fakes = play.generate(batch, draw((1, 0.25)))
        alpha = play.alpha(draw((1, 0.25)), batch["x"])
        real, fake = play.D(faded(batch["x"], alpha), alpha), play.D(fakes["G(z)"], alpha)
        terms, _ = play.discriminator_loss(batch, fakes, draw((1, 0.25)))
        torch.testing.assert_close(terms["D"], OBJECTIVES[objective].discriminator(real, fake))
        terms, _ = play.generator_loss(batch, fakes, draw((1, 0.25)))
        torch.testing.assert_close(terms["G"], OBJECTIVES[objective].generator(fake, real))


def grown_trainer(play: Progressive) -> Any:
    return trainer_of(play, images=32, batch_size=2, lr=0.01, phases=PHASES)


def test_a_model_is_left_at_any_time_as_strips_show_it():
    """At every step: what the export makes of noise, by averaged weights, is what the strips show of it; also of a game
    that goes on from there in another process before its next step."""
    play, rows, seen = game(), Rows(2, size=16), []
    trainer = grown_trainer(play)
    for images in steps_of(trainer, rows):
        batch = rows.of_phase(trainer).batch(0, 4) | {"x": Rows(size=trainer.phase.size or 16).batch(0, 4)["x"]}
        other = game()
        second = grown_trainer(other)
        second.load_state_dict(copy.deepcopy(trainer.state_dict()))
        z = Draw(0, range(4), trainer.EVALUATE).normal((25, 5), like=batch["x"])[0]
        pictures = []
        for run, of_run in ((trainer, play), (second, other)):
            with run.averaged(), torch.no_grad():
                export = of_run.exports["G"].network(z)
                strips = run.visualize(batch)["samples"]
                torch.testing.assert_close(export[0::5].float(), strips["G(z 1)"])
                pictures.append(export)
        assert torch.equal(*pictures)
        seen.append((images, pictures[0].shape[-1], float(play.G.alpha)))
    assert seen == [(2, 4, 1), (4, 4, 1), (6, 8, 0), (8, 8, 0.5), (10, 8, 1), (12, 8, 1), (14, 8, 1), (16, 8, 1)] + [
        (images, 16, min(1, (images - 18) / 8)) for images in range(18, 33, 2)
    ]


def test_layers_that_are_not_there_yet_do_not_learn():
    play = game()
    before, trainer = weights(play), grown_trainer(play)
    for images in steps_of(trainer, Rows(2, size=16)):
        if images == 16:
            break
    moved = {name for name, weight in weights(play).items() if not torch.equal(weight, before[name])}
    of_16 = ("G.blocks.1", "G.to_picture.2", "D.blocks.1", "D.from_picture.2")
    assert moved and not any(name.startswith(of_16) for name in moved)
    assert {"G.blocks.0.0.weight", "D.blocks.0.0.weight"} <= moved


def test_a_batch_split_between_groups_is_the_whole_batch():
    games = []
    for batch_size, accumulation in ((8, 1), (4, 2)):
        games.append(game(group=4))
        trainer = trainer_of(games[-1], images=16, batch_size=batch_size, accumulation=accumulation, lr=0.01)
        for _ in steps_of(trainer, Rows(batch_size, size=16)):
            pass
    assert distance(weights(games[0]), weights(games[1])) < 1e-12 < distance(weights(games[0]), weights(game(group=4)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 28}, "pictures of 28 pixels are not 4, doubled"),
        ({"x_channels": None}, "say --size 64 --x_channels 3"),
        ({"fade": 1.5}, "fade is 1.5: it is a share"),
        ({"lambda_drift": -1.0}, "lambda_drift is -1"),
        ({"group": 0}, "group is 0"),
        ({"phases": [{"images": 4, "size": 4}, {}]}, "phase 2 goes from 4 pixels to 16, .*images: 40960, size: 8"),
        ({"phases": [{"images": 4}, {"size": 8}]}, "phase 2 goes from 16 pixels to 8"),
    ],
)
def test_what_cannot_work_is_refused(options, said):
    with pytest.raises(BadInput, match=said):
        game(**options)


def test_the_phases_of_its_own_end_with_steps_on_one_process_and_on_eight():
    for processes in (1, 2, 4, 8):
        for schedule in (progressive.defaults, yaml.safe_load(recipe_file("progressive-hour").read_text())):
            rows = schedule["batch_size"] * processes
            assert all(phase["images"] % rows == 0 for phase in schedule["phases"])
    sizes = [phase.get("size", 64) for phase in progressive.defaults["phases"]]  # pyright: ignore
    assert sizes == [4, 8, 16, 32, 64]


def pictures(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(("stop", "side"), [(4, 8), (12, 16)])
def test_a_run_samples_walks_sums_and_inverts_in_the_size_it_has_reached(tmp_path, stop, side):
    root, run = pictures(tmp_path / "pictures"), tmp_path / "run"
    phases = f"--phases=[{{images: 4, size: 8}}{', {images: 8}' if stop > 4 else ''}]"
    line = ["train", "progressive", str(root), "--output", str(run), "--size=16", "--width=4", phases]
    assert command_line([*line, "--batch_size=4", "--workers=0", "--device=cpu"]) == 0
    assert command_line(["verify", str(run), "--device=cpu"]) == 0
    sampler = quagga.load(run, device="cpu")
    assert isinstance(sampler, Sampler) and sampler.size == (side, side)
    assert sampler(count=2).shape == (2, side, side, 3)
    sample = ["sample", str(run), "--device=cpu", "--output"]
    assert command_line([*sample, str(tmp_path / "walk"), "--walk=3,4", "--frames=3"]) == 0
    assert command_line([*sample, str(tmp_path / "sum"), "--arithmetic=1,2 - 3 + 4"]) == 0
    assert command_line([*sample, str(tmp_path / "found"), "--invert", str(root / "0.png"), "--steps=3"]) == 0
    assert (tmp_path / "found" / "inverted.png").exists() and (tmp_path / "sum" / "arithmetic.png").exists()


def test_a_plan_that_leaps_is_refused_in_one_line(tmp_path, capsys):
    line = ["train", "progressive", str(pictures(tmp_path / "pictures")), "--output", str(tmp_path / "run")]
    assert command_line([*line, "--size=128", "--batch_size=4", "--device=cpu"]) == 2
    [said] = capsys.readouterr().err.strip().splitlines()
    assert "phase 5 goes from 32 pixels to 128" in said and "{images: 40960, size: 64}" in said
    assert (
        command_line([*line, "--phases=[{images: 4, size: 12}, {}]", "--size=16", "--batch_size=4", "--device=cpu"])
        == 2
    )
    assert not (tmp_path / "run").exists()
