"""Going on with a run: only with the run that the folder holds, and on all processes from the same checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from accelerate.utils import broadcast_object_list

from quagga import BadInput
from quagga.pipelines import checkpoint
from quagga.pipelines.minimax import Trainer

CONFIG = "config.yaml"
MAY_CHANGE = {  # in a run that goes on; the rest is what the run is
    *("images", "epochs", "output", "resume", "log_every", "sample_every", "samples", "save_every", "keep", "device"),
    *("batch_size", "accumulation"),  # as long as their product with the number of processes stays, see `resume`
    *("workers", "worker_timeout", "root", "x", "y", "x_name", "y_name", "unreadable"),
}


def resume(trainer: Trainer, folder: Path, how: str, config: Mapping[str, Any]) -> list[str]:
    """Goes on from the newest checkpoint in the run folder, if there is one; every process must call it.

    Returns:
        A line for each option that has changed.

    Raises:
        BadInput: the folder holds another run, or this process does not see the main process's checkpoint.
    """
    found = checkpoint.saved(folder / "checkpoints")
    newest = [found[-1].name if found else None]
    if trainer.accelerator.num_processes > 1:
        broadcast_object_list(newest)  # machines that do not share the folder would each go on from elsewhere
    if newest[0] is None:
        return []
    if how == "never":
        raise BadInput(f"{folder} holds a run already: choose another --output, or let it go on with --resume auto")
    changed = differences(folder, config)
    refused = [f"{key} was {was}, not {now}" for key, (was, now) in changed.items() if key not in MAY_CHANGE]
    if refused:
        raise BadInput(f"{folder} holds another run: {'; '.join(refused)}. Choose another --output")
    path = folder / "checkpoints" / newest[0]
    if not path.is_dir():
        raise BadInput(f"this process does not see {path}: every machine needs the same --output on a shared disk")
    state = checkpoint.load(path)
    if (rows := state["counters"]["minibatch"]) != trainer.minibatch:
        raise BadInput(
            f"{folder} was played with {rows} rows a step, not {trainer.minibatch}: keep --batch_size x --accumulation"
            " x processes, or choose another --output"
        )
    trainer.load_state_dict(state)
    return [f"{key}: {now}, until now {was}" for key, (was, now) in changed.items() if key != "output"]


def differences(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Option -> (what it was in the folder's run, what it is now), where the two differ."""
    try:
        old = yaml.safe_load((folder / CONFIG).read_text("utf-8"))
        return {key: (old.get(key), value) for key, value in config.items() if old.get(key) != value}
    except (OSError, AttributeError, yaml.YAMLError) as error:
        raise BadInput(f"{folder / CONFIG} cannot be read, so nobody knows what this run is: {error}") from error


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Makes the run folder and writes down all options."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), "utf-8")
    except OSError as error:
        raise BadInput(f"cannot write into {folder} ({error.strerror}): choose another --output") from error
