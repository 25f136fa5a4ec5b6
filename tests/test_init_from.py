"""Fine-tuning begins with another run's weights, and says layer by layer what it took."""

from pathlib import Path

import pytest
import tiny_run
import torch
from tiny_run import words

from quagga.pipelines import checkpoint
from quagga.pipelines.cli import command_line


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_run.pictures(tmp_path_factory.mktemp("set"))


def train(root: Path, output: Path, *typed: str, **options: object) -> int:
    return command_line([*words(root, output, **{"images": 2, "lr": 0, **options}), *typed])


def state(run: Path) -> dict:
    return checkpoint.load(checkpoint.saved(run / "checkpoints")[-1])


@pytest.fixture(scope="module")
def parent(root, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "parent"
    assert train(root, run, images=8, lr=0.001) == 0
    return run


def test_all_is_taken_where_all_fits(root, parent, tmp_path, capsys):
    assert train(root, tmp_path / "child", "--seed=5", f"--init_from={parent}") == 0
    said = capsys.readouterr().out
    for name in ("G", "F", "D_X", "D_Y"):
        (line,) = [line for line in said.splitlines() if line.startswith(f"{name}: ")]
        taken, _, of, *_ = line.removeprefix(f"{name}: ").split()
        assert taken == of != "0" and str(parent) in line
    old, new = state(parent), state(tmp_path / "child")
    assert all(torch.equal(old["averages"]["G"][key], p) for key, p in new["generators"]["G"].items())  # at a rate of 0
    assert all(torch.equal(old["discriminators"]["D_X"][key], p) for key, p in new["discriminators"]["D_X"].items())
    assert new["counters"]["images_seen"] == 2


def test_what_does_not_fit_begins_anew_and_is_named(root, parent, tmp_path, capsys):
    assert train(root, tmp_path / "child", f"--init_from={parent}", "--y_channels=1") == 0
    said = capsys.readouterr().out
    assert "G: " in said and "(3, 4, 7, 7) there, (1, 4, 7, 7) here, begins anew" in said
    old, new = state(parent)["averages"]["G"], state(tmp_path / "child")["generators"]["G"]
    fits = [key for key in new if key in old and new[key].shape == old[key].shape]
    assert fits and any(torch.equal(old[key], new[key]) for key in fits)


def test_nothing_that_fits_is_an_error(root, parent, tmp_path, capsys):
    typed = ["--width=8", "--width_discriminator=8", "--x_channels=1", "--y_channels=1"]
    assert train(root, tmp_path / "child", f"--init_from={parent}", *typed) == 2
    assert "nothing in" in capsys.readouterr().err
    assert train(root, tmp_path / "child", "--init_from=nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "child").exists()


def test_a_run_that_goes_on_keeps_its_own_weights(root, parent, tmp_path):
    assert train(root, tmp_path / "child", images=2, lr=0.001) == 0
    before = state(tmp_path / "child")["generators"]["G"]
    assert train(root, tmp_path / "child", f"--init_from={parent}", images=2, lr=0.001) == 0
    after = state(tmp_path / "child")["generators"]["G"]
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_model_alone_is_enough(root, parent, tmp_path, capsys):
    assert train(root, tmp_path / "child", f"--init_from={parent / 'model'}") == 0
    said = capsys.readouterr().out
    assert f"G: {len(state(parent)['averages']['G']) // 2}" in said
