"""One file after the other: one that cannot be used is named and left out, and the others are done."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, TypeVar

from quagga.cli.output.output_files import left_out
from quagga.cli.output.progress_bar import Progress
from quagga.errors import BadInput

Item = TypeVar("Item")


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
