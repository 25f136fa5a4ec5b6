"""Reads tables with a row for each picture: CSV, TSV and JSON.

CSV is read as programs write it: UTF-8 or UTF-16 with a byte order mark, or UTF-8 without; separated by commas,
semicolons or tabs; with decimal commas, if commas do not separate cells. JSON is a list of objects, one object a line,
or one object that maps files to values.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quagga.data.transforms.conditions import name_of
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput, one_line

TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
MOST_BYTES = 1 << 28  # of a file
SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma"}
LINES_PROBED = 50  # lines from which the separator is guessed
TRUTH_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


class Table(NamedTuple):
    """The cells of a table, as text."""

    path: Path
    columns: list[str]  # their names; [] without a header
    rows: list[list[str]]
    lines: list[int]  # for each row the line of the file in which it begins, or the number of its entry, from 1 on
    decimal_comma: bool = False  # whether a comma in a number is a decimal one
    unit: str = "line"  # what `lines` counts: "line" or "entry"

    def where(self, row: int) -> str:
        """Returns the place of a row (from 0 on) for messages: "table.csv, line 7"."""
        return f"{self.path}, {self.unit} {self.lines[row]}"


def read_table(path: Path, is_header: Callable[[list[str]], bool] = lambda first: True) -> Table:
    """Reads the table of a file.

    Args:
        path: a .csv, .tsv, .json or .jsonl file.
        is_header: takes the cells of the first line of a CSV, and returns whether they name the columns; JSON always
            has names.

    Raises:
        BadInput: the file is missing, too large, no text or no table, a line has more or fewer cells than the first, or
            two columns have one name.
    """
    text = _text(path)
    if path.suffix.lower() in (".json", ".jsonl"):
        return _json(path, text)
    separator = _separator(path, text)
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    first_line = 1  # of the next row
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append([cell.strip() for cell in cells])
                lines.append(first_line)
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"{path}, line {first_line}: {error}: is a quotation mark not closed?") from None
    columns: list[str] = []
    if rows and is_header(rows[0]):
        columns, lines = [name_of(cell) for cell in rows.pop(0)], lines[1:]
    width = len(columns or (rows[0] if rows else []))
    for cells, line in zip(rows, lines, strict=True):
        if len(cells) != width:
            raise BadInput(
                f"{path}, line {line} has {len(cells)} cells and the first line {width}: put text that holds"
                f" {SEPARATORS[separator]}s in quotation marks"
            )
    _check_unique(path, columns)
    return Table(path, columns, rows, lines, separator != ",")


def column_index(table: Table, name: str, option: str) -> int:
    """Returns the index of the column `name`, which --`option` asks for; raises BadInput if there is none."""
    if name in table.columns:
        return table.columns.index(name)
    raise BadInput(f"{table.path} has no column {name!r} (--{option}){did_you_mean(name, table.columns)}")


def cell_number(table: Table, row: int, column: int) -> float:
    """Returns a cell as a number: of 1, 0.5, 0,5, true, no, and of 1,5 if the table has decimal commas.

    Raises:
        BadInput: it is no number, or not finite.
    """
    cell = table.rows[row][column]
    is_decimal = table.decimal_comma or re.fullmatch(r"[-+]?0,\d+", cell)
    text = cell.replace(",", ".") if is_decimal else cell
    try:
        value = TRUTH_WORDS[text.lower()] if text.lower() in TRUTH_WORDS else float(text)
    except ValueError:
        value = float("nan")
    if abs(value) < 3e38:  # of float32; False for NaN
        return value
    what = f"{cell[:40]!r} is no number" if cell else "there is no number"
    raise BadInput(
        f"{table.where(row)}: {what} in the column {table.columns[column]}: mend it, or choose the attributes, --names"
        " '[...]'"
    )


def _text(path: Path) -> str:
    """Reads a file as text. Raises BadInput if it is missing, too large, empty or no text."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{path} is larger than {MOST_BYTES >> 20} MiB: it is no table of pictures")
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"there is no table {path}: name a {', '.join(TABLE_SUFFIXES)} file with --table") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): name a table with --table") from None
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(f"{path}, line {line} is not UTF-8: save the table as CSV UTF-8") from None
    if "\0" in text or not text.strip():
        raise BadInput(f"{path} {'is no text' if text.strip() else 'is empty'}: name a table with --table")
    return text


def _separator(path: Path, text: str) -> str:
    """Returns the separator of a table: the first one in its first line that splits all of the first LINES_PROBED lines
    into equally many cells, or, if none does, the first one."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    first_line = text.lstrip().splitlines()[0]  # without empty lines above it
    candidates = sorted((separator for separator in SEPARATORS if separator in first_line), key=first_line.index)
    for separator in candidates:
        reader = csv.reader(io.StringIO(text), delimiter=separator)
        try:
            probed = [cells for cells, _ in zip(reader, range(LINES_PROBED), strict=False)]
            widths = {len(cells) for cells in probed if any(cell.strip() for cell in cells)}
        except csv.Error:
            continue
        if len(widths) == 1:
            return separator
    if candidates:
        return candidates[0]
    raise BadInput(f"{path} has one column only: separate a file and its value by a comma, a semicolon or a tab")


def _json(path: Path, text: str) -> Table:
    """Parses the text of a .json or .jsonl file. Raises BadInput as `read_table`."""
    try:
        if path.suffix.lower() == ".jsonl":
            entries: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {one_line(error, 120)}") from None
    if isinstance(entries, dict):  # {"1.png": "a caption"}, {"1.png": {"smiling": 1}}
        entries = [
            {"file": file, **(value if isinstance(value, dict) else {"": value})} for file, value in entries.items()
        ]
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise BadInput(f'{path}: expected a list of objects such as {{"file": "1.png", "label": "horse"}}')
    columns = list(dict.fromkeys(key for entry in entries for key in entry))
    rows = []
    for entry_number, entry in enumerate(entries):
        if missing := [key for key in columns if key not in entry]:
            raise BadInput(
                f"{path}, entry {entry_number + 1} has no {missing[0]!r}: every entry needs {', '.join(columns)}"
            )
        if nested := [key for key, value in entry.items() if isinstance(value, list | dict)]:
            raise BadInput(
                f"{path}, entry {entry_number + 1}: {nested[0]!r} is a list or an object: expected text or a number"
            )
        rows.append(["" if entry[key] is None else str(entry[key]).strip() for key in columns])
    names = [name_of(key) for key in columns]
    _check_unique(path, names)
    return Table(path, names, rows, list(range(1, len(rows) + 1)), unit="entry")


def _check_unique(path: Path, columns: Sequence[str]) -> None:
    """Raises BadInput if two columns have one name."""
    repeated = [name for name in dict.fromkeys(columns) if list(columns).count(name) > 1]
    if repeated:
        raise BadInput(f"{path} has two columns {repeated[0]!r}: rename one")


def first_known(columns: Iterable[str], names: Iterable[str]) -> str | None:
    """Returns the first of `names` that is among the columns; None: there is none."""
    return next((name for name in names if name in set(columns)), None)
