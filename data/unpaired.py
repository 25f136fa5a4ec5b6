"""Two folders of pictures with nothing in common but their kinds: horses here, zebras there."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from quagga import BadInput
from quagga.data.augment import Augment, Fit
from quagga.data.cache import Cache, Shelf, afford
from quagga.data.decode import read_fitted
from quagga.data.feed import batches
from quagga.data.folders import Side, TwoFolders, two_folders
from quagga.data.form import Form
from quagga.data.gallery import Files, shelf_of
from quagga.data.look import look
from quagga.data.paired import Paired
from quagga.data.rows import Batch, Batches, Sample, first_readable, key, place, places
from quagga.data.sides import sides_in_table
from quagga.data.stated import check_side, check_workers
from quagga.data.tensors import to_row, with_floats


@dataclass
class Unpaired:
    """Rows of one picture of each domain, drawn independently: "x" and "y", (N, C, crop_size, crop_size) in [-1, 1].

    Each side is gone through evenly, in a new order every time; an epoch is one pass through the larger side. Where
    pairs are given too, every `pair_every`-th row is one of them, and a batch says which: "paired", bool (N,).

    Args:
        root: A folder that holds trainA and trainB, perhaps testA and testB.
        x: Instead of root, the folder of domain X; pictures are found in it and below.
        y: Instead of root, the folder of domain Y.
        table: Instead of folders, a CSV, TSV or JSON file with a line for each picture: columns side (x or y) and file,
            relative to it, and perhaps split (train or test) and group: a group, such as a patient, is in training or
            in the test, never in both, on neither side.
        pairs: A list, CSV or JSON, of pictures that belong together, columns x and y; they are trained on as well.
        pair_every: Every so many rows one is a pair; batch_size is a multiple of it, so that all batches hold as many.
        unmatched: What to do with pairs of which a file is missing: "error" stops, "skip" leaves them out.
        sizes: What to do with pairs of different sizes: "error" stops, "fit" scales x to the size of y.
        x_name: What domain X is called. None: the folder's name.
        y_name: What domain Y is called. None: the folder's name.
        load_size: Pixels to which a picture is scaled before the random cut.
        crop_size: Pixels a side that are cut out; what the networks see.
        fit: "crop" scales the shorter side to load_size and keeps the shape; "squash" scales both; "none" neither.
        flip: Whether every second picture is mirrored.
        augment: Transforms of albumentations after the cut, e.g. {"ColorJitter": {"brightness": 0.1, "p": 0.5}}.
        unreadable: What to do with a damaged picture: "error" stops, "skip" takes the next one and counts.
        cache: "ram" reads all pictures before the first row, scaled to load_size, and keeps them in memory, for all
            passes and workers; how much they take is told. Of several processes each keeps its own. "none" reads them
            when they are due.
        workers: Processes that read ahead, for each process of training. 0: none.
        x_channels: Channels of X: 1 (grey) or 3, into which pictures are converted, or as many as the pictures have; 4
            keeps the opacity.
        y_channels: Channels of Y.
        x_value_range: The stored values of X that become black and white, e.g. [0, 4095]; what lies outside is clipped
            and counted. None: the range of their kind: 0..255, 0..65535, floats 0..1.
        y_value_range: The same for Y.
        seed: Of the order, the cuts and all other augmentation.
        worker_timeout: Seconds without a batch after which a worker counts as hanging.

    Raises:
        BadInput: when made, if folders or options cannot work; while reading, if a picture cannot be read.
    """

    root: str | None = None
    x: str | None = None
    y: str | None = None
    table: str | None = None
    pairs: str | None = None
    pair_every: int = 2
    unmatched: Literal["error", "skip"] = "error"
    sizes: Literal["error", "fit"] = "error"
    x_name: str | None = None
    y_name: str | None = None
    load_size: int = 286
    crop_size: int = 256
    fit: Fit = "crop"
    flip: bool = True
    augment: dict[str, dict[str, bool | int | float | str | list[float] | None]] = field(default_factory=dict)
    unreadable: Literal["error", "skip"] = "error"
    cache: Cache = "none"
    workers: int = 2
    x_channels: int = 3
    y_channels: int = 3
    x_value_range: list[float] | None = None
    y_value_range: list[float] | None = None
    seed: int = 0
    worker_timeout: float = 300.0

    def __post_init__(self) -> None:
        self.ranges = {"x": self.x_value_range, "y": self.y_value_range}
        check_side("x", self.x_channels, self.x_value_range)
        check_side("y", self.y_channels, self.y_value_range)
        check_workers(self.workers, self.worker_timeout)
        self.channels = {"x": self.x_channels, "y": self.y_channels}
        found = self._found()
        self.sides: dict[str, Side] = {"x": found.x, "y": found.y}
        self.groups = found.groups
        self.names = {name: side.name for name, side in self.sides.items()}
        self.notices = list(found.notices)
        self.forms: dict[str, Form] = {}
        for name, side in self.sides.items():
            skip = self.unreadable == "skip"
            self.forms[name], lines = look(side, name, self.channels[name], self.ranges[name], self.crop_size, skip)
            self.notices += lines
        self.augments = {side: self._augment(form) for side, form in self.forms.items()}
        self.skipped: Counter[str] = Counter()  # "path: why" -> how often another took its place
        self.paired = self._pairs() if self.pairs else None

    @property
    def title(self) -> str:
        """Both domains' names, such as horse2zebra."""
        return f"{self.names['x']}2{self.names['y']}"

    def known(self) -> dict[str, Any]:
        """Nothing: every option of the pipeline is the user's."""
        return {}

    @property
    def images_per_epoch(self) -> int:
        """Pictures to train on, of the side that has more."""
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
            raise self._uneven(global_batch)
        if self.cache == "ram":
            self.notices.append(afford(self.kept))

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """Endless batches from a row on: {"x", "y": (N, C, crop_size, crop_size), "row": (N,) int64};
        pictures of 8 bits as bytes, which `quagga.data.tensors.with_floats` makes floats in [-1, 1], others so.

        Raises:
            BadInput: with pairs, where not every batch would hold as many of them.
        """
        if self.paired and batch_size % self.pair_every:
            raise self._uneven(batch_size)
        at_once = self.cache == "ram" and not self.augment and not self.paired
        for shelf in self.kept:
            shelf.fill(0 if at_once else self.workers)
        return batches(
            *(self, from_row, batch_size, process, processes, self.workers, self.worker_timeout, self.skipped.update),
            whole=self.whole if at_once else None,
        )

    def whole(self, rows: np.ndarray) -> Batch | None:
        """The rows of these numbers, stacked, as `sample` has each; None where a picture is not in memory."""
        batch: Batch = {}
        for name, side in self.sides.items():
            numbers = places(self.seed, name, rows, len(side.train)).tolist()
            kept = [self.shelves[name].get(number) for number in numbers]
            if any(one is None for one in kept):
                return None
            seeds = (key(self.seed, name, "augment", row) for row in rows.tolist())
            cuts = [self.augments[name](one[0], seed) for one, seed in zip(kept, seeds, strict=True) if one]
            batch[name] = to_row(np.stack(cuts))
        return batch

    @cached_property
    def shelves(self) -> dict[str, Shelf]:
        """What stays of each side, by the numbers of its pictures to train on; empty until it is filled."""
        return {
            name: shelf_of(Files(side.train, self.forms[name]), range(len(side.train)), self.augments[name])
            for name, side in self.sides.items()
        }

    @property
    def kept(self) -> list[Shelf]:
        """Where pictures stay in memory; empty where they do not."""
        if self.cache == "none":
            return []
        return [*self.shelves.values(), *([self.paired.shelf] if self.paired else [])]

    def sample(self, row: int) -> Sample:
        """A row: "x" and "y", (C, crop_size, crop_size), bytes or floats in [-1, 1]; with pairs "paired", bool ().

        Raises:
            BadInput: a picture cannot be read, or with unreadable "skip" none of its side can.
        """
        if self.paired is None:
            return self._loose(row)
        pair, step = divmod(row, self.pair_every)
        if step == 0:
            tensors, skipped = self.paired.sample(pair)
        else:  # counted by themselves, so that all loose pictures have their turn
            tensors, skipped = self._loose(row - pair - 1)
        return Sample({**tensors, "paired": torch.tensor(step == 0)}, skipped)

    def _loose(self, row: int) -> Sample:
        tensors, skipped = {}, []
        for name, side in self.sides.items():
            numbers = place(self.seed, name, row, len(side.train))
            read = partial(self._take, name, partial(self.augments[name], seed=key(self.seed, name, "augment", row)))
            tensors[name], passed = first_readable(read, numbers, skip=self.unreadable == "skip")
            skipped += passed
        return Sample(tensors, skipped)

    def files(self, row: int) -> list[str]:
        """The files of a row, for messages."""
        if self.paired is not None:
            pair, step = divmod(row, self.pair_every)
            if step == 0:
                return self.paired.files(pair)
            row -= pair + 1
        return [
            str(side.train[next(place(self.seed, name, row, len(side.train)))]) for name, side in self.sides.items()
        ]

    def held_out(self, count: int) -> Batch:
        """Up to `count` pictures a side that training never sees, spread over the test, cut from the middle.

        Returns:
            {"x", "y": (N, C, crop_size, crop_size) in [-1, 1], "row": (N,) int64}, the same N on both sides. A side too
            small to hold any out shows what it trains on. Where pairs are held out too, up to half of the rows are
            such, the last ones: "paired", bool (N,).
        """
        apart = min(count // 2, len(self.paired.test)) if self.paired else 0
        batch = self._loose_held_out(count - apart)
        if self.paired is None or not apart:
            return batch
        pairs = self.paired.held_out(apart)
        loose = len(batch["row"])
        both = {side: torch.cat([batch[side], pairs[side]]) for side in "xy"}
        rows = torch.arange(loose + apart)
        return {**both, "paired": rows >= loose, "row": rows}

    def _loose_held_out(self, count: int) -> Batch:
        pools = {name: side.test or side.train for name, side in self.sides.items()}
        count = min(count, *(len(pool) for pool in pools.values()))
        batch: Batch = {}
        for name, pool in pools.items():
            pictures: list[Tensor] = []
            for number in range(count):
                start = number * len(pool) // count
                read = partial(self._read, name, self.augments[name].still)
                around = (pool[(start + step) % len(pool)] for step in range(len(pool)))
                pictures.append(first_readable(read, around, skip=self.unreadable == "skip")[0])
            batch[name] = torch.stack(pictures)
        return with_floats({**batch, "row": torch.arange(count)})

    def preprocessing(self) -> dict[str, Any]:
        """What was done to the pictures, for the model to carry along (JSON)."""
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
        return {side: form.card(self.names[side]) for side, form in self.forms.items()}

    def _found(self) -> TwoFolders:
        """The pictures of both sides."""
        if self.table is None:
            return two_folders(self.root, self.x, self.y, self.x_name, self.y_name)
        if self.root is not None or self.x is not None or self.y is not None:
            raise BadInput(f"--table {self.table} lists the pictures of both sides: leave out --root, --x and --y")
        return sides_in_table(self.table, self.x_name, self.y_name, self.unreadable == "skip")

    def _pairs(self) -> Paired:
        """The pairs, in the forms of the loose pictures."""
        if self.pair_every < 1:
            raise BadInput(f"pair_every {self.pair_every}: 1 makes all rows pairs, 2 every second one")
        found = Paired(
            pairs=self.pairs,
            unmatched=self.unmatched,
            sizes=self.sizes,
            load_size=self.load_size,
            crop_size=self.crop_size,
            fit=self.fit,
            flip=self.flip,
            augment=self.augment,
            unreadable=self.unreadable,
            cache=self.cache,
            x_channels=self.x_channels,
            y_channels=self.y_channels,
            x_value_range=self.x_value_range,
            y_value_range=self.y_value_range,
            seed=self.seed,
        )
        self.notices += [f"pairs: {line}" for line in found.notices]
        self._keep_apart(found)
        return found

    def _keep_apart(self, pairs: Paired) -> None:
        """The files of pairs may be among the loose ones, or of their groups: what is held out of the one is held out
        of the other."""
        tests = {name: {path.resolve() for path in side.test} for name, side in self.sides.items()}
        groups = {self.groups[path] for side in self.sides.values() for path in side.test if path in self.groups}
        ours = [tuple(path.resolve() for path in (pair.x, pair.y) if path) for pair in pairs.train]
        kept = [
            not (x in tests["x"] or y in tests["y"] or pair.group in groups)
            for (x, y), pair in zip(ours, pairs.train, strict=True)
        ]
        held = {path.resolve() for pair in pairs.test for path in (pair.x, pair.y) if path}
        groups = {pair.group for pair in pairs.test if pair.group}
        if dropped := len(kept) - sum(kept):
            pairs.train = [pair for pair, keep in zip(pairs.train, kept, strict=True) if keep]
            why = "since a picture of theirs, or of their group, is held out as a loose one"
            self.notices.append(f"pairs: {dropped} are left out, {why}")
        if not pairs.train:
            raise BadInput(f"of the pairs of {self.pairs} none is left to train on: all are of held-out pictures")
        for name, side in self.sides.items():
            loose = [p for p in side.train if p.resolve() not in held and self.groups.get(p) not in groups]
            if dropped := len(side.train) - len(loose):
                self.sides[name] = side._replace(train=loose)
                self.notices.append(f"{dropped} pictures of {side.name} are held out, as their pairs are")

    def _uneven(self, batch: int) -> BadInput:
        return BadInput(
            f"every {self.pair_every}. row is a pair, and {batch} rows a batch would not hold as many each: make"
            f" --batch_size a multiple of {self.pair_every}, or change --pair_every"
        )

    def _augment(self, form: Form) -> Augment:
        options = self.load_size, self.crop_size, self.fit, self.flip, self.augment
        return Augment(*options, form.channels, form.dtype)

    def _take(self, name: str, transform: Callable[[np.ndarray], np.ndarray], number: int) -> Tensor:
        kept = self.shelves[name].get(number) if self.cache == "ram" else None
        return to_row(transform(kept[0])) if kept else self._read(name, transform, self.sides[name].train[number])

    def _read(self, name: str, transform: Callable[[np.ndarray], np.ndarray], path: Path) -> Tensor:
        pixels = read_fitted(path, self.forms[name], name).pixels
        try:
            return to_row(transform(pixels))
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from None
