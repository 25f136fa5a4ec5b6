"""The pictures of two domains that a table lists, unpaired: a line for each, with its side, x or y, and its file."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

from quagga.data.sources.annotations import USUAL_NAMES, Columns, collect_table
from quagga.data.sources.held_out import Domain, held_out_count, hold_out
from quagga.data.sources.table import first_known, read_table
from quagga.data.sources.two_folders import TwoFolders
from quagga.errors import BadInput

SIDES = ("x", "y")


def lists_sides(table: str | Path) -> bool:
    """Whether a table says of its pictures which side they are on, and no class and no caption.

    Raises:
        BadInput: it is no table.
    """
    columns = read_table(Path(table).expanduser()).columns
    said = {key for key in ("side", "label", "caption") if first_known(columns, USUAL_NAMES[key])}
    return said == {"side"}


def domains_in_table(
    table: str | Path, x_name: str | None = None, y_name: str | None = None, skip: bool = False
) -> TwoFolders:
    """The pictures of two domains, for training and for the test.

    Args:
        table: A CSV, TSV or JSON file with the columns side (x or y) and file, and perhaps split (train, test or val)
            and group.
        x_name: What the first domain is called. None: x.
        y_name: What the second is called. None: y.
        skip: Whether files that are missing are passed over.

    What the column split says is held out. Without it 5 % of each side are (see `held_out_count`), chosen by a hash of
    their content, or, with groups, whole groups by a hash of their names: a patient who is on both sides is held out of
    both.

    Raises:
        BadInput: a column or a file is missing, a side or a split is not understood, a side is empty or has nothing to
            train on, or a group is both in training and held out.
    """
    found = collect_table(table, None, "side", None, Columns(), skip)
    pictures = found.collection.pictures
    assert isinstance(pictures, list) and found.collection.labels is not None
    labels = [label.casefold() for label in found.collection.labels]
    if strange := next((label for label in found.collection.labels if label.casefold() not in SIDES), None):
        raise BadInput(f"{table}: {strange[:40]!r} in the column side is no side: write x or y")
    for side in SIDES:
        if side not in labels:
            raise BadInput(f"{table} lists no picture of the side {side}: both sides need some")
    names = {"x": x_name or "x", "y": y_name or "y"}
    pools = {side: [path for path, label in zip(pictures, labels, strict=True) if label == side] for side in SIDES}
    groups = {path: normalize("NFC", group) for path, group in zip(pictures, found.groups or [], strict=False)}
    held, notices = found.collection.test, list(found.collection.notices)
    if held is None and not groups:
        parts = {}
        for side, pool in pools.items():
            parts[side], line = hold_out(names[side], pool)
            notices.append(line.replace("no test folder", "no split"))
    else:
        if held is not None:
            test = {path for path, out in zip(pictures, held.tolist(), strict=True) if out}
        else:
            test, line = held_out_groups(pools, groups)
            notices.append(line)
        parts = {
            side: Domain(names[side], [p for p in pool if p not in test], [p for p in pool if p in test])
            for side, pool in pools.items()
        }
    for side in parts.values():
        if not side.train:
            raise BadInput(f"{table} holds out all pictures of the side {side.name}: leave some to train on")
        if not side.test:
            notices.append(f"{side.name}: none are held out; the samples show training pictures")
    return TwoFolders(parts["x"], parts["y"], list(dict.fromkeys(notices)), groups, found.missing)


def held_out_groups(pools: Mapping[str, Sequence[Path]], groups: Mapping[Path, str]) -> tuple[set[Path], str]:
    """The pictures of the groups that are held out of both sides, and a line that says so. A group is taken, in the
    order of a hash of its name, where no side then gives away more than `held_out_count`."""
    left = Counter({side: held_out_count(len(pool)) for side, pool in pools.items()})
    members: dict[str, Counter[str]] = {}
    for side, pool in pools.items():
        for path in pool:
            members.setdefault(groups[path], Counter())[side] += 1
    chosen = set()
    for group in sorted(members, key=lambda name: hashlib.blake2b(name.encode(), digest_size=16).digest()):
        if members[group] <= left:
            chosen.add(group)
            left -= members[group]
    test = {path for pool in pools.values() for path in pool if groups[path] in chosen}
    pictures = f"{len(test)} of {sum(map(len, pools.values()))} pictures"
    by = "by a hash of their names"
    return test, f"no split, so {len(chosen)} of {len(members)} groups ({pictures}) are held out of training, {by}"
