"""What version 0.1 has left on disk (tests/fixtures/0.1, written by it) is still read, and gives what it gave."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from fixtures.write import PIPELINES, SAMPLED, TRAINED, TRANSLATED
from PIL import Image

import quagga
from quagga.cli.main import command_line
from quagga.renamed import REMOVED_OPTIONS
from quagga.training import checkpoint
from quagga.training.option_comparison import changed_options

WRITTEN = Path(__file__).parent / "fixtures" / "0.1"
LEVEL = 1  # of 255: another processor adds up in another order


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A copy, in which runs may go on."""
    return Path(shutil.copytree(WRITTEN, tmp_path_factory.mktemp("older") / "0.1"))


def same_pictures(made: Path, before: Path) -> None:
    """Raises where the pictures of two folders differ by more than the last level."""
    names = sorted(path.name for path in before.glob("*.png"))
    assert names and sorted(path.name for path in made.glob("*.png")) == names
    for name in names:
        a, b = (np.asarray(Image.open(folder / name)).astype(int) for folder in (made, before))
        assert a.shape == b.shape and abs(a - b).max() <= LEVEL, name


@pytest.mark.parametrize("run", TRAINED)
def test_a_model_gives_what_it_gave_when_it_was_saved(run, home, capsys):
    assert command_line(["verify", str(home / "runs" / run), "--device=cpu"]) == 0
    assert "all is well" in capsys.readouterr().out
    assert quagga.load(home / "runs" / run, device="cpu")


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_picture_is_translated_as_it_was(name, home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    run, more = TRANSLATED[name]
    words = ["translate", f"runs/{run}", "pictures/picture.png", f"--output={tmp_path}", "--device=cpu"]
    assert command_line([*words, *shlex.split(more)]) == 0
    same_pictures(tmp_path, home / "made" / name)


@pytest.mark.parametrize("name", SAMPLED)
def test_a_seed_is_the_picture_that_it_was(name, home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    run, more = SAMPLED[name]
    words = ["sample", f"runs/{run}", "--count=2", "--seed=3", f"--output={tmp_path}", "--device=cpu"]
    assert command_line([*words, *shlex.split(more)]) == 0
    same_pictures(tmp_path, home / "made" / name)


def test_a_run_goes_on(home, monkeypatch, capsys):
    """From its checkpoint, with its own options; more of them are played."""
    monkeypatch.chdir(home)
    assert command_line(["train", "--config=runs/cyclegan/config.yaml", "--images=12"]) == 0
    assert "going on from 8 of 12 images" in capsys.readouterr().out
    assert [checkpoint.images_seen_at(path) for path in checkpoint.list_saved(Path("runs/cyclegan/checkpoints"))] == [
        8,
        12,
    ]


def test_a_pipeline_of_ones_own_goes_on_and_translates(home, tmp_path):
    """Its file imports what version 0.1 offered."""

    def typed(*words: object) -> None:
        line = [sys.executable, "refiner.py", *map(str, words)]
        ran = subprocess.run(line, cwd=home, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-2000:]

    typed("translate", "runs/refined", "pictures/picture.png", "--output", tmp_path, "--device=cpu")
    same_pictures(tmp_path, home / "made" / "refined")
    typed("train", "--config=runs/refined/config.yaml", "--images=12")
    assert checkpoint.images_seen_at(checkpoint.list_saved(home / "runs/refined/checkpoints")[-1]) == 12


# Since 0.1; with these values everything is as it was.
NEW_OPTIONS = {
    "phases": None,
    "stop_when": "end",
    "discriminator": "own",
    "features": "lite0",
    "lambda_projected": 0.3,
}
NEW_OF_SAMPLING = {"downsample": "strided"}  # of those that make pictures of noise


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_options_have_the_names_and_defaults_that_they_had(pipeline, capsys):
    """CHANGELOG.md names those that were renamed."""
    assert command_line(["train", pipeline, "--print_config"]) == 0
    now = yaml.safe_load(capsys.readouterr().out)
    before = yaml.safe_load((WRITTEN / "config" / f"{pipeline}.yaml").read_text())
    assert {name: before.pop(name) for name in REMOVED_OPTIONS} == REMOVED_OPTIONS
    of_noise = NEW_OF_SAMPLING if "z_size" in before else {}
    assert now == {**NEW_OPTIONS, **of_noise, **before}


def test_a_removed_option_is_refused_where_it_said_something_else(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    train = ["train", "cyclegan", "--root=pictures", "--print_config"]
    assert command_line([*train, "--ema_ramp=0.05", "--optimizer_discriminator", "null"]) == 0
    assert command_line([*train, "--ema_ramp", "0.2"]) == 2
    assert "--ema_ramp: Quagga 0.1 had this option, and now its value is always 0.05" in capsys.readouterr().err
    assert command_line([*train, "--optimizer_discriminator=sgd"]) == 2
    assert "now the discriminators take --optimizer too: leave it out" in capsys.readouterr().err
    Path("own.yaml").write_text(
        (WRITTEN / "runs/cyclegan/config.yaml").read_text().replace("ema_ramp: 0.05", "ema_ramp: 1")
    )
    assert command_line(["train", "--config=own.yaml"]) == 2
    assert "ema_ramp in own.yaml: Quagga 0.1 had" in capsys.readouterr().err
    Path("own.yaml").write_text("pipeline: cyclegan\nema_ramp: 'a: b: c'\n")
    assert command_line(["train", "--config=own.yaml"]) == 2
    assert changed_options({**REMOVED_OPTIONS}, {}) == {}
    assert changed_options({**REMOVED_OPTIONS, "ema_ramp": 1.0}, {}) == {"ema_ramp": (1.0, 0.05)}
