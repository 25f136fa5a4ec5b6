"""Every try of the benchmark on real horses is a line that training understands, and its figures are what they say."""

from importlib import import_module

import pytest
import torch
from real_minutes import JUDGE, TRIES, changes, row, share_of_zebras

from quagga.cli.options.config_parser import resolve
from quagga.pipelines import PIPELINES


@pytest.mark.parametrize("name", [*TRIES, "judge"])
@pytest.mark.parametrize("size", [64, 96])
def test_every_try_is_a_line_that_training_understands(name, size):
    pipeline, *words = (TRIES | {"judge": f"classifier {JUDGE}"})[name].format(size=size, enlarged=size).split()
    module = import_module(PIPELINES[pipeline][0])
    config, _ = resolve(pipeline, module.build, module.data, words, "real_minutes", module.defaults)
    assert config["crop_size" if "crop_size" in config else "size"] in (size, None)


def test_changes_are_told_apart_by_where_they_are():
    x, made = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    made[..., 2:6, 2:6] = 0.5  # the middle half
    assert changes(x, made) == (0.5, 0.0)
    assert changes(x, torch.full_like(x, -0.25)) == (0.25, 0.25)


def test_a_zebra_is_what_is_more_likely_one():
    assert share_of_zebras(torch.tensor([0.2, 0.5, 0.51, 0.9])) == 0.5


def test_a_row_that_is_there_is_known_by_its_beginning():
    assert row(("today", 64, 0, "8", 100, 0.5)).startswith(row(("today", 64, 0, "8")))
