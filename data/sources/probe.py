"""Probes a side's pictures before training: which format they have, and what the user should know of them."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quagga.data.io.pixel_format import (
    KINDS,
    NATURAL_RANGES,
    PixelFormat,
    check_finite,
    fitting_channels,
    kind_for_range,
    other_channels,
)
from quagga.data.io.read import Header, read_header, read_native
from quagga.data.sources.held_out import Domain
from quagga.errors import BadInput

HEADERS_PROBED = 128  # pictures a side whose headers are read
VALUES_PROBED = 32  # pictures a side of which the values are read, where they are not 8 bits
SPARSE_RANGE = 0.125  # share of the range of 16 bits below which 12 bits, or fewer, are all that is used
MISTAKEN_SHARE = 0.5  # share of values outside [0, 1] from which on floats cannot have been meant to be in it


class Values(NamedTuple):
    """The range of a picture's values."""

    kind: str
    low: float
    high: float
    outside: int  # how many values lie outside the range: the user's, else that of the kind
    total: int


def probe(
    side: Domain, letter: str, channels: int, value_range: list[float] | None, crop_size: int, skip: bool
) -> tuple[PixelFormat, list[str]]:
    """Decides in which format a side's pictures are read, from some of them; returns lines for the user as well.

    Args:
        side: Its name and its pictures.
        letter: "x" or "y", whose options are named.
        channels: As many as the network takes.
        value_range: The one that the user has given; None: none.
        crop_size: Pixels of the cut.
        skip: Whether pictures that cannot be read are passed over.

    Raises:
        BadInput: a picture cannot be read, has other channels, or holds values whose range must be given.
    """
    probed = list(islice(side.train, 0, None, -(-len(side.train) // HEADERS_PROBED)))
    of = f"{len(probed)} pictures" if len(probed) == len(side.train) else f"{len(probed)} pictures looked at"
    headers = dict(_read_headers(probed, letter, channels, skip))
    lines = []
    if small := sum(header.shorter < crop_size for header in headers.values()):
        lines.append(f"{small} of {of} are smaller than the cut of {crop_size} and get enlarged")
    grey = sum(header.channels in (1, 2) for header in headers.values())
    if grey and channels == 3:
        lines.append(f"{grey} of {of} are grey and become three equal channels")
    kinds = Counter(header.kind for header in headers.values()) or Counter(["uint8"])
    pixel_format = PixelFormat(channels, kinds.most_common(1)[0][0])
    if kinds.keys() != {"uint8"} or (value_range and tuple(value_range) != pixel_format.value_range):
        paths = list(headers)[:: -(-len(headers) // VALUES_PROBED)]
        measured = list(_measure(paths, letter, channels, value_range, skip))
        if measured:
            pixel_format, format_lines = _choose_format(measured, side.name, letter, channels, value_range)
            lines += format_lines
    return pixel_format, [f"{side.name}: {line}" for line in lines]


def _read_headers(paths: Iterable[Path], letter: str, channels: int, skip: bool) -> Iterable[tuple[Path, Header]]:
    for path in paths:
        try:
            header = read_header(path)
            has = header.channels
            if has != channels and (has > 4 or channels not in (1, 3)):  # others may be converted when they are read
                raise BadInput(f"{path}: {other_channels(has, channels, letter)}")
        except BadInput:
            if not skip:
                raise
        else:
            yield path, header


def _measure(
    paths: Iterable[Path], letter: str, channels: int, value_range: list[float] | None, skip: bool
) -> Iterable[Values]:
    for path in paths:
        try:
            pixels = _read(path, letter, channels)
        except BadInput:
            if skip:
                continue
            raise
        kind = str(pixels.dtype)
        low, high = value_range or NATURAL_RANGES.get(kind, (-np.inf, np.inf))
        outside = np.count_nonzero(pixels < low) + np.count_nonzero(pixels > high)
        yield Values(kind, float(pixels.min()), float(pixels.max()), int(outside), pixels.size)


def _read(path: Path, letter: str, channels: int) -> np.ndarray:
    try:
        return check_finite(fitting_channels(read_native(path), channels, letter))
    except ValueError as error:
        raise (error if isinstance(error, BadInput) else BadInput(f"{path}: {error}")) from None


def _choose_format(
    measured: list[Values], name: str, letter: str, channels: int, value_range: list[float] | None
) -> tuple[PixelFormat, list[str]]:
    """Chooses the format of pictures with such values: the kind that most have, and the user's range or that of the
    kind."""
    kinds = Counter(values.kind for values in measured)
    kind = max(KINDS, key=lambda each: kinds[each])
    option = f"--{letter}_value_range"
    if "int16" in kinds and value_range is None:
        signed = [values for values in measured if values.kind == "int16"]
        low, high = min(values.low for values in signed), max(values.high for values in signed)
        raise BadInput(
            f"{name}: {len(signed)} of {len(measured)} pictures looked at are int16, from {low:g} to {high:g}, which"
            f" have no black and no white of their own: say {option} '[{low:g}, {high:g}]'"
        )
    low, high = value_range or NATURAL_RANGES[kind]
    pixel_format = PixelFormat(channels, kind_for_range(kind, (low, high)), (float(low), float(high)))
    if not pixel_format.owns(kind):
        bounds = np.iinfo(kind)
        raise BadInput(
            f"{name}: {option} [{low:g}, {high:g}] reaches beyond {kind}, as most of its pictures are: stay within"
            f" [{bounds.min}, {bounds.max}], or save them as floats"
        )
    in_format = [values for values in measured if pixel_format.owns(values.kind)]
    outside, total = sum(values.outside for values in in_format), sum(values.total for values in in_format)
    least, most = min(values.low for values in in_format), max(values.high for values in in_format)
    if value_range is None and outside > MISTAKEN_SHARE * total:
        raise BadInput(
            f"{name}: its pictures are floats from {least:g} to {most:g}, and {outside:,} of {total:,} values lie"
            f" outside 0..1: say {option} '[{least:g}, {most:g}]'"
        )
    if pixel_format.eight_bits:
        lines = []
    else:
        are = "lies" if outside == 1 else "lie"
        lines = [
            f"{outside:,} of {total:,} values ({_percent(outside / total)} %) {are} outside {low:g}..{high:g} and"
            f" {'is' if outside == 1 else 'are'} clipped ({len(in_format)} pictures of {kind}, {least:.4g}..{most:.4g})"
        ]
        if value_range is None and most - least < SPARSE_RANGE * (high - low):
            lines.append(
                f"they use {100 * (most - least) / (high - low):.1f} % of that range and will look nearly flat to the"
                f" networks: say {option} '[{least:g}, {most:g}]', or what their values can be"
            )
    for other in NATURAL_RANGES:
        if kinds[other] and not pixel_format.owns(other):
            low, high = NATURAL_RANGES[other]
            lines.append(f"{kinds[other]} of {len(measured)} pictures looked at are {other}: read by {low:g}..{high:g}")
    return pixel_format, lines


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if share >= 0.00005 or share == 0 else "below 0.01"
