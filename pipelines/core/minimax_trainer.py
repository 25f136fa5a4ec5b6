"""The trainer of a minimax game, the same for every pipeline.

    min over the generators, max over the discriminators of V        Goodfellow et al. 2014, Eq. 1 and Algorithm 1
    https://arxiv.org/abs/1406.2661

A pipeline says *what* is trained: a `Game` names its two sides and returns a loss for each. This module says *how*: it
alone generates, detaches, freezes the opponent, differentiates, reduces over processes, clips, steps and averages. It
knows nothing of pictures, folders, conditions, TensorBoard or files.

The rules:

- Row n of a run is the same row for any number of processes and workers; processes split consecutive rows.
- Time is counted in images: one image seen is one row that trained the generators. A phase begins at a row.
- A step is k moves of the discriminators, each on a fresh minibatch, then one move of the generators. (The papers' own
  programs move G first; the difference is half a step of staleness.)
- A minibatch of several micro-batches takes two phases, so that G is judged by the D that has moved, as with one large
  batch: all of D's gradients, D's step, then all of G's gradients, G's step.
- Nothing here makes the host wait for a CUDA device between two calls of `readings`. (With Apple's fused optimisers it
  waits once a move, see `Player.step`.)
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from time import perf_counter
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch import Tensor

from quagga.data.io.tensors import with_floats
from quagga.errors import some
from quagga.pipelines.core.game_protocol import Batch, Draw, Game, Images, Loss, networks_of
from quagga.pipelines.core.one_side import Player
from quagga.pipelines.core.patch_curves import patch_curves
from quagga.pipelines.core.phases import Phase, Progress
from quagga.pipelines.core.schedule import Schedule
from quagga.pipelines.core.sync_batchnorm import local_statistics, synchronize_batch_norm
from quagga.pipelines.core.term_means import ScalarRecorder
from quagga.pipelines.core.weight_averages import (
    layers_with_statistics,
    measured_statistics,
    swapped_weights,
    update_averages,
)

EMA_RAMP = 0.05  # of the images seen: the most that the half-life of averages is early in a run


class NotFinite(ArithmeticError):
    """A loss or a gradient became NaN or infinite. No weight was changed by it.

    Args:
        what: names of the terms, readings and gradients.
        images_seen: before the first step in which it happened.
        rows: the minibatch of that step.
    """

    def __init__(self, what: list[str], images_seen: int, rows: range):
        super().__init__(f"{some(what, 6)} not finite after {images_seen:,} images")
        self.what, self.images_seen, self.rows = what, images_seen, rows


class Trainer:
    """Trains a game.

        trainer = Trainer(game, Schedule(images=10_000), length=10_000)
        for images_seen in trainer.play(batches):
            if images_seen % 1000 == 0:
                print(trainer.readings())

    `batches` yields this process's share of consecutive minibatches, from row `trainer.row` on and without end:
    `Schedule.batch_size` rows at a time (or that of the phase), with their numbers in `batch["row"]`. Pictures in a
    batch, uint8 (N, C, H, W), become floats in [-1, 1] on the device.

    Args:
        game: what is trained; its networks are moved to the device.
        schedule: when and how far the sides move.
        length: images of the whole run.
        accelerator: device, processes and precision; None takes Accelerate's defaults.
    """

    # Purposes of a row's random numbers. Both moves' fakes share one unless the game asks for fresh noise.
    GENERATE, GENERATE_AGAIN, DISCRIMINATOR, GENERATOR, EVALUATE, ESTIMATE = range(6)

    def __init__(self, game: Game, schedule: Schedule, length: int, accelerator: Accelerator | None = None):
        self.game, self.schedule, self.length = game, schedule, length
        self.accelerator = accelerator or Accelerator()
        networks = networks_of(game)
        for network in networks:
            if self.accelerator.num_processes > 1:
                synchronize_batch_norm(network)
            network.to(self.accelerator.device).train()
            if self.accelerator.num_processes > 1:
                with torch.no_grad():
                    broadcast([*network.parameters(), *network.buffers()])
        s, scaled = schedule, self.accelerator.mixed_precision == "fp16"
        self.phases = s.plan(length, self.accelerator.num_processes)
        self.phase = self.phases[0]  # of the last minibatch that was read
        self.sides: dict[str, Player] = {}
        if game.generators:
            self.sides["generators"] = Player(game.generators, s.optimizer, self.phase.lr, s, scaled)
        if game.discriminators:
            lr = self.phase.lr_discriminator
            self.sides["discriminators"] = Player(game.discriminators, s.optimizer, lr, s, scaled)
        # Not torch's AveragedModel, whose counter makes the host wait for the device at every step.
        self.averages = {name: deepcopy(network).requires_grad_(False) for name, network in game.generators.items()}
        self.images_seen = 0
        self.row = 0  # the next row to read
        self.between_steps = True  # whether `state_dict` is valid, also when reading a row raises
        self.waited = 0.0  # seconds spent waiting for data since the last readings
        self.recorder = ScalarRecorder(self.accelerator)
        # Images seen, rows, and the averages' buffers that were estimated then over these rows.
        self.estimated: tuple[int, Sequence[Batch], list[Tensor]] | None = None

    @property
    def minibatch(self) -> int:
        """Rows of a minibatch of this phase, over all processes and micro-batches."""
        return self.phase.minibatch

    @property
    def progress(self) -> Progress:
        """How far the run is in the step that is computed, or between two steps, in the one before."""
        return self.phase.progress(self.row - self.minibatch)

    def phase_at(self, row: int) -> Phase:
        """Returns the phase that a row belongs to."""
        return next(phase for phase in reversed(self.phases) if phase.first_row <= row or phase is self.phases[0])

    # -- steps --------------------------------------------------------------------------------------------------------

    def play(self, batches: Iterator[Batch]) -> Iterator[int]:
        """Trains from where the game stands to the end of the phase, for the last phase to the run's full length;
        yields the images seen after every step, and after every move of a head start. All processes must take their
        steps together.

        Args:
            batches: this process's, from row `self.row` on.
        """
        end_row = self.phase_at(self.row).end_row
        while self.row < self.schedule.head_start:
            minibatch = self._next_minibatch(batches)
            self.between_steps = False
            self._discriminators_move(minibatch, last=False)
            self.between_steps = True
            yield self.images_seen
        while self.images_seen < self.length and (end_row is None or self.row < end_row):
            for move in range(self.schedule.k):
                minibatch = self._next_minibatch(batches)
                self.between_steps = False
                fakes = self._discriminators_move(minibatch, last=move == self.schedule.k - 1)
            self._generators_move(minibatch, fakes)  # pyright: ignore[reportPossiblyUnboundVariable]
            self.images_seen += self.minibatch
            self._update_averages()
            self.between_steps = True
            yield self.images_seen

    def _next_minibatch(self, batches: Iterator[Batch]) -> list[tuple[Batch, list[int]]]:
        """Returns this process's micro-batches of one minibatch, on the device, each with its rows' numbers."""
        self._enter(self.phase_at(self.row))
        start = perf_counter()
        minibatch = [next(batches) for _ in range(self.schedule.accumulation)]
        self.waited += perf_counter() - start
        self.row += self.minibatch
        return [(self._to_device(batch), batch["row"].tolist()) for batch in minibatch]

    def _enter(self, phase: Phase) -> None:
        if phase is self.phase:
            return
        self.phase = phase
        for name, lr in _rates(phase).items():
            if name in self.sides:
                self.sides[name].lr = lr

    def _discriminators_move(self, minibatch: list[tuple[Batch, list[int]]], last: bool) -> Images | None:
        """Returns the fakes with their graph if the generators' move can use them: then one pass serves both moves."""
        reuse = last and self.schedule.accumulation == 1 and not self.game.fresh_noise
        side, fakes = self.sides.get("discriminators"), None
        if side is None:
            return None
        for batch, rows in minibatch:
            with self.accelerator.autocast():
                with torch.set_grad_enabled(reuse):
                    fakes = self.game.generate(batch, self._draw(rows, self.GENERATE))
                detached = {name: fake.detach() for name, fake in fakes.items()}
                with self._frozen("generators"):
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
        with self._frozen("discriminators"):
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
        self.recorder.record({f"{side}/{name}": term for name, term in loss.terms.items()} | loss.readings)
        self.recorder.flag(~total.detach().isfinite(), self.row - self.minibatch)

    def _step(self, side: str) -> None:
        rate = self.schedule.rate(self.images_seen, self.length, self.minibatch)
        norm, skipped = self.sides[side].step(self.accelerator, rate, self.schedule.clip_gradients)
        if self.accelerator.mixed_precision == "fp16":  # there an overflow is normal: the scaler lowers its scale
            norm = torch.where(skipped, 0, norm)
        else:
            self.recorder.flag(skipped, self.row - self.minibatch)
        self.recorder.record({f"gradient/{side}": norm})

    def _frozen(self, side: str) -> AbstractContextManager[object]:
        return self.sides[side].frozen() if side in self.sides else torch.enable_grad()

    def _draw(self, rows: list[int], purpose: int) -> Draw:
        """Returns the random numbers for one call of the game. Layers that draw by themselves (dropout) use torch's
        generators, which are seeded from the rows too: so a resumed game drops the same units, and so do both phases of
        an accumulated step."""
        number = hash((self.schedule.seed, rows[0], purpose)) & (1 << 63) - 1  # of integers: the same in every process
        # Not torch.manual_seed: for each device type not in use it stores the call, with its stack, for later.
        torch.default_generator.manual_seed(number)
        if self.accelerator.device.type == "cuda":
            torch.cuda.manual_seed(number)
        elif self.accelerator.device.type == "mps":
            torch.mps.manual_seed(number)
        return Draw(self.schedule.seed, rows, purpose, self.minibatch, self.progress)

    def _to_device(self, batch: Batch) -> Batch:
        device = self.accelerator.device
        # Only CUDA keeps memory until it is copied; Apple's GPUs may read memory that has been reused by then.
        moved = {name: tensor.to(device, non_blocking=device.type == "cuda") for name, tensor in batch.items()}
        return with_floats(moved)

    # -- averages of the generators -----------------------------------------------------------------------------------

    def _update_averages(self) -> None:
        """Updates the averages, with beta from the half-life (Karras et al. 2022, App. F.1)."""
        halflife = min(self.schedule.ema_halflife, EMA_RAMP * self.images_seen)
        beta = 0.5 ** (self.minibatch / halflife) if halflife > 0 and self.images_seen > self.minibatch else 0.0
        update_averages(self.averages, self.game.generators, beta)

    @contextmanager
    def averaged(self, rows: Sequence[Batch] = ()) -> Iterator[None]:
        """Gives the game's generators their averaged weights within the block.

        Batch normalisation remembers means and variances of the weights that were trained, which are not those of their
        average: they are estimated anew, over the minibatches `rows`, once for each number of images seen. The old ones
        are restored afterwards.
        """
        with swapped_weights(self.averages, self.game.generators) as buffers:
            if rows and self.has_statistics:
                known = self.estimated
                if known is None or known[0] != self.images_seen or known[1] is not rows:
                    self._estimate_statistics(rows)
                    self.estimated = known = (self.images_seen, rows, [buffer.clone() for buffer in buffers])
                for buffer, estimate in zip(buffers, known[2], strict=True):
                    buffer.copy_(estimate)
            yield

    @property
    def has_statistics(self) -> bool:
        """Whether a generator remembers statistics of batches, so that `averaged` needs rows."""
        return bool(layers_with_statistics(self.game.generators.values()))

    @torch.no_grad()
    def _estimate_statistics(self, rows: Sequence[Batch]) -> None:
        generators = self.game.generators.values()
        with measured_statistics(layers_with_statistics(generators)):
            for batch in rows:
                # The main process alone does this, when it draws strips and saves. Uncompiled, since a compiler that
                # meets layers without a momentum would never compile their networks again.
                eager = torch.compiler.set_stance("force_eager")
                with self.accelerator.autocast(), local_statistics(generators), eager:
                    self.game.generate(self._to_device(batch), self._draw(batch["row"].tolist(), self.ESTIMATE))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Sets all networks to eval mode within the block, without gradients; compiled ones run uncompiled, since each
        other batch size would be compiled for minutes."""
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
        """Returns the game's strips for a fixed batch, on the CPU in float32. Its rows draw the random numbers of rows
        0, 1, ... of the run."""
        with self._evaluating():
            strips = self.game.visualize(self._to_device(batch), self._draw(_row_numbers(batch), self.EVALUATE))
        return {
            strip: {name: image.float().cpu() for name, image in images.items()} for strip, images in strips.items()
        }

    def examine(self, batch: Batch) -> dict[str, float]:
        """Returns what the game measures on a fixed batch of held-out pictures, and how far the patches of what it
        makes are from theirs (`patch_curves`); rows draw as in `visualize`."""
        rows, batch = _row_numbers(batch), self._to_device(batch)
        with self._evaluating():
            terms = self.game.examine(batch, self._draw(rows, self.EVALUATE))
            exports = getattr(self.game, "exports", {})  # a game that nothing is saved of may state none
            terms = {**patch_curves(exports, batch, self._draw(rows, self.EVALUATE)), **terms}
        return {name: float(value) for name, value in terms.items()}

    # -- readings -----------------------------------------------------------------------------------------------------

    def readings(self) -> dict[str, float]:
        """Returns the means, since the last call and over all processes, of every term, reading and gradient norm.
        Here, and in `state_dict`, the host waits for the device; every process must call it.

        Raises NotFinite if a loss or gradient was not finite since the last call."""
        try:
            values = self._means()
        finally:
            self.recorder.reset()
            self.waited = 0.0
        phase = self.phase_at(self.row)  # of the step to come
        rate = self.schedule.rate(self.images_seen, self.length, phase.minibatch)
        return values | {f"rate/{name}": lr * rate for name, lr in _rates(phase).items() if name in self.sides}

    def _means(self) -> dict[str, float]:
        """Returns the means of what was recorded, and keeps it. Raises NotFinite."""
        values, row = self.recorder.means()
        if row >= 0:
            bad = [name for name, value in values.items() if not np.isfinite(value)]
            since = sum(phase.steps(row, self.row) * phase.minibatch for phase in self.phases)  # images of whole steps
            before = max(0, self.images_seen - since)
            raise NotFinite(bad, before, range(row, row + self.phase_at(row).minibatch))
        scales = {
            f"scale/{name}": side.scaler.get_scale() for name, side in self.sides.items() if side.scaler.is_enabled()
        }
        if any(scale < 1 for scale in scales.values()):  # after so many overflows the gradient itself is not finite
            raise NotFinite(list(scales), self.images_seen, range(self.row - self.minibatch, self.row))
        return values | scales

    # -- state for checkpoints ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a resumed game needs: nested dictionaries of tensors, numbers and strings. Every
        process must call it: each adds its share of the game's memory, and what it has recorded since the last
        readings.

        Raises NotFinite as `readings` does: a saved state is always finite."""
        self._means()
        memory: dict[str, dict[str, Any]] = {}
        for name, part in self.game.memory.items():
            shares = gather_object([part.state_dict()]) if self.accelerator.num_processes > 1 else [part.state_dict()]
            memory[name] = {key: value for share in shares for key, value in share.items()}
        return {
            "generators": {name: network.state_dict() for name, network in self.game.generators.items()},
            "discriminators": {name: network.state_dict() for name, network in self.game.discriminators.items()},
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
            "optimizers": {name: side.optimizer.state_dict() for name, side in self.sides.items()},
            "scalers": {name: side.scaler.state_dict() for name, side in self.sides.items()},
            "memory": memory,
            "noted": self.recorder.gathered_state(),
            "counters": {"images_seen": self.images_seen, "row": self.row, "minibatch": self.minibatches},
        }

    @property
    def minibatches(self) -> int | list[int]:
        """Rows of a minibatch, of each phase where there are several: these must stay the same in a resumed run."""
        return self.minibatch if len(self.phases) == 1 else [phase.minibatch for phase in self.phases]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the state that `state_dict` returned. Every process must be given the same state."""
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
        self._enter(self.phase_at(self.row - 1))
        self.recorder.load_state(state["noted"])
        self.waited, self.estimated = 0.0, None


def _rates(phase: Phase) -> dict[str, float]:
    """Returns side -> learning rate."""
    return {"generators": phase.lr, "discriminators": phase.lr_discriminator}


def _row_numbers(batch: Batch) -> list[int]:
    """Returns 0, 1, ... for the rows of a batch."""
    return list(range(len(next(iter(batch.values())))))
