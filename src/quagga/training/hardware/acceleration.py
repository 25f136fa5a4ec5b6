"""Makes training faster, or smaller in memory, without changing its results.

`Acceleration` holds the settings; `apply_acceleration` applies them to a game's networks, in place, so that the game
and the trainer need not know about them. The mathematics stays: tests compare losses and gradients with those of plain
networks.
"""

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from sysconfig import get_path
from types import MethodType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.checkpoint import checkpoint

from quagga.errors import BadInput

MIN_CAPABILITY = (7, 0)  # compute capability, a V100's
# glibc's mallopt (malloc.h): the size from which on a block is taken from the system, and given back when it is freed;
# and how much may lie free at the end of the heap.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
# Bytes; some versions accept no more than half of a thread's heap for the first.
LARGEST_BLOCK, HEAP_BLOCK = 2**31 - 1, 2**25
MAX_GRAPHS = 64  # of one network: each way of calling it (batch size, gradients into it or through it) has its own


@dataclass(frozen=True)
class Acceleration:
    """Settings of speed and memory.

    Args:
        compile: networks are compiled to kernels of their own (`torch.compile`), in the first steps.
        channels_last: a picture's channels lie side by side in memory, as the matrix units of GPUs want them.
        gradient_checkpointing: a pass keeps only its input and is computed again for its gradient: less memory, a
            quarter to a half more time (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost",
            arXiv:1604.06174). Networks that learn from a pass itself (batch and spectral normalisation) are then not
            compiled.
    """

    compile: bool = False
    channels_last: bool = False
    gradient_checkpointing: bool = False


def acceleration_for(
    device: torch.device,
    compile: bool | None = None,
    channels_last: bool | None = None,
    gradient_checkpointing: bool = False,
    deterministic: bool = False,
    networks: Sequence[nn.Module] = (),
    precision: str | None = None,
) -> tuple[Acceleration, list[str]]:
    """Returns the settings for a device, choosing those that the user leaves open (None), and lines for the user.

    On CUDA networks are compiled if there is a C compiler, and then use channels-last: without compilation every
    normalisation would convert the memory format and back. On the CPU nothing is compiled unless asked for. There,
    networks in bf16 use channels-last, which takes up to a fifth off a step, unless they have instance norm, whose
    backward pass would be many times slower (benchmarks/cpu_means.py).

    Args:
        device: of the networks.
        compile, channels_last, gradient_checkpointing: of `Acceleration`, as the user wants them.
        deterministic: nothing is compiled unless asked for.
        networks: that are trained.
        precision: of their products, by Accelerate's name.
    """
    lines = []
    wanted = device.type == "cuda" and not deterministic if compile is None else compile
    missing = missing_for_compile(device) if wanted else None
    if missing:
        lines.append(f"not compiled, and slower for it: {missing}")
    compiled = bool(wanted and not missing)
    on_cpu = device.type == "cpu" and precision == "bf16" and not has_instance_norm(networks)
    if channels_last is None:
        channels_last = (device.type == "cuda" and compiled) or on_cpu
    return Acceleration(compiled, channels_last, gradient_checkpointing), lines


def has_instance_norm(networks: Iterable[nn.Module]) -> bool:
    """Returns whether a layer normalises each picture by itself: instance norm or group norm."""
    kinds = (nn.InstanceNorm2d, nn.GroupNorm)
    return any(isinstance(layer, kinds) for network in networks for layer in network.modules())


def agree_on_acceleration(wanted: Acceleration, accelerator: Accelerator) -> tuple[Acceleration, list[str]]:
    """Returns the settings that all processes can use, and lines for the user; every process must call it. Weights must
    have the same memory layout everywhere, since gradients are added element by element."""
    if accelerator.num_processes == 1:
        return wanted, []
    own = torch.tensor([[wanted.compile, wanted.channels_last]], device=accelerator.device, dtype=torch.float32)
    least = accelerator.gather(own).min(0).values.tolist()  # pyright: ignore[reportAttributeAccessIssue]
    common = replace(wanted, compile=bool(least[0]), channels_last=bool(least[1]))
    lines = ["not compiled, and slower for it: another process cannot"] if wanted.compile > common.compile else []
    return common, lines


def missing_for_compile(device: torch.device) -> str | None:
    """Returns what `torch.compile` needs and this machine lacks, with the next move; None: nothing."""
    chosen = os.environ.get("CC" if device.type == "cuda" else "CXX")
    known = ("gcc", "clang", "cc", "cl") if device.type == "cuda" else ("g++", "clang++", "c++", "cl")
    if not any(map(shutil.which, (*filter(None, [chosen]), *known))):
        return "there is no C compiler (Debian, Ubuntu: sudo apt install build-essential)"
    if device.type == "cuda" and find_spec("triton") is None:
        return "torch came without Triton (Windows: pip install triton-windows)"
    if device.type == "cuda" and sys.platform == "linux" and not Path(get_path("include"), "Python.h").is_file():
        return "Python's headers are missing, which Triton needs (Debian, Ubuntu: sudo apt install python3-dev)"
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return "the GPU is older than Triton knows"
    return None


def apply_acceleration(networks: list[nn.Module], acceleration: Acceleration, processes: int = 1) -> list[str]:
    """Applies settings to networks, in place, and returns lines for the user. The networks must be on their device, or
    be moved there as a whole."""
    not_compiled = 0
    if acceleration.compile:
        # A pass with a gradient of its own, with the opponent's, without: more variants than torch expects.
        torch._dynamo.config.recompile_limit = max(MAX_GRAPHS, torch._dynamo.config.recompile_limit)
    for network in networks:
        if acceleration.channels_last:
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if acceleration.gradient_checkpointing:
            if any(p.device.type == "mps" for p in network.parameters()) and has_dropout(network):
                raise BadInput(
                    "gradient checkpointing on an Apple GPU would drop other units the second time: take --dropout 0,"
                    " or leave out --gradient_checkpointing"
                )
            # A bound method, not a closure: so a deep copy of the network calls its own layers.
            network.forward = MethodType(_forward_with_recomputation, network)
        if not acceleration.compile or (acceleration.gradient_checkpointing and any(True for _ in network.buffers())):
            continue
        if processes > 1 and any(isinstance(layer, _BatchNorm) for layer in network.modules()):
            not_compiled += 1  # each of its layers waits for the other processes, which would split the graph
            continue
        network.compile(dynamic=False)
    if not not_compiled:
        return []
    return [f"not compiled: {not_compiled} of {len(networks)} networks, whose batch norm is one over all processes"]


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory for the next tensor, unless the environment already configures its allocator.
    Otherwise it returns large blocks at once, and the system clears them anew: a step of pix2pix then takes twice as
    long, with as much memory at its peak (benchmarks/cpu_means.py). Returns whether memory is kept."""
    is_configured = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if is_configured or platform.libc_ver()[0] != "glibc":
        return False
    malloc = ctypes.CDLL(None)
    is_set = malloc.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) or malloc.mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK)
    return bool(malloc.mallopt(M_TRIM_THRESHOLD, LARGEST_BLOCK) and is_set)


def has_dropout(network: nn.Module) -> bool:
    """Returns whether a network has active dropout layers."""
    return any(isinstance(layer, _DropoutNd) and layer.p > 0 for layer in network.modules())


def _forward_with_recomputation(network: nn.Module, *inputs: Tensor) -> Tensor:
    """Calls `network.forward`, keeping only its inputs. Buffers that a pass changes (statistics of batch normalisation,
    singular vectors) are restored for the recomputation, so that the pass counts once."""
    forward: Callable[..., Any] = type(network).forward
    if not torch.is_grad_enabled():
        return forward(network, *inputs)
    before = [buffer.clone() for buffer in network.buffers()]
    if not before:  # only this case is compiled, and compilers do not support `context_fn`
        return checkpoint(forward, network, *inputs, use_reentrant=False)  # pyright: ignore[reportReturnType]
    contexts = lambda: (nullcontext(), _Buffers(network, before))  # noqa: E731
    return checkpoint(forward, network, *inputs, use_reentrant=False, context_fn=contexts)  # pyright: ignore


class _Buffers:
    """Gives a network other values of its buffers within a block. It may be entered again: under a gradient penalty a
    pass is computed again for the penalty's gradient, and once more for the loss's."""

    def __init__(self, network: nn.Module, values: list[Tensor]) -> None:
        self.network, self.values, self.current = network, values, list[Tensor]()

    def __enter__(self) -> None:
        self.current = [buffer.clone() for buffer in self.network.buffers()]
        self._set(self.values)

    def __exit__(self, *_: object) -> None:
        self._set(self.current)

    def _set(self, values: list[Tensor]) -> None:
        for buffer, value in zip(self.network.buffers(), values, strict=True):
            buffer.data.copy_(value)
