"""The networks of StarGAN: a generator that is told what its picture shall show, and a discriminator with two heads.

Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation", 2018,
Sec. 4, Tables 4 and 5 (arXiv:1711.09020). In the shorthand of `resnet.py` and `patchgan.py`:

    G   the ResNet generator with 6 blocks, of the picture's channels and a plane for each label
    D   C64 C128 C256 C512 C1024 C2048, 4 x 4 convolutions of stride 2 and leaky ReLU 0.01, without normalisation; then
        D_src, a 3 x 3 convolution to 1 channel, and D_cls, a convolution over the whole map to a channel for each label
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quagga.models.arguments import MAX_CHANNELS, Blocks, Channels, Halvings, Size, remembers_arguments
from quagga.models.blocks.encoders import LabelName
from quagga.models.blocks.layer_chain import Step, chain_output
from quagga.models.blocks.layers import Upsample, init_normal_, spectral_norm_
from quagga.models.resnet import SHRINK, ResnetGenerator


@remembers_arguments
class StarGenerator(nn.Module):
    """x (N, channels, H, W) in [-1, 1] and what it shall show, c -> (N, channels, H, W) in [-1, 1], for any H and W.

    Each label becomes a plane of one number beside the picture's channels. The first convolution is not normalised:
    instance normalisation takes away the mean of a map, and with it all that a constant plane adds, since borders are
    mirrored. (The authors' program pads with zeros, and knows the label by what that leaves at the borders.)

    Args:
        kind: c is a class, int64 (N,), or attributes, float (N, count).
        count: classes or attributes.
        channels: of the pictures.
        width: channels of the first layer; the blocks have four times as many.
        blocks: residual blocks.
        upsample: see `ResnetGenerator`.
        skip: the layers give what is added to x (before tanh) instead of the whole output. Not in the paper.
    """

    def __init__(
        self,
        kind: LabelName,
        count: Channels,
        channels: Channels = 3,
        width: Channels = 64,
        blocks: Blocks = 6,
        upsample: Upsample = "transposed",
        skip: bool = False,
    ) -> None:
        super().__init__()
        if channels + count > MAX_CHANNELS:
            raise ValueError(f"{count} labels and {channels} channels are too many planes: {MAX_CHANNELS} are the most")
        self.kind, self.count, self.channels, self.skip = kind, count, channels, skip
        self.network = ResnetGenerator(channels + count, channels, width, blocks, "instance", upsample)
        self.network.layers[1] = nn.Identity()  # was the first normalisation, see above

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (N, channels, H, W) in [-1, 1], c int64 (N,) or float (N, count) -> (N, channels, H, W) in [-1, 1]."""
        if self.kind == "class":
            c = c[:, None] == torch.arange(self.count, device=c.device)  # not one_hot, which checks c on the host
        planes = c.to(x.dtype)[..., None, None].expand(-1, -1, *x.shape[2:])
        return chain_output(self, torch.cat([x, planes], 1))

    def pad(self, x: Tensor) -> Tensor:
        """(N, channels + count, H, W) -> the same, H and W multiples of 4 and no smaller than 8."""
        return self.network.pad(x)

    def steps(self) -> Sequence[Step]:
        """Returns the layers one by one."""
        return self.network.steps()

    def finish(self, y: Tensor, x: Tensor) -> Tensor:
        """What the last layer gave, and the picture with its planes -> the output in [-1, 1]."""
        return torch.tanh(y + torch.atanh(SHRINK * x[:, : self.channels])) if self.skip else torch.tanh(y)


@remembers_arguments
class StarDiscriminator(nn.Module):
    """Pictures (N, channels, size, size) in [-1, 1] -> logits of D_src, (N, 1, h, h), one for each patch, and of D_cls,
    (N, count), one for each label; h = floor(size / 2**layers).

    Args:
        size: side of the pictures, 2**layers or more.
        count: classes or attributes.
        channels: of the pictures.
        width: channels of the first layer; they double with each layer, to 4096 at most.
        layers: convolutions of stride 2.
        spectral: divide every weight by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).
    """

    def __init__(
        self,
        size: Size,
        count: Channels,
        channels: Channels = 3,
        width: Channels = 64,
        layers: Halvings = 6,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= layers < size.bit_length():
            raise ValueError(f"pictures of {size} pixels cannot be halved {layers} times: take fewer layers, 1 or more")
        last = width * 2 ** (layers - 1)
        if last > MAX_CHANNELS:
            raise ValueError(f"{layers} layers from a width of {width} end at {last} channels, over {MAX_CHANNELS}")
        body: list[nn.Module] = []
        for i in range(layers):
            inputs, outputs = width * 2 ** (i - 1) if i else channels, width * 2**i
            body += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.01, inplace=True)]
        self.body = nn.Sequential(*body)
        self.src = nn.Conv2d(last, 1, 3, padding=1, bias=False)
        self.cls = nn.Conv2d(last, count, size >> layers, bias=False)
        init_normal_(self)
        if spectral:
            spectral_norm_(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, channels, size, size) in [-1, 1] -> logits (N, 1, h, h) and (N, count)."""
        h = self.body(x)
        return self.src(h), self.cls(h).flatten(1)


class StarJudges(nn.Module):
    """A `StarDiscriminator` beside heads on features -> logits of D_src, which are the heads' and perhaps its own, its
    own first; and of D_cls, which are its own.

    Args:
        star: a `StarDiscriminator`.
        projected: the heads, a `ProjectedDiscriminator`.
        both: whether its own D_src counts.
    """

    def __init__(self, star: nn.Module, projected: nn.Module, both: bool) -> None:
        super().__init__()
        self.star, self.projected, self.both = star, projected, both

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """(N, channels, size, size) in [-1, 1] -> logits (N, 1, h, w) of each judge, and (N, count)."""
        src, cls = self.star(x)
        return ((src,) if self.both else ()) + self.projected(x), cls
