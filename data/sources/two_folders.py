"""Two folders of pictures that have nothing in common but their kinds, and which of them are kept for the test."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quagga.data.sources.folders import find_pictures, picture_folder, pictures_or_explain
from quagga.data.sources.held_out import Domain, hold_out
from quagga.data.sources.layout import no_two_domains
from quagga.errors import BadInput


class TwoFolders(NamedTuple):
    """The pictures of both domains, each split into training and test."""

    x: Domain
    y: Domain
    notices: list[str]  # what was decided for the user
    groups: Mapping[Path, str] = {}  # of pictures that a table lists: a patient, a scene
    missing: Sequence[str] = ()  # files that a table names and that are not there


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
    one, other = picture_folder(x).resolve(), picture_folder(y).resolve()
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
        pictures, left_out = pictures_or_explain(folder)
        side, notice = hold_out(name, pictures)
        sides.append(side)
        notices += [notice, *(f"{name}: {line}" for line in left_out)]
    return TwoFolders(sides[0], sides[1], notices)


def _one_tree(root: Path, x_name: str | None, y_name: str | None) -> TwoFolders:
    picture_folder(root)
    if not all((root / name).is_dir() for name in ("trainA", "trainB")):
        raise no_two_domains(root)
    couple = re.fullmatch(r"(.+?)2(.+)", root.resolve().name)
    guessed = couple.groups() if couple else ("A", "B")
    sides, notices = [], []
    for letter, name in zip("AB", (x_name or guessed[0], y_name or guessed[1]), strict=True):
        pictures, left_out = pictures_or_explain(root / f"train{letter}")
        notices += [f"{name}: {line}" for line in left_out]
        tests = [root / f"{kind}{letter}" for kind in ("test", "val")]
        test = next((found for folder in tests if folder.is_dir() and (found := find_pictures(folder))), [])
        if test:
            sides.append(Domain(name, pictures, test))
        else:
            side, notice = hold_out(name, pictures)
            sides.append(side)
            notices.append(notice)
    return TwoFolders(sides[0], sides[1], notices)
