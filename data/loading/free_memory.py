"""How much memory may still be taken."""

from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil
import torch

GROUPS = {  # of a control group, version 2 and 1: where it lies, its limit, its use, and what of that is given back
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(root: Path = Path("/")) -> int:
    """Bytes: what the machine has free, or less, where this container or job is granted less. root: of the system."""
    free = psutil.virtual_memory().available
    for line in _lines(root / "proc/self/cgroup"):
        _, kind, name = line.split(":", 2)
        if kind not in GROUPS:
            continue
        place, limit, use, cached = GROUPS[kind]
        group = PurePosixPath(name.lstrip("/"))
        for part in dict.fromkeys((group, *group.parents)):  # a group is bound by those around it too
            folder = root / place / part
            with suppress(OSError, ValueError):  # "max", or a group that this container does not see
                left = int((folder / limit).read_text()) - int((folder / use).read_text())
                stat = dict(entry.split() for entry in _lines(folder / "memory.stat"))
                free = min(free, left + int(stat.get(cached, 0)))
    return max(0, free)


def free_device_bytes(device: torch.device) -> int:
    """Bytes of the GPU's own memory, or of the host's, where a device has none."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text().splitlines()
    return []
