"""What every script here ends with: the machine's name, and a report that is printed as it comes and kept."""

import platform
from collections.abc import Iterable
from pathlib import Path


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def keep(lines: Iterable[str], output: Path | None, before: str = "") -> None:
    """Prints lines as they come, and writes them into a file, if one is named, when all are there. before: what stands
    before them in it."""
    kept = []
    for line in lines:
        print(line, flush=True)
        kept.append(line)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(before + "\n".join(kept) + "\n")
