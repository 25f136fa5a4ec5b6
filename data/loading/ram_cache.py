"""Pictures that stay in memory: read once, for all passes, and shared by all workers.

A picture is kept decoded, in the pixel format of its domain and scaled, before any random cut: a photo of 12 megapixels
takes no more memory than load_size asks for. A picture that cannot be read is not kept. It is read again when its row
comes, and its error is reported then, as without a cache.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from quagga.data.loading.free_memory import free_memory
from quagga.errors import BadInput

Cache = Literal["none", "ram"]
CacheOrDevice = Literal["none", "ram", "device"]
Span = tuple[int, int, tuple[int, ...]]  # first and last value in the memory, and the shape


@dataclass(eq=False)
class RamCache:
    """Pictures by number, of one part each or of two, as pairs are.

    numbers: those that are to stay. kinds: "uint8" or "float32", of each part. values: number -> how many values each
    part has, by its header. read: number -> the parts as they are to stay, (H, W, C). Either raises BadInput.
    """

    numbers: Sequence[int]
    kinds: Sequence[str]
    values: Callable[[int], Sequence[int]]
    read: Callable[[int], Sequence[np.ndarray]]
    where: dict[int, list[Span]] = field(default_factory=dict)  # what has been read
    memory: list[Tensor] = field(default_factory=list)  # one of each part: all pictures after one another

    @cached_property
    def ends(self) -> np.ndarray:
        """(parts, numbers + 1), from where to where each picture has room."""
        with _pool() as pool:
            sizes = np.array(list(pool.map(self._values, self.numbers)), np.int64).reshape(-1, len(self.kinds))
        return np.concatenate([np.zeros((1, len(self.kinds)), np.int64), sizes.cumsum(0)]).T

    @property
    def bytes(self) -> int:
        """What they take, by their headers."""
        return sum(int(ends[-1]) * np.dtype(kind).itemsize for ends, kind in zip(self.ends, self.kinds, strict=True))

    def fill(self, workers: int) -> None:
        """Reads them, the first time; several at a time, as decoding lets other threads run."""
        if self.memory or not len(self.numbers):
            return
        self.memory = [
            torch.empty(int(ends[-1]), dtype=getattr(torch, kind))
            for ends, kind in zip(self.ends, self.kinds, strict=True)
        ]
        if workers and multiprocessing.get_start_method() != "fork":  # a fork sees the same pages, as nobody writes
            self.memory = [part.share_memory_() for part in self.memory]
        hidden = True if int(os.environ.get("RANK", 0)) else None  # None: where there is no terminal
        bar = tqdm(total=len(self.numbers), unit="picture", delay=2, leave=False, disable=hidden)
        with _pool() as pool, bar:
            for _ in pool.map(self._put, range(len(self.numbers))):
                bar.update()

    def clear(self) -> None:
        """Forgets all pictures; `fill` reads them again."""
        self.memory, self.where = [], {}
        vars(self).pop("views", None)

    def get(self, number: int) -> list[np.ndarray] | None:
        """The parts of a picture, (H, W, C), which must not be written to; None: it is not here, read it."""
        where = self.where.get(number)
        if where is None:
            return None
        return [view[start:stop].reshape(shape) for view, (start, stop, shape) in zip(self.views, where, strict=True)]

    @cached_property
    def views(self) -> list[np.ndarray]:
        """The memory as arrays, which are made twice as fast as tensors."""
        return [part.numpy() for part in self.memory]

    def __getstate__(self) -> dict[str, Any]:
        """What a spawned worker gets, which only looks things up: of the memory a handle, as tensors are shared when
        they are pickled. The first time that moves them, so views from before are void."""
        vars(self).pop("views", None)
        return {**vars(self), "values": None, "read": None}

    def _values(self, number: int) -> Sequence[int]:
        with suppress(Exception):  # what it says it will say again when its row comes
            return self.values(number)
        return [0] * len(self.kinds)

    def _put(self, at: int) -> None:
        with suppress(Exception):
            parts = self.read(self.numbers[at])
            starts, stops = self.ends[:, at], self.ends[:, at + 1]
            where = []
            for view, start, stop, part in zip(self.views, starts.tolist(), stops.tolist(), parts, strict=True):
                if part.size > stop - start:
                    return  # its header has said less
                where.append((start, start + part.size, part.shape))
                view[start : start + part.size] = part.reshape(-1)
            self.where[self.numbers[at]] = where


def ram_caches(rows: Any) -> list[RamCache]:
    """Returns the caches in which rows keep pictures in memory; rows of a user's own class may have none."""
    return getattr(rows, "ram_caches", [])


def check_free_memory(caches: Sequence[RamCache]) -> str:
    """Returns a line that says how much memory the caches take.

    Raises:
        BadInput: that is more than is free.
    """
    need = sum(cache.bytes for cache in caches)
    count = sum(len(cache.numbers) * len(cache.kinds) for cache in caches)
    line = f"pictures kept in memory: {count:,}, {format_bytes(need)}"
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if processes > 1:
        line += f" for each of {processes} processes"
    if need * processes > (free := free_memory()):
        raise BadInput(f"{line}, and {format_bytes(free)} are free: make them smaller, or leave out --cache")
    return line


def format_bytes(size: int) -> str:
    """Bytes as "0.5 GiB" or "12 MiB"."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:,.0f} MiB"


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1))
