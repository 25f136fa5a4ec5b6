"""Conditional GAN: pictures of noise and a condition: a class, attributes, a caption.

Mirza, Osindero: Conditional Generative Adversarial Nets, 2014
https://arxiv.org/abs/1411.1784

    min_G max_D V(D, G) = E_x [log D(x|c)] + E_z [log(1 - D(G(z|c)|c))]                     (Eq. 2)

Both players see the condition, each through an encoder of its own. With captions D is also shown real pictures with
another picture's caption, which it must call wrong (Reed et al. 2016, https://arxiv.org/abs/1605.05396, Algorithm 1):
else it could win by looking at pictures alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from quagga import BadInput
from quagga.data.conditioned import Conditioned
from quagga.data.conditions import Conditions
from quagga.models import (
    ConvDiscriminator,
    ConvGenerator,
    MaxoutDiscriminator,
    MLPDiscriminator,
    MLPGenerator,
    encoder_of,
)
from quagga.models.modes import judged
from quagga.models.together import together
from quagga.pipelines.diffaugment import DiffAugment, Policy
from quagga.pipelines.losses import OBJECTIVES, ObjectiveName, PenaltyName, penalty, readings
from quagga.pipelines.minimax import Batch, Draw, Images, Loss, Stateful, Terms
from quagga.pipelines.noise import check_sizes, distances, nearest_kind, norm_of_discriminator, warn_of_unbounded

data = Conditioned  # what the pipeline is trained on
# Rates stay as they are (Radford et al. 2016, Sec. 4).
defaults = {"batch_size": 64, "lr_batch": 64, "epochs": 50, "decay": 0.0, "samples": 10}

COLUMNS, SEEDS = 10, 5  # of the grid: conditions and, of each, samples


@dataclass
class Conditional:
    """The game of Eq. 2, as `quagga.pipelines.minimax.Game`. Batches hold "x", (N, C, H, W) in [-1, 1], and "c", what
    is said of each: int64 (N,) classes, float (N, A) attributes, or int64 (N, L) tokens, 0 for padding; and "other",
    what is said of another picture."""

    G: nn.Module  # z (N, z_size), c -> x
    D: nn.Module  # x, c -> logits (N, 1)
    conditions: Conditions  # what they are called
    z_size: int = 100
    objective: ObjectiveName = "non_saturating"
    mismatched: bool = False
    penalty: PenaltyName = "none"
    lambda_penalty: float = 10.0
    augment: DiffAugment = field(default_factory=DiffAugment)  # of all that D sees

    fresh_noise = True
    samples: Mapping[str, str] = field(default_factory=lambda: {"G": "x"})

    def __post_init__(self):
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}
        self.memory: Mapping[str, Stateful] = {}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """The batch's own conditions: G meets them as often as they are (Algorithm 1)."""
        return {"G(z,c)": self.G(draw.normal((self.z_size,), like=batch["x"]), batch["c"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Passes are apart where batch norm would mix them."""
        c, play = batch["c"], OBJECTIVES[self.objective]
        real, fake = self.augment(batch["x"], draw), self.augment(fakes["G(z,c)"], draw)
        shown = [(real, c), (fake, c), *([(real, batch["other"])] if self.mismatched else [])]
        real_logits, fake_logits, *others = together(self.D, *shown)
        terms = {"D": play.discriminator(real_logits, fake_logits)}  # Eq. 2, for D
        read = readings(self.objective, real_logits, fake_logits)
        if self.mismatched:
            # Where the other picture's condition is the same, it is not wrong: the row's fake stands in for it.
            wrong = apart(batch["other"], c)[:, None]
            wrong_logits = torch.where(wrong, others[0], fake_logits)
            terms["D"] = (terms["D"] + play.discriminator(real_logits, wrong_logits)) / 2  # Reed et al. 2016, Alg. 1
            read["mismatched"] = wrong_logits.detach().float().mean()
        if self.penalty != "none":
            terms["D_penalty"] = self.lambda_penalty * penalty(self.penalty, lambda x: self.D(x, c), real, fake, draw)
        return Loss(terms, {f"D/{name}": value for name, value in read.items()})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 2 for G: D sees each fake, augmented as for its own loss, with the condition it was made of."""
        logits = self.D(self.augment(fakes["G(z,c)"], draw), batch["c"])
        return Loss({"G": OBJECTIVES[self.objective].generator(logits)})  # Eq. 2, for G

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Held-out pictures and their conditions: does D heed the condition, does G vary its pictures, and obey?

        "D/matching", "D/mismatching": D's mean logit with a picture's own condition and with its neighbour's.
        "diversity": the mean difference of two samples as a share of that of two held-out pictures, of the same
        condition if any two share one. "obeyed", for classes: of the samples, those that are nearest to the mean
        held-out picture of their own class, a rough measure.
        """
        x, c = batch["x"], batch["c"]
        others, differ = batch["other"], apart(batch["other"], c)
        read = {"D/matching": judged(self.D, x, c).mean()}
        if differ.any():
            read["D/mismatching"] = judged(self.D, x, others)[differ].mean()
        z = draw.normal((self.z_size,), like=x)  # a few at a time: maps are large
        samples = torch.cat([self.G(*part) for part in zip(z.split(32), c.split(32), strict=True)]).to(x.dtype)
        if len(x) > 1:
            same = torch.stack([(row == c).flatten(1).all(1) if c.ndim > 1 else row == c for row in c])
            pairs = upper(same).cpu()
            pairs = pairs if pairs.any() else torch.ones_like(pairs)
            read["diversity"] = distances(samples)[pairs].mean() / distances(x)[pairs].mean()
        if c.ndim == 1:
            read["obeyed"] = (nearest_kind(samples, x, c) == c).float().mean()
        return read

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """A column for each condition among the rows, and for classes of the others too: on top a real picture (grey
        where there is none), below it samples. A row of samples has the same noise in all columns and all through the
        run."""
        x, c = batch["x"], batch["c"]
        z = draw.normal((SEEDS, self.z_size), like=x)[0]
        asked = list(zip(x, c, strict=True))
        if self.conditions.kind == "class":
            asked += [
                (torch.zeros_like(x[0]), number) for number in torch.arange(self.conditions.count, device=c.device)
            ]
            first = {int(number): (picture, number) for picture, number in reversed(asked)}
            asked = [first[number] for number in sorted(first)]
        columns: Images = {}
        for picture, one in asked:
            name = self.conditions.describe(one.cpu())
            if name not in columns and len(columns) < COLUMNS:
                columns[name] = torch.cat([picture[None], self.G(z, one.expand(SEEDS, *one.shape))])
        return {"real, and samples": columns}


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Which rows of two batches of conditions differ, bool (N,)."""
    return (a != b).flatten(1).any(1) if a.ndim > 1 else a != b


def upper(square: Tensor) -> Tensor:
    """What stands above the diagonal of (N, N), in the order of `pdist`."""
    rows, columns = torch.triu_indices(*square.shape, offset=1, device=square.device)
    return square[rows, columns]


def build(
    *,
    condition: Literal["class", "attributes", "caption"] = "class",
    names: list[str] | None = None,
    caption_length: int = 16,
    size: int | None = None,
    x_channels: int | None = None,
    network: Literal["conv", "mlp"] = "conv",
    z_size: int = 100,
    width: int = 64,
    width_discriminator: int = 64,
    width_condition: int = 64,
    widths: list[int] | None = None,
    widths_discriminator: list[int] | None = None,
    dropout: float = 0.5,
    text: Literal["gru", "transformer"] = "gru",
    norm: Literal["batch", "conditional_batch", "none"] = "batch",
    norm_discriminator: Literal["batch", "instance", "layer", "none"] | None = None,
    conditional_discriminator: bool = True,
    joining: Literal["concat", "projection"] = "concat",
    upsample: Literal["transposed", "resize"] = "transposed",
    spectral: bool = False,
    objective: ObjectiveName = "non_saturating",
    mismatched: bool | None = None,
    penalty: PenaltyName = "none",
    lambda_penalty: float = 10.0,
    clip_weights: float | None = None,
    diffaugment: list[Policy] | None = None,
) -> Conditional:
    """Pictures with a class, attributes or a caption: new ones as asked for (Mirza & Osindero 2014).

    Args:
        condition: what is said of each picture.
        names: the classes, attributes or words, in order; None takes the data's.
        caption_length: words of a caption that are read.
        size: side of the square pictures; None takes the data's.
        x_channels: channels of the pictures: 3 for colour, 1 for grey; None takes the data's.
        network: conv, DCGAN's (Radford et al. 2016), or mlp, the paper's fully connected ones, which suit digits.
        z_size: numbers of noise a picture is made of.
        width: conv: channels of the generator's largest maps.
        width_discriminator: conv: channels of the discriminator's largest maps.
        width_condition: conv: features each side makes of a condition.
        widths: mlp: units of the generator's hidden layers after noise (200) and condition (1000) are joined; None
            takes [1200].
        widths_discriminator: mlp: units of the discriminator's hidden layers, with leaky ReLU 0.2, for picture and
            condition joined; None takes the paper's maxout layers, or [512, 256] for a D without the condition.
        dropout: mlp: share of the discriminator's hidden values that are dropped.
        text: what reads captions.
        norm: conv: normalisation in the generator; conditional_batch takes scale and shift from the condition.
        norm_discriminator: conv: normalisation in the discriminator; None takes batch, or with a penalty layer, which
            does not mix the pictures of a batch.
        conditional_discriminator: whether D sees the condition; without it G need not obey.
        joining: conv: how D sees the condition: concat (the paper) or projection (Miyato & Koyama 2018).
        upsample: conv: transposed convolution (the paper) or nearest-neighbour and convolution (no checkerboard).
        spectral: conv: spectral normalisation of the discriminator (Miyato et al. 2018).
        objective: the adversarial losses.
        mismatched: D also sees real pictures with the wrong condition (Reed et al. 2016); None does so for captions.
        penalty: a penalty on the discriminator's gradient.
        lambda_penalty: its weight; without a penalty it has nothing to weigh.
        clip_weights: the discriminator's weights are kept within this distance of 0 (Arjovsky et al. 2017); None leaves
            them.
        diffaugment: differentiable augmentation of all the discriminator sees (Zhao et al. 2020); for few pictures.
    """
    if names is None or size is None or x_channels is None:
        raise BadInput("the pictures' names, size and channels are not known: say --names, --size and --x_channels")
    conditions = Conditions(condition, names, caption_length)
    counts = {"x_channels": x_channels, "z_size": z_size, "width": width, "width_discriminator": width_discriminator}
    check_sizes(size, widths, widths_discriminator, width_condition=width_condition, **counts)
    judged_by = norm_of_discriminator(norm_discriminator, penalty, network)
    warn_of_unbounded(objective, penalty, clip_weights, spectral)
    if mismatched is None:
        mismatched = condition == "caption" and conditional_discriminator
    if mismatched and not conditional_discriminator:
        raise BadInput("a D that does not see the condition cannot call it wrong: leave out --mismatched true")

    def encoder(width: int, hot: bool = False) -> nn.Module:
        return encoder_of(condition, conditions.count, width, text, hot)

    def seen(width: int, hot: bool = False) -> nn.Module | None:
        return encoder(width, hot) if conditional_discriminator else None

    G: nn.Module
    D: nn.Module
    shape = (x_channels, size, size)
    try:
        if network == "conv":
            G = ConvGenerator(size, x_channels, z_size, width, norm, upsample, encoder=encoder(width_condition))
            D = ConvDiscriminator(
                size, x_channels, width_discriminator, judged_by, spectral, seen(width_condition), joining
            )
        else:
            hidden = [1200] if widths is None else widths
            G = MLPGenerator(shape, z_size, hidden, 0.0, False, encoder(1000, hot=True), z_width=200)
            if widths_discriminator is None and conditional_discriminator:
                if spectral:
                    raise BadInput("maxout layers have no spectral norm: say --widths_discriminator '[512, 256]' too")
                D = MaxoutDiscriminator(shape, encoder(250, hot=True), dropout)
            else:
                hidden = [512, 256] if widths_discriminator is None else widths_discriminator
                D = MLPDiscriminator(shape, hidden, 0.2, dropout, spectral, seen(1000, hot=True))
    except ValueError as error:
        raise BadInput(str(error)) from None
    return Conditional(
        G,
        D,
        conditions,
        z_size,
        objective,
        mismatched,
        penalty,
        lambda_penalty,
        DiffAugment(diffaugment or []),
    )
