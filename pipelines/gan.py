"""GAN: pictures from noise.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio: Generative Adversarial Networks, 2014
https://arxiv.org/abs/1406.2661

    min_G max_D V(D, G) = E_x [log D(x)] + E_z [log(1 - D(G(z)))]                           (Eq. 1)

G makes a picture of noise z, and D tells G's pictures from real ones. Other objectives, networks and penalties make it
DCGAN, WGAN, WGAN-GP, LSGAN or SNGAN: `quagga list recipes` has them.
"""

from dataclasses import dataclass, field
from typing import Annotated

from torch import nn

from quagga.data.images import Pictures
from quagga.fields import noise, picture
from quagga.models.joint_pass import joint_pass
from quagga.models.network_mode import evaluation_logits
from quagga.option_groups import Choices
from quagga.pipelines.core import Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.options import Adversary, SamplingAdversary, SamplingNetworks
from quagga.pipelines.core.sample_metrics import diversity, nearest_class, pass_in_parts

data = Pictures  # opens the training data
# Learning rates do not decay (Radford et al. 2016, Sec. 4).
defaults = {"batch_size": 64, "lr_batch": 64, "epochs": 50, "decay": 0.0, "samples": 10}
shown = "network diffaugment"  # in the short help


@dataclass
class GAN:
    """The game of Eq. 1, as `quagga.Game`. Batches hold "x", (N, C, H, W) in [-1, 1], and if the
    data have them "mode", the pictures' classes, int64 (N,), which neither network sees."""

    G: nn.Module  # z (N, z_size) -> x
    D: nn.Module  # x -> logits (N, 1)
    z_size: int = 100
    names: list[str] = field(default_factory=list)  # of the modes
    adversary: Adversary = Adversary()

    fresh_noise = True

    def __post_init__(self):
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}
        self.exports = {"G": Export(self.G, inputs=(noise("z", self.z_size),), output=picture("x"))}
        self.memory = {}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns as many samples as the batch has rows, (N, C, H, W) in [-1, 1]."""
        return {"G(z)": self.G(draw.normal((self.z_size,), like=batch["x"]))}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 1 for D. Real and fake pass separately if batch norm would mix them (as in Radford et al. 2016)."""
        real, fake = self.adversary.augment(batch["x"], draw), self.adversary.augment(fakes["G(z)"], draw)
        real_logits, fake_logits = joint_pass(self.D, real, fake)
        terms = {"D": self.adversary.loss.discriminator(real_logits, fake_logits)}  # Eq. 1, for D
        terms |= self.adversary.penalty_term("D", self.D, real, fake, draw)
        return Loss(terms, self.adversary.readings("D", real_logits, fake_logits))

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 1 for G: D sees the fakes augmented as for its own loss."""
        return Loss({"G": self.adversary.generator_loss(self.D, batch["x"], fakes["G(z)"], draw)})  # Eq. 1, for G

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Compares held-out pictures with as many samples: are modes missing, does D overfit?

        "diversity": the mean difference of two samples as a share of that of two held-out pictures. "share/NAME": of
        the samples, those that are nearest to the mean held-out picture of that mode, a rough measure. "D/real": D's
        mean logit for held-out pictures, to be compared with that for those it was trained on.
        """
        x = batch["x"]
        z = draw.normal((self.z_size,), like=x)
        samples = pass_in_parts(self.G, z).to(x.dtype)
        terms = {"D/real": evaluation_logits(self.D, x).mean()}
        if len(x) > 1:
            terms["diversity"] = diversity(samples, x)
        if "mode" in batch:
            nearest = nearest_class(samples, x, batch["mode"])
            for mode in batch["mode"].unique().tolist():
                name = self.names[mode] if mode < len(self.names) else str(mode)
                terms[f"share/{name}"] = (nearest == mode).float().mean()
        return terms

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns a sheet of 25 samples of the same noise every time, and held-out pictures."""
        z = draw.normal((25, self.z_size), like=batch["x"])[0]
        samples = self.G(z)
        return {
            "samples": {f"G(z {column + 1})": samples[column::5] for column in range(5)},
            "held out": {"x": batch["x"]},
        }


def build(
    networks: Annotated[SamplingNetworks, Choices(norm=("batch", "none"))],
    adversary: SamplingAdversary,
    *,
    names: list[str] | None = None,
    slope: float = 0.2,
) -> GAN:
    """One folder of pictures: new ones like them, out of noise (Goodfellow et al. 2014).

    Args:
        names: names of the kinds of pictures, where the data knows them; they are counted among the samples.
        slope: mlp: slope of the leaky ReLU below 0; 0 is ReLU.
        norm: normalisation in the generator.
    """
    G, D = networks.make_generator(slope), networks.make_discriminator(adversary, slope)
    return GAN(G, D, networks.z_size, names or [], adversary)
