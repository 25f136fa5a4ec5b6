"""How far a long piece of work has come: a bar on a terminal; elsewhere a line now and then."""

import sys
from time import perf_counter

from tqdm import tqdm

EVERY = 30.0  # seconds between two lines where stderr is no terminal
BAR = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}<{remaining}, {rate_fmt}]"


class Progress:
    """Tells on stderr how much of a number of things is done, and leaves nothing behind on a terminal.

    >>> with Progress(len(photos), "picture") as progress:
    ...     for done, photo in enumerate(photos, start=1):
    ...         translate(photo)
    ...         progress.reach(done)

    Args:
        total: Things to be done.
        unit: What one of them is called.
    """

    def __init__(self, total: int, unit: str):
        self.total, self.things = total, unit if total == 1 else f"{unit}s"
        self.begun = self.told = perf_counter()
        self.bar = tqdm(
            total=total,
            desc=self._done(0),
            unit=unit,
            bar_format=BAR,
            dynamic_ncols=True,
            smoothing=0,  # the mean speed: pictures differ in size
            leave=False,
            disable=None,  # where stderr is no terminal
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def reach(self, done: float) -> None:
        """So much is done: 2.5 are two things and half of the third."""
        self.bar.set_description_str(self._done(done), refresh=False)
        self.bar.update(done - self.bar.n)
        now = perf_counter()
        if self.bar.disable and now - self.told >= EVERY and 0 < done < self.total:
            self.told = now
            left = tqdm.format_interval((now - self.begun) * (self.total / done - 1))
            self.say(f"{self._done(done)}, {done / self.total:.0%}, {left} left")

    def say(self, line: str) -> None:
        """Prints a line on stderr, above the bar."""
        tqdm.write(line, file=sys.stderr)

    def _done(self, done: float) -> str:
        return f"{int(done):,} of {self.total:,} {self.things}"
