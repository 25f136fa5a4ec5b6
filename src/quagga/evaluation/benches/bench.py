"""What runs are judged by: measures, and between which rows the figures of a run stand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from quagga.evaluation.measures.measure import Measure, Shown
from quagga.fields import Field, field_of
from quagga.inference.predictor import Predictor

BATCH_PIXELS = 8 * 256 * 256  # of pictures that go through a network at a time


@dataclass(frozen=True)
class Bench:
    """One comparison: real pictures, and how those of runs are judged beside them.

    Args:
        title: Such as "horse to zebra".
        measures: In the order of the table.
        real: Columns of real pictures, what a perfect run would be: name -> pictures.
        nothing: Columns of what is had without a run.
        source: What runs make pictures of: inputs of an export by name, and "x" for a way back.
        names: What each source is called.
        make: Turns pictures that a run, or another program, has made of the sources into a row.
        protocol: How it was done: a title and a sentence each.
        notices: Lines for the user.
        before: What the pictures of a run are shown beside, in the report: title -> pictures.
    """

    title: str
    measures: Sequence[Measure]
    real: Mapping[str, Shown]
    nothing: Mapping[str, Shown]
    source: Mapping[str, Tensor]
    names: Sequence[str]
    make: Callable[[Tensor, Tensor | None], Shown]
    protocol: Mapping[str, str]
    notices: Sequence[str] = ()
    before: Mapping[str, Tensor] = field(default_factory=dict)
    after: Mapping[str, Tensor] = field(default_factory=dict)


def pass_through(predictor: Predictor, inputs: Mapping[str, Tensor]) -> Tensor:
    """Returns what an export makes of pictures and conditions, on the CPU, a few at a time."""
    first = next(iter(inputs.values()))
    named = {one.name: inputs[one.name] for one in predictor.inputs}
    pixels = max((tensor.shape[-1] * tensor.shape[-2] for tensor in named.values() if tensor.ndim == 4), default=1)
    size = max(1, min(64, BATCH_PIXELS // pixels))
    parts = range(0, len(first), size)
    return torch.cat(
        [predictor(**{name: tensor[start : start + size] for name, tensor in named.items()}).cpu() for start in parts]
    )


def condition_input(inputs: Sequence[Field]) -> str | None:
    """Returns the name of the condition that an export takes; None: it takes none."""
    found = field_of(inputs, "condition")
    return found.name if found else None
