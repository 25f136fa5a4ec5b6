"""Options that datasets share: each is stated and explained here, and stated again only where it differs.

A dataset inherits them: `class Unpaired(ReadingOptions, AugmentOptions, TwoSidesOptions)`. A dataclass takes the fields
of the class that is named last first, so the help shows its own options, those of the sides, and so on. What a class
says of an option in its `Args:` stands in place of what the classes say from which it inherits.
"""

from dataclasses import dataclass, field
from typing import Literal

from quagga.data.loading.ram_cache import Cache, CacheOrDevice
from quagga.data.sources.argument_checks import check_domain
from quagga.data.transforms.augment import Fit


@dataclass(kw_only=True)
class ReadingOptions:
    """How pictures are read.

    Args:
        unreadable: what to do with a damaged picture: "error" stops, "skip" takes the next one and counts.
        cache: "ram" reads all pictures before the first row, scaled to load_size, and keeps them in memory for all
            epochs and workers; how much memory they take is printed. Each process of training keeps its own. "none"
            reads each picture when it is needed.
        workers: processes that read pictures ahead, for each process of training; 0 reads in the training process
            itself.
        seed: seed of the order, the crops and all augmentation; in a training, of everything else that is random too.
        worker_timeout: seconds without a batch after which a worker counts as hanging.
    """

    unreadable: Literal["error", "skip"] = "error"
    cache: Cache = "none"
    workers: int = 2
    seed: int = 0
    worker_timeout: float = 300.0


@dataclass(kw_only=True)
class AugmentOptions:
    """What happens to a picture by chance.

    Args:
        flip: mirror half of the pictures, left to right.
        augment: transforms of albumentations after the crop, e.g. {"ColorJitter": {"brightness": 0.1, "p": 0.5}}.
    """

    flip: bool = True
    augment: dict[str, dict[str, bool | int | float | str | list[float] | None]] = field(default_factory=dict)


@dataclass(kw_only=True)
class PairAugmentOptions(AugmentOptions):
    """What happens to a pair by chance.

    Args:
        flip: mirror half of the pairs, left to right.
        augment: transforms of albumentations after the crop, by name. Those that move pixels act on both sides alike,
            the others on x alone.
        augment_y: whether the others act on y too, with the same random numbers; an x that is made from y is then made
            from the changed y.
    """

    augment_y: bool = False


@dataclass(kw_only=True)
class TwoSidesOptions:
    """What two sides, x and y, are called, which pictures they hold, and what is cut out of these.

    Args:
        unmatched: what to do with pictures without a partner: "error" stops, "skip" leaves them out.
        sizes: what to do with pairs of different sizes: "error" stops, "fit" scales x to the size of y.
        x_name: name of x; None takes the name of its folder.
        y_name: name of y; None takes the name of its folder.
        x_channels: channels of x: 1 (grey) or 3, into which pictures are converted, or as many as they have. None: 3
            for pictures, 1 for edges and grey, the number of labels for labels.
        y_channels: channels of y, likewise.
        x_value_range: stored values of x that become black and white, e.g. [0, 4095]. None takes the range of the
            files' type.
        y_value_range: the same for y.
        load_size: side before the random crop; in pixels, see fit.
        crop_size: side of the crop that is trained on; in pixels.
        fit: how load_size is reached: "crop" scales the shorter side and keeps the shape, "squash" scales both sides,
            "none" scales neither.
    """

    unmatched: Literal["error", "skip"] = "error"
    sizes: Literal["error", "fit"] = "error"
    x_name: str | None = None
    y_name: str | None = None
    x_channels: int | None = None
    y_channels: int = 3
    x_value_range: list[float] | None = None
    y_value_range: list[float] | None = None
    load_size: int = 286
    crop_size: int = 256
    fit: Fit = "crop"


@dataclass(kw_only=True)
class SquareOptions:
    """What square is made of a picture.

    Args:
        size: side of the square pictures; in pixels. None takes that of the pictures if all have one, else 32, 64, 128
            or 256.
        fit: how size is reached: "crop" scales the shorter side and crops a square at random, "squash" scales both
            sides.
        x_channels: channels into which pictures are converted: 1 (grey) or 3, or as many as they have. None: 1 if all
            pictures are grey, else 3.
        x_value_range: stored values that become black and white, e.g. [0, 4095]. None takes the range of the files'
            type.
    """

    size: int | None = None
    fit: Literal["crop", "squash"] = "crop"
    x_channels: int | None = None
    x_value_range: list[float] | None = None


@dataclass(kw_only=True)
class IndexedOptions(ReadingOptions, AugmentOptions, SquareOptions):
    """How square pictures that are known by number become rows.

    Args:
        flip: mirror half of the pictures, left to right; not for digits.
        cache: "ram" reads all pictures before the first row, scaled to size, and keeps them in memory for all epochs
            and workers; how much memory they take is printed. Each process of training keeps its own. "device" keeps
            them on the GPU, for data sets that are not cropped, mirrored or changed otherwise. "none" reads each
            picture when it is needed.
        workers: processes that read pictures ahead, for each process of training; 0 reads in the training process
            itself. Data sets in memory need none.
    """

    flip: bool = False
    cache: CacheOrDevice = "none"  # pyright: ignore[reportIncompatibleVariableOverride]  # or on the device


def check_sides(options: TwoSidesOptions) -> None:
    """Raises BadInput where x or y cannot have such channels or such a range of stored values."""
    check_domain("x", options.x_channels, options.x_value_range)
    check_domain("y", options.y_channels, options.y_value_range)
