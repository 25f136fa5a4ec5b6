"""Batch normalisation over the rows of all processes: for eight processes at batch 1, over 8 rows.

    mean = 1/P sum_p mean_p        var = 1/P sum_p var_p + 1/P sum_p (mean_p - mean)^2

over P processes with equally many rows each. `torch.nn.SyncBatchNorm` does the same with kernels of its own, but takes
no tensor on the CPU and has no second derivative, which gradient penalties need. This one is written in differentiable
operations: it can be tested on the CPU, in float64, and is slower than a kernel. A layer costs one reduction of 2 P C
numbers forward and one backward.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation, of any dimension and with the same names in its state, whose batch in training is the rows
    of all processes. (N, C, ...) -> the same shape and dtype. All processes must call it together, except within
    `local_statistics`."""

    is_local = False  # set by `local_statistics`

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not compiled: a graph is interrupted for it. Created here, not at import, since it imports torch's compiler,
        # which takes a second that translating need not wait for.
        self.sum_over_processes: Callable[[Tensor], Tensor] = torch.compiler.disable(_SumOverProcesses.apply)  # pyright: ignore

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation takes (N, C, ...), not {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.is_local:
            return super().forward(input)
        self._check_input_dim(input)
        with torch.autocast(input.device.type, enabled=False):
            x = input if input.dtype == torch.float64 else input.float()
            own = torch.stack(torch.var_mean(x, [0, *range(2, x.dim())], correction=0))  # (2, C)
            place = torch.eye(dist.get_world_size(), dtype=x.dtype, device=x.device)[dist.get_rank()]
            variances, means = self.sum_over_processes(place[:, None, None] * own).unbind(1)  # (P, C) each
            mean = means.mean(0)
            var = variances.mean(0) + means.var(0, correction=0)
            if self.running_mean is not None:
                self._update_running_statistics(mean.detach(), var.detach(), x.numel() // x.shape[1] * len(means))
            scale = (var + self.eps).rsqrt()
            scale = scale if self.weight is None else scale * self.weight
            shift = -mean * scale if self.bias is None else self.bias - mean * scale
            each = (1, -1, *(1 for _ in range(x.dim() - 2)))
            return torch.addcmul(shift.view(each), x, scale.view(each)).to(input.dtype)

    def _update_running_statistics(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Updates the running averages, with the unbiased variance, as torch's own layers do."""
        self.num_batches_tracked.add_(1)  # pyright: ignore[reportOptionalMemberAccess]
        momentum = 1 / self.num_batches_tracked.to(mean) if self.momentum is None else self.momentum  # pyright: ignore
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)  # pyright: ignore
        self.running_var.lerp_((var * count / (count - 1)).to(self.running_var), momentum)  # pyright: ignore


class _SumOverProcesses(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of their gradients: differentiable any number of times."""

    @staticmethod
    def forward(ctx, own: Tensor) -> Tensor:
        total = own.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _SumOverProcesses.apply(gradient)  # pyright: ignore[reportReturnType]


def synchronize_batch_norm(network: nn.Module) -> None:
    """Replaces every batch normalisation within a network by one over all processes, in place: with the same parameters
    and buffers under the same names."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, _BatchNorm) and not isinstance(layer, SyncBatchNorm):
                shared = SyncBatchNorm(
                    layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
                ).train(layer.training)
                shared.weight, shared.bias = layer.weight, layer.bias
                shared.running_mean, shared.running_var = layer.running_mean, layer.running_var
                shared.num_batches_tracked = layer.num_batches_tracked
                parent.add_module(name, shared)


@contextmanager
def local_statistics(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Lets networks take the statistics of their own process's rows within the block, so that one process of several
    can call them."""
    layers = [layer for network in networks for layer in network.modules() if isinstance(layer, SyncBatchNorm)]
    for layer in layers:
        layer.is_local = True
    try:
        yield
    finally:
        for layer in layers:
            layer.is_local = False
