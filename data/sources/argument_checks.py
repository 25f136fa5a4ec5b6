"""What a user states of pictures and of those who read them, looked at before any is read."""

from collections.abc import Sequence
from math import isfinite

from quagga.errors import BadInput


def check_domain(side: str, channels: int | None, value_range: Sequence[float] | None) -> None:
    """Raises BadInput where a side, "x" or "y", cannot have such channels or such a range of stored values."""
    if channels is not None and channels < 1:
        raise BadInput(f"{side}_channels {channels}: grey pictures have 1, colour 3, others as many as are stored")
    if value_range is None:
        return
    if not (len(value_range) == 2 and all(map(isfinite, value_range)) and value_range[0] < value_range[1]):
        raise BadInput(f"{side}_value_range {value_range}: two numbers, the lower first, e.g. '[0, 4095]'")


def check_names(names: Sequence[str] | None) -> None:
    """Raises BadInput where classes, attributes or words are asked for, and none is named."""
    if names is not None and not names:
        raise BadInput("names is an empty list: name some, --names '[horse, zebra]', or leave it out to take all")


def check_workers(workers: int, timeout: float) -> None:
    """Raises BadInput where there cannot be so many readers, or they cannot be waited for so long (seconds)."""
    if not 0 <= workers <= 256:
        raise BadInput(f"workers {workers}: 0 reads in the training process, 1 to 256 read ahead")
    if timeout <= 0:
        raise BadInput(f"worker_timeout {timeout}: must be above 0 seconds")
