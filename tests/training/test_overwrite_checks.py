"""No command replaces what it has not written itself, unless it is told to."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from quagga.cli.main import command_line
from quagga.cli.output.preview_file import PREVIEW
from quagga.data.io.contact_sheet import contact_sheet, software_of
from quagga.data.synthetic import scenes
from quagga.inference.model_files.state_dict_conversion import to_reference
from quagga.models import ResnetGenerator
from quagga.training.overwrite_checks import check_run_folder

TINY = ["--load_size=20", "--crop_size=16", "--workers=0"]
SMALL = [*TINY, "--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1", "--device=cpu", "--batch_size=2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Pictures, and a run."""
    folder = tmp_path_factory.mktemp("home")
    scenes.write(folder / "set", train=8, test=2, size=32)
    train = ["train", "cyclegan", f"--root={folder / 'set'}", f"--output={folder / 'run'}", "--images=2", *SMALL]
    assert command_line(train) == 0
    (folder / "theirs").mkdir()
    for name in ("G_A", "G_B"):
        torch.save(to_reference(ResnetGenerator(width=4))[1], folder / f"theirs/latest_net_{name}.pth")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mine(place: Path) -> Path:
    """A file of the user's."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".png":
        Image.fromarray(np.full((16, 16, 3), 7, np.uint8)).save(place)
    else:
        place.write_text("mine: true\n")
    return place


TRAIN = "train cyclegan --root {home}/set --images 2 --output {there}"
COMMANDS = [  # what is typed, {home} and {there} filled in, and a file of the user's that stands in its way
    ("data preview --root {home}/set --output {there}/a.png", "a.png"),
    ("data preview gan --root {home}/set/trainA --size 16 --output {there}/a.jpg", "a.jpg"),
    ("data preview --root {home}/set --output {there}", "a.png"),
    ("data embedded --train 1 --test 1 --size 32 --output {there}", "trainA/horse_0000.png"),
    (TRAIN, "config.yaml"),
    (TRAIN, "model/G.safetensors"),
    (TRAIN, "samples/000000000 x to y.png"),
    (TRAIN, "best/mine.txt"),
    (TRAIN, "checkpoints/000000002/mine.txt"),
    ("demo --images 2 --animals 2 --device cpu --output {there}", "model/model.json"),
    ("import {home}/theirs --output {there}", "model/mine.txt"),
    ("export {home}/imported --output {there}", "latest_net_G_A.pth"),
    ("translate {home}/run {home}/set/testA --device cpu --output {there}", "horse_0001.png"),
]


@pytest.mark.parametrize(("line", "name"), COMMANDS)
def test_what_is_the_users_stays(line, name, home, tmp_path, capsys):
    if "imported" in line:
        words = ["import", str(home / "theirs"), "--overwrite", "--output", str(home / "imported")]
        assert command_line(words) == 0
    mine(tmp_path / name)
    before = contents(tmp_path)
    words = line.format(home=home, there=tmp_path).split()
    assert command_line([*words, *(TINY if "preview --root" in line else SMALL if words[0] == "train" else [])]) == 2
    [said] = capsys.readouterr().err.strip().splitlines()[-1:]
    assert said.startswith("quagga: error: ") and str(tmp_path) in said
    assert contents(tmp_path) == before


def test_a_preview_replaces_previews_and_no_other_sheet(home, tmp_path, capsys):
    words = ["data", "preview", f"--root={home / 'set'}", *TINY, "--count=2"]
    for suffix in ("png", "jpg", "webp", "tif"):
        sheet = tmp_path / f"sheet.{suffix}"
        for count in (2, 3):
            assert command_line([*words, f"--count={count}", f"--output={sheet}"]) == 0
            assert software_of(sheet) == PREVIEW
    other = tmp_path / "sample.png"
    contact_sheet({"x": np.zeros((1, 16, 16, 3), np.uint8)}, other)
    before = other.read_bytes()
    assert command_line([*words, f"--output={other}"]) == 2
    assert "is no sheet of quagga data preview" in capsys.readouterr().err
    assert other.read_bytes() == before
    other.unlink()
    other.symlink_to(mine(tmp_path / "photo.png"))
    assert command_line([*words, f"--output={other}"]) == 2


def test_a_run_goes_on_in_its_own_folder_and_begins_beside_other_things(home, tmp_path, capsys):
    run = shutil.copytree(home / "run", tmp_path / "copied", ignore=shutil.ignore_patterns(".*"))
    check_run_folder(run)  # its checkpoints tell
    shutil.rmtree(run / "checkpoints")
    (run / ".lock").touch()
    check_run_folder(run)  # stopped before its first checkpoint
    mine(tmp_path / "new" / "notes.txt")
    (tmp_path / "new" / "model").mkdir()
    check_run_folder(tmp_path / "new")
    check_run_folder(tmp_path / "nowhere")
    assert command_line(["import", str(home / "theirs"), "--output", str(tmp_path / "imported")]) == 0
    words = ["train", "cyclegan", f"--root={home / 'set'}", f"--output={tmp_path / 'imported'}", *SMALL]
    assert command_line(words) == 2
    assert f"--init_from {tmp_path / 'imported'} begins with that model" in capsys.readouterr().err
    assert not (tmp_path / "imported" / ".lock").exists()  # by which it would be taken for a run


def test_a_demo_removes_nothing_of_another_run(home, tmp_path, capsys):
    scenes.write(tmp_path / "pictures", train=2, test=1, size=32)
    shutil.copytree(home / "run", tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    assert command_line(["demo", "--images=2", "--animals=2", "--device=cpu", f"--output={tmp_path}"]) == 2
    assert "no demo has left" in capsys.readouterr().err
    assert contents(tmp_path) == before
