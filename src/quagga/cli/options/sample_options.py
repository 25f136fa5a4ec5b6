"""The options of `quagga sample`, and which of them go together."""

from dataclasses import dataclass
from typing import Literal

from quagga.errors import BadInput

FLAGS = ("--grid", "--straight", "--overwrite", "--verify")  # mean true where they stand without a value
TASKS = ("walk", "arithmetic", "invert", "edit", "grid")  # of which a call does one, or none
UNUSED_OPTIONS = {  # task -> options that do nothing to it
    "walk": ("count", "seed"),
    "arithmetic": ("count", "seed", "truncation", "frames"),
    "invert": ("count", "seed", "truncation"),
    "edit": ("count", "seed", "truncation"),
    "grid": ("frames",),
}
NEEDED_TASKS = {  # option -> the tasks without which it does nothing
    "straight": ("walk", "invert"),
    "colour": ("edit",),
    "sketch": ("edit",),
    "smoothness": ("edit",),
    "keep": ("edit",),
}


@dataclass(frozen=True)
class SampleOptions:
    """Make pictures with what a run has left, of noise and, where it was trained with one, of a condition.

    Args:
        output: folder for the pictures; it must be named.
        label: class of the pictures, such as 7; or several, such as '[3, 7]'. None takes the classes in turn.
        attributes: what they have, such as 'smiling,blond'; a number too, 'age=0.3', or several conditions,
            '["smiling,blond", smiling]'. What is not named is 0; none for none.
        caption: sentence that they show; or several, such as '[red eyes, blue eyes]'.
        count: number of pictures; of several conditions, and with --grid of the classes, that many of each, of the same
            seeds.
        seed: picture n has seed + n; the same seed and condition make the same picture.
        truncation: limit of the noise, such as 0.7; every number stays within this distance of 0: more typical
            pictures, less diverse ones. None: no limit.
        grid: one sheet, grid.png, not a file each; a column for each condition, or for each class where none is named.
        walk: seeds or pictures to walk between, such as 3,17,42 or one.png,two.png; writes walk.png, a strip, and a
            film. With several conditions it goes from one to the next, of one seed or of a seed for each.
        frames: pictures of the film from one seed to the next, and of the film of an edit.
        film: format of the film of a walk or an edit, or none.
        straight: walk on straight lines, not on great circles; between codes, and between conditions, lines are always
            straight.
        arithmetic: sum of means of seeds, such as '1,4,9 - 2,3,5 + 7,8,11', or of pictures and folders of them, such as
            'blond - brown + me.png'; writes arithmetic.png, its terms and its result with its neighbours.
        invert: photo whose noise is looked for; or a folder of them, or several, '[one.png, two.png]'. Writes
            inverted.png, each beside the nearest the model can make, and with two or more a walk between them. A model
            with an encoder asks that, and does not search.
        edit: photo or seed to change by what is drawn on it, see colour and sketch; --from is the same. Writes
            edited.png, the photo with the change carried back to its own detail, edit.png, a sheet, and a film.
        colour: strokes of colour on a transparent picture of the shape of the photo; there it shall have these colours.
        sketch: lines on such a picture, or dark on white; there it shall have edges along them.
        smoothness: weight of how far z goes in an edit; the larger, the smaller the edit.
        keep: weight of what is not drawn on in an edit staying as it is; 0 lets everything change.
        steps: steps of the search of --invert, and of --edit.
        existing: what to do with outputs that exist; error refuses before any work, skip keeps them and makes the
            others (so a call that was stopped continues), overwrite replaces them.
        device: cuda, cuda:1, mps or cpu; None takes the best there is.
        verify: first make the picture that was saved with the model again, and stop if the result is another one.
    """

    output: str | None = None
    label: str | None = None
    attributes: str | None = None
    caption: str | None = None
    count: int = 16
    seed: int = 0
    truncation: float | None = None
    grid: bool = False
    walk: str | None = None
    frames: int = 16
    film: Literal["gif", "mp4", "none"] = "gif"
    straight: bool = False
    arithmetic: str | None = None
    invert: str | None = None
    edit: str | None = None
    colour: str | None = None
    sketch: str | None = None
    smoothness: float = 0.01
    keep: float = 0.2
    steps: int = 300
    existing: Literal["error", "skip", "overwrite"] = "error"
    device: str | None = None
    verify: bool = False


def asked_task(chosen: SampleOptions) -> str | None:
    """Returns the one of TASKS that is asked for; None: pictures, a file each.

    Raises:
        BadInput: several are, an option has no effect on it, or a number is out of range.
    """
    for name, number, least in (("count", chosen.count, 1), ("frames", chosen.frames, 2), ("steps", chosen.steps, 1)):
        if number < least:
            raise BadInput(f"{name} is {number}: it must be {least} or more")
    for name, weight in (("smoothness", chosen.smoothness), ("keep", chosen.keep)):
        if weight < 0:
            raise BadInput(f"{name} is {weight}: it must be 0 or more")
    tasks = [name for name in TASKS if getattr(chosen, name) not in (None, False)]
    if len(tasks) > 1:
        raise BadInput(f"--{tasks[0]} and --{tasks[1]} cannot be combined: ask for one at a time")
    task = tasks[0] if tasks else None
    unused = [(name, f"has no effect on --{task}") for name in UNUSED_OPTIONS.get(task or "", ())]
    unused += [(name, f"is for --{need[0]}") for name, need in NEEDED_TASKS.items() if task not in need]
    for name, why in unused:
        if getattr(chosen, name) != getattr(SampleOptions, name):
            raise BadInput(f"--{name} {why}: leave it out")
    if task == "edit" and chosen.colour is None and chosen.sketch is None:
        raise BadInput("an edit needs something drawn: --colour strokes.png, --sketch lines.png, or both")
    return task
