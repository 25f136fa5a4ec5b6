"""The fully connected networks are those of the papers and of the teaching examples, unit by unit."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from quagga.models import MaxoutDiscriminator, MLPDiscriminator, MLPGenerator, encoder_of
from quagga.models.blocks.encoders import Encoder
from quagga.models.mlp import Maxout

DIGITS = (1, 28, 28)


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def dense(*units: int) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(units))


def test_parameter_counts_of_the_teaching_examples():
    assert size(MLPGenerator(DIGITS)) == dense(100, 256, 512, 1024, 784) + 2 * (256 + 512 + 1024) == 1_489_936
    assert size(MLPDiscriminator(DIGITS)) == dense(784, 512, 256, 1) == 533_505
    plain = MLPGenerator(DIGITS, widths=[128], slope=0, batch_norm=False)
    assert size(plain) == dense(100, 128, 784)
    assert size(MLPDiscriminator(DIGITS, [128], slope=0)) == dense(784, 128, 1)
    assert not any(isinstance(layer, nn.LeakyReLU | nn.BatchNorm1d) for layer in plain.modules())


def test_parameter_counts_of_mirza_and_osindero():
    G = MLPGenerator(DIGITS, 100, [1200], 0, False, encoder_of("class", 10, 1000, hot=True), z_width=200)
    assert size(G) == dense(100, 200) + dense(10, 1000) + dense(1200, 1200, 784)
    D = MaxoutDiscriminator(DIGITS, encoder_of("class", 10, 250, hot=True))
    assert size(D) == dense(784, 240 * 5) + dense(10, 50 * 5) + dense(290, 240 * 4) + dense(240, 1)


def test_running_statistics_keep_four_fifths():
    """Keras says 0.8 to what torch says 0.2 to."""
    G = MLPGenerator(DIGITS, 8, [16])
    [norm] = [layer for layer in G.modules() if isinstance(layer, nn.BatchNorm1d)]
    z = torch.randn(64, 8)
    mean = nn.Sequential(*list(G.layers)[:2])(z).mean(0)
    G(z)
    torch.testing.assert_close(norm.running_mean, 0.2 * mean)


def test_pictures_of_any_shape_are_made_and_judged():
    for shape in ((1, 28, 28), (3, 8, 12)):
        for condition in (None, torch.tensor([0, 2, 1, 1])):
            e = (lambda w, c=condition: None if c is None else encoder_of("class", 3, w))(24)
            d = None if condition is None else encoder_of("class", 3, 24)
            x = MLPGenerator(shape, 6, [32], encoder=e)(torch.randn(4, 6), condition)
            assert x.shape == (4, *shape) and x.abs().max() <= 1
            assert MLPDiscriminator(shape, [32], spectral=True, encoder=d)(x, condition).shape == (4, 1)


def networks(shape=(1, 4, 4)) -> tuple[MLPGenerator, list[MLPDiscriminator | MaxoutDiscriminator]]:
    def encoder(width: int) -> Encoder:
        return encoder_of("class", 3, width, hot=True)

    G = MLPGenerator(shape, 6, [32], batch_norm=False, encoder=encoder(24), z_width=12)
    return G, [MLPDiscriminator(shape, [32], encoder=encoder(24)), MaxoutDiscriminator(shape, encoder(250))]


def test_both_see_the_condition_and_what_it_is_about():
    G, judges = networks()
    z, x, c, other = torch.randn(2, 6), torch.rand(2, 1, 4, 4), torch.tensor([0, 1]), torch.tensor([2, 0])
    assert (G(z, c) - G(z, other)).abs().amax((1, 2, 3)).min() > 1e-4
    assert (G(z, c) - G(z + 1, c)).abs().amax((1, 2, 3)).min() > 1e-4
    for D in judges:
        D.eval()
        assert (D(x, c) - D(x, other)).abs().min() > 1e-5
        assert (D(x, c) - D(1 - x, c)).abs().min() > 1e-5


def test_every_parameter_learns():
    torch.manual_seed(0)
    G, judges = networks()
    z, c = torch.randn(32, 6), torch.arange(32) % 3
    for D in judges:
        D(G(z, c), c).square().sum().backward()
        for name, p in [*G.named_parameters(), *D.named_parameters()]:
            assert p.grad is not None and p.grad.abs().max() > 0, name


def test_maxout_takes_the_largest_of_its_pieces():
    layer = Maxout(3, 2, 4)
    x = torch.randn(5, 3)
    linear = layer.linear(x)
    for unit in range(2):
        pieces = torch.stack([linear[:, unit * 4 + piece] for piece in range(4)])
        assert torch.equal(layer(x)[:, unit], pieces.max(0).values)


def test_dropout_is_played_in_training_only():
    x, c = torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 2])
    for D in (
        MaxoutDiscriminator((1, 4, 4), encoder_of("class", 3, 250)),
        MLPDiscriminator((1, 4, 4), [32], dropout=0.5, encoder=encoder_of("class", 3, 8)),
    ):
        assert not torch.equal(D(x, c), D(x, c))
        D.eval()
        assert torch.equal(D(x, c), D(x, c))


def test_the_paper_drops_behind_both_layers_and_rectifies_the_condition():
    D = MaxoutDiscriminator((1, 4, 4), encoder_of("class", 3, 250), dropout=1.0)
    assert torch.equal(D(torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 2])), D.logit.bias.expand(3, 1))
    own = encoder_of("class", 3, 8, hot=True)
    G = MLPGenerator((1, 4, 4), 6, [32], batch_norm=False, encoder=own)
    with torch.no_grad():
        for p in own.parameters():
            p.copy_(-p.abs())
    z = torch.randn(2, 6)
    assert torch.equal(G(z, torch.tensor([0, 1])), G(z, torch.tensor([2, 2])))  # below 0 all classes are alike


def test_a_wrong_width_of_the_maxout_layer_is_refused():
    with pytest.raises(ValueError, match="50 units of 5 pieces: 250 features"):
        MaxoutDiscriminator((1, 4, 4), encoder_of("class", 3, 64))
