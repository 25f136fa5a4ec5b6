"""A partial convolution is a convolution where nothing is missing, and what is missing changes nothing."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from quagga.models import Composite, PartialUnet
from quagga.models.inpainting import PartialConv2d


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def holes(height: int, width: int, share: float = 0.6, seed: int = 0, channels: int = 1) -> Tensor:
    return (drawn(2, channels, height, width, seed=seed + 7) > 2 * share - 1).double()


def layer(kernel: int, stride: int, bias: bool = True) -> PartialConv2d:
    torch.manual_seed(0)
    made = PartialConv2d(3, 4, kernel, stride, bias).double()
    if made.bias is not None:
        nn.init.normal_(made.bias)
    return made


def network(norm: str = "none", depth: int = 3) -> PartialUnet:
    torch.manual_seed(0)
    made = PartialUnet(3, 4, depth, norm).double()  # pyright: ignore[reportArgumentType]
    for name, value in made.named_buffers():
        if "running" in name:
            nn.init.uniform_(value, 0.5, 1.5)
    return made.eval()


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (7, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_with_nothing_missing_it_is_a_convolution(kernel, stride, bias):
    one, x = layer(kernel, stride, bias), drawn(2, 3, 20, 20)
    y, m = one(x, torch.ones(2, 1, 20, 20).double())
    border = kernel // 2  # of results, at most: beyond the picture nothing is known
    expected = conv2d(x, one.weight, one.bias, stride, kernel // 2)
    inside = (..., slice(border, -border), slice(border, -border))
    tolerance = {"rtol": 0, "atol": 0 if not bias else 1e-14}  # the bias is added elsewhere
    torch.testing.assert_close(y[inside], expected[inside], **tolerance)
    assert (m == 1).all() and m.shape == (2, 1, *y.shape[2:])


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 2)])
def test_it_is_the_formula_at_every_place(kernel, stride):
    """Eq. 1 and 2, window by window, with masks of each channel; outside of the picture the mask is 0."""
    one, x, m = layer(kernel, stride), drawn(2, 3, 9, 9), holes(9, 9, 0.15, channels=3)
    m[1, :, :5] = 0
    x = torch.where(m > 0, x, torch.full_like(x, 5.0))
    y, updated = one(x, m)
    borders = [kernel // 2] * 4
    padded, padded_mask, empty = pad(x, borders), pad(m, borders), 0
    assert one.bias is not None
    for n in range(2):
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                window = (n, slice(None), *(slice(stride * at, stride * at + kernel) for at in (i, j)))
                seen, total = padded_mask[window].sum(), padded_mask[window].numel()
                if seen == 0:
                    assert (y[n, :, i, j] == 0).all() and updated[n, 0, i, j] == 0
                    empty += 1
                    continue
                expected = (one.weight * (padded[window] * padded_mask[window])).sum(
                    (1, 2, 3)
                ) * total / seen + one.bias
                torch.testing.assert_close(y[n, :, i, j], expected, rtol=0, atol=1e-12)
                assert updated[n, 0, i, j] == 1
    assert empty


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (1, 1), (13, 22), (7, 3)])
def test_what_is_missing_changes_nothing_whatever_the_size(norm, height, width):
    G, x, m = network(norm), drawn(2, 3, height, width), holes(height, width)
    other = torch.where(m > 0, x, torch.full_like(x, torch.nan))
    y = G(x, m)
    assert y.shape == x.shape and torch.equal(y, G(other, m))
    filled = Composite(G)(other, m)
    assert torch.equal(torch.where(m > 0, filled, x), x) and filled.isfinite().all() and filled.abs().max() <= 1


def test_what_is_known_changes_the_holes():
    G, x, m = network(), drawn(2, 3, 16, 16), holes(16, 16)
    y = Composite(G)(x, m)
    assert not torch.equal(y, Composite(G)(drawn(2, 3, 16, 16, seed=1), m))
    assert torch.equal(Composite(G)(x, torch.ones_like(m)), x)


def test_where_all_is_missing_there_is_nothing():
    assert (network()(drawn(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)) == 0).all()


def test_a_border_of_holes_is_no_other_picture():
    """What a side lacks to a multiple of 2**depth counts as missing."""
    G, x, m = network(), drawn(2, 3, 12, 12), holes(12, 12)
    torch.testing.assert_close(G(x, m), G(pad(x, [2] * 4, value=0.3), pad(m, [2] * 4))[..., 2:-2, 2:-2], rtol=0, atol=0)


def test_it_has_the_layers_of_the_paper():
    """Appendix, Table: PConv1 to 16 of the network for 512 pixels."""
    with torch.device("meta"):
        G = PartialUnet()
    convolutions = [part for part in G.modules() if isinstance(part, PartialConv2d)]
    assert [(c.out_channels, *c.kernel_size[:1], *c.stride[:1]) for c in convolutions] == [
        *((64, 7, 2), (128, 5, 2), (256, 5, 2), *[(512, 3, 2)] * 5),
        *(*[(512, 3, 1)] * 4, (256, 3, 1), (128, 3, 1), (64, 3, 1), (3, 3, 1)),
    ]
    assert [c.in_channels for c in convolutions[8:]] == [1024, 1024, 1024, 1024, 768, 384, 192, 67]
    normed = [part for part in G.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(normed) == 14  # all but the first and the last
