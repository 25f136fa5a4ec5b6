"""Rows: what a run sees, in an order that depends on nothing but its seed.

Row n is a pure function of (seed, n). So any number of workers and processes sees the same rows, what workers have read
ahead is no state, and a run resumes exactly from the number of its next row. This module knows no kind of data: a
`Source` says what a row is, `quagga.data.feed` reads them.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from torch import Tensor

from quagga import BadInput
from quagga.data.form import Form

Batch = dict[str, Tensor]
Batches = Generator[Batch, None, None]  # without end; closing it ends the workers
Read, Named = TypeVar("Read"), TypeVar("Named")


class DataFault(RuntimeError):
    """A worker died, hung or raised. One sentence that names the files."""


class Sample(NamedTuple):
    """One row, read."""

    tensors: dict[str, Tensor]
    skipped: Sequence[str] = ()  # what could not be read and was replaced, "path: why"


class Source(Protocol):
    """What a kind of data has to say for its rows to be read."""

    def sample(self, row: int) -> Sample:
        """A row, numbered from 0 on without end: tensors of the same names, shapes and dtypes for all rows, without N.

        Raises:
            BadInput: it cannot be read, and nothing may take its place. (Anything else becomes a `DataFault`.)
        """

    def files(self, row: int) -> list[str]:
        """Paths or other names, for messages: what the row asks for, whether or not it could be read."""


class Rows(Source, Protocol):
    """What a kind of data has to say to be trained on: `Unpaired` and its kin, or your own class."""

    forms: Mapping[str, Form]  # side -> channels, kind and value range of its pictures
    notices: Sequence[str]  # what the user should hear before training
    skipped: Mapping[str, int]  # "path: why" -> how often another picture took its place

    @property
    def title(self) -> str:
        """ "horse2zebra": a name for the data; a run's folder is runs/<title>-<pipeline> where none is named."""

    @property
    def images_per_epoch(self) -> int:
        """Rows of one pass over the data, 1 or more: by it epochs become images."""

    def check(self, global_batch: int) -> None:
        """Is called once, before training. global_batch: rows of a step, of all processes and micro-batches.

        Raises:
            BadInput: there are fewer, or no such batch can be made.
        """

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """This process's batches, without end, shared out as by the function `batches`; pictures are (N, C, H, W),
        floats in [-1, 1] or bytes, of which the trainer makes such floats on its device.

        Raises:
            BadInput: the data cannot be read.
            DataFault: a worker died, hung or raised anything else.
        """

    def held_out(self, count: int) -> Batch:
        """Up to `count` rows, 1 or more, that training never sees, unaugmented, the same every time: pictures, and what
        else `visualize` and `examine` read; "row" counts from 0.

        Raises:
            BadInput: they cannot be read.
        """

    def preprocessing(self) -> dict[str, Any]:
        """What was done to the pictures, for the model to carry along (JSON): with `load_size` in pixels and `fit`, by
        which pictures are later translated at the scale of training."""

    def domains(self) -> dict[str, dict[str, Any]]:
        """Side -> name, channels, value_range and kind of its pictures, for the model to carry along (JSON)."""

    def known(self) -> dict[str, Any]:
        """Options of `build` that follow from the data -> their values, which heed what the user has said. {}: none."""


# -- which picture is in which row ------------------------------------------------------------------------------------


def key(*parts: int | str) -> int:
    """A number of 64 bits from a seed and what it is for: `key(seed, "x", row)`. The same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=8)
def order(seed: int, stream: str, epoch: int, size: int) -> np.ndarray:
    """A permutation of `size` numbers for one pass through one side."""
    # The raw output of a bit generator stays the same from one numpy to the next; `permutation` promises no such thing.
    return np.random.Philox(key=key(seed, stream, epoch)).random_raw(size).argsort(kind="stable")


def place(seed: int, stream: str, row: int, size: int) -> Iterator[int]:
    """The number (0 to size - 1) of the picture that row `row` takes, then those that replace it if it is unreadable.

    A side is an endless stream: pass after pass through all its pictures, each pass in a new order. So every picture is
    seen equally often, whatever the size of the other side.
    """
    epoch, position = divmod(row, size)
    numbers = order(seed, stream, epoch, size)
    for step in range(size):
        yield int(numbers[(position + step) % size])


def places(seed: int, stream: str, rows: np.ndarray, size: int) -> np.ndarray:
    """What `place` says first of each row."""
    epochs, positions = np.divmod(rows, size)
    found = np.empty_like(rows)
    for epoch in np.unique(epochs):
        found[epochs == epoch] = order(seed, stream, int(epoch), size)[positions[epochs == epoch]]
    return found


def first_readable(read: Callable[[Named], Read], names: Iterator[Named], skip: bool) -> tuple[Read, list[str]]:
    """The first picture that can be read, by its path or number, and why those before it could not; without `skip` the
    first must."""
    skipped: list[str] = []
    for name in names:
        try:
            return read(name), skipped
        except BadInput as error:
            if not skip:
                raise
            skipped.append(str(error))
    raise BadInput(f"none of {len(skipped)} pictures can be read; the first is {skipped[0]}")
