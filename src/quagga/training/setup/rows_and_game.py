"""Opens the training data of a run and builds its game."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from quagga.data.loading.row_order import Rows, SizedRows
from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.models.description.export import exports_of
from quagga.option_groups import call_flat, flat_parameters
from quagga.pipelines.core.game_protocol import SizedGame
from quagga.pipelines.core.phases import Phase
from quagga.pipelines.core.schedule import Schedule


def load_rows(build: Callable[..., Any], data: Callable[..., Any], options: Mapping[str, Mapping[str, Any]]) -> Rows:
    """Opens the training data. Raises BadInput if they are of a wrong type, or contradict an option of the user."""
    rows: Rows = call_flat(data, **options["data"])
    if not hasattr(rows, "known"):
        returned = type(rows).__name__
        raise BadInput(
            f"the function data returns {returned}, no data set: let it return Unpaired, Paired,"
            " Conditioned or Pictures"
        )
    known = rows.known()
    for name in known.keys() & options["build"].keys() - options["data"].keys():
        if options["build"][name] not in (None, known[name], build_default(build, name)):
            raise BadInput(f"--{name} is determined by the data, and its function takes no {name}: leave it out")
    return rows


def build_default(build: Callable[..., Any], name: str) -> Any:
    """Returns the default of an option."""
    return flat_parameters(build)[name].default


def add_known_options(
    options: Mapping[str, Any], config: Mapping[str, Any], known: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the options of `build` and the config, with the values that the data determine. (These include what the
    user stated about the data.)"""
    determined = {name: value for name, value in known.items() if name in options}
    return {**options, **determined}, {**config, **determined}


def prepare_rows(rows: Rows, schedule: Schedule, accelerator: Accelerator) -> tuple[int, list[Phase], list[Rows]]:
    """Checks that the rows can be trained on, and moves them to the device where their cache is there.

    Returns:
        The images of the run, its phases, and the rows of each at its size; those of one size are one object.

    Raises:
        BadInput: the rows, the length of the run or its phases cannot be.
    """
    length = schedule.length(rows.images_per_epoch)
    try:
        phases = schedule.plan(length, accelerator.num_processes)
    except ValueError as error:  # pipelines.core knows of no command line and raises no BadInput
        raise BadInput(str(error)) from None
    sized: dict[int | None, Rows] = {None: rows}
    for phase in phases:
        if phase.size is not None and phase.size not in sized:
            sized[phase.size] = rows_at_size(rows, phase.size)
        sized[phase.size].check(phase.minibatch)
        if len(phases) > 1:  # what no batch of that size can be is found before the first step
            sized[phase.size].check(phase.batch_size)
    if getattr(rows, "cache", None) == "device":
        rows.move_to(accelerator.device)  # pyright: ignore[reportAttributeAccessIssue]
    if schedule.warmup >= length:
        raise BadInput(f"warmup is {schedule.warmup} of {length} images: it must end before the run does")
    return length, phases, [sized[phase.size] for phase in phases]


def rows_at_size(rows: Rows, size: int) -> Rows:
    """Returns the rows with pictures of `size` pixels a side. Raises BadInput."""
    if not isinstance(rows, SizedRows):
        kind = type(rows).__name__
        raise BadInput(f"--phases state a size, and {kind} has no at_size(size): define it, or leave the sizes out")
    if getattr(rows, "cache", None) == "device":
        raise BadInput(
            "--cache device keeps pictures of one size: take --cache ram, or leave the sizes out of --phases"
        )
    return rows.at_size(size)


def build_game(build: Callable[..., Any], options: Mapping[str, Any], rows: Rows, seed: int) -> tuple[Any, list[str]]:
    """Builds the game, on the CPU, and returns it with the warnings of `build`. Raises BadInput."""
    torch.manual_seed(seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        game = call_flat(build, **options)
        state_exports(game, rows, options)
    return game, [str(warning.message) for warning in caught]


def state_exports(game: Any, rows: Rows, options: Mapping[str, Any]) -> None:
    """Gives a game that was written for version 0.1 the exports that it does not state, until version 0.3; a warning
    says so. Raises BadInput if it does not say what it can do.

    Args:
        game: of the pipeline.
        rows: the training data.
        options: of the pipeline's `build`: version 0.1 read the conditions from them.
    """
    if hasattr(game, "exports"):
        return
    condition = None
    if getattr(game, "samples", {}) and "c" in rows.held_out(1):
        kind, names = options.get("condition", "class"), options.get("names") or []
        condition = Conditions(kind, names, options.get("caption_length", 16)).field("c")
    game.exports = exports_of(game, condition)


def check_game(game: Any, pipeline: str, phases: Sequence[Phase]) -> None:
    """Raises BadInput if a game lacks what a run of these phases needs. pipeline: its name."""
    if not hasattr(game, "examine"):
        raise BadInput(f"{pipeline} measures nothing on held-out pictures: give its game a method examine(batch, draw)")
    check_batch_norm(game, min(phase.batch_size for phase in phases))
    for size in dict.fromkeys(phase.size for phase in phases if phase.size is not None):
        if not isinstance(game, SizedGame):
            raise BadInput(f"{pipeline} is trained on pictures of one size: leave the sizes out of --phases")
        try:
            game.check_size(size)
        except ValueError as error:
            raise BadInput(f"--phases: {pipeline} cannot take pictures of {size} pixels: {error}") from None


def check_batch_norm(game: Any, batch_size: int) -> None:
    """Raises BadInput if a process holds too few rows for the generators' batch normalisation."""
    if batch_size == 1 and any(
        isinstance(layer, nn.BatchNorm1d) for network in game.generators.values() for layer in network.modules()
    ):
        raise BadInput("batch norm of a single row of numbers is 0: raise --batch_size, or --norm none")
