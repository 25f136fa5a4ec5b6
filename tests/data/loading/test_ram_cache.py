"""Pictures that stay in memory make the same rows, bit for bit, whoever reads them; and what they take is told."""

import contextlib
import multiprocessing
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from test_conditioned import digits

from quagga.cli.main import command_line
from quagga.data import indexed, paired, unpaired
from quagga.data.conditioned import Conditioned
from quagga.data.images import Pictures
from quagga.data.loading import data_workers as reading
from quagga.data.loading import ram_cache
from quagga.data.loading.data_workers import batches
from quagga.data.loading.free_memory import free_memory
from quagga.data.loading.row_order import Batch
from quagga.data.paired import Paired
from quagga.data.sources import image_store
from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput

CUT: dict[str, Any] = {"load_size": 20, "crop_size": 16, "workers": 0}
COUNT = 11


@pytest.fixture(scope="module")
def top(tmp_path_factory) -> Path:
    """Pictures of several sizes, alone, in pairs, side by side, as label maps, of 16 bits, and digits."""
    top, rng = tmp_path_factory.mktemp("kept"), np.random.default_rng(0)
    for number in range(COUNT):
        height, width = 24 + 2 * (number % 3), 30 - number % 5
        for name in ("horse", "zebra", "a/one", "b/two"):
            save(top / name / f"{number}.png", rng.integers(0, 256, (height, width, 3), np.uint8))
        y = rng.integers(0, 256, (height, width, 3), np.uint8)
        save(top / "light" / f"{number}.png", y)
        save(top / "labels" / f"{number}.png", rng.integers(0, 3, (height, width), np.uint8) * 9)
        save(top / "beside" / f"{number}.png", np.concatenate([255 - y, y], 1))
        np.save(place(top / "ct") / f"{number}.npy", rng.integers(0, 4096, (height, width, 1)).astype(np.uint16))
    listed = [f"horse/{number}.png,zebra/{number}.png" for number in range(COUNT)]
    (top / "pairs.csv").write_text("\n".join(["x,y", *listed]))
    digits(top / "digits")
    return top


def place(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(place(path.parent) / path.name)


KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {  # what is made, of what below `top`
    "unpaired": (Unpaired, {"x": "horse", "y": "zebra", **CUT}),
    "unpaired, 16 bits": (
        Unpaired,
        {"x": "ct", "y": "zebra", "x_channels": 1, "x_value_range": [0.0, 4095.0], **CUT},
    ),
    "unpaired, not scaled": (Unpaired, {"x": "horse", "y": "zebra", **CUT, "fit": "none"}),
    "unpaired and pairs": (Unpaired, {"x": "horse", "y": "zebra", "pairs": "pairs.csv", **CUT}),
    "pairs": (Paired, {"pairs": "pairs.csv", **CUT}),
    "pairs, labels": (Paired, {"x": "labels", "y": "light", "x_as": "labels", **CUT}),
    "pairs, edges": (Paired, {"y": "light", "x_as": "edges", "fit": "squash", **CUT}),
    "pairs side by side": (Paired, {"root": "beside", **CUT}),
    "pictures": (Pictures, {"root": "horse", "size": 16, "flip": True, "workers": 0}),
    "pictures, plain": (Pictures, {"root": "horse", "size": 16, "fit": "squash", "workers": 0}),
    "conditioned": (Conditioned, {"root": "", "names": ["a", "b"], "size": 16, "flip": True, "workers": 0}),
    "digits": (Conditioned, {"root": "digits"}),
    "digits, mirrored": (Conditioned, {"root": "digits", "flip": True}),
    "digits, enlarged": (Pictures, {"root": "digits", "flip": True, "size": 12}),
}


def made(kind: str, top: Path, **more: Any) -> Any:
    of, options = KINDS[kind]
    files = {name: str(top / options[name]) for name in ("root", "x", "y", "pairs") if name in options}
    return of(**{**options, **files, **more})


def some(stream: Any, count: int) -> Batch:
    with contextlib.closing(stream):
        found = list(islice(stream, count))
    return {name: torch.cat([batch[name] for batch in found]) for name in found[0]}


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def one_by_one(data: Any, first: int, count: int) -> Batch:
    """The rows as `sample` says them: the law all else is held to."""
    found = [data.sample(row).tensors for row in range(first, first + count)]
    stacked = {name: torch.stack([torch.as_tensor(row[name]) for row in found]) for name in found[0]}
    return {**stacked, "row": torch.arange(first, first + count)}


# -- the same rows ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_same_kept_or_not(top, kind, declared):
    more = {"augment": {"CoarseDropout": {"p": 0.5}} if "labels" not in kind else {"Affine": {}}} if declared else {}
    expected = one_by_one(made(kind, top, **more), 3, 24)
    for how in ("none", "ram"):
        data = made(kind, top, cache=how, **more)
        assert same(some(data.batches(3, 4), 6), expected)
        assert same(one_by_one(data, 3, 24), expected)  # now out of memory
        dealt = [some(data.batches(3, 4, process, 2), 3) for process in range(2)]
        for process, share in enumerate(dealt):
            own = [row for start in range(4 * process, 24, 8) for row in range(start, start + 4)]
            assert same(share, {name: tensor[own] for name, tensor in expected.items()})
    data = made(kind, top, cache="ram", **{**more, "workers": 2})  # ahead of time: by workers or in a thread
    assert same(some(data.batches(3, 4), 6), expected)


@pytest.mark.parametrize("kind", ["unpaired", "pairs, labels", "pairs, edges", "pictures", "digits, mirrored"])
def test_a_whole_batch_is_the_rows_one_by_one(top, kind):
    data = made(kind, top, cache="ram")
    next(data.batches(0, 2))
    whole = (data.dataset if hasattr(data, "dataset") else data).read_batch(
        np.arange(5, 40)
    )  # over the ends of several passes
    assert same({**whole, "row": torch.arange(5, 40)}, one_by_one(made(kind, top), 5, 35))


@pytest.mark.parametrize("how", ["none", "ram"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_bytes_travel_as_bytes(top, kind, how):
    """A quarter of what floats take, between processes and to the device."""
    data = made(kind, top, cache=how)
    batch = some(data.batches(0, 4), 1)
    for side, form in data.forms.items():
        assert batch[side].dtype == (torch.uint8 if form.eight_bits else torch.float32)
    assert all(tensor.dtype != torch.uint8 for tensor in data.held_out(2).values())


@pytest.mark.parametrize("kind", ["unpaired", "pairs, labels", "pictures", "conditioned"])
def test_pictures_in_memory_come_at_once_and_others_from_workers(top, kind, monkeypatch):
    asked = []
    for module in (unpaired, paired, indexed):
        monkeypatch.setattr(module, "batches", lambda *_, read_batch=None, **__: asked.append(read_batch))
    for more in ({}, {"cache": "ram"}, {"cache": "ram", "augment": {"Affine": {}}}):
        made(kind, top, **more).batches(0, 1)
    assert [read_batch is not None for read_batch in asked] == [False, True, False]


@pytest.mark.parametrize("kind", ["unpaired", "unpaired and pairs", "pairs", "pairs side by side", "pictures"])
def test_once_read_the_files_are_not_needed(top, tmp_path, kind):
    expected = one_by_one(made(kind, top), 0, 30)
    shutil.copytree(top, tmp_path / "copy")
    data = made(kind, tmp_path / "copy", cache="ram")
    data.check(2)
    stream = data.batches(0, 2)  # reads them
    shutil.rmtree(tmp_path / "copy")
    assert same(some(stream, 15), expected)


@pytest.mark.parametrize("kind", ["unpaired and pairs", "pictures"])
def test_a_spawned_worker_shares_the_memory(top, tmp_path, kind):
    expected = one_by_one(made(kind, top, augment={"CoarseDropout": {"p": 0.5}}), 0, 8)
    shutil.copytree(top, tmp_path / "copy")
    data = made(kind, tmp_path / "copy", cache="ram", augment={"CoarseDropout": {"p": 0.5}})
    next(data.batches(0, 2))
    shutil.rmtree(tmp_path / "copy")
    source = getattr(data, "dataset", data)
    assert same(some(batches(source, 0, 4, workers=1, start_method="spawn"), 2), expected)
    caches = data.ram_caches
    assert all(part.is_shared() for cache in caches for part in cache.memory)
    assert same(one_by_one(data, 0, 8), expected)  # the memory has moved


def test_where_workers_are_spawned_the_memory_is_shared_from_the_start(top, monkeypatch):
    monkeypatch.setattr(ram_cache, "multiprocessing", SimpleNamespace(get_start_method=lambda: "spawn"))
    for workers, shared in ((0, False), (2, True)):
        data = made("unpaired", top, cache="ram")
        for cache in data.ram_caches:
            cache.fill(workers)
            assert [part.is_shared() for part in cache.memory] == [shared]


def test_whatever_goes_wrong_while_it_is_filled_is_told_when_its_row_comes():
    def read(number: int) -> list[np.ndarray]:
        if number == 1:
            raise RuntimeError("a bug of a decoder")
        return [np.full(4, number, np.uint8)]

    cache = ram_cache.RamCache(range(3), ["uint8"], lambda number: [4], read)
    cache.fill(0)
    assert [None if (parts := cache.get(number)) is None else int(parts[0][0]) for number in range(3)] == [0, None, 2]


@pytest.mark.parametrize("kind", ["unpaired", "pairs", "pictures"])
def test_memory_is_shared_where_workers_look_into_it_only(top, kind, monkeypatch):
    """Shared memory is scarce in containers."""
    asked: list[int] = []
    monkeypatch.setattr(ram_cache.RamCache, "fill", lambda _, workers: asked.append(workers))
    for more in ({}, {"augment": {"Affine": {}}}):
        made(kind, top, cache="ram", **{"workers": 2, **more}).batches(0, 1)
    assert set(asked) == {0, 2} and asked == sorted(asked)


class InPlace:
    """As a transform may be written."""

    def set_random_state(self, *_: object) -> None: ...

    def __call__(self, **pictures: np.ndarray) -> dict[str, np.ndarray]:
        for pixels in pictures.values():
            pixels[...] = 0
        return pictures


@pytest.mark.parametrize("kind", ["unpaired", "pairs"])
@pytest.mark.parametrize("stage", ["_declared", "_moved", "_coloured"])
def test_what_is_in_memory_stays_as_it_is(top, kind, stage):
    data = made(kind, top, cache="ram", load_size=16, flip=False)
    caches = data.ram_caches
    for augment in data.augments.values() if kind == "unpaired" else [data._augment]:
        setattr(augment, stage, InPlace())
    next(data.batches(0, 2))
    before = [part.clone() for cache in caches for part in cache.memory]
    some(data.batches(0, 4), 20)
    after = [part for cache in caches for part in cache.memory]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_pictures_are_kept_scaled_and_read_once(top, monkeypatch):
    data = made("unpaired", top, cache="ram", load_size=16)
    seen = []
    read = image_store.read_fitted
    for reader in (image_store, unpaired):
        monkeypatch.setattr(reader, "read_fitted", lambda path, *rest: seen.append(path) or read(path, *rest))
    assert seen == [] and not data.side_caches["x"].memory  # not when it is made
    for _ in range(2):
        some(data.batches(0, 4), 12)
    assert sorted(seen) == sorted(path for side in data.sides.values() for path in side.train)
    shapes = {pixels.shape[:2] for n in range(7) for pixels in data.side_caches["x"].get(n) or []}
    assert all(min(shape) == 16 for shape in shapes)


# -- damaged pictures -------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(top, tmp_path) -> Path:
    """The same, one file of each kind cut off in the middle: its header is still good; another is empty."""
    shutil.copytree(top, tmp_path / "damaged")
    for name in ("horse", "zebra", "light", "labels"):
        path = tmp_path / "damaged" / name / "4.png"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        (tmp_path / "damaged" / name / "7.png").write_bytes(b"")
    return tmp_path / "damaged"


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["unpaired", "unpaired and pairs", "pairs", "pairs, edges", "pictures"])
def test_damaged_pictures_are_skipped_and_counted_as_without(damaged, kind, workers):
    found = []
    for how in ("none", "ram"):
        data = made(kind, damaged, cache=how, unreadable="skip", workers=workers)
        batch = some(data.batches(0, 4), 10)
        found.append((batch, sorted(data.skipped), [data.files(row) for row in range(40)]))
    (one, *told), (other, *told_too) = found
    assert same(one, other) and told == told_too and told[0]


@pytest.mark.parametrize("kind", ["unpaired", "pairs", "pictures"])
def test_a_damaged_picture_stops_as_without(top, damaged, kind):
    for name in ("horse", "zebra"):  # an empty one is seen before
        shutil.copy(top / name / "7.png", damaged / name / "7.png")
    said = []
    for how in ("none", "ram"):
        data = made(kind, damaged, cache=how)
        seen = []
        with pytest.raises(BadInput) as caught:
            seen.extend(int(batch["row"]) for batch in islice(data.batches(0, 1), 99))
        said.append((str(caught.value), seen))
    assert said[0] == said[1]


def test_a_picture_larger_than_its_header_says_is_read_each_time(top, monkeypatch):
    expected = one_by_one(made("pictures", top), 0, 20)
    header = image_store.read_header
    monkeypatch.setattr(image_store, "read_header", lambda path: header(path)._replace(longer=header(path).shorter))
    data = made("pictures", top, cache="ram")
    assert same(some(data.batches(0, 4), 5), expected) and not data.dataset.ram_cache.where


# -- what it takes ----------------------------------------------------------------------------------------------------


def test_the_cost_is_told_before_training_and_is_what_they_take(top, monkeypatch):
    for kind in ("unpaired", "unpaired, 16 bits", "unpaired and pairs", "pairs, labels", "pairs, edges", "pictures"):
        data = made(kind, top, cache="ram")
        before = len(data.notices)
        data.check(2)
        [line] = data.notices[before:]
        next(data.batches(0, 2))
        caches = data.ram_caches
        held = sum(part.numel() * part.element_size() for cache in caches for part in cache.memory)
        pixels = sum(part.nbytes for cache in caches for n in cache.numbers for part in cache.get(n) or [])
        count = sum(len(cache.numbers) * len(cache.kinds) for cache in caches)
        assert held == pixels and line == f"pictures kept in memory: {count}, {ram_cache.format_bytes(held)}"
        made(kind, top).check(2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    data.check(2)  # pyright: ignore[reportPossiblyUnboundVariable]
    assert data.notices[-1].endswith("for each of 4 processes")  # pyright: ignore[reportPossiblyUnboundVariable]


def test_sizes_are_told_in_words():
    assert [ram_cache.format_bytes(size) for size in (2**20, 50 * 2**20, 2**29, 3 * 2**40)] == [
        "1 MiB",
        "50 MiB",
        "0.5 GiB",
        "3,072.0 GiB",
    ]


@pytest.mark.parametrize("kind", ["unpaired", "pairs", "conditioned"])
def test_more_than_is_free_is_refused_with_the_numbers(top, kind, monkeypatch):
    data = made(kind, top, cache="ram")
    caches = data.ram_caches
    need = sum(cache.bytes for cache in caches)
    monkeypatch.setattr(ram_cache, "free_memory", lambda: need)
    data.check(2)
    monkeypatch.setattr(ram_cache, "free_memory", lambda: need - 1)
    with pytest.raises(
        BadInput, match=r"kept in memory: \d+, \d+ MiB, and \d+ MiB are free: .* leave out --cache"
    ) as caught:
        data.check(2)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(ram_cache, "free_memory", lambda: 2 * need)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(BadInput, match="for each of 3 processes, and"):
        data.check(2)


GIB = 2**30


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 64),
        ({"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/step/memory.max": "max\n"}, 64),
        (
            {
                "proc/self/cgroup": "0::/job/step\n",
                "sys/fs/cgroup/job/step/memory.max": "max",
                "sys/fs/cgroup/job/memory.max": f"{8 * GIB}",
                "sys/fs/cgroup/job/memory.current": f"{5 * GIB}",
                "sys/fs/cgroup/job/memory.stat": f"anon {4 * GIB}\ninactive_file {GIB}\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{2 * GIB}",
                "sys/fs/cgroup/memory.current": f"{3 * GIB}",
            },
            0,
        ),
        (
            {
                "proc/self/cgroup": "9:pids:/x\n8:memory:/docker/abc\n",  # seen from inside, the group is the root
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{9 * GIB}",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{3 * GIB}",
                "sys/fs/cgroup/memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB}\n",
            },
            7,
        ),
    ],
)
def test_a_container_s_limit_counts(tmp_path, monkeypatch, files, free):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * GIB))
    for name, text in files.items():
        (place((tmp_path / name).parent) / Path(name).name).write_text(text)
    assert free_memory(tmp_path) == free * GIB


# -- on the device ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["digits", "pictures, plain"])
def test_batches_made_on_the_device_are_the_same(top, kind, monkeypatch):
    monkeypatch.setattr(indexed, "PICTURES_AT_ONCE", 3)  # they go there in several pieces
    expected = one_by_one(made(kind, top), 3, 24)
    data = made(kind, top, cache="device")
    assert same(some(data.batches(3, 4), 6), expected)  # before it is told the device
    data.move_to(torch.device("cpu"))
    assert same(some(data.batches(3, 4), 6), expected) and same(some(data.batches(3, 24), 1), expected)
    share = some(data.batches(3, 4, 1, 2), 3)
    own = [row for start in (4, 12, 20) for row in range(start, start + 4)]
    assert same(share, {name: tensor[own] for name, tensor in expected.items()})
    assert same(data.held_out(3), made(kind, top).held_out(3))
    assert data.dataset.on_device["x"].dtype == torch.uint8 and data.dataset.on_device["x"].is_contiguous()
    data.check(2)
    assert data.notices[-1].startswith(f"pictures kept on the device: {data.images_per_epoch}, ")


def test_pictures_that_do_not_fit_on_the_device_are_refused_before_they_go_there(top, monkeypatch):
    data = made("digits", top, cache="device")
    monkeypatch.setattr(indexed, "free_device_bytes", lambda device: 28 * 28)
    with pytest.raises(BadInput, match="0 MiB are free: --cache ram"):
        data.move_to(torch.device("cpu"))


def test_the_device_is_refused_where_chance_has_a_hand(top):
    for more in ({"flip": True}, {"augment": {"Affine": {}}}):
        with pytest.raises(BadInput, match="cache device is for pictures that are not changed in training"):
            made("digits", top, cache="device", **more)
    data = made("pictures, plain", top, cache="device", fit="crop")
    with pytest.raises(BadInput, match=r"\d.png is no square, .*--fit squash"):
        data.move_to(torch.device("cpu"))
    for how in ("ram", "device"):
        with pytest.raises(BadInput, match="is a dataset"):
            Pictures.of([np.zeros((16, 16, 3), np.uint8)] * 9, cache=how)


def test_a_preview_reads_its_own_rows_only(top, tmp_path, monkeypatch):
    monkeypatch.setattr(ram_cache.RamCache, "fill", lambda *_: pytest.fail("all were read"))
    words = [f"--x={top / 'horse'}", f"--y={top / 'zebra'}", "--load_size=20", "--crop_size=16", "--cache=ram"]
    assert not command_line(["data", "preview", "cyclegan", *words, f"--output={tmp_path / 'sheet.png'}"])


# -- a run ------------------------------------------------------------------------------------------------------------

TINY = ["--device=cpu", "--batch_size=4", "--images=16", "--log_every=8", "--sample_every=8", "--save_every=8"]
TINY += ["--samples=1", "--examined=1", "--mixed_precision=no"]


@pytest.mark.parametrize("how", ["none", "ram"])
def test_workers_start_once_in_a_run_of_several_passes(top, tmp_path, how, monkeypatch):
    """Neither the end of a pass, nor strips, nor checkpoints begin anew; of pictures in memory the one is a thread."""
    crews: list[int] = []
    plain = reading.DataLoader

    class Counted(plain):
        def __iter__(self):
            before = set(multiprocessing.active_children())
            stream = super().__iter__()
            crews.append(len(set(multiprocessing.active_children()) - before))
            return stream

    class Pool(reading.ThreadPoolExecutor):
        def __init__(self, count, **options):
            super().__init__(count, **options)
            crews.append(count)

    monkeypatch.setattr(
        reading, "ThreadPoolExecutor" if how == "ram" else "DataLoader", Pool if how == "ram" else Counted
    )
    words = [f"--x={top / 'horse'}", f"--y={top / 'zebra'}", "--load_size=20", "--crop_size=16", f"--cache={how}"]
    words += ["--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1", "--workers=1"]
    code = command_line(["train", "cyclegan", *words, *TINY, f"--output={tmp_path / 'run'}"])
    assert code in (0, None) and crews == [1]
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) > 2  # it was at the beginning, in the middle, ...
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_run_with_pictures_on_the_device_is_the_run_without(top, tmp_path, capsys):
    weights = []
    for how in ("none", "device"):
        output = tmp_path / how
        words = [f"--root={top / 'digits'}", "--size=8", "--width=4", f"--cache={how}", "--workers=0"]
        assert not command_line(["train", "gan", *words, *TINY, f"--output={output}"])
        weights.append({path.name: path.read_bytes() for path in (output / "model").glob("*.safetensors")})
    assert weights[0] and weights[0] == weights[1]
    assert "pictures kept on the device: 40" in capsys.readouterr().out


def test_a_run_goes_on_with_its_pictures_in_memory(top, tmp_path, capsys):
    words = [f"--root={top / 'digits'}", "--size=8", "--width=4", "--workers=0", f"--output={tmp_path / 'run'}"]
    assert not command_line(["train", "gan", *words, *TINY])
    assert not command_line(["train", "gan", *words, *TINY, "--images=24", "--cache=device"])
    assert "going on from 16 of 24 images" in capsys.readouterr().out
