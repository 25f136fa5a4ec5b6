"""The comparison of two trees sees a single bit, and says what differs."""

import math

import pytest
import torch
from same_as import BATCH, GAMES, STEPS, bits, differing, draw, gather, ratio
from torch import nan

from quagga.cli.main import command_line
from quagga.training import checkpoint


def test_one_bit_is_seen_and_named():
    one = {"G.weight": torch.tensor([1.0, nan]), "steps": 3, "curve": [(2, nan)]}
    assert differing(one, {**one, "G.weight": one["G.weight"].clone()}) == []
    flipped = torch.nextafter(one["G.weight"], torch.tensor([2.0, 0.0]))
    assert differing(one, {**one, "G.weight": flipped}) == ["G.weight"]
    assert differing(one, {"steps": 4, "curve": one["curve"]}) == ["G.weight", "steps"]


def test_a_tensor_of_another_kind_or_form_is_another():
    zeros = torch.zeros(2)
    assert bits(zeros) != bits(torch.zeros(2, dtype=torch.int32)) != bits(torch.zeros(1, 2, dtype=torch.int32))
    assert bits(torch.tensor(0.0)) != bits(torch.tensor(-0.0))


def test_all_of_a_checkpoint_is_read_but_folders_and_seconds(tmp_path):
    state = {"config": {"root": "here"}, "generators": {"G": {"w": torch.ones(2)}}, "best": [1, (2.5, None)]}
    path = checkpoint.save(tmp_path, 8, state, keep=1)
    found: dict = {}
    tensors = {"0": torch.ones(2)}
    gather("", checkpoint.json.loads((path / "state.json").read_text()), tensors, found)
    assert found.keys() == {"/generators/G/w", "/best/0", "/best/1/0", "/best/1/1"}


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_the_ratio_of_times_is_found_in_noise(factor):
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).mul(0.05).exp().tolist()
    middle, low, high = ratio([(factor * a, b) for a, b in noise])
    assert low < factor < high and math.isclose(middle, factor, rel_tol=0.02) and high / low < 1.04


@pytest.mark.parametrize("title", GAMES)
def test_every_game_that_is_compared_can_be_played(title, tmp_path, monkeypatch):
    """Its options at least, without a step."""
    monkeypatch.chdir(tmp_path)
    draw(tmp_path, count=6)
    assert command_line(["train", *GAMES[title].split(), f"--images={STEPS * BATCH}", "--print_config"]) == 0
