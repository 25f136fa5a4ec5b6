"""One side of a game: its networks, their gradients, their optimiser."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from quagga.pipelines.core.schedule import OptimizerName, Schedule


class Player:
    """One side of a game. All of its gradients lie in one flat buffer, so that a step takes one reduction over the
    processes, one norm and one test for NaN, however many networks the side has.

    Args:
        networks: of this side, on their device.
        optimizer: name of the optimiser.
        lr: learning rate.
        schedule: the optimiser's other settings.
        scale_loss: whether the loss is scaled, for fp16.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizer: OptimizerName,
        lr: float,
        schedule: Schedule,
        scale_loss: bool,
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
        }[optimizer]()
        self.fused = optimizer != "rmsprop"
        self.scaler = torch.amp.GradScaler(like.device.type, enabled=scale_loss)

    def load(self, state: dict[str, Any]) -> None:
        """Loads the optimiser's state, whatever memory layout its tensors had."""
        self.optimizer.load_state_dict(state)
        for p, of_p in self.optimizer.state.items():  # the fused kernels pair elements by their place in memory
            for name, value in of_p.items():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    of_p[name] = torch.empty_like(p, dtype=value.dtype, requires_grad=False).copy_(value)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Lets gradients flow through this side's networks, but not into them, within the block."""
        for p in self.parameters:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in self.parameters:
                p.requires_grad_(True)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a scalar to the buffer; in fp16 it stays scaled until `step`."""
        self.scaler.scale(loss).backward()

    def step(self, accelerator: Accelerator, rate: float, clip: float | None) -> tuple[Tensor, Tensor]:
        """Takes an optimiser step with the mean gradient of all processes, unless that is not finite.

        Args:
            accelerator: of this process.
            rate: factor of the learning rate.
            clip: largest norm of the gradient; None: not clipped.

        Returns:
            The gradient's norm before clipping, and whether the step was skipped, both on the device.
        """
        if accelerator.num_processes > 1:  # a NaN of one process spreads with the mean, so that all skip
            self.gradient.copy_(accelerator.reduce(self.gradient, "mean"))  # pyright: ignore[reportArgumentType]
        self.scaler.unscale_(self.optimizer)
        norm = torch.linalg.vector_norm(self.gradient)
        skip = ~norm.isfinite()
        if clip is not None:
            self.gradient.mul_((clip / norm.clamp(min=1e-12)).clamp(max=1))
        if skip.device.type == "mps" and skip.item():  # whose fused kernels ignore `found_inf`
            self.gradient.zero_()
            return norm, skip
        if self.fused:
            self.optimizer.found_inf = skip.float()  # pyright: ignore[reportAttributeAccessIssue]
        else:  # with a gradient of 0 RMSprop's weights do not change
            self.gradient.copy_(torch.where(skip, 0, self.gradient))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * rate
        self.optimizer.step()
        self.scaler.update()
        self.gradient.zero_()
        return norm, skip
