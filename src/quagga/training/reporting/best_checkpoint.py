"""Says which checkpoint was best, since when no other has been, and whether that ends the run."""

from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from quagga.training import checkpoint
from quagga.training.reporting.tensorboard_logger import Logger
from quagga.training.run_options import RunOptions

PATIENCE = 4  # after a 4th of its length without a better checkpoint a run has had none "for long"


class NoBetterSince(Exception):
    """The run ends before its full length: there has been no better checkpoint for long."""


class BestCheckpoint:
    """Follows the checkpoint that was best by the curve `keep_best`.

    Args:
        checkpoints: the folder of the run's checkpoints.
        options: of the run.
        length: of the run, in images.
        accelerator: of the run.
    """

    def __init__(self, checkpoints: Path, options: RunOptions, length: int, accelerator: Accelerator):
        self.checkpoints, self.options, self.length, self.accelerator = checkpoints, options, length, accelerator
        self.said_of: int | None = None  # the best checkpoint, in images, of which was said that none is better

    def images_seen(self) -> int | None:
        """Returns the images that the best checkpoint had seen; None if none has a score."""
        path = checkpoint.best(self.checkpoints, self.options.keep_best) if self.options.keep_best else None
        return None if path is None else checkpoint.images_seen_at(path)

    def check(self, seen: int, log: Logger | None) -> None:
        """Says, once of each best checkpoint, that none has been better for long. Every process must call it, after a
        save at so many images; the main one has a log.

        Raises:
            NoBetterSince: that is so, and ends the run as `stop_when` says.
        """
        remark = self._remark(seen) if log else None
        if log and remark:
            log.say(remark)
        if self.options.stop_when != "no_better":
            return
        made = [remark is not None]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(made)
        if made[0]:
            raise NoBetterSince

    def _remark(self, seen: int) -> str | None:
        best = self.images_seen()
        if best is None or seen - best < self.length / PATIENCE or best == self.said_of:
            return None
        self.said_of = best
        folder = self.checkpoints.parent / "best"
        line = f"{self.options.keep_best} was lowest at {best:,} images, {seen - best:,} ago: {folder} is that model"
        if seen >= self.length:
            return line
        if self.options.stop_when == "no_better":
            return f"{line}, and the run ends here, at {seen:,} of {self.length:,}"
        return f"{line}; rates that fall towards the end may still lower it"
