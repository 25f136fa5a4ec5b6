"""Finds the pictures in folders, without those that Quagga itself has made."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from quagga.data.io.read import SUFFIXES, UNREADABLE_SUFFIXES
from quagga.errors import BadInput, some

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
MADE_BY_QUAGGA = ".quagga"  # marks a folder of pictures that Quagga has made: they are no training data
RUN_FOLDERS = ("samples", "checkpoints", "model", "best")  # folders in a run's folder
MOST_NAMED = 3  # folders that are named in a notice


def find_pictures(folder: str | Path) -> list[Path]:
    """Finds all pictures in a folder and below, sorted by their path in it.

    Known by suffix, in upper or lower case. Hidden files and folders, the `._*` twins of macOS, `__MACOSX` and what
    Quagga itself has made (see `walk`) are left out. Links are followed, each folder is visited once. A link that leads
    nowhere is listed: reading it reports that.

    Raises:
        BadInput: the folder is missing, no folder, or may not be read.
    """
    return find_all(folder)[0]


def find_all(folder: str | Path) -> tuple[list[Path], list[str]]:
    """Finds the pictures as `find_pictures` does. Returns also lines on what is left out: files that cannot be read on
    this machine ("12 .heic files are left out: pip install 'quagga[heic]'"), and folders that Quagga has made."""
    top = Path(folder).expanduser()
    found: list[Path] = []
    made: list[Path] = []
    left_out: Counter[str] = Counter()
    for here, files in walk(picture_folder(top), made, _raise_unreadable):
        left_out.update(suffix for name in files if (suffix := Path(name).suffix.lower()) in UNREADABLE_SUFFIXES)
        found += [
            path for path in (here / name for name in files if _is_picture(name)) if path.is_file() or path.is_symlink()
        ]
    lines = [
        f"{count} {suffix} file{' is' if count == 1 else 's are'} left out: {UNREADABLE_SUFFIXES[suffix]}"
        for suffix, count in sorted(left_out.items())
    ]
    if made:
        lines.append(f"left out, as Quagga itself has made what is in it: {some(made, MOST_NAMED)}")
    return sorted(found, key=lambda path: path.relative_to(top).as_posix()), lines


def walk(
    top: Path, made: list[Path], unreadable: Callable[[OSError], object] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Yields a folder and all below it, each with the names of its files, without what is hidden.

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
        if MADE_BY_QUAGGA in files and place != top:
            made.append(place)
            folders.clear()
            continue
        own = [name for name in sorted(folders) if name in RUN_FOLDERS] if is_run(folders, files) else []
        made += [place / name for name in own if name == RUN_FOLDERS[0]]  # of the others nobody expects pictures
        folders[:] = sorted(name for name in folders if not _ignored(name) and name not in own)
        yield place, [name for name in files if not _ignored(name)]


def is_run(folders: Collection[str], files: Collection[str]) -> bool:
    """Returns whether a folder with folders and files of these names is that of a run."""
    return "config.yaml" in files and (".lock" in files or "checkpoints" in folders)


def subfolders(folder: Path) -> list[str]:
    """Returns the names of the folders in a folder, sorted, without hidden ones, runs, and what `walk` leaves out.

    Raises:
        BadInput: the folder may not be read.
    """
    try:
        inside = {path.name: path for path in folder.iterdir()}
        names = sorted(name for name, path in inside.items() if path.is_dir() and not _ignored(name))
        of_a_run = RUN_FOLDERS if is_run(names, inside) else ()
        return [name for name in names if name not in of_a_run and not _made_by_quagga(inside[name])]
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be read ({error.strerror}): check its permissions") from error


def _made_by_quagga(folder: Path) -> bool:
    """Returns whether a folder is that of a run, or marked by `claim`; False where it may not be read."""
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError:
        return False
    return MADE_BY_QUAGGA in names or is_run(names, names)


def claim(folder: Path) -> None:
    """Makes a folder for pictures that Quagga writes, and marks it, so that no training takes them for data. A folder
    that holds anything already is not marked: the user may keep pictures there.

    Raises:
        OSError: the folder cannot be made, or the mark not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / MADE_BY_QUAGGA).write_text(
            "Quagga has made the pictures in this folder: they are not taken for data.\n"
        )


def pictures_or_explain(folder: Path) -> tuple[list[Path], list[str]]:
    """Finds the pictures of a folder, at least one, and lines on what is left out.

    Raises:
        BadInput: there is none; the message says what the folder holds instead.
    """
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
        listed = ", ".join(f"{count} {kind}" for kind, count in others.most_common(4))
        raise BadInput(f"{expected}, found {listed}: convert them")
    raise BadInput(f"{expected}, and it is empty: put pictures there or name another folder")


def other_files(folder: Path) -> Counter[str]:
    """Counts the files in a folder and below that are no pictures, by their suffix, or their name where there is
    none."""
    return Counter(
        Path(name).suffix.lower() or name for _, names in walk(folder, []) for name in names if not _is_picture(name)
    )


def picture_folder(folder: Path) -> Path:
    """Returns the folder. Raises BadInput, with the next move, where it is missing, a file or an archive."""
    if folder.is_dir():
        return folder
    if folder.name.lower().endswith(ARCHIVES) and folder.exists():
        raise BadInput(f"{folder} is an archive: unpack it, and name the folder that comes of it")
    if folder.exists():
        raise BadInput(f"{folder} is a file: name the folder of the pictures")
    known = next((parent for parent in folder.parents if parent.is_dir()), Path())
    inside = ", ".join(subfolders(known)[:6])
    raise BadInput(f"there is no folder {folder}: {known} holds {inside or 'no folders'}")


def _raise_unreadable(error: OSError) -> None:
    raise BadInput(f"the folder {error.filename} cannot be read ({error.strerror}): check its permissions") from error


def _ignored(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)
