"""A contact sheet shows every picture, under its caption."""

import numpy as np
import pytest
import torch
from PIL import Image

from quagga import BadInput
from quagga.data.preview import PAPER, contact_sheet

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]


def plain(colours, size: int = 130) -> np.ndarray:
    return np.stack([np.full((size, size, 3), colour, np.uint8) for colour in colours])


def centres(sheet: np.ndarray) -> dict[tuple[int, ...], tuple[float, float]]:
    """Where each colour lies: colour -> (x, y) of its middle."""
    found = {}
    for colour in COLOURS:
        y, x = np.nonzero((sheet == colour).all(axis=-1))
        if len(x):
            found[colour] = (x.mean(), y.mean())
    return found


def test_columns_stand_side_by_side_and_rows_below_each_other():
    at = centres(contact_sheet({"one": plain(COLOURS[:2]), "other": plain(COLOURS[2:5])}))
    assert len({round(at[colour][0]) for colour in COLOURS[:2]}) == 1
    assert at[COLOURS[0]][0] < at[COLOURS[2]][0] and at[COLOURS[0]][1] == at[COLOURS[2]][1]
    assert at[COLOURS[2]][1] < at[COLOURS[3]][1] < at[COLOURS[4]][1]


def test_pictures_may_stand_abreast():
    at = centres(contact_sheet({"one": plain(COLOURS)}, abreast=3))
    assert [at[c][1] == at[COLOURS[0]][1] for c in COLOURS] == [True, True, True, False, False]
    assert at[COLOURS[3]][0] == at[COLOURS[0]][0]


def test_pixels_are_shown_as_they_are_and_small_ones_enlarged():
    picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    sheet = contact_sheet({"": picture})
    height, width = sheet.shape[:2]
    margin = (width - 4 * 32) // 2
    shown = sheet[height - margin - 128 : height - margin, margin : margin + 128]
    assert np.array_equal(shown[::4, ::4], picture[0]) and np.array_equal(shown[3::4, 3::4], picture[0])


def test_tensors_and_grey_pictures_of_any_size_mix():
    columns = {"tensor": torch.rand(2, 3, 64, 48) * 2 - 1, "grey": torch.zeros(3, 1, 20, 30), "bytes": plain(COLOURS)}
    sheet = contact_sheet(columns)
    assert sheet.dtype == np.uint8 and set(centres(sheet)) == set(COLOURS)
    assert (sheet[0] == PAPER).all() and (sheet[-1] == PAPER).all() and (sheet[:, -1] == PAPER).all()


def test_captions_are_written_and_cut_to_their_column():
    written = contact_sheet({"horse": plain(COLOURS[:1])})
    strip = written[12:36]
    assert (strip != PAPER).any()
    longer = contact_sheet({"horse " * 40: plain(COLOURS[:1])})
    assert longer.shape == written.shape and (longer[:, :8] == PAPER).all()


def test_a_sheet_is_saved_where_it_is_asked_for(tmp_path):
    sheet = contact_sheet({"one": plain(COLOURS[:1])}, tmp_path / "new" / "sheet.png")
    with Image.open(tmp_path / "new" / "sheet.png") as image:
        assert np.array_equal(np.asarray(image), sheet)
    for path in (tmp_path / "sheet.unknown", tmp_path / "new" / "sheet.png" / "x.png"):
        with pytest.raises(BadInput, match="cannot write"):
            contact_sheet({"one": plain(COLOURS[:1])}, path)
    with pytest.raises(BadInput, match="at least one picture"):
        contact_sheet({"one": plain(COLOURS[:1])[:0]})
