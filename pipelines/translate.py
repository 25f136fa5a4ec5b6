"""`quagga translate`: every picture of some files and folders, translated into another folder."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple

from quagga import BadInput
from quagga.pipelines.words import read_line

KEPT = {  # suffix -> how Pillow writes it; lossless, but for JPEG, whose loss at 95 is not seen. All else becomes PNG.
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".webp": {"format": "WEBP", "lossless": True},
    ".bmp": {"format": "BMP"},
    ".tif": {"format": "TIFF", "compression": "tiff_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_deflate"},
}
COMPARISON = "comparison.png"
COMPARED = 16  # rows of the comparison
THUMBNAIL = 256  # pixels of the longer side of a picture in it
FLAGS = ("--overwrite", "--comparison", "--verify")  # mean true where they stand without a value


@dataclass(frozen=True)
class TranslateOptions:
    """Translate pictures of any size with what a run has left.

    Args:
        output: folder for the translated pictures, which must be named; below it folders keep their structure and files
            their names.
        to: what the pictures shall become: a domain's name such as zebra, or its letter, or AtoB or BtoA; None takes
            the model's first translation, from x to y.
        overwrite: replace what an earlier call has written.
        comparison: also write comparison.png, the first 16 pictures before and after.
        device: such as cuda, cuda:1, mps or cpu; None takes the best there is.
        resolution: model translates at the scale of training and carries the change back to the picture's own size, so
            that what does not change stays sharp; full translates at the picture's own size; a number of pixels is the
            size of the shorter side.
        tile: pictures of more than tile x tile pixels go through the network in strips, with the same result at the
            memory of one tile. auto is 1024, or what half the free memory of a CUDA GPU holds; None: always whole.
        verify: first replay the picture that was saved with the model, and stop if it no longer comes out the same.
    """

    output: str | None = None
    to: str | None = None
    overwrite: bool = False
    comparison: bool = False
    device: str | None = None
    resolution: Literal["model", "full"] | int = "model"
    tile: int | Literal["auto"] | None = "auto"
    verify: bool = False


class Job(NamedTuple):
    source: Path
    target: Path


def main(argv: Sequence[str], build: Callable[..., Any] | None = None) -> int:
    """Obeys `quagga translate ARGV...`; returns 0, or 2 when some pictures could not be translated.

    Args:
        argv: `RUN INPUT... --output DIR [--to zebra] [--overwrite] [--comparison] [--resolution full]`.
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
    jobs = plan([Path(name).expanduser() for name in inputs], output)
    sheet = output / COMPARISON if chosen.comparison else None
    check(jobs, sheet, chosen.overwrite)
    from quagga.pipelines.translator import load  # torch: two seconds that a misspelt option need not wait for

    settings = {"resolution": chosen.resolution, "tile": chosen.tile, "verify": chosen.verify}
    return translate(load(run, chosen.to, chosen.device, build, **settings), jobs, output, sheet)


def plan(inputs: Sequence[Path], output: Path) -> list[Job]:
    """What is to be read and what is to be written, each picture once. Nothing is touched.

    Raises:
        BadInput: an input is not there, there is no picture among them, or the output is no folder.
    """
    from quagga.data.decode import SUFFIXES
    from quagga.data.folders import find_pictures

    if output.exists() and not output.is_dir():
        raise BadInput(f"--output {output} is a file: name a folder")
    own = output.resolve()
    jobs: list[Job] = []
    for place in inputs:
        if place.is_file():
            jobs.append(Job(place, output / _renamed(Path(place.name))))
        elif place.is_dir():
            # The output may lie inside the input: what an earlier call made of it is not translated again.
            inside = own != place.resolve()
            found = [path for path in find_pictures(place) if not (inside and path.resolve().is_relative_to(own))]
            if not found:
                raise BadInput(f"{place} has 0 images: expected {', '.join(SUFFIXES)} in it")
            jobs += [Job(path, output / _renamed(path.relative_to(place))) for path in found]
        else:
            raise BadInput(f"there is no file or folder {place}: give pictures, or folders of pictures")
    return list({(source.resolve(), target): Job(source, target) for source, target in jobs}.values())


def check(jobs: Sequence[Job], sheet: Path | None, overwrite: bool) -> None:
    """Refuses, before any work, what would lose a picture.

    Raises:
        BadInput: two pictures would be written to one file, an original would be replaced, or an older output would,
            without `overwrite`.
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
    targets = [*([sheet] if sheet else []), *(target for _, target in jobs)]
    there = [target for target in dict.fromkeys(targets) if target.exists()]
    if there and not overwrite:
        names = ", ".join(map(str, there[:3])) + (", ..." if len(there) > 3 else "")
        raise BadInput(
            f"{len(there)} of {len(targets)} outputs exist ({names}): add --overwrite or choose another --output"
        )


def translate(translator: Any, jobs: Sequence[Job], output: Path, sheet: Path | None) -> int:
    """Translates every picture; one that cannot be read is reported and left out. Returns the exit code."""
    from tqdm import tqdm

    from quagga.data.decode import read_picture

    failed = 0
    pairs: list[Any] = []
    begin = perf_counter()
    with tqdm(jobs, unit="picture", disable=None) as progress:
        for source, target in progress:
            try:
                picture = read_picture(source, translator.channels)
                result = translator(picture)
            except BadInput as error:
                failed += 1
                message = str(error) if str(source) in str(error) else f"{source}: {error}"
                progress.write(f"quagga: left out: {message}", file=sys.stderr)
                continue
            write(target, result)
            if sheet and len(pairs) < COMPARED:
                pairs.append((_thumbnail(picture), _thumbnail(result)))
    done = len(jobs) - failed
    if sheet and pairs:
        write(sheet, _comparison(pairs))
        print(f"{translator.source} | {translator.target}: {sheet}")
    speed = done / (perf_counter() - begin)
    what = "picture" if done == 1 else "pictures"
    print(f"{done} {what}, {translator.source} to {translator.target}, in {output} ({speed:.3g} pictures/s)")
    if failed:
        print(f"quagga: error: {failed} of {len(jobs)} pictures could not be translated, see above", file=sys.stderr)
    return 2 if failed else 0


def write(target: Path, picture: Any) -> None:
    """Writes an (H, W, C) uint8 picture under another name first, so that no half-written file bears the real one.

    Raises:
        BadInput: it cannot be written; nothing of it is left.
    """
    from PIL import Image

    draft = target.parent / f".{os.getpid()}.part"  # short, since a name has 255 bytes and the target's may use them
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            image.save(draft, **KEPT[target.suffix.lower()])
            draft.replace(target)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"cannot write {target} ({reason}): free some space or choose another --output") from None


def _renamed(name: Path) -> Path:
    return name if name.suffix.lower() in KEPT else name.with_suffix(".png")


def _thumbnail(picture: Any) -> Any:
    from PIL import Image

    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return image


def _comparison(pairs: Sequence[tuple[Any, Any]]) -> Any:
    """Rows of before | after, (H, W, 3) uint8."""
    import numpy as np
    from PIL import Image

    gap = 4
    sheet = Image.new("RGB", (2 * THUMBNAIL + gap, sum(before.height + gap for before, _ in pairs) - gap), "white")
    top = 0
    for before, after in pairs:
        sheet.paste(before, (THUMBNAIL - before.width, top))
        sheet.paste(after, (THUMBNAIL + gap, top))
        top += before.height + gap
    return np.asarray(sheet)
