"""CycleGAN: translation between two kinds of pictures without pairs.

Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017
https://arxiv.org/abs/1703.10593

    L(G, F, D_X, D_Y) = L_GAN(G, D_Y, X, Y) + L_GAN(F, D_X, Y, X) + lambda L_cyc(G, F)      (Eq. 3)

G: X -> Y makes zebras of horses and F: Y -> X makes horses of zebras; D_Y tells zebras from G(x), D_X tells horses
from F(y).

Pictures with partners are compared with them instead of with their way back, see `Partners` (not in the paper).
"""

import warnings
from dataclasses import dataclass

from torch import nn
from torch.nn.functional import l1_loss

from quagga.data.unpaired import Unpaired
from quagga.fields import picture
from quagga.models.joint_pass import joint_pass
from quagga.pipelines.core import Batch, Draw, Export, ImagePool, Images, Loss, Terms
from quagga.pipelines.core.options import Adversary, Partners, TranslationAdversary, TranslationNetworks, check_patches
from quagga.pipelines.core.options.partners import held_out_distances, unpaired_distance
from quagga.pipelines.core.sample_metrics import distance_in_parts

data = Unpaired  # opens the training data
defaults = {}  # the schedule's defaults are this paper's
shown = "lambda_cycle lambda_identity diffaugment"  # in the short help
PAPERS_ADVERSARY = Adversary("least_squares", discriminator="patch")  # Sec. 4


@dataclass
class CycleGAN:
    """The game of Eq. 3, as `quagga.Game`. Batches hold "x" and "y", (N, C, H, W) in [-1, 1], and
    perhaps "paired", bool (N,): the rows in which x and y are partners."""

    G: nn.Module  # X -> Y
    F: nn.Module  # Y -> X
    D_X: nn.Module
    D_Y: nn.Module
    adversary: Adversary = PAPERS_ADVERSARY
    lambda_cycle: float = 10.0
    lambda_identity: float = 0.5
    partners: Partners = Partners()
    pool_size: int = 50

    fresh_noise = False  # there is no noise: both moves share the fakes
    check_size = check_patches

    def __post_init__(self):
        self.generators = {"G": self.G, "F": self.F}
        self.discriminators = {"D_X": self.D_X, "D_Y": self.D_Y}
        x, y = picture("x"), picture("y")
        self.exports = {"G": Export(self.G, inputs=(x,), output=y), "F": Export(self.F, inputs=(y,), output=x)}
        self.pool_X, self.pool_Y = ImagePool(self.pool_size), ImagePool(self.pool_size)
        self.memory = {"pool_X": self.pool_X, "pool_Y": self.pool_Y}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns both translations, (N, C, H, W) in [-1, 1]."""
        return {"G(x)": self.G(batch["x"]), "F(y)": self.F(batch["y"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Each D's objective is halved, which slows D down relative to G (Sec. 7.1); fakes come from the pool (Sec.
        4)."""
        sides = (
            ("D_Y", self.D_Y, batch["y"], self.pool_Y(fakes["G(x)"], draw)),
            ("D_X", self.D_X, batch["x"], self.pool_X(fakes["F(y)"], draw)),
        )
        terms, readings = Terms(), Terms()
        for name, D, real, fake in sides:
            real, fake = self.adversary.augment(real, draw), self.adversary.augment(fake, draw)
            real_logits, fake_logits = joint_pass(D, real, fake)
            terms[name] = self.adversary.loss.discriminator(real_logits, fake_logits) / 2  # L_GAN, Eq. 1
            terms |= self.adversary.penalty_term(name, D, real, fake, draw)
            readings |= self.adversary.readings(name, real_logits, fake_logits)
        return Loss(terms, readings)

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 3, for G and F, and the identity loss (Sec. 5.2). Rows with partners are compared with these, and do not
        count in the cycle's mean. Cycle and identity are left out at weight 0."""
        x, y, fake_y, fake_x = batch["x"], batch["y"], fakes["G(x)"], fakes["F(y)"]
        terms = {
            "G": self.adversary.generator_loss(self.D_Y, y, fake_y, draw),  # L_GAN(G, D_Y, X, Y), Eq. 1
            "F": self.adversary.generator_loss(self.D_X, x, fake_x, draw),  # L_GAN(F, D_X, Y, X)
        }
        weight = self.lambda_identity * self.lambda_cycle
        if self.lambda_cycle:
            identity_x, identity_y = ([x], [y]) if weight else ([], [])
            FG_x, *F_x = joint_pass(self.F, fake_y, *identity_x)
            GF_y, *G_y = joint_pass(self.G, fake_x, *identity_y)
            terms["cycle_x"] = self.lambda_cycle * unpaired_distance(FG_x, x, batch)  # E |F(G(x)) - x|, Eq. 2
            terms["cycle_y"] = self.lambda_cycle * unpaired_distance(GF_y, y, batch)  # E |G(F(y)) - y|
            if weight:
                terms["identity_y"] = weight * l1_loss(G_y[0], y)  # E |G(y) - y|, Sec. 5.2
                terms["identity_x"] = weight * l1_loss(F_x[0], x)  # E |F(x) - x|
        return Loss(terms | self.partners.terms(batch, paired_y=(fake_y, y), paired_x=(fake_x, x)))

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns a strip for each direction: a picture, its translation, and the way back."""
        x, y = batch["x"], batch["y"]
        fake_y, fake_x = self.G(x), self.F(y)
        return {
            "x to y": {"x": x, "G(x)": fake_y, "F(G(x))": self.F(fake_y)},
            "y to x": {"y": y, "F(y)": fake_x, "G(F(y))": self.G(fake_x)},
        }

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns Eq. 2 on held-out pictures, without its weight, and the distances of pairs from their partners."""
        x, y = batch["x"], batch["y"]
        return {
            "cycle_x": distance_in_parts(lambda x: self.F(self.G(x)), x, x),
            "cycle_y": distance_in_parts(lambda y: self.G(self.F(y)), y, y),
            **held_out_distances(batch, paired_y=(self.G, x, y), paired_x=(self.F, y, x)),
        }


def build(
    networks: TranslationNetworks,
    adversary: TranslationAdversary = PAPERS_ADVERSARY,
    partners: Partners = Partners(),
    *,
    x_channels: int = 3,
    y_channels: int = 3,
    skip: bool = False,
    lambda_cycle: float = 10.0,
    lambda_identity: float = 0.5,
    pool_size: int = 50,
) -> CycleGAN:
    """Two folders of pictures, unpaired: horses to zebras and back (Zhu et al. 2017). The defaults are the paper's.

    Args:
        x_channels: channels of the pictures of X: 3 for colour, 1 for grey.
        y_channels: channels of the pictures of Y.
        skip: whether the ResNet's output is added to its input: it begins near the identity and learns only what
            changes. Not in the paper; X and Y must have the same channels.
        lambda_cycle: weight of the cycle-consistency loss; Eq. 2.
        lambda_identity: weight of the identity loss, keeps colours; relative to lambda_cycle: with that at 0 there is
            none (Sec. 5.2). It is left out where X and Y have different channels.
        pool_size: old fakes kept for each discriminator; 0 shows it the newest only.
    """
    if x_channels != y_channels and lambda_identity:
        warnings.warn(f"X has {x_channels} channels and Y {y_channels}: the identity loss is left out", stacklevel=2)
        lambda_identity = 0.0
    G = networks.make_generator(x_channels, y_channels, skip=skip)
    F = networks.make_generator(y_channels, x_channels, skip=skip)
    D_X = networks.make_discriminator(x_channels, adversary)
    D_Y = networks.make_discriminator(y_channels, adversary)
    return CycleGAN(G, F, D_X, D_Y, adversary, lambda_cycle, lambda_identity, partners, pool_size)
