"""Pictures alone: a folder of any depth, idx files, a dataset; and their classes where they are known."""

import contextlib
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_conditioned import SIDE, class_folders, colour, digits, picture, save

from quagga.data.images import Pictures
from quagga.data.io.tensors import with_floats
from quagga.errors import BadInput


def some(data: Pictures, batch_size: int, count: int) -> dict[str, torch.Tensor]:
    with contextlib.closing(data.batches(0, batch_size)) as rows:
        found = list(islice(rows, count))
    return with_floats({name: torch.cat([batch[name] for batch in found]) for name in found[0]})


def test_a_folder_of_any_depth(tmp_path):
    for number in range(12):
        save(tmp_path / "faces" / "/".join("abc"[: number % 4]) / f"{number}.png", picture("red", number))
    data = Pictures(root=str(tmp_path / "faces"), workers=0)
    assert data.title == "faces" and data.known() == {"size": SIDE, "x_channels": 3}
    batch = some(data, 4, 2)
    assert batch.keys() == {"x", "row"} and batch["x"].shape == (8, 3, SIDE, SIDE)
    assert data.images_per_epoch == 8 and data.held_out(99)["x"].shape[0] == 4
    assert any("held out" in line for line in data.notices)


def test_class_folders_are_modes(tmp_path):
    data = Pictures(root=str(class_folders(tmp_path)), workers=0)
    assert data.known() == {"names": ["blue", "green", "red"], "size": SIDE, "x_channels": 3}
    batch = some(data, 4, 4)
    assert batch["mode"].dtype == torch.int64 and batch["mode"].shape == (16,)
    assert all(colour(x) == data.modes[mode] for x, mode in zip(batch["x"], batch["mode"].tolist(), strict=True))
    held = data.held_out(9)
    assert [colour(x) for x in held["x"]] == [data.modes[mode] for mode in held["mode"].tolist()]
    chosen = Pictures(root=str(tmp_path), names=["red", "blue"], workers=0)
    assert {colour(x) for x in some(chosen, 4, 4)["x"]} == {"red", "blue"}
    assert chosen.known()["names"] == ["red", "blue"]


def test_idx_files_with_labels_and_without(tmp_path):
    data = Pictures(root=str(digits(tmp_path)))
    assert data.known() == {"names": [str(n) for n in range(10)], "size": 8, "x_channels": 1}
    batch = some(data, 8, 5)
    assert ((batch["x"][:, 0, 0, 0] + 1) * 127.5).round().tolist() == [20 * mode for mode in batch["mode"].tolist()]
    for file in tmp_path.glob("*labels*"):
        file.unlink()
    data = Pictures(root=str(tmp_path))
    assert data.known() == {"size": 8, "x_channels": 1} and some(data, 8, 1).keys() == {"x", "row"}
    assert any("has no labels beside it" in line for line in data.notices)


def test_one_class_is_no_mode_and_one_folder_no_mistake(tmp_path):
    for number in range(6):
        save(tmp_path / "only" / f"{number}.png", picture("red", number))
    data = Pictures(root=str(tmp_path), workers=0)
    assert data.modes == [] and "mode" not in some(data, 2, 1)


def test_a_dataset_of_pictures_or_of_pairs():
    pictures = [picture("red", number) for number in range(9)]
    bare = Pictures.of(pictures, workers=0)
    pairs = Pictures.of([(pixels, 0) for pixels in pictures], test=pictures[:2], workers=0)
    assert bare.known() == pairs.known() == {"size": SIDE, "x_channels": 3}
    assert some(bare, 3, 1)["x"].shape == (3, 3, SIDE, SIDE)
    assert pairs.images_per_epoch == 9 and pairs.held_out(9)["x"].shape[0] == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_with_other_values_keep_their_range(tmp_path, channels):
    for number in range(6):
        values = np.full((SIDE, SIDE, channels), 0.25, np.float32)
        values[0, 0] = number / 10
        np.save(tmp_path / f"{number}.npy", values[..., 0] if channels == 1 else values)
    data = Pictures(root=str(tmp_path), x_value_range=[0.0, 0.5], workers=0)
    assert data.known() == {"size": SIDE, "x_channels": channels}
    assert torch.allclose(some(data, 2, 1)["x"][:, :, 5, 5], torch.tensor(0.0))
    assert data.domains()["x"] == {
        "name": tmp_path.name,
        "channels": channels,
        "value_range": [0.0, 0.5],
        "kind": "float32",
    }


def test_what_was_done_is_carried_along(tmp_path):
    data = Pictures(root=str(class_folders(tmp_path)), size=8, fit="squash", workers=0)
    assert data.preprocessing() == {
        "load_size": 8,
        "crop_size": 8,
        "fit": "squash",
        "channels": {"x": 3},
        "value_range": [-1.0, 1.0],
        "opacity": {"x": "laid on white"},
    }


def refused(match: str, **options: Any) -> None:
    with pytest.raises(BadInput, match=match) as told:
        Pictures(**options)
    assert "\n" not in str(told.value)


def test_bad_input(tmp_path):
    refused("name the pictures: --root DIR")
    refused("there is no folder", root=str(tmp_path / "no"))
    (tmp_path / "empty").mkdir()
    refused("has 0 pictures: expected .jpg", root=str(tmp_path / "empty"))
    top = str(class_folders(tmp_path / "c"))
    refused("has no class 'rad': did you mean red\\?", root=top, names=["rad"])
    refused("names is an empty list", root=top, names=[])
    refused("workers 257", root=top, workers=257)
    refused("worker_timeout 0", root=top, worker_timeout=0)
    file = tmp_path / "file.png"
    Image.new("RGB", (9, 9)).save(file)
    refused("is a file: name the folder", root=str(file))
    with pytest.raises(BadInput, match="no map-style dataset"):
        Pictures.of(iter([1]))


def test_a_folder_without_any_picture_that_can_be_read(tmp_path):
    for number in range(5):
        Path(tmp_path / f"{number}.png").write_bytes(b"no picture")
    refused("0.png", root=str(tmp_path))
    refused("none of the pictures looked at can be read", root=str(tmp_path), unreadable="skip")
