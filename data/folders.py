"""Which pictures are there, and which of them are kept for the test."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quagga import BadInput
from quagga.data.decode import LEFT_OUT, SUFFIXES

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 0.05, 4, 64
OURS = ".quagga"  # a file in a folder whose pictures Quagga has made: none of them is data
OF_A_RUN = ("samples", "checkpoints", "model", "best")  # folders that a run makes in its own
SHOWN = 3  # folders that are named in a notice


class Side(NamedTuple):
    """One of the two domains."""

    name: str  # "horse"
    train: list[Path]
    test: list[Path]


class TwoFolders(NamedTuple):
    """The pictures of both domains, each split into training and test."""

    x: Side
    y: Side
    notices: list[str]  # what was decided for the user
    groups: Mapping[Path, str] = {}  # of pictures that a table lists: a patient, a scene
    missing: Sequence[str] = ()  # files that a table names and that are not there


def find_pictures(folder: str | Path) -> list[Path]:
    """All pictures in a folder and below, sorted by their path in it.

    Known by suffix, in upper or lower case. Hidden files and folders, the `._*` twins of macOS, `__MACOSX` and what
    Quagga itself has made (see `walk`) are left out. Links are followed, each folder is visited once. A link that leads
    nowhere is listed: reading it tells.

    Raises:
        BadInput: the folder is missing, no folder, or may not be read.
    """
    return find_all(folder)[0]


def find_all(folder: str | Path) -> tuple[list[Path], list[str]]:
    """The pictures as `find_pictures` has them, and lines on what is left out: files that cannot be read on this
    machine ("12 .heic files are left out: pip install 'quagga[heic]'"), and folders that Quagga has made."""
    top = Path(folder).expanduser()
    found: list[Path] = []
    made: list[Path] = []
    others: Counter[str] = Counter()
    for here, files in walk(_checked(top), made, _unreadable):
        others.update(suffix for name in files if (suffix := Path(name).suffix.lower()) in LEFT_OUT)
        found += [
            path for path in (here / name for name in files if _is_picture(name)) if path.is_file() or path.is_symlink()
        ]
    lines = [
        f"{count} {suffix} file{' is' if count == 1 else 's are'} left out: {LEFT_OUT[suffix]}"
        for suffix, count in sorted(others.items())
    ]
    if made:
        some = ", ".join(map(str, made[:SHOWN])) + (f" and {len(made) - SHOWN} more" if len(made) > SHOWN else "")
        lines.append(f"left out, as Quagga itself has made what is in it: {some}")
    return sorted(found, key=lambda path: path.relative_to(top).as_posix()), lines


def walk(
    top: Path, made: list[Path], unreadable: Callable[[OSError], object] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """A folder and all below it, each with the names of its files, without what is hidden.

    Left out, and added to `made`, are the folders that Quagga has made: those that `claim` has marked, and the samples,
    models and checkpoints of a run. So a run whose folder lies among its own pictures trains on the same ones when it
    goes on. Folders are judged by the names in them: no file is opened. `top` itself is never left out.

    A folder that may not be read is passed over, unless `unreadable` raises.
    """
    visited = set()
    for here, folders, files in os.walk(top, followlinks=True, onerror=unreadable):
        place = Path(here)
        status = place.stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        if OURS in files and place != top:
            made.append(place)
            folders.clear()
            continue
        own = [name for name in sorted(folders) if name in OF_A_RUN] if is_run(folders, files) else []
        made += [place / name for name in own if name == OF_A_RUN[0]]  # of the others nobody expects pictures
        folders[:] = sorted(name for name in folders if not _ignored(name) and name not in own)
        yield place, [name for name in files if not _ignored(name)]


def is_run(folders: Collection[str], files: Collection[str]) -> bool:
    """Whether a folder with folders and files of these names is that of a run."""
    return "config.yaml" in files and (".lock" in files or "checkpoints" in folders)


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, without hidden ones, runs, and what `walk` leaves out.

    Raises:
        BadInput: the folder may not be read.
    """
    try:
        inside = {path.name: path for path in folder.iterdir()}
        names = sorted(name for name, path in inside.items() if path.is_dir() and not _ignored(name))
        of_a_run = OF_A_RUN if is_run(names, inside) else ()
        return [name for name in names if name not in of_a_run and not _holds_ours(inside[name])]
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be read ({error.strerror}): check its permissions") from error


def _holds_ours(folder: Path) -> bool:
    """Whether a folder is that of a run, or marked by `claim`; of one that may not be read it is not known."""
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError:
        return False
    return OURS in names or is_run(names, names)


def claim(folder: Path) -> None:
    """Makes a folder for pictures of Quagga's, and marks it, so that no training takes them for data. One that holds
    anything already is left as it is: others may keep their pictures there.

    Raises:
        OSError: the folder cannot be made, or the mark not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / OURS).write_text("Quagga has made the pictures in this folder: they are not taken for data.\n")


def two_folders(
    root: str | None = None,
    x: str | None = None,
    y: str | None = None,
    x_name: str | None = None,
    y_name: str | None = None,
) -> TwoFolders:
    """The pictures of two domains, for training and for the test.

    Args:
        root: A folder that holds trainA and trainB; testA and testB (or valA and valB) beside them are the test.
        x: Instead of `root`, the folder of one domain.
        y: Instead of `root`, the folder of the other.
        x_name: What the first domain is called. None: the folder's name; of `root`, horse in horse2zebra, or A.
        y_name: What the second is called.

    Where there is no folder for the test, 5 % of the pictures (4 to 64, at most half) are held out, chosen by a hash of
    their content: adding pictures leaves the choice nearly as it was, and copies of a picture stay together.

    Raises:
        BadInput: a folder is missing, empty or unreadable, or both are the same.
    """
    if root is None and x is not None and y is not None:
        first, second = Path(x).expanduser(), Path(y).expanduser()
        if (first.name, second.name) == ("trainA", "trainB") and first.parent == second.parent:
            root, x, y = str(first.parent), None, None  # its testA and testB are wanted, and better names
        else:
            return _two_trees(first, second, x_name, y_name)
    if root is None or x is not None or y is not None:
        raise BadInput(
            "name the pictures: two folders, --x DIR --y DIR, one with trainA and trainB in it, --root DIR, or a list"
            " of them, --table FILE"
        )
    return _one_tree(Path(root).expanduser(), x_name, y_name)


def _two_trees(x: Path, y: Path, x_name: str | None, y_name: str | None) -> TwoFolders:
    one, other = _checked(x).resolve(), _checked(y).resolve()
    if one == other:
        raise BadInput(f"x and y are the same folder, {x}: give each domain its own")
    if one in other.parents or other in one.parents:
        inner, outer = (x, y) if other in one.parents else (y, x)
        raise BadInput(f"{inner} lies inside {outer}, so its pictures would be on both sides: put them side by side")
    names = (x_name or one.name, y_name or other.name)
    if names[0] == names[1]:
        names = ("A", "B")
    sides, notices = [], []
    for folder, name in zip((x, y), names, strict=True):
        pictures, left_out = _some_pictures(folder)
        side, notice = hold_out(name, pictures)
        sides.append(side)
        notices += [notice, *(f"{name}: {line}" for line in left_out)]
    return TwoFolders(sides[0], sides[1], notices)


def _one_tree(root: Path, x_name: str | None, y_name: str | None) -> TwoFolders:
    _checked(root)
    if not all((root / name).is_dir() for name in ("trainA", "trainB")):
        from quagga.data.recognise import no_two_domains  # which itself looks for pictures here

        raise no_two_domains(root)
    couple = re.fullmatch(r"(.+?)2(.+)", root.resolve().name)
    guessed = couple.groups() if couple else ("A", "B")
    sides, notices = [], []
    for letter, name in zip("AB", (x_name or guessed[0], y_name or guessed[1]), strict=True):
        pictures, left_out = _some_pictures(root / f"train{letter}")
        notices += [f"{name}: {line}" for line in left_out]
        tests = [root / f"{kind}{letter}" for kind in ("test", "val")]
        test = next((found for folder in tests if folder.is_dir() and (found := find_pictures(folder))), [])
        if test:
            sides.append(Side(name, pictures, test))
        else:
            side, notice = hold_out(name, pictures)
            sides.append(side)
            notices.append(notice)
    return TwoFolders(sides[0], sides[1], notices)


def held_out_count(pictures: int) -> int:
    """How many of so many pictures are held out of training: 5 %, 4 to 64, at most half."""
    return min(max(round(HELD_OUT_SHARE * pictures), HELD_OUT_LEAST), HELD_OUT_MOST, pictures // 2)


def hold_out(name: str, pictures: list[Path]) -> tuple[Side, str]:
    """Splits the pictures of a domain: (its two parts, a line that says so)."""
    count = held_out_count(len(pictures))
    copies: dict[bytes, list[Path]] = {}
    for path in pictures:
        copies.setdefault(fingerprint(path), []).append(path)
    test: set[Path] = set()
    for _, same in sorted(copies.items()):
        if len(test) + len(same) <= count:
            test.update(same)
    side = Side(name, [path for path in pictures if path not in test], [path for path in pictures if path in test])
    if not test:
        return side, f"{name}: too few different pictures to hold any out; the samples show training pictures"
    share = f"{len(test)} of {len(pictures)} pictures"
    return side, f"{name}: no test folder, so {share} are held out of training, chosen by a hash of the files"


def fingerprint(path: Path) -> bytes:
    """A hash of size and content; of files above 192 KiB only of their first, middle and last 64 KiB, to be quick."""
    part = 1 << 16
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            starts = (0,) if size <= 3 * part else (0, size // 2, size - part)
            digest = hashlib.blake2b(str(size).encode(), digest_size=16)
            for start in starts:
                file.seek(start)
                digest.update(file.read(3 * part if len(starts) == 1 else part))
            return digest.digest()
    except OSError:  # unreadable files are the decoder's to report
        return hashlib.blake2b(os.fsencode(path), digest_size=16).digest()


def _some_pictures(folder: Path) -> tuple[list[Path], list[str]]:
    """The pictures of a folder, of which there must be one, and what is to be said of others."""
    pictures, left_out = find_all(folder)
    if pictures:
        return pictures, left_out
    expected = f"{folder.name} has 0 images: expected {', '.join(SUFFIXES)} in {folder}"
    if {"trainA", "trainB"} <= set(subfolders(folder)):
        raise BadInput(f"{expected}; did you mean --root {folder}?")
    if left_out:
        raise BadInput(f"{folder.name} has 0 images that can be read: {'; '.join(left_out)}")
    others = other_files(folder)
    if others:
        held = ", ".join(f"{count} {kind}" for kind, count in others.most_common(4))
        raise BadInput(f"{expected}, found {held}: convert them")
    raise BadInput(f"{expected}, and it is empty: put pictures there or name another folder")


def other_files(folder: Path) -> Counter[str]:
    """Suffix, or name where there is none -> how many files in a folder and below are no pictures by it."""
    return Counter(
        Path(name).suffix.lower() or name for _, names in walk(folder, []) for name in names if not _is_picture(name)
    )


def _checked(folder: Path) -> Path:
    if folder.is_dir():
        return folder
    if folder.name.lower().endswith(ARCHIVES) and folder.exists():
        raise BadInput(f"{folder} is an archive: unpack it, and name the folder that comes of it")
    if folder.exists():
        raise BadInput(f"{folder} is a file: name the folder of the pictures")
    known = next((parent for parent in folder.parents if parent.is_dir()), Path())
    inside = ", ".join(subfolders(known)[:6])
    raise BadInput(f"there is no folder {folder}: {known} holds {inside or 'no folders'}")


def _unreadable(error: OSError) -> None:
    raise BadInput(f"the folder {error.filename} cannot be read ({error.strerror}): check its permissions") from error


def _ignored(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)
