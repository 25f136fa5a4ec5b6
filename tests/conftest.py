"""What all tests share: how many threads a process takes, how hypothesis looks for counterexamples, and no network."""

import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# What tests share (toys), their rooms, whose tests borrow from one another, and the benchmarks, whose promises are
# asserted here: for this process and for those that tests start.
TESTS = Path(__file__).parent
SHARED = [TESTS, *sorted(path for path in TESTS.rglob("*") if any(path.glob("test_*.py"))), TESTS.parent / "benchmarks"]
sys.path[:0] = map(str, SHARED)

# Before torch is imported, and for the processes that tests start. Two workers with two threads each would wait for
# one another. The number is said, so that no run tries which is faster: two runs that are compared must have the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it calls out when it is imported
os.environ["ACCELERATE_MIXED_PRECISION"] = "no"  # the same arithmetic on every machine, whatever it has units for

# A look-up or a connection that leaves this machine fails the test in which it happens, in its child processes too.
GUARD = TESTS / "guard"
runpy.run_path(str(GUARD / "sitecustomize.py"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(GUARD), *map(str, SHARED), os.environ.get("PYTHONPATH")]))
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if not WORKER:
    os.environ["QUAGGA_LOOKUPS_FOLDER"] = tempfile.mkdtemp(prefix="quagga-lookups-")
FOLDER = Path(os.environ["QUAGGA_LOOKUPS_FOLDER"])
os.environ["QUAGGA_LOOKUPS"] = str(FOLDER / (WORKER or "main"))

# The same examples everywhere and no clock: a law does not fail because a machine is busy.
settings.register_profile("laws", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("laws")


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Also where the code under test has swallowed the refusal."""
    before = len(look_ups())
    yield
    new = look_ups()[before:]
    assert not new, f"a test must not need the network, and this one asked for {', '.join(new)}"


def look_ups() -> list[str]:
    """What this process and its children asked for."""
    file = Path(os.environ["QUAGGA_LOOKUPS"])
    return file.read_text("utf-8").splitlines() if file.exists() else []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    count = sum(len(file.read_text("utf-8").splitlines()) for file in FOLDER.iterdir())
    terminalreporter.write_line(f"{count} look-ups of other machines, by the tests and their child processes")


def pytest_unconfigure() -> None:
    if not WORKER:
        shutil.rmtree(FOLDER, ignore_errors=True)
