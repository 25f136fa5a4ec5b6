"""How fast a game is played, without changing what is played.

`Pace` says by what means; `quicken` gives them to a game's networks, in place, so that the game and the trainer need
not know: a network is called as ever. The mathematics stays: tests compare losses and gradients with the plain way.
"""

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
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

from quagga import BadInput

OLDEST = (7, 0)  # compute capability, a V100's
# glibc's mallopt (malloc.h): from which size on a block comes from the system and goes back there when it is freed, and
# how much may lie free at the end of the heap.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
LARGE, HEAP = 2**31 - 1, 2**25  # bytes; some versions take no more than half of a thread's heap for the first
GRAPHS = 64  # of one network: each way in which it is called (batch, with gradients into it or through it) has its own


@dataclass(frozen=True)
class Pace:
    """Means of speed and of memory.

    Args:
        compile: networks become kernels of their own (`torch.compile`), in the first steps.
        channels_last: a picture's channels lie side by side in memory, as the matrix units of GPUs want them.
        gradient_checkpointing: a pass keeps its input only and is played again for its gradient: less memory, a
            quarter to a half more time (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost",
            arXiv:1604.06174). Networks that learn from a pass itself (batch and spectral normalisation) are then not
            compiled.
    """

    compile: bool = False
    channels_last: bool = False
    gradient_checkpointing: bool = False


def pace_for(
    device: torch.device,
    compile: bool | None = None,
    channels_last: bool | None = None,
    gradient_checkpointing: bool = False,
    deterministic: bool = False,
    networks: Sequence[nn.Module] = (),
    precision: str | None = None,
) -> tuple[Pace, list[str]]:
    """What is right for a device where nothing is said (None), and lines for the user.

    On CUDA networks are compiled if there is a C compiler, and then in channels-last: without a compiler every
    normalisation would turn the picture round and back. On the CPU nothing is compiled unasked. In channels-last are
    networks that play in bf16 there: it takes up to a fifth off a step, but where there is instance norm, whose
    backward pass is then many times slower (benchmarks/cpu_means.py).

    Args:
        device: on which they play.
        compile, channels_last, gradient_checkpointing: of `Pace`, as the user wants them.
        deterministic: nothing is compiled unasked.
        networks: that are to play.
        precision: of their products, by Accelerate's name.
    """
    lines = []
    wanted = device.type == "cuda" and not deterministic if compile is None else compile
    missing = missing_for_compile(device) if wanted else None
    if missing:
        lines.append(f"not compiled, and slower for it: {missing}")
    compiled = bool(wanted and not missing)
    on_cpu = device.type == "cpu" and precision == "bf16" and not has_instance_norm(networks)
    last = (device.type == "cuda" and compiled) or on_cpu if channels_last is None else channels_last
    return Pace(compiled, last, gradient_checkpointing), lines


def has_instance_norm(networks: Iterable[nn.Module]) -> bool:
    """Whether a layer normalises each map by itself: instance norm, or group norm."""
    kinds = (nn.InstanceNorm2d, nn.GroupNorm)
    return any(isinstance(layer, kinds) for network in networks for layer in network.modules())


def agreed(pace: Pace, accelerator: Accelerator) -> tuple[Pace, list[str]]:
    """What all processes can do, and lines for the user; every process must call it. Their weights must lie in memory
    alike, since gradients are added place by place."""
    if accelerator.num_processes == 1:
        return pace, []
    own = torch.tensor([[pace.compile, pace.channels_last]], device=accelerator.device, dtype=torch.float32)
    least = accelerator.gather(own).min(0).values.tolist()  # pyright: ignore[reportAttributeAccessIssue]
    common = replace(pace, compile=bool(least[0]), channels_last=bool(least[1]))
    lines = ["not compiled, and slower for it: another process cannot"] if pace.compile > common.compile else []
    return common, lines


def missing_for_compile(device: torch.device) -> str | None:
    """What `torch.compile` needs and this machine lacks, with the next move; None: nothing."""
    named = os.environ.get("CC" if device.type == "cuda" else "CXX")
    known = ("gcc", "clang", "cc", "cl") if device.type == "cuda" else ("g++", "clang++", "c++", "cl")
    if not any(map(shutil.which, (*filter(None, [named]), *known))):
        return "there is no C compiler (Debian, Ubuntu: sudo apt install build-essential)"
    if device.type == "cuda" and find_spec("triton") is None:
        return "torch came without Triton (Windows: pip install triton-windows)"
    if device.type == "cuda" and sys.platform == "linux" and not Path(get_path("include"), "Python.h").is_file():
        return "Python's headers are missing, which Triton needs (Debian, Ubuntu: sudo apt install python3-dev)"
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < OLDEST:
        return "the GPU is older than Triton knows"
    return None


def quicken(networks: list[nn.Module], pace: Pace, processes: int = 1) -> list[str]:
    """Gives networks the means of a pace, in place. They are to be on their device, or come there as a whole. Returns
    lines for the user."""
    torn = 0
    if pace.compile:
        # A pass with a gradient of its own, with the opponent's, without: more ways than torch expects.
        torch._dynamo.config.recompile_limit = max(GRAPHS, torch._dynamo.config.recompile_limit)
    for network in networks:
        if pace.channels_last:
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if pace.gradient_checkpointing:
            if any(p.device.type == "mps" for p in network.parameters()) and drops(network):
                raise BadInput(
                    "gradient checkpointing on an Apple GPU would drop other units the second time: --dropout 0, or"
                    " leave out --gradient_checkpointing"
                )
            # A bound method, and no closure: a deep copy of the network then calls its own layers.
            network.forward = MethodType(_recomputed, network)
        if not pace.compile or (pace.gradient_checkpointing and any(True for _ in network.buffers())):
            continue
        if processes > 1 and any(isinstance(layer, _BatchNorm) for layer in network.modules()):
            torn += 1  # each of its layers waits for the other processes, which would tear the graph to little pieces
            continue
        network.compile(dynamic=False)
    of = f"{torn} of {len(networks)} networks"
    return [f"not compiled: {of}, whose batch norm is one over all processes"] if torn else []


def keep_memory() -> bool:
    """Lets glibc keep what is freed for the next tensor, where nobody else has said how it is to allocate. Else it
    gives large blocks back at once, and the system clears them anew: a step of pix2pix then takes twice as long, with
    as much memory at its peak (benchmarks/cpu_means.py). Returns whether it keeps."""
    said = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if said or platform.libc_ver()[0] != "glibc":
        return False
    malloc = ctypes.CDLL(None)
    kept = malloc.mallopt(M_MMAP_THRESHOLD, LARGE) or malloc.mallopt(M_MMAP_THRESHOLD, HEAP)
    return bool(malloc.mallopt(M_TRIM_THRESHOLD, LARGE) and kept)


def drops(network: nn.Module) -> bool:
    """Whether it has units that drop out by chance."""
    return any(isinstance(layer, _DropoutNd) and layer.p > 0 for layer in network.modules())


def _recomputed(network: nn.Module, *inputs: Tensor) -> Tensor:
    """`network.forward`, of which only the inputs are kept; what the layers have learned of the pass (statistics of
    batch normalisation, singular vectors) is put back for the recomputation, and counts once."""
    forward: Callable[..., Any] = type(network).forward
    if not torch.is_grad_enabled():
        return forward(network, *inputs)
    before = [buffer.clone() for buffer in network.buffers()]
    if not before:  # the only case that is compiled, and compilers know no `context_fn`
        return checkpoint(forward, network, *inputs, use_reentrant=False)  # pyright: ignore[reportReturnType]
    contexts = lambda: (nullcontext(), _with_buffers(network, before))  # noqa: E731
    return checkpoint(forward, network, *inputs, use_reentrant=False, context_fn=contexts)  # pyright: ignore


@contextmanager
def _with_buffers(network: nn.Module, values: list[Tensor]) -> Iterator[None]:
    now = [buffer.clone() for buffer in network.buffers()]
    for buffer, value in zip(network.buffers(), values, strict=True):
        buffer.data.copy_(value)
    try:
        yield
    finally:
        for buffer, value in zip(network.buffers(), now, strict=True):
            buffer.data.copy_(value)
