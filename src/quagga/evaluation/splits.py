"""Which held-out pictures choose a checkpoint, and which report on it.

A checkpoint that was chosen because it is good on some pictures looks better on them than it is. So the held-out
pictures are split by a hash of their names, or of their groups: one half may choose, the other reports.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from quagga.seeding import derive_seed

LEAST = 60  # held-out pictures that are split; of fewer, both halves would say little

Part = Literal["report", "choose", "all"]
Item = TypeVar("Item")


def ordered(items: Sequence[Item], key: Callable[[Item], str]) -> list[Item]:
    """Returns pictures in an order that follows from their names alone: any beginning of it is spread over them."""
    return sorted(items, key=lambda item: (derive_seed(0, "order of pictures", key(item)), key(item)))


def part_of(name: str) -> Part:
    """Returns the half to which a picture, or a group of pictures, belongs."""
    return "report" if derive_seed(0, "choose or report", name) & 1 else "choose"


def split(held_out: Sequence[Item], key: Callable[[Item], str], part: Part) -> list[Item]:
    """Returns the held-out pictures of a part, in the order of `ordered`: all of them where there are fewer than LEAST,
    or where a half would be empty (as one group has all)."""
    chosen = [item for item in held_out if part == "all" or part_of(key(item)) == part]
    few = len(held_out) < LEAST or not 0 < len(chosen) < len(held_out)
    return ordered(held_out if few else chosen, key)
