"""A perceptual loss: how different two pictures are to a network trained on many.

Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer and Super-Resolution, ECCV 2016, Sec. 3.2
(arXiv:1603.08155), on the features of VGG-16 (Simonyan & Zisserman 2015, arXiv:1409.1556).
"""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from quagga.errors import BadInput, one_line
from quagga.models.pretrained.imagenet import DEVIATION, MEAN, hub_file

WEIGHTS_FILE = "vgg16-397923af.pth"  # as torchvision calls its weights
FEATURE_LAYERS = (3, 8, 15)  # relu1_2, relu2_2, relu3_3


class Perceptual(nn.Module):
    """(N, 1 or 3, H, W) twice, in [-1, 1] -> scalar: the mean of |phi_j(a) - phi_j(b)| over pixels, maps and 3 layers
    j.

    The weights are torchvision's, which stores them in torch's hub folder when they are used; here they are read at the
    first call and never downloaded. (Johnson et al. square the difference; unsquared, single pixels do not dominate.)

    Raises:
        BadInput: at the first call, if the file is missing or does not hold VGG-16's weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features: nn.Sequential | None = None
        self.scale: tuple[Tensor, Tensor] | None = None  # mean and deviation, on the pictures' device

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """a and b, (N, 1 or 3, H, W) in [-1, 1] -> scalar from 0 on; 0 where both are the same.

        Raises:
            BadInput: at the first call, if the weights cannot be read.
        """
        if self.features is None:
            self.features = vgg16(hub_file(WEIGHTS_FILE))
        self.features.to(a.device)
        if self.scale is None or (self.scale[0].device, self.scale[0].dtype) != (a.device, a.dtype):
            mean, deviation = (a.new_tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
            self.scale = mean, deviation  # stored, since creating them would wait for the device at every step
        mean, deviation = self.scale
        a, b = (((x.expand(-1, 3, -1, -1) + 1) / 2 - mean) / deviation for x in (a, b))
        differences = []
        for place, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if place in FEATURE_LAYERS:
                differences.append((a - b).abs().mean())
        return torch.stack(differences).mean()


def vgg16(path: Path, last: int = FEATURE_LAYERS[-1], without: str = "leave out --lambda_perceptual") -> nn.Sequential:
    """Returns the layers up to relu3_3, or up to the one of number `last`, with frozen weights from a file.

    Args:
        path: the file.
        last: number of a layer.
        without: what a user does who has no weights, for messages.

    Raises:
        BadInput: the file is missing or does not hold VGG-16's weights.
    """
    with torch.device("meta"):
        layers = torchvision.models.vgg16(weights=None).features.children()
        features = nn.Sequential(*list(layers)[: last + 1])
    wanted = {f"features.{name}": name for name in features.state_dict()}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        features.load_state_dict({own: state[name] for name, own in wanted.items()}, assign=True)
    except FileNotFoundError:
        raise BadInput(
            f"the perceptual loss needs VGG-16's weights, and {path} is not there: put torchvision's"
            f" {WEIGHTS_FILE} into {path.parent}, or {without}"
        ) from None
    except Exception as error:  # any error that a damaged or hostile file can cause
        raise BadInput(
            f"{path} holds no weights of VGG-16 ({one_line(error, 100)}): put torchvision's {WEIGHTS_FILE} there"
        ) from None
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # the maps are compared after the next layer has used them
    return features.float().eval().requires_grad_(False)
