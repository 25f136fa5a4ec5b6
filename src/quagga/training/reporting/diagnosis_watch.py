"""Says while a run trains what goes wrong in it, each fault once: see `quagga.diagnoses`."""

from collections.abc import Mapping
from typing import Any

from quagga.diagnoses import Readings, find_faults, strip_figures
from quagga.pipelines.core.game_protocol import Images
from quagga.training.reporting.tensorboard_logger import Logger

# Images seen at the next look, as a multiple. Looking takes 10 ms after 2,700 points (measured), and points of small
# pictures are a tenth of a second apart on a GPU; a few hundred looks are seconds of a whole run.
LOOK_AGAIN = 1.02


class DiagnosisWatch:
    """Watches the curves and strips of one start of a run. Only the main process has one. It reads what has been
    computed for the curves and the strips anyway, on the CPU: it makes nothing wait for the device.

    Args:
        log: where it is said.
        config: all options.
        minibatch: images of a step, over all processes.
    """

    def __init__(self, log: Logger, config: Mapping[str, Any], minibatch: int):
        self.log, self.readings = log, Readings(config, minibatch)
        self.names_said: set[str] = set()
        self.next_look = 0.0  # images seen

    def add_point(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Notes a point of the curves."""
        self.readings.add(images_seen, values)

    def add_strips(self, images_seen: int, averaged: Mapping[str, Images], raw: Mapping[str, Images]) -> None:
        """Notes what strips of averaged and of raw generators show, and logs it, so that it can be read of the run."""
        figures = strip_figures(averaged, raw)
        self.readings.add(images_seen, {f"strips/{name}": value for name, value in figures.items()})
        self.log.strip_figures(figures, images_seen)

    def say(self, images_seen: int) -> None:
        """Says the faults that have not been said yet. Of a long run not every point is looked at: its faults must last
        for a tenth of it anyway."""
        if images_seen < self.next_look:
            return
        self.next_look = LOOK_AGAIN * images_seen
        for fault in find_faults(self.readings):
            if fault.name not in self.names_said:
                self.names_said.add(fault.name)
                self.log.say(fault.line())

    def rewind(self, images_seen: int) -> None:
        """Takes back what was noted after so many images, to which the run was rolled back."""
        self.readings.rewind(images_seen)
        self.next_look = 0.0
