"""CUT: translation from one kind of pictures to another without pairs, in one direction.

Park, Efros, Zhang, Zhu: Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020
https://arxiv.org/abs/2007.15651

    L_GAN(G, D, X, Y) + lambda_X L_PatchNCE(G, H, X) + lambda_Y L_PatchNCE(G, H, Y)         (Eq. 5)

G makes zebras of horses, and D tells zebras from G(x). Instead of a way back, PatchNCE holds each place of G(x) to that
of x, which must be recognised among all places of the picture. G's own encoder and small heads H compare them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput
from quagga.fields import picture
from quagga.models import ResnetGenerator
from quagga.models.arguments import MAX_CHANNELS, MAX_UNITS
from quagga.models.blocks.projection_heads import ProjectionHeads
from quagga.models.joint_pass import joint_pass
from quagga.models.network_mode import evaluation_logits
from quagga.option_groups import Choices
from quagga.pipelines.core import Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.losses import patch_nce
from quagga.pipelines.core.option_checks import check_bounds
from quagga.pipelines.core.options import Adversary, Partners, TranslationAdversary, TranslationNetworks, check_patches
from quagga.pipelines.core.options.partners import held_out_distances
from quagga.pipelines.core.sample_metrics import distance_in_parts

data = Unpaired  # opens the training data
defaults = {"epochs": 400}  # the authors'; FastCUT takes half of them
shown = "lambda_X lambda_Y diffaugment"  # in the short help
PAPERS_ADVERSARY = Adversary("least_squares", discriminator="patch")  # as CycleGAN's


@dataclass
class CUT:
    """The game of Eq. 5, as `quagga.Game`. Batches hold "x" and "y", (N, C, H, W) in [-1, 1], and perhaps "paired",
    bool (N,): the rows in which x and y are partners."""

    G: ResnetGenerator  # X -> Y
    H: ProjectionHeads
    D: nn.Module  # of Y
    layers: Sequence[int]  # of G, whose maps are compared beside the picture itself
    adversary: Adversary = PAPERS_ADVERSARY
    lambda_X: float = 1.0
    lambda_Y: float = 1.0
    tau: float = 0.07
    patches: int = 256
    partners: Partners = Partners()

    fresh_noise = False  # there is no noise: both moves share the fakes
    check_size = check_patches

    def __post_init__(self):
        self.generators, self.discriminators = {"G": self.G, "H": self.H}, {"D": self.D}
        self.exports = {"G": Export(self.G, inputs=(picture("x"),), output=picture("y"))}
        self.memory = {}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns the translations, (N, C, H, W) in [-1, 1]."""
        return {"G(x)": self.G(batch["x"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """D's objective is halved, as in CycleGAN."""
        real, fake = self.adversary.augment(batch["y"], draw), self.adversary.augment(fakes["G(x)"], draw)
        real_logits, fake_logits = joint_pass(self.D, real, fake)
        terms = {"D": self.adversary.loss.discriminator(real_logits, fake_logits) / 2}  # L_GAN, Eq. 1
        terms |= self.adversary.penalty_term("D", self.D, real, fake, draw)
        return Loss(terms, self.adversary.readings("D", real_logits, fake_logits))

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 5, for G and H, and the distance of pairs; terms of weight 0 are left out."""
        x, y, fake = batch["x"], batch["y"], fakes["G(x)"]
        terms = {"G": self.adversary.generator_loss(self.D, y, fake, draw)}  # L_GAN, Eq. 1
        if self.lambda_X:
            terms["NCE_X"] = self.lambda_X * self.patch_nce(x, fake, draw)  # L_PatchNCE(G, H, X), Eq. 3
        if self.lambda_Y:
            terms["NCE_Y"] = self.lambda_Y * self.patch_nce(y, self.G(y), draw)  # L_PatchNCE(G, H, Y): the identity
        return Loss(terms | self.partners.terms(batch, paired_y=(fake, y)))

    def patch_nce(self, x: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """Returns Eq. 3, as a mean over places and layers, of translations beside their inputs, (N, C, H, W) each. The
        inputs are what is to be found again, and give no gradient."""
        with torch.no_grad():
            maps = [x, *self.G.features(x, self.layers)]
            areas = [h[0, 0].numel() for h in maps]
            places = [draw.uniform((area,), x).topk(min(self.patches, area)).indices for area in areas]
            keys = self.H(maps, places)
        queries = self.H([fake, *self.G.features(fake, self.layers)], places)
        return torch.stack([patch_nce(q, k, self.tau) for q, k in zip(queries, keys, strict=True)]).mean()

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns a strip of pictures and their translations, and one of y, which is to stay as it is."""
        x, y = batch["x"], batch["y"]
        return {"x to y": {"x": x, "G(x)": self.G(x)}, "y to y": {"y": y, "G(y)": self.G(y)}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns how much G changes held-out pictures, E |G(x) - x| and E |G(y) - y|; D's mean logit of real ones; and
        the distance of pairs from their partners."""
        x, y = batch["x"], batch["y"]
        change = {"change_x": distance_in_parts(self.G, x, x), "change_y": distance_in_parts(self.G, y, y)}
        logits = {"D/real": evaluation_logits(self.D, y).mean()}
        return change | logits | held_out_distances(batch, paired_y=(self.G, x, y))


def build(
    networks: Annotated[TranslationNetworks, Choices(generator=("resnet",))],
    adversary: TranslationAdversary = PAPERS_ADVERSARY,
    partners: Partners = Partners(),
    *,
    x_channels: int = 3,
    y_channels: int = 3,
    skip: bool = False,
    lambda_X: float = 1.0,
    lambda_Y: float = 1.0,
    tau: float = 0.07,
    patches: int = 256,
    width_heads: int = 256,
) -> CUT:
    """Two folders of pictures, unpaired: horses to zebras, one way (Park et al. 2020). The defaults are the paper's.

    Args:
        x_channels: channels of the pictures of X: 3 for colour, 1 for grey.
        y_channels: channels of the pictures of Y, as many as of X.
        skip: whether the ResNet's output is added to its input: it begins near the identity; not in the paper.
        lambda_X: weight of PatchNCE between x and G(x), which keeps what the picture shows.
        lambda_Y: weight of PatchNCE between y and G(y), which keeps what need not change; 0 saves a pass of G.
        tau: temperature: the lower it is, the more must a place resemble its own more than all others.
        patches: places of each picture that are compared, in each layer.
        width_heads: length of the vectors that are compared.
    """
    if x_channels != y_channels:
        unequal = f"X has {x_channels} channels and Y {y_channels}"
        raise BadInput(f"{unequal}, and G's encoder sees both: say --x_channels 3 --y_channels 3, or train cyclegan")
    if not tau > 0:
        raise BadInput(f"tau is {tau}: it must be above 0")
    check_bounds((("patches", patches, MAX_UNITS), ("width_heads", width_heads, MAX_CHANNELS)))
    G = networks.make_generator(x_channels, y_channels, skip=skip)
    assert isinstance(G, ResnetGenerator)
    # The picture itself, and the maps of d128, d256, the first residual block, and the fifth of nine.
    layers, k = sorted({3, 6, 9, 9 + G.blocks // 2}), networks.width
    H = ProjectionHeads([x_channels, 2 * k, *[4 * k] * (len(layers) - 1)], width_heads)
    D = networks.make_discriminator(y_channels, adversary)
    return CUT(G, H, D, layers, adversary, lambda_X, lambda_Y, tau, patches, partners)
