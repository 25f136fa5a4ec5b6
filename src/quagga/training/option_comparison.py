"""Compares the options of a checkpoint with those of the run that resumes it: which differ, and which may differ."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from quagga.pipelines.core.schedule import Schedule
from quagga.renamed import REMOVED_OPTIONS
from quagga.training.run_options import RunOptions

CHANGEABLE_OPTIONS = {  # in a resumed run; the other options define the run
    *("images", "epochs", "output", "resume", "init_from"),
    *("log_every", "sample_every", "samples", "examined", "save_every"),
    *("keep", "keep_best", "stop_when", "on_nonfinite", "device", "deterministic"),
    *("compile", "channels_last", "gradient_checkpointing"),  # they change how a step is computed, not its result
    *("batch_size", "accumulation"),  # `resume` compares their product with the number of processes
    *("workers", "worker_timeout", "cache", "unreadable"),
    *("root", "x", "y", "table", "pictures", "pairs", "x_name", "y_name"),
}
UNREPORTED_OPTIONS = ("output", "resume", "init_from")  # the user has just typed them
MAX_VALUE_LENGTH = 60  # characters of a value in a message


def changed_options(old: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns option -> (value in the checkpoint, value now), where the two differ. A version that did not know an
    option behaved like its default."""
    before = {**dataclass_defaults(Schedule), **dataclass_defaults(RunOptions), **old} if old else {}
    # An option that was not known, and has no effect without the other.
    unused = {"lr_batch"} - old.keys() if before.get("lr_rule") == config.get("lr_rule") == "none" else set()
    now = {**config, **{key: value for key, value in REMOVED_OPTIONS.items() if key in old}}
    return {
        key: (before.get(key), value) for key, value in now.items() if before.get(key) != value and key not in unused
    }


def describe_refused(old: Mapping[str, Any], changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Describes the changes that make it another run: of all options but CHANGEABLE_OPTIONS. An option that the
    checkpoint's version did not know is not among them."""
    return [
        f"{key} was {abbreviate(was)}, not {abbreviate(now)}"
        for key, (was, now) in changed.items()
        if key not in CHANGEABLE_OPTIONS and (key in old or not old)
        if key != "phases" or fixed_values(was) != fixed_values(now)
    ]


def fixed_values(phases: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Returns what a resumed run keeps of its phases. The last one's images are the length of the run. The batch sizes
    may change as long as the minibatches stay, see `Trainer.minibatches`."""
    fixed = [{name: value for name, value in phase.items() if name != "batch_size"} for phase in phases or [{}]]
    return [*fixed[:-1], {name: value for name, value in fixed[-1].items() if name != "images"}]


def describe_accepted(changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Describes the changes with which a run goes on, but for those that the user has just typed."""
    return [
        f"{key}: {abbreviate(now)}, until now {abbreviate(was)}"
        for key, (was, now) in changed.items()
        if key not in UNREPORTED_OPTIONS
    ]


def abbreviate(value: Any) -> str:
    """Returns a value as text of at most about MAX_VALUE_LENGTH characters: a vocabulary holds thousands of words."""
    text = str(value)
    if len(text) <= MAX_VALUE_LENGTH:
        return text
    count = f" ({len(value):,} in all)" if isinstance(value, list | dict) else ""
    return f"{text[: MAX_VALUE_LENGTH - 3]}...{count}"


def precision_name(precision: str) -> str:
    """Returns the name of a mixed precision in messages."""
    return "float32" if precision == "no" else precision


def dataclass_defaults(options: type) -> dict[str, Any]:
    """Returns the defaults of a dataclass of options."""
    return {field.name: field.default for field in fields(options)}
