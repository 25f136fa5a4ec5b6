"""What a table says of each picture: which file, which condition, which split."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

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
    "side": ("side",),
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
    missing: Sequence[str] = ()  # files that are not there


def lists_files_only(table: str | Path) -> bool:
    """Whether a table says nothing of its pictures but where they are, and perhaps their split and group.

    Raises:
        BadInput: it is no table.
    """
    columns = set(read_table(Path(table).expanduser()).columns)
    return bool(columns & set(USUAL["file"])) and columns <= {*USUAL["file"], *USUAL["split"], *USUAL["group"]}


def unlisted(collection: Collection) -> Labelled:
    """Pictures of which no table says anything."""
    return Labelled(collection, [], np.zeros((0, 0), np.float32), None)


def in_table(
    table: str | Path,
    images: str | Path | None,
    condition: Kind | Literal["side"] | None,
    names: Sequence[str] | None,
    columns: Columns,
    skip: bool = False,
) -> Labelled:
    """The pictures that a table lists.

    Args:
        table: A CSV, TSV or JSON file.
        images: The folder in which its files are looked for. None: "images" beside the table, or the table's own.
        condition: What is asked for: the condition of each picture; the side that it belongs to, of two domains; or
            nothing but the pictures.
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
    notices: list[str] = []

    @cache
    def inside() -> tuple[list[Path], dict[str, Path | None]]:
        """The pictures of the folder, and the names by which a table may mean them."""
        found, lines = find_all(folder)
        notices.extend(lines)
        return found, _places(found, folder)

    def file_of(cell: str) -> Path | None:
        """The file that a cell means. A table's own folder may hold anything, a whole home: it is gone through only
        where a file does not lie where the table says."""
        if folder == path.parent and (direct := _direct(cell, path)):
            return direct
        return inside()[1].get(_plain(cell.replace("\\", "/").removeprefix("./"))) or _direct(cell, path)

    def is_header(first: list[str]) -> bool:
        """Unless it names a picture, and the file's column goes by no name that was asked for."""
        wanted = {columns.file} if columns.file else set(USUAL["file"])
        return bool(wanted & set(map(name_of, first))) or not any(map(file_of, first))

    read = read_table(path, is_header)
    if not read.rows:
        raise BadInput(f"{path} has a header and no line below it: list the pictures there")
    if not read.columns:
        if condition not in KEY or len(read.rows[0]) != 2:
            raise BadInput(
                f"{path} has no header, and {len(read.rows[0])} columns: name them in a first line, such as"
                " file,smiling,blond"
            )
        read = read._replace(columns=["file", KEY[condition]])
        columns = Columns()
        notices += [f"{path} has no header: its columns are taken as {' and '.join(read.columns)}"]

    file = _chosen(read, columns.file, "file")
    split = _optional(read, columns.split, "split")
    group = _optional(read, columns.group, "group")
    cells = [read.rows[row][file] for row in range(len(read.rows))]
    paths = [file_of(cell) for cell in cells]
    kept = [row for row, place in enumerate(paths) if place]
    missing = [cell for cell, place in zip(cells, paths, strict=True) if not place]
    if missing:
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        line = f"{len(missing)} of {len(cells)} files of {path} are not in {folder}: {some}"
        if not skip or not kept:
            folders = "" if condition in ("side", None) else "name their folder with --pictures, or "
            raise BadInput(f"{line}: {folders}mend the table")
        notices += [f"{line}: passed over"]

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
        notices += line
        said: list[object] = [tuple(row) for row in values.tolist()]
    elif condition is None:
        said = [None] * len(kept)
    else:
        named = {"class": columns.label, "caption": columns.caption}.get(condition)
        place = _chosen(read, named, KEY[condition], file)
        texts = [read.rows[row][place] for row in kept]
        for row, text in zip(kept, texts, strict=True):
            if not (tokens(text) if condition == "caption" else name_of(text)):
                empty = f"{cells[row]} has no {KEY[condition]}"
                empty = f"the caption of {cells[row]} is empty" if condition == "caption" else empty
                raise BadInput(f"{read.where(row)}: {empty}: write one, or leave the line out")
        texts = texts if condition == "caption" else [name_of(text) for text in texts]
        said = list(texts)

    chosen, more = _without_repeats(read, kept, [str(paths[row]) for row in kept], said, condition)
    notices += more
    rows = [kept[at] for at in chosen]
    pictures = [place for row in rows if (place := paths[row])]
    groups = [read.rows[row][group] or cells[row] for row in rows] if group is not None else None
    test = _test(read, rows, split) if split is not None else None
    if test is not None:
        _apart(read, test, groups if groups is not None else [str(picture) for picture in pictures])
    found = inside()[0] if folder != path.parent or inside.cache_info().currsize else []
    if unlisted := len(found) - len(set(pictures) & set(found)):
        notices += [f"{unlisted} of {len(found)} pictures in {folder} are not in {path} and are left out"]
    title = title_of(path.parent) if path.parent.resolve().name else path.stem
    labels = [texts[at] for at in chosen] if texts is not None else None
    return Labelled(Collection(title, pictures, labels, test, notices), attributes, values[chosen], groups, missing)


KEY = {"class": "label", "caption": "caption", "side": "side"}  # what is asked for -> the column that says it


def _chosen(table: Table, name: str | None, key: str, file: int | None = None) -> int:
    """The place of a column that there must be: the named one, or one of a usual name, or the only one left."""
    if name is not None:
        return column(table, name_of(name), key)
    usual = one_of(table.columns, USUAL[key])
    if usual is not None:
        return table.columns.index(usual)
    if key == "side":
        raise BadInput(f"{table.path} has no column 'side': name one so, with x or y for each picture")
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


def _direct(cell: str, table: Path) -> Path | None:
    """The picture that lies where a cell says, seen from the table."""
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
    table: Table, kept: list[int], files: list[str], said: list[object], condition: str | None
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
        shown = f"{said[one]!r} and {said[other]!r}" if condition in KEY else "other values"
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
