"""Signals: the first one asks a run to save and go, the second one is obeyed at once.

SIGTERM (launchers, `kill`, Slurm), SIGINT (Ctrl-C), SIGUSR1 (Slurm's early warning) and SIGHUP (the terminal has gone;
under nohup it stays ignored) mean the same. The exit code is 128 + the number of the signal, as a shell has it: 143,
130, 138, 129. This module needs the standard library only, so that it can listen before torch is imported.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

from quagga.pipelines.launcher import first

NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
# Ctrl-C reaches a process and its launcher, which passes it on: within these seconds that is one signal, not two.
TOGETHER = 2.0


class Stopped(Exception):
    """A run has obeyed a signal. The message says what was saved.

    code: the exit code, 128 + the number of the signal.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.code = 128 + number


@dataclass
class Ear:
    """What was heard.

    Args:
        alone: Nobody else lives in this process (the command line): leaving is ending it, at any point, without a
            traceback. Otherwise (a notebook) leaving raises KeyboardInterrupt.
        playing: Whether a training loop looks at `asked` from time to time. Before that there is nothing to save.
        over: Whether it has done so, and all is saved.
        asked: The number of the first signal; 0: none.
    """

    alone: bool
    playing: bool = False
    over: bool = False
    asked: int = 0
    since: float = 0.0

    def hear(self, number: int, _frame: object = None) -> None:
        """The handler: while a run plays the first signal is noted in `asked`, and the next leaves at once; before and
        after, the first one does. Where a launcher runs, signals within TOGETHER seconds are one.

        Raises:
            KeyboardInterrupt: it leaves, and is not `alone`; else the process ends with 128 + number.
        """
        name = signal.Signals(number).name
        if not self.playing:
            when = (
                "after the last step: all is saved" if self.over else "before the first step: there was nothing to save"
            )
            self._leave(number, f"{name} {when}")
        elif not self.asked:
            self.asked, self.since = number, monotonic()
            _say(f"{name}: saving at the end of this step; once more leaves at once")
        elif "WORLD_SIZE" not in os.environ or monotonic() - self.since > TOGETHER:
            self._leave(number, f"{name} again: left at once, the checkpoints before stand")

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Within, nothing is played that could be saved, and the first signal leaves at once."""
        was, self.playing = self.playing, False
        try:
            yield
        finally:
            self.playing = was

    def _leave(self, number: int, why: str) -> None:
        if not self.alone:
            raise KeyboardInterrupt(why)
        _say(why)
        if "multiprocessing" in sys.modules:  # the workers would notice some seconds later
            for worker in sys.modules["multiprocessing"].active_children():
                worker.kill()
        os._exit(128 + number)  # from the middle of an import, an exception could end as anything


_ear: Ear | None = None


@contextmanager
def listening(alone: bool = False) -> Iterator[Ear]:
    """Within, signals are heard by the `Ear` that is given; outside, they do what they did. Within another
    `listening`, its ear is shared. In a thread other than the main one nothing is heard: Python allows it there only.
    """
    global _ear
    if _ear is not None:
        yield _ear
        return
    ear = Ear(alone)
    before = {}
    if threading.current_thread() is threading.main_thread():
        _ear = ear
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                before[number] = signal.signal(number, ear.hear)
    try:
        yield ear
    finally:
        _ear = None
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    if first():
        # Not print: the signal may have come in the middle of one, and files are not re-entrant. SIGHUP comes when the
        # terminal has gone, and cannot be written to.
        with suppress(OSError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\nquagga: {line}\n".encode())
