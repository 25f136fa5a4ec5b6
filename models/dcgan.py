"""Convolutional generators and discriminators for square pictures.

Radford, Metz, Chintala: "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
2016, Sec. 3 and Fig. 1 (arXiv:1511.06434). G begins with a small map (4 x 4, or 7 x 7 for 28 pixels) and doubles it
until it is a picture; D is the way back:

    G at 64 pixels   project to 512 x 4 x 4, 256, 128, 64, a picture      (transposed 4 x 4, batch norm, ReLU, tanh)
    D at 64 pixels   64, 128, 256, 512 x 4 x 4, a logit                   (strided 4 x 4, batch norm, leaky ReLU 0.2)
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from quagga.models.arguments import Channels, Size, remembers_arguments
from quagga.models.blocks.encoders import AttributesEncoder, ClassEncoder, Encoder
from quagga.models.blocks.layers import InstanceNorm, Upsample, init_normal_, spectral_norm_, upsampling

GeneratorNorm = Literal["batch", "conditional_batch", "none"]
DiscriminatorNorm = Literal["batch", "instance", "layer", "none"]
Joining = Literal["concat", "projection"]
Downsample = Literal["strided", "max"]


def halvings(size: int) -> int:
    """Returns how often a picture's side is halved: until it is odd or below 8. 28 = 7 * 2**2, 64 = 4 * 2**4.

    Raises ValueError if more than 15 pixels are left, or there are fewer than 8 to begin with.
    """
    count = 0
    while size >> count >= 8 and not (size >> count) % 2:
        count += 1
    if not count or size >> count > 15:
        raise ValueError(
            f"pictures of {size} pixels cannot be halved down to 4 to 15: expected 28, 32, 64, 128, 256 or the like"
        )
    return count


def channels_of(size: int, width: int) -> list[int]:
    """Returns the channels of the maps from the largest, with half the picture's side, to the smallest: at most
    8 * width."""
    return [min(2**i, 8) * width for i in range(halvings(size))]


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose scale and shift are linear functions of the condition's vector.

    Dumoulin et al. 2017 (arXiv:1610.07629) and de Vries et al. 2017 (arXiv:1707.00683); for classes that is a pair of
    numbers a channel and class, and it works for attributes and captions alike. It starts near a scale of 1 and a shift
    of 0. (N, channels, H, W), (N, width) -> (N, channels, H, W).
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = nn.Linear(width, channels), nn.Linear(width, channels)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """Maps h (N, channels, H, W) and the condition's vector e (N, width) -> (N, channels, H, W)."""
        return self.norm(h) * (1 + self.scale(e))[..., None, None] + self.shift(e)[..., None, None]


@remembers_arguments
class ConvGenerator(nn.Module):
    """Noise z (N, z_size), and with an encoder the raw condition c -> pictures (N, channels, size, size) in [-1, 1].

    The condition's vector is joined to z (Mirza & Osindero 2014); with "conditional_batch" it also sets every
    normalisation's scale and shift. It is scaled by 1 / sqrt(its width), to a length of about 1: Adam moves every
    weight by the learning rate, so that what a layer makes of a vector that comes again and again grows by the rate
    times the sum of its abs(e_i) a step. Unscaled it drowned z in some hundred steps, and G made one picture a class
    (measured on digits: 16 % of the diversity of real ones after 83,000 images; scaled, 101 % after 33,000).

    Args:
        size: side of the pictures: 4 to 15 times a power of two, at least 8.
        channels: of the pictures.
        z_size: numbers of noise.
        width: channels of the largest maps; they double towards the smallest, to 8 * width at most.
        norm: normalisation after every layer but the last.
        upsample: "transposed" convolutions as in the paper, or "resize" against checkerboards.
        spectral: divide every weight by its largest singular value.
        encoder: of the condition, with its `width`; None for a game without conditions.
    """

    def __init__(
        self,
        size: Size,
        channels: Channels = 3,
        z_size: Channels = 100,
        width: Channels = 64,
        norm: GeneratorNorm = "batch",
        upsample: Upsample = "transposed",
        spectral: bool = False,
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__()
        if norm == "conditional_batch" and encoder is None:
            raise ValueError("conditional batch norm needs a condition: expected norm batch or none")
        self.first = size >> halvings(size)
        maps = channels_of(size, width)[::-1]  # smallest first
        e_width = encoder.width if encoder else 0
        bias = norm == "none"  # a normalisation brings its own
        self.project = nn.Linear(z_size + e_width, maps[0] * self.first**2, bias=bias)
        self.ups = nn.ModuleList(
            upsampling(upsample, inputs, outputs, kernel=4, bias=bias) for inputs, outputs in pairwise(maps)
        )
        self.last = upsampling(upsample, maps[-1], channels, kernel=4)
        self.norms = nn.ModuleList(
            {
                "batch": lambda count: nn.BatchNorm2d(count),
                "conditional_batch": lambda count: ConditionalBatchNorm(count, e_width),
                "none": lambda count: nn.Identity(),
            }[norm](count)
            for count in maps
        )
        init_normal_(self)
        if spectral:
            spectral_norm_(self)
        self.encoder = encoder  # assigned last: it keeps its own initialisation

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z (N, z_size), c as the encoder takes it (None without one) -> (N, channels, size, size) in [-1, 1]."""
        e = self.encoder(c) * self.encoder.width**-0.5 if self.encoder is not None else None
        h = self.project(z if e is None else torch.cat([z, e], 1)).unflatten(1, (-1, self.first, self.first))
        for up, norm in zip([nn.Identity(), *self.ups], self.norms, strict=True):
            h = up(h)
            h = torch.relu(norm(h, e) if isinstance(norm, ConditionalBatchNorm) else norm(h))
        return torch.tanh(self.last(h))


@remembers_arguments
class ConvDiscriminator(nn.Module):
    """Pictures (N, channels, size, size) in [-1, 1], and with an encoder the raw condition c -> logits (N, 1).

    Args:
        size: side of the pictures: 4 to 15 times a power of two, at least 8.
        channels: of the pictures.
        width: channels of the largest maps; they double towards the smallest, to 8 * width at most.
        norm: normalisation after every strided convolution but the first. A gradient penalty needs one that does not
            mix the pictures of a batch: instance, layer (over a picture's whole map, as in Gulrajani et al. 2017) or
            none.
        spectral: divide every weight by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).
        encoder: of the condition, with its `width`; None for a game without conditions.
        joining: how D sees the condition. "concat": its vector is repeated over the smallest maps, and a 1 x 1
            convolution joins both (Reed et al. 2016, Sec. 4.1, arXiv:1605.05396). "projection": v_c^T phi(x) is added
            to the logit, where phi(x) is the sum over the smallest maps and v_c a linear function of the condition's
            vector (Miyato & Koyama 2018, Sec. 3, arXiv:1802.05637).
        downsample: how maps are halved: by "strided" 4 x 4 convolutions as in the paper, or by the "max" of 2 x 2
            places behind a 3 x 3 convolution, as was usual before it.
    """

    def __init__(
        self,
        size: Size,
        channels: Channels = 3,
        width: Channels = 64,
        norm: DiscriminatorNorm = "batch",
        spectral: bool = False,
        encoder: Encoder | None = None,
        joining: Joining = "concat",
        downsample: Downsample = "strided",
    ) -> None:
        super().__init__()
        first, maps = size >> halvings(size), channels_of(size, width)
        e_width = encoder.width if encoder else 0
        kernel, stride = (4, 2) if downsample == "strided" else (3, 1)
        body: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise([channels, *maps])):
            normalized = number > 0
            bias = not normalized or norm != "batch"
            body += [nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=bias)]
            body += [discriminator_normalization(norm, outputs)] if normalized else []
            body += [nn.LeakyReLU(0.2)]
            body += [nn.MaxPool2d(2)] if downsample == "max" else []
        self.body = nn.Sequential(*body)
        self.join = self.projection = None
        if encoder is not None and joining == "concat":
            self.join = nn.Sequential(nn.Conv2d(maps[-1] + e_width, maps[-1], 1), nn.LeakyReLU(0.2))
        elif encoder is not None:
            self.projection = nn.Linear(e_width, maps[-1], bias=False)
        self.logit = nn.Linear(maps[-1] * first**2, 1)
        init_normal_(self)
        if spectral:
            spectral_norm_(self)
            # D's slope is proportional to the vectors of these. A caption's, a GRU's state, is bounded anyway.
            if isinstance(encoder, ClassEncoder | AttributesEncoder):
                spectral_norm_(encoder)
        self.encoder = encoder  # assigned last: it keeps its own initialisation

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """x (N, channels, size, size) in [-1, 1], c as the encoder takes it (None without one) -> logits (N, 1)."""
        h = self.body(x)
        e = self.encoder(c) if self.encoder is not None else None
        if self.join is not None and e is not None:
            h = self.join(torch.cat([h, e[..., None, None].expand(-1, -1, *h.shape[2:])], 1))
        logit = self.logit(h.flatten(1))
        if self.projection is not None and e is not None:
            logit = logit + (self.projection(e) * h.sum((2, 3))).sum(1, keepdim=True)
        return logit


def discriminator_normalization(kind: DiscriminatorNorm, channels: int) -> nn.Module:
    """Returns the layer that normalises `channels` maps of a discriminator."""
    match kind:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance":
            return InstanceNorm(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "none":
            return nn.Identity()
        case _:
            raise ValueError(f"norm {kind!r} is unknown: expected batch, instance, layer or none")
