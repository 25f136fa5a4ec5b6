"""One side of a game, as the trainer moves it: networks, their gradients, their optimiser."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from quagga.pipelines.schedule import OptimizerName, Schedule


class Side:
    """One side of the game: its networks, its optimiser, and all of its gradients in one flat buffer, so that a step
    takes one reduction over the processes, one norm and one test for NaN, however many networks the side has."""

    def __init__(
        self, networks: Mapping[str, nn.Module], name: OptimizerName, lr: float, schedule: Schedule, scaled: bool
    ):
        self.networks, self.lr = networks, lr
        unique = {id(p): p for network in networks.values() for p in network.parameters() if p.requires_grad}
        self.parameters = list(unique.values())
        like = self.parameters[0]
        self.gradient = torch.zeros(sum(p.numel() for p in self.parameters), dtype=like.dtype, device=like.device)
        start = 0
        for p in self.parameters:  # autograd adds into .grad in place, so these views stay views
            p.grad = self.gradient.as_strided(p.size(), p.stride(), start)
            start += p.numel()
        betas = (float(schedule.beta1), float(schedule.beta2))
        self.optimizer = {
            # The fused kernels skip a step on the device where `found_inf` says so; RMSprop has none.
            "adam": lambda: torch.optim.Adam(self.parameters, lr, betas=betas, fused=True),
            "rmsprop": lambda: torch.optim.RMSprop(self.parameters, lr, alpha=schedule.beta2),
            "sgd": lambda: torch.optim.SGD(self.parameters, lr, fused=True),
        }[name]()
        self.fused = name != "rmsprop"
        self.scaler = torch.amp.GradScaler(like.device.type, enabled=scaled)

    def load(self, state: dict[str, Any]) -> None:
        """Puts the optimiser where its `state_dict` was called, whatever the order of its numbers in memory was."""
        self.optimizer.load_state_dict(state)
        for p, kept in self.optimizer.state.items():  # the fused kernels pair numbers by their place in memory
            for name, value in kept.items():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    kept[name] = torch.empty_like(p, dtype=value.dtype, requires_grad=False).copy_(value)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, gradients flow through this side's networks but not into them."""
        for p in self.parameters:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in self.parameters:
                p.requires_grad_(True)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a scalar to the buffer; in fp16 it is scaled, until `step`."""
        self.scaler.scale(loss).backward()

    def step(self, accelerator: Accelerator, rate: float, clip: float | None) -> tuple[Tensor, Tensor]:
        """Moves against the mean gradient of all processes, unless it is not finite. Returns the gradient's norm before
        clipping and whether the move was left out, both on the device."""
        if accelerator.num_processes > 1:  # a NaN of one process spreads with the mean: all skip alike
            self.gradient.copy_(accelerator.reduce(self.gradient, "mean"))  # pyright: ignore[reportArgumentType]
        self.scaler.unscale_(self.optimizer)
        norm = torch.linalg.vector_norm(self.gradient)
        skip = ~norm.isfinite()
        if clip is not None:
            self.gradient.mul_((clip / norm.clamp(min=1e-12)).clamp(max=1))
        if skip.device.type == "mps" and skip.item():  # whose fused kernels do not heed `found_inf`
            self.gradient.zero_()
            return norm, skip
        if self.fused:
            self.optimizer.found_inf = skip.float()  # pyright: ignore[reportAttributeAccessIssue]
        else:  # without a gradient RMSprop's weights stay where they are
            self.gradient.copy_(torch.where(skip, 0, self.gradient))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * rate
        self.optimizer.step()
        self.scaler.update()
        self.gradient.zero_()
        return norm, skip
