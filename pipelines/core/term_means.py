"""Sums the scalars of training steps on the device, so that the host waits for it only when they are read."""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from quagga.pipelines.core.game_protocol import Terms


class ScalarRecorder:
    """Means of named scalars since the last reset, and the first minibatch that was not finite.

    Args:
        accelerator: of this process.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        # The first row of the first minibatch that was not finite, on the device; -1: none.
        self.first_bad_row = torch.full((), -1, dtype=torch.int64, device=accelerator.device)

    def record(self, scalars: Terms) -> None:
        """Adds scalars to their sums."""
        for name, scalar in scalars.items():
            scalar = scalar.detach().float()
            self.sums[name] = self.sums[name] + scalar if name in self.sums else scalar
            self.counts[name] = self.counts.get(name, 0) + 1

    def flag(self, bad: Tensor, row: int) -> None:
        """Remembers the minibatch that begins at `row`, if `bad` (a bool on the device) and no earlier one was."""
        self.first_bad_row = torch.where(bad & (self.first_bad_row < 0), row, self.first_bad_row)

    def means(self) -> tuple[dict[str, float], int]:
        """Returns the means over all processes, and the first bad row of any; every process must call it."""
        names = list(self.sums)
        means = torch.stack([self.sums[name] / self.counts[name] for name in names]) if names else torch.zeros(0)
        first_bad_row = self.first_bad_row
        if self.accelerator.num_processes > 1:
            means = self.accelerator.reduce(means, "mean") if names else means
            first_bad_row = self.accelerator.gather(first_bad_row).max()  # pyright: ignore[reportAttributeAccessIssue]
        values = means.tolist()  # pyright: ignore[reportAttributeAccessIssue]
        return dict(zip(names, values, strict=True)), int(first_bad_row)

    def reset(self) -> None:
        """Begins anew."""
        self.sums, self.counts = {}, {}
        self.first_bad_row = torch.full_like(self.first_bad_row, -1)

    def gathered_state(self) -> list[dict[str, Any]]:
        """Returns the sums and counts of every process; every process must call it."""
        if self.accelerator.num_processes == 1:
            return [{"sums": self.sums, "counts": self.counts}]
        return gather_object([{"sums": {k: v.cpu() for k, v in self.sums.items()}, "counts": self.counts}])

    def load_state(self, recorded: list[dict[str, Any]]) -> None:
        """Restores the state that `gathered_state` returned, perhaps for another number of processes."""
        self.reset()
        device = self.accelerator.device
        if len(recorded) == self.accelerator.num_processes:
            own = recorded[self.accelerator.process_index]
            self.sums = {name: scalar.to(device) for name, scalar in own["sums"].items()}
        else:  # each process takes the mean, so that the mean over all stays the same
            shares = {
                name: torch.stack([share["sums"][name].cpu() for share in recorded]) for name in recorded[0]["sums"]
            }
            self.sums = {name: share.mean(0).to(device) for name, share in shares.items()}
        self.counts = dict(recorded[0]["counts"])
