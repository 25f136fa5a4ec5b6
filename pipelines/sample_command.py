"""`quagga sample`: pictures of noise and conditions, walks between them, sums, and the way back from a photo."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quagga import BadInput
from quagga.names import for_libraries
from quagga.pipelines.existing import Existing, kept
from quagga.pipelines.words import named, read_line

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from quagga.pipelines.sampler import Sampler

FLAGS = ("--grid", "--overwrite", "--verify")  # mean true where they stand without a value
IDLE = {  # what a task does not heed
    "walk": ("count", "seed"),
    "arithmetic": ("count", "seed", "truncation", "frames"),
    "invert": ("count", "seed", "truncation"),
    "grid": ("frames",),
}
YARDSTICK = 32  # samples that an inverted picture is compared with
CALLED = 220  # bytes of a condition in a file's name, which may have 255, with a seed of 19 digits and a suffix
STRIP = 9  # pictures of a walk that are kept side by side


@dataclass(frozen=True)
class SampleOptions:
    """Make pictures with what a run has left, of noise and, where it was trained with one, of a condition.

    Args:
        output: folder for the pictures, which must be named.
        label: the class of the pictures, or several, such as '[3, 7]'; None lets the classes take turns.
        attributes: what they shall have, such as 'smiling,blond' or 'age=0.3', or several such, as in
            '["smiling,blond", smiling]'; what is not named is 0; none for none.
        caption: the sentence they shall show, or several, such as '[red eyes, blue eyes]'.
        count: pictures; of several conditions, and with --grid of the classes, pictures of each, of the same seeds.
        seed: picture n is of seed + n. The same seed and condition make the same picture.
        truncation: keeps every number of the noise within this distance of 0: more typical pictures, less diverse ones,
            such as 0.7; None leaves them.
        grid: one sheet, grid.png, in place of a file a picture; a column for each condition, or for each class where
            none is named.
        walk: seeds such as 3,17,42 to walk between; writes walk.png, a strip, and a film.
        frames: pictures of the film from one seed to the next.
        film: gif, mp4 or none.
        arithmetic: a sum of means of seeds, such as '1,4,9 - 2,3,5 + 7,8,11'; writes arithmetic.png, its terms and its
            result with the surroundings.
        invert: a picture, a folder of them, or several, '[one.png, two.png]', whose noise is looked for; writes
            inverted.png, each beside the nearest the model can make, and with two or more a walk between them.
        steps: of that search.
        existing: what becomes of outputs that are there already: error refuses before any work, skip leaves them and
            makes the others (so a call that was stopped goes on), overwrite replaces them.
        device: such as cuda, cuda:1, mps or cpu; None takes the best there is.
        verify: first replay what was saved with the model, and stop if it no longer comes out the same.
    """

    output: str | None = None
    label: str | None = None
    attributes: str | None = None
    caption: str | None = None
    count: int = 16
    seed: int = 0
    truncation: float | None = None
    grid: bool = False
    walk: str | None = None
    frames: int = 16
    film: Literal["gif", "mp4", "none"] = "gif"
    arithmetic: str | None = None
    invert: str | None = None
    steps: int = 300
    existing: Existing = "error"
    device: str | None = None
    verify: bool = False


def main(argv: Sequence[str], build: Callable[..., Any] | None = None) -> int:
    """Obeys `quagga sample RUN --output DIR ...`; returns 0.

    Args:
        argv: `RUN --output DIR [--label 7 | --attributes smiling,blond | --caption "red eyes"] [--count 16] ...`.
        build: Makes the game of a pipeline written outside Quagga.
    """
    words, chosen = read_line(argv, "quagga sample RUN", SampleOptions, FLAGS)
    if chosen is None:
        return 0
    if len(words) != 1:
        raise BadInput("name one run: quagga sample RUN --output DIR")
    if chosen.output is None:
        raise BadInput("name the folder for the pictures: --output DIR")
    for name, number, least in (("count", chosen.count, 1), ("frames", chosen.frames, 2), ("steps", chosen.steps, 1)):
        if number < least:
            raise BadInput(f"{name} is {number}: it must be {least} or more")
    tasks = [name for name in ("walk", "arithmetic", "invert") if getattr(chosen, name) is not None]
    tasks += ["grid"] if chosen.grid else []
    if len(tasks) > 1:
        raise BadInput(f"--{tasks[0]} and --{tasks[1]} are two things: ask for one at a time")
    for task, idle in IDLE.items():
        for name in idle if task in tasks else ():
            if getattr(chosen, name) != getattr(SampleOptions, name):
                raise BadInput(f"--{name} does nothing to --{task}: leave it out")
    from quagga.pipelines.load import load  # torch: two seconds that a misspelt option need not wait for
    from quagga.pipelines.sampler import Sampler

    sampler = load(words[0], None, chosen.device, build, verify=chosen.verify)
    if not isinstance(sampler, Sampler):
        raise BadInput(f"{words[0]} translates pictures: quagga translate {words[0]} PICTURE --output DIR")
    asked = conditions_of(sampler, chosen)
    if len(asked) > 1 and tasks and tasks != ["grid"]:
        raise BadInput(f"--{tasks[0]} is of one condition, not of {len(asked)}: name one")
    condition = asked[0] if asked else None
    output = Path(chosen.output).expanduser()
    if output.exists() and not output.is_dir():
        raise BadInput(f"--output {output} is a file: name a folder")
    names = pictures_of(listed("--invert", chosen.invert))
    films = [] if chosen.film == "none" else [f"walk.{chosen.film}"]
    walks = ["walk.png", *films] if chosen.walk is not None or len(names) > 1 else []
    sheets = {"arithmetic": "arithmetic.png", "invert": "inverted.png", "grid": "grid.png"}
    targets = [output / name for name in (*(sheets[task] for task in tasks if task in sheets), *walks)]
    made = kept(targets, chosen.existing)  # before anything is made
    if targets and len(made) == len(targets):
        print(f"{', '.join(map(str, targets))}: there already, and left as it is")
    elif chosen.walk is not None:
        walked(sampler, seeds_of(chosen.walk, 2), condition, chosen, output)
    elif chosen.arithmetic is not None:
        summed(sampler, chosen.arithmetic, condition, chosen, output)
    elif chosen.invert is not None:
        inverted(sampler, names, condition, chosen, output)
    elif chosen.grid:
        grid(sampler, asked, chosen, output)
    else:
        separate(sampler, asked, chosen, output)
    return 0


def listed(option: str, text: str | None) -> list[str]:
    """What an option was given: one, or several in brackets, of which every one is text, also 7 and yes.

    Raises:
        BadInput: there are brackets and no list of texts in them.
    """
    if text is None or not text.lstrip().startswith("["):
        return [] if text is None else [text]
    import yaml

    try:
        found = yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise BadInput(f"{option} {text!r} is no list: write '[one, two]', what holds : or , in quotation marks")
    return found


def conditions_of(sampler: "Sampler", chosen: SampleOptions) -> list[str]:
    """What was asked for, in the model's own kind of words, each condition once.

    Raises:
        BadInput: it is of another kind than the model's, or the model does not know it.
    """
    said = {"class": chosen.label, "attributes": chosen.attributes, "caption": chosen.caption}
    options = {"class": "--label", "attributes": "--attributes", "caption": "--caption"}
    given = [kind for kind, words in said.items() if words is not None]
    own = sampler.conditions.kind if sampler.conditions else None
    for kind in given:
        if kind != own:
            instead = f"the model takes {options[own]}" if own else "the model was trained without a condition"
            raise BadInput(f"{options[kind]} does not fit: {instead}")
    words = said[own] if own else None
    if words is not None and words in sampler.names:
        return [words]  # a class may be called as a list is written: "[old] horse"
    asked = listed(options[own], words) if own else []
    return list({understood(sampler, text): text for text in reversed(asked)}.values())[::-1]


def understood(sampler: "Sampler", text: str) -> tuple[float, ...]:
    """The condition in numbers. Complains of one that the model does not know, before anything is made; tells of words
    that it lacks."""
    c = sampler.condition(text, 1)
    assert sampler.conditions is not None and c is not None
    if unknown := sampler.conditions.unknown(text):
        print(f"words that the model has never read are left open: {', '.join(unknown)}")
    return tuple(c.flatten().tolist())


def pictures_of(names: Sequence[str]) -> list[Path]:
    """Files, and those in folders. Raises BadInput for a folder without pictures; others are read later."""
    from quagga.data.folders import find_all

    named(names, "--invert photo.png")
    found: list[Path] = []
    for path in (Path(name).expanduser() for name in names):
        inside = find_all(path)[0] if path.is_dir() else [path]
        if not inside:
            raise BadInput(f"{path} has 0 images: name pictures, or a folder of them, --invert FOLDER")
        found += inside
    return found


def seeds_of(text: str, least: int) -> list[int]:
    """ "3,17,42" -> the numbers. Raises BadInput where they are none, or too few."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 19 for part in parts) or len(parts) < least:
        raise BadInput(f"{text!r}: name {least} or more seeds, such as 3,17,42")
    return [int(part) for part in parts]


def separate(sampler: "Sampler", asked: Sequence[str], chosen: SampleOptions, output: Path) -> None:
    """A file a picture, called by its condition and seed."""
    from quagga.data.write import suffix_for
    from quagga.pipelines.progress import Progress
    from quagga.pipelines.translate import mark, write

    suffix = suffix_for(".png", sampler.gives)
    own = [sampler.names[n % len(sampler.names)] if sampler.conditions else None for n in range(chosen.count)]
    sets: list[list[str | None]] = [[text] * chosen.count for text in asked] or [list(own)]
    targets = [
        [output / f"{called(name)}{chosen.seed + n:06d}{suffix}" for n, name in enumerate(names)] for names in sets
    ]
    every = [target for some in targets for target in some]
    if len({str(target).casefold() for target in every}) < len(every):  # some disks do not tell case apart
        raise BadInput("two of the conditions make the same file names: sample them one by one, or with --grid")
    made = kept(every, chosen.existing)
    z = sampler.latents(range(chosen.seed, chosen.seed + chosen.count), chosen.truncation)
    conditions = [sampler.condition(condition, chosen.count) for condition in asked or [None]]
    done = len(made)
    with Progress(len(every), "picture") as progress:
        progress.reach(done)
        for c, some in zip(conditions, targets, strict=True):
            missing = [n for n, target in enumerate(some) if target not in made]
            portions = sampler.portions(z[missing], None if c is None else c[missing])
            pictures = chain.from_iterable(sampler.shown(portion) for portion in portions)
            for n, picture in zip(missing, pictures, strict=True):
                mark(output)
                write(some[n], picture)
                done += 1
                progress.reach(done)
    what = "1 picture" if len(every) == 1 else f"{len(every)} pictures"
    there = f", {len(made)} of them there already and left as they are" if made else ""
    print(f"{what} in {output}, the first {every[0].name}{there}")


def grid(sampler: "Sampler", asked: Sequence[str], chosen: SampleOptions, output: Path) -> None:
    """One sheet: rows of one condition, or a column for each condition or class, whose rows share their noise."""
    z = sampler.latents(range(chosen.seed, chosen.seed + chosen.count), chosen.truncation)
    if sampler.conditions is None or len(asked) == 1:
        condition = asked[0] if asked else None
        conditions = {condition or sampler.target: sampler.condition(condition, chosen.count)}
        abreast = max(1, round(chosen.count**0.5))
    else:
        if not asked and sampler.conditions.kind != "class":
            sampler.condition(None, 1)  # says what is missing
        wanted = asked or sampler.names
        conditions = {name: sampler.condition(name, chosen.count) for name in wanted}
        abreast = 1
    columns = decoded(sampler, {name: (z, c) for name, c in conditions.items()})
    sheet(sampler, columns, output / "grid.png", chosen.existing, abreast)


def decoded(sampler: "Sampler", points: "Mapping[str, tuple[Tensor, Tensor | None]]") -> "dict[str, Tensor]":
    """Points (N, z_size), and perhaps raw conditions (N, ...) -> their pictures, (N, C, H, W) in [-1, 1], by name."""
    import torch

    from quagga.pipelines.progress import Progress

    done, made = 0, {}
    with Progress(sum(len(z) for z, _ in points.values()), "picture") as progress:
        for name, (z, c) in points.items():
            made[name] = []
            for portion in sampler.portions(z, c):
                made[name].append(portion)
                done += len(portion)
                progress.reach(done)
    return {name: torch.cat(portions) for name, portions in made.items()}


def one_condition(sampler: "Sampler", condition: str | None) -> "Tensor | None":
    """The raw condition (1, ...) of a walk or a sum; of a model of classes, where none is named, the first."""
    if condition is None and sampler.conditions and sampler.conditions.kind == "class":
        print(f"all of the class {sampler.names[0]}, the first: --label names another")
    return sampler.condition(condition, 1)


def walked(sampler: "Sampler", seeds: list[int], condition: str | None, chosen: SampleOptions, output: Path) -> None:
    """A walk past the points of some seeds."""
    points = sampler.latents(seeds, chosen.truncation)
    walk(sampler, points, one_condition(sampler, condition), chosen, output)


def walk(sampler: "Sampler", points: "Tensor", c: "Tensor | None", chosen: SampleOptions, output: Path) -> None:
    """walk.png and a film from the first point to the last; c: (1, ...), one condition all the way."""
    from quagga.pipelines import latent

    film = output / f"walk.{chosen.film}" if chosen.film != "none" else None
    frames = latent.walk(points, chosen.frames * (len(points) - 1) + 1)
    every = None if c is None else c.expand(len(frames), *c.shape[1:])
    pictures = decoded(sampler, {sampler.target: (frames, every)})[sampler.target]
    count = min(STRIP, len(frames))
    chosen_frames = [round(n * (len(frames) - 1) / (count - 1)) for n in range(count)]
    sheet(sampler, {sampler.target: pictures[chosen_frames]}, output / "walk.png", chosen.existing, count)
    if film and not kept([film], chosen.existing):
        roll(eight_bits(sampler, pictures), film)
        print(f"{len(frames)} frames: {film}")


def summed(sampler: "Sampler", text: str, condition: str | None, chosen: SampleOptions, output: Path) -> None:
    """arithmetic.png: the terms of a sum, and its result with what lies around it."""
    from quagga.pipelines import latent

    summands = latent.terms(text)
    one = one_condition(sampler, condition)

    points = {
        f"{'-' if term.sign < 0 else '+'} {','.join(map(str, term.seeds))}": sampler.latents(term.seeds)
        for term in summands
    }
    points["= and around it"] = latent.around(latent.total(summands, sampler.z_size))
    conditioned = {name: (z, None if one is None else one.expand(len(z), *one.shape[1:])) for name, z in points.items()}
    sheet(sampler, decoded(sampler, conditioned), output / "arithmetic.png", chosen.existing, abreast=3)


def inverted(
    sampler: "Sampler", paths: Sequence[Path], condition: str | None, chosen: SampleOptions, output: Path
) -> None:
    """inverted.png: pictures beside the nearest that the model can make; and a walk between these."""
    import torch

    from quagga.data.augment import Augment
    from quagga.data.decode import read_fitted
    from quagga.data.tensors import to_tensor
    from quagga.pipelines.progress import Progress

    if not paths:
        raise BadInput("--invert names no picture: --invert photo.png, or --invert '[one.png, two.png]'")
    height, width = sampler.size
    if height != width:
        raise BadInput(f"pictures of {width}x{height} are not square: --invert is for square ones")
    fit = Augment(height, height, channels=sampler.gives.channels).still
    found = [read_fitted(path, sampler.gives, "x").pixels for path in paths]
    pictures = torch.stack([to_tensor(fit(pixels)) for pixels in found])
    if condition is None and sampler.conditions and sampler.conditions.kind != "class":
        sampler.condition(None, 1)  # says what is missing
    with Progress(len(paths), "picture") as progress:
        z, c, off = sampler.invert(pictures, condition, steps=chosen.steps, progress=progress.reach)
    sheet(sampler, {"given": pictures, "nearest": sampler.decode(z, c)}, output / "inverted.png", chosen.existing)
    seeds = sampler.latents(range(YARDSTICK))
    for number, path in enumerate(paths):
        what = f", as {sampler.conditions.describe(c[number])}" if sampler.conditions and c is not None else ""
        same = None if c is None else c[number : number + 1].expand(YARDSTICK, *c.shape[1:])
        usual = float((sampler.decode(seeds, same) - pictures[number]).abs().mean()) / 2
        print(f"{path}: off by {float(off[number]) / 2:.3f} of its range, a sample of any seed by {usual:.3f}{what}")
    if len(paths) > 1 and c is not None and not bool((c == c[0]).all()):
        print("no walk: the pictures are of different classes, and a walk has one; --label names it")
    elif len(paths) > 1:
        walk(sampler, z, None if c is None else c[:1], chosen, output)


def called(condition: str | None) -> str:
    """The beginning of a file's name."""
    import re

    if condition is None:
        return ""
    plain = re.sub(r"[^\w.=-]+", "_", condition)[:80]
    return plain.encode()[:CALLED].decode("utf-8", "ignore") + "-"


def sheet(sampler: "Sampler", columns: "dict[str, Tensor]", target: Path, existing: Existing, abreast: int = 1) -> None:
    """A contact sheet of pictures in [-1, 1]; those that are not of 8 bits are stretched."""
    from quagga.data.preview import contact_sheet, windowed
    from quagga.pipelines.translate import mark

    if not kept([target], existing):
        mark(target.parent)
        contact_sheet(columns if sampler.gives.eight_bits else windowed(columns, list(columns)), target, abreast)
        print(f"{target}")


def eight_bits(sampler: "Sampler", pictures: "Tensor") -> "np.ndarray":
    """(N, C, H, W) in [-1, 1] -> uint8 (N, H, W, 1 or 3), as one looks at them."""
    from quagga.data.preview import windowed
    from quagga.data.tensors import to_uint8

    shown = pictures[:, : 3 if pictures.shape[1] >= 3 else 1]
    return to_uint8(shown if sampler.gives.eight_bits else next(iter(windowed({"": shown}, [""]).values())))


def roll(frames: "np.ndarray", target: Path, per_second: int = 12) -> None:
    """Writes a film, there and back for a GIF, which begins anew at its end.

    Args:
        frames: uint8 (N, H, W, 1 or 3); small ones are enlarged by whole numbers.
        target: .gif or .mp4.
        per_second: frames.
    """
    from PIL import Image

    from quagga.data.write import draft_of

    times = max(1, 256 // max(frames.shape[1:3]))
    frames = frames.repeat(times, axis=1).repeat(times, axis=2)
    if frames.shape[3] == 1:
        frames = frames.repeat(3, axis=3)
    with draft_of(target) as draft:
        if target.suffix == ".gif":
            images = [Image.fromarray(frame) for frame in (*frames, *frames[-2:0:-1])]
            images[0].save(draft, save_all=True, append_images=images[1:], duration=1000 // per_second, loop=0)
        else:
            film_of(frames, draft, per_second)


def film_of(frames: "np.ndarray", path: Path, per_second: int) -> None:
    """Writes uint8 (N, H, W, 3) as an MP4.

    Raises:
        BadInput: there is no encoder.
        OSError: it was not written to its end, of which OpenCV says nothing.
    """
    import cv2

    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2  # codecs want even sides
    with for_libraries(path.parent) as folder:
        name = f"{folder}/{path.name}"
        film = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), per_second, (width, height))
        try:
            if not film.isOpened():
                raise BadInput("OpenCV has no MP4 encoder here, or cannot write to this folder: try --film gif")
            for frame in frames:
                film.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))
        finally:
            film.release()
        written = cv2.VideoCapture(name)
        try:
            if written.get(cv2.CAP_PROP_FRAME_COUNT) != len(frames):
                raise OSError("OpenCV has not written all of it")
        finally:
            written.release()
