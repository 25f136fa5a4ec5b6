"""What a diagnosis is read of: a run's curves by images seen, and its options; and what it says."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PATIENCE_STEPS = 150  # steps for which a fault must have lasted, before it is said
PATIENCE_SHARE = 0.1  # of the images seen: in a long run it must have lasted longer
OPENING_STEPS, OPENING_SHARE = (
    150,
    0.05,
)  # steps at the start, or share of the images seen, in which every game looks broken
MIN_POINTS = 3  # of a curve, on which a verdict rests
MENDING, MENDING_FLOOR = 0.2, 0.02  # rise within a stretch, as a share and beside it, with which a curve mends
MIN_SHARE_HELD = 0.8  # of these points, that must show the fault: one odd minibatch breaks no verdict


class Point(NamedTuple):
    """A point of a curve."""

    images: int  # seen
    value: float


@dataclass(frozen=True)
class Diagnosis:
    """One fault of a run.

    Args:
        name: of the fault, as in docs/diagnoses.md.
        proven: whether benchmarks/diagnoses.py measures how often it is found and how often falsely; else a hint.
        since: images seen at the first point that shows it without a break.
        evidence: what was read, with figures.
        remedies: options of this run's pipeline, to be typed.
    """

    name: str
    proven: bool
    since: int
    evidence: str
    remedies: tuple[str, ...] = ()

    def line(self) -> str:
        """Returns all of it in one line."""
        kind = "diagnosis" if self.proven else "hint"
        tries = f"; try {' or '.join(self.remedies)}" if self.remedies else ""
        return f"{kind}: {self.name}, since {self.since:,} images: {self.evidence}{tries} (docs/diagnoses.md)"


@dataclass
class Readings:
    """A run's curves, and the options with which it was begun.

    Args:
        config: option -> value, of the run.
        minibatch: images of a step, over all processes and micro-batches.
        curves: name -> points by images seen, ascending. Figures of strips are curves too: strips/TITLE/FIGURE.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    minibatch: int = 1
    curves: dict[str, list[Point]] = field(default_factory=dict)

    def add(self, images: int, values: Mapping[str, float]) -> None:
        """Adds a point to each of the curves named; one at the same number of images takes the place of the old."""
        for name, value in values.items():
            curve = self.curves.setdefault(name, [])
            if curve and curve[-1].images >= images:
                del curve[_first_at_least(curve, images) :]
            curve.append(Point(images, float(value)))

    def rewind(self, images: int) -> None:
        """Takes back what was read after so many images."""
        for curve in self.curves.values():
            del curve[_first_at_least(curve, images + 1) :]

    def named(self, end: str, begin: str = "") -> Iterator[tuple[str, list[Point]]]:
        """Yields what stands between `begin` and `end` in the names of curves that have both, and the curve."""
        for name, curve in self.curves.items():
            if name.startswith(begin) and name.endswith(end) and curve:
                yield name[len(begin) : len(name) - len(end)], curve

    def opening(self, images: int) -> float:
        """Returns how many images at the start of a run count for nothing, when it has seen so many."""
        return max(OPENING_STEPS * self.minibatch, OPENING_SHARE * images)

    def stretch(self, curve: Sequence[Point]) -> list[Point]:
        """Returns the newest points on which a verdict rests: three or more that together last for the patience, after
        the opening; [] if there are not so many yet."""
        if not curve:
            return []
        end = curve[-1].images
        patience = max(PATIENCE_STEPS * self.minibatch, PATIENCE_SHARE * end)
        newest: list[Point] = []
        for point in reversed(curve):
            if point.images < self.opening(end):
                return []
            newest.append(point)
            if len(newest) >= MIN_POINTS and end - point.images >= patience:
                return newest[::-1]
        return []

    def lasting(
        self, curve: Sequence[Point], shows: Callable[[float], bool], may_mend: bool = False
    ) -> tuple[int, float] | None:
        """Returns since how many images a curve shows a fault, and its mean value of late; None: it does not, or not
        for long enough. The mean and four of five points of the stretch must show it, and so must the newest.

        Args:
            curve: by images seen.
            shows: whether a value shows the fault.
            may_mend: whether a curve that rises is on its way out of the fault, so that nothing is said while it does.
        """
        stretch = self.stretch(curve)
        if not stretch:
            return None
        first, newest = stretch[0].value, stretch[-1].value
        if may_mend and newest > first + MENDING * abs(first) + MENDING_FLOOR:
            return None
        mean = sum(point.value for point in stretch) / len(stretch)
        held = sum(shows(point.value) for point in stretch)
        if not (shows(mean) and shows(stretch[-1].value) and held >= MIN_SHARE_HELD * len(stretch)):
            return None
        since = next((point.images for point in stretch if shows(point.value)), stretch[0].images)
        for point in reversed([point for point in curve if point.images < since]):
            if not shows(point.value) or point.images < self.opening(curve[-1].images):
                break
            since = point.images
        return since, mean

    def remedies(self, *options: tuple[str, object]) -> tuple[str, ...]:
        """Returns those of the options that this run has and has set otherwise, as they are typed, two at most."""
        typed = [f"--{name} {value}" for name, value in options if name in self.config and self.config[name] != value]
        return tuple(typed[:2])


def _first_at_least(curve: Sequence[Point], images: int) -> int:
    """Returns the index of the first point at `images` or later; the curve's length if there is none."""
    index = len(curve)
    while index and curve[index - 1].images >= images:
        index -= 1
    return index
