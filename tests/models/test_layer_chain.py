"""Features are the maps that layers pass on: of the forward pass itself, untouched by what comes after."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from quagga.models import ResnetGenerator, UnetGenerator
from quagga.models.blocks.layer_chain import run_chain
from quagga.models.blocks.layers import crop_middle

NETWORKS: dict[str, Any] = {
    "resnet": lambda: ResnetGenerator(width=4, blocks=2),
    "resnet without norm": lambda: ResnetGenerator(width=4, blocks=1, norm="none", upsample="resize"),
    "resnet with skip": lambda: ResnetGenerator(width=4, blocks=1, skip=True),
    "unet": lambda: UnetGenerator(width=4, depth=4, norm="instance", dropout=0),
    "unet without norm": lambda: UnetGenerator(width=4, depth=2, norm="none", dropout=0),
    "unet of one layer": lambda: UnetGenerator(width=4, depth=1, norm="instance"),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def network(name: str) -> Any:
    torch.manual_seed(0)
    return NETWORKS[name]().double()


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64) * 2 - 1


@every_network
def test_from_any_layer_of_a_resnet_and_from_the_head_of_a_unet_the_rest_gives_the_output(name):
    G, x = network(name), picture(2, 3, 22, 29)
    y, steps = G(x), G.steps()
    found = G.features(x, range(len(steps)))
    joined = any(step.skip for step in steps)
    for number in [len(steps) - 1] if joined else range(len(steps)):
        rest = run_chain(steps[number + 1 :], found[number].clone(), lambda layer, h: layer(h), torch.add)
        assert torch.equal(G.finish(crop_middle(rest, 22, 29), x), y), number


@every_network
def test_features_are_what_the_next_layer_takes(name):
    """Though it may work in place: what it takes is copied before it runs."""
    G, x = network(name), picture(2, 3, 16, 24)
    layers = [step.layer for step in G.steps()]
    taken: list[Tensor] = []
    for layer in layers[1:]:
        layer.register_forward_pre_hook(lambda _layer, given: taken.append(given[0].clone()))
    G(x)
    found = G.features(x, range(len(layers)))
    assert len(found) == len(layers)
    assert all(torch.equal(a, b) for a, b in zip(found, taken[: len(layers) - 1], strict=False))


def test_the_numbers_are_those_of_the_papers_layers():
    """Park et al. 2020 take the pixels, both strided convolutions, and the first and the fifth block."""
    G, x = ResnetGenerator(width=4, blocks=6), picture(2, 3, 30, 42).float()  # padded to 32 x 44
    assert [type(G.layers[n]).__name__ for n in (3, 6, 9, 13)] == ["Conv2d", "Conv2d", "ResidualBlock", "ResidualBlock"]
    shapes = [tuple(h.shape) for h in G.features(x, [3, 6, 9, 13])]
    assert shapes == [(2, 8, 16, 22), (2, 16, 8, 11), (2, 16, 8, 11), (2, 16, 8, 11)]
    U = UnetGenerator(width=4, depth=3, norm="instance")
    shapes = [tuple(h.shape) for h in U.features(x, range(6))]  # padded to 32 x 48
    encoder, decoder = [(2, 4, 16, 24), (2, 8, 8, 12), (2, 16, 4, 6)], [(2, 16, 8, 12), (2, 8, 16, 24)]
    assert shapes == [*encoder, *decoder, (2, 3, 32, 48)]
    outer, inner, last, first = U.features(
        x, [0, 1, 4, 3]
    )  # the decoder sees the encoder's maps after their leaky ReLU
    assert torch.equal(first[:, :8], leaky_relu(inner, 0.2)) and torch.equal(last[:, :4], leaky_relu(outer, 0.2))


def test_features_come_in_the_order_of_the_numbers_and_no_later_layer_runs():
    G, x, ran = network("resnet"), picture(1, 3, 16, 16), []
    for number, layer in enumerate(G.layers):
        layer.register_forward_hook(lambda _layer, _given, _made, number=number: ran.append(number))
    three, zero, again = G.features(x, [3, 0, 3])
    assert ran == [0, 1, 2, 3]
    assert three.shape[1] == 8 and zero.shape[1] == 4 and torch.equal(three, again)
    assert G.features(x, []) == [] and ran == [0, 1, 2, 3]


def test_gradients_pass_through_features():
    G, x = network("resnet without norm"), picture(1, 3, 16, 16).requires_grad_()
    three, nine = G.features(x, [3, 9])
    (three.square().mean() + nine.square().mean()).backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    used = {name for name, p in G.named_parameters() if p.grad is not None}
    assert used == {name for name, _ in G.named_parameters() if int(name.split(".")[1]) <= 9}


@every_network
@pytest.mark.parametrize("number", [-1, 100])
def test_a_layer_that_does_not_exist_is_named(name, number):
    G = network(name)
    with pytest.raises(ValueError, match=f"layer {number} does not exist: expected 0 to {len(G.steps()) - 1}"):
        G.features(picture(1, 3, 16, 16), [0, number])


def test_steps_hold_the_networks_own_layers_and_all_of_them():
    for name in NETWORKS:
        G = network(name)
        ours = {id(p) for step in G.steps() for p in step.layer.parameters()}
        assert ours == {id(p) for p in G.parameters()}
        assert all(isinstance(step.layer, nn.Module) for step in G.steps())
