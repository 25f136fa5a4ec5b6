"""Rows travel as bytes, and of pictures in memory a thread makes them ahead of time."""

import contextlib
import threading
import warnings
from dataclasses import dataclass
from time import sleep
from typing import Any

import numpy as np
import pytest
import torch

from quagga.data.io.tensors import floats, to_row, to_tensor, with_floats
from quagga.data.loading import data_workers as reading
from quagga.data.loading.row_order import Batch, Sample
from quagga.errors import BadInput


@dataclass
class Row:
    """Rows that are their own numbers."""

    broken: int = -1

    def sample(self, row: int) -> Sample:
        if row == self.broken:
            raise BadInput(f"row {row} is broken")
        return Sample({"x": torch.tensor(row)})

    def files(self, row: int) -> list[str]:
        return [str(row)]


# -- ahead of time ----------------------------------------------------------------------------------------------------


def counted(seen: list[list[int]]) -> Any:
    """A `read_batch` that notes what it is asked for."""

    def read_batch(numbers: np.ndarray) -> Batch:
        seen.append(numbers.tolist())
        return {"x": torch.from_numpy(numbers)}

    return read_batch


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_in_memory_are_made_ahead_where_workers_are_wanted(workers):
    seen: list[list[int]] = []
    with contextlib.closing(reading.batches(Row(), 0, 3, workers=workers, read_batch=counted(seen))) as stream:
        for step in range(4):
            assert next(stream)["x"].tolist() == [3 * step, 3 * step + 1, 3 * step + 2]
            due = step + 1 + (reading.BATCHES_AHEAD if workers else 0)
            for _ in range(1000):
                if len(seen) >= due:
                    break
                sleep(0.01)
            assert seen == [[3 * at, 3 * at + 1, 3 * at + 2] for at in range(due)]  # and no more, in this order
    assert not [one for one in threading.enumerate() if one.name.startswith("rows")]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_complains_in_its_turn(workers):
    """Though it is read ahead of time."""
    stream = reading.batches(Row(broken=7), 0, 3, workers=workers, read_batch=lambda numbers: None)
    assert [next(stream)["row"].tolist() for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(BadInput, match="row 7 is broken"):
        next(stream)
    assert not [one for one in threading.enumerate() if one.name.startswith("rows")]


# -- as bytes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bytes_become_floats_as_a_picture_becomes_a_tensor(lead, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (*lead, 6, 5, channels), dtype=np.uint8)
    row, whole = to_row(pixels), to_tensor(pixels)
    assert row.dtype == torch.uint8 and torch.equal(floats(row), whole) and floats(row).is_contiguous()
    assert torch.equal(whole, torch.from_numpy(np.moveaxis(pixels, -1, -3).astype(np.float32) / 127.5 - 1))
    unit = pixels.astype(np.float32) / 255
    assert torch.equal(floats(to_row(unit)), to_tensor(unit)) and torch.allclose(to_tensor(unit), whole, atol=1e-6)


def test_only_pictures_become_floats():
    batch = {"x": torch.full((2, 3, 4, 4), 255, dtype=torch.uint8), "mask": torch.ones(2, dtype=torch.uint8)}
    seen = with_floats(batch)
    assert torch.equal(seen["x"], torch.ones(2, 3, 4, 4)) and seen["mask"] is batch["mask"]


def test_a_row_owns_its_numbers():
    """A picture that stays in memory must not change with a row that was made of it."""
    picture = np.zeros((8, 8, 3), np.uint8)
    to_row(picture[2:6, 2:6]).fill_(9)
    assert not picture.any()
    picture.flags.writeable = False  # as Pillow's are
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_row(picture)
