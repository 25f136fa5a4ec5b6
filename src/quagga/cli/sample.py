"""`quagga sample`: pictures of noise and conditions, walks between them, sums, and the way back from a photo."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quagga.cli.options.condition_options import given_condition
from quagga.cli.options.positional import parse_line, refuse_empty_words
from quagga.cli.output.output_files import (
    Existing,
    check_output_folder,
    mark_output_folder,
    outputs_to_keep,
    write_picture,
)
from quagga.errors import BadInput

if TYPE_CHECKING:
    from quagga.fields import Field
    from quagga.inference.sampler import Sampler

FLAGS = ("--grid", "--overwrite", "--verify")  # mean true where they stand without a value
UNUSED_OPTIONS = {  # task -> options that do nothing to it
    "walk": ("count", "seed"),
    "arithmetic": ("count", "seed", "truncation", "frames"),
    "invert": ("count", "seed", "truncation"),
    "grid": ("frames",),
}
MAX_CONDITION_BYTES = 220  # of a condition in a file's name, which may have 255, with a seed of 19 digits and a suffix


@dataclass(frozen=True)
class SampleOptions:
    """Make pictures with what a run has left, of noise and, where it was trained with one, of a condition.

    Args:
        output: folder for the pictures; it must be named.
        label: class of the pictures, such as 7; or several, such as '[3, 7]'. None takes the classes in turn.
        attributes: what they have, such as 'smiling,blond'; a number too, 'age=0.3', or several conditions,
            '["smiling,blond", smiling]'. What is not named is 0; none for none.
        caption: sentence that they show; or several, such as '[red eyes, blue eyes]'.
        count: number of pictures; of several conditions, and with --grid of the classes, that many of each, of the same
            seeds.
        seed: picture n has seed + n; the same seed and condition make the same picture.
        truncation: limit of the noise, such as 0.7; every number stays within this distance of 0: more typical
            pictures, less diverse ones. None: no limit.
        grid: one sheet, grid.png, not a file each; a column for each condition, or for each class where none is named.
        walk: seeds to walk between, such as 3,17,42; writes walk.png, a strip, and a film.
        frames: pictures of the film from one seed to the next.
        film: format of the film of a walk, or none.
        arithmetic: sum of means of seeds, such as '1,4,9 - 2,3,5 + 7,8,11'; writes arithmetic.png, its terms and its
            result with its neighbours.
        invert: photo whose noise is looked for; or a folder of them, or several, '[one.png, two.png]'. Writes
            inverted.png, each beside the nearest the model can make, and with two or more a walk between them.
        steps: steps of the search of --invert.
        existing: what to do with outputs that exist; error refuses before any work, skip keeps them and makes the
            others (so a call that was stopped continues), overwrite replaces them.
        device: cuda, cuda:1, mps or cpu; None takes the best there is.
        verify: first make the picture that was saved with the model again, and stop if the result is another one.
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
    """Runs `quagga sample RUN --output DIR ...`. Returns 0.

    Args:
        argv: `RUN --output DIR [--label 7 | --attributes smiling,blond | --caption "red eyes"] [--count 16] ...`.
        build: Makes the game of a pipeline written outside Quagga.
    """
    words, chosen = parse_line(argv, "quagga sample RUN", SampleOptions, FLAGS)
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
        raise BadInput(f"--{tasks[0]} and --{tasks[1]} cannot be combined: ask for one at a time")
    for task, unused in UNUSED_OPTIONS.items():
        for name in unused if task in tasks else ():
            if getattr(chosen, name) != getattr(SampleOptions, name):
                raise BadInput(f"--{name} has no effect on --{task}: leave it out")
    sampler = load_run(words[0], chosen.device, build)
    if chosen.verify:
        sampler.verify()
    conditions = conditions_of(sampler, chosen)
    if len(conditions) > 1 and tasks and tasks != ["grid"]:
        raise BadInput(f"--{tasks[0]} takes one condition, not {len(conditions)}: name one")
    output = Path(chosen.output).expanduser()
    check_output_folder(output)
    if tasks:
        sample_task(sampler, tasks[0], conditions, chosen, output)
    else:
        write_separately(sampler, conditions, chosen, output)
    return 0


def load_run(run: str, device: str | None, build: Callable[..., Any] | None) -> "Sampler":
    """Loads the first export of a run that makes pictures of noise. Raises BadInput where none does."""
    from quagga.fields import samples
    from quagga.inference.load import first_export, load_sampler  # torch: two seconds that a misspelt option
    from quagga.inference.model_files.model_folder import ModelFolder, read_whole  # need not wait for

    def read(model: ModelFolder) -> "Sampler":
        name = first_export(model, samples)
        if name is None:
            raise BadInput(why_not_sampled(run, [export.inputs for export in model.exports.values()]))
        return load_sampler(model, name, device, build)

    return read_whole(run, read)


def why_not_sampled(run: str, inputs_of_exports: "Sequence[Sequence[Field]]") -> str:
    """Returns why no export of a run can be sampled from, and what can be done with it instead."""
    for inputs in inputs_of_exports:
        if any(field.kind == "noise" for field in inputs):
            taken = " and ".join(f"the {field.kind} {field.name}" for field in inputs)
            return f"{run} takes {taken}; quagga sample gives noise and one condition at most: quagga.load, in Python"
    return f"{run} makes no pictures of noise: quagga translate {run} PICTURE --output DIR"


def sample_task(sampler: "Sampler", task: str, conditions: Sequence[str], chosen: SampleOptions, output: Path) -> None:
    """Does what --grid, --walk, --arithmetic or --invert asks for, unless all its files are kept.

    Raises:
        BadInput: an option cannot be read, or a file exists and --existing is error.
    """
    from quagga.cli.output import walk_files

    condition = conditions[0] if conditions else None
    inverted = pictures_to_invert(parse_list("--invert", chosen.invert))
    film = None if chosen.film == "none" else output / f"walk.{chosen.film}"
    walk_sheet = output / "walk.png"
    sheets = {"walk": [], "arithmetic": ["arithmetic.png"], "invert": ["inverted.png"], "grid": ["grid.png"]}[task]
    targets = [output / name for name in sheets]
    if task == "walk" or len(inverted) > 1:
        targets += [walk_sheet, film] if film else [walk_sheet]
    kept = outputs_to_keep(targets, chosen.existing)  # before any work
    if len(kept) == len(targets):
        print(f"{', '.join(map(str, targets))}: exists already, and is kept")
    elif chosen.walk is not None:
        z = sampler.latents(parse_seeds(chosen.walk, 2), chosen.truncation)
        c = walk_files.encode_condition(sampler, condition)
        walk_files.write_walk(
            sampler, z, c, frames=chosen.frames, film=film, sheet=walk_sheet, existing=chosen.existing
        )
    elif chosen.arithmetic is not None:
        walk_files.write_sum(sampler, chosen.arithmetic, condition, targets[0], chosen.existing)
    elif chosen.invert is not None:
        walk_files.write_inversions(
            sampler,
            inverted,
            condition,
            steps=chosen.steps,
            frames=chosen.frames,
            film=film,
            sheet=targets[0],
            walk_sheet=walk_sheet,
            existing=chosen.existing,
        )
    else:
        write_grid(sampler, conditions, chosen, targets[0])


def parse_list(option: str, text: str | None) -> list[str]:
    """Reads the value of an option: one text, or several in brackets, of which every one is text, also 7 and yes.

    Raises:
        BadInput: there are brackets and no list of texts in them.
    """
    if text is None or not text.lstrip().startswith("["):
        return [] if text is None else [text]
    import yaml

    try:
        entries = yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError:
        entries = None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
        raise BadInput(f"{option} {text!r} is no list: write '[one, two]', and texts with : or , in quotation marks")
    return entries


def conditions_of(sampler: "Sampler", chosen: SampleOptions) -> list[str]:
    """Returns the conditions that were asked for, as text, each once.

    Raises:
        BadInput: they are of another kind than the model's, or the model does not know one.
    """
    from quagga.inference.predictor import OPTION_OF

    value = given_condition(sampler.conditions, chosen)
    if value is not None and value in sampler.names:
        return [value]  # a class may have a name that looks like a list: "[old] horse"
    texts = parse_list(OPTION_OF[sampler.conditions.kind], value) if sampler.conditions else []
    return list({encoded(sampler, text): text for text in reversed(texts)}.values())[::-1]


def encoded(sampler: "Sampler", text: str) -> tuple[float, ...]:
    """Encodes a condition, and tells of words in it that the model lacks. Raises BadInput where the model does not know
    it."""
    c = sampler.condition(text, 1)
    assert sampler.conditions is not None and c is not None
    if unknown := sampler.conditions.unknown(text):
        print(f"words that the model does not know, and reads as '?': {', '.join(unknown)}")
    return tuple(c.flatten().tolist())


def pictures_to_invert(names: Sequence[str]) -> list[Path]:
    """Returns files, and the pictures in folders. Raises BadInput for a folder without pictures; a file that is no
    picture is refused when it is read."""
    from quagga.data.sources.folders import find_all

    refuse_empty_words(names, "--invert photo.png")
    pictures: list[Path] = []
    for path in (Path(name).expanduser() for name in names):
        inside = find_all(path)[0] if path.is_dir() else [path]
        if not inside:
            raise BadInput(f"{path} has 0 images: name pictures, or a folder of them, --invert FOLDER")
        pictures += inside
    return pictures


def parse_seeds(text: str, least: int) -> list[int]:
    """Reads seeds such as "3,17,42". Raises BadInput where they are none, or fewer than `least`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 19 for part in parts) or len(parts) < least:
        raise BadInput(f"{text!r}: name {least} or more seeds, such as 3,17,42")
    return [int(part) for part in parts]


def write_separately(sampler: "Sampler", conditions: Sequence[str], chosen: SampleOptions, output: Path) -> None:
    """Writes every picture to a file of its own, named by its condition and seed."""
    from quagga.cli.output.progress_bar import Progress
    from quagga.data.io.write import suffix_for

    suffix = suffix_for(".png", sampler.output_format)
    if conditions:
        labels: list[list[str | None]] = [[text] * chosen.count for text in conditions]
    else:  # classes take turns
        names = sampler.names
        labels = [[names[n % len(names)] if sampler.conditions else None for n in range(chosen.count)]]
    targets = [
        [output / f"{name_prefix(label)}{chosen.seed + n:06d}{suffix}" for n, label in enumerate(row)] for row in labels
    ]
    all_targets = [target for row in targets for target in row]
    if len({str(target).casefold() for target in all_targets}) < len(all_targets):  # some disks ignore case
        raise BadInput("two of the conditions make the same file names: sample them one by one, or with --grid")
    kept = outputs_to_keep(all_targets, chosen.existing)
    z = sampler.latents(range(chosen.seed, chosen.seed + chosen.count), chosen.truncation)
    encodings = [sampler.condition(condition, chosen.count) for condition in conditions or [None]]
    done = len(kept)
    with Progress(len(all_targets), "picture") as progress:
        progress.reach(done)
        for c, row in zip(encodings, targets, strict=True):
            missing = [n for n, target in enumerate(row) if target not in kept]
            batches = sampler.decode_batches(z[missing], None if c is None else c[missing])
            pictures = chain.from_iterable(sampler.to_arrays(batch) for batch in batches)
            for n, picture in zip(missing, pictures, strict=True):
                mark_output_folder(output)
                write_picture(row[n], picture)
                done += 1
                progress.reach(done)
    count = "1 picture" if len(all_targets) == 1 else f"{len(all_targets)} pictures"
    note = f", {len(kept)} of them existed and are kept" if kept else ""
    print(f"{count} in {output}, the first {all_targets[0].name}{note}")


def name_prefix(condition: str | None) -> str:
    """Returns the beginning of a file's name for a condition."""
    if condition is None:
        return ""
    plain = re.sub(r"[^\w.=-]+", "_", condition)[:80]
    return plain.encode()[:MAX_CONDITION_BYTES].decode("utf-8", "ignore") + "-"


def write_grid(sampler: "Sampler", conditions: Sequence[str], chosen: SampleOptions, target: Path) -> None:
    """Writes one sheet: rows of one condition, or a column for each condition or class; a row has the same noise."""
    from quagga.cli.output.walk_files import decode, write_sheet

    z = sampler.latents(range(chosen.seed, chosen.seed + chosen.count), chosen.truncation)
    if sampler.conditions is None or len(conditions) == 1:
        condition = conditions[0] if conditions else None
        encodings = {condition or sampler.target: sampler.condition(condition, chosen.count)}
        abreast = max(1, round(chosen.count**0.5))
    else:
        if not conditions and sampler.conditions.kind != "class":
            sampler.condition(None, 1)  # raises BadInput, which says what is missing
        encodings = {name: sampler.condition(name, chosen.count) for name in conditions or sampler.names}
        abreast = 1
    columns = decode(sampler, {name: (z, c) for name, c in encodings.items()})
    write_sheet(sampler, columns, target, chosen.existing, abreast)
