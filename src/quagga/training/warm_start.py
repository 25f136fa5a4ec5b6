"""Fine-tuning: a new run begins with the weights of another run's model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quagga.boxed_models import CARD, boxed_model_folder
from quagga.data.transforms.conditions import PLURAL, name_of
from quagga.errors import BadInput, some
from quagga.fields import Field, field_of
from quagga.inference.finite_checks import check_weights
from quagga.inference.model_files.model_folder import ModelFolder, SavedExport, read_model
from quagga.models.description.described import describe
from quagga.models.description.export import Export
from quagga.pipelines.core.game_protocol import Game
from quagga.training import checkpoint

State = dict[str, Tensor]


def load_initial_weights(game: Game, source: Path) -> list[str]:
    """Copies weights of a run into a game's networks, name by name and layer by layer, where the shapes agree. If the
    conditions have other names, or another order, their encoders begin anew: class 0 was something else.

    Args:
        game: its generators take the averaged weights of the model; its discriminators those of the newest checkpoint,
            if the run still has one.
        source: a run folder, the model folder in it, or "box:NAME".

    Returns:
        A line for each network on what was taken, and one for each layer that was not.

    Raises:
        BadInput: there is no model, nothing in it fits, it is not finite, or its conditions are of another kind.
    """
    model = read_model(source.expanduser())
    name_changes = condition_name_changes(game, model, source)
    states: dict[str, State] = {
        name: model.tensors(f"{name}.safetensors") for name in model.exports if name in game.generators
    }
    for path in reversed(checkpoint.list_saved(model.path.parent / "checkpoints")):
        try:
            discriminators = checkpoint.load(path)["discriminators"]
        except BadInput:  # damaged: take the one before
            continue
        states |= {name: state for name, state in discriminators.items() if name in game.discriminators}
        break
    lines, taken = [*name_changes], 0
    for name, network in {**game.generators, **game.discriminators}.items():
        if name not in states:
            lines.append(f"{name}: begins anew, {source} has no weights for it")
            continue
        count, skipped = copy_matching_layers(network, states[name], "encoder." if name_changes else None)
        check_weights(network, f"{name} of {source}")
        taken += count if name in game.generators else 0
        others = argument_changes(describe(network), model.networks.get(name))
        lines.append(f"{name}: {count} of {count + len(skipped)} layers taken from {source}{others}")
        lines += [f"    {line}" for line in skipped]
    if not taken:
        boxed = boxed_model_folder(source)
        stated = f"its card, {boxed / CARD}" if boxed else "its config.yaml"
        raise BadInput(f"nothing in {source} fits these networks: give the options of {stated}")
    return lines


def argument_changes(now: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> str:
    """Returns the end of a line: the arguments with which a network was trained and that are others here, which may
    change what its layers mean even where all fit; "" if there are none, or a network is a user's own."""
    if now is None or before is None or now["class"] != before["class"]:
        return ""
    own, theirs = now["arguments"], before["arguments"]
    changed = [
        f"{name} {theirs.get(name)} there, {own[name]} here" for name in own if own[name] != theirs.get(name, own[name])
    ]
    return f" ({'; '.join(changed)})" if changed else ""


def condition_name_changes(game: Game, model: ModelFolder, source: Path) -> list[str]:
    """Returns a line on the conditions' names before and now; none if they are the same or there are no conditions.

    Raises:
        BadInput: they are of another kind.
    """
    before, now = first_condition(model.exports), first_condition(game.exports)
    if before is None or now is None or now.condition is None:
        return []
    if before.condition != now.condition:
        raise BadInput(
            f"{source} was trained with --condition {before.condition}, this run has --condition {now.condition}: take"
            " a run of the same condition, or leave out --init_from"
        )
    source_names, names = tuple(map(name_of, before.names)), now.names
    if source_names == names:
        return []
    order = " in another order" if sorted(source_names) == sorted(names) else ""
    return [
        f"{PLURAL[now.condition]}{order}: {some(source_names, 6)} in {source}, {some(names, 6)} here, so that what"
        " reads them begins anew"
    ]


def first_condition(exports: Mapping[str, Export] | Mapping[str, SavedExport]) -> Field | None:
    """Returns the condition of the first export that takes one; None if none does."""
    return next((field for export in exports.values() if (field := field_of(export.inputs, "condition"))), None)


@torch.no_grad()
def copy_matching_layers(network: nn.Module, state: State, skip: str | None = None) -> tuple[int, list[str]]:
    """Copies the layers that fit, except those whose names begin with `skip`. A layer is copied completely or not at
    all. Returns the number of copied layers, and a line for each other one."""
    layers: dict[str, list[str]] = {}
    own = network.state_dict()
    for key in own:
        layers.setdefault(key.rpartition(".")[0], []).append(key)
    skipped = []
    for layer, keys in layers.items():
        missing = [key for key in keys if key not in state]
        other = [key for key in keys if key in state and state[key].shape != own[key].shape]
        if skip and layer.startswith(skip):
            skipped.append(f"{layer}: of other names, begins anew")
        elif missing:
            skipped.append(f"{layer}: not there, begins anew")
        elif other:
            source_shape, own_shape = tuple(state[other[0]].shape), tuple(own[other[0]].shape)
            skipped.append(f"{layer}: {source_shape} there, {own_shape} here, begins anew")
        else:
            for key in keys:
                own[key].copy_(state[key])
    return len(layers) - len(skipped), skipped
