"""Generators and discriminators of fully connected layers, for small pictures.

Three pairs are known by their widths:

    100-128-784                             that of introductory tutorials (ReLU)
    100-256-512-1024-784, 784-512-256-1     that of the usual teaching examples: leaky ReLU 0.2, batch norm in G
    Mirza & Osindero 2014, Sec. 4.1         z to 200 and y to 1000, joined to 1200, ReLU; D of maxout layers
      (arXiv:1411.1784)

Goodfellow et al. 2014 (arXiv:1406.2661) and Mirza & Osindero end in a sigmoid; pictures here are in [-1, 1], and
tanh(x / 2) = 2 sigmoid(x) - 1.
"""

from math import prod

import torch
from torch import Tensor, nn

from quagga.models.arguments import Channels, Shape, Share, Units, Widths, remembers_arguments
from quagga.models.blocks.encoders import AttributesEncoder, ClassEncoder, Encoder
from quagga.models.blocks.layers import spectral_norm_


@remembers_arguments
class MLPGenerator(nn.Module):
    """Noise z (N, z_size), and with an encoder the raw condition c -> pictures (N, *shape) in [-1, 1].

    Args:
        shape: channels, height and width of the pictures.
        z_size: numbers of noise.
        widths: units of the hidden layers.
        slope: of the leaky ReLU below 0; 0 is ReLU.
        batch_norm: after each hidden layer, with running statistics that keep 0.8 of the old ones (Keras's momentum of
            0.8 is torch's 0.2).
        encoder: of the condition, with its `width`; None for a game without conditions.
        z_width: with an encoder, units that the noise is mapped to before both are joined; None joins it unmapped.
    """

    def __init__(
        self,
        shape: Shape,
        z_size: Channels = 100,
        widths: Widths = (256, 512, 1024),
        slope: float = 0.2,
        batch_norm: bool = True,
        encoder: Encoder | None = None,
        z_width: Units | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.encoder = shape, encoder
        self.noise = nn.Sequential(nn.Linear(z_size, z_width), nn.ReLU()) if z_width else nn.Identity()
        inputs = (z_width or z_size) + (encoder.width if encoder else 0)
        layers: list[nn.Module] = []
        for units in widths:
            layers += [nn.Linear(inputs, units), activation(slope)]
            layers += [nn.BatchNorm1d(units, momentum=0.2)] if batch_norm else []
            inputs = units
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, prod(shape)), nn.Tanh())

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z (N, z_size), c as the encoder takes it (None without one) -> (N, *shape) in [-1, 1]."""
        h = self.noise(z)
        if self.encoder is not None:
            h = torch.cat([h, torch.relu(self.encoder(c))], 1)
        return self.layers(h).view(-1, *self.shape)


@remembers_arguments
class MLPDiscriminator(nn.Module):
    """Pictures (N, *shape) in [-1, 1], and with an encoder the raw condition c -> logits (N, 1).

    Args:
        shape: channels, height and width of the pictures.
        widths: units of the hidden layers.
        slope: of the leaky ReLU below 0; 0 is ReLU.
        dropout: share of each hidden layer's values that are dropped in training.
        spectral: divide every weight by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).
        encoder: of the condition, with its `width`; it is joined to the pixels. None for a game without conditions.
    """

    def __init__(
        self,
        shape: Shape,
        widths: Widths = (512, 256),
        slope: float = 0.2,
        dropout: Share = 0.0,
        spectral: bool = False,
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__()
        inputs = prod(shape) + (encoder.width if encoder else 0)
        layers: list[nn.Module] = []
        for units in widths:
            layers += [nn.Linear(inputs, units), activation(slope)]
            layers += [nn.Dropout(dropout)] if dropout else []
            inputs = units
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))
        if spectral:
            spectral_norm_(self)
            # D's slope is proportional to the vectors of these. A caption's, a GRU's state, is bounded anyway.
            if isinstance(encoder, ClassEncoder | AttributesEncoder):
                spectral_norm_(encoder)
        self.encoder = encoder

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """x (N, *shape) in [-1, 1], c as the encoder takes it (None without one) -> logits (N, 1)."""
        h = x.flatten(1)
        if self.encoder is not None:
            h = torch.cat([h, self.encoder(c)], 1)
        return self.layers(h)


class Maxout(nn.Module):
    """(N, inputs) -> (N, units): each unit is the largest of `pieces` linear functions (Goodfellow et al. 2013,
    arXiv:1302.4389)."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, units), both of any range."""
        return self.linear(x).unflatten(1, (-1, self.pieces)).max(2).values  # not amax, see `projected.Head`


@remembers_arguments
class MaxoutDiscriminator(nn.Module):
    """Mirza & Osindero's: x to 240 maxout units of 5 pieces, y to 50 of 5, both to 240 of 4, and a logit (N, 1).

    Args:
        shape: channels, height and width of the pictures.
        encoder: of the condition, with its `width`. The paper's y is the one-hot vector itself, on which 50 maxout
            units of 5 pieces are the largest of 5 of 250 linear outputs: an encoder of width 250 gives these.
        dropout: share of each hidden layer's values that are dropped in training.
    """

    def __init__(self, shape: Shape, encoder: Encoder, dropout: Share = 0.5) -> None:
        super().__init__()
        if encoder.width != 250:
            raise ValueError(
                f"the condition's maxout layer has 50 units of 5 pieces: 250 features, not {encoder.width}"
            )
        self.encoder = encoder
        self.x = Maxout(prod(shape), 240, 5)
        self.joint = Maxout(240 + 50, 240, 4)
        self.dropout = nn.Dropout(dropout)
        self.logit = nn.Linear(240, 1)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (N, *shape) in [-1, 1], c as the encoder takes it -> logits (N, 1)."""
        y = self.encoder(c).unflatten(1, (50, 5)).max(2).values
        h = self.dropout(torch.cat([self.x(x.flatten(1)), y], 1))
        return self.logit(self.dropout(self.joint(h)))


def activation(slope: float) -> nn.Module:
    """Returns a ReLU, leaky if its slope below 0 is not 0."""
    return nn.LeakyReLU(slope) if slope else nn.ReLU()
