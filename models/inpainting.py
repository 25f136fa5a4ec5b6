"""Partial convolutions, and the U-Net made of them that fills the holes of a picture.

Liu, Reda, Shih, Wang, Tao, Catanzaro: "Image Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018
(arXiv:1804.07723), Sec. 3.1, 3.2. In the paper's shorthand, with kernel and channels of each layer, all of stride 2 in
the encoder, and depth 8 for pictures of 512 pixels:

    encoder  7 x 7, 64   5 x 5, 128   5 x 5, 256   3 x 3, 512 (five times)                    (ReLU)
    decoder  3 x 3, 512 (four times)   3 x 3, 256   3 x 3, 128   3 x 3, 64   3 x 3, 3         (leaky ReLU 0.2)

A layer of the decoder sees what the one before gave, enlarged, and what the encoder's layer of that size took; the last
one sees the picture itself. Masks go the same ways.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quagga.models.arguments import Channels, Halvings, remembers_arguments
from quagga.models.blocks.layers import Norm, crop_middle, normalization


class PartialConv2d(nn.Conv2d):
    """A convolution that sees known pixels alone, and says where it has seen some (Eq. 1, 2):

        x' = W^T (X * M) sum(1) / sum(M) + b   and   m' = 1,   where sum(M) > 0 in the window
        x' = 0                                 and   m' = 0    elsewhere

    Beyond the border nothing is known (Sec. 3.2), so that where nothing is missing it is a convolution but at borders.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)
        self.border, self.window = kernel // 2, kernel

    def forward(self, input: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Maps (N, inputs, H, W) of any range, finite also where nothing is known, and their mask, 1 where they are
        known and else 0, (N, 1, H, W) for all of them or (N, inputs, H, W) -> maps (N, outputs, H', W') and their mask
        (N, 1, H', W')."""
        # sum(M) / sum(1), exactly 1 where all is known. Pooling stays in float32 under autocast, which a convolution
        # with ones would not: bfloat16 cannot count to 4,609.
        share = F.avg_pool2d(mask.mean(1, keepdim=True), self.window, self.stride, self.border)
        known = (share > 0).to(share.dtype)
        scale = known / (share + (1 - known))
        y = F.conv2d(input * mask, self.weight, None, self.stride, self.padding)
        y = y * scale.to(y.dtype)
        if self.bias is not None:
            y = y + self.bias.to(y.dtype).view(-1, 1, 1) * known.to(y.dtype)
        return y, known


class PartialLayer(nn.Module):
    """A partial convolution, normalisation and an activation; the mask goes through the convolution alone."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, norm: Norm, activation: nn.Module | None
    ) -> None:
        super().__init__()
        self.convolution = PartialConv2d(inputs, outputs, kernel, stride, bias=norm != "batch")
        self.after = nn.Sequential(normalization(norm, outputs), activation or nn.Identity())

    def forward(self, x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """As `PartialConv2d`."""
        x, m = self.convolution(x, m)
        return self.after(x), m


@remembers_arguments
class PartialUnet(nn.Module):
    """Pictures (N, channels, H, W) in [-1, 1], and masks (N, 1, H, W), 1 where a pixel is known and else 0 -> filled
    pictures (N, channels, H, W) around [-1, 1], known pixels made again as well. Any H and W from 1 pixel on: what
    sides lack to a multiple of 2**depth is one more hole around the picture.

    What stands in a picture where the mask is 0 changes nothing. Where all of a picture is missing, the output is 0.

    Args:
        channels: of the pictures.
        width: channels of the first layer; they double with depth, to 8 * width at most.
        depth: halvings between the picture and the bottleneck.
        norm: normalisation after every convolution but the first and the last.
    """

    def __init__(self, channels: Channels = 3, width: Channels = 64, depth: Halvings = 8, norm: Norm = "batch") -> None:
        super().__init__()
        self.depth = depth
        widths = [channels, *(min(2**i, 8) * width for i in range(depth))]  # of the picture and of the encoder's maps
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for i in range(depth):
            kernel = 7 if i == 0 else 5 if i < 3 else 3
            normed: Norm = norm if i else "none"
            self.encoder.append(PartialLayer(widths[i], widths[i + 1], kernel, 2, normed, nn.ReLU()))
        for i in reversed(range(depth)):
            inputs, last = widths[i + 1] + widths[i], i == 0
            activation = None if last else nn.LeakyReLU(0.2)
            self.decoder.append(PartialLayer(inputs, widths[i], 3, 1, "none" if last else norm, activation))
        init_he_(self)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        """Pictures (N, channels, H, W) in [-1, 1] and masks (N, 1, H, W), 1 or 0 -> (N, channels, H, W) around
        [-1, 1]."""
        height, width = x.shape[2:]
        m = m.to(x.dtype)
        h, m = (framed(part, 2**self.depth) for part in (torch.where(m > 0, x, torch.zeros_like(x)), m))
        skips = []
        for layer in self.encoder:
            skips.append((h, m))
            h, m = layer(h, m)
        for layer in self.decoder:
            skip, known = skips.pop()
            h, m = F.interpolate(h, scale_factor=2), F.interpolate(m, scale_factor=2)
            both = torch.cat([m.expand(-1, h.shape[1], -1, -1), known.expand(-1, skip.shape[1], -1, -1)], 1)
            h, m = layer(torch.cat([h, skip], 1), both)
        return crop_middle(h, height, width)


@remembers_arguments
class Composite(nn.Module):
    """The picture where it is known, to the bit, and what a network fills in elsewhere: I_comp of Sec. 3.3.

    Args:
        network: (x, m) -> (N, C, H, W), such as `PartialUnet`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] and masks (N, 1, H, W), 1 where they are known and else 0 -> (N, C, H, W) in
        [-1, 1]."""
        return torch.where(m > 0, x, self.network(x, m).clamp(-1, 1).to(x.dtype))


def framed(x: Tensor, multiple: int) -> Tensor:
    """Puts a border of zeros around (N, C, H, W), until height and width are multiples of `multiple`; undone by
    `crop_middle`."""
    borders: list[int] = []
    for size in x.shape[:1:-1]:  # the width first
        missing = -size % multiple
        borders += [missing // 2, missing - missing // 2]
    return F.pad(x, borders)


def init_he_(network: nn.Module) -> None:
    """Draws the weights of convolutions as for ReLU, N(0, 2 / inputs) (He et al. 2015, arXiv:1502.01852, Eq. 10), in
    place; biases are zero. On the device "meta" it does nothing."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
