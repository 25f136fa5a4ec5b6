"""Encoders, from pictures to a few numbers, and decoders, back to pictures.

Hinton, Salakhutdinov: Reducing the Dimensionality of Data with Neural Networks, Science 313, 2006,
https://www.cs.toronto.edu/~hinton/science.pdf. A decoder of convolutions is `ConvGenerator`, which takes a code as well
as noise.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import fold, unfold

from quagga.models.arguments import Channels, Shape, Size, Widths, remembers_arguments
from quagga.models.blocks.layers import init_normal_
from quagga.models.dcgan import channels_of, halvings

Activation = Literal["tanh", "relu", "linear"]


def activation_of(kind: Activation) -> nn.Module:
    """Returns a layer of that activation; linear is none."""
    return {"tanh": nn.Tanh, "relu": nn.ReLU, "linear": nn.Identity}[kind]()


def chain(widths: Sequence[int], activation: Activation, last: nn.Module) -> nn.Sequential:
    """Returns fully connected layers of these widths, an activation between them, and `last` at the end."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation_of(activation)]
    return nn.Sequential(*layers[:-1], last)


@remembers_arguments
class MLPEncoder(nn.Module):
    """Pictures (N, *shape) in [-1, 1] -> codes (N, code_size).

    Args:
        shape: channels, height and width of the pictures.
        code_size: numbers of a code.
        widths: units of the hidden layers.
        activation: of the hidden layers. With tanh the code is in [-1, 1] too; otherwise it is a linear layer's.
        bounded: whether tanh also bounds the code.
    """

    def __init__(
        self,
        shape: Shape,
        code_size: Channels = 16,
        widths: Widths = (),
        activation: Activation = "tanh",
        bounded: bool = True,
    ) -> None:
        super().__init__()
        last = nn.Tanh() if activation == "tanh" and bounded else nn.Identity()
        self.layers = chain([prod(shape), *widths, code_size], activation, last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, *shape) in [-1, 1] -> (N, code_size)."""
        return self.layers(x.flatten(1))


@remembers_arguments
class MLPDecoder(nn.Module):
    """Codes (N, code_size) -> pictures (N, *shape), in [-1, 1] but for linear layers.

    Args:
        shape: channels, height and width of the pictures.
        code_size: numbers of a code.
        widths: units of the hidden layers.
        activation: of the hidden layers. At the end stands tanh, as pictures are in [-1, 1]; of linear layers nothing.
    """

    def __init__(
        self, shape: Shape, code_size: Channels = 16, widths: Widths = (), activation: Activation = "tanh"
    ) -> None:
        super().__init__()
        self.shape = shape
        last = nn.Identity() if activation == "linear" else nn.Tanh()
        self.layers = chain([code_size, *widths, prod(shape)], activation, last)

    def forward(self, z: Tensor) -> Tensor:
        """(N, code_size) -> (N, *shape)."""
        return self.layers(z).view(-1, *self.shape)


@remembers_arguments
class ConvEncoder(nn.Module):
    """Pictures (N, channels, size, size) in [-1, 1] -> codes (N, code_size): strided 4 x 4 convolutions as in DCGAN's D
    (arXiv:1511.06434), and a linear layer.

    Args:
        size: side of the pictures: 4 to 15 times a power of two, at least 8.
        channels: of the pictures.
        code_size: numbers of a code.
        width: channels of the largest maps; they double towards the smallest, to 8 * width at most.
        norm: normalisation after every convolution but the first.
    """

    def __init__(
        self,
        size: Size,
        channels: Channels = 3,
        code_size: Channels = 16,
        width: Channels = 32,
        norm: Literal["batch", "none"] = "batch",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise([channels, *channels_of(size, width)])):
            normalized = norm == "batch" and number > 0
            layers += [nn.Conv2d(inputs, outputs, 4, 2, padding=1, bias=not normalized)]
            layers += [nn.BatchNorm2d(outputs)] if normalized else []
            layers += [nn.LeakyReLU(0.2)]
        smallest = size >> halvings(size)
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels_of(size, width)[-1] * smallest**2, code_size)
        )
        init_normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, size, size) in [-1, 1] -> (N, code_size)."""
        return self.layers(x)


@remembers_arguments
class AreaEncoder(nn.Module):
    """Pictures (N, C, H, W) -> codes (N, areas * m): the codes of its areas, row by row.

    Args:
        encoder: (N, C, area, area) -> (N, m).
        area: side of an area in pixels, of which height and width of the pictures are multiples.
    """

    def __init__(self, encoder: nn.Module, area: Size) -> None:
        super().__init__()
        self.encoder, self.area = encoder, area

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, areas * m)."""
        return self.encoder(areas_of(x, self.area)).view(len(x), -1)


@remembers_arguments
class AreaDecoder(nn.Module):
    """Codes (N, areas * m) -> pictures (N, *shape), each area by its own part of the code.

    Args:
        decoder: (N, m) -> (N, C, area, area).
        shape: channels, height and width of the pictures.
        area: side of an area in pixels.
    """

    def __init__(self, decoder: nn.Module, shape: Shape, area: Size) -> None:
        super().__init__()
        self.decoder, self.shape, self.area = decoder, shape, area

    def forward(self, z: Tensor) -> Tensor:
        """(N, areas * m) -> (N, *shape)."""
        _, height, width = self.shape
        count = height // self.area * (width // self.area)
        x = self.decoder(z.reshape(len(z) * count, -1)).flatten(1)
        return fold(x.view(len(z), count, -1).transpose(1, 2), (height, width), self.area, stride=self.area)


@remembers_arguments
class PosteriorMean(nn.Module):
    """Pictures -> the mean of q(z|x), the first half of what its encoder gives; the other is its log variance.

    Args:
        encoder: (N, C, H, W) -> (N, 2 m).
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> (N, m)."""
        return self.encoder(x).chunk(2, 1)[0]


def areas_of(x: Tensor, area: int) -> Tensor:
    """Returns the areas of pictures (N, C, H, W), row by row: (N * areas, C, area, area)."""
    return unfold(x, area, stride=area).transpose(1, 2).reshape(-1, x.shape[1], area, area)
