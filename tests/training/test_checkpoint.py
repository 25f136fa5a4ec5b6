"""A checkpoint is whole or it is not there."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from toys import Quadratic, Rows, distance, trainer_of, weights

from quagga import atomic
from quagga.errors import BadInput
from quagga.training import checkpoint
from quagga.training.resume import _choose_checkpoint, _move_superseded

STATE = {"a": {"0": torch.arange(3), 0: (1, 2.5, None, "x")}, "list": [torch.zeros(2, 2).T, True]}


def test_what_is_saved_is_loaded(tmp_path):
    path = checkpoint.save(tmp_path, 12, STATE, keep=2)
    loaded = checkpoint.load(path)
    assert torch.equal(loaded["a"]["0"], STATE["a"]["0"]) and loaded["a"][0] == STATE["a"][0]
    assert torch.equal(loaded["list"][0], STATE["list"][0]) and loaded["list"][1] is True


def test_the_newest_are_kept(tmp_path):
    for seen in (5, 40, 300, 10_000):
        checkpoint.save(tmp_path, seen, STATE, keep=2)
    assert [path.name for path in checkpoint.list_saved(tmp_path)] == ["000000300", "000010000"]


def test_the_newest_are_the_newest_by_number(tmp_path):
    (tmp_path / "000000001.mine").mkdir()
    for seen in (999_999_998, 999_999_999, 1_000_000_000, 10_000_000_000):
        path = checkpoint.save(tmp_path, seen, STATE, keep=2)
        assert checkpoint.list_saved(tmp_path)[-1] == path
    assert [path.name for path in checkpoint.list_saved(tmp_path)] == ["1000000000", "10000000000"]
    assert (tmp_path / "000000001.mine").exists()  # no name of ours


def test_what_is_newer_than_a_billion_images_is_gone_on_from_and_set_aside(tmp_path):
    for seen in (999_999_999, 1_000_000_000):
        checkpoint.save(tmp_path / "checkpoints", seen, STATE, keep=2)
    assert _choose_checkpoint(tmp_path, "auto").path == str(tmp_path / "checkpoints" / "1000000000")
    [line] = _move_superseded(tmp_path, 999_999_999)
    assert line.endswith("aside: 1000000000")


def kept(folder) -> list[int]:
    return [int(path.name) for path in checkpoint.list_saved(folder)]


def test_scores_of_another_curve_do_not_count(tmp_path):
    for seen, score, curve in [(1, 0.1, "a"), (2, 0.3, "a"), (3, None, "b")]:
        checkpoint.save(tmp_path, seen, STATE, keep=1, score=score, curve=curve)
    assert kept(tmp_path) == [1, 3] and checkpoint.scores(tmp_path, "b") == {}  # best by a, until b has a score
    checkpoint.save(tmp_path, 4, STATE, keep=1, score=20.0, curve="b")
    checkpoint.save(tmp_path, 5, STATE, keep=1, score=30.0, curve="b")
    assert kept(tmp_path) == [4, 5] and list(checkpoint.scores(tmp_path, "b").values()) == [30.0, 20.0]
    checkpoint.save(tmp_path, 6, STATE, keep=3, score=1.0, curve="a")
    checkpoint.save(tmp_path, 7, STATE, keep=3, score=40.0, curve="b")
    assert list(checkpoint.scores(tmp_path, "b").values()) == [40.0]  # the model of best was a's in between
    checkpoint.save(tmp_path, 8, STATE, keep=1)  # no curve is looked at any more
    assert kept(tmp_path) == [7, 8]


def test_a_checkpoint_of_before_its_manifest_named_the_curve_has_it_in_its_options(tmp_path):
    for seen, curve in [(1, "a"), (2, None)]:
        path = checkpoint.save(tmp_path, seen, {"config": {"keep_best": "a", 1: torch.ones(2)}}, 2, 0.5, curve)
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["self"], manifest["curve"]
    (path / "manifest.json").write_text(json.dumps({**manifest, "self": checkpoint.manifest_digest(manifest)}))
    assert kept(tmp_path) == [1, 2] and len(checkpoint.scores(tmp_path, "a")) == 2
    assert checkpoint.scores(tmp_path, "b") == {}


def test_drafts_of_another_live_process_stay_and_those_of_dead_ones_go(tmp_path):
    live = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    own = atomic.draft_path(tmp_path / "000000001").name
    drafts = [tmp_path / own.replace(f"-{os.getpid()}.", f"-{live.pid}.")]
    drafts += [tmp_path / ".000000001.0badcafe-1.draft", tmp_path / ".000000002.0badcafe-1.draft"]  # another machine's
    dead = [tmp_path / own, tmp_path / ".000000001.draft", tmp_path / ".000000001.going"]
    for path in [*drafts, *dead]:
        path.mkdir()
        (path / "state.json").write_text("half of i")
    for path in (drafts[2] / "state.json", drafts[2]):  # nobody has written there for a day
        os.utime(path, (time.time() - 86400, time.time() - 86400))
    checkpoint.save(tmp_path, 3, STATE, keep=1)
    atomic.write_folder(tmp_path / "000000001", lambda draft: (draft / "a").touch())
    assert {path for path in tmp_path.iterdir() if path.name.startswith(".")} == set(drafts[:2])
    live.communicate(b"")
    checkpoint.save(tmp_path, 4, STATE, keep=1)
    assert not drafts[0].exists() and drafts[1].exists()


def test_a_save_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, STATE, keep=1)
    monkeypatch.setattr(
        checkpoint, "save_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError):
        checkpoint.save(tmp_path, 2, STATE, keep=1)
    assert [path.name for path in checkpoint.list_saved(tmp_path)] == ["000000001"]
    checkpoint.load(checkpoint.list_saved(tmp_path)[0])


@pytest.mark.parametrize("file", ["state.json", "tensors.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_damage_is_named(tmp_path, file, damage):
    path = checkpoint.save(tmp_path, 1, STATE, keep=1)
    content = bytearray((path / file).read_bytes())
    if damage == "gone":
        (path / file).unlink()
    else:
        content[len(content) // 2] ^= 1
        (path / file).write_bytes({"flip": content, "cut": content[:-5], "empty": b""}[damage])
    with pytest.raises(BadInput, match="000000001"):
        checkpoint.load(path)


def test_a_newer_format_is_refused_in_words(tmp_path):
    path = checkpoint.save(tmp_path, 1, STATE, keep=1)
    manifest = json.loads((path / "manifest.json").read_text()) | {"format": 99}
    del manifest["self"]
    (path / "manifest.json").write_text(json.dumps({**manifest, "self": checkpoint.manifest_digest(manifest)}))
    with pytest.raises(BadInput, match="newer than this quagga"):
        checkpoint.load(path)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_a_game_goes_on_from_the_disk_as_if_never_stopped(tmp_path, optimizer):
    settings = {"images": 6, "optimizer": optimizer, "lr": 0.01, "decay": 0.5}
    straight, stopped, resumed = Quadratic(), Quadratic(), Quadratic()
    for _ in trainer_of(straight, **settings).play(Rows(size=1).batches(0)):
        pass
    first = trainer_of(stopped, **settings)
    play = first.play(Rows(size=1).batches(first.row))
    for _ in range(2):
        next(play)
    path = checkpoint.save(tmp_path, 2, first.state_dict(), keep=1)
    second = trainer_of(resumed, **settings)
    second.load_state_dict(checkpoint.load(path))
    for _ in second.play(Rows(size=1).batches(second.row)):
        pass
    assert distance(weights(straight), weights(resumed)) == 0
