"""The translation error of `quagga demo` for several seeds, beside its baselines, and how long the whole demo takes.

python benchmarks/demo.py --seeds 0 1 2 --output benchmarks/results/demo.txt
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import torch
from report import keep, processor

from quagga.data.translation_error import baselines, measure
from quagga.pipelines.demo import SIZE, DemoOptions
from quagga.pipelines.load import load_translator as load


def report(seeds: list[int], place: Path | None, extra: list[str]) -> Iterator[str]:
    default = DemoOptions()
    said = f"quagga demo {' '.join(extra)}".strip()
    yield f"{said}: {default.images:,} images, {default.animals} animals a side, {SIZE} pixels"
    yield f"{processor()}, {torch.get_num_threads()} threads"
    yield f"Python {platform.python_version()}, torch {torch.__version__}"
    yield ""
    yield f"{'seed':<6}{'error':>8}{'background':>12}{'coat':>8}{'untranslated':>14}{'floor':>8}{'seconds':>9}"
    for seed in seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = place / str(seed) if place else Path(temporary)
            start = perf_counter()
            words = ["demo", "--output", f"{folder}/demo", "--seed", str(seed), "--device", "cpu", *extra]
            subprocess.run([sys.executable, "-m", "quagga", *words], check=True, stdout=subprocess.DEVNULL)
            seconds = perf_counter() - start
            error = measure(load(f"{folder}/demo", to="y", device="cpu"), size=SIZE, seed=seed)
        untranslated, floor = baselines(size=SIZE, seed=seed)
        yield (
            f"{seed:<6}{error.total:>8.3f}{error.background:>12.3f}{error.coat:>8.3f}"
            f"{untranslated.total:>14.3f}{floor.total:>8.3f}{seconds:>9.0f}"
        )
    yield ""
    yield "error = background + coat, on 128 unseen horses; seconds: the whole command, installation apart"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="a text file for the table")
    parser.add_argument("--keep", type=Path, help="a folder in which the demos are kept; else they are removed")
    chosen, extra = parser.parse_known_args()
    keep(report(chosen.seeds, chosen.keep, extra), chosen.output)


if __name__ == "__main__":
    main()
