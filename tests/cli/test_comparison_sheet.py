"""comparison.png: headings, at most eight rows a block, and what is true where it is known."""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_translator import TINY, leave_model, pixels

from quagga.cli.main import command_line
from quagga.data.io.contact_sheet import BACKGROUND
from quagga.data.io.read import read_picture
from quagga.data.transforms.derived_inputs import derive_input
from quagga.pipelines import pix2pix

SIDE = 32  # pixels; four times as large on the sheet


@pytest.fixture
def headings(monkeypatch) -> list[str]:
    """What is written on a sheet, from left to right."""
    lines: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def text(self, at, words, *more, **named):
        lines.append(words)
        draw(self, at, words, *more, **named)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return lines


@pytest.fixture
def paired(tmp_path: Path) -> Callable[..., Path]:
    """Makes a run of pix2pix from sketches to photos, whose x is made as is said."""

    def make(**x) -> Path:
        channels = len(x["labels"]) if "labels" in x else 1 if x else 3
        options = {name: value for name, value in TINY.items() if name != "blocks"}
        leave_model(
            tmp_path / "run",
            pix2pix.build,
            "pix2pix",
            names=("sketches", "photos"),
            **options,
            blocks=3,
            x_channels=channels,
            **({"x_as": x["as"]} if x else {}),
        )
        path = tmp_path / "run/model/model.json"
        card = json.loads(path.read_text())
        card["preprocessing"] |= {"carry": False}
        card["domains"]["x"] |= x
        path.write_text(json.dumps(card))
        return tmp_path / "run"

    return make


def compared(run: Path, *words: object) -> np.ndarray:
    out = run.parent / "out"
    line = ["translate", run, *words, "--output", out, "--device", "cpu", "--comparison", "--overwrite"]
    assert command_line(list(map(str, line))) == 0
    return read_picture(out / "comparison.png")


def shown(sheet: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """At which (column, row) of a sheet of one block a picture of 32 pixels stands, grey or RGB."""
    found = []
    picture = np.broadcast_to(picture, (SIDE, SIDE, 3))
    for top in range(36, sheet.shape[0] - 128, 132):
        for left in range(12, sheet.shape[1] - 128, 132):
            if np.array_equal(sheet[top : top + 128 : 4, left : left + 128 : 4], picture):
                found.append((left // 132, top // 132))
    return found


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(path)
    return path


def test_of_pairs_side_by_side_the_other_half_is_the_true_one(paired, tmp_path, headings, capsys):
    x, y = pixels(SIDE, SIDE, seed=1), pixels(SIDE, SIDE, seed=2)
    pair = save(tmp_path / "pairs/0.png", np.concatenate([y, x], axis=1))
    sheet = compared(paired(), pair, "--side", "right")
    assert headings == ["sketches", "photos", "the true photos"]
    assert shown(sheet, x) == [(0, 0)] and shown(sheet, y) == [(2, 0)]
    assert shown(sheet, read_picture(tmp_path / "out/0.png")) == [(1, 0)]
    assert "sketches | photos | the true photos: " in capsys.readouterr().out


@pytest.mark.parametrize("folders", [("testA", "testB"), ("sketches", "photos")])
def test_in_folders_of_pairs_the_partner_is_the_true_one(folders, paired, tmp_path, headings):
    mine, others = (tmp_path / "set" / name for name in folders)
    pictures = [pixels(SIDE, SIDE, seed=n) for n in range(5)]
    places = [mine / "deep/a.png", others / "deep/a.bmp", mine / "b.png", mine / "c.png", others / "c.png"]
    for place, picture in zip(places, pictures, strict=True):  # b has no partner
        save(place, picture)
    (others / "c.png").write_bytes((others / "c.png").read_bytes()[:100])  # a partner that cannot be read
    sheet = compared(paired(), mine)
    assert headings == ["sketches", "photos", "the true photos"]
    assert [shown(sheet, pictures[n]) for n in (2, 3, 0, 1)] == [[(0, 0)], [(0, 1)], [(0, 2)], [(2, 2)]]
    assert shown(sheet, np.full((SIDE, SIDE, 3), BACKGROUND, np.uint8)) == [(2, 0), (2, 1)]


def test_names_alone_make_no_pair(tmp_path, headings):
    """Of two sides that were trained on without pairs."""
    leave_model(tmp_path / "run", **TINY)
    for name in ("testA", "testB"):
        save(tmp_path / "set" / name / "0.png", pixels(SIDE, SIDE))
    compared(tmp_path / "run", tmp_path / "set/testA")
    assert headings == ["horse", "zebra"]


def test_of_a_photo_whose_edges_are_drawn_the_photo_is_the_true_one(paired, tmp_path, headings):
    photo = np.zeros((SIDE, SIDE, 3), np.uint8)
    photo[8:20, 8:20] = (250, 200, 100)
    sheet = compared(paired(**{"as": "edges"}), save(tmp_path / "photo.png", photo), "--from_photo")
    assert headings == ["sketches", "photos", "the true photos"]
    assert shown(sheet, photo) == [(2, 0)] and shown(sheet, derive_input(photo, "edges")) == [(0, 0)]


def test_of_a_coloured_photo_that_is_read_as_grey_the_photo_is_the_true_one(paired, tmp_path, headings):
    photo, grey = pixels(SIDE, SIDE), pixels(SIDE, SIDE, 1)
    run = paired(**{"as": "grey"})
    sheet = compared(run, save(tmp_path / "photo.png", photo))
    assert headings == ["sketches", "photos", "the true photos"]
    assert shown(sheet, photo) == [(2, 0)] and shown(sheet, derive_input(photo, "grey")) == [(0, 0)]
    headings.clear()
    compared(run, save(tmp_path / "grey.png", grey))
    assert headings == ["sketches", "photos"]


def test_label_maps_are_shown_in_colours(paired, tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (SIDE, SIDE, 1)).astype(np.uint8)
    run = paired(**{"as": "labels", "labels": [[0], [1], [2]]})
    sheet = compared(run, save(tmp_path / "map.png", labels))
    seen = sheet[36 : 36 + 128 : 4, 12 : 12 + 128 : 4]
    of_each = [np.unique(seen[labels[..., 0] == label], axis=0) for label in range(3)]
    assert all(len(colours) == 1 for colours in of_each)
    assert all(np.abs(a.astype(int) - b).max() > 100 for a, b in combinations([c[0] for c in of_each], 2))


@pytest.mark.parametrize(("count", "blocks", "rows"), [(3, 1, 3), (9, 2, 5), (20, 2, 8)])
def test_blocks_have_eight_rows_at_most(count, blocks, rows, tmp_path, headings):
    leave_model(tmp_path / "run", **TINY)
    for number in range(count):
        save(tmp_path / f"set/{number:02}.png", pixels(SIDE, SIDE, seed=number))
    sheet = compared(tmp_path / "run", tmp_path / "set")
    assert headings == ["horse", "zebra"] * blocks
    assert sheet.shape[:2] == (36 + rows * 132 - 4 + 12, 24 + blocks * 2 * 132 - 4 + (blocks - 1) * 20)


def test_large_pictures_are_shown_small(tmp_path):
    leave_model(tmp_path / "run", **TINY)
    wide, tall = pixels(40, 900), pixels(700, 300, seed=2)
    sheet = compared(tmp_path / "run", save(tmp_path / "wide.png", wide), save(tmp_path / "tall.png", tall))
    assert sheet.shape[:2] == (36 + 256 + 4 + 11 + 12, 24 + 256 + 4 + 256)  # 40 x 900 become 11 x 256
