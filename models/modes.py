"""Networks as pix2pix uses them: dropout stays on, and batch normalisation takes the statistics of the picture itself.

Isola et al. 2017, Sec. 3.4 (arXiv:1611.07004) run the generator in a test as in training: dropout is all the noise it
has, and at batch 1 the statistics of the batch are those of the picture.

Each picture goes through by itself, and its dropout begins from the same seed: what becomes of it depends neither on
the others nor on the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Statistics = Literal["batch", "running"]


class Mode(NamedTuple):
    """How a network is used when it no longer learns.

    Args:
        dropout: Whether dropout is on.
        statistics: What batch normalisation takes: "batch", those of the picture itself, or "running", the averages of
            training.
        seed: Of the dropout.
    """

    dropout: bool = False
    statistics: Statistics = "running"
    seed: int = 0

    @property
    def plain(self) -> bool:
        """Whether this is what `eval()` means."""
        return not self.dropout and self.statistics == "running"


class SeededDropout(nn.Module):
    """Dropout that is always on. Its numbers come from a generator on the CPU, so that every device drops the same."""

    def __init__(self, p: float, source: torch.Generator) -> None:
        super().__init__()
        self.p, self.source = p, source

    def kept(self, shape: torch.Size) -> Tensor:
        """Which numbers of a tensor are not dropped, on the CPU; the next ones of the generator."""
        return torch.rand(shape, generator=self.source) >= self.p

    def scaled(self, kept: Tensor, like: Tensor) -> Tensor:
        """0 for what is dropped, 1 / (1 - p) for the others, such that the mean stays."""
        return kept.to(like.device, like.dtype) / max(1 - self.p, 1e-9)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape and range -> the same shape: each value is 0, with probability p, or times 1 / (1 - p)."""
        return x * self.scaled(self.kept(x.shape), x)


def used(network: nn.Module, x: Tensor, mode: Mode) -> Tensor:
    """What a network in eval mode makes of pictures (N, C, H, W) in a mode, each by itself."""
    if mode.plain:
        return network(x)
    made = []
    for one in x.split(1):
        with in_mode(network, mode):
            made.append(network(one))
    return torch.cat(made)


def judged(D: nn.Module, *inputs: Tensor, most: int = 32) -> Tensor:
    """A discriminator's logits of rows it does not learn from, up to `most` at a time.

    Batch normalisation takes the statistics of these rows, as in training: its averages mix real pictures with fakes,
    so that by them even pictures of the training set are judged otherwise than in training (logits of 0.6 for 1.7).
    """
    with in_mode(D, Mode(statistics="batch")):
        return torch.cat([D(*part) for part in zip(*(x.split(most) for x in inputs), strict=True)])


@contextmanager
def in_mode(network: nn.Module, mode: Mode) -> Iterator[None]:
    """Within, a network in eval mode does as the mode says; its weights and running statistics stay as they are."""
    swapped: list[tuple[nn.Module, str, nn.Module]] = []
    emptied: list[tuple[_BatchNorm, Tensor | None, Tensor | None]] = []
    source = torch.Generator().manual_seed(mode.seed)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if mode.dropout and isinstance(layer, nn.Dropout) and layer.p:
                swapped.append((parent, name, layer))
                parent.add_module(name, SeededDropout(layer.p, source))
        if mode.statistics == "batch" and isinstance(parent, _BatchNorm):
            # In eval mode a batch normalisation that has no averages takes the statistics of what it is given.
            emptied.append((parent, parent.running_mean, parent.running_var))
            parent.running_mean = parent.running_var = None
    try:
        yield
    finally:
        for parent, name, layer in swapped:
            parent.add_module(name, layer)
        for layer, mean, variance in emptied:
            layer.running_mean, layer.running_var = mean, variance
