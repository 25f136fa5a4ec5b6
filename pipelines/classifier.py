"""Classifier: what a picture shows, as the probability of each class or attribute.

The method of maximum likelihood, e.g. Bishop: Pattern Recognition and Machine Learning, Springer 2006, Sec. 4.3.4 and
4.3.2, https://www.microsoft.com/en-us/research/people/cmbishop/prml-book/

    min_C -E log p_C(c|x)                                                                   (Eq. 4.108; 4.90)

A game with one player: there is no discriminator. It is the judge of other games, whose pictures it reads and of which
it must have seen nothing.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from quagga.data.conditioned import Conditioned
from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.fields import picture
from quagga.models.arguments import MAX_CHANNELS
from quagga.models.blocks.composed import Composed
from quagga.models.blocks.layers import Norm
from quagga.models.classifier import CodeClassifier, ConvClassifier, DeepClassifier, Posterior
from quagga.pipelines.core import Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.losses import at_least_float32
from quagga.pipelines.core.option_checks import check_bounds
from quagga.pipelines.core.options import CodingNetworks
from quagga.pipelines.core.sample_metrics import pass_in_parts

data = Conditioned  # opens the training data
defaults = {"batch_size": 64, "lr_batch": 64, "epochs": 20, "lr": 1e-3, "beta1": 0.9, "samples": 10}
shown = "network width"  # in the short help
COLUMNS = 9  # classes or attributes that a strip shows


@dataclass
class Classifier:
    """The game, as `quagga.Game`. Batches hold "x", (N, C, H, W) in [-1, 1], and "c", what each shows: int64 (N,)
    classes, or float (N, A) attributes in [0, 1]."""

    C: nn.Module  # x, or with Phi its code -> logits (N, K)
    conditions: Conditions  # their kind and names
    Phi: nn.Module | None = None  # an autoencoder's encoder, x -> code (N, m)

    fresh_noise = False

    def __post_init__(self):
        self.generators = {"C": self.C} if self.Phi is None else {"Phi": self.Phi, "C": self.C}
        self.discriminators, self.memory = {}, {}
        self.logits = self.C if self.Phi is None else Composed([self.Phi, self.C])
        network = Posterior(self.logits, "class" if self.conditions.kind == "class" else "attributes")
        self.exports = {"C": Export(network, inputs=(picture("x"),), output=self.conditions.field("c"))}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns the logits, (N, K)."""
        return {"C(x)": self.logits(batch["x"])}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """There is no discriminator, so this is never asked."""
        return Loss({})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """The cross-entropy, and beside it the share of right answers."""
        logits, c = fakes["C(x)"], batch["c"]
        return Loss({"C": self.cross_entropy(logits, c)}, {"C/accuracy": self.right(logits.detach(), c).mean()})

    def cross_entropy(self, logits: Tensor, c: Tensor) -> Tensor:
        """Returns -E log p_C(c|x), of attributes the mean over them, a scalar in float32 at least."""
        logits = at_least_float32(logits)
        if self.conditions.kind == "class":
            return cross_entropy(logits, c)  # Eq. 4.108
        return binary_cross_entropy_with_logits(logits, c)  # Eq. 4.90

    def right(self, logits: Tensor, c: Tensor) -> Tensor:
        """Returns which answers are right, 0 or 1: (N,) for classes, (N, A) for attributes, of which one is said to be
        there from a probability of 1/2 on."""
        answers = logits.argmax(1) == c if self.conditions.kind == "class" else (logits > 0) == (c > 0.5)
        return answers.float()

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns held-out pictures, each in the columns of what is read in it, and grey in the others. Columns are the
        classes of these pictures, or the first attributes; beside them stands what was read as any other class."""
        x, c, logits = batch["x"], batch["c"], self.logits(batch["x"])
        if self.conditions.kind == "class":
            columns = c.unique()[:COLUMNS]
            read = logits.argmax(1)[:, None] == columns
            read = torch.cat([read, ~read.any(1, keepdim=True)], dim=1)
            names = [*(self.conditions.names[number] for number in columns.tolist()), "another"]
        else:
            read, names = logits[:, :COLUMNS] > 0, self.conditions.names[:COLUMNS]
        return {"read as": {name: x * each[:, None, None, None] for name, each in zip(names, read.T, strict=True)}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns the cross-entropy and the share of right answers for held-out pictures; of attributes also that of
        each."""
        logits, c = pass_in_parts(self.logits, batch["x"]).to(batch["x"].dtype), batch["c"]
        right = self.right(logits, c)
        terms = {"cross_entropy": self.cross_entropy(logits, c), "accuracy": right.mean()}
        if self.conditions.kind == "attributes":
            terms |= {f"accuracy/{name}": right[:, n].mean() for n, name in enumerate(self.conditions.names)}
        return terms


def build(
    *,
    condition: Literal["class", "attributes", "caption"] = "class",
    names: list[str] | None = None,
    size: int | None = None,
    x_channels: int | None = None,
    network: Literal["small", "deep", "encoder"] = "small",
    width: int = 32,
    code_size: int = 16,
    norm: Norm = "batch",
    dropout: float = 0.3,
) -> Classifier:
    """Pictures with a class or attributes: it says which ones a new picture has.

    Args:
        condition: what is known of each picture: its class, or attributes.
        names: the classes or attributes, in order; None takes the data's.
        size: side of the square pictures; None takes the data's.
        x_channels: channels of the pictures: 3 for colour, 1 for grey; None takes the data's.
        network: small, for digits, icons and faces that fill the picture; deep, which finds an animal anywhere in a
            photo, and takes longer to learn; or encoder, that of an autoencoder of convolutions, which --init_from
            takes from its run.
        width: channels of the first layers.
        code_size: encoder: numbers of its code.
        norm: normalisation after every convolution.
        dropout: share of the values before the last layer that are dropped.
    """
    if names is None or x_channels is None:
        raise BadInput("the pictures' names and channels are not known: say --names and --x_channels")
    if condition == "caption":
        raise BadInput("a caption is no class: make a table of attributes of its words, --condition attributes")
    if not 0 <= dropout < 1:
        raise BadInput(f"dropout is {dropout}: it is a share, from 0 to below 1")
    conditions = Conditions(condition, names)
    if network == "encoder":
        if norm == "instance":
            raise BadInput("an autoencoder's encoder has no instance norm: take --norm batch or none")
        networks = CodingNetworks(size, x_channels, "conv", code_size, width, norm=norm)
        C, (_, side, _) = CodeClassifier(code_size, conditions.count, dropout), networks.shape
        return Classifier(C, conditions, networks.make_encoder(side))
    make, widest = {"small": (ConvClassifier, 4), "deep": (DeepClassifier, 8)}[network]  # widest layer, in widths
    check_bounds((("x_channels", x_channels, MAX_CHANNELS), ("width", width, MAX_CHANNELS // widest)))
    return Classifier(make(x_channels, conditions.count, width, norm, dropout), conditions)
