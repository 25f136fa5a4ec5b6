"""Pairs of pictures: an edge map and its shoe, a label map and its facade, a photo by day and by night."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from quagga import BadInput
from quagga.data.augment import Fit, PairAugment, nearest, resized
from quagga.data.cache import Cache, Shelf, afford
from quagga.data.decode import read_header, read_native
from quagga.data.feed import batches
from quagga.data.folders import Side
from quagga.data.form import Form, Native, fitted
from quagga.data.inputs import (
    Cut,
    Input,
    XAs,
    coloured,
    find_labels,
    indices,
    label_values,
    left_half,
    made_of,
    planes,
    right_half,
    whole,
)
from quagga.data.look import look
from quagga.data.pairs import Pair, find_pairs
from quagga.data.rows import Batch, Batches, Sample, key, place, places
from quagga.data.stated import check_side, check_workers
from quagga.data.tensors import floats, to_row, with_floats

NAMES = {"labels": "labels", "edges": "edges", "grey": "grey"}  # what x is called where nobody says


class Two(NamedTuple):
    """A pair that has been read."""

    x: np.ndarray | None  # uint8, or float32 in [0, 1]; places in the table of labels; None where it is made of y
    y: np.ndarray


@dataclass
class Paired:
    """Rows of two pictures that belong together: "x" and "y", (N, C, crop_size, crop_size) in [-1, 1].

    All pairs are gone through evenly, in a new order every time.

    Args:
        root: A folder of pictures that hold both sides, side by side, or with such in train, test and val; or one that
            holds trainA and trainB, perhaps testA and testB, matched by name.
        x: Instead of root, the folder of x.
        y: The folder of y; partners have the same name, but for the suffix.
        pairs: Instead of both, a list, CSV or JSON, with columns x and y, relative to it, and perhaps split (train,
            val, test) and group: a group, such as a patient, is in training or in the test, never in both. Where x and
            y name one file, it holds them side by side.
        side: Which half of a side-by-side picture is x: "left" or "right".
        x_as: What x is: "picture"; "labels", of which the networks see a plane each; "edges" or "grey", made of y.
        labels: How many labels there are where their colours are noisy, as in JPEGs: the most common, and each pixel
            counts as the nearest. None: every value that occurs is a label.
        unmatched: What to do with pictures without a partner: "error" stops, "skip" leaves them out.
        sizes: What to do with pairs of different sizes: "error" stops, "fit" scales x to the size of y.
        x_name: What x is called. None: the folder's name.
        y_name: What y is called. None: the folder's name.
        load_size: Pixels to which a pair is scaled before the random cut.
        crop_size: Pixels a side that are cut out; what the networks see.
        fit: "crop" scales the shorter side to load_size and keeps the shape; "squash" scales both; "none" neither.
        flip: Whether every second pair is mirrored.
        augment: Transforms of albumentations after the cut. Those that move pixels act on both sides alike, the others
            on x alone.
        augment_y: Whether the others act on y too, by the same draws; an x that is made of y is then made of the
            changed one.
        unreadable: What to do with a damaged picture: "error" stops, "skip" takes the next pair and counts.
        cache: "ram" reads all pictures before the first row, scaled to load_size, and keeps them in memory, for all
            passes and workers; how much they take is told. Of several processes each keeps its own. "none" reads them
            when they are due.
        workers: Processes that read ahead, for each process of training. 0: none.
        x_channels: Channels of x: 1 (grey) or 3, into which pictures are converted, or as many as they have. None: 3
            for pictures, 1 for edges and grey, as many as there are labels.
        y_channels: Channels of y.
        x_value_range: The stored values of x that become black and white, e.g. [0, 4095]. None: the range of their
            kind.
        y_value_range: The same for y.
        seed: Of the order, the cuts and all other augmentation.
        worker_timeout: Seconds without a batch after which a worker counts as hanging.

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
    unmatched: Literal["error", "skip"] = "error"
    sizes: Literal["error", "fit"] = "error"
    x_name: str | None = None
    y_name: str | None = None
    load_size: int = 286
    crop_size: int = 256
    fit: Fit = "crop"
    flip: bool = True
    augment: dict[str, dict[str, bool | int | float | str | list[float] | None]] = field(default_factory=dict)
    augment_y: bool = False
    unreadable: Literal["error", "skip"] = "error"
    cache: Cache = "none"
    workers: int = 2
    x_channels: int | None = None
    y_channels: int = 3
    x_value_range: list[float] | None = None
    y_value_range: list[float] | None = None
    seed: int = 0
    worker_timeout: float = 300.0

    def __post_init__(self) -> None:
        self._check_options()
        found = find_pairs(self.root, self.x, self.y, self.pairs, self.x_as in ("edges", "grey"), self.unmatched)
        self.train, self.test, self.side_by_side = found.train, found.test, found.side_by_side
        if not self.train:
            raise BadInput("there are no pairs to train on: give more, or another split")
        self.names = {
            "x": self.x_name or NAMES.get(self.x_as, found.names["x"]),
            "y": self.y_name or found.names["y"],
        }
        self.title = f"{self.names['x']}2{self.names['y']}"
        self.pair_size: list[int] | None = None  # (width, height) of most, where two lie side by side
        self.notices = [*found.notices, *self._look_at_sizes()]
        self.input = self._look_at_labels() if self.x_as == "labels" else Input(self.x_as)
        self.forms = self._look_at_values()
        self.channels = {side: form.channels for side, form in self.forms.items()}
        x_form, y_form = self.forms["x"], self.forms["y"]
        planar = 1 if self.x_as == "labels" else x_form.channels
        self._augment = PairAugment(
            *(self.load_size, self.crop_size, self.fit, self.flip, self.augment),
            channels=(planar, y_form.channels),
            kinds=(x_form.dtype, y_form.dtype),
            labels=self.x_as == "labels",
            both=self.augment_y,
            make=partial(made_of, kind=self.x_as) if self.input.of_y else None,
        )
        self.skipped: Counter[str] = Counter()  # "path: why" -> how often another pair took its place

    @property
    def images_per_epoch(self) -> int:
        """Pairs to train on."""
        return len(self.train)

    def check(self, global_batch: int) -> None:
        """Raises BadInput where there are fewer pairs than one batch (rows of all processes together)."""
        if len(self.train) < global_batch:
            raise BadInput(
                f"there are {len(self.train)} pairs to train on, fewer than a batch of {global_batch}: lower"
                " --batch_size or add pairs"
            )
        if self.cache == "ram":
            self.notices.append(afford(self.kept))

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """Endless batches from a row on: {"x", "y": (N, C, crop_size, crop_size), "row": (N,) int64};
        pictures of 8 bits as bytes, which `quagga.data.tensors.with_floats` makes floats in [-1, 1], others so.
        """
        at_once = self.cache == "ram" and not self.augment
        for shelf in self.kept:
            shelf.fill(0 if at_once else self.workers)
        return batches(
            *(self, from_row, batch_size, process, processes, self.workers, self.worker_timeout, self.skipped.update),
            whole=self.whole if at_once else None,
        )

    def whole(self, rows: np.ndarray) -> Batch | None:
        """The rows of these numbers, stacked, as `sample` has each; None where a pair is not in memory."""
        numbers = places(self.seed, "pair", rows, len(self.train)).tolist()
        kept = [self._kept(number) for number in numbers]
        if any(two is None for two in kept):
            return None
        seeds = (key(self.seed, "pair", "augment", row) for row in rows.tolist())
        x, y = zip(*(self._augment(*two, seed) for two, seed in zip(kept, seeds, strict=True) if two), strict=True)
        return self._tensors(np.stack(x), np.stack(y))

    @property
    def kept(self) -> list[Shelf]:
        """Where pairs stay in memory; empty where they do not."""
        return [] if self.cache == "none" else [self.shelf]

    @cached_property
    def shelf(self) -> Shelf:
        """What stays of the pairs, by their numbers in `train`; empty until it is filled."""
        sides = ["y"] if self.input.of_y else ["x", "y"]
        channels = {side: form.channels for side, form in self.forms.items()}
        channels |= {"x": 1} if self.x_as == "labels" else {}

        def values(number: int) -> list[int]:
            header = read_header(self.train[number].y)
            height, width = header.shorter, header.longer
            if self.side_by_side:
                height, width = (height, width // 2) if header.wide else (width, height // 2)
            area = self._augment.area(height, width)
            return [area * channels[side] for side in sides]

        def read(number: int) -> list[np.ndarray]:
            return [part for part in self._augment.scaled(*self.read(self.train[number])) if part is not None]

        return Shelf(range(len(self.train)), [self.forms[side].dtype for side in sides], values, read)

    def sample(self, row: int) -> Sample:
        """A row: "x" and "y", (C, crop_size, crop_size), bytes or floats in [-1, 1].

        Raises:
            BadInput: the pair cannot be read, or with unreadable "skip" none can.
        """
        numbers = place(self.seed, "pair", row, len(self.train))
        change = partial(self._augment, seed=key(self.seed, "pair", "augment", row))
        tensors, skipped = self._first(((self.train[number], self._kept(number)) for number in numbers), change)
        return Sample(tensors, skipped)

    def files(self, row: int) -> list[str]:
        """The files of a row, for messages."""
        pair = self.train[next(place(self.seed, "pair", row, len(self.train)))]
        return list(dict.fromkeys(str(path) for path in (pair.x, pair.y) if path))

    def held_out(self, count: int) -> Batch:
        """Up to `count` pairs that training never sees, spread over the test, cut from the middle.

        Returns:
            {"x", "y": (N, C, crop_size, crop_size) in [-1, 1], "row": (N,) int64}. A set too small to hold any out
            shows what it trains on.
        """
        pool = self.test or self.train
        count = min(count, len(pool))
        rows = []
        for number in range(count):
            start = number * len(pool) // count
            around = (pool[(start + step) % len(pool)] for step in range(len(pool)))
            rows.append(self._first(((pair, None) for pair in around), self._augment.still)[0])
        return with_floats(
            {**{side: torch.stack([row[side] for row in rows]) for side in "xy"}, "row": torch.arange(count)}
        )

    def still(self, pair: Pair) -> dict[str, Tensor]:
        """The tensors of a pair, cut from the middle: "x" and "y", (C, crop_size, crop_size) in [-1, 1]."""
        return {side: floats(one) for side, one in self._first(iter([(pair, None)]), self._augment.still)[0].items()}

    def for_the_eye(self, batch: Batch) -> Batch:
        """The same batch, label maps in colours."""
        return {**batch, "x": coloured(batch["x"])} if self.x_as == "labels" else batch

    def preprocessing(self) -> dict[str, Any]:
        """What was done to the pictures, for the model to carry along (JSON)."""
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
        """What each side is called and how its pictures are read and written, for the model to carry along (JSON)."""
        cards = {side: form.card(self.names[side]) for side, form in self.forms.items()}
        cards["x"] |= self.input.card()
        return cards

    def known(self) -> dict[str, Any]:
        """Options of the pipeline that follow from the data."""
        return {"x_channels": self.channels["x"]}

    # -- what is found when it is made --------------------------------------------------------------------------------

    def _check_options(self) -> None:
        check_side("x", self.x_channels, self.x_value_range)
        check_side("y", self.y_channels, self.y_value_range)
        check_workers(self.workers, self.worker_timeout)
        if self.x_as in ("edges", "grey") and self.x is not None:
            raise BadInput(f"x_as {self.x_as} makes x of y, and --x {self.x} names a folder: leave one of them out")
        if self.x_as != "picture" and self.x_value_range is not None:
            raise BadInput(f"x_value_range {self.x_value_range}: {self.x_as} have no black and white: leave it out")
        if self.labels is not None and self.x_as != "labels":
            raise BadInput(f"labels {self.labels} speaks of label maps: say --x_as labels too, or leave it out")
        if self.labels is not None and not 2 <= self.labels <= 256:
            raise BadInput(f"labels {self.labels}: from 2 to 256, or null for every value that occurs")

    def _look_at_sizes(self) -> list[str]:
        """By the headers of all files, 0.1 ms each, and where these leave open how a picture stands, by itself; what
        cannot be read is left for later."""
        if self.x_as in ("edges", "grey") and not self.side_by_side:
            return []
        odd, different, sizes = [], [], Counter()
        for pair in (*self.train, *self.test):
            try:
                one, other = read_header(pair.x or pair.y), read_header(pair.y)
            except BadInput:
                continue
            same = (one.shorter, one.longer) == (other.shorter, other.longer)
            if not same or one.wide != other.wide:
                with suppress(BadInput):
                    (h, w), (height, width) = (
                        read_native(path).pixels.shape[:2] for path in (pair.x or pair.y, pair.y)
                    )
                    if (h, w) != (height, width):
                        different.append(f"{pair.name} ({w}x{h} and {width}x{height})")
            sizes[(other.shorter, other.longer)] += 1
            if self.side_by_side and (one.shorter % 2 or one.longer % 2):  # a header does not tell which is the width
                with suppress(BadInput):
                    height, width = read_native(pair.y).pixels.shape[:2]
                    odd += [f"{pair.name} ({width}x{height})"] if width % 2 else []
        for wrong, what, advice in (
            (odd, "side-by-side pictures have an odd width", "cut them to an even one, or give two folders"),
            (different, "pairs differ in size", "make them equal, or scale x to the size of y with --sizes fit"),
        ):
            if wrong and not (wrong is different and self.sizes == "fit") and self.unreadable == "error":
                raise BadInput(
                    f"{len(wrong)} of {len(self.train) + len(self.test)} {what}: {', '.join(wrong[:3])}: {advice}"
                )
        if not self.side_by_side or not sizes:
            return []
        (shorter, longer), _ = sizes.most_common(1)[0]
        self.pair_size = [longer, shorter]
        return [f"pairs side by side, {longer}x{shorter} mostly: x ({self.names['x']}) is the {self.side} half"]

    def _look_at_labels(self) -> Input:
        maps = [(pair.x, self._half("x")) for pair in (*self.train, *self.test) if pair.x]
        table = find_labels(maps, self.labels, self.unreadable == "skip")
        if self.x_channels not in (None, len(table.labels)):
            raise BadInput(f"x_channels {self.x_channels}: {len(table.labels)} labels were found: leave it out")
        return table

    def _look_at_values(self) -> dict[str, Form]:
        """How both sides are read, and lines for the user."""
        skip, forms = self.unreadable == "skip", {}
        if self.input.of_y and self.x_channels not in (None, 1):
            raise BadInput(f"x_channels {self.x_channels}: {self.x_as} have 1: leave it out")
        if self.x_as == "labels":
            forms["x"] = Form(len(self.input.labels))
            by = " (each pixel counts as the nearest)" if self.input.nearest else ""
            self.notices.append(f"{self.names['x']}: {len(self.input.labels)} labels{by}")
        elif self.input.of_y:
            forms["x"] = Form(1)
        else:
            files = Side(self.names["x"], [pair.x for pair in self.train if pair.x], [])
            forms["x"], lines = look(files, "x", self.x_channels or 3, self.x_value_range, self.crop_size, skip)
            self.notices += lines
        files = Side(self.names["y"], [pair.y for pair in self.train], [])
        forms["y"], lines = look(files, "y", self.y_channels, self.y_value_range, self.crop_size, skip)
        self.notices += lines
        return forms

    # -- reading ------------------------------------------------------------------------------------------------------

    def _first(
        self,
        pairs: Iterator[tuple[Pair, Two | None]],
        change: Callable[[np.ndarray | None, np.ndarray], tuple[np.ndarray, np.ndarray]],
    ) -> tuple[dict[str, Tensor], list[str]]:
        """The first pair that is in memory or can be read, changed, and why those before it could not."""
        skipped: list[str] = []
        for pair, kept in pairs:
            try:
                two = kept or self.read(pair)
                try:
                    x, y = change(*two)
                except BadInput as error:
                    raise BadInput(f"{pair.y}: {error}") from None
            except BadInput as error:
                if self.unreadable == "error":
                    raise
                skipped.append(str(error))
            else:
                return self._tensors(x, y), skipped
        raise BadInput(f"none of {len(skipped)} pairs can be read; the first is {skipped[0]}")

    def _tensors(self, x: np.ndarray, y: np.ndarray) -> dict[str, Tensor]:
        """(H, W, C) or (N, H, W, C) each -> what the networks see."""
        labels = len(self.input.labels)
        return {"x": planes(x, labels) if self.x_as == "labels" else to_row(x), "y": to_row(y)}

    def _kept(self, number: int) -> Two | None:
        """The pair of that number, scaled, where it is in memory."""
        parts = self.shelf.get(number) if self.cache == "ram" else None
        return parts and Two(parts[0] if len(parts) == 2 else None, parts[-1])

    def read(self, pair: Pair) -> Two:
        """A pair as its files hold it, in the forms of its sides, at one size.

        Raises:
            BadInput: it cannot be read, its sizes differ, or it holds labels that training has not seen.
        """
        maps = pair.x if self.x_as == "labels" else None  # side by side with a map, y is read as it is stored too
        native: dict[Path, Native] = {path: read_native(path, path == maps) for path in {pair.x, pair.y} if path}
        try:
            path = pair.y
            y = fitted(self._half("y")(native[path]), self.forms["y"], "y").pixels
            if self.input.of_y or pair.x is None:
                return Two(None, y)
            path = pair.x
            half = self._half("x")(native[path])
            if self.x_as == "labels":
                x = indices(label_values(half), self.input)
            else:
                x = fitted(half, self.forms["x"], "x").pixels
        except ValueError as error:
            raise (error if isinstance(error, BadInput) else BadInput(f"{path}: {error}")) from None
        if x.shape[:2] != y.shape[:2]:
            if self.sizes == "error":
                raise BadInput(
                    f"{pair.x} has {x.shape[1]}x{x.shape[0]} pixels and {pair.y} {y.shape[1]}x{y.shape[0]}: make them"
                    " equal, or say --sizes fit"
                )
            x = (nearest if self.x_as == "labels" else resized)(x, *y.shape[:2])
        return Two(x, y)

    def _half(self, side: str) -> Cut:
        """What takes a side's half of a picture that holds both."""
        if not self.side_by_side:
            return whole
        return left_half if (side == "x") == (self.side == "left") else right_half
