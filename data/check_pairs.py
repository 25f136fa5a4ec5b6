"""What is wrong with pairs of pictures, found before a training finds it.

Every file is read whole, as in `quagga.data.check`. Beside what spoils any training: pictures without a partner,
partners of different sizes, files that are in training and in the test, and partners that lie a little beside each
other.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from quagga import BadInput
from quagga.data.check import Look, Part, digests_of, look_at, overview
from quagga.data.check import find as find_in
from quagga.data.clean import Entry
from quagga.data.decode import read_native
from quagga.data.findings import Finding, Report, useless_files
from quagga.data.form import Native
from quagga.data.inputs import halves
from quagga.data.pairs import Pair, Pairs, find_pairs

SHIFTED_SIDE = 256  # pixels of the longer side, at which partners are laid over each other
LOOKED_AT = 64  # pairs of which that is done
LEAST_SHIFT = 1.5  # pixels there; less is not seen
AGREEING = 0.6  # share of the pairs that are shifted alike, from which on it cannot be chance
ALIKE = 1.0  # pixels
LEAST_RESPONSE = 0.03  # of phase correlation: below, the two have no outlines in common, as noise has none


def check_pairs(
    root: str | None = None,
    x: str | None = None,
    y: str | None = None,
    pairs: str | None = None,
    of_y: bool = False,
    side: Literal["left", "right"] = "left",
    crop_size: int = 256,
    told: Callable[[], object] = lambda: None,
    counted: Callable[[int], object] = lambda number: None,
) -> Report:
    """Looks at all pictures of a set of pairs.

    Args:
        root, x, y, pairs, of_y: Where they are, as for `quagga.data.pairs.find_pairs`.
        side: Which half of side-by-side pictures is x.
        crop_size: Pixels a side that training cuts out; smaller pictures are told.
        told: Is called after each picture.
        counted: Is given the number of pictures before the first.

    Raises:
        BadInput: there are no pairs to look at.
    """
    if crop_size < 1:
        raise BadInput(f"crop_size {crop_size}: must be 1 or more")
    found = find_pairs(root, x, y, pairs, of_y, unmatched="skip")
    splits = {"train": found.train, "test": found.test, "val": list(found.unused)}
    paths = list(dict.fromkeys(path for part in splits.values() for pair in part for path in (pair.x, pair.y) if path))
    counted(len(paths))
    looks = dict(zip(paths, look_at(paths, told), strict=True))
    parts = []
    for split, some in splits.items():
        if some and found.side_by_side:
            parts.append(Part(split, "both", "y", [looks[pair.y] for pair in some]))
        elif some:
            named = (
                (found.names["x"], "x", [pair.x for pair in some]),
                (found.names["y"], "y", [pair.y for pair in some]),
            )
            parts += [
                Part(f"{name} {split}", name, letter, [looks[p] for p in of if p])
                for name, letter, of in named
                if any(of)
            ]
    if of_y and not found.side_by_side:
        findings = list(find_in(parts, Path(os.path.commonpath([path.absolute().parent for path in paths])), crop_size))
    else:
        findings = list(find(found, splits, looks, side, crop_size))
    how = f"side by side, x ({found.names['x']}) is the {side} half" if found.side_by_side else "two files each"
    how = "y alone, of which x is made" if of_y and not found.side_by_side else how
    lines = [f"{sum(map(len, splits.values())):,} pairs, {how}", "", *overview(parts, crop_size)]
    told_below = ("without a partner", "whose files are not there")
    notices = [line for line in found.notices if not any(words in line for words in told_below)]
    lines += ["", *notices] if notices else []
    useless = useless_files(findings)
    entries = [
        Entry(
            digests_of([looks[path] for path in (pair.x, pair.y) if path], useless),
            split,
            {**({"x": pair.x} if pair.x else {}), "y": pair.y, "group": pair.group},
        )
        for split, some in splits.items()
        for pair in some
    ]
    options = ["--side right"] if found.side_by_side and side == "right" else []
    options += [part.options for part in parts if part.options and of_y and not found.side_by_side]
    return Report(lines, findings, " ".join(dict.fromkeys(options)), entries, found.names)


def find(
    found: Pairs, splits: dict[str, list[Pair]], looks: dict[Path, Look], side: str, crop_size: int
) -> Iterable[Finding]:
    """What is worth saying, the worst first."""
    pairs = [pair for part in splits.values() for pair in part]
    torn = [look for look in looks.values() if look.fault]
    if torn:
        yield Finding(
            f"{len(torn):,} pictures cannot be read",
            [f"{look.path.name} ({look.fault})" for look in torn],
            "remove or replace them, or train with --unreadable skip",
            fatal=True,
            files=[look.path for look in torn],
        )
    if found.unmatched:
        yield Finding(
            f"{len(found.unmatched):,} pictures without a partner",
            found.unmatched,
            "add or rename the partners, or train with --unmatched skip",
            fatal=True,
        )
    whole = [pair for pair in pairs if not any(looks[path].fault for path in (pair.x, pair.y) if path)]
    sizes = {pair: (looks[pair.x or pair.y].size, looks[pair.y].size) for pair in whole}
    different = [pair for pair, (one, other) in sizes.items() if one != other]
    if different:
        yield Finding(
            f"{len(different):,} pairs differ in size",
            [f"{p.name} ({'x'.join(map(str, sizes[p][0]))} and {'x'.join(map(str, sizes[p][1]))})" for p in different],
            "make them equal, or train with --sizes fit",
            fatal=True,
            files=[pair.y for pair in different],
        )
    odd = [pair for pair in whole if found.side_by_side and sizes[pair][1][0] % 2]
    if odd:
        yield Finding(
            f"{len(odd):,} side-by-side pictures of an odd width",
            [f"{pair.name} ({'x'.join(map(str, sizes[pair][1]))})" for pair in odd],
            "cut them to an even one",
            fatal=True,
            files=[pair.y for pair in odd],
        )
    yield from copies(splits, looks, whole)
    small = [pair for pair in whole if min(_side(sizes[pair][1], found.side_by_side)) < crop_size]
    if small:
        yield Finding(
            f"{len(small):,} pairs smaller than the cut of {crop_size}",
            [pair.name for pair in small],
            "they are enlarged and so blurred, find larger ones or lower --crop_size and --load_size",
        )
    broken = {*different, *odd}
    usable = [pair for pair in whole if pair not in broken and pair.x]
    some = usable[:: max(1, -(-len(usable) // LOOKED_AT))]
    shift = shifted([two(pair, found.side_by_side, side) for pair in some])
    if shift:
        right, down = shift
        yield Finding(
            f"x and y lie {abs(right):.1f} pixels {'right' if right > 0 else 'left'} and {abs(down):.1f}"
            f" {'down' if down > 0 else 'up'} of each other, at {SHIFTED_SIDE} pixels, in most pairs",
            [],
            "look at them, as what lies beside its place is learned beside it; where pairs share few outlines this is a"
            " guess",
        )


def copies(splits: dict[str, list[Pair]], looks: dict[Path, Look], whole: Sequence[Pair]) -> Iterable[Finding]:
    """Files of the same bytes where they mislead: in two splits, pairs that are there twice, one x with several y."""
    where: dict[bytes, dict[str, str]] = {}
    for split, pairs in splits.items():
        for pair in pairs:
            for path in {pair.x, pair.y} - {None}:
                assert path is not None
                if looks[path].digest:
                    where.setdefault(looks[path].digest, {}).setdefault(split, f"{split}: {path.name}")
    leaks = [" = ".join(found.values()) for found in where.values() if "train" in found and len(found) > 1]
    if leaks:
        yield Finding(
            f"{len(leaks):,} pictures both in training and in the test",
            leaks,
            "the test would show what was learned by heart, keep each on one side (a list with a column group does)",
        )
    twice: dict[tuple[bytes, bytes], list[str]] = {}
    several: dict[bytes, set[bytes]] = {}
    names: dict[bytes, str] = {}
    for pair in whole:
        one, other = looks[pair.x or pair.y].digest, looks[pair.y].digest
        twice.setdefault((one, other), []).append(pair.name)
        several.setdefault(one, set()).add(other)
        names.setdefault(one, (pair.x or pair.y).name)
    again = [" = ".join(same) for same in twice.values() if len(same) > 1]
    if again:
        yield Finding(f"{len(again):,} pairs are there more than once", again, "they count as often, remove the others")
    torn = [f"{names[one]} ({len(others)} partners)" for one, others in several.items() if len(others) > 1]
    if torn:
        yield Finding(
            f"{len(torn):,} pictures of x belong to several of y",
            torn,
            "of what x does not tell, G can only learn the mean; leave all but one out if they are mistakes",
        )


def two(pair: Pair, side_by_side: bool, side: str) -> tuple[np.ndarray, np.ndarray]:
    """The outlines of both pictures, (H, W) of one size."""
    assert pair.x is not None
    if side_by_side:
        left, right = halves(read_native(pair.y))
        x, y = (left, right) if side == "left" else (right, left)
    else:
        x, y = read_native(pair.x), read_native(pair.y)
    return outlines(x), outlines(y)


def outlines(native: Native) -> np.ndarray:
    """The size of the gradient of the grey values, float32 (H, W), small."""
    grey = native.pixels.astype(np.float32).mean(-1)
    scale = min(1.0, SHIFTED_SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return cv2.magnitude(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))


def shifted(outlines: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float] | None:
    """How far y lies right of x and below, in pixels, if most pairs are shifted alike; else None.

    By phase correlation (Kuglin & Hines 1975) of each pair.
    """
    found = []
    for x, y in outlines:
        if min(x.shape) < 16 or x.shape != y.shape:
            continue
        window = cv2.createHanningWindow(x.shape[::-1], cv2.CV_32F)
        (right, down), response = cv2.phaseCorrelate(x, y, window)
        if response > LEAST_RESPONSE:
            found.append((right, down))
    if len(found) < 3 or len(found) < AGREEING * len(outlines):
        return None
    middle = np.median(found, axis=0)
    near = (np.abs(np.array(found) - middle).max(1) <= ALIKE).mean()
    if near < AGREEING or np.abs(middle).max() < LEAST_SHIFT:
        return None
    return float(middle[0]), float(middle[1])


def _side(size: tuple[int, int], side_by_side: bool) -> tuple[int, int]:
    return (size[0] // 2, size[1]) if side_by_side else size
