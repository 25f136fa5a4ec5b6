"""Tells the user, each once: how long a run will take, that pauses take much of the time, that the CPU is busy."""

from collections.abc import Mapping
from typing import Any

from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training.hardware.cpu_contention import ContentionWatch
from quagga.training.intervals import Intervals
from quagga.training.reporting.tensorboard_logger import Logger
from quagga.training.reporting.time_estimate import SpeedMeter, time_estimate_line

NOTABLE_SHARE = 0.2  # of the time: if pauses whose intervals the user states take more, that is said
MIN_SECONDS_JUDGED = 120.0  # of a run, before which that is not said


class SpeedReport:
    """Reports the speed of a run. Only the main process has one.

    Args:
        log: where it is said.
        trainer: of the run.
        speed: of its steps.
        intervals: of its pauses.
        config: all options.
        begins: whether this start is the run's first.
    """

    def __init__(
        self,
        log: Logger,
        trainer: Trainer,
        speed: SpeedMeter,
        intervals: Intervals,
        config: Mapping[str, Any],
        begins: bool,
    ):
        self.log, self.trainer, self.speed, self.intervals = log, trainer, speed, intervals
        self.config, self.begins = config, begins
        self.contention = ContentionWatch() if trainer.accelerator.device.type == "cpu" else None
        self.has_advised = False

    def update(self, seen: int, train_seconds: float, at_point: bool) -> None:
        """Says what there is to say after a step.

        Args:
            seen: images seen.
            train_seconds: seconds of steps at the last point of the curves.
            at_point: whether this step was a point of the curves.
        """
        if per_second := self.speed.settled_speed():
            accelerator = self.trainer.accelerator
            hardware = accelerator.device.type, accelerator.num_processes
            length = self.trainer.length
            self.log.say(time_estimate_line(per_second, seen, length, self.config, *hardware, begins=self.begins))
        if not at_point:
            return
        paused = self.intervals.stated_seconds()
        total = train_seconds + paused
        if not self.has_advised and total > MIN_SECONDS_JUDGED and paused > NOTABLE_SHARE * total:
            self.has_advised = True
            stated = self.intervals.stated_options()
            now = " and ".join(f"{images:,}" for images in stated.values())
            self.log.say(
                f"what {' and '.join(stated)} (now {now} images) ask for takes {paused / total:.0%} of the time: raise"
                " them, or leave them out, and it follows what it costs"
            )
        if self.contention and (line := self.contention.warning()):
            self.log.say(line)
