"""The laws of a network that is used with dropout and with the statistics of its picture: nothing of it changes."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from quagga.inference.tiling import forward_in_strips
from quagga.models import ResnetGenerator, UnetGenerator
from quagga.models.network_mode import (
    Mode,
    SeededDropout,
    apply_in_mode,
    copy_in_mode,
    evaluation_logits,
    in_mode,
    network_in_mode,
    seeded_dropout,
)

PAPERS = Mode(dropout=True, statistics="batch")
MODES = [Mode(), PAPERS, PAPERS._replace(seed=3), Mode(True, "running"), Mode(False, "batch")]


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


def settings_of(layer: nn.Module) -> dict[str, Any]:
    """All attributes of a layer by name, and the very tensors and layers that it holds."""
    return {name: dict(value) if isinstance(value, dict) else value for name, value in vars(layer).items()}


@pytest.fixture
def unchanged():
    """Makes a network of which nothing may have changed when the test is over."""
    G = unet()
    state = {name: value.clone() for name, value in G.state_dict().items()}
    layers, x = list(G.modules()), pictures()
    settings = [settings_of(layer) for layer in layers]
    plain = G(x)
    yield G
    assert [id(layer) for layer in G.modules()] == [id(layer) for layer in layers]
    assert [settings_of(layer) for layer in layers] == settings
    assert G.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in G.state_dict().items())
    assert torch.equal(G(x), plain)


@pytest.mark.parametrize("mode", MODES)
def test_the_network_is_as_it_was(unchanged, mode):
    apply_in_mode(unchanged, pictures(), mode)
    network_in_mode(unchanged, mode)(pictures())
    evaluation_logits(unchanged, pictures())
    with in_mode(unchanged, mode):
        unchanged(pictures(1))


def in_strips(G: nn.Module, mode: Mode):
    prepared = network_in_mode(G, mode)
    return lambda x: forward_in_strips(prepared, x, tile=8)


WAYS = {  # to use a network in a mode -> how it is prepared once, for all threads, and how often each calls it
    "network_in_mode": (network_in_mode, 200),
    "apply_in_mode": (lambda G, mode: lambda x: apply_in_mode(G, x, mode), 25),
    "in strips": (in_strips, 10),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", WAYS)
def test_threads_get_what_they_get_one_after_the_other(unchanged, way, mode):
    prepare, calls = WAYS[way]
    call = prepare(unchanged, mode)
    xs = [one * share for one in pictures(2).split(1) for share in (0.5, 1.0)]
    expected = [call(x) for x in xs]
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda n: call(xs[n % 4]), range(4 * calls)))
    assert sum(not torch.equal(one, expected[n % 4]) for n, one in enumerate(made)) == 0


def test_a_copy_shares_the_weights_and_learns_with_the_network():
    G = unet()
    copied = copy_in_mode(G.train(), PAPERS)
    assert not any(layer.training for layer in copied.modules()) and all(layer.training for layer in G.modules())
    shared = {id(tensor) for tensor in (*G.parameters(), *G.buffers())}
    assert {id(tensor) for tensor in (*copied.parameters(), *copied.buffers())} < shared
    before = network_in_mode(G.eval(), PAPERS)
    made = before(pictures())
    for parameter in G.parameters():
        parameter.mul_(2)
    assert not torch.equal(before(pictures()), made)
    assert torch.equal(before(pictures()), apply_in_mode(G, pictures(), PAPERS))


def test_a_network_in_a_mode_takes_what_the_network_takes():
    class Moved(nn.Module):
        """A picture and one number a picture, with a dropout."""

        def __init__(self) -> None:
            super().__init__()
            self.G = unet()

        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return self.G(x) + c[:, None, None, None]

    network, x, c = Moved().eval(), pictures(3), torch.arange(3.0)
    made = network_in_mode(network, PAPERS)(x, c)
    assert torch.equal(made, apply_in_mode(network.G, x, PAPERS) + c[:, None, None, None])
    with pytest.raises(ValueError, match="shorter"):
        network_in_mode(network, PAPERS)(x, c[:2])


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
    made = apply_in_mode(G, one, Mode(statistics="batch"))
    before = {name: value.clone() for name, value in G.named_buffers()}
    G.train()
    assert torch.equal(made, G(one))
    assert not torch.equal(before["encoder.1.2.running_mean"], G.state_dict()["encoder.1.2.running_mean"])


def test_each_switch_does_what_it_says():
    G, x = unet(), pictures()
    made = {
        (dropout, statistics): apply_in_mode(G, x, Mode(dropout, statistics))
        for dropout in (False, True)
        for statistics in ("running", "batch")
    }
    assert torch.equal(made[False, "running"], G(x))
    values = list(made.values())
    assert not any(torch.equal(a, b) for n, a in enumerate(values) for b in values[:n])


def test_a_picture_does_not_depend_on_the_others_nor_on_torchs_chance():
    G, x = unet(), pictures(3)
    together = apply_in_mode(G, x, PAPERS)
    state = torch.get_rng_state()
    alone = torch.cat([apply_in_mode(G, x[n : n + 1], PAPERS) for n in (2, 0, 1)])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(alone, together[[2, 0, 1]])
    assert not torch.equal(apply_in_mode(G, x, PAPERS._replace(seed=1)), together)


def test_dropout_drops_its_share_and_keeps_the_mean():
    layer, ones = SeededDropout(0.25), torch.ones(1, 1, 300, 300)
    with seeded_dropout(0):
        made, next_one = layer(ones), layer(ones)
    with seeded_dropout(0):
        again = layer(ones)
    assert torch.equal(again, made) and not torch.equal(next_one, made)
    with pytest.raises(LookupError):
        layer(ones)
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
    for made in (G.train()(x), apply_in_mode(G.eval(), x, PAPERS)):
        assert made.isfinite().all() and made.std() > 0
    assert all(one.shape[2:] == (1, 1) and one.abs().max() > 0 for one in middle)
    other = apply_in_mode(G, -x, PAPERS)
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
    made = forward_in_strips(network_in_mode(G, mode), x, tile)
    assert (made - apply_in_mode(G, x, mode)).abs().max() < 1e-9
