"""`quagga sample --edit PHOTO|SEED --colour strokes.png`: what is drawn is read, and what comes of it is written."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from quagga.cli.options.points import parse_walk
from quagga.cli.options.sample_options import SampleOptions
from quagga.cli.output.output_files import mark_output_folder, outputs_to_keep, write_picture
from quagga.cli.output.progress_bar import Progress
from quagga.cli.output.walk_files import invert, locate, read_pictures, write_frames, write_sheet
from quagga.data.io.metadata import NO_METADATA, read_metadata
from quagga.data.io.pixel_format import grey_or_rgb, to_eight_bits
from quagga.data.io.read import read_native
from quagga.data.io.tensors import to_pixel_format, to_tensor
from quagga.data.transforms.augment import resize
from quagga.errors import BadInput
from quagga.inference import editing
from quagga.inference.sampler import Sampler

SHAPE_TOLERANCE = 0.02  # of the ratio of width to height of a drawing and its photo


class Window(NamedTuple):
    """The part of a picture that a model sees."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, ...], fit: str) -> "Window":
        """The middle of a picture (H, W, ...); all of it where pictures are squashed."""
        height, width = shape[:2]
        if fit == "squash":
            return cls(0, 0, height, width)
        side = min(height, width)
        return cls((height - side) // 2, (width - side) // 2, side, side)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Indices of rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def write_edit(
    sampler: Sampler, condition: str | None, chosen: SampleOptions, target: Path, sheet: Path, film: Path | None
) -> None:
    """Edits a photo or a sample: writes the result, a sheet of what led to it, and a film of the way.

    Args:
        sampler: The model.
        condition: What the picture shows, as text; None tries every class for a photo, and takes the first for a seed.
        chosen: Names the photo or seed and what is drawn, and says how.
        target: The result: of a photo in its own size, with the change carried back; of a seed what the model makes.
        sheet: What was given, the model's picture of it, what is drawn, the model's edited picture, and the result.
        film: The way from the model's picture to the edited one; None writes none.

    Raises:
        BadInput: a file cannot be read, has another shape than the photo, or is no drawing; or a condition is missing.
    """
    [point, *others] = parse_walk(str(chosen.edit), 1, "--edit")
    if others:
        raise BadInput(f"--edit {chosen.edit} names {len(others) + 1} pictures: one at a time")
    columns: dict[str, Tensor] = {}
    photo = to_tensor(sampler.reader.read(point).pixels) if isinstance(point, Path) else None
    shape = sampler.size if photo is None else tuple(photo.shape[1:])
    drawing = read_drawing(sampler, chosen.colour, chosen.sketch, shape)  # before the search, which takes longer
    if isinstance(point, Path):
        columns["photo"] = read_pictures(sampler, [point])
        z, c, distances = invert(sampler, columns["photo"], condition, chosen.steps)
        print(f"{point}: the model's picture of it is off by {float(distances[0]) / 2:.3f} of its range")
    else:
        z, c = locate(sampler, [point], condition, chosen.steps)
    G, z_0 = sampler.generator(c), z[0].to(sampler.device)
    with Progress(chosen.steps, "step") as progress:
        z_1 = editing.edit(
            G,
            z_0,
            drawing,
            smoothness=chosen.smoothness,
            keep=chosen.keep,
            steps=chosen.steps,
            progress=lambda step, z, x: progress.reach(step),
        )
    frames = editing.way(G, z_0, z_1, chosen.frames + 1)
    result = frames[-1] if photo is None else _carried_back(photo, frames, sampler.reader.fit)
    columns |= {"G(z0)": frames[:1], **_shown(drawing, frames[:1]), "G(z)": frames[-1:]}
    if photo is not None:
        rows, places = Window.of(shape, sampler.reader.fit).slices
        columns["result"] = interpolate(result[None, :, rows, places], sampler.size, mode="area")
    if not outputs_to_keep([target], chosen.existing):
        mark_output_folder(target.parent)
        metadata = read_metadata(point) if isinstance(point, Path) else NO_METADATA
        write_picture(target, to_pixel_format(result[None], sampler.output_format)[0], metadata)
        print(f"{target}")
    write_sheet(sampler, columns, sheet, chosen.existing)
    write_frames(sampler, frames, film, chosen.existing)


def _carried_back(photo: Tensor, frames: Tensor, fit: str) -> Tensor:
    """Returns the photo (C, H, W) with the edit in the part of it that the model sees."""
    rows, places = Window.of(tuple(photo.shape[1:]), fit).slices
    result = photo.clone()
    result[:, rows, places] = editing.carry_back(photo[:, rows, places], frames)
    return result


def _shown(drawing: editing.Drawing, x: Tensor) -> dict[str, Tensor]:
    """Returns what is drawn as pictures: strokes on the model's picture (1, C, H, W), and lines on white."""
    shown: dict[str, Tensor] = {}
    if drawing.colour is not None and drawing.opacity is not None:
        shown["colour"] = torch.lerp(x, drawing.colour[None], drawing.opacity)
    if drawing.lines is not None:
        shown["sketch"] = 1 - 2 * drawing.lines[None]
    return shown


def read_drawing(sampler: Sampler, colour: str | None, sketch: str | None, shape: tuple[int, ...]) -> editing.Drawing:
    """Reads what is drawn on a picture of a shape (H, W), as the model would see it.

    Args:
        sampler: The model.
        colour: File of strokes, transparent where there are none.
        sketch: File of lines on a transparent ground, or dark ones on a light ground.
        shape: Of the picture that is drawn on.

    Raises:
        BadInput: a file cannot be read or has another shape, strokes have no transparent ground, nothing is drawn, or
            the model's pictures are neither grey nor of three colours.
    """
    channels, size = sampler.output_format.channels, sampler.size
    strokes = opacity = lines = None
    if colour is not None:
        if channels not in (1, 3):
            raise BadInput(f"--colour is for grey and coloured pictures, and the model's have {channels} channels")
        pixels, alpha = _read_part(Path(colour).expanduser(), shape, sampler.reader.fit)
        if alpha is None:
            raise BadInput(f"{colour} has no transparent ground: paint strokes on a transparent picture")
        opaque = resize(alpha, *size)
        # Colours under transparent pixels are not seen, and do not bleed into strokes.
        tinted = resize(grey_or_rgb(pixels, channels).astype(np.float32) / 255 * alpha, *size)
        strokes = _to_tensor(tinted / np.maximum(opaque, 1e-6)) * 2 - 1
        opacity = _to_tensor(opaque)
    if sketch is not None:
        pixels, alpha = _read_part(Path(sketch).expanduser(), shape, sampler.reader.fit)
        drawn = 1 - grey_or_rgb(pixels, 1).astype(np.float32) / 255 if alpha is None else alpha
        lines = _to_tensor(resize(drawn, *size))
        lines = lines / lines.max().clamp_min(1e-6)  # thin lines of a large drawing are pale where it is shrunk
    for name, part in ((colour, opacity), (sketch, lines)):
        if part is not None and not bool((part > 0.01).any()):
            raise BadInput(f"{name} is empty: draw something on it")
    return editing.Drawing(strokes, opacity, lines)


def _read_part(path: Path, shape: tuple[int, ...], fit: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads a drawing, of which the model sees a part: its colours, uint8 (H, W, 1 or 3), and its opacity, float32 (H,
    W, 1) in [0, 1]; None where all is opaque. Raises BadInput where it has another shape."""
    native = read_native(path)
    height, width = native.pixels.shape[:2]
    if abs(width / height / (shape[1] / shape[0]) - 1) > SHAPE_TOLERANCE:
        raise BadInput(
            f"{path} is of {width}x{height} and is drawn on a picture of {shape[1]}x{shape[0]}: make it the same shape"
        )
    pixels = to_eight_bits(native.pixels[Window.of(native.pixels.shape, fit).slices])
    if not native.alpha:
        return (pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]), None
    alpha = pixels[..., -1:].astype(np.float32) / 255
    return pixels[..., :-1], alpha if alpha.min() < 1 else None


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, C) -> (C, H, W) in [0, 1]."""
    return torch.from_numpy(np.clip(pixels, 0, 1).astype(np.float32)).permute(2, 0, 1)
