"""Rows: which pictures a run sees, in an order that depends on nothing but its seed.

Row n is a pure function of (seed, n). So any number of workers and processes sees the same rows, what workers have read
ahead is no state, and a run resumes exactly from the number of its next row. This module knows no kind of data: a
`Source` says what a row is, `quagga.data.loading.data_workers` reads them.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from torch import Tensor

from quagga.data.io.pixel_format import PixelFormat
from quagga.errors import BadInput
from quagga.seeding import derive_seed

Batch = dict[str, Tensor]
Batches = Generator[Batch, None, None]  # without end; closing it ends the workers
Picture = TypeVar("Picture")
Candidate = TypeVar("Candidate")


class DataFault(RuntimeError):
    """A data worker died, hung or raised. The message is one sentence that names the files."""


class Sample(NamedTuple):
    """One row, read."""

    tensors: dict[str, Tensor]
    skipped: Sequence[str] = ()  # what could not be read and was replaced, "path: why"


class Source(Protocol):
    """What a dataset must define for its rows to be read."""

    def sample(self, row: int) -> Sample:
        """Reads a row; rows are numbered from 0 on without end. Returns tensors of the same names, shapes and dtypes
        for all rows, without N.

        Raises:
            BadInput: it cannot be read, and nothing may take its place. (Anything else becomes a `DataFault`.)
        """
        ...

    def files(self, row: int) -> list[str]:
        """Returns the paths or other names of what the row asks for, whether or not it can be read, for messages."""
        ...


class Rows(Source, Protocol):
    """What a dataset must define to be trained on: `Unpaired`, `Paired`, `Conditioned`, `Pictures`, or your own
    class."""

    forms: Mapping[str, PixelFormat]  # side -> channels, kind and value range of its pictures
    notices: Sequence[str]  # lines for the user, shown before training
    skipped: Mapping[str, int]  # "path: why" -> how often another picture took its place

    @property
    def title(self) -> str:
        """ "horse2zebra": a name for the data; a run's folder is runs/<title>-<pipeline> where none is named."""
        ...

    @property
    def images_per_epoch(self) -> int:
        """Rows of one pass over the data, 1 or more: epochs are converted to images by it."""
        ...

    def check(self, global_batch: int) -> None:
        """Checks, once before training, that batches can be made. global_batch: rows of a step, of all processes and
        micro-batches.

        Raises:
            BadInput: there are fewer, or no such batch can be made.
        """

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """Yields this process's batches without end, shared out as by `quagga.data.loading.data_workers.batches`.
        Pictures are (N, C, H, W), floats in [-1, 1], or bytes, which the trainer converts to such floats on its device.

        Raises:
            BadInput: the data cannot be read.
            DataFault: a worker died, hung or raised anything else.
        """
        ...

    def held_out(self, count: int) -> Batch:
        """Reads up to `count` rows, 1 or more, that training never sees, unaugmented, the same every time: pictures,
        and what else the game's `visualize` and `examine` read; "row" counts from 0.

        Raises:
            BadInput: they cannot be read.
        """
        ...

    def preprocessing(self) -> dict[str, Any]:
        """Returns what was done to the pictures, to be saved with the model (JSON): with `load_size` in pixels and
        `fit`, by which pictures are later translated at the scale of training."""
        ...

    def domains(self) -> dict[str, dict[str, Any]]:
        """Returns side -> name, channels, value_range and kind of its pictures, to be saved with the model (JSON)."""
        ...

    def known(self) -> dict[str, Any]:
        """Returns the options of the pipeline's `build` that follow from the data, with their values; options of the
        dataset that the user has set are respected. {}: none."""
        ...


@runtime_checkable
class SizedRows(Rows, Protocol):
    """What a dataset must define for schedules whose phases state a size."""

    def at_size(self, size: int) -> "SizedRows":
        """Returns the same rows with pictures of `size` pixels a side: row n shows the same picture, and the same part
        of it but for rounding. Lines for the user are not repeated.

        Raises:
            BadInput: pictures cannot have that size.
        """
        ...


# -- which picture is in which row ------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def epoch_permutation(seed: int, stream: str, epoch: int, size: int) -> np.ndarray:
    """Returns a permutation of 0 to size - 1: the order of one pass through one side. stream: the side's name."""
    # The raw output of a bit generator stays the same from one numpy to the next; `permutation` promises no such thing.
    return np.random.Philox(key=derive_seed(seed, stream, epoch)).random_raw(size).argsort(kind="stable")


def candidate_indices(seed: int, stream: str, row: int, size: int) -> Iterator[int]:
    """Yields the index (0 to size - 1) of the picture of row `row`, then of those that replace it if it is unreadable.

    A side is an endless stream: pass after pass through all its pictures, each pass in a new order. So every picture is
    seen equally often, whatever the size of the other side.
    """
    epoch, position = divmod(row, size)
    permutation = epoch_permutation(seed, stream, epoch, size)
    for step in range(size):
        yield int(permutation[(position + step) % size])


def row_indices(seed: int, stream: str, rows: np.ndarray, size: int) -> np.ndarray:
    """Returns the first of `candidate_indices` of each row: int64 (N,) -> int64 (N,)."""
    epochs, positions = np.divmod(rows, size)
    indices = np.empty_like(rows)
    for epoch in np.unique(epochs):
        indices[epochs == epoch] = epoch_permutation(seed, stream, int(epoch), size)[positions[epochs == epoch]]
    return indices


def augment_seed(seed: int, stream: str, row: int) -> int:
    """Returns the seed by which row `row` is augmented. stream: the side's name."""
    return derive_seed(seed, stream, "augment", row)


def first_readable(
    read: Callable[[Candidate], Picture], candidates: Iterable[Candidate], skip: bool, kind: str = "pictures"
) -> tuple[Picture, list[str]]:
    """Returns the first candidate that can be read.

    Args:
        read: Reads a candidate, such as a path or an index. Raises BadInput where it cannot be read.
        candidates: In the order in which they are tried.
        skip: Whether candidates that cannot be read are passed over. Otherwise the first must be readable.
        kind: What they are called in the message.

    Returns:
        What was read, and why each candidate before it could not be read.

    Raises:
        BadInput: the first cannot be read, or with `skip` none can.
    """
    skipped: list[str] = []
    for candidate in candidates:
        try:
            return read(candidate), skipped
        except BadInput as error:
            if not skip:
                raise
            skipped.append(str(error))
    raise BadInput(f"none of {len(skipped)} {kind} can be read; the first is {skipped[0]}")
