"""The rows of a run, drawn from pictures by number."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from quagga import BadInput
from quagga.data.augment import Augment, Declared
from quagga.data.cache import CacheOrDevice, Shelf, afford, in_words
from quagga.data.collection import Collection
from quagga.data.decode import read_header, to_native
from quagga.data.feed import batches
from quagga.data.folders import Side
from quagga.data.form import Form, grey_or_rgb, other_channels
from quagga.data.free import free_on
from quagga.data.gallery import Files, Gallery, Joined, Mapped, Memory, in_memory, picture_of, shelf_of
from quagga.data.look import LOOKED_AT, look
from quagga.data.rows import Batch, Batches, Sample, key, order, place, places
from quagga.data.stated import check_side
from quagga.data.tensors import to_row, with_floats

SIZES = (256, 128, 64, 32)  # sides that pictures of other sizes are brought to, where none is asked for
MOST = 256  # above which a picture's own size is not taken unasked
LARGEST = 1024  # pixels a side: what networks that make pictures of noise can be built for
AT_ONCE = 1024  # pictures that go to the device in one piece
TRIED = 16  # pictures of a dataset that are read before training


@dataclass(frozen=True)
class Wanted:
    """What a picture is to become; as the options of `Conditioned` and `Pictures` of these names."""

    size: int | None
    fit: Literal["crop", "squash"]
    flip: bool
    augment: Declared
    x_channels: int | None
    x_value_range: list[float] | None
    seed: int
    skip: bool
    cache: CacheOrDevice


@dataclass
class Deck:
    """The rows of a run: pictures of a gallery and what belongs to them, shuffled anew in every pass.

    gallery: the pictures. train, test: numbers of those to train on and of those held out, in the order in which they
    are shown. more: what else a row holds, name -> a tensor with an entry for each picture; where that is a condition,
    "c", the row also holds that of another picture, "other", drawn for the row. augment: what happens to a picture.
    plain: whether nothing happens to one that has its size already. size: side in pixels. shelf: where pictures of
    files stay, by their numbers. there: on a device, "x", uint8 or floats in [-1, 1], and `more`, for each of `train`.
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
    cache: CacheOrDevice = "none"
    shelf: Shelf | None = None
    there: dict[str, Tensor] | None = None

    def sample(self, row: int) -> Sample:
        """A row: "x" (C, size, size), bytes or floats in [-1, 1]; an entry of each of `more`; with conditions "other".

        Raises:
            BadInput: the picture cannot be read, or with `skip` none can.
        """
        numbers = (int(self.train[at]) for at in place(self.seed, "x", row, len(self.train)))
        tensors, skipped = self._sample(
            numbers, lambda pixels: self.augment(pixels, key(self.seed, "x", "augment", row))
        )
        return Sample({**tensors, **{name: one[0] for name, one in self._others(np.array([row])).items()}}, skipped)

    def _of(self, numbers: np.ndarray) -> dict[str, Tensor]:
        """What else belongs to these pictures."""
        return {name: all_[numbers] for name, all_ in self.more.items()}

    def _others(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The condition of another picture for each row, which may happen to be the same."""
        if "c" not in self.more:
            return {}
        return {"other": self.more["c"][self.train[places(self.seed, "other", rows, len(self.train))]]}

    def files(self, row: int) -> list[str]:
        """The picture that the row asks for, by name, for messages."""
        return [self.gallery.name(int(self.train[next(place(self.seed, "x", row, len(self.train)))]))]

    def held_out(self, count: int) -> Batch:
        """Up to `count` pictures that training never sees, cut from the middle."""
        pool = self.test if len(self.test) else self.train
        count = min(count, len(pool))
        rows = [self._sample(map(int, np.roll(pool, -at)), self.augment.still).tensors for at in range(count)]
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        others = {"other": batch["c"].roll(1, 0)} if "c" in batch else {}
        return with_floats({**batch, **others, "row": torch.arange(count)})

    def _sample(self, numbers: Iterable[int], transform: Callable[[np.ndarray], np.ndarray]) -> Sample:
        """The first of the pictures that can be read; without `skip` the first must."""
        skipped: list[str] = []
        for number in numbers:
            try:
                pixels = self._pixels(number)
                if not (self.plain and pixels.shape[:2] == (self.size, self.size)):
                    pixels = self._explained(number, transform, pixels)
            except BadInput as error:
                if not self.skip:
                    raise
                skipped.append(str(error))
            else:
                return Sample(
                    {"x": to_row(pixels), **{name: all_[number] for name, all_ in self.more.items()}}, skipped
                )
        raise BadInput(f"none of {len(skipped)} pictures can be read; the first is {skipped[0]}")

    def _pixels(self, number: int) -> np.ndarray:
        kept = self.shelf.get(number) if self.shelf else None
        return kept[0] if kept else self.gallery.read(number)

    def _explained(self, number: int, transform: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
        try:
            return transform(pixels)
        except BadInput as error:
            raise BadInput(f"{self.gallery.name(number)}: {error}") from None

    def summary(self, of: str, names: Sequence[str]) -> str:
        """What was found, in a line: "60,000 pictures of 10 classes (0, 1, 2, ...), 28 x 28, grey; 10,000 held out"."""
        channels = self.gallery.form.channels
        colours = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
        some = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        kinds = f" of {len(names)} {of} ({some})" if names else ""
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
        """Endless batches, see `quagga.data.feed.batches`."""
        if self.there is not None:
            return self._from_there(self.there, from_row + process * batch_size, batch_size, processes)
        ready = isinstance(self.gallery, Memory) or self.shelf is not None
        whole = self.whole if ready and not self.augment.declared else None
        if self.shelf is not None:
            self.shelf.fill(0 if whole else workers)
        return batches(self, from_row, batch_size, process, processes, workers, timeout, on_skip, whole=whole)

    def whole(self, rows: np.ndarray) -> Batch | None:
        """The rows of these numbers, stacked, as `sample` has each; None where a picture is not in memory. 2 us a row
        of 28 x 28 where nothing happens to it, and one by one 60."""
        numbers = self.train[places(self.seed, "x", rows, len(self.train))]
        if isinstance(self.gallery, Memory) and self.plain and self.gallery.pixels.shape[1:3] == (self.size, self.size):
            pixels = self.gallery.pixels[numbers]
        else:
            if self.shelf and not all(number in self.shelf.where for number in numbers.tolist()):
                return None
            seeds = (key(self.seed, "x", "augment", row) for row in rows.tolist())
            pixels = np.stack([self.augment(self._pixels(n), s) for n, s in zip(numbers.tolist(), seeds, strict=True)])
        return {"x": to_row(pixels), **self._of(numbers), **self._others(rows)}

    # -- on a device --------------------------------------------------------------------------------------------------

    def cost(self) -> list[str]:
        """What pictures take that are to stay in memory, in a line. Raises BadInput where that is more than is free."""
        if self.cache == "none":
            return []
        if self.cache == "ram":
            return [afford([self.shelf])] if self.shelf else []
        if self.shelf:
            afford([self.shelf])  # they pass through it
        return [f"pictures kept on the device: {len(self.train):,}, {in_words(self._bytes_there)}"]

    @property
    def _bytes_there(self) -> int:
        """What the pictures to train on take on a device."""
        form = self.gallery.form
        return len(self.train) * self.size**2 * form.channels * np.dtype(form.dtype).itemsize

    def on(self, device: torch.device) -> None:
        """Puts all pictures to train on onto the device.

        Raises:
            BadInput: they do not fit there, or one cannot be read, or needs a cut.
        """
        if self.shelf is not None:
            self.shelf.fill(0)
        if self._bytes_there > (free := free_on(device)):
            raise BadInput(
                f"{in_words(self._bytes_there)} of pictures do not fit on the device, where {in_words(free)} are free:"
                " --cache ram"
            )
        form = self.gallery.form
        shape = (len(self.train), form.channels, self.size, self.size)
        x = torch.empty(shape, dtype=getattr(torch, form.dtype), device=device)
        for start in range(0, len(self.train), AT_ONCE):  # not all at once, which would need the host's memory twice
            some = self.train[start : start + AT_ONCE].tolist()
            x[start : start + len(some)] = to_row(np.stack([self._square(number) for number in some])).to(device)
        self.there = {"x": x, **{name: tensor.to(device) for name, tensor in self._of(self.train).items()}}
        self.shelf = None

    def _square(self, number: int) -> np.ndarray:
        """A picture of which nothing is to be cut off."""
        pixels = self.augment.scaled(self._pixels(number))
        if pixels.shape[:2] != (self.size, self.size):
            raise BadInput(
                f"{self.gallery.name(number)} is no square, and chance says which part of it is cut out:"
                " --cache ram, or --fit squash"
            )
        return pixels

    def _from_there(self, there: dict[str, Tensor], start: int, batch_size: int, processes: int) -> Batches:
        """The same batches, picked on the device; only numbers travel to it, and the rows' own stay here."""
        device, size = there["x"].device, len(self.train)

        def across(numbers: np.ndarray) -> Tensor:
            tensor = torch.from_numpy(numbers)
            on_cuda = device.type == "cuda"
            return (tensor.pin_memory() if on_cuda else tensor).to(device, non_blocking=on_cuda)

        while True:
            rows = np.arange(start, start + batch_size)
            at = across(places(self.seed, "x", rows, size))
            batch = {name: all_[at] for name, all_ in there.items()}
            if "c" in there:
                batch["other"] = there["c"][across(places(self.seed, "other", rows, size))]
            yield {**batch, "row": torch.from_numpy(rows)}
            start += batch_size * processes

    def preprocessing(self, fit: str) -> dict[str, Any]:
        """What was done to the pictures, for the model to carry along (JSON). fit: the option of that name."""
        channels = self.gallery.form.channels
        return {
            "load_size": self.size,
            "crop_size": self.size,
            "fit": fit,
            "channels": {"x": channels},
            "value_range": [-1.0, 1.0],
            "opacity": {"x": "kept" if channels in (2, 4) else "laid on white"},
        }

    def domains(self, title: str) -> dict[str, dict[str, Any]]:
        """How the pictures, called `title`, are read and written, for the model to carry along (JSON)."""
        return {"x": self.gallery.form.card(title)}


def wanted_of(options: Any) -> Wanted:
    """What the options of `Conditioned` or `Pictures` say of a picture."""
    return Wanted(
        options.size,
        options.fit,
        options.flip,
        options.augment,
        options.x_channels,
        options.x_value_range,
        options.seed,
        options.unreadable == "skip",
        options.cache,
    )


def deck_of(
    collection: Collection,
    test: np.ndarray,
    more: Mapping[str, Tensor],
    classes: Sequence[int],
    wanted: Wanted,
) -> tuple[Deck, list[str]]:
    """The rows that pictures make, and lines for the user.

    Args:
        collection: The pictures.
        test: bool (N,), which are held out.
        more: What else belongs to each, name -> (N, ...).
        classes: The class of each, or of what is like a class.
        wanted: What a picture is to become.

    Raises:
        BadInput: a picture cannot be read, or options do not fit the pictures.
    """
    pictures, title = collection.pictures, collection.title
    size, channels = wanted.size, wanted.x_channels
    if size is not None and not 1 <= size <= LARGEST:
        raise BadInput(f"size {size}: it must be from 1 to {LARGEST} pixels")
    stated = wanted.x_value_range
    check_side("x", channels, stated)
    if stated is not None and (isinstance(pictures, np.ndarray | Joined)):
        raise BadInput("x_value_range is for pictures in files: leave it out")
    train = np.flatnonzero(~test)
    held = shown(np.flatnonzero(test), classes)
    if isinstance(pictures, np.ndarray):
        size = size or size_of([pictures.shape[1:3]])
        channels = channels or pictures.shape[3]
        if pictures.shape[3] != channels:
            if {pictures.shape[3], channels} != {1, 3}:
                raise BadInput(f"{title}: {other_channels(pictures.shape[3], channels, 'x')}")
            pictures = np.stack([grey_or_rgb(picture, channels) for picture in pictures])
        gallery, lines = Memory(pictures, Form(channels), title), []
    elif isinstance(pictures, Joined):
        gallery, found_size = _mapped(pictures, train, channels)
        size, lines = size or found_size, []
    else:
        found_size, found_channels = _peeked([pictures[number] for number in train], wanted.skip)
        size, channels = size or found_size, channels or found_channels
        side = Side(title, [pictures[number] for number in train], [])
        form, lines = look(side, "x", channels, stated, size, wanted.skip)
        gallery = Files(pictures, form)
    form = gallery.form
    augment = Augment(size, size, wanted.fit, wanted.flip, wanted.augment, form.channels, form.dtype)
    plain = not wanted.flip and not wanted.augment
    if wanted.cache == "device" and not plain:
        raise BadInput(
            "cache device is for pictures that nothing happens to: --cache ram, or leave out --flip and --augment"
        )
    if isinstance(gallery, Memory) and not wanted.augment and not _has_scale(gallery, augment):
        gallery = gallery._replace(pixels=np.stack([augment.scaled(picture) for picture in gallery.pixels]))
    shelf = None
    if wanted.cache != "none" and isinstance(gallery, Mapped):
        raise BadInput(f"{title} is a dataset, which keeps its pictures as it likes: leave out --cache")
    if wanted.cache != "none" and isinstance(gallery, Files):
        shelf = shelf_of(gallery, train.tolist(), augment)
    deck = Deck(gallery, train, held, dict(more), augment, plain, size, wanted.seed, wanted.skip, wanted.cache, shelf)
    return deck, lines


def _has_scale(gallery: Memory, augment: Augment) -> bool:
    """Whether its pictures, which are of one size, are as they are cut."""
    return augment.scaled(gallery.pixels[0]).shape == gallery.pixels.shape[1:]


def shown(test: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Held-out pictures in the order in which they are shown, so that any beginning is spread over all: one of each
    class, another of each, and so on, each class shuffled."""
    seen: Counter[int] = Counter()
    turns = []
    for number in test[order(0, "held out", 0, len(test))]:
        kind = classes[number]
        turns.append((seen[kind], kind, number))
        seen[kind] += 1
    return np.array([number for *_, number in sorted(turns)], np.int64)


def size_of(sizes: Sequence[tuple[int, ...]]) -> int:
    """The side in pixels for pictures of these heights and widths: their own where all are one square of at most 256
    that can be halved to 15 or less, as 28 and 96 can; else the largest of 32, 64, 128 and 256 that half of them
    fill."""
    shorter = sorted(min(size) for size in sizes)
    one = shorter[0]
    while one > 15 and one % 2 == 0:
        one //= 2
    if len({side for size in sizes for side in size}) == 1 and shorter[0] <= MOST and one <= 15:
        return shorter[0]
    middle = shorter[len(shorter) // 2]
    return next((size for size in SIZES if size <= middle), SIZES[-1])


def _peeked(paths: Sequence[Path], skip: bool) -> tuple[int, int]:
    """Side in pixels and channels for pictures in files, from the headers of some."""
    sizes, channels = [], Counter()
    for path in paths[:: -(-len(paths) // LOOKED_AT)]:
        try:
            header = read_header(path)
        except BadInput:
            if not skip:
                raise
            continue
        sizes.append((header.shorter, header.longer))
        channels[header.channels] += 1
    if not sizes:
        raise BadInput(f"none of the pictures looked at can be read, first {paths[0]}: see quagga data check")
    if channels.keys() <= {1, 2}:
        return size_of(sizes), 1
    most = max(channels)
    return size_of(sizes), 3 if most <= 4 else channels.most_common(1)[0][0]


def _mapped(joined: Joined, train: np.ndarray, channels: int | None) -> tuple[Mapped, int]:
    """The gallery of datasets, and the side in pixels of their pictures, from a look at some."""
    sizes, kinds, found, darkest = [], Counter(), Counter(), 0.0
    for number in train[:: -(-len(train) // TRIED)]:
        picture = picture_of(joined.item(int(number)))
        native = to_native(in_memory(picture))
        sizes.append(native.pixels.shape[:2])
        found[native.pixels.shape[-1] - native.alpha] += 1
        kinds[str(native.pixels.dtype)] += 1
        if isinstance(picture, Tensor) and picture.is_floating_point():
            darkest = min(darkest, float(picture.min()))
            kinds["signed"] += 1
    if kinds["signed"] and darkest >= 0:
        raise BadInput(
            f"{joined.title}: its tensors are never below 0: scale them to [-1, 1], as Normalize(0.5, 0.5) does"
        )
    del kinds["signed"]
    kind = kinds.most_common(1)[0][0]
    channels = channels or (found.most_common(1)[0][0] if found else 3)
    white = {"uint8": 255.0, "uint16": 65535.0}.get(kind, 1.0)
    return Mapped(joined, Form(channels, kind, (0.0, white))), size_of(sizes)
