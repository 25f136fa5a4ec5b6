"""A network that is used and never trained, and that no checkpoint holds."""

from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class Frozen:
    """A trained network as a plain function of pictures, with gradients to the picture and none to its weights.

    It is no module, so that a network which keeps it has none of its weights among its own: no optimiser moves them, no
    checkpoint or average holds them, no `train()` changes how it works. A copy of that network shares it.

    Args:
        network: pictures (N, 3, H, W) in [-1, 1] -> maps (N, C, h, w), finest first, each channel of deviation 1 or so.
            Any module of one's own will do.
        channels: C of each map.
        name: for people: what it is, whose weights, under which licence.
        sha256: of the file of its weights, 64 hexadecimal digits: a run that goes on must have the same.
    """

    def __init__(self, network: nn.Module, channels: Sequence[int], name: str, sha256: str) -> None:
        self.network, self.channels = network.eval().requires_grad_(False), channels
        self.name, self.sha256 = name, sha256
        self._copies: dict[tuple[torch.device, torch.dtype], nn.Module] = {}

    def __call__(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) on any device -> the network's maps, in float32 at least but under CUDA's autocast.

        On the CPU autocast is off: there these networks, of many thin layers, measured a third slower in bfloat16.
        """
        on_cpu = x.device.type == "cpu"
        with torch.autocast("cpu", enabled=False) if on_cpu else nullcontext():
            x = x.to(torch.promote_types(x.dtype, torch.float32)).contiguous(memory_format=torch.channels_last)
            return self._on(x.device, x.dtype)(x)

    def _on(self, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """The network on a device. Made once for each, since moving it would wait for the device at every step."""
        if (device, dtype) not in self._copies:
            self._copies[device, dtype] = deepcopy(self.network).to(device, dtype)
        return self._copies[device, dtype]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Frozen":
        return self


def frozen_parts(network: nn.Module) -> list[Frozen]:
    """Returns what a network uses and does not train."""
    return [part for module in network.modules() for part in vars(module).values() if isinstance(part, Frozen)]
