"""What a table says of each picture: which file, which condition, which split."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quagga import BadInput
from quagga.data.collection import SPLITS, Collection, title_of
from quagga.data.conditions import Kind, did_you_mean, name_of, tokens
from quagga.data.decode import SUFFIXES
from quagga.data.folders import find_all
from quagga.data.table import Table, column, number, one_of, read_table
from quagga.names import of_system, of_utf8

USUAL = {  # columns that are known by their names where none is named
    "file": ("file", "filename", "file_name", "image", "path", "image_id"),
    "label": ("label", "class"),
    "caption": ("caption", "text", "tags"),
    "split": ("split",),
    "group": ("group",),
}


class Columns(NamedTuple):
    """Which column says what; None: the one with a usual name."""

    file: str | None = None
    label: str | None = None
    caption: str | None = None
    split: str | None = None
    group: str | None = None


class Labelled(NamedTuple):
    """Pictures with what a table says of them; a picture with several captions stands several times."""

    collection: Collection  # its labels are the classes or captions
    attributes: list[str]  # the names of its attributes
    values: np.ndarray  # float32 (N, A)
    groups: list[str] | None


def in_table(
    table: str | Path,
    images: str | Path | None,
    condition: Kind,
    names: Sequence[str] | None,
    columns: Columns,
    skip: bool = False,
) -> Labelled:
    """The pictures that a table lists.

    Args:
        table: A CSV, TSV or JSON file.
        images: The folder in which its files are looked for. None: "images" beside the table, or the table's own.
        condition: What is asked for.
        names: Attributes that are wanted, in order. None: all columns that have no other meaning.
        columns: Which column says what.
        skip: Whether files that are missing are passed over.

    Raises:
        BadInput: a column or a file is missing, a caption is empty, an attribute is no number, a picture has two
            labels, or a split is not understood.
    """
    path = Path(table).expanduser()
    beside = path.parent / "images"
    folder = Path(images).expanduser() if images else beside if beside.is_dir() else path.parent
    found, notices = find_all(folder)
    places = _places(found, folder)

    def is_header(first: list[str]) -> bool:
        """Unless it names a picture, and the file's column goes by no name that was asked for."""
        wanted = {columns.file} if columns.file else set(USUAL["file"])
        return bool(wanted & set(map(name_of, first))) or not any(_place(cell, places, path) for cell in first)

    read = read_table(path, is_header)
    if not read.rows:
        raise BadInput(f"{path} has a header and no line below it: list the pictures there")
    if not read.columns:
        if condition == "attributes" or len(read.rows[0]) != 2:
            raise BadInput(
                f"{path} has no header, and {len(read.rows[0])} columns: name them in a first line, such as"
                " file,smiling,blond"
            )
        read = read._replace(columns=["file", "label" if condition == "class" else "caption"])
        columns = Columns()
        notices = [*notices, f"{path} has no header: its columns are taken as {' and '.join(read.columns)}"]

    file = _chosen(read, columns.file, "file")
    split = _optional(read, columns.split, "split")
    group = _optional(read, columns.group, "group")
    cells = [read.rows[row][file] for row in range(len(read.rows))]
    paths = [_place(cell, places, path) for cell in cells]
    kept = [row for row, place in enumerate(paths) if place]
    if len(kept) < len(paths):
        missing = [cell for cell, place in zip(cells, paths, strict=True) if not place]
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        line = f"{len(missing)} of {len(cells)} files of {path} are not in {folder}: {some}"
        if not skip or not kept:
            raise BadInput(f"{line}: name their folder with --pictures, or mend the table")
        notices = [*notices, f"{line}: passed over"]

    attributes: list[str] = []
    values = np.zeros((len(kept), 0), np.float32)
    texts: list[str] | None = None
    if condition == "attributes":
        others = {file, split, group}
        attributes = [name for place, name in enumerate(read.columns) if place not in others]
        if names is not None:
            attributes = [name_of(name) for name in names]
            for name in attributes:
                if name not in read.columns:
                    raise BadInput(f"{path} has no attribute {name!r}{did_you_mean(name, read.columns)}")
        if not attributes:
            raise BadInput(
                f"{path} has no column beside the files: an attribute needs one, with numbers such as 0 and 1"
            )
        columns_of = [read.columns.index(name) for name in attributes]
        values = np.array([[number(read, row, place) for place in columns_of] for row in kept], np.float32)
        values, line = _zero_or_one(values, attributes)
        notices = [*notices, *line]
        said: list[object] = [tuple(row) for row in values.tolist()]
    else:
        place = _chosen(read, columns.label if condition == "class" else columns.caption, _KEY[condition], file)
        texts = [read.rows[row][place] for row in kept]
        for row, text in zip(kept, texts, strict=True):
            if not (tokens(text) if condition == "caption" else name_of(text)):
                empty = (
                    f"the caption of {cells[row]} is empty" if condition == "caption" else f"{cells[row]} has no label"
                )
                raise BadInput(f"{read.where(row)}: {empty}: write one, or leave the line out")
        texts = texts if condition == "caption" else [name_of(text) for text in texts]
        said = list(texts)

    chosen, more = _without_repeats(read, kept, [str(paths[row]) for row in kept], said, condition)
    notices = [*notices, *more]
    rows = [kept[at] for at in chosen]
    pictures = [place for row in rows if (place := paths[row])]
    groups = [read.rows[row][group] or cells[row] for row in rows] if group is not None else None
    test = _test(read, rows, split) if split is not None else None
    if test is not None:
        _apart(read, test, groups if groups is not None else [str(picture) for picture in pictures])
    if unlisted := len(found) - len(set(pictures) & set(found)):
        notices = [*notices, f"{unlisted} of {len(found)} pictures in {folder} are not in {path} and are left out"]
    title = title_of(path.parent) if path.parent.resolve().name else path.stem
    labels = [texts[at] for at in chosen] if texts is not None else None
    return Labelled(Collection(title, pictures, labels, test, notices), attributes, values[chosen], groups)


_KEY = {"class": "label", "caption": "caption"}


def _chosen(table: Table, name: str | None, key: str, file: int | None = None) -> int:
    """The place of a column that there must be: the named one, or one of a usual name, or the only one left."""
    if name is not None:
        return column(table, name_of(name), key)
    usual = one_of(table.columns, USUAL[key])
    if usual is not None:
        return table.columns.index(usual)
    captioned = key == "label" and one_of(table.columns, USUAL["caption"]) is not None
    if file is not None and len(table.columns) == 2 and not captioned:
        return 1 - file
    instead = ""
    if key == "label":
        instead = ", or --condition caption" if captioned else ", or --condition attributes, if the others hold numbers"
    raise BadInput(
        f"{table.path} has no column {key!r}; its columns are {', '.join(table.columns[:12])}: say which one it is,"
        f" --{key} COLUMN{instead}"
    )


def _optional(table: Table, name: str | None, key: str) -> int | None:
    if name is not None:
        return column(table, name_of(name), key)
    usual = one_of(table.columns, USUAL[key])
    return None if usual is None else table.columns.index(usual)


def _places(found: Sequence[Path], folder: Path) -> dict[str, Path | None]:
    """Names of pictures in a folder, with and without suffix, to their files; None for a stem that two have."""
    places: dict[str, Path | None] = {}
    for path in found:
        stem = _plain(of_utf8(path.relative_to(folder).with_suffix("").as_posix()))
        places[stem] = None if stem in places else path
    return places | {_plain(of_utf8(path.relative_to(folder).as_posix())): path for path in found}


def _place(cell: str, places: dict[str, Path | None], table: Path) -> Path | None:
    """The file that a table means."""
    name = _plain(cell.replace("\\", "/").removeprefix("./"))
    if found := places.get(name):
        return found
    direct = table.parent / of_system(cell)
    with suppress(OSError, ValueError):  # a name too long for any disk, or with a zero byte, is no file's
        return direct if cell.lower().endswith(SUFFIXES) and direct.is_file() else None
    return None


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _zero_or_one(values: np.ndarray, attributes: list[str]) -> tuple[np.ndarray, list[str]]:
    """-1 and 1, as some tables have it, become 0 and 1; what never changes is told."""
    signed = [at for at in range(len(attributes)) if set(np.unique(values[:, at])) == {-1.0, 1.0}]
    values[:, signed] = (values[:, signed] + 1) / 2
    lines = [f"{len(signed)} of {len(attributes)} attributes are -1 and 1, which become 0 and 1"] if signed else []
    same = [name for at, name in enumerate(attributes) if len(values) and (values[:, at] == values[0, at]).all()]
    if same:
        lines.append(f"the same for all pictures, so that they teach nothing: the attributes {', '.join(same[:6])}")
    return values, lines


def _without_repeats(
    table: Table, kept: list[int], files: list[str], said: list[object], condition: Kind
) -> tuple[list[int], list[str]]:
    """Which of the rows stay, each picture once, with captions once each; BadInput where one has two conditions."""
    first: dict[str, int] = {}
    pairs: set[tuple[str, object]] = set()
    chosen, repeated, torn = [], 0, []
    for at, (file, what) in enumerate(zip(files, said, strict=True)):
        if (file, what) in pairs:
            repeated += 1
            continue
        if file in first and condition != "caption":
            torn.append((file, first[file], at))
            continue
        pairs.add((file, what))
        first.setdefault(file, at)
        chosen.append(at)
    if torn:
        file, one, other = torn[0]
        shown = f"{said[one]!r} and {said[other]!r}" if condition == "class" else "other values"
        lines = f"{table.unit}s {table.lines[kept[one]]} and {table.lines[kept[other]]}"
        raise BadInput(
            f"{table.path}: {len(torn)} picture{'s stand' if len(torn) > 1 else ' stands'} twice with different"
            f" conditions, first {Path(file).name} ({shown}, {lines}): keep one of them"
        )
    return chosen, [f"{repeated} lines of {table.path} repeat others and are left out"] if repeated else []


def _test(table: Table, rows: list[int], split: int) -> np.ndarray:
    test = []
    for row in rows:
        word = table.rows[row][split].casefold()
        if word not in SPLITS:
            raise BadInput(
                f"{table.where(row)}: {table.rows[row][split]!r} in the column {table.columns[split]} is no split:"
                " write train, test or val"
            )
        test.append(SPLITS[word])
    held, total = sum(test), len(test)
    if held in (0, total):
        raise BadInput(
            f"{table.path}: the column {table.columns[split]} has {total - held} pictures to train on and {held} held"
            " out: it needs some of each, or rename it"
        )
    return np.array(test)


def _apart(table: Table, test: np.ndarray, groups: list[str]) -> None:
    """Raises BadInput where a group, or a picture with several captions, is on both sides of the split."""
    sides: dict[str, bool] = {}
    both = Counter(
        group for group, held in zip(groups, test.tolist(), strict=True) if sides.setdefault(group, held) != held
    )
    if both:
        some = ", ".join(list(both)[:3])
        raise BadInput(
            f"{table.path}: {len(both)} groups are both in training and held out, first {some}: keep them on one side"
        )
