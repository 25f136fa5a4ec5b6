"""Tables that people keep: CSV, TSV and JSON, of one line a picture.

CSV as programs write it: UTF-8 or UTF-16 with a byte order mark or UTF-8 without; separated by commas, semicolons or
tabs; decimal commas where the comma does not separate. JSON is a list of objects, one object a line, or one object that
maps files to values.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quagga import BadInput
from quagga.data.conditions import did_you_mean, name_of

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
MOST = 1 << 28  # bytes of a table
SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma"}
LOOKED_AT = 50  # lines from which the separator is told
WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


class Table(NamedTuple):
    """Cells as text, with the line of the file that each row begins in."""

    path: Path
    columns: list[str]  # empty where there is no header
    rows: list[list[str]]
    lines: list[int]
    decimal_comma: bool = False
    unit: str = "line"

    def where(self, row: int) -> str:
        """The file, and the line or entry that a row (from 0 on) begins in, for messages."""
        return f"{self.path}, {self.unit} {self.lines[row]}"


def read_table(path: Path, is_header: Callable[[list[str]], bool] = lambda first: True) -> Table:
    """The table of a file.

    Args:
        path: The file, .csv, .tsv, .json or .jsonl.
        is_header: Given the first line of a CSV, whether it names the columns. JSON always does.

    Raises:
        BadInput: it is missing, too large, no text or no table, or a line has more or fewer cells than the first.
    """
    text = _text(path)
    if path.suffix.lower() in (".json", ".jsonl"):
        return _json(path, text)
    separator = _separator(path, text)
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    begins = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append([cell.strip() for cell in cells])
                lines.append(begins)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"{path}, line {begins}: {error}: is a quotation mark not closed?") from None
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
    _unique(path, columns)
    return Table(path, columns, rows, lines, separator != ",")


def column(table: Table, name: str, option: str) -> int:
    """The place of a column; raises BadInput with those there are."""
    if name in table.columns:
        return table.columns.index(name)
    raise BadInput(f"{table.path} has no column {name!r} (--{option}){did_you_mean(name, table.columns)}")


def number(table: Table, row: int, place: int) -> float:
    """A cell as a number: 1, 0.5, 0,5, and 1,5 where commas do not separate (else it may be 15), true, no.

    Raises:
        BadInput: it is none, or not finite.
    """
    cell = table.rows[row][place]
    decimal = table.decimal_comma or re.fullmatch(r"[-+]?0,\d+", cell)
    text = cell.replace(",", ".") if decimal else cell
    try:
        value = WORDS[text.lower()] if text.lower() in WORDS else float(text)
    except ValueError:
        value = float("nan")
    if abs(value) < 3e38:  # of float32; False for NaN
        return value
    what = f"{cell[:40]!r} is no number" if cell else "there is no number"
    raise BadInput(
        f"{table.where(row)}: {what} in the column {table.columns[place]}: mend it, or choose the attributes, --names"
        " '[...]'"
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST:
            raise BadInput(f"{path} is larger than {MOST >> 20} MiB: it is no table of pictures")
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"there is no table {path}: name a {', '.join(SUFFIXES)} file with --table") from None
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
    """The sign that makes the same number of cells, 2 or more, of all first lines; of several the first to stand."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    begin = text.lstrip().splitlines()[0]  # empty lines above the header are passed over
    present = sorted((sign for sign in SEPARATORS if sign in begin), key=begin.index)
    for sign in present:
        reader = csv.reader(io.StringIO(text), delimiter=sign)
        try:
            some = [cells for cells, _ in zip(reader, range(LOOKED_AT), strict=False)]
            widths = {len(cells) for cells in some if any(cell.strip() for cell in cells)}
        except csv.Error:
            continue
        if len(widths) == 1:
            return sign
    if present:
        return present[0]
    raise BadInput(f"{path} has one column only: separate a file and its value by a comma, a semicolon or a tab")


def _json(path: Path, text: str) -> Table:
    try:
        if path.suffix.lower() == ".jsonl":
            held: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            held = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {' '.join(str(error).split())[:120]}") from None
    if isinstance(held, dict):  # {"1.png": "a caption"}, {"1.png": {"smiling": 1}}
        held = [{"file": file, **(value if isinstance(value, dict) else {"": value})} for file, value in held.items()]
    if not isinstance(held, list) or not held or not all(isinstance(entry, dict) for entry in held):
        raise BadInput(f'{path}: expected a list of objects such as {{"file": "1.png", "label": "horse"}}')
    columns = list(dict.fromkeys(key for entry in held for key in entry))
    rows = []
    for number, entry in enumerate(held):
        if missing := [key for key in columns if key not in entry]:
            raise BadInput(f"{path}, entry {number + 1} has no {missing[0]!r}: every entry needs {', '.join(columns)}")
        if nested := [key for key, value in entry.items() if isinstance(value, list | dict)]:
            raise BadInput(
                f"{path}, entry {number + 1}: {nested[0]!r} is a list or an object: expected text or a number"
            )
        rows.append(["" if entry[key] is None else str(entry[key]).strip() for key in columns])
    named = [name_of(key) for key in columns]
    _unique(path, named)
    return Table(path, named, rows, list(range(1, len(rows) + 1)), unit="entry")


def _unique(path: Path, columns: Sequence[str]) -> None:
    twice = [name for name in dict.fromkeys(columns) if list(columns).count(name) > 1]
    if twice:
        raise BadInput(f"{path} has two columns {twice[0]!r}: rename one")


def one_of(columns: Iterable[str], names: Iterable[str]) -> str | None:
    """The first of some usual names that a table has."""
    return next((name for name in names if name in set(columns)), None)
