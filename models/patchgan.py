"""Discriminators that judge patches.

Isola et al. 2017, Sec. 6.1.2 (arXiv:1611.07004); Zhu et al. 2017, Sec. 7.2 (arXiv:1703.10593). In the papers'
shorthand, with 4 x 4 convolutions and leaky ReLU 0.2:

    70 x 70 PatchGAN   C64 C128 C256 C512, and a convolution to 1 channel
    1 x 1 PixelGAN     C64 C128, and a convolution to 1 channel (all 1 x 1)
"""

from torch import Tensor, nn

from quagga.models.arguments import Channels, Halvings, remembers_arguments
from quagga.models.blocks.layers import Norm, init_normal_, normalization, spectral_norm_


@remembers_arguments
class PatchGAN(nn.Module):
    """(N, in_channels, H, W) in [-1, 1] -> logits (N, 1, H', W'), one for each patch; H' = floor(H / 2**layers) - 2.

    A logit sees 16, 34, 70, 142 pixels squared with 1, 2, 3, 4 layers (instance normalisation adds the mean and
    variance of the whole picture). Sides must have 3 * 2**layers pixels at least, 24 with 3 layers; ValueError below.

    Args:
        in_channels: channels of what is judged; a conditional discriminator sees input and output side by side.
        width: channels of the first layer; they double with each layer, to 8 * width at most.
        layers: convolutions of stride 2; two of stride 1 follow.
        norm: normalisation after every convolution but the first and the last.
        spectral: divide every weight by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).
    """

    def __init__(
        self,
        in_channels: Channels = 3,
        width: Channels = 64,
        layers: Halvings = 3,
        norm: Norm = "instance",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"a PatchGAN of {layers} layers does not exist: expected 1 or more, or a PixelGAN")
        self.least = 3 * 2**layers
        channels = [min(2**i, 8) * width for i in range(layers + 1)]
        bias = norm != "batch"  # batch normalisation brings its own
        body: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for i in range(1, layers + 1):
            stride = 2 if i < layers else 1
            body += [
                nn.Conv2d(channels[i - 1], channels[i], 4, stride, padding=1, bias=bias),
                normalization(norm, channels[i]),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*body, nn.Conv2d(channels[-1], 1, 4, padding=1))
        init_normal_(self)
        if spectral:
            spectral_norm_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> logits (N, 1, floor(H / 2**layers) - 2, floor(W / 2**layers) - 2).

        Raises:
            ValueError: a side is shorter than 3 * 2**layers.
        """
        _, _, height, width = x.shape
        if min(height, width) < self.least:
            raise ValueError(
                f"pictures of {width} x {height} are too small for this PatchGAN: "
                f"expected {self.least} x {self.least} or more, or fewer layers"
            )
        return self.layers(x)


@remembers_arguments
class PixelGAN(nn.Module):
    """(N, in_channels, H, W) in [-1, 1] -> logits (N, 1, H, W), one for each pixel, which sees that pixel alone.

    Args:
        in_channels: channels of what is judged.
        width: channels of the first layer; the second has twice as many.
        norm: normalisation after the second convolution; any but "none" also shows it the whole picture's statistics.
        spectral: divide every weight by its largest singular value.
    """

    def __init__(
        self, in_channels: Channels = 3, width: Channels = 64, norm: Norm = "instance", spectral: bool = False
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 1, bias=norm != "batch"),
            normalization(norm, 2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, 1),
        )
        init_normal_(self)
        if spectral:
            spectral_norm_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> logits (N, 1, H, W)."""
        return self.layers(x)
