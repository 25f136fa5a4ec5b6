"""The networks of pipelines that make pictures of noise."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from quagga.errors import BadInput
from quagga.models import ConvDiscriminator, ConvGenerator, MLPDiscriminator, MLPGenerator, Upsample
from quagga.models.dcgan import DiscriminatorNorm, Downsample, GeneratorNorm
from quagga.pipelines.core.option_checks import check_sizes, discriminator_norm, refusing_sizes
from quagga.pipelines.core.options.adversary import Adversary


@dataclass(frozen=True)
class SamplingNetworks:
    """A generator z -> x, and a discriminator x -> logit; with a condition `ConditionalNetworks` builds them.

    Args:
        size: side of the square pictures; None takes the data's.
        x_channels: channels of the pictures: 3 for colour, 1 for grey; None takes the data's.
        network: conv as in DCGAN, or mlp, fully connected; conv: Radford et al. 2016, mlp with a condition: Mirza &
            Osindero 2014, which suits digits.
        z_size: numbers of noise a picture is made of.
        width: conv: channels of the generator's largest maps.
        width_discriminator: conv: channels of the discriminator's largest maps.
        widths: mlp: units of the generator's hidden layers; None takes [256, 512, 1024], and with a condition [1200],
            which follow its own layers for noise (200) and condition (1000).
        widths_discriminator: mlp: units of the discriminator's hidden layers; None takes [512, 256], and where it sees
            a condition the maxout layers of Mirza & Osindero 2014.
        norm: normalisation in the generator; for conv, conditional_batch takes scale and shift from the condition. (The
            mlp with a condition has none.)
        norm_discriminator: conv: normalisation in the discriminator; None takes batch, or with a penalty layer, which
            does not mix the pictures of a batch. (The mlp has none.)
        upsample: conv: transposed convolution (the paper) or nearest-neighbour and convolution (no checkerboard).
        downsample: conv: how the discriminator halves its maps, by strided convolutions (the paper) or by max-pooling.
    """

    size: int | None = None
    x_channels: int | None = None
    network: Literal["conv", "mlp"] = "conv"
    z_size: int = 100
    width: int = 64
    width_discriminator: int = 64
    widths: list[int] | None = None
    widths_discriminator: list[int] | None = None
    norm: GeneratorNorm = "batch"
    norm_discriminator: DiscriminatorNorm | None = None
    upsample: Upsample = "transposed"
    downsample: Downsample = "strided"

    def __post_init__(self):
        check_sizes(
            self.size,
            self.widths,
            self.widths_discriminator,
            x_channels=self.x_channels,
            z_size=self.z_size,
            width=self.width,
            width_discriminator=self.width_discriminator,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the pictures. Raises BadInput if they are not known."""
        if self.size is None or self.x_channels is None:
            raise BadInput(
                "the pictures' size and channels are not known: say --size 64 --x_channels 3, or as they are"
            )
        return self.x_channels, self.size, self.size

    @refusing_sizes()
    def make_generator(self, slope: float = 0.2) -> nn.Module:
        """Returns a generator z (N, z_size) -> x (N, *shape) in [-1, 1]. slope: mlp: of the leaky ReLU below 0."""
        channels, size, _ = self.shape
        if self.network == "conv":
            return ConvGenerator(size, channels, self.z_size, self.width, self.norm, self.upsample)
        hidden = [256, 512, 1024] if self.widths is None else self.widths
        return MLPGenerator(self.shape, self.z_size, hidden, slope, self.norm == "batch")

    @refusing_sizes()
    def make_discriminator(self, adversary: Adversary, slope: float = 0.2) -> nn.Module:
        """Returns a discriminator x (N, *shape) in [-1, 1] -> logits (N, 1). slope: mlp: of the leaky ReLU below 0."""
        return adversary.judges(lambda: self._own_discriminator(adversary, slope), self.shape[0])

    def _own_discriminator(self, adversary: Adversary, slope: float) -> nn.Module:
        channels, size, _ = self.shape
        norm = discriminator_norm(self.norm_discriminator, adversary.penalty, self.network)
        if self.network == "conv":
            width = self.width_discriminator
            return ConvDiscriminator(size, channels, width, norm, adversary.spectral, downsample=self.downsample)
        hidden = [512, 256] if self.widths_discriminator is None else self.widths_discriminator
        return MLPDiscriminator(self.shape, hidden, slope, spectral=adversary.spectral)
