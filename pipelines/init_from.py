"""Fine-tuning: a new run begins with the weights of another one's model."""

from pathlib import Path

import torch
from torch import Tensor, nn

from quagga import BadInput
from quagga.pipelines import checkpoint
from quagga.pipelines.minimax import Game
from quagga.pipelines.model_folder import read_model

State = dict[str, Tensor]


def init_from(game: Game, source: Path) -> list[str]:
    """Puts weights of a run into a game's networks, name by name and layer by layer, where the shapes agree.

    Args:
        game: its generators take the averaged weights of the model; its discriminators those of the newest checkpoint,
            if the run still has one.
        source: a run folder, or the model folder in it.

    Returns:
        What was taken, a line a network and a line for each layer that was not.

    Raises:
        BadInput: there is no model, or nothing in it fits.
    """
    model = read_model(source.expanduser())
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
    lines, taken = [], 0
    for name, network in {**game.generators, **game.discriminators}.items():
        if name not in states:
            lines.append(f"{name}: begins anew, {source} has no weights for it")
            continue
        count, left = take(network, states[name])
        taken += count if name in game.generators else 0
        lines.append(f"{name}: {count} of {count + len(left)} layers taken from {source}")
        lines += [f"    {line}" for line in left]
    if not taken:
        raise BadInput(f"nothing in {source} fits these networks: give the options of its config.yaml")
    return lines


@torch.no_grad()
def take(network: nn.Module, state: State) -> tuple[int, list[str]]:
    """Copies what fits. A layer is taken whole or not at all. Returns how many were, and why the others were not."""
    layers: dict[str, list[str]] = {}
    own = network.state_dict()
    for key in own:
        layers.setdefault(key.rpartition(".")[0], []).append(key)
    left = []
    for layer, keys in layers.items():
        missing = [key for key in keys if key not in state]
        other = [key for key in keys if key in state and state[key].shape != own[key].shape]
        if missing:
            left.append(f"{layer}: not there, begins anew")
        elif other:
            there, here = tuple(state[other[0]].shape), tuple(own[other[0]].shape)
            left.append(f"{layer}: {there} there, {here} here, begins anew")
        else:
            for key in keys:
                own[key].copy_(state[key])
    return len(layers) - len(left), left
