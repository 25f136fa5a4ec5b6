"""The laws of pairs: what belongs together stays together, from the disk to the network."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_color_profile import profile

from quagga.data.io.pixel_format import Native
from quagga.data.io.tensors import floats, to_uint8, with_floats
from quagga.data.loading.row_order import Batches
from quagga.data.paired import Paired
from quagga.data.sources.pairs import Pair, find_pairs, split
from quagga.data.transforms.augment import PairAugment
from quagga.data.transforms.derived_inputs import DerivedInput, derive_input, input_from_json
from quagga.data.transforms.label_maps import color_table, label_indices, label_planes, label_values
from quagga.errors import BadInput

SMALL: dict[str, Any] = {"load_size": 20, "crop_size": 16, "workers": 0}
rng = np.random.default_rng(0)


def noise(height: int = 24, width: int = 20, channels: int = 3) -> np.ndarray:
    """Soft noise, uint8."""
    coarse = rng.integers(0, 256, (6, 5, channels)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(path)
    return path


def partner(x: np.ndarray) -> np.ndarray:
    """A y that is known from its x, pixel by pixel."""
    return 255 - x


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Side-by-side pictures: x left, its negative right."""
    for name, count in (("train", 6), ("val", 3), ("test", 2)):
        for number in range(count):
            x = noise()
            save(tmp_path / "dark2light" / name / f"{number}.png", np.concatenate([x, partner(x)], axis=1))
    return tmp_path / "dark2light"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders whose names differ in suffix, case and Unicode form."""
    names = ["a", "Äpfel", "sub/c", "d", "e", "f"]
    for number, name in enumerate(names):
        x = noise()
        save(tmp_path / "dark" / f"{unicodedata.normalize('NFC', name)}.png", x)
        other = name.upper() if number == 3 else unicodedata.normalize("NFD", name)
        save(tmp_path / "light" / f"{other}.bmp", partner(x))
    return tmp_path / "dark", tmp_path / "light"


def begun(batches: Batches) -> dict[str, torch.Tensor]:
    """The first batch, as the networks see it."""
    return with_floats(next(batches))


def aligned(batch: dict[str, torch.Tensor]) -> bool:
    """Whether y is the negative of x everywhere; a level of rounding is one of 255."""
    return bool((batch["x"] + batch["y"]).abs().max() < 3 / 255)


# -- finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
def test_side_by_side_either_half_is_x(beside, side):
    rows = Paired(root=str(beside), side=side, flip=False, load_size=16, crop_size=16, fit="squash", workers=0)
    assert (len(rows.train), len(rows.test)) == (6, 2)  # val is not used where there is a test
    assert rows.names == {"x": "dark", "y": "light"}
    pixels = np.asarray(Image.open(rows.files(0)[0]))
    half = pixels[:, :20] if side == "left" else pixels[:, 20:]
    expected = cv2.resize(half, (16, 16), interpolation=cv2.INTER_AREA)
    assert np.abs(to_uint8(floats(rows.sample(0).tensors["x"])).astype(int) - expected).max() <= 1


def test_two_folders_are_matched_by_name_whatever_its_case_and_unicode_form(folders):
    rows = Paired(x=str(folders[0]), y=str(folders[1]), **SMALL)
    assert len(rows.train) + len(rows.test) == 6
    assert aligned(begun(rows.batches(0, 6))) and aligned(rows.held_out(4))


def test_case_tells_where_names_differ_in_nothing_else(tmp_path):
    for name in ("a", "A", "b"):
        x = noise()
        save(tmp_path / "x" / f"{name}.png", x)
        save(tmp_path / "y" / f"{name}.png", partner(x))
    rows = Paired(x=str(tmp_path / "x"), y=str(tmp_path / "y"), **SMALL)
    found = {(pair.x and pair.x.name, pair.y.name) for pair in (*rows.train, *rows.test)}
    assert found == {(f"{name}.png",) * 2 for name in "aAb"}


def test_trainA_and_trainB_are_matched_and_their_tests_too(tmp_path):
    for part, count in (("train", 5), ("test", 3)):
        for number in range(count):
            x = noise()
            save(tmp_path / "a2b" / f"{part}A" / f"{number}.png", x)
            save(tmp_path / "a2b" / f"{part}B" / f"{number}.png", partner(x))
    for options in (
        {"root": str(tmp_path / "a2b")},
        {"x": str(tmp_path / "a2b/trainA"), "y": str(tmp_path / "a2b/trainB")},
    ):
        rows = Paired(**options, **SMALL)
        assert (len(rows.train), len(rows.test)) == (5, 3) and aligned(begun(rows.batches(0, 5)))


def table(folder: Path, text: str | bytes, name: str = "list.csv") -> str:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(folder / name)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    for number in range(8):
        x = noise()
        save(tmp_path / "p" / f"x {number}.png", x)
        save(tmp_path / "p" / f"y{number}.png", partner(x))
    return tmp_path


ROWS = [(f"p/x {n}.png", f"p/y{n}.png") for n in range(8)]


@pytest.mark.parametrize(
    "form",
    {
        "comma": lambda: "x,y\n" + "\n".join(",".join(row) for row in ROWS),
        "semicolon, BOM, CRLF": lambda: ("﻿X;note;Y\r\n" + "\r\n".join(f"{x};n;{y}" for x, y in ROWS)).encode(),
        "tab, quoted": lambda: "y\tx\n\n" + "\n".join(f'"{y}"\t"{x}"' for x, y in ROWS),
        "an empty line first": lambda: "\n \nx;y\n" + "\n".join(";".join(row) for row in ROWS),
        "UTF-16": lambda: ("x\ty\n" + "\n".join("\t".join(row) for row in ROWS)).encode("utf-16"),
    }.items(),
    ids=lambda form: form[0],
)
def test_a_list_may_be_written_in_any_of_the_usual_ways(listed, form):
    rows = Paired(pairs=table(listed, form[1]()), **SMALL)
    assert len(rows.train) + len(rows.test) == 8 and aligned(begun(rows.batches(0, len(rows.train))))


def test_a_list_may_be_json(listed):
    entries = [{"x": x, "y": y, "split": "test" if n < 3 else "train", "group": n} for n, (x, y) in enumerate(ROWS)]
    rows = Paired(pairs=table(listed, json.dumps(entries), "list.json"), **SMALL)
    assert (len(rows.train), len(rows.test)) == (5, 3) and aligned(rows.held_out(3))


def test_a_group_is_on_one_side_of_the_split_and_stays_there(listed):
    def parts(groups: int) -> tuple[set[str], set[str]]:
        pairs = [Pair(f"{g} {n}", Path("x"), Path("y"), f"patient {g}") for g in range(groups) for n in range(3)]
        train, test, _ = split(pairs)
        assert len(train) + len(test) == len(pairs)
        return {pair.group for pair in train}, {pair.group for pair in test}

    train, test = parts(200)
    assert not train & test and 0.05 < len(test) / 200 < 0.15
    more_train, more_test = parts(300)
    assert train <= more_train and test <= more_test
    two = parts(2)
    assert not two[0] & two[1] and all(two)


# -- what is wrong ----------------------------------------------------------------------------------------------------


def refused(**options) -> str:
    with pytest.raises(BadInput) as caught:
        rows = Paired(**options, **SMALL)
        begun(rows.batches(0, 1))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_unmatched_is_counted_and_named_or_skipped(folders):
    save(folders[0] / "lonely.png", noise())
    options: dict[str, Any] = {"x": str(folders[0]), "y": str(folders[1])}
    said = refused(**options)
    assert "1 picture" in said and "lonely.png" in said and "--unmatched skip" in said
    rows = Paired(**options, unmatched="skip", **SMALL)
    assert len(rows.train) + len(rows.test) == 6 and any("lonely" in line for line in rows.notices)


def test_nothing_matches(tmp_path):
    save(tmp_path / "x/a.png", noise())
    save(tmp_path / "y/b.png", noise())
    assert "no picture" in (said := refused(x=str(tmp_path / "x"), y=str(tmp_path / "y"))) and "a.png" in said


def test_pairs_of_different_sizes_are_named_or_made_equal(folders):
    (folders[1] / "D.bmp").unlink()
    save(folders[1] / "d.png", noise(48, 40))
    options: dict[str, Any] = {"x": str(folders[0]), "y": str(folders[1])}
    said = refused(**options)
    assert "1 of 6 pairs differ in size" in said and "d (20x24 and 40x48)" in said and "--sizes fit" in said
    rows = Paired(**options, sizes="fit", **SMALL)
    batch = begun(rows.batches(0, len(rows.train)))
    assert batch["x"].shape == batch["y"].shape


def test_sides_that_are_turned_against_each_other_are_told_before_training(tmp_path):
    for number in range(3):
        save(tmp_path / "x" / f"{number}.png", noise(24, 20))
        save(tmp_path / "y" / f"{number}.png", noise(20, 24))
    said = refused(x=str(tmp_path / "x"), y=str(tmp_path / "y"))
    assert "3 of 3 pairs differ in size" in said and "20x24" in said and "24x20" in said


def test_an_odd_width_has_no_halves(beside):
    save(beside / "train/odd.png", noise(24, 41))
    assert "odd width" in (said := refused(root=str(beside))) and "odd (41x24)" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x;b\n1;2\n", ["no column y", "x, b"]),
        ("a,b\n1,2\n", ["no column x and no y"]),
        ("x,y\n", ["no rows"]),
        ("x,y\np/x 0.png,p/y0.png\np/gone.png,p/y1.png\n", ["1 of 2 rows", "gone.png", "row 3"]),
        ("x,y\np/x 0.png,\n", ["1 of 1 rows", "row 2: no y"]),
        ("x,y,split\np/x 0.png,p/y0.png,exam\n", ["'exam'", "train, val or test"]),
        (b"x,y\n\xff\xfa.png,b.png\n", ["not UTF-8"]),
        (
            "x,y,split,group\np/x 0.png,p/y0.png,train,Ann\np/x 1.png,p/y1.png,test,Ann\np/x 2.png,p/y2.png,train,Bo\n",
            ["1 groups", "Ann", "training and test both"],
        ),
    ],
)
def test_what_is_wrong_with_a_list_is_one_line(listed, text, words):
    said = refused(pairs=table(listed, text))
    assert all(word in said for word in words), said


def test_a_list_that_is_not_there_or_no_json(tmp_path):
    assert "cannot read" in refused(pairs=str(tmp_path / "none.csv"))
    assert "not JSON" in refused(pairs=table(tmp_path, "[{", "a.json"))
    assert "list of objects" in refused(pairs=table(tmp_path, '[["a", "b"]]', "a.json"))


def test_what_is_said_twice_or_not_at_all(folders, beside):
    x, y = map(str, folders)
    assert "name the pairs" in refused() and "name the pairs" in refused(x=x)
    assert "at once" in refused(root=str(beside), x=x, y=y)
    assert "same folder" in refused(x=x, y=x)
    assert "--x" in refused(x=x, y=y, x_as="edges")
    assert "--x_as labels" in refused(x=x, y=y, labels=3)


def test_of_too_few_pairs_no_batch_is_made(beside):
    with pytest.raises(BadInput, match="6 pairs"):
        Paired(root=str(beside), **SMALL).check(7)


def test_damaged_pairs_are_skipped_when_asked(beside):
    (beside / "train/0.png").write_bytes(b"no picture")
    rows = Paired(root=str(beside), unreadable="skip", **SMALL)
    assert aligned(begun(rows.batches(0, 6)))
    assert "0.png" in next(iter(rows.skipped))
    refused(root=str(beside))


# -- order ------------------------------------------------------------------------------------------------------------


def test_row_n_is_the_same_wherever_one_begins(beside):
    rows = Paired(root=str(beside), **SMALL)
    first, second = begun(rows.batches(0, 6)), begun(rows.batches(3, 3))
    assert all(torch.equal(first[name][3:], second[name]) for name in ("x", "y", "row"))
    assert sorted(file for row in range(6) for file in rows.files(row)) == sorted(str(pair.y) for pair in rows.train)


# -- alignment --------------------------------------------------------------------------------------------------------

MOVES: dict[str, Any] = {
    "HorizontalFlip": {"p": 0.5},
    "Rotate": {"limit": [-40, 40], "border_mode": 4, "p": 1.0},
    "ElasticTransform": {"alpha": 20.0, "sigma": 4.0, "border_mode": 4, "p": 1.0},
    "RandomResizedCrop": {"size": [16, 16], "p": 1.0},
    "RandomGridShuffle": {"p": 1.0},
}


@pytest.mark.parametrize("fit", ["crop", "squash", "none"])
@pytest.mark.parametrize("name", [None, *MOVES])
@given(seed=st.integers(0, 2**63 - 1))
def test_a_pair_stays_aligned(fit, name, seed):
    x = noise(31, 43)
    change = PairAugment(20, 16, fit, True, {name: MOVES[name]} if name else {})
    moved_x, moved_y = change(x, partner(x), seed)
    assert moved_x.shape == moved_y.shape == (16, 16, 3)
    assert np.abs(moved_x.astype(int) + moved_y - 255).max() <= 3  # bicubic rounds


@pytest.mark.parametrize("name", [None, "Rotate", "ElasticTransform", "RandomResizedCrop"])
@given(seed=st.integers(0, 2**63 - 1))
def test_a_label_map_keeps_its_labels_and_its_place(name, seed):
    labels = np.zeros((40, 40, 1), np.uint8)
    labels[:, 13:], labels[22:] = 3, 9
    y = (labels * 25).repeat(3, axis=2)
    change = PairAugment(30, 16, "crop", True, {name: MOVES[name]} if name else {}, (1, 3), labels=True)
    x, moved = change(labels, y, seed)
    assert set(np.unique(x)) <= {0, 3, 9}
    near = np.ones((5, 5), np.uint8)  # where two labels meet, bicubic mixes, and the nearest may be half a pixel away
    inside = (cv2.dilate(moved, near) == cv2.erode(moved, near)).all(-1)
    assert (np.abs(moved[..., 0].astype(int) - x[..., 0].astype(int) * 25)[inside] <= 1).all()


def test_colour_changes_x_alone_unless_asked():
    x = noise(16, 16)
    colours: Any = {"ColorJitter": {"brightness": [0.3, 0.3], "p": 1.0}, "CoarseDropout": {"p": 1.0}}
    options: dict[str, Any] = {"load_size": 16, "crop_size": 16, "flip": False, "declared": colours}
    for seed in range(5):
        changed, same = PairAugment(**options)(x, x, seed)
        assert (same == x).all() and (changed != x).any()
        one, other = PairAugment(**options, both=True)(x, x, seed)
        assert (one == other).all() and (one != x).any()  # by the same draws
        assert (one == changed).all()


def test_labels_have_no_colour_to_change():
    with pytest.raises(BadInput, match="ColorJitter would change labels"):
        PairAugment(declared={"ColorJitter": {}}, labels=True)
    PairAugment(20, 16, declared={"ColorJitter": {}}, labels=True, both=True, channels=(1, 3))


def test_each_side_keeps_its_kind_and_channels(tmp_path):
    for number in range(4):
        values = noise(24, 24, 1).astype(np.uint16)[..., 0] * 257
        (tmp_path / "x").mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "x" / f"{number}.png")
        save(tmp_path / "y" / f"{number}.png", 255 - (values // 257).astype(np.uint8)[..., None].repeat(3, 2))
    rows = Paired(x=str(tmp_path / "x"), y=str(tmp_path / "y"), x_channels=1, **SMALL)
    batch = begun(rows.batches(0, 3))
    assert batch["x"].shape[1:] == (1, 16, 16) and batch["y"].shape[1:] == (3, 16, 16)
    assert rows.domains()["x"]["kind"] == "uint16" and aligned(batch)
    assert rows.known() == {"x_channels": 1}


# -- what x is made of ------------------------------------------------------------------------------------------------


def maps_of(folder: Path, write, count: int = 5) -> dict[str, Any]:
    for number in range(count):
        places = rng.integers(0, 3, (6, 6)).repeat(4, 0).repeat(4, 1)
        (folder / "x").mkdir(exist_ok=True, parents=True)
        write(folder / "x" / f"{number}.png", places)
        save(folder / "y" / f"{number}.png", (places * 100).astype(np.uint8)[..., None].repeat(3, 2))
    return {"x": str(folder / "x"), "y": str(folder / "y")}


COLOURS = np.array([[10, 20, 30], [200, 0, 0], [0, 0, 255]], np.uint8)


def palette(path: Path, places: np.ndarray) -> None:
    image = Image.fromarray(places.astype(np.uint8), mode="P")
    image.putpalette(COLOURS.ravel().tolist())
    image.save(path)


WRITERS = {
    "grey": lambda path, places: save(path, (places * 7).astype(np.uint8)),
    "16 bits": lambda path, places: Image.fromarray((places * 1000).astype(np.uint16)).save(path),
    "colour": lambda path, places: save(path, COLOURS[places]),
    "profiled": lambda path, places: Image.fromarray(COLOURS[places]).save(path, icc_profile=profile()),
    "palette": palette,
    "numpy": lambda path, places: np.save(path.with_suffix(".npy"), places.astype(np.int64)),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_label_map_becomes_a_plane_for_each_label(tmp_path, kind):
    rows = Paired(**maps_of(tmp_path, WRITERS[kind]), x_as="labels", load_size=24, crop_size=16, workers=0)
    batch = begun(rows.batches(0, 4))
    assert batch["x"].shape[1] == 3 and rows.known() == {"x_channels": 3}
    assert set(batch["x"].unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(batch["x"].sum(1), torch.full((4, 16, 16), -1.0))  # one plane of three is 1
    greys = ((batch["y"][:, 0] + 1) * 127.5 / 100).round().long()  # 0, 100, 200 of the places 0, 1, 2
    order = [greys[batch["x"][:, plane] > 0].unique().tolist() for plane in range(3)]
    assert sorted(order) == [[0], [1], [2]]
    card = json.loads(json.dumps(rows.domains()["x"]))
    assert input_from_json(card, "here") == rows.input and card["channels"] == 3


def test_noisy_colours_are_told_and_counted_as_the_nearest(tmp_path):
    def jpeg(path: Path, places: np.ndarray) -> None:
        noisy = COLOURS[places].astype(int) + rng.integers(-9, 10, (*places.shape, 3))
        save(path, np.clip(noisy, 0, 255).astype(np.uint8))

    options = maps_of(tmp_path, jpeg)
    assert "--labels N" in refused(**options, x_as="labels")
    rows = Paired(**options, x_as="labels", labels=3, load_size=24, crop_size=24, workers=0)
    nearest = np.array(rows.input.labels)[:, None] - COLOURS.astype(int)
    assert np.abs(nearest).sum(-1).min(1).max() <= 27
    batch = begun(rows.batches(0, 4))
    greys = ((batch["y"][:, 0] + 1) * 127.5 / 100).round().long()
    assert all(len(greys[batch["x"][:, plane] > 0].unique()) == 1 for plane in range(3))


def test_a_label_that_training_has_not_seen_is_named():
    known = DerivedInput("labels", ((0,), (7,), (9,)))
    with pytest.raises(ValueError, match="the label 8, which training has not seen"):
        label_indices(np.array([[[7], [8]]], np.uint8), known)
    with pytest.raises(ValueError, match="coloured"):
        label_indices(np.array([[[7, 7, 9]]], np.uint8), known)
    assert label_indices(np.array([[[9, 9, 9], [0, 0, 0]]], np.uint8), known)[..., 0].tolist() == [[2, 0]]


def test_a_card_that_is_not_ours_is_refused():
    good = {"as": "labels", "labels": [[1], [2]], "channels": 2}
    assert input_from_json(good, "p").labels == ((1,), (2,))
    for wrong in (
        {"as": "dreams"},
        {"labels": [[1], [2], [3]]},
        {"labels": [[1], [2, 3]]},
        {"labels": [["a"], [1]]},
        {"labels": [[1], [1 << 40]]},
        {"labels": "abc"},
    ):
        with pytest.raises(BadInput):
            input_from_json({**good, **wrong}, "p")


def test_floats_are_no_labels_and_one_label_is_none():
    with pytest.raises(ValueError, match="no label map"):
        label_values(Native(np.zeros((2, 2, 1), np.float32), False))
    with pytest.raises(BadInput, match="has 1 labels"):
        color_table([np.zeros((4, 4, 1), np.uint8)], None)


def test_planes_are_one_and_minus_one():
    index = np.array([[[0], [2]]], np.uint8)
    assert floats(label_planes(index, 3))[:, 0].T.tolist() == [[1, -1, -1], [-1, -1, 1]]


def test_edges_and_grey_are_made_of_y(tmp_path):
    for number in range(4):
        pixels = noise(24, 24)
        pixels[:, 12:] = 255 - pixels[:, 12:] // 4
        save(tmp_path / f"{number}.png", pixels)
    for kind in ("edges", "grey"):
        rows = Paired(y=str(tmp_path), x_as=kind, **SMALL)
        batch = begun(rows.batches(0, 3))
        assert batch["x"].shape[1:] == (1, 16, 16) and rows.known() == {"x_channels": 1}
        for x, y in zip(batch["x"], batch["y"], strict=True):
            assert (to_uint8(x) == derive_input(to_uint8(y), kind)).all()
    flat = derive_input(np.full((16, 16, 3), 90, np.uint8), "edges")
    assert (flat == 255).all()  # white paper
    step = np.zeros((16, 16, 3), np.uint8)
    step[:, 8:] = 255
    assert set(np.nonzero(derive_input(step, "edges")[8, :, 0] == 0)[0]) & {7, 8}


def test_colour_on_an_x_that_is_made_of_y():
    y = noise(16, 16)
    grey = lambda pixels: derive_input(pixels, "grey")  # noqa: E731
    options: dict[str, Any] = {"load_size": 16, "crop_size": 16, "flip": False, "channels": (1, 3), "make": grey}
    invert: Any = {"InvertImg": {"p": 1.0}}
    x, same = PairAugment(**options, declared=invert)(None, y, 0)
    assert (same == y).all() and (x == 255 - grey(y)).all()
    x, changed = PairAugment(**options, declared=invert, both=True)(None, y, 0)
    assert (changed == 255 - y).all() and (x == grey(changed)).all()


def test_find_pairs_knows_its_names(beside):
    found = find_pairs(root=str(beside))
    assert found.side_by_side and found.names == {"x": "dark", "y": "light"}
