"""The toy of benchmarks/why_the_cycle.py: its games are ten games, its one-way cycle has three networks, and
docs/cyclegan.md shows what was measured."""

import re

import pytest
import torch
import why_the_cycle
from documentation import ROOT
from why_the_cycle import GAMES, Networks, OneWay, animals, play

from quagga.pipelines.cyclegan import CycleGAN


def test_the_games_share_nothing():
    network, x = Networks(3, seed=1), animals(4, -1.0, seed=0)
    before = network(x)
    with torch.no_grad():
        for p in network.parameters():
            p[0] += 1
    changed = (network(x) != before).flatten(2).any(2).any(0)
    assert changed.tolist() == [True] + [False] * (GAMES - 1)


@pytest.mark.parametrize(("kind", "moved"), [(CycleGAN, "G F D_X D_Y"), (OneWay, "G F D_Y")])
def test_a_one_way_cycle_moves_three_networks(kind, moved):
    begun, gone = (play(kind, 10.0, 0.0, turns) for turns in (1, 2))
    first = {name: getattr(begun, name).weights[0] for name in ("G", "F", "D_X", "D_Y")}
    assert {name for name, weight in first.items() if (weight != getattr(gone, name).weights[0]).any()} == {
        *moved.split()
    }


def test_a_translator_that_leaves_every_pose_as_it_is_is_right():
    nothing = torch.nn.Identity()
    game = CycleGAN(nothing, nothing, nothing, nothing)
    different, own, back, wrong = re.split(r"\s{2,}", why_the_cycle.verdicts(game).strip())
    assert different == own == " ".join(["8"] * GAMES) and float(back) == 0 and wrong == "0"


def test_the_page_of_cyclegan_shows_what_was_measured():
    page = (ROOT / "docs" / "cyclegan.md").read_text("utf-8")
    [table] = re.findall(r"```console\n(trained with.*?)```", page, re.DOTALL)
    assert table in (ROOT / "benchmarks" / "results" / "why_the_cycle.txt").read_text("utf-8")
