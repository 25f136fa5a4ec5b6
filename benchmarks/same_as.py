"""Does this tree compute what another revision computed, bit for bit, and is a step as fast?

    python benchmarks/same_as.py --base 4cf297d

The revision is checked out into a temporary folder. Every game is played there and here by the command line, 48 images
from one seed, and what the two runs leave is compared: weights, averages, optimiser states, pools and all points of all
curves. Then two processes, one of each tree, take steps by turns; the ratio of their times (this tree over the other)
is given with its 95 % interval. The exit code is 1 where a bit differs.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from report import keep, processor
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

ROOT = Path(__file__).parents[1]
STEPS, BATCH = 24, 2
COMMON = (
    f"--images {STEPS * BATCH} --batch_size {BATCH} --device cpu --mixed_precision no --workers 0 --log_every 4"
    " --sample_every 20 --save_every 20 --width 4 --width_discriminator 4"
)
TRANSLATION = "--load_size 20 --crop_size 16 --layers 1"
NOISE = "--size 16 --z_size 8"
GAMES = {  # title -> what is typed after `quagga train`
    "cyclegan": f"cyclegan --root loose {TRANSLATION} --blocks 2 --pool_size 3 --diffaugment [color,cutout]",
    "cyclegan with pairs": f"cyclegan --x left --y right --pairs pairs.csv {TRANSLATION} --blocks 1 --penalty r1",
    "cyclegan, accumulation": f"cyclegan --root loose {TRANSLATION} --blocks 1 --accumulation 2 --k 2 --warmup 8",
    "pix2pix": f"pix2pix --x left --y right {TRANSLATION}",
    "pix2pix of edges": f"pix2pix --y right --x_as edges {TRANSLATION} --generator resnet --blocks 1",
    "gan conv": f"gan --root loose/trainA {NOISE} --spectral true --objective hinge",
    "gan mlp": f"gan --root loose/trainA {NOISE} --network mlp --widths [8] --widths_discriminator [8]",
    "conditional by class": f"conditional --root classes {NOISE} --width_condition 4 --norm conditional_batch",
    "conditional by attributes": (
        f"conditional --table attributes.csv --condition attributes {NOISE} --width_condition 4 --joining projection"
    ),
    "conditional by caption": f"conditional --table captions.csv --condition caption {NOISE} --width_condition 4",
}
TIMED = {  # title -> what `stepping.Setting` is told
    "cyclegan": "pipeline='cyclegan', size=32, width=8, build=dict(blocks=2, width_discriminator=8)",
    "pix2pix": "pipeline='pix2pix', size=32, width=8, build=dict(width_discriminator=8)",
    "gan": "pipeline='gan', size=32, batch_size=4, width=8, build=dict(width_discriminator=8)",
    "conditional": "pipeline='conditional', size=32, batch_size=4, width=8, build=dict(width_discriminator=8)",
}
VARIES = ("config", "intervals")  # parts of a checkpoint's state: folders and seconds stand in them
ROUNDS, IN_A_ROW, BOUND = 40, 5, 1.05


# -- the other tree, and what both are given ---------------------------------------------------------------------------


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A folder with the files of a revision; it is removed at the end."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "base"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def environment(tree: Path) -> dict[str, str]:
    """In which `import quagga` is this tree's, and one thread computes."""
    path = os.pathsep.join([str(tree / "src"), str(tree / "benchmarks")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "ACCELERATE_MIXED_PRECISION": "no"}


def draw(folder: Path, count: int = 10, side: int = 24) -> None:
    """Pictures that no tree of ours has drawn: blocks of colour, by folders, in pairs and in tables."""
    rng = np.random.default_rng(0)

    def picture(name: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path)

    for n in range(count):
        for place in ("loose/trainA", "loose/trainB", "loose/testA", "loose/testB", "left", "right"):
            picture(f"{place}/{n}.png")
        for name in ("horse", "quagga", "zebra"):
            picture(f"classes/{name}/{n}.png")
    pairs = ["x,y", *(f"left/{n}.png,right/{n}.png" for n in range(0, count, 2))]
    attributes = ["file,striped,grazing", *(f"left/{n}.png,{n % 2},{n // 2 % 2}" for n in range(count))]
    words = ("a striped horse", "a horse grazing", "one zebra by night")
    captions = ["file,caption", *(f"left/{n}.png,{words[n % 3]}" for n in range(count))]
    for name, lines in {"pairs": pairs, "attributes": attributes, "captions": captions}.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


# -- the same numbers --------------------------------------------------------------------------------------------------


def played(tree: Path, words: str, folder: Path, output: Path) -> dict[str, Any]:
    """What a run of a tree leaves: the tensors and numbers of its last checkpoint, and the points of its curves."""
    line = [sys.executable, "-m", "quagga", "train", *words.split(), *COMMON.split(), "--output", str(output)]
    ran = subprocess.run(line, cwd=folder, env=environment(tree), capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{' '.join(line)}\nended with {ran.returncode} in {tree}: {ran.stderr[-2000:]}")
    newest = max((output / "checkpoints").iterdir(), key=lambda path: path.name)
    found: dict[str, Any] = {}
    gather("", json.loads((newest / "state.json").read_text()), load_file(newest / "tensors.safetensors"), found)
    events = EventAccumulator(str(output), size_guidance={"scalars": 0})
    events.Reload()
    for tag in events.Tags()["scalars"]:
        if not tag.startswith("speed/"):
            found[f"curve {tag}"] = [(point.step, point.value) for point in events.Scalars(tag)]
    for path in sorted((output / "model").glob("*.safetensors")):
        if path.name != "golden.safetensors":  # its inputs are drawn, by a rule that may change
            found |= {f"model {path.name} {name}": tensor for name, tensor in load_file(path).items()}
    return found


def gather(name: str, value: Any, tensors: dict[str, Tensor], found: dict[str, Any]) -> None:
    """Every number and tensor of a checkpoint's state.json by the path that leads to it."""
    if not isinstance(value, dict):
        found[name] = value
        return
    [(kind, content)] = value.items()
    if kind == "tensor":
        found[name] = tensors[content]
        return
    items = content if kind == "dict" else enumerate(content)
    for key, item in items:
        if name or key not in VARIES:
            gather(f"{name}/{key}", item, tensors, found)


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of what is not the same on both sides, to the bit, or on one side only."""
    return sorted(name for name in one.keys() | other.keys() if bits(one.get(name)) != bits(other.get(name)))


def bits(value: Any) -> object:
    """What tells two values apart: of tensors form, kind and bytes."""
    if isinstance(value, Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    return repr(value)  # in which nan equals nan


# -- the same speed ----------------------------------------------------------------------------------------------------

STEPPER = """
import sys
from stepping import Setting, milliseconds, ours
step = ours(Setting({setting}))
milliseconds(step, "cpu", 5)
print("ready", flush=True)
for line in sys.stdin:
    print(milliseconds(step, "cpu", int(line)), flush=True)
"""


class Stepper:
    """A process in which a tree's trainer takes steps when it is told."""

    def __init__(self, tree: Path, setting: str):
        program = [sys.executable, "-c", STEPPER.format(setting=setting)]
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(program, env=environment(tree), cwd=tree, **streams)
        self._answer()

    def milliseconds(self, steps: int) -> float:
        """Of one step, over so many in a row."""
        assert self.process.stdin
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a process that took steps has died; its message stands above")
        return line

    def __enter__(self) -> "Stepper":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def by_turns(here: Stepper, there: Stepper, rounds: int) -> list[tuple[float, float]]:
    """Milliseconds of a step of both, measured right after one another, each the first every other time."""
    found = []
    for number in range(rounds):
        if number % 2:
            b = there.milliseconds(IN_A_ROW)
            found.append((here.milliseconds(IN_A_ROW), b))
        else:
            a = here.milliseconds(IN_A_ROW)
            found.append((a, there.milliseconds(IN_A_ROW)))
    return found


def ratio(pairs: list[tuple[float, float]], draws: int = 2000) -> tuple[float, float, float]:
    """The median ratio of pairs of times, and its 95 % interval by the bootstrap."""
    logs = np.log([a / b for a, b in pairs])
    chosen = np.random.default_rng(0).integers(0, len(logs), (draws, len(logs)))
    low, high = np.quantile(np.median(logs[chosen], axis=1), [0.025, 0.975])
    return math.exp(float(np.median(logs))), math.exp(float(low)), math.exp(float(high))


# -- the report --------------------------------------------------------------------------------------------------------


class Report:
    """Its lines as they come, and in the end whether every bit was the same.

    Args:
        tree: the other tree.
        rounds: turns of the timing; 0 leaves it out.
        games: of those in GAMES.
    """

    def __init__(self, tree: Path, rounds: int, games: dict[str, str]):
        self.tree, self.rounds, self.games = tree, rounds, games
        self.same = True

    def lines(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            draw(folder)
            yield f"{'game':28}{'compared':>10}{'differing':>11}   ({STEPS * BATCH} images, to the bit)"
            for number, (title, words) in enumerate(self.games.items()):
                here = played(ROOT, words, folder, folder / f"here{number}")
                there = played(self.tree, words, folder, folder / f"there{number}")
                different = differing(here, there)
                self.same &= not different
                some = f"   {', '.join(different[:3])}" if different else ""
                yield f"{title:28}{len(here.keys() | there.keys()):>10}{len(different):>11}{some}"
        if self.rounds:
            yield ""
            yield f"{'pipeline':28}{'here':>10}{'there':>11}   ms a step; ratio (95 % interval), to stay below {BOUND}"
        for title, setting in TIMED.items() if self.rounds else ():
            with Stepper(ROOT, setting) as a, Stepper(self.tree, setting) as b:
                pairs = by_turns(a, b, self.rounds)
            middle, low, high = ratio(pairs)
            times = "".join(
                f"{float(np.median(column)):>{width}.2f}"
                for column, width in zip(zip(*pairs, strict=True), (10, 11), strict=True)
            )
            yield f"{title:28}{times}   {middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="the revision to compare with")
    parser.add_argument("--only", help="those games alone whose title begins so")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of the timing; 0 leaves it out")
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    games = {title: words for title, words in GAMES.items() if title.startswith(arguments.only or "")}
    name = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", arguments.base], check=True, capture_output=True, text=True
    ).stdout.strip()
    with checked_out(name) as tree:
        report = Report(tree, arguments.rounds, games)
        keep(report.lines(), arguments.output, f"This tree beside {name}, one thread of {processor()}\n\n")
    return 0 if report.same else 1


if __name__ == "__main__":
    sys.exit(main())
