"""pix2pix: translation learned from pairs.

Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017
https://arxiv.org/abs/1611.07004

    G* = arg min_G max_D L_cGAN(G, D) + lambda L_L1(G)      (Eq. 4)
    L_cGAN(G, D) = E log D(x, y) + E log(1 - D(x, G(x, z))) (Eq. 1)
    L_L1(G)      = E |y - G(x, z)|                          (Eq. 3)

x is the input (an edge map, a label map), y its partner (the photo). D sees both side by side, and judges whether they
are a pair. The noise z is G's dropout (Sec. 3.1).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from quagga.data.paired import Paired
from quagga.data.transforms.derived_inputs import XAs
from quagga.data.transforms.label_maps import color_label_planes
from quagga.errors import BadInput
from quagga.fields import picture
from quagga.models.joint_pass import joint_pass
from quagga.models.network_mode import Mode, Statistics, apply_in_mode
from quagga.pipelines.core import Adversary, Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.options import PerceptualLoss, TranslationAdversary, TranslationNetworks, check_patches

data = Paired  # opens the training data
defaults = {}  # the schedule's defaults are this paper's, too
shown = "lambda_L1"  # in the short help
PAPER_MODE = Mode(dropout=True, statistics="batch")  # of G when it is not trained, Sec. 3.4


@dataclass
class Pix2Pix:
    """The game of Eq. 4, as `quagga.Game`. Batches hold "x" and "y", (N, C, H, W) in [-1, 1]; each
    row is a pair."""

    G: nn.Module  # {x, z} -> y
    D: nn.Module  # (x, y), side by side as channels -> logits
    adversary: Adversary = Adversary()
    lambda_gan: float = 1.0
    lambda_L1: float = 100.0
    perceptual: PerceptualLoss = PerceptualLoss()
    mode: Mode = PAPER_MODE  # of G when it is not trained
    labels: bool = False  # x holds the planes of a label map
    conditional_discriminator: bool = True  # whether D sees x

    fresh_noise = False  # one pass of G serves both moves, as in the authors' program
    check_size = check_patches

    def __post_init__(self):
        self.generators = {"G": self.G}
        self.discriminators = {"D": self.D} if self.lambda_gan else {}
        self.exports = {"G": Export(self.G, inputs=(picture("x"),), output=picture("y"), mode=self.mode)}
        self.memory = {}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns G(x), (N, C, H, W) in [-1, 1]; the noise z is G's dropout."""
        return {"G(x)": self.G(batch["x"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """D's objective is halved, which slows D down relative to G (Sec. 3.3)."""
        x, real, fake = self.adversary.augment_pairs(batch["x"], batch["y"], fakes["G(x)"], draw)
        real_logits, fake_logits = joint_pass(self.D, self.input_of_D(x, real), self.input_of_D(x, fake))
        terms = {"D": self.adversary.loss.discriminator(real_logits, fake_logits) / 2}  # Eq. 1, for D
        terms |= self.adversary.penalty_term("D", lambda y: self.D(self.input_of_D(x, y)), real, fake, draw)
        return Loss(terms, self.adversary.readings("D", real_logits, fake_logits))

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 4, for G, and the perceptual loss; terms of weight 0 are left out."""
        y, fake = batch["y"], fakes["G(x)"]
        terms: Terms = {}
        if self.lambda_gan:
            loss = self.adversary.loss
            x, real, augmented = self.adversary.augment_pairs(batch["x"], y, fake, draw)
            real_logits = self.D(self.input_of_D(x, real)) if loss.relativistic else None
            fake_logits = self.D(self.input_of_D(x, augmented))
            terms["G"] = self.lambda_gan * loss.generator(fake_logits, real_logits)  # Eq. 1, Sec. 3.3
        if self.lambda_L1:
            terms["L1"] = self.lambda_L1 * l1_loss(fake, y)  # E |y - G(x, z)|, Eq. 3
        return Loss(terms | self.perceptual.terms(fake, y))

    def input_of_D(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns x and y as channels, (N, C + C', H, W), or y alone."""
        return torch.cat([x, y], dim=1) if self.conditional_discriminator else y

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns one strip: x (labels in colours), G(x) in the game's `mode`, and y."""
        x, y = batch["x"], batch["y"]
        shown_x = color_label_planes(x) if self.labels else x
        return {"x to y": {"x": shown_x, "G(x)": apply_in_mode(self.G, x, self.mode), "y": y}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns for held-out pairs: G's error, in a range of 2; its peak signal-to-noise ratio in dB; and the mean
        logit of D for pairs, for G's output, and for x beside the y of another row."""
        x, y = batch["x"], batch["y"]
        fake = apply_in_mode(self.G, x, self.mode)
        terms = {"L1": l1_loss(fake, y), "PSNR": 10 * torch.log10(4 / mse_loss(fake, y))}
        if self.lambda_gan:
            mismatching = {"mismatching": y.roll(1, 0)} if len(y) > 1 else {}
            for name, candidate in {"matching": y, "generated": fake, **mismatching}.items():
                logits = apply_in_mode(self.D, self.input_of_D(x, candidate), Mode(statistics="batch"))
                terms[f"D/{name}"] = logits.mean()
        return terms


def build(
    networks: TranslationNetworks = TranslationNetworks(generator="unet", norm="batch"),
    adversary: TranslationAdversary = Adversary(discriminator="patch"),
    perceptual: PerceptualLoss = PerceptualLoss(),
    *,
    x_channels: int | None = None,
    y_channels: int = 3,
    x_as: XAs = "picture",
    dropout: float = 0.5,
    conditional_discriminator: bool = True,
    lambda_gan: float = 1.0,
    lambda_L1: float = 100.0,
    test_dropout: bool = True,
    test_statistics: Statistics = "batch",
) -> Pix2Pix:
    """Pairs of pictures: edges and photos, label maps and facades (Isola et al. 2017). The defaults are the paper's.

    Args:
        x_channels: channels of x: 3 for colour, 1 for grey; None takes what the data has, or 3.
        y_channels: channels of y.
        x_as: what x is, used to show it: the planes of a label map are shown as colours.
        dropout: share of the values that the U-Net's first three decoder layers drop, its noise z (Sec. 3.1); the
            ResNet has no noise.
        conditional_discriminator: whether D sees x too; without it, as in the paper's ablation (Sec. 4.1), any likely y
            will do.
        lambda_gan: weight of the adversarial loss; at 0 there is no discriminator.
        lambda_L1: weight of the L1 distance to the true y; Eq. 4.
        test_dropout: whether dropout stays on when translating, as in the paper (Sec. 3.4).
        test_statistics: what batch norm takes when translating: "batch", the statistics of the picture itself, as in
            the paper, or "running", the averages of training.
    """
    perceptual.check_channels(y_channels)
    if not (lambda_gan or lambda_L1 or perceptual.lambda_perceptual):
        raise BadInput("G has nothing to learn from: leave lambda_gan, lambda_L1 or lambda_perceptual above 0")
    inputs = 3 if x_channels is None else x_channels
    G = networks.make_generator(inputs, y_channels, dropout=dropout, pads=True)
    D = networks.make_discriminator(y_channels, adversary, before=inputs if conditional_discriminator else 0)
    mode, labels = Mode(test_dropout, test_statistics), x_as == "labels"
    return Pix2Pix(G, D, adversary, lambda_gan, lambda_L1, perceptual, mode, labels, conditional_discriminator)
