"""Fine-tuning: a new run begins with the weights of another one's model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quagga import BadInput
from quagga.data.conditions import PLURAL, Conditions, name_of
from quagga.pipelines import checkpoint
from quagga.pipelines.finite import sound
from quagga.pipelines.minimax import Game
from quagga.pipelines.model_folder import read_model

State = dict[str, Tensor]


def init_from(game: Game, source: Path) -> list[str]:
    """Puts weights of a run into a game's networks, name by name and layer by layer, where the shapes agree. Where the
    conditions have other names, or another order, what reads them begins anew: class 0 was something else.

    Args:
        game: its generators take the averaged weights of the model; its discriminators those of the newest checkpoint,
            if the run still has one.
        source: a run folder, or the model folder in it.

    Returns:
        What was taken, a line a network and a line for each layer that was not.

    Raises:
        BadInput: there is no model, nothing in it fits, it is not finite, or its conditions are of another kind.
    """
    model = read_model(source.expanduser())
    renamed = other_names(game, model.options, source)
    states: dict[str, State] = {
        name: model.tensors(f"{name}.safetensors") for name in model.networks if name in game.generators
    }
    for path in reversed(checkpoint.saved(model.path.parent / "checkpoints")):
        try:
            discriminators = checkpoint.load(path)["discriminators"]
        except BadInput:  # damaged: the one before
            continue
        states |= {name: state for name, state in discriminators.items() if name in game.discriminators}
        break
    lines, taken = [*renamed], 0
    for name, network in {**game.generators, **game.discriminators}.items():
        if name not in states:
            lines.append(f"{name}: begins anew, {source} has no weights for it")
            continue
        count, left = take(network, states[name], "encoder." if renamed else None)
        sound(network, f"{name} of {source}")
        taken += count if name in game.generators else 0
        lines.append(f"{name}: {count} of {count + len(left)} layers taken from {source}")
        lines += [f"    {line}" for line in left]
    if not taken:
        raise BadInput(f"nothing in {source} fits these networks: give the options of its config.yaml")
    return lines


def other_names(game: Game, options: Mapping[str, Any], source: Path) -> list[str]:
    """A line on how conditions were called and are called now, none where that is the same or there are none.

    Raises:
        BadInput: they are of another kind.
    """
    here, kind = getattr(game, "conditions", None), options.get("condition")
    if not isinstance(here, Conditions) or kind is None:
        return []
    if kind != here.kind:
        raise BadInput(
            f"{source} was trained with --condition {kind}, this run has --condition {here.kind}: take a run of the"
            " same condition, or leave out --init_from"
        )
    there = tuple(map(name_of, options.get("names") or []))
    if there == here.names:
        return []
    sets = [", ".join(names[:6]) + (", ..." if len(names) > 6 else "") for names in (there, here.names)]
    order = " in another order" if sorted(there) == sorted(here.names) else ""
    return [f"{PLURAL[here.kind]}{order}: {sets[0]} in {source}, {sets[1]} here, so that what reads them begins anew"]


@torch.no_grad()
def take(network: nn.Module, state: State, anew: str | None = None) -> tuple[int, list[str]]:
    """Copies what fits, but for layers whose names begin with `anew`. A layer is taken whole or not at all. Returns how
    many were, and why the others were not."""
    layers: dict[str, list[str]] = {}
    own = network.state_dict()
    for key in own:
        layers.setdefault(key.rpartition(".")[0], []).append(key)
    left = []
    for layer, keys in layers.items():
        missing = [key for key in keys if key not in state]
        other = [key for key in keys if key in state and state[key].shape != own[key].shape]
        if anew and layer.startswith(anew):
            left.append(f"{layer}: of other names, begins anew")
        elif missing:
            left.append(f"{layer}: not there, begins anew")
        elif other:
            there, here = tuple(state[other[0]].shape), tuple(own[other[0]].shape)
            left.append(f"{layer}: {there} there, {here} here, begins anew")
        else:
            for key in keys:
                own[key].copy_(state[key])
    return len(layers) - len(left), left
