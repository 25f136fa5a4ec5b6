"""After a step, the processes of a run agree on what comes next: whether to stop, and which pauses."""

from time import perf_counter

import torch
from accelerate import Accelerator

from quagga.training.intervals import Due
from quagga.training.signals import SignalHandler

AGREEMENT_SECONDS = 2.0  # after which processes exchange, at the latest, whether one of them has received a signal


class StepAgreement:
    """Exchanges signals and affordable pauses between the processes of a run, not after every step: that would make
    the host wait for the device.

    Args:
        accelerator: of this process.
        signals: what this process has received.
    """

    def __init__(self, accelerator: Accelerator, signals: SignalHandler):
        self.accelerator, self.signals = accelerator, signals
        self.steps_since_exchange, self.steps_between_exchanges, self.last_exchange = 0, 1, perf_counter()

    def restart_clock(self) -> None:
        """Starts to measure the time of a step anew."""
        self.last_exchange = perf_counter()

    def exchange(self, now: bool, affordable: Due) -> tuple[int, Due]:
        """Returns the same answer on all processes, every one of which must call it after each step.

        Args:
            now: Whether to exchange after this step in any case; the same on all processes.
            affordable: The pauses that the main process finds affordable; nothing on the others.

        Returns:
            The number of a signal that any process has received, 0 for none, and the main process's `affordable`.
        """
        if self.accelerator.num_processes == 1:
            return self.signals.received, affordable
        self.steps_since_exchange += 1
        if not now and self.steps_since_exchange < self.steps_between_exchanges:
            return 0, Due()
        seconds = (perf_counter() - self.last_exchange) / self.steps_since_exchange  # of a step
        own = torch.tensor([[float(self.signals.received), seconds, affordable.bits]], device=self.accelerator.device)
        gathered = self.accelerator.gather(own)
        received, slowest, bits = gathered.max(0).values.tolist()  # pyright: ignore[reportAttributeAccessIssue]
        self.steps_between_exchanges = int(min(1000, max(1, AGREEMENT_SECONDS / slowest)))
        self.steps_since_exchange, self.last_exchange = 0, perf_counter()
        return int(received), Due.from_bits(int(bits))
