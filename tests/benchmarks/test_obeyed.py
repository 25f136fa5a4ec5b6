"""Class, attributes and caption to animal: a classifier trained apart reads in the samples what was asked for."""

import conditions
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.training]


@pytest.fixture(scope="module")
def judge():
    network, own = conditions.judge()
    assert min(own) > 0.98  # a judge who errs proves nothing
    return network


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("entry", conditions.ENTRIES, ids=lambda entry: entry.condition)
def test_conditions_are_obeyed(tmp_path, judge, entry):
    outcome = conditions.play(entry, judge, tmp_path)
    assert outcome.promised >= conditions.PROMISE
    assert outcome.diversity >= conditions.VARIED
