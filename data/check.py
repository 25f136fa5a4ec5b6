"""What is wrong with two folders of pictures, found before a training finds it.

Every file is read whole: its bytes are hashed, its picture is decoded. Duplicates are files of the same bytes; a
picture that was saved twice is not found. Nothing is changed on the disk.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quagga import BadInput
from quagga.data.clean import Entry
from quagga.data.decode import read_header, read_native
from quagga.data.findings import Finding, Report, not_there, pictures, useless_files
from quagga.data.folders import other_files, two_folders
from quagga.data.form import finite, on_white
from quagga.data.look import SPARSE
from quagga.data.sides import sides_in_table

LOW_CONTRAST = 5.0  # standard deviation of the grey values, of 255: below, one sees a plain area
LONGISH = 4.0  # longer side : shorter side, above which a square cut shows little of a picture
THIN = 32.0  # above which training refuses a picture, unless it is squashed: THINNEST of quagga.data.augment
AT_ONCE = 512  # pictures that are under way: what is kept of each is small, so memory stays flat
DEPTHS = {"uint16": "16 bits", "float32": "floats"}
CONTRAST_SIDE = 128  # pixels a side, about, that the contrast is measured on


class Look(NamedTuple):
    """What one picture is."""

    path: Path
    digest: bytes  # of the file
    size: tuple[int, int] = (0, 0)  # width, height
    kind: str = ""
    contrast: float = 255.0
    options: str = ""  # without which training would refuse it or see little, of side X
    low: float = 0.0  # its values
    high: float = 255.0
    fault: str = ""  # why it cannot be read; then the three before say nothing


class Part(NamedTuple):
    """The pictures of one side for training, or for the test."""

    name: str  # "horse train"
    side: str
    letter: str  # "x" or "y"
    looks: list[Look]

    @property
    def options(self) -> str:
        """What most of its pictures need."""
        good = [look for look in self.looks if not look.fault]
        if not good:
            return ""
        needed = Counter(look.options for look in good).most_common(1)[0][0]
        low, high = min(look.low for look in good), max(look.high for look in good)
        return needed.replace("--x_", f"--{self.letter}_").replace("LOW, HIGH", f"{low:g}, {high:g}")


def check(
    root: str | None = None,
    x: str | None = None,
    y: str | None = None,
    table: str | None = None,
    crop_size: int = 256,
    told: Callable[[], object] = lambda: None,
    counted: Callable[[int], object] = lambda number: None,
) -> Report:
    """Looks at all pictures of two domains.

    Args:
        root: A folder that holds trainA and trainB, perhaps testA and testB.
        x: Instead of root, the folder of domain X.
        y: Instead of root, the folder of domain Y.
        table: Instead of folders, a table of the pictures of both sides, see `quagga.data.sides`.
        crop_size: Pixels a side that training cuts out; smaller pictures are told.
        told: Is called after each picture.
        counted: Is given the number of pictures before the first.

    Raises:
        BadInput: a folder is missing, empty or unreadable, or both are the same.
    """
    if crop_size < 1:
        raise BadInput(f"crop_size {crop_size}: must be 1 or more")
    found = two_folders(root, x, y) if table is None else sides_in_table(table, skip=True)
    pools = [
        (f"{side.name} {split}", side.name, letter, pool)
        for letter, side in (("x", found.x), ("y", found.y))
        for split, pool in (("train", side.train), ("test", side.test))
        if pool
    ]
    counted(sum(len(pool) for *_, pool in pools))
    parts = [Part(name, side, letter, look_at(pool, told)) for name, side, letter, pool in pools]
    places = [root] if root else [x, y]
    tops = [Path(place).expanduser().absolute() for place in places if place]
    top = Path(os.path.commonpath(tops)) if tops else Path(table or "").expanduser().absolute().parent
    findings = [*not_there(found.missing), *find(parts, top, crop_size)]
    others = [(place, kinds) for place in places if place and (kinds := other_files(Path(place).expanduser()))]
    lines = [*overview(parts, crop_size)]
    digests = [look.digest for part in parts for look in part.looks if look.digest]
    if copies := len(digests) - len(set(digests)):
        lines += ["", f"{copies:,} of {len(digests):,} files are copies of others, byte for byte"]
    notices = [line for line in found.notices if not line.endswith(": passed over")]  # a finding says so
    lines += ["", *notices] if notices else []
    for place, kinds in others:
        held = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4))
        lines.append(f"left out: {place} also holds {held}, by which no picture is known")
    options = " ".join(dict.fromkeys(part.options for part in parts if part.options))
    useless = useless_files(findings)
    entries = [
        Entry(
            digests_of([look], useless),
            split,
            {"side": part.letter, "file": look.path, "group": found.groups.get(look.path, "")},
            part.letter,
        )
        for part in parts
        for split in [part.name.rpartition(" ")[2]]
        for look in part.looks
    ]
    return Report(lines, findings, options, entries, {"x": found.x.name, "y": found.y.name})


def digests_of(looks: Iterable[Look], useless: Collection[Path]) -> tuple[bytes, ...]:
    """The digests of files that are one entry of a list; none where one of them is useless."""
    looks = list(looks)
    return () if any(look.path in useless for look in looks) else tuple(look.digest for look in looks)


def look_at(paths: Iterable[Path], told: Callable[[], object] = lambda: None) -> list[Look]:
    """Reads pictures, several at a time: decoding lets other threads run."""
    looks: list[Look] = []
    left = iter(paths)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while some := list(islice(left, AT_ONCE)):
            for look in pool.map(look_at_one, some):
                looks.append(look)
                told()
    return looks


def look_at_one(path: Path) -> Look:
    """Hashes and decodes one picture; what is wrong with it becomes its `fault`."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return Look(path, b"", fault=str(error.strerror))
    try:
        mode = read_header(path).mode
        pixels, alpha = read_native(path)[:2]
        finite(pixels)
    except (BadInput, ValueError) as error:
        return Look(path, digest, fault=str(error).removeprefix(f"{path}: "))
    height, width, channels = pixels.shape
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels") if mode == "deep" else mode
    if pixels.dtype != np.uint8:
        kind += f" ({DEPTHS.get(pixels.dtype.name, pixels.dtype.name)})"
    values = float(pixels.min()), float(pixels.max())
    return Look(path, digest, (width, height), kind, contrast_of(pixels, alpha), wanting(pixels, alpha), *values)


def wanting(pixels: np.ndarray, alpha: bool) -> str:
    """The options that a picture of side X needs, since it is neither grey nor RGB, has no black and no white, or uses
    little of 16 bits."""
    channels = pixels.shape[-1] - alpha
    words = [f"--x_channels {channels}"] if channels not in (1, 3) else []
    low, high = float(pixels.min()), float(pixels.max())
    sparse = pixels.dtype == np.uint16 and high - low < SPARSE * 65535
    if sparse or pixels.dtype == np.int16 or (pixels.dtype == np.float32 and not (low >= 0 and high <= 1)):
        words.append("--x_value_range '[LOW, HIGH]'")
    return " ".join(words)


def contrast_of(pixels: np.ndarray, alpha: bool = False) -> float:
    """Standard deviation of the grey values of (H, W, C), in 1/255 of the way from black to white.

    Measured on about 128 x 128 pixels, spread evenly. Numbers that have no white of their own (floats beyond [0, 1],
    signed integers) are taken from their smallest to their largest.
    """
    small = pixels[:: max(1, pixels.shape[0] // CONTRAST_SIDE), :: max(1, pixels.shape[1] // CONTRAST_SIDE)]
    grey = (on_white(small) if alpha else small).astype(np.float64).mean(-1)
    low, high = float(grey.min()), float(grey.max())
    if pixels.dtype in (np.uint8, np.uint16):
        low, high = 0.0, float(np.iinfo(pixels.dtype).max)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return float(grey.std()) / (high - low) * 255 if high > low else 0.0


def find(
    parts: Sequence[Part], top: Path, crop_size: int, sizes: str = "--crop_size and --load_size"
) -> Iterable[Finding]:
    """What is worth saying, the worst first; `sizes` are the options that say how large pictures must be."""

    def name(look: Look) -> str:
        path = look.path.absolute()
        return str(path.relative_to(top)) if path.is_relative_to(top) else str(path)

    torn = [(part, look) for part in parts for look in part.looks if look.fault]
    if torn:
        yield Finding(
            f"{pictures(len(torn))} cannot be read",
            [f"{name(look)} ({look.fault})" for _, look in torn],
            "remove or replace them, or train with --unreadable skip",
            fatal=True,
            files=[look.path for _, look in torn],
        )
    thin = [look for part in parts for look in part.looks if not look.fault and max(look.size) > THIN * min(look.size)]
    if thin:
        yield Finding(
            f"{pictures(len(thin))} more than {THIN:g} times as long as wide",
            [f"{name(look)} ({look.size[0]}x{look.size[1]})" for look in thin],
            "leave them out, or train with --fit squash",
            fatal=True,
            files=[look.path for look in thin],
        )
    yield from find_copies(parts, name)
    for part in parts:
        good = [look for look in part.looks if not look.fault]
        flat = [look for look in good if look.contrast < LOW_CONTRAST]
        if flat:
            flat.sort(key=lambda look: look.contrast)
            yield Finding(
                f"{pictures(len(flat))} of {part.name} with a contrast below {LOW_CONTRAST:g} of 255",
                [f"{name(look)} ({look.contrast:.1f})" for look in flat],
                "look at them, an empty picture teaches to be empty",
            )
        long = [look for look in good if LONGISH * min(look.size) < max(look.size) <= THIN * min(look.size)]
        if long:
            yield Finding(
                f"{pictures(len(long))} of {part.name} more than {LONGISH:g} times as long as wide",
                [f"{name(look)} ({look.size[0]}x{look.size[1]})" for look in long],
                "a square cut shows little of them, cut them yourself or leave them out",
            )
        small = [look for look in good if min(look.size) < crop_size]
        if small:
            yield Finding(
                f"{pictures(len(small))} of {part.name} smaller than the cut of {crop_size}",
                [f"{name(look)} ({look.size[0]}x{look.size[1]})" for look in small],
                f"they are enlarged and so blurred, find larger ones or lower {sizes}",
            )
        unusual = [look for look in good if look.options]
        if unusual:
            yield Finding(
                f"{pictures(len(unusual))} of {part.name} of an unusual kind",
                [f"{name(look)} ({look.kind})" for look in unusual],
                f"train with {part.options}" if part.options else "training refuses them among others, convert them",
                fatal=not part.options,
                files=[] if part.options else [look.path for look in unusual],
            )
        grey = [look for look in good if look.kind.partition(" ")[0] in ("1", "L", "LA", "I;16", "I;16B", "grey")]
        if 0 < len(grey) < len(good):
            yield Finding(
                f"{pictures(len(grey))} of {part.name} grey among coloured ones",
                [name(look) for look in grey],
                "they become three equal channels, leave them out where colour is to change",
            )


def find_copies(parts: Sequence[Part], name: Callable[[Look], str]) -> Iterable[Finding]:
    """Files of the same bytes: on both sides, in training and test, and within a part."""
    groups: dict[bytes, list[tuple[Part, Look]]] = {}
    for part in parts:
        for look in {look.path: look for look in part.looks}.values():  # one with several captions is no copy
            if look.digest:
                groups.setdefault(look.digest, []).append((part, look))
    across, leaks = [], []
    within: dict[str, list[str]] = {part.name: [] for part in parts}
    for group in groups.values():
        text = " = ".join(name(look) for _, look in group)
        if len({part.side for part, _ in group}) > 1:
            across.append(text)
        elif len({part.name for part, _ in group}) > 1:
            leaks.append(text)
        counts = Counter(part.name for part, _ in group)
        for part_name, count in counts.items():
            if count > 1:
                same = [name(look) for part, look in group if part.name == part_name]
                within[part_name] += [f"{same[0]} = {other}" for other in same[1:]]
    if across:
        yield Finding(
            f"{pictures(len(across))} on both sides",
            across,
            "what is of both kinds teaches neither, remove them from one side or both",
        )
    if leaks:
        yield Finding(
            f"{pictures(len(leaks))} both in training and in the test",
            leaks,
            "the test would show what was learned by heart, remove them from one of the two",
        )
    for part_name, copies in within.items():
        if copies:
            yield Finding(
                f"{len(copies):,} {'copy' if len(copies) == 1 else 'copies'} within {part_name}",
                copies,
                "they count twice, remove one of each",
            )


def overview(parts: Sequence[Part], crop_size: int) -> list[str]:
    """Aligned columns, a row for each part."""
    rows = [["", "pictures", "smallest", "median", "largest", f"below {crop_size}", "kinds"]]
    for part in parts:
        good = [look for look in part.looks if not look.fault]
        kinds = Counter(look.kind for look in good).most_common()
        torn = len(part.looks) - len(good)
        held = [f"{kind} {count:,}" if len(kinds) > 1 or torn else kind for kind, count in kinds]
        held += [f"unreadable {torn:,}"] if torn else []
        small = sum(min(look.size) < crop_size for look in good)
        by_area = sorted((look.size for look in good), key=lambda size: size[0] * size[1])
        sizes = [by_area[0], by_area[len(by_area) // 2], by_area[-1]] if by_area else []
        shown = [f"{width}x{height}" for width, height in sizes] or ["-"] * 3
        rows.append([part.name, f"{len(part.looks):,}", *shown, f"{small:,}" if small else "-", ", ".join(held)])
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:6], widths[1:]), row[6]]).rstrip() for row in rows
    ]
