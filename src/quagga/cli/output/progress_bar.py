"""The progress of a long piece of work: a bar on a terminal; elsewhere a line every 30 seconds."""

import sys
from time import perf_counter

from tqdm import tqdm

LINE_INTERVAL = 30.0  # seconds between two lines where stderr is no terminal
BAR = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}<{remaining}, {rate_fmt}]"


class Progress:
    """Shows on stderr how many of a number of items are done, and leaves nothing behind on a terminal.

    >>> with Progress(len(photos), "picture") as progress:
    ...     for done, photo in enumerate(photos, start=1):
    ...         translate(photo)
    ...         progress.reach(done)

    Args:
        total: Number of items.
        unit: What one item is called, such as "picture".
    """

    def __init__(self, total: int, unit: str):
        self.total, self.items = total, unit if total == 1 else f"{unit}s"
        self.start = self.last_line = perf_counter()
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
        """Shows that so many items are done: 2.5 are two items and half of the third."""
        self.bar.set_description_str(self._done(done), refresh=False)
        self.bar.update(done - self.bar.n)
        now = perf_counter()
        if self.bar.disable and now - self.last_line >= LINE_INTERVAL and 0 < done < self.total:
            self.last_line = now
            left = tqdm.format_interval((now - self.start) * (self.total / done - 1))
            self.print_line(f"{self._done(done)}, {done / self.total:.0%}, {left} left")

    def print_line(self, line: str) -> None:
        """Prints a line on stderr, above the bar."""
        tqdm.write(line, file=sys.stderr)

    def _done(self, done: float) -> str:
        return f"{int(done):,} of {self.total:,} {self.items}"
