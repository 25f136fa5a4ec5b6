"""Recognises the layout of a folder: which pipeline takes it, and what to type if another pipeline was asked for."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from quagga.data.io.mnist_files import idx_files
from quagga.data.io.read import SUFFIXES, read_header
from quagga.data.sources.annotations import find_table
from quagga.data.sources.folders import ARCHIVES, find_pictures
from quagga.data.sources.image_folder import SPLITS, collect_folder, sorted_labels
from quagga.errors import BadInput

SHAPES_PROBED = 16  # pictures whose shape is read
TWO_DOMAIN_FOLDERS = ("trainA", "trainB", "testA", "testB")


def pipeline_of(root: Path) -> str:
    """Returns the pipeline that takes a folder as it is: cyclegan for trainA and trainB, pix2pix for pairs side by side
    in train, conditional for a table, idx files or a folder for each class; else gan."""
    if any((root / name).exists() for name in ("trainA", "trainB")):
        return "cyclegan"
    if are_pairs(str(root)):
        return "pix2pix"
    return "conditional" if has_labels(root) or len(classes_of(root)) > 1 else "gan"


def has_labels(root: Path) -> bool:
    """Returns whether a folder holds idx files or a table, from which `quagga train conditional` reads conditions."""
    try:
        return bool(idx_files(root) or find_table(root, "class"))
    except BadInput:  # raised if there are several
        return True


def classes_of(root: Path) -> list[str]:
    """Returns the classes of a folder with a folder or idx files for each; [] if they are not known."""
    return sorted_labels(collect_folder(root).labels or ())


def are_pairs(root: str | None) -> bool:
    """Returns whether the folder train in `root` holds pictures twice as wide as high, as side-by-side sets do."""
    train = Path(root or "").expanduser() / "train"
    if root is None or not train.is_dir():
        return False
    return twice_as_wide([path for path in sorted(train.iterdir()) if path.suffix.lower() in SUFFIXES])


def twice_as_wide(paths: Sequence[Path]) -> bool:
    """Returns whether most of the first SHAPES_PROBED pictures are exactly twice as wide as high."""
    probed = paths[:SHAPES_PROBED]
    wide = 0
    for path in probed:
        with suppress(BadInput):
            header = read_header(path)
            wide += header.wide and header.longer == 2 * header.shorter
    return wide > len(probed) / 2


def no_two_domains(root: Path) -> BadInput:
    """Returns the error about a folder without trainA or trainB: what it holds, and the command that takes that."""
    pictures = find_pictures(root)  # first, since it raises BadInput if a folder may not be read
    subfolders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    missing = [name for name in TWO_DOMAIN_FOLDERS[:2] if name not in subfolders]
    return BadInput(f"{root} has no {' and no '.join(missing)}. {_advice(root, subfolders, pictures)}")


def _advice(root: Path, subfolders: Sequence[str], pictures: Sequence[Path]) -> str:
    """Says what the folder holds, by the names of its subfolders and the shapes of its pictures, and which command
    trains on it."""
    place = shlex.quote(str(root))
    candidates = [root / name for name in subfolders] + ([root.parent] if root.name in TWO_DOMAIN_FOLDERS else [])
    for candidate in candidates:
        if all((candidate / name).is_dir() for name in TWO_DOMAIN_FOLDERS[:2]):
            return f"Did you mean --root {shlex.quote(str(candidate))}?"
    if set(subfolders) & set(TWO_DOMAIN_FOLDERS):
        return f"It holds the folders {', '.join(subfolders[:6])}: name the two with --x DIR --y DIR"
    if has_labels(root):
        return f"It holds pictures and what is said of each: quagga train conditional --root {place}"
    if not pictures:
        archive = next((path for path in sorted(root.iterdir()) if path.name.lower().endswith(ARCHIVES)), None)
        advice = (
            f"unpack {archive.name} first" if archive else "put pictures there, or name two folders, --x DIR --y DIR"
        )
        return f"It holds 0 images: {advice}"
    if are_pairs(str(root)) or twice_as_wide(pictures):
        return f"Its pictures are twice as wide as high, as pairs side by side are: quagga train pix2pix --root {place}"
    classes = classes_of(root)
    if len(classes) < 2:
        return f"It holds pictures of one kind: add --y DIR to --x {place}, or take quagga train gan --root {place}"
    x, y = (shlex.quote(str(_folder_of(name, root))) for name in classes[:2])
    if len(classes) == 2:
        return f"Did you mean --x {x} --y {y}?"
    return (
        f"It holds {len(classes)} kinds of pictures: take two, such as --x {x} --y {y}, or all by their class, quagga"
        f" train conditional --root {place}"
    )


def _folder_of(name: str, root: Path) -> Path:
    """Returns the folder with the pictures of a class; if there are splits, that of the first one which has it."""
    return next((folder for split in SPLITS if (folder := root / split / name).is_dir()), root / name)
