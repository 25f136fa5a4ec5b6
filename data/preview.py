"""A contact sheet: pictures in captioned columns, to be looked at."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from quagga import BadInput
from quagga.data.form import Form, grey_or_rgb
from quagga.data.tensors import to_uint8
from quagga.data.write import draft_of

PAPER, INK = (250, 249, 246), (60, 58, 54)
MARGIN, BETWEEN = 12, 4  # pixels: around the sheet, between pictures
CAPTION, LINE = 24, 14  # pixels: the height of a caption's first line, of each further one
SOFTWARE = 0x0131  # EXIF's tag for the program that has written a picture
LARGE, SMALL = 14, 11  # pixels: letters of a caption's first line, and of the others
SMALLEST = 128  # smaller pictures are enlarged to about this, by whole numbers, so that each pixel stays one square
NARROWEST = 96  # pixels of a column with a caption, for a word to fit above a picture that is narrower
AIR = 8  # pixels between the captions of two columns, at least
BLOCKS = 24  # pixels between two blocks of columns

Pictures = Tensor | np.ndarray | Sequence[np.ndarray]


def contact_sheet(
    columns: Mapping[str, Pictures] | Sequence[tuple[str, Pictures]],
    path: str | Path | None = None,
    abreast: int = 1,
    software: str = "Quagga",
    most_rows: int | None = None,
) -> np.ndarray:
    """Draws columns of pictures beside each other, row n with row n, below captions of as many lines as they take.

    Args:
        columns: Caption, perhaps of several lines -> pictures, or pairs of them: a tensor (N, C, H, W) in [-1, 1], an
            array (N, H, W, C) of uint8, or a list of such arrays (H, W, C). Columns may differ in N, size and channels.
            Of 2 channels the first is shown, of 4 and more the first three, and the caption says so.
        path: Where to save the sheet, by its suffix; folders above it are made. None: nowhere.
        abreast: Pictures side by side within a column.
        software: What the file says has written it, see `software_of`.
        most_rows: Of more rows the columns go on in further blocks to the right, with their captions. None: one block.

    Returns:
        The sheet, uint8 (height, width, 3).

    Raises:
        BadInput: no pictures at all, or the sheet cannot be written.
    """
    listed = [
        (_captioned(caption, column), [_shown(picture) for picture in _arrays(column)])
        for caption, column in (columns.items() if isinstance(columns, Mapping) else columns)
    ]
    pictures = [picture for _, column in listed for picture in column]
    if not pictures:
        raise BadInput("a contact sheet needs at least one picture: ask for more than 0")
    written = any(caption for caption, _ in listed)
    cell_width = max(NARROWEST if written else 0, *(picture.shape[1] for picture in pictures)) + BETWEEN
    rows = max(-(-len(column) // abreast) for _, column in listed)
    blocks = -(-rows // (most_rows or rows))
    rows = -(-rows // blocks)  # blocks of about one height
    apart = BETWEEN if abreast == 1 else 3 * BETWEEN
    caption_width = abreast * cell_width - BETWEEN
    column_width = caption_width + apart
    block_width = len(listed) * column_width - apart + BLOCKS
    captions = [_lines(caption, caption_width - AIR) for caption, _ in listed]
    top = MARGIN + (CAPTION + LINE * (max(map(len, captions)) - 1) if written else 0)

    heights = [0] * rows  # each row is as high as its highest picture, in any block
    for _, column in listed:
        for index, picture in enumerate(column):
            heights[index // abreast % rows] = max(heights[index // abreast % rows], picture.shape[0])
    tops = list(accumulate((height + BETWEEN for height in heights), initial=top))

    sheet = Image.new("RGB", (2 * MARGIN + blocks * block_width - BLOCKS, tops[-1] - BETWEEN + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number in range(blocks):
        for place, (lines, (_, column)) in enumerate(zip(captions, listed, strict=True)):
            left = MARGIN + number * block_width + place * column_width
            for line, (words, font) in enumerate(lines):
                middle = left + caption_width / 2, MARGIN + CAPTION / 2 - 4 + line * LINE
                pen.text(middle, words, INK, font, anchor="mm")
            for index, picture in enumerate(column[number * rows * abreast :][: rows * abreast]):
                row, cell = divmod(index, abreast)
                aside, above = cell_width - BETWEEN - picture.shape[1], heights[row] - picture.shape[0]
                at = left + cell * cell_width + aside // 2, tops[row] + above // 2
                sheet.paste(Image.fromarray(picture), at)
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
    cells = [(caption, picture[None]) for caption, picture in zip(captions, pictures, strict=True)]
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
    names: Mapping[str, str],
) -> dict[str, dict[str, Tensor]]:
    """Strips of a game as they are looked at: the sides' names in the captions, above what stands there, and the
    columns of sides that are not of 8 bits stretched.

    Args:
        strips: Name -> columns "x", "G(x)", "F(G(x))", each (N, C, H, W) in [-1, 1].
        gives: Network -> the side whose pictures it makes: F(G(x)) is of the side that F gives.
        forms: Side -> what its pictures are like.
        names: Side -> what it is called: "horse".
    """

    def side_of(column: str) -> str:
        name = column.partition("(")[0]
        return gives.get(name, name)

    shown = {}
    for strip, columns in strips.items():
        captions: dict[str, str] = {}
        for column in columns:
            side, before = side_of(column), {side_of(other) for other in captions}
            called = names.get(side)
            if column == side and side in before:  # beside what was made of another
                called = called and f"the true {called}"
            elif re.fullmatch(rf"\w+\(\w+\({side}\)\)", column):  # there and back
                called = called and f"{called} again"
            captions[column] = f"{called}\n{column}" if called else column
        stretched = [captions[c] for c in columns if side_of(c) in forms and not forms[side_of(c)].eight_bits]
        shown[strip] = windowed({captions[column]: pictures for column, pictures in columns.items()}, stretched)
    return shown


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


def _captioned(caption: str, column: Pictures) -> str:
    if isinstance(column, Tensor):
        channels = column.shape[1]
    else:
        channels = column.shape[-1] if isinstance(column, np.ndarray) else max((p.shape[2] for p in column), default=3)
    return caption if channels in (1, 3) else f"{caption}\n{shown_of(channels)}"


def shown_of(channels: int) -> str:
    """Which of so many channels are shown, in words."""
    return f"channel 1 of {channels}" if channels == 2 else f"channels 1 to 3 of {channels}"


def _arrays(column: Pictures) -> Iterable[np.ndarray]:
    """Pictures in any of the ways `contact_sheet` takes them -> each uint8 (H, W, C)"""
    return to_uint8(column) if isinstance(column, Tensor) else column


def _shown(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (H k, W k, 3), as it is drawn"""
    times = max(1, round(SMALLEST / max(picture.shape[:2])))
    shown = grey_or_rgb(picture[..., : _seen(picture.shape[2])], 3)
    return shown.repeat(times, axis=0).repeat(times, axis=1)


def _lines(caption: str, width: int) -> list[tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]]:
    """The lines that a caption takes in so many pixels, each with its font. The first is written in large letters if it
    fits; what does not fit goes on in a further line, words that are too long included."""
    large, small = ImageFont.load_default(LARGE), ImageFont.load_default(SMALL)
    lines = []
    for number, text in enumerate(caption.split("\n")):
        font = large if number == 0 and large.getlength(text) <= width else small
        line = ""
        for word in re.findall(r"[^ _/-]*[ _/-]?", text):
            if font.getlength((line + word).rstrip()) <= width:
                line += word
                continue
            if line:
                lines.append((line.rstrip(), font))
            while font.getlength(word.rstrip()) > width:
                end = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or font.getlength(word[:n]) <= width)
                lines.append((word[:end], font))
                word = word[end:]
            line = word
        lines.append((line.rstrip(), font))
    return lines
