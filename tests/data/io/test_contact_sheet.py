"""A contact sheet shows every picture, under its caption."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from quagga.data.io.contact_sheet import (
    BACKGROUND,
    CAPTION,
    GAP,
    LEAST_COLUMN,
    LINE,
    MARGIN,
    captioned_sheet,
    contact_sheet,
    stretch_columns,
    strips_for_display,
)
from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.tensors import to_tensor
from quagga.errors import BadInput

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
    assert (sheet[0] == BACKGROUND).all() and (sheet[-1] == BACKGROUND).all() and (sheet[:, -1] == BACKGROUND).all()


class Line(NamedTuple):
    """A line of a caption: its words, and where they begin, end and have their middle, in pixels."""

    words: str
    left: float
    right: float
    height: float


@pytest.fixture
def written(monkeypatch) -> list[Line]:
    """The lines that are written, as they come."""
    lines: list[Line] = []
    draw = ImageDraw.ImageDraw.text

    def text(self, at, words, ink, font, anchor):
        assert anchor == "mm"
        width = font.getlength(words)
        lines.append(Line(words, at[0] - width / 2, at[0] + width / 2, at[1]))
        draw(self, at, words, ink, font, anchor=anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return lines


LONG = [
    "horse",
    "horses in the field, photographed in the summer of 2024 and in the autumn",
    "horses_of_the_field_photographed_in_the_summer-of-2024",
    "W" * 100,
    "zebra\nF(G(x)) that is a line of its own, and a long one\n1st to 99th percentile",
]


@pytest.mark.parametrize("shape", [(64, 64), (130, 20), (20, 130), (300, 400)], ids=str)
@pytest.mark.parametrize("abreast", [1, 2])
def test_captions_are_complete_and_stay_within_their_columns(shape, abreast, written):
    pictures = np.zeros((3, *shape, 3), np.uint8)
    pictures[..., 0] = 200
    sheet = contact_sheet(dict.fromkeys(LONG, pictures), abreast=abreast)
    red = (sheet == (200, 0, 0)).all(axis=-1)
    heads = {caption: [] for caption in LONG}
    lines = iter(written)
    for caption in LONG:  # all of it, in order
        left = "".join(caption.split())
        while left:
            line = next(lines)
            heads[caption].append(line)
            assert left.startswith("".join(line.words.split()))
            left = left.removeprefix("".join(line.words.split()))
    assert not list(lines)
    columns = [(min(line.left for line in head), max(line.right for line in head)) for head in heads.values()]
    assert columns[0][0] > 0 and columns[-1][1] < sheet.shape[1]
    assert all(right < left for (_, right), (left, _) in pairwise(columns))
    assert max(line.height for line in written) < np.nonzero(red)[0].min()
    assert all(below.height - above.height >= LINE for head in heads.values() for above, below in pairwise(head))


def test_a_caption_makes_a_sheet_no_wider_unless_a_column_is_narrower_than_a_word():
    wide, narrow = plain(COLOURS[:1]), plain(COLOURS[:1], 200)[:, :, :10]
    assert contact_sheet({"horse " * 40: wide}).shape[1] == contact_sheet({"": wide}).shape[1]
    assert contact_sheet({"horse " * 40: narrow}).shape[1] == 2 * MARGIN + LEAST_COLUMN
    assert contact_sheet({"": narrow}).shape[1] == 2 * MARGIN + 10


@pytest.mark.parametrize(
    ("count", "blocks", "rows"), [(1, 1, 1), (3, 1, 3), (8, 1, 8), (9, 2, 5), (16, 2, 8), (20, 3, 7)]
)
def test_many_rows_go_on_in_further_blocks_below_the_same_captions(count, blocks, rows, written):
    numbers = np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None]
    shown = np.broadcast_to(numbers, (count, 128, 128, 3))
    sheet = contact_sheet({"horse": shown, "zebra": shown + 100}, most_rows=8)
    assert [line.words for line in written] == ["horse", "zebra"] * blocks
    for number in range(count):
        block, row = divmod(number, rows)
        for place, value in enumerate((number + 1, number + 101)):
            y, x = (ends.mean() for ends in np.nonzero((sheet == value).all(axis=-1)))
            line = written[2 * block + place]
            assert abs((line.left + line.right) / 2 - x) < 1  # below its caption
            assert abs(y - (MARGIN + CAPTION + 64 + row * (128 + GAP))) < 1


def test_pictures_of_many_shapes_stand_in_the_middle_of_their_cells_in_rows_as_high_as_they_must_be():
    sizes = ((200, 20), (20, 160), (10, 99))
    tall, wide, flat = (np.full((*size, 3), value, np.uint8) for value, size in enumerate(sizes))
    sheet = contact_sheet([("", [tall, wide]), ("", [flat])])
    assert sheet.shape[:2] == (2 * MARGIN + 200 + GAP + 20, 2 * MARGIN + 160 + GAP + 160)
    first, second = MARGIN + 80, MARGIN + 160 + GAP + 80
    above, below = MARGIN + 100, MARGIN + 200 + GAP + 10
    for picture, at in ((tall, (first, above)), (wide, (first, below)), (flat, (second, above))):
        y, x = np.nonzero((sheet == picture[0, 0]).all(axis=-1))
        assert len(x) == picture[..., 0].size
        assert np.abs(np.array([x.mean(), y.mean()]) - at).max() <= 1


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
    columns = stretch_columns({"ct": ramp, "photo": ramp}, ["ct"])
    assert columns["photo"] is ramp and len(columns) == 2
    [caption] = [name for name in columns if name != "photo"]
    assert caption.startswith("ct\n") and "1st to 99th percentile" in caption
    shown = columns[caption]
    assert shown.shape == ramp.shape and (shown.min(), shown.max()) == (-1, 1)
    for end, share in ((-1, shown == -1), (1, shown == 1)):
        assert abs(share.float().mean() - 0.01) < 0.002, end
    assert shown[0].max() < 0.05 and shown[1].min() > -0.05  # one window for both pictures
    flat = stretch_columns({"ct": torch.full((1, 1, 4, 4), 0.3)}, ["ct"])
    assert all(torch.equal(column, torch.zeros(1, 1, 4, 4)) for column in flat.values())


def test_columns_are_stretched_by_the_channels_that_are_shown():
    picture = torch.rand(1, 12, 50, 50, generator=torch.Generator().manual_seed(0))
    loud = torch.cat([picture[:, :3] * 0.01, picture[:, 3:]], dim=1)
    [shown] = stretch_columns({"satellite": loud}, ["satellite"]).values()
    assert shown[:, :3].std() > 0.5


@pytest.mark.parametrize(
    ("channels", "note"), [(2, "channel 1 of 2"), (4, "channels 1 to 3 of 4"), (12, "1 to 3 of 12")]
)
def test_of_many_channels_some_are_shown_and_the_caption_says_which(channels, note, written):
    picture = np.random.default_rng(0).integers(0, 256, (1, 128, 128, channels), dtype=np.uint8)
    sheet = contact_sheet({"many": picture})
    assert written[0].words == "many" and note in written[1].words
    cell = sheet[MARGIN + CAPTION + LINE :][:128, MARGIN : MARGIN + 128]
    assert np.array_equal(cell, picture[0, ..., :3] if channels > 2 else picture[0, ..., :1].repeat(3, axis=2))
    assert np.array_equal(contact_sheet({"many": to_tensor(picture)}), sheet)


def captions_of(columns: list[str], output_sides: dict[str, str], names: dict[str, str]) -> list[str]:
    strip = {column: torch.zeros(1, 3, 4, 4) for column in columns}
    return list(
        strips_for_display({"strip": strip}, output_sides, {side: PixelFormat(3) for side in names}, names)["strip"]
    )


def test_columns_of_a_strip_are_captioned_with_the_names_of_their_sides():
    names, both = {"x": "horse", "y": "zebra"}, {"G": "y", "F": "x"}
    assert captions_of(["x", "G(x)", "F(G(x))"], both, names) == ["horse\nx", "zebra\nG(x)", "horse again\nF(G(x))"]
    assert captions_of(["y", "F(y)", "G(F(y))"], both, names) == ["zebra\ny", "horse\nF(y)", "zebra again\nG(F(y))"]
    assert captions_of(["x", "G(x)", "y"], {"G": "y"}, names) == ["horse\nx", "zebra\nG(x)", "the true zebra\ny"]
    assert captions_of(["G(z 1)", "G(z 2)"], {"G": "x"}, {"x": "mnist"}) == ["mnist\nG(z 1)", "mnist\nG(z 2)"]
    assert captions_of(["a quagga", "7", "?"], {"G": "x"}, {"x": "mnist"}) == ["a quagga", "7", "?"]


def test_whole_captions_stand_above_pictures_of_a_set(tmp_path, written):
    caption = " ".join(f"word{number}" for number in range(40))
    captioned_sheet(torch.zeros(3, 3, 32, 32), [caption] * 3, tmp_path / "sheet.png", abreast=2)
    assert " ".join(line.words for line in written).split() == caption.split() * 3
