"""Row n is the same row whoever reads it, and whatever happens to the reader is told."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from quagga.data.io.read import read_picture
from quagga.data.io.tensors import with_floats
from quagga.data.loading import data_workers as reading
from quagga.data.loading.data_workers import batches
from quagga.data.loading.row_order import DataFault, Sample, candidate_indices, epoch_permutation
from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput
from quagga.seeding import derive_seed

SMALL: dict[str, Any] = {"load_size": 20, "crop_size": 16, "workers": 0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """17 horses and 24 zebras, of which 4 a side are held out. Each is of one colour that no other has."""
    top = tmp_path_factory.mktemp("pictures")
    for name, count, blue in (("horse", 17, 0), ("zebra", 24, 255)):
        (top / name).mkdir()
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 40, (24, 30, 3), dtype=np.uint8)
            pixels[..., 1], pixels[..., 2] = 10 * number, blue
            Image.fromarray(pixels).save(top / name / f"{number}.png")
    return {"x": str(top / "horse"), "y": str(top / "zebra")}


def small(**more: Any) -> dict[str, Any]:
    return SMALL | more


def some(iterator, count: int) -> list:
    with contextlib.closing(iterator):
        return list(islice(iterator, count))


def joined(found: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return with_floats({name: torch.cat([batch[name] for batch in found]) for name in found[0]})


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def numbers(pictures: torch.Tensor) -> list[int]:
    """Which pictures these are, by their green."""
    return [round((float(picture[1].mean()) + 1) * 12.75) for picture in pictures]


# -- the order --------------------------------------------------------------------------------------------------------


def test_every_pass_shows_each_picture_once_and_in_a_new_order():
    for size in (1, 2, 7, 100):
        passes = [[next(candidate_indices(3, "x", epoch * size + n, size)) for n in range(size)] for epoch in range(5)]
        assert all(sorted(one) == list(range(size)) for one in passes)
        assert size < 7 or len({tuple(one) for one in passes}) == 5


def test_sides_and_seeds_have_orders_of_their_own():
    assert not np.array_equal(epoch_permutation(0, "x", 0, 50), epoch_permutation(0, "y", 0, 50))
    assert not np.array_equal(epoch_permutation(0, "x", 0, 50), epoch_permutation(1, "x", 0, 50))
    assert len({derive_seed(seed, name, n) for seed in range(9) for name in "xy" for n in range(99)}) == 9 * 2 * 99


def test_the_order_is_the_same_on_every_machine_and_in_every_version():
    assert derive_seed(0, "x", 1) == 5489499900869440552
    assert epoch_permutation(0, "x", 0, 8).tolist() == [1, 3, 0, 6, 5, 2, 4, 7]


# -- batches ----------------------------------------------------------------------------------------------------------


def test_both_sides_are_gone_through_evenly(folders):
    data = Unpaired(**folders, **SMALL)
    sizes = {name: len(side.train) for name, side in data.sides.items()}
    assert sizes == {"x": 13, "y": 20} and data.images_per_epoch == 20
    batch = joined(some(data.batches(0, 5), 52))
    for name, size in sizes.items():
        seen = numbers(batch[name])
        for start in range(0, 260, size):
            assert len(set(seen[start : start + size])) == size


def test_batches_are_pictures_in_the_stated_form(folders):
    data = Unpaired(**folders, **SMALL, y_channels=1)
    batch = joined(some(data.batches(7, 5), 1))
    assert batch["row"].tolist() == [7, 8, 9, 10, 11] and batch["row"].dtype == torch.int64
    assert batch["x"].shape == (5, 3, 16, 16) and batch["y"].shape == (5, 1, 16, 16)
    for name in "xy":
        assert batch[name].dtype == torch.float32 and batch[name].is_contiguous()
        assert batch[name].min() >= -1 and batch[name].max() <= 1


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
@pytest.mark.parametrize(("workers", "method"), [(1, "fork"), (3, "fork"), (1, "spawn")])
def test_rows_do_not_depend_on_who_reads_them(folders, workers, method):
    data = Unpaired(**folders, **SMALL, augment={"GaussNoise": {"p": 0.5}, "ColorJitter": {"p": 0.5}})
    expected = joined(some(data.batches(3, 4), 6))
    assert same(joined(some(batches(data, 3, 4, workers=workers, start_method=method), 6)), expected)


def test_rows_do_not_depend_on_how_they_are_dealt_out(folders):
    data = Unpaired(**folders, **SMALL)
    expected = joined(some(data.batches(5, 1), 24))
    assert same(joined(some(data.batches(5, 6), 4)), expected)
    two = [some(data.batches(5, 3, process, 2), 4) for process in range(2)]
    dealt = [two[process][number] for number in range(4) for process in range(2)]
    assert same(joined(dealt), expected)
    assert same(joined(some(data.batches(5 + 18, 6), 1)), joined(some(data.batches(5, 6), 4)[3:]))


def test_another_seed_gives_other_rows(folders):
    one, other = (joined(some(Unpaired(**folders, **SMALL, seed=seed).batches(0, 8), 1)) for seed in (0, 1))
    assert numbers(one["x"]) != numbers(other["x"]) and numbers(one["y"]) != numbers(other["y"])


def test_a_picture_is_cut_anew_in_every_pass(folders):
    data = Unpaired(**folders, **SMALL)
    batch = joined(some(data.batches(0, 13), 8))
    shown = numbers(batch["x"])
    for number in set(shown):
        cuts = [picture.numpy().tobytes() for picture, which in zip(batch["x"], shown, strict=True) if which == number]
        assert len(cuts) == 8 and len(set(cuts)) >= 7


def test_files_name_what_is_in_a_row(folders):
    data = Unpaired(**folders, **SMALL)
    batch = joined(some(data.batches(0, 30), 1))
    for row in range(30):
        x, y = data.files(row)
        assert (int(Path(x).stem), int(Path(y).stem)) == (numbers(batch["x"])[row], numbers(batch["y"])[row])
        assert Path(x).parent.name == "horse" and Path(y).parent.name == "zebra"


def test_reading_draws_nothing_from_the_run_s_own_chance(folders):
    data = Unpaired(**folders, **SMALL)
    for workers in (0, 1):
        torch.manual_seed(0)
        some(batches(data, 0, 2, workers=workers), 2)
        after = torch.rand(3)
        torch.manual_seed(0)
        assert torch.equal(torch.rand(3), after)


def test_closing_ends_the_workers(folders):
    data = Unpaired(**folders, **small(workers=2))
    before = set(reading.multiprocessing.active_children())
    stream = data.batches(0, 2)
    next(stream)
    assert len(set(reading.multiprocessing.active_children()) - before) == 2
    stream.close()
    assert set(reading.multiprocessing.active_children()) == before


# -- held-out pictures and what is said -------------------------------------------------------------------------------


def test_held_out_pictures_are_never_trained_on_and_always_the_same(folders):
    data = Unpaired(**folders, **SMALL)
    shown = data.held_out(3)
    assert shown["x"].shape == (3, 3, 16, 16) and shown["y"].shape == (3, 3, 16, 16)
    trained = joined(some(data.batches(0, 20), 2))
    for name in "xy":
        assert not set(numbers(shown[name])) & set(numbers(trained[name]))
        assert len(set(numbers(shown[name]))) == 3
    assert same(data.held_out(3), shown) and len(data.held_out(99)["x"]) == 4


def test_the_user_is_told_what_was_decided(tmp_path, folders):
    data = Unpaired(**folders, load_size=40, crop_size=32, workers=0)
    assert data.names == {"x": "horse", "y": "zebra"}
    assert "horse: no test folder, so 4 of 17 pictures are held out" in data.notices[0]
    assert any("horse: 13 of 13 pictures are smaller than the cut of 32" in line for line in data.notices)
    for number in range(3):
        Image.new("L", (40, 40), number).save(tmp_path / f"{number}.png")
    data = Unpaired(x=str(tmp_path), y=folders["y"], **SMALL)
    assert any("2 of 2 pictures are grey" in line for line in data.notices)
    assert not any("grey" in line for line in Unpaired(x=str(tmp_path), y=folders["y"], x_channels=1, **SMALL).notices)


def test_what_the_model_must_remember_is_plain_data(folders):
    said = Unpaired(**folders, **SMALL).preprocessing()
    assert json.loads(json.dumps(said)) == said and (said["load_size"], said["crop_size"]) == (20, 16)


def test_options_that_cannot_work_are_refused(folders):
    for option, line in (
        ({"x_channels": 0}, "x_channels 0"),
        ({"x_channels": 4}, r"has 3 channels, and 4 are asked for: say --x_channels 3, as only"),
        ({"workers": -1}, "workers -1"),
        ({"worker_timeout": 0}, "worker_timeout 0"),
        ({"load_size": 8}, "load_size 8 is smaller"),
        ({"augment": {"Blurr": {}}}, "no transform 'Blurr'"),
        ({"x": folders["y"]}, "the same folder"),
    ):
        options: dict[str, Any] = {**folders, **SMALL, **option}
        with pytest.raises(BadInput, match=line):
            Unpaired(**options)
    Unpaired(**folders, **SMALL).check(13)
    with pytest.raises(BadInput, match=r"x .horse. has 13 pictures to train on, fewer than a batch of 14: lower"):
        Unpaired(**folders, **SMALL).check(14)


# -- pictures of other kinds ------------------------------------------------------------------------------------------


def deep(folder: Path, name: str, *arrays: np.ndarray) -> str:
    """A folder of such pictures, the same one a little different each time: equal ones are held out together."""
    (folder / name).mkdir()
    for number, values in enumerate(arrays):
        values = values.copy()
        values[1, 0] = number
        np.save(folder / name / f"{number}.npy", values)
    return str(folder / name)


def said_of(name: str, data: Unpaired) -> list[str]:
    return [line for line in data.notices if line.startswith(f"{name}: ") and "held out" not in line]


def planes(kind: str, channels: int, low: float, high: float) -> np.ndarray:
    """A picture between two values that are both in it."""
    return np.linspace(low, high, 20 * 20 * channels).astype(kind).reshape(20, 20, channels)


def test_rows_hold_any_channels_and_kinds_by_the_stated_range(folders, tmp_path):
    x = deep(tmp_path, "satellite", *[planes("float32", 12, 0, 0.5)] * 6)
    y = deep(tmp_path, "ct", *[planes("int16", 1, -1000, 1000)] * 6)
    ranges = {"x_value_range": [0.0, 0.5], "y_value_range": [-2000.0, 2000.0]}
    data = Unpaired(x=x, y=y, x_channels=12, y_channels=1, flip=False, **ranges, **SMALL)
    batch = joined(some(data.batches(0, 6), 1))
    assert batch["x"].shape == (6, 12, 16, 16) and batch["y"].shape == (6, 1, 16, 16)
    assert batch["x"].min() < -0.5 and batch["x"].max() > 0.5 and batch["x"].abs().max() <= 1
    assert 0.3 < batch["y"].abs().max() <= 0.5001  # half of the range
    assert data.held_out(2)["x"].shape == (2, 12, 16, 16)
    assert json.loads(json.dumps(data.domains())) == {
        "x": {"name": "satellite", "channels": 12, "value_range": [0, 0.5], "kind": "float32"},
        "y": {"name": "ct", "channels": 1, "value_range": [-2000, 2000], "kind": "int16"},
    }
    assert Unpaired(**folders, **SMALL).domains()["x"] == {
        "name": "horse",
        "channels": 3,
        "value_range": [0, 255],
        "kind": "uint8",
    }


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")
def test_rows_of_other_kinds_do_not_depend_on_who_reads_them(folders, tmp_path):
    x = deep(tmp_path, "ct", *[planes("uint16", 1, 0, 4095 + n) for n in range(8)])
    data = Unpaired(
        x=x, y=folders["y"], x_channels=1, x_value_range=[0, 4095], augment={"GaussNoise": {"p": 0.5}}, **SMALL
    )
    expected = joined(some(data.batches(0, 4), 3))
    assert same(joined(some(batches(data, 0, 4, workers=2, start_method="spawn"), 3)), expected)


def test_what_is_clipped_is_counted_and_said_before_training(folders, tmp_path):
    high = planes("uint16", 1, 0, 4095)
    high[0, :5] = 5000
    x = deep(tmp_path, "ct", *[high] * 4)
    [line] = said_of("ct", Unpaired(x=x, y=folders["y"], x_channels=1, x_value_range=[0, 4095], **SMALL))
    assert "10 of 800 values (1.25 %) lie outside 0..4095 and are clipped" in line  # 2 of 4 are trained on
    [line, advice] = said_of("ct", Unpaired(x=x, y=folders["y"], x_channels=1, **SMALL))
    assert "they use 7.6 % of that range" in advice and "say --x_value_range '[0, 5000]'" in advice
    assert "0 of 800 values (0.00 %) lie outside 0..65535" in line
    x = deep(tmp_path, "floats", *[planes("float32", 1, -0.01, 1) * np.float32(1 - n / 1000) for n in range(2)])
    [line] = said_of("floats", Unpaired(x=x, y=folders["y"], x_channels=1, **SMALL))
    assert "4 of 400 values (1.00 %) lie outside 0..1 and are clipped" in line
    assert not said_of("zebra", Unpaired(x=x, y=folders["y"], x_channels=1, **SMALL))


def test_a_stated_range_holds_for_8_bits_too(folders):
    data = Unpaired(**folders, x_value_range=[0, 40], **SMALL)
    assert any("values" in line and "outside 0..40" in line for line in said_of("horse", data))
    assert data.domains()["x"]["value_range"] == [0, 40] and data.domains()["x"]["kind"] == "uint8"
    batch = joined(some(data.batches(0, 4), 1))
    assert (batch["x"][:, 0] > -0.9).float().mean() > 0.8  # of red, 0 to 40
    same_as_none = Unpaired(**folders, x_value_range=[0, 255], **SMALL)
    assert same(some(same_as_none.batches(0, 4), 1)[0], some(Unpaired(**folders, **SMALL).batches(0, 4), 1)[0])


def test_numbers_whose_range_must_be_stated_are_refused_with_the_option_and_the_values(folders, tmp_path):
    signed = deep(tmp_path, "signed", *[planes("int16", 1, -1000, 3000)] * 3)
    floats = deep(tmp_path, "floats", *[planes("float32", 1, 0, 4095)] * 3)
    for x, line in (
        (signed, r"signed: 2 of 2 .* int16, from -1000 to 3000, .* say --x_value_range '\[-1000, 3000\]'"),
        (floats, r"floats: .* floats from 0 to 4095, .* outside 0..1: say --x_value_range '\[0, 4095\]'"),
    ):
        with pytest.raises(BadInput, match=line) as caught:
            Unpaired(x=x, y=folders["y"], x_channels=1, **SMALL)
        assert "\n" not in str(caught.value)
        Unpaired(x=x, y=folders["y"], x_channels=1, x_value_range=[-1000, 4095], **SMALL)
        with pytest.raises(BadInput, match="--y_value_range"):
            Unpaired(x=folders["y"], y=x, y_channels=1, **SMALL)


def test_a_picture_that_does_not_fit_is_named_with_its_option(folders, tmp_path):
    values = planes("float32", 1, 0, 1)
    values[3, 3] = np.nan
    many, holes = deep(tmp_path, "many", *[planes("uint16", 12, 0, 9)] * 3), deep(tmp_path, "holes", *[values] * 3)
    for options, line in (
        ({"x": many}, r"many/\d.npy: it has 12 channels, and 3 are asked for: say --x_channels 12, as only 1 and 3"),
        ({"x": many, "x_channels": 4}, r"many/\d.npy: it has 12 channels, and 4 are asked for: say --x_channels 12"),
        ({"y": many, "x": folders["y"]}, r"--y_channels"),
        ({"x_channels": 12}, r"horse/\d+.png: it has 3 channels, and 12 are asked for: say --x_channels 3"),
        ({"x": holes, "x_channels": 1}, r"holes/\d.npy: it holds values that are NaN or infinite"),
        ({"x_value_range": [3, 3]}, r"x_value_range \[3, 3\]: two numbers, the lower first"),
        ({"y_value_range": [3]}, "y_value_range"),
        ({"x_value_range": [-10, 300]}, r"horse: --x_value_range \[-10, 300\] reaches beyond uint8, .* \[0, 255\]"),
        (
            {
                "x": deep(tmp_path, "ct", *[planes("uint16", 1, 0, 9)] * 3),
                "x_channels": 1,
                "x_value_range": [-1, 40000],
            },
            r"reaches beyond uint16, .* within \[0, 65535\], or save them as floats",
        ),
        ({"y_value_range": [0, float("inf")]}, "y_value_range"),
    ):
        with pytest.raises(BadInput, match=line) as caught:
            Unpaired(**{**folders, **SMALL, **options})
        assert "\n" not in str(caught.value)


def test_where_damaged_pictures_are_skipped_so_are_those_that_do_not_fit(folders, tmp_path):
    holes = planes("float32", 12, 0, 1)
    holes[0, 0] = np.inf
    good, other = planes("float32", 12, 0, 1), planes("float32", 5, 0, 1)
    x = deep(tmp_path, "many", *[good * np.float32(1 - n / 100) for n in range(9)], holes, other)
    data = Unpaired(x=x, y=folders["y"], x_channels=12, unreadable="skip", **SMALL)
    batch = joined(some(data.batches(0, 5), 5))
    assert torch.isfinite(batch["x"]).all() and len(data.skipped) <= 2


def test_what_most_pictures_are_is_the_kind_and_the_others_are_said(folders, tmp_path):
    mixed = [planes("uint16", 1, 0, 4095 - n) for n in range(9)] + [planes("uint8", 1, 0, 255)] * 5
    x = deep(tmp_path, "mixed", *mixed)
    data = Unpaired(x=x, y=folders["y"], x_channels=1, x_value_range=[0, 4095], flip=False, **SMALL)
    assert data.domains()["x"]["kind"] == "uint16"
    assert any("are uint8: read by 0..255" in line for line in said_of("mixed", data))
    whitest = [float(picture.max()) for picture in joined(some(data.batches(0, 8), 2))["x"]]
    assert min(whitest) > 0.3  # none is nearly black
    photos = [planes("uint8", 1, 0, 255)] * 9 + [planes("uint16", 1, 0, 65535)] * 5
    data = Unpaired(x=deep(tmp_path, "photos", *photos), y=folders["y"], x_channels=1, **SMALL)
    assert data.domains()["x"] == {"name": "photos", "channels": 1, "value_range": [0, 255], "kind": "uint8"}
    assert any("are uint16: read by 0..65535" in line for line in said_of("photos", data))
    assert data.augments["x"].without_chance(read_picture(data.sides["x"].train[0], 1)).dtype == np.uint8
    wide = deep(tmp_path, "wide", *[planes("int64", 1, -n, 3000) for n in range(3)], *[planes("int64", 1, 0, 99)] * 6)
    data = Unpaired(x=wide, y=folders["y"], x_channels=1, x_value_range=[-1000, 3000], **SMALL)
    assert data.domains()["x"]["kind"] == "int16"  # for -1000, which most of them do not hold


# -- damaged pictures -------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(folders, tmp_path) -> dict[str, str]:
    """The same folders, two horses and a zebra cut off in the middle: their headers are still good."""
    for side, bad in (("x", (2, 5)), ("y", (7,))):
        target = tmp_path / Path(folders[side]).name
        target.mkdir()
        for path in Path(folders[side]).iterdir():
            encoded = path.read_bytes()
            (target / path.name).write_bytes(encoded[: len(encoded) // 2] if int(path.stem) in bad else encoded)
    return {"x": str(tmp_path / "horse"), "y": str(tmp_path / "zebra")}


def unreadable_in(data: Unpaired) -> set[str]:
    bad = set()
    for path in [path for side in data.sides.values() for path in side.train]:
        try:
            read_picture(path)
        except BadInput:
            bad.add(str(path))
    return bad


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_stops_with_its_name(damaged, workers):
    data = Unpaired(**damaged, **small(workers=workers))
    others = set(reading.multiprocessing.active_children())
    assert (bad := unreadable_in(data))
    with pytest.raises(BadInput) as caught:
        some(data.batches(0, 4), 10)
    assert "\n" not in str(caught.value) and any(str(caught.value).startswith(f"{path}: ") for path in bad)
    assert set(reading.multiprocessing.active_children()) == others


def test_skipped_pictures_are_counted_and_replaced_the_same_way_every_time(damaged):
    found = []
    for workers in (0, 2):
        data = Unpaired(**damaged, **small(workers=workers), unreadable="skip")
        found.append(joined(some(data.batches(0, 10), 4)))
        names = {line.split(": ")[0]: count for line, count in data.skipped.items()}
        assert set(names) == unreadable_in(data)
        times = [[name in data.files(row) for row in range(40)] for name in names]
        assert all(count >= sum(rows) for count, rows in zip(names.values(), times, strict=True))
    assert same(*found)


def test_where_nothing_can_be_read_it_is_said(tmp_path, folders):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"no picture %d" % number)
    data = Unpaired(x=str(tmp_path), y=folders["y"], **SMALL, unreadable="skip")
    with pytest.raises(BadInput, match="none of 2 pictures can be read"):
        some(data.batches(0, 1), 1)
    with pytest.raises(BadInput, match=r"\.png: not a picture"):
        Unpaired(x=str(tmp_path), y=folders["y"], **SMALL)


# -- workers that fail ------------------------------------------------------------------------------------------------


@dataclass
class Trap:
    """Rows that are their numbers; at row 6 something happens to the reader."""

    trap: str
    patience: float = 60.0

    def sample(self, row: int) -> Sample:
        if row == 6:
            if self.trap == "raises":
                raise ZeroDivisionError("of two\nlines")
            if self.trap == "exits":
                os._exit(3)
            if self.trap == "is killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(self.patience)
        return Sample({"n": torch.tensor(float(row))})

    def files(self, row: int) -> list[str]:
        return [f"horse{row}.png", f"zebra{row}.png"]


@pytest.mark.parametrize(
    ("trap", "line"),
    [
        ("raises", r"reading row 6 \(horse6.png, zebra6.png\) failed: ZeroDivisionError: of two lines"),
        ("exits", r"a data worker exited with code 3 while reading row 6: horse6.png, zebra6.png"),
        ("is killed", r"a data worker was killed by SIGKILL while reading row 6: horse6.png, zebra6.png"),
        ("hangs", r"no batch for 1 s: the data workers hang .*while reading row 6: horse6.png, zebra6.png"),
    ],
)
def test_a_failing_worker_is_reported_with_its_files(trap, line, monkeypatch):
    monkeypatch.setattr(reading, "POLL_SECONDS", 0.1)
    before = set(reading.multiprocessing.active_children())
    stream = batches(Trap(trap), 0, 2, workers=2, timeout=0.6, start_method="fork")
    next(stream)
    crew = set(reading.multiprocessing.active_children()) - before
    with pytest.raises(DataFault, match=line) as caught:
        some(stream, 9)
    assert "\n" not in str(caught.value)
    assert crew and not any(  # one of two may have ended before they were counted
        worker.join(9) or worker.is_alive() for worker in crew
    )
    assert trap != "hangs" or -signal.SIGKILL in [worker.exitcode for worker in crew]  # not asked to end, in vain


def test_a_worker_s_death_never_interrupts_other_work(monkeypatch):
    monkeypatch.setattr(reading, "POLL_SECONDS", 0.1)
    stream = batches(Trap("is killed"), 0, 2, workers=2, start_method="fork")
    next(stream)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:  # the worker dies in here
        pass
    with pytest.raises(DataFault, match="killed by SIGKILL"):
        some(stream, 9)


def test_a_slow_worker_is_waited_for(monkeypatch):
    monkeypatch.setattr(reading, "POLL_SECONDS", 0.1)
    found = some(batches(Trap("is slow", patience=0.6), 0, 2, workers=1, timeout=30, start_method="fork"), 6)
    assert joined(found)["n"].tolist() == list(range(12))


def test_a_fault_without_workers_is_told_the_same_way():
    with pytest.raises(
        DataFault, match=r"reading row 6 \(horse6.png, zebra6.png\) failed: ZeroDivisionError"
    ) as caught:
        some(batches(Trap("raises"), 0, 2), 9)
    assert "in sample" in caught.value.__notes__[0]
