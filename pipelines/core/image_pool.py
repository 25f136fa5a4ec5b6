"""The pool of old fakes: D also sees fakes of earlier generators, which damps oscillation.

Shrivastava et al. 2017, Sec. 2.3, https://arxiv.org/abs/1612.07828; used by Zhu et al. 2017, Sec. 4, with 50 pictures.
"""

from math import ceil
from typing import Any

import torch
from torch import Tensor

from quagga.pipelines.core.game_protocol import Draw


class ImagePool:
    """Stores `size` fakes. While it fills, fakes pass through; then each fake, with probability 1/2, replaces a random
    old one, which is returned instead.

    The pool is divided into lanes, one for each place in the minibatch: a row is only exchanged with fakes of its own
    lane. So the outcome is the same however processes and micro-batches divide the minibatch, and nothing is sent
    between them. At batch 1 there is one lane of `size` pictures; with a batch larger than `size` each lane holds one.

    With each phase of the run the pool begins anew: the fakes of the one before have its size and its lanes.

    Args:
        size: stored pictures; 0 passes every fake through.
    """

    def __init__(self, size: int = 50):
        self.size = size
        self.lanes: dict[int, list[Tensor]] = {}
        self.own_lanes: set[int] = set()  # of this process
        self.phase = 0  # to which the fakes belong

    def __call__(self, fakes: Tensor, draw: Draw) -> Tensor:
        """Takes detached fakes (N, C, H, W) in [-1, 1]; returns the same shape, device and dtype, some of them old."""
        if not self.size:
            return fakes
        if draw.progress.phase != self.phase:
            self.lanes, self.own_lanes, self.phase = {}, set(), draw.progress.phase
        slots = ceil(self.size / draw.minibatch)
        returned = []
        for fake, row, (coin, place) in zip(fakes, draw.rows, draw.numbers(2).tolist(), strict=True):
            number = row % draw.minibatch
            self.own_lanes.add(number)
            lane = self.lanes.setdefault(number, [])
            if len(lane) < slots:
                lane.append(fake.clone())
            elif coin < 0.5:
                slot = int(place * slots)
                old = lane[slot].to(fake.device, fake.dtype)  # after a resume: from the CPU, or another precision
                lane[slot], fake = fake.clone(), old
            returned.append(fake)
        return torch.stack(returned)

    def state_dict(self) -> dict[str, Any]:
        """Returns a dictionary: number of a lane, as text -> its fakes (n, C, H, W), on the CPU: this process's lanes,
        or all before it has used one; and "phase", if that is not the first."""
        lanes = {n: lane for n, lane in self.lanes.items() if not self.own_lanes or n in self.own_lanes}
        phase = {"phase": self.phase} if self.phase else {}
        # On the CPU, as processes exchange them.
        return {str(n): torch.stack(lane).cpu() for n, lane in lanes.items()} | phase

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Loads the lanes of all processes; which of them are this process's own is found out anew."""
        self.phase = state.get("phase", 0)
        self.lanes = {int(n): list(lane.clone()) for n, lane in state.items() if n != "phase"}
        self.own_lanes = set()
