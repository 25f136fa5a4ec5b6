"""Inpainting: what is missing in a picture, filled in from what is known.

Liu, Reda, Shih, Wang, Tao, Catanzaro: Image Inpainting for Irregular Holes Using Partial Convolutions, ECCV 2018
https://arxiv.org/abs/1804.07723

    min_G L_valid + 6 L_hole + 0.05 L_perceptual + 120 (L_style_out + L_style_comp) + 0.1 L_tv            (Eq. 7)

The mask M is 1 where a picture I_gt is known and 0 in its holes. G sees known pixels alone and makes I_out, the whole
picture; I_comp is I_gt with the holes of I_out. L_valid and L_hole are the differences of I_out and I_gt outside and
inside of the holes, the next ones those of features and of their correlations, and L_tv keeps neighbours alike where
hole and picture meet. The paper plays without an adversary; here D may judge I_comp (lambda_gan, not in the paper).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from quagga.data.masked import Masked
from quagga.errors import BadInput
from quagga.fields import mask, picture
from quagga.models import Composite
from quagga.models.joint_pass import joint_pass
from quagga.pipelines.core import Adversary, Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.losses import at_least_float32
from quagga.pipelines.core.options import FeatureLosses, InpaintingNetworks, TranslationAdversary, check_patches
from quagga.pipelines.core.sample_metrics import pass_in_parts

data = Masked  # opens the training data
defaults = {"batch_size": 6, "lr_batch": 6, "epochs": 50, "beta1": 0.9, "samples": 8}
shown = "width lambda_gan"  # in the short help


@dataclass
class Inpainting:
    """The game of Eq. 7, as `quagga.Game`. Batches hold "x", (N, C, H, W) in [-1, 1], whole, and "m", (N, 1, H, W), 1
    where a pixel is known and else 0."""

    G: nn.Module  # (x, m) -> I_out, which nothing changes that stands in x where m is 0
    D: nn.Module | None = None  # I_comp -> logits
    losses: FeatureLosses = FeatureLosses("none")
    adversary: Adversary = Adversary()
    lambda_hole: float = 6.0
    lambda_tv: float = 0.1
    lambda_gan: float = 0.0

    fresh_noise = False
    check_size = check_patches

    def __post_init__(self):
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D} if self.D else {}
        x = picture("x")
        self.exports = {"G": Export(Composite(self.G), inputs=(x, mask("m")), output=x)}
        self.memory = {"features": self.losses}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns I_out and I_comp, (N, C, H, W) around [-1, 1]."""
        x, m = batch["x"], batch["m"].to(batch["x"].dtype)
        out = self.G(x, m)
        return {"out": out, "comp": torch.where(m > 0, x, out.to(x.dtype))}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """D, if there is one, tells pictures from filled ones."""
        if self.D is None:
            return Loss({})
        real, fake = self.adversary.augment(batch["x"], draw), self.adversary.augment(fakes["comp"], draw)
        real_logits, fake_logits = joint_pass(self.D, real, fake)
        terms = {"D": self.adversary.loss.discriminator(real_logits, fake_logits)}
        terms |= self.adversary.penalty_term("D", self.D, real, fake, draw)
        return Loss(terms, self.adversary.readings("D", real_logits, fake_logits))

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 7, and the adversary's term; terms of weight 0 are left out."""
        x, m, out, comp = batch["x"], batch["m"], fakes["out"], fakes["comp"]
        error = unit_error(out, x)
        terms = {"valid": (m * error).mean(), "hole": self.lambda_hole * ((1 - m) * error).mean()}
        terms |= self.losses.terms(out, comp, x)  # Eq. 3 to 5
        if self.lambda_tv:
            terms["tv"] = self.lambda_tv * total_variation(comp, m)
        if self.D:
            terms["G"] = self.lambda_gan * self.adversary.generator_loss(self.D, x, comp, draw)
        return Loss(terms)

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns held-out pictures with their holes in grey, filled, and as they are."""
        x, m = batch["x"], batch["m"].to(batch["x"].dtype)
        return {"holes": {"M x": m * x, "I_comp": self.exports["G"].network(x, m), "x": x}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns for held-out pictures, filled, the mean difference in their holes, "L1", and the PSNR of the whole in
        decibels, both in a range of 1."""
        x, m = batch["x"], batch["m"].to(batch["x"].dtype)
        error, holes = unit_error(pass_in_parts(self.exports["G"].network, x, m), x), (1 - m).expand_as(x)
        psnr = -10 * error.square().mean().clamp_min(1e-10).log10()
        return {"L1": (error * holes).sum() / holes.sum().clamp_min(1), "PSNR": psnr}


def unit_error(a: Tensor, b: Tensor) -> Tensor:
    """Returns |a - b| of pictures (N, C, H, W) in [-1, 1], in the range of 1 for which the weights of Eq. 7 are, and in
    float32 at least."""
    return (at_least_float32(a) - at_least_float32(b)).abs() / 2


def total_variation(comp: Tensor, m: Tensor) -> Tensor:
    """Returns the differences of neighbours in I_comp, (N, C, H, W) in [-1, 1], if both are in the holes of m or at
    most a pixel away, added up over both directions and divided by all values of I_comp (Eq. 6)."""
    near = max_pool2d(1 - m, 3, 1, 1)  # P: the holes and the pixels around them
    across = unit_error(comp[..., 1:], comp[..., :-1]) * near[..., 1:] * near[..., :-1]
    down = unit_error(comp[..., 1:, :], comp[..., :-1, :]) * near[..., 1:, :] * near[..., :-1, :]
    return (across.sum() + down.sum()) / comp.numel()


def build(
    networks: InpaintingNetworks,
    losses: FeatureLosses,
    adversary: TranslationAdversary = Adversary(discriminator="patch"),
    *,
    lambda_hole: float = 6.0,
    lambda_tv: float = 0.1,
    lambda_gan: float = 0.0,
) -> Inpainting:
    """One folder of pictures: what is missing in a picture, filled in (Liu et al. 2018).

    Args:
        lambda_hole: weight of the difference in the holes; that of known pixels counts 1.
        lambda_tv: weight of the difference of neighbours in the holes and at their borders.
        lambda_gan: weight of the adversarial loss of filled pictures; 0 plays without a discriminator, as the paper.
    """
    for name, value in (("lambda_hole", lambda_hole), ("lambda_tv", lambda_tv), ("lambda_gan", lambda_gan)):
        if not value >= 0:
            raise BadInput(f"{name} is {value}: it must be 0 or more")
    losses.check_channels(networks.channels)
    G = networks.make_generator()
    D = networks.make_discriminator(adversary) if lambda_gan else None
    return Inpainting(G, D, losses, adversary, lambda_hole, lambda_tv, lambda_gan)
