"""What `Conditioned` and `Pictures` share: their options, and a dataset whose pictures are known by number."""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from quagga.data.indexed import indexed_dataset
from quagga.data.io.pixel_format import PixelFormat
from quagga.data.loading.ram_cache import RamCache
from quagga.data.loading.row_order import Batch, Batches, Sample
from quagga.data.options import IndexedOptions
from quagga.data.sources.annotations import Labelled


class IndexedRows(IndexedOptions):
    """Rows of one picture, "x" (N, C, size, size) in [-1, 1], and of what belongs to it.

    A class of such rows finds the pictures and what belongs to them, writes lines for the user into `notices`, and
    calls `_open`.
    """

    notices: list[str]

    def _open(
        self,
        found: Labelled,
        test: np.ndarray,
        extras: Mapping[str, Tensor],
        classes: Sequence[int],
        kind: str,
        names: Sequence[str],
    ) -> None:
        """Makes the dataset, and describes it in `notices`.

        Args:
            found: The pictures, and what the table or the folders say of each.
            test: bool (N,), which are held out.
            extras: What else a row holds, name -> (N, ...).
            classes: The class of each, by which held-out pictures take turns.
            kind: What `names` are, such as "classes".
            names: What the pictures show.
        """
        self.labelled, self.collection = found, found.collection
        self.dataset, lines = indexed_dataset(found.collection, test, extras, classes, self)
        self.notices = [self.dataset.summary(kind, names), *self.notices, *lines]
        self.forms: dict[str, PixelFormat] = {"x": self.dataset.store.pixel_format}
        self.skipped: Counter[str] = Counter()  # "path: why" -> how often another took its place

    @property
    def title(self) -> str:
        """What the folder, table or dataset is called."""
        return self.collection.title

    @property
    def images_per_epoch(self) -> int:
        """The number of pictures to train on."""
        return len(self.dataset.train)

    def check(self, global_batch: int) -> None:
        """Raises BadInput where there are fewer pictures than one batch (rows of all processes together)."""
        self.dataset.check(global_batch)
        self.notices += self.dataset.cost()

    def at_size(self, size: int) -> Self:
        """Returns the same rows with pictures of `size` pixels a side."""
        rows = copy(self)
        rows.size, rows.dataset, rows.notices = size, self.dataset.at_size(size), []
        return rows

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """Yields endless batches from a row on: what `sample` has, stacked, and "row", int64 (N,)."""
        return self.dataset.batches(
            from_row, batch_size, process, processes, self.workers, self.worker_timeout, self.skipped.update
        )

    @property
    def ram_caches(self) -> list[RamCache]:
        """The cache that keeps pictures in memory; none without `cache`."""
        return [self.dataset.ram_cache] if self.dataset.ram_cache else []

    def move_to(self, device: torch.device) -> None:
        """Copies the pictures to the device, where `cache` is "device"; `batches` then come from there."""
        self.dataset.move_to(device)

    def sample(self, row: int) -> Sample:
        """Reads a row: "x" (C, size, size), bytes or floats in [-1, 1], and what belongs to it, without N. With a
        condition, "c", that is also "other", the condition of another picture.

        Raises:
            BadInput: the picture cannot be read, or with unreadable "skip" none can.
        """
        return self.dataset.sample(row)

    def files(self, row: int) -> list[str]:
        """Returns the files of a row, for messages."""
        return self.dataset.files(row)

    def held_out(self, count: int) -> Batch:
        """Reads up to `count` rows that training never sees, spread over the classes, cut from the middle."""
        return self.dataset.held_out(count)

    def preprocessing(self) -> dict[str, Any]:
        """Returns what was done to the pictures, to be saved with the model (JSON)."""
        return self.dataset.preprocessing(self.fit)

    def domains(self) -> dict[str, dict[str, Any]]:
        """Returns what the pictures are called and how they are read and written, to be saved with the model (JSON)."""
        return self.dataset.domains(self.title)

    def known(self) -> dict[str, Any]:
        """Returns the options of the pipeline that follow from the data."""
        return {"size": self.dataset.size, "x_channels": self.dataset.store.pixel_format.channels}
