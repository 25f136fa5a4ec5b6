"""The protocol of a game, its losses, and its random numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from quagga.models.description.export import Export
from quagga.pipelines.core.phases import Progress

Images = dict[str, Tensor]  # name -> (N, C, H, W) in [-1, 1], in display order
Terms = dict[str, Tensor]  # name -> scalar
Batch = dict[str, Tensor]  # tensors of any kind, N rows each; "row" holds the rows' numbers


class Loss(NamedTuple):
    """The loss of one side."""

    terms: Terms  # scalars; their sum is the loss; each is also a curve
    readings: Terms = {}  # noqa: RUF012  scalars that are only logged: D's mean on real and fake, ...


class Draw:
    """Random numbers, row by row: those of row n are a function of (seed, n, purpose, number of draws before), so they
    do not depend on the row's batch, on the device, or on the number of processes.

    Args:
        seed: the run's.
        rows: numbers of the N rows that draw.
        purpose: separates independent sequences of numbers.
        minibatch: rows in a whole minibatch, over all processes and micro-batches; None takes N.
        progress: how far the run is: in a call that trains, at that step; for strips, held-out pictures and averages,
            at the step before.
    """

    def __init__(
        self,
        seed: int,
        rows: Sequence[int],
        purpose: int = 0,
        minibatch: int | None = None,
        progress: Progress = Progress(),  # noqa: B008  a tuple
    ):
        self.seed, self.rows, self.purpose, self.progress = seed, rows, purpose, progress
        self.minibatch = minibatch or len(rows)
        self.calls = 0

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns (N, *shape) numbers in [0, 1), on the device and in the dtype of `like`."""
        return self._to(like, [source.random(shape, np.float32) for source in self._sources()])

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns (N, *shape) numbers of mean 0 and variance 1, on the device and in the dtype of `like`."""
        return self._to(like, [source.standard_normal(shape, np.float32) for source in self._sources()])

    def numbers(self, count: int) -> np.ndarray:
        """Returns (N, count) numbers in [0, 1) on the host, for decisions that must not wait for the device."""
        return np.stack([source.random(count, np.float32) for source in self._sources()])

    def _sources(self) -> Iterator[np.random.Generator]:
        self.calls += 1
        counter = [0, 0, self.calls, self.purpose]
        for row in self.rows:
            yield np.random.Generator(np.random.Philox(key=[self.seed, row], counter=counter))

    @staticmethod
    def _to(like: Tensor, drawn: list[np.ndarray]) -> Tensor:
        numbers = torch.from_numpy(np.stack(drawn))
        if like.is_cuda:  # a copy from pageable memory would wait for the device
            numbers = numbers.pin_memory()
        return numbers.to(like.device, like.dtype, non_blocking=like.is_cuda)


class Stateful(Protocol):
    """A part of a game that checkpoints store, beside networks and optimisers."""

    def state_dict(self) -> dict[str, Any]:
        """Returns this process's share: text -> tensors, numbers, strings, or lists and dictionaries of them. The
        shares of all processes are merged into one dictionary, so no two may have one key with different values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Loads the merged shares of all processes, whose number may have been another."""
        ...


class Game(Protocol):
    """What is trained. Its methods compute; they do no I/O, measure no time and call no optimiser, and `draw` is their
    only source of random numbers."""

    @property
    def generators(self) -> Mapping[str, nn.Module]:
        """Name -> network: they minimise. The names are those in checkpoints. Either side may be empty."""
        ...

    @property
    def discriminators(self) -> Mapping[str, nn.Module]:
        """Name -> network: they maximise. The loss of a side without networks is never computed."""
        ...

    @property
    def memory(self) -> Mapping[str, Stateful]:
        """Name -> what else checkpoints must store, such as a pool of old fakes; {} for nothing."""
        ...

    @property
    def exports(self) -> Mapping[str, Export]:
        """Name -> what the trained game can do for a user, one or more. A saved model holds these, each with its
        weights in NAME.safetensors."""
        ...

    @property
    def fresh_noise(self) -> bool:
        """Whether noise is drawn anew for the generators' move. Else both moves see the same fakes: `generate` is
        called once for both, or again with the same draws."""
        ...

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns the fakes of a batch, (N, C, H, W) in [-1, 1], by the names the losses use, and whatever else these
        must know, such as a code that was drawn: tensors with N rows. Also called without gradients."""
        ...

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Returns the discriminators' loss, of one term or more. Fakes are detached; the generators are frozen."""
        ...

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Returns the generators' loss, of one term or more. The gradient comes through the fakes; the discriminators
        are frozen."""
        ...

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns strips of held-out pictures: name -> caption -> pictures (N, C, H, W) in [-1, 1], of which row n is
        one example; N may differ from the batch's. Called without gradients and in eval mode, with averaged generators
        and with raw ones."""
        ...

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns what is measured on held-out pictures: name -> scalar, the curve held_out/NAME. Called without
        gradients, in eval mode, with averaged generators."""
        ...


@runtime_checkable
class SizedGame(Protocol):
    """What a game says beside `Game` if it can be trained on pictures of several sizes, by a schedule whose phases
    state them. Other games are refused such a schedule."""

    def check_size(self, size: int) -> None:
        """Raises ValueError if the game cannot take pictures of `size` pixels a side."""
        ...


def networks_of(game: Game) -> list[nn.Module]:
    """Returns both sides' networks, the generators first."""
    return [*game.generators.values(), *game.discriminators.values()]
