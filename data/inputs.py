"""What x is made of: a picture as it is, the planes of a label map, or edges or grey values of y itself.

A label map is a picture whose values are names: 7 is no more than 3. The network gets a plane for each label, 1 where
it is and -1 elsewhere. Which values there are is found in the training pictures and goes with the model, so that a new
map becomes the same planes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from quagga import BadInput
from quagga.data.decode import read_native
from quagga.data.form import NATURAL, Form, Native, grey_or_rgb

XAs = Literal["picture", "labels", "edges", "grey"]
Cut = Callable[[Native], Native]  # what of a file is a side's picture
KINDS: tuple[XAs, ...] = ("picture", "labels", "edges", "grey")
MOST_LABELS = 256
AT_ONCE = 1 << 20  # distances between colours that are held in memory
APART = 48.0  # levels between the colours of two labels, of 441 from black to white, where colours are noisy
LOWER, UPPER = 60, 150  # Canny's thresholds: strong edges, and weaker ones that hang on them
SMOOTHED = 1.0  # pixels, the Gaussian before it: without, hair and grass are all edges


@dataclass(frozen=True)
class Input:
    """How x comes about.

    Args:
        kind: "picture", "labels", "edges" (drawn from y, black on white) or "grey" (of y).
        labels: The values of a label map, sorted: numbers of one channel or colours of three.
        nearest: Whether a value that is none of them counts as the nearest one, as in noisy JPEGs.
    """

    kind: XAs = "picture"
    labels: tuple[tuple[int, ...], ...] = ()
    nearest: bool = False

    @property
    def of_y(self) -> bool:
        """Whether x needs no pictures of its own."""
        return self.kind in ("edges", "grey")

    @property
    def form(self) -> Form:
        """How files of a label map are read: their numbers as they are."""
        deep = any(value > 255 for label in self.labels for value in label)
        kind = "uint16" if deep else "uint8"
        return Form(len(self.labels[0]), kind, NATURAL[kind])

    def card(self) -> dict[str, Any]:
        """What a model keeps of it (JSON); nothing of plain pictures."""
        if self.kind == "labels":
            return {"as": "labels", "labels": [list(label) for label in self.labels], "nearest": self.nearest}
        return {} if self.kind == "picture" else {"as": self.kind}


def input_of(card: Mapping[str, Any], place: object) -> Input:
    """What a model's card says of x.

    Raises:
        BadInput: it is damaged, or of a newer Quagga.
    """
    kind, labels = card.get("as", "picture"), card.get("labels", [])
    if kind not in KINDS:
        raise BadInput(f"{place}: x is made as {str(kind)[:40]!r}, unknown to this Quagga: install a newer one")
    fits = isinstance(labels, list) and len(labels) <= MOST_LABELS and all(isinstance(label, list) for label in labels)
    flat = [value for label in labels for value in label] if fits else []
    lengths = {len(label) for label in labels} if fits else set()
    numbers = all(type(value) is int and 0 <= value <= 65535 for value in flat)
    if not fits or not numbers or (kind == "labels" and (lengths not in ({1}, {3}) or len(labels) != card["channels"])):
        raise BadInput(f"{place} is damaged: its table of labels is not what Quagga writes; copy the model again")
    return Input(kind, tuple(tuple(label) for label in labels), bool(card.get("nearest", False)))


# -- label maps -------------------------------------------------------------------------------------------------------


def label_values(native: Native) -> np.ndarray:
    """The numbers of a label map, (H, W, 1 or 3) of uint8 or uint16. Palettes have become colours when they were read.

    Raises:
        ValueError: it holds no labels: floats, or more channels.
    """
    pixels = native.pixels[..., :-1] if native.alpha or native.spare else native.pixels
    if pixels.dtype == np.int16 and pixels.min() >= 0:
        pixels = pixels.astype(np.uint16)
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[-1] not in (1, 3):
        raise ValueError(f"{pixels.dtype} of {pixels.shape[-1]} channels is no label map: give whole numbers")
    return pixels


def indices(values: np.ndarray, table: Input) -> np.ndarray:
    """(H, W, 1 or 3) numbers -> uint8 (H, W, 1), the place of each in the table.

    Raises:
        ValueError: one is not in the table, or colours meet a table of numbers.
    """
    size = len(table.labels[0])
    if values.shape[-1] == 3 and size == 1:
        if (values != values[..., :1]).any():
            raise ValueError("it is coloured, and the labels of the training are grey numbers: give such a map")
        values = values[..., :1]
    values = grey_or_rgb(values, size)
    keys, where = np.unique(packed(values), return_inverse=True)
    found = unpacked(keys, size)
    known = np.array(table.labels, np.int64)
    parts = np.array_split(found.astype(np.int64), 1 + len(found) * len(known) // AT_ONCE)
    place = np.concatenate([((part[:, None] - known) ** 2).sum(-1).argmin(1) for part in parts])
    if not table.nearest and (strange := np.flatnonzero((found != known[place]).any(1))).size:
        one = found[strange[0]].tolist()
        many = f"{strange.size} labels, among them" if strange.size > 1 else "the label"
        raise ValueError(
            f"it holds {many} {one[0] if size == 1 else one}, which training has not seen: give a map of its"
            f" {len(known)} labels, saved without loss (PNG)"
        )
    return place[where].astype(np.uint8).reshape(*values.shape[:2], 1)


def planes(index: np.ndarray | Tensor, count: int) -> Tensor:
    """Places in the table -> 1 on its label's plane, -1 elsewhere: of arrays as bytes, 255 and 0, as rows travel; of
    tensors as float32.

    (H, W, 1) -> (count, H, W); (N, H, W, 1), or of tensors (N, 1, H, W) -> (N, count, H, W)."""
    if isinstance(index, np.ndarray):
        known = np.arange(count, dtype=np.uint8)[:, None, None]
        return torch.from_numpy((np.moveaxis(index, -1, -3) == known).view(np.uint8) * np.uint8(255))
    known = torch.arange(count, device=index.device).view(-1, 1, 1)
    return (index.long() == known).float() * 2 - 1


def coloured(planes: Tensor) -> Tensor:
    """(N, C, H, W), a plane for each label -> (N, 3, H, W) in [-1, 1], a colour for each."""
    turn = torch.arange(planes.shape[1], device=planes.device) * 0.618034  # of the circle of hues: neighbours differ
    shift = torch.tensor([0.0, 1 / 3, 2 / 3], device=planes.device)
    palette = torch.cos(2 * torch.pi * (turn[:, None] + shift))  # (C, 3)
    return palette[planes.argmax(1)].movedim(-1, 1).to(planes.dtype)


def table_of(maps: Iterable[np.ndarray], count: int | None) -> Input:
    """The labels that occur.

    Args:
        maps: The numbers of each map, (H, W, 1 or 3).
        count: None: every value that occurs, 256 at most. A number: so many colours that are common and well apart;
            every pixel counts as the nearest of them.

    Raises:
        BadInput: there are more, or fewer.
    """
    pixels: Counter[int] = Counter()
    channels = 1
    for values in maps:
        if values.shape[-1] == 3 and (values != values[..., :1]).any():
            channels = 3
        keys, counts = np.unique(packed(grey_or_rgb(values, 3)), return_counts=True)
        pixels.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
        if count is None and len(pixels) > MOST_LABELS:
            raise BadInput(
                f"x holds more than {MOST_LABELS} values, so it is no label map, or one that was saved as JPEG: say"
                " --labels N for the N colours it is meant to have, each pixel then counts as the nearest; or --x_as"
                " picture"
            )
    found = unpacked(np.array(list(pixels), np.int64), 3)
    if count is None:
        labels = sorted({tuple(label[:channels]) for label in found.tolist()})
    else:
        labels = common(found, np.array(list(pixels.values())), count)
        if channels == 1:
            labels = [label[:1] for label in labels]
        labels = sorted(set(labels))
    if len(labels) < 2 or (count is not None and len(labels) < count):
        raise BadInput(f"x has {len(labels)} labels that can be told apart: lower --labels, or look at the pictures")
    return Input("labels", tuple(labels), nearest=count is not None)


def common(colours: np.ndarray, counts: np.ndarray, count: int) -> list[tuple[int, ...]]:
    """The `count` most common of (M, 3) colours no two of which are near; fewer if there are no more."""
    apart = APART
    chosen: list[int] = []
    while len(chosen) < count and apart >= 2:  # close labels, such as neighbouring greys, are found in a second look
        left, chosen = counts.astype(np.int64).copy(), []
        while len(chosen) < count and left.max() > 0:
            best = int(left.argmax())
            chosen.append(best)
            left[((colours - colours[best]) ** 2).sum(1) < apart**2] = 0
        apart /= 2
    return [tuple(int(value) for value in colours[one]) for one in chosen]


def find_labels(read: Sequence[tuple[Path, Any]], count: int | None, skip: bool) -> Input:
    """The table of some label maps: (path, how its numbers are read). All are read once, a few ms each; where the
    nearest of `count` colours counts, 64 of them tell.

    Raises:
        BadInput: as `table_of`; or a map cannot be read and `skip` is not set.
    """

    if count is not None:
        read = read[:: -(-len(read) // 64)]

    def values(one: tuple[Path, Any]) -> np.ndarray | None:
        path, cut = one
        try:
            return values_in(path, cut)
        except BadInput:
            if not skip:
                raise
            return None

    def some() -> Iterable[np.ndarray]:
        with ThreadPoolExecutor(2) as pool:
            for first in range(0, len(read), 64):  # not all: what is read waits in memory
                yield from (found for found in pool.map(values, read[first : first + 64]) if found is not None)

    return table_of(some(), count)


def values_in(path: Path, cut: Cut) -> np.ndarray:
    """The numbers of a map in a file, (H, W, 1 or 3), or of what `cut` leaves of it."""
    try:
        return label_values(cut(read_native(path, as_stored=True)))
    except ValueError as error:
        raise (error if isinstance(error, BadInput) else BadInput(f"{path}: {error}")) from None


def packed(values: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) -> (H W,), one number for each colour: comparing rows took ten times as long."""
    flat = values.reshape(-1, values.shape[-1]).astype(np.int64)
    return flat[:, 0] if flat.shape[1] == 1 else (flat[:, 0] << 32) | (flat[:, 1] << 16) | flat[:, 2]


def unpacked(keys: np.ndarray, channels: int) -> np.ndarray:
    """(M,) -> (M, 1 or 3)"""
    return keys[:, None] if channels == 1 else np.stack([keys >> 32, keys >> 16 & 0xFFFF, keys & 0xFFFF], axis=1)


# -- made of y --------------------------------------------------------------------------------------------------------


def made_of(pixels: np.ndarray, kind: XAs) -> np.ndarray:
    """(H, W, C), uint8 or float32 in [0, 1] -> (H, W, 1) of uint8: its edges, black on white, or its grey values."""
    grey = pixels if pixels.shape[-1] in (1, 3) else pixels.astype(np.float32).mean(-1, keepdims=True)
    if grey.dtype == np.float32:
        white = 1 if pixels.dtype == np.float32 else 255
        grey = np.rint(np.clip(grey / white, 0, 1) * 255).astype(np.uint8)
    grey = grey_or_rgb(grey, 1)
    if kind == "grey":
        return grey
    smooth = cv2.GaussianBlur(np.ascontiguousarray(grey[..., 0]), (0, 0), SMOOTHED)
    return 255 - cv2.Canny(smooth, LOWER, UPPER)[..., None]


def halves(native: Native) -> tuple[Native, Native]:
    """Two pictures that lie side by side in one, the left and the right.

    Raises:
        ValueError: they cannot be of equal width.
    """
    width = native.pixels.shape[1]
    if width % 2:
        raise ValueError(f"its width of {width} pixels is odd, so it has no two halves: cut it, or give two folders")
    left, right = native.pixels[:, : width // 2], native.pixels[:, width // 2 :]
    return native._replace(pixels=left), native._replace(pixels=right)


def whole(native: Native) -> Native:
    """All of a picture."""
    return native


def left_half(native: Native) -> Native:
    """The left of two pictures side by side. Raises ValueError as `halves` does."""
    return halves(native)[0]


def right_half(native: Native) -> Native:
    """The right of two pictures side by side. Raises ValueError as `halves` does."""
    return halves(native)[1]


CUTS: dict[str | None, Cut] = {None: whole, "whole": whole, "left": left_half, "right": right_half}
