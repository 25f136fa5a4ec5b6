"""The U-Net generator of pix2pix.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, Sec. 6.1.1 (arXiv:1611.07004),
after Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015 (arXiv:1505.04597). In
the paper's shorthand, with 4 x 4 convolutions of stride 2 and depth 8:

    encoder  C64 C128 C256 C512 C512 C512 C512 C512          (leaky ReLU 0.2)
    decoder  CD512 CD512 CD512 C512 C256 C128 C64, C3, tanh  (ReLU; each also sees the encoder's layer of its size)
"""

from collections.abc import Sequence

from torch import Tensor, nn

from quagga.models.arguments import Channels, Halvings, Share, remembers_arguments
from quagga.models.blocks.layer_chain import Step, chain_features, chain_output
from quagga.models.blocks.layers import (
    Norm,
    Upsample,
    init_normal_,
    normalization,
    pad_to_multiple,
    spectral_norm_,
    upsampling,
)


@remembers_arguments
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
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        width: Channels = 64,
        depth: Halvings = 8,
        norm: Norm = "batch",
        dropout: Share = 0.5,
        upsample: Upsample = "transposed",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth {depth} leaves no network: expected 1 or more")
        self.depth = depth
        channels = [min(2**i, 8) * width for i in range(depth)]  # of the encoder's layers, outermost first

        def normed(layer: nn.Module, outputs: int) -> list[nn.Module]:
            return [layer, normalization(norm, outputs)]

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
        return chain_output(self, x)

    def features(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Returns the maps that layers give of pictures (N, in_channels, H, W) in [-1, 1], as for PatchNCE (Park et al.
        2020, "Contrastive Learning for Unpaired Image-to-Image Translation", arXiv:2007.15651).

        Args:
            x: The pictures.
            layers: Numbers of layers: 0 to depth - 1 are the encoder's, the outermost first, depth to 2 depth - 2 the
                decoder's, the innermost first, and 2 depth - 1 is the head.

        Returns:
            For each number maps (N, c, h, w) of any range. Of encoder layer i, h and w are H and W, padded to a
            multiple of 2**depth, divided by 2**(i + 1). A decoder layer's come behind the maps of the encoder layer of
            their size (after its leaky ReLU), as the next layer takes both. The head's have the padded size.

        Raises:
            ValueError: there is no layer of that number.
        """
        return chain_features(self, x, layers)

    def pad(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> the same, H and W multiples of 2**depth."""
        return pad_to_multiple(x, 2**self.depth)

    def steps(self) -> list[Step]:
        """Returns the encoder, all layers of which but the innermost are joined to the decoder, and the head."""
        *outer, innermost = list(self.encoder)
        return [
            # The next encoder layer's leaky ReLU works on the skip in place; the ReLU after the joint hides that.
            *(Step(layer, "keep") for layer in outer),
            Step(innermost),
            *(Step(layer, "join") for layer in self.decoder),
            Step(self.head),
        ]

    def finish(self, y: Tensor, x: Tensor) -> Tensor:
        """What the head gave, in [-1, 1], is the output."""
        return y
