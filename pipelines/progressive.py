"""Progressive growing: pictures from noise, of 4 x 4 pixels at first, which double as both networks grow.

Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and Variation, ICLR 2018
https://arxiv.org/abs/1710.10196

    min_G max_D  E_x [D(x)] - E_z [D(G(z))] - 10 E_x^ [(|grad D(x^)| - 1)^2] - 0.001 E_x [D(x)^2]            (App. A.1)

Each phase of the schedule has pictures of its own size. Where they are twice as large as before, the new layers are
faded in by alpha, which rises from 0 to 1 (Fig. 2). x^ lies between x and G(z) (Gulrajani et al. 2017, Eq. 3, WGAN-GP).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quagga.data.images import Pictures
from quagga.errors import BadInput
from quagga.fields import noise, picture
from quagga.models.network_mode import judge_means
from quagga.models.progressive import ProgressiveGenerator, blended, enlarged, reduced
from quagga.pipelines.core import Adversary, Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.losses import at_least_float32
from quagga.pipelines.core.options import GrowingNetworks, SamplingAdversary
from quagga.pipelines.core.sample_metrics import diversity, pass_in_parts
from quagga.pipelines.core.several_logits import Logits, own_logits

data = Pictures  # opens the training data
# The paper's, of 800,000 images to fade in and as many to stabilise, are in the recipe progressive-paper.
PHASES = [{"images": 20_480, "size": 4}, *({"images": 40_960, "size": n} for n in (8, 16, 32)), {"images": 81_920}]
defaults = {"batch_size": 16, "lr_batch": 16, "lr": 1e-3, "beta1": 0.0, "beta2": 0.99, "decay": 0.0, "samples": 10}
defaults |= {"size": 64, "phases": PHASES}
shown = "width wide_until fade"  # in the short help
ROWS = 8  # that pass at a time where nothing is learned: pictures may have 1,024 pixels
WGAN_GP = Adversary(objective="wasserstein", penalty="gradient_penalty")


@dataclass
class Progressive:
    """The game, as `quagga.Game`. Batches hold "x", (N, C, side, side) in [-1, 1], of the side of the phase."""

    G: ProgressiveGenerator  # z (N, z_size), side, alpha -> x
    D: nn.Module  # x, alpha -> logits (N, 1)
    z_size: int
    grows: tuple[bool, ...] = (False,)  # whether a phase, by its number, has larger pictures than the one before
    fade: float = 0.5
    lambda_drift: float = 0.001
    adversary: Adversary = WGAN_GP

    fresh_noise = True

    def __post_init__(self):
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}
        self.exports = {"G": Export(self.G, inputs=(noise("z", self.z_size),), output=picture("x"))}
        self.memory = {}

    def check_size(self, size: int) -> None:
        """Raises ValueError if pictures of `size` pixels are none of those it grows through."""
        if size not in self.G.sides:
            raise ValueError(f"it grows through {', '.join(map(str, self.G.sides))}")

    def alpha(self, draw: Draw, like: Tensor) -> Tensor | None:
        """Returns the weight of the newest layers, () in [0, 1), on the device of `like`; None where it is 1."""
        phase, share = draw.progress
        if not self.grows[phase] or share >= self.fade:
            return None
        return like.new_full((), share / self.fade)  # a tensor: compilers would take each number for another function

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns as many samples as the batch has rows, (N, C, side, side), and notes in G how far it has grown."""
        x = batch["x"]
        alpha = self.alpha(draw, x)
        self.G.grow(x.shape[-1], alpha)
        return {"G(z)": self.G(draw.normal((self.z_size,), like=x), x.shape[-1], alpha)}

    def judge(self, alpha: Tensor | None) -> Callable[[Tensor], Logits]:
        """Returns D at this alpha, as a function of pictures alone."""
        return lambda x: self.D(x, alpha)

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """App. A.1 for D. Real and fake pass separately: the deviation of a minibatch is that of one kind."""
        alpha = self.alpha(draw, batch["x"])
        D, real = self.judge(alpha), self.adversary.augment(faded(batch["x"], alpha), draw)
        fake = self.adversary.augment(fakes["G(z)"], draw)
        real_logits, fake_logits = D(real), D(fake)
        terms = {"D": self.adversary.loss.discriminator(real_logits, fake_logits)}
        terms |= self.adversary.penalty_term("D", D, real, fake, draw)
        if self.lambda_drift and self.adversary.discriminator != "projected":  # whose heads play hinge
            terms["D_drift"] = self.lambda_drift * at_least_float32(own_logits(real_logits)).square().mean()
        read = self.adversary.readings("D", real_logits, fake_logits)
        return Loss(terms, read | {"alpha": batch["x"].new_ones(()) if alpha is None else alpha})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """App. A.1 for G: D sees the fakes augmented as for its own loss."""
        alpha = self.alpha(draw, batch["x"])
        real = faded(batch["x"], alpha)
        return Loss({"G": self.adversary.generator_loss(self.judge(alpha), real, fakes["G(z)"], draw)})

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns D's mean logit for held-out pictures, "D/real"; and the samples' "diversity": the mean difference of
        two as a share of that of two pictures."""
        x, alpha = batch["x"], self.alpha(draw, batch["x"])
        real = [judge_means(self.D(part, alpha)) for part in faded(x, alpha).split(ROWS)]
        terms = {"D/real": torch.cat(real).mean()}
        if len(x) > 1:
            z = draw.normal((self.z_size,), like=x)
            samples = pass_in_parts(lambda part: self.G(part, x.shape[-1], alpha), z, rows=ROWS).to(x.dtype)
            terms["diversity"] = diversity(samples, faded(x, alpha))
        return terms

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns a sheet of 25 samples of the same noise every time, and held-out pictures as D sees them."""
        x, alpha = batch["x"], self.alpha(draw, batch["x"])
        z = draw.normal((25, self.z_size), like=x)[0]
        samples = pass_in_parts(lambda part: self.G(part, x.shape[-1], alpha), z, rows=ROWS).clamp(-1, 1)
        sheet = {f"G(z {column + 1})": samples[column::5] for column in range(5)}
        return {"samples": sheet, "held out": {"x": faded(x, alpha)}}


def faded(x: Tensor, alpha: Tensor | None) -> Tensor:
    """Returns real pictures (N, C, side, side) between half their resolution and their own, as G's are (App. A.1)."""
    return x if alpha is None else blended(enlarged(reduced(x)), x, alpha)


def build(
    networks: GrowingNetworks,
    adversary: SamplingAdversary = WGAN_GP,
    *,
    fade: float = 0.5,
    lambda_drift: float = 0.001,
    phases: list[dict[str, int | float | None]] | None = None,
) -> Progressive:
    """One folder of pictures: new ones like them, small at first, then doubled again and again (Karras et al. 2018).

    Args:
        fade: share of a phase with larger pictures in which its layers are faded in; 0: they count at once.
        lambda_drift: weight of the mean square of D's logits of real pictures, which keeps them near 0; 0: without.
        phases: parts of the run, with images and size of their pictures, twice that of the part before or the same,
            see docs/runs.md; None: the whole size from the start.
    """
    if not 0 <= fade <= 1:
        raise BadInput(f"fade is {fade}: it is a share of a phase, from 0 to 1")
    if lambda_drift < 0:
        raise BadInput(f"lambda_drift is {lambda_drift}: it must be 0 or more")
    G, D = networks.make_generator(), networks.make_discriminator(adversary)
    return Progressive(G, D, networks.noise_size, networks.growth(phases), fade, lambda_drift, adversary)
