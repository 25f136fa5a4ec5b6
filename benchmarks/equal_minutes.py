"""Equal minutes: the reference implementation's networks and settings against our recipe, as long on the same machine.

Both learn the embedded horses and zebras at 64x64 from the same pictures, under the same harness (this package's data,
trainer, examination), one thread, so many CPU minutes each. A training's length in images is fixed beforehand by its
own speed, so that its rates reach 0 when its minutes end; what the first seed of a side finds holds for the others.

*theirs* is what junyanz/pytorch-CycleGAN-and-pix2pix does where nobody says otherwise: a ResNet of 9 blocks and width
64, the 70x70 PatchGAN, instance norm, batch 1, Adam at 2e-4, pool 50, weights 10, 10 and 0.5, pictures enlarged by
286/256 and cut, float32, the last weights themselves. None of its code runs here.

python benchmarks/equal_minutes.py play theirs 0 --place runs/equal    # one process a training; also: ours, seeds 1, 2
python benchmarks/equal_minutes.py report --place runs/equal --output benchmarks/results/equal_minutes.txt

`ours but networks` and its like play our recipe with one thing as theirs has it, `ours and R1` and its like with one
thing more, which neither has; for 5 minutes. `cut` and `fastcut` play another pipeline, with our networks and schedule.

A training that was stopped goes on when it is called again. After the seed come options of `quagga train`
that are to be otherwise; --name keeps such a try apart.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from time import process_time
from typing import Any

from quagga.training.hardware import device_setup

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a CPU second is a second of one thread

import torch
from report import keep, processor

from quagga.cli.options import config_parser
from quagga.data.synthetic import scenes
from quagga.data.synthetic.translation_error import baselines, measure
from quagga.inference.load import load_translator as load
from quagga.option_groups import call_flat
from quagga.pipelines import cut, cyclegan
from quagga.pipelines.core.game_protocol import Images
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
from quagga.training import train
from quagga.training.signals import Stopped

SIZE, ANIMALS, MINUTES, SEEDS, PROMISE = 64, 400, 30.0, (0, 1, 2), 0.7

SAME = {"crop_size": SIZE, "workers": 0, "samples": 1, "examined": 0, "keep": 1, "device": "cpu"}
THEIRS = {  # all of it stated, though much is `quagga train cyclegan`'s own
    "load_size": 72,
    "flip": True,
    "width": 64,
    "blocks": 9,
    "norm": "instance",
    "width_discriminator": 64,
    "layers": 3,
    "objective": "least_squares",
    "lambda_cycle": 10.0,
    "lambda_identity": 0.5,
    "pool_size": 50,
    "batch_size": 1,
    "lr": 2e-4,
    "beta1": 0.5,
    "decay": 0.5,
    "ema_halflife": 0,
    "skip": False,
    "mixed_precision": "no",
}
OURS = {
    "load_size": SIZE,
    "width": 16,
    "blocks": 3,
    "width_discriminator": 32,
    "layers": 2,
    "skip": True,
    "lambda_identity": 0.0,
    "batch_size": 4,
    "lr": 4e-4,
    "ema_halflife": 500,
}  # and the precision that this machine is quickest with, which each line of the report names
SIDES = {"theirs": THEIRS, "ours": OURS}
NETWORKS = ("width", "blocks", "width_discriminator", "layers")
BACK = {  # what makes the difference: one thing of ours goes back to theirs -> by which options
    "nothing": (),
    "networks": NETWORKS,
    "skip": ("skip",),
    "identity": ("lambda_identity",),
    "batch, rate": ("batch_size", "lr"),
    "average": ("ema_halflife",),
    "enlarging": ("load_size",),
    "precision": ("mixed_precision",),
}
BESIDES = {  # what is recommended elsewhere, and the recipe does without
    "R1": {"penalty": "r1", "lambda_penalty": 1.0},
    "augmented D": {"diffaugment": ["color", "translation", "cutout"]},
    "augmented, no colour": {"diffaugment": ["translation", "cutout"]},
    "warm-up": {"warmup": 1000},
    **{
        f"relativistic, gamma {gamma:g}": {"objective": "relativistic", "penalty": "r1_r2", "lambda_penalty": gamma / 2}
        for gamma in (0.1, 1.0, 10.0)
    },
}
ONE_WAY = {name: value for name, value in OURS.items() if name != "lambda_identity"} | {
    "width_heads": 64,  # as many as the small G's maps have channels: with 256 the heads cost more than G
    "patches": 128,
}
CUT = {"cut": ONE_WAY, "fastcut": ONE_WAY | {"lambda_X": 10.0, "lambda_Y": 0.0}}
PART_MINUTES = 5.0
PARTS = {
    **{f"ours but {what}": OURS | {name: THEIRS[name] for name in names} for what, names in BACK.items()},
    **{f"ours and {what}": OURS | more for what, more in BESIDES.items()},
}
PLAYED = SIDES | PARTS | CUT


def pipeline_of(side: str) -> Any:
    """The module of the pipeline that a side plays."""
    return cut if side in CUT else cyclegan


def resolved(side: str, said: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its options as a config, and as what each part of a training takes."""
    pipeline = pipeline_of(side)
    name = pipeline.__name__.rpartition(".")[2]
    return config_parser.resolve(name, pipeline.build, pipeline.data, said, "equal_minutes", pipeline.defaults)


def words(chosen: dict[str, Any], seed: int, images: int, place: Path, name: str) -> list[str]:
    """The command line of `quagga train PIPELINE`, from its third word on."""
    pictures = place / "pictures" / str(seed)
    if not (pictures / scenes.CARD).is_file():
        scenes.write(pictures, train=ANIMALS, size=SIZE, seed=seed)
    rare = max(1, images // 8)  # strips, curves and checkpoints cost both sides next to nothing
    often = {"log_every": rare, "sample_every": images, "save_every": 2 * rare}
    where = {"root": pictures, "x_name": "horse", "y_name": "zebra", "seed": seed, "images": images}
    all_of_it = {**SAME, **where, **often, **chosen, "output": place / name / str(seed)}
    return [
        f"--{option}={json.dumps(value) if isinstance(value, list) else value}" for option, value in all_of_it.items()
    ]


def speed(side: str, said: list[str], seconds: float) -> float:
    """CPU seconds an image, in a training that is thrown away."""
    _, split = resolved(side, said)
    rows, schedule = pipeline_of(side).data(**split["data"]), Schedule(**split["schedule"])
    accelerator = device_setup.start_accelerator("cpu", split["run"]["mixed_precision"])
    trainer = Trainer(call_flat(pipeline_of(side).build, **split["build"]), schedule, 10**9, accelerator)
    start = first = None
    for seen in trainer.play(rows.batches(0, schedule.batch_size)):
        now = process_time()
        if start is None or first is None:
            start, first = now, seen
        elif now - start > seconds:
            return (now - start) / (seen - first)
    raise AssertionError("a training of 10^9 images has ended")


class Clock:
    """The CPU seconds of a training at each strip, in a file: one that was killed counts on where it goes on."""

    def __init__(self, path: Path):
        self.path, self.start = path, process_time()
        self.known = {int(seen): float(s) for seen, s in json.loads(path.read_text()).items()} if path.exists() else {}
        self.before: float | None = None

    def __call__(self, images_seen: int, strips: dict[str, Images]) -> None:
        if self.before is None:  # the first strip of this process: what came before it was kept by a checkpoint
            earlier = [s for seen, s in self.known.items() if seen < images_seen]
            self.before = max(earlier, default=0.0)
        self.note(images_seen)

    def note(self, images_seen: int) -> None:
        before = max(self.known.values(), default=0.0) if self.before is None else self.before
        self.known[images_seen] = before + process_time() - self.start
        self.path.write_text(json.dumps(self.known))


def play(side: str, seed: int, name: str, minutes: float, place: Path, extra: list[str]) -> None:
    """One training and its examination: a file of JSON, place/results/NAME-SEED.json."""
    torch.set_num_threads(1)
    result = place / "results" / f"{name}-{seed}.json"
    if result.exists():
        print(f"{result} is there already")
        return
    chosen = PLAYED[side] | dict(word.removeprefix("--").split("=", 1) for word in extra)
    plan = place / name / "plan.json"
    plan.parent.mkdir(parents=True, exist_ok=True)
    if not plan.exists():
        each = speed(side, words(chosen, seed, 10**6, place, name), seconds=min(40.0, 6 * minutes))
        plan.write_text(json.dumps({"images": round(60 * minutes / each), "ms_per_image": 1000 * each}))
    images = json.loads(plan.read_text())["images"]
    said = words(chosen, seed, images, place, name)
    pipeline, (config, split) = pipeline_of(side), resolved(side, said)
    print(f"quagga train {config['pipeline']} " + " ".join(said), flush=True)
    clock = Clock(plan.with_name(f"clock-{seed}.json"))
    try:
        folder = train.train(config["pipeline"], pipeline.build, pipeline.data, split, config, on_strips=clock)
    except Stopped:  # saved after the last strip and before the next one
        clock.note(max(clock.known, default=0) + 1)
        raise
    error = measure(load(str(folder), to="y", device="cpu"), size=SIZE, seed=seed)
    line = {
        "name": name,
        "seed": seed,
        "images": images,
        "precision": device_setup.start_accelerator("cpu", split["run"]["mixed_precision"]).mixed_precision,
        "cpu_minutes": clock.known[max(clock.known)] / 60,
        "error": error.total,
        "background": error.background,
        "coat": error.coat,
        "options": {option: config[option] for option in (*THEIRS, *chosen) if option in config},
    }
    result.parent.mkdir(exist_ok=True)
    result.write_text(json.dumps(line, default=str) + "\n")
    print(json.dumps({key: value for key, value in line.items() if key != "options"}))


def report(place: Path) -> Iterator[str]:
    """What is there, and whether the promise is kept."""
    lines = [json.loads(path.read_text()) for path in sorted((place / "results").glob("*.json"))]
    yield f"equal minutes of one thread each, {ANIMALS} animals a side, {SIZE} pixels"
    yield f"{processor()}, no GPU, 1 thread; Python {platform.python_version()}, torch {torch.__version__}"
    if any(line["name"] in SIDES for line in lines):
        yield ""
        yield f"{MINUTES:.0f} CPU minutes"
        figures = f"{'error':>9}{'background':>12}{'coat':>8}{'untranslated':>14}"
        yield f"{'':<8}{'seed':>5}{'precision':>11}{'images':>9}{'CPU minutes':>13}{figures}"
    means = {}
    for side in SIDES:
        of = [line for line in lines if line["name"] == side]
        for line in of:
            untranslated, _ = baselines(size=SIZE, seed=line["seed"])
            precision = {"no": "float32"}.get(line["precision"], line["precision"])
            yield (
                f"{side:<8}{line['seed']:>5}{precision:>11}{line['images']:>9,}{line['cpu_minutes']:>13.1f}{line['error']:>9.3f}"
                f"{line['background']:>12.3f}{line['coat']:>8.3f}{untranslated.total:>14.3f}"
            )
        if of:
            means[side] = fmean(line["error"] for line in of)
    if means:
        yield ""
    for side, mean in means.items():
        errors = [line["error"] for line in lines if line["name"] == side]
        spread = f" +- {stdev(errors):.3f}" if len(errors) > 1 else ""
        yield f"{side}: mean error {mean:.3f}{spread} over {len(errors)} of {len(SEEDS)} seeds"
    if len(means) == 2:
        ratio = means["ours"] / means["theirs"]
        whole = sum(line["name"] in SIDES for line in lines) == len(SIDES) * len(SEEDS)
        verdict = ("kept" if ratio <= PROMISE else "NOT kept") + ("" if whole else ", so far")
        yield f"ours / theirs: {ratio:.2f}; promised: at most {PROMISE}: {verdict}"
    if any(line["name"] in PARTS for line in lines):
        yield ""
        yield f"one thing at a time as theirs has it, or more, {PART_MINUTES:.0f} CPU minutes"
        yield f"{'':<30}{'images':>9}{'CPU minutes':>13}   error, by seed"
    for name in PARTS:
        if of := [line for line in lines if line["name"] == name]:
            minutes, errors = fmean(line["cpu_minutes"] for line in of), (f"{line['error']:8.3f}" for line in of)
            yield f"{name:<30}{of[0]['images']:>9,}{minutes:>13.1f}{''.join(errors)}"
    if any(line["name"] in CUT for line in lines):
        yield ""
        yield f"one way: CUT with our networks and schedule, {PART_MINUTES:.0f} CPU minutes"
        yield f"{'':<30}{'images':>9}{'CPU minutes':>13}   error, by seed"
    for name in ["ours but nothing", *CUT] if any(line["name"] in CUT for line in lines) else []:
        if of := [line for line in lines if line["name"] == name]:
            minutes, errors = fmean(line["cpu_minutes"] for line in of), [line["error"] for line in of]
            each = "".join(f"{error:8.3f}" for error in errors)
            label = "cyclegan (ours but nothing)" if name not in CUT else name
            yield f"{label:<30}{of[0]['images']:>9,}{minutes:>13.1f}{each}   mean {fmean(errors):.3f}"
    yield ""
    yield "error = background + coat, on 128 unseen horses; untranslated: what the horse itself would score"
    for side, chosen in SIDES.items():
        yield f"{side}: " + " ".join(f"--{option} {value}" for option, value in chosen.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["play", "report"])
    parser.add_argument("side", nargs="?", choices=list(PLAYED), metavar="SIDE", help=", ".join(PLAYED))
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--name", help="what a try with other options is called; else the side's name")
    parser.add_argument("--minutes", type=float, help="CPU minutes: 30, or 5 for one thing at a time")
    parser.add_argument("--place", type=Path, default=Path("runs/equal"), help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="a text file for the report")
    chosen, extra = parser.parse_known_args()
    if chosen.task == "report":
        keep(report(chosen.place), chosen.output)
    elif chosen.side is None:
        sys.exit("say which side is to play: theirs or ours")
    else:
        name = chosen.name or chosen.side
        minutes = chosen.minutes or (MINUTES if chosen.side in SIDES else PART_MINUTES)
        play(chosen.side, chosen.seed, name, minutes, chosen.place, extra)


if __name__ == "__main__":
    main()
