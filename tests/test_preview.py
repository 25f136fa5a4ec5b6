"""A contact sheet shows every picture, under its caption."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from quagga import BadInput
from quagga.data.preview import CAPTION, LINE, MARGIN, PAPER, contact_sheet, windowed
from quagga.data.tensors import to_tensor

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


def test_pictures_of_other_kinds_are_stretched_by_the_column_and_others_left():
    ramp = torch.linspace(-0.9, -0.7, 2 * 100 * 100).view(2, 1, 100, 100)
    columns = windowed({"ct": ramp, "photo": ramp}, ["ct"])
    assert columns["photo"] is ramp and len(columns) == 2
    [caption] = [name for name in columns if name != "photo"]
    assert caption.startswith("ct\n") and "1st to 99th percentile" in caption
    shown = columns[caption]
    assert shown.shape == ramp.shape and (shown.min(), shown.max()) == (-1, 1)
    for end, share in ((-1, shown == -1), (1, shown == 1)):
        assert abs(share.float().mean() - 0.01) < 0.002, end
    assert shown[0].max() < 0.05 and shown[1].min() > -0.05  # one window for both pictures
    flat = windowed({"ct": torch.full((1, 1, 4, 4), 0.3)}, ["ct"])
    assert all(torch.equal(column, torch.zeros(1, 1, 4, 4)) for column in flat.values())


def test_the_window_is_that_of_the_channels_that_are_shown():
    picture = torch.rand(1, 12, 50, 50, generator=torch.Generator().manual_seed(0))
    loud = torch.cat([picture[:, :3] * 0.01, picture[:, 3:]], dim=1)
    [shown] = windowed({"satellite": loud}, ["satellite"]).values()
    assert shown[:, :3].std() > 0.5


@pytest.mark.parametrize(
    ("channels", "note"), [(2, "channel 1 of 2"), (4, "channels 1 to 3 of 4"), (12, "1 to 3 of 12")]
)
def test_of_many_channels_some_are_shown_and_the_caption_says_which(channels, note, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (1, 128, 128, channels), dtype=np.uint8)
    written = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda self, at, text, *a, **k: written.append(text) or draw(self, at, text, *a, **k),
    )
    sheet = contact_sheet({"many": picture})
    assert written[0] == "many" and note in written[1]
    cell = sheet[MARGIN + CAPTION + LINE :][:128, MARGIN : MARGIN + 128]
    assert np.array_equal(cell, picture[0, ..., :3] if channels > 2 else picture[0, ..., :1].repeat(3, axis=2))
    assert np.array_equal(contact_sheet({"many": to_tensor(picture)}), sheet)
