"""When a run pauses: to examine held-out pictures, to draw strips of them, to save.

An interval that the user states in images is obeyed. Any other follows what was measured: a pause comes once the steps
played so far have earned it, at SHARES of their time. All pauses together then take less than 5 % of a run, however
fast the machine is and whatever a pause costs. Three things come at any price: a point of the held-out curves at the
end of each eighth of the run (with `keep_best` also a checkpoint), and strips and a checkpoint at its end. They alone
exceed the 5 %, in a run that is too short to earn them.

What the images seen decide, every process knows. What the clock decides, the main process decides and tells the others.
No pause changes what is trained: weights, rows and the training's own curves do not depend on when pauses come.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from quagga.pipelines.run_options import RunOptions

SHARES = {"examine": 0.02, "strips": 0.02, "save": 0.01}  # seconds of pauses for a second of steps
POINTS = 8  # of each held-out curve, at least, in a run of as many steps
LOOKS = 100  # strips, and points of the held-out curves, in a run that can afford any number; some more at its start
SAVING = 600.0  # seconds of steps between two checkpoints, at least
LOSS = 1800.0  # seconds of steps without a checkpoint after which it may take what the other pauses have left


class Due(NamedTuple):
    """What comes after a step."""

    log: bool = False  # a point of every curve of the training
    examine: bool = False
    strips: bool = False
    save: bool = False

    def __or__(self, other: "Due") -> "Due":
        return Due(*(one or another for one, another in zip(self, other, strict=True)))

    @property
    def number(self) -> int:
        """All of it as one number, for processes to tell each other."""
        return sum(one << place for place, one in enumerate(self))

    @staticmethod
    def of(number: int) -> "Due":
        """What `number` was made of."""
        return Due(*(bool(number >> place & 1) for place in range(len(Due._fields))))


@dataclass
class Pause:
    """One kind of pause, and what it has taken.

    Args:
        share: seconds of it that a second of steps earns.
        every: images from one to the next, stated by the user; None: as the run can afford.
        spent: seconds taken so far.
        costs: seconds of the last three.
        images: seen at the last one.
        played: seconds of steps at the last one.
    """

    share: float
    every: int | None
    spent: float = 0.0
    costs: list[float] = field(default_factory=list)
    images: int = 0
    played: float = 0.0

    @property
    def cost(self) -> float:
        """Seconds that the next one will take: the median of the last three, as one may meet a busy disk."""
        return median(self.costs) if self.costs else 0.0

    def to_come(self, count: int, whole: float) -> float:
        """Seconds to be kept for `count` more in a run of so many seconds of steps: all that it earns until one is
        measured."""
        return count * self.cost if self.costs else self.share * whole

    def earned(self, cost: float, played: float, left: float) -> bool:
        """Whether the steps played so far pay for one more of so many seconds, and the steps before the next one that
        must come pay for that: both in seconds."""
        return self.spent + cost <= self.share * played and cost <= self.share * left


class Intervals:
    """When one run pauses.

    Args:
        options: the intervals that the user states, and how many held-out pictures are looked at.
        minibatch: images of a step, over all processes.
        length: images of the run.
    """

    def __init__(self, options: RunOptions, minibatch: int, length: int):
        self.step, self.length = minibatch, length
        self.log_every = options.log_every or min(max(100, 10 * minibatch), max(1, length // POINTS))
        self.examined, self.samples = options.examined, options.samples
        self.judged = options.keep_best is not None  # checkpoints are compared: there must be some
        every = {"examine": options.sample_every, "strips": options.sample_every, "save": options.save_every}
        self.pauses = {kind: Pause(share, every[kind]) for kind, share in SHARES.items()}
        self.own = {kind: pause for kind, pause in self.pauses.items() if pause.every is None}
        if not self.examined:
            self.own.pop("examine", None)
        self.moment = 0  # of the next strips, where the user states the interval

    def by_images(self, seen: int) -> Due:
        """What the images seen decide: the same on every process, and wherever the run was stopped before."""

        def due(every: int) -> bool:
            return seen // every > (seen - self.step) // every or seen >= self.length

        sample, save = self.pauses["strips"].every, self.pauses["save"].every
        end = seen >= self.length
        eighth = end or POINTS * seen // self.length > POINTS * (seen - self.step) // self.length
        examine = bool(self.examined) and (eighth if sample is None else due(sample))
        strips = end if sample is None else self._strips_due(sample, seen)
        saving = (eighth if self.judged else end) if save is None else due(save)
        return Due(due(self.log_every) or examine or strips or saving, examine, strips, saving)

    def _strips_due(self, sample: int, seen: int) -> bool:
        """Often at first: a quarter more images each time."""
        while self.moment <= seen - self.step:
            self.moment += min(sample, max(self.log_every, self.moment // 4))
        return self.moment <= seen or seen >= self.length

    def by_clock(self, seen: int, played: float, per_second: float | None, due: Due) -> Due:
        """What the run can afford after so many images and so many seconds of steps. For the main process.

        Args:
            per_second: images a second of steps; None: not known yet, when nothing is due.
            due: what `by_images` has decided. Held-out pictures are looked at where that makes a point of the curves,
                so that the curves of the training have the same points in every run; saving needs none.
        """
        examine, strips, save = self.pauses["examine"], self.pauses["strips"], self.pauses["save"]
        looking, unsaved = "strips" in self.own and due.log, played - save.played
        saving = "save" in self.own and not due.save and unsaved >= SAVING
        if not per_second or not (looking or saving):
            return Due()
        left = (self.length - seen) / per_second
        eighths = POINTS * seen // self.length  # that are over
        until = max(0.0, ((eighths + 1) * self.length / POINTS - seen) / per_second)  # the end of the next
        share, count = sum(pause.share for pause in self.own.values()), POINTS - eighths
        counts = {"examine": count, "strips": 1, "save": count if self.judged else 1}  # that come at any price
        to_come = sum(pause.to_come(counts[kind], played + left) for kind, pause in self.own.items())
        spent = sum(pause.spent + pause.cost * getattr(due, kind) for kind, pause in self.own.items())

        def shared(cost: float) -> bool:
            """Whether what all kinds together have earned pays for a pause of so many seconds."""
            return spent + cost <= share * played and spent + cost + to_come <= share * (played + left)

        examining = drawing = False
        if looking and self.examined and not due.examine and self._wanted(examine, seen):
            # Before the first point: as many times as dear as strips as it looks at more pictures.
            cost = examine.cost if examine.costs else strips.cost * self.examined / self.samples
            examining = shared(cost) and examine.earned(cost, played, until)
            spent += cost * examining
        if looking and not due.strips and self._wanted(strips, seen):
            # The first strips, which everybody waits for, may take what the other kinds have earned.
            drawing = shared(strips.cost) and (not strips.images or strips.earned(strips.cost, played, left))
            spent += strips.cost * drawing
        if saving:
            saving = shared(save.cost) and (unsaved >= LOSS or save.earned(save.cost, played, left))
        return Due(examine=examining, strips=drawing, save=saving)

    def _wanted(self, pause: Pause, seen: int) -> bool:
        """A quarter more images each time, up to LOOKS equal parts of the run."""
        return seen - pause.images >= min(seen / 4, self.length / LOOKS)

    def begin(self, kind: str, seen: int, played: float) -> None:
        """A pause begins after so many images and seconds of steps."""
        self.pauses[kind].images, self.pauses[kind].played = seen, played

    def end(self, kind: str, seconds: float) -> None:
        """It has taken so many seconds."""
        pause = self.pauses[kind]
        pause.spent, pause.costs = pause.spent + seconds, [*pause.costs, seconds][-3:]

    def rewind(self, seen: int) -> None:
        """The run goes back to where it had seen so many images."""
        self.moment = 0
        for pause in self.pauses.values():
            pause.images = min(pause.images, seen)

    def again(self) -> str:
        """When the next checkpoint will be tried, in words."""
        every = self.pauses["save"].every
        return f"in {SAVING / 60:.0f} minutes" if every is None else f"after {every:,} images"

    def stated(self) -> dict[str, int]:
        """The options in which the user states an interval -> images."""
        every = {"--sample_every": self.pauses["strips"].every, "--save_every": self.pauses["save"].every}
        return {name: images for name, images in every.items() if images is not None}

    def spent(self) -> float:
        """Seconds of the pauses whose interval the user states."""
        return sum(pause.spent for pause in self.pauses.values() if pause.every is not None)

    def state_dict(self, played: float) -> dict[str, Any]:
        """What a run that goes on must know, after so many seconds of steps."""
        names = ("spent", "costs", "images", "played")
        pauses = {kind: {name: getattr(pause, name) for name in names} for kind, pause in self.pauses.items()}
        return {"played": played, "pauses": pauses}

    def load_state_dict(self, state: Mapping[str, Any]) -> float:
        """Goes on from a `state_dict`, or from {}, of a checkpoint that has none; returns the seconds of steps."""
        for kind, known in state.get("pauses", {}).items():
            vars(self.pauses[kind]).update(known)
        return state.get("played", 0.0)
