"""How fast pictures come: from disk and from memory, with augmentation, by number of workers; and who waits for them.

    python benchmarks/feeding.py --output benchmarks/results/feeding.txt
    python benchmarks/feeding.py --root DIR      # trainA and trainB of your own, for the large ones

Large: JPEGs of 286 to 512 pixels, shorter side scaled to 286, cut to 256 and mirrored. Small: PNGs of 72 pixels, cut to
64 and mirrored. Both are drawn here, horses and zebras of the embedded set. Digits: 28 x 28 in memory, batch 64.

Waiting: a stand-in for the training step sleeps as long as the step would take, and the seconds are counted in which
it waits for its batch. The promise is under 5 % of the step. A sleeping step leaves all cores to the workers, as a GPU
does and a CPU that trains does not.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from report import keep, processor

from quagga.data.images import Pictures
from quagga.data.loading.row_order import Batches
from quagga.data.synthetic.scenes import scene
from quagga.data.unpaired import Unpaired

COLOUR: dict[str, Any] = {"ColorJitter": {"p": 1.0}}
PROMISE = 0.05  # of the step


class Consumer(NamedTuple):
    """A training step, as fast as it is said to be."""

    name: str
    rows_per_second: float
    batch_size: int
    large: bool


CONSUMERS = (
    Consumer("CycleGAN, 256, large GPU", 150, 16, True),
    Consumer("pix2pix, 256, large GPU", 1500, 64, True),
    Consumer("CycleGAN, 256, 2-core CPU", 0.2, 1, True),
    Consumer("CycleGAN, 64, large GPU", 1500, 64, False),
    Consumer("CycleGAN, 64, 2-core CPU", 30, 4, False),
)


def drawn(folder: Path, count: int, large: bool) -> Path:
    """trainA and trainB of so many pictures each."""
    rng = np.random.default_rng(0)
    for part in ("trainA", "trainB"):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            animal = scene(number, 72, 0)
            picture = Image.fromarray(animal.horse if part == "trainA" else animal.zebra)
            if large:
                picture = picture.resize(tuple(rng.integers(286, 513, 2).tolist()), Image.Resampling.BICUBIC)
                grain = rng.normal(0, 6, (*picture.size[::-1], 3))  # without it they would be smaller files than photos
                picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
            picture.save(folder / part / f"{number}.{'jpg' if large else 'png'}", quality=90)
    return folder


def rows_of(root: Path, large: bool, **options: Any) -> Unpaired:
    """The rows of a training."""
    load, crop = (286, 256) if large else (72, 64)
    return Unpaired(root=str(root), load_size=load, crop_size=crop, **options)


def digits(folder: Path, count: int = 4096) -> Path:
    """A file of 28 x 28, as MNIST's is."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    header = bytes([0, 0, 8, 3]) + np.array(pixels.shape, ">u4").tobytes()
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
    return folder


def rate(stream: Batches, seconds: float, warm_up: int = 3) -> float:
    """Rows a second."""
    with closing(stream):
        for _ in range(warm_up):
            next(stream)
        start, rows = perf_counter(), 0
        while perf_counter() - start < seconds:
            rows += len(next(stream)["row"])
        return rows / (perf_counter() - start)


def waited(stream: Batches, consumer: Consumer, seconds: float) -> float:
    """Seconds waited for a batch, as a share of those that the step takes."""
    step = consumer.batch_size / consumer.rows_per_second
    with closing(stream):
        next(stream)
        sleep(step)
        waiting, steps, begun = 0.0, 0, perf_counter()
        while steps < 2 or perf_counter() - begun < seconds:
            start = perf_counter()
            next(stream)
            waiting += perf_counter() - start
            sleep(step)
            steps += 1
    return waiting / (steps * step)


def speeds(root: Path, large: bool, workers: Iterable[int], seconds: float) -> Iterator[str]:
    """A table of pictures a second."""
    workers = list(workers)
    yield f"{'pictures/s, batch 8':<34}" + "".join(f"{f'{count} workers':>12}" for count in workers)
    for colour in (False, True):
        for cache in ("none", "ram"):
            found = []
            for count in workers:
                more = {"augment": COLOUR} if colour else {}
                data = rows_of(root, large, cache=cache, workers=count, **more)
                found.append(2 * rate(data.batches(0, 8), seconds))
            name = f"{'disk' if cache == 'none' else 'memory'}, cut + mirror{' + ColorJitter' if colour else ''}"
            yield f"{name:<34}" + "".join(f"{value:>12,.0f}" for value in found)


def in_memory(root: Path, seconds: float) -> Iterator[str]:
    """Digits, a batch at a time and row by row."""
    yield f"{'microseconds a row, batch 64':<34}{'at once':>12}{'one by one':>12}{'ratio':>12}"
    for flip in (False, True):
        data = Pictures(root=str(root), flip=flip)
        at_once = rate(data.batches(0, 64), seconds)
        start, count = perf_counter(), 0
        while perf_counter() - start < seconds:
            data.sample(count)
            count += 1
        single = count / (perf_counter() - start)
        name = f"28 x 28{', mirrored' if flip else ''}"
        yield f"{name:<34}{1e6 / at_once:>12.1f}{1e6 / single:>12.1f}{at_once / single:>12.1f}"


def waiting(roots: dict[bool, Path], workers: int, seconds: float) -> Iterator[str]:
    """Who waits."""
    yield f"{'waiting, share of the step':<34}{'rows/s':>8}{'batch':>7}{'disk':>10}{'memory':>10}  promise: under 5 %"
    for consumer in CONSUMERS:
        shares = []
        for cache in ("none", "ram"):
            data = rows_of(roots[consumer.large], consumer.large, cache=cache, workers=workers)
            shares.append(waited(data.batches(0, consumer.batch_size), consumer, seconds))
        verdicts = ["kept" if share < PROMISE else "BROKEN" for share in shares]
        verdict = f"{verdicts[0]} from disk, {verdicts[1]} from memory" if verdicts[0] != verdicts[1] else verdicts[0]
        yield (
            f"{consumer.name:<34}{consumer.rows_per_second:>8g}{consumer.batch_size:>7}{shares[0]:>10.1%}"
            f"{shares[1]:>10.1%}  {verdict}"
        )


def report(folder: Path, root: Path | None, count: int, workers: list[int], seconds: float) -> Iterator[str]:
    """All of it. workers: the numbers that are tried."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    yield "Feeding a training of CycleGAN: rows of two pictures"
    yield f"{os.cpu_count()} cores of an {processor()}, {gpu}; torch {torch.__version__}"
    roots = {True: root or drawn(folder / "large", count, True), False: drawn(folder / "small", count, False)}
    for large, title in ((True, "256 x 256 of JPEGs"), (False, "64 x 64 of PNGs")):
        yield ""
        yield f"{title}, {count if root is None or not large else 'your own'} a side"
        yield from speeds(roots[large], large, workers, seconds)
    yield ""
    yield from in_memory(digits(folder / "digits"), seconds)
    yield ""
    yield f"{max(workers)} workers; a step that sleeps:"
    yield from waiting(roots, max(workers), 4 * seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder with trainA and trainB, instead of large drawn ones")
    parser.add_argument("--count", type=int, default=128, help="pictures a side that are drawn")
    parser.add_argument("--workers", type=int, nargs="+", help="numbers of workers; 0, 1, 2, ... up to the cores")
    parser.add_argument("--seconds", type=float, default=3, help="for each figure")
    parser.add_argument("--output", type=Path, help="a text file for the report")
    chosen = parser.parse_args()
    cores = os.cpu_count() or 1
    workers = chosen.workers or [0, *(count for count in (1, 2, 4, 8, 16, 32) if count < cores), cores]
    with tempfile.TemporaryDirectory() as folder:
        keep(report(Path(folder), chosen.root, chosen.count, workers, chosen.seconds), chosen.output)


if __name__ == "__main__":
    main()
