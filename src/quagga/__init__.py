"""Quagga teaches one kind of picture to become another.

A trained run, as a function of pictures:

    >>> import quagga
    >>> to_zebra = quagga.load("runs/zebras", to="zebra")
    >>> to_zebra(photo).save("zebra.png")

load: what a run has left, a `Translator` of pictures or a `Sampler` of new ones
evaluate: how good a run is, beside real pictures and beside doing nothing
main: the whole command line for a pipeline of your own (docs/your_own_pipeline.md)
Game, Export, Loss, Schedule, Trainer: what such a pipeline states, and what trains it; quagga.fields: what an Export
    takes and gives
CycleGAN: the game of the pipeline `cyclegan`
BadInput: raised where the input cannot work; its message is one line that says what to do

More for pipelines of your own is in `quagga.models`, `quagga.data` and `quagga.pipelines.core`. Names are loaded when
they are first used, so that `quagga --help` does not wait for torch.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from quagga.errors import BadInput as BadInput
from quagga.renamed import install_renamed_modules

__version__ = "0.1.0"

FACE = {  # public name -> module that defines it
    "CycleGAN": "quagga.pipelines.cyclegan",
    "Export": "quagga.models.description.export",
    "Game": "quagga.pipelines.core.game_protocol",
    "Loss": "quagga.pipelines.core.game_protocol",
    "Schedule": "quagga.pipelines.core.schedule",
    "Trainer": "quagga.pipelines.core.minimax_trainer",
    "evaluate": "quagga.evaluation.evaluate",
    "load": "quagga.inference.load",
    "main": "quagga.cli.main",
}

# How long libgomp's idle threads wait actively for the next loop before they sleep. By default they do so for
# milliseconds. Where other processes want the cores too, such as those that read pictures, a step then takes twice as
# long or far longer. So short a wait costs nothing on a quiet machine (benchmarks/threads.py). OpenMP reads the
# variable once, when torch is imported; a script that ends in `quagga.main` may import torch right after this module.
SPIN_COUNT = "10000"
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)

install_renamed_modules()

if not (Path(__file__).parent / "models").is_dir():  # a checkout without links: its rooms stand beside src
    __path__.append(str(Path(__file__).parents[2]))


def __getattr__(name: str) -> Any:
    if name not in FACE:
        raise AttributeError(f"module 'quagga' has no attribute {name!r}")
    return getattr(import_module(FACE[name]), name)


def __dir__() -> list[str]:
    return [*FACE, "BadInput", "__version__"]
