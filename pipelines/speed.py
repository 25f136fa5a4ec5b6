"""How fast a run plays, and how long it will take."""

from collections.abc import Mapping
from typing import Any

from quagga.pipelines.plan import duration, sizes_for

FIRST = 2  # steps that do not count: networks are compiled, memory is taken, algorithms are tried
SETTLED = 10.0  # seconds of steps after those, from which on the speed is worth a word
WINDOW = 30.0  # seconds of steps over which it is taken, at least, once there are as many; at most twice that
LONG = 43_200.0  # seconds of a run on a CPU from which on a shorter one is named
SHORT = 1800.0  # seconds of that one
SMALL = 64  # pixels of its pictures, if they are larger
FEWEST = 100  # images of which something can be seen


class Speed:
    """Images a second of a run's steps, of late."""

    def __init__(self):
        self.steps, self.said = 0, False
        self.from_, self.next, self.now = (0, 0.0), (0, 0.0), (0, 0.0)  # images seen, seconds of steps

    def note(self, seen: int, played: float) -> None:
        """A step has ended, after so many images and seconds of steps."""
        self.steps, self.now = self.steps + 1, (seen, played)
        if self.steps <= FIRST or seen < self.next[0]:  # the run went back
            self.from_ = self.next = self.now
        elif played - self.next[1] >= WINDOW:
            self.from_, self.next = self.next, self.now

    @property
    def per_second(self) -> float | None:
        """Images a second; None: not known yet."""
        images, seconds = self.now[0] - self.from_[0], self.now[1] - self.from_[1]
        return images / seconds if images > 0 and seconds > 0 else None

    def settled(self) -> float | None:
        """`per_second`, once: when it is first worth a word."""
        if self.said or self.steps <= FIRST or self.now[1] - self.from_[1] < SETTLED:
            return None
        self.said = True
        return self.per_second


def estimate(
    per_second: float, seen: int, length: int, config: Mapping[str, Any], device: str, processes: int, begins: bool
) -> str:
    """How long a run takes at this speed; where that is days of a CPU, also what can be seen in half an hour.

    Args:
        per_second: images a second.
        seen: images so far.
        length: images of the run.
        config: all options.
        device: torch's kind of it.
        processes: how many play.
        begins: whether the run has begun with this start; else it goes on, and only the rest is reckoned.
    """
    name = next((name for name in ("crop_size", "size") if config.get(name)), None)
    pixels = f" at {config[name]} pixels" if name else ""
    place = f"{processes} x {device}" if processes > 1 else "this CPU" if device == "cpu" else "this GPU"
    seconds = (length if begins else length - seen) / per_second
    what = "the whole run" if begins else "what is left"
    line = f"at this speed ({per_second:.3g} images/s{pixels} on {place}) {what} takes about {duration(seconds)}"
    if device != "cpu" or not begins or seconds < LONG:
        return line
    own = config[name] if name else SMALL
    size = min(own, SMALL)
    images = round(per_second * (own / size) ** 2 * SHORT)  # a step takes as long as it has pixels
    images = round(images, 2 - len(str(images)))
    if images < FEWEST:
        return line
    shorter = {**(sizes_for(size, own, name, config) if name else {}), "images": images}
    typed = " ".join(f"--{option} {value}" for option, value in shorter.items())
    return f"{line}. With {typed}, and another --output, it takes about half an hour"
