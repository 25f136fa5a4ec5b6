"""The networks of inpainting."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from quagga.errors import BadInput
from quagga.models import PartialUnet, PatchGAN, PixelGAN
from quagga.models.arguments import MAX_CHANNELS, MAX_DEPTH
from quagga.pipelines.core.option_checks import check_bounds, check_sizes
from quagga.pipelines.core.options.adversary import Adversary


@dataclass(frozen=True)
class InpaintingNetworks:
    """A U-Net of partial convolutions, and a discriminator.

    Args:
        size: side of the square pictures; None takes the data's.
        x_channels: channels of the pictures: 3 for colour, 1 for grey; None takes the data's.
        width: channels of the U-Net's first layer.
        depth: halvings of the U-Net; None takes so many that 2 pixels of `size` are left, at most the paper's 8.
        norm: normalisation in the U-Net.
        width_discriminator: channels after the first layer of a PatchGAN or PixelGAN.
        layers: strided layers of the PatchGAN: 3 judges patches of 70x70 pixels, 2 of 34x34, 1 of 16x16.
    """

    size: int | None = None
    x_channels: int | None = None
    width: int = 64
    depth: int | None = None
    norm: Literal["batch", "none"] = "batch"
    width_discriminator: int = 64
    layers: int = 2

    def __post_init__(self):
        counts = {"width": self.width, "width_discriminator": self.width_discriminator, "x_channels": self.x_channels}
        check_sizes(self.size, None, None, **counts)
        check_bounds((("depth", self.depth, MAX_DEPTH), ("layers", self.layers, 10)))

    @property
    def channels(self) -> int:
        """Channels of the pictures. Raises BadInput if they are not known."""
        if self.x_channels is None:
            raise BadInput("the pictures' channels are not known: say --x_channels 3, or as they are")
        check_bounds((("x_channels", self.x_channels, MAX_CHANNELS),))
        return self.x_channels

    def make_generator(self) -> PartialUnet:
        """Returns a network of pictures (N, C, H, W) in [-1, 1] and masks (N, 1, H, W) -> (N, C, H, W). Raises BadInput
        if the pictures' size is not known."""
        depth = self.depth
        if depth is None:
            if self.size is None:
                raise BadInput("the pictures' size is not known: say --size 256, or --depth 8")
            depth = max(1, min(8, self.size.bit_length() - 2))
        return PartialUnet(self.channels, self.width, depth, self.norm)

    def make_discriminator(self, adversary: Adversary) -> nn.Module:
        """Returns a discriminator (N, C, H, W) in [-1, 1] -> logits (N, 1, H', W') of patches, or what the
        adversary says."""
        return adversary.judges(lambda: self._own_discriminator(adversary), self.channels)

    def _own_discriminator(self, adversary: Adversary) -> nn.Module:
        norm = "none" if adversary.spectral else "instance"  # which mixes no rows, as a penalty needs
        if adversary.discriminator == "pixel":
            return PixelGAN(self.channels, self.width_discriminator, norm, adversary.spectral)
        if self.size is not None and self.size < (least := 3 * 2**self.layers):
            raise BadInput(f"patches of {self.layers} --layers need a --size of {least} or more, not {self.size}")
        return PatchGAN(self.channels, self.width_discriminator, self.layers, norm, adversary.spectral)
