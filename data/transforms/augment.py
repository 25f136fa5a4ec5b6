"""What happens to a picture between its file and the network.

The geometry is the papers' (Isola et al. 2017, Sec. 6.2, and the code of Zhu et al. 2017): load at 286, cut out 256 at
random, mirror every second picture. After it come the transforms that the user declares, by albumentations. Of a pair
both pictures take the same way (`PairAugment`).

This is the only module that imports albumentations, and only where there is something to augment: with scipy and
pydantic behind it that takes half a second, which `quagga translate` need not wait for.
"""

import inspect
import math
import os
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import cv2
import numpy as np

from quagga.did_you_mean import nearest
from quagga.errors import BadInput, one_line
from quagga.seeding import derive_seed

if TYPE_CHECKING:
    import albumentations

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # when imported it would ask the network for its newest version

Fit = Literal["crop", "squash", "none"]
Kind = Literal["uint8", "float32"]
Value = bool | int | float | str | list[float] | None
Declared = Mapping[str, Mapping[str, Value]]  # {"GaussianBlur": {"p": 0.2}}: transforms in order, by their names

GEOMETRIC_MODULES = (
    "albumentations.augmentations.crops.",
    "albumentations.augmentations.geometric.",
)  # where pixels lie
LARGEST_SIDE = 8192  # pixels a side; a cut of this size takes 0.2 GB
LARGEST_RATIO = 32  # sides beyond 32:1 would be enlarged to gigabytes


@cache
def transforms() -> dict[str, Any]:
    """What can be declared: the transforms of albumentations, by name."""
    import albumentations

    bases = albumentations.ImageOnlyTransform, albumentations.DualTransform
    return {
        name: kind
        for name, kind in vars(albumentations).items()
        if inspect.isclass(kind) and issubclass(kind, bases) and kind not in (*bases, albumentations.Lambda)
    }


class Window(NamedTuple):
    """Where a picture is cut."""

    top: int
    left: int
    size: int  # pixels a side
    mirrored: bool = False

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (size, size, C), a view where it is not mirrored."""
        cut = pixels[self.top : self.top + self.size, self.left : self.left + self.size]
        return _three_axes(cv2.flip(cut, 1)) if self.mirrored else cut  # numpy takes 30 times as long, in steps of C


def random_window(seed: int, shape: tuple[int, ...], size: int, flip: bool) -> Window:
    """A window anywhere in (H, W, ...), every second one mirrored where `flip` says so; a pure function of the
    arguments. Drawn by hand, as one hash is enough: 2 us, where to seed albumentations and draw by it takes 100."""
    chance = derive_seed(seed, "cut")  # 64 bits: 24 for the row, 24 for the column, 1 for the mirror
    top = (chance & 0xFFFFFF) * (shape[0] - size + 1) >> 24
    left = (chance >> 24 & 0xFFFFFF) * (shape[1] - size + 1) >> 24
    return Window(top, left, size, flip and bool(chance >> 63))


def center_window(shape: tuple[int, ...], size: int) -> Window:
    """The window in the middle of (H, W, ...)."""
    return Window((shape[0] - size) // 2, (shape[1] - size) // 2, size)


class Augment:
    """Turns a picture of any size into `crop_size` x `crop_size` pixels.

    Args:
        load_size: Pixels to which a picture is scaled before the cut, see `fit`.
        crop_size: Pixels a side that are cut out, at random in training, from the middle otherwise.
        fit: "crop": the shorter side becomes `load_size`, the shape is kept. "squash": both sides become it, as in the
            authors' code. "none": not scaled, unless smaller than the cut.
        flip: Whether every second picture is mirrored.
        declared: Further transforms of albumentations with their arguments, applied in order after the cut. They keep
            size and depth. Without "p", a transform's own probability holds (mostly 0.5).
        channels: Of the pictures.
        kind: Of the pictures: uint8 in 0..255, or float32 in [0, 1], which is how albumentations has its floats.

    Shrinking averages over areas, so nothing aliases; enlarging is bicubic.

    Raises:
        BadInput: sizes that do not fit together, an unknown transform or argument, or a value it does not take.
    """

    def __init__(
        self,
        load_size: int = 286,
        crop_size: int = 256,
        fit: Fit = "crop",
        flip: bool = True,
        declared: Declared | None = None,
        channels: int = 3,
        kind: Kind = "uint8",
    ):
        _check_sizes(load_size, crop_size, fit)
        self.load_size, self.crop_size = load_size, crop_size
        self.fit: Fit = fit
        self.flip, self.declared = flip, bool(declared)
        self._others: dict[str, Any] = {"declared": declared, "channels": channels, "kind": kind}
        extra = [make_transform(name, arguments) for name, arguments in (declared or {}).items()]
        self._declared = compose(extra)
        for transform in extra:
            _tried(transform, crop_size, channels, kind)

    def at_size(self, load_size: int, crop_size: int) -> "Augment":
        """Returns the same with other sizes. Raises BadInput, as when it is made."""
        return Augment(load_size, crop_size, self.fit, self.flip, **self._others)

    def __call__(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        """(H, W, C) -> (crop_size, crop_size, C) of the same kind, a pure function of the two arguments; it may be a
        view of the picture."""
        pixels = self.scaled(pixels)
        cut = random_window(seed, pixels.shape, self.crop_size, self.flip).of(pixels)
        if self._declared is None:
            return cut
        # One stream for all transforms. `set_random_seed` would give each its own copy of it, and then which pictures
        # are mirrored follows from where they are cut (correlation -0.86).
        self._declared.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return _three_axes(self._declared(image=cut.copy())["image"])  # a picture in memory must stay as it is

    def without_chance(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (crop_size, crop_size, C): the same scale, the middle, no chance. For looking at."""
        pixels = self.scaled(pixels)
        return center_window(pixels.shape, self.crop_size).of(pixels)

    def area(self, height: int, width: int) -> int:
        """How many pixels `scaled` makes of so many."""
        return math.prod(_scale((height, width), self.load_size, self.crop_size, self.fit))

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (H', W', C), the picture that is cut. One that has been scaled stays as it is."""
        return resize(pixels, *_scale(pixels.shape[:2], self.load_size, self.crop_size, self.fit))


class PairAugment:
    """Two pictures that show the same, pixel by pixel, on the same way: x stays what belongs to y.

    Where pixels lie changes for both sides alike: scale, cut, mirror and those declared transforms that move pixels. Of
    a label map every pixel keeps one of its labels (nearest neighbour). What else is declared, colour, noise, blanked
    parts, acts on x alone, as a target that is changed by chance teaches to change by chance; or, with `both`, on both
    by the same draws.

    Args:
        load_size, crop_size, fit, flip: As of `Augment`.
        declared: Further transforms, in order; those that move pixels come first.
        channels: Of x and of y; of a label map 1.
        kinds: Of x and of y, as of `Augment`.
        labels: Whether x is a map of labels, uint8 (H, W, 1).
        both: Whether what does not move pixels acts on y as well.
        make: What makes x of the changed y, where x has no pictures of its own; with `both` it is not changed again.

    Raises:
        BadInput: as `Augment`, and where colours are to change that a label map does not have.
    """

    def __init__(
        self,
        load_size: int = 286,
        crop_size: int = 256,
        fit: Fit = "crop",
        flip: bool = True,
        declared: Declared | None = None,
        channels: tuple[int, int] = (3, 3),
        kinds: tuple[Kind, Kind] = ("uint8", "uint8"),
        labels: bool = False,
        both: bool = False,
        make: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        _check_sizes(load_size, crop_size, fit)
        self.load_size, self.crop_size = load_size, crop_size
        self.fit: Fit = fit
        self.flip, self.labels, self.both, self.make = flip, labels, both, make
        extra = [make_transform(name, arguments) for name, arguments in (declared or {}).items()]
        moves = [transform for transform in extra if _moves_pixels(transform)]
        colours = [transform for transform in extra if not _moves_pixels(transform)]
        if labels and colours and not both:
            raise BadInput(
                f"augment: {type(colours[0]).__name__} would change labels, which have no colour: leave it out, or with"
                " --augment_y true let it change y"
            )
        tried = {"x": (() if labels or (make and both) else colours) if make or labels else extra}
        tried["y"] = extra if both else moves
        for side, channel, kind in zip("xy", channels, kinds, strict=True):
            for transform in tried[side]:
                _tried(transform, crop_size, channel, kind)
        other = {"x": "mask" if labels else "image"}
        self._moved, self._coloured = compose(moves, other), compose(colours)

    def __call__(self, x: np.ndarray | None, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, C) each, of one size -> (crop_size, crop_size, C) each, a pure function of the three arguments."""
        x, y = self.scaled(x, y)
        where = random_window(seed, y.shape, self.crop_size, self.flip)
        x, y = None if x is None else where.of(x), where.of(y)
        if self._moved is not None:
            self._moved.set_random_state(np.random.default_rng(seed), random.Random(seed))
            both: dict[str, Any] = {"image": y.copy()} if x is None else {"image": y.copy(), "x": x.copy()}
            moved = {name: _three_axes(pixels) for name, pixels in self._moved(**both).items()}
            x, y = moved.get("x"), moved["image"]
        if self.both:
            y = self._changed(y, seed)
        if self.make is not None:
            x = self.make(y)
        assert x is not None
        changes = not self.labels and not (self.make and self.both)
        return (self._changed(x, seed) if changes else x), y

    def _changed(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        """The declared transforms that move no pixel, by the same draws for the same seed."""
        if self._coloured is None:
            return pixels
        self._coloured.set_random_state(np.random.default_rng(seed ^ 1), random.Random(seed ^ 1))
        return _three_axes(self._coloured(image=pixels.copy())["image"])

    def without_chance(self, x: np.ndarray | None, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same scale, the middle, no chance. For looking at."""
        x, y = self.scaled(x, y)
        where = center_window(y.shape, self.crop_size)
        x, y = None if x is None else where.of(x), where.of(y)
        x = self.make(y) if self.make else x
        assert x is not None
        return x, y

    def area(self, height: int, width: int) -> int:
        """How many pixels `scaled` makes of so many."""
        return math.prod(_scale((height, width), self.load_size, self.crop_size, self.fit))

    def scaled(self, x: np.ndarray | None, y: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """(H, W, C) each, of one size -> (H', W', C) each, those that are cut. What has been scaled stays as it is."""
        size = _scale(y.shape[:2], self.load_size, self.crop_size, self.fit)
        if x is not None:
            x = resize_labels(x, *size) if self.labels else resize(x, *size)
        return x, resize(y, *size)


def compose(transforms: Sequence[Any], alike: dict[str, str] | None = None) -> "albumentations.Compose | None":
    """The transforms one after the other, also on what is `alike` (name -> kind); None where there are none."""
    if not transforms:
        return None
    import albumentations

    return albumentations.Compose(list(transforms), additional_targets=alike)


def _moves_pixels(transform: "albumentations.BasicTransform") -> bool:
    """Whether it changes where pixels lie. Of those that albumentations gives to masks too, dropouts and overlays do
    not, nor does morphology, which lets bright parts grow."""
    import albumentations

    return type(transform).__module__.startswith(GEOMETRIC_MODULES) and not isinstance(
        transform, albumentations.Morphological
    )


def scaled_load_size(load_size: int, crop_size: int, new_crop_size: int) -> int:
    """Returns the load_size that has to another crop_size the ratio it has now: the same part of a picture is cut
    out."""
    return max(new_crop_size, round(load_size * new_crop_size / crop_size))


def _check_sizes(load_size: int, crop_size: int, fit: Fit) -> None:
    if crop_size < 1:
        raise BadInput(f"crop_size {crop_size}: must be at least 1")
    if max(crop_size, load_size) > LARGEST_SIDE:
        raise BadInput(f"crop_size {crop_size}, load_size {load_size}: no more than {LARGEST_SIDE} pixels a side")
    if fit != "none" and load_size < crop_size:
        raise BadInput(f"load_size {load_size} is smaller than crop_size {crop_size}: raise it or lower crop_size")


def _scale(size: tuple[int, ...], load_size: int, crop_size: int, fit: Fit) -> tuple[int, int]:
    """(height, width) of a picture -> those that it is scaled to before the cut."""
    height, width = size
    shorter, longer = sorted((height, width))
    if fit == "squash":
        return load_size, load_size
    if longer > LARGEST_RATIO * shorter:
        raise BadInput(f"{width} x {height} pixels are too thin to cut a square from: leave it out or --fit squash")
    target = load_size if fit == "crop" else max(shorter, crop_size)
    return round(height * target / shorter), round(width * target / shorter)


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 1) -> (height, width, 1): every pixel takes the label that lies at its middle."""
    if (height, width) == labels.shape[:2]:
        return labels
    return _three_axes(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))


def make_transform(name: str, arguments: Mapping[str, Value]) -> "albumentations.BasicTransform":
    """The transform of a declaration, its name and arguments checked: albumentations only warns of a misspelt one."""
    known = transforms()
    if name not in known:
        raise BadInput(f"augment: albumentations has no transform {name!r}{similar_name_hint(name, known)}")
    takes = [argument for argument in inspect.signature(known[name]).parameters if argument != "strict"]
    for argument in arguments:
        if argument not in takes:
            guess = similar_name_hint(argument, takes)
            raise BadInput(f"augment: {name} has no argument {argument!r}{guess} (it takes {', '.join(takes)})")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return known[name](**values)
    except Exception as error:
        raise BadInput(f"augment: {name}: {_reason(error)}") from error


def _tried(transform: "albumentations.BasicTransform", size: int, channels: int, kind: str) -> None:
    """Runs a transform once, so that what cannot work fails before training."""
    name = type(transform).__name__
    white = 255 if kind == "uint8" else 1
    ramp = np.linspace(0, white, size * size * channels).astype(kind).reshape(size, size, channels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what only warns now would warn at every picture
            result = _three_axes(transform(image=ramp, force_apply=True)["image"])
    except Exception as error:
        what = f"{ramp.shape}" if kind == "uint8" else f"{kind} {ramp.shape}"
        raise BadInput(f"augment: {name} does not work on pictures of {what}: {_reason(error)}") from error
    if result.shape != ramp.shape or result.dtype != ramp.dtype:
        raise BadInput(
            f"augment: {name} makes {result.dtype} {result.shape} of {kind} {ramp.shape}: leave it out, as transforms"
            " keep both; sizes and channels have options of their own"
        )
    if kind == "float32" and not (result.min() >= 0 and result.max() <= 1):
        raise BadInput(f"augment: {name} makes {result.min():.3g} to {result.max():.3g} of [0, 1]: leave it out")


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shrinks first, by areas, then enlarges: OpenCV's one call would alias where it is to do both."""
    for interpolation, pick in ((cv2.INTER_AREA, min), (cv2.INTER_CUBIC, max)):
        size = pick(height, pixels.shape[0]), pick(width, pixels.shape[1])
        if size != pixels.shape[:2]:
            # Of more than 4 channels OpenCV 5 refuses to average over areas.
            parts = [pixels[..., first : first + 4] for first in range(0, pixels.shape[2], 4)]
            parts = [np.ascontiguousarray(part) for part in parts] if len(parts) > 1 else [pixels]
            parts = [_three_axes(cv2.resize(part, size[::-1], interpolation=interpolation)) for part in parts]
            pixels = np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]
            if pixels.dtype == np.float32:  # as bytes are by themselves: bicubic overshoots
                pixels = np.clip(pixels, 0, 1, out=pixels)
    return pixels


def _three_axes(pixels: np.ndarray) -> np.ndarray:
    """OpenCV drops a channel axis of 1."""
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _reason(error: Exception) -> str:
    """One line of an error; of pydantic's many, the first argument it complains of."""
    from pydantic import ValidationError

    cause = error.__cause__
    if isinstance(cause, ValidationError):
        first = cause.errors()[0]
        return f"{'.'.join(map(str, first['loc'][:1]))}: {first['msg']}, not {first['input']!r}"
    return one_line(error, None) or type(error).__name__


def similar_name_hint(word: str, known: Iterable[str]) -> str:
    """Returns ": did you mean ...?", or "" where no known word is near: there are a hundred transforms."""
    close = nearest(word, known)
    return f": did you mean {close}?" if close else ""
