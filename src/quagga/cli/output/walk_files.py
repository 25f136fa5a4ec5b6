"""`quagga sample --walk`, `--arithmetic` and `--invert`: walks, sums and inversions in a model's latent space."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quagga.cli.output.film import write_film
from quagga.cli.output.output_files import Existing, mark_output_folder, outputs_to_keep
from quagga.cli.output.progress_bar import Progress
from quagga.data.io.contact_sheet import contact_sheet, stretch_columns
from quagga.data.io.read import read_fitted
from quagga.data.io.tensors import to_tensor, to_uint8
from quagga.data.transforms.augment import Augment
from quagga.errors import BadInput
from quagga.inference import latent_space
from quagga.inference.sampler import Sampler

REFERENCE_SAMPLES = 32  # random samples whose distance is told beside that of an inverted picture
STRIP_FRAMES = 9  # frames of a walk that walk.png shows side by side


def write_walk(
    sampler: Sampler, z: Tensor, c: Tensor | None, *, frames: int, film: Path | None, sheet: Path, existing: Existing
) -> None:
    """Writes a sheet and a film of a walk through all points of z.

    Args:
        sampler: The model.
        z: (P, z_size), P at least 2.
        c: The encoded condition of the whole walk, (1, ...), or None.
        frames: From one point to the next.
        film: The .gif or .mp4 to write; None writes none.
        sheet: The picture to write, a strip of some frames.
        existing: What to do with files that exist.
    """
    path = latent_space.interpolate(z, frames * (len(z) - 1) + 1)
    pictures = decode(sampler, {sampler.target: (path, _repeated(c, len(path)))})[sampler.target]
    count = min(STRIP_FRAMES, len(path))
    shown = [round(n * (len(path) - 1) / (count - 1)) for n in range(count)]
    write_sheet(sampler, {sampler.target: pictures[shown]}, sheet, existing, count)
    if film and not outputs_to_keep([film], existing):
        write_film(_to_eight_bits(sampler, pictures), film)
        print(f"{len(path)} frames: {film}")


def write_sum(sampler: Sampler, text: str, condition: str | None, target: Path, existing: Existing) -> None:
    """Writes a sheet of the terms of a sum, such as "1,4 - 2,3 + 7", and of its result with random neighbors."""
    terms = latent_space.parse_sum(text)
    c = encode_condition(sampler, condition)
    points = {
        f"{'-' if term.sign < 0 else '+'} {','.join(map(str, term.seeds))}": sampler.latents(term.seeds)
        for term in terms
    }
    points["= and around it"] = latent_space.with_neighbors(latent_space.sum_of_means(terms, sampler.z_size))
    columns = decode(sampler, {name: (z, _repeated(c, len(z))) for name, z in points.items()})
    write_sheet(sampler, columns, target, existing, abreast=3)


def write_inversions(
    sampler: Sampler,
    paths: Sequence[Path],
    condition: str | None,
    *,
    steps: int,
    frames: int,
    film: Path | None,
    sheet: Path,
    walk_sheet: Path,
    existing: Existing,
) -> None:
    """Writes a sheet of pictures beside the nearest that the model can make, and of several a walk between these.

    Args:
        sampler: The model.
        paths: Files of pictures, at least one.
        condition: What they show, as text; None tries every class.
        steps: Of the search.
        frames: Of the walk, see `write_walk`.
        film: Of the walk.
        sheet: The picture to write.
        walk_sheet: The strip of the walk.
        existing: What to do with files that exist.

    Raises:
        BadInput: a picture cannot be read, the model's are not square, or a condition is missing.
    """
    height, width = sampler.size
    if height != width:
        raise BadInput(f"pictures of {width}x{height} are not square: --invert is for square ones")
    fit = Augment(height, height, channels=sampler.output_format.channels).without_chance
    fitted = [read_fitted(path, sampler.output_format, "x").pixels for path in paths]
    pictures = torch.stack([to_tensor(fit(pixels)) for pixels in fitted])
    if condition is None and sampler.conditions and sampler.conditions.kind != "class":
        sampler.condition(None, 1)  # raises BadInput, which says what is missing
    with Progress(len(paths), "picture") as progress:
        z, c, distances = sampler.invert(pictures, condition, steps=steps, progress=progress.reach)
    write_sheet(sampler, {"given": pictures, "nearest": sampler.decode(z, c)}, sheet, existing)
    random_z = sampler.latents(range(REFERENCE_SAMPLES))
    for number, path in enumerate(paths):
        label = f", as {sampler.conditions.describe(c[number])}" if sampler.conditions and c is not None else ""
        same = None if c is None else _repeated(c[number : number + 1], REFERENCE_SAMPLES)
        usual = float((sampler.decode(random_z, same) - pictures[number]).abs().mean()) / 2
        distance = float(distances[number]) / 2
        print(f"{path}: off by {distance:.3f} of its range, a sample of any seed by {usual:.3f}{label}")
    if len(paths) > 1 and c is not None and not bool((c == c[0]).all()):
        print("no walk: the pictures are of different classes, and a walk is of one; --label names it")
    elif len(paths) > 1:
        one = None if c is None else c[:1]
        write_walk(sampler, z, one, frames=frames, film=film, sheet=walk_sheet, existing=existing)


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
