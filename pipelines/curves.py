"""The names of a run's curves, known before its first step."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from difflib import get_close_matches

from quagga import BadInput
from quagga.pipelines.minimax import Batch, NotFinite, Trainer

SPEED = ("speed/images_per_second", "speed/seconds_waiting_for_data", "speed/epoch")


def check_curve(name: str, trainer: Trainer, batch: Batch, held_out: Callable[[], Batch] | None) -> None:
    """Looks whether a run will have a curve, by a step of a copy of its game: the game itself, its memory and its rows
    stay as they are. Every process must call it.

    Args:
        name: Of the curve.
        trainer: Of the run.
        batch: A minibatch of one process.
        held_out: Gives the pictures of the curves held_out/...; None: there are none.

    Raises:
        BadInput: there will be no such curve.
    """
    try:
        game = deepcopy(trainer.game)
    except (TypeError, RuntimeError):  # a user's game may hold what cannot be copied: the first reading of it will tell
        return
    schedule = replace(trainer.schedule, accumulation=1, k=1, head_start=0)
    twin = Trainer(game, schedule, trainer.length, trainer.accelerator)
    next(twin.play(lambda _row: iter([batch])))
    try:
        names = {*twin.readings(), *SPEED, *(f"{side}/total" for side in twin.sides)}
    except NotFinite:  # which the run itself will meet
        return
    if name not in names and held_out is not None:
        names |= {f"held_out/{read}" for read in twin.examine(held_out())}
    if name not in names:
        raise BadInput(no_curve(name, names))


def no_curve(name: str, names: Iterable[str]) -> str:
    """The error about a curve that is not there: the one that was meant, or else all that there are."""
    known = sorted(names)
    near = [curve for curve in known if curve.endswith(f"/{name}")] or get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
    return f"--keep_best {name}: there is no such curve: {hint}"
