"""Writes a list of a set's pictures without copies, leaks and files that training would refuse.

Of files with the same bytes the first is kept, in the order of training. A file that is both in training and held out
stays held out. A file that is on both sides, or has two conditions, is left out: which of the two is right, is not
known.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quagga.errors import BadInput

HELD_OUT = ("test", "val")
REASONS = {  # why an entry is left out -> its words in the summary
    "refused": "that training would refuse",
    "ambiguous": "that are two things at once",
    "leak": "that are held out as well",
    "copy": "that are there already",
}


class Entry(NamedTuple):
    """A picture, or a pair of pictures, and its columns in a list."""

    digests: tuple[bytes, ...]  # hashes of its files; (): training would refuse one of them
    split: str  # train, test or val
    cells: Mapping[str, str | Path]  # column -> its content, without the split; files are paths
    what: str = ""  # its side or its condition
    captions: Sequence[str] = ()  # each gets a line of its own; (): one line without a caption


class Cleaned(NamedTuple):
    """The entries that are kept, and for each of the `REASONS` how many are left out."""

    kept: list[Entry]
    left_out: Counter[str]


def clean(entries: Iterable[Entry]) -> Cleaned:
    """Leaves out copies, leaks, ambiguous entries and those that training would refuse; keeps the order."""
    left_out: Counter[str] = Counter()
    usable, meanings = [], {}
    for entry in entries:
        if entry.digests:
            usable.append(entry)
            meanings.setdefault(entry.digests, set()).add(entry.what)
        else:
            left_out["refused"] += 1
    unambiguous = [entry for entry in usable if len(meanings[entry.digests]) == 1]
    left_out["ambiguous"] = len(usable) - len(unambiguous)
    held_out = {digest for entry in unambiguous if entry.split in HELD_OUT for digest in entry.digests}
    kept, seen = [], set()
    for entry in unambiguous:
        if entry.split == "train" and held_out.intersection(entry.digests):
            left_out["leak"] += 1
        elif entry.digests in seen:
            left_out["copy"] += 1
        else:
            seen.add(entry.digests)
            kept.append(entry)
    return Cleaned(kept, +left_out)


def summary_line(cleaned: Cleaned, path: Path) -> str:
    """Returns a line with the number of entries that the list at `path` holds, and that of those left out."""
    reasons = [f"{count:,} {REASONS[reason]}" for reason, count in cleaned.left_out.items()]
    without = f", without {sum(cleaned.left_out.values()):,} ({', '.join(reasons)})" if reasons else ""
    return f"{path} lists {len(cleaned.kept):,}{without}"


def as_csv(entries: Sequence[Entry], path: Path) -> bytes:
    """Returns the list as CSV in UTF-8. Files are written relative to the folder of `path`, where the list will be.

    Raises:
        BadInput: no entry is left to train on, or a file's name is not valid text.
    """
    if not any(entry.split == "train" for entry in entries):
        raise BadInput("nothing is left to train on, so no list is written: mend what is said above")
    has_splits = any(entry.split in HELD_OUT for entry in entries)  # otherwise training holds out some itself
    grouped = any(entry.cells.get("group") for entry in entries)
    columns = [name for name in entries[0].cells if name != "group" or grouped]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    captioned = any(entry.captions for entry in entries)
    writer.writerow([*columns, *(["caption"] if captioned else []), *(["split"] if has_splits else [])])
    for entry in entries:
        cells = [_cell(entry.cells[name], path) for name in columns]
        for caption in entry.captions or [""]:
            writer.writerow([*cells, *([caption] if captioned else []), *([entry.split] if has_splits else [])])
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError as error:
        name = next(line for line in text.getvalue().splitlines() if not line.isprintable())
        raise BadInput(f"a list is UTF-8, and a name is not: rename {ascii(name)[1:120]}") from error


def _cell(value: str | Path, path: Path) -> str:
    """Returns the content of a cell: text as it is, a file relative to the folder of the list at `path`."""
    if isinstance(value, str):
        return value
    folder = os.path.realpath(path.parent)
    file = os.path.join(os.path.realpath(value.parent), value.name)  # noqa: PTH118  # the file itself may be a link
    try:
        cell = Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return Path(file).as_posix()
    if Path(folder, "images", cell).exists():  # a file that readers of the table would find first
        return Path(file).as_posix()
    return f"./{cell}" if cell[0] in " ~" else cell  # readers strip outer spaces, and ~ means a home folder
