"""What a trained game can do for a user: a network, what it takes and gives, and how it is used after training.

    Export(G, inputs=(picture("x"),), output=picture("y"))
    Export(G, inputs=(noise("z", 100),), output=picture("x"))

This stands among the networks, and not in `pipelines.core`, since a saved model needs it and knows no game.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from quagga.errors import BadInput
from quagga.fields import Field, noise, picture
from quagga.models.network_mode import Mode

EVAL = Mode()  # what eval() means: no dropout, running statistics


@dataclass(frozen=True)
class Export:
    """One function of a trained game. A saved model holds its network's averaged weights, and `quagga translate`,
    `quagga sample` and `quagga.load` find by its fields what can be done with it.

    Args:
        network: Its `forward` takes the inputs in their order and returns the output. What is composed, such as an
            encoder and its decoder, is one module. It is made of the game's networks and shares their weights. Only
            those of generators are averaged; a part of a discriminator is saved as it is.
        inputs: What it takes, each of a name of its own.
        output: What it gives, for N rows of inputs N rows.
        mode: Whether dropout stays on after training, and which statistics batch normalisation takes.

    Raises:
        BadInput: it takes nothing, or two inputs have one name.
    """

    network: nn.Module
    inputs: tuple[Field, ...]
    output: Field
    mode: Mode = EVAL

    def __post_init__(self) -> None:
        names = [field.name for field in self.inputs]
        if not names or len(set(names)) < len(names):
            raise BadInput(f"an export takes ({', '.join(names)}): name one input or more, each once")


def exports_of(game: Any, condition: Field | None = None) -> Mapping[str, Export]:
    """Returns the exports of a game. One that was written for version 0.1 states `translations`, or `samples` and
    `z_size`: until version 0.3 its exports follow from these, and a warning says so.

    Args:
        game: As `quagga.Game`.
        condition: What the networks in `samples` take beside noise; None: nothing.

    Raises:
        BadInput: it states neither.
    """
    if hasattr(game, "exports"):
        return game.exports
    exports = {
        name: Export(game.generators[name], (picture(source),), picture(target))
        for name, (source, target) in getattr(game, "translations", {}).items()
    }
    for name, target in getattr(game, "samples", {}).items():
        inputs = noise("z", game.z_size), *([condition] if condition else [])
        exports[name] = Export(game.generators[name], inputs, picture(target))
    own = type(game).__name__
    if not exports:
        raise BadInput(
            f"{own} does not say what it can do: give it exports, such as"
            ' {"G": quagga.Export(G, inputs=(picture("x"),), output=picture("y"))}, docs/your_own_pipeline.md'
        )
    warnings.warn(
        f"{own} states translations or samples, as for Quagga 0.1; from 0.3 on it must state exports"
        " (docs/your_own_pipeline.md)",
        FutureWarning,
        stacklevel=2,
    )
    return exports
