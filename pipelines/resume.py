"""Going on with a run: only with the run that the folder holds, and on all processes from the same checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from quagga import BadInput
from quagga.pipelines import checkpoint, whole
from quagga.pipelines.minimax import Trainer

CONFIG, CHECKPOINTS, ASIDE = "config.yaml", "checkpoints", "aside"
MAY_CHANGE = {  # in a run that goes on; the rest is what the run is
    *("images", "epochs", "output", "resume", "init_from", "log_every", "sample_every", "samples", "save_every"),
    *("keep", "keep_best", "on_nonfinite", "device", "deterministic"),
    *("batch_size", "accumulation"),  # as long as their product with the number of processes stays, see `resume`
    *("workers", "worker_timeout", "root", "x", "y", "x_name", "y_name", "unreadable"),
}


class Choice(NamedTuple):
    """What to go on from, and what the user should hear of it."""

    path: str | None  # of a checkpoint; None: the run begins
    lines: list[str]
    error: str = ""


def resume(trainer: Trainer, folder: Path, how: str, config: Mapping[str, Any]) -> list[str]:
    """Goes on from a checkpoint, if there is one; every process must call it.

    Args:
        trainer: is put where the checkpoint was written.
        folder: the run's.
        how: "auto" and "latest": the folder's newest checkpoint that is whole; "never": none may be there; else the
            path of a checkpoint, or of a run whose newest is taken.
        config: all options, to be compared with those the checkpoint was played with.

    Returns:
        A line for each checkpoint that is damaged and for each option that has changed.

    Raises:
        BadInput: no checkpoint is whole, the folder holds another run, or this process does not see the main process's
            checkpoint.
    """
    choice = _agreed(trainer.accelerator, lambda: _choose(folder, how))
    if choice.path is None:
        return []
    path = Path(choice.path)
    changed = differences(path.parent.parent, config)
    refused = [f"{key} was {was}, not {now}" for key, (was, now) in changed.items() if key not in MAY_CHANGE]
    if refused:
        raise BadInput(f"{path.parent.parent} holds another run: {'; '.join(refused)}. Choose another --output")
    _load(trainer, path)
    lines = list(choice.lines)
    if trainer.accelerator.is_main_process and path.parent == folder / CHECKPOINTS:
        lines += _set_aside(folder, path)
    return lines + [f"{key}: {now}, until now {was}" for key, (was, now) in changed.items() if key not in SAID]


SAID = ("output", "resume", "init_from")  # what the user has just typed needs no repetition


def back_to_newest(trainer: Trainer, folder: Path) -> Path:
    """Puts the trainer back to the newest checkpoint of its own run; every process must call it. Raises BadInput."""
    choice = _agreed(trainer.accelerator, lambda: _choose(folder, "auto"))
    if choice.path is None:
        raise BadInput(f"{folder} has no checkpoint to go back to")
    _load(trainer, Path(choice.path))
    return Path(choice.path)


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
        named = (place / checkpoint.MANIFEST).exists() or place.parent.name == CHECKPOINTS
        candidates = [place] if named else checkpoint.saved(place / CHECKPOINTS)
        if not candidates or not place.is_dir():
            return Choice(None, [], f"--resume {how} is no checkpoint and no run that has one: try --resume auto")
        if own and place.resolve().parent != (folder / CHECKPOINTS).resolve() and place.resolve() != folder.resolve():
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


def _load(trainer: Trainer, path: Path) -> None:
    if not path.is_dir():
        raise BadInput(f"this process does not see {path}: every machine needs the same --output on a shared disk")
    state = checkpoint.load(path)
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


def _set_aside(folder: Path, path: Path) -> list[str]:
    """Checkpoints after the one a user goes back to are another future: they must not be taken for this one's."""
    newer = [other for other in checkpoint.saved(folder / CHECKPOINTS) if other.name > path.name]
    if not newer:
        return []
    aside = folder / CHECKPOINTS / ASIDE
    aside.mkdir(exist_ok=True)
    for other in newer:
        whole.remove(aside / other.name)
        other.rename(aside / other.name)
    return [f"newer checkpoints are set aside in {aside}: {', '.join(other.name for other in newer)}"]


def differences(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Option -> (what it was in the folder's run, what it is now), where the two differ."""
    try:
        old = yaml.safe_load((folder / CONFIG).read_text("utf-8"))
        return {key: (old.get(key), value) for key, value in config.items() if old.get(key) != value}
    except (OSError, AttributeError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{folder / CONFIG} cannot be read, so nobody knows what this run is: {reason}") from error


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes down all options. Raises BadInput where that cannot be."""
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    try:
        whole.write_file(folder / CONFIG, text.encode())
    except OSError as error:
        raise BadInput(f"cannot write into {folder} ({error.strerror}): choose another --output") from error
