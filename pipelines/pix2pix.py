"""pix2pix: translation learned from pairs.

Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017
https://arxiv.org/abs/1611.07004

    G* = arg min_G max_D L_cGAN(G, D) + lambda L_L1(G)      (Eq. 4)
    L_cGAN(G, D) = E log D(x, y) + E log(1 - D(x, G(x, z))) (Eq. 1)
    L_L1(G)      = E |y - G(x, z)|                          (Eq. 3)

x is what is given (an edge map, a label map), y what belongs to it (the photo). D sees both side by side, and tells
whether they belong together. The noise z is nothing but G's dropout (Sec. 3.1).
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from quagga import BadInput
from quagga.data.inputs import XAs, coloured
from quagga.data.paired import Paired
from quagga.models import PatchGAN, PixelGAN, ResnetGenerator, UnetGenerator
from quagga.models.modes import Mode, Statistics, used
from quagga.models.perceptual import Perceptual
from quagga.models.together import together
from quagga.pipelines.bounds import WIDEST, bounded
from quagga.pipelines.diffaugment import DiffAugment, Policy
from quagga.pipelines.losses import OBJECTIVES, ObjectiveName, PenaltyName, penalty, readings
from quagga.pipelines.minimax import Batch, Draw, Images, Loss, Stateful, Terms

data = Paired  # what the pipeline is trained on
defaults = {}  # the schedule's own are this paper's, too
PAPERS = Mode(dropout=True, statistics="batch")  # how G is used when it does not learn, Sec. 3.4


@dataclass
class Pix2Pix:
    """The game of Eq. 4, as `quagga.pipelines.minimax.Game`. Batches hold "x" and "y", (N, C, H, W) in [-1, 1], that
    belong together row by row."""

    G: nn.Module  # {x, z} -> y
    D: nn.Module  # (x, y), side by side as channels -> logits
    objective: ObjectiveName = "non_saturating"
    lambda_gan: float = 1.0
    lambda_L1: float = 100.0
    lambda_perceptual: float = 0.0
    penalty: PenaltyName = "none"
    lambda_penalty: float = 10.0
    colour: DiffAugment = field(default_factory=DiffAugment)  # of the y that D sees
    geometry: DiffAugment = field(default_factory=DiffAugment)  # of the pair that D sees, x and y alike
    mode: Mode = PAPERS  # how G is used when it does not learn
    labels: bool = False  # x holds the planes of a label map
    conditional_discriminator: bool = True  # whether D sees x

    fresh_noise = False  # one pass of G serves both moves, as in the authors' program
    translations: Mapping[str, tuple[str, str]] = field(default_factory=lambda: {"G": ("x", "y")})

    def __post_init__(self):
        self.generators = {"G": self.G}
        self.discriminators = {"D": self.D} if self.lambda_gan else {}
        self.memory: Mapping[str, Stateful] = {}
        self.perceptual = Perceptual()

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """y as G makes it of x, (N, C, H, W) in [-1, 1]; the noise z is in its dropout."""
        return {"G(x)": self.G(batch["x"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """D's objective is halved, which slows D down relative to G (Sec. 3.3)."""
        x, real, fake = self.seen(batch["x"], batch["y"], fakes["G(x)"], draw)
        real_logits, fake_logits = together(self.D, self.shown(x, real), self.shown(x, fake))
        terms = {"D": OBJECTIVES[self.objective].discriminator(real_logits, fake_logits) / 2}
        if self.penalty != "none":
            terms["D_penalty"] = self.lambda_penalty * penalty(
                self.penalty, lambda y: self.judge(x, y), real, fake, draw
            )
        read = readings(self.objective, real_logits, fake_logits)
        return Loss(terms, {f"D/{name}": value for name, value in read.items()})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 4, for G, and the perceptual loss; what has weight 0 is left out."""
        y, fake = batch["y"], fakes["G(x)"]
        terms: Terms = {}
        if self.lambda_gan:
            x, _, shown = self.seen(batch["x"], y, fake, draw)
            terms["G"] = self.lambda_gan * OBJECTIVES[self.objective].generator(self.judge(x, shown))  # Eq. 1, Sec. 3.3
        if self.lambda_L1:
            terms["L1"] = self.lambda_L1 * l1_loss(fake, y)  # E |y - G(x, z)|, Eq. 3
        if self.lambda_perceptual:
            terms["perceptual"] = self.lambda_perceptual * self.perceptual(fake, y)  # Johnson et al. 2016
        return Loss(terms)

    def judge(self, x: Tensor, y: Tensor) -> Tensor:
        """D(x, y): (N, C, H, W) and (N, C', H, W) -> logits; D(y) where D is blind to the condition."""
        return self.D(self.shown(x, y))

    def shown(self, x: Tensor, y: Tensor) -> Tensor:
        """What D is given: x and y as channels, (N, C + C', H, W), or y alone."""
        return torch.cat([x, y], dim=1) if self.conditional_discriminator else y

    def seen(self, x: Tensor, y: Tensor, fake: Tensor, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """What D sees of them: without differentiable augmentation they themselves. Colours change in y and fake alone;
        where things lie changes for all three alike, so that they still belong together."""
        if not self.colour.policies and not self.geometry.policies:
            return x, y, fake
        y, fake = self.colour(y, draw), self.colour(fake, draw)
        all_three = self.geometry(torch.cat([x, y, fake], dim=1), draw)
        x, y, fake = all_three.split([x.shape[1], y.shape[1], fake.shape[1]], dim=1)
        return x, y, fake

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """One strip: x (labels in colours), what G makes of it in the game's `mode`, and y."""
        x, y = batch["x"], batch["y"]
        return {"x to y": {"x": coloured(x) if self.labels else x, "G(x)": used(self.G, x, self.mode), "y": y}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Of held-out pairs: G's error, in a range of 2; its peak signal-to-noise ratio in dB; and the mean logit of D
        for what belongs together, for what G makes, and for x beside the y of another row."""
        x, y = batch["x"], batch["y"]
        fake = used(self.G, x, self.mode)
        terms = {"L1": l1_loss(fake, y), "PSNR": 10 * torch.log10(4 / mse_loss(fake, y))}
        if self.lambda_gan:
            shown = {"matching": y, "generated": fake, "mismatching": y.roll(1, 0)}
            if len(y) == 1:
                del shown["mismatching"]
            as_in_training = Mode(statistics="batch")
            for name, pictures in shown.items():
                terms[f"D/{name}"] = used(self.D, self.shown(x, pictures), as_in_training).mean()
        return terms


def build(
    *,
    x_channels: int | None = None,
    y_channels: int = 3,
    x_as: XAs = "picture",
    generator: Literal["unet", "resnet"] = "unet",
    width: int = 64,
    blocks: int | None = None,
    dropout: float = 0.5,
    discriminator: Literal["patch", "pixel"] = "patch",
    conditional_discriminator: bool = True,
    width_discriminator: int = 64,
    layers: int = 3,
    norm: Literal["batch", "instance", "none"] = "batch",
    upsample: Literal["transposed", "resize"] = "transposed",
    spectral: bool = False,
    objective: ObjectiveName = "non_saturating",
    lambda_gan: float = 1.0,
    lambda_L1: float = 100.0,
    lambda_perceptual: float = 0.0,
    penalty: PenaltyName = "none",
    lambda_penalty: float = 10.0,
    diffaugment: list[Policy] | None = None,
    test_dropout: bool = True,
    test_statistics: Statistics = "batch",
    crop_size: int = 256,
) -> Pix2Pix:
    """Pairs of pictures: edges and photos, label maps and facades (Isola et al. 2017). The defaults are the paper's.

    Args:
        x_channels: channels of x: 3 for colour, 1 for grey; None takes what the data has, or 3.
        y_channels: channels of y.
        x_as: what x is, for the eye alone: the planes of a label map are shown as colours.
        generator: U-Net (the paper's) or the ResNet of CycleGAN, which has no dropout and so no noise.
        width: channels after the generator's first layer.
        blocks: the U-Net's depth; None takes as many halvings as the crop has room for, at most 8 (other crops than
            powers of 2 are padded). For the ResNet: its residual
            blocks; None takes 9, or 6 below 256 pixels.
        dropout: share of the values that the U-Net's first three decoder layers drop, its noise z (Sec. 3.1).
        discriminator: PatchGAN, which judges patches, or the PixelGAN, which judges single pixels.
        conditional_discriminator: whether D sees x too; without it, as in the paper's ablation (Sec. 4.1), any likely
            y will do.
        width_discriminator: channels after the discriminator's first layer.
        layers: strided layers of the PatchGAN: 3 judges patches of 70x70 pixels, 2 of 34x34, 1 of 16x16.
        norm: normalisation in both networks; under a penalty D takes instance norm for batch norm, which mixes rows.
        upsample: transposed convolution (the paper) or nearest-neighbour and convolution (no checkerboard).
        spectral: spectral normalisation of the discriminator (Miyato et al. 2018).
        objective: the adversarial losses.
        lambda_gan: weight of the adversarial loss; at 0 there is no discriminator.
        lambda_L1: weight of the L1 loss (Eq. 4).
        lambda_perceptual: weight of a loss on VGG-16's features; its weights must be in torch's hub folder.
        penalty: a penalty on the discriminator's gradient with regard to y.
        lambda_penalty: its weight; without a penalty it has nothing to weigh.
        diffaugment: differentiable augmentation of what the discriminator sees (Zhao et al. 2020); for few pairs. x and
            y move together, colours change in y alone.
        test_dropout: whether dropout stays on when translating, as in the paper (Sec. 3.4).
        test_statistics: what batch norm takes when translating: "batch", the statistics of the picture itself, as in
            the paper, or "running", the averages of training.
        crop_size: side of the training pictures in pixels.
    """
    bounded(
        (
            ("width", width, WIDEST),
            ("blocks", blocks, 256 if generator == "resnet" else 12),
            ("width_discriminator", width_discriminator, WIDEST),
            ("layers", layers, 10),
            ("x_channels", x_channels, WIDEST),
            ("y_channels", y_channels, WIDEST),
        )
    )
    if discriminator == "patch" and crop_size < 3 * 2**layers:
        raise BadInput(f"patches of {layers} --layers need a --crop_size of {3 * 2**layers} or more, not {crop_size}")
    if not 0 <= dropout < 1:
        raise BadInput(f"dropout is {dropout}: it is a share, from 0 to below 1")
    if not (lambda_gan or lambda_L1 or lambda_perceptual):
        raise BadInput("G has nothing to learn from: leave lambda_gan, lambda_L1 or lambda_perceptual above 0")
    if lambda_perceptual and y_channels not in (1, 3):
        raise BadInput(f"VGG-16 sees 1 or 3 channels and y has {y_channels}: leave out --lambda_perceptual")
    inputs, judged = x_channels or 3, norm
    if penalty != "none" and norm == "batch":
        warnings.warn("under a gradient penalty D takes instance norm: batch norm would mix its rows", stacklevel=2)
        judged = "instance"
    if generator == "unet":
        depth = blocks if blocks is not None else max(2, min(8, crop_size.bit_length() - 1))
        G: nn.Module = UnetGenerator(
            inputs, y_channels, width=width, depth=depth, norm=norm, dropout=dropout, upsample=upsample
        )
    else:
        count = blocks if blocks is not None else 9 if crop_size >= 256 else 6
        G = ResnetGenerator(inputs, y_channels, width=width, blocks=count, norm=norm, upsample=upsample)
    both = inputs + y_channels if conditional_discriminator else y_channels
    if discriminator == "pixel":
        D: nn.Module = PixelGAN(both, width=width_discriminator, norm=judged, spectral=spectral)
    else:
        D = PatchGAN(both, width=width_discriminator, layers=layers, norm=judged, spectral=spectral)
    policies = diffaugment or []
    return Pix2Pix(
        G=G,
        D=D,
        objective=objective,
        lambda_gan=lambda_gan,
        lambda_L1=lambda_L1,
        lambda_perceptual=lambda_perceptual,
        penalty=penalty,
        lambda_penalty=lambda_penalty,
        colour=DiffAugment([policy for policy in policies if policy == "color"]),
        geometry=DiffAugment([policy for policy in policies if policy != "color"]),
        mode=Mode(test_dropout, test_statistics),
        labels=x_as == "labels",
        conditional_discriminator=conditional_discriminator,
    )
