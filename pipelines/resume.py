"""Going on with a run: only with the run that the folder holds, and on all processes from the same checkpoint."""

import shutil
from collections.abc import Mapping
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from quagga import BadInput
from quagga.pipelines import checkpoint, whole
from quagga.pipelines.minimax import Trainer
from quagga.pipelines.run_options import RunOptions
from quagga.pipelines.schedule import Schedule

CONFIG, CHECKPOINTS, ASIDE, BEST = "config.yaml", "checkpoints", "aside", "best"
MAY_CHANGE = {  # in a run that goes on; the rest is what the run is
    *("images", "epochs", "output", "resume", "init_from"),
    *("log_every", "sample_every", "samples", "examined", "save_every"),
    *("keep", "keep_best", "on_nonfinite", "device", "deterministic"),
    *("compile", "channels_last", "gradient_checkpointing"),  # they change how a step is played, not what
    *("batch_size", "accumulation"),  # as long as their product with the number of processes stays, see `resume`
    *("workers", "worker_timeout", "cache", "unreadable"),
    *("root", "x", "y", "table", "pictures", "pairs", "x_name", "y_name"),
}


class Choice(NamedTuple):
    """What to go on from, and what the user should hear of it."""

    path: str | None  # of a checkpoint; None: the run begins
    lines: list[str]
    error: str = ""


class Resumed(NamedTuple):
    """What a run that goes on must know, beside the trainer's state; empty where it begins."""

    lines: list[str]  # for each checkpoint that is damaged and for each option that has changed
    scores: list[float]  # readings of the curve `keep_best` that belong to the next checkpoint
    owed: bool = False  # whether a signal has cut off the examination of held-out pictures
    measured: Mapping[str, Any] = {}  # what pauses have cost, see `Intervals.state_dict`
    begun: bool = False  # whether there was a checkpoint
    threads: int | None = None  # of the CPU, by which it was played; None: not known


def resume(trainer: Trainer, folder: Path, how: str, config: Mapping[str, Any], images_per_epoch: int = 0) -> Resumed:
    """Goes on from a checkpoint, if there is one; every process must call it.

    Args:
        trainer: is put where the checkpoint was written.
        folder: the run's.
        how: "auto" and "latest": the folder's newest checkpoint that is whole; "never": none may be there; else the
            path of a checkpoint, or of a run whose newest is taken.
        config: all options, to be compared with those the checkpoint was played with.
        images_per_epoch: rows of one pass over the data, to be compared likewise; 0: not known.

    Raises:
        BadInput: no checkpoint is whole, the folder holds another run, or this process does not see the main process's
            checkpoint.
    """
    if trainer.accelerator.is_main_process:
        checkpoint.mend(folder / CHECKPOINTS)
    choice = _agreed(trainer.accelerator, lambda: _choose(folder, how))
    if choice.path is None:
        return Resumed([], [])
    path = Path(choice.path)
    state = _read(path)
    old = state["config"] if isinstance(state.get("config"), dict) else {}
    changed = differences(old, config)
    refused = [
        f"{key} was {short(was)}, not {short(now)}"
        for key, (was, now) in changed.items()
        if key not in MAY_CHANGE and (key in old or not old)  # one that was not known then is said, not refused
    ]
    if refused:
        raise BadInput(f"{path} is of another run: {'; '.join(refused)}. Choose another --output")
    _put(trainer, path, state)
    lines = list(choice.lines)
    if trainer.accelerator.is_main_process and is_of(path, folder):
        lines += _set_aside(folder, trainer.images_seen)
    lines += [f"{key}: {short(now)}, until now {short(was)}" for key, (was, now) in changed.items() if key not in SAID]
    precision, was = str(trainer.accelerator.mixed_precision), state.get("precision")
    if was and was != precision and "mixed_precision" not in changed:  # where nobody says, the machine decides
        lines.append(f"products are in {named(precision)}, until now {named(was)}: --mixed_precision {was} keeps that")
    best, scored_by, scores = folder / BEST, old.get("keep_best"), state.get("scores", [])
    if "keep_best" in changed:
        scores = []  # of another curve
        if scored_by and best.exists():
            until = "" if config["keep_best"] is None else f", until a checkpoint has a score of {config['keep_best']}"
            lines.append(f"{best} stays the model that was best by {scored_by}{until}")
    was = state.get("images_per_epoch")
    if was and images_per_epoch and was != images_per_epoch:
        lines.append(f"the data are others: {images_per_epoch:,} images are an epoch, until now {was:,}")
    return Resumed(
        lines,
        scores,
        bool(state.get("owed")),
        state.get("intervals", {}),
        begun=True,
        threads=state.get("threads"),
    )


def short(value: Any) -> str:
    """A value as a message has room for it: a vocabulary holds thousands of words."""
    text = str(value)
    if len(text) <= SHORT:
        return text
    count = f" ({len(value):,} in all)" if isinstance(value, list | dict) else ""
    return f"{text[: SHORT - 3]}...{count}"


def is_of(path: Path, folder: Path) -> bool:
    """Whether a path leads to a run, or to a checkpoint in it, which may have been set aside."""
    homes = {(folder / place).resolve() for place in (".", CHECKPOINTS, Path(CHECKPOINTS, ASIDE))}  # any may be a link
    return bool(homes & {path.resolve(), path.resolve().parent, path.parent.resolve()})


SHORT = 60  # characters of a value in a message
SAID = ("output", "resume", "init_from")  # what the user has just typed needs no repetition


def back_to_newest(trainer: Trainer, folder: Path) -> tuple[Path, list[str]]:
    """Puts the trainer back to the newest whole checkpoint of its own run; every process must call it.

    Returns:
        The checkpoint, and a line for each that is damaged and was set aside.

    Raises:
        BadInput: there is none.
    """
    choice = _agreed(trainer.accelerator, lambda: _choose(folder, "auto"))
    if choice.path is None:
        raise BadInput(f"{folder} has no checkpoint to go back to")
    path = Path(choice.path)
    _put(trainer, path, _read(path))
    aside = _set_aside(folder, trainer.images_seen) if trainer.accelerator.is_main_process else []
    return path, [*choice.lines, *aside]


def _agreed(accelerator: Accelerator, choose) -> Choice:
    """The main process's choice: machines that do not share the folder would each go on from elsewhere."""
    choice = [choose() if accelerator.is_main_process else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(choice)
    assert choice[0] is not None
    if choice[0].error:
        raise BadInput(choice[0].error)
    return choice[0]


def _choose(folder: Path, how: str) -> Choice:
    """The checkpoint to go on from, the damaged ones before it said. An error is data: all processes must hear it."""
    own = checkpoint.saved(folder / CHECKPOINTS)
    if how in ("auto", "latest"):
        candidates = own
    elif how == "never":
        if own:
            return Choice(
                None, [], f"{folder} holds a run already: choose another --output, or let it go on with --resume auto"
            )
        return Choice(None, [])
    else:
        place = Path(how).expanduser()
        named = (place / checkpoint.MANIFEST).exists() or place.parent.name in (CHECKPOINTS, ASIDE)
        candidates = [place] if named else checkpoint.saved(place / CHECKPOINTS)
        if not candidates or not place.is_dir():
            return Choice(None, [], f"--resume {how} is no checkpoint and no run that has one: try --resume auto")
        if own and not is_of(place, folder):
            return Choice(None, [], f"{folder} holds a run already: choose another --output to go on from {how} there")
    damages: list[str] = []
    for path in reversed(candidates):
        try:
            checkpoint.load(path)
        except checkpoint.Damaged as damage:
            damages.append(str(damage))
            continue
        except BadInput as error:  # a newer Quagga's: the user must decide, not we
            return Choice(None, [], str(error))
        return Choice(str(path), [f"{damage}; going on from the one before, {path}" for damage in damages])
    if not damages:
        return Choice(None, [])
    if len(candidates) == 1:
        return Choice(None, [], f"{damages[0]}: choose another checkpoint with --resume PATH, or another --output")
    return Choice(None, [], f"none of {len(damages)} checkpoints is whole: {damages[0]}: choose another --output")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise BadInput(f"this process does not see {path}: every machine needs the same --output on a shared disk")
    state = checkpoint.load(path)
    if not isinstance(state, dict):
        raise BadInput(f"{path} is no checkpoint of a run: choose another one with --resume PATH")
    return state


def _put(trainer: Trainer, path: Path, state: dict[str, Any]) -> None:
    try:
        if (rows := state["counters"]["minibatch"]) != trainer.minibatch:
            raise BadInput(
                f"{path} was played with {rows} rows a step, not {trainer.minibatch}: keep --batch_size x"
                " --accumulation x processes, or choose another --output"
            )
        trainer.load_state_dict(state)
    except BadInput:
        raise
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{path} does not fit this game ({reason}): choose another --output") from error


def _set_aside(folder: Path, images_seen: int) -> list[str]:
    """Checkpoints after the one a user goes back to are another future: they must not be taken for this one's."""
    newer = [other for other in checkpoint.saved(folder / CHECKPOINTS) if checkpoint.images_of(other) > images_seen]
    if not newer:
        return []
    aside = folder / CHECKPOINTS / ASIDE
    aside.mkdir(exist_ok=True)
    for other in newer:
        names = (f"{other.name}{f'.{number}' if number else ''}" for number in count())
        place = next(place for name in names if not (place := aside / name).exists())
        shutil.move(other, place)  # aside may be a link to another disk
    return [f"newer checkpoints are set aside in {aside}: {', '.join(other.name for other in newer)}"]


def differences(old: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Option -> (what it was when the checkpoint was written, what it is now), where the two differ. A version that did
    not know an option played as its default has it."""
    known = {**defaults_of(Schedule), **defaults_of(RunOptions), **old} if old else {}
    # One that was not known, and means nothing without the other.
    idle = {"lr_batch"} - old.keys() if known.get("lr_rule") == config.get("lr_rule") == "none" else set()
    return {
        key: (known.get(key), value) for key, value in config.items() if known.get(key) != value and key not in idle
    }


def named(precision: str) -> str:
    """How a mixed precision is called."""
    return "float32" if precision == "no" else precision


def defaults_of(options: type) -> dict[str, Any]:
    """What a dataclass of options takes where nothing is said."""
    return {field.name: field.default for field in fields(options)}


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes down all options, so that the config alone goes on with the run. Raises BadInput where that cannot be."""
    text = yaml.safe_dump({**config, "resume": "auto"}, sort_keys=False, allow_unicode=True)
    try:
        whole.write_file(folder / CONFIG, text.encode())
    except OSError as error:
        raise BadInput(f"cannot write into {folder} ({error.strerror}): choose another --output") from error
