"""What all tests share: how many threads a process takes, and how hypothesis looks for counterexamples."""

import os
import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # the promises that they measure are asserted here

# Before torch is imported, and for the processes that tests start. Two workers with two threads each would wait for
# one another; a single process, as in `make slow`, may take all cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it calls out when it is imported

# The same examples everywhere and no clock: a law does not fail because a machine is busy.
settings.register_profile("laws", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("laws")
