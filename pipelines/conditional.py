"""Conditional GAN: pictures from noise and a condition: a class, attributes, a caption.

Mirza, Osindero: Conditional Generative Adversarial Nets, 2014
https://arxiv.org/abs/1411.1784

    min_G max_D V(D, G) = E_x [log D(x|c)] + E_z [log(1 - D(G(z|c)|c))]                     (Eq. 2)

Both networks see the condition, each through an encoder of its own. With captions D also sees real pictures with
another picture's caption, which it must call wrong (Reed et al. 2016, https://arxiv.org/abs/1605.05396, Algorithm 1):
otherwise it could win by judging pictures alone.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from quagga.data.conditioned import Conditioned
from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.fields import noise, picture
from quagga.models.blocks.encoders import ConditionName
from quagga.models.joint_pass import joint_pass
from quagga.models.network_mode import evaluation_logits
from quagga.pipelines.core import Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.condition_grid import SAMPLES_PER_CONDITION, condition_grid
from quagga.pipelines.core.options import Adversary, ConditionalNetworks, SamplingAdversary, SamplingNetworks
from quagga.pipelines.core.sample_metrics import diversity, nearest_class, pass_in_parts
from quagga.pipelines.core.several_logits import own_logits, where

data = Conditioned  # opens the training data
# Learning rates do not decay (Radford et al. 2016, Sec. 4).
defaults = {"batch_size": 64, "lr_batch": 64, "epochs": 50, "decay": 0.0, "samples": 10}
shown = "network diffaugment"  # in the short help


@dataclass
class Conditional:
    """The game of Eq. 2, as `quagga.Game`. Batches hold "x", (N, C, H, W) in [-1, 1], and "c",
    their conditions: int64 (N,) classes, float (N, A) attributes, or int64 (N, L) tokens, 0 for padding; and "other",
    the condition of another picture."""

    G: nn.Module  # z (N, z_size), c -> x
    D: nn.Module  # x, c -> logits (N, 1)
    conditions: Conditions  # their kind and names
    z_size: int = 100
    adversary: Adversary = Adversary()
    mismatched: bool = False

    fresh_noise = True

    def __post_init__(self):
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}
        inputs = noise("z", self.z_size), self.conditions.field("c")
        self.exports = {"G": Export(self.G, inputs, output=picture("x"))}
        self.memory = {}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns samples with the batch's own conditions, so that their frequencies are the data's (Algorithm 1)."""
        return {"G(z,c)": self.G(draw.normal((self.z_size,), like=batch["x"]), batch["c"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 2 for D. Real and fake pass separately if batch norm would mix them. A relativistic objective compares a
        real picture with the fake of its condition, and if D sees wrong conditions, with itself beside one."""
        c, loss = batch["c"], self.adversary.loss
        real, fake = self.adversary.augment(batch["x"], draw), self.adversary.augment(fakes["G(z,c)"], draw)
        inputs = [(real, c), (fake, c), *([(real, batch["other"])] if self.mismatched else [])]
        real_logits, fake_logits, *other_logits = joint_pass(self.D, *inputs)
        terms = {"D": loss.discriminator(real_logits, fake_logits)}  # Eq. 2, for D
        readings = self.adversary.readings("D", real_logits, fake_logits)
        if self.mismatched:
            # If the other picture has the same condition, that is not wrong: the row's fake replaces it.
            wrong = rows_differ(batch["other"], c)
            wrong_logits = where(wrong, other_logits[0], fake_logits)
            terms["D"] = (terms["D"] + loss.discriminator(real_logits, wrong_logits)) / 2  # Reed et al. 2016, Alg. 1
            readings["D/mismatched"] = own_logits(wrong_logits).detach().float().mean()
        terms |= self.adversary.penalty_term("D", lambda x: self.D(x, c), real, fake, draw)
        return Loss(terms, readings)

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 2 for G: D sees each fake, augmented as for its own loss, with the condition it was made from."""
        x, c, fake = batch["x"], batch["c"], fakes["G(z,c)"]
        return Loss({"G": self.adversary.generator_loss(lambda x: self.D(x, c), x, fake, draw)})  # Eq. 2, for G

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Measures on held-out pictures whether D uses the condition, and whether G's pictures vary and obey it.

        "D/matching", "D/mismatching": D's mean logit with a picture's own condition and with its neighbour's.
        "diversity": the mean difference of two samples as a share of that of two held-out pictures, of the same
        condition if any two share one. "obeyed", for classes: of the samples, those that are nearest to the mean
        held-out picture of their own class, a rough measure.
        """
        x, c = batch["x"], batch["c"]
        others, differ = batch["other"], rows_differ(batch["other"], c)
        terms = {"D/matching": evaluation_logits(self.D, x, c).mean()}
        if differ.any():
            terms["D/mismatching"] = evaluation_logits(self.D, x, others)[differ].mean()
        samples = pass_in_parts(self.G, draw.normal((self.z_size,), like=x), c).to(x.dtype)
        if len(x) > 1:
            terms["diversity"] = diversity(samples, x, c)
        if c.ndim == 1:
            terms["obeyed"] = (nearest_class(samples, x, c) == c).float().mean()
        return terms

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns a grid of samples, a column for each condition, of the same noise throughout the run."""
        z = draw.normal((SAMPLES_PER_CONDITION, self.z_size), like=batch["x"])[0]
        return {"real, and samples": condition_grid(self.G, z, batch["x"], batch["c"], self.conditions)}


def rows_differ(a: Tensor, b: Tensor) -> Tensor:
    """Returns which rows of two batches of conditions differ, bool (N,)."""
    return (a != b).flatten(1).any(1) if a.ndim > 1 else a != b


def build(
    networks: SamplingNetworks,
    conditional: ConditionalNetworks,
    adversary: SamplingAdversary,
    *,
    condition: ConditionName = "class",
    names: list[str] | None = None,
    caption_length: int = 16,
    mismatched: bool | None = None,
) -> Conditional:
    """Pictures with a class, attributes or a caption: new ones as asked for (Mirza & Osindero 2014).

    Args:
        condition: what is known of each picture.
        names: the classes, attributes or words, in order; None takes the data's.
        caption_length: words of a caption that are read.
        mismatched: D also sees real pictures with the wrong condition (Reed et al. 2016); None does so for captions.
    """
    if names is None or networks.size is None or networks.x_channels is None:
        raise BadInput("the pictures' names, size and channels are not known: say --names, --size and --x_channels")
    conditions = Conditions(condition, names, caption_length)
    sees_condition = conditional.conditional_discriminator
    if mismatched is None:
        mismatched = condition == "caption" and sees_condition
    if mismatched and not sees_condition:
        raise BadInput("a D that does not see the condition cannot call it wrong: leave out --mismatched true")
    return Conditional(
        G=conditional.make_generator(networks, condition, conditions.count),
        D=conditional.make_discriminator(networks, adversary, condition, conditions.count),
        conditions=conditions,
        z_size=networks.z_size,
        adversary=adversary,
        mismatched=mismatched,
    )
