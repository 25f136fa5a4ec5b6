"""What a larger batch costs and gains: the same number of images in steps of 1, 4, 16 and 64, with and without a rule;
and with more images, as a larger batch has the time for.

The demo's CycleGAN on the embedded horses and zebras, all of it alike but the batch and what is said of the rates. Each
training is a process, so that its peak of memory is its own; what is there already is not played again.

python benchmarks/batch_size.py all --place runs/batch --seeds 0 1 2 --output benchmarks/results/batch_size.txt
python benchmarks/batch_size.py report --place runs/batch

After the task come options of `quagga train cyclegan` that all trainings are to share: --width=64 --device=cuda.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import fmean, stdev
from time import perf_counter, process_time
from typing import Any

from quagga.training.hardware import device_setup

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a CPU second is a second of one thread

import torch
from report import keep, processor

from quagga.cli.demo import RECIPE, SIZE
from quagga.cli.options import config_parser
from quagga.data.synthetic import scenes
from quagga.data.synthetic.translation_error import baselines, measure
from quagga.inference.load import load_translator as load
from quagga.pipelines import cyclegan
from quagga.training import train

IMAGES, ANIMALS = 3200, 400
WARMUP = IMAGES // 10
BASE = {**RECIPE, "lr": 2e-4, "workers": 0, "device": "cpu"}  # lr: the paper's, at its batch of 1
ROWS: dict[str, dict[str, Any]] = {  # what a row of the table says -> what is otherwise
    "1": {"batch_size": 1},
    "4": {"batch_size": 4},
    "16": {"batch_size": 16},
    "64": {"batch_size": 64},
    "4, sqrt": {"batch_size": 4, "lr_rule": "sqrt", "warmup": WARMUP},
    "16, sqrt": {"batch_size": 16, "lr_rule": "sqrt", "warmup": WARMUP},
    "64, sqrt": {"batch_size": 64, "lr_rule": "sqrt", "warmup": WARMUP},
    "16, linear": {"batch_size": 16, "lr_rule": "linear", "warmup": WARMUP},
    "64, linear": {"batch_size": 64, "lr_rule": "linear", "warmup": WARMUP},
    "16 of 4 x 4, sqrt": {"batch_size": 4, "accumulation": 4, "lr_rule": "sqrt", "warmup": WARMUP},
    "4, sqrt, 2 x images": {"batch_size": 4, "lr_rule": "sqrt", "warmup": WARMUP, "images": 2 * IMAGES},
    "16, sqrt, 4 x images": {"batch_size": 16, "lr_rule": "sqrt", "warmup": WARMUP, "images": 4 * IMAGES},
}


def play(row: str, seed: int, place: Path, extra: list[str]) -> None:
    """One training and its examination: a file of JSON, place/results/ROW-SEED.json."""
    torch.set_num_threads(1)
    pictures = place / "pictures" / str(seed)
    if not (pictures / scenes.CARD).is_file():
        scenes.write(pictures, train=ANIMALS, size=SIZE, seed=seed)
    rare = {"log_every": IMAGES // 4, "sample_every": IMAGES // 2, "save_every": IMAGES, "samples": 1, "examined": 0}
    where = {"root": pictures, "x_name": "horse", "y_name": "zebra", "seed": seed, "images": IMAGES}
    chosen = {**BASE, **rare, **where, **ROWS[row], "output": place / f"{row} {seed}"}
    said = [*(f"--{name}={value}" for name, value in chosen.items()), *extra]
    config, split = config_parser.resolve("cyclegan", cyclegan.build, cyclegan.data, said, "batch_size")
    on_gpu = config["device"] == "cuda"
    clock, strips_at = (perf_counter if on_gpu else process_time), []

    def watch(images_seen: int, strips: object) -> None:
        strips_at.append((images_seen, clock()))

    folder = train.train("cyclegan", cyclegan.build, cyclegan.data, split, config, on_strips=watch)
    seen, end = strips_at[-1]
    half, start = next(strip for strip in strips_at if strip[0] >= seen / 2)  # what compiles has done so by then
    memory = torch.cuda.max_memory_allocated() if on_gpu else 1024 * getrusage(RUSAGE_SELF).ru_maxrss
    error = measure(load(str(folder), to="y"), size=SIZE, seed=seed)
    line = {
        "row": row,
        "seed": seed,
        "rate": (seen - half) / (end - start),
        "memory": memory,
        "error": error.total,
        "precision": device_setup.start_accelerator(config["device"], config["mixed_precision"]).mixed_precision,
        "options": {name: config[name] for name in (*BASE, "images", *ROWS[row])},
    }
    (place / "results").mkdir(exist_ok=True)
    (place / "results" / f"{row}-{seed}.json").write_text(json.dumps(line) + "\n")
    print(line)


def report(place: Path) -> Iterator[str]:
    """The table of what is there."""
    lines = [json.loads(path.read_text()) for path in sorted((place / "results").glob("*.json"))]
    if not lines:
        yield f"nothing in {place} yet"
        return
    of = lines[0]["options"]
    cuda = of["device"] == "cuda"
    where = torch.cuda.get_device_name() if cuda else f"{processor()}, no GPU, 1 thread"
    yield f"the demo's recipe, {IMAGES:,} images, {ANIMALS} animals a side, {SIZE} pixels; lr {of['lr']:g} at batch 1"
    yield f"{where}, mixed precision: {lines[0]['precision']}"
    yield f"Python {platform.python_version()}, torch {torch.__version__}"
    yield ""
    unit = "images/s" if cuda else "images a CPU second"
    yield f"{'batch':<20}{'lr':>9}{'steps':>7}{unit:>21}{'peak MiB':>10}{'error':>8}{'+-':>7}{'seeds':>7}"
    for row, changed in ROWS.items():
        found = [line for line in lines if line["row"] == row]
        if not found:
            continue
        errors = [line["error"] for line in found]
        batch = changed["batch_size"] * changed.get("accumulation", 1)
        steps = -(-changed.get("images", IMAGES) // batch)
        times = {"sqrt": batch**0.5, "linear": batch}.get(changed.get("lr_rule", ""), 1)
        rate, memory = fmean(line["rate"] for line in found), max(line["memory"] for line in found) / 2**20
        yield (
            f"{row:<20}{of['lr'] * times:>9.1e}{steps:>7}{rate:>21.1f}{memory:>10.0f}"
            f"{fmean(errors):>8.3f}{stdev(errors) if len(errors) > 1 else 0:>7.3f}{len(errors):>7}"
        )
    seeds = {line["seed"] for line in lines}
    untranslated = fmean(baselines(size=SIZE, seed=seed)[0].total for seed in seeds)
    yield ""
    yield f"error: on 128 unseen horses, mean and standard deviation over seeds; of the horse itself {untranslated:.3f}"
    yield "peak: of the whole process, torch itself included" if not cuda else "peak: of what torch holds on the GPU"
    yield f"{unit}: of the second half of a training"
    yield f"sqrt, linear: --lr_rule, with --warmup {WARMUP}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["all", "play", "report"])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--place", type=Path, default=Path("runs/batch"), help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="a text file for the table")
    chosen, extra = parser.parse_known_args()
    for seed, row in [(seed, row) for seed in chosen.seeds for row in chosen.rows]:
        if chosen.task == "play":
            play(row, seed, chosen.place, extra)
        elif chosen.task == "all" and not (chosen.place / "results" / f"{row}-{seed}.json").exists():
            this = ["play", "--rows", row, "--seeds", str(seed), "--place", str(chosen.place), *extra]
            subprocess.run([sys.executable, __file__, *this], check=True)
    if chosen.task != "play":
        keep(report(chosen.place), chosen.output)


if __name__ == "__main__":
    main()
