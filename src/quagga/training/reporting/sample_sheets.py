"""Strips of held-out pictures: what a game's generators make of them, as contact sheets for the user."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.sources.folders import claim
from quagga.pipelines.core.game_protocol import Batch, Game, Images
from quagga.pipelines.core.minimax_trainer import Trainer

StripCallback = Callable[[int, dict[str, Images]], None]  # takes the images seen and the strips of averaged generators


def draw_strips(
    trainer: Trainer, batch: dict[str, torch.Tensor], statistics: Sequence[Batch], averaged: bool
) -> dict[str, Images]:
    """Returns the game's strips of a batch, by averaged or raw generators, see `Trainer.visualize` and
    `Trainer.averaged`."""
    if not averaged:
        return trainer.visualize(batch)
    with trainer.averaged(statistics):
        return trainer.visualize(batch)


def output_domains(game: Game) -> dict[str, str]:
    """Returns the name of each export that makes pictures -> their domain."""
    return {name: export.output.name for name, export in game.exports.items() if export.output.kind == "picture"}


def write_sample_sheets(strips: Mapping[str, Images], folder: Path, images_seen: int) -> None:
    """Writes each strip as folder/<images seen, 9 digits> <strip>.png.

    Raises:
        OSError: the folder cannot be created.
        BadInput: a sheet cannot be written.
    """
    claim(folder)  # it may lie among the training pictures
    for name, images in strips.items():
        contact_sheet(images, folder / f"{images_seen:09d} {name}.png")
