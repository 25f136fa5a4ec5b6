"""Checks two folders of pictures before training.

Each file is read to its end: its bytes are hashed, its picture is decoded. Duplicates are files with the same bytes; a
picture that was saved twice in different files is not found. Nothing is changed on the disk.
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

from quagga.data.checks.clean_list import Entry
from quagga.data.checks.findings import Finding, Report, count_in_words, missing_files, refused_files
from quagga.data.io.pixel_format import check_finite, on_white
from quagga.data.io.read import read_header, read_native
from quagga.data.sources.folders import other_files
from quagga.data.sources.probe import SPARSE_RANGE
from quagga.data.sources.two_domain_table import domains_in_table
from quagga.data.sources.two_folders import two_folders
from quagga.errors import BadInput

LOW_CONTRAST = 5.0  # standard deviation of the grey values, of 255; below it a picture is a plain area to the eye
ELONGATED = 4.0  # longer side : shorter side, above which a square crop shows little of a picture
THIN = 32.0  # ratio above which training refuses a picture, unless squashed: LARGEST_RATIO of the slow module `augment`
FILES_AT_ONCE = 512  # pictures that are submitted at once; bounds the memory of a check
DEPTHS = {"uint16": "16 bits", "float32": "floats"}
GREY_KINDS = ("1", "L", "LA", "I;16", "I;16B", "grey")  # kinds of one channel, without their depth
CONTRAST_SIDE = 128  # approximate side, in pixels, of the subsampled picture whose contrast is measured


class Inspected(NamedTuple):
    """What the check has found out about one picture."""

    path: Path
    digest: bytes  # hash of the file; empty: it could not be opened
    size: tuple[int, int] = (0, 0)  # width, height in pixels
    kind: str = ""  # for messages: Pillow's mode, or channels and depth: "RGB (16 bits)"
    contrast: float = 255.0  # see `contrast_of`
    options: str = ""  # options that training needs for it, written for side X; "": none
    low: float = 0.0  # the smallest pixel value
    high: float = 255.0  # the largest pixel value
    fault: str = ""  # why it cannot be read; then the fields between digest and fault have their defaults


class Part(NamedTuple):
    """The pictures of one side in one split."""

    name: str  # side and split: "horse train"
    side: str  # "horse"
    letter: str  # "x" or "y"
    pictures: list[Inspected]

    @property
    def options(self) -> str:
        """The options that most of its pictures need, for its side; "": none."""
        good = [picture for picture in self.pictures if not picture.fault]
        if not good:
            return ""
        needed = Counter(picture.options for picture in good).most_common(1)[0][0]
        low, high = min(picture.low for picture in good), max(picture.high for picture in good)
        return needed.replace("--x_", f"--{self.letter}_").replace("LOW, HIGH", f"{low:g}, {high:g}")


def check_unpaired(
    root: str | None = None,
    x: str | None = None,
    y: str | None = None,
    table: str | None = None,
    crop_size: int = 256,
    on_picture: Callable[[], object] = lambda: None,
    on_count: Callable[[int], object] = lambda number: None,
) -> Report:
    """Checks all pictures of two domains.

    Args:
        root: folder that holds trainA and trainB, and perhaps testA and testB.
        x: folder of domain X, in place of root.
        y: folder of domain Y, in place of root.
        table: table of the pictures of both sides, in place of folders; see `quagga.data.sources.two_domain_table`.
        crop_size: side of training's crops in pixels; smaller pictures are reported.
        on_picture: is called after each picture.
        on_count: is called with the number of pictures before the first one is read.

    Returns:
        The report, with the entries of a clean list.

    Raises:
        BadInput: a folder is missing, empty or unreadable, both folders are the same, or crop_size is below 1.
    """
    if crop_size < 1:
        raise BadInput(f"crop_size {crop_size}: must be 1 or more")
    found = two_folders(root, x, y) if table is None else domains_in_table(table, skip=True)
    files = [
        (f"{side.name} {split}", side.name, letter, paths)
        for letter, side in (("x", found.x), ("y", found.y))
        for split, paths in (("train", side.train), ("test", side.test))
        if paths
    ]
    on_count(sum(len(paths) for *_, paths in files))
    parts = [Part(name, side, letter, inspect_files(paths, on_picture)) for name, side, letter, paths in files]
    folders = [folder for folder in ([root] if root else [x, y]) if folder]
    absolute = [Path(folder).expanduser().absolute() for folder in folders]
    top = Path(os.path.commonpath(absolute)) if absolute else Path(table or "").expanduser().absolute().parent
    findings = [*missing_files(found.missing), *find_problems(parts, top, crop_size)]
    others = [(folder, suffixes) for folder in folders if (suffixes := other_files(Path(folder).expanduser()))]
    lines = [*overview(parts, crop_size)]
    digests = [picture.digest for part in parts for picture in part.pictures if picture.digest]
    if copies := len(digests) - len(set(digests)):
        lines += ["", f"{copies:,} of {len(digests):,} files are copies of others, byte for byte"]
    notices = [line for line in found.notices if not line.endswith(": passed over")]  # of these there is a finding
    lines += ["", *notices] if notices else []
    for folder, suffixes in others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(4))
        lines.append(f"left out: {folder} also holds {counts}, by which no picture is known")
    options = " ".join(dict.fromkeys(part.options for part in parts if part.options))
    refused = refused_files(findings)
    entries = [
        Entry(
            usable_digests([picture], refused),
            split,
            {"side": part.letter, "file": picture.path, "group": found.groups.get(picture.path, "")},
            part.letter,
        )
        for part in parts
        for split in [part.name.rpartition(" ")[2]]
        for picture in part.pictures
    ]
    return Report(lines, findings, options, entries, {"x": found.x.name, "y": found.y.name})


def usable_digests(pictures: Iterable[Inspected], refused: Collection[Path]) -> tuple[bytes, ...]:
    """Returns the digests of the files of one list entry; () if training would refuse one of them."""
    pictures = list(pictures)
    return () if any(picture.path in refused for picture in pictures) else tuple(picture.digest for picture in pictures)


def inspect_files(paths: Iterable[Path], on_picture: Callable[[], object] = lambda: None) -> list[Inspected]:
    """Inspects files in several threads (decoding releases the GIL), in their order; calls `on_picture` after each."""
    pictures: list[Inspected] = []
    remaining = iter(paths)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while chunk := list(islice(remaining, FILES_AT_ONCE)):
            for picture in pool.map(inspect_file, chunk):
                pictures.append(picture)
                on_picture()
    return pictures


def inspect_file(path: Path) -> Inspected:
    """Hashes and decodes one picture. An error does not leave: its message becomes the picture's `fault`."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return Inspected(path, b"", fault=str(error.strerror))
    try:
        mode = read_header(path).mode
        pixels, alpha = read_native(path)[:2]
        check_finite(pixels)
    except (BadInput, ValueError) as error:
        return Inspected(path, digest, fault=str(error).removeprefix(f"{path}: "))
    height, width, channels = pixels.shape
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels") if mode == "deep" else mode
    if pixels.dtype != np.uint8:
        kind += f" ({DEPTHS.get(pixels.dtype.name, pixels.dtype.name)})"
    values = float(pixels.min()), float(pixels.max())
    return Inspected(
        path, digest, (width, height), kind, contrast_of(pixels, alpha), needed_options(pixels, alpha), *values
    )


def needed_options(pixels: np.ndarray, alpha: bool) -> str:
    """Returns the options that a picture (H, W, C) of side X needs: where it is neither grey nor RGB, where its numbers
    have no natural range, or where it uses little of 16 bits. "": none."""
    channels = pixels.shape[-1] - alpha
    options = [f"--x_channels {channels}"] if channels not in (1, 3) else []
    low, high = float(pixels.min()), float(pixels.max())
    sparse = pixels.dtype == np.uint16 and high - low < SPARSE_RANGE * 65535
    if sparse or pixels.dtype == np.int16 or (pixels.dtype == np.float32 and not (low >= 0 and high <= 1)):
        options.append("--x_value_range '[LOW, HIGH]'")
    return " ".join(options)


def contrast_of(pixels: np.ndarray, alpha: bool = False) -> float:
    """Returns the standard deviation of the grey values of a picture (H, W, C), in 1/255 of the range from black to
    white.

    It is measured on about 128 x 128 evenly spaced pixels. For numbers without a natural range (floats beyond [0, 1],
    signed integers) the range goes from the smallest value to the largest.
    """
    small = pixels[:: max(1, pixels.shape[0] // CONTRAST_SIDE), :: max(1, pixels.shape[1] // CONTRAST_SIDE)]
    grey = (on_white(small) if alpha else small).astype(np.float64).mean(-1)
    low, high = float(grey.min()), float(grey.max())
    if pixels.dtype in (np.uint8, np.uint16):
        low, high = 0.0, float(np.iinfo(pixels.dtype).max)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return float(grey.std()) / (high - low) * 255 if high > low else 0.0


def find_problems(
    parts: Sequence[Part], top: Path, crop_size: int, sizes: str = "--crop_size and --load_size"
) -> Iterable[Finding]:
    """Yields what is wrong with pictures, the worst first.

    Args:
        parts: the pictures, as they were inspected.
        top: folder relative to which files are named.
        crop_size: side of training's crops in pixels.
        sizes: the options, for messages, that decide how large pictures must be.
    """

    def name(picture: Inspected) -> str:
        path = picture.path.absolute()
        return str(path.relative_to(top)) if path.is_relative_to(top) else str(path)

    unreadable = [(part, picture) for part in parts for picture in part.pictures if picture.fault]
    if unreadable:
        yield Finding(
            f"{count_in_words(len(unreadable))} cannot be read",
            [f"{name(picture)} ({picture.fault})" for _, picture in unreadable],
            "remove or replace them, or train with --unreadable skip",
            fatal=True,
            files=[picture.path for _, picture in unreadable],
        )
    thin = [
        picture
        for part in parts
        for picture in part.pictures
        if not picture.fault and max(picture.size) > THIN * min(picture.size)
    ]
    if thin:
        yield Finding(
            f"{count_in_words(len(thin))} more than {THIN:g} times as long as wide",
            [f"{name(picture)} ({picture.size[0]}x{picture.size[1]})" for picture in thin],
            "leave them out, or train with --fit squash",
            fatal=True,
            files=[picture.path for picture in thin],
        )
    yield from find_copies(parts, name)
    for part in parts:
        good = [picture for picture in part.pictures if not picture.fault]
        flat = [picture for picture in good if picture.contrast < LOW_CONTRAST]
        if flat:
            flat.sort(key=lambda picture: picture.contrast)
            yield Finding(
                f"{count_in_words(len(flat))} of {part.name} with a contrast below {LOW_CONTRAST:g} of 255",
                [f"{name(picture)} ({picture.contrast:.1f})" for picture in flat],
                "look at them, an empty picture teaches to be empty",
            )
        long = [
            picture for picture in good if ELONGATED * min(picture.size) < max(picture.size) <= THIN * min(picture.size)
        ]
        if long:
            yield Finding(
                f"{count_in_words(len(long))} of {part.name} more than {ELONGATED:g} times as long as wide",
                [f"{name(picture)} ({picture.size[0]}x{picture.size[1]})" for picture in long],
                "a square cut shows little of them, cut them yourself or leave them out",
            )
        small = [picture for picture in good if min(picture.size) < crop_size]
        if small:
            yield Finding(
                f"{count_in_words(len(small))} of {part.name} smaller than the cut of {crop_size}",
                [f"{name(picture)} ({picture.size[0]}x{picture.size[1]})" for picture in small],
                f"they are enlarged and so blurred, find larger ones or lower {sizes}",
            )
        unusual = [picture for picture in good if picture.options]
        if unusual:
            yield Finding(
                f"{count_in_words(len(unusual))} of {part.name} of an unusual kind",
                [f"{name(picture)} ({picture.kind})" for picture in unusual],
                f"train with {part.options}" if part.options else "training refuses them among others, convert them",
                fatal=not part.options,
                files=[] if part.options else [picture.path for picture in unusual],
            )
        grey = [
            picture for picture in good if picture.kind.partition(" ")[0] in ("1", "L", "LA", "I;16", "I;16B", "grey")
        ]
        if 0 < len(grey) < len(good):
            yield Finding(
                f"{count_in_words(len(grey))} of {part.name} grey among coloured ones",
                [name(picture) for picture in grey],
                "they become three equal channels, leave them out where colour is to change",
            )


def find_copies(parts: Sequence[Part], name: Callable[[Inspected], str]) -> Iterable[Finding]:
    """Yields files with the same bytes: on both sides, in training and test, and within a part; `name` names a file."""
    groups: dict[bytes, list[tuple[Part, Inspected]]] = {}
    for part in parts:
        # A file with several captions occurs several times, and is no copy of itself.
        for picture in {picture.path: picture for picture in part.pictures}.values():
            if picture.digest:
                groups.setdefault(picture.digest, []).append((part, picture))
    across, leaks = [], []
    within: dict[str, list[str]] = {part.name: [] for part in parts}
    for group in groups.values():
        text = " = ".join(name(picture) for _, picture in group)
        if len({part.side for part, _ in group}) > 1:
            across.append(text)
        elif len({part.name for part, _ in group}) > 1:
            leaks.append(text)
        counts = Counter(part.name for part, _ in group)
        for part_name, count in counts.items():
            if count > 1:
                same = [name(picture) for part, picture in group if part.name == part_name]
                within[part_name] += [f"{same[0]} = {other}" for other in same[1:]]
    if across:
        yield Finding(
            f"{count_in_words(len(across))} on both sides",
            across,
            "what is of both kinds teaches neither, remove them from one side or both",
        )
    if leaks:
        yield Finding(
            f"{count_in_words(len(leaks))} both in training and in the test",
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
    """Returns lines of aligned columns: how many pictures each part has, their sizes and their kinds."""
    rows = [["", "pictures", "smallest", "median", "largest", f"below {crop_size}", "kinds"]]
    for part in parts:
        good = [picture for picture in part.pictures if not picture.fault]
        kinds = Counter(picture.kind for picture in good).most_common()
        unreadable = len(part.pictures) - len(good)
        kind_counts = [f"{kind} {count:,}" if len(kinds) > 1 or unreadable else kind for kind, count in kinds]
        kind_counts += [f"unreadable {unreadable:,}"] if unreadable else []
        small = sum(min(picture.size) < crop_size for picture in good)
        by_area = sorted((picture.size for picture in good), key=lambda size: size[0] * size[1])
        sizes = [by_area[0], by_area[len(by_area) // 2], by_area[-1]] if by_area else []
        shown = [f"{width}x{height}" for width, height in sizes] or ["-"] * 3
        rows.append(
            [part.name, f"{len(part.pictures):,}", *shown, f"{small:,}" if small else "-", ", ".join(kind_counts)]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:6], widths[1:]), row[6]]).rstrip() for row in rows
    ]
