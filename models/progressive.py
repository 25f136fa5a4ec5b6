"""Generator and discriminator that grow: pictures of 4 x 4 at first, doubled until they have their size.

Karras, Aila, Laine, Lehtinen: "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018,
Sec. 2, 4 and Table 2 (arXiv:1710.10196). A map of s pixels has 512 channels up to s = 32, and 16,384 / s above:

    G   z on a sphere, c4-512, c3-512, then for each size  up 2, c3-C, c3-C             and c1-3 to a picture
    D   c1-C from a picture, for each size  c3-C, c3-C', down 2, then  deviation, c3-512, c4-512, a logit

c3-C is an equalised 3 x 3 convolution to C maps with leaky ReLU 0.2, in G followed by pixelwise normalisation; up
repeats each pixel 2 x 2, down is their mean. Each size has its own c1: while a size is new, the picture that the size
before would make (or see) is blended in, with weight 1 - alpha (Fig. 2).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quagga.models.arguments import MAX_SIZE, Channels, Size, remembers_arguments
from quagga.models.blocks.layers import spectral_norm_

EPSILON = 1e-8
FIRST = 4  # pixels a side of the smallest pictures
GAIN = 2**0.5  # before a leaky ReLU (He et al. 2015, arXiv:1502.01852, Eq. 10)


def sides(size: int) -> list[int]:
    """Returns the sides of the pictures on the way to `size` pixels: 4, 8, ..., size.

    Raises ValueError if that is not 4, doubled up to eight times.
    """
    every = [FIRST << doubled for doubled in range((MAX_SIZE // FIRST).bit_length())]
    if size not in every:
        raise ValueError(f"pictures of {size} pixels are not 4, doubled: expected {', '.join(map(str, every))}")
    return every[: every.index(size) + 1]


def channels_at(side: int, width: int, wide_until: int) -> int:
    """Returns the channels of the maps of `side` pixels: `width` up to `wide_until`, then half for each doubling."""
    return max(1, min(width, width * wide_until // side))


class EqualizedConv2d(nn.Conv2d):
    """A convolution whose weights are N(0, 1) at first, and are scaled in every pass by He's constant, gain /
    sqrt(inputs): so every layer learns at the same speed under Adam (Sec. 4.1). Its parameters are those of a
    convolution.

    Args:
        inputs, outputs: channels.
        kernel: pixels a side.
        padding: pixels of zeros around.
        gain: what the nonlinearity behind it takes away; 1 where there is none.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int = 0, gain: float = GAIN) -> None:
        super().__init__(inputs, outputs, kernel, padding=padding)
        self.scale = gain * (inputs * kernel**2) ** -0.5
        if not self.weight.is_meta and self.bias is not None:
            nn.init.normal_(self.weight)
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        return F.conv2d(input, self.weight * self.scale, self.bias, padding=self.padding)


def pixel_norm(x: Tensor) -> Tensor:
    """Scales the vector of every pixel, (N, C, ...), to a mean square of 1 over C (Sec. 4.2)."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + EPSILON)).to(x.dtype)


def enlarged(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W): each pixel 2 x 2 times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def reduced(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H / 2, W / 2): the mean of each 2 x 2 pixels."""
    return F.avg_pool2d(x, 2)


def blended(before: Tensor, new: Tensor, alpha: Tensor) -> Tensor:
    """Returns (1 - alpha) before + alpha new, for alpha () in [0, 1]."""
    return before + alpha * (new - before)


class MinibatchDeviation(nn.Module):
    """Adds a map that holds one number, how much the pictures of a group differ: the standard deviation of each feature
    over the group, the mean over features and places (Sec. 3). So D sees that fakes are too much alike.

    A group is of consecutive rows, not of every so-manieth as in the authors' program: batches of whole groups then
    give the same however they are split over micro-batches and processes. What is left makes a smaller group.

    Args:
        group: rows of a group.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + 1, H, W)."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        whole = len(x) - len(x) % self.group
        parts = [part for part in (wide[:whole], wide[whole:]) if len(part)]
        deviations = [self._deviation(part, min(self.group, len(part))) for part in parts]
        return torch.cat([x, torch.cat(deviations).to(x.dtype).expand(-1, 1, *x.shape[2:])], 1)

    @staticmethod
    def _deviation(x: Tensor, group: int) -> Tensor:
        """(N, C, H, W) of whole groups -> (N, 1, 1, 1)."""
        groups = x.unflatten(0, (-1, group))
        variance = (groups - groups.mean(1, keepdim=True)).square().mean(1)
        return (variance + EPSILON).sqrt().mean((1, 2, 3)).repeat_interleave(group)[:, None, None, None]

    def extra_repr(self) -> str:
        """The group, for `repr`."""
        return f"group={self.group}"


@remembers_arguments
class ProgressiveGenerator(nn.Module):
    """Noise z (N, z_size) -> pictures (N, channels, side, side), of any side on the way to `size`.

    How far it has grown is in its state: two buffers, `side` and `alpha`, that `grow` sets. A saved one makes pictures
    of that side, blended as they were when it was saved. A new one makes pictures of its size.

    Args:
        size: side of the pictures in the end: 4, doubled up to eight times.
        channels: of the pictures.
        z_size: numbers of noise.
        width: channels of the maps of up to `wide_until` pixels; larger maps have half as many for each doubling.
        wide_until: see there.
    """

    side: Tensor
    alpha: Tensor

    def __init__(
        self, size: Size, channels: Channels = 3, z_size: Channels = 512, width: Channels = 512, wide_until: Size = 32
    ) -> None:
        super().__init__()
        self.sides = sides(size)
        maps = [channels_at(side, width, wide_until) for side in self.sides]
        self.first = nn.ModuleList([EqualizedConv2d(z_size, maps[0], 4, 3), EqualizedConv2d(maps[0], maps[0], 3, 1)])
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualizedConv2d(inputs, outputs, 3, 1), EqualizedConv2d(outputs, outputs, 3, 1)])
            for inputs, outputs in pairwise(maps)
        )
        self.to_picture = nn.ModuleList(EqualizedConv2d(count, channels, 1, gain=1.0) for count in maps)
        self.register_buffer("side", torch.tensor(size))
        self.register_buffer("alpha", torch.tensor(1.0))

    def grow(self, side: int, alpha: Tensor | None) -> None:
        """Sets what `forward(z)` makes: pictures of `side` pixels, of which the largest layers count alpha; None: 1."""
        self.side.fill_(side)
        if alpha is None:
            self.alpha.fill_(1.0)
        else:
            self.alpha.copy_(alpha)

    def forward(self, z: Tensor, side: int | None = None, alpha: Tensor | None = None) -> Tensor:
        """Makes pictures.

        Args:
            z: (N, z_size); its length does not count.
            side: of the pictures, in pixels. None: as far as it has grown, with the alpha of then, and clipped to [-1,
                1]; else they are what the last layer gives, which is linear.
            alpha: () in [0, 1], weight of the layers of that side; None: 1.

        Returns:
            (N, channels, side, side) around [-1, 1].

        Raises:
            ValueError: it does not grow through pictures of that side.
        """
        if side is None:
            fading = self.alpha if self.alpha < 1 else None
            return self.forward(z, int(self.side), fading).clamp(-1, 1)
        if side not in self.sides:
            raise ValueError(f"it grows through {self.sides} pixels, not {side}")
        h = pixel_norm(z)[..., None, None]
        h = self._convolved(self.first, h)
        before, level = h, self.sides.index(side)
        for block in self.blocks[:level]:
            before, h = h, self._convolved(block, enlarged(h))
        x = self.to_picture[level](h)
        if alpha is None or not level:
            return x
        return blended(enlarged(self.to_picture[level - 1](before)), x, alpha)

    @staticmethod
    def _convolved(layers: nn.Module, h: Tensor) -> Tensor:
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            h = pixel_norm(F.leaky_relu(layer(h), 0.2))
        return h


@remembers_arguments
class ProgressiveDiscriminator(nn.Module):
    """Pictures (N, channels, side, side) in [-1, 1], of any side on the way to `size` -> logits (N, 1).

    Args:
        size: largest side of the pictures: 4, doubled up to eight times.
        channels: of the pictures.
        width: channels of the maps of up to `wide_until` pixels; larger maps have half as many for each doubling.
        wide_until: see there.
        group: rows of which the minibatch's standard deviation is taken; 1: it has no such map.
        spectral: weights are divided by their largest singular value (Miyato et al. 2018), in place of He's constant.
    """

    def __init__(
        self,
        size: Size,
        channels: Channels = 3,
        width: Channels = 512,
        wide_until: Size = 32,
        group: Channels = 4,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.sides = sides(size)
        maps = [channels_at(side, width, wide_until) for side in self.sides]
        self.from_picture = nn.ModuleList(EqualizedConv2d(channels, count, 1) for count in maps)
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualizedConv2d(inputs, inputs, 3, 1), EqualizedConv2d(inputs, outputs, 3, 1)])
            for outputs, inputs in pairwise(maps)
        )
        self.deviation = MinibatchDeviation(group) if group > 1 else nn.Identity()
        seen = maps[0] + (group > 1)
        self.last = nn.ModuleList([EqualizedConv2d(seen, maps[0], 3, 1), EqualizedConv2d(maps[0], maps[0], 4)])
        self.logit = EqualizedConv2d(maps[0], 1, 1, gain=1.0)
        if spectral:
            spectral_norm_(self)
            for layer in self.modules():
                if isinstance(layer, EqualizedConv2d):
                    layer.scale = 1.0

    def forward(self, x: Tensor, alpha: Tensor | None = None) -> Tensor:
        """Judges pictures.

        Args:
            x: (N, channels, side, side) around [-1, 1].
            alpha: () in [0, 1], weight of the layers of that side; None: 1.

        Returns:
            Logits (N, 1).

        Raises:
            ValueError: it does not grow through pictures of that side.
        """
        if x.shape[-1] not in self.sides:
            raise ValueError(f"it grows through {self.sides} pixels, not {x.shape[-1]}")
        level = self.sides.index(x.shape[-1])
        h = F.leaky_relu(self.from_picture[level](x), 0.2)
        for k in reversed(range(level)):
            h = reduced(self._convolved(self.blocks[k], h))
            if alpha is not None and k == level - 1:
                h = blended(F.leaky_relu(self.from_picture[k](reduced(x)), 0.2), h, alpha)
        return self.logit(self._convolved(self.last, self.deviation(h))).flatten(1)

    @staticmethod
    def _convolved(layers: nn.Module, h: Tensor) -> Tensor:
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            h = F.leaky_relu(layer(h), 0.2)
        return h
