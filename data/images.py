"""Pictures without a condition."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from quagga.data.indexed_rows import IndexedRows
from quagga.data.sources.annotations import Columns, Labelled, collect_table, unannotated
from quagga.data.sources.argument_checks import check_names, check_workers
from quagga.data.sources.image_folder import (
    Collection,
    collect_folder,
    picture_count,
    sorted_labels,
    split_collection,
    subset,
)
from quagga.data.sources.map_style import held_out_mask, join_datasets, without_init
from quagga.data.transforms.conditions import name_of
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput

MOST_MODES = 100  # classes; folders of more are taken to be sorted for other reasons


@dataclass
class Pictures(IndexedRows):
    """Rows of one picture, "x" (N, C, size, size) in [-1, 1]. Where classes are known, as a folder holds folders of
    pictures or idx files have labels, "mode" int64 (N,) is the number of each: it is shown how many of each come out,
    no network sees it.

    It takes the options of the classes from which it inherits too, see `quagga.data.options`.

    Args:
        root: folder of pictures, at any depth; they may be in train and test. Or a folder with MNIST's idx files.
        table: CSV, TSV or JSON table, in place of root; it has a line for each picture. Columns: file (relative to the
            table), and optionally split (train or test) and group. All pictures of a group are in training or all are
            in the test.
        names: classes to use, in order; where the data has classes. None: all.

    Raises:
        BadInput: when made, if files or options cannot work; while reading, if a picture cannot be read.
    """

    root: str | None = None
    table: str | None = None
    names: list[str] | None = None

    def __post_init__(self) -> None:
        if (self.root is None) == (self.table is None):
            raise BadInput(
                "name the pictures: --root DIR, a folder of pictures or of idx files, or --table FILE, a list"
            )
        check_names(self.names)
        if self.table is not None:
            self._prepare(collect_table(self.table, None, None, None, Columns(), self.unreadable == "skip"))
        elif self.root is not None:
            self._prepare(unannotated(collect_folder(self.root)))

    @classmethod
    def of(cls, dataset: Any, test: Any = None, **options: Any) -> Self:
        """The rows of any map-style dataset, whose items are pictures or begin with one; how it is used, and what
        pictures may be, says `Conditioned.of`.

        Args:
            dataset: Pictures: PIL images, arrays, or tensors in [-1, 1].
            test: Such a dataset too, held out. None: 5 % of the first.
            options: As of the class, but for root, table and names.
        """
        rows = without_init(cls, options)
        joined = join_datasets(dataset, test)
        rows._prepare(unannotated(Collection(joined.title, joined, None, held_out_mask(joined), [])))
        return rows

    def known(self) -> dict[str, Any]:
        """Returns the options of the pipeline that follow from the data."""
        return {**({"names": self.modes} if self.modes else {}), **super().known()}

    def _prepare(self, found: Labelled) -> None:
        check_workers(self.workers, self.worker_timeout)
        collection, groups = found.collection, found.groups
        self.notices = list(collection.notices)
        known = sorted_labels(collection.labels or [])
        if self.names is not None:
            wanted = list(dict.fromkeys(map(name_of, self.names)))
            for name in wanted:
                if name not in known:
                    raise BadInput(f"{collection.title} has no class {name!r}{did_you_mean(name, known)}")
            chosen = np.flatnonzero(np.isin(collection.labels or [], wanted))
            self.notices.append(f"{len(chosen)} of {len(collection.labels or [])} pictures are of the named classes")
            collection, known = subset(collection, chosen), wanted
            groups = groups and [groups[number] for number in chosen]
        self.modes = known if 2 <= len(known) <= MOST_MODES else []
        labels = collection.labels if self.modes and collection.labels else []
        numbers = {name: number for number, name in enumerate(self.modes)}
        modes = [numbers[label] for label in labels] or [0] * picture_count(collection.pictures)
        test, lines = split_collection(collection, modes, groups)
        self.notices += lines
        extras = {"mode": torch.tensor(modes)} if self.modes else {}
        self._open(found._replace(collection=collection, groups=groups), test, extras, modes, "classes", self.modes)
