"""Chooses the processes, the device and the precision of a run."""

import os

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from quagga.errors import BadInput
from quagga.training.hardware.acceleration import keep_freed_memory
from quagga.training.hardware.launcher import check_launcher, launched_processes

PRECISIONS = ("no", "bf16", "fp16")


def start_accelerator(device: str, mixed_precision: str | None, deterministic: bool = False) -> Accelerator:
    """Returns the accelerator of a run: its processes, its device and its precision.

    Args:
        device: auto, cpu, cuda or mps.
        mixed_precision: no, bf16 or fp16; None: as the environment says, or what suits the device.
        deterministic: whether results must be the same bits every time.

    Raises:
        BadInput: there is no such device or precision here, or the processes that a launcher has started cannot train
            together.
    """
    check_launcher()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS, before its first call
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            "no CUDA GPU is visible to torch: check `nvidia-smi` and the torch build, or leave out --device cuda"
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise BadInput("torch finds no Apple GPU (MPS) here: leave out --device mps")
    on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if on_gpu and not deterministic:
        # All batches have one size, so that the fastest algorithms are searched once.
        torch.backends.cudnn.benchmark = True
    precision = mixed_precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "").lower()
    if not precision:
        on_mps = device in ("auto", "mps") and torch.backends.mps.is_available()
        precision = "bf16" if has_bf16(on_gpu) and not on_mps else "no"
    if precision not in PRECISIONS:
        raise BadInput(f"ACCELERATE_MIXED_PRECISION asks for {precision}: say --mixed_precision no, bf16 or fp16")
    if precision == "fp16" and not on_gpu:
        raise BadInput("fp16 needs a CUDA GPU: take --mixed_precision no or bf16")
    # Otherwise accelerate refuses another precision than an earlier run's in this process, and keeps its device.
    AcceleratorState._reset_state(reset_partial_state=not dist.is_initialized())
    # accelerate makes a process group on the CPU only if it is told that the processes are there.
    on_cpu = device == "cpu" or (device == "auto" and not torch.accelerator.is_available())
    try:
        accelerator = Accelerator(cpu=on_cpu, mixed_precision=precision)
    except (ValueError, NotImplementedError, dist.DistError) as error:
        AcceleratorState._reset_state(reset_partial_state=True)  # half made, it would fail whoever comes next
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"this process cannot begin ({reason}): docs/many_gpus.md has the lines that start several"
        ) from error
    if accelerator.num_processes < launched_processes():
        raise BadInput(
            f"{launched_processes()} processes were started, and on {accelerator.device.type} each would train alone:"
            " start one, or add --device cpu"
        )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    return accelerator


def has_bf16(on_gpu: bool) -> bool:
    """Returns whether the hardware multiplies in bfloat16; emulated, it is slower than float32."""
    if on_gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # AMX, Intel's tiles: a step of CycleGAN takes 0.4 of its time in float32. AVX-512's bf16: 0.5 to 0.8 of it, for
    # every pipeline (docs/speed.md).
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # unknown to an older torch
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
