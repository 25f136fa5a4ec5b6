"""Resumes a run from a checkpoint: only the run that the folder holds, and on all processes from the same
checkpoint."""

import shutil
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from quagga import atomic
from quagga.errors import BadInput, one_line
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training import checkpoint
from quagga.training.option_comparison import changed_options, describe_accepted, describe_refused, precision_name

CONFIG, CHECKPOINTS, SUPERSEDED, BEST = "config.yaml", "checkpoints", "aside", "best"


class CheckpointChoice(NamedTuple):
    """The checkpoint to resume from, and lines for the user."""

    path: str | None  # of the checkpoint; None: the run begins anew
    lines: list[str]
    error: str = ""


class Resumed(NamedTuple):
    """What a resumed run must know beside the trainer's state; empty if the run begins anew."""

    lines: list[str]  # for each checkpoint that is damaged and for each option that has changed
    scores: list[float]  # values of the curve `keep_best` that belong to the next checkpoint
    examination_pending: bool = False  # whether a signal has cut off the examination of held-out pictures
    interval_state: Mapping[str, Any] = {}  # what pauses have cost, see `Intervals.state_dict`
    from_checkpoint: bool = False  # whether there was a checkpoint
    threads: int | None = None  # CPU threads with which it was trained; None: not known


def resume(trainer: Trainer, folder: Path, how: str, config: Mapping[str, Any], images_per_epoch: int = 0) -> Resumed:
    """Resumes from a checkpoint, if there is one; every process must call it.

    Args:
        trainer: takes the checkpoint's state.
        folder: the run's.
        how: "auto" and "latest": from the folder's newest undamaged checkpoint; "never": the folder must have none;
            otherwise the path of a checkpoint, or of a run whose newest one is taken.
        config: all options, to be compared with the checkpoint's.
        images_per_epoch: rows of one pass over the data, to be compared likewise; 0: not known.

    Raises:
        BadInput: all checkpoints are damaged, the folder holds another run, or this process does not see the main
            process's checkpoint.
    """
    if trainer.accelerator.is_main_process:
        checkpoint.restore_interrupted(folder / CHECKPOINTS)
    choice = _broadcast_choice(trainer.accelerator, lambda: _choose_checkpoint(folder, how))
    if choice.path is None:
        return Resumed([], [])
    path = Path(choice.path)
    state = _read_state(path)
    old = state["config"] if isinstance(state.get("config"), dict) else {}
    changed = changed_options(old, config)
    if refused := describe_refused(old, changed):
        raise BadInput(f"{path} is of another run: {'; '.join(refused)}. Choose another --output")
    _restore_trainer(trainer, path, state)
    lines = list(choice.lines)
    if trainer.accelerator.is_main_process and belongs_to_run(path, folder):
        lines += _move_superseded(folder, trainer.images_seen)
    lines += describe_accepted(changed)
    precision, was = str(trainer.accelerator.mixed_precision), state.get("precision")
    if was and was != precision and "mixed_precision" not in changed:  # by default the machine decides
        lines.append(
            f"products are in {precision_name(precision)}, until now {precision_name(was)}:"
            f" --mixed_precision {was} keeps that"
        )
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
        from_checkpoint=True,
        threads=state.get("threads"),
    )


def belongs_to_run(path: Path, folder: Path) -> bool:
    """Returns whether a path leads to a run's folder, or to a checkpoint in it, superseded ones included."""
    folders = {
        (folder / place).resolve() for place in (".", CHECKPOINTS, Path(CHECKPOINTS, SUPERSEDED))
    }  # any may be a link
    return bool(folders & {path.resolve(), path.resolve().parent, path.parent.resolve()})


def roll_back(trainer: Trainer, folder: Path) -> tuple[Path, list[str]]:
    """Rolls the trainer back to the newest undamaged checkpoint of its own run; every process must call it.

    Returns:
        The checkpoint, and a line for each one that is damaged or was moved away.

    Raises:
        BadInput: there is none.
    """
    choice = _broadcast_choice(trainer.accelerator, lambda: _choose_checkpoint(folder, "auto"))
    if choice.path is None:
        raise BadInput(f"{folder} has no checkpoint to go back to")
    path = Path(choice.path)
    _restore_trainer(trainer, path, _read_state(path))
    moved = _move_superseded(folder, trainer.images_seen) if trainer.accelerator.is_main_process else []
    return path, [*choice.lines, *moved]


def _broadcast_choice(accelerator: Accelerator, choose: Callable[[], CheckpointChoice]) -> CheckpointChoice:
    """Returns the main process's choice: machines that do not share the folder would choose different checkpoints."""
    choice = [choose() if accelerator.is_main_process else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(choice)
    assert choice[0] is not None
    if choice[0].error:
        raise BadInput(choice[0].error)
    return choice[0]


def _choose_checkpoint(folder: Path, how: str) -> CheckpointChoice:
    """Returns the checkpoint to resume from, with a line for each newer one that is damaged. An error is returned, not
    raised, since all processes must raise it."""
    own = checkpoint.list_saved(folder / CHECKPOINTS)
    if how in ("auto", "latest"):
        candidates = own
    elif how == "never":
        if own:
            return CheckpointChoice(
                None, [], f"{folder} holds a run already: choose another --output, or let it go on with --resume auto"
            )
        return CheckpointChoice(None, [])
    else:
        place = Path(how).expanduser()
        is_checkpoint = (place / checkpoint.MANIFEST).exists() or place.parent.name in (CHECKPOINTS, SUPERSEDED)
        candidates = [place] if is_checkpoint else checkpoint.list_saved(place / CHECKPOINTS)
        if not candidates or not place.is_dir():
            return CheckpointChoice(
                None, [], f"--resume {how} is no checkpoint and no run that has one: try --resume auto"
            )
        if own and not belongs_to_run(place, folder):
            return CheckpointChoice(
                None, [], f"{folder} holds a run already: choose another --output to go on from {how} there"
            )
    damages: list[str] = []
    for path in reversed(candidates):
        try:
            checkpoint.load(path)
        except checkpoint.Damaged as damage:
            damages.append(str(damage))
            continue
        except BadInput as error:  # written by a newer Quagga: the user must decide
            return CheckpointChoice(None, [], str(error))
        return CheckpointChoice(str(path), [f"{damage}; going on from the one before, {path}" for damage in damages])
    if not damages:
        return CheckpointChoice(None, [])
    if len(candidates) == 1:
        return CheckpointChoice(
            None, [], f"{damages[0]}: choose another checkpoint with --resume PATH, or another --output"
        )
    return CheckpointChoice(
        None, [], f"all {len(damages)} checkpoints are damaged: {damages[0]}: choose another --output"
    )


def _read_state(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise BadInput(f"this process does not see {path}: every machine needs the same --output on a shared disk")
    state = checkpoint.load(path)
    if not isinstance(state, dict):
        raise BadInput(f"{path} is no checkpoint of a run: choose another one with --resume PATH")
    return state


def _restore_trainer(trainer: Trainer, path: Path, state: dict[str, Any]) -> None:
    try:
        if (rows := state["counters"]["minibatch"]) != trainer.minibatches:
            raise BadInput(
                f"{path} was trained with {rows} rows a step, not {trainer.minibatches}: keep --batch_size x"
                " --accumulation x processes, or choose another --output"
            )
        trainer.load_state_dict(state)
    except BadInput:
        raise
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        reason = one_line(error)
        raise BadInput(f"{path} does not fit this game ({reason}): choose another --output") from error


def _move_superseded(folder: Path, images_seen: int) -> list[str]:
    """Moves away the checkpoints after the one that is resumed: they continue another course of the run, and must not
    be taken for this one's. Returns a line for the user."""
    newer = [
        other for other in checkpoint.list_saved(folder / CHECKPOINTS) if checkpoint.images_seen_at(other) > images_seen
    ]
    if not newer:
        return []
    target = folder / CHECKPOINTS / SUPERSEDED
    target.mkdir(exist_ok=True)
    for other in newer:
        names = (f"{other.name}{f'.{number}' if number else ''}" for number in count())
        free = next(path for name in names if not (path := target / name).exists())
        shutil.move(other, free)  # the folder may be a link to another disk
    return [f"newer checkpoints are set aside in {target}: {', '.join(other.name for other in newer)}"]


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes all options to the run's folder, so that `--config` alone resumes the run. Raises BadInput if that
    fails."""
    text = yaml.safe_dump({**config, "resume": "auto"}, sort_keys=False, allow_unicode=True)
    try:
        atomic.write_file(folder / CONFIG, text.encode())
    except OSError as error:
        raise BadInput(f"cannot write into {folder} ({error.strerror}): choose another --output") from error
