"""Averages of the generators' weights, and the batch statistics that belong to them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def update_averages(averages: Mapping[str, nn.Module], networks: Mapping[str, nn.Module], beta: float) -> None:
    """Sets average <- weights + beta (average - weights), and the averages' buffers to the networks'."""
    for name, average in averages.items():
        network = networks[name]
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - beta)
        if buffers := list(average.buffers()):
            torch._foreach_copy_(buffers, list(network.buffers()))


@contextmanager
def swapped_weights(averages: Mapping[str, nn.Module], networks: Mapping[str, nn.Module]) -> Iterator[list[Tensor]]:
    """Gives networks their averaged weights within the block. Yields the networks' buffers, which may be overwritten:
    their values are restored afterwards."""
    pairs = [
        (p, q)
        for name, network in networks.items()
        for p, q in zip(network.parameters(), averages[name].parameters(), strict=True)
    ]
    buffers = [buffer for network in networks.values() for buffer in network.buffers()]
    saved = [buffer.clone() for buffer in buffers]
    for p, q in pairs:
        p.data, q.data = q.data, p.data
    try:
        yield buffers
    finally:
        for p, q in pairs:
            p.data, q.data = q.data, p.data
        for buffer, value in zip(buffers, saved, strict=True):
            buffer.copy_(value)


def layers_with_statistics(networks: Iterable[nn.Module]) -> list[_BatchNorm]:
    """Returns the batch normalisations that remember means and variances."""
    layers = (layer for network in networks for layer in network.modules())
    return [layer for layer in layers if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


@contextmanager
def measured_statistics(layers: list[_BatchNorm]) -> Iterator[None]:
    """Resets the statistics of batch normalisations and lets them take the plain mean over the minibatches that pass
    within the block."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
