"""The maps of VGG-16 after its first three poolings, as losses compare them (Liu et al. 2018, arXiv:1804.07723, Sec.
3.3)."""

import hashlib
from functools import cache

import torch
from torch import Tensor, nn

from quagga.models.pretrained.frozen import Frozen
from quagga.models.pretrained.imagenet import DEVIATION, MEAN, hub_file
from quagga.models.pretrained.perceptual import WEIGHTS_FILE, vgg16

POOLS = (4, 9, 16)  # places of the poolings among the layers
CHANNELS = (64, 128, 256)


class VGGPools(nn.Module):
    """Pictures (N, 3, H, W) in [-1, 1] -> three maps, as they are in VGG-16: (N, 64, H // 2, W // 2), (N, 128, H // 4,
    W // 4) and (N, 256, H // 8, W // 8), 0 or more.

    Args:
        layers: of VGG-16, up to the third pooling.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1], of 8 pixels a side or more -> three maps, finest first."""
        h, maps = ((x + 1) / 2 - self.mean) / self.deviation, []
        for place, layer in enumerate(self.layers):
            h = layer(h)
            if place in POOLS:
                maps.append(h)
        return maps


@cache
def vgg_pools(without: str) -> Frozen:
    """Returns the maps, with torchvision's weights, which are read where torch keeps them and never downloaded.

    Args:
        without: what a user does who has no weights, for messages.

    Raises:
        BadInput: the weights are not there, or their file holds something else.
    """
    path = hub_file(WEIGHTS_FILE)
    with torch.device("cpu"):  # also where a game is made on "meta" to be counted
        network = VGGPools(vgg16(path, POOLS[-1], without))
    with path.open("rb") as file:  # half a gigabyte, which need not be in memory at once
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Frozen(network, CHANNELS, f"VGG-16, {WEIGHTS_FILE}", sha256)
