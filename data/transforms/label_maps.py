"""Label maps: pictures whose values are names, where 7 is no more than 3.

The network gets a plane for each label, 1 where it is and -1 elsewhere. Which values there are is found in the training
pictures and saved with the model, so that a new map becomes the same planes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quagga.data.io.pixel_format import Native, grey_or_rgb
from quagga.data.io.read import read_native
from quagga.data.transforms.derived_inputs import MOST_LABELS, DerivedInput
from quagga.data.transforms.side_by_side import Cut
from quagga.errors import BadInput

DISTANCES_AT_ONCE = 1 << 20  # distances between colours that are held in memory
LABEL_DISTANCE = 48.0  # levels between the colours of two labels, of 441 from black to white, where colours are noisy


def label_values(native: Native) -> np.ndarray:
    """Returns the numbers of a label map, (H, W, 1 or 3) of uint8 or uint16. Palettes have become colours when they
    were read.

    Raises:
        ValueError: it holds no labels: floats, or more channels.
    """
    pixels = native.pixels[..., :-1] if native.alpha or native.spare else native.pixels
    if pixels.dtype == np.int16 and pixels.min() >= 0:
        pixels = pixels.astype(np.uint16)
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[-1] not in (1, 3):
        raise ValueError(f"{pixels.dtype} of {pixels.shape[-1]} channels is no label map: give whole numbers")
    return pixels


def label_indices(values: np.ndarray, table: DerivedInput) -> np.ndarray:
    """Returns the index of each pixel's label in the table: (H, W, 1 or 3) numbers -> uint8 (H, W, 1).

    Raises:
        ValueError: a label is not in the table, or the map is coloured and the table holds grey numbers.
    """
    size = len(table.labels[0])
    if values.shape[-1] == 3 and size == 1:
        if (values != values[..., :1]).any():
            raise ValueError("it is coloured, and the labels of the training are grey numbers: give such a map")
        values = values[..., :1]
    values = grey_or_rgb(values, size)
    keys, key_of_pixel = np.unique(pack_colors(values), return_inverse=True)
    values_found = unpack_colors(keys, size)
    known = np.array(table.labels, np.int64)
    parts = np.array_split(values_found.astype(np.int64), 1 + len(values_found) * len(known) // DISTANCES_AT_ONCE)
    index_of_key = np.concatenate([((part[:, None] - known) ** 2).sum(-1).argmin(1) for part in parts])
    if not table.nearest and (unknown := np.flatnonzero((values_found != known[index_of_key]).any(1))).size:
        one = values_found[unknown[0]].tolist()
        many = f"{unknown.size} labels, among them" if unknown.size > 1 else "the label"
        raise ValueError(
            f"it holds {many} {one[0] if size == 1 else one}, which training has not seen: give a map of its"
            f" {len(known)} labels, saved without loss (PNG)"
        )
    return index_of_key[key_of_pixel].astype(np.uint8).reshape(*values.shape[:2], 1)


def label_planes(index: np.ndarray | Tensor, count: int) -> Tensor:
    """Turns indices into the table into planes: 1 on its label's plane, -1 elsewhere. Arrays give bytes, 255 and 0, as
    rows travel between processes; tensors give float32.

    (H, W, 1) -> (count, H, W); (N, H, W, 1), or of tensors (N, 1, H, W) -> (N, count, H, W)."""
    if isinstance(index, np.ndarray):
        known = np.arange(count, dtype=np.uint8)[:, None, None]
        return torch.from_numpy((np.moveaxis(index, -1, -3) == known).view(np.uint8) * np.uint8(255))
    known = torch.arange(count, device=index.device).view(-1, 1, 1)
    return (index.long() == known).float() * 2 - 1


def color_label_planes(planes: Tensor) -> Tensor:
    """(N, C, H, W), a plane for each label -> (N, 3, H, W) in [-1, 1], a colour for each."""
    hue = torch.arange(planes.shape[1], device=planes.device) * 0.618034  # golden ratio: neighbours differ
    shift = torch.tensor([0.0, 1 / 3, 2 / 3], device=planes.device)
    palette = torch.cos(2 * torch.pi * (hue[:, None] + shift))  # (C, 3)
    return palette[planes.argmax(1)].movedim(-1, 1).to(planes.dtype)


def color_table(maps: Iterable[np.ndarray], count: int | None) -> DerivedInput:
    """Returns the table of the labels that occur.

    Args:
        maps: The numbers of each map, (H, W, 1 or 3).
        count: None: every value that occurs, 256 at most. A number: so many colours that are common and well apart;
            every pixel counts as the nearest of them.

    Raises:
        BadInput: there are more than 256, or fewer than are asked for.
    """
    pixels: Counter[int] = Counter()
    channels = 1
    for values in maps:
        if values.shape[-1] == 3 and (values != values[..., :1]).any():
            channels = 3
        keys, counts = np.unique(pack_colors(grey_or_rgb(values, 3)), return_counts=True)
        pixels.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
        if count is None and len(pixels) > MOST_LABELS:
            raise BadInput(
                f"x holds more than {MOST_LABELS} values, so it is no label map, or one that was saved as JPEG: say"
                " --labels N for the N colours it is meant to have, each pixel then counts as the nearest; or --x_as"
                " picture"
            )
    found = unpack_colors(np.array(list(pixels), np.int64), 3)
    if count is None:
        labels = sorted({tuple(label[:channels]) for label in found.tolist()})
    else:
        labels = distinct_colors(found, np.array(list(pixels.values())), count)
        if channels == 1:
            labels = [label[:1] for label in labels]
        labels = sorted(set(labels))
    if len(labels) < 2 or (count is not None and len(labels) < count):
        raise BadInput(f"x has {len(labels)} labels that can be told apart: lower --labels, or look at the pictures")
    return DerivedInput("labels", tuple(labels), nearest=count is not None)


def distinct_colors(colours: np.ndarray, counts: np.ndarray, count: int) -> list[tuple[int, ...]]:
    """Returns the `count` most common of (M, 3) colours such that no two are near; fewer if there are no more."""
    distance = LABEL_DISTANCE
    chosen: list[int] = []
    while len(chosen) < count and distance >= 2:  # close labels, such as neighbouring greys, are found in a second pass
        remaining, chosen = counts.astype(np.int64).copy(), []
        while len(chosen) < count and remaining.max() > 0:
            best = int(remaining.argmax())
            chosen.append(best)
            remaining[((colours - colours[best]) ** 2).sum(1) < distance**2] = 0
        distance /= 2
    return [tuple(int(value) for value in colours[one]) for one in chosen]


def find_labels(maps: Sequence[tuple[Path, Cut]], count: int | None, skip: bool) -> DerivedInput:
    """Finds the labels of label maps. All maps are read once, a few ms each; where each pixel counts as the nearest of
    `count` colours, 64 of them.

    Args:
        maps: The file of each map, and what cuts the map out of the file's picture.
        count: As of `color_table`.
        skip: Whether maps that cannot be read are passed over.

    Raises:
        BadInput: as `color_table`; or a map cannot be read and `skip` is not set.
    """

    if count is not None:
        maps = maps[:: -(-len(maps) // 64)]

    def values_or_none(one: tuple[Path, Cut]) -> np.ndarray | None:
        path, cut = one
        try:
            return read_label_values(path, cut)
        except BadInput:
            if not skip:
                raise
            return None

    def all_values() -> Iterable[np.ndarray]:
        with ThreadPoolExecutor(2) as pool:
            for first in range(0, len(maps), 64):  # not all at once: results wait in memory
                yield from (found for found in pool.map(values_or_none, maps[first : first + 64]) if found is not None)

    return color_table(all_values(), count)


def read_label_values(path: Path, cut: Cut) -> np.ndarray:
    """Returns the numbers of a map in a file, (H, W, 1 or 3), or of what `cut` leaves of it."""
    try:
        return label_values(cut(read_native(path, as_stored=True)))
    except ValueError as error:
        raise (error if isinstance(error, BadInput) else BadInput(f"{path}: {error}")) from None


def pack_colors(values: np.ndarray) -> np.ndarray:
    """Packs each colour into one number: (H, W, 1 or 3) -> (H W,). Comparing rows of three took ten times as long."""
    flat = values.reshape(-1, values.shape[-1]).astype(np.int64)
    return flat[:, 0] if flat.shape[1] == 1 else (flat[:, 0] << 32) | (flat[:, 1] << 16) | flat[:, 2]


def unpack_colors(keys: np.ndarray, channels: int) -> np.ndarray:
    """Undoes `pack_colors`: (M,) -> (M, 1 or 3)."""
    return keys[:, None] if channels == 1 else np.stack([keys >> 32, keys >> 16 & 0xFFFF, keys & 0xFFFF], axis=1)
