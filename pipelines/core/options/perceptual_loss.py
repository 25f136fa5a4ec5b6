"""The perceptual loss (Johnson et al. 2016): for translations that know what their output should be."""

from dataclasses import dataclass, field

from torch import Tensor

from quagga.errors import BadInput
from quagga.models.pretrained.perceptual import Perceptual
from quagga.pipelines.core.game_protocol import Terms


@dataclass(frozen=True)
class PerceptualLoss:
    """The distance between two pictures in features of VGG-16.

    Args:
        lambda_perceptual: weight of a loss on VGG-16's features; its weights must be in torch's hub folder.
    """

    lambda_perceptual: float = 0.0
    distance: Perceptual = field(default_factory=Perceptual, init=False, repr=False, compare=False)

    def check_channels(self, channels: int) -> None:
        """Raises BadInput if the loss cannot compare pictures of so many channels."""
        if self.lambda_perceptual and channels not in (1, 3):
            raise BadInput(f"VGG-16 takes 1 or 3 channels and y has {channels}: leave out --lambda_perceptual")

    def terms(self, fake: Tensor, y: Tensor) -> Terms:
        """Returns the weighted distance of fakes from y, (N, 1 or 3, H, W) in [-1, 1] each, as the term "perceptual";
        no term at weight 0."""
        return {"perceptual": self.lambda_perceptual * self.distance(fake, y)} if self.lambda_perceptual else {}
