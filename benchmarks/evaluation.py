"""Does `quagga evaluate` see what is wrong, and how long does it take?

    python benchmarks/evaluation.py --real datasets/horse2zebra --size 256 --output benchmarks/results/evaluation.txt

Pictures of which is known how good they are take the place of a run's: the real zebras of the first row, spoiled in
ways in which translations are spoiled. The seconds are those of the processor, on one thread, with reading, learning
and measuring, and without a translation, of which there is none.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time

import torch
import torch.nn.functional as F
from report import keep, processor
from torch import Tensor

from quagga.evaluation.benches.two_sides import TwoSides
from quagga.evaluation.real_pictures import open_two_folders
from quagga.evaluation.settings import Settings
from quagga.evaluation.table import shown_figure

CHANCE = torch.Generator().manual_seed(0)


def checkerboard(x: Tensor) -> Tensor:
    """Every second pixel lighter, as badly chosen strides leave it."""
    rows, columns = (torch.arange(side) % 2 for side in x.shape[-2:])
    return (x + 0.1 * (rows[:, None] ^ columns)).clamp(-1, 1)


SPOILED: dict[str, Callable[[Tensor], Tensor]] = {
    "soft (mean of 5 x 5)": lambda y: F.avg_pool2d(F.pad(y, (2,) * 4, mode="reflect"), 5, 1),
    "noisy (deviation 0.1)": lambda y: (y + 0.1 * torch.randn(y.shape, generator=CHANCE)).clamp(-1, 1),
    "washed out (half the contrast)": lambda y: y / 2,
    "colours inverted": lambda y: -y,
    "checkerboard": checkerboard,
    "one zebra for all": lambda y: y[:1].expand_as(y),
    "four zebras for all": lambda y: y[:4].repeat(len(y) // 4 + 1, 1, 1, 1)[: len(y)],
}


def rows(real: Path, size: int) -> Iterator[str]:
    """The report."""
    start = process_time()
    data = open_two_folders(str(real), size)
    sides = TwoSides(data, Settings(part="all"))
    bench = sides.bench("x", "y")
    [real_row] = bench.real.values()
    spoiled = {name: bench.make(spoil(real_row.pictures), None) for name, spoil in SPOILED.items()}
    shown = {**bench.real, **bench.nothing, **spoiled}
    listed = [measure for measure in bench.measures if not measure.title.startswith(("cycle", "change"))]
    titles = [measure.title for measure in listed]
    yield f"{size} pixels, {len(bench.names)} pictures of each; {processor()}, 1 thread, torch {torch.__version__}"
    yield f"{'':32}" + "".join(f"{title:>26}" for title in titles)
    judged = 0.0
    for name, one in shown.items():
        began = process_time()
        with torch.inference_mode():
            figures = [measure.of(one) for measure in listed]
        judged = max(judged, process_time() - began)
        cells = [
            shown_figure(measure, figure and (figure.value, figure.interval))
            for measure, figure in zip(listed, figures, strict=True)
        ]
        yield f"{name:32}" + "".join(f"{cell:>26}" for cell in cells)
        if name == next(iter(bench.nothing)):
            taken = process_time() - start
            yield f"{'':32}up to here {taken:.0f} s of the processor"
    yield f"each further row takes {judged:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="a folder with trainA, trainB, testA, testB")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep(rows(arguments.real, arguments.size), arguments.output)


if __name__ == "__main__":
    main()
