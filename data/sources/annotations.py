"""Reads what a table says of each picture: its file, its condition, its split, its group."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from quagga.data.io.read import SUFFIXES
from quagga.data.sources.folders import find_all, subfolders
from quagga.data.sources.image_folder import SPLITS, Collection, title_of
from quagga.data.sources.table import TABLE_SUFFIXES, Table, cell_number, column_index, first_known, read_table
from quagga.data.transforms.conditions import ConditionKind, name_of, tokens
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput, some
from quagga.filenames import system_to_utf8, utf8_to_system

USUAL_NAMES = {  # columns that are known by their names where none is named
    "file": ("file", "filename", "file_name", "image", "path", "image_id"),
    "label": ("label", "class"),
    "caption": ("caption", "text", "tags"),
    "side": ("side",),
    "split": ("split",),
    "group": ("group",),
}


class Columns(NamedTuple):
    """The names of the columns; None: the one with a usual name."""

    file: str | None = None
    label: str | None = None
    caption: str | None = None
    split: str | None = None
    group: str | None = None


class Labelled(NamedTuple):
    """Pictures with what a table says of them; a picture with several captions is listed several times."""

    collection: Collection  # its labels are the classes or captions
    attributes: list[str]  # the names of its attributes
    values: np.ndarray  # float32 (N, A)
    groups: list[str] | None
    missing: Sequence[str] = ()  # files that are not there


def lists_files_only(table: str | Path) -> bool:
    """Returns whether a table lists files, perhaps with split and group, and nothing else.

    Raises:
        BadInput: it is no table.
    """
    columns = set(read_table(Path(table).expanduser()).columns)
    return bool(columns & set(USUAL_NAMES["file"])) and columns <= {
        *USUAL_NAMES["file"],
        *USUAL_NAMES["split"],
        *USUAL_NAMES["group"],
    }


def unannotated(collection: Collection) -> Labelled:
    """Wraps pictures that no table describes."""
    return Labelled(collection, [], np.zeros((0, 0), np.float32), None)


def collect_table(
    table: str | Path,
    images: str | Path | None,
    condition: ConditionKind | Literal["side"] | None,
    names: Sequence[str] | None,
    columns: Columns,
    skip: bool = False,
) -> Labelled:
    """Reads the pictures that a table lists.

    Args:
        table: A CSV, TSV or JSON file.
        images: The folder in which its files are looked for. None: "images" beside the table, or the table's own.
        condition: What to read of each picture: a condition, or the side that it belongs to, of two domains; None:
            only the files.
        names: Attributes to read, in order. None: all columns that have no other meaning.
        columns: The names of the columns.
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
    def folder_pictures() -> tuple[list[Path], dict[str, Path | None]]:
        """Returns the pictures of the folder, and the names by which a table may refer to them."""
        found, lines = find_all(folder)
        notices.extend(lines)
        return found, _names_in_folder(found, folder)

    def file_of(cell: str) -> Path | None:
        """Returns the file that a cell refers to. A table's own folder may be large, as a home folder is: it is
        searched only where a file does not lie where the table says."""
        if folder == path.parent and (direct := _relative_file(cell, path)):
            return direct
        name = _composed(cell.replace("\\", "/").removeprefix("./"))
        return folder_pictures()[1].get(name) or _relative_file(cell, path)

    def is_header(first: list[str]) -> bool:
        """Returns whether the first line names columns: one is that of the files, or no cell is a picture."""
        file_columns = {columns.file} if columns.file else set(USUAL_NAMES["file"])
        return bool(file_columns & set(map(name_of, first))) or not any(map(file_of, first))

    listed = read_table(path, is_header)
    if not listed.rows:
        raise BadInput(f"{path} has a header and no line below it: list the pictures there")
    if not listed.columns:
        if condition not in CONDITION_COLUMNS or len(listed.rows[0]) != 2:
            raise BadInput(
                f"{path} has no header, and {len(listed.rows[0])} columns: name them in a first line, such as"
                " file,smiling,blond"
            )
        listed = listed._replace(columns=["file", CONDITION_COLUMNS[condition]])
        columns = Columns()
        notices += [f"{path} has no header: its columns are taken as {' and '.join(listed.columns)}"]

    file = _required_column(listed, columns.file, "file")
    split = _optional_column(listed, columns.split, "split")
    group = _optional_column(listed, columns.group, "group")
    cells = [listed.rows[row][file] for row in range(len(listed.rows))]
    paths = [file_of(cell) for cell in cells]
    present = [row for row, found in enumerate(paths) if found]
    missing = [cell for cell, found in zip(cells, paths, strict=True) if not found]
    if missing:
        line = f"{len(missing)} of {len(cells)} files of {path} are not in {folder}: {some(missing, 3)}"
        if not skip or not present:
            folders = "" if condition in ("side", None) else "name their folder with --pictures, or "
            raise BadInput(f"{line}: {folders}mend the table")
        notices += [f"{line}: passed over"]

    attributes: list[str] = []
    values = np.zeros((len(present), 0), np.float32)
    texts: list[str] | None = None
    if condition == "attributes":
        others = {file, split, group}
        attributes = [name for index, name in enumerate(listed.columns) if index not in others]
        if names is not None:
            attributes = [name_of(name) for name in names]
            for name in attributes:
                if name not in listed.columns:
                    raise BadInput(f"{path} has no attribute {name!r}{did_you_mean(name, listed.columns)}")
        if not attributes:
            raise BadInput(
                f"{path} has no column beside the files: an attribute needs one, with numbers such as 0 and 1"
            )
        columns_of = [listed.columns.index(name) for name in attributes]
        values = np.array([[cell_number(listed, row, index) for index in columns_of] for row in present], np.float32)
        values, line = _signed_to_binary(values, attributes)
        notices += line
        conditions: list[object] = [tuple(row) for row in values.tolist()]
    elif condition is None:
        conditions = [None] * len(present)
    else:
        named = {"class": columns.label, "caption": columns.caption}.get(condition)
        text_column = _required_column(listed, named, CONDITION_COLUMNS[condition], file)
        texts = [listed.rows[row][text_column] for row in present]
        for row, text in zip(present, texts, strict=True):
            if not (tokens(text) if condition == "caption" else name_of(text)):
                empty = f"{cells[row]} has no {CONDITION_COLUMNS[condition]}"
                empty = f"the caption of {cells[row]} is empty" if condition == "caption" else empty
                raise BadInput(f"{listed.where(row)}: {empty}: write one, or leave the line out")
        texts = texts if condition == "caption" else [name_of(text) for text in texts]
        conditions = list(texts)

    chosen, lines = _drop_repeats(listed, present, [str(paths[row]) for row in present], conditions, condition)
    notices += lines
    rows = [present[at] for at in chosen]
    pictures = [picture for row in rows if (picture := paths[row])]
    groups = [listed.rows[row][group] or cells[row] for row in rows] if group is not None else None
    test = _split_column(listed, rows, split) if split is not None else None
    if test is not None:
        _check_groups(listed, test, groups if groups is not None else [str(picture) for picture in pictures])
    found = folder_pictures()[0] if folder != path.parent or folder_pictures.cache_info().currsize else []
    if not_listed := len(found) - len(set(pictures) & set(found)):
        notices += [f"{not_listed} of {len(found)} pictures in {folder} are not in {path} and are left out"]
    title = title_of(path.parent) if path.parent.resolve().name else path.stem
    labels = [texts[at] for at in chosen] if texts is not None else None
    return Labelled(Collection(title, pictures, labels, test, notices), attributes, values[chosen], groups, missing)


CONDITION_COLUMNS = {
    "class": "label",
    "caption": "caption",
    "side": "side",
}  # what is read -> the column that says it


def _required_column(table: Table, name: str | None, key: str, file: int | None = None) -> int:
    """Returns the index of a column that must exist: the named one, one with a usual name, or the only one left."""
    if name is not None:
        return column_index(table, name_of(name), key)
    usual = first_known(table.columns, USUAL_NAMES[key])
    if usual is not None:
        return table.columns.index(usual)
    if key == "side":
        raise BadInput(f"{table.path} has no column 'side': name one so, with x or y for each picture")
    captioned = key == "label" and first_known(table.columns, USUAL_NAMES["caption"]) is not None
    if file is not None and len(table.columns) == 2 and not captioned:
        return 1 - file
    instead = ""
    if key == "label":
        instead = ", or --condition caption" if captioned else ", or --condition attributes, if the others hold numbers"
    raise BadInput(
        f"{table.path} has no column {key!r}; its columns are {', '.join(table.columns[:12])}: say which one it is,"
        f" --{key} COLUMN{instead}"
    )


def _optional_column(table: Table, name: str | None, key: str) -> int | None:
    if name is not None:
        return column_index(table, name_of(name), key)
    usual = first_known(table.columns, USUAL_NAMES[key])
    return None if usual is None else table.columns.index(usual)


def _names_in_folder(found: Sequence[Path], folder: Path) -> dict[str, Path | None]:
    """Maps the names of pictures in a folder, with and without suffix, to their files; None for a stem that two
    have."""
    names: dict[str, Path | None] = {}
    for path in found:
        stem = _composed(system_to_utf8(path.relative_to(folder).with_suffix("").as_posix()))
        names[stem] = None if stem in names else path
    return names | {_composed(system_to_utf8(path.relative_to(folder).as_posix())): path for path in found}


def _relative_file(cell: str, table: Path) -> Path | None:
    """Returns the picture at the path that a cell gives, relative to the table; None where there is none."""
    direct = table.parent / utf8_to_system(cell)
    with suppress(OSError, ValueError):  # a name too long for any disk, or with a zero byte, is no file's
        return direct if cell.lower().endswith(SUFFIXES) and direct.is_file() else None
    return None


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _signed_to_binary(values: np.ndarray, attributes: list[str]) -> tuple[np.ndarray, list[str]]:
    """Turns attributes of -1 and 1, as some tables have them, into 0 and 1. Returns lines on them and on constant
    ones."""
    signed = [at for at in range(len(attributes)) if set(np.unique(values[:, at])) == {-1.0, 1.0}]
    values[:, signed] = (values[:, signed] + 1) / 2
    lines = [f"{len(signed)} of {len(attributes)} attributes are -1 and 1, which become 0 and 1"] if signed else []
    same = [name for at, name in enumerate(attributes) if len(values) and (values[:, at] == values[0, at]).all()]
    if same:
        lines.append(f"the same for all pictures, so that they teach nothing: the attributes {', '.join(same[:6])}")
    return values, lines


def _drop_repeats(
    table: Table, present: list[int], files: list[str], conditions: list[object], condition: str | None
) -> tuple[list[int], list[str]]:
    """Keeps each picture once, and with captions each caption once: returns positions in `present`, and a line.

    Raises:
        BadInput: a picture has two conditions.
    """
    first: dict[str, int] = {}
    seen: set[tuple[str, object]] = set()
    chosen, repeated, contradicting = [], 0, []
    for position, (file, condition_of_file) in enumerate(zip(files, conditions, strict=True)):
        if (file, condition_of_file) in seen:
            repeated += 1
            continue
        if file in first and condition != "caption":
            contradicting.append((file, first[file], position))
            continue
        seen.add((file, condition_of_file))
        first.setdefault(file, position)
        chosen.append(position)
    if contradicting:
        file, one, other = contradicting[0]
        values = f"{conditions[one]!r} and {conditions[other]!r}" if condition in CONDITION_COLUMNS else "other values"
        lines = f"{table.unit}s {table.lines[present[one]]} and {table.lines[present[other]]}"
        raise BadInput(
            f"{table.path}: {len(contradicting)} picture{'s stand' if len(contradicting) > 1 else ' stands'} twice with"
            f" different conditions, first {Path(file).name} ({values}, {lines}): keep one of them"
        )
    return chosen, [f"{repeated} lines of {table.path} repeat others and are left out"] if repeated else []


def _split_column(table: Table, rows: list[int], split: int) -> np.ndarray:
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


def _check_groups(table: Table, test: np.ndarray, groups: list[str]) -> None:
    """Raises BadInput where a group, or a picture with several captions, is both in training and held out."""
    sides: dict[str, bool] = {}
    both = Counter(
        group for group, held in zip(groups, test.tolist(), strict=True) if sides.setdefault(group, held) != held
    )
    if both:
        raise BadInput(
            f"{table.path}: {len(both)} groups are both in training and held out, first {some(list(both), 3)}: keep"
            " them on one side"
        )


def find_table(root: Path, condition: ConditionKind) -> str | None:
    """Returns the one table in a folder without class folders; None where there is none. A .json does not count: it may
    hold anything.

    Raises:
        BadInput: there are several.
    """
    if not root.is_dir():
        return None
    inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    tables = [path for path in inside if path.suffix.lower() in TABLE_SUFFIXES and path.suffix.lower() != ".json"]
    if not tables or (condition == "class" and set(subfolders(root)) - {"images"}):
        return None
    if len(tables) > 1:
        raise BadInput(
            f"{root} holds {len(tables)} tables, {', '.join(path.name for path in tables[:4])}: name one, --table"
        )
    return str(tables[0])
