"""Pictures without a condition."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import torch

from quagga import BadInput
from quagga.data.cache import CacheOrDevice, Shelf
from quagga.data.collection import Collection, count_of, divided, in_folder, in_order, taken
from quagga.data.conditions import did_you_mean, name_of
from quagga.data.dataset import held, joined, unprepared
from quagga.data.deck import deck_of, wanted_of
from quagga.data.form import Form
from quagga.data.labels import Columns, Labelled, in_table, unlisted
from quagga.data.rows import Batch, Batches, Sample
from quagga.data.stated import check_names, check_workers

MODES = 100  # classes above which folders are taken for mere order


@dataclass
class Pictures:
    """Rows of one picture, "x" (N, C, size, size) in [-1, 1]. Where classes are known, as a folder holds folders of
    pictures or idx files have labels, "mode" int64 (N,) is the number of each: it is shown how many of each come out,
    no network sees it.

    Args:
        root: A folder of pictures, at any depth, perhaps below train and test; or with MNIST's idx files.
        table: Instead of root, a CSV, TSV or JSON file with a line for each picture: a column file, relative to it, and
            perhaps split (train or test) and group: a group is in training or in the test, never in both.
        names: The classes that are taken, in order, where they are known. None: all.
        size: Side of the square pictures in pixels. None: that of the pictures, or 32, 64, 128 or 256.
        fit: "crop" scales the shorter side to size and cuts a square at random; "squash" scales both.
        flip: Whether every second picture is mirrored; not for digits.
        augment: Transforms of albumentations after the cut, e.g. {"ColorJitter": {"brightness": 0.1, "p": 0.5}}.
        unreadable: What to do with a damaged picture: "error" stops, "skip" takes the next one and counts.
        cache: "ram" reads all pictures before the first row, scaled to size, and keeps them in memory, for all passes
            and workers; how much they take is told. Of several processes each keeps its own. "device" keeps them on the
            GPU, for sets that are neither cut, mirrored nor otherwise changed. "none" reads them when they are due.
        workers: Processes that read ahead, for each process of training. 0: none. Sets in memory need none.
        x_channels: Channels into which pictures are converted: 1 (grey) or 3, or as many as they have. None: grey
            where all are grey, else 3.
        x_value_range: The stored values that become black and white, e.g. [0, 4095]. None: the range of their kind.
        seed: Of the order, the cuts and all other augmentation.
        worker_timeout: Seconds without a batch after which a worker counts as hanging.

    Raises:
        BadInput: when made, if files or options cannot work; while reading, if a picture cannot be read.
    """

    root: str | None = None
    table: str | None = None
    names: list[str] | None = None
    size: int | None = None
    fit: Literal["crop", "squash"] = "crop"
    flip: bool = False
    augment: dict[str, dict[str, bool | int | float | str | list[float] | None]] = field(default_factory=dict)
    unreadable: Literal["error", "skip"] = "error"
    cache: CacheOrDevice = "none"
    workers: int = 2
    x_channels: int | None = None
    x_value_range: list[float] | None = None
    seed: int = 0
    worker_timeout: float = 300.0

    def __post_init__(self) -> None:
        if (self.root is None) == (self.table is None):
            raise BadInput(
                "name the pictures: --root DIR, a folder of pictures or of idx files, or --table FILE, a list"
            )
        check_names(self.names)
        if self.table is not None:
            self._prepare(in_table(self.table, None, None, None, Columns(), self.unreadable == "skip"))
        elif self.root is not None:
            self._prepare(unlisted(in_folder(self.root)))

    @classmethod
    def of(cls, dataset: Any, test: Any = None, **options: Any) -> Self:
        """The rows of any map-style dataset, whose items are pictures or begin with one; how it is used, and what
        pictures may be, says `Conditioned.of`.

        Args:
            dataset: Pictures: PIL images, arrays, or tensors in [-1, 1].
            test: Such a dataset too, held out. None: 5 % of the first.
            options: As of the class, but for root, table and names.
        """
        made = unprepared(cls, options)
        together = joined(dataset, test)
        made._prepare(unlisted(Collection(together.title, together, None, held(together), [])))
        return made

    @property
    def title(self) -> str:
        """What the folder or dataset is called."""
        return self.collection.title

    @property
    def images_per_epoch(self) -> int:
        """Pictures to train on."""
        return len(self.deck.train)

    def check(self, global_batch: int) -> None:
        """Raises BadInput where there are fewer pictures than one batch (rows of all processes together)."""
        self.deck.check(global_batch)
        self.notices += self.deck.cost()

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """Endless batches from a row on: {"x", perhaps "mode", "row": (N,) int64}."""
        return self.deck.batches(
            from_row, batch_size, process, processes, self.workers, self.worker_timeout, self.skipped.update
        )

    @property
    def kept(self) -> list[Shelf]:
        """Where pictures stay in memory; empty where they do not."""
        return [self.deck.shelf] if self.deck.shelf else []

    def on(self, device: torch.device) -> None:
        """Puts the pictures onto the device, where `cache` is "device"; `batches` then come from there."""
        self.deck.on(device)

    def sample(self, row: int) -> Sample:
        """A row: "x" (C, size, size), bytes or floats in [-1, 1], and where classes are known "mode", int64 ().

        Raises:
            BadInput: the picture cannot be read, or with unreadable "skip" none can.
        """
        return self.deck.sample(row)

    def files(self, row: int) -> list[str]:
        """The files of a row, for messages."""
        return self.deck.files(row)

    def held_out(self, count: int) -> Batch:
        """Up to `count` rows that training never sees, spread over them, cut from the middle."""
        return self.deck.held_out(count)

    def preprocessing(self) -> dict[str, Any]:
        """What was done to the pictures, for the model to carry along (JSON)."""
        return self.deck.preprocessing(self.fit)

    def domains(self) -> dict[str, dict[str, Any]]:
        """What the pictures are called and how they are read and written, for the model to carry along (JSON)."""
        return self.deck.domains(self.title)

    def known(self) -> dict[str, Any]:
        """Options of the pipeline that follow from the data."""
        names = {"names": self.modes} if self.modes else {}
        return {**names, "size": self.deck.size, "x_channels": self.deck.gallery.form.channels}

    def _prepare(self, found: Labelled) -> None:
        check_workers(self.workers, self.worker_timeout)
        collection, groups = found.collection, found.groups
        self.notices = list(collection.notices)
        there = in_order(collection.labels or [])
        if self.names is not None:
            wanted = list(dict.fromkeys(map(name_of, self.names)))
            for name in wanted:
                if name not in there:
                    raise BadInput(f"{collection.title} has no class {name!r}{did_you_mean(name, there)}")
            chosen = np.flatnonzero(np.isin(collection.labels or [], wanted))
            self.notices.append(f"{len(chosen)} of {len(collection.labels or [])} pictures are of the named classes")
            collection, there = taken(collection, chosen), wanted
            groups = groups and [groups[number] for number in chosen]
        self.modes = there if 2 <= len(there) <= MODES else []
        labels = collection.labels if self.modes and collection.labels else []
        numbers = {name: number for number, name in enumerate(self.modes)}
        modes = [numbers[label] for label in labels] or [0] * count_of(collection.pictures)
        test, lines = divided(collection, modes, groups)
        self.notices += lines
        more = {"mode": torch.tensor(modes)} if self.modes else {}
        self.deck, lines = deck_of(collection, test, more, modes, wanted_of(self))
        self.notices = [self.deck.summary("classes", self.modes), *self.notices, *lines]
        self.collection = collection
        self.labelled = found._replace(collection=collection, groups=groups)
        self.forms: dict[str, Form] = {"x": self.deck.gallery.form}
        self.skipped: Counter[str] = Counter()  # "path: why" -> how often another took its place
