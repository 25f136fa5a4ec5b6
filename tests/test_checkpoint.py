"""A checkpoint is whole or it is not there."""

import json

import pytest
import torch
from toys import Quadratic, Rows, distance, trainer_of, weights

from quagga import BadInput
from quagga.pipelines import checkpoint

STATE = {"a": {"0": torch.arange(3), 0: (1, 2.5, None, "x")}, "list": [torch.zeros(2, 2).T, True]}


def test_what_is_saved_is_loaded(tmp_path):
    path = checkpoint.save(tmp_path, 12, STATE, keep=2)
    loaded = checkpoint.load(path)
    assert torch.equal(loaded["a"]["0"], STATE["a"]["0"]) and loaded["a"][0] == STATE["a"][0]
    assert torch.equal(loaded["list"][0], STATE["list"][0]) and loaded["list"][1] is True


def test_the_newest_are_kept(tmp_path):
    for seen in (5, 40, 300, 10_000):
        checkpoint.save(tmp_path, seen, STATE, keep=2)
    assert [path.name for path in checkpoint.saved(tmp_path)] == ["000000300", "000010000"]


def test_a_save_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, STATE, keep=1)
    monkeypatch.setattr(
        checkpoint, "save_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError):
        checkpoint.save(tmp_path, 2, STATE, keep=1)
    assert [path.name for path in checkpoint.saved(tmp_path)] == ["000000001"]
    checkpoint.load(checkpoint.saved(tmp_path)[0])


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
    (path / "manifest.json").write_text(json.dumps({**manifest, "self": checkpoint.own_digest(manifest)}))
    with pytest.raises(BadInput, match="newer than this quagga"):
        checkpoint.load(path)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_a_game_goes_on_from_the_disk_as_if_never_stopped(tmp_path, optimizer):
    settings = {"images": 6, "optimizer": optimizer, "lr": 0.01, "decay": 0.5}
    straight, stopped, resumed = Quadratic(), Quadratic(), Quadratic()
    for _ in trainer_of(straight, **settings).play(Rows(size=1).batches):
        pass
    first = trainer_of(stopped, **settings)
    play = first.play(Rows(size=1).batches)
    for _ in range(2):
        next(play)
    path = checkpoint.save(tmp_path, 2, first.state_dict(), keep=1)
    second = trainer_of(resumed, **settings)
    second.load_state_dict(checkpoint.load(path))
    for _ in second.play(Rows(size=1).batches):
        pass
    assert distance(weights(straight), weights(resumed)) == 0
