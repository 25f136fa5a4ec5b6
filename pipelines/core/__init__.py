"""The minimax game that all pipelines share: its protocol, its trainer, losses, and aids of the discriminator.

`game_protocol` says what a pipeline must provide; `minimax_trainer` trains it; `one_side` is one of its two sides.
Everything that a user's own pipeline needs can be imported from here.
"""

from quagga.models.description.export import Export
from quagga.pipelines.core.diffaugment import DiffAugment
from quagga.pipelines.core.game_protocol import Batch, Draw, Game, Images, Loss, Stateful, Terms
from quagga.pipelines.core.image_pool import ImagePool
from quagga.pipelines.core.losses import OBJECTIVES, penalty, readings
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.options import (
    Adversary,
    ConditionalNetworks,
    Partners,
    PerceptualLoss,
    SamplingNetworks,
    TranslationNetworks,
)
from quagga.pipelines.core.schedule import Schedule

__all__ = [
    "OBJECTIVES",
    "Adversary",
    "Batch",
    "ConditionalNetworks",
    "DiffAugment",
    "Draw",
    "Export",
    "Game",
    "ImagePool",
    "Images",
    "Loss",
    "Partners",
    "PerceptualLoss",
    "SamplingNetworks",
    "Schedule",
    "Stateful",
    "Terms",
    "Trainer",
    "TranslationNetworks",
    "penalty",
    "readings",
]
