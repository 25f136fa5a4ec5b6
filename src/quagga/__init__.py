"""Quagga teaches one kind of picture to become another.

    >>> import quagga
    >>> to_zebra = quagga.load("runs/zebras", to="zebra")
    >>> to_zebra(photo).save("zebra.png")

Names are loaded when they are first used, so that `quagga --help` does not wait for torch.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

FACE = {  # name -> module that defines it
    "CycleGAN": "quagga.pipelines.cyclegan",
    "Game": "quagga.pipelines.minimax",
    "Loss": "quagga.pipelines.minimax",
    "Schedule": "quagga.pipelines.schedule",
    "Trainer": "quagga.pipelines.minimax",
    "load": "quagga.pipelines.load",
    "main": "quagga.pipelines.cli",
}

# How long libgomp's threads look for the next loop before they sleep. Left to itself it looks for milliseconds, and
# where other processes want the cores too, such as those that read pictures, a step takes twice as long or far longer;
# so short a look costs nothing on a quiet machine (benchmarks/threads.py). OpenMP reads it once, when torch is
# imported, and a script that ends in `quagga.main` may import torch right after this module.
SPIN_COUNT = "10000"
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)

if not (Path(__file__).parent / "models").is_dir():  # a checkout without links: its rooms stand beside src
    __path__.append(str(Path(__file__).parents[2]))


class BadInput(ValueError):
    """What the user gave cannot work. The message is one line that names the next move; the command line exits with
    2."""


def __getattr__(name: str) -> Any:
    if name not in FACE:
        raise AttributeError(f"module 'quagga' has no attribute {name!r}")
    return getattr(import_module(FACE[name]), name)


def __dir__() -> list[str]:
    return [*FACE, "BadInput", "__version__"]
