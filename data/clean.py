"""A list of a set's pictures without copies, leaks and what training would refuse.

Of files of the same bytes the first stays, in the order of training. What is both in training and held out stays held
out. What is of both sides, or has two conditions, is left out: nobody can tell which of the two it is.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quagga import BadInput

HELD_OUT = ("test", "val")
REASONS = {  # why an entry is left out -> how that is told
    "refused": "that training would refuse",
    "torn": "that are two things at once",
    "leak": "that are held out as well",
    "copy": "that are there already",
}


class Entry(NamedTuple):
    """A picture, or a pair of pictures, with all that a list says of it."""

    digests: tuple[bytes, ...]  # of its files; none: they cannot be used
    split: str  # train, test or val
    cells: Mapping[str, str | Path]  # column -> what stands there, without the split; files are paths
    what: str = ""  # the side or the condition that it is of
    captions: Sequence[str] = ()  # a line for each; none: one line


class Cleaned(NamedTuple):
    """What stays, and how many are left out for which of the `REASONS`."""

    kept: list[Entry]
    left_out: Counter[str]


def cleaned(entries: Iterable[Entry]) -> Cleaned:
    """The entries of which none is a copy of another, a leak, or of no use; in their order."""
    left_out: Counter[str] = Counter()
    usable, said = [], {}
    for entry in entries:
        if entry.digests:
            usable.append(entry)
            said.setdefault(entry.digests, set()).add(entry.what)
        else:
            left_out["refused"] += 1
    clear = [entry for entry in usable if len(said[entry.digests]) == 1]
    left_out["torn"] = len(usable) - len(clear)
    held = {digest for entry in clear if entry.split in HELD_OUT for digest in entry.digests}
    kept, seen = [], set()
    for entry in clear:
        if entry.split == "train" and held.intersection(entry.digests):
            left_out["leak"] += 1
        elif entry.digests in seen:
            left_out["copy"] += 1
        else:
            seen.add(entry.digests)
            kept.append(entry)
    return Cleaned(kept, +left_out)


def told(clean: Cleaned, path: Path) -> str:
    """What a list holds and what it does not, in a line."""
    lost = [f"{count:,} {REASONS[reason]}" for reason, count in clean.left_out.items()]
    without = f", without {sum(clean.left_out.values()):,} ({', '.join(lost)})" if lost else ""
    return f"{path} lists {len(clean.kept):,}{without}"


def as_csv(entries: Sequence[Entry], path: Path) -> bytes:
    """The list as CSV in UTF-8. Files are written as seen from `path`, the list's place.

    Raises:
        BadInput: there is nothing to list, or a name is no text.
    """
    if not any(entry.split == "train" for entry in entries):
        raise BadInput("nothing is left to train on, so no list is written: mend what is said above")
    splits = any(entry.split in HELD_OUT for entry in entries)  # else training holds out some itself
    grouped = any(entry.cells.get("group") for entry in entries)
    columns = [name for name in entries[0].cells if name != "group" or grouped]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    captioned = any(entry.captions for entry in entries)
    writer.writerow([*columns, *(["caption"] if captioned else []), *(["split"] if splits else [])])
    for entry in entries:
        cells = [_cell(entry.cells[name], path) for name in columns]
        for caption in entry.captions or [""]:
            writer.writerow([*cells, *([caption] if captioned else []), *([entry.split] if splits else [])])
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError as error:
        name = next(line for line in text.getvalue().splitlines() if not line.isprintable())
        raise BadInput(f"a list is UTF-8, and a name is not: rename {ascii(name)[1:120]}") from error


def _cell(value: str | Path, path: Path) -> str:
    """What stands in a cell: text, or a file as seen from the list's folder."""
    if isinstance(value, str):
        return value
    top = os.path.realpath(path.parent)
    file = os.path.join(os.path.realpath(value.parent), value.name)  # noqa: PTH118  # the file itself may be a link
    try:
        cell = Path(os.path.relpath(file, top)).as_posix()
    except ValueError:  # another drive of Windows
        return Path(file).as_posix()
    if Path(top, "images", cell).exists():  # where a table is looked up first
        return Path(file).as_posix()
    return f"./{cell}" if cell[0] in " ~" else cell  # tables are read without outer spaces, and ~ means a home
