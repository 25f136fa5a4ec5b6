"""Rows of another size are the rows of a data set that was opened at that size."""

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_conditioned import digits

from quagga.data import Conditioned, Paired, Pictures, Unpaired
from quagga.data.loading.row_order import SizedRows
from quagga.errors import BadInput


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two folders of pictures of the same names, of which none is a square."""
    top, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    for side in "ab":
        (top / side).mkdir()
        for number in range(12):
            coarse = Image.fromarray(rng.integers(0, 256, (7, 8, 3), np.uint8))
            coarse.resize((32, 28), Image.Resampling.BICUBIC).save(top / side / f"{number}.png")
    return top


def cropped(kind: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    def opened(root: Path, size: int, **more: Any) -> Any:
        folders = {"x": str(root / "a"), "y": str(root / "b")}
        return kind(**folders, crop_size=size, load_size=size * 5 // 4, **options, **more)

    return opened


def sized(kind: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    def opened(root: Path, size: int, **more: Any) -> Any:
        return kind(root=str(root), size=size, flip=True, **options, **more)

    return opened


def of_files(root: Path, size: int, **more: Any) -> Any:
    """MNIST's files, which are read as one array."""
    folder = root.parent / "digits"
    if not folder.exists():
        folder.mkdir()
        digits(folder)
    return Pictures(root=str(folder), size=size, **more)


def of_a_dataset(_root: Path, size: int, **more: Any) -> Any:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 20, 1), np.uint8) for _ in range(12)]
    return Conditioned.of([(p, n % 2) for n, p in enumerate(pictures)], size=size, names=["a", "b"], **more)


DATA: dict[str, Callable[..., Any]] = {
    "unpaired": cropped(Unpaired),
    "paired": cropped(Paired),
    "paired, changed": cropped(Paired, augment={"GaussianBlur": {"p": 0.5}}),
    "pictures": sized(Pictures),
    "conditioned": sized(Conditioned, augment={"ColorJitter": {"p": 0.5}}),
    "idx files": of_files,
    "a dataset": of_a_dataset,
}
every_kind = pytest.mark.parametrize("kind", DATA)


def rows_of(data: Any, first: int = 3, count: int = 4) -> dict[str, torch.Tensor]:
    with closing(data.batches(first, 2)) as batches:
        found = list(islice(batches, count))
    return {name: torch.cat([batch[name] for batch in found]) for name in found[0]}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@every_kind
def test_rows_of_another_size_are_those_of_a_set_opened_at_that_size(root, kind):
    data = DATA[kind](root, 16, workers=0)
    assert isinstance(data, SizedRows)
    before = rows_of(data)
    for size in (12, 24):
        expected, found = DATA[kind](root, size, workers=0), data.at_size(size)
        assert found.batches(0, 1) and next(found.batches(0, 1))["x"].shape[-2:] == (size, size)
        assert same(rows_of(found), rows_of(expected)) and same(found.held_out(3), expected.held_out(3))
        assert found.preprocessing() == expected.preprocessing() and found.known() == expected.known()
        assert found.files(5) == data.files(5) and found.notices == [] and found.skipped is data.skipped
    assert same(rows_of(data), before) and data.preprocessing()["crop_size"] == 16
    assert data.at_size(12).at_size(16).preprocessing() == data.preprocessing()


@pytest.mark.parametrize("kind", [kind for kind in DATA if kind not in ("idx files", "a dataset")])
def test_in_memory_and_by_workers_they_are_the_same(root, kind):
    expected = rows_of(DATA[kind](root, 12, workers=0))
    kept = DATA[kind](root, 16, workers=0, cache="ram")
    large = rows_of(kept)  # which fills the cache of the other size
    assert large["x"].shape[-1] == 16
    small = kept.at_size(12)
    assert same(rows_of(small), expected)
    [*caches] = small.ram_caches
    taken = sum(part.numel() for cache in caches for part in cache.memory)
    for cache in caches:
        cache.clear()
    assert taken > 0 and not any(cache.memory or cache.where for cache in caches)
    assert same(rows_of(small), expected)
    for workers in (1, 2):
        assert same(rows_of(DATA[kind](root, 16, workers=workers).at_size(12)), expected)


def test_pairs_among_unpaired_pictures_follow(root, tmp_path):
    lines = [f"{root}/a/{number}.png,{root}/b/{number}.png" for number in range(12)]
    (tmp_path / "pairs.csv").write_text("\n".join(["x,y", *lines]) + "\n")
    opened = cropped(Unpaired, pairs=str(tmp_path / "pairs.csv"), workers=0)
    found = rows_of(opened(root, 16).at_size(12), first=4)
    assert found["paired"].any() and same(found, rows_of(opened(root, 12), first=4))


@pytest.mark.parametrize(("kind", "size"), [("unpaired", 20_000), ("pictures", 2000)])
def test_a_size_that_cannot_be_is_refused(root, kind, size):
    with pytest.raises(BadInput, match=f"{size}"):
        DATA[kind](root, 16, workers=0).at_size(size)
