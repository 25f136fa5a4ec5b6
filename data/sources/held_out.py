"""Which pictures are held out of training, where no folder or list says."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quagga.data.loading.row_order import epoch_permutation

HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 0.05, 4, 64


class Domain(NamedTuple):
    """One of the two domains."""

    name: str  # "horse"
    train: list[Path]
    test: list[Path]


def held_out_count(pictures: int) -> int:
    """How many of so many pictures are held out of training: 5 %, 4 to 64, at most half."""
    return min(max(round(HELD_OUT_SHARE * pictures), HELD_OUT_LEAST), HELD_OUT_MOST, pictures // 2)


def hold_out(name: str, pictures: list[Path]) -> tuple[Domain, str]:
    """Splits the pictures of a domain: (its two parts, a line that says so)."""
    count = held_out_count(len(pictures))
    copies: dict[bytes, list[Path]] = {}
    for path in pictures:
        copies.setdefault(fingerprint(path), []).append(path)
    test: set[Path] = set()
    for _, same in sorted(copies.items()):
        if len(test) + len(same) <= count:
            test.update(same)
    side = Domain(name, [path for path in pictures if path not in test], [path for path in pictures if path in test])
    if not test:
        return side, f"{name}: too few different pictures to hold any out; the samples show training pictures"
    share = f"{len(test)} of {len(pictures)} pictures"
    return side, f"{name}: no test folder, so {share} are held out of training, chosen by a hash of the files"


def fingerprint(path: Path) -> bytes:
    """A hash of size and content; of files above 192 KiB only of their first, middle and last 64 KiB, to be quick."""
    part = 1 << 16
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            starts = (0,) if size <= 3 * part else (0, size // 2, size - part)
            digest = hashlib.blake2b(str(size).encode(), digest_size=16)
            for start in starts:
                file.seek(start)
                digest.update(file.read(3 * part if len(starts) == 1 else part))
            return digest.digest()
    except OSError:  # unreadable files are the decoder's to report
        return hashlib.blake2b(os.fsencode(path), digest_size=16).digest()


def display_order(test: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Orders held-out pictures such that any beginning is spread over the classes: one of each class, another of each,
    and so on, each class shuffled.

    Args:
        test: int64 (M,), the numbers of the held-out pictures.
        classes: The class of every picture.
    """
    seen: Counter[int] = Counter()
    turns = []
    for number in test[epoch_permutation(0, "held out", 0, len(test))].tolist():
        label = classes[number]
        turns.append((seen[label], label, number))
        seen[label] += 1
    return np.array([number for *_, number in sorted(turns)], np.int64)
