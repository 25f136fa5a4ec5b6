"""A look at a side's pictures before training: their form, and what is worth saying of them."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quagga import BadInput
from quagga.data.decode import Header, read_header, read_native
from quagga.data.folders import Side
from quagga.data.form import KINDS, NATURAL, Form, finite, fitting_channels, holding, other_channels

LOOKED_AT = 128  # pictures a side whose headers are read
MEASURED = 32  # pictures a side of which the values are read, where they are not 8 bits
SPARSE = 0.125  # share of the range of 16 bits below which 12 bits, or fewer, are all that is used
MISTAKEN = 0.5  # share of values outside [0, 1] from which on floats cannot have been meant to be in it


class Values(NamedTuple):
    """What a picture's numbers are."""

    kind: str
    low: float
    high: float
    outside: int  # of the range: the stated one, else that of the kind
    count: int


def look(
    side: Side, letter: str, channels: int, stated: list[float] | None, crop_size: int, skip: bool
) -> tuple[Form, list[str]]:
    """How a side's pictures are to be read, and lines for the user.

    Args:
        side: Its name and its pictures.
        letter: "x" or "y", whose options are named.
        channels: As many as the network takes.
        stated: The value range that the user stated, if any.
        crop_size: Pixels of the cut.
        skip: Whether pictures that cannot be read are passed over.

    Raises:
        BadInput: a picture cannot be read, has other channels, or holds numbers whose range must be stated.
    """
    some = list(islice(side.train, 0, None, -(-len(side.train) // LOOKED_AT)))
    of = f"{len(some)} pictures" if len(some) == len(side.train) else f"{len(some)} pictures looked at"
    headers = dict(_headers(some, letter, channels, skip))
    lines = []
    if small := sum(header.shorter < crop_size for header in headers.values()):
        lines.append(f"{small} of {of} are smaller than the cut of {crop_size} and get enlarged")
    grey = sum(header.channels in (1, 2) for header in headers.values())
    if grey and channels == 3:
        lines.append(f"{grey} of {of} are grey and become three equal channels")
    kinds = Counter(header.kind for header in headers.values()) or Counter(["uint8"])
    form = Form(channels, kinds.most_common(1)[0][0])
    if kinds.keys() != {"uint8"} or (stated and tuple(stated) != form.value_range):
        paths = list(headers)[:: -(-len(headers) // MEASURED)]
        measured = list(_measured(paths, letter, channels, stated, skip))
        if measured:
            form, more = _form(measured, side.name, letter, channels, stated)
            lines += more
    return form, [f"{side.name}: {line}" for line in lines]


def _headers(paths: Iterable[Path], letter: str, channels: int, skip: bool) -> Iterable[tuple[Path, Header]]:
    for path in paths:
        try:
            header = read_header(path)
            has = header.channels
            if has != channels and (has > 4 or channels not in (1, 3)):  # others may be converted: reading tells
                raise BadInput(f"{path}: {other_channels(has, channels, letter)}")
        except BadInput:
            if not skip:
                raise
        else:
            yield path, header


def _measured(
    paths: Iterable[Path], letter: str, channels: int, stated: list[float] | None, skip: bool
) -> Iterable[Values]:
    for path in paths:
        try:
            pixels = _read(path, letter, channels)
        except BadInput:
            if skip:
                continue
            raise
        kind = str(pixels.dtype)
        low, high = stated or NATURAL.get(kind, (-np.inf, np.inf))
        outside = np.count_nonzero(pixels < low) + np.count_nonzero(pixels > high)
        yield Values(kind, float(pixels.min()), float(pixels.max()), int(outside), pixels.size)


def _read(path: Path, letter: str, channels: int) -> np.ndarray:
    try:
        return finite(fitting_channels(read_native(path), channels, letter))
    except ValueError as error:
        raise (error if isinstance(error, BadInput) else BadInput(f"{path}: {error}")) from None


def _form(
    measured: list[Values], name: str, letter: str, channels: int, stated: list[float] | None
) -> tuple[Form, list[str]]:
    """The form of pictures with such values: the kind that most have, and the stated range or that of the kind."""
    kinds = Counter(values.kind for values in measured)
    kind = max(KINDS, key=lambda each: kinds[each])
    option = f"--{letter}_value_range"
    if "int16" in kinds and stated is None:
        signed = [values for values in measured if values.kind == "int16"]
        low, high = min(values.low for values in signed), max(values.high for values in signed)
        raise BadInput(
            f"{name}: {len(signed)} of {len(measured)} pictures looked at are int16, from {low:g} to {high:g}, which"
            f" have no black and no white of their own: say {option} '[{low:g}, {high:g}]'"
        )
    low, high = stated or NATURAL[kind]
    form = Form(channels, holding(kind, (low, high)), (float(low), float(high)))
    if not form.owns(kind):
        bounds = np.iinfo(kind)
        raise BadInput(
            f"{name}: {option} [{low:g}, {high:g}] reaches beyond {kind}, as most of its pictures are: stay within"
            f" [{bounds.min}, {bounds.max}], or save them as floats"
        )
    own = [values for values in measured if form.owns(values.kind)]
    outside, count = sum(values.outside for values in own), sum(values.count for values in own)
    least, most = min(values.low for values in own), max(values.high for values in own)
    if stated is None and outside > MISTAKEN * count:
        raise BadInput(
            f"{name}: its pictures are floats from {least:g} to {most:g}, and {outside:,} of {count:,} values lie"
            f" outside 0..1: say {option} '[{least:g}, {most:g}]'"
        )
    if form.eight_bits:
        lines = []
    else:
        are = "lies" if outside == 1 else "lie"
        lines = [
            f"{outside:,} of {count:,} values ({_percent(outside / count)} %) {are} outside {low:g}..{high:g} and"
            f" {'is' if outside == 1 else 'are'} clipped ({len(own)} pictures of {kind}, {least:.4g}..{most:.4g})"
        ]
        if stated is None and most - least < SPARSE * (high - low):
            lines.append(
                f"they use {100 * (most - least) / (high - low):.1f} % of that range and will look nearly flat to the"
                f" networks: say {option} '[{least:g}, {most:g}]', or what their values can be"
            )
    for other in NATURAL:
        if kinds[other] and not form.owns(other):
            low, high = NATURAL[other]
            lines.append(f"{kinds[other]} of {len(measured)} pictures looked at are {other}: read by {low:g}..{high:g}")
    return form, lines


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if share >= 0.00005 or share == 0 else "below 0.01"
