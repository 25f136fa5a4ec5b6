"""`quagga translate`: every picture of some files and folders, translated into another folder; of a classifier, a table
of what they show."""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from quagga.cli.options.condition_options import given_condition
from quagga.cli.options.positional import parse_line
from quagga.cli.output.class_table import write_class_table
from quagga.cli.output.output_files import (
    Existing,
    check_output_folder,
    left_out,
    mark_output_folder,
    outputs_to_keep,
    write_picture,
)
from quagga.cli.output.which_model import mention_best_model
from quagga.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from quagga.cli.output.faithfulness_maps import FaithfulnessMaps
    from quagga.data.io.pixel_format import PixelFormat
    from quagga.data.transforms.side_by_side import CutName
    from quagga.inference.translator import Translator

COMPARISON = "comparison.png"
NETWORK_OPTIONS = ("tile", "dropout", "statistics", "seed", "mixed_precision")  # how the networks are run
# They mean true where they stand without a value.
FLAGS = ("--overwrite", "--comparison", "--faithfulness", "--verify", "--from_photo")


@dataclass(frozen=True)
class TranslateOptions:
    """Translate pictures of any size with what a run has left, or fill what is missing in them; a classifier writes a
    table of what they show.

    Args:
        output: folder for the translated pictures; it must be named. Below it folders keep their structure and files
            their names.
        to: what the pictures become, such as zebra; a domain's name or its letter, or AtoB or BtoA; of an autoencoder
            or VAE code, points (a table of the codes, and a folder for TensorBoard's projector), and of codes picture.
            None takes the model's first translation, from x to y.
        label: what they shall show, such as blond, where the model was trained with classes.
        attributes: what they shall have, such as 'smiling,blond'; a number too, 'age=0.3'. What is not named is 0; none
            for none.
        caption: sentence that they shall show.
        mask: what is missing, for a model that fills it in: a folder of masks, each with the name of its picture and
            white where that is missing; or white, what is pure white in the picture; or alpha, what is not opaque. All
            other pixels come back to the bit, so JPEGs become PNGs.
        existing: what to do with outputs that exist; error refuses before any work, skip keeps them and translates the
            others (so a call that was stopped continues), overwrite replaces them.
        comparison: also write comparison.png; it shows the first 16 pictures before and after, and the true ones where
            they are known: of pairs side by side, or of folders of pairs.
        faithfulness: also write heat maps of where translations may be invented, and a table; a map is written beside
            each translation, and a number for each into faithfulness.csv. It takes five to ten times as long.
        device: cuda, cuda:1, mps or cpu; None takes the best there is.
        resolution: size at which pictures are translated; model: at the scale of training, and the change is carried
            back to the picture's own size, so that what does not change stays sharp; full: at the picture's own size; a
            number: pixels of the shorter side.
        tile: pictures of more than tile x tile pixels go through the network in strips, with the same result and the
            memory of one tile. auto is 1024, or what half the free memory of a CUDA GPU holds; None: always whole.
        verify: first translate the picture that was saved with the model again, and stop if the result is another one.
        dropout: whether dropout stays on; None: as the model says (pix2pix: on, as in its paper).
        statistics: statistics of batch normalisation: batch: those of each picture itself; running: the averages of
            training; None: as the model says (pix2pix: batch, as in its paper).
        seed: seed of the dropout; each picture begins from it.
        from_photo: draw the edges of photos first; for a model that takes edges.
        side: half of side-by-side pairs to translate; whole takes the picture as it is. None does too, unless the model
            was trained on such pairs and most pictures have their shape.
        mixed_precision: bf16 computes products in 16 bits, faster on GPUs and on CPUs with AMX; colours then differ by
            one level of 255, single pixels by more. Pictures that go through in strips stay in float32; `no` keeps all
            in float32.
    """

    output: str | None = None
    to: str | None = None
    label: str | None = None
    attributes: str | None = None
    caption: str | None = None
    mask: str | None = None
    existing: Existing = "error"
    comparison: bool = False
    faithfulness: bool = False
    device: str | None = None
    resolution: Literal["model", "full"] | int = "model"
    tile: int | Literal["auto"] | None = "auto"
    verify: bool = False
    dropout: bool | None = None
    statistics: Literal["batch", "running"] | None = None
    seed: int = 0
    from_photo: bool = False
    side: Literal["left", "right", "whole"] | None = None
    mixed_precision: Literal["no", "bf16"] = "no"


class TranslationJob(NamedTuple):
    """A picture to be translated: the file to read, and the file to write."""

    source: Path
    target: Path


def main(argv: Sequence[str], build: Callable[..., Any] | None = None) -> int:
    """Runs `quagga translate ARGV...`. Returns 0, or 2 when some pictures could not be translated.

    Args:
        argv: `RUN PICTURE... --output DIR [--to zebra | --label blond] [--existing skip] [--comparison] ...`.
        build: Makes the game of a pipeline written outside Quagga.
    """
    words, chosen = parse_line(argv, "quagga translate RUN PICTURE ...", TranslateOptions, FLAGS)
    run, *inputs = words or [""]
    if not inputs:
        raise BadInput("no pictures are given: quagga translate RUN PICTURE ... --output DIR")
    if chosen.output is None:
        raise BadInput("name the folder for the translated pictures: --output DIR")
    if chosen.faithfulness and chosen.existing == "skip":
        raise BadInput(
            "--faithfulness writes a table of all pictures, and --existing skip leaves some out: take --existing"
            " overwrite, or another --output"
        )
    output = Path(chosen.output).expanduser()
    pictures = pictures_to_translate([Path(name).expanduser() for name in inputs], output)
    mention_best_model(run, "translate")
    if chosen.to in ("code", "points", "picture"):
        from quagga.cli.output.code_files import translate_codes
        from quagga.cli.output.code_points import write_code_points
        from quagga.inference.coder import load_coder

        if coder := load_coder(run, chosen.device, build):
            refuse_pictures_options(chosen, "codes pictures")
            if chosen.to == "points":
                return write_code_points(coder, pictures, output, chosen.existing)
            jobs = [TranslationJob(path, output / name.with_suffix(".png")) for path, name in pictures]
            return translate_codes(coder, chosen.to, jobs, output, check_outputs(jobs, {}, chosen.existing))
    networks: dict[str, Any] = {name: getattr(chosen, name) for name in NETWORK_OPTIONS}
    with no_garbage_collection():
        # Here, as torch takes a second that a misspelt option need not wait for.
        from quagga.inference.classifier import Classifier
        from quagga.inference.inpainter import Inpainter
        from quagga.inference.load import load_reader_of_pictures

        translator = load_reader_of_pictures(
            run,
            chosen.to,
            chosen.device,
            build,
            resolution=chosen.resolution,
            verify=chosen.verify,
            from_photo=chosen.from_photo,
            **networks,
        )
    if isinstance(translator, Classifier):
        refuse_pictures_options(chosen, "says what pictures show, in a table")
        return write_class_table(translator, pictures, output, chosen.existing)
    if isinstance(translator, Inpainter):
        from quagga.cli.output.fill_files import fill_pictures, plan_fillings

        refuse_pictures_options(chosen, "fills what is missing", takes=("mask", "resolution"))
        if chosen.mask is None:
            raise BadInput("say what is missing in the pictures: --mask DIR, a folder of masks, or white, or alpha")
        fillings = plan_fillings(pictures, output, chosen.mask)
        kept = check_outputs([TranslationJob(one.source, one.target) for one in fillings], {}, chosen.existing)
        return fill_pictures(translator, fillings, chosen.mask, output, kept)
    if chosen.mask is not None:
        raise BadInput("this model translates whole pictures and fills nothing in: leave out --mask")
    condition = given_condition(translator.conditions, chosen)
    translator.condition(condition)  # refuses what the model does not know, before any work
    jobs = plan_jobs(pictures, output, translator.output_format)
    sheet = output / COMPARISON if chosen.comparison else None
    more: dict[Path, str] = {sheet: "the comparison"} if sheet else {}
    if chosen.faithfulness:
        from quagga.cli.output.faithfulness_maps import TABLE, map_path

        more |= {output / TABLE: "the table", **{map_path(job.target): f"the map of {job.source}" for job in jobs}}
    kept = check_outputs(jobs, more, chosen.existing)
    if chosen.side is None:
        check_side_by_side([job.source for job in jobs], translator.preprocessing)
    maps = None
    if chosen.faithfulness:
        from quagga.cli.output.faithfulness_maps import FaithfulnessMaps

        maps = FaithfulnessMaps(run, chosen.to, translator, output, build, **networks)
    return translate(translator, jobs, output, None if sheet in kept else sheet, chosen.side, kept, condition, maps)


def refuse_pictures_options(chosen: TranslateOptions, does: str, takes: Sequence[str] = ()) -> None:
    """Raises BadInput where an option is given that only pictures made of pictures have a use for. does: what the model
    does instead. takes: options for which it has a use."""
    given = {"label": chosen.label, "attributes": chosen.attributes, "caption": chosen.caption, "side": chosen.side}
    given |= {"mask": chosen.mask, "comparison": chosen.comparison or None, "faithfulness": chosen.faithfulness or None}
    given |= {"resolution": None if chosen.resolution == "model" else 1}
    if useless := [f"--{name}" for name, value in given.items() if value is not None and name not in takes]:
        raise BadInput(f"this model {does}: leave out {', '.join(useless)}")


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Switches Python's garbage collector off within the block: an import of torch leaves no garbage, and to search for
    it takes 0.3 s."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def pictures_to_translate(inputs: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Returns the files to read, each with its name below the output. Nothing is written.

    Raises:
        BadInput: an input does not exist, no picture is among them, or the output is no folder.
    """
    from quagga.data.io.read import SUFFIXES
    from quagga.data.sources.folders import find_all

    check_output_folder(output)
    resolved_output = output.resolve()
    pictures: list[tuple[Path, Path]] = []
    for place in inputs:
        if place.is_file():
            pictures.append((place, Path(place.name)))
        elif place.is_dir():
            # The output may lie inside the input: what an earlier call wrote to it is not translated again.
            skip_output = resolved_output != place.resolve()
            found, left_out = find_all(place)
            found = [path for path in found if not (skip_output and path.resolve().is_relative_to(resolved_output))]
            if not found:
                expected = f"expected {', '.join(SUFFIXES)} in it"
                raise BadInput(f"{place} has 0 images: {'; '.join(left_out) or expected}")
            for line in left_out:
                print(f"{place}: {line}", file=sys.stderr)
            pictures += [(path, path.relative_to(place)) for path in found]
        else:
            raise BadInput(f"there is no file or folder {place}: give pictures, or folders of pictures")
    return pictures


def plan_jobs(pictures: Sequence[tuple[Path, Path]], output: Path, pixel_format: "PixelFormat") -> list[TranslationJob]:
    """Returns which file is written for which picture, each once. A suffix that cannot hold the format is changed."""
    from quagga.data.io.write import suffix_for

    jobs = [
        TranslationJob(path, output / name.with_suffix(suffix_for(name.suffix, pixel_format)))
        for path, name in pictures
    ]
    return list({(source.resolve(), target): TranslationJob(source, target) for source, target in jobs}.values())


def check_outputs(jobs: Sequence[TranslationJob], more: Mapping[Path, str], existing: Existing) -> set[Path]:
    """Refuses, before any work, what would lose a picture. Returns the outputs that are left as they are.

    Args:
        jobs: What is read and written.
        more: What else is written -> what it is called.
        existing: What to do with what is there.

    Raises:
        BadInput: two pictures would be written to one file, an original would be replaced, or an older output exists
            and `existing` is error.
    """
    writers = {os.path.normcase(path): Path(name) for path, name in more.items()}
    for source, target in jobs:
        other = writers.setdefault(os.path.normcase(target), source)
        if other is not source:
            raise BadInput(f"{other} and {source} would both become {target}: rename one or translate them separately")
    originals = {source.resolve() for source, _ in jobs}
    for source, target in jobs:
        if target.resolve() in originals:
            raise BadInput(f"{target} would replace an original, {source}: choose another --output")
    if replaced := [path for path in more if path.resolve() in originals]:
        raise BadInput(f"{more[replaced[0]]}, {replaced[0]}, would replace an original: choose another --output")
    return outputs_to_keep([*more, *(target for _, target in jobs)], existing)


def check_side_by_side(pictures: Sequence[Path], preprocessing: Mapping[str, Any]) -> None:
    """Refuses, before any work, to translate pairs side by side as if each were one picture. If only a few pictures
    look like pairs, it prints how many.

    The model must have been trained on such pairs, and more than half of the pictures must have their shape: their
    ratio of width to height, to 1 % (older models do not state it: 2), so that none can be a half.

    Raises:
        BadInput: that is so; --side names a half, or the whole.
    """
    from quagga.data.io.read import read_header

    half = preprocessing.get("side")
    if half not in ("left", "right"):
        return
    match preprocessing.get("pair_size"):
        case [int(width), int(height)] if width > height > 0:
            ratio = width / height
        case _:
            ratio = 2.0
    count = 0
    for path in pictures:
        with suppress(BadInput):  # a picture that cannot be read is reported when it is translated
            header = read_header(path)
            count += header.wide and abs(header.longer / header.shorter - ratio) < 0.01 * ratio
    what = f"{count:,} of {len(pictures):,} pictures have the shape of the pairs side by side of training"
    if 2 * count > len(pictures):
        raise BadInput(f"{what}: --side {half} translates the {half} halves, --side whole each as one picture")
    if count:
        print(f"{what}: if they hold both, translate them apart with --side {half}")


def translate(
    translator: "Translator",
    jobs: Sequence[TranslationJob],
    output: Path,
    sheet: Path | None = None,
    side: "CutName | None" = None,
    kept: Set[Path] = frozenset(),
    condition: str | None = None,
    maps: "FaithfulnessMaps | None" = None,
) -> int:
    """Translates every picture whose target is not kept; reports one that cannot be read, and leaves it out.

    Args:
        translator: The model.
        jobs: What to read and to write.
        output: The folder of the targets.
        sheet: Where to write the comparison, which shows kept pictures too; None: nowhere.
        side: Which half of a pair side by side to translate.
        kept: Targets that are left as they are.
        condition: What the pictures shall show; None where the model takes no condition.
        maps: Makes a heat map of each picture; None: there are none.

    Returns:
        The exit code: 0, or 2 when a picture was left out.
    """
    from quagga.cli.output.comparison_sheet import MAX_ROWS, Comparison
    from quagga.cli.output.progress_bar import Progress
    from quagga.data.io.metadata import read_metadata
    from quagga.data.io.read import read_native

    failed = clipped = values = photos = 0
    comparison = Comparison(translator, side) if sheet else None
    c = translator.condition(condition)
    start = perf_counter()
    with Progress(len(jobs), "picture") as progress:
        for number, (source, target) in enumerate(jobs):
            progress.reach(number)
            translator.progress = lambda share, number=number: progress.reach(number + share)
            keep = target in kept
            if keep and not (comparison and len(comparison.rows) < MAX_ROWS):
                continue
            try:
                picture = translator.read(source, side)
                result = read_native(target).pixels if keep else translator.translate(picture, c)
            except BadInput as error:
                failed += not keep
                progress.print_line(left_out(source, error))
                continue
            if not keep:
                mark_output_folder(output)
                write_picture(target, result, read_metadata(source))
                if maps:
                    maps.add(target, picture, result, c)
            clipped, values = clipped + picture.clipped, values + picture.pixels.size
            if translator.input.kind == "edges" and not translator.from_photo:
                photos += looks_like_photo(picture.pixels)
            if comparison:
                comparison.add(source, picture, result)
    attempted = len(jobs) - sum(target in kept for _, target in jobs)
    done = attempted - failed
    if attempted < len(jobs):
        print(f"{len(jobs) - attempted} of {len(jobs)} pictures exist in {output} and are kept")
    if sheet and comparison and comparison.rows:
        columns, drawn = comparison.sheet()
        write_picture(sheet, drawn)
        print(f"{' | '.join(columns)}: {sheet}")
    for line in maps.finish() if maps else []:
        print(line)
    if clipped:
        low, high = translator.input_format.value_range
        print(f"{translator.source}: {clipped:,} of {values:,} values lay outside {low:g}..{high:g} and were clipped")
    if photos:
        print(f"{photos} of {done} are no drawings, black on white, which it takes: for photos, add --from_photo")
    half = translator.preprocessing.get("side")  # where x lay in the pairs of training
    if side in ("left", "right") and half and side != half:
        print(f"in training {translator.source} was the {half} half, not the {side} one")
    speed = done / (perf_counter() - start)
    what = "picture" if done == 1 else "pictures"
    print(f"{done} {what}, {translator.source} to {translator.target}, in {output} ({speed:.3g} pictures/s)")
    if failed:
        print(f"quagga: error: {failed} of {attempted} pictures could not be translated, see above", file=sys.stderr)
    return 2 if failed else 0


def looks_like_photo(picture: "np.ndarray") -> bool:
    """Whether less than half of a picture of 8 bits, (H, W, C), is white, unlike the ground of a drawing."""
    return float((picture >= 224).mean()) < 0.5
