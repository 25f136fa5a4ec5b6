"""The networks of pipelines that code pictures."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from quagga.errors import BadInput
from quagga.models import ConvEncoder, ConvGenerator, MLPDecoder, MLPEncoder
from quagga.models.autoencoding import Activation
from quagga.pipelines.core.option_checks import check_sizes, refusing_sizes


@dataclass(frozen=True)
class CodingNetworks:
    """An encoder x -> z and a decoder z -> x.

    Args:
        size: side of the square pictures; None takes the data's.
        x_channels: channels of the pictures: 3 for colour, 1 for grey; None takes the data's.
        network: conv as in DCGAN, or mlp, fully connected.
        code_size: numbers of a code.
        width: conv: channels of the largest maps.
        widths: mlp: units of the encoder's hidden layers, which the decoder has in reverse; None takes none.
        activation: mlp: of the hidden layers, and with tanh of an autoencoder's code; linear layers find principal
            components.
        norm: conv: normalisation.
    """

    size: int | None = None
    x_channels: int | None = None
    network: Literal["conv", "mlp"] = "conv"
    code_size: int = 16
    width: int = 32
    widths: list[int] | None = None
    activation: Activation = "tanh"
    norm: Literal["batch", "none"] = "batch"

    def __post_init__(self):
        counts = {"x_channels": self.x_channels, "code_size": self.code_size, "width": self.width}
        check_sizes(self.size, self.widths, None, **counts)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the pictures. Raises BadInput if they are not known."""
        if self.size is None or self.x_channels is None:
            raise BadInput(
                "the pictures' size and channels are not known: say --size 64 --x_channels 3, or as they are"
            )
        return self.x_channels, self.size, self.size

    @refusing_sizes()
    def make_encoder(self, size: int, numbers: int = 1, bounded: bool = True) -> nn.Module:
        """Returns an encoder of pictures, or areas, of this size: (N, C, size, size) -> (N, numbers * code_size).
        bounded: mlp: whether with tanh the code is in [-1, 1]."""
        outputs, (channels, *_) = numbers * self.code_size, self.shape
        if self.network == "conv":
            return ConvEncoder(size, channels, outputs, self.width, self.norm)
        return MLPEncoder((channels, size, size), outputs, self.widths or [], self.activation, bounded)

    @refusing_sizes()
    def make_decoder(self, size: int) -> nn.Module:
        """Returns a decoder (N, code_size) -> (N, C, size, size), in [-1, 1] but for linear layers."""
        channels, *_ = self.shape
        if self.network == "conv":
            return ConvGenerator(size, channels, self.code_size, self.width, self.norm)
        return MLPDecoder((channels, size, size), self.code_size, (self.widths or [])[::-1], self.activation)
