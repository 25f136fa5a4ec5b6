"""A contact sheet: pictures in captioned columns, to be looked at."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from quagga import BadInput
from quagga.data.form import Form, grey_or_rgb
from quagga.data.tensors import to_uint8
from quagga.data.write import draft_of

PAPER, INK = (250, 249, 246), (60, 58, 54)
MARGIN, BETWEEN = 12, 4  # pixels: around the sheet, between pictures
NARROW = 18  # letters of a caption that fit above a small picture
CAPTION, LINE = 24, 14  # pixels: the height of a caption's first line, of each further one
SOFTWARE = 0x0131  # EXIF's tag for the program that has written a picture
SMALLEST = 128  # smaller pictures are enlarged to about this, by whole numbers, so that each pixel stays one square


def contact_sheet(
    columns: Mapping[str, Tensor | np.ndarray] | Sequence[tuple[str, Tensor | np.ndarray]],
    path: str | Path | None = None,
    abreast: int = 1,
    software: str = "Quagga",
) -> np.ndarray:
    """Draws columns of pictures beside each other, row n with row n.

    Args:
        columns: Caption, perhaps of several lines -> pictures, or pairs of them: a tensor (N, C, H, W) in [-1, 1] or an
            array (N, H, W, C) of uint8. Columns may differ in N, size and channels. Of 2 channels the first is shown,
            of 4 and more the first three, and the caption says so.
        path: Where to save the sheet, by its suffix; folders above it are made. None: nowhere.
        abreast: Pictures side by side within a column.
        software: What the file says has written it, see `software_of`.

    Returns:
        The sheet, uint8 (height, width, 3).

    Raises:
        BadInput: no pictures at all, or the sheet cannot be written.
    """
    drawn = [
        (_captioned(caption, column), [_shown(picture) for picture in _arrays(column)])
        for caption, column in (columns.items() if isinstance(columns, Mapping) else columns)
    ]
    pictures = [picture for _, column in drawn for picture in column]
    if not pictures:
        raise BadInput("a contact sheet needs at least one picture: ask for more than 0")
    cell_height = max(picture.shape[0] for picture in pictures) + BETWEEN
    cell_width = max(picture.shape[1] for picture in pictures) + BETWEEN
    rows = max(-(-len(column) // abreast) for _, column in drawn)
    apart = BETWEEN if abreast == 1 else 3 * BETWEEN
    column_width = abreast * cell_width - BETWEEN + apart
    further = max(caption.count("\n") for caption, _ in drawn)
    top = MARGIN + (CAPTION + further * LINE if any(caption for caption, _ in drawn) else 0)

    size = (2 * MARGIN + len(drawn) * column_width - apart, top + rows * cell_height - BETWEEN + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (caption, column) in enumerate(drawn):
        left = MARGIN + number * column_width
        middle = left + (abreast * cell_width - BETWEEN) / 2
        for line, words in enumerate(caption.split("\n")):
            font = ImageFont.load_default(size=11 if line else 14)
            text = _shortened(words, lambda cut, font=font: pen.textlength(cut, font) <= abreast * cell_width)
            pen.text((middle, MARGIN + CAPTION / 2 - 4 + line * LINE), text, INK, font, anchor="mm")
        for index, picture in enumerate(column):
            row, place = divmod(index, abreast)
            sheet.paste(Image.fromarray(picture), (left + place * cell_width, top + row * cell_height))
    if path is not None:
        _save(sheet, path, software)
    return np.asarray(sheet)


def captioned_sheet(
    pictures: Tensor, captions: Sequence[str], path: str | Path, abreast: int = 8, software: str = "Quagga"
) -> None:
    """Pictures (N, C, H, W) in [-1, 1], each below its caption, so many abreast; the sheet is saved.

    Raises:
        BadInput: the sheet cannot be written.
    """
    lines = [fill(caption, NARROW, max_lines=4, placeholder=" ...") for caption in captions]
    cells = [(caption, picture[None]) for caption, picture in zip(lines, pictures, strict=True)]
    sheets = [contact_sheet(cells[start : start + abreast]) for start in range(0, len(cells), abreast)]
    width = max(sheet.shape[1] for sheet in sheets)
    whole = Image.new("RGB", (width, sum(sheet.shape[0] for sheet in sheets)), PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(Image.fromarray(sheet), (0, top))
        top += sheet.shape[0]
    _save(whole, path, software)


def software_of(path: Path) -> str | None:
    """What has written a picture, by its EXIF (a PNG, JPEG, WebP or TIFF has such a tag); None where nothing says."""
    try:
        with Image.open(path) as image:
            return str(image.getexif()[SOFTWARE])
    except Exception:  # no picture, damaged in any way, or without the tag
        return None


def _save(sheet: Image.Image, path: str | Path, software: str) -> None:
    exif = Image.Exif()
    exif[SOFTWARE] = software
    with draft_of(Path(path)) as draft:
        sheet.save(draft, exif=exif)


def for_the_eye(
    strips: Mapping[str, Mapping[str, Tensor]],
    gives: Mapping[str, str],
    forms: Mapping[str, Form],
) -> dict[str, dict[str, Tensor]]:
    """Strips of a game, the columns of sides that are not of 8 bits stretched.

    Args:
        strips: Name -> columns "x", "G(x)", "F(G(x))", each (N, C, H, W) in [-1, 1].
        gives: Network -> the side whose pictures it makes: F(G(x)) is of the side that F gives.
        forms: Side -> what its pictures are like.
    """

    def stretched(column: str) -> bool:
        name = column.partition("(")[0]
        side = gives.get(name, name)
        return side in forms and not forms[side].eight_bits

    return {name: windowed(columns, [c for c in columns if stretched(c)]) for name, columns in strips.items()}


def windowed(columns: Mapping[str, Tensor], which: Collection[str]) -> dict[str, Tensor]:
    """Columns for the eye: those named in `which` are stretched, so that a column's 1st percentile becomes black and
    its 99th white, in all its pictures alike; the others stay as they are.

    Args:
        columns: Caption -> (N, C, H, W) in [-1, 1].
        which: Captions of pictures that are not of 8 bits. Few of them use their range: a CT's tissue would be one
            grey.

    Returns:
        The same columns, the captions of the stretched ones with a second line that says so.
    """
    shown = {}
    for caption, column in columns.items():
        if caption in which:
            low, high = window(column[:, : _seen(column.shape[1])].detach().float().cpu().numpy())
            shown[f"{caption}\n1st to 99th percentile"] = ((column.float() - low) / (high - low) * 2 - 1).clamp(-1, 1)
        else:
            shown[caption] = column
    return shown


def window(values: np.ndarray) -> tuple[float, float]:
    """The 1st and the 99th percentile; of values that are all alike, such that they become grey."""
    low, high = (float(end) for end in np.percentile(values, (1, 99)))
    return (low, high) if high > low else (low - 1, low + 1)


def _seen(channels: int) -> int:
    """How many of so many channels are shown."""
    return 3 if channels >= 3 else 1


def _captioned(caption: str, column: Tensor | np.ndarray) -> str:
    channels = column.shape[1 if isinstance(column, Tensor) else 3]
    return caption if channels in (1, 3) else f"{caption}\n{shown_of(channels)}"


def shown_of(channels: int) -> str:
    """Which of so many channels are shown, in words."""
    return f"channel 1 of {channels}" if channels == 2 else f"channels 1 to 3 of {channels}"


def _arrays(column: Tensor | np.ndarray) -> np.ndarray:
    """(N, C, H, W) or (N, H, W, C) -> uint8 (N, H, W, C)"""
    return to_uint8(column) if isinstance(column, Tensor) else column


def _shown(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (H k, W k, 3), as it is drawn"""
    times = max(1, round(SMALLEST / max(picture.shape[:2])))
    shown = grey_or_rgb(picture[..., : _seen(picture.shape[2])], 3)
    return shown.repeat(times, axis=0).repeat(times, axis=1)


def _shortened(caption: str, fits) -> str:
    """The caption, its end cut off where it is wider than its column."""
    if fits(caption):
        return caption
    return next((cut for end in range(len(caption), 0, -1) if fits(cut := caption[:end].rstrip() + "...")), "")
