"""What is missing in pictures, filled in: `quagga translate RUN PICTURES --mask DIR|white|alpha`.

Files are written without loss, each at its own depth, so that every pixel that is known comes back to the bit.
"""

from collections import defaultdict
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quagga.cli.output.output_files import mark_output_folder, write_picture
from quagga.cli.output.progress_bar import for_each_file
from quagga.errors import BadInput, some

if TYPE_CHECKING:
    import numpy as np

    from quagga.data.io.pixel_format import Native
    from quagga.inference.inpainter import Inpainter

LOSSY = (".jpg", ".jpeg")


class Filling(NamedTuple):
    """A picture to be filled: the file to read, the file to write, and the file of its mask; None where the picture
    says itself what is missing."""

    source: Path
    target: Path
    mask: Path | None


def plan_fillings(pictures: Sequence[tuple[Path, Path]], output: Path, how: str) -> list[Filling]:
    """Returns which file is written for which picture, each once, and where its mask is.

    Args:
        pictures: The files to read, each with its name below the output.
        output: The folder of the targets.
        how: "white", "alpha", or a folder of masks.

    Raises:
        BadInput: the folder is none, or pictures have no mask there or several.
    """
    masks = {} if how in ("white", "alpha") else masks_of([name for _, name in pictures], Path(how).expanduser())
    fillings = [
        Filling(path, output / name.with_suffix(lossless_suffix(path, how)), masks.get(name)) for path, name in pictures
    ]
    return list({(filling.source.resolve(), filling.target): filling for filling in fillings}.values())


def masks_of(names: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Returns the mask of each picture: the file of the same name, whatever its suffix. Raises BadInput."""
    from quagga.data.sources.folders import picture_folder, pictures_or_explain

    found: dict[Path, list[Path]] = defaultdict(list)
    for path in pictures_or_explain(picture_folder(folder))[0]:
        found[path.relative_to(folder).with_suffix("")].append(path)
    without = [str(name) for name in names if name.with_suffix("") not in found]
    if without:
        raise BadInput(
            f"{len(without)} of {len(names)} pictures have no mask in {folder} ({some(without, 3)}): a mask has the"
            " name of its picture, and is white where that is missing"
        )
    for name in names:
        if len(several := found[name.with_suffix("")]) > 1:
            raise BadInput(f"{name} has several masks, {some([str(path) for path in several], 3)}: leave one")
    return {name: found[name.with_suffix("")][0] for name in names}


def lossless_suffix(path: Path, how: str) -> str:
    """Returns the suffix of the file that is written for a picture."""
    from quagga.data.io.pixel_format import PixelFormat
    from quagga.data.io.read import read_header
    from quagga.data.io.write import suffix_for

    try:
        header = read_header(path)
    except BadInput:  # which is reported when it is filled
        return ".png"
    channels = header.channels - (how == "alpha" and header.channels in (2, 4))
    return suffix_for("" if path.suffix.lower() in LOSSY else path.suffix, PixelFormat(channels, header.kind))


def fill_pictures(
    inpainter: "Inpainter", fillings: Sequence[Filling], how: str, output: Path, kept: Set[Path] = frozenset()
) -> int:
    """Fills every picture whose target is not kept; reports one that cannot be filled, and leaves it out.

    Args:
        inpainter: The model.
        fillings: What to read and to write.
        how: "white", "alpha", or a folder of masks.
        output: The folder of the targets.
        kept: Targets that are left as they are.

    Returns:
        The exit code: 0, or 2 when a picture was left out.
    """
    from quagga.data.io.metadata import read_metadata
    from quagga.data.io.read import read_native

    def fill(filling: Filling) -> None:
        native = read_native(filling.source)
        filled = inpainter.fill_native(native, holes_of(native, how, filling.mask), opaque=how == "alpha")
        mark_output_folder(output)
        write_picture(filling.target, filled, read_metadata(filling.source))

    todo = [filling for filling in fillings if filling.target not in kept]
    outcome = for_each_file(todo, lambda filling: filling.source, fill)
    if kept:
        print(f"{len(fillings) - len(todo)} of {len(fillings)} pictures exist in {output} and are kept")
    what = "picture" if outcome.done == 1 else "pictures"
    print(f"{outcome.done} {what} filled, in {output} ({outcome.speed:.3g} pictures/s)")
    return outcome.exit_code("pictures could not be filled")


def holes_of(native: "Native", how: str, mask: Path | None) -> "np.ndarray":
    """Returns which pixels of a picture are missing, bool (H, W): those that are white in its mask, pure white in
    itself, or not fully opaque.

    Raises:
        BadInput: the mask cannot be read, no pixel is missing, or the picture has no opacity.
    """
    import numpy as np

    from quagga.data.transforms.irregular_masks import read_mask

    if mask is not None:
        return ~read_mask(mask)
    pixels = native.pixels
    most = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
    if how == "alpha":
        if not native.alpha:
            raise BadInput("it has no opacity, so none of it is transparent: --mask white, or a folder of masks")
        return pixels[..., -1] < most
    colours = pixels[..., :-1] if native.alpha or native.spare else pixels
    holes = (colours == most).all(-1)
    if not holes.any():
        raise BadInput("no pixel of it is pure white (JPEGs have hardly any): name a folder of masks, --mask DIR")
    return holes
