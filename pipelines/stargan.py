"""StarGAN: one generator for many kinds of pictures: the same face with other hair, older, smiling.

Choi, Choi, Kim, Ha, Kim, Choo: StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation, CVPR 2018, https://arxiv.org/abs/1711.09020

    L_D = -L_adv + lambda_cls L_cls^r                                                       (Eq. 5)
    L_G =  L_adv + lambda_cls L_cls^f + lambda_rec L_rec                                    (Eq. 6)

G translates a picture x, whose own label is c', to a label c that is asked for. D tells G(x, c) from real pictures
(D_src) and says which label a picture has (D_cls). Labels are a class or attributes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss

from quagga.data.conditioned import Conditioned
from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.fields import ConditionKind, picture
from quagga.models import StarDiscriminator, StarGenerator, StarJudges, Upsample
from quagga.models.arguments import MAX_BLOCKS
from quagga.pipelines.core import Adversary, Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.losses import at_least_float32
from quagga.pipelines.core.option_checks import check_bounds, check_sizes, refusing_sizes
from quagga.pipelines.core.options import SamplingAdversary
from quagga.pipelines.core.sample_metrics import pass_in_parts

data = Conditioned  # opens the training data
# Sec. 5.3. Its 200 epochs on RaFD are D's; epochs are counted here by G's, a fifth of them.
defaults = {"batch_size": 16, "lr_batch": 16, "lr": 1e-4, "k": 5, "epochs": 40, "flip": True, "samples": 10}
shown = "lambda_rec skip"  # in the short help
PAPERS_ADVERSARY = Adversary("wasserstein", "gradient_penalty")  # Eq. 8, lambda_gp = 10


@dataclass
class StarGAN:
    """The game of Eq. 5 and 6, as `quagga.Game`. Batches hold "x", (N, C, H, W) in [-1, 1], and "c", its own label, the
    paper's c': int64 (N,) classes, or float (N, A) attributes in [0, 1]; and "other", the one asked for, its c."""

    G: nn.Module  # x, c -> x
    D: nn.Module  # x -> logits of D_src (N, 1, h, h), and of D_cls (N, A)
    conditions: Conditions  # the labels' kind and names
    adversary: Adversary = PAPERS_ADVERSARY
    lambda_cls: float = 1.0
    lambda_rec: float = 10.0

    fresh_noise = False  # there is no noise: both moves share the fakes

    def __post_init__(self):
        self.generators, self.discriminators, self.memory = {"G": self.G}, {"D": self.D}, {}
        self.exports = {"G": Export(self.G, (picture("x"), self.conditions.field("c")), output=picture("x"))}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns G(x, c), (N, C, H, W) in [-1, 1]."""
        return {"G(x,c)": self.G(batch["x"], batch["other"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 5. D_cls learns from real pictures alone. (Other objectives than Eq. 8 take the place of L_adv.)"""
        real, fake = self.adversary.augment(batch["x"], draw), self.adversary.augment(fakes["G(x,c)"], draw)
        (real_src, real_cls), (fake_src, _) = self.D(real), self.D(fake)
        adv = self.adversary.loss.discriminator(real_src, fake_src)  # -E D_src(x) + E D_src(G(x, c)), of -L_adv, Eq. 8
        cls = self.lambda_cls * label_loss(real_cls, batch["c"])  # L_cls^r = E [-log D_cls(c'|x)], Eq. 2
        penalty = self.adversary.penalty_term("D", lambda x: self.D(x)[0], real, fake, draw)  # the rest of -L_adv
        return Loss({"D": adv, "cls": cls} | penalty, self.adversary.readings("D", real_src, fake_src))

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 6."""
        x, fake, loss = batch["x"], fakes["G(x,c)"], self.adversary.loss
        real_src = self.D(self.adversary.augment(x, draw))[0] if loss.relativistic else None
        fake_src, fake_cls = self.D(self.adversary.augment(fake, draw))
        adv = loss.generator(fake_src, real_src)  # -E D_src(G(x, c)), of L_adv, Eq. 8
        cls = self.lambda_cls * label_loss(fake_cls, batch["other"])  # L_cls^f = E [-log D_cls(c|G(x, c))], Eq. 3
        rec = l1_loss(self.G(fake, batch["c"]), x)  # L_rec = E |x - G(G(x, c), c')|, Eq. 4
        return Loss({"G": adv, "cls": cls, "rec": self.lambda_rec * rec})

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Measures on held-out pictures "rec", Eq. 4 without its weight; "change", E |G(x, c) - x|; and how often D_cls
        reads a picture's own label ("D_cls/real"), and in G(x, c) the one that was asked for ("D_cls/asked")."""
        x, own, asked = batch["x"], batch["c"], batch["other"]
        fake = pass_in_parts(self.G, x, asked)
        terms = {"rec": l1_loss(pass_in_parts(self.G, fake, own), x), "change": l1_loss(fake, x)}
        return terms | {"D_cls/real": self.accuracy(x, own), "D_cls/asked": self.accuracy(fake, asked)}

    def accuracy(self, x: Tensor, labels: Tensor) -> Tensor:
        """Returns the share of labels that D_cls reads rightly in pictures; each attribute counts."""
        logits = pass_in_parts(lambda x: self.D(x)[1], x)
        return (logits.argmax(1) == labels if labels.ndim == 1 else (logits > 0) == (labels > 0.5)).float().mean()

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns a strip: x, and its translations to the classes, or to the attributes of each of these pictures."""
        x, c = batch["x"], batch["c"]
        labels = torch.arange(self.conditions.count, device=c.device) if c.ndim == 1 else c
        named = {f"G(x, {self.conditions.describe(c.cpu())})": c.expand(len(x), *c.shape) for c in labels}
        return {"x to c": {"x": x} | {name: self.G(x, c) for name, c in list(named.items())[:9]}}


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns E [-log D_cls(c|x)], a scalar, for labels (N,), or (N, A): a sum over attributes, each yes or no."""
    if labels.ndim == 1:
        return cross_entropy(at_least_float32(logits), labels)
    return binary_cross_entropy_with_logits(at_least_float32(logits), labels, reduction="sum") / len(labels)


def build(
    adversary: SamplingAdversary = PAPERS_ADVERSARY,
    *,
    condition: ConditionKind = "class",
    names: list[str] | None = None,
    size: int | None = None,
    x_channels: int | None = None,
    width: int = 64,
    blocks: int = 6,
    upsample: Upsample = "transposed",
    skip: bool = False,
    width_discriminator: int = 64,
    layers: int | None = None,
    lambda_cls: float = 1.0,
    lambda_rec: float = 10.0,
) -> StarGAN:
    """Pictures with a class or attributes: each with another class or other attributes (Choi et al. 2018).

    Args:
        condition: what is known of each picture: its class, or its attributes, numbers from 0 to 1.
        names: the classes or attributes, in order; None takes the data's.
        size: side of the square training pictures in pixels; None takes the data's. Any size is translated.
        x_channels: channels of the pictures: 3 for colour, 1 for grey; None takes the data's.
        width: channels after the generator's first layer.
        blocks: residual blocks of the generator.
        upsample: transposed convolution (the paper) or nearest-neighbour and convolution (no checkerboard).
        skip: whether G's output is added to x: it begins near the identity, and learns what changes. Not in the paper.
        width_discriminator: channels after the discriminator's first layer; each layer doubles them.
        layers: strided layers of the discriminator; None: as many as leave maps of 2 x 2, at most the paper's 6.
        lambda_cls: weight of the loss of labels, on both sides; Eq. 5 and 6.
        lambda_rec: weight of the reconstruction loss; Eq. 6.
    """
    if condition == "caption":
        raise BadInput("stargan takes labels that D can name: say --condition class or --condition attributes")
    if names is None or size is None or x_channels is None:
        raise BadInput("the pictures' names, size and channels are not known: say --names, --size and --x_channels")
    check_sizes(size, None, None, x_channels=x_channels, width=width, width_discriminator=width_discriminator)
    check_bounds([("blocks", blocks, MAX_BLOCKS)])
    conditions, layers = Conditions(condition, names), min(6, size.bit_length() - 2) if layers is None else layers
    with refusing_sizes():
        G = StarGenerator(condition, len(names), x_channels, width, blocks, upsample, skip)
        D = StarDiscriminator(size, len(names), x_channels, width_discriminator, layers, adversary.spectral)
    D = adversary.beside(D, x_channels, StarJudges)
    return StarGAN(G, D, conditions, adversary, lambda_cls, lambda_rec)
