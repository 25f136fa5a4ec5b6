"""Two folders of pictures with nothing in common but their kinds: horses here, zebras there."""

from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.read import read_fitted
from quagga.data.io.tensors import to_row, with_floats
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
from quagga.data.options import AugmentOptions, ReadingOptions, TwoSidesOptions, check_sides
from quagga.data.paired import Paired
from quagga.data.sources.argument_checks import check_workers
from quagga.data.sources.held_out import Domain
from quagga.data.sources.image_store import FileStore, ram_cache_of
from quagga.data.sources.probe import probe
from quagga.data.sources.two_domain_table import domains_in_table
from quagga.data.sources.two_folders import TwoFolders, two_folders
from quagga.data.transforms.augment import Augment, scaled_load_size
from quagga.errors import BadInput


@dataclass
class Unpaired(ReadingOptions, AugmentOptions, TwoSidesOptions):
    """Rows of one picture of each domain, drawn independently: "x" and "y", (N, C, crop_size, crop_size) in [-1, 1].

    Each side is gone through evenly, in a new order every time; an epoch is one pass through the larger side. Where
    pairs are given too, every `pair_every`-th row is one of them, and a batch says which: "paired", bool (N,).

    It takes the options of the classes from which it inherits too, see `quagga.data.options`.

    Args:
        root: folder that holds trainA and trainB; testA and testB are used if they are there.
        x: folder of domain X, in place of root; pictures in the folders below it are found too.
        y: folder of domain Y, in place of root.
        table: CSV, TSV or JSON file with a line for each picture, in place of folders. Columns: side (x or y), file
            (relative to the table), and optionally split (train or test) and group. All pictures of a group, such as a
            patient, are in training or all are in the test, for X and Y together.
        pairs: CSV or JSON file of pictures that belong together, with the columns x and y; they are trained on as well.
        pair_every: one row in so many is a pair; batch_size must be a multiple of it, so that all batches hold as many
            pairs.
        unmatched: what to do with pairs of which a file is missing: "error" stops, "skip" leaves them out.
        x_name: name of domain X; None takes the name of its folder.
        y_name: name of domain Y; None takes the name of its folder.
        x_channels: channels of X: 1 (grey) or 3, into which pictures are converted, or as many as the pictures have; 4
            keeps the opacity.
        y_channels: channels of Y, likewise.
        x_value_range: stored values of X that become black and white, e.g. [0, 4095]; values outside are clipped and
            counted. None takes the range of the files' type: 0..255, 0..65535, or 0..1 for floats.
        y_value_range: the same for Y.

    Raises:
        BadInput: when made, if folders or options cannot work; while reading, if a picture cannot be read.
    """

    root: str | None = None
    x: str | None = None
    y: str | None = None
    table: str | None = None
    pairs: str | None = None
    pair_every: int = 2
    _: KW_ONLY
    x_channels: int = 3  # pyright: ignore[reportIncompatibleVariableOverride]  # never None

    def __post_init__(self) -> None:
        self.ranges = {"x": self.x_value_range, "y": self.y_value_range}
        check_sides(self)
        check_workers(self.workers, self.worker_timeout)
        self.channels = {"x": self.x_channels, "y": self.y_channels}
        found = self._find_pictures()
        self.sides: dict[str, Domain] = {"x": found.x, "y": found.y}
        self.groups = found.groups
        self.names = {name: side.name for name, side in self.sides.items()}
        self.notices = list(found.notices)
        self.forms: dict[str, PixelFormat] = {}
        for name, side in self.sides.items():
            skip = self.unreadable == "skip"
            self.forms[name], lines = probe(side, name, self.channels[name], self.ranges[name], self.crop_size, skip)
            self.notices += lines
        self.augments = {side: self._augment(pixel_format) for side, pixel_format in self.forms.items()}
        self.skipped: Counter[str] = Counter()  # "path: why" -> how often another took its place
        self.paired = self._find_pairs() if self.pairs else None

    @property
    def title(self) -> str:
        """Both domains' names, as horse2zebra."""
        return f"{self.names['x']}2{self.names['y']}"

    def known(self) -> dict[str, Any]:
        """Returns nothing: no option of a pipeline follows from unpaired pictures."""
        return {}

    @property
    def images_per_epoch(self) -> int:
        """The number of pictures to train on, of the side that has more."""
        return max(len(side.train) for side in self.sides.values())

    def check(self, global_batch: int) -> None:
        """Raises BadInput where a side has fewer pictures than one batch (rows of all processes together)."""
        for name, side in self.sides.items():
            if len(side.train) < global_batch:
                raise BadInput(
                    f"{name} ({side.name}) has {len(side.train)} pictures to train on, fewer than a batch of"
                    f" {global_batch}: lower --batch_size or add pictures"
                )
        if self.paired and global_batch % self.pair_every:
            raise self._uneven_pairs(global_batch)
        if self.cache == "ram":
            self.notices.append(check_free_memory(self.ram_caches))

    def at_size(self, size: int) -> Self:
        """Returns the same rows with pictures of `size` pixels a side; load_size keeps its ratio to crop_size."""
        rows = copy(self)
        rows.load_size, rows.crop_size = scaled_load_size(self.load_size, self.crop_size, size), size
        rows.augments = {side: rows._augment(pixel_format) for side, pixel_format in self.forms.items()}
        rows.paired = self.paired.at_size(size) if self.paired else None
        rows.notices = []
        vars(rows).pop("side_caches", None)  # which hold pictures of the other scale
        return rows

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """Endless batches from a row on: {"x", "y": (N, C, crop_size, crop_size), "row": (N,) int64};
        pictures of 8 bits as bytes, which `quagga.data.io.tensors.with_floats` makes floats in [-1, 1], others so.

        Raises:
            BadInput: with pairs, where not every batch would hold as many of them.
        """
        if self.paired and batch_size % self.pair_every:
            raise self._uneven_pairs(batch_size)
        only_cut = self.cache == "ram" and not self.augment and not self.paired
        for ram_cache in self.ram_caches:
            ram_cache.fill(0 if only_cut else self.workers)
        return batches(
            *(self, from_row, batch_size, process, processes, self.workers, self.worker_timeout, self.skipped.update),
            read_batch=self.read_batch if only_cut else None,
        )

    def read_batch(self, rows: np.ndarray) -> Batch | None:
        """Returns these rows stacked, each as `sample` has it; None where a picture is not in memory."""
        batch: Batch = {}
        for name, side in self.sides.items():
            indices = row_indices(self.seed, name, rows, len(side.train)).tolist()
            cached = [self.side_caches[name].get(index) for index in indices]
            if any(parts is None for parts in cached):
                return None
            read = zip(cached, rows.tolist(), strict=True)
            cuts = [self._transform(name, row)(parts[0]) for parts, row in read if parts]
            batch[name] = to_row(np.stack(cuts))
        return batch

    @cached_property
    def side_caches(self) -> dict[str, RamCache]:
        """The cache of each side, by the indices of its pictures to train on; empty until it is filled."""
        return {
            name: ram_cache_of(FileStore(side.train, self.forms[name]), range(len(side.train)), self.augments[name])
            for name, side in self.sides.items()
        }

    @property
    def ram_caches(self) -> list[RamCache]:
        """The caches that keep pictures in memory; none without `cache`."""
        if self.cache == "none":
            return []
        return [*self.side_caches.values(), *([self.paired.ram_cache] if self.paired else [])]

    def sample(self, row: int) -> Sample:
        """Reads a row: "x" and "y", (C, crop_size, crop_size), bytes or floats in [-1, 1]; with pairs "paired", bool
        ().

        Raises:
            BadInput: a picture cannot be read, or with unreadable "skip" none of its side can.
        """
        if self.paired is None:
            return self._unpaired_sample(row)
        pair, step = divmod(row, self.pair_every)
        if step == 0:
            tensors, skipped = self.paired.sample(pair)
        else:  # unpaired rows are counted by themselves, so that all unpaired pictures have their turn
            tensors, skipped = self._unpaired_sample(row - pair - 1)
        return Sample({**tensors, "paired": torch.tensor(step == 0)}, skipped)

    def _unpaired_sample(self, row: int) -> Sample:
        tensors, skipped = {}, []
        for name, side in self.sides.items():
            candidates = candidate_indices(self.seed, name, row, len(side.train))
            read = partial(self._read_indexed, name, self._transform(name, row))
            tensors[name], passed_over = first_readable(read, candidates, skip=self.unreadable == "skip")
            skipped += passed_over
        return Sample(tensors, skipped)

    def _transform(self, name: str, row: int) -> Callable[[np.ndarray], np.ndarray]:
        """Returns what happens to the picture of a side in a row."""
        return partial(self.augments[name], seed=augment_seed(self.seed, name, row))

    def files(self, row: int) -> list[str]:
        """Returns the files of a row, for messages."""
        if self.paired is not None:
            pair, step = divmod(row, self.pair_every)
            if step == 0:
                return self.paired.files(pair)
            row -= pair + 1
        return [
            str(side.train[next(candidate_indices(self.seed, name, row, len(side.train)))])
            for name, side in self.sides.items()
        ]

    def held_out(self, count: int) -> Batch:
        """Reads up to `count` pictures a side that training never sees, spread over the test, cut from the middle.

        Returns:
            {"x", "y": (N, C, crop_size, crop_size) in [-1, 1], "row": (N,) int64}, the same N on both sides. A side too
            small to hold any out gives pictures that it trains on. Where pairs are held out too, up to half of the rows
            are such, the last ones: "paired", bool (N,).
        """
        pair_count = min(count // 2, len(self.paired.test)) if self.paired else 0
        batch = self._unpaired_held_out(count - pair_count)
        if self.paired is None or not pair_count:
            return batch
        pairs = self.paired.held_out(pair_count)
        unpaired = len(batch["row"])
        both = {side: torch.cat([batch[side], pairs[side]]) for side in "xy"}
        rows = torch.arange(unpaired + pair_count)
        return {**both, "paired": rows >= unpaired, "row": rows}

    def _unpaired_held_out(self, count: int) -> Batch:
        pools = {name: side.test or side.train for name, side in self.sides.items()}
        count = min(count, *(len(pool) for pool in pools.values()))
        batch: Batch = {}
        for name, pool in pools.items():
            pictures: list[Tensor] = []
            for number in range(count):
                start = number * len(pool) // count
                read = partial(self._read, name, self.augments[name].without_chance)
                candidates = (pool[(start + step) % len(pool)] for step in range(len(pool)))
                pictures.append(first_readable(read, candidates, skip=self.unreadable == "skip")[0])
            batch[name] = torch.stack(pictures)
        return with_floats({**batch, "row": torch.arange(count)})

    def preprocessing(self) -> dict[str, Any]:
        """Returns what was done to the pictures, to be saved with the model (JSON)."""
        return {
            "load_size": self.load_size,
            "crop_size": self.crop_size,
            "fit": self.fit,
            "channels": dict(self.channels),
            "value_range": [-1.0, 1.0],
            "opacity": {
                side: "kept" if channels in (2, 4) else "laid on white" for side, channels in self.channels.items()
            },
        }

    def domains(self) -> dict[str, dict[str, Any]]:
        """What each side is called and how its pictures are read and written, for the model to carry along (JSON)."""
        return {side: pixel_format.to_json(self.names[side]) for side, pixel_format in self.forms.items()}

    def _find_pictures(self) -> TwoFolders:
        """Finds the pictures of both sides."""
        if self.table is None:
            return two_folders(self.root, self.x, self.y, self.x_name, self.y_name)
        if self.root is not None or self.x is not None or self.y is not None:
            raise BadInput(f"--table {self.table} lists the pictures of both sides: leave out --root, --x and --y")
        return domains_in_table(self.table, self.x_name, self.y_name, self.unreadable == "skip")

    def _find_pairs(self) -> Paired:
        """Finds the pairs, with the options of the unpaired pictures."""
        if self.pair_every < 1:
            raise BadInput(f"pair_every {self.pair_every}: 1 makes all rows pairs, 2 every second one")
        shared = (*fields(ReadingOptions), *fields(AugmentOptions), *fields(TwoSidesOptions))
        options = {option.name: getattr(self, option.name) for option in shared}
        found = Paired(pairs=self.pairs, **{**options, "x_name": None, "y_name": None})
        self.notices += [f"pairs: {line}" for line in found.notices]
        self._separate_held_out(found)
        return found

    def _separate_held_out(self, pairs: Paired) -> None:
        """Holds out of the pairs what is held out of the unpaired pictures, and the other way round: the same files, or
        pictures of the same group, may be among both."""
        tests = {name: {path.resolve() for path in side.test} for name, side in self.sides.items()}
        groups = {self.groups[path] for side in self.sides.values() for path in side.test if path in self.groups}
        files = [tuple(path.resolve() for path in (pair.x, pair.y) if path) for pair in pairs.train]
        usable = [
            not (x in tests["x"] or y in tests["y"] or pair.group in groups)
            for (x, y), pair in zip(files, pairs.train, strict=True)
        ]
        held_out = {path.resolve() for pair in pairs.test for path in (pair.x, pair.y) if path}
        groups = {pair.group for pair in pairs.test if pair.group}
        if dropped := len(usable) - sum(usable):
            pairs.train = [pair for pair, keep in zip(pairs.train, usable, strict=True) if keep]
            why = "since a picture of theirs, or of their group, is held out as an unpaired one"
            self.notices.append(f"pairs: {dropped} are left out, {why}")
        if not pairs.train:
            raise BadInput(f"of the pairs of {self.pairs} none is left to train on: all are of held-out pictures")
        for name, side in self.sides.items():
            remaining = [p for p in side.train if p.resolve() not in held_out and self.groups.get(p) not in groups]
            if dropped := len(side.train) - len(remaining):
                self.sides[name] = side._replace(train=remaining)
                self.notices.append(f"{dropped} pictures of {side.name} are held out, as their pairs are")

    def _uneven_pairs(self, batch: int) -> BadInput:
        return BadInput(
            f"every {self.pair_every}. row is a pair, and {batch} rows a batch would not hold as many each: make"
            f" --batch_size a multiple of {self.pair_every}, or change --pair_every"
        )

    def _augment(self, pixel_format: PixelFormat) -> Augment:
        options = self.load_size, self.crop_size, self.fit, self.flip, self.augment
        return Augment(*options, pixel_format.channels, pixel_format.dtype)

    def _read_indexed(self, name: str, transform: Callable[[np.ndarray], np.ndarray], index: int) -> Tensor:
        """Reads a picture to train on from memory, where it is cached, else from its file."""
        parts = self.side_caches[name].get(index) if self.cache == "ram" else None
        return to_row(transform(parts[0])) if parts else self._read(name, transform, self.sides[name].train[index])

    def _read(self, name: str, transform: Callable[[np.ndarray], np.ndarray], path: Path) -> Tensor:
        pixels = read_fitted(path, self.forms[name], name).pixels
        try:
            return to_row(transform(pixels))
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from None
