"""CycleGAN: translation between two kinds of pictures without pairs.

Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017
https://arxiv.org/abs/1703.10593

    L(G, F, D_X, D_Y) = L_GAN(G, D_Y, X, Y) + L_GAN(F, D_X, Y, X) + lambda L_cyc(G, F)      (Eq. 3)

G: X -> Y makes zebras of horses and F: Y -> X makes horses of zebras; D_Y tells zebras from G(x), D_X tells horses
from F(y).

Where some pictures have partners, those rows are told what G and F should give instead of having to come back (not in
the paper): + lambda_paired (E |G(x) - y| + E |F(y) - x|).
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from quagga import BadInput
from quagga.data.unpaired import Unpaired
from quagga.models import PatchGAN, PixelGAN, ResnetGenerator, UnetGenerator
from quagga.models.together import together
from quagga.pipelines.bounds import WIDEST, bounded
from quagga.pipelines.diffaugment import DiffAugment, Policy
from quagga.pipelines.losses import OBJECTIVES, ObjectiveName, PenaltyName, penalty, readings
from quagga.pipelines.minimax import Batch, Draw, Images, Loss, Stateful, Terms
from quagga.pipelines.pool import Pool

data = Unpaired  # what the pipeline is trained on
defaults = {}  # the schedule's own are this paper's


@dataclass
class CycleGAN:
    """The game of Eq. 3, as `quagga.pipelines.minimax.Game`. Batches hold "x" and "y", (N, C, H, W) in [-1, 1], and
    perhaps "paired", bool (N,): which rows of x and y belong together."""

    G: nn.Module  # X -> Y
    F: nn.Module  # Y -> X
    D_X: nn.Module
    D_Y: nn.Module
    objective: ObjectiveName = "least_squares"
    lambda_cycle: float = 10.0
    lambda_identity: float = 0.5
    lambda_paired: float = 10.0
    penalty: PenaltyName = "none"
    lambda_penalty: float = 10.0
    pool_size: int = 50
    augment: DiffAugment = field(default_factory=DiffAugment)  # of all that D sees

    fresh_noise = False  # without noise both moves share the fakes
    translations: Mapping[str, tuple[str, str]] = field(default_factory=lambda: {"G": ("x", "y"), "F": ("y", "x")})

    def __post_init__(self):
        self.generators = {"G": self.G, "F": self.F}
        self.discriminators = {"D_X": self.D_X, "D_Y": self.D_Y}
        self.pool_X, self.pool_Y = Pool(self.pool_size), Pool(self.pool_size)
        self.memory: Mapping[str, Stateful] = {"pool_X": self.pool_X, "pool_Y": self.pool_Y}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Both translations, (N, C, H, W) in [-1, 1]; there is no noise."""
        return {"G(x)": self.G(batch["x"]), "F(y)": self.F(batch["y"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Each D's objective is halved, which slows D down relative to G (Sec. 7.1); fakes come from the pool (Sec.
        4)."""
        sides = (
            ("D_Y", self.D_Y, batch["y"], self.pool_Y(fakes["G(x)"], draw)),
            ("D_X", self.D_X, batch["x"], self.pool_X(fakes["F(y)"], draw)),
        )
        terms: Terms = {}
        read: Terms = {}
        for name, D, real, fake in sides:
            real, fake = self.augment(real, draw), self.augment(fake, draw)
            real_logits, fake_logits = together(D, real, fake)
            terms[name] = OBJECTIVES[self.objective].discriminator(real_logits, fake_logits) / 2
            if self.penalty != "none":
                terms[f"{name}_penalty"] = self.lambda_penalty * penalty(self.penalty, D, real, fake, draw)
            read |= {
                f"{name}/{key}": value for key, value in readings(self.objective, real_logits, fake_logits).items()
            }
        return Loss(terms, read)

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 3, for G and F, and the identity loss (Sec. 5.2); where rows are paired, these are compared with their
        partners and do not count in the cycle's mean. Cycle and identity are left out at weight 0."""
        x, y = batch["x"], batch["y"]
        terms = {
            "G": self._fool(self.D_Y, fakes["G(x)"], draw),  # L_GAN(G, D_Y, X, Y), Eq. 1
            "F": self._fool(self.D_X, fakes["F(y)"], draw),  # L_GAN(F, D_X, Y, X)
        }
        paired = batch.get("paired")
        loose = None if paired is None else ~paired
        weight = self.lambda_identity * self.lambda_cycle
        if self.lambda_cycle:
            own_x, own_y = ([x], [y]) if weight else ([], [])
            x_again, *x_itself = together(self.F, fakes["G(x)"], *own_x)
            y_again, *y_itself = together(self.G, fakes["F(y)"], *own_y)
            terms["cycle_x"] = self.lambda_cycle * distance(x_again, x, loose)  # E |F(G(x)) - x|, Eq. 2
            terms["cycle_y"] = self.lambda_cycle * distance(y_again, y, loose)  # E |G(F(y)) - y|
            if weight:
                terms["identity_y"] = weight * l1_loss(y_itself[0], y)  # E |G(y) - y|, Sec. 5.2
                terms["identity_x"] = weight * l1_loss(x_itself[0], x)  # E |F(x) - x|
        if paired is not None:
            terms["paired_y"] = self.lambda_paired * distance(fakes["G(x)"], y, paired)
            terms["paired_x"] = self.lambda_paired * distance(fakes["F(y)"], x, paired)
        return Loss(terms)

    def _fool(self, D: nn.Module, fake: Tensor, draw: Draw) -> Tensor:
        return OBJECTIVES[self.objective].generator(D(self.augment(fake, draw)))

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """A strip for each direction: a picture, its translation, and the way back."""
        x, y = batch["x"], batch["y"]
        fake_y, fake_x = self.G(x), self.F(y)
        return {
            "x to y": {"x": x, "G(x)": fake_y, "F(G(x))": self.F(fake_y)},
            "y to x": {"y": y, "F(y)": fake_x, "G(F(y))": self.G(fake_x)},
        }

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """How far pictures that were never trained on come back, Eq. 2 without its weight; and of pairs, how far each
        is translated from its partner."""
        some = zip(batch["x"].split(4), batch["y"].split(4), strict=True)  # few at a time: a picture's maps are large
        back = [(l1_loss(self.F(self.G(x)), x), l1_loss(self.G(self.F(y)), y), len(x)) for x, y in some]
        count = sum(n for *_, n in back)
        read = {"cycle_x": sum(x * n for x, _, n in back) / count, "cycle_y": sum(y * n for _, y, n in back) / count}
        if (paired := batch.get("paired")) is not None:
            x, y = batch["x"][paired], batch["y"][paired]
            read["paired_y"] = torch.cat(
                [(self.G(a) - b).abs() for a, b in zip(x.split(4), y.split(4), strict=True)]
            ).mean()
            read["paired_x"] = torch.cat(
                [(self.F(b) - a).abs() for a, b in zip(x.split(4), y.split(4), strict=True)]
            ).mean()
        return read


def distance(a: Tensor, b: Tensor, rows: Tensor | None) -> Tensor:
    """E |a - b| over pictures (N, C, H, W), of all rows or of those where `rows`, bool (N,), is true; 0 if none is."""
    if rows is None:
        return l1_loss(a, b)
    each = (a - b).abs().flatten(1).mean(1)
    return (each * rows).sum() / rows.sum().clamp(min=1)


def build(
    *,
    x_channels: int = 3,
    y_channels: int = 3,
    generator: Literal["resnet", "unet"] = "resnet",
    width: int = 64,
    blocks: int | None = None,
    discriminator: Literal["patch", "pixel"] = "patch",
    width_discriminator: int = 64,
    layers: int = 3,
    norm: Literal["instance", "batch", "none"] = "instance",
    upsample: Literal["transposed", "resize"] = "transposed",
    spectral: bool = False,
    skip: bool = False,
    objective: ObjectiveName = "least_squares",
    lambda_cycle: float = 10.0,
    lambda_identity: float = 0.5,
    lambda_paired: float = 10.0,
    penalty: PenaltyName = "none",
    lambda_penalty: float = 10.0,
    pool_size: int = 50,
    diffaugment: list[Policy] | None = None,
    crop_size: int = 256,
) -> CycleGAN:
    """Two folders of pictures, unpaired: horses to zebras and back (Zhu et al. 2017). The defaults are the paper's.

    Args:
        x_channels: channels of the pictures of X: 3 for colour, 1 for grey.
        y_channels: channels of the pictures of Y.
        generator: ResNet (the paper's) or the U-Net of pix2pix.
        width: channels after a generator's first layer.
        blocks: residual blocks of the ResNet; None takes 9, or 6 below 256 pixels (Sec. 7.2). For the U-Net: its
            depth; None takes as many as 2 divides the crop, at most 8.
        discriminator: PatchGAN, which judges patches, or the PixelGAN, which judges single pixels.
        width_discriminator: channels after a discriminator's first layer.
        layers: strided layers of the PatchGAN (the PixelGAN has none): 3 judges patches of 70x70 pixels, 2 of 34x34,
            1 of 16x16.
        norm: normalisation in all networks.
        upsample: transposed convolution (the paper) or nearest-neighbour and convolution (no checkerboard).
        spectral: spectral normalisation of the discriminators (Miyato et al. 2018).
        skip: the ResNet gives what is added to its input: it starts near the identity and learns only what changes. Not
            in the paper; needs X and Y to have the same channels.
        objective: the adversarial losses.
        lambda_cycle: weight of the cycle-consistency loss (Eq. 2).
        lambda_identity: weight of the identity loss, relative to lambda_cycle: with that at 0 there is none (Sec.
            5.2). It needs X and Y to have the same channels and is left out where they differ.
        lambda_paired: weight of the distance to the partner, where --pairs gives some; those rows need not come back.
        penalty: a penalty on the discriminators' gradients.
        lambda_penalty: its weight; without a penalty it has nothing to weigh.
        pool_size: old fakes kept for each discriminator; 0 shows it the newest only.
        diffaugment: differentiable augmentation of all the discriminators see (Zhao et al. 2020); for few pictures.
            With color they no longer see it where a generator changes colours.
        crop_size: side of the training pictures in pixels.
    """
    most_blocks = 256 if generator == "resnet" else 12
    bounded(
        (
            ("width", width, WIDEST),
            ("blocks", blocks, most_blocks),
            ("width_discriminator", width_discriminator, WIDEST),
            ("layers", layers, 10),
        )
    )
    if discriminator == "patch" and crop_size < 3 * 2**layers:
        raise BadInput(f"patches of {layers} --layers need a --crop_size of {3 * 2**layers} or more, not {crop_size}")
    if skip and (x_channels != y_channels or generator != "resnet"):
        raise BadInput("--skip needs the ResNet generator, and X and Y of the same channels: leave it out")
    if x_channels != y_channels and lambda_identity:
        warnings.warn(f"X has {x_channels} channels and Y {y_channels}: the identity loss is left out", stacklevel=2)
        lambda_identity = 0.0

    def generator_of(source: int, target: int) -> nn.Module:
        if generator == "resnet":
            count = blocks if blocks is not None else 9 if crop_size >= 256 else 6
            return ResnetGenerator(source, target, width=width, blocks=count, norm=norm, upsample=upsample, skip=skip)
        halvings = (crop_size & -crop_size).bit_length() - 1  # how often 2 divides the crop
        depth = blocks if blocks is not None else max(2, min(8, halvings))
        return UnetGenerator(source, target, width=width, depth=depth, norm=norm, upsample=upsample, dropout=0.0)

    def discriminator_of(channels: int) -> nn.Module:
        if discriminator == "pixel":
            return PixelGAN(channels, width=width_discriminator, norm=norm, spectral=spectral)
        return PatchGAN(channels, width=width_discriminator, layers=layers, norm=norm, spectral=spectral)

    return CycleGAN(
        G=generator_of(x_channels, y_channels),
        F=generator_of(y_channels, x_channels),
        D_X=discriminator_of(x_channels),
        D_Y=discriminator_of(y_channels),
        objective=objective,
        lambda_cycle=lambda_cycle,
        lambda_identity=lambda_identity,
        lambda_paired=lambda_paired,
        penalty=penalty,
        lambda_penalty=lambda_penalty,
        pool_size=pool_size,
        augment=DiffAugment(diffaugment or []),
    )
