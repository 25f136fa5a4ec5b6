"""Are faults named that were planted, how soon, and is nothing said of healthy runs?

    python benchmarks/diagnoses.py --place runs/diagnoses --seeds 4 --output benchmarks/results/diagnoses.txt

Each of six faults is planted in three recipes at 32 pixels, on drawn pictures; beside them every pipeline is trained as
it should be. A run is asked at every point of its curves what is wrong with it, of what had been read by then. When the
fault became visible, a curve says (`VISIBLE`), at a looser mark than the threshold by which it is named: it must be
named within 500 images x batch from there. The thresholds were fixed on the first half of the seeds; the table is of
the other half, with Wilson's intervals. What a run has read is kept in its place, so that nothing is trained twice.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch
from report import keep, processor
from torch import Tensor, nn

import quagga.training.loop
import quagga.training.train
from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.diagnoses import Point, Readings, find_faults
from quagga.diagnoses.faults import PROVEN
from quagga.diagnoses.proven import waiting_share
from quagga.evaluation.run_diagnoses import read_readings

SIZE, BATCH, LATEST = 32, 4, 500  # pixels, images of a step, and steps after the onset in which a fault is to be named
COMMON = {"batch_size": BATCH, "workers": 0, "cache": "ram", "device": "cpu", "mixed_precision": "no", "samples": 4}
COMMON |= {"ema_halflife": 200, "log_every": 100, "sample_every": 200, "save_every": 10**6, "examined": 16}
TRANSLATION = {"load_size": SIZE, "crop_size": SIZE, "width": 4, "width_discriminator": 8, "layers": 1}
SAMPLING = {"size": SIZE, "width": 8, "width_discriminator": 8}
RECIPES: dict[str, dict[str, Any]] = {
    "cyclegan": {**TRANSLATION, "blocks": 1},
    "cut": {**TRANSLATION, "blocks": 1, "width_heads": 16, "patches": 64},
    "pix2pix": {**TRANSLATION, "blocks": 3},
    "gan": SAMPLING,
    "conditional": SAMPLING,
    "stargan": {**SAMPLING, "blocks": 1, "k": 1, "skip": True},
    "vae": {"size": SIZE, "width": 8},
    "autoencoder": {"size": SIZE, "width": 8},
    "classifier": {"size": SIZE, "width": 8},
}
SETS: dict[str, scenes.Set] = {"cyclegan": "unpaired", "cut": "unpaired", "pix2pix": "pairs"}


OWN = "the fault that was planted, by any of its names"


class Fault(NamedTuple):
    """A fault that is planted: what is trained with it, how, and at what mark its curve shows it to the eye."""

    recipes: tuple[str, ...]
    options: Callable[[str, Path], dict[str, Any]]  # of a recipe and the place of the sets
    hook: Callable[[nn.Module], object] | None
    names: tuple[str, ...]  # that a diagnosis may have
    visible: Callable[[Readings], list[Point]]
    shows: Callable[[float], bool]
    images: int | None = None  # of a run, where it needs fewer: what the pictures are is seen at once


def curve(*ends: str) -> Callable[[Readings], list[Point]]:
    """The first curve of a run with one of these ends."""
    return lambda readings: next((points for end in ends for _, points in readings.named(end)), [])


def same_input(G: nn.Module) -> None:
    """G sees the first row of a batch in place of every row."""
    G.register_forward_pre_hook(lambda _, given: (given[0][:1].expand_as(given[0]).contiguous(), *given[1:]))


def pale_output(G: nn.Module) -> None:
    """G's range is a third of that of the pictures, as where these were read as 0 to 1."""
    G.register_forward_hook(lambda _, given, out: 0.3 * out + 0.3)


def near_copy(G: nn.Module) -> None:
    """G is caught at the identity: a twentieth of what it learns is added to its input."""
    G.register_forward_hook(lambda _, given, out: (given[0] + 0.05 * out).clamp(-1, 1))


def negative_output(G: nn.Module) -> None:
    """G is caught at the negative of its input: a third of what it learns is added to that."""
    G.register_forward_hook(lambda _, given, out: (0.3 * out - given[0]).clamp(-1, 1))


def colours_seen(readings: Readings) -> list[Point]:
    """How far contrast or the correlation of light and dark is from where the eye sees that it is wrong; below 0 it
    does."""
    contrast, light = curve("/contrast")(readings), {point.images: point.value for point in curve("/light")(readings)}
    return [Point(point.images, min(point.value - 0.65, light.get(point.images, 1.0) + 0.2)) for point in contrast]


def copied(place: Path) -> dict[str, Any]:
    """The same horses in two folders."""
    folder = place / "copied"
    if not folder.exists():
        folder.mkdir(parents=True)
        for file in sorted((place / "unpaired" / "trainA").glob("*.png")):
            (folder / file.name).write_bytes(file.read_bytes())
    return {"x": place / "unpaired" / "trainA", "y": folder}


def exchanged(recipe: str, place: Path) -> dict[str, Any]:
    return {"side": "right"} if recipe == "pix2pix" else copied(place)


def nothing(recipe: str, place: Path) -> dict[str, Any]:
    return {}


FROZEN = {"lr": 1e-9, "lr_discriminator": 1e-3}
FAULTS = {
    "copies": Fault(
        ("cyclegan", "cut", "pix2pix"), nothing, near_copy, ("G copies its input",), curve("/change"), lambda v: v < 0.2
    ),
    "D has won": Fault(
        ("cut", "pix2pix", "gan"),
        lambda recipe, place: FROZEN,
        None,
        ("D has won",),
        curve("/accuracy"),
        lambda v: v > 0.95,
    ),
    "modes": Fault(
        ("cut", "pix2pix", "gan"),
        nothing,
        same_input,
        ("modes have collapsed", "modes have been dropped"),
        curve("/variety"),
        lambda v: v < 0.35,
    ),
    "sides": Fault(
        ("cyclegan", "cut", "pix2pix"),
        exchanged,
        None,
        ("the sides are exchanged", "both sides hold the same pictures"),
        curve("/detail"),
        lambda v: True,
        400,
    ),
    "colours": Fault(
        ("cut", "pix2pix", "gan"),
        nothing,
        pale_output,  # and of cut negative_output
        ("colours are inverted", "colours are washed out"),
        colours_seen,
        lambda v: v < 0,
    ),
    "starved": Fault(
        ("cut", "pix2pix", "gan"), nothing, None, ("data starve the device",), waiting_share, lambda v: v > 0.25
    ),
}


@contextmanager
def planted(name: str | None, recipe: str) -> Iterator[None]:
    """Within, a game that is built has the fault, or its loader is slow."""
    build, opened = quagga.training.train.build_game, quagga.training.loop.open_batches
    hook = FAULTS[name].hook if name else None
    if name == "colours" and recipe == "cut":
        hook = negative_output

    def build_broken(*given: Any) -> Any:
        game, warnings = build(*given)
        if hook:
            for G in game.generators.values():
                hook(G) if G in {export.network for export in game.exports.values()} else None
        return game, warnings

    def slow(*given: Any) -> Iterator[dict[str, Tensor]]:
        for batch in opened(*given):
            since = time.perf_counter()
            yield batch
            time.sleep(1.5 * (time.perf_counter() - since))  # as long as the step took, and half as long again

    quagga.training.train.build_game = build_broken
    if name == "starved":
        quagga.training.loop.open_batches = slow
    try:
        yield
    finally:
        quagga.training.train.build_game, quagga.training.loop.open_batches = build, opened


def kept_file(fault: str | None, recipe: str, seed: int, images: int, place: Path) -> Path:
    """Where what a run has read is kept."""
    return place / f"{fault or 'healthy'}-{recipe}-{seed}-{images}.json".replace(" ", "_")


def play(fault: str | None, recipe: str, seed: int, images: int, place: Path) -> Readings:
    """Trains a run, or reads what one has left in its place."""
    kept = kept_file(fault, recipe, seed, images, place)
    if not kept.exists():
        options = {**COMMON, "images": images, **RECIPES[recipe], "seed": seed}
        options |= FAULTS[fault].options(recipe, place) if fault else {}
        if "x" not in options:
            options["root"] = place / SETS.get(recipe, "classes")
        run = place / "runs" / kept.stem
        words = ["train", recipe, f"--output={run}", *(f"--{name}={value}" for name, value in options.items())]
        torch.manual_seed(seed)
        with planted(fault, recipe), (place / "log.txt").open("a") as log, redirect_stdout(log):
            assert command_line(words) == 0
        readings = read_readings(run)
        config = {key: str(value) if isinstance(value, Path) else value for key, value in readings.config.items()}
        kept.write_text(json.dumps([config, readings.minibatch, readings.curves]))
    config, minibatch, curves = json.loads(kept.read_text())
    return Readings(config, minibatch, {name: [Point(*point) for point in points] for name, points in curves.items()})


def named(readings: Readings) -> dict[str, tuple[int, bool]]:
    """Name of a fault -> images seen when it was first named, and whether it is one of the six."""
    found: dict[str, tuple[int, bool]] = {}
    for images in sorted({point.images for points in readings.curves.values() for point in points}):
        until = {name: [p for p in points if p.images <= images] for name, points in readings.curves.items()}
        for fault in find_faults(Readings(readings.config, readings.minibatch, until)):
            found.setdefault(fault.name, (images, fault.proven))
    return found


def onset(readings: Readings, fault: Fault) -> int | None:
    """Images seen from which on the fault's curve shows it to the end; None: it never does."""
    since = None
    for point in fault.visible(readings):
        since = (point.images if since is None else since) if fault.shows(point.value) else None
    return since


def wilson(hits: int, count: int) -> str:
    """A share with its 95 % interval (Wilson 1927)."""
    if not count:
        return "none run"
    p, z = hits / count, 1.96
    middle, half = p + z * z / 2 / count, z * sqrt(p * (1 - p) / count + z * z / 4 / count**2)
    low, high = ((middle + sign * half) / (1 + z * z / count) for sign in (-1, 1))
    return f"{hits} of {count} ({p:.0%}, 95 % interval {max(0.0, low):.0%} to {high:.0%})"


def report(
    seeds: list[int], images: int, place: Path, faults: list[str], recipes: list[str], healthy: list[str], kept: bool
) -> Iterator[str]:
    machine = f"{processor()}, torch {torch.__version__}"
    yield f"{SIZE} pixels, batch {BATCH}, {images:,} images a run, seeds {seeds}; {machine}"
    also = "also named (hints in brackets)"
    yield f"{'planted':<12}{'recipe':<13}{'seed':>4}  {'half':<8}{'visible':>8}{'named':>8}  {also}"
    confusion: Counter[tuple[str, str]] = Counter()
    hits: Counter[tuple[str, str]] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    invisible: Counter[str] = Counter()
    half_of = {seed: "fixed" if index < (len(seeds) + 1) // 2 else "report" for index, seed in enumerate(seeds)}
    for seed in seeds:
        half = half_of[seed]
        planned = [(fault, recipe) for fault in faults for recipe in FAULTS[fault].recipes if recipe in recipes]
        for name, recipe in [*planned, *((None, recipe) for recipe in healthy)]:
            length = min(images, FAULTS[name].images or images) if name else images
            if kept and not kept_file(name, recipe, seed, length, place).exists():
                continue
            readings = play(name, recipe, seed, length, place)
            found = named(readings)
            own = [images_at for other, (images_at, _) in found.items() if name and other in FAULTS[name].names]
            visible = onset(readings, FAULTS[name]) if name else None
            others = [
                other if proven else f"({other})"
                for other, (_, proven) in found.items()
                if not (name and other in FAULTS[name].names)
            ]
            key = (half, name or "healthy")
            alarms = [other for other in others if not other.startswith("(")]
            if name and visible is None:
                invisible[name] += 1
            else:
                counts[key] += 1
                hits[key] += bool(own and min(own) <= (visible or 0) + LATEST * BATCH) if name else bool(alarms)
            if half == "report":
                for other in {*alarms, *([OWN] if own else [])}:
                    confusion[name or "healthy", other] += 1
            at = f"{'-' if visible is None else visible:>8}{min(own) if own else '-':>8}"
            yield f"{name or 'healthy':<12}{recipe:<13}{seed:>4}  {half:<8}{at}  {', '.join(others)}"
    for half in ("fixed", "report"):
        yield ""
        yield f"seeds on which thresholds were {'fixed' if half == 'fixed' else 'not fixed: the result'}"
        for name in faults:
            more = f"; {invisible[name]} runs of all seeds never showed it" if invisible[name] else ""
            yield f"  {name:<12}named in time: {wilson(hits[half, name], counts[half, name])}{more}"
        total = sum(hits[half, name] for name in faults), sum(counts[half, name] for name in faults)
        yield f"  {'all':<12}named in time: {wilson(*total)}"
        yield f"  {'healthy':<12}false alarm:   {wilson(hits[half, 'healthy'], counts[half, 'healthy'])}"
    columns = sorted({other for _, other in confusion}, key=lambda other: (other != OWN, other))
    yield ""
    yield "confusion, on the reported half: planted (rows), named at any time (columns)"
    for number, other in enumerate(columns, 1):
        yield f"  {number}: {other}"
    yield f"  {'':<12}" + "".join(f"{number:>5}" for number in range(1, len(columns) + 1))
    for name in [*faults, "healthy"]:
        yield f"  {name:<12}" + "".join(f"{confusion[name, other]:>5}" for other in columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", type=Path, default=Path("runs/diagnoses"))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first_seed", type=int, default=0, help="to run some elsewhere at the same time")
    parser.add_argument("--images", type=int, default=1600, help="of each run; 1,200 pass before anything is said")
    parser.add_argument("--kept", action="store_true", help="train nothing: report the runs that are in the place")
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES), help="with a fault")
    parser.add_argument("--healthy", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    assert len(PROVEN) == len(FAULTS)
    for kind in ("unpaired", "pairs", "classes"):
        scenes.write(chosen.place / kind, kind=kind, size=SIZE, train=200, test=40)
    seeds = list(range(chosen.first_seed, chosen.first_seed + chosen.seeds))
    about = chosen.faults, chosen.recipes, chosen.healthy
    lines = report(seeds, chosen.images, chosen.place, *about, chosen.kept)
    keep(lines, chosen.output)


if __name__ == "__main__":
    main()
