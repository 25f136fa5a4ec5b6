"""Fine-tuning begins with another run's weights, and says layer by layer what it took."""

from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from PIL import Image
from tiny_run import words

from quagga.cli.main import command_line
from quagga.training import checkpoint


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_run.pictures(tmp_path_factory.mktemp("set"))


def train(root: Path, output: Path, *typed: str, **options: object) -> int:
    return command_line([*words(root, output, **{"images": 2, "lr": 0, **options}), *typed])


def state(run: Path) -> dict:
    return checkpoint.load(checkpoint.list_saved(run / "checkpoints")[-1])


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


# -- conditions -------------------------------------------------------------------------------------------------------

NET = ["--size=16", "--width=4", "--width_discriminator=4", "--width_condition=3", "--workers=0", "--device=cpu"]
CONDITIONS = {  # kind -> options, and the same with other names of as many
    "class": (["--names=[a, b]"], ["--names=[c, d]"]),
    "attributes": (["--names=[smiling, blond]"], ["--names=[blond, smiling]"]),
    "caption": (["--names=[red, eyes]"], ["--names=[blue, hair]"]),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    lines = ["file,label,smiling,blond,caption"]
    for n in range(16):
        Image.fromarray(np.full((16, 16, 3), 10 * n, np.uint8)).save(folder / f"{n}.png")
        lines.append(f"{n}.png,{'abcd'[n % 4]},{n % 2},{n // 2 % 2},{('red eyes', 'blue hair')[n % 2]}")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


def conditioned(table: Path, output: Path, kind: str, *typed: str) -> int:
    words = [f"--table={table}", f"--output={output}", f"--condition={kind}", "--images=2", "--batch_size=2", "--lr=0"]
    return command_line(["train", "conditional", *words, *NET, *typed])


@pytest.fixture(scope="module")
def parents(table, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("parents")
    for kind, (names, _) in CONDITIONS.items():
        assert conditioned(table, folder / kind, kind, *names) == 0
    return folder


def same_layers(parent: Path, child: Path) -> tuple[bool, bool]:
    """Of all weights in G and D: are those that read conditions the old ones, and are the others?"""
    old, new = state(parent), state(child)
    inner, outer = [], []
    for side, name in (("generators", "G"), ("discriminators", "D")):
        before = old["averages" if name == "G" else side][name]
        for key, p in new[side][name].items():
            if not key.endswith(("num_batches_tracked", "running_mean", "running_var")):
                (inner if key.startswith("encoder.") else outer).append(torch.equal(before[key], p))
    assert inner and outer
    return all(inner), all(outer)


@pytest.mark.parametrize("kind", CONDITIONS)
def test_conditions_of_other_names_are_read_anew(kind, table, parents, tmp_path, capsys):
    """As many of them, so that every shape fits: only the names tell."""
    same, other = CONDITIONS[kind]
    typed = [f"--init_from={parents / kind}", "--seed=5"]
    assert conditioned(table, tmp_path / "same", kind, *typed, *same) == 0
    assert "begins anew" not in capsys.readouterr().out
    assert same_layers(parents / kind, tmp_path / "same") == (True, True)
    assert conditioned(table, tmp_path / "other", kind, *typed, *other) == 0
    said = capsys.readouterr().out
    assert ("in another order: smiling, blond in" if kind == "attributes" else "so that what reads them") in said
    assert said.count("of other names, begins anew") >= 2  # in G and in D
    inner, outer = same_layers(parents / kind, tmp_path / "other")
    assert outer and not inner


def test_conditions_of_another_kind_are_refused(table, parents, tmp_path, capsys):
    typed = [f"--init_from={parents / 'class'}", *CONDITIONS["attributes"][0]]
    assert conditioned(table, tmp_path / "child", "attributes", *typed) == 2
    said = capsys.readouterr().err
    assert "was trained with --condition class, this run has --condition attributes" in said and said.count("\n") == 1
    assert not (tmp_path / "child").exists()
