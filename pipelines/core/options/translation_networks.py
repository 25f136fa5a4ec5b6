"""The networks of pipelines that make pictures of pictures."""

import warnings
from dataclasses import dataclass
from typing import Literal

from torch import nn

from quagga.errors import BadInput
from quagga.models import Norm, PatchGAN, PixelGAN, ResnetGenerator, UnetGenerator, Upsample
from quagga.models.arguments import MAX_BLOCKS, MAX_CHANNELS, MAX_DEPTH
from quagga.models.pretrained.projected import Judges
from quagga.pipelines.core.game_protocol import Game
from quagga.pipelines.core.option_checks import check_bounds
from quagga.pipelines.core.options.adversary import Adversary


@dataclass(frozen=True)
class TranslationNetworks:
    """Generators x -> y of the same size, and discriminators.

    Args:
        generator: the ResNet of Johnson et al. 2016, as CycleGAN has it, or the U-Net of pix2pix.
        width: channels after a generator's first layer.
        blocks: residual blocks of the ResNet; None takes 9, or 6 below 256 pixels (Zhu et al. 2017, Sec. 7.2). For the
            U-Net: its depth; None takes as many halvings as the crop allows, at most 8 (pix2pix pads other crops than
            powers of 2).
        width_discriminator: channels after the first layer of a PatchGAN or PixelGAN.
        layers: strided layers of the PatchGAN (the PixelGAN has none): 3 judges patches of 70x70 pixels, 2 of 34x34, 1
            of 16x16.
        norm: normalisation in all networks; under a penalty D takes instance norm for batch norm, which mixes rows.
        upsample: transposed convolution (the papers) or nearest-neighbour and convolution (no checkerboard).
        crop_size: side of the training pictures in pixels.
    """

    generator: Literal["resnet", "unet"] = "resnet"
    width: int = 64
    blocks: int | None = None
    width_discriminator: int = 64
    layers: int = 3
    norm: Norm = "instance"
    upsample: Upsample = "transposed"
    crop_size: int = 256

    def __post_init__(self):
        check_bounds(
            (
                ("width", self.width, MAX_CHANNELS),
                ("blocks", self.blocks, MAX_BLOCKS if self.generator == "resnet" else MAX_DEPTH),
                ("width_discriminator", self.width_discriminator, MAX_CHANNELS),
                ("layers", self.layers, 10),
            )
        )

    def make_generator(
        self, x_channels: int, y_channels: int, *, skip: bool = False, dropout: float = 0.0, pads: bool = False
    ) -> nn.Module:
        """Returns a generator (N, x_channels, H, W) -> (N, y_channels, H, W), all in [-1, 1].

        Args:
            x_channels: channels of its input.
            y_channels: channels of its output.
            skip: whether the output of the ResNet is added to its input, of as many channels.
            dropout: U-Net: share of the values that its first three decoder layers drop.
            pads: U-Net, if `blocks` is None: whether it is as deep as if the crop were a power of 2, to which it pads
                others; or only as deep as 2 divides the crop.

        Raises:
            BadInput: there is no such network.
        """
        check_bounds((("x_channels", x_channels, MAX_CHANNELS), ("y_channels", y_channels, MAX_CHANNELS)))
        if skip and (x_channels != y_channels or self.generator != "resnet"):
            raise BadInput("--skip needs the ResNet generator, and X and Y with the same channels: leave it out")
        if not 0 <= dropout < 1:
            raise BadInput(f"dropout is {dropout}: it is a share, from 0 to below 1")
        if self.generator == "resnet":
            blocks = self.blocks if self.blocks is not None else 9 if self.crop_size >= 256 else 6
            return ResnetGenerator(x_channels, y_channels, self.width, blocks, self.norm, self.upsample, skip=skip)
        halvings = (self.crop_size if pads else self.crop_size & -self.crop_size).bit_length() - 1
        depth = self.blocks if self.blocks is not None else max(2, min(8, halvings))
        return UnetGenerator(x_channels, y_channels, self.width, depth, self.norm, dropout, self.upsample)

    def make_discriminator(self, channels: int, adversary: Adversary, before: int = 0) -> nn.Module:
        """Returns a discriminator (N, before + channels, H, W) in [-1, 1] -> logits (N, 1, H', W'), of patches unless
        the adversary says something else. `before`: channels of what it sees beside the picture that it judges."""
        return adversary.judges(lambda: self._own_discriminator(before + channels, adversary), channels, before)

    def _own_discriminator(self, channels: int, adversary: Adversary) -> nn.Module:
        norm = self.norm
        if adversary.penalty != "none" and norm == "batch":
            warnings.warn("under a gradient penalty D takes instance norm: batch norm would mix its rows", stacklevel=2)
            norm = "instance"
        if adversary.discriminator == "pixel":
            return PixelGAN(channels, self.width_discriminator, norm, adversary.spectral)
        if self.crop_size < (least := 3 * 2**self.layers):
            raise BadInput(
                f"patches of {self.layers} --layers need a --crop_size of {least} or more, not {self.crop_size}"
            )
        return PatchGAN(channels, self.width_discriminator, self.layers, norm, adversary.spectral)


def check_patches(game: Game, size: int) -> None:
    """The `check_size` of a game of these networks: all are convolutional, and take pictures of `size` pixels a side.
    Raises ValueError if such a picture holds no patch of a PatchGAN."""
    for D in game.discriminators.values():
        D = D.own if isinstance(D, Judges) else D
        if isinstance(D, PatchGAN) and size < D.least:
            raise ValueError(f"its PatchGAN takes {D.least} pixels or more, or fewer layers")
