"""Stores of pictures that are read by number: files, an array in memory, map-style datasets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.read import read_fitted, read_header, to_fitted
from quagga.data.loading.ram_cache import RamCache
from quagga.data.transforms.augment import Augment
from quagga.errors import BadInput


class ImageStore(Protocol):
    """Pictures by number."""

    @property
    def pixel_format(self) -> PixelFormat:
        """The format of all of its pictures: channels, kind and value range."""
        ...

    def read(self, number: int) -> np.ndarray:
        """Reads the picture of that number, from 0 on: (H, W, C), uint8 where the format is of 8 bits, else floats in
        [0, 1].

        Raises:
            BadInput: it cannot be read, or does not fit the format; the message names it.
        """
        ...

    def name(self, number: int) -> str:
        """Returns what the picture is called in messages: its path, or its set and number."""
        ...


class FileStore(NamedTuple):
    """Pictures in files."""

    paths: Sequence[Path]
    pixel_format: PixelFormat

    def read(self, number: int) -> np.ndarray:
        """Reads the picture of a file, see `ImageStore.read`."""
        return read_fitted(self.paths[number], self.pixel_format, "x").pixels

    def name(self, number: int) -> str:
        """Returns its path."""
        return str(self.paths[number])


class MemoryStore(NamedTuple):
    """Pictures of one size in memory, uint8 (N, H, W, C)."""

    pixels: np.ndarray
    pixel_format: PixelFormat
    title: str

    def read(self, number: int) -> np.ndarray:
        """Returns uint8 (H, W, C), a view."""
        return self.pixels[number]

    def name(self, number: int) -> str:
        """Returns its set and number."""
        return f"{self.title}, picture {number}"


@dataclass(frozen=True, eq=False)
class JoinedDatasets:
    """Map-style datasets after one another; an item is a picture, or begins with one."""

    datasets: Sequence[Any]
    title: str
    chosen: np.ndarray | None = None  # numbers of the items to use; None: all

    def count(self) -> int:
        """Returns how many items there are, of the chosen ones."""
        return sum(map(len, self.datasets)) if self.chosen is None else len(self.chosen)

    def only(self, numbers: np.ndarray) -> "JoinedDatasets":
        """Returns the same datasets with only the items of these numbers, in this order."""
        return replace(self, chosen=numbers if self.chosen is None else self.chosen[numbers])

    def item(self, number: int) -> Any:
        """Returns the item of that number, among the chosen ones, as its dataset gives it.

        Raises:
            IndexError: there are fewer.
        """
        number = number if self.chosen is None else int(self.chosen[number])
        for dataset in self.datasets:
            if number < len(dataset):
                return dataset[number]
            number -= len(dataset)
        raise IndexError(number)


class MapStyleStore(NamedTuple):
    """Pictures of datasets."""

    joined: JoinedDatasets
    pixel_format: PixelFormat

    def read(self, number: int) -> np.ndarray:
        """Reads the picture of an item, see `ImageStore.read`."""
        try:
            return to_fitted(to_image_or_array(picture_of(self.joined.item(number))), self.pixel_format).pixels
        except BadInput as error:
            raise BadInput(f"{self.name(number)}: {str(error).removeprefix('this picture: ')}") from None

    def name(self, number: int) -> str:
        """Returns its set and number."""
        return f"{self.joined.title}, picture {number}"


def picture_of(item: Any) -> Any:
    """Returns the picture of a dataset's item, which is a picture, or a tuple or list that begins with one."""
    return item[0] if isinstance(item, tuple | list) else item


def to_image_or_array(picture: Any) -> Image.Image | np.ndarray:
    """Returns a PIL image or an array as it is; a tensor (C, H, W) in [-1, 1], or of uint8, as (H, W, C) in [0, 1] or
    0..255.

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


def ram_cache_of(files: FileStore, numbers: Sequence[int], augment: Augment) -> RamCache:
    """Makes an empty cache for these pictures of files, scaled as they are cut."""

    def values(number: int) -> list[int]:
        header = read_header(files.paths[number])
        return [augment.area(header.shorter, header.longer) * files.pixel_format.channels]

    return RamCache(numbers, [files.pixel_format.dtype], values, lambda number: [augment.scaled(files.read(number))])
