"""One minimax game for every pipeline: what a game is, and the trainer that plays it.

    min over the generators, max over the discriminators of V        Goodfellow et al. 2014, Eq. 1 and Algorithm 1
    https://arxiv.org/abs/1406.2661

A pipeline says *what* is played: a `Game` names its two sides and returns, for each, a loss to go down. This module
says *how*: it alone generates, detaches, holds the opponent still, differentiates, reduces over processes, clips,
steps and averages. It knows nothing of pictures, folders, conditions, TensorBoard or files.

The rules of play:

- Row n of a run is the same row for any number of processes and workers; processes split consecutive rows.
- Time is counted in images: one image seen is one row that trained the generators.
- A step is k moves of the discriminators, each on a fresh minibatch, then one move of the generators. (The papers' own
  programs move G first; the difference is half a step of staleness.)
- A minibatch of several micro-batches takes two phases, so that G is judged by the D that has moved, as it would be
  by one large batch: all of D's gradients, D's step, then all of G's gradients, G's step.
- Nothing here makes the host wait for a CUDA device between two calls of `readings`. (Apple's fused optimisers make it
  wait once a move, see `Side.step`.)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from quagga.data.tensors import with_floats
from quagga.pipelines.schedule import Schedule
from quagga.pipelines.shared_norm import alone, share_statistics
from quagga.pipelines.side import Side

Images = dict[str, Tensor]  # name -> (N, C, H, W) in [-1, 1], in display order
Terms = dict[str, Tensor]  # name -> scalar
Batch = dict[str, Tensor]  # tensors of any kind, N rows each; "row" holds the rows' numbers


class Loss(NamedTuple):
    """What one side wants to go down."""

    terms: Terms  # scalars; their sum is the loss; each is also a curve
    readings: Terms = {}  # noqa: RUF012  scalars that are only logged: D's mean on real and fake, ...


class Draw:
    """Chance, row by row: what row n draws is a function of (seed, n, purpose, how many draws came before), so it
    does not depend on the batch the row is in, on the device, or on the number of processes."""

    def __init__(self, seed: int, rows: Sequence[int], purpose: int = 0, minibatch: int | None = None):
        self.seed, self.rows, self.purpose = seed, rows, purpose
        self.minibatch = minibatch or len(rows)  # rows in a whole minibatch, over all processes and micro-batches
        self.calls = 0

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """(N, *shape) numbers in [0, 1), on the device and in the dtype of `like`."""
        return self._to(like, [source.random(shape, np.float32) for source in self._sources()])

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """(N, *shape) numbers of mean 0 and variance 1, on the device and in the dtype of `like`."""
        return self._to(like, [source.standard_normal(shape, np.float32) for source in self._sources()])

    def numbers(self, count: int) -> np.ndarray:
        """(N, count) numbers in [0, 1) on the host, for decisions that must not make it wait for the device."""
        return np.stack([source.random(count, np.float32) for source in self._sources()])

    def _sources(self) -> Iterator[np.random.Generator]:
        self.calls += 1
        counter = [0, 0, self.calls, self.purpose]
        for row in self.rows:
            yield np.random.Generator(np.random.Philox(key=[self.seed, row], counter=counter))

    @staticmethod
    def _to(like: Tensor, drawn: list[np.ndarray]) -> Tensor:
        numbers = torch.from_numpy(np.stack(drawn))
        if like.is_cuda:  # a copy from ordinary memory would wait for the device
            numbers = numbers.pin_memory()
        return numbers.to(like.device, like.dtype, non_blocking=like.is_cuda)


class Stateful(Protocol):
    """A part of a game that checkpoints hold, beside networks and optimisers."""

    def state_dict(self) -> dict[str, Any]:
        """This process's share: text -> tensors, numbers, strings, or lists and dictionaries of them. The shares of all
        processes become one dictionary, so no two may give a key with different values."""

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Takes the shares of all processes, of which there may have been another number."""


class Game(Protocol):
    """What is played. Its methods compute; they do no I/O, keep no time and call no optimiser, and `draw` is their only
    source of chance."""

    @property
    def generators(self) -> Mapping[str, nn.Module]:
        """Name -> network: they minimise. By the names that checkpoints and `translations` or `samples` have. Either
        side may be empty."""

    @property
    def discriminators(self) -> Mapping[str, nn.Module]:
        """Name -> network: they maximise. Of a side without networks the loss is never asked for."""

    @property
    def memory(self) -> Mapping[str, Stateful]:
        """Name -> what else must survive a stop, such as a pool of old fakes; {} for nothing."""

    @property
    def fresh_noise(self) -> bool:
        """Whether noise is drawn anew for the generators' move. Else both moves see the same fakes: `generate` is
        called once for both, or again with the same draws."""

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """The fakes of a batch, (N, C, H, W) in [-1, 1], by the names the losses use; also without gradients."""

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """What the discriminators want to go down, of one term or more. Fakes arrive detached; the generators hold
        still."""

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """What the generators want to go down, of one term or more; the gradient comes through the fakes, and the
        discriminators hold still."""

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Strips of held-out pictures: name -> caption -> pictures (N, C, H, W) in [-1, 1], of which row n is one
        example; N may differ from the batch's. Called without gradients and in eval mode, with averaged generators and
        with raw ones."""

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """What is read of held-out pictures, beside the strips: name -> scalar, the curve held_out/NAME; without
        gradients, in eval mode, with averaged generators."""


def networks_of(game: Game) -> list[nn.Module]:
    """Both sides' networks, the generators first."""
    return [*game.generators.values(), *game.discriminators.values()]


class NotFinite(ArithmeticError):
    """A loss or a gradient became NaN or infinite. No weight has taken it in.

    what: names of the terms, readings and gradients. images_seen: before the step in which it happened first. rows: the
    minibatch of that step.
    """

    def __init__(self, what: list[str], images_seen: int, rows: range):
        some = ", ".join(what[:6]) + (f" and {len(what) - 6} more" if len(what) > 6 else "")
        super().__init__(f"{some} not finite after {images_seen:,} images")
        self.what, self.images_seen, self.rows = what, images_seen, rows


class Trainer:
    """Plays a game.

        trainer = Trainer(game, Schedule(images=10_000), length=10_000)
        for images_seen in trainer.play(batches):
            if images_seen % 1000 == 0:
                print(trainer.readings())

    `batches(from_row)` gives this process's share of consecutive minibatches, for ever: `Schedule.batch_size` rows at
    a time, of which `batch["row"]` are the numbers. Pictures among it, uint8 (N, C, H, W), become floats in [-1, 1]
    on the device.
    """

    # What a row's chance is for. The fakes of both moves share a purpose unless the game asks for fresh noise.
    GENERATE, GENERATE_AGAIN, DISCRIMINATOR, GENERATOR, LOOK, ESTIMATE = range(6)

    def __init__(self, game: Game, schedule: Schedule, length: int, accelerator: Accelerator | None = None):
        self.game, self.schedule, self.length = game, schedule, length
        self.accelerator = accelerator or Accelerator()
        networks = networks_of(game)
        for network in networks:
            if self.accelerator.num_processes > 1:
                share_statistics(network)
            network.to(self.accelerator.device).train()
            if self.accelerator.num_processes > 1:
                with torch.no_grad():
                    broadcast([*network.parameters(), *network.buffers()])
        s, scaled = schedule, self.accelerator.mixed_precision == "fp16"
        self.minibatch = s.batch_size * self.accelerator.num_processes * s.accumulation  # rows over all processes
        scale = s.scale(self.minibatch)
        self.sides: dict[str, Side] = {}
        if game.generators:
            self.sides["generators"] = Side(game.generators, s.optimizer, s.lr * scale, s, scaled)
        if game.discriminators:
            rate = s.lr if s.lr_discriminator is None else s.lr_discriminator
            optimizer = s.optimizer_discriminator or s.optimizer
            self.sides["discriminators"] = Side(game.discriminators, optimizer, rate * scale, s, scaled)
        # torch's AveragedModel would do, but its counter makes the host wait for the device at every step.
        self.averages = {name: deepcopy(network).requires_grad_(False) for name, network in game.generators.items()}
        self.images_seen = 0
        self.row = 0  # the next row to read
        self.between_steps = True  # where `state_dict` is a moment of the game, also when reading a row raises
        self.waited = 0.0  # seconds spent waiting for data since the last readings
        # the first row of the first bad minibatch, on the device; -1: none
        self.fault = torch.full((), -1, dtype=torch.int64, device=self.accelerator.device)
        # at which images seen, over which rows, what: buffers of the averages
        self.estimated: tuple[int, Sequence[Batch], list[Tensor]] | None = None
        self.tally: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    # -- playing ------------------------------------------------------------------------------------------------------

    def play(self, batches: Callable[[int], Iterator[Batch]]) -> Iterator[int]:
        """Plays from where the game stands to the end of its length; yields the images seen after every step, and
        after every move of a head start. All processes must take their steps together."""
        stream = batches(self.row)
        while self.row < self.schedule.head_start:
            minibatch = self._minibatch(stream)
            self.between_steps = False
            self._discriminators_move(minibatch, last=False)
            self.between_steps = True
            yield self.images_seen
        while self.images_seen < self.length:
            for move in range(self.schedule.k):
                minibatch = self._minibatch(stream)
                self.between_steps = False
                fakes = self._discriminators_move(minibatch, last=move == self.schedule.k - 1)
            self._generators_move(minibatch, fakes)  # pyright: ignore[reportPossiblyUnboundVariable]
            self.images_seen += self.minibatch
            self._update_averages()
            self.between_steps = True
            yield self.images_seen

    def _minibatch(self, stream: Iterator[Batch]) -> list[tuple[Batch, list[int]]]:
        """This process's micro-batches of one minibatch, on the device, each with its rows' numbers."""
        start = perf_counter()
        minibatch = [next(stream) for _ in range(self.schedule.accumulation)]
        self.waited += perf_counter() - start
        self.row += self.minibatch
        return [(self._to_device(batch), batch["row"].tolist()) for batch in minibatch]

    def _discriminators_move(self, minibatch: list[tuple[Batch, list[int]]], last: bool) -> Images | None:
        """Returns the fakes with their graph where the generators can use them: then one generation serves both
        moves."""
        reuse = last and self.schedule.accumulation == 1 and not self.game.fresh_noise
        side, fakes = self.sides.get("discriminators"), None
        if side is None:
            return None
        for batch, rows in minibatch:
            with self.accelerator.autocast():
                with torch.set_grad_enabled(reuse):
                    fakes = self.game.generate(batch, self._draw(rows, self.GENERATE))
                detached = {name: fake.detach() for name, fake in fakes.items()}
                with self._generators_held():
                    loss = self.game.discriminator_loss(batch, detached, self._draw(rows, self.DISCRIMINATOR))
            self._backward("discriminators", loss)
        self._step("discriminators")
        if (limit := self.schedule.clip_weights) is not None:
            for p in side.parameters:
                p.data.clamp_(-limit, limit)
        return fakes if reuse else None

    def _generators_move(self, minibatch: list[tuple[Batch, list[int]]], fakes: Images | None) -> None:
        if "generators" not in self.sides:
            return
        purpose = self.GENERATE_AGAIN if self.game.fresh_noise else self.GENERATE
        with self._discriminators_held():
            for batch, rows in minibatch:
                with self.accelerator.autocast():
                    if fakes is None:
                        fakes = self.game.generate(batch, self._draw(rows, purpose))
                    loss = self.game.generator_loss(batch, fakes, self._draw(rows, self.GENERATOR))
                self._backward("generators", loss)
                fakes = None
        self._step("generators")

    def _backward(self, side: str, loss: Loss) -> None:
        total = torch.stack(
            [term.float() if term.dtype != torch.float64 else term for term in loss.terms.values()]
        ).sum()
        self.sides[side].backward(total / self.schedule.accumulation)
        self._note({f"{side}/{name}": term for name, term in loss.terms.items()} | loss.readings)
        self._mark(~total.detach().isfinite())

    def _step(self, side: str) -> None:
        rate = self.schedule.rate(self.images_seen, self.length, self.minibatch)
        norm, skipped = self.sides[side].step(self.accelerator, rate, self.schedule.clip_gradients)
        if self.accelerator.mixed_precision == "fp16":  # an overflow is no fault there: the scaler lowers its scale
            norm = torch.where(skipped, 0, norm)
        else:
            self._mark(skipped)
        self._note({f"gradient/{side}": norm})

    def _generators_held(self):
        return self.sides["generators"].held() if "generators" in self.sides else torch.enable_grad()

    def _discriminators_held(self):
        return self.sides["discriminators"].held() if "discriminators" in self.sides else torch.enable_grad()

    def _draw(self, rows: list[int], purpose: int) -> Draw:
        """Chance for one call of the game. Layers that draw by themselves (dropout) take torch's: it, too, starts from
        the rows, so that a resumed game drops the same units, and both phases of an accumulated step do."""
        number = hash((self.schedule.seed, rows[0], purpose)) & (1 << 63) - 1  # of numbers: the same in every process
        # Not torch.manual_seed: for each kind of device not in use it keeps the call, with its stack, for later.
        torch.default_generator.manual_seed(number)
        if self.accelerator.device.type == "cuda":
            torch.cuda.manual_seed(number)
        elif self.accelerator.device.type == "mps":
            torch.mps.manual_seed(number)
        return Draw(self.schedule.seed, rows, purpose, self.minibatch)

    def _to_device(self, batch: Batch) -> Batch:
        device = self.accelerator.device
        # Only CUDA keeps what it is still copying; Apple's GPUs may read memory that is somebody else's by then.
        there = {name: tensor.to(device, non_blocking=device.type == "cuda") for name, tensor in batch.items()}
        return with_floats(there)

    # -- averages of the generators -----------------------------------------------------------------------------------

    @torch.no_grad()
    def _update_averages(self) -> None:
        """average <- weights + beta (average - weights), beta from the half-life (Karras et al. 2022, App. F.1)."""
        halflife = min(self.schedule.ema_halflife, self.schedule.ema_ramp * self.images_seen)
        beta = 0.5 ** (self.minibatch / halflife) if halflife > 0 and self.images_seen > self.minibatch else 0.0
        for name, average in self.averages.items():
            network = self.game.generators[name]
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - beta)
            if buffers := list(average.buffers()):
                torch._foreach_copy_(buffers, list(network.buffers()))

    @contextmanager
    def averaged(self, rows: Sequence[Batch] = ()) -> Iterator[None]:
        """Within, the game's generators carry their averaged weights.

        Batch normalisation remembers means and variances of the weights that played, which are not those of their
        average: they are taken anew, over the minibatches `rows`, once for each moment of the run, and the old ones
        are given back afterwards.
        """
        pairs = [
            (p, q)
            for name, network in self.game.generators.items()
            for p, q in zip(network.parameters(), self.averages[name].parameters(), strict=True)
        ]
        buffers = [buffer for network in self.game.generators.values() for buffer in network.buffers()]
        kept = [buffer.clone() for buffer in buffers]
        for p, q in pairs:
            p.data, q.data = q.data, p.data
        try:
            if rows and self.has_statistics:
                known = self.estimated
                if known is None or known[0] != self.images_seen or known[1] is not rows:
                    self._estimate_statistics(rows)
                    self.estimated = known = (self.images_seen, rows, [buffer.clone() for buffer in buffers])
                for buffer, estimate in zip(buffers, known[2], strict=True):
                    buffer.copy_(estimate)
            yield
        finally:
            for p, q in pairs:
                p.data, q.data = q.data, p.data
            for buffer, was in zip(buffers, kept, strict=True):
                buffer.copy_(was)

    @property
    def has_statistics(self) -> bool:
        """Whether a generator remembers statistics of batches, so that `averaged` needs rows."""
        return bool(self._statistics())

    def _statistics(self) -> list[_BatchNorm]:
        layers = (layer for network in self.game.generators.values() for layer in network.modules())
        return [layer for layer in layers if isinstance(layer, _BatchNorm) and layer.running_mean is not None]

    @torch.no_grad()
    def _estimate_statistics(self, rows: Sequence[Batch]) -> None:
        layers = self._statistics()
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over the minibatches
        try:
            for batch in rows:
                # The main process alone does this where it draws strips and saves. As written, since a compiler that
                # meets layers without a momentum leaves their networks as they are for good.
                eager = torch.compiler.set_stance("force_eager")
                with self.accelerator.autocast(), alone(self.game.generators.values()), eager:
                    self.game.generate(self._to_device(batch), self._draw(batch["row"].tolist(), self.ESTIMATE))
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Within, all networks are as they are used, not as they train; what is compiled runs as written, since each
        other size of a batch would be compiled for minutes."""
        networks = networks_of(self.game)
        for network in networks:
            network.eval()
        try:
            with torch.no_grad(), self.accelerator.autocast(), torch.compiler.set_stance("force_eager"):
                yield
        finally:
            for network in networks:
                network.train()

    def visualize(self, batch: Batch) -> dict[str, Images]:
        """The game's strips for a fixed batch, on the CPU in float32. Rows of `batch` draw as rows 0, 1, ... of the
        run."""
        with self._looking():
            strips = self.game.visualize(self._to_device(batch), self._draw(_numbered(batch), self.LOOK))
        return {
            strip: {name: image.float().cpu() for name, image in images.items()} for strip, images in strips.items()
        }

    def examine(self, batch: Batch) -> dict[str, float]:
        """What the game reads off a fixed batch of held-out pictures; rows draw as in `visualize`."""
        with self._looking():
            read = self.game.examine(self._to_device(batch), self._draw(_numbered(batch), self.LOOK))
        return {name: float(value) for name, value in read.items()}

    # -- readings -----------------------------------------------------------------------------------------------------

    def _note(self, scalars: Terms) -> None:
        for name, scalar in scalars.items():
            scalar = scalar.detach().float()
            self.tally[name] = self.tally[name] + scalar if name in self.tally else scalar
            self.counts[name] = self.counts.get(name, 0) + 1

    def _mark(self, bad: Tensor) -> None:
        self.fault = torch.where(bad & (self.fault < 0), self.row - self.minibatch, self.fault)

    def readings(self) -> dict[str, float]:
        """Means, since the last call and over all processes, of every term, reading and gradient norm. Here, and in
        `state_dict`, the host waits for the device; every process must call it.

        Raises NotFinite where a loss or gradient was not finite since the last call."""
        try:
            values = self._means()
        finally:
            self.tally, self.counts, self.waited = {}, {}, 0.0
            self.fault = torch.full_like(self.fault, -1)
        rate = self.schedule.rate(self.images_seen, self.length, self.minibatch)
        return values | {f"rate/{name}": side.lr * rate for name, side in self.sides.items()}

    def _means(self) -> dict[str, float]:
        """What has been noted so far, left as it is. Raises NotFinite."""
        names = list(self.tally)
        means = torch.stack([self.tally[name] / self.counts[name] for name in names]) if names else torch.zeros(0)
        fault = self.fault
        if self.accelerator.num_processes > 1:
            means = self.accelerator.reduce(means, "mean") if names else means
            fault = self.accelerator.gather(self.fault).max()  # pyright: ignore[reportAttributeAccessIssue]
        values = dict(zip(names, means.tolist(), strict=True))  # pyright: ignore[reportAttributeAccessIssue]
        row = int(fault)
        if row >= 0:
            bad = [name for name, value in values.items() if not np.isfinite(value)]
            steps = (self.row - row) // (self.minibatch * self.schedule.k)  # since then
            before = max(0, self.images_seen - steps * self.minibatch)
            raise NotFinite(bad, before, range(row, row + self.minibatch))
        scales = {
            f"scale/{name}": side.scaler.get_scale() for name, side in self.sides.items() if side.scaler.is_enabled()
        }
        if any(scale < 1 for scale in scales.values()):  # no overflow lasts so long: the gradient itself is not finite
            raise NotFinite(list(scales), self.images_seen, range(self.row - self.minibatch, self.row))
        return values | scales

    # -- what must survive a stop -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything a game needs to go on: nested dictionaries of tensors, numbers and strings. Every process must
        call it: each gives its share of the game's memory, and what it has noted since the last readings.

        Raises NotFinite as `readings` does: what is saved is clean."""
        self._means()
        memory: dict[str, dict[str, Any]] = {}
        for name, part in self.game.memory.items():
            shares = gather_object([part.state_dict()]) if self.accelerator.num_processes > 1 else [part.state_dict()]
            memory[name] = {key: value for share in shares for key, value in share.items()}
        noted = [{"sums": self.tally, "counts": self.counts}]
        if self.accelerator.num_processes > 1:
            noted = gather_object([{"sums": {k: v.cpu() for k, v in self.tally.items()}, "counts": self.counts}])
        return {
            "generators": {name: network.state_dict() for name, network in self.game.generators.items()},
            "discriminators": {name: network.state_dict() for name, network in self.game.discriminators.items()},
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
            "optimizers": {name: side.optimizer.state_dict() for name, side in self.sides.items()},
            "scalers": {name: side.scaler.state_dict() for name, side in self.sides.items()},
            "memory": memory,
            "noted": noted,
            "counters": {"images_seen": self.images_seen, "row": self.row, "minibatch": self.minibatch},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the game where `state_dict` was called. Every process must be given the same state."""
        for name, network in [*self.game.generators.items(), *self.game.discriminators.items()]:
            network.load_state_dict(state["generators" if name in self.game.generators else "discriminators"][name])
        for name, average in self.averages.items():
            average.load_state_dict(state["averages"][name])
        for name, side in self.sides.items():
            side.load(state["optimizers"][name])
            if state["scalers"][name] and side.scaler.is_enabled():
                side.scaler.load_state_dict(state["scalers"][name])
        for name, part in self.game.memory.items():
            part.load_state_dict(state["memory"][name])
        self.images_seen, self.row = state["counters"]["images_seen"], state["counters"]["row"]
        noted, self.waited, self.estimated = state["noted"], 0.0, None
        if len(noted) == self.accelerator.num_processes:
            own = noted[self.accelerator.process_index]
            self.tally = {name: scalar.to(self.accelerator.device) for name, scalar in own["sums"].items()}
        else:  # for another number of processes each takes the mean, of which the mean is the same
            shares = {name: torch.stack([share["sums"][name].cpu() for share in noted]) for name in noted[0]["sums"]}
            self.tally = {name: share.mean(0).to(self.accelerator.device) for name, share in shares.items()}
        self.counts = dict(noted[0]["counts"])
        self.fault = torch.full_like(self.fault, -1)


def _numbered(batch: Batch) -> list[int]:
    return list(range(len(next(iter(batch.values())))))
