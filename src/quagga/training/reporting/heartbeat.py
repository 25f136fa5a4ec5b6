"""A sign of life where there is no progress bar: calls a function whenever nothing was printed for too long."""

import threading
from collections.abc import Callable
from time import monotonic

QUIET_LIMIT = 30.0  # seconds


class Heartbeat:
    """Calls `beat` from a thread of its own, whatever the main thread is doing: a step that compiles, or held-out
    pictures on a slow CPU, may take minutes.

    Args:
        beat: prints something.
        clock: returns seconds.
    """

    def __init__(self, beat: Callable[[], None], clock: Callable[[], float] = monotonic):
        self.beat, self.clock, self.last_output = beat, clock, clock()
        self.stop_event = threading.Event()
        self.thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_event.set()
        self.thread.join()

    def reset(self) -> None:
        """Notes that something else has been printed just now."""
        self.last_output = self.clock()

    def beat_if_due(self) -> float:
        """Calls `beat` if it is due, and returns the seconds until it is due again."""
        if self.clock() - self.last_output >= QUIET_LIMIT:
            self.reset()
            self.beat()
        return max(0.0, self.last_output + QUIET_LIMIT - self.clock())

    def _run(self) -> None:
        while not self.stop_event.wait(self.beat_if_due()):
            pass
