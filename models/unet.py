"""The U-Net generator of pix2pix.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, Sec. 6.1.1 (arXiv:1611.07004),
after Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015 (arXiv:1505.04597). In
the paper's shorthand, with 4 x 4 convolutions of stride 2 and depth 8:

    encoder  C64 C128 C256 C512 C512 C512 C512 C512          (leaky ReLU 0.2)
    decoder  CD512 CD512 CD512 C512 C256 C128 C64, C3, tanh  (ReLU; each also sees the encoder's layer of its size)
"""

import torch
from torch import Tensor, nn

from quagga.models.layers import (
    Norm,
    Upsample,
    crop_middle,
    init_normal_,
    normalisation,
    pad_to_multiple,
    spectral_norm_,
    upsampling,
)


class UnetGenerator(nn.Module):
    """(N, in_channels, H, W) in [-1, 1] -> (N, out_channels, H, W) in [-1, 1], for any H and W from 1 pixel on.

    Sides that are no multiple of 2**depth are padded to one and the result is cut back, so that a depth far beyond the
    pictures' size costs time. The paper's 256 pixels have depth 8, 128 have 7.

    Args:
        in_channels: channels of the picture that goes in.
        out_channels: channels of the picture that comes out.
        width: channels of the first layer; they double with depth, to 8 * width at most.
        depth: halvings between the picture and the bottleneck.
        norm: normalisation after every convolution but the first, the innermost and the last.
        dropout: share of the values that the first three layers of the decoder drop in training (and, in the paper,
            when translating: it is this network's only noise). Only layers of 8 * width channels drop; 0 is none.
        upsample: "transposed" convolutions as in the paper, or "resize" against checkerboards.
        spectral: divide every weight by its largest singular value.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        depth: int = 8,
        norm: Norm = "batch",
        dropout: float = 0.5,
        upsample: Upsample = "transposed",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth {depth} leaves no network: expected 1 or more")
        self.depth = depth
        channels = [min(2**i, 8) * width for i in range(depth)]  # of the encoder's layers, outermost first

        def normed(layer: nn.Module, outputs: int) -> list[nn.Module]:
            return [layer, normalisation(norm, outputs)]

        bias = norm != "batch"  # batch normalisation brings its own
        self.encoder = nn.ModuleList()
        for i, outputs in enumerate(channels):
            inputs = channels[i - 1] if i else in_channels
            # The innermost maps can be of one pixel, which instance normalisation would turn into zeros.
            bare = i in (0, depth - 1)
            convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias or bare)
            self.encoder.append(
                nn.Sequential(
                    *([nn.LeakyReLU(0.2, inplace=True)] if i else []),
                    *([convolution] if bare else normed(convolution, outputs)),
                )
            )

        self.decoder = nn.ModuleList()
        for j, i in enumerate(reversed(range(1, depth))):
            inputs = channels[i] * (2 if j else 1)
            layers = normed(upsampling(upsample, inputs, channels[i - 1], kernel=4, bias=bias), channels[i - 1])
            if dropout and j < 3 and channels[i - 1] == 8 * width:
                layers.append(nn.Dropout(dropout))
            self.decoder.append(nn.Sequential(nn.ReLU(inplace=True), *layers))
        self.head = nn.Sequential(
            nn.ReLU(inplace=True),
            upsampling(upsample, channels[0] * (2 if depth > 1 else 1), out_channels, kernel=4),
            nn.Tanh(),
        )
        init_normal_(self)
        if spectral:
            spectral_norm_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> (N, out_channels, H, W) in [-1, 1]."""
        _, _, height, width = x.shape
        h = pad_to_multiple(x, 2**self.depth)
        skips = []
        for layer in self.encoder:
            h = layer(h)
            skips.append(h)
        skips.pop()
        for layer in self.decoder:
            # The next encoder layer's leaky ReLU has worked on the skip in place; the ReLU that follows hides it.
            h = torch.cat([skips.pop(), layer(h)], dim=1)
        return crop_middle(self.head(h), height, width)
