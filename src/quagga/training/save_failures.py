"""Writes a run's models and checkpoints by `checkpoint` and `model_folder`, and decides what a failed write means: that
the run goes on and tries again, or that it ends."""

from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Protocol

from quagga.data.loading.row_order import Rows
from quagga.errors import BadInput, one_line
from quagga.inference.model_files.model_folder import read_model
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training import checkpoint
from quagga.training.reporting.tensorboard_logger import Logger
from quagga.training.resume import BEST, CHECKPOINTS
from quagga.training.run_context import RunContext
from quagga.training.setup.run_data import RunData


class WriteModel(Protocol):
    """Writes the game's generators as a model folder."""

    def __call__(self, folder: Path, *, rows: Rows) -> None:
        """folder: is replaced. rows: the training data, which say how pictures are prepared."""
        ...


class SaveFailed(BadInput):
    """A save has failed for good: the run must end without another try."""


@dataclass
class RunSaver:
    """Writes into one run's folder. Only the main process has one.

    Args:
        trainer: of the run.
        run: its folder and lock, how many checkpoints are kept, and by which curve the best one is chosen.
        log: where failures are reported.
        write_model: writes the game's generators into a folder.
    """

    trainer: Trainer
    run: RunContext
    log: Logger
    write_model: WriteModel

    def check_lock(self) -> None:
        """Raises LockLost if the folder is no longer this run's."""
        if self.run.lock:
            self.run.lock.check()

    def write_models(self, data: RunData, score: float | None = None) -> Exception | None:
        """Writes the model, and also as the best one if no checkpoint has a score as low as `score`. Returns the error
        if that failed, since it must not prevent the checkpoint from being written."""
        folder = self.run.folder
        try:
            with self.trainer.averaged(data.statistics):
                self.write_model(folder / "model", rows=data.rows)
                scores = checkpoint.scores(folder / CHECKPOINTS, self.run.options.keep_best)
                if score is not None and score < min(scores.values(), default=inf):
                    self.write_model(folder / BEST, rows=data.rows)
        except Exception as error:
            return error
        return None

    def write_checkpoint(
        self, seen: int, state: dict[str, Any], score: float | None, next_try: str, is_last: bool
    ) -> None:
        """Writes a checkpoint. A failure, such as a full disk, does not end the run unless this is the last save:
        ending it would save nothing either.

        Args:
            seen: images seen.
            state: what the checkpoint holds.
            score: mean of the curve `keep_best` since the last checkpoint; None if there is none.
            next_try: when the next save comes, in words.
            is_last: whether no other save follows.

        Raises:
            SaveFailed: the last save failed.
        """
        checkpoints, options = self.run.folder / CHECKPOINTS, self.run.options
        try:
            checkpoint.save(checkpoints, seen, state, options.keep, score, options.keep_best)
        except (OSError, BadInput) as error:
            existing = [f"the last checkpoint is {path.name}" for path in checkpoint.list_saved(checkpoints)]
            newest = ["there is no checkpoint yet", *existing][-1]
            problem = f"could not save at {seen:,} images: {self._reason(error)}; {newest}"
            if is_last:
                raise SaveFailed(problem) from error
            self.log.say(f"{problem}; the run goes on, and tries again {next_try}")
        else:
            self.log.flush()

    def report_model_failure(self, error: Exception) -> None:
        """Says that the model could not be written.

        Raises:
            SaveFailed: the run has ended, so that the missing model was its result.
            Exception: `error` itself, if it is a bug.
        """
        if not isinstance(error, OSError | BadInput):
            raise error
        problem = f"could not write the model at {self.trainer.images_seen:,} images: {self._reason(error)}"
        if self.trainer.images_seen >= self.trainer.length:
            raise SaveFailed(f"{problem}; then the same command writes it") from error
        self.log.say(f"{problem}; the next save tries again")

    def write_missing_model(self, data: RunData) -> None:
        """Writes the model of a run that has ended, if it is missing or older: no later save would write it."""
        with suppress(BadInput):
            if read_model(self.run.folder / "model").images_seen == self.trainer.images_seen:
                return
        if (error := self.write_models(data)) is not None:
            self.report_model_failure(error)

    def _reason(self, error: Exception) -> str:
        is_full = "no space left" in str(error).lower()
        return f"no space left on the disk of {self.run.folder}, free some" if is_full else one_line(error)
