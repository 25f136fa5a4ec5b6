"""The size and the channels of pictures where the user names none, from reading some of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.read import read_header, to_native
from quagga.data.sources.image_store import JoinedDatasets, MapStyleStore, picture_of, to_image_or_array
from quagga.data.sources.probe import HEADERS_PROBED
from quagga.errors import BadInput

SIZES = (256, 128, 64, 32)  # sides that pictures of other sizes are brought to, where none is asked for
LARGEST_DEFAULT = 256  # above which a picture's own size is not taken unasked
PICTURES_PROBED = 16  # pictures of a dataset that are read before training


def default_size(sizes: Sequence[tuple[int, ...]]) -> int:
    """Returns the side in pixels for pictures of these heights and widths: their own where all are one square of at
    most 256 that can be halved to 15 or less, as 28 and 96 can; else the largest of 32, 64, 128 and 256 that half of
    them fill."""
    shorter = sorted(min(size) for size in sizes)
    halved = shorter[0]
    while halved > 15 and halved % 2 == 0:
        halved //= 2
    if len({side for size in sizes for side in size}) == 1 and shorter[0] <= LARGEST_DEFAULT and halved <= 15:
        return shorter[0]
    middle = shorter[len(shorter) // 2]
    return next((size for size in SIZES if size <= middle), SIZES[-1])


def probe_files(paths: Sequence[Path], skip: bool) -> tuple[int, int]:
    """Returns the side in pixels and the channels for pictures in files, from the headers of some.

    Raises:
        BadInput: one cannot be read, or with `skip` none can.
    """
    sizes: list[tuple[int, int]] = []
    channels: Counter[int] = Counter()
    for path in paths[:: -(-len(paths) // HEADERS_PROBED)]:
        try:
            header = read_header(path)
        except BadInput:
            if not skip:
                raise
            continue
        sizes.append((header.shorter, header.longer))
        channels[header.channels] += 1
    if not sizes:
        raise BadInput(f"none of the pictures looked at can be read, first {paths[0]}: see quagga data check")
    if channels.keys() <= {1, 2}:
        return default_size(sizes), 1
    most = max(channels)
    return default_size(sizes), 3 if most <= 4 else channels.most_common(1)[0][0]


def probe_datasets(joined: JoinedDatasets, train: np.ndarray, channels: int | None) -> tuple[MapStyleStore, int]:
    """Returns the store of map-style datasets, and the side in pixels of their pictures, from reading some.

    Raises:
        BadInput: a picture is of no known kind, or float tensors do not use [-1, 1].
    """
    sizes, lowest = [], 0.0
    kinds: Counter[str] = Counter()
    channel_counts: Counter[int] = Counter()
    for number in train[:: -(-len(train) // PICTURES_PROBED)]:
        picture = picture_of(joined.item(int(number)))
        native = to_native(to_image_or_array(picture))
        sizes.append(native.pixels.shape[:2])
        channel_counts[native.pixels.shape[-1] - native.alpha] += 1
        kinds[str(native.pixels.dtype)] += 1
        if isinstance(picture, Tensor) and picture.is_floating_point():
            lowest = min(lowest, float(picture.min()))
            kinds["signed"] += 1
    if kinds["signed"] and lowest >= 0:
        raise BadInput(
            f"{joined.title}: its tensors are never below 0: scale them to [-1, 1], as Normalize(0.5, 0.5) does"
        )
    del kinds["signed"]
    kind = kinds.most_common(1)[0][0]
    channels = channels or (channel_counts.most_common(1)[0][0] if channel_counts else 3)
    white = {"uint8": 255.0, "uint16": 65535.0}.get(kind, 1.0)
    return MapStyleStore(joined, PixelFormat(channels, kind, (0.0, white))), default_size(sizes)
