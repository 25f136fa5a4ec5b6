"""GAN: pictures out of noise.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio: Generative Adversarial Networks, 2014
https://arxiv.org/abs/1406.2661

    min_G max_D V(D, G) = E_x [log D(x)] + E_z [log(1 - D(G(z)))]                           (Eq. 1)

G makes a picture of noise z, and D tells G's pictures from real ones. Other objectives, networks and penalties make it
DCGAN, WGAN, WGAN-GP, LSGAN or SNGAN: docs/recipes has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from quagga import BadInput
from quagga.data.pictures import Pictures
from quagga.models import ConvDiscriminator, ConvGenerator, MLPDiscriminator, MLPGenerator
from quagga.models.modes import judged
from quagga.models.together import together
from quagga.pipelines.diffaugment import DiffAugment, Policy
from quagga.pipelines.losses import OBJECTIVES, ObjectiveName, PenaltyName, penalty, readings
from quagga.pipelines.minimax import Batch, Draw, Images, Loss, Stateful, Terms
from quagga.pipelines.noise import check_sizes, distances, nearest_kind, norm_of_discriminator, warn_of_unbounded

data = Pictures  # what the pipeline is trained on
# Rates stay as they are (Radford et al. 2016, Sec. 4).
defaults = {"batch_size": 64, "lr_batch": 64, "epochs": 50, "decay": 0.0, "samples": 10}


@dataclass
class GAN:
    """The game of Eq. 1, as `quagga.pipelines.minimax.Game`. Batches hold "x", (N, C, H, W) in [-1, 1], and where the
    data knows them "mode", the pictures' kinds, int64 (N,), which no player sees."""

    G: nn.Module  # z (N, z_size) -> x
    D: nn.Module  # x -> logits (N, 1)
    z_size: int = 100
    names: list[str] = field(default_factory=list)  # of the modes
    objective: ObjectiveName = "non_saturating"
    penalty: PenaltyName = "none"
    lambda_penalty: float = 10.0
    augment: DiffAugment = field(default_factory=DiffAugment)  # of all that D sees

    fresh_noise = True
    samples: Mapping[str, str] = field(default_factory=lambda: {"G": "x"})

    def __post_init__(self):
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}
        self.memory: Mapping[str, Stateful] = {}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """As many samples as the batch has rows, (N, C, H, W) in [-1, 1]."""
        return {"G(z)": self.G(draw.normal((self.z_size,), like=batch["x"]))}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Real and fake pass apart where batch norm would mix them (Radford et al. 2016 pass them so, too)."""
        real, fake = self.augment(batch["x"], draw), self.augment(fakes["G(z)"], draw)
        real_logits, fake_logits = together(self.D, real, fake)
        terms = {"D": OBJECTIVES[self.objective].discriminator(real_logits, fake_logits)}  # Eq. 1, for D
        if self.penalty != "none":
            terms["D_penalty"] = self.lambda_penalty * penalty(self.penalty, self.D, real, fake, draw)
        read = readings(self.objective, real_logits, fake_logits)
        return Loss(terms, {f"D/{name}": value for name, value in read.items()})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 1 for G: D sees the fakes augmented as for its own loss."""
        logits = self.D(self.augment(fakes["G(z)"], draw))
        return Loss({"G": OBJECTIVES[self.objective].generator(logits)})  # Eq. 1, for G

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Held-out pictures beside as many samples: is anything left out, does D know its pictures by heart?

        "diversity": the mean difference of two samples as a share of that of two held-out pictures. "share/NAME": of
        the samples, those that are nearest to the mean held-out picture of that mode, a rough measure. "D/real": D's
        mean logit for held-out pictures, to be compared with that for those it was trained on.
        """
        x = batch["x"]
        z = draw.normal((self.z_size,), like=x)
        samples = torch.cat([self.G(part) for part in z.split(32)]).to(x.dtype)  # a few at a time: maps are large
        read = {"D/real": judged(self.D, x).mean()}
        if len(x) > 1:
            read["diversity"] = distances(samples).mean() / distances(x).mean()
        if "mode" in batch:
            nearest = nearest_kind(samples, x, batch["mode"])
            for mode in batch["mode"].unique().tolist():
                name = self.names[mode] if mode < len(self.names) else str(mode)
                read[f"share/{name}"] = (nearest == mode).float().mean()
        return read

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """A sheet of 25 samples of the same noise every time, and pictures held out."""
        z = draw.normal((25, self.z_size), like=batch["x"])[0]
        samples = self.G(z)
        return {
            "samples": {f"G(z {column + 1})": samples[column::5] for column in range(5)},
            "held out": {"x": batch["x"]},
        }


def build(
    *,
    size: int | None = None,
    x_channels: int | None = None,
    names: list[str] | None = None,
    network: Literal["conv", "mlp"] = "conv",
    z_size: int = 100,
    width: int = 64,
    width_discriminator: int = 64,
    widths: list[int] | None = None,
    widths_discriminator: list[int] | None = None,
    slope: float = 0.2,
    norm: Literal["batch", "none"] = "batch",
    norm_discriminator: Literal["batch", "instance", "layer", "none"] | None = None,
    upsample: Literal["transposed", "resize"] = "transposed",
    spectral: bool = False,
    objective: ObjectiveName = "non_saturating",
    penalty: PenaltyName = "none",
    lambda_penalty: float = 10.0,
    clip_weights: float | None = None,
    diffaugment: list[Policy] | None = None,
) -> GAN:
    """One folder of pictures: new ones like them, out of noise (Goodfellow et al. 2014).

    Args:
        size: side of the square pictures; None takes the data's.
        x_channels: channels of the pictures: 3 for colour, 1 for grey; None takes the data's.
        names: of the kinds of pictures, where the data knows them; they are counted among the samples.
        network: conv, DCGAN's (Radford et al. 2016), or mlp, fully connected.
        z_size: numbers of noise a picture is made of.
        width: conv: channels of the generator's largest maps.
        width_discriminator: conv: channels of the discriminator's largest maps.
        widths: mlp: units of the generator's hidden layers; None takes [256, 512, 1024].
        widths_discriminator: mlp: units of the discriminator's hidden layers; None takes [512, 256].
        slope: mlp: of the leaky ReLU below 0; 0 is ReLU.
        norm: normalisation in the generator.
        norm_discriminator: conv: normalisation in the discriminator; None takes batch, or with a penalty layer, which
            does not mix the pictures of a batch. (The mlp has none.)
        upsample: conv: transposed convolution (the paper) or nearest-neighbour and convolution (no checkerboard).
        spectral: spectral normalisation of the discriminator (Miyato et al. 2018).
        objective: the adversarial losses.
        penalty: a penalty on the discriminator's gradient.
        lambda_penalty: its weight; without a penalty it has nothing to weigh.
        clip_weights: the discriminator's weights are kept within this distance of 0 (Arjovsky et al. 2017); None leaves
            them.
        diffaugment: differentiable augmentation of all the discriminator sees (Zhao et al. 2020); for few pictures.
    """
    if size is None or x_channels is None:
        raise BadInput("the pictures' size and channels are not known: say --size 64 --x_channels 3, or as they are")
    counts = {"x_channels": x_channels, "z_size": z_size, "width": width, "width_discriminator": width_discriminator}
    check_sizes(size, widths, widths_discriminator, **counts)
    judged_by = norm_of_discriminator(norm_discriminator, penalty, network)
    warn_of_unbounded(objective, penalty, clip_weights, spectral)
    G: nn.Module
    D: nn.Module
    shape = (x_channels, size, size)
    try:
        if network == "conv":
            G = ConvGenerator(size, x_channels, z_size, width, norm, upsample)
            D = ConvDiscriminator(size, x_channels, width_discriminator, judged_by, spectral)
        else:
            hidden = [256, 512, 1024] if widths is None else widths
            G = MLPGenerator(shape, z_size, hidden, slope, norm == "batch")
            hidden = [512, 256] if widths_discriminator is None else widths_discriminator
            D = MLPDiscriminator(shape, hidden, slope, spectral=spectral)
    except ValueError as error:
        raise BadInput(str(error)) from None
    return GAN(G, D, z_size, names or [], objective, penalty, lambda_penalty, DiffAugment(diffaugment or []))
