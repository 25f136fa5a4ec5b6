"""A curve that there will not be is known before the first step."""

from pathlib import Path

import pytest
import tiny_run
import torch
from test_laws import PIPELINES, game_of, rows_of
from tiny_run import another_second, differing, left, words
from toys import distance, trainer_of, weights

from quagga.cli.main import command_line
from quagga.errors import BadInput
from quagga.training import checkpoint
from quagga.training import train as training
from quagga.training.reporting.curve_names import check_curve


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_run.pictures(tmp_path_factory.mktemp("set"))


def train(root: Path, output: Path, *typed: str, **options: object) -> int:
    return command_line([*words(root, output, **{"images": 16, **options}), *typed])


TERMS = {
    "autoencoder": "E",
    "classifier": "C",
    "inpainting": "hole",
    "vae": "KL",
}  # of G's loss, in games in which none is called as a network


@pytest.mark.parametrize("name", PIPELINES)
def test_every_curve_of_every_game_is_known_and_the_game_stays_as_it_is(name):
    rows = rows_of(name, batch_size=2)
    trainer = trainer_of(game_of(name), images=8, batch_size=2)
    steps = trainer.play(rows.batches(trainer.row))
    next(steps)  # so that a pool of fakes has some
    before, memory, row = weights(trainer.game), trainer.state_dict()["memory"], trainer.row
    held_out, batch = rows.batch(100, 4), rows.batch(0, 2)
    term = TERMS.get(name.partition("-")[0], next(iter(trainer.game.generators)))
    with pytest.raises(BadInput, match=f"--keep_best {term}: there is no such curve: .*generators/{term}"):
        check_curve(term, trainer, batch, held_out)
    assert distance(before, weights(trainer.game)) == 0 and trainer.row == row
    assert str(trainer.state_dict()["memory"]) == str(memory) and all(
        p.training for p in trainer.game.generators.values()
    )
    next(steps)
    curves = [*trainer.readings(), "speed/epoch", *(f"{side}/total" for side in trainer.sides)]
    for curve in [*curves, *(f"held_out/{read}" for read in trainer.examine(held_out))]:
        check_curve(curve, trainer, batch, held_out)


@pytest.mark.parametrize(
    ("typed", "meant"), [("generators/cycel_x", "generators/cycle_x"), ("held_out/cycel_y", "held_out/cycle_y")]
)
def test_a_misspelt_curve_is_refused_before_the_first_step(root, tmp_path, capsys, typed, meant):
    assert train(root, tmp_path / "run", f"--keep_best={typed}") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(f"--keep_best {typed}: there is no such curve: did you mean {meant}?")
    assert not list((tmp_path / "run").glob("events*")) and not (tmp_path / "run" / "config.yaml").exists()


def test_a_run_that_looks_for_its_curve_plays_as_one_that_does_not(root, tmp_path):
    assert train(root, tmp_path / "without", images=6) == 0
    assert train(root, tmp_path / "with", "--keep_best=held_out/cycle_x", images=6) == 0
    one, other = left(tmp_path / "without"), left(tmp_path / "with")
    assert any(name.startswith("state/memory") for name in one) and differing(one, other) == 0


def test_a_game_that_cannot_be_copied_plays_on_and_the_first_reading_tells():
    game = game_of("gan")
    with Path(__file__).open() as game.open_file:
        check_curve("nothing", trainer_of(game), rows_of("gan").batch(0, 1), None)


def test_where_only_the_first_reading_tells_what_was_played_is_saved_first(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "check_curve", lambda *_: None)
    often = {"images": 9, "sample_every": 6}
    assert train(root, tmp_path / "run", "--keep_best=held_out/cycel_x", **often) == 2
    assert "did you mean held_out/cycle_x?" in capsys.readouterr().err
    assert [path.name for path in checkpoint.list_saved(tmp_path / "run" / "checkpoints")] == ["000000006"]
    another_second()
    assert train(root, tmp_path / "run", "--keep_best=held_out/cycle_x", **often) == 0
    assert train(root, tmp_path / "straight", **often) == 0
    assert differing(left(tmp_path / "run"), left(tmp_path / "straight")) == 0


def test_numbers_that_are_not_finite_are_left_to_the_run():
    trainer = trainer_of(game_of("gan"))
    batch = rows_of("gan").batch(0, 1)
    batch["x"] = batch["x"] * torch.nan
    check_curve("nothing", trainer, batch, None)
