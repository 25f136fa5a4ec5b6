"""Pairs of pictures: an edge map and its shoe, a label map and its facade, a photo by day and by night."""

from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from quagga.data.io.pixel_format import Native, PixelFormat, to_domain_format
from quagga.data.io.read import read_header, read_native
from quagga.data.io.tensors import floats, to_row, with_floats
from quagga.data.loading.data_workers import batches
from quagga.data.loading.ram_cache import RamCache, check_free_memory
from quagga.data.loading.row_order import (
    Batch,
    Batches,
    Sample,
    augment_seed,
    candidate_indices,
    first_readable,
    row_indices,
)
from quagga.data.options import PairAugmentOptions, ReadingOptions, TwoSidesOptions, check_sides
from quagga.data.sources.argument_checks import check_workers
from quagga.data.sources.held_out import Domain
from quagga.data.sources.pair_sizes import pair_size
from quagga.data.sources.pairs import Pair, find_pairs
from quagga.data.sources.probe import probe
from quagga.data.transforms.augment import PairAugment, resize, resize_labels, scaled_load_size
from quagga.data.transforms.derived_inputs import DerivedInput, XAs, derive_input
from quagga.data.transforms.label_maps import color_label_planes, find_labels, label_indices, label_planes, label_values
from quagga.data.transforms.side_by_side import Cut, left_half, right_half, uncut
from quagga.errors import BadInput

DEFAULT_NAMES = {"labels": "labels", "edges": "edges", "grey": "grey"}  # what x is called where nobody says


PairTransform = Callable[[np.ndarray | None, np.ndarray], tuple[np.ndarray, np.ndarray]]  # x and y -> x and y, cut


class PairPixels(NamedTuple):
    """A pair that has been read."""

    x: np.ndarray | None  # uint8, or float32 in [0, 1]; indices into the table of labels; None where it is made of y
    y: np.ndarray


@dataclass
class Paired(ReadingOptions, PairAugmentOptions, TwoSidesOptions):
    """Rows of two pictures that belong together: "x" and "y", (N, C, crop_size, crop_size) in [-1, 1].

    All pairs are gone through evenly, in a new order every time.

    It takes the options of the classes from which it inherits too, see `quagga.data.options`.

    Args:
        root: folder of pairs, each pair side by side in one file; they may be in train, test and val. Or a folder that
            holds trainA and trainB, and optionally testA and testB, matched by name.
        x: folder of x, in place of root.
        y: folder of y, in place of root; the files of a pair have the same name, but for the suffix.
        pairs: CSV or JSON file of pairs, in place of folders. Columns: x and y (relative to the file), and optionally
            split (train, val or test) and group. All pairs of a group, such as a patient, are in training or all are in
            the test. Where x and y name one file, it holds them side by side.
        side: half of a side-by-side picture that is x; the other is y.
        x_as: what x is; "labels": a label map, one plane for each label; "edges", "grey": made from y, so that x needs
            no files.
        labels: number of labels where their colours are noisy, as in JPEGs: the most common colours, and each pixel
            takes the nearest. None: every value that occurs is a label.
        unreadable: what to do with a damaged picture: "error" stops, "skip" takes the next pair and counts.

    Raises:
        BadInput: when made, if pairs or options cannot work; while reading, if a picture cannot be read.
    """

    root: str | None = None
    x: str | None = None
    y: str | None = None
    pairs: str | None = None
    side: Literal["left", "right"] = "left"
    x_as: XAs = "picture"
    labels: int | None = None

    def __post_init__(self) -> None:
        self._check_options()
        found = find_pairs(self.root, self.x, self.y, self.pairs, self.x_as in ("edges", "grey"), self.unmatched)
        self.train, self.test, self.side_by_side = found.train, found.test, found.side_by_side
        if not self.train:
            raise BadInput("there are no pairs to train on: give more, or another split")
        self.names = {
            "x": self.x_name or DEFAULT_NAMES.get(self.x_as, found.names["x"]),
            "y": self.y_name or found.names["y"],
        }
        self.title = f"{self.names['x']}2{self.names['y']}"
        self.pair_size: list[int] | None = None  # (width, height) of most, where two lie side by side
        self.notices = [*found.notices, *self._probe_sizes()]
        self.input = self._find_label_table() if self.x_as == "labels" else DerivedInput(self.x_as)
        self.forms = self._probe_values()
        self.channels = {side: pixel_format.channels for side, pixel_format in self.forms.items()}
        self._augment = self._pair_augment()
        self.skipped: Counter[str] = Counter()  # "path: why" -> how often another pair took its place

    def _pair_augment(self) -> PairAugment:
        x_format, y_format = self.forms["x"], self.forms["y"]
        planar = 1 if self.x_as == "labels" else x_format.channels
        return PairAugment(
            *(self.load_size, self.crop_size, self.fit, self.flip, self.augment),
            channels=(planar, y_format.channels),
            kinds=(x_format.dtype, y_format.dtype),
            labels=self.x_as == "labels",
            both=self.augment_y,
            make=partial(derive_input, kind=self.x_as) if self.input.of_y else None,
        )

    @property
    def images_per_epoch(self) -> int:
        """The number of pairs to train on."""
        return len(self.train)

    def check(self, global_batch: int) -> None:
        """Raises BadInput where there are fewer pairs than one batch (rows of all processes together)."""
        if len(self.train) < global_batch:
            raise BadInput(
                f"there are {len(self.train)} pairs to train on, fewer than a batch of {global_batch}: lower"
                " --batch_size or add pairs"
            )
        if self.cache == "ram":
            self.notices.append(check_free_memory(self.ram_caches))

    def at_size(self, size: int) -> Self:
        """Returns the same rows with pictures of `size` pixels a side; load_size keeps its ratio to crop_size."""
        rows = copy(self)
        rows.load_size, rows.crop_size = scaled_load_size(self.load_size, self.crop_size, size), size
        rows._augment, rows.notices = rows._pair_augment(), []
        vars(rows).pop("ram_cache", None)  # which holds pictures of the other scale
        return rows

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """Endless batches from a row on: {"x", "y": (N, C, crop_size, crop_size), "row": (N,) int64};
        pictures of 8 bits as bytes, which `quagga.data.io.tensors.with_floats` makes floats in [-1, 1], others so.
        """
        only_cut = self.cache == "ram" and not self.augment
        for ram_cache in self.ram_caches:
            ram_cache.fill(0 if only_cut else self.workers)
        return batches(
            *(self, from_row, batch_size, process, processes, self.workers, self.worker_timeout, self.skipped.update),
            read_batch=self.read_batch if only_cut else None,
        )

    def read_batch(self, rows: np.ndarray) -> Batch | None:
        """Returns these rows stacked, each as `sample` has it; None where a pair is not in memory."""
        indices = row_indices(self.seed, "pair", rows, len(self.train)).tolist()
        cached = [self._cached(index) for index in indices]
        if any(pixels is None for pixels in cached):
            return None
        read = zip(cached, rows.tolist(), strict=True)
        x, y = zip(*(self._transform(row)(*pixels) for pixels, row in read if pixels), strict=True)
        return self._tensors(np.stack(x), np.stack(y))

    @property
    def ram_caches(self) -> list[RamCache]:
        """The cache that keeps pairs in memory; none without `cache`."""
        return [] if self.cache == "none" else [self.ram_cache]

    @cached_property
    def ram_cache(self) -> RamCache:
        """The cache of the pairs, by their indices in `train`; empty until it is filled."""
        sides = ["y"] if self.input.of_y else ["x", "y"]
        channels = {side: pixel_format.channels for side, pixel_format in self.forms.items()}
        channels |= {"x": 1} if self.x_as == "labels" else {}

        def values(index: int) -> list[int]:
            header = read_header(self.train[index].y)
            height, width = header.shorter, header.longer
            if self.side_by_side:
                height, width = (height, width // 2) if header.wide else (width, height // 2)
            area = self._augment.area(height, width)
            return [area * channels[side] for side in sides]

        def read(index: int) -> list[np.ndarray]:
            return [part for part in self._augment.scaled(*self.read(self.train[index])) if part is not None]

        return RamCache(range(len(self.train)), [self.forms[side].dtype for side in sides], values, read)

    def sample(self, row: int) -> Sample:
        """Reads a row: "x" and "y", (C, crop_size, crop_size), bytes or floats in [-1, 1].

        Raises:
            BadInput: the pair cannot be read, or with unreadable "skip" none can.
        """
        transform = self._transform(row)

        def read(index: int) -> dict[str, Tensor]:
            return self._transformed(self.train[index], self._cached(index), transform)

        candidates = candidate_indices(self.seed, "pair", row, len(self.train))
        return Sample(*first_readable(read, candidates, skip=self.unreadable == "skip", kind="pairs"))

    def _transform(self, row: int) -> PairTransform:
        """Returns what happens to the pair of a row."""
        return partial(self._augment, seed=augment_seed(self.seed, "pair", row))

    def files(self, row: int) -> list[str]:
        """Returns the files of a row, for messages."""
        pair = self.train[next(candidate_indices(self.seed, "pair", row, len(self.train)))]
        return list(dict.fromkeys(str(path) for path in (pair.x, pair.y) if path))

    def held_out(self, count: int) -> Batch:
        """Reads up to `count` pairs that training never sees, spread over the test, cut from the middle.

        Returns:
            {"x", "y": (N, C, crop_size, crop_size) in [-1, 1], "row": (N,) int64}. A set too small to hold any out
            gives pairs that it trains on.
        """
        pool = self.test or self.train
        count = min(count, len(pool))
        rows = []
        for number in range(count):
            start = number * len(pool) // count
            candidates = (pool[(start + step) % len(pool)] for step in range(len(pool)))
            rows.append(first_readable(self._without_chance, candidates, self.unreadable == "skip", "pairs")[0])
        return with_floats(
            {**{side: torch.stack([row[side] for row in rows]) for side in "xy"}, "row": torch.arange(count)}
        )

    def without_chance(self, pair: Pair) -> dict[str, Tensor]:
        """Reads a pair, cut from the middle: "x" and "y", (C, crop_size, crop_size) in [-1, 1].

        Raises:
            BadInput: it cannot be read.
        """
        return {side: floats(tensor) for side, tensor in self._without_chance(pair).items()}

    def _without_chance(self, pair: Pair) -> dict[str, Tensor]:
        return self._transformed(pair, None, self._augment.without_chance)

    def for_display(self, batch: Batch) -> Batch:
        """Returns the same batch, label maps in colours."""
        return {**batch, "x": color_label_planes(batch["x"])} if self.x_as == "labels" else batch

    def preprocessing(self) -> dict[str, Any]:
        """Returns what was done to the pictures, to be saved with the model (JSON)."""
        return {
            "load_size": self.load_size,
            "crop_size": self.crop_size,
            "fit": self.fit,
            "channels": dict(self.channels),
            "value_range": [-1.0, 1.0],
            "opacity": {
                side: "kept" if channels in (2, 4) and not (side == "x" and self.x_as == "labels") else "laid on white"
                for side, channels in self.channels.items()
            },
            "carry": False,  # y is no x with a change in it: at another size the result itself is scaled
        } | ({"side": self.side, "pair_size": self.pair_size} if self.side_by_side and not self.input.of_y else {})

    def domains(self) -> dict[str, dict[str, Any]]:
        """Returns what each side is called and how its pictures are read and written, to be saved with the model
        (JSON)."""
        described = {side: pixel_format.to_json(self.names[side]) for side, pixel_format in self.forms.items()}
        described["x"] |= self.input.to_json()
        return described

    def known(self) -> dict[str, Any]:
        """Returns the options of the pipeline that follow from the data."""
        return {"x_channels": self.channels["x"]}

    # -- when it is made --------------------------------------------------------------------------------

    def _check_options(self) -> None:
        check_sides(self)
        check_workers(self.workers, self.worker_timeout)
        if self.x_as in ("edges", "grey") and self.x is not None:
            raise BadInput(f"x_as {self.x_as} makes x of y, and --x {self.x} names a folder: leave one of them out")
        if self.x_as != "picture" and self.x_value_range is not None:
            raise BadInput(f"x_value_range {self.x_value_range}: {self.x_as} have no black and white: leave it out")
        if self.labels is not None and self.x_as != "labels":
            raise BadInput(f"labels {self.labels} is for label maps: say --x_as labels too, or leave it out")
        if self.labels is not None and not 2 <= self.labels <= 256:
            raise BadInput(f"labels {self.labels}: from 2 to 256, or null for every value that occurs")

    def _probe_sizes(self) -> list[str]:
        """Compares the sizes of all pairs, and returns lines for the user."""
        if self.x_as in ("edges", "grey") and not self.side_by_side:
            return []
        self.pair_size = pair_size(
            [*self.train, *self.test], self.side_by_side, self.sizes == "fit", self.unreadable == "skip"
        )
        if not self.pair_size:
            return []
        width, height = self.pair_size
        return [f"pairs side by side, {width}x{height} mostly: x ({self.names['x']}) is the {self.side} half"]

    def _find_label_table(self) -> DerivedInput:
        maps = [(pair.x, self._half("x")) for pair in (*self.train, *self.test) if pair.x]
        table = find_labels(maps, self.labels, self.unreadable == "skip")
        if self.x_channels not in (None, len(table.labels)):
            raise BadInput(f"x_channels {self.x_channels}: {len(table.labels)} labels were found: leave it out")
        return table

    def _probe_values(self) -> dict[str, PixelFormat]:
        """Returns the formats of both sides; adds lines for the user to `notices`."""
        skip, forms = self.unreadable == "skip", {}
        if self.input.of_y and self.x_channels not in (None, 1):
            raise BadInput(f"x_channels {self.x_channels}: {self.x_as} have 1: leave it out")
        if self.x_as == "labels":
            forms["x"] = PixelFormat(len(self.input.labels))
            by = " (each pixel counts as the nearest)" if self.input.nearest else ""
            self.notices.append(f"{self.names['x']}: {len(self.input.labels)} labels{by}")
        elif self.input.of_y:
            forms["x"] = PixelFormat(1)
        else:
            files = Domain(self.names["x"], [pair.x for pair in self.train if pair.x], [])
            forms["x"], lines = probe(files, "x", self.x_channels or 3, self.x_value_range, self.crop_size, skip)
            self.notices += lines
        files = Domain(self.names["y"], [pair.y for pair in self.train], [])
        forms["y"], lines = probe(files, "y", self.y_channels, self.y_value_range, self.crop_size, skip)
        self.notices += lines
        return forms

    # -- reading ------------------------------------------------------------------------------------------------------

    def _transformed(self, pair: Pair, cached: PairPixels | None, transform: PairTransform) -> dict[str, Tensor]:
        """Transforms a pair that is in memory, or reads it first."""
        x, y = cached or self.read(pair)
        try:
            return self._tensors(*transform(x, y))
        except BadInput as error:
            raise BadInput(f"{pair.y}: {error}") from None

    def _tensors(self, x: np.ndarray, y: np.ndarray) -> dict[str, Tensor]:
        """Turns pixels into what the networks see: (H, W, C) or (N, H, W, C) each."""
        labels = len(self.input.labels)
        return {"x": label_planes(x, labels) if self.x_as == "labels" else to_row(x), "y": to_row(y)}

    def _cached(self, index: int) -> PairPixels | None:
        """Returns the pair of that index, scaled, where it is in memory."""
        parts = self.ram_cache.get(index) if self.cache == "ram" else None
        return PairPixels(parts[0] if len(parts) == 2 else None, parts[-1]) if parts else None

    def read(self, pair: Pair) -> PairPixels:
        """Reads a pair from its files, in the formats of its sides, at one size.

        Raises:
            BadInput: it cannot be read, its sizes differ, or it holds labels that training has not seen.
        """
        label_map = pair.x if self.x_as == "labels" else None  # in one file with a map, y is read as stored too
        native: dict[Path, Native] = {path: read_native(path, path == label_map) for path in {pair.x, pair.y} if path}
        path = pair.y
        try:
            y = to_domain_format(self._half("y")(native[path]), self.forms["y"], "y").pixels
            if self.input.of_y or pair.x is None:
                return PairPixels(None, y)
            path = pair.x
            half = self._half("x")(native[path])
            if self.x_as == "labels":
                x = label_indices(label_values(half), self.input)
            else:
                x = to_domain_format(half, self.forms["x"], "x").pixels
        except ValueError as error:
            raise (error if isinstance(error, BadInput) else BadInput(f"{path}: {error}")) from None
        if x.shape[:2] != y.shape[:2]:
            if self.sizes == "error":
                raise BadInput(
                    f"{pair.x} has {x.shape[1]}x{x.shape[0]} pixels and {pair.y} {y.shape[1]}x{y.shape[0]}: make them"
                    " equal, or say --sizes fit"
                )
            x = (resize_labels if self.x_as == "labels" else resize)(x, *y.shape[:2])
        return PairPixels(x, y)

    def _half(self, side: str) -> Cut:
        """Returns what cuts a side's half out of a picture that holds both."""
        if not self.side_by_side:
            return uncut
        return left_half if (side == "x") == (self.side == "left") else right_half
