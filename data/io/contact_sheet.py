"""Draws contact sheets: pictures in columns with captions."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from quagga.data.io.pixel_format import PixelFormat, grey_or_rgb
from quagga.data.io.tensors import to_uint8
from quagga.data.io.write import draft_of
from quagga.errors import BadInput

BACKGROUND, TEXT_COLOR = (250, 249, 246), (60, 58, 54)
MARGIN, GAP = 12, 4  # pixels around the sheet, and between pictures
CAPTION, LINE = 24, 14  # pixels: height of a caption's first line, and of each further one
SOFTWARE = 0x0131  # EXIF's tag for the program that wrote a picture
LARGE, SMALL = 14, 11  # pixels: font sizes of a caption's first line, and of the others
LEAST_SIDE = 128  # pixels; smaller pictures are enlarged towards it by whole factors, so that pixels stay squares
LEAST_COLUMN = 96  # least width, in pixels, of a column with a caption, so that a word fits above a narrow picture
CAPTION_GAP = 8  # least distance, in pixels, between the captions of two columns
BLOCK_GAP = 24  # pixels between two blocks of columns

PictureColumn = Tensor | np.ndarray | Sequence[np.ndarray]  # see `contact_sheet`


def contact_sheet(
    columns: Mapping[str, PictureColumn] | Sequence[tuple[str, PictureColumn]],
    path: str | Path | None = None,
    abreast: int = 1,
    software: str = "Quagga",
    most_rows: int | None = None,
) -> np.ndarray:
    """Draws columns of pictures beside each other, row n of all at the same height, below captions of any length.

    Args:
        columns: caption -> pictures, or pairs of both. A caption may have several lines. Pictures are a tensor
            (N, C, H, W) in [-1, 1], an array (N, H, W, C) of uint8, or a list of such arrays (H, W, C). Columns may
            differ in N, size and channels. Of 2 channels the first is shown, of 4 and more the first three, and the
            caption says so.
        path: file to save the sheet in, in the format of its suffix; folders above it are made. None: not saved.
        abreast: pictures side by side within a column.
        software: name of the program for the file's EXIF, see `software_of`.
        most_rows: rows of a block; more rows continue in further blocks to the right, under the same captions. None:
            one block.

    Returns:
        The sheet, uint8 (height, width, 3).

    Raises:
        BadInput: there are no pictures, or the sheet cannot be written.
    """
    drawn = [
        (_caption_with_channels(caption, column), [_to_drawn_pixels(picture) for picture in _to_arrays(column)])
        for caption, column in (columns.items() if isinstance(columns, Mapping) else columns)
    ]
    pictures = [picture for _, column in drawn for picture in column]
    if not pictures:
        raise BadInput("a contact sheet needs at least one picture: ask for more than 0")
    has_captions = any(caption for caption, _ in drawn)
    cell_width = max(LEAST_COLUMN if has_captions else 0, *(picture.shape[1] for picture in pictures)) + GAP
    rows = max(-(-len(column) // abreast) for _, column in drawn)
    blocks = -(-rows // (most_rows or rows))
    rows = -(-rows // blocks)  # so that all blocks have about the same number
    column_gap = GAP if abreast == 1 else 3 * GAP
    caption_width = abreast * cell_width - GAP
    column_width = caption_width + column_gap
    block_width = len(drawn) * column_width - column_gap + BLOCK_GAP
    captions = [_wrap(caption, caption_width - CAPTION_GAP) for caption, _ in drawn]
    top = MARGIN + (CAPTION + LINE * (max(map(len, captions)) - 1) if has_captions else 0)

    heights = [0] * rows  # each row is as high as its highest picture, in any block
    for _, column in drawn:
        for index, picture in enumerate(column):
            heights[index // abreast % rows] = max(heights[index // abreast % rows], picture.shape[0])
    tops = list(accumulate((height + GAP for height in heights), initial=top))

    sheet = Image.new("RGB", (2 * MARGIN + blocks * block_width - BLOCK_GAP, tops[-1] - GAP + MARGIN), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for block in range(blocks):
        for column_number, (lines, (_, column)) in enumerate(zip(captions, drawn, strict=True)):
            left = MARGIN + block * block_width + column_number * column_width
            for line_number, (text, font) in enumerate(lines):
                middle = left + caption_width / 2, MARGIN + CAPTION / 2 - 4 + line_number * LINE
                pen.text(middle, text, TEXT_COLOR, font, anchor="mm")
            for index, picture in enumerate(column[block * rows * abreast :][: rows * abreast]):
                row, cell = divmod(index, abreast)
                free_width, free_height = cell_width - GAP - picture.shape[1], heights[row] - picture.shape[0]
                corner = left + cell * cell_width + free_width // 2, tops[row] + free_height // 2
                sheet.paste(Image.fromarray(picture), corner)
    if path is not None:
        _save(sheet, path, software)
    return np.asarray(sheet)


def captioned_sheet(
    pictures: Tensor, captions: Sequence[str], path: str | Path, abreast: int = 8, software: str = "Quagga"
) -> None:
    """Saves a sheet of pictures, each below a caption of its own.

    Args:
        pictures: (N, C, H, W) in [-1, 1].
        captions: one for each picture.
        path: file to save the sheet in.
        abreast: pictures in a row.
        software: name of the program for the file's EXIF.

    Raises:
        BadInput: the sheet cannot be written.
    """
    cells = [(caption, picture[None]) for caption, picture in zip(captions, pictures, strict=True)]
    sheets = [contact_sheet(cells[start : start + abreast]) for start in range(0, len(cells), abreast)]
    width = max(sheet.shape[1] for sheet in sheets)
    stacked = Image.new("RGB", (width, sum(sheet.shape[0] for sheet in sheets)), BACKGROUND)
    top = 0
    for sheet in sheets:
        stacked.paste(Image.fromarray(sheet), (0, top))
        top += sheet.shape[0]
    _save(stacked, path, software)


def software_of(path: Path) -> str | None:
    """Returns the name of the program that wrote a picture, from the EXIF of a PNG, JPEG, WebP or TIFF; None: not
    known."""
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


def strips_for_display(
    strips: Mapping[str, Mapping[str, Tensor]],
    output_sides: Mapping[str, str],
    pixel_formats: Mapping[str, PixelFormat],
    names: Mapping[str, str],
) -> dict[str, dict[str, Tensor]]:
    """Returns the strips of a game with the sides' names in the captions, and with columns stretched that are not of 8
    bits.

    Args:
        strips: name -> columns "x", "G(x)", "F(G(x))", each (N, C, H, W) in [-1, 1].
        output_sides: network -> the side whose pictures it makes: F(G(x)) is of the side that F makes.
        pixel_formats: side -> format of its pictures.
        names: side -> its name, such as "horse".
    """

    def side_of(column: str) -> str:
        name = column.partition("(")[0]
        return output_sides.get(name, name)

    shown = {}
    for strip, columns in strips.items():
        captions: dict[str, str] = {}
        for column in columns:
            side, sides_before = side_of(column), {side_of(other) for other in captions}
            name = names.get(side)
            if column == side and side in sides_before:  # after a translation to this side
                name = name and f"the true {name}"
            elif re.fullmatch(rf"\w+\(\w+\({side}\)\)", column):  # translated there and back
                name = name and f"{name} again"
            captions[column] = f"{name}\n{column}" if name else column
        deep_sides = {side for side, pixel_format in pixel_formats.items() if not pixel_format.eight_bits}
        stretched = [captions[column] for column in columns if side_of(column) in deep_sides]
        shown[strip] = stretch_columns({captions[column]: pictures for column, pictures in columns.items()}, stretched)
    return shown


def stretch_columns(columns: Mapping[str, Tensor], captions: Collection[str]) -> dict[str, Tensor]:
    """Stretches columns so that the 1st percentile of a column becomes black and the 99th white, in all its pictures
    alike. The others stay as they are.

    Args:
        columns: caption -> (N, C, H, W) in [-1, 1].
        captions: of the columns to stretch, whose pictures are not of 8 bits. Few of these use their range: the tissue
            of a CT would be one grey.

    Returns:
        The same columns; the captions of the stretched ones get a second line that says so.
    """
    shown = {}
    for caption, column in columns.items():
        if caption in captions:
            low, high = percentile_range(column[:, : _shown_count(column.shape[1])].detach().float().cpu().numpy())
            shown[f"{caption}\n1st to 99th percentile"] = ((column.float() - low) / (high - low) * 2 - 1).clamp(-1, 1)
        else:
            shown[caption] = column
    return shown


def percentile_range(values: np.ndarray) -> tuple[float, float]:
    """Returns the 1st and the 99th percentile of values; if these are equal, a range in which they are grey."""
    low, high = (float(end) for end in np.percentile(values, (1, 99)))
    return (low, high) if high > low else (low - 1, low + 1)


def _shown_count(channels: int) -> int:
    """Returns how many of a picture's channels are shown."""
    return 3 if channels >= 3 else 1


def _caption_with_channels(caption: str, column: PictureColumn) -> str:
    """Returns a caption, with a line that says which channels are shown, if these are not all."""
    if isinstance(column, Tensor):
        channels = column.shape[1]
    else:
        channels = column.shape[-1] if isinstance(column, np.ndarray) else max((p.shape[2] for p in column), default=3)
    return caption if channels in (1, 3) else f"{caption}\n{shown_channels(channels)}"


def shown_channels(channels: int) -> str:
    """Says which of a picture's channels, 2 or more than 3, are shown."""
    return f"channel 1 of {channels}" if channels == 2 else f"channels 1 to 3 of {channels}"


def _to_arrays(column: PictureColumn) -> Iterable[np.ndarray]:
    """Pictures in any of the forms that `contact_sheet` takes -> each uint8 (H, W, C)."""
    return to_uint8(column) if isinstance(column, Tensor) else column


def _to_drawn_pixels(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (H k, W k, 3), enlarged by a whole factor k towards LEAST_SIDE."""
    factor = max(1, round(LEAST_SIDE / max(picture.shape[:2])))
    rgb = grey_or_rgb(picture[..., : _shown_count(picture.shape[2])], 3)
    return rgb.repeat(factor, axis=0).repeat(factor, axis=1)


def _wrap(caption: str, width: int) -> list[tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]]:
    """Breaks a caption into lines of at most `width` pixels, each with its font. The first line is in large letters if
    it fits. Words that are too long are broken too."""
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
