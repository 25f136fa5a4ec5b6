"""Links where a run replaces or fills something: they work, or are refused before the first step."""

import os
from pathlib import Path

import pytest
import tiny_run
from tiny_run import another_second, words

from quagga import atomic
from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.errors import BadInput
from quagga.inference.model_files.model_folder import read_model
from quagga.training import checkpoint
from quagga.training.train import check_output_folders

FOLDERS = ("model", "best", "checkpoints", "checkpoints/aside", "samples")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_run.pictures(tmp_path_factory.mktemp("set"))


def train(root: Path, output: Path, *typed: str, **options: object) -> int:
    return command_line([*words(root, output, **{"images": 24, **options}), *typed])


def another_disk(folder: Path) -> Path:
    """A folder on another disk, where there is one."""
    memory = Path("/dev/shm")
    elsewhere = memory / f"quagga-{os.getpid()}-{folder.name}" if memory.is_dir() else folder / "elsewhere"
    elsewhere.mkdir()
    return elsewhere


@pytest.fixture
def elsewhere(tmp_path):
    folder = another_disk(tmp_path)
    yield folder
    atomic.remove_folder(folder)


def names_left(folder: Path) -> list[str]:
    """Names of drafts and the like."""
    return [path.name for path in folder.rglob(".*") if path.name not in (".lock", ".quagga")]


def test_a_run_of_links_is_a_run(root, tmp_path, elsewhere):
    for name in FOLDERS:
        (elsewhere / name).mkdir(parents=True)
    run = tmp_path / "link"
    run.symlink_to("run")
    (tmp_path / "run").mkdir()
    for name in ("model", "best", "checkpoints", "samples"):
        (run / name).symlink_to(elsewhere / name)
    assert train(root, run, "--keep_best=generators/total", save_every=4) == 0
    assert all((run / name).is_symlink() and (run / name).is_dir() for name in FOLDERS if "/" not in name)
    saved = [path.name for path in checkpoint.list_saved(elsewhere / "checkpoints")]
    assert saved[-3:] == ["000000016", "000000020", "000000024"]
    best = checkpoint.best(elsewhere / "checkpoints")
    assert read_model(run).images_seen == 24 and best and read_model(run / "best").images_seen == int(best.name)
    assert names_left(run) == names_left(elsewhere) == [] and any((elsewhere / "samples").iterdir())
    another_second()
    assert train(root, run, f"--resume={run / 'checkpoints' / '000000016'}") == 0  # its own, though it lies elsewhere
    assert sorted(path.name for path in (elsewhere / "checkpoints" / "aside").iterdir()) == ["000000020", "000000024"]


def test_what_is_set_aside_may_go_to_another_disk(root, tmp_path, elsewhere):
    run = tmp_path / "run"
    assert train(root, run, images=14) == 0
    (run / "checkpoints" / "aside").symlink_to(elsewhere)
    another_second()
    assert train(root, run, f"--resume={run / 'checkpoints' / '000000007'}", images=14) == 0
    assert checkpoint.load(elsewhere / "000000014")["counters"]["images_seen"] == 14
    another_second()
    assert train(root, run, f"--resume={run / 'checkpoints' / 'aside' / '000000014'}", images=16) == 0


HARMS = {
    "is a link to nowhere": lambda place: place.symlink_to("nowhere"),
    "is a link to itself": lambda place: place.symlink_to("itself"),
    "is a file": lambda place: place.write_text("a letter"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_what_could_never_be_saved_is_refused(tmp_path, name):
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    (place.parent / "itself").symlink_to("itself")
    for said, harm in HARMS.items():
        harm(place)
        with pytest.raises(BadInput, match=f"{place} {said}"):
            check_output_folders(tmp_path)
        place.unlink()
    check_output_folders(tmp_path)


@pytest.mark.parametrize(("name", "said"), [("run/model", "is a link to nowhere"), ("run", "is a file")])
def test_it_is_refused_before_the_first_step(root, tmp_path, capsys, name, said):
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    HARMS[said](place)
    assert train(root, tmp_path / "run") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{place} {said}" in line
    assert not list(tmp_path.rglob("events*")) and not (tmp_path / "run" / "config.yaml").exists()


def test_a_disk_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to("disk")
    atomic.check_replaceable(tmp_path / "model")
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path / "disk")
    with pytest.raises(BadInput, match="link to a folder on that disk"):
        atomic.check_replaceable(tmp_path / "model")


def test_a_config_that_is_a_link_leaves_alone_what_it_leads_to(root, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine.yaml").write_text("mine")
    (tmp_path / "run" / ".lock").touch()  # of a run
    (tmp_path / "run" / "config.yaml").symlink_to("../mine.yaml")
    assert train(root, tmp_path / "run", images=2) == 0
    assert (tmp_path / "mine.yaml").read_text() == "mine"
    assert "pipeline: cyclegan" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_checkpoint_that_is_a_link_goes_without_what_it_leads_to(tmp_path):
    state = {"a": 1}
    old = checkpoint.save(tmp_path, 1, state, keep=1)
    (tmp_path / "kept").mkdir()
    old.rename(tmp_path / "kept" / "mine")
    old.symlink_to("kept/mine")
    checkpoint.save(tmp_path, 2, state, keep=1)
    assert [path.name for path in checkpoint.list_saved(tmp_path)] == ["000000002"] and not names_left(tmp_path)
    assert checkpoint.load(tmp_path / "kept" / "mine") == state


def test_what_a_kill_between_two_renames_has_left_behind_a_link_is_found_and_put_back(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "model").symlink_to("there")
    atomic.write_folder(tmp_path / "model", lambda draft: (draft / "a").touch())
    there.rename(atomic._previous_path(there))
    assert (atomic.existing_folder(tmp_path / "model") / "a").exists()
    atomic.check_replaceable(tmp_path / "model")

    def fail(_draft: Path) -> None:
        raise OSError

    with pytest.raises(OSError):
        atomic.write_folder(tmp_path / "model", fail)
    assert (tmp_path / "model" / "a").exists() and not names_left(tmp_path)


def test_drawn_pictures_go_where_a_link_leads(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "set").symlink_to("there")
    scenes.write(tmp_path / "set", train=2, test=1, size=16)
    assert (tmp_path / "set").is_symlink() and len(list((tmp_path / "there" / "trainA").iterdir())) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "there"]
    (tmp_path / "lost").symlink_to("nowhere")
    with pytest.raises(BadInput, match="lost is a link to nowhere, which is not there"):
        scenes.write(tmp_path / "lost", train=2, test=1, size=16)


def test_a_demo_that_begins_anew_takes_links_away_and_leaves_what_they_lead_to(tmp_path, monkeypatch, capsys):
    run, mine = tmp_path / "demo", tmp_path / "mine"
    for path in (run / "pictures" / scenes.CARD, mine / "model.json"):
        path.parent.mkdir(parents=True)
        path.touch()
    (run / "config.yaml").write_text("pipeline: cyclegan\nroot: pictures\n")
    (run / "model").symlink_to("../mine")
    monkeypatch.setattr(scenes, "write", lambda *_, **__: (_ for _ in ()).throw(BadInput("it begins anew")))
    assert command_line(["demo", "--output", str(run)]) == 2
    assert "it begins anew" in capsys.readouterr().err
    assert (mine / "model.json").exists() and [path.name for path in run.iterdir()] == [".lock"]
