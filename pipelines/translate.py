"""`quagga translate`: every picture of some files and folders, translated into another folder."""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from quagga import BadInput
from quagga.pipelines.existing import Existing, kept
from quagga.pipelines.printable import printable
from quagga.pipelines.words import read_line

if TYPE_CHECKING:
    import numpy as np

    from quagga.data.form import Form
    from quagga.data.metadata import Metadata
    from quagga.pipelines.translator import Translator

COMPARISON = "comparison.png"
FLAGS = ("--overwrite", "--comparison", "--verify", "--from_photo")  # mean true where they stand without a value


@dataclass(frozen=True)
class TranslateOptions:
    """Translate pictures of any size with what a run has left.

    Args:
        output: folder for the translated pictures, which must be named; below it folders keep their structure and files
            their names.
        to: what the pictures shall become: a domain's name such as zebra, or its letter, or AtoB or BtoA; None takes
            the model's first translation, from x to y.
        existing: what becomes of outputs that are there already: error refuses before any work, skip leaves them and
            translates the others (so a call that was stopped goes on), overwrite replaces them.
        comparison: also write comparison.png, the first 16 pictures before and after, and as they truly look where that
            is known: of pairs side by side, or of folders of pairs.
        device: such as cuda, cuda:1, mps or cpu; None takes the best there is.
        resolution: model translates at the scale of training and carries the change back to the picture's own size, so
            that what does not change stays sharp; full translates at the picture's own size; a number of pixels is the
            size of the shorter side.
        tile: pictures of more than tile x tile pixels go through the network in strips, with the same result at the
            memory of one tile. auto is 1024, or what half the free memory of a CUDA GPU holds; None: always whole.
        verify: first replay the picture that was saved with the model, and stop if it no longer comes out the same.
        dropout: whether dropout stays on; None: as the model says (pix2pix: on, as in its paper).
        statistics: what batch normalisation takes, batch for the statistics of each picture itself, running for the
            averages of training; None: as the model says (pix2pix: batch, as in its paper).
        seed: of the dropout; each picture begins from it.
        from_photo: of a model that takes edges, give it photos and let it draw their edges first.
        side: of pictures that hold a pair side by side, translate the left or the right one; whole takes all of it.
            None: all of it too, unless the model was trained on such pairs and most pictures have their shape.
        mixed_precision: bf16 computes products in 16 bits, faster on GPUs and on CPUs with AMX; colours then differ by
            a level of 255, single pixels by more. Pictures that go through in strips stay in float32; `no` keeps all in
            it.
    """

    output: str | None = None
    to: str | None = None
    existing: Existing = "error"
    comparison: bool = False
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


class Job(NamedTuple):
    """A picture to be translated: the file to read, and the file to write."""

    source: Path
    target: Path


def main(argv: Sequence[str], build: Callable[..., Any] | None = None) -> int:
    """Obeys `quagga translate ARGV...`; returns 0, or 2 when some pictures could not be translated.

    Args:
        argv: `RUN INPUT... --output DIR [--to zebra] [--existing skip] [--comparison] [--resolution full]`.
        build: Makes the game of a pipeline written outside Quagga.
    """
    words, chosen = read_line(argv, "quagga translate RUN INPUT ...", TranslateOptions, FLAGS)
    if chosen is None:
        return 0
    run, *inputs = words or [""]
    if not inputs:
        raise BadInput("no pictures are given: quagga translate RUN INPUT ... --output DIR")
    if chosen.output is None:
        raise BadInput("name the folder for the translated pictures: --output DIR")
    output = Path(chosen.output).expanduser()
    found = find([Path(name).expanduser() for name in inputs], output)
    settings = {"resolution": chosen.resolution, "tile": chosen.tile, "verify": chosen.verify}
    settings |= {"dropout": chosen.dropout, "statistics": chosen.statistics}
    settings["mixed_precision"] = chosen.mixed_precision
    with uncollected():
        from quagga.pipelines.load import load_translator  # torch: a second that a misspelt option need not wait for

        translator = load_translator(
            run, chosen.to, chosen.device, build, seed=chosen.seed, from_photo=chosen.from_photo, **settings
        )
    jobs = plan(found, output, translator.gives)
    sheet = output / COMPARISON if chosen.comparison else None
    made = check(jobs, sheet, chosen.existing)
    if chosen.side is None:
        refuse_pairs([job.source for job in jobs], translator.preprocessing)
    return translate(translator, jobs, output, None if sheet in made else sheet, chosen.side, made)


@contextmanager
def uncollected() -> Iterator[None]:
    """Within, Python looks for no garbage: among what torch imports there is none, and looking takes 0.3 s."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def find(inputs: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """What is to be read, and its name below the output. Nothing is touched.

    Raises:
        BadInput: an input is not there, there is no picture among them, or the output is no folder.
    """
    from quagga.data.decode import SUFFIXES
    from quagga.data.folders import find_all

    if output.exists() and not output.is_dir():
        raise BadInput(f"--output {output} is a file: name a folder")
    own = output.resolve()
    pictures: list[tuple[Path, Path]] = []
    for place in inputs:
        if place.is_file():
            pictures.append((place, Path(place.name)))
        elif place.is_dir():
            # The output may lie inside the input: what an earlier call made of it is not translated again.
            inside = own != place.resolve()
            found, left_out = find_all(place)
            found = [path for path in found if not (inside and path.resolve().is_relative_to(own))]
            if not found:
                expected = f"expected {', '.join(SUFFIXES)} in it"
                raise BadInput(f"{place} has 0 images: {'; '.join(left_out) or expected}")
            for line in left_out:
                print(f"{place}: {line}", file=sys.stderr)
            pictures += [(path, path.relative_to(place)) for path in found]
        else:
            raise BadInput(f"there is no file or folder {place}: give pictures, or folders of pictures")
    return pictures


def plan(pictures: Sequence[tuple[Path, Path]], output: Path, form: "Form") -> list[Job]:
    """What is to be read and what is to be written, each picture once. A suffix that cannot hold the form changes."""
    from quagga.data.write import suffix_for

    jobs = [Job(path, output / name.with_suffix(suffix_for(name.suffix, form))) for path, name in pictures]
    return list({(source.resolve(), target): Job(source, target) for source, target in jobs}.values())


def check(jobs: Sequence[Job], sheet: Path | None, existing: Existing) -> set[Path]:
    """Refuses, before any work, what would lose a picture. Returns the outputs that stay as they are.

    Raises:
        BadInput: two pictures would be written to one file, an original would be replaced, or an older output is there
            and `existing` is error.
    """
    writers: dict[str, Path] = {os.path.normcase(sheet): Path("the comparison")} if sheet else {}
    for source, target in jobs:
        other = writers.setdefault(os.path.normcase(target), source)
        if other is not source:
            raise BadInput(f"{other} and {source} would both become {target}: rename one or translate them separately")
    originals = {source.resolve() for source, _ in jobs}
    for source, target in jobs:
        if target.resolve() in originals:
            raise BadInput(f"{target} would replace an original, {source}: choose another --output")
    return kept([*([sheet] if sheet else []), *(target for _, target in jobs)], existing)


def refuse_pairs(pictures: Sequence[Path], preprocessing: Mapping[str, Any]) -> None:
    """Refuses, before any work, to translate pairs side by side as if each were one picture; of a few it is said.

    The model must have learned from such pairs, and most pictures must have their shape: as wide by as high, to 1 %, as
    most of these were (of older models, which do not say: twice as wide as high), so that none can be a half.

    Raises:
        BadInput: that is so; a half can be named, or the whole.
    """
    from quagga.data.decode import read_header

    half = preprocessing.get("side")
    if half not in ("left", "right"):
        return
    match preprocessing.get("pair_size"):
        case [int(width), int(height)] if width > height > 0:
            shape = width / height
        case _:
            shape = 2.0
    alike = 0
    for path in pictures:
        with suppress(BadInput):  # what cannot be read is told when its turn comes
            header = read_header(path)
            alike += header.wide and abs(header.longer / header.shorter - shape) < 0.01 * shape
    what = f"{alike:,} of {len(pictures):,} pictures have the shape of the pairs side by side of training"
    if 2 * alike > len(pictures):
        raise BadInput(f"{what}: --side {half} translates the {half} halves, --side whole each as one picture")
    if alike:
        print(f"{what}: if they hold both, translate them apart with --side {half}")


def translate(
    translator: "Translator",
    jobs: Sequence[Job],
    output: Path,
    sheet: Path | None = None,
    side: Literal["left", "right", "whole"] | None = None,
    made: Set[Path] = frozenset(),
) -> int:
    """Translates every picture whose target is not made yet; one that cannot be read is reported and left out. Returns
    the exit code. The comparison shows what was made before, too."""
    from quagga.data.decode import read_native
    from quagga.data.metadata import read_metadata
    from quagga.pipelines.comparison import MOST, Comparison
    from quagga.pipelines.progress import Progress

    failed = clipped = values = photos = 0
    comparison = Comparison(translator, side) if sheet else None
    begin = perf_counter()
    with Progress(len(jobs), "picture") as progress:
        for number, (source, target) in enumerate(jobs):
            progress.reach(number)
            translator.progress = lambda share, number=number: progress.reach(number + share)
            there = target in made
            if there and not (comparison and len(comparison.rows) < MOST):
                continue
            try:
                picture = translator.read(source, side)
                result = read_native(target).pixels if there else translator.translated(picture)
            except BadInput as error:
                failed += not there
                message = str(error) if str(source) in str(error) else f"{source}: {error}"
                progress.say(f"quagga: left out: {printable(message)}")
                continue
            if not there:
                mark(output)
                write(target, result, read_metadata(source))
            clipped, values = clipped + picture.clipped, values + picture.pixels.size
            photos += translator.input.kind == "edges" and not translator.from_photo and no_drawing(picture.pixels)
            if comparison:
                comparison.add(source, picture, result)
    left = len(jobs) - sum(target in made for _, target in jobs)
    done = left - failed
    if left < len(jobs):
        print(f"{len(jobs) - left} of {len(jobs)} pictures are in {output} already and stay as they are")
    if sheet and comparison and comparison.rows:
        columns, drawn = comparison.sheet()
        write(sheet, drawn)
        print(f"{' | '.join(columns)}: {sheet}")
    if clipped:
        low, high = translator.takes.value_range
        print(f"{translator.source}: {clipped:,} of {values:,} values lay outside {low:g}..{high:g} and were clipped")
    if photos:
        print(f"{photos} of {done} are no drawings, black on white, as the model takes: of photos, say --from_photo")
    half = translator.preprocessing.get("side")  # where x lay in the pairs of training
    if side in ("left", "right") and half and side != half:
        print(f"in training {translator.source} was the {half} half, not the {side} one")
    speed = done / (perf_counter() - begin)
    what = "picture" if done == 1 else "pictures"
    print(f"{done} {what}, {translator.source} to {translator.target}, in {output} ({speed:.3g} pictures/s)")
    if failed:
        print(f"quagga: error: {failed} of {left} pictures could not be translated, see above", file=sys.stderr)
    return 2 if failed else 0


def no_drawing(picture: "np.ndarray") -> bool:
    """Whether less than half of a picture of 8 bits, (H, W, C), is white, as the ground of a drawing is."""
    return float((picture >= 224).mean()) < 0.5


def mark(output: Path) -> None:
    """Marks a new folder as one of ours, so that no training takes its pictures for data, see
    `quagga.data.folders.claim`.

    Raises:
        BadInput: it cannot be written.
    """
    from quagga.data.folders import claim

    try:
        claim(output)
    except OSError as error:
        why = f"cannot write {output} ({error.strerror})"
        raise BadInput(f"{why}: free some space or choose another --output") from None


def write(target: Path, picture: "np.ndarray", metadata: "Metadata | None" = None) -> None:
    """Writes an (H, W, C) picture under another name first, so that no half-written file bears the real one.

    Raises:
        BadInput: it cannot be written; nothing of it is left.
    """
    from quagga.data.metadata import NOTHING
    from quagga.data.write import draft_of, save

    with draft_of(target) as draft:
        save(draft, picture, target.suffix, metadata or NOTHING)
