"""A stranger's config or model must not build without end."""

from collections.abc import Iterable

from quagga import BadInput

WIDEST = 4096  # channels; the papers' networks have 1024 at most


def bounded(sizes: Iterable[tuple[str, int | None, int]]) -> None:
    """Checks options that count something: name, value (None is never wrong), and the most it may be.

    Raises:
        BadInput: a value is below 1 or too large.
    """
    for name, size, most in sizes:
        if size is not None and not 1 <= size <= most:
            raise BadInput(f"{name} is {size}: it must be from 1 to {most}")
