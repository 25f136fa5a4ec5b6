"""Torchvision's networks of ImageNet as sources of features: four maps of a picture.

Their weights are read where torchvision itself stores them, in torch's hub folder, and never downloaded here.
"""

import hashlib
from functools import cache
from io import BytesIO
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from quagga.errors import BadInput, one_line
from quagga.models.pretrained.frozen import Frozen
from quagga.models.pretrained.imagenet import DEVIATION, MEAN, hub_file

TorchvisionName = Literal["resnet18", "resnet50", "efficientnet_b0", "convnext_tiny"]

NODES: dict[str, tuple[str, ...]] = {  # whose maps have a 4th, 8th, 16th and 32nd of a picture's size
    "resnet18": ("layer1", "layer2", "layer3", "layer4"),
    "resnet50": ("layer1", "layer2", "layer3", "layer4"),
    "efficientnet_b0": ("features.2", "features.3", "features.5", "features.7"),
    "convnext_tiny": ("features.1", "features.3", "features.5", "features.7"),
}
DRAWN, SIZE = 16, 128  # pictures by which maps are scaled, and their pixels a side


class TorchvisionFeatures(nn.Module):
    """Pictures (N, 3, H, W) in [-1, 1] -> four maps (N, C, h, w), finest first, h = H / 4, H / 8, / 16 and / 32, each
    channel with about mean 0 and deviation 1.

    Args:
        network: one of torchvision's, see `NODES`.
        nodes: names of the nodes whose maps are taken.
    """

    def __init__(self, network: nn.Module, nodes: tuple[str, ...]) -> None:
        super().__init__()
        self.maps = create_feature_extractor(network.eval(), list(nodes))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        with torch.no_grad():
            found = self.of(pictures_like_photos(DRAWN, SIZE))
        self.channels = [m.shape[1] for m in found]
        for place, m in enumerate(found):
            deviation, mean = torch.std_mean(m, (0, 2, 3))
            self.register_buffer(f"mean{place}", mean[:, None, None], persistent=False)
            # A channel that such pictures leave at rest is not made a thousand times louder than the others.
            self.register_buffer(
                f"deviation{place}", deviation.clamp(min=deviation.mean().item() / 10)[:, None, None], persistent=False
            )

    def of(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> the four maps as they come."""
        x = ((x + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("deviation")
        return list(self.maps(x).values())

    def forward(self, x: Tensor) -> list[Tensor]:
        """See the class."""
        return [
            (m - self.get_buffer(f"mean{place}")) / self.get_buffer(f"deviation{place}")
            for place, m in enumerate(self.of(x))
        ]


def pictures_like_photos(count: int, size: int) -> Tensor:
    """Returns drawn pictures with the spectrum of photographs, whose amplitude falls as 1 / frequency (Field 1987,
    https://doi.org/10.1364/JOSAA.4.002379): (count, 3, size, size) in [-1, 1], always the same.

    These networks do not know the deviation of their maps, as batch normalisation would, so it is measured on these.
    """
    noise = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :])
    spectrum = torch.fft.rfft2(noise) / frequency.clamp(min=1 / size)
    x = torch.fft.irfft2(spectrum, s=(size, size))
    return (x / (3 * x.std((1, 2, 3), keepdim=True))).clamp(-1, 1)


@cache
def torchvision_features(
    name: TorchvisionName, option: str = "features", without: str = "leave out --discriminator"
) -> Frozen:
    """Returns the features of one of torchvision's networks, with ImageNet's weights; twice the same.

    Args:
        name: which one.
        option: that chose it, for messages.
        without: what a user does who has no weights, for messages.

    Raises:
        BadInput: the file of its weights is not in torch's hub folder, or holds something else.
    """
    file = models.get_model_weights(name)["IMAGENET1K_V1"].url.rpartition("/")[2]
    path = hub_file(file)
    with torch.device("cpu"):  # also where a game is made on "meta" to be counted
        network = models.get_model(name, weights=None)
        try:
            content = path.read_bytes()
            network.load_state_dict(torch.load(BytesIO(content), map_location="cpu", weights_only=True))
        except FileNotFoundError:
            raise BadInput(
                f"--{option} {name} needs torchvision's weights, and {path} is not there: python -c \"import"
                f" torchvision; torchvision.models.{name}(weights='IMAGENET1K_V1')\" downloads them, or {without}"
            ) from None
        except Exception as error:  # any error that a damaged or hostile file can cause
            raise BadInput(f"{path} holds no weights of {name}, download it again ({one_line(error, 100)})") from None
        features = TorchvisionFeatures(network, NODES[name])
    sha256 = hashlib.sha256(content).hexdigest()
    return Frozen(features, features.channels, f"{name}, ImageNet weights of torchvision (BSD-3-Clause)", sha256)
