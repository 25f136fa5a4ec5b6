"""One start of a run, on this process."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quagga.training.lock import FolderLock
from quagga.training.reporting.tensorboard_logger import Logger
from quagga.training.run_options import RunOptions
from quagga.training.signals import SignalHandler


@dataclass(frozen=True)
class RunContext:
    """Where a run is stored, what it was asked for, and whom it talks to.

    Args:
        options: where and how often the run saves and shows what it does.
        config: all options, for the checkpoints.
        folder: the run's.
        signals: the signals received.
        log: on the main process; None on the others.
        lock: the folder's, on the main process; None: it is not checked.
    """

    options: RunOptions
    config: Mapping[str, Any]
    folder: Path
    signals: SignalHandler
    log: Logger | None = None
    lock: FolderLock | None = None
