"""What a folder is laid out for: which pipeline takes it, and what to type where another one was asked."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from quagga import BadInput
from quagga.data.collection import SPLITS, in_folder, in_order
from quagga.data.conditioned import table_of
from quagga.data.decode import SUFFIXES, read_header
from quagga.data.folders import ARCHIVES, find_pictures
from quagga.data.idx import idx_files

LOOKED_AT = 16  # pictures whose shape is looked at
SIDES = ("trainA", "trainB", "testA", "testB")


def pipeline_of(root: Path) -> str:
    """The pipeline that takes a folder as it is: by trainA and trainB, by pairs side by side in train, by a table, idx
    files or a folder for each class, and else gan."""
    if any((root / name).exists() for name in ("trainA", "trainB")):
        return "cyclegan"
    if are_pairs(str(root)):
        return "pix2pix"
    return "conditional" if has_labels(root) or len(classes_of(root)) > 1 else "gan"


def has_labels(root: Path) -> bool:
    """Whether a folder holds idx files or a table, by which `quagga train conditional` knows its pictures."""
    try:
        return bool(idx_files(root) or table_of(root, "class"))
    except BadInput:  # there are several
        return True


def classes_of(root: Path) -> list[str]:
    """The classes that a folder of folders, or of idx files, holds; none where they are not known."""
    return in_order(in_folder(root).labels or ())


def are_pairs(root: str | None) -> bool:
    """Whether a folder's train holds pictures twice as wide as high, as side-by-side sets do."""
    train = Path(root or "").expanduser() / "train"
    if root is None or not train.is_dir():
        return False
    return twice_as_wide([path for path in sorted(train.iterdir()) if path.suffix.lower() in SUFFIXES])


def twice_as_wide(paths: Sequence[Path]) -> bool:
    """Whether most of some pictures are exactly twice as wide as high; the first are looked at."""
    some = paths[:LOOKED_AT]
    wide = 0
    for path in some:
        with suppress(BadInput):
            header = read_header(path)
            wide += header.wide and header.longer == 2 * header.shorter
    return wide > len(some) / 2


def no_two_domains(root: Path) -> BadInput:
    """The error about a folder without trainA, or without trainB: what it holds instead, and what takes that."""
    pictures = find_pictures(root)  # first: it tells of folders that may not be read
    inside = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    missing = [name for name in SIDES[:2] if name not in inside]
    return BadInput(f"{root} has no {' and no '.join(missing)}. {_advice(root, inside, pictures)}")


def _advice(root: Path, inside: Sequence[str], pictures: Sequence[Path]) -> str:
    """What the folder holds, by names and shapes, and the words that train on it."""
    place = shlex.quote(str(root))
    nested = [root / name for name in inside] + ([root.parent] if root.name in SIDES else [])
    for candidate in nested:
        if all((candidate / name).is_dir() for name in SIDES[:2]):
            return f"Did you mean --root {shlex.quote(str(candidate))}?"
    if set(inside) & set(SIDES):
        return f"It holds the folders {', '.join(inside[:6])}: name the two with --x DIR --y DIR"
    if has_labels(root):
        return f"It holds pictures and what is said of each: quagga train conditional --root {place}"
    if not pictures:
        archive = next((path for path in sorted(root.iterdir()) if path.name.lower().endswith(ARCHIVES)), None)
        move = f"unpack {archive.name} first" if archive else "put pictures there, or name two folders, --x DIR --y DIR"
        return f"It holds 0 images: {move}"
    if are_pairs(str(root)) or twice_as_wide(pictures):
        return f"Its pictures are twice as wide as high, as pairs side by side are: quagga train pix2pix --root {place}"
    kinds = classes_of(root)
    if len(kinds) < 2:
        return f"It holds pictures of one kind: add --y DIR to --x {place}, or take quagga train gan --root {place}"
    x, y = (shlex.quote(str(_folder_of(kind, root))) for kind in kinds[:2])
    if len(kinds) == 2:
        return f"Did you mean --x {x} --y {y}?"
    return (
        f"It holds {len(kinds)} kinds of pictures: take two, such as --x {x} --y {y}, or all by their class, quagga"
        f" train conditional --root {place}"
    )


def _folder_of(kind: str, root: Path) -> Path:
    """Where the pictures of a class are, those for training where there is a test."""
    return next((place for part in SPLITS if (place := root / part / kind).is_dir()), root / kind)
