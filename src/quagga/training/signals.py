"""Signal handling: the first signal asks a run to save and stop, the second one ends it at once.

SIGTERM (launchers, `kill`, Slurm), SIGINT (Ctrl-C), SIGUSR1 (Slurm's early warning) and SIGHUP (the terminal was
closed; under nohup it stays ignored) mean the same. The exit code is 128 + the number of the signal, as in a shell:
143, 130, 138, 129. This module imports the standard library only, so that handlers can be installed before torch is
imported.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

from quagga.training.hardware.launcher import is_first_process

SIGNAL_NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
# Ctrl-C reaches a process and its launcher, which forwards it: within these seconds that is one signal, not two.
DUPLICATE_WINDOW = 2.0


class Stopped(Exception):
    """A run has stopped because of a signal. The message says what was saved.

    code: the exit code, 128 + the number of the signal.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.code = 128 + number


@dataclass
class SignalHandler:
    """Handles signals and remembers the first one.

    Args:
        ends_process: Whether this process belongs to the command line: it then ends at once, at any point and without
            a traceback. Otherwise (a notebook) KeyboardInterrupt is raised.
        in_training: Whether a training loop checks `received` from time to time. Before that there is nothing to save.
        finished: Whether the training loop has ended, and everything is saved.
        received: The number of the first signal; 0: none.
        received_at: When it came, by `monotonic`.
    """

    ends_process: bool
    in_training: bool = False
    finished: bool = False
    received: int = 0
    received_at: float = 0.0

    def handle(self, number: int, _frame: object = None) -> None:
        """Handles a signal. During training the first signal is noted in `received` and the next one leaves at once;
        before and after training the first one leaves at once. Under a launcher, signals within DUPLICATE_WINDOW
        seconds count as one.

        Raises:
            KeyboardInterrupt: it leaves, and not `ends_process`; otherwise the process ends with 128 + number.
        """
        name = signal.Signals(number).name
        if not self.in_training:
            when = (
                "after the last step: all is saved"
                if self.finished
                else "before the first step: there was nothing to save"
            )
            self._leave(number, f"{name} {when}")
        elif not self.received:
            self.received, self.received_at = number, monotonic()
            _write_stderr(f"{name}: saving at the end of this step; once more leaves at once")
        elif "WORLD_SIZE" not in os.environ or monotonic() - self.received_at > DUPLICATE_WINDOW:
            self._leave(number, f"{name} again: left at once, the checkpoints before stand")

    @contextmanager
    def leaving_at_once(self) -> Iterator[None]:
        """Makes the first signal leave at once within the block, in which there is nothing to save."""
        before, self.in_training = self.in_training, False
        try:
            yield
        finally:
            self.in_training = before

    def _leave(self, number: int, reason: str) -> None:
        if not self.ends_process:
            raise KeyboardInterrupt(reason)
        _write_stderr(reason)
        if "multiprocessing" in sys.modules:  # the workers would notice only seconds later
            for worker in sys.modules["multiprocessing"].active_children():
                worker.kill()
        os._exit(128 + number)  # in the middle of an import, an exception could be turned into any other


_active_handler: SignalHandler | None = None


@contextmanager
def handling_signals(ends_process: bool = False) -> Iterator[SignalHandler]:
    """Installs a `SignalHandler` within the block and yields it; afterwards the previous handlers are back. A nested
    block shares the outer one's handler. In a thread other than the main one no handler is installed, since Python
    does not allow it.
    """
    global _active_handler
    if _active_handler is not None:
        yield _active_handler
        return
    handler = SignalHandler(ends_process)
    previous = {}
    if threading.current_thread() is threading.main_thread():
        _active_handler = handler
        for number in (getattr(signal, name) for name in SIGNAL_NAMES if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                previous[number] = signal.signal(number, handler.handle)
    try:
        yield handler
    finally:
        _active_handler = None
        for number, before in previous.items():
            signal.signal(number, before)


def _write_stderr(line: str) -> None:
    if is_first_process():
        # Not print: the signal may have interrupted one, and files are not re-entrant. After SIGHUP the terminal is
        # gone and cannot be written to.
        with suppress(OSError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\nquagga: {line}\n".encode())
