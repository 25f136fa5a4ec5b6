"""Features by name: of which network trained on ImageNet pictures are seen."""

from typing import Literal, get_args

from quagga.models.pretrained.efficientnet_lite import LiteName, efficientnet_lite
from quagga.models.pretrained.frozen import Frozen
from quagga.models.pretrained.torchvision_features import TorchvisionName, torchvision_features

FeaturesName = Literal[LiteName, TorchvisionName]


def named_features(name: FeaturesName, option: str = "features", without: str = "leave out --discriminator") -> Frozen:
    """Returns four maps of a picture, finest first; twice the same.

    Args:
        name: which network's.
        option: that chose it, for messages.
        without: what a user does who has no weights, for messages.

    Raises:
        BadInput: the weights are not on this machine.
    """
    if name in get_args(LiteName):
        return efficientnet_lite(name, option, without)
    return torchvision_features(name, option, without)
