"""Which picture belongs to which, and which pairs are kept for the test.

A pair is two files, or one file that holds both side by side. Pairs are found in a folder of side-by-side pictures, in
two folders by their names, or in a list (CSV or JSON).
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image

from quagga import BadInput
from quagga.data.folders import find_all, fingerprint
from quagga.data.rows import key
from quagga.names import of_system

TEST_SHARE = 0.1  # of the groups, where the data does not say what is for the test
LOOKED_AT = 16  # pictures whose shape is looked at before training
SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
COLUMNS = ("x", "y", "split", "group")
SHOWN = 3  # names in a message
LONGEST = 1 << 28  # bytes of a list


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
    """The pairs of a set, for training and for the test.

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
        return _listed(Path(pairs).expanduser(), of_y, unmatched)
    left_out: list[str] = []
    found = _in_folders(root, x, y, of_y, unmatched, left_out)
    return found._replace(notices=[*dict.fromkeys(left_out), *found.notices])


# -- side by side, and two folders ------------------------------------------------------------------------------------


def _in_folders(
    root: str | None, x: str | None, y: str | None, of_y: bool, unmatched: str, left_out: list[str]
) -> Pairs:
    """The pairs of folders; what is left out of these is added to `left_out`, in lines."""
    if root is not None:
        place = Path(root).expanduser()
        if (place / "trainA").is_dir() and (place / "trainB").is_dir():
            return _two_by_two(place, of_y, unmatched, left_out)
        found = _side_by_side(place, left_out)
        _check_shape([pair.y for pair in found.train], place, of_y)
        return found
    assert y is not None
    other = Path(y).expanduser()
    if of_y:
        paths = _some(_pictures(other, left_out), other)
        train, test, line = split([Pair(_stem(path, other), None, path) for path in paths])
        return Pairs({"x": "x", "y": other.resolve().name}, train, test, False, [line], [])
    assert x is not None
    one = Path(x).expanduser()
    if one.resolve() == other.resolve():
        raise BadInput(f"x and y are the same folder, {x}: give each side its own, or --root for pictures side by side")
    if (one.name, other.name) == ("trainA", "trainB") and one.parent == other.parent:
        return _two_by_two(one.parent, of_y, unmatched, left_out)
    found, alone = matched(one, other, left_out)
    _complain(alone, unmatched, f"{one} and {other}")
    train, test, line = split(found)
    names = {"x": one.resolve().name, "y": other.resolve().name}
    names = names if names["x"] != names["y"] else {"x": "A", "y": "B"}
    return Pairs(names, train, test, False, [*_skipped(alone), line], alone)


def _pictures(folder: Path, left_out: list[str]) -> list[Path]:
    """The pictures of a folder; lines on what is left out of it are added to `left_out`."""
    paths, lines = find_all(folder)
    left_out += lines
    return paths


def _side_by_side(root: Path, left_out: list[str]) -> Pairs:
    folders = {name: _pictures(root / name, left_out) for name in ("train", "val", "test") if (root / name).is_dir()}
    couple = re.fullmatch(r"(.+?)2(.+?)(_.*)?", root.resolve().name)
    names = dict(zip("xy", couple.groups()[:2] if couple else ("A", "B"), strict=True))
    if "train" not in folders:
        train, test, line = split([Pair(_stem(p, root), p, p) for p in _some(_pictures(root, left_out), root)])
        return Pairs(names, train, test, True, [line], [])
    train = [Pair(_stem(p, root), p, p) for p in _some(folders["train"], root / "train")]
    held = next((name for name in ("test", "val") if folders.get(name)), None)
    if held is None:
        train, test, line = split(train)
        return Pairs(names, train, test, True, [line], [])
    test = [Pair(_stem(p, root), p, p) for p in folders[held]]
    val = [Pair(_stem(p, root), p, p) for p in folders.get("val", [])] if held == "test" else []
    return Pairs(names, train, test, True, _unused(folders, held), [], val)


def _check_shape(paths: Sequence[Path], root: Path, of_y: bool) -> None:
    """Raises BadInput where pictures are no two beside each other by their shape: a picture cut in two would train."""
    shapes = []
    for path in paths[:: -(-len(paths) // LOOKED_AT)]:
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


def _two_by_two(root: Path, of_y: bool, unmatched: str, left_out: list[str]) -> Pairs:
    couple = re.fullmatch(r"(.+?)2(.+)", root.resolve().name)
    names = dict(zip("xy", couple.groups() if couple else ("A", "B"), strict=True))
    found: dict[str, list[Pair]] = {}
    alone: list[str] = []
    for name in ("train", "test", "val"):
        one, other = root / f"{name}A", root / f"{name}B"
        if of_y and other.is_dir():
            found[name] = [Pair(_stem(path, other), None, path) for path in _pictures(other, left_out)]
        elif one.is_dir() and other.is_dir():
            try:
                found[name], more = matched(one, other, left_out)
            except BadInput as error:
                if name == "train":
                    hint = "which of them belong together? For pictures without partners: quagga train cyclegan"
                    raise BadInput(f"{error}; {hint}") from None
                continue
            alone += more
    _complain(alone, unmatched, str(root))
    held = next((name for name in ("test", "val") if found.get(name)), None)
    if held is None:
        train, test, line = split(found["train"])
        return Pairs(names, train, test, False, [*_skipped(alone), line], alone)
    val = found.get("val", []) if held == "test" else []
    return Pairs(names, found["train"], found[held], False, [*_skipped(alone), *_unused(found, held)], alone, val)


def matched(x: Path, y: Path, left_out: list[str]) -> tuple[list[Pair], list[str]]:
    """The pairs of two folders by their names, and the pictures that have no partner; lines on what is left out of the
    folders are added to `left_out`.

    Raises:
        BadInput: a folder is missing or empty, nothing matches, or two pictures of a folder have one name.
    """
    found = {folder: _some(_pictures(folder, left_out), folder) for folder in (x, y)}
    for fold in (_casefolded, _stem):  # without case first; exactly, where that would make two of one
        stems = {folder: _by_stem(paths, folder, fold) for folder, paths in found.items()}
        if not any(len(paths) > 1 for names in stems.values() for paths in names.values()):
            break
    else:
        folder, paths = next((f, p) for f, names in stems.items() for p in names.values() if len(p) > 1)
        raise BadInput(f"{paths[0]} and {paths[1]} have one name but for the suffix: keep one of them in {folder}")
    xs, ys = stems[x], stems[y]
    pairs = [Pair(_stem(xs[stem][0], x), xs[stem][0], ys[stem][0]) for stem in sorted(xs.keys() & ys.keys())]
    alone = [
        str(names[stem][0]) for names, other in ((xs, ys), (ys, xs)) for stem in sorted(names.keys() - other.keys())
    ]
    if not pairs:
        raise BadInput(
            f"no picture of {x} has a partner of the same name in {y} ({Path(alone[0]).name} and"
            f" {next(iter(ys.values()))[0].name}, say): rename them alike, or give a list, --pairs FILE"
        )
    return pairs, alone


def _stem(path: Path, folder: Path) -> str:
    """A picture's path in its folder without its suffix, in one form of Unicode."""
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def _casefolded(path: Path, folder: Path) -> str:
    return unicodedata.normalize("NFC", _stem(path, folder).casefold())


def _by_stem(paths: Sequence[Path], folder: Path, fold: Callable[[Path, Path], str]) -> dict[str, list[Path]]:
    stems: dict[str, list[Path]] = {}
    for path in paths:
        stems.setdefault(fold(path, folder), []).append(path)
    return stems


def _some(found: list[Path], folder: Path) -> list[Path]:
    if not found:
        raise BadInput(f"{folder} has 0 images, so there are no pairs: put pictures there or name another folder")
    return found


def _complain(alone: Sequence[str], unmatched: str, place: str) -> None:
    if alone and unmatched == "error":
        raise BadInput(
            f"{_count(alone)} in {place} without a partner of the same name: {_names(alone)}: add or rename the"
            " partners, or leave them out with --unmatched skip"
        )


def _skipped(alone: Sequence[str]) -> list[str]:
    return [f"{_count(alone)} left out, without a partner: {_names(alone)}"] if alone else []


def _unused(found: dict[str, list[Any]], held: str) -> list[str]:
    line = f"{len(found[held])} pairs of {held} are held out of training"
    rest = len(found.get("val", [])) if held == "test" else 0
    return [f"{line}; {rest} of val are not used" if rest else line]


# -- lists ------------------------------------------------------------------------------------------------------------


def _listed(path: Path, of_y: bool, unmatched: str) -> Pairs:
    rows = read_list(path, needed=("y",) if of_y else ("x", "y"))
    found: dict[str, list[Pair]] = {"train": [], "val": [], "test": [], "": []}
    gone = []
    for number, row in rows:
        place = f"row {number}"
        if row.get("split", "") and row["split"].casefold() not in SPLITS:
            raise BadInput(f"{path}, {place}: the split is {row['split'][:40]!r}, expected train, val or test")
        needed = ("y",) if of_y else ("x", "y")
        files = {side: _there(path.parent, row[side]) for side in needed if row.get(side)}
        missing = [side for side in needed if side not in files]
        absent = [file for file in files.values() if not file.is_file()]
        if missing or absent:
            gone.append(f"{place}: {absent[0] if absent else 'no ' + missing[0]}")
            continue
        group = unicodedata.normalize("NFC", row.get("group", ""))
        pair = Pair(f"{place} of {path.name}", files.get("x"), files["y"], group)
        found[SPLITS.get(row.get("split", "").casefold(), "")].append(pair)
    if gone and unmatched == "error":
        raise BadInput(
            f"{len(gone)} of {len(rows)} rows of {path} name files that are not there ({_names(gone)}): mend the paths,"
            " which are relative to the list, or leave them out with --unmatched skip"
        )
    if len(gone) == len(rows):
        raise BadInput(f"{path} names no pair of files that are there ({_names(gone)}): paths are relative to the list")
    notices = [f"{len(gone)} of {len(rows)} rows left out, whose files are not there: {_names(gone)}"] if gone else []
    if any(found[name] for name in ("train", "val", "test")):
        train, held = found["train"], next((name for name in ("test", "val") if found[name]), None)
        more_train, more_test, line = split(found[""]) if found[""] else ([], [], "")
        test = [*(found[held] if held else []), *more_test]
        lines = [line] if line else []
        if held:
            lines += _unused(found, held)
        train = [*train, *more_train]
        if not train:
            raise BadInput(f"{path} has no row with the split train: give some")
        if not test:
            train, test, line = split(train)
            lines.append(line)
        shared = sorted({pair.group for pair in train if pair.group} & {pair.group for pair in test})
        if shared:
            raise BadInput(
                f"{len(shared)} groups of {path} are in training and test both ({_names(shared)}): give each group one"
                " split, or leave the column split out"
            )
    else:
        train, test, line = split(found[""])
        lines = [line]
    val = found["val"] if found["test"] else []
    beside = [pair.x == pair.y for pair in (*train, *test, *val)]
    if any(beside) and not all(beside):
        raise BadInput(
            f"{path}: {sum(beside)} of {len(beside)} pairs name one file for x and y, which then holds both side by"
            " side, and the others two: put them into two lists"
        )
    if any(beside):
        _check_shape([pair.y for pair in train], path, of_y)
    return Pairs({"x": "x", "y": "y"}, train, test, any(beside), [*notices, *lines], gone, val)


def read_list(path: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV or JSON list: (number in the file, column -> text without spaces around it).

    Raises:
        BadInput: it cannot be read, lacks a column, or has no row.
    """
    try:
        if path.stat().st_size > LONGEST:
            raise BadInput(f"{path} has more than {LONGEST >> 20} MiB: that is no list of pairs")
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read the list {path} ({error.strerror}): name a CSV or JSON file") from None
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8: save it as such (Excel: CSV UTF-8)") from None
    if path.suffix.lower() == ".json" or text.lstrip().startswith("["):
        columns, rows = _json(path, text)
    else:
        try:
            columns, rows = _csv(text)
        except csv.Error as error:
            raise BadInput(f"{path}: {error}: is a quotation mark not closed?") from None
    missing = [name for name in needed if name not in columns]
    if missing:
        has = ", ".join(columns[:8]) or "none"
        raise BadInput(f"{path} has no column {' and no '.join(missing)}: it has {has}; expected {', '.join(COLUMNS)}")
    if not rows:
        raise BadInput(f"{path} has no rows below its columns: list some pairs")
    return rows


def _json(path: Path, text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadInput(f'{path} should be a list of objects: [{{"x": "a.png", "y": "b.png"}}, ...]')
    rows = []
    for number, entry in enumerate(entries, 1):
        plain = {str(name).strip().casefold(): value for name, value in entry.items()}
        rows.append((number, {name: _word(value) for name, value in plain.items()}))
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _csv(text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    head = text.lstrip().partition("\n")[0]  # empty lines above it are passed over
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: list[str] = []
    rows = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if not columns:
            columns = [cell.strip().casefold() for cell in cells]
        else:
            rows.append((reader.line_num, {name: _word(cell) for name, cell in zip(columns, cells, strict=False)}))
    return columns, rows


def _word(value: object) -> str:
    return "" if value is None else str(value).strip()


def _there(folder: Path, name: str) -> Path:
    """A file that a list names, in whichever form of Unicode the disk has its name."""
    forms = [folder / of_system(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")]
    name = of_system(name)
    with suppress(OSError, ValueError, RuntimeError):  # too long for any disk, a zero byte, ~nobody: no file's name
        forms.insert(0, folder / Path(name).expanduser())
        return next((path for path in forms if path.is_file()), forms[0])
    return folder / name[:80].replace("\0", "")


# -- held out ---------------------------------------------------------------------------------------------------------


def split(pairs: list[Pair]) -> tuple[list[Pair], list[Pair], str]:
    """Training, test, and a line that says so. Groups stay whole; pairs of the same file y do, too."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        own = f"group {pair.group}" if pair.group else fingerprint(pair.y).hex()
        groups.setdefault(own, []).append(pair)
    places = {name: key("held out", name) / 2**64 for name in groups}
    chosen = {name for name, place in places.items() if place < TEST_SHARE}
    if not chosen and len(groups) > 1:
        chosen = {min(places, key=lambda name: places[name])}
    if len(chosen) == len(groups):
        chosen -= {max(places, key=lambda name: places[name])}
    test = {id(pair) for name in chosen for pair in groups[name]}
    parts = [pair for pair in pairs if id(pair) not in test], [pair for pair in pairs if id(pair) in test]
    if not test:
        return *parts, "too few different pairs to hold any out; the samples show training pictures"
    share, by = f"{len(test)} of {len(pairs)} pairs", "the files"
    if any(pair.group for pair in pairs):
        share = f"{len(chosen)} of {len(groups)} groups ({share})"
        by = "their names, so that a group stays where it is when rows are added"
    return *parts, f"no split is given, so {share} are held out of training, by a hash of {by}"


def _count(names: Sequence[str]) -> str:
    return "1 picture is" if len(names) == 1 else f"{len(names):,} pictures are"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
