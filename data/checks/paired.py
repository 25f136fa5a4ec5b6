"""Checks pairs of pictures before training.

Each file is read to its end, as by `quagga.data.checks.unpaired`. Beside the problems of any set, the check finds
pictures without a partner, partners of different sizes, files that are both in training and in the test, and partners
that are shifted against each other.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from quagga.data.checks.clean_list import Entry
from quagga.data.checks.findings import Finding, Report, refused_files
from quagga.data.checks.unpaired import Inspected, Part, find_problems, inspect_files, overview, usable_digests
from quagga.data.io.pixel_format import Native
from quagga.data.io.read import read_native
from quagga.data.sources.pairs import Pair, Pairs, find_pairs
from quagga.data.transforms.side_by_side import halves
from quagga.errors import BadInput

SHIFTED_SIDE = 256  # longer side, in pixels, at which the shift between partners is measured
PAIRS_PROBED = 64  # pairs whose shift is measured, at most
LEAST_SHIFT = 1.5  # pixels at that size; smaller shifts are not reported
AGREEING_SHARE = 0.6  # a shift is reported if at least this share of the pairs has it
SHIFT_TOLERANCE = 1.0  # pixels by which shifts may differ and still count as the same
LEAST_RESPONSE = 0.03  # of phase correlation; below it two pictures share no outlines, as with noise


def check_pairs(
    root: str | None = None,
    x: str | None = None,
    y: str | None = None,
    pairs: str | None = None,
    of_y: bool = False,
    side: Literal["left", "right"] = "left",
    crop_size: int = 256,
    on_picture: Callable[[], object] = lambda: None,
    on_count: Callable[[int], object] = lambda number: None,
) -> Report:
    """Checks all pictures of a set of pairs.

    Args:
        root, x, y, pairs, of_y: where the pairs are, as for `quagga.data.sources.pairs.find_pairs`.
        side: which half of side-by-side pictures is x.
        crop_size: side of training's crops in pixels; smaller pairs are reported.
        on_picture: is called after each picture.
        on_count: is called with the number of pictures before the first one is read.

    Returns:
        The report, with the entries of a clean list.

    Raises:
        BadInput: there are no pairs, or crop_size is below 1.
    """
    if crop_size < 1:
        raise BadInput(f"crop_size {crop_size}: must be 1 or more")
    found = find_pairs(root, x, y, pairs, of_y, unmatched="skip")
    splits = {"train": found.train, "test": found.test, "val": list(found.unused)}
    paths = list(
        dict.fromkeys(path for split in splits.values() for pair in split for path in (pair.x, pair.y) if path)
    )
    on_count(len(paths))
    inspected = dict(zip(paths, inspect_files(paths, on_picture), strict=True))
    parts = []
    for split, split_pairs in splits.items():
        if split_pairs and found.side_by_side:
            parts.append(Part(split, "both", "y", [inspected[pair.y] for pair in split_pairs]))
        elif split_pairs:
            sides = {"x": [pair.x for pair in split_pairs if pair.x], "y": [pair.y for pair in split_pairs]}
            for letter, files in sides.items():
                if files:
                    name = found.names[letter]
                    parts.append(Part(f"{name} {split}", name, letter, [inspected[file] for file in files]))
    if of_y and not found.side_by_side:
        top = Path(os.path.commonpath([path.absolute().parent for path in paths]))
        findings = list(find_problems(parts, top, crop_size))
        layout = "y alone, of which x is made"
    else:
        findings = list(find_pair_problems(found, splits, inspected, side, crop_size))
        layout = f"side by side, x ({found.names['x']}) is the {side} half" if found.side_by_side else "two files each"
    lines = [f"{sum(map(len, splits.values())):,} pairs, {layout}", "", *overview(parts, crop_size)]
    reported_below = ("without a partner", "whose files are not there")
    notices = [line for line in found.notices if not any(words in line for words in reported_below)]
    lines += ["", *notices] if notices else []
    refused = refused_files(findings)
    entries = [
        Entry(
            usable_digests([inspected[path] for path in (pair.x, pair.y) if path], refused),
            split,
            {**({"x": pair.x} if pair.x else {}), "y": pair.y, "group": pair.group},
        )
        for split, split_pairs in splits.items()
        for pair in split_pairs
    ]
    options = ["--side right"] if found.side_by_side and side == "right" else []
    options += [part.options for part in parts if part.options and of_y and not found.side_by_side]
    return Report(lines, findings, " ".join(dict.fromkeys(options)), entries, found.names)


def find_pair_problems(
    found: Pairs, splits: dict[str, list[Pair]], inspected: dict[Path, Inspected], side: str, crop_size: int
) -> Iterable[Finding]:
    """Yields what is wrong with pairs, the worst first.

    Args:
        found: the pairs and what has no partner.
        splits: "train", "test" and "val" -> pairs.
        inspected: what was found out about each file.
        side: which half of side-by-side pictures is x.
        crop_size: side of training's crops in pixels.
    """
    pairs = [pair for split in splits.values() for pair in split]
    unreadable = [picture for picture in inspected.values() if picture.fault]
    if unreadable:
        yield Finding(
            f"{len(unreadable):,} pictures cannot be read",
            [f"{picture.path.name} ({picture.fault})" for picture in unreadable],
            "remove or replace them, or train with --unreadable skip",
            fatal=True,
            files=[picture.path for picture in unreadable],
        )
    if found.unmatched:
        yield Finding(
            f"{len(found.unmatched):,} pictures without a partner",
            found.unmatched,
            "add or rename the partners, or train with --unmatched skip",
            fatal=True,
        )
    readable = [pair for pair in pairs if not any(inspected[path].fault for path in (pair.x, pair.y) if path)]
    sizes = {pair: (inspected[pair.x or pair.y].size, inspected[pair.y].size) for pair in readable}
    different = [pair for pair, (one, other) in sizes.items() if one != other]
    if different:
        yield Finding(
            f"{len(different):,} pairs differ in size",
            [f"{p.name} ({'x'.join(map(str, sizes[p][0]))} and {'x'.join(map(str, sizes[p][1]))})" for p in different],
            "make them equal, or train with --sizes fit",
            fatal=True,
            files=[pair.y for pair in different],
        )
    odd = [pair for pair in readable if found.side_by_side and sizes[pair][1][0] % 2]
    if odd:
        yield Finding(
            f"{len(odd):,} side-by-side pictures of an odd width",
            [f"{pair.name} ({'x'.join(map(str, sizes[pair][1]))})" for pair in odd],
            "cut them to an even one",
            fatal=True,
            files=[pair.y for pair in odd],
        )
    yield from find_pair_copies(splits, inspected, readable)
    small = [pair for pair in readable if min(_half_size(sizes[pair][1], found.side_by_side)) < crop_size]
    if small:
        yield Finding(
            f"{len(small):,} pairs smaller than the cut of {crop_size}",
            [pair.name for pair in small],
            "they are enlarged and so blurred, find larger ones or lower --crop_size and --load_size",
        )
    of_wrong_size = {*different, *odd}
    comparable = [pair for pair in readable if pair not in of_wrong_size and pair.x]
    probed = comparable[:: max(1, -(-len(comparable) // PAIRS_PROBED))]
    shift = common_shift([pair_edge_maps(pair, found.side_by_side, side) for pair in probed])
    if shift:
        right, down = shift
        yield Finding(
            f"x and y lie {abs(right):.1f} pixels {'right' if right > 0 else 'left'} and {abs(down):.1f}"
            f" {'down' if down > 0 else 'up'} of each other, at {SHIFTED_SIDE} pixels, in most pairs",
            [],
            "look at them, as what lies beside its place is learned beside it; where pairs share few outlines this is a"
            " guess",
        )


def find_pair_copies(
    splits: dict[str, list[Pair]], inspected: dict[Path, Inspected], readable: Sequence[Pair]
) -> Iterable[Finding]:
    """Yields files with the same bytes where they mislead: in two splits, pairs that occur twice, one x with several y.

    Args:
        splits: "train", "test" and "val" -> pairs.
        inspected: what was found out about each file.
        readable: the pairs of all splits whose files can be read.
    """
    occurrences: dict[bytes, dict[str, str]] = {}  # digest of a file -> split -> its name there
    for split, pairs in splits.items():
        for pair in pairs:
            for path in {pair.x, pair.y} - {None}:
                assert path is not None
                if inspected[path].digest:
                    occurrences.setdefault(inspected[path].digest, {}).setdefault(split, f"{split}: {path.name}")
    leaks = [" = ".join(names.values()) for names in occurrences.values() if "train" in names and len(names) > 1]
    if leaks:
        yield Finding(
            f"{len(leaks):,} pictures both in training and in the test",
            leaks,
            "the test would show what was learned by heart, keep each on one side (a list with a column group does)",
        )
    pair_names: dict[tuple[bytes, bytes], list[str]] = {}  # digests of x and y -> names of the pairs
    partners: dict[bytes, set[bytes]] = {}  # digest of x -> digests of y
    x_names: dict[bytes, str] = {}
    for pair in readable:
        x_digest, y_digest = inspected[pair.x or pair.y].digest, inspected[pair.y].digest
        pair_names.setdefault((x_digest, y_digest), []).append(pair.name)
        partners.setdefault(x_digest, set()).add(y_digest)
        x_names.setdefault(x_digest, (pair.x or pair.y).name)
    repeated = [" = ".join(names) for names in pair_names.values() if len(names) > 1]
    if repeated:
        yield Finding(
            f"{len(repeated):,} pairs are there more than once", repeated, "they count as often, remove the others"
        )
    ambiguous = [f"{x_names[x]} ({len(several)} partners)" for x, several in partners.items() if len(several) > 1]
    if ambiguous:
        yield Finding(
            f"{len(ambiguous):,} pictures of x belong to several of y",
            ambiguous,
            "of what x does not tell, G can only learn the mean; leave all but one out if they are mistakes",
        )


def pair_edge_maps(pair: Pair, side_by_side: bool, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the edge maps of both pictures, each float32 (H, W), 0 and more. Raises BadInput for unreadable ones."""
    assert pair.x is not None
    if side_by_side:
        left, right = halves(read_native(pair.y))
        x, y = (left, right) if side == "left" else (right, left)
    else:
        x, y = read_native(pair.x), read_native(pair.y)
    return edge_map(x), edge_map(y)


def edge_map(native: Native) -> np.ndarray:
    """Returns the gradient magnitude of the grey values of the picture, scaled down to at most SHIFTED_SIDE pixels:
    float32 (H, W)."""
    grey = native.pixels.astype(np.float32).mean(-1)
    scale = min(1.0, SHIFTED_SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return cv2.magnitude(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))


def common_shift(edge_maps: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float] | None:
    """Returns how far y lies to the right of x and below it, in pixels, if most pairs are shifted alike; else None.

    Measured by phase correlation (Kuglin & Hines 1975) of each pair of edge maps, (H, W) each.
    """
    shifts = []
    for x, y in edge_maps:
        if min(x.shape) < 16 or x.shape != y.shape:
            continue
        window = cv2.createHanningWindow(x.shape[::-1], cv2.CV_32F)
        (right, down), response = cv2.phaseCorrelate(x, y, window)
        if response > LEAST_RESPONSE:
            shifts.append((right, down))
    if len(shifts) < 3 or len(shifts) < AGREEING_SHARE * len(edge_maps):
        return None
    median = np.median(shifts, axis=0)
    agreeing = (np.abs(np.array(shifts) - median).max(1) <= SHIFT_TOLERANCE).mean()
    if agreeing < AGREEING_SHARE or np.abs(median).max() < LEAST_SHIFT:
        return None
    return float(median[0]), float(median[1])


def _half_size(size: tuple[int, int], side_by_side: bool) -> tuple[int, int]:
    """Returns width and height of one picture of a pair, given those of its file."""
    return (size[0] // 2, size[1]) if side_by_side else size
