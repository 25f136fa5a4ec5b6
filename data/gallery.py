"""Pictures by number: from files, from memory, from a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from quagga import BadInput
from quagga.data.augment import Augment
from quagga.data.cache import Shelf
from quagga.data.decode import read_fitted, read_header, to_fitted
from quagga.data.form import Form


class Gallery(Protocol):
    """Pictures by number."""

    @property
    def form(self) -> Form:
        """How all of its pictures are given: channels, kind and value range."""

    def read(self, number: int) -> np.ndarray:
        """The picture of that number, from 0 on.

        Raises:
            BadInput: it cannot be read, or does not fit the form; the message names it.
        """
        ...  # (H, W, C): uint8 where the form is of 8 bits, else floats in [0, 1]

    def name(self, number: int) -> str:
        """What the picture is called: its path, or its set and number."""
        ...  # for messages


class Files(NamedTuple):
    """Pictures in files."""

    paths: Sequence[Path]
    form: Form

    def read(self, number: int) -> np.ndarray:
        """The picture in a file, see `Gallery.read`."""
        return read_fitted(self.paths[number], self.form, "x").pixels

    def name(self, number: int) -> str:
        """Its path."""
        return str(self.paths[number])


def shelf_of(files: Files, numbers: Sequence[int], augment: Augment) -> Shelf:
    """Room in memory for these pictures of files, scaled as they are cut."""

    def values(number: int) -> list[int]:
        header = read_header(files.paths[number])
        return [augment.area(header.shorter, header.longer) * files.form.channels]

    return Shelf(numbers, [files.form.dtype], values, lambda number: [augment.scaled(files.read(number))])


class Memory(NamedTuple):
    """Pictures of one size in memory, uint8 (N, H, W, C)."""

    pixels: np.ndarray
    form: Form
    title: str

    def read(self, number: int) -> np.ndarray:
        """uint8 (H, W, C), a view."""
        return self.pixels[number]

    def name(self, number: int) -> str:
        """Its set and number."""
        return f"{self.title}, picture {number}"


@dataclass(frozen=True, eq=False)
class Joined:
    """Map-style datasets after one another; an item is a picture, or begins with one."""

    datasets: Sequence[Any]
    title: str
    chosen: np.ndarray | None = None  # numbers of those that count; None: all

    def count(self) -> int:
        """How many items there are, of those that count."""
        return sum(map(len, self.datasets)) if self.chosen is None else len(self.chosen)

    def only(self, numbers: np.ndarray) -> "Joined":
        """The same datasets, of whose items only those with these numbers count, in this order."""
        return replace(self, chosen=numbers if self.chosen is None else self.chosen[numbers])

    def item(self, number: int) -> Any:
        """The item of that number, among those that count, as its dataset gives it.

        Raises:
            IndexError: there are fewer.
        """
        number = number if self.chosen is None else int(self.chosen[number])
        for dataset in self.datasets:
            if number < len(dataset):
                return dataset[number]
            number -= len(dataset)
        raise IndexError(number)


class Mapped(NamedTuple):
    """Pictures of datasets."""

    joined: Joined
    form: Form

    def read(self, number: int) -> np.ndarray:
        """The picture of an item, see `Gallery.read`."""
        try:
            return to_fitted(in_memory(picture_of(self.joined.item(number))), self.form).pixels
        except BadInput as error:
            raise BadInput(f"{self.name(number)}: {str(error).removeprefix('this picture: ')}") from None

    def name(self, number: int) -> str:
        """Its set and number."""
        return f"{self.joined.title}, picture {number}"


def picture_of(item: Any) -> Any:
    """The picture of a dataset's item, which is one, or a tuple or list that begins with one."""
    return item[0] if isinstance(item, tuple | list) else item


def in_memory(picture: Any) -> Image.Image | np.ndarray:
    """A PIL image or an array as it is; a tensor (C, H, W) in [-1, 1], or of uint8, as (H, W, C) in [0, 1] or 0..255.

    Raises:
        BadInput: it is none of these.
    """
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, Tensor):
        array = picture.detach().cpu().numpy()
        array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
        picture = array if array.dtype == np.uint8 else (array.astype(np.float32) + 1) / 2
    if not isinstance(picture, np.ndarray):
        raise BadInput(f"it is a {type(picture).__name__}: expected a PIL image, an array or a tensor")
    if picture.ndim not in (2, 3):
        raise BadInput(f"its shape is {picture.shape}: expected (H, W) or (H, W, C), or a tensor (C, H, W)")
    return picture
