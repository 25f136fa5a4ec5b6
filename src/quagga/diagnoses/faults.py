"""All faults that are looked for, in the order in which they are said."""

from collections.abc import Callable

from quagga.diagnoses import hints, proven
from quagga.diagnoses.readings import Diagnosis, Readings

PROVEN: tuple[Callable[[Readings], Diagnosis | None], ...] = (
    proven.sides_exchanged,
    proven.copies,
    proven.discriminator_has_won,
    proven.modes_collapse,
    proven.colours_wrong,
    proven.data_starve,
)
HINTS: tuple[Callable[[Readings], Diagnosis | None], ...] = (
    hints.gradients_grow,
    hints.checkerboard,
    hints.averages_lag,
    hints.learned_by_heart,
    hints.condition_ignored,
    hints.background_changes,
)


def find_faults(readings: Readings) -> list[Diagnosis]:
    """Returns what is wrong with a run at the newest points of its curves, one diagnosis of each kind at most."""
    return [fault for look in (*PROVEN, *HINTS) if (fault := look(readings)) is not None]
