"""Pictures before and after, and as they truly look where that is known: what `quagga translate --comparison` draws."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image

from quagga import BadInput
from quagga.data.decode import SUFFIXES, read_fitted
from quagga.data.form import Fitted, Form, from_unit, grey_or_rgb
from quagga.data.inputs import CUTS, coloured, indices, made_of, planes
from quagga.data.preview import PAPER, contact_sheet, shown_of, window
from quagga.data.tensors import to_tensor, to_uint8
from quagga.pipelines.resolution import resized, size_for
from quagga.pipelines.translator import Translator

MOST = 16  # pictures
ROWS = 8  # of a block
THUMBNAIL = 256  # pixels of the longer side of a picture
BLANK = np.full((1, 1, 3), PAPER, np.uint8)  # where there is no true picture
OTHER = {"left": "right", "right": "left"}


class Row(NamedTuple):
    """One picture, small, each (h, w, 1 or 3): what the network was given, what it made, and what is true."""

    before: np.ndarray
    after: np.ndarray
    truth: np.ndarray | None


class Comparison:
    """Of the first 16 pictures that a translator is given.

    Args:
        translator: What translates them.
        side: Which half of a file is translated, where it holds a pair.
    """

    def __init__(self, translator: Translator, side: Literal["left", "right"] | None):
        self.translator, self.side = translator, side
        self.rows: list[Row] = []

    def add(self, source: Path, picture: Fitted, result: np.ndarray) -> None:
        """A picture as it was read of a file, and what became of it, (H, W, C) in the target's form."""
        if len(self.rows) < MOST:
            truth = true_of(self.translator, source, self.side, picture)
            small = None if truth is None else thumbnail(truth)
            self.rows.append(Row(_given(self.translator, picture), thumbnail(result), small))

    def sheet(self) -> tuple[list[str], np.ndarray]:
        """What the columns are called, and all of them, in blocks of at most 8 rows, (H, W, 3) uint8."""
        translator, gives = self.translator, self.translator.gives
        takes = Form(3) if translator.from_photo or translator.input.kind == "labels" else translator.takes
        known = [row.truth for row in self.rows if row.truth is not None]
        before = _as_seen([row.before for row in self.rows], takes)
        made = _as_seen([*(row.after for row in self.rows), *known], gives)
        after, truths = made[: len(self.rows)], iter(made[len(self.rows) :])
        columns = [(translator.source, _notes(takes), before), (translator.target, _notes(gives), after)]
        if known:
            truth = [BLANK if row.truth is None else next(truths) for row in self.rows]
            columns.append((f"the true {translator.target}", _notes(gives), truth))
        called = [f"{name} ({notes})" if notes else name for name, notes, _ in columns]
        shown = [(f"{name}\n{notes}".rstrip(), pictures) for name, notes, pictures in columns]
        return called, contact_sheet(shown, most_rows=ROWS)


def true_of(
    translator: Translator, source: Path, side: Literal["left", "right"] | None, picture: Fitted
) -> np.ndarray | None:
    """What a file's picture truly looks like in the target domain, (H, W, C) in its form; None where that is not known.

    It is the picture itself where the network is given edges or grey values of it; the other half of a file that holds
    a pair; or, of a model of pairs, the partner in the folder beside: of the same name, in testB beside testA, or in
    folders that are called as the model's domains.
    """
    gives, of_pairs = translator.gives, translator.preprocessing.get("carry") is False
    true = None
    try:
        if translator.from_photo:
            true = picture.pixels
        elif translator.input.kind == "grey":
            itself = read_fitted(source, gives, cut=CUTS[side]).pixels
            true = itself if (itself != itself[..., :1]).any() else None  # a grey one says nothing of colours
        elif side:
            true = read_fitted(source, gives, cut=CUTS[OTHER[side]]).pixels
        elif of_pairs and (partner := partner_of(source, (translator.source, translator.target))):
            true = read_fitted(partner, gives).pixels
    except BadInput:  # without it the picture was translated all the same
        return None
    return true if true is None or gives.eight_bits else from_unit(true, gives)


def partner_of(source: Path, names: tuple[str, str]) -> Path | None:
    """The file that belongs to another by its place and name, see `true_of`; None where there is none, or several."""
    place = source.absolute()
    for folder in place.parents:
        if folder.name == names[0]:
            beside = folder.with_name(names[1])
        elif found := re.fullmatch("(train|test|val)A", folder.name):
            beside = folder.with_name(f"{found[1]}B")
        else:
            continue
        inside = beside / place.relative_to(folder)
        same = inside.parent.glob(f"{glob.escape(inside.stem)}.*")
        found = [path for path in same if path.suffix.lower() in SUFFIXES and path.stem == inside.stem]
        return found[0] if len(found) == 1 else None
    return None


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (h, w, 1 or 3), uint8 or float32: what is shown of it, small."""
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


def _given(translator: Translator, picture: Fitted) -> np.ndarray:
    """What the network is given of a picture, small: the edges of a photo, label maps in colours."""
    pixels = picture.pixels
    if translator.from_photo:
        size = size_for(translator.resolution, *pixels.shape[:2], translator.preprocessing)
        return thumbnail(made_of(to_uint8(resized(to_tensor(pixels)[None], *size)[0]), "edges"))
    if translator.input.kind == "labels":
        step = -(-max(pixels.shape[:2]) // THUMBNAIL)  # between two labels there is nothing
        shown = planes(indices(pixels[::step, ::step], translator.input)[None], len(translator.input.labels))
        return to_uint8(coloured(shown.float() / 127.5 - 1)[0])
    return thumbnail(pixels)


def _as_seen(pictures: Sequence[np.ndarray], form: Form) -> list[np.ndarray]:
    """Small pictures as they are looked at, each (h, w, 3) uint8: those that are not of 8 bits are stretched, all
    alike."""
    if not form.eight_bits:
        low, high = window(np.concatenate([picture.ravel() for picture in pictures]))
        pictures = [np.rint(np.clip((p - low) / (high - low), 0, 1) * 255).astype(np.uint8) for p in pictures]
    return [grey_or_rgb(picture, 3) for picture in pictures]


def _notes(form: Form) -> str:
    """How pictures are shown where it is not as they are."""
    notes = [] if form.eight_bits else ["1st to 99th percentile"]
    return ", ".join([*notes, *([] if form.channels in (1, 3) else [shown_of(form.channels)])])
