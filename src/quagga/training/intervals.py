"""Decides when a run pauses: to examine held-out pictures, to draw strips of them, to save.

An interval that the user states in images is obeyed. Every other interval adapts to what was measured: a pause comes
once the training steps so far have earned it, at TIME_SHARES of their time. All pauses together then take less than 5 %
of a run, however fast the machine is and whatever a pause costs. Three things come at any price: a point of the
held-out curves at the end of each eighth of the run (with `keep_best` also a checkpoint), and strips and a checkpoint
at its end. Only these can exceed the 5 %, in a run that is too short to earn them.

What depends on the images seen, every process computes for itself. What depends on the clock, the main process decides
and tells the others. No pause changes the training: weights, rows and the training's own curves do not depend on when
pauses come.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from quagga.training.run_options import RunOptions

TIME_SHARES = {"examine": 0.02, "strips": 0.02, "save": 0.01}  # seconds of pauses per second of training steps
MIN_POINTS = 8  # of each held-out curve, in a run of at least as many steps
# Strips, and points of the held-out curves, in a run that can afford any number; some more at its start.
MAX_POINTS = 100
MIN_SAVE_SECONDS = 600.0  # seconds of steps between two checkpoints, at least
MAX_UNSAVED_SECONDS = 1800.0  # seconds of steps after which a checkpoint may use the time that other pauses have left
# Key in a checkpoint -> attribute of `Pause`.
STATE_KEYS = {"spent": "seconds", "costs": "recent_costs", "images": "images_seen", "played": "train_seconds"}


class Due(NamedTuple):
    """The pauses that are due after a step."""

    log: bool = False  # a point of every curve of the training
    examine: bool = False
    strips: bool = False
    save: bool = False

    def __or__(self, other: "Due") -> "Due":
        return Due(*(one or another for one, another in zip(self, other, strict=True)))

    @property
    def bits(self) -> int:
        """All fields as one number, to be sent to other processes."""
        return sum(flag << place for place, flag in enumerate(self))

    @staticmethod
    def from_bits(bits: int) -> "Due":
        """Returns the value whose `bits` are given."""
        return Due(*(bool(bits >> place & 1) for place in range(len(Due._fields))))


@dataclass
class Pause:
    """One kind of pause, and the time it has taken.

    Args:
        share: seconds of this pause that one second of steps earns.
        every: images between two pauses, as stated by the user; None: as often as the run can afford.
        seconds: seconds taken so far.
        recent_costs: seconds of the last three pauses.
        images_seen: at the last pause.
        train_seconds: seconds of steps at the last pause.
    """

    share: float
    every: int | None
    seconds: float = 0.0
    recent_costs: list[float] = field(default_factory=list)
    images_seen: int = 0
    train_seconds: float = 0.0

    @property
    def expected_cost(self) -> float:
        """Seconds that the next pause will take: the median of the last three, since one may meet a busy disk."""
        return median(self.recent_costs) if self.recent_costs else 0.0

    def reserve(self, count: int, total_seconds: float) -> float:
        """Returns the seconds to keep back for `count` more pauses in a run of `total_seconds` of steps: the whole
        share until one pause has been measured."""
        return count * self.expected_cost if self.recent_costs else self.share * total_seconds

    def is_earned(self, cost: float, train_seconds: float, seconds_left: float) -> bool:
        """Returns whether the steps so far pay for one more pause of `cost` seconds, and the steps of the next
        `seconds_left` seconds, after which a pause must come anyway, pay for that one."""
        return self.seconds + cost <= self.share * train_seconds and cost <= self.share * seconds_left


class Intervals:
    """Decides when one run pauses.

    Args:
        options: the intervals that the user states, and how many held-out pictures are examined.
        minibatch: images of a step, over all processes.
        length: images of the run.
    """

    def __init__(self, options: RunOptions, minibatch: int, length: int):
        self.minibatch, self.length = minibatch, length
        self.log_every = options.log_every or min(max(100, 10 * minibatch), max(1, length // MIN_POINTS))
        self.examined, self.samples = options.examined, options.samples
        self.compares_checkpoints = options.keep_best is not None  # so there must be several
        every = {"examine": options.sample_every, "strips": options.sample_every, "save": options.save_every}
        self.pauses = {kind: Pause(share, every[kind]) for kind, share in TIME_SHARES.items()}
        self.adaptive = {kind: pause for kind, pause in self.pauses.items() if pause.every is None}
        if not self.examined:
            self.adaptive.pop("examine", None)
        self.next_strips = 0  # images at which strips are due, where the user states the interval

    def due_by_images(self, seen: int) -> Due:
        """Returns what the images seen decide: the same on every process, and wherever the run was stopped before."""

        def is_due(every: int) -> bool:
            return seen // every > (seen - self.minibatch) // every or seen >= self.length

        sample_every, save_every = self.pauses["strips"].every, self.pauses["save"].every
        at_end = seen >= self.length
        at_eighth = at_end or MIN_POINTS * seen // self.length > MIN_POINTS * (seen - self.minibatch) // self.length
        examine = bool(self.examined) and (at_eighth if sample_every is None else is_due(sample_every))
        strips = at_end if sample_every is None else self._strips_due(sample_every, seen)
        save = (at_eighth if self.compares_checkpoints else at_end) if save_every is None else is_due(save_every)
        return Due(is_due(self.log_every) or examine or strips or save, examine, strips, save)

    def _strips_due(self, sample_every: int, seen: int) -> bool:
        """Returns whether strips are due: often at first, with the distance growing by a quarter of the images seen."""
        while self.next_strips <= seen - self.minibatch:
            self.next_strips += min(sample_every, max(self.log_every, self.next_strips // 4))
        return self.next_strips <= seen or seen >= self.length

    def due_by_clock(self, seen: int, train_seconds: float, images_per_second: float | None, due: Due) -> Due:
        """Returns what the run can afford after so many images and seconds of steps. Only the main process calls it.

        Args:
            seen: images seen.
            train_seconds: seconds of steps so far.
            images_per_second: of steps; None: not known yet, and then nothing is due.
            due: what `due_by_images` has decided. Held-out pictures are examined only where that makes a point of the
                curves, so that the curves of the training have the same points in every run; saving needs no point.
        """
        examine, strips, save = self.pauses["examine"], self.pauses["strips"], self.pauses["save"]
        may_look, unsaved = "strips" in self.adaptive and due.log, train_seconds - save.train_seconds
        may_save = "save" in self.adaptive and not due.save and unsaved >= MIN_SAVE_SECONDS
        if not images_per_second or not (may_look or may_save):
            return Due()
        seconds_left = (self.length - seen) / images_per_second
        eighths = MIN_POINTS * seen // self.length  # that have ended
        until_eighth = max(0.0, ((eighths + 1) * self.length / MIN_POINTS - seen) / images_per_second)
        share, count = sum(pause.share for pause in self.adaptive.values()), MIN_POINTS - eighths
        # How many pauses still come at any price.
        counts = {"examine": count, "strips": 1, "save": count if self.compares_checkpoints else 1}
        total_seconds = train_seconds + seconds_left
        reserved = sum(pause.reserve(counts[kind], total_seconds) for kind, pause in self.adaptive.items())
        spent = sum(pause.seconds + pause.expected_cost * getattr(due, kind) for kind, pause in self.adaptive.items())

        def all_pay_for(cost: float) -> bool:
            """Whether what all kinds together have earned pays for a pause of so many seconds."""
            return spent + cost <= share * train_seconds and spent + cost + reserved <= share * total_seconds

        examine_now = strips_now = save_now = False
        if may_look and self.examined and not due.examine and self._is_wanted(examine, seen):
            # Before the first measurement: the cost of strips, in proportion to the number of pictures.
            cost = (
                examine.expected_cost if examine.recent_costs else strips.expected_cost * self.examined / self.samples
            )
            examine_now = all_pay_for(cost) and examine.is_earned(cost, train_seconds, until_eighth)
            spent += cost * examine_now
        if may_look and not due.strips and self._is_wanted(strips, seen):
            # The first strips, for which every user waits, may use what the other kinds have earned.
            cost = strips.expected_cost
            earned = not strips.images_seen or strips.is_earned(cost, train_seconds, seconds_left)
            strips_now = all_pay_for(cost) and earned
            spent += cost * strips_now
        if may_save:
            cost = save.expected_cost
            earned = unsaved >= MAX_UNSAVED_SECONDS or save.is_earned(cost, train_seconds, seconds_left)
            save_now = all_pay_for(cost) and earned
        return Due(examine=examine_now, strips=strips_now, save=save_now)

    def _is_wanted(self, pause: Pause, seen: int) -> bool:
        """Returns whether enough images have passed: a quarter more each time, up to the MAX_POINTS-th part of the
        run."""
        return seen - pause.images_seen >= min(seen / 4, self.length / MAX_POINTS)

    def begin_pause(self, kind: str, seen: int, train_seconds: float) -> None:
        """Notes that a pause begins after so many images and seconds of steps."""
        self.pauses[kind].images_seen, self.pauses[kind].train_seconds = seen, train_seconds

    def end_pause(self, kind: str, seconds: float) -> None:
        """Notes that the pause has taken so many seconds."""
        pause = self.pauses[kind]
        pause.seconds, pause.recent_costs = pause.seconds + seconds, [*pause.recent_costs, seconds][-3:]

    def rewind(self, seen: int) -> None:
        """Notes that the run went back to where it had seen so many images."""
        self.next_strips = 0
        for pause in self.pauses.values():
            pause.images_seen = min(pause.images_seen, seen)

    def next_save_text(self) -> str:
        """Returns when the next checkpoint will be tried, in words."""
        every = self.pauses["save"].every
        return f"in {MIN_SAVE_SECONDS / 60:.0f} minutes" if every is None else f"after {every:,} images"

    def stated_options(self) -> dict[str, int]:
        """Returns the options in which the user states an interval -> images."""
        every = {"--sample_every": self.pauses["strips"].every, "--save_every": self.pauses["save"].every}
        return {name: images for name, images in every.items() if images is not None}

    def stated_seconds(self) -> float:
        """Returns the seconds taken by pauses whose interval the user states."""
        return sum(pause.seconds for pause in self.pauses.values() if pause.every is not None)

    def state_dict(self, train_seconds: float) -> dict[str, Any]:
        """Returns what a resumed run must know, after so many seconds of steps."""
        pauses = {
            kind: {key: getattr(pause, name) for key, name in STATE_KEYS.items()} for kind, pause in self.pauses.items()
        }
        return {"played": train_seconds, "pauses": pauses}

    def load_state_dict(self, state: Mapping[str, Any]) -> float:
        """Loads a `state_dict`, or {} from a checkpoint without one, and returns the seconds of steps."""
        for kind, stored in state.get("pauses", {}).items():
            vars(self.pauses[kind]).update({STATE_KEYS[key]: value for key, value in stored.items()})
        return state.get("played", 0.0)
