"""`quagga sample`: pictures of noise and conditions, walks between them, sums, and the way back from a photo."""

from __future__ import annotations  # the types below need not be imported, which takes two seconds

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quagga import BadInput
from quagga.pipelines.words import read_line

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from quagga.pipelines.sampler import Sampler

FLAGS = ("--grid", "--overwrite", "--verify")  # mean true where they stand without a value
STRIP = 9  # pictures of a walk that are kept side by side


@dataclass(frozen=True)
class SampleOptions:
    """Make pictures with what a run has left, of noise and, where it was trained with one, of a condition.

    Args:
        output: folder for the pictures, which must be named.
        label: the class of the pictures; None lets the classes take turns.
        attributes: what they shall have, such as 'smiling,blond' or 'age=0.3'; what is not named is 0; none for none.
        caption: the sentence they shall show.
        count: pictures; with --grid, pictures of each class.
        seed: picture n is of seed + n. The same seed and condition make the same picture.
        truncation: keeps every number of the noise within this distance of 0: more typical pictures, less diverse ones,
            such as 0.7; None leaves them.
        grid: one sheet, grid.png, in place of a file a picture; of classes that are not named, a column for each.
        walk: seeds such as 3,17,42 to walk between; writes walk.png, a strip, and a film.
        frames: pictures of the film from one seed to the next.
        film: gif, mp4 or none.
        arithmetic: a sum of means of seeds, such as '1,4,9 - 2,3,5 + 7,8,11'; writes arithmetic.png, its terms and its
            result with the surroundings.
        invert: pictures whose noise is looked for; writes inverted.png, each beside the nearest the model can make, and
            with two or more a walk between them.
        steps: of that search.
        overwrite: replace what an earlier call has written.
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
    invert: list[str] | str | None = None
    steps: int = 300
    overwrite: bool = False
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
    if chosen.truncation is not None and ("arithmetic" in tasks or "invert" in tasks):
        raise BadInput(f"--truncation does nothing to --{tasks[0]}: leave it out")
    from quagga.pipelines.load import load  # torch: two seconds that a misspelt option need not wait for
    from quagga.pipelines.sampler import Sampler

    sampler = load(words[0], None, chosen.device, build, verify=chosen.verify)
    if not isinstance(sampler, Sampler):
        raise BadInput(f"{words[0]} translates pictures: quagga translate {words[0]} PICTURE --output DIR")
    condition = condition_of(sampler, chosen)
    output = Path(chosen.output).expanduser()
    if output.exists() and not output.is_dir():
        raise BadInput(f"--output {output} is a file: name a folder")
    names = [chosen.invert] if isinstance(chosen.invert, str) else chosen.invert or []
    films = [] if chosen.film == "none" else [f"walk.{chosen.film}"]
    walks = ["walk.png", *films] if chosen.walk is not None or len(names) > 1 else []
    sheets = {"arithmetic": "arithmetic.png", "invert": "inverted.png", "grid": "grid.png"}
    own = [sheets[task] for task in tasks if task in sheets]
    free([output / name for name in (*own, *walks)], chosen.overwrite)  # before anything is made
    if chosen.walk is not None:
        walked(sampler, seeds_of(chosen.walk, 2), condition, chosen, output)
    elif chosen.arithmetic is not None:
        summed(sampler, chosen.arithmetic, condition, chosen, output)
    elif chosen.invert is not None:
        inverted(sampler, names, condition, chosen, output)
    elif chosen.grid:
        grid(sampler, condition, chosen, output)
    else:
        separate(sampler, condition, chosen, output)
    return 0


def condition_of(sampler: Sampler, chosen: SampleOptions) -> str | None:
    """What was asked for, in the model's own kind of words.

    Raises:
        BadInput: it is of another kind than the model's.
    """
    said = {"class": chosen.label, "attributes": chosen.attributes, "caption": chosen.caption}
    options = {"class": "--label", "attributes": "--attributes", "caption": "--caption"}
    given = [kind for kind, words in said.items() if words is not None]
    own = sampler.conditions.kind if sampler.conditions else None
    for kind in given:
        if kind != own:
            instead = f"the model takes {options[own]}" if own else "the model was trained without a condition"
            raise BadInput(f"{options[kind]} does not fit: {instead}")
    if not given:
        return None
    words = said[given[0]]
    assert sampler.conditions is not None and words is not None
    sampler.conditions.encode(words)  # complains before anything is made
    if unknown := sampler.conditions.unknown(words):
        from quagga.data.conditions import tokens

        if len(unknown) == len(set(tokens(words))):
            some = ", ".join(sampler.names[:12])
            raise BadInput(f"the model knows none of the words of {words!r}; it has read {some}, ...")
        print(f"words that the model has never read are left open: {', '.join(unknown)}")
    return words


def seeds_of(text: str, least: int) -> list[int]:
    """ "3,17,42" -> the numbers. Raises BadInput where they are none, or too few."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 19 for part in parts) or len(parts) < least:
        raise BadInput(f"{text!r}: name {least} or more seeds, such as 3,17,42")
    return [int(part) for part in parts]


def separate(sampler: Sampler, condition: str | None, chosen: SampleOptions, output: Path) -> None:
    """A file a picture, called by its condition and seed."""
    from quagga.data.write import suffix_for
    from quagga.pipelines.translate import write

    suffix = suffix_for(".png", sampler.gives)
    names = [condition] * chosen.count
    if sampler.conditions and condition is None:
        names = [sampler.names[n % len(sampler.names)] for n in range(chosen.count)]
    targets = [output / f"{called(name)}{chosen.seed + n:06d}{suffix}" for n, name in enumerate(names)]
    free(targets, chosen.overwrite)
    pictures = sampler(condition, count=chosen.count, seed=chosen.seed, truncation=chosen.truncation)
    for target, picture in zip(targets, pictures, strict=True):
        write(target, picture)
    print(f"{chosen.count} pictures in {output}, the first {targets[0].name}")


def grid(sampler: Sampler, condition: str | None, chosen: SampleOptions, output: Path) -> None:
    """One sheet: rows of one condition, or a column for each class, whose rows share their noise."""
    seeds = range(chosen.seed, chosen.seed + chosen.count)
    z = sampler.latents(seeds, chosen.truncation)
    if sampler.conditions is None or condition is not None:
        c = sampler.condition(condition, chosen.count)
        columns = {condition or sampler.target: sampler.decode(z, c)}
        abreast = max(1, round(chosen.count**0.5))
    else:
        if sampler.conditions.kind != "class":
            sampler.condition(None, 1)  # says what is missing
        columns = {name: sampler.decode(z, sampler.condition(name, chosen.count)) for name in sampler.names}
        abreast = 1
    sheet(sampler, columns, output / "grid.png", abreast)


def walked(sampler: Sampler, seeds: list[int], condition: str | None, chosen: SampleOptions, output: Path) -> None:
    """A walk past the points of some seeds."""
    points = sampler.latents(seeds, chosen.truncation)
    c = sampler.condition(condition, 1)
    walk(sampler, points, c, chosen, output)


def walk(sampler: Sampler, points: Tensor, c: Tensor | None, chosen: SampleOptions, output: Path) -> None:
    """walk.png and a film from the first point to the last; c: (1, ...), one condition all the way."""
    from quagga.pipelines import latent

    film = output / f"walk.{chosen.film}" if chosen.film != "none" else None
    frames = latent.walk(points, chosen.frames * (len(points) - 1) + 1)
    pictures = sampler.decode(frames, None if c is None else c.expand(len(frames), *c.shape[1:]))
    count = min(STRIP, len(frames))
    chosen_frames = [round(n * (len(frames) - 1) / (count - 1)) for n in range(count)]
    sheet(sampler, {sampler.target: pictures[chosen_frames]}, output / "walk.png", abreast=count)
    if film:
        roll(eight_bits(sampler, pictures), film)
        print(f"{len(frames)} frames: {film}")


def summed(sampler: Sampler, text: str, condition: str | None, chosen: SampleOptions, output: Path) -> None:
    """arithmetic.png: the terms of a sum, and its result with what lies around it."""
    from quagga.pipelines import latent

    summands = latent.terms(text)
    one = sampler.condition(condition, 1)

    def decoded(z: Tensor) -> Tensor:
        return sampler.decode(z, None if one is None else one.expand(len(z), *one.shape[1:]))

    columns = {
        f"{'-' if term.sign < 0 else '+'} {','.join(map(str, term.seeds))}": decoded(sampler.latents(term.seeds))
        for term in summands
    }
    columns["= and around it"] = decoded(latent.around(latent.total(summands, sampler.z_size)))
    sheet(sampler, columns, output / "arithmetic.png", abreast=3)


def inverted(
    sampler: Sampler, names: Sequence[str], condition: str | None, chosen: SampleOptions, output: Path
) -> None:
    """inverted.png: pictures beside the nearest that the model can make; and a walk between these."""
    import torch

    from quagga.data.augment import Augment
    from quagga.data.decode import read_fitted
    from quagga.data.tensors import to_tensor

    if not names:
        raise BadInput("--invert names no picture: --invert photo.png, or --invert '[one.png, two.png]'")
    height, width = sampler.size
    if height != width:
        raise BadInput(f"pictures of {width}x{height} are not square: --invert is for square ones")
    fit = Augment(height, height, channels=sampler.gives.channels).still
    found = [read_fitted(Path(name).expanduser(), sampler.gives, "x").pixels for name in names]
    pictures = torch.stack([to_tensor(fit(pixels)) for pixels in found])
    if condition is None and sampler.conditions and sampler.conditions.kind != "class":
        sampler.condition(None, 1)  # says what is missing
    z, c, off = sampler.invert(pictures, condition, steps=chosen.steps)
    sheet(sampler, {"given": pictures, "nearest": sampler.decode(z, c)}, output / "inverted.png")
    for number, name in enumerate(names):
        what = f", as {sampler.conditions.describe(c[number])}" if sampler.conditions and c is not None else ""
        print(f"{name}: off by {float(off[number]) / 2:.3f} of its range{what}")
    if len(names) > 1 and c is not None and not bool((c == c[0]).all()):
        print("no walk: the pictures are of different classes, and a walk has one; --label names it")
    elif len(names) > 1:
        walk(sampler, z, None if c is None else c[:1], chosen, output)


def called(condition: str | None) -> str:
    """The beginning of a file's name."""
    import re

    return "" if condition is None else re.sub(r"[^\w.=-]+", "_", condition)[:80] + "-"


def free(targets: Sequence[Path], overwrite: bool) -> None:
    """Raises BadInput where something would be lost by writing them."""
    there = [target for target in targets if target.exists()]
    if there and not overwrite:
        raise BadInput(f"{there[0]} is there already: add --overwrite or choose another --output")


def sheet(sampler: Sampler, columns: dict[str, Tensor], target: Path, abreast: int = 1) -> None:
    """A contact sheet of pictures in [-1, 1]; those that are not of 8 bits are stretched."""
    from quagga.data.preview import contact_sheet, windowed

    contact_sheet(columns if sampler.gives.eight_bits else windowed(columns, list(columns)), target, abreast)
    print(f"{target}")


def eight_bits(sampler: Sampler, pictures: Tensor) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] -> uint8 (N, H, W, 1 or 3), as one looks at them."""
    from quagga.data.preview import windowed
    from quagga.data.tensors import to_uint8

    shown = pictures[:, : 3 if pictures.shape[1] >= 3 else 1]
    return to_uint8(shown if sampler.gives.eight_bits else next(iter(windowed({"": shown}, [""]).values())))


def roll(frames: np.ndarray, target: Path, per_second: int = 12) -> None:
    """Writes a film, there and back for a GIF, which begins anew at its end.

    Args:
        frames: uint8 (N, H, W, 1 or 3); small ones are enlarged by whole numbers.
        target: .gif or .mp4.
        per_second: frames.
    """
    import cv2
    from PIL import Image

    target.parent.mkdir(parents=True, exist_ok=True)
    times = max(1, 256 // max(frames.shape[1:3]))
    frames = frames.repeat(times, axis=1).repeat(times, axis=2)
    if frames.shape[3] == 1:
        frames = frames.repeat(3, axis=3)
    if target.suffix == ".gif":
        images = [Image.fromarray(frame) for frame in (*frames, *frames[-2:0:-1])]
        images[0].save(target, save_all=True, append_images=images[1:], duration=1000 // per_second, loop=0)
        return
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2  # codecs want even sides
    film = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), per_second, (width, height))
    try:
        if not film.isOpened():
            raise BadInput(f"cannot write {target}: OpenCV has no MP4 encoder here, take --film gif")
        for frame in frames:
            film.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))
    finally:
        film.release()
