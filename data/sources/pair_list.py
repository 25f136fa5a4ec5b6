"""Reads a list of pairs, CSV or JSON, into rows of text."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from quagga.errors import BadInput, one_line

COLUMNS = ("x", "y", "split", "group")
MOST_BYTES = 1 << 28  # of a list


def read_pair_list(path: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Reads a CSV or JSON list of pairs. Returns (number in the file, column -> text without outer spaces) of each row.

    Raises:
        BadInput: it cannot be read, lacks a column, or has no row.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{path} has more than {MOST_BYTES >> 20} MiB: that is no list of pairs")
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read the list {path} ({error.strerror}): name a CSV or JSON file") from None
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8: save it as such (Excel: CSV UTF-8)") from None
    if path.suffix.lower() == ".json" or text.lstrip().startswith("["):
        columns, rows = _read_json(path, text)
    else:
        try:
            columns, rows = _read_csv(text)
        except csv.Error as error:
            raise BadInput(f"{path}: {error}: is a quotation mark not closed?") from None
    missing = [name for name in needed if name not in columns]
    if missing:
        has = ", ".join(columns[:8]) or "none"
        raise BadInput(f"{path} has no column {' and no '.join(missing)}: it has {has}; expected {', '.join(COLUMNS)}")
    if not rows:
        raise BadInput(f"{path} has no rows below its columns: list some pairs")
    return rows


def _read_json(path: Path, text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {one_line(error, 120)}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadInput(f'{path} should be a list of objects: [{{"x": "a.png", "y": "b.png"}}, ...]')
    rows = []
    for number, entry in enumerate(entries, 1):
        plain = {str(name).strip().casefold(): value for name, value in entry.items()}
        rows.append((number, {name: _cell_text(value) for name, value in plain.items()}))
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _read_csv(text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
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
            rows.append((reader.line_num, {name: _cell_text(cell) for name, cell in zip(columns, cells, strict=False)}))
    return columns, rows


def _cell_text(value: object) -> str:
    return "" if value is None else str(value).strip()
