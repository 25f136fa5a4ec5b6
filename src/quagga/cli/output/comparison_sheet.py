"""`quagga translate --comparison`: a sheet of pictures before and after, and the true ones where they are known."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image

from quagga.data.io.contact_sheet import BACKGROUND, contact_sheet, percentile_range, shown_channels
from quagga.data.io.pixel_format import Fitted, PixelFormat, from_unit, grey_or_rgb
from quagga.data.io.read import SUFFIXES, read_fitted
from quagga.data.io.tensors import to_tensor, to_uint8
from quagga.data.transforms.derived_inputs import derive_input
from quagga.data.transforms.label_maps import color_label_planes, label_indices, label_planes
from quagga.data.transforms.side_by_side import CUTS, CutName
from quagga.errors import BadInput
from quagga.inference.resolution import network_size, resized
from quagga.inference.translator import Translator

MAX_ROWS = 16  # pictures that are shown
BLOCK_ROWS = 8  # of a block of columns
THUMBNAIL = 256  # pixels of the longer side of a picture
BLANK = np.full((1, 1, 3), BACKGROUND, np.uint8)  # where there is no true picture
OTHER_HALF: dict[str, Literal["left", "right"]] = {"left": "right", "right": "left"}


class Row(NamedTuple):
    """The thumbnails of one picture, each (h, w, 1 or 3): the network's input, its output, and the true picture."""

    before: np.ndarray
    after: np.ndarray
    truth: np.ndarray | None


class Comparison:
    """Collects the first 16 pictures of a translation, and draws them.

    Args:
        translator: The model that translates them.
        side: Which half of a file is translated, where it holds a pair.
    """

    def __init__(self, translator: Translator, side: CutName | None):
        self.translator = translator
        self.side: CutName | None = side
        self.rows: list[Row] = []

    def add(self, source: Path, picture: Fitted, result: np.ndarray) -> None:
        """Adds a picture as it was read from a file, and its translation, (H, W, C) in the target's pixel format."""
        if len(self.rows) < MAX_ROWS:
            truth = true_picture(self.translator, source, self.side, picture)
            small = None if truth is None else thumbnail(truth)
            self.rows.append(Row(_input_thumbnail(self.translator, picture), thumbnail(result), small))

    def sheet(self) -> tuple[list[str], np.ndarray]:
        """Returns the names of the columns, and the sheet, in blocks of at most 8 rows, (H, W, 3) uint8."""
        translator, output_format = self.translator, self.translator.output_format
        in_colors = translator.from_photo or translator.input.kind == "labels"
        input_format = PixelFormat(3) if in_colors else translator.input_format
        known = [row.truth for row in self.rows if row.truth is not None]
        before = _to_rgb([row.before for row in self.rows], input_format)
        stretched = _to_rgb([*(row.after for row in self.rows), *known], output_format)
        after, truths = stretched[: len(self.rows)], iter(stretched[len(self.rows) :])
        columns = [
            (translator.source, _notes(input_format), before),
            (translator.target, _notes(output_format), after),
        ]
        if known:
            truth = [BLANK if row.truth is None else next(truths) for row in self.rows]
            columns.append((f"the true {translator.target}", _notes(output_format), truth))
        names = [f"{name} ({notes})" if notes else name for name, notes, _ in columns]
        captioned = [(f"{name}\n{notes}".rstrip(), pictures) for name, notes, pictures in columns]
        return names, contact_sheet(captioned, most_rows=BLOCK_ROWS)


def true_picture(translator: Translator, source: Path, side: CutName | None, picture: Fitted) -> np.ndarray | None:
    """Returns the true picture of the target domain for a file, (H, W, C) in its pixel format; None if it is unknown.

    It is the picture itself where the network takes edges or grey values made from it; the other half of a file that
    holds a pair; or, for a model of pairs, the partner in the folder beside: of the same name, in testB beside testA,
    or in folders that are named as the model's domains.
    """
    output_format, of_pairs = translator.output_format, translator.preprocessing.get("carry") is False
    truth = None
    try:
        if translator.from_photo:
            truth = picture.pixels
        elif translator.input.kind == "grey":
            original = read_fitted(source, output_format, cut=CUTS[side]).pixels
            truth = original if (original != original[..., :1]).any() else None  # a grey one says nothing of colours
        elif side in OTHER_HALF:
            truth = read_fitted(source, output_format, cut=CUTS[OTHER_HALF[side]]).pixels
        elif of_pairs and (partner := partner_of(source, (translator.source, translator.target))):
            truth = read_fitted(partner, output_format).pixels
    except BadInput:  # the translation itself does not need it
        return None
    return truth if truth is None or output_format.eight_bits else from_unit(truth, output_format)


def partner_of(source: Path, names: tuple[str, str]) -> Path | None:
    """Returns the file that holds the true picture, by the place and name of the source; None where there is none, or
    several.

    Args:
        source: The file that is translated.
        names: The model's domains.
    """
    path = source.absolute()
    for folder in path.parents:
        if folder.name == names[0]:
            beside = folder.with_name(names[1])
        elif split := re.fullmatch("(train|test|val)A", folder.name):
            beside = folder.with_name(f"{split[1]}B")
        else:
            continue
        expected = beside / path.relative_to(folder)
        candidates = expected.parent.glob(f"{glob.escape(expected.stem)}.*")
        partners = [file for file in candidates if file.suffix.lower() in SUFFIXES and file.stem == expected.stem]
        return partners[0] if len(partners) == 1 else None
    return None


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """Shrinks (H, W, C) -> (h, w, 1 or 3), uint8 or float32; of 2 channels it takes the first, of 4 and more three."""
    shown = picture[..., : 3 if picture.shape[2] >= 3 else 1]
    if shown.dtype == np.uint8:
        image = Image.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown)
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        small = np.asarray(image)
    else:
        scale = min(1.0, THUMBNAIL / max(shown.shape[:2]))
        size = [max(1, round(side * scale)) for side in shown.shape[1::-1]]
        small = cv2.resize(np.ascontiguousarray(shown, np.float32), size, interpolation=cv2.INTER_AREA)
    return small[..., None] if small.ndim == 2 else small


def _input_thumbnail(translator: Translator, picture: Fitted) -> np.ndarray:
    """Returns a thumbnail of the network's input: the edges of a photo, a label map in colours."""
    pixels = picture.pixels
    if translator.from_photo:
        height, width = pixels.shape[:2]
        size = network_size(translator.resolution, height, width, translator.preprocessing)
        return thumbnail(derive_input(to_uint8(resized(to_tensor(pixels)[None], *size)[0]), "edges"))
    if translator.input.kind == "labels":
        step = -(-max(pixels.shape[:2]) // THUMBNAIL)  # labels cannot be averaged
        shown = label_planes(
            label_indices(pixels[::step, ::step], translator.input)[None], len(translator.input.labels)
        )
        return to_uint8(color_label_planes(shown.float() / 127.5 - 1)[0])
    return thumbnail(pixels)


def _to_rgb(pictures: Sequence[np.ndarray], pixel_format: PixelFormat) -> list[np.ndarray]:
    """Converts thumbnails for display, each (h, w, 3) uint8; those that are not of 8 bits are stretched, all alike."""
    if not pixel_format.eight_bits:
        low, high = percentile_range(np.concatenate([picture.ravel() for picture in pictures]))
        pictures = [np.rint(np.clip((p - low) / (high - low), 0, 1) * 255).astype(np.uint8) for p in pictures]
    return [grey_or_rgb(picture, 3) for picture in pictures]


def _notes(pixel_format: PixelFormat) -> str:
    """Says how the display differs from the pictures: "" if it does not."""
    notes = [] if pixel_format.eight_bits else ["1st to 99th percentile"]
    if pixel_format.channels not in (1, 3):
        notes.append(shown_channels(pixel_format.channels))
    return ", ".join(notes)
