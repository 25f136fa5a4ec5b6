"""How long `quagga.load` of one translator takes, beside another revision.

    python benchmarks/loading.py --base 3c296f5 --output benchmarks/results/loading.txt

A model with the paper's networks is written by each revision. Processes, one of each tree by turns, import torch and
time what comes after it: `import quagga` and `quagga.load(run, to="zebra", device="cpu")`. Seconds of the CPU are given
beside those that one waits, as they are steadier where other work is done. Promise, of the CPU's: at most 0.6 x the
other revision's median.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
from report import keep, processor
from same_as import ROOT, checked_out, environment

PROMISE = 0.6  # times the other revision's seconds
WRITE = """
import sys, torch, quagga
from quagga.pipelines import cyclegan
torch.manual_seed(0)
try:
    from quagga.option_groups import call_flat
    game = call_flat(cyclegan.build, width=int(sys.argv[2]))
except ImportError:  # a revision before groups of options
    game = cyclegan.build(width=int(sys.argv[2]))
about = {"domains": {"x": {"name": "horse", "channels": 3}, "y": {"name": "zebra", "channels": 3}}, "images_seen": 0}
about |= {"pipeline": "cyclegan", "options": {"width": int(sys.argv[2])}}
about |= {"preprocessing": {"load_size": 286, "crop_size": 256, "fit": "crop"}}
from pathlib import Path
try:
    from quagga.inference.model_files.model_saving import save_model
    save_model(Path(sys.argv[1], "model"), exports=game.exports, **about)
except ImportError:  # a revision before rooms and exports
    from importlib import import_module
    save_model = import_module("quagga.pipelines." + "model_folder").save_model
    save_model(Path(sys.argv[1], "model"), networks=game.generators, translations=game.translations, **about)
"""
LOAD = """
import sys, torch
from time import perf_counter, process_time
start, worked = perf_counter(), process_time()
import quagga
quagga.load(sys.argv[1], to="zebra", device="cpu")
print(process_time() - worked, perf_counter() - start)
"""


def run_in(tree: Path, program: str, *words: object) -> str:
    """Runs a program with a tree's package; returns what it prints."""
    line = [sys.executable, "-c", program, *map(str, words)]
    ran = subprocess.run(line, cwd=tree, env=environment(tree), capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"in {tree}: {ran.stderr[-2000:]}")
    return ran.stdout


def report(base: str, rounds: int, width: int) -> Iterator[str]:
    with checked_out(base) as there, tempfile.TemporaryDirectory() as folder:
        trees = {"here": ROOT, base: there}
        runs = {name: Path(folder, name) for name in trees}
        for name, tree in trees.items():
            run_in(tree, WRITE, runs[name], width)
            run_in(tree, LOAD, runs[name])  # fills the caches
        taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in trees}
        for number in range(rounds):
            for name in list(trees)[:: 1 if number % 2 else -1]:
                taken[name].append(tuple(map(float, run_in(trees[name], LOAD, runs[name]).split())))
    yield f"{'':<10}{'CPU':<28}{'waited':<28}"
    ratios = []
    for name, times in taken.items():
        columns = list(zip(*times, strict=True))
        yield f"{name:<10}" + "".join(f"{f'{median(s):.3f} s ({min(s):.3f} to {max(s):.3f})':<28}" for s in columns)
        ratios.append([median(column) for column in columns])
    cpu, waited = (here / there for here, there in zip(*ratios, strict=True))
    yield f"here / {base}: {cpu:.2f} of the CPU's, {waited:.2f} of those that one waits"
    yield f"promise: at most {PROMISE}, {'kept' if cpu <= PROMISE else 'NOT KEPT'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="the revision to compare with")
    parser.add_argument("--rounds", type=int, default=9, help="processes of each tree")
    parser.add_argument("--width", type=int, default=64, help="of the two ResNets")
    parser.add_argument("--output", type=Path, help="text file to write the report to as well")
    arguments = parser.parse_args()
    head = f"quagga.load of one translator, after `import torch`, medians of {arguments.rounds} processes by turns\n"
    head += f"{processor()}; Python {platform.python_version()}, torch {torch.__version__}\n\n"
    keep(report(arguments.base, arguments.rounds, arguments.width), arguments.output, head)


if __name__ == "__main__":
    main()
