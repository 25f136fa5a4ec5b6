"""The networks of StarGAN: their sizes are the paper's, and what is asked for reaches every pixel."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quagga.models import StarDiscriminator, StarGenerator
from quagga.models.blocks.encoders import LabelName

SMALL: dict[str, Any] = {"width": 4, "blocks": 1}


def drawn(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_discriminator_is_the_papers():
    """Table 5, at 128 pixels with 5 labels: C64 ... C2048 with biases, 3 x 3 to 1 and 2 x 2 to 5 without."""
    with torch.device("meta"):
        D = StarDiscriminator(128, 5)
    widths = [3, 64, 128, 256, 512, 1024, 2048]
    body = sum(16 * a * b + b for a, b in pairwise(widths))
    assert count(D) == body + 9 * 2048 + 4 * 2048 * 5
    with torch.device("meta"):
        src, cls = D(torch.empty(2, 3, 128, 128))
    assert (src.shape, cls.shape) == ((2, 1, 2, 2), (2, 5))
    slopes = {layer.negative_slope for layer in D.modules() if isinstance(layer, nn.LeakyReLU)}
    assert slopes == {0.01} and not any("Norm" in type(layer).__name__ for layer in D.modules())


def test_the_generator_is_the_resnet_with_a_plane_for_each_label():
    """c7s1-64, d128, d256, R256 x 6, u128, u64, c7s1-3, with 3 x 3 convolutions where the paper has 4 x 4."""
    with torch.device("meta"):
        G = StarGenerator("class", 5)
    layers = [(7, 8, 64), (3, 64, 128), (3, 128, 256), *[(3, 256, 256)] * 12, (3, 256, 128), (3, 128, 64), (7, 64, 3)]
    assert count(G) == sum(k * k * a * b + b for k, a, b in layers)


@pytest.mark.parametrize("size", [8, 13, 16, 100])
def test_discriminators_of_all_sizes_have_a_logit_for_each_label(size):
    layers = size.bit_length() - 2
    src, cls = StarDiscriminator(size, 3, 1, 2, layers)(drawn(2, 1, size, size))
    assert src.shape == (2, 1, size >> layers, size >> layers) and cls.shape == (2, 3)


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (1, 5), (64, 20)])
@pytest.mark.parametrize("skip", [False, True])
def test_pictures_of_any_size_keep_it(size, skip):
    G = StarGenerator("class", 3, 1, skip=skip, **SMALL)
    y = G(drawn(2, 1, *size), torch.tensor([0, 2]))
    assert y.shape == (2, 1, *size) and y.abs().max() <= 1


CONDITIONS: dict[LabelName, list[Tensor]] = {
    "class": [torch.tensor([n]) for n in range(3)],
    "attributes": [torch.eye(3)[n : n + 1] for n in range(3)],
}


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize("size", [16, 64])
def test_what_is_asked_for_reaches_every_part_of_the_picture(kind, size):
    """Instance norm takes away the mean of a map. Planes before one would change nothing: 1e-7 here."""
    torch.manual_seed(0)
    G, x = StarGenerator(kind, 3, **SMALL), drawn(1, 3, size, size)
    made = [G(x, c) for c in CONDITIONS[kind]]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        change = (made[a] - made[b]).abs().amax(1)
        for corner in change.unfold(1, size // 2, size // 2).unfold(2, size // 2, size // 2).flatten(0, 2):
            assert corner.mean() > 1e-3


def test_a_class_is_one_of_its_planes_and_attributes_are_theirs():
    torch.manual_seed(0)
    of_class, of_attributes = (StarGenerator(kind, 3, **SMALL) for kind in CONDITIONS)
    of_attributes.load_state_dict(of_class.state_dict())
    x, c = drawn(3, 3, 8, 8), torch.tensor([2, 0, 1])
    assert torch.equal(of_class(x, c), of_attributes(x, torch.eye(3)[c]))


def test_with_a_skip_it_begins_near_the_identity():
    G, x = StarGenerator("class", 3, skip=True, **SMALL), drawn(1, 3, 8, 8)
    for parameter in G.network.layers[-1].parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(G(x, torch.tensor([1])), 0.98 * x)


def test_what_cannot_be_is_refused():
    refused: list[tuple[dict[str, Any], str]] = [
        ({"size": 16, "layers": 5}, "pictures of 16 pixels cannot be halved 5 times"),
        ({"size": 16, "layers": 0}, "halved 0 times"),
        ({"size": 128, "layers": 7, "width": 128}, "end at 8192 channels"),
    ]
    for arguments, words in refused:
        with torch.device("meta"), pytest.raises(ValueError, match=words):
            StarDiscriminator(count=2, **arguments)
    with torch.device("meta"), pytest.raises(ValueError, match="4095 labels and 3 channels"):
        StarGenerator("class", 4095)
