"""A run whose folder lies among the pictures that it is trained on sees the same pictures when it goes on."""

from pathlib import Path
from typing import Any

import pytest

from quagga.cli.main import command_line
from quagga.data.conditioned import Conditioned
from quagga.data.images import Pictures
from quagga.data.paired import Paired
from quagga.data.sources.folders import MADE_BY_QUAGGA, claim, find_all, find_pictures, subfolders
from quagga.data.synthetic import scenes
from quagga.data.unpaired import Unpaired

SMALL = ["--workers=0", "--device=cpu", "--batch_size=2", "--width=4", "--width_discriminator=4", "--sample_every=2"]
TRANSLATING = ["--load_size=20", "--crop_size=16", "--layers=1"]
GAMES = {  # pipeline -> kind of the embedded set, its other options, the data, where in the set the run lies
    "cyclegan": ("unpaired", [*TRANSLATING, "--blocks=1"], Unpaired, "trainA/run"),
    "pix2pix": ("pairs", [*TRANSLATING, "--blocks=2"], Paired, "train/run"),
    "conditional": ("classes", ["--size=16", "--names=[horse, zebra]"], Conditioned, "train/zebra/run"),
    "gan": ("classes", ["--size=16"], Pictures, "run"),
}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_pictures(folder)]


@pytest.mark.parametrize("pipeline", GAMES)
@pytest.mark.parametrize("itself", [False, True])  # whether the run lies in the top folder itself
def test_a_run_goes_on_with_the_pictures_that_it_began_with(pipeline, itself, tmp_path, capsys):
    kind: Any
    kind, options, data, place = GAMES[pipeline]
    root = scenes.write(tmp_path / "set", train=12, test=2, size=32, kind=kind)
    run = root if itself else root / place
    sizes = {word[2:].partition("=")[0]: int(word.partition("=")[2]) for word in options if "size" in word}

    def seen() -> list[list[str]]:
        names: dict[str, Any] = {"names": ["horse", "zebra"]} if data is Conditioned else {}
        rows: Any = data(root=str(root), workers=0, **sizes, **names)
        return [rows.files(row) for row in range(3 * rows.images_per_epoch)]

    before = seen()
    words = ["train", pipeline, f"--root={root}", f"--output={run}", *SMALL, *options]
    assert command_line([*words, "--images=2"]) == 0
    assert any((run / "samples").glob("*.png"))
    assert seen() == before
    capsys.readouterr()
    assert command_line([*words, "--images=4"]) == 0
    said = capsys.readouterr().out
    assert "going on from 2 of 4" in said and "the data are others" not in said
    if not itself or pipeline in ("conditional", "gan"):  # of the other two, only trainA and the like are looked into
        assert f"left out, as Quagga itself has made what is in it: {run / 'samples'}" in said
    assert seen() == before


def test_a_table_beside_a_run_is_still_the_table(tmp_path):
    root = scenes.write(tmp_path / "set", train=4, test=2, size=32, kind="captions")
    lines = (root / "table.csv").read_text().splitlines()
    labelled = [",".join([*line.split(",")[:2], "zebra" if "zebra" in line else "horse"]) for line in lines[1:]]
    (root / "table.csv").write_text("\n".join(["file,split,label", *labelled]))
    before = Conditioned(root=str(root), workers=0).collection.pictures
    touch(root, "config.yaml", ".lock", "samples/1.png", "checkpoints/000000002/manifest.json", "model/model.json")
    touch(root, "run/config.yaml", "run/.lock", "run/samples/1.png")
    assert Conditioned(root=str(root), workers=0).collection.pictures == before


def test_runs_and_marked_folders_are_left_out_and_said(tmp_path):
    touch(tmp_path, "a.png", "samples/b.png", "model/c.png", "zebras/d.png", "zebras/in/e.png")
    everything = ["a.png", "model/c.png", "samples/b.png", "zebras/d.png", "zebras/in/e.png"]
    assert names_in(tmp_path) == everything and find_all(tmp_path)[1] == []
    touch(tmp_path, "run/config.yaml", "run/.lock", "run/samples/f.png", "run/mine.png", "run/model/g.png")
    touch(tmp_path, "copied/config.yaml", "copied/checkpoints/000000002/manifest.json", "copied/samples/h.png")
    assert names_in(tmp_path) == [*everything[:2], "run/mine.png", *everything[2:]]
    [line] = find_all(tmp_path)[1]
    assert line.endswith(f"{tmp_path / 'copied/samples'}, {tmp_path / 'run/samples'}")
    touch(tmp_path, f"zebras/{MADE_BY_QUAGGA}")
    assert names_in(tmp_path) == ["a.png", "model/c.png", "run/mine.png", "samples/b.png"]
    assert subfolders(tmp_path) == ["model", "samples"]
    assert names_in(tmp_path / "zebras") == ["d.png", "in/e.png"]  # what is named is taken
    assert names_in(tmp_path / "run" / "samples") == ["f.png"]


def test_what_is_translated_or_sampled_into_the_pictures_is_left_out(tmp_path):
    root = scenes.write(tmp_path / "set", train=6, test=2, size=32)
    before = names_in(root)
    options = [*SMALL, *TRANSLATING, "--blocks=1", "--images=2", f"--output={tmp_path / 'cyclegan'}"]
    assert command_line(["train", "cyclegan", f"--root={root}", *options]) == 0
    options = [*SMALL, "--size=16", "--images=2", f"--output={tmp_path / 'gan'}"]
    assert command_line(["train", "gan", f"--root={root / 'trainA'}", *options]) == 0
    into = root / "trainA" / "zebras", root / "trainA" / "mine", root / "trainA" / "drawn"
    touch(into[1], "a.png")
    for output in into[:2]:
        words = [str(tmp_path / "cyclegan"), str(root / "testA"), f"--output={output}", "--device=cpu"]
        assert command_line(["translate", *words]) == 0
    assert command_line(["sample", str(tmp_path / "gan"), f"--output={into[2]}", "--device=cpu"]) == 0
    others = [f"trainA/mine/{path.name}" for path in (into[1]).glob("*.png")]
    assert len(others) == 3 and names_in(root) == sorted([*before, *others])  # a folder with others' pictures counts


def test_only_a_folder_of_our_own_is_marked(tmp_path):
    claim(tmp_path / "new" / "made")
    touch(tmp_path, "new/made/1.png", "new/2.png", "mine/3.png")
    claim(tmp_path / "mine")
    assert names_in(tmp_path) == ["mine/3.png", "new/2.png"]


def test_no_file_is_opened_to_find_pictures(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{folder}/{number}.png" for folder in "ab" for number in range(20)), f"b/{MADE_BY_QUAGGA}")
    monkeypatch.setattr("builtins.open", None)
    monkeypatch.setattr(Path, "open", None)
    assert len(find_pictures(tmp_path)) == 20
