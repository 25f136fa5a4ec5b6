"""The device on which a saved model runs, the largest picture for its memory, and the error about larger ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from quagga.errors import BadInput, is_out_of_memory

TILE = 1024  # pixels a side; a picture of so many takes a ResNet of width 64 about 1 GB, in strips as one piece
BYTES_PER_PIXEL = 1000  # of such a ResNet's maps: 0.94 GB at 1024 x 1024


def choose_device(device: str | torch.device | None) -> torch.device:
    """Returns the device that is asked for; of None the first of CUDA, MPS and the CPU that this machine has.

    Raises:
        BadInput: this machine does not have it.
    """
    if device is None:
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise BadInput(f"device '{device}' is unknown: choose cuda, cuda:0, mps or cpu") from None
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (chosen.index or 0) >= counts.get(chosen.type, 0):
        present = ", ".join(f"{kind} ({count})" for kind, count in counts.items() if count)
        raise BadInput(
            f"device '{device}' is not on this machine, which has {present}: choose one, or none for the best"
        )
    return chosen


def largest_tile(device: torch.device) -> int:
    """Returns the side in pixels of the largest picture that goes through a network whole: on a CUDA GPU, what half its
    free memory holds."""
    if device.type != "cuda":
        return TILE
    free, _ = torch.cuda.mem_get_info(device)
    return max(TILE, int((free / 2 / BYTES_PER_PIXEL) ** 0.5))


@contextmanager
def explain_out_of_memory(width: int, height: int, device: torch.device) -> Iterator[None]:
    """Raises BadInput where the block runs out of memory; width and height are the picture's, in pixels."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        elsewhere = "" if device.type == "cpu" else " or translate it on the CPU (--device cpu)"
        raise BadInput(
            f"{width}x{height} pixels are too many for the memory of {device}: take another --resolution, make the"
            f" picture smaller{elsewhere}"
        ) from None
