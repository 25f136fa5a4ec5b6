"""The networks that grow are those of Table 2, and blend two sizes as Fig. 2 does."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quagga.models import ProgressiveDiscriminator, ProgressiveGenerator
from quagga.models.progressive import (
    EqualizedConv2d,
    MinibatchDeviation,
    blended,
    enlarged,
    pixel_norm,
    reduced,
    sides,
)

ALPHA = torch.tensor(0.25, dtype=torch.float64)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def made(network: Callable[..., nn.Module], **options: Any) -> Any:
    torch.manual_seed(0)
    return network(**{"size": 16, "channels": 3, "width": 6, "wide_until": 8, **options}).double()


def count(network: nn.Module, others: str) -> int:
    """Parameters, without the convolutions to or from pictures of smaller sizes."""
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith(others) or ".8." in name)


def test_at_1024_pixels_they_are_those_of_table_2():
    """Each row's parameters, and 23.1 million together; on a device without memory."""
    with torch.device("meta"):
        G, D = ProgressiveGenerator(1024), ProgressiveDiscriminator(1024)
    assert f"{count(G, 'to_picture') / 1e6:.1f} {count(D, 'from_picture') / 1e6:.1f}" == "23.1 23.1"
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in G.modules() if isinstance(layer, EqualizedConv2d)]
    c3 = lambda inputs, outputs: 9 * inputs * outputs + outputs  # noqa: E731
    maps = [512, 512, 512, 512, 256, 128, 64, 32, 16]
    grown = [size for i, o in pairwise(maps) for size in (c3(i, o), c3(o, o))]
    assert sizes[:-9] == [16 * 512 * 512 + 512, c3(512, 512), *grown] and sizes[-1] == 16 * 3 + 3
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in D.modules() if isinstance(layer, EqualizedConv2d)]
    shrunk = [size for o, i in pairwise(maps) for size in (c3(i, i), c3(i, o))]
    assert sizes[9:] == [*shrunk, c3(513, 512), 16 * 512 * 512 + 512, 513] and sizes[8] == 3 * 16 + 16


def test_a_pass_through_the_largest_gives_a_picture_and_a_logit():
    with torch.device("meta"):
        x = ProgressiveGenerator(1024)(torch.empty(2, 512), 1024)
        assert x.shape == (2, 3, 1024, 1024)
        assert ProgressiveDiscriminator(1024)(x).shape == (2, 1)


@pytest.mark.parametrize("side", [4, 8, 16])
def test_alpha_leads_from_one_size_to_the_next(side):
    """At alpha 0 a picture is the one of half its side, enlarged, and is judged as that is; at 1 its own."""
    G, D, z = made(ProgressiveGenerator, z_size=5), made(ProgressiveDiscriminator), drawn(4, 5)
    x = G(z, side)
    assert x.shape == (4, 3, side, side)
    zero, one = torch.zeros(()), torch.ones(())
    torch.testing.assert_close(G(z, side, one), x)
    torch.testing.assert_close(D(x, one), D(x))
    if side == 4:
        assert torch.equal(G(z, side, zero), x) and torch.equal(D(x, zero), D(x))
        return
    torch.testing.assert_close(G(z, side, zero), enlarged(G(z, side // 2)))
    torch.testing.assert_close(D(x, zero), D(reduced(x)))
    torch.testing.assert_close(G(z, side, ALPHA), 0.75 * enlarged(G(z, side // 2)) + 0.25 * x)


def test_what_has_not_grown_yet_takes_no_part():
    G, D = made(ProgressiveGenerator, z_size=5), made(ProgressiveDiscriminator)
    D(G(drawn(4, 5), 8, ALPHA), ALPHA).sum().backward()
    for network, of_16 in ((G, ("blocks.1", "to_picture.2")), (D, ("blocks.1", "from_picture.2"))):
        for name, p in network.named_parameters():
            assert (p.grad is None) == name.startswith(of_16), name


def test_every_layer_begins_with_deviation_1_and_passes_it_on():
    torch.manual_seed(0)
    layer = EqualizedConv2d(64, 64, 3, 1)
    assert abs(float(layer.weight.detach().std()) - 1) < 0.02 and not layer.bias.any()  # pyright: ignore[reportOptionalMemberAccess]
    x = torch.randn(8, 64, 16, 16)
    inner = nn.functional.leaky_relu(layer(x), 0.2)[..., 1:-1, 1:-1]
    assert abs(float(inner.square().mean().detach()) - 1.04) < 0.1  # (1 + 0.2^2) / 2 of twice the variance
    weight = layer.weight * (2 / (64 * 9)) ** 0.5
    torch.testing.assert_close(layer(x), nn.functional.conv2d(x, weight, layer.bias, padding=1))


def test_every_pixel_of_g_has_length_1_whatever_the_length_of_z():
    x = drawn(2, 7, 3, 3)
    torch.testing.assert_close(pixel_norm(x).square().mean(1), torch.ones(2, 3, 3).double())
    assert torch.equal(pixel_norm(torch.zeros(1, 4)), torch.zeros(1, 4))
    G, z = made(ProgressiveGenerator, z_size=5), drawn(2, 5)
    torch.testing.assert_close(G(3 * z, 16), G(z, 16))
    half = pixel_norm(torch.full((1, 4), 300.0, dtype=torch.float16))  # its squares are beyond what float16 holds
    assert torch.equal(half, torch.ones(1, 4, dtype=torch.float16))


def test_the_deviation_of_a_group_is_that_of_its_rows_alone():
    x = drawn(10, 3, 4, 4)
    found = MinibatchDeviation(4)(x)
    assert torch.equal(found[:, :3], x) and found.shape == (10, 4, 4, 4)
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):  # the last ones make a smaller group
        expected = x[rows].std(0, correction=0).mean()
        torch.testing.assert_close(found[rows, 3], expected.expand(rows.stop - rows.start, 4, 4), rtol=1e-6, atol=1e-6)
    assert torch.equal(found[:4], MinibatchDeviation(4)(x[:4]))  # so a batch may be split between groups
    assert float(MinibatchDeviation(4)(x[:1])[:, 3].max()) < 1e-3
    same = MinibatchDeviation(4)(x[:1].expand(8, -1, -1, -1))
    assert float(same[:, 3].max()) < 1e-3 < float(found[:, 3].min())


def test_d_sees_whether_pictures_are_all_alike():
    D, x = made(ProgressiveDiscriminator), drawn(4, 3, 16, 16)
    alone = made(ProgressiveDiscriminator, group=1)
    repeated = x[:1].expand(4, -1, -1, -1)
    assert (D(repeated) - D(x)[:1]).abs().max() > 1e-4
    torch.testing.assert_close(alone(repeated)[0], alone(x)[0])


def test_what_is_saved_makes_pictures_as_far_as_it_had_grown():
    G, z = made(ProgressiveGenerator, z_size=5), 4 * drawn(3, 5)
    assert torch.equal(G(z), G(z, 16).clamp(-1, 1))
    for side, alpha in ((4, None), (8, ALPHA), (8, None), (16, ALPHA)):
        G.grow(side, alpha)
        loaded = made(ProgressiveGenerator, z_size=5)
        loaded.load_state_dict(G.state_dict())
        assert torch.equal(loaded(z), G(z, side, alpha).clamp(-1, 1)) and loaded(z).shape[-1] == side


def test_spectral_norm_takes_the_place_of_hes_constant():
    D = ProgressiveDiscriminator(8, width=4, spectral=True)
    layers = [layer for layer in D.modules() if isinstance(layer, EqualizedConv2d)]
    D(torch.randn(4, 3, 8, 8))
    for _ in range(30):
        D(torch.randn(4, 3, 8, 8))
    for layer in layers:
        assert layer.scale == 1 and torch.linalg.matrix_norm(layer.weight.flatten(1), 2) < 1.3


def test_sizes_that_are_not_4_doubled_are_refused():
    assert sides(32) == [4, 8, 16, 32]
    for size in (0, 2, 28, 2048):
        with pytest.raises(ValueError, match=f"pictures of {size} pixels are not 4, doubled: expected 4, 8, 16"):
            ProgressiveGenerator(size)
    with pytest.raises(ValueError, match="grows through"):
        made(ProgressiveGenerator, z_size=5)(drawn(1, 5), 32)
    with pytest.raises(ValueError, match="grows through"):
        made(ProgressiveDiscriminator)(drawn(1, 3, 32, 32))


def test_blending_is_a_mean_by_alpha():
    a, b = drawn(2, 3), drawn(2, 3).flip(0)
    torch.testing.assert_close(blended(a, b, ALPHA), 0.75 * a + 0.25 * b)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(reduced(x), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))
    assert torch.equal(reduced(enlarged(x)), x)
