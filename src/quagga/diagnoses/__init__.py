"""What goes wrong in a run, read of its curves and strips: figures of strips, faults that are proven, hints.

The room imports no other room: a run says a diagnosis while it trains, and `quagga.evaluation` reads it of a run's
folder, so both must reach it, and it neither. Its functions are pure; nothing here touches a device.
"""

from quagga.diagnoses.faults import find_faults
from quagga.diagnoses.figures import strip_figures
from quagga.diagnoses.readings import Diagnosis, Point, Readings

__all__ = ["Diagnosis", "Point", "Readings", "find_faults", "strip_figures"]
