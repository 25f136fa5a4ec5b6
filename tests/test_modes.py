"""The laws of a network that is used with dropout and with the statistics of its picture: nothing of it changes."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from quagga.models import ResnetGenerator, UnetGenerator
from quagga.models.modes import Mode, SeededDropout, in_mode, used
from quagga.pipelines.tiles import in_strips

PAPERS = Mode(dropout=True, statistics="batch")


def unet(depth: int = 5, width: int = 4) -> UnetGenerator:
    """With running statistics that are not those of any picture here."""
    torch.manual_seed(0)
    made = UnetGenerator(width=width, depth=depth)
    for name, value in made.named_buffers():
        if "running" in name:
            nn.init.uniform_(value, 0.5, 1.5)
    for value in made.parameters():
        nn.init.normal_(value, std=0.3)  # else what the inner layers say is lost in rounding
    return made.eval().requires_grad_(False)


def pictures(count: int = 2, height: int = 16, width: int = 24) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_network_is_as_it_was():
    G = unet()
    before = {name: value.clone() for name, value in G.state_dict().items()}
    layers = list(G.modules())
    plain = G(pictures())
    used(G, pictures(), PAPERS)
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())
    assert G.state_dict().keys() == before.keys()
    assert [id(layer) for layer in G.modules()] == [id(layer) for layer in layers]
    assert not any(layer.training for layer in G.modules())
    assert torch.equal(G(pictures()), plain)


def test_it_is_as_it_was_after_an_error_too():
    G = unet()
    with pytest.raises(KeyboardInterrupt), in_mode(G, PAPERS):
        raise KeyboardInterrupt
    assert not any(isinstance(layer, SeededDropout) for layer in G.modules())
    assert all(layer.running_mean is not None for layer in G.modules() if isinstance(layer, nn.BatchNorm2d))


def test_batch_statistics_are_those_of_training_without_its_memory():
    G = unet()
    for layer in G.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    one = pictures(1)
    made = used(G, one, Mode(statistics="batch"))
    before = {name: value.clone() for name, value in G.named_buffers()}
    G.train()
    assert torch.equal(made, G(one))
    assert not torch.equal(before["encoder.1.2.running_mean"], G.state_dict()["encoder.1.2.running_mean"])


def test_each_switch_does_what_it_says():
    G, x = unet(), pictures()
    made = {
        (dropout, statistics): used(G, x, Mode(dropout, statistics))
        for dropout in (False, True)
        for statistics in ("running", "batch")
    }
    assert torch.equal(made[False, "running"], G(x))
    values = list(made.values())
    assert not any(torch.equal(a, b) for n, a in enumerate(values) for b in values[:n])


def test_a_picture_does_not_depend_on_the_others_nor_on_torchs_chance():
    G, x = unet(), pictures(3)
    together = used(G, x, PAPERS)
    state = torch.get_rng_state()
    alone = torch.cat([used(G, x[n : n + 1], PAPERS) for n in (2, 0, 1)])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(alone, together[[2, 0, 1]])
    assert not torch.equal(used(G, x, PAPERS._replace(seed=1)), together)


def test_dropout_drops_its_share_and_keeps_the_mean():
    layer = SeededDropout(0.25, torch.Generator().manual_seed(0))
    made = layer(torch.ones(1, 1, 300, 300))
    assert made.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((made == 0).float().mean()) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_one_pixel_in_the_middle_and_one_picture_neither_fail_nor_vanish(norm, depth):
    torch.manual_seed(0)
    G = UnetGenerator(width=4, depth=depth, norm=norm, dropout=0.5)
    middle: list[Any] = []
    G.encoder[-1].register_forward_hook(lambda _layer, _given, given: middle.append(given))
    x = pictures(1, 2**depth, 2**depth)
    for made in (G.train()(x), used(G.eval(), x, PAPERS)):
        assert made.isfinite().all() and made.std() > 0
    assert all(one.shape[2:] == (1, 1) and one.abs().max() > 0 for one in middle)
    other = used(G, -x, PAPERS)
    assert len(middle) == 3 and not torch.equal(middle[1], middle[2]) and not torch.equal(other, made)


NETWORKS = {
    "unet": unet,
    "deep, resized": lambda: UnetGenerator(width=2, depth=6, upsample="resize"),
    "resnet": lambda: ResnetGenerator(width=4, blocks=1, norm="batch"),
}


@pytest.mark.parametrize("mode", [PAPERS, Mode(True, "running"), Mode(False, "batch")])
@pytest.mark.parametrize("name", NETWORKS)
@given(height=st.integers(1, 70), width=st.integers(1, 70), tile=st.integers(1, 24))
def test_in_strips_it_is_the_whole_picture(name, mode, height, width, tile):
    torch.manual_seed(0)
    G = NETWORKS[name]().double().eval().requires_grad_(False)
    for value in G.parameters():
        nn.init.normal_(value, std=0.3)
    x = torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with in_mode(G, mode):
        made = in_strips(G, x, tile)
    assert (made - used(G, x, mode)).abs().max() < 1e-9
