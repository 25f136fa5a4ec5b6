"""`quagga sample --walk`, `--arithmetic` and `--invert`: walks, sums and inversions in a model's latent space."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quagga.cli.options.points import pictures_named
from quagga.cli.options.sample_options import SampleOptions
from quagga.cli.output.film import write_film
from quagga.cli.output.output_files import Existing, mark_output_folder, outputs_to_keep
from quagga.cli.output.progress_bar import Progress
from quagga.data.io.contact_sheet import contact_sheet, stretch_columns
from quagga.data.io.tensors import to_uint8
from quagga.errors import BadInput
from quagga.inference import latent_space
from quagga.inference.sampler import Sampler

REFERENCE_SAMPLES = 32  # random samples whose distance is told beside that of an inverted picture
MAX_SHOWN = 12  # pictures of a term of a sum that arithmetic.png shows
STRIP_FRAMES = 9  # frames of a walk that walk.png shows side by side


def write_walk(
    sampler: Sampler, z: Tensor, c: Tensor | None, chosen: SampleOptions, film: Path | None, sheet: Path
) -> None:
    """Writes a sheet and a film of a walk through all points of z, and their conditions.

    Args:
        sampler: The model.
        z: (P, z_size), P at least 2.
        c: The encoded condition of each point, (P, ...), or None.
        chosen: Says how many frames from one point to the next, whether lines are straight, and what to do with files
            that exist.
        film: The .gif or .mp4 to write; None writes none.
        sheet: The picture to write, a strip of some frames.
    """
    frames = chosen.frames * (len(z) - 1) + 1
    path = latent_space.interpolate(z, frames, chosen.straight or sampler.noise.kind == "code")
    walker, conditions = (sampler, None) if c is None else sampler.walk(c, frames)
    pictures = decode(walker, {sampler.target: (path, conditions)})[sampler.target]
    count = min(STRIP_FRAMES, len(path))
    shown = [round(n * (len(path) - 1) / (count - 1)) for n in range(count)]
    write_sheet(sampler, {sampler.target: pictures[shown]}, sheet, chosen.existing, count)
    write_frames(sampler, pictures, film, chosen.existing)


def write_frames(sampler: Sampler, pictures: Tensor, film: Path | None, existing: Existing) -> None:
    """Writes a film of pictures (N, C, H, W) in [-1, 1], unless there is to be none or the file is kept."""
    if film and not outputs_to_keep([film], existing):
        mark_output_folder(film.parent)
        write_film(_to_eight_bits(sampler, pictures), film)
        print(f"{len(pictures)} frames: {film}")


def points_of_walk(
    sampler: Sampler, points: Sequence[int | Path], conditions: Sequence[str], steps: int, truncation: float | None
) -> tuple[Tensor, Tensor | None]:
    """Returns the points of a walk: z (P, z_size), and the encoded condition of each, (P, ...), or None.

    Args:
        sampler: The model.
        points: Seeds, and files of pictures.
        conditions: None, one for the whole walk, or one for each point; or several, and one point for all of them.
        steps: Of the search for a picture's z.
        truncation: Of the noise of seeds.

    Raises:
        BadInput: there are as many conditions as there are points neither, a picture cannot be read, or a condition is
            missing.
    """
    if len(conditions) > 1 and len(points) not in (1, len(conditions)):
        raise BadInput(f"{len(conditions)} conditions and {len(points)} points: name one point, or one for each")
    if len(conditions) > 1 and len(points) > 1:
        each = [
            locate(sampler, [point], text, steps, truncation) for point, text in zip(points, conditions, strict=True)
        ]
        return torch.cat([z for z, _ in each]), torch.cat([c for _, c in each if c is not None])
    if len(conditions) > 1:
        z, _ = locate(sampler, points, conditions[0], steps, truncation)
        encodings = [sampler.condition(text, 1) for text in conditions]
        return z.expand(len(conditions), -1), torch.cat([c for c in encodings if c is not None])
    return locate(sampler, points, conditions[0] if conditions else None, steps, truncation)


def locate(
    sampler: Sampler, points: Sequence[int | Path], condition: str | None, steps: int, truncation: float | None = None
) -> tuple[Tensor, Tensor | None]:
    """Returns the z of seeds and pictures, (P, z_size), and their encoded condition (P, ...), or None. Of a model of
    classes, if no class is named, seeds take the first, and for pictures every class is tried. Raises BadInput, as
    `Sampler.invert` does."""
    paths = [point for point in points if isinstance(point, Path)]
    seeds = [point for point in points if isinstance(point, int)]
    z = torch.empty(len(points), sampler.z_size)
    c = _repeated(encode_condition(sampler, condition), len(points)) if seeds else None
    if seeds:
        z[[isinstance(point, int) for point in points]] = sampler.latents(seeds, truncation)
    if paths:
        is_picture = [isinstance(point, Path) for point in points]
        found, c_found, _ = invert(sampler, read_pictures(sampler, paths), condition, steps)
        z[is_picture] = found
        if c_found is not None:
            c = torch.empty(len(points), *c_found.shape[1:], dtype=c_found.dtype) if c is None else c.clone()
            c[is_picture] = c_found
    return z, c


def read_pictures(sampler: Sampler, paths: Sequence[Path]) -> Tensor:
    """Reads pictures as the model would make them, (N, C, H, W) in [-1, 1]. Raises BadInput where one cannot be read or
    the model's are not square."""
    height, width = sampler.size
    if height != width:
        raise BadInput(f"pictures of {width}x{height} are not square: pictures are found for square ones alone")
    return torch.cat([sampler.reader.tensor(sampler.reader.read(path)) for path in paths])


def invert(
    sampler: Sampler, pictures: Tensor, condition: str | None, steps: int
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Does what `Sampler.invert` does, and tells how far it is."""
    if condition is None and sampler.conditions and sampler.conditions.kind != "class":
        sampler.condition(None, 1)  # raises BadInput, which says what is missing
    with Progress(len(pictures), "picture") as progress:
        return sampler.invert(pictures, condition, steps=steps, progress=progress.reach)


def write_sum(sampler: Sampler, text: str, condition: str | None, chosen: SampleOptions, target: Path) -> None:
    """Writes a sheet of the terms of a sum, such as "1,4 - 2,3 + 7" or "blond - brown + me.png", and of its result with
    random neighbors."""
    terms = latent_space.parse_sum(text)
    named = [
        [pictures_named([point]) if isinstance(point, str) else [point] for point in term.points] for term in terms
    ]
    c = encode_condition(sampler, condition)
    if condition is None and c is not None:
        condition = sampler.names[0]
    means = [
        (term.sign, locate(sampler, [point for some in each for point in some], condition, chosen.steps)[0])
        for term, each in zip(terms, named, strict=True)
    ]
    points = {
        f"{'-' if term.sign < 0 else '+'} {','.join(map(str, term.points))}": z[:MAX_SHOWN]
        for term, (_, z) in zip(terms, means, strict=True)
    }
    points["= and around it"] = latent_space.with_neighbors(latent_space.sum_of_means(means))
    columns = decode(sampler, {name: (z, _repeated(c, len(z))) for name, z in points.items()})
    write_sheet(sampler, columns, target, chosen.existing, abreast=3)


def write_inversions(
    sampler: Sampler,
    paths: Sequence[Path],
    condition: str | None,
    chosen: SampleOptions,
    film: Path | None,
    sheet: Path,
    walk_sheet: Path,
) -> None:
    """Writes a sheet of pictures beside the nearest that the model can make, and of several a walk between these.

    Args:
        sampler: The model.
        paths: Files of pictures, at least one.
        condition: What they show, as text; None tries every class.
        chosen: Says how many steps to search, and what to do with files that exist; for the walk see `write_walk`.
        film: Of the walk.
        sheet: The picture to write.
        walk_sheet: The strip of the walk.

    Raises:
        BadInput: a picture cannot be read, the model's are not square, or a condition is missing.
    """
    pictures = read_pictures(sampler, paths)
    z, c, distances = invert(sampler, pictures, condition, chosen.steps)
    write_sheet(sampler, {"given": pictures, "nearest": sampler.decode(z, c)}, sheet, chosen.existing)
    has_seeds = sampler.noise.kind == "noise"
    for number, path in enumerate(paths):
        label = f", as {sampler.conditions.describe(c[number])}" if sampler.conditions and c is not None else ""
        usual = ""
        if has_seeds:
            same = None if c is None else _repeated(c[number : number + 1], REFERENCE_SAMPLES)
            others = sampler.decode(sampler.latents(range(REFERENCE_SAMPLES)), same)
            usual = f", a sample of any seed by {float((others - pictures[number]).abs().mean()) / 2:.3f}"
        print(f"{path}: off by {float(distances[number]) / 2:.3f} of its range{usual}{label}")
    if len(paths) > 1:
        write_walk(sampler, z, c, chosen, film, walk_sheet)


def encode_condition(sampler: Sampler, condition: str | None) -> Tensor | None:
    """Encodes the condition of a walk or a sum, (1, ...). A model of classes takes its first where none is named."""
    if condition is None and sampler.conditions and sampler.conditions.kind == "class":
        print(f"all pictures are of the class {sampler.names[0]}, the first: --label names another")
    return sampler.condition(condition, 1)


def decode(sampler: Sampler, points: Mapping[str, tuple[Tensor, Tensor | None]]) -> dict[str, Tensor]:
    """Makes the pictures of z (N, z_size) and perhaps encoded conditions (N, ...), by name: (N, C, H, W) in [-1, 1]."""
    done, pictures = 0, {}
    with Progress(sum(len(z) for z, _ in points.values()), "picture") as progress:
        for name, (z, c) in points.items():
            pictures[name] = []
            for batch in sampler.decode_batches(z, c):
                pictures[name].append(batch)
                done += len(batch)
                progress.reach(done)
    return {name: torch.cat(batches) for name, batches in pictures.items()}


def write_sheet(
    sampler: Sampler, columns: dict[str, Tensor], target: Path, existing: Existing, abreast: int = 1
) -> None:
    """Writes a contact sheet of pictures in [-1, 1], unless the file is kept; pictures that are not of 8 bits are
    stretched."""
    if not outputs_to_keep([target], existing):
        mark_output_folder(target.parent)
        shown = columns if sampler.output_format.eight_bits else stretch_columns(columns, list(columns))
        contact_sheet(shown, target, abreast)
        print(f"{target}")


def _to_eight_bits(sampler: Sampler, pictures: Tensor) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] -> uint8 (N, H, W, 1 or 3); pictures that are not of 8 bits are stretched."""
    shown = pictures[:, : 3 if pictures.shape[1] >= 3 else 1]
    return to_uint8(
        shown if sampler.output_format.eight_bits else next(iter(stretch_columns({"": shown}, [""]).values()))
    )


def _repeated(c: Tensor | None, count: int) -> Tensor | None:
    """One encoded condition (1, ...) for `count` pictures, (count, ...)."""
    return None if c is None else c.expand(count, *c.shape[1:])
