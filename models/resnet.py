"""The ResNet generator of CycleGAN.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", 2017, Sec. 4 and 7.2
(arXiv:1703.10593), after Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016
(arXiv:1603.08155). In the papers' shorthand, with 9 blocks:

    c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quagga.models.arguments import Blocks, Channels, remembers_arguments
from quagga.models.blocks.layer_chain import Step, chain_features, chain_output
from quagga.models.blocks.layers import (
    MirroredConv2d,
    Norm,
    Upsample,
    init_normal_,
    normalization,
    pad_to_multiple,
    spectral_norm_,
    upsampling,
)

SHRINK = 0.98  # atanh(1) is infinite: with the skip, black and white come back 1 % greyer from layers that add nothing


class ResidualBlock(nn.Module):
    """Rk: x plus two 3 x 3 convolutions of it, borders mirrored. (N, k, H, W) -> (N, k, H, W), H and W at least 2."""

    def __init__(self, channels: int, norm: Norm, bias: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            MirroredConv2d(channels, channels, 3, padding=1, bias=bias),
            normalization(norm, channels),
            nn.ReLU(inplace=True),
            MirroredConv2d(channels, channels, 3, padding=1, bias=bias),
            normalization(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, k, H, W) -> (N, k, H, W), both of any range."""
        return self.layers(x).add_(x)  # in place: no layer needs its own last output for the gradient


@remembers_arguments
class ResnetGenerator(nn.Module):
    """(N, in_channels, H, W) in [-1, 1] -> (N, out_channels, H, W) in [-1, 1], for any H and W from 1 pixel on.

    Sides that are no multiple of 4, or below 8, are padded and the result is cut back.

    Args:
        in_channels: channels of the picture that goes in.
        out_channels: channels of the picture that comes out.
        width: channels of the first layer; the blocks have four times as many.
        blocks: residual blocks; the paper takes 9 from 256 pixels on and 6 below.
        norm: normalisation after every convolution but the last.
        upsample: "transposed" convolutions as in the paper, or "resize" against checkerboards.
        spectral: divide every weight by its largest singular value.
        skip: the layers give what is added to the input (before tanh) instead of the whole output: G starts near the
            identity and keeps what need not change. Not in the paper; needs in_channels == out_channels.
    """

    def __init__(
        self,
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        width: Channels = 64,
        blocks: Blocks = 9,
        norm: Norm = "instance",
        upsample: Upsample = "transposed",
        spectral: bool = False,
        skip: bool = False,
    ) -> None:
        super().__init__()
        if skip and in_channels != out_channels:
            raise ValueError(
                f"skip adds the input to the output: {in_channels} and {out_channels} channels cannot be added"
            )
        self.skip, self.blocks = skip, blocks
        k = width
        bias = norm != "batch"  # batch normalisation brings its own

        def c7s1(inputs: int, outputs: int, bias: bool = True) -> nn.Module:
            return MirroredConv2d(inputs, outputs, 7, padding=3, bias=bias)

        def normed(layer: nn.Module, channels: int) -> list[nn.Module]:
            return [layer, normalization(norm, channels), nn.ReLU(inplace=True)]

        def down(inputs: int, outputs: int) -> list[nn.Module]:
            return normed(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=bias), outputs)

        def up(inputs: int, outputs: int) -> list[nn.Module]:
            return normed(upsampling(upsample, inputs, outputs, kernel=3, bias=bias), outputs)

        self.layers = nn.Sequential(
            *normed(c7s1(in_channels, k, bias), k),
            *down(k, 2 * k),
            *down(2 * k, 4 * k),
            *(ResidualBlock(4 * k, norm, bias) for _ in range(blocks)),
            *up(4 * k, 2 * k),
            *up(2 * k, k),
            c7s1(k, out_channels),
        )
        init_normal_(self)
        if spectral:
            spectral_norm_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> (N, out_channels, H, W) in [-1, 1]."""
        return chain_output(self, x)

    def features(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Returns the maps that layers give of pictures (N, in_channels, H, W) in [-1, 1], as for PatchNCE (Park et al.
        2020, "Contrastive Learning for Unpaired Image-to-Image Translation", arXiv:2007.15651).

        Args:
            x: The pictures.
            layers: Indices into `self.layers`: 0, 3 and 6 are the convolutions of c7s1, d128 and d256, each followed by
                normalisation and ReLU; 9 is the first block.

        Returns:
            For each index maps (N, c, h, w) of any range. h and w are H and W, padded to a multiple of 4, until layer
            3, half of that from there and a quarter from layer 6 on, until the layers that enlarge them again.

        Raises:
            ValueError: there is no layer of that index.
        """
        return chain_features(self, x, layers)

    def pad(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> the same, H and W multiples of 4 and no smaller than 8."""
        return pad_to_multiple(x, 4, least=8)

    def steps(self) -> list[Step]:
        """Returns the layers one by one."""
        return [Step(layer) for layer in self.layers]

    def finish(self, y: Tensor, x: Tensor) -> Tensor:
        """What the last layer gave, and the picture -> the output in [-1, 1]."""
        return torch.tanh(y + torch.atanh(SHRINK * x)) if self.skip else torch.tanh(y)
