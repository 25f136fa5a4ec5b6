"""The names of a run's curves, known before its first step."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace

from quagga.did_you_mean import nearest
from quagga.errors import BadInput
from quagga.pipelines.core.game_protocol import Batch
from quagga.pipelines.core.minimax_trainer import NotFinite, Trainer

SPEED_CURVES = ("speed/images_per_second", "speed/seconds_waiting_for_data", "speed/epoch")


def check_curve(name: str, trainer: Trainer, batch: Batch, examined: Batch | None) -> None:
    """Checks that a run will have a curve, by a step of a copy of its game: the game itself, its memory and its rows
    stay as they are. Every process must call it.

    Args:
        name: The curve's.
        trainer: The run's.
        batch: A minibatch of one process.
        examined: The pictures of the curves held_out/...; None: there are none.

    Raises:
        BadInput: there will be no such curve.
    """
    try:
        game = deepcopy(trainer.game)
    except (TypeError, RuntimeError):  # a user's game may not be copyable: then the first point of the curves shows it
        return
    schedule = replace(trainer.schedule, accumulation=1, k=1, head_start=0)
    copied = Trainer(game, schedule, trainer.length, trainer.accelerator)
    next(copied.play(iter([batch])))
    try:
        names = {*copied.readings(), *SPEED_CURVES, *(f"{side}/total" for side in copied.sides)}
    except NotFinite:  # the run itself will report it
        return
    if name not in names and examined is not None:
        names |= {f"held_out/{term}" for term in copied.examine(examined)}
    if name not in names:
        raise BadInput(unknown_curve_error(name, names))


def unknown_curve_error(name: str, names: Iterable[str]) -> str:
    """Returns the error about an unknown curve: with the one that was probably meant, or else all that there are."""
    known = sorted(names)
    close = next((curve for curve in known if curve.endswith(f"/{name}")), None) or nearest(name, known)
    hint = f"did you mean {close}?" if close else f"there is {', '.join(known)}"
    return f"--keep_best {name}: there is no such curve: {hint}"
