"""`quagga sample`: pictures of noise and conditions, walks between them, sums, the way back from a photo, and edits."""

import re
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quagga.cli.options.condition_options import given_condition
from quagga.cli.options.points import parse_list, parse_walk, pictures_named
from quagga.cli.options.positional import parse_line
from quagga.cli.options.sample_options import FLAGS, SampleOptions, asked_task
from quagga.cli.output.output_files import check_output_folder, mark_output_folder, outputs_to_keep, write_picture
from quagga.cli.output.which_model import mention_best_model
from quagga.errors import BadInput

if TYPE_CHECKING:
    from quagga.fields import Field
    from quagga.inference.sampler import Sampler

MAX_CONDITION_BYTES = 220  # of a condition in a file's name, which may have 255, with a seed of 19 digits and a suffix


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
    task = asked_task(chosen)
    mention_best_model(words[0], "sample")
    sampler = load_run(words[0], task, chosen.device, build)
    if chosen.verify:
        sampler.verify()
    conditions = conditions_of(sampler, chosen, again=task == "walk")
    if len(conditions) > 1 and task not in (None, "walk", "grid"):
        raise BadInput(f"--{task} takes one condition, not {len(conditions)}: name one")
    output = Path(chosen.output).expanduser()
    check_output_folder(output)
    if task:
        sample_task(sampler, task, conditions, chosen, output)
    else:
        write_separately(sampler, conditions, chosen, output)
    return 0


def load_run(run: str, task: str | None, device: str | None, build: Callable[..., Any] | None) -> "Sampler":
    """Loads the first export of a run that makes pictures of noise; or for a task that takes pictures, of codes. Raises
    BadInput where none does."""
    from quagga.fields import decodes, encodes, samples
    from quagga.inference.load import first_export, load_sampler  # torch: two seconds that a misspelt option
    from quagga.inference.model_files.model_folder import ModelFolder, read_whole  # need not wait for

    def read(model: ModelFolder) -> "Sampler":
        name = first_export(model, samples)
        if name is None and task not in (None, "grid") and first_export(model, encodes):
            name = first_export(model, decodes)
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
    """Does what --grid, --walk, --arithmetic, --invert or --edit asks for, unless all its files are kept.

    Raises:
        BadInput: an option cannot be read, or a file exists and --existing is error.
    """
    from quagga.cli.output import edit_files, walk_files
    from quagga.data.io.write import suffix_for

    condition = conditions[0] if conditions else None
    inverted = pictures_named(parse_list("--invert", chosen.invert), "--invert photo.png")
    film = None if chosen.film == "none" else output / f"{'edit' if task == 'edit' else 'walk'}.{chosen.film}"
    walk_sheet = output / "walk.png"
    sheets = {"arithmetic": ["arithmetic.png"], "invert": ["inverted.png"], "grid": ["grid.png"]}.get(task, [])
    edited = f"edited{suffix_for('.png', sampler.output_format)}"
    sheets += [edited, "edit.png"] if task == "edit" else []
    targets = [output / name for name in sheets]
    if task == "walk" or len(inverted) > 1:
        targets.append(walk_sheet)
    if film and (task == "edit" or walk_sheet in targets):
        targets.append(film)
    kept = outputs_to_keep(targets, chosen.existing)  # before any work
    if len(kept) == len(targets):
        print(f"{', '.join(map(str, targets))}: exists already, and is kept")
    elif chosen.walk is not None:
        points = parse_walk(chosen.walk, 1 if len(conditions) > 1 else 2)
        z, c = walk_files.points_of_walk(sampler, points, conditions, chosen.steps, chosen.truncation)
        walk_files.write_walk(sampler, z, c, chosen, film, walk_sheet)
    elif chosen.arithmetic is not None:
        walk_files.write_sum(sampler, chosen.arithmetic, condition, chosen, targets[0])
    elif chosen.invert is not None:
        walk_files.write_inversions(sampler, inverted, condition, chosen, film, targets[0], walk_sheet)
    elif chosen.edit is not None:
        edit_files.write_edit(sampler, condition, chosen, targets[0], targets[1], film)
    else:
        write_grid(sampler, conditions, chosen, targets[0])


def conditions_of(sampler: "Sampler", chosen: SampleOptions, again: bool = False) -> list[str]:
    """Returns the conditions that were asked for, as text, each once, or as often as it was named.

    Raises:
        BadInput: they are of another kind than the model's, or the model does not know one.
    """
    from quagga.inference.predictor import OPTION_OF

    value = given_condition(sampler.conditions, chosen)
    if value is not None and value in sampler.names:
        return [value]  # a class may have a name that looks like a list: "[old] horse"
    texts = parse_list(OPTION_OF[sampler.conditions.kind], value) if sampler.conditions else []
    codes = [encoded(sampler, text) for text in texts]
    return [text for n, text in enumerate(texts) if again or codes[n] not in codes[:n]]


def encoded(sampler: "Sampler", text: str) -> tuple[float, ...]:
    """Encodes a condition, and tells of words in it that the model lacks. Raises BadInput where the model does not know
    it."""
    c = sampler.condition(text, 1)
    assert sampler.conditions is not None and c is not None
    if unknown := sampler.conditions.unknown(text):
        print(f"words that the model does not know, and reads as '?': {', '.join(unknown)}")
    return tuple(c.flatten().tolist())


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
