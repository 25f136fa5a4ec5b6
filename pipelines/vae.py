"""VAE: a picture as a distribution of codes; and new pictures, made of noise.

Kingma, Welling: Auto-Encoding Variational Bayes, ICLR 2014
https://arxiv.org/abs/1312.6114

    max_{theta, phi} E_q(z|x) log p(x|z) - beta KL(q(z|x) || p(z)),   p(z) = N(0, 1)             (Eq. 3, beta = 1)

The encoder E gives mean and variance of q(z|x), of which z is drawn; the decoder G gives the mean of p(x|z). The value
is a bound of log p(x) from below (ELBO). beta above 1 presses the code together (Higgins et al. 2017,
https://openreview.net/forum?id=Sy2fzU9gl). A game with one player: there is no discriminator.
"""

from dataclasses import dataclass
from math import log, pi
from typing import Annotated, Literal

from torch import Tensor, nn

from quagga.data.images import Pictures
from quagga.errors import BadInput
from quagga.fields import code, noise, picture
from quagga.models import PosteriorMean
from quagga.option_groups import Choices
from quagga.pipelines.core import Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.losses import at_least_float32
from quagga.pipelines.core.options import CodingNetworks
from quagga.pipelines.core.sample_metrics import diversity, pass_in_parts

data = Pictures  # opens the training data
defaults = {"batch_size": 64, "lr_batch": 64, "epochs": 50, "lr": 1e-3, "beta1": 0.9, "samples": 8}
shown = "network code_size beta"  # in the short help
EPSILON = 1e-6  # probabilities of 0 and 1 have no logarithm


@dataclass
class VAE:
    """The game, as `quagga.Game`. Batches hold "x", (N, C, H, W) in [-1, 1]."""

    E: nn.Module  # x -> mean and log variance of q(z|x), (N, 2 m)
    G: nn.Module  # z (N, m) -> mean of p(x|z)
    m: int
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    sigma: float = 0.5  # of the Gaussian p(x|z), in a range of 2
    beta: float = 1.0

    fresh_noise = True

    def __post_init__(self):
        self.generators, self.discriminators, self.memory = {"E": self.E, "G": self.G}, {}, {}
        x = picture("x")
        self.exports = {
            "G": Export(self.G, inputs=(noise("z", self.m),), output=x),
            "E": Export(PosteriorMean(self.E), inputs=(x,), output=code("z", self.m)),
        }

    def generate(self, batch: Batch, draw: Draw) -> dict[str, Tensor]:
        """Returns q(z|x) as "mu" and "log_var", (N, m), and the mean of p(x|z) of a z drawn of it (Eq. 10)."""
        mu, log_var = at_least_float32(self.E(batch["x"])).chunk(2, 1)
        z = mu + (log_var / 2).exp() * draw.normal((self.m,), like=mu)
        return {"mu": mu, "log_var": log_var, "G(z)": self.G(z)}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """There is no discriminator, so this is never asked."""
        return Loss({})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """Eq. 3 with its sign turned, in nats a picture; the bound itself, whatever beta is, is a reading."""
        reconstruction = self.surprise(batch["x"], fakes["G(z)"])
        divergence = kl(fakes["mu"], fakes["log_var"])
        bound = -(reconstruction + divergence).detach()
        return Loss({"reconstruction": reconstruction, "KL": self.beta * divergence}, {"ELBO": bound})

    def surprise(self, x: Tensor, mean: Tensor) -> Tensor:
        """Returns -log p(x|z), (N, C, H, W) each in [-1, 1], in nats a picture, a mean over the rows (App. C)."""
        x, mean = at_least_float32(x), at_least_float32(mean)
        if self.likelihood == "bernoulli":  # a pixel is white with the probability that its grey value says
            p, white = ((mean + 1) / 2).clamp(EPSILON, 1 - EPSILON), (x + 1) / 2
            return -(white * p.log() + (1 - white) * (1 - p).log()).flatten(1).sum(1).mean()
        nats = (x - mean).square() / (2 * self.sigma**2) + log(self.sigma) + log(2 * pi) / 2
        return nats.flatten(1).sum(1).mean()

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns held-out pictures beside what their codes' means become, and 25 samples of the same noise."""
        x, z = batch["x"], draw.normal((25, self.m), like=batch["x"])[0]
        samples = self.G(z)
        again = self.G(self.E(x).chunk(2, 1)[0])
        return {
            "again": {"x": x, "G(E(x))": again},
            "samples": {f"G(z {column + 1})": samples[column::5] for column in range(5)},
        }

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns for held-out pictures both parts of the bound, and the bound, with the mean of q(z|x) as z; and the
        samples' diversity: the mean difference of two as a share of that of two pictures."""
        x = batch["x"]
        mu, log_var = at_least_float32(pass_in_parts(self.E, x)).to(x.dtype).chunk(2, 1)
        reconstruction, divergence = self.surprise(x, pass_in_parts(self.G, mu)), kl(mu, log_var)
        terms = {"reconstruction": reconstruction, "KL": divergence, "ELBO": -reconstruction - divergence}
        if len(x) > 1:
            terms["diversity"] = diversity(pass_in_parts(self.G, draw.normal((self.m,), like=x)).to(x.dtype), x)
        return terms


def kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """Returns KL(N(mu, var) || N(0, 1)) of (N, m), in nats a picture, a mean over the rows (App. B)."""
    return (mu.square() + log_var.exp() - 1 - log_var).sum(1).mean() / 2


def build(
    networks: Annotated[CodingNetworks, Choices(activation=("tanh", "relu"))],
    *,
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian",
    sigma: float = 0.5,
    beta: float = 1.0,
) -> VAE:
    """One folder of pictures: new ones like them, out of noise, and a code of each (Kingma & Welling 2014).

    Args:
        likelihood: p(x|z): gaussian, of deviation sigma around G(z); or bernoulli, for black and white.
        sigma: deviation of the Gaussian in a range of 2: the smaller, the more counts the picture and the less that
            codes are like noise.
        beta: weight of the divergence of codes from noise; 1 is the bound (Higgins et al. 2017).
    """
    for name, value in (("sigma", sigma), ("beta", beta)):
        if not value > 0:
            raise BadInput(f"{name} is {value}: it must be above 0")
    _, size, _ = networks.shape
    E, G = networks.make_encoder(size, numbers=2, bounded=False), networks.make_decoder(size)
    return VAE(E, G, networks.code_size, likelihood, sigma, beta)
