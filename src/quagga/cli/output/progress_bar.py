"""The progress of a long piece of work: a bar on a terminal; elsewhere a line every 30 seconds. And one file after the
other beside it: one that cannot be used is named and left out, and the others are done."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from quagga.cli.output.output_files import left_out
from quagga.errors import BadInput

Item = TypeVar("Item")

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


class Outcome(NamedTuple):
    """How many files were done, and how many left out, in how many seconds."""

    done: int
    failed: int
    seconds: float

    @property
    def speed(self) -> float:
        """Files a second."""
        return self.done / self.seconds

    def exit_code(self, problem: str) -> int:
        """Prints on stderr how many were left out, such as "pictures could not be read". Returns 0, or 2 if any was."""
        if self.failed:
            total = self.done + self.failed
            print(f"quagga: error: {self.failed} of {total} {problem}, see above", file=sys.stderr)
        return 2 if self.failed else 0


def for_each_file(items: Sequence[Item], source: Callable[[Item], Path], use: Callable[[Item], object]) -> Outcome:
    """Uses one item after the other, beside a progress bar.

    Args:
        items: what is to be done.
        source: returns the file of an item, for the line that says why it was left out.
        use: does it; an item for which it raises BadInput is left out.
    """
    failed, start = 0, perf_counter()
    with Progress(len(items), "picture") as progress:
        for number, item in enumerate(items):
            progress.reach(number)
            try:
                use(item)
            except BadInput as error:
                failed += 1
                progress.print_line(left_out(source(item), error))
    return Outcome(len(items) - failed, failed, perf_counter() - start)
