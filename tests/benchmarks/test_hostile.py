"""The promises of benchmarks/hostile.py: what a stranger sends is refused in one line, soon, and runs nothing."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

HOSTILE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "hostile.py"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="the measuring needs fork"),
]


@pytest.fixture(scope="module")
def played() -> list[Any]:
    return HOSTILE["outcomes"]()


def cases_of(played: list[Any], group: str) -> list[Any]:
    return [case for case in played if case.group == group]


def test_bombs_and_archives_are_refused_soon_in_little_memory_and_leave_nothing(played):
    cases = cases_of(played, "bomb")
    assert len(cases) >= 30
    # Below 50 MB, 0 bytes, one line; whether below 1 s the benchmark says: a machine may be busy.
    assert not [case for case in cases if not replace(case, seconds=0.0).held]
    assert {"PNG of 30000 x 30000", "tar.gz that unpacks to 200 MB"} <= {case.name for case in cases}
    assert any(case.name.endswith("that unpacks to 200 MB") and case.name.startswith("zip of 20") for case in cases)


def test_models_and_configs_are_refused_in_one_line(played):
    cases = cases_of(played, "model")
    assert len(cases) >= 30
    assert not [case for case in cases if not case.held]
    assert max(case.megabytes for case in cases) < 100


def test_no_payload_is_run(played):
    assert len(cases_of(played, "checkpoint")) >= 10
    assert not [case for case in played if case.payload]
