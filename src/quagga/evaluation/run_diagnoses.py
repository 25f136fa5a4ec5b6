"""What is wrong with a run, finished or running, read of its event files."""

import json
from pathlib import Path

import yaml

from quagga.diagnoses import Diagnosis, Readings, find_faults
from quagga.errors import BadInput
from quagga.filenames import utf8_alias

STRIPS = "figures of the strips/text_summary"  # tag of the text in which a run writes them
NOTHING = "no fault that Quagga knows shows in the curves and strips (docs/diagnoses.md)"


def read_readings(run: str | Path) -> Readings:
    """Returns a run's curves, the figures of its strips, and its options.

    Args:
        run: its folder.

    Raises:
        BadInput: there is no run, or it has no event files.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = Path(run)
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise BadInput(f"{folder} is no run's folder: config.yaml cannot be read ({error})") from None
    if not isinstance(config, dict) or not list(folder.glob("events.*")):
        raise BadInput(f"{folder} has no event files: name the folder of a run that has begun")
    with utf8_alias(folder) as alias:
        events = EventAccumulator(str(alias), size_guidance={"scalars": 0, "tensors": 0, "images": 1})
        events.Reload()
    steps = (config.get(name) or 1 for name in ("batch_size", "accumulation"))
    readings = Readings(config, next(steps) * next(steps))
    for name in events.Tags()["scalars"]:
        for point in events.Scalars(name):
            readings.add(point.step, {name: point.value})
    if STRIPS in events.Tags()["tensors"]:
        for point in events.Tensors(STRIPS):
            figures = json.loads(point.tensor_proto.string_val[0])
            readings.add(point.step, {f"strips/{name}": value for name, value in figures.items()})
    return readings


def diagnose(run: str | Path) -> list[Diagnosis]:
    """Returns what is wrong with a run at the newest points of its curves and strips. Raises BadInput."""
    return find_faults(read_readings(run))


def diagnosis_text(run: str | Path) -> str:
    """Returns what `diagnose` finds, a line for each fault; or that there is none; or why nothing is known."""
    try:
        return "\n".join(fault.line() for fault in diagnose(run)) or NOTHING
    except BadInput as error:
        return f"nothing is known of how it trained: {error}"
