"""The translation error of `quagga demo` for several seeds, beside its baselines, and how long the whole demo takes.

python benchmarks/demo.py --seeds 0 1 2 --output benchmarks/results/demo.txt
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import torch

from quagga.data.translation_error import baselines, measure
from quagga.pipelines.demo import SIZE, DemoOptions
from quagga.pipelines.load import load_translator as load


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def report(seeds: list[int], keep: Path | None, extra: list[str]) -> list[str]:
    default = DemoOptions()
    lines = [
        f"quagga demo {' '.join(extra)}".strip()
        + f": {default.images:,} images, {default.animals} animals a side, {SIZE} pixels",
        f"{processor()}, {torch.get_num_threads()} threads",
        f"Python {platform.python_version()}, torch {torch.__version__}",
        "",
        f"{'seed':<6}{'error':>8}{'background':>12}{'coat':>8}{'untranslated':>14}{'floor':>8}{'seconds':>9}",
    ]
    for seed in seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = keep / str(seed) if keep else Path(temporary)
            start = perf_counter()
            words = ["demo", "--output", f"{folder}/demo", "--seed", str(seed), "--device", "cpu", *extra]
            subprocess.run([sys.executable, "-m", "quagga", *words], check=True, stdout=subprocess.DEVNULL)
            seconds = perf_counter() - start
            error = measure(load(f"{folder}/demo", to="y", device="cpu"), size=SIZE, seed=seed)
        untranslated, floor = baselines(size=SIZE, seed=seed)
        lines.append(
            f"{seed:<6}{error.total:>8.3f}{error.background:>12.3f}{error.coat:>8.3f}"
            f"{untranslated.total:>14.3f}{floor.total:>8.3f}{seconds:>9.0f}"
        )
        print(lines[-1], flush=True)
    lines += ["", "error = background + coat, on 128 unseen horses; seconds: the whole command, installation apart"]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="a text file for the table")
    parser.add_argument("--keep", type=Path, help="a folder in which the demos are kept; else they are removed")
    chosen, extra = parser.parse_known_args()
    text = "\n".join(report(chosen.seeds, chosen.keep, extra)) + "\n"
    print(text)
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(text)


if __name__ == "__main__":
    main()
