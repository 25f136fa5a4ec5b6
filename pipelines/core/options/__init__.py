"""Options that several pipelines take, in groups: each is a dataclass that checks its options and builds its part.

A pipeline takes the groups that it needs as parameters of its `build`, and passes on what they build.
`quagga.option_groups` makes one flat list of options of them.
"""

from quagga.pipelines.core.options.adversary import Adversary, SamplingAdversary, TranslationAdversary
from quagga.pipelines.core.options.coding_networks import CodingNetworks
from quagga.pipelines.core.options.conditional_networks import ConditionalNetworks
from quagga.pipelines.core.options.feature_losses import FeatureLosses
from quagga.pipelines.core.options.growing_networks import GrowingNetworks
from quagga.pipelines.core.options.inpainting_networks import InpaintingNetworks
from quagga.pipelines.core.options.partners import Partners
from quagga.pipelines.core.options.perceptual_loss import PerceptualLoss
from quagga.pipelines.core.options.sampling_networks import SamplingNetworks
from quagga.pipelines.core.options.translation_networks import TranslationNetworks, check_patches

__all__ = [
    "Adversary",
    "CodingNetworks",
    "ConditionalNetworks",
    "FeatureLosses",
    "GrowingNetworks",
    "InpaintingNetworks",
    "Partners",
    "PerceptualLoss",
    "SamplingAdversary",
    "SamplingNetworks",
    "TranslationAdversary",
    "TranslationNetworks",
    "check_patches",
]
