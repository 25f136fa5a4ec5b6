"""The networks of pipelines that make pictures of noise and a condition."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from quagga.errors import BadInput
from quagga.models import (
    ConvDiscriminator,
    ConvGenerator,
    MaxoutDiscriminator,
    MLPDiscriminator,
    MLPGenerator,
    encoder_of,
)
from quagga.models.arguments import MAX_CHANNELS
from quagga.models.blocks.encoders import ConditionName, Encoder, TextEncoder
from quagga.models.dcgan import Joining
from quagga.pipelines.core.option_checks import check_bounds, discriminator_norm, refusing_sizes
from quagga.pipelines.core.options.adversary import Adversary
from quagga.pipelines.core.options.sampling_networks import SamplingNetworks


@dataclass(frozen=True)
class ConditionalNetworks:
    """A generator z, c -> x, and a discriminator x, c -> logit: `SamplingNetworks` that see the condition, each through
    an encoder of its own.

    Args:
        width_condition: conv: features each side makes of a condition.
        text: network that reads captions.
        conditional_discriminator: whether D sees the condition; without it nothing makes G follow the condition.
        joining: conv: how D sees the condition: concat (the paper) or projection (Miyato & Koyama 2018).
        dropout: mlp: share of the discriminator's hidden values that are dropped.
    """

    width_condition: int = 64
    text: TextEncoder = "gru"
    conditional_discriminator: bool = True
    joining: Joining = "concat"
    dropout: float = 0.5

    def __post_init__(self):
        check_bounds([("width_condition", self.width_condition, MAX_CHANNELS)])

    @refusing_sizes()
    def make_generator(self, networks: SamplingNetworks, condition: ConditionName, count: int) -> nn.Module:
        """Returns a generator z (N, z_size), c -> x (N, *shape) in [-1, 1].

        Args:
            networks: what the generator would be without a condition.
            condition: kind of c.
            count: classes, attributes, or numbers of tokens; see `encoder_of`.
        """
        channels, size, _ = networks.shape
        if networks.network == "conv":
            encoder = encoder_of(condition, count, self.width_condition, self.text)
            z_size, width = networks.z_size, networks.width
            return ConvGenerator(size, channels, z_size, width, networks.norm, networks.upsample, encoder=encoder)
        encoder = encoder_of(condition, count, 1000, self.text, hot=True)
        hidden = [1200] if networks.widths is None else networks.widths
        return MLPGenerator(networks.shape, networks.z_size, hidden, 0.0, False, encoder, z_width=200)

    @refusing_sizes()
    def make_discriminator(
        self, networks: SamplingNetworks, adversary: Adversary, condition: ConditionName, count: int
    ) -> nn.Module:
        """Returns a discriminator x (N, *shape) in [-1, 1], c -> logits (N, 1). Its arguments are those of
        `make_generator`, and what D has to do."""

        def encoder(width: int, hot: bool = False) -> Encoder | None:
            return encoder_of(condition, count, width, self.text, hot) if self.conditional_discriminator else None

        def own() -> nn.Module:
            return self._own_discriminator(networks, adversary, condition, count, encoder)

        return adversary.judges(own, networks.shape[0], make_encoder=lambda: encoder(self.width_condition))

    def _own_discriminator(
        self,
        networks: SamplingNetworks,
        adversary: Adversary,
        condition: ConditionName,
        count: int,
        encoder: Callable[..., Encoder | None],
    ) -> nn.Module:
        norm = discriminator_norm(networks.norm_discriminator, adversary.penalty, networks.network)
        channels, size, _ = networks.shape
        spectral, hidden = adversary.spectral, networks.widths_discriminator
        if networks.network == "conv":
            width, encoded = networks.width_discriminator, encoder(self.width_condition)
            return ConvDiscriminator(size, channels, width, norm, spectral, encoded, self.joining, networks.downsample)
        if hidden is None and self.conditional_discriminator:
            if spectral:
                raise BadInput("maxout layers have no spectral norm: say --widths_discriminator '[512, 256]' too")
            return MaxoutDiscriminator(networks.shape, encoder_of(condition, count, 250, self.text, True), self.dropout)
        hidden = [512, 256] if hidden is None else hidden
        return MLPDiscriminator(networks.shape, hidden, 0.2, self.dropout, spectral, encoder(1000, hot=True))
