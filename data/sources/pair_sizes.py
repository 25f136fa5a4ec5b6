"""Whether the pictures of pairs fit each other in size, before training."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from quagga.data.io.read import read_header, read_native
from quagga.data.sources.pairs import Pair
from quagga.errors import BadInput, some


def pair_size(pairs: Sequence[Pair], side_by_side: bool, may_differ: bool, skip: bool) -> list[int] | None:
    """Returns (width, height) of most pictures that hold two side by side; None for pairs of two files.

    Sizes are taken from the headers, 0.1 ms each. Where these leave open which side is the width, the picture is
    decoded. Files that cannot be read are passed over: reading them later reports them.

    Args:
        pairs: For training and for the test.
        side_by_side: Whether each is one file that holds both.
        may_differ: Whether x is scaled to the size of y.
        skip: Whether pairs that do not fit are passed over when they are read.

    Raises:
        BadInput: the sizes of a pair differ, or a picture cannot be cut into halves.
    """
    odd: list[str] = []
    different: list[str] = []
    sizes: Counter[tuple[int, int]] = Counter()
    for pair in pairs:
        try:
            x_header, y_header = read_header(pair.x or pair.y), read_header(pair.y)
        except BadInput:
            continue
        same = (x_header.shorter, x_header.longer) == (y_header.shorter, y_header.longer)
        if not same or x_header.wide != y_header.wide:
            with suppress(BadInput):
                (h, w), (height, width) = (read_native(path).pixels.shape[:2] for path in (pair.x or pair.y, pair.y))
                if (h, w) != (height, width):
                    different.append(f"{pair.name} ({w}x{h} and {width}x{height})")
        sizes[(y_header.shorter, y_header.longer)] += 1
        if side_by_side and (x_header.shorter % 2 or x_header.longer % 2):  # a header does not say which is the width
            with suppress(BadInput):
                height, width = read_native(pair.y).pixels.shape[:2]
                odd += [f"{pair.name} ({width}x{height})"] if width % 2 else []
    if odd and not skip:
        raise BadInput(
            f"{len(odd)} of {len(pairs)} side-by-side pictures have an odd width: {some(odd, 3)}: cut them to an even"
            " one, or give two folders"
        )
    if different and not may_differ and not skip:
        raise BadInput(
            f"{len(different)} of {len(pairs)} pairs differ in size: {some(different, 3)}: make them equal, or scale x"
            " to the size of y with --sizes fit"
        )
    if not side_by_side or not sizes:
        return None
    (shorter, longer), _ = sizes.most_common(1)[0]
    return [longer, shorter]
