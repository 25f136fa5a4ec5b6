"""The translation error of `quagga demo` for several seeds, beside its baselines, and how long the whole demo takes.

python benchmarks/demo.py --seeds 0 1 2
python benchmarks/demo.py --seeds 0 1 2 --precisions no bf16 --output benchmarks/results/demo.txt

With several precisions every seed is trained in each, one after the other. Promise: the error with products in bf16 is
at most 1.05 x that of float32, in the mean over the seeds.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter

import torch
from report import keep, processor

from quagga.cli.demo import SIZE, DemoOptions
from quagga.data.synthetic.translation_error import TranslationError, baselines, measure
from quagga.inference.load import load_translator as load
from quagga.training.option_comparison import precision_name

PROMISED = 1.05  # bf16's translation error in float32's


def report(seeds: list[int], precisions: list[str | None], place: Path | None, extra: list[str]) -> Iterator[str]:
    default = DemoOptions()
    said = f"quagga demo {' '.join(extra)}".strip()
    yield f"{said}: {default.images:,} images, {default.animals} animals a side, {SIZE} pixels"
    yield f"{processor()}, {torch.get_num_threads()} threads"
    yield f"Python {platform.python_version()}, torch {torch.__version__}"
    yield ""
    yield "seed  products in     error  background    coat  untranslated   floor  seconds"
    errors: dict[str | None, list[float]] = {precision: [] for precision in precisions}
    for seed in seeds:
        untranslated, floor = baselines(size=SIZE, seed=seed)
        for precision in precisions:
            with tempfile.TemporaryDirectory() as temporary:
                folder = (place or Path(temporary)) / f"{seed}_{precision or 'default'}"
                error, seconds = one(seed, precision, folder, extra)
            errors[precision].append(error.total)
            yield (
                f"{seed:<6}{called(precision):<13}{error.total:>8.3f}{error.background:>12.3f}{error.coat:>8.3f}"
                f"{untranslated.total:>14.3f}{floor.total:>8.3f}{seconds:>9.0f}"
            )
    yield ""
    for precision, found in errors.items():
        spread = f" +- {stdev(found):.3f}" if len(found) > 1 else ""
        yield f"{called(precision)}: {mean(found):.3f}{spread} over {len(found)} seeds"
    if {"no", "bf16"} <= errors.keys():
        ratio = mean(errors["bf16"]) / mean(errors["no"])
        yield f"bf16 / float32: {ratio:.3f} (at most {PROMISED}: {'kept' if ratio <= PROMISED else 'not kept'})"
    yield "error = background + coat, on 128 unseen horses; +- standard deviation"
    yield "seconds: the whole command, installation apart"


def called(precision: str | None) -> str:
    return precision_name(precision) if precision else "the default"


def one(seed: int, precision: str | None, folder: Path, extra: list[str]) -> tuple[TranslationError, float]:
    """Plays one demo in a process of its own: the error of its averaged weights, and the seconds it took."""
    environment = os.environ | ({"ACCELERATE_MIXED_PRECISION": precision} if precision else {})
    words = ["demo", "--output", f"{folder}/demo", "--seed", str(seed), "--device", "cpu", *extra]
    start = perf_counter()
    subprocess.run([sys.executable, "-m", "quagga", *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds = perf_counter() - start
    return measure(load(f"{folder}/demo", to="y", device="cpu"), size=SIZE, seed=seed), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--precisions", choices=["no", "bf16"], nargs="+", help="default: what the demo takes here")
    parser.add_argument("--output", type=Path, help="a text file for the table")
    parser.add_argument("--keep", type=Path, help="a folder in which the demos are kept; else they are removed")
    chosen, extra = parser.parse_known_args()
    keep(report(chosen.seeds, chosen.precisions or [None], chosen.keep, extra), chosen.output)


if __name__ == "__main__":
    main()
