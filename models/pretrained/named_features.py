"""Features by name: of which network trained on ImageNet pictures are seen."""

from typing import Literal, get_args

from quagga.models.pretrained.efficientnet_lite import LiteName, efficientnet_lite
from quagga.models.pretrained.frozen import Frozen
from quagga.models.pretrained.torchvision_features import TorchvisionName, torchvision_features

FeaturesName = Literal[LiteName, TorchvisionName]


def named_features(name: FeaturesName) -> Frozen:
    """Returns four maps of a picture, finest first; twice the same.

    Raises:
        BadInput: the weights are not on this machine.
    """
    return efficientnet_lite(name) if name in get_args(LiteName) else torchvision_features(name)
