"""Measures the seconds that a run's steps take, without its pauses."""

from time import perf_counter


class StepClock:
    """Counts seconds of steps over all starts of a run.

    Args:
        counted: seconds of steps until now, of the starts before.
    """

    def __init__(self, counted: float = 0.0):
        self.counted = counted  # seconds until the last point of the curves
        self.since = perf_counter()  # from here on nothing is counted yet; every pause moves it on

    def seconds(self) -> float:
        """Returns the seconds of steps so far."""
        return self.counted + perf_counter() - self.since

    def count(self) -> float:
        """Counts the seconds of steps since the last point of the curves, and returns them."""
        seconds = perf_counter() - self.since
        self.counted, self.since = self.counted + seconds, self.since + seconds
        return seconds

    def restart(self) -> None:
        """Leaves out what was not counted yet."""
        self.since = perf_counter()

    def end_pause(self, begin: float) -> float:
        """Leaves out a pause that began at `begin`, by `now`, and returns its seconds."""
        seconds = self.now() - begin
        self.since += seconds
        return seconds

    def now(self) -> float:
        """Returns the time in seconds, from an arbitrary start."""
        return perf_counter()
