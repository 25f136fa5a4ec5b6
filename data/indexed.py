"""Rows of pictures that are known by number: what `Conditioned` and `Pictures` share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from quagga.data.io.pixel_format import PixelFormat, grey_or_rgb, other_channels
from quagga.data.io.tensors import to_row, with_floats
from quagga.data.loading.data_workers import batches
from quagga.data.loading.free_memory import free_device_bytes
from quagga.data.loading.ram_cache import CacheOrDevice, RamCache, check_free_memory, format_bytes
from quagga.data.loading.row_order import (
    Batch,
    Batches,
    Sample,
    augment_seed,
    candidate_indices,
    first_readable,
    row_indices,
)
from quagga.data.options import IndexedOptions
from quagga.data.sources.argument_checks import check_domain
from quagga.data.sources.default_size import default_size, probe_datasets, probe_files
from quagga.data.sources.held_out import Domain, display_order
from quagga.data.sources.image_folder import Collection
from quagga.data.sources.image_store import (
    FileStore,
    ImageStore,
    JoinedDatasets,
    MapStyleStore,
    MemoryStore,
    ram_cache_of,
)
from quagga.data.sources.probe import probe
from quagga.data.transforms.augment import Augment
from quagga.errors import BadInput

LARGEST_SIZE = 1024  # pixels a side: what networks that make pictures of noise can be built for
PICTURES_AT_ONCE = 1024  # pictures that go to the device in one piece

Transform = Callable[[np.ndarray], np.ndarray]  # what happens to a picture, (H, W, C) each


class Drawn(Protocol):
    """What a row holds that does not belong to its picture, such as a mask."""

    def __call__(self, stream: str, row: int, size: int) -> dict[str, Tensor]:
        """Returns tensors without N, whatever row it is of the same names, shapes and dtypes; a pure function of its
        arguments. stream: "rows" or "held out". size: of the pictures."""
        ...


@dataclass
class IndexedDataset:
    """The rows of a run: pictures of a store and what belongs to each, shuffled anew in every pass.

    store: the pictures. stored: the same as they are stored, where those of `store` are scaled. train, test: numbers of
    those to train on and of those held out, in the order in which they are shown. extras: what else a row holds, name
    -> a tensor with an entry for each picture; where that is a condition, "c", the row also holds that of another
    picture, "other", drawn for the row. drawn: what else is drawn for a row. augment: what happens to a picture.
    unchanged: whether nothing happens to one that has its size already. size: side in pixels. ram_cache: keeps pictures
    of files in memory, by their numbers. on_device: on a device, "x", uint8 or floats in [-1, 1], and `extras`, for
    each of `train`.
    """

    store: ImageStore
    stored: ImageStore
    train: np.ndarray
    test: np.ndarray
    extras: dict[str, Tensor]
    augment: Augment
    unchanged: bool
    size: int
    seed: int
    skip: bool
    cache: CacheOrDevice = "none"
    ram_cache: RamCache | None = None
    on_device: dict[str, Tensor] | None = None
    drawn: Drawn | None = None

    def at_size(self, size: int) -> "IndexedDataset":
        """Returns the same rows with pictures of `size` pixels a side. Raises BadInput where that cannot be."""
        check_size(size)
        augment = self.augment.at_size(size, size)
        return replace(
            self,
            size=size,
            augment=augment,
            store=_scaled_store(self.stored, augment),
            ram_cache=_ram_cache(self.stored, self.train, augment, self.cache),
            on_device=None,
        )

    def sample(self, row: int) -> Sample:
        """Reads a row: "x" (C, size, size), bytes or floats in [-1, 1]; an entry of each of `extras`; with conditions
        "other".

        Raises:
            BadInput: the picture cannot be read, or with `skip` none can.
        """
        candidates = (int(self.train[index]) for index in candidate_indices(self.seed, "x", row, len(self.train)))
        tensors, skipped = self._first_readable(candidates, self._transform(row))
        others = {name: tensor[0] for name, tensor in self._others(np.array([row])).items()}
        return Sample({**tensors, **others}, skipped)

    def _transform(self, row: int) -> Transform:
        """Returns what happens to the picture of a row."""
        return partial(self.augment, seed=augment_seed(self.seed, "x", row))

    def _extras_of(self, numbers: np.ndarray) -> dict[str, Tensor]:
        """Returns what else belongs to these pictures."""
        return {name: values[numbers] for name, values in self.extras.items()}

    def _others(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Returns what is drawn for each row: with conditions that of another picture, which may happen to be the same
        one."""
        others = self._drawn("rows", rows.tolist())
        if "c" in self.extras:
            others["other"] = self.extras["c"][self.train[row_indices(self.seed, "other", rows, len(self.train))]]
        return others

    def _drawn(self, stream: str, rows: Iterable[int]) -> dict[str, Tensor]:
        if self.drawn is None:
            return {}
        each = [self.drawn(stream, row, self.size) for row in rows]
        return {name: torch.stack([one[name] for one in each]) for name in each[0]}

    def files(self, row: int) -> list[str]:
        """Returns the name of the picture that the row asks for, for messages."""
        return [self.store.name(int(self.train[next(candidate_indices(self.seed, "x", row, len(self.train)))]))]

    def held_out(self, count: int) -> Batch:
        """Reads up to `count` pictures that training never sees, cut from the middle."""
        pool = self.test if len(self.test) else self.train
        count = min(count, len(pool))
        candidates = (map(int, np.roll(pool, -start)) for start in range(count))
        rows = [self._first_readable(numbers, self.augment.without_chance).tensors for numbers in candidates]
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        others = {"other": batch["c"].roll(1, 0)} if "c" in batch else {}
        drawn = self._drawn("held out", range(count))
        return with_floats({**batch, **others, **drawn, "row": torch.arange(count)})

    def _first_readable(self, numbers: Iterable[int], transform: Transform) -> Sample:
        """Reads the first of the pictures that can be read; without `skip` the first must."""

        def read(number: int) -> dict[str, Tensor]:
            pixels = to_row(self._transformed(number, transform))
            return {"x": pixels, **{name: values[number] for name, values in self.extras.items()}}

        return Sample(*first_readable(read, numbers, self.skip))

    def _transformed(self, number: int, transform: Transform) -> np.ndarray:
        """Reads a picture and transforms it, unless nothing is to happen to it."""
        pixels = self._pixels(number)
        if self.unchanged and pixels.shape[:2] == (self.size, self.size):
            return pixels
        try:
            return transform(pixels)
        except BadInput as error:
            raise BadInput(f"{self.store.name(number)}: {error}") from None

    def _pixels(self, number: int) -> np.ndarray:
        """Reads a picture from memory, where it is cached, else from the store."""
        parts = self.ram_cache.get(number) if self.ram_cache else None
        return parts[0] if parts else self.store.read(number)

    def summary(self, kind: str, names: Sequence[str]) -> str:
        """Describes the dataset in a line: "60,000 pictures of 10 classes (0, 1, 2, ...), 28 x 28, grey; 10,000 held
        out"."""
        channels = self.store.pixel_format.channels
        colours = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
        first = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        kinds = f" of {len(names)} {kind} ({first})" if names else ""
        held = f"; {len(self.test):,} held out" if len(self.test) else ""
        return f"{len(self.train):,} pictures{kinds}, {self.size} x {self.size}, {colours}{held}"

    def check(self, global_batch: int) -> None:
        """Raises BadInput where there are fewer pictures than one batch (rows of all processes together)."""
        if len(self.train) < global_batch:
            raise BadInput(
                f"there are {len(self.train)} pictures to train on, fewer than a batch of {global_batch}: lower"
                " --batch_size or add pictures"
            )

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
        """Yields endless batches, see `quagga.data.loading.data_workers.batches`; from the device, if they
        are there."""
        if self.on_device is not None:
            return self._device_batches(self.on_device, from_row + process * batch_size, batch_size, processes)
        ready = isinstance(self.store, MemoryStore) or self.ram_cache is not None
        read_batch = self.read_batch if ready and not self.augment.declared else None
        if self.ram_cache is not None:
            self.ram_cache.fill(0 if read_batch else workers)
        return batches(self, from_row, batch_size, process, processes, workers, timeout, on_skip, read_batch=read_batch)

    def read_batch(self, rows: np.ndarray) -> Batch | None:
        """Returns these rows stacked, each as `sample` has it; None where a picture is not in memory.

        Takes 2 us a row of 28 x 28 where nothing happens to it; one by one takes 60.
        """
        numbers = self.train[row_indices(self.seed, "x", rows, len(self.train))]
        store = self.store
        if isinstance(store, MemoryStore) and self.unchanged and store.pixels.shape[1:3] == (self.size, self.size):
            pixels = store.pixels[numbers]
        elif self.ram_cache and not all(number in self.ram_cache.where for number in numbers.tolist()):
            return None
        else:
            read = zip(numbers.tolist(), rows.tolist(), strict=True)
            pixels = np.stack([self._transformed(number, self._transform(row)) for number, row in read])
        return {"x": to_row(pixels), **self._extras_of(numbers), **self._others(rows)}

    # -- on a device --------------------------------------------------------------------------------------------------

    def cost(self) -> list[str]:
        """Returns a line on how much memory the cached pictures take. Raises BadInput where that is more than is
        free."""
        if self.cache == "none":
            return []
        if self.cache == "ram":
            return [check_free_memory([self.ram_cache])] if self.ram_cache else []
        if self.ram_cache:
            check_free_memory([self.ram_cache])  # through which they go to the device
        return [f"pictures kept on the device: {len(self.train):,}, {format_bytes(self._device_bytes)}"]

    @property
    def _device_bytes(self) -> int:
        """The bytes that the pictures to train on take on a device."""
        pixel_format = self.store.pixel_format
        return len(self.train) * self.size**2 * pixel_format.channels * np.dtype(pixel_format.dtype).itemsize

    def move_to(self, device: torch.device) -> None:
        """Copies all pictures to train on to the device.

        Raises:
            BadInput: they do not fit there, or a picture cannot be read, or is no square.
        """
        if self.ram_cache is not None:
            self.ram_cache.fill(0)
        if self._device_bytes > (free := free_device_bytes(device)):
            raise BadInput(
                f"{format_bytes(self._device_bytes)} of pictures do not fit on the device, where"
                f" {format_bytes(free)} are free: --cache ram"
            )
        pixel_format = self.store.pixel_format
        shape = (len(self.train), pixel_format.channels, self.size, self.size)
        x = torch.empty(shape, dtype=getattr(torch, pixel_format.dtype), device=device)
        for start in range(
            0, len(self.train), PICTURES_AT_ONCE
        ):  # not all at once, which would need the host's memory twice
            numbers = self.train[start : start + PICTURES_AT_ONCE].tolist()
            pixels = np.stack([self._uncropped(number) for number in numbers])
            x[start : start + len(numbers)] = to_row(pixels).to(device)
        self.on_device = {"x": x, **{name: tensor.to(device) for name, tensor in self._extras_of(self.train).items()}}
        self.ram_cache = None

    def _uncropped(self, number: int) -> np.ndarray:
        """Reads a picture, scaled, of which nothing is to be cut off."""
        pixels = self.augment.scaled(self._pixels(number))
        if pixels.shape[:2] != (self.size, self.size):
            raise BadInput(
                f"{self.store.name(number)} is no square, and a random part of it would be cut out:"
                " --cache ram, or --fit squash"
            )
        return pixels

    def _device_batches(self, on_device: dict[str, Tensor], start: int, batch_size: int, processes: int) -> Batches:
        """Yields the same batches, picked on the device: only indices are copied to it. The rows' numbers stay on the
        CPU."""
        device, size = on_device["x"].device, len(self.train)

        def to_device(indices: np.ndarray) -> Tensor:
            tensor = torch.from_numpy(indices)
            on_cuda = device.type == "cuda"
            return (tensor.pin_memory() if on_cuda else tensor).to(device, non_blocking=on_cuda)

        while True:
            rows = np.arange(start, start + batch_size)
            indices = to_device(row_indices(self.seed, "x", rows, size))
            batch = {name: values[indices] for name, values in on_device.items()}
            if "c" in on_device:
                batch["other"] = on_device["c"][to_device(row_indices(self.seed, "other", rows, size))]
            drawn = {name: tensor.to(device) for name, tensor in self._drawn("rows", rows.tolist()).items()}
            yield {**batch, **drawn, "row": torch.from_numpy(rows)}
            start += batch_size * processes

    def preprocessing(self, fit: str) -> dict[str, Any]:
        """Returns what was done to the pictures, to be saved with the model (JSON). fit: the option of that name."""
        channels = self.store.pixel_format.channels
        return {
            "load_size": self.size,
            "crop_size": self.size,
            "fit": fit,
            "channels": {"x": channels},
            "value_range": [-1.0, 1.0],
            "opacity": {"x": "kept" if channels in (2, 4) else "laid on white"},
        }

    def domains(self, title: str) -> dict[str, dict[str, Any]]:
        """Returns how the pictures, called `title`, are read and written, to be saved with the model (JSON)."""
        return {"x": self.store.pixel_format.to_json(title)}


def indexed_dataset(
    collection: Collection,
    test: np.ndarray,
    extras: Mapping[str, Tensor],
    classes: Sequence[int],
    options: IndexedOptions,
) -> tuple[IndexedDataset, list[str]]:
    """Makes the dataset of a collection, and lines for the user.

    Args:
        collection: The pictures.
        test: bool (N,), which pictures are held out.
        extras: What else belongs to each, name -> (N, ...).
        classes: The class of each, by which held-out pictures take turns.
        options: How they become rows.

    Raises:
        BadInput: a picture cannot be read, or options do not fit the pictures.
    """
    pictures, title = collection.pictures, collection.title
    size, channels, skip = options.size, options.x_channels, options.unreadable == "skip"
    if size is not None:
        check_size(size)
    value_range = options.x_value_range
    check_domain("x", channels, value_range)
    if value_range is not None and (isinstance(pictures, np.ndarray | JoinedDatasets)):
        raise BadInput("x_value_range is for pictures in files: leave it out")
    train = np.flatnonzero(~test)
    held_out = display_order(np.flatnonzero(test), classes)
    if isinstance(pictures, np.ndarray):
        size = size or default_size([pictures.shape[1:3]])
        channels = channels or pictures.shape[3]
        if pictures.shape[3] != channels:
            if {pictures.shape[3], channels} != {1, 3}:
                raise BadInput(f"{title}: {other_channels(pictures.shape[3], channels, 'x')}")
            pictures = np.stack([grey_or_rgb(picture, channels) for picture in pictures])
        store, lines = MemoryStore(pictures, PixelFormat(channels), title), []
    elif isinstance(pictures, JoinedDatasets):
        store, found_size = probe_datasets(pictures, train, channels)
        size, lines = size or found_size, []
    else:
        found_size, found_channels = probe_files([pictures[number] for number in train.tolist()], skip)
        size, channels = size or found_size, channels or found_channels
        side = Domain(title, [pictures[number] for number in train.tolist()], [])
        pixel_format, lines = probe(side, "x", channels, value_range, size, skip)
        store = FileStore(pictures, pixel_format)
    pixel_format = store.pixel_format
    augment = Augment(size, size, options.fit, options.flip, options.augment, pixel_format.channels, pixel_format.dtype)
    unchanged = not options.flip and not options.augment
    if options.cache == "device" and not unchanged:
        raise BadInput(
            "cache device is for pictures that are not changed in training: --cache ram, or --flip false without"
            " --augment"
        )
    if options.cache != "none" and isinstance(store, MapStyleStore):
        raise BadInput(f"{title} is a dataset, which caches its pictures itself or not at all: leave out --cache")
    dataset = IndexedDataset(
        _scaled_store(store, augment),
        store,
        train,
        held_out,
        dict(extras),
        augment,
        unchanged,
        size,
        options.seed,
        skip,
        options.cache,
        _ram_cache(store, train, augment, options.cache),
    )
    return dataset, lines


def check_size(size: int) -> None:
    """Raises BadInput if pictures cannot have this side in pixels."""
    if not 1 <= size <= LARGEST_SIZE:
        raise BadInput(f"size {size}: it must be from 1 to {LARGEST_SIZE} pixels")


def _scaled_store(stored: ImageStore, augment: Augment) -> ImageStore:
    """Returns the pictures, those in memory scaled as they are cut, unless each is to be changed anyway."""
    if not isinstance(stored, MemoryStore) or augment.declared or _is_scaled(stored, augment):
        return stored
    return stored._replace(pixels=np.stack([augment.scaled(picture) for picture in stored.pixels]))


def _ram_cache(stored: ImageStore, train: np.ndarray, augment: Augment, cache: CacheOrDevice) -> RamCache | None:
    """Returns an empty cache of the pictures to train on, if they are in files and a cache is asked for."""
    return ram_cache_of(stored, train.tolist(), augment) if cache != "none" and isinstance(stored, FileStore) else None


def _is_scaled(store: MemoryStore, augment: Augment) -> bool:
    """Whether its pictures, which are of one size, have the scale at which they are cut."""
    return augment.scaled(store.pixels[0]).shape == store.pixels.shape[1:]
