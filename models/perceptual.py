"""How different two pictures are to a network that knows many: a perceptual loss.

Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer and Super-Resolution, ECCV 2016, Sec. 3.2
(arXiv:1603.08155), on the features of VGG-16 (Simonyan & Zisserman 2015, arXiv:1409.1556).
"""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from quagga import BadInput

FILE = "vgg16-397923af.pth"  # as torchvision calls its weights
ENDS = (3, 8, 15)  # relu1_2, relu2_2, relu3_3
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures in [0, 1]


class Perceptual(nn.Module):
    """(N, 1 or 3, H, W) twice, in [-1, 1] -> scalar: the mean of |phi_j(a) - phi_j(b)| over pixels, maps and 3 layers
    j.

    The weights are torchvision's, which it has put into torch's hub folder when they were used before; they are read at
    the first call and never downloaded. (Johnson et al. square the difference; taken as it is, single pixels do not
    rule.)

    Raises:
        BadInput: at the first call, if the file is not there or is none of VGG-16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features: nn.Sequential | None = None
        self.scale: tuple[Tensor, Tensor] | None = None  # mean and deviation, where the pictures are

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """a and b, (N, 1 or 3, H, W) in [-1, 1] -> scalar from 0 on; 0 where both are the same.

        Raises:
            BadInput: at the first call, if the weights cannot be read.
        """
        if self.features is None:
            self.features = vgg16(Path(torch.hub.get_dir()) / "checkpoints" / FILE)
        self.features.to(a.device)
        if self.scale is None or (self.scale[0].device, self.scale[0].dtype) != (a.device, a.dtype):
            mean, deviation = (a.new_tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
            self.scale = mean, deviation  # kept, as making them would wait for the device at every step
        mean, deviation = self.scale
        a, b = (((x.expand(-1, 3, -1, -1) + 1) / 2 - mean) / deviation for x in (a, b))
        differences = []
        for place, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if place in ENDS:
                differences.append((a - b).abs().mean())
        return torch.stack(differences).mean()


def vgg16(path: Path) -> nn.Sequential:
    """The layers up to relu3_3, with weights from a file, which do not learn."""
    with torch.device("meta"):
        features = torchvision.models.vgg16(weights=None).features[: ENDS[-1] + 1]
    wanted = {f"features.{name}": name for name in features.state_dict()}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        features.load_state_dict({ours: state[name] for name, ours in wanted.items()}, assign=True)
    except FileNotFoundError:
        raise BadInput(
            f"the perceptual loss needs VGG-16's weights, and {path} is not there: put torchvision's {FILE} into"
            f" {path.parent}, or leave out --lambda_perceptual"
        ) from None
    except Exception as error:  # whatever a damaged or hostile file leads to
        raise BadInput(
            f"{path} holds no weights of VGG-16 ({' '.join(str(error).split())[:100]}): put torchvision's {FILE} there"
        ) from None
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # the maps are compared after the next layer has begun
    return features.float().eval().requires_grad_(False)
