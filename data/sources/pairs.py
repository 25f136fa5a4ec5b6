"""Finds which picture belongs to which, and which pairs are held out for the test.

A pair is two files, or one file that holds both side by side. Pairs are found in a folder of side-by-side pictures, in
two folders by their names, or in a list (CSV or JSON).
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image

from quagga.data.sources.folders import find_all
from quagga.data.sources.held_out import fingerprint
from quagga.data.sources.pair_list import read_pair_list
from quagga.errors import BadInput, some
from quagga.filenames import utf8_to_system
from quagga.seeding import derive_seed

TEST_SHARE = 0.1  # of the groups, where the data does not say what is for the test
SHAPES_PROBED = 16  # pictures whose shape is looked at before training
SPLIT_NAMES = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


class Pair(NamedTuple):
    """Two pictures that belong together."""

    name: str  # for messages, and by which the two were matched
    x: Path | None  # None where x is made of y
    y: Path  # the same file as x where they lie side by side
    group: str = ""  # what must not be in training and test both: a patient, a scene; "": the pair stands for itself


class Pairs(NamedTuple):
    """All pairs that were found."""

    names: dict[str, str]  # what x and y are called
    train: list[Pair]
    test: list[Pair]
    side_by_side: bool
    notices: list[str]  # what was decided for the user
    unmatched: list[str]  # pictures without a partner
    unused: Sequence[Pair] = ()  # of val, where there is a test


def find_pairs(
    root: str | None = None,
    x: str | None = None,
    y: str | None = None,
    pairs: str | None = None,
    of_y: bool = False,
    unmatched: Literal["error", "skip"] = "error",
) -> Pairs:
    """Finds the pairs of a set, for training and for the test.

    Args:
        root: A folder of pictures that hold both sides, side by side, or with such in train, and in test or val; or one
            with trainA and trainB, and testA and testB (or valA, valB), matched by name.
        x: Instead of root, the folder of one side.
        y: The folder of the other; a picture's partner has the same path in its folder, but for the suffix. Unicode
            forms are made equal (NFC), and upper and lower case where no two names differ in nothing else.
        pairs: Instead of both, a list: CSV (comma, semicolon or tab; the first line names the columns) or JSON (a list
            of objects), with x and y, relative to the list, and perhaps split (train, val, test) and group. Where both
            name one file, it holds them side by side.
        of_y: x is made of y: the folder `x`, and the column x, are not needed.
        unmatched: What to do with pictures without a partner: "error", or "skip" and say how many.

    Where nothing is said of a test, a tenth of the groups is held out; a pair without a group stands for itself.
    Whether a group is held out follows from a hash of its name, or of the file y, alone: it stays where it is when
    others are added. (Of few groups, none of which the hash would hold out, it is the one with the lowest.)

    Raises:
        BadInput: something is missing, unmatched or empty, or a group is in training and test both.
    """
    given = [name for name, value in (("root", root), ("x or y", x or y), ("pairs", pairs)) if value]
    if len(given) != 1 or (not root and not pairs and (y is None or (x is None and not of_y))):
        need = "--y DIR" if of_y else "two folders, --x DIR --y DIR"
        raise BadInput(
            f"name the pairs: --root DIR of pictures side by side, {need}, or a list, --pairs FILE"
            + (f"; not {' and '.join(given)} at once" if len(given) > 1 else "")
        )
    if pairs is not None:
        return _find_in_list(Path(pairs).expanduser(), of_y, unmatched)
    left_out: list[str] = []
    found = _find_in_folders(root, x, y, of_y, unmatched, left_out)
    return found._replace(notices=[*dict.fromkeys(left_out), *found.notices])


# -- side by side, and two folders ------------------------------------------------------------------------------------


def _find_in_folders(
    root: str | None, x: str | None, y: str | None, of_y: bool, unmatched: str, left_out: list[str]
) -> Pairs:
    """Finds the pairs of folders; lines on what is left out of these are added to `left_out`."""
    if root is not None:
        place = Path(root).expanduser()
        if (place / "trainA").is_dir() and (place / "trainB").is_dir():
            return _find_in_train_a_and_b(place, of_y, unmatched, left_out)
        found = _find_side_by_side(place, left_out)
        _check_shape([pair.y for pair in found.train], place, of_y)
        return found
    assert y is not None
    other = Path(y).expanduser()
    if of_y:
        paths = _require_pictures(_pictures(other, left_out), other)
        train, test, line = split([Pair(_name_of(path, other), None, path) for path in paths])
        return Pairs({"x": "x", "y": other.resolve().name}, train, test, False, [line], [])
    assert x is not None
    one = Path(x).expanduser()
    if one.resolve() == other.resolve():
        raise BadInput(f"x and y are the same folder, {x}: give each side its own, or --root for pictures side by side")
    if (one.name, other.name) == ("trainA", "trainB") and one.parent == other.parent:
        return _find_in_train_a_and_b(one.parent, of_y, unmatched, left_out)
    found, unmatched_files = match_by_name(one, other, left_out)
    _check_unmatched(unmatched_files, unmatched, f"{one} and {other}")
    train, test, line = split(found)
    names = {"x": one.resolve().name, "y": other.resolve().name}
    names = names if names["x"] != names["y"] else {"x": "A", "y": "B"}
    return Pairs(names, train, test, False, [*_skipped_notice(unmatched_files), line], unmatched_files)


def _pictures(folder: Path, left_out: list[str]) -> list[Path]:
    """Finds the pictures of a folder; lines on what is left out of it are added to `left_out`."""
    paths, lines = find_all(folder)
    left_out += lines
    return paths


def _find_side_by_side(root: Path, left_out: list[str]) -> Pairs:
    folders = {name: _pictures(root / name, left_out) for name in ("train", "val", "test") if (root / name).is_dir()}
    name_parts = re.fullmatch(r"(.+?)2(.+?)(_.*)?", root.resolve().name)
    names = dict(zip("xy", name_parts.groups()[:2] if name_parts else ("A", "B"), strict=True))
    if "train" not in folders:
        train, test, line = split(
            [Pair(_name_of(p, root), p, p) for p in _require_pictures(_pictures(root, left_out), root)]
        )
        return Pairs(names, train, test, True, [line], [])
    train = [Pair(_name_of(p, root), p, p) for p in _require_pictures(folders["train"], root / "train")]
    held_out = next((name for name in ("test", "val") if folders.get(name)), None)
    if held_out is None:
        train, test, line = split(train)
        return Pairs(names, train, test, True, [line], [])
    test = [Pair(_name_of(p, root), p, p) for p in folders[held_out]]
    val = [Pair(_name_of(p, root), p, p) for p in folders.get("val", [])] if held_out == "test" else []
    return Pairs(names, train, test, True, _held_out_notice(folders, held_out), [], val)


def _check_shape(paths: Sequence[Path], root: Path, of_y: bool) -> None:
    """Raises BadInput where most pictures are too narrow to hold two: training would cut single photos in two."""
    shapes = []
    for path in paths[:: -(-len(paths) // SHAPES_PROBED)]:
        with suppress(OSError, ValueError), Image.open(path) as image:  # what Pillow does not read is seen later
            shapes.append(image.size)
    least = 1.8 if of_y else 1.2  # photos alone are up to 16:9
    narrow = [(width, height) for width, height in shapes if width < least * height]
    if len(narrow) > len(shapes) / 2:
        width, height = narrow[0]
        raise BadInput(
            f"the pictures of {root} are {width}x{height}, pairs side by side about twice as wide as high: for photos"
            f" alone --y {root} --x_as edges, for two folders --x DIR --y DIR, without pairs quagga train cyclegan"
        )


def _find_in_train_a_and_b(root: Path, of_y: bool, unmatched: str, left_out: list[str]) -> Pairs:
    name_parts = re.fullmatch(r"(.+?)2(.+)", root.resolve().name)
    names = dict(zip("xy", name_parts.groups() if name_parts else ("A", "B"), strict=True))
    found: dict[str, list[Pair]] = {}
    unmatched_files: list[str] = []
    for name in ("train", "test", "val"):
        one, other = root / f"{name}A", root / f"{name}B"
        if of_y and other.is_dir():
            found[name] = [Pair(_name_of(path, other), None, path) for path in _pictures(other, left_out)]
        elif one.is_dir() and other.is_dir():
            try:
                found[name], more = match_by_name(one, other, left_out)
            except BadInput as error:
                if name == "train":
                    hint = "which of them belong together? For pictures without partners: quagga train cyclegan"
                    raise BadInput(f"{error}; {hint}") from None
                continue
            unmatched_files += more
    _check_unmatched(unmatched_files, unmatched, str(root))
    held_out = next((name for name in ("test", "val") if found.get(name)), None)
    if held_out is None:
        train, test, line = split(found["train"])
        return Pairs(names, train, test, False, [*_skipped_notice(unmatched_files), line], unmatched_files)
    val = found.get("val", []) if held_out == "test" else []
    return Pairs(
        names,
        found["train"],
        found[held_out],
        False,
        [*_skipped_notice(unmatched_files), *_held_out_notice(found, held_out)],
        unmatched_files,
        val,
    )


def match_by_name(x: Path, y: Path, left_out: list[str]) -> tuple[list[Pair], list[str]]:
    """Matches the pictures of two folders by their names.

    Args:
        x: The folder of x.
        y: The folder of y.
        left_out: Lines on what is left out of the folders are added to it.

    Returns:
        The pairs, and the pictures that have no partner.

    Raises:
        BadInput: a folder is missing or empty, nothing matches, or two pictures of a folder have one name.
    """
    found = {folder: _require_pictures(_pictures(folder, left_out), folder) for folder in (x, y)}
    for name_function in (_caseless_name_of, _name_of):  # without case first; exactly, where that would make two of one
        named = {folder: _group_by_name(paths, folder, name_function) for folder, paths in found.items()}
        if not any(len(paths) > 1 for names in named.values() for paths in names.values()):
            break
    else:
        folder, paths = next((f, p) for f, names in named.items() for p in names.values() if len(p) > 1)
        raise BadInput(f"{paths[0]} and {paths[1]} have one name but for the suffix: keep one of them in {folder}")
    xs, ys = named[x], named[y]
    pairs = [Pair(_name_of(xs[stem][0], x), xs[stem][0], ys[stem][0]) for stem in sorted(xs.keys() & ys.keys())]
    unmatched_files = [
        str(names[stem][0]) for names, other in ((xs, ys), (ys, xs)) for stem in sorted(names.keys() - other.keys())
    ]
    if not pairs:
        raise BadInput(
            f"no picture of {x} has a partner of the same name in {y} ({Path(unmatched_files[0]).name} and"
            f" {next(iter(ys.values()))[0].name}, say): rename them alike, or give a list, --pairs FILE"
        )
    return pairs, unmatched_files


def _name_of(path: Path, folder: Path) -> str:
    """Returns a picture's path in its folder without its suffix, in one form of Unicode."""
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def _caseless_name_of(path: Path, folder: Path) -> str:
    return unicodedata.normalize("NFC", _name_of(path, folder).casefold())


def _group_by_name(
    paths: Sequence[Path], folder: Path, name_function: Callable[[Path, Path], str]
) -> dict[str, list[Path]]:
    named: dict[str, list[Path]] = {}
    for path in paths:
        named.setdefault(name_function(path, folder), []).append(path)
    return named


def _require_pictures(found: list[Path], folder: Path) -> list[Path]:
    if not found:
        raise BadInput(f"{folder} has 0 images, so there are no pairs: put pictures there or name another folder")
    return found


def _check_unmatched(unmatched_files: Sequence[str], unmatched: str, place: str) -> None:
    if unmatched_files and unmatched == "error":
        raise BadInput(
            f"{_count_in_words(unmatched_files)} in {place} without a partner of the same name:"
            f" {some(unmatched_files, 3)}: add or rename the partners, or leave them out with --unmatched skip"
        )


def _skipped_notice(unmatched_files: Sequence[str]) -> list[str]:
    return (
        [f"{_count_in_words(unmatched_files)} left out, without a partner: {some(unmatched_files, 3)}"]
        if unmatched_files
        else []
    )


def _held_out_notice(found: dict[str, list[Any]], held_out: str) -> list[str]:
    line = f"{len(found[held_out])} pairs of {held_out} are held out of training"
    rest = len(found.get("val", [])) if held_out == "test" else 0
    return [f"{line}; {rest} of val are not used" if rest else line]


# -- lists ------------------------------------------------------------------------------------------------------------


def _find_in_list(path: Path, of_y: bool, unmatched: str) -> Pairs:
    rows = read_pair_list(path, needed=("y",) if of_y else ("x", "y"))
    found: dict[str, list[Pair]] = {"train": [], "val": [], "test": [], "": []}
    absent_rows = []
    for number, row in rows:
        place = f"row {number}"
        if row.get("split", "") and row["split"].casefold() not in SPLIT_NAMES:
            raise BadInput(f"{path}, {place}: the split is {row['split'][:40]!r}, expected train, val or test")
        needed = ("y",) if of_y else ("x", "y")
        files = {side: _listed_file(path.parent, row[side]) for side in needed if row.get(side)}
        missing = [side for side in needed if side not in files]
        absent = [file for file in files.values() if not file.is_file()]
        if missing or absent:
            absent_rows.append(f"{place}: {absent[0] if absent else 'no ' + missing[0]}")
            continue
        group = unicodedata.normalize("NFC", row.get("group", ""))
        pair = Pair(f"{place} of {path.name}", files.get("x"), files["y"], group)
        found[SPLIT_NAMES.get(row.get("split", "").casefold(), "")].append(pair)
    if absent_rows and unmatched == "error":
        raise BadInput(
            f"{len(absent_rows)} of {len(rows)} rows of {path} name files that are not there ({some(absent_rows, 3)}):"
            " mend the paths, which are relative to the list, or leave them out with --unmatched skip"
        )
    if len(absent_rows) == len(rows):
        raise BadInput(
            f"{path} names no pair of files that are there ({some(absent_rows, 3)}): paths are relative to the list"
        )
    notices = (
        [f"{len(absent_rows)} of {len(rows)} rows left out, whose files are not there: {some(absent_rows, 3)}"]
        if absent_rows
        else []
    )
    if any(found[name] for name in ("train", "val", "test")):
        train, held_out = found["train"], next((name for name in ("test", "val") if found[name]), None)
        more_train, more_test, line = split(found[""]) if found[""] else ([], [], "")
        test = [*(found[held_out] if held_out else []), *more_test]
        lines = [line] if line else []
        if held_out:
            lines += _held_out_notice(found, held_out)
        train = [*train, *more_train]
        if not train:
            raise BadInput(f"{path} has no row with the split train: give some")
        if not test:
            train, test, line = split(train)
            lines.append(line)
        shared = sorted({pair.group for pair in train if pair.group} & {pair.group for pair in test})
        if shared:
            raise BadInput(
                f"{len(shared)} groups of {path} are in training and test both ({some(shared, 3)}): give each group one"
                " split, or leave the column split out"
            )
    else:
        train, test, line = split(found[""])
        lines = [line]
    val = found["val"] if found["test"] else []
    same_file = [pair.x == pair.y for pair in (*train, *test, *val)]
    if any(same_file) and not all(same_file):
        raise BadInput(
            f"{path}: {sum(same_file)} of {len(same_file)} pairs name one file for x and y, which then holds both side"
            " by side, and the others two: put them into two lists"
        )
    if any(same_file):
        _check_shape([pair.y for pair in train], path, of_y)
    return Pairs({"x": "x", "y": "y"}, train, test, any(same_file), [*notices, *lines], absent_rows, val)


def _listed_file(folder: Path, name: str) -> Path:
    """Returns the path of a file that a list names, in whichever form of Unicode the disk has its name."""
    forms = [folder / utf8_to_system(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")]
    name = utf8_to_system(name)
    with suppress(OSError, ValueError, RuntimeError):  # a name too long, with a zero byte, or of an unknown ~user
        forms.insert(0, folder / Path(name).expanduser())
        return next((path for path in forms if path.is_file()), forms[0])
    return folder / name[:80].replace("\0", "")


# -- held out ---------------------------------------------------------------------------------------------------------


def split(pairs: list[Pair]) -> tuple[list[Pair], list[Pair], str]:
    """Splits pairs into training and test, and says so in a line. Groups stay together, and so do pairs of the same
    file y."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        name = f"group {pair.group}" if pair.group else fingerprint(pair.y).hex()
        groups.setdefault(name, []).append(pair)
    hashes = {name: derive_seed("held out", name) / 2**64 for name in groups}
    chosen = {name for name, hash_ in hashes.items() if hash_ < TEST_SHARE}
    if not chosen and len(groups) > 1:
        chosen = {min(hashes, key=lambda name: hashes[name])}
    if len(chosen) == len(groups):
        chosen -= {max(hashes, key=lambda name: hashes[name])}
    test = {id(pair) for name in chosen for pair in groups[name]}
    parts = [pair for pair in pairs if id(pair) not in test], [pair for pair in pairs if id(pair) in test]
    if not test:
        return *parts, "too few different pairs to hold any out; the samples show training pictures"
    share, by = f"{len(test)} of {len(pairs)} pairs", "the files"
    if any(pair.group for pair in pairs):
        share = f"{len(chosen)} of {len(groups)} groups ({share})"
        by = "their names, so that a group stays where it is when rows are added"
    return *parts, f"no split is given, so {share} are held out of training, by a hash of {by}"


def _count_in_words(names: Sequence[str]) -> str:
    return "1 picture is" if len(names) == 1 else f"{len(names):,} pictures are"
