"""A sign of life where there is no progress bar: something is called whenever it has been quiet for too long."""

import threading
from collections.abc import Callable
from time import monotonic

QUIET = 30.0  # seconds


class Heartbeat:
    """Calls `beat` from a thread of its own, whatever the main one is doing: a step that compiles, or held-out pictures
    on a slow CPU, may take minutes.

    Args:
        beat: says something.
        clock: seconds.
    """

    def __init__(self, beat: Callable[[], None], clock: Callable[[], float] = monotonic):
        self.beat, self.clock, self.last = beat, clock, clock()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def spoken(self) -> None:
        """Something has been said by other means: it is quiet from now on."""
        self.last = self.clock()

    def left(self) -> float:
        """Seconds until `beat` is due; calls it first if it is."""
        if self.clock() - self.last >= QUIET:
            self.spoken()
            self.beat()
        return max(0.0, self.last + QUIET - self.clock())

    def _live(self) -> None:
        while not self.over.wait(self.left()):
            pass
