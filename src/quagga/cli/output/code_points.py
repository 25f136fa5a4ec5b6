"""Codes of pictures as points: `quagga translate RUN PICTURES --to points`, a table and a folder for TensorBoard's
projector."""

import csv
import io
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quagga import atomic
from quagga.cli.output.class_table import check_names
from quagga.cli.output.output_files import Existing, mark_output_folder, outputs_to_keep
from quagga.cli.output.progress_bar import for_each_file
from quagga.errors import BadInput
from quagga.escapes import printable

if TYPE_CHECKING:
    from torch import Tensor

    from quagga.inference.coder import Coder

TABLE, PROJECTOR = "codes.csv", "projector"
SHEET = 4096  # pixels a side, at most, of the sheet of small pictures: a texture that every browser can draw
SPRITE = 64  # pixels a side, at most, of one of them


def write_code_points(coder: "Coder", pictures: Sequence[tuple[Path, Path]], output: Path, existing: Existing) -> int:
    """Writes `codes.csv`, a line `file,z1,z2,...` for each picture, and the folder `projector`, for TensorBoard: the
    same points, each with a small picture, its name, and the name of the folder that it was in.

    Args:
        coder: The model.
        pictures: The files, each with the name that stands in the table.
        output: The folder of both.
        existing: What to do with those that exist. With skip, both are left as they are if both exist.

    Returns:
        The exit code: 0, or 2 when a picture was left out.

    Raises:
        BadInput: one exists and `existing` is error, two files would have one name in the table, a name is no valid
            text, no picture can be read, or they cannot be written.
    """
    check_names(pictures)
    targets = [output / TABLE, output / PROJECTOR]
    if len(outputs_to_keep(targets, existing)) == len(targets):
        print(f"{targets[0]} and {targets[1]} exist and are kept")
        return 0
    side = sprite_side(len(pictures), coder.reader.size)
    names: list[tuple[str, str]] = []  # and of the folder
    codes: list[np.ndarray] = []
    sprites: list[Tensor] = []

    def add_point(picture: tuple[Path, Path]) -> None:
        path, name = picture
        x = coder.reader.tensor(coder.reader.read(path))
        codes.append(coder.numbers(x))
        names.append((name.as_posix(), path.resolve().parent.name))
        sprites.append(sprite(x, side))

    outcome = for_each_file(pictures, lambda picture: picture[0], add_point)
    if not codes:
        raise BadInput("no picture could be read, see above")
    mark_output_folder(output)
    try:
        atomic.write_file(targets[0], table(names, codes).encode())
        atomic.write_folder(targets[1], lambda folder: write_projector(folder, names, codes, sprites))
    except OSError as error:
        raise BadInput(
            f"cannot write {output} ({error.strerror}): free some space or choose another --output"
        ) from None
    points = f"{len(codes)} {'point' if len(codes) == 1 else 'points'} of {len(codes[0])} numbers"
    print(f"{points}: {targets[0]} ({outcome.speed:.3g} a second); to look at them: tensorboard --logdir {targets[1]}")
    return outcome.exit_code("pictures could not be read")


def table(names: Sequence[tuple[str, str]], codes: Sequence[np.ndarray]) -> str:
    """Returns codes (m,) in float32 as CSV, with as many digits as they have."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["file", *(f"z{n}" for n in range(1, len(codes[0]) + 1))])
    lines.writerows([name, *map(str, z)] for (name, _), z in zip(names, codes, strict=True))
    return text.getvalue()


def sprite_side(count: int, size: int) -> int:
    """Returns the side in pixels of each of `count` small pictures of pictures of a size, so that the sheet of all is
    not too large."""
    return max(1, min(SPRITE, SHEET // ceil(sqrt(count)), size))


def sprite(x: "Tensor", side: int) -> "Tensor":
    """Returns a picture (1, C, H, W) in [-1, 1] as a small one, (3, side, side) in [0, 1]; of 2 channels the first is
    shown, of 4 and more the first three."""
    from torch.nn.functional import interpolate

    shown = x[:, : 3 if x.shape[1] > 2 else 1].expand(-1, 3, -1, -1)
    return interpolate(shown / 2 + 0.5, (side, side), mode="area")[0].half()


def write_projector(
    folder: Path, names: Sequence[tuple[str, str]], codes: Sequence[np.ndarray], sprites: "Sequence[Tensor]"
) -> None:
    """Writes into a folder what TensorBoard's projector reads."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    lines = [[printable(word) for word in words] for words in names]
    points = np.stack(codes)
    # The projector opens with three axes, and draws no point where there are fewer.
    points = np.pad(points, ((0, 0), (0, max(0, 3 - points.shape[1]))))
    with SummaryWriter(folder) as writer:
        sheet = torch.stack(list(sprites)).float()
        writer.add_embedding(points, lines, sheet, tag="codes", metadata_header=["file", "folder"])
