"""Pictures by number, from files, from memory or from a dataset, and the rows of a run drawn from them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from quagga import BadInput
from quagga.data.augment import Augment
from quagga.data.decode import read_fitted, to_fitted
from quagga.data.form import Form
from quagga.data.rows import Batch, Batches, Sample, batches, key, order, place
from quagga.data.tensors import to_tensor


class Gallery(Protocol):
    """Pictures by number."""

    @property
    def form(self) -> Form: ...
    def read(self, number: int) -> np.ndarray: ...  # (H, W, C): uint8 where the form is of 8 bits, else floats in [0, 1]
    def name(self, number: int) -> str: ...  # for messages


class Files(NamedTuple):
    """Pictures in files."""

    paths: Sequence[Path]
    form: Form

    def read(self, number: int) -> np.ndarray:
        return read_fitted(self.paths[number], self.form, "x").pixels

    def name(self, number: int) -> str:
        return str(self.paths[number])


class Memory(NamedTuple):
    """Pictures of one size in memory, uint8 (N, H, W, C)."""

    pixels: np.ndarray
    form: Form
    title: str

    def read(self, number: int) -> np.ndarray:
        return self.pixels[number]

    def name(self, number: int) -> str:
        return f"{self.title}, picture {number}"


class Mapped(NamedTuple):
    """Pictures of a map-style dataset: `dataset[number]` is a picture, or begins with one."""

    dataset: Any
    form: Form
    title: str

    def read(self, number: int) -> np.ndarray:
        try:
            return pixels_of(picture_of(self.dataset[number]), self.form)
        except BadInput as error:
            raise BadInput(f"{self.name(number)}: {str(error).removeprefix('this picture: ')}") from None

    def name(self, number: int) -> str:
        return f"{self.title}, picture {number}"


def picture_of(item: Any) -> Any:
    """The picture of a dataset's item, which is one, or a tuple or list that begins with one."""
    return item[0] if isinstance(item, tuple | list) else item


def pixels_of(picture: Any, form: Form) -> np.ndarray:
    """A PIL image, an array (H, W) or (H, W, C), or a tensor (C, H, W) in [-1, 1] or of uint8, as (H, W, C).

    Raises:
        BadInput: it is none of these, or its channels do not fit.
    """
    if isinstance(picture, Tensor):
        array = picture.detach().cpu().numpy()
        array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
        picture = array if array.dtype == np.uint8 else (array.astype(np.float32) + 1) / 2
    if not isinstance(picture, Image.Image | np.ndarray):
        raise BadInput(f"it is a {type(picture).__name__}: expected a PIL image, an array or a tensor")
    if isinstance(picture, np.ndarray) and picture.ndim not in (2, 3):
        raise BadInput(f"its shape is {picture.shape}: expected (H, W) or (H, W, C), or a tensor (C, H, W)")
    return to_fitted(picture, form).pixels


@dataclass
class Deck:
    """The rows of a run: pictures of a gallery and what belongs to them, shuffled anew in every pass.

    gallery: the pictures. train, test: numbers of those to train on and of those held out, in the order in which they
    are shown. more: what else a row holds, name -> a tensor with an entry for each picture. augment: what happens to a
    picture. plain: whether nothing happens to one that has its size already. size: side in pixels.
    """

    gallery: Gallery
    train: np.ndarray
    test: np.ndarray
    more: dict[str, Tensor]
    augment: Augment
    plain: bool
    size: int
    seed: int
    skip: bool

    def sample(self, row: int) -> Sample:
        numbers = (int(self.train[at]) for at in place(self.seed, "x", row, len(self.train)))
        return self._sample(numbers, lambda pixels: self.augment(pixels, key(self.seed, "x", "augment", row)))

    def files(self, row: int) -> list[str]:
        return [self.gallery.name(int(self.train[next(place(self.seed, "x", row, len(self.train)))]))]

    def held_out(self, count: int) -> Batch:
        pool = self.test if len(self.test) else self.train
        rows = [self._sample(iter(np.roll(pool, -at)), self.augment.still) for at in range(min(count, len(pool)))]
        names = rows[0].tensors if rows else {}
        return {name: torch.stack([row.tensors[name] for row in rows]) for name in names} | {
            "row": torch.arange(len(rows))
        }

    def _sample(self, numbers: Iterable[int], transform: Callable[[np.ndarray], np.ndarray]) -> Sample:
        """The first of the pictures that can be read; without `skip` the first must."""
        skipped: list[str] = []
        for number in numbers:
            try:
                pixels = self.gallery.read(number)
                if not (self.plain and pixels.shape[:2] == (self.size, self.size)):
                    pixels = self._explained(number, transform, pixels)
            except BadInput as error:
                if not self.skip:
                    raise
                skipped.append(str(error))
            else:
                return Sample({"x": to_tensor(pixels), **{name: all_[number] for name, all_ in self.more.items()}}, skipped)
        raise BadInput(f"none of {len(skipped)} pictures can be read; the first is {skipped[0]}")

    def _explained(self, number: int, transform: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
        try:
            return transform(pixels)
        except BadInput as error:
            raise BadInput(f"{self.gallery.name(number)}: {error}") from None

    def batches(
        self,
        from_row: int,
        batch_size: int,
        process: int,
        processes: int,
        workers: int,
        timeout: float,
        on_skip: Callable[[Sequence[str]], None],
    ) -> Batches:
        """Endless batches, see `quagga.data.rows.batches`."""
        if isinstance(self.gallery, Memory) and self.plain and self.gallery.pixels.shape[1:3] == (self.size, self.size):
            return self._whole(self.gallery.pixels, from_row + process * batch_size, batch_size, processes)
        return batches(self, from_row, batch_size, process, processes, workers, timeout, on_skip)

    def _whole(self, pixels: np.ndarray, start: int, batch_size: int, processes: int) -> Batches:
        """The same batches as one row after the other would make, but each at once: 2 us a row of 28 x 28, not 60."""
        while True:
            rows = np.arange(start, start + batch_size)
            numbers = self.train[places(self.seed, "x", rows, len(self.train))]
            more = {name: all_[numbers] for name, all_ in self.more.items()}
            yield {"x": to_tensor(pixels[numbers]), **more, "row": torch.from_numpy(rows)}
            start += batch_size * processes


def places(seed: int, stream: str, rows: np.ndarray, size: int) -> np.ndarray:
    """What `place` says first of each row."""
    epochs, positions = np.divmod(rows, size)
    found = np.empty_like(rows)
    for epoch in np.unique(epochs):
        found[epochs == epoch] = order(seed, stream, int(epoch), size)[positions[epochs == epoch]]
    return found


def spread(test: np.ndarray, classes: Sequence[int] | None) -> np.ndarray:
    """Numbers of held-out pictures in the order in which they are shown: the first of each class, the second of each,
    ...; without classes such that any beginning is spread over all."""
    if classes is None:
        return test[np.argsort(-_reversed_bits(len(test)), kind="stable")[::-1]] if len(test) else test
    seen: dict[int, int] = {}
    ranks = []
    for kind in classes:
        seen[kind] = seen.get(kind, -1) + 1
        ranks.append((seen[kind], kind))
    return test[sorted(range(len(test)), key=ranks.__getitem__)] if len(test) else test


def _reversed_bits(count: int) -> np.ndarray: ...
