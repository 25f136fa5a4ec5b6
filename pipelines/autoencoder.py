"""Autoencoder: a picture as a few numbers, from which it is made again. No labels are needed.

Hinton, Salakhutdinov: Reducing the Dimensionality of Data with Neural Networks, Science 313, 2006
https://www.cs.toronto.edu/~hinton/science.pdf

    min_{Phi, Psi} E,   E = sum |x - Psi(Phi(x))|^2

The encoder Phi: R^n -> R^m, the decoder Psi: R^m -> R^n, m < n. With linear layers the code spans the space of the m
principal components (Baldi & Hornik 1989). A denoising one is given x with noise and must find x (Vincent et al. 2008,
https://dl.acm.org/doi/10.1145/1390156.1390294). A game with one player: there is no discriminator.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quagga.data.images import Pictures
from quagga.errors import BadInput
from quagga.fields import code, picture
from quagga.models import AreaDecoder, AreaEncoder, Composed
from quagga.pipelines.core import Batch, Draw, Export, Images, Loss, Terms
from quagga.pipelines.core.losses import at_least_float32
from quagga.pipelines.core.options import CodingNetworks
from quagga.pipelines.core.sample_metrics import pass_in_parts

data = Pictures  # opens the training data
defaults = {"batch_size": 64, "lr_batch": 64, "epochs": 50, "lr": 1e-3, "beta1": 0.9, "samples": 8}
shown = "network area code_size"  # in the short help


@dataclass
class Autoencoder:
    """The game, as `quagga.Game`. Batches hold "x", (N, C, H, W) in [-1, 1]."""

    Phi: nn.Module  # x, or an area of it -> (N, m)
    Psi: nn.Module  # and back
    shape: tuple[int, int, int]  # of the pictures
    m: int  # numbers of a code: of an area, where the code is made of areas
    area: int | None = None  # side in pixels; None: the whole picture
    noise: float = 0.0  # its deviation

    fresh_noise = False

    def __post_init__(self):
        self.generators, self.discriminators, self.memory = {"Phi": self.Phi, "Psi": self.Psi}, {}, {}
        _, height, width = self.shape
        encoder, decoder, size = self.Phi, self.Psi, self.m
        if self.area:
            encoder, decoder = AreaEncoder(self.Phi, self.area), AreaDecoder(self.Psi, self.shape, self.area)
            size = self.m * (height // self.area) * (width // self.area)
        x, z = picture("x"), code("z", size)
        self.whole = Composed([encoder, decoder])
        self.exports = {
            "Phi": Export(encoder, inputs=(x,), output=z),
            "Psi": Export(decoder, inputs=(z,), output=x),
        }

    def generate(self, batch: Batch, draw: Draw) -> Images:
        """Returns what is encoded, "x", a picture or an area cut out of it at random, and what becomes of it."""
        x = self.cut(batch["x"], draw)
        seen = x + self.noise * draw.normal(x.shape[1:], like=x) if self.noise else x
        return {"x": x, "Psi(Phi(x))": self.Psi(self.Phi(seen))}

    def cut(self, x: Tensor, draw: Draw) -> Tensor:
        """Returns an area of each picture (N, C, H, W), at a place of its own: (N, C, area, area)."""
        if not self.area:
            return x
        a, room = self.area, self.shape[1] - self.area + 1  # places in a row, and in a column
        places = (draw.numbers(2) * room).astype(int)
        return torch.stack([one[:, i : i + a, j : j + a] for one, (i, j) in zip(x, places, strict=True)])

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """There is no discriminator, so this is never asked."""
        return Loss({})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        """E, as a mean over the rows."""
        return Loss({"E": squared_error(fakes["x"], fakes["Psi(Phi(x))"])})

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        """Returns held-out pictures, what is encoded of them where there is noise, and what is made again."""
        x = batch["x"]
        seen = x + self.noise * draw.normal(x.shape[1:], like=x)
        noisy = {"x with noise": seen.clamp(-1, 1)} if self.noise else {}
        return {"again": {"x": x, **noisy, "Psi(Phi(x))": self.whole(seen).clamp(-1, 1)}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        """Returns for held-out pictures without noise E, the mean of a whole picture, and the PSNR in decibels, where
        the range of 2 is the peak."""
        x = batch["x"]
        error = squared_error(x, pass_in_parts(self.whole, x))
        return {"E": error, "PSNR": 10 * (4 * x[0].numel() / error).log10()}


def squared_error(x: Tensor, again: Tensor) -> Tensor:
    """Returns sum |x - again|^2, a mean over the rows, in float32 at least."""
    return (at_least_float32(x) - at_least_float32(again)).square().flatten(1).sum(1).mean()


def build(networks: CodingNetworks, *, area: int | None = None, noise: float = 0.0) -> Autoencoder:
    """One folder of pictures: each as a few numbers, and made of them again (Hinton & Salakhutdinov 2006).

    Args:
        area: side in pixels of the areas by which pictures are coded, each by itself; None codes a picture as a whole.
        noise: deviation of the noise that is added to what is encoded, in a range of 2: a denoising autoencoder; 0 adds
            none.
    """
    _, size, _ = networks.shape
    if area is not None and (area < 1 or size % area):
        raise BadInput(f"pictures of {size} pixels are not made of areas of {area}: take a divisor, such as --area 8")
    if not noise >= 0:
        raise BadInput(f"noise is {noise}: it is a deviation, 0 or more")
    Phi, Psi = networks.make_encoder(area or size), networks.make_decoder(area or size)
    return Autoencoder(Phi, Psi, networks.shape, networks.code_size, area, noise)
