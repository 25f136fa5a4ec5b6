"""How trained networks are used: as usual, or as in pix2pix, with dropout and with batch statistics of the picture.

Isola et al. 2017, Sec. 3.4 (arXiv:1611.07004) run the generator in a test as in training: dropout is all the noise it
has, and at batch 1 the statistics of the batch are those of the picture.

Each picture passes by itself, and its dropout begins with the same seed: the result depends neither on the other
pictures nor on the device.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Statistics = Literal["batch", "running"]


class Mode(NamedTuple):
    """How a trained network is used.

    Args:
        dropout: Whether dropout is on.
        statistics: Statistics of batch normalisation: "batch", those of the picture itself, or "running", the averages
            of training.
        seed: Seed of the dropout.
    """

    dropout: bool = False
    statistics: Statistics = "running"
    seed: int = 0

    @property
    def plain(self) -> bool:
        """Whether this is the same as `eval()`."""
        return not self.dropout and self.statistics == "running"


# Random numbers of the dropout, within `seeded_dropout`. Each thread has a value of its own.
_dropout_source: ContextVar[torch.Generator] = ContextVar("_dropout_source")


@contextmanager
def seeded_dropout(seed: int) -> Iterator[None]:
    """Lets `SeededDropout` draw within the block, from a seed on, in this thread only."""
    token = _dropout_source.set(torch.Generator().manual_seed(seed))
    try:
        yield
    finally:
        _dropout_source.reset(token)


class SeededDropout(nn.Module):
    """Dropout that is always on. Its random numbers are drawn on the CPU, so that every device drops the same units;
    those of several layers follow one another, from the seed of `seeded_dropout` on.

    Args:
        p: Share of the values that are dropped.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def kept(self, shape: torch.Size) -> Tensor:
        """Draws which values of a tensor are not dropped: bool, on the CPU. Raises LookupError outside of
        `seeded_dropout`."""
        return torch.rand(shape, generator=_dropout_source.get()) >= self.p

    def scaled(self, kept: Tensor, like: Tensor) -> Tensor:
        """Returns 0 for dropped values, 1 / (1 - p) for the others, so that the mean stays."""
        return kept.to(like.device, like.dtype) / max(1 - self.p, 1e-9)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape and range -> the same shape: each value is 0, with probability p, or times 1 / (1 - p)."""
        return x * self.scaled(self.kept(x.shape), x)


class NetworkInMode(nn.Module):
    """A network in a mode: takes and gives what the network does, (N, ...) each.

    In any mode but the plain one each row passes by itself. Nothing changes during a call, so that several threads may
    call it at once.

    Args:
        network: As `copy_in_mode` returns it.
        mode: The mode of that copy.
    """

    def __init__(self, network: nn.Module, mode: Mode) -> None:
        super().__init__()
        self.network, self.mode = network, mode

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network's inputs, (N, ...) each -> its output, (N, ...)."""
        if self.mode.plain:
            return self.network(*inputs)
        outputs = []
        for row in zip(*(x.split(1) for x in inputs), strict=True):
            with seeded_dropout(self.mode.seed):
                outputs.append(self.network(*row))
        return torch.cat(outputs)


def network_in_mode(network: nn.Module, mode: Mode) -> NetworkInMode:
    """Returns a copy of a network in a mode, as `copy_in_mode` makes it, which can be called."""
    return NetworkInMode(copy_in_mode(network, mode), mode).eval()


def copy_in_mode(network: nn.Module, mode: Mode) -> nn.Module:
    """Returns a copy of a network in eval mode, with the layers of a mode in place of its own.

    The copy shares all parameters and buffers: it takes no memory, and learns when the network learns. (After a move to
    another device it shares parameters only, so move the network first.) The network stays as it is.
    """
    shared: dict[int, object] = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    copied = copy.deepcopy(network, shared)  # what stands in this table is not copied
    _set_mode(copied, mode)
    return copied.eval()


def apply_in_mode(network: nn.Module, x: Tensor, mode: Mode) -> Tensor:
    """Returns the output of a network in eval mode for pictures (N, C, H, W) in a mode, each by itself. The network
    does not change. `network_in_mode` saves many calls the time of a copy each."""
    return network(x) if mode.plain else network_in_mode(network, mode)(x)


def evaluation_logits(D: nn.Module, *inputs: Tensor, most: int = 32) -> Tensor:
    """Returns a discriminator's logits for rows that it is not trained on, up to `most` at a time; of one that has
    several judges, the mean logit of each, (N, judges).

    Batch normalisation takes the statistics of these rows, as in training: its running averages mix real pictures with
    fakes, so that with them even training pictures get other logits than in training (0.6 instead of 1.7).
    """
    D = copy_in_mode(D, Mode(statistics="batch"))
    logits = [D(*part) for part in zip(*(x.split(most) for x in inputs), strict=True)]
    if isinstance(logits[0], tuple):
        logits = [judge_means(part) for part in logits]
    return torch.cat(logits)


def judge_means(logits: Tensor | Sequence[Tensor]) -> Tensor:
    """The logits of one judge or several, (N, ...) each -> each picture's mean logit of each judge, (N, judges)."""
    judges = [logits] if isinstance(logits, Tensor) else logits
    return torch.stack([judge.flatten(1).mean(1) for judge in judges], 1)


@contextmanager
def in_mode(network: nn.Module, mode: Mode) -> Iterator[None]:
    """Applies a mode to a network in eval mode itself, within the block, for one picture. Its weights and running
    statistics do not change, but its layers do: no other thread may call it meanwhile."""
    dropouts = _dropouts(network)
    averages = [(layer, layer.running_mean, layer.running_var) for layer in _batch_norms(network)]
    try:
        _set_mode(network, mode)
        with seeded_dropout(mode.seed):
            yield
    finally:
        for parent, name, layer in dropouts:
            parent.add_module(name, layer)
        for layer, mean, variance in averages:
            layer.running_mean, layer.running_var = mean, variance


def _set_mode(network: nn.Module, mode: Mode) -> None:
    """Replaces the layers of a network, in place."""
    if mode.dropout:
        for parent, name, layer in _dropouts(network):
            parent.add_module(name, SeededDropout(layer.p))
    if mode.statistics == "batch":
        for layer in _batch_norms(network):  # in eval mode one without averages takes the statistics of its input
            layer.running_mean = layer.running_var = None


def _dropouts(network: nn.Module) -> list[tuple[nn.Module, str, nn.Dropout]]:
    """The dropouts of a network that drop anything, with their parents and their names there."""
    return [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Dropout) and layer.p
    ]


def _batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
