"""The convolutional networks are DCGAN's, of any sensible size, and see the condition in each way there is."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from quagga.models import ConvDiscriminator, ConvGenerator, encoder_of
from quagga.models.blocks.encoders import Encoder
from quagga.models.dcgan import ConditionalBatchNorm, channels_of, halvings

SIZES = (8, 12, 28, 32, 48, 64, 128, 256)


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def encoder(width: int = 16) -> Encoder:
    return encoder_of("class", 3, width)


def test_parameter_counts_of_the_paper():
    """Radford et al. 2016, Fig. 1, at half its width: 3,576,704 and 2,765,568 without biases, as the usual programs
    have it. Ours has a bias where no normalisation follows."""
    with torch.device("meta"):
        assert size(ConvGenerator(64)) == 3_576_704 + 3
        assert size(ConvDiscriminator(64)) == 2_765_568 + 64 + 1
        assert [layer.out_channels for layer in ConvGenerator(64, width=128).ups] == [512, 256, 128]
        assert ConvGenerator(64, width=128).project.out_features == 1024 * 4 * 4


def test_the_smallest_map_is_4_to_15_pixels_wide():
    assert [size_ >> halvings(size_) for size_ in SIZES] == [4, 6, 7, 4, 6, 4, 4, 4]
    assert channels_of(256, 64) == [64, 128, 256, 512, 512, 512]
    for wrong in (4, 7, 15, 68, 100, 250):
        with pytest.raises(ValueError, match="expected 28, 32, 64, 128, 256 or the like"):
            halvings(wrong)


@pytest.mark.parametrize("side", SIZES)
def test_every_size_is_made_and_judged(side: int):
    x = ConvGenerator(side, 2, 5, width=2)(torch.randn(2, 5))
    assert x.shape == (2, 2, side, side) and x.abs().max() <= 1
    assert ConvDiscriminator(side, 2, width=2)(x).shape == (2, 1)


def test_the_start_is_the_papers():
    torch.manual_seed(0)
    for network in (ConvGenerator(32, width=32), ConvDiscriminator(32, width=32)):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
                assert abs(layer.weight.mean().item()) < 0.002
                assert layer.bias is None or not layer.bias.any()
            elif isinstance(layer, nn.BatchNorm2d):
                assert (layer.weight - 1).std().item() == pytest.approx(0.02, rel=0.5)
    own: Any = encoder(64)
    ConvGenerator(32, width=32, encoder=own)
    assert own.layer.weight.std().item() == pytest.approx(1, rel=0.3)  # an encoder starts in its own way


@pytest.mark.parametrize("norm", ["batch", "conditional_batch", "none"])
@pytest.mark.parametrize("upsample", ["transposed", "resize"])
@pytest.mark.parametrize("spectral", [False, True])
def test_every_generator_learns(norm, upsample, spectral: bool):
    G = ConvGenerator(16, 2, 5, 4, norm, upsample, spectral, encoder())
    x = G(torch.randn(6, 5), torch.arange(6) % 3)
    assert x.shape == (6, 2, 16, 16)
    assert_it_learns(G, x)


def test_max_pooling_takes_the_largest_of_four_places():
    """Behind a convolution that hands on every place, it does not matter which of the four holds the largest."""
    D = ConvDiscriminator(8, 1, 1, "none", downsample="max").double()
    x = torch.rand(2, 1, 8, 8).double()
    other = x.view(2, 1, 4, 2, 4, 2).flip(3, 5).reshape(2, 1, 8, 8)  # the four of each square, turned about
    with torch.no_grad():
        convolution: Any = D.body[0]
        convolution.weight.zero_()[..., 1, 1] = 1  # hands on every place
        assert len([layer for layer in D.modules() if isinstance(layer, nn.MaxPool2d)]) == halvings(8)
        torch.testing.assert_close(D(x), D(other))
        torch.testing.assert_close(D.body(x), max_pool2d(x, 2))
    for side in SIZES:
        assert ConvDiscriminator(side, 2, width=2, downsample="max")(torch.rand(2, 2, side, side)).shape == (2, 1)


@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
@pytest.mark.parametrize("joining", ["concat", "projection"])
@pytest.mark.parametrize("spectral", [False, True])
@pytest.mark.parametrize("downsample", ["strided", "max"])
def test_every_discriminator_learns(norm, joining, spectral: bool, downsample):
    D = ConvDiscriminator(16, 2, 4, norm, spectral, encoder(), joining, downsample)
    assert_it_learns(D, D(torch.rand(6, 2, 16, 16), torch.arange(6) % 3))


def assert_it_learns(network: nn.Module, output: Tensor) -> None:
    (output - torch.rand_like(output)).square().mean().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        assert p.ndim < 2 or p.grad.abs().max() > 0, name


@pytest.mark.parametrize("norm", ["batch", "conditional_batch", "none"])
def test_the_generator_sees_the_condition_and_the_noise(norm):
    G = ConvGenerator(16, 1, 5, 8, norm, encoder=encoder()).eval()
    z = torch.randn(2, 5)
    c, other = torch.tensor([0, 1]), torch.tensor([1, 2])
    assert ((G(z, c) - G(z, other)).abs().amax((1, 2, 3)) > 1e-6).all()
    assert ((G(z, c) - G(z + 1, c)).abs().amax((1, 2, 3)) > 1e-6).all()


def test_the_condition_is_as_long_as_one_number_of_noise_and_reaches_conditional_norms():
    own, z, c = encoder(16), torch.randn(2, 5), torch.tensor([0, 1])
    G = ConvGenerator(16, 1, 5, 8, encoder=own).eval()
    joined: list[Tensor] = []
    G.project.register_forward_pre_hook(lambda _layer, inputs: joined.append(inputs[0]))
    G(z, c)
    torch.testing.assert_close(joined[0], torch.cat([z, own(c) / 4], 1))
    plain = ConvGenerator(16, 1, 5, 8, "batch", encoder=encoder()).eval()
    for G, differs in (
        (plain, False),
        (ConvGenerator(16, 1, 5, 8, "conditional_batch", encoder=encoder()).eval(), True),
    ):
        with torch.no_grad():
            G.project.weight[:, 5:] = 0  # the condition is not joined to the noise
        assert bool(((G(z, c) - G(z, c + 1)).abs().amax((1, 2, 3)) > 1e-6).all()) == differs


@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
@pytest.mark.parametrize("joining", ["concat", "projection"])
def test_the_discriminator_sees_the_condition_and_the_picture(norm, joining):
    D = ConvDiscriminator(16, 1, 8, norm, encoder=encoder(), joining=joining).double().eval()
    x = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    c, other = torch.tensor([0, 1]), torch.tensor([1, 2])
    assert (D(x, c) - D(x, other)).abs().min() > 1e-7
    assert (D(x, c) - D(1 - x, c)).abs().min() > 1e-9


def test_projection_adds_the_product_of_condition_and_features():
    """Miyato & Koyama 2018, Sec. 3: D(x, c) = psi(phi(x)) + v_c^T phi(x), linear in phi."""
    D: Any = ConvDiscriminator(16, 1, 4, "none", encoder=encoder(), joining="projection").double()
    x, c = torch.rand(3, 1, 16, 16, dtype=torch.float64), torch.tensor([0, 1, 2])
    h = D.body(x)
    v = D.encoder(c) @ D.projection.weight.T  # (N, features)
    by_hand = [D.logit(h[i].flatten()) + v[i] @ h[i].sum((1, 2)) for i in range(3)]
    torch.testing.assert_close(D(x, c), torch.stack(by_hand))


def test_rows_mix_in_batch_norm_alone():
    x, c = torch.rand(4, 1, 16, 16, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    for norm, joining in itertools.product(("instance", "layer", "none", "batch"), ("concat", "projection")):
        D = ConvDiscriminator(16, 1, 4, norm, encoder=encoder(), joining=joining).double()
        apart = (D(x, c)[:2] - D(x[:2], c[:2])).abs().max()
        assert apart < 1e-12 if norm != "batch" else apart > 1e-6, norm


def test_conditional_batch_norm_is_a_scale_and_a_shift_of_the_normalised():
    layer = ConditionalBatchNorm(3, 5).double()
    h, e = torch.randn(8, 3, 4, 4, dtype=torch.float64), torch.randn(8, 5, dtype=torch.float64)
    out = layer(h, e)
    normal = (h - h.mean((0, 2, 3), keepdim=True)) / (h.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    for row in range(8):
        scale = 1 + layer.scale.weight @ e[row] + layer.scale.bias
        shift = layer.shift.weight @ e[row] + layer.shift.bias
        torch.testing.assert_close(out[row], normal[row] * scale[:, None, None] + shift[:, None, None])


def test_spectral_norm_makes_the_largest_singular_value_one():
    D = ConvDiscriminator(16, 1, 4, "none", True, encoder(), "projection")
    for _ in range(60):  # power iterations
        D(torch.rand(2, 1, 16, 16), torch.tensor([0, 1]))
    D.eval()
    layers = [layer for layer in D.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_conditional_batch_norm_without_a_condition_is_refused():
    with pytest.raises(ValueError, match="needs a condition: expected norm batch or none"):
        ConvGenerator(16, norm="conditional_batch")
    with pytest.raises(ValueError, match="expected batch, instance, layer or none"):
        ConvDiscriminator(16, norm="group")  # pyright: ignore[reportArgumentType]
