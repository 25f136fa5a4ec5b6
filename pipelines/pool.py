"""The pool of old fakes: D is shown what earlier generators made as well, which damps oscillation.

Shrivastava et al. 2017, Sec. 2.3, https://arxiv.org/abs/1612.07828; used by Zhu et al. 2017, Sec. 4, with 50 pictures.
"""

from math import ceil
from typing import Any

import torch
from torch import Tensor

from quagga.pipelines.minimax import Draw


class Pool:
    """Keeps `size` fakes. While it fills, fakes pass through; then each fake, with probability 1/2, takes the place
    of a random old one, which is returned in its stead.

    The pool is cut into lanes, one for each place in the minibatch: a row only ever meets fakes of its own lane. So the
    outcome is the same however processes and micro-batches divide the minibatch, and nothing is sent between them. At
    batch 1 there is one lane of `size` pictures; with a batch larger than `size` each lane holds one.

    Args:
        size: pictures kept; 0 passes every fake through.
    """

    def __init__(self, size: int = 50):
        self.size = size
        self.lanes: dict[int, list[Tensor]] = {}
        self.own: set[int] = set()  # lanes of this process

    def __call__(self, fakes: Tensor, draw: Draw) -> Tensor:
        """(N, C, H, W) fakes in [-1, 1], detached -> the same shape, device and dtype, some of them old."""
        if not self.size:
            return fakes
        slots = ceil(self.size / draw.minibatch)
        shown = []
        for fake, row, (coin, place) in zip(fakes, draw.rows, draw.numbers(2).tolist(), strict=True):
            number = row % draw.minibatch
            self.own.add(number)
            lane = self.lanes.setdefault(number, [])
            if len(lane) < slots:
                lane.append(fake.clone())
            elif coin < 0.5:
                slot = int(place * slots)
                old = lane[slot].to(fake.device, fake.dtype)  # after a resume: from the CPU, or another precision
                lane[slot], fake = fake.clone(), old
            shown.append(fake)
        return torch.stack(shown)

    def state_dict(self) -> dict[str, Any]:
        """Lane, its number as text -> its fakes (n, C, H, W), on the CPU: this process's lanes, or all before it has
        used one."""
        lanes = {n: lane for n, lane in self.lanes.items() if not self.own or n in self.own}
        return {str(n): torch.stack(lane).cpu() for n, lane in lanes.items()}  # processes exchange them

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes the lanes of all processes; which of them are this process's own is seen anew."""
        self.lanes = {int(n): list(lane.clone()) for n, lane in state.items()}
        self.own = set()
