"""Says which checkpoint was best, since when no other has been, and whether that ends the run."""

from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from quagga.training import checkpoint
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
    """

    def __init__(self, checkpoints: Path, options: RunOptions, length: int):
        self.checkpoints, self.options, self.length = checkpoints, options, length
        self.said_of: int | None = None  # the best checkpoint, in images, of which was said that none is better

    def images_seen(self) -> int | None:
        """Returns the images that the best checkpoint had seen; None if none has a score."""
        path = checkpoint.best(self.checkpoints, self.options.keep_best) if self.options.keep_best else None
        return None if path is None else checkpoint.images_seen_at(path)

    def remark(self, seen: int) -> str | None:
        """Returns a line, once for each best checkpoint, after a save at so many images; None: there is nothing to say.
        On the main process only."""
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

    def check(self, accelerator: Accelerator, remark: str | None) -> None:
        """Raises NoBetterSince on every process if the main one has made a remark and the run is to end on it."""
        if self.options.stop_when != "no_better":
            return
        made = [remark is not None]
        if accelerator.num_processes > 1:
            broadcast_object_list(made)
        if made[0]:
            raise NoBetterSince
