"""A classifier that learns the user's own pictures in a minute, to say what others show: the judge.

It is `quagga train classifier --network deep`, small, at up to 96 pixels, without a run around it. No picture judges
itself: where pictures are many, those that are judged are not trained on at all; where they are few, each is judged by
the one of two classifiers that has not seen it (two-fold cross-validation).

What it cannot see: what a picture of 96 pixels does not show, and whether a picture is a good one. Mush with a zebra's
colours may well pass for a zebra. So its verdict stands beside distances, and beside how often it is right on real
pictures.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quagga.data.transforms.conditions import Conditions
from quagga.evaluation.measures.figures import Figure, drawn
from quagga.inference.channels import tensor_to_channels
from quagga.models.classifier import DeepClassifier

SIDE = 96  # pixels at most: at 64 the stripes of a distant zebra are gone
WIDTH, BATCH, LR, IMAGES = 16, 32, 4e-3, 12_000  # of the training; 45 s of one core at 96 pixels, all of IMAGES
SHIFT = 6  # pixels at most, by which a picture is moved in training
AREA = 0.6  # of a photo, that is shown at least
GREY = 0.25  # share of photos whose colours are taken away, so that not every brown thing is a horse
NEVER = -1  # fold of pictures that are judged by nobody, so that all may learn of them
DRAWS = 40  # of the pictures, for the Frechet distance


@dataclass(frozen=True)
class Judges:
    """Classifiers, each of which has learned all pictures but those of its fold.

    Args:
        networks: One for each fold.
        conditions: The classes or attributes that they know.
    """

    networks: list[DeepClassifier]
    conditions: Conditions

    @torch.no_grad()
    def probabilities(self, x: Tensor, fold: Tensor) -> Tensor:
        """(N, C, S, S) in [-1, 1], of which each is of a fold, int64 (N,) -> the probability of each name, (N, K)."""
        parts = self._seen(x).split(64)
        logits = torch.stack([torch.cat([network(part) for part in parts]) for network in self.networks])
        own = logits[fold % len(self.networks), torch.arange(len(x))]
        return own.softmax(1) if self.conditions.kind == "class" else own.sigmoid()

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """(N, C, S, S) in [-1, 1] -> what the first classifier's last layer sees, (N, 128)."""
        return torch.cat([self.networks[0].hidden(part) for part in self._seen(x).split(64)])

    def _seen(self, x: Tensor) -> Tensor:
        """What a classifier sees of pictures: at most 96 pixels a side, in the channels that it has learned."""
        first = self.networks[0].body[0]
        assert isinstance(first, nn.Conv2d)
        return tensor_to_channels(small(x), first.in_channels)


def small(x: Tensor) -> Tensor:
    """(N, C, S, S) -> the same at 96 pixels, or as it is where it has fewer."""
    return F.interpolate(x, size=SIDE, mode="area") if x.shape[-1] > SIDE else x


def train_judges(
    x: Tensor, c: Tensor, fold: Tensor, folds: int, conditions: Conditions, photos: bool = False
) -> Judges:
    """Trains a classifier for each fold, on the pictures of all others.

    Args:
        x: (N, C, S, S) in [-1, 1], of up to 96 pixels.
        c: What they show: int64 (N,) classes, or float (N, A) attributes.
        fold: int64 (N,), 0 to folds - 1, or NEVER.
        folds: How many.
        conditions: The classes or attributes.
        photos: Whether they are the same in part, and with other light and colours, as the two kinds of a translation
            are; a digit or the colour of hair would not be.
    """
    networks = []
    with torch.random.fork_rng(devices=[]):
        for number in range(folds):
            torch.manual_seed(number)
            seen = fold != number
            networks.append(_trained(x[seen], c[seen], conditions, photos))
    return Judges(networks, conditions)


def _trained(x: Tensor, c: Tensor, conditions: Conditions, photos: bool) -> DeepClassifier:
    network = DeepClassifier(x.shape[1], conditions.count, WIDTH, "batch", 0.3)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    x, weights = x.to(memory_format=torch.channels_last), _evenly(c, conditions)
    steps = IMAGES // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    # Digits and letters are others in a mirror; that is asked of the classes' names, which is all that is known here.
    mirrored = not all(len(name) == 1 for name in conditions.names)
    shift = min(SHIFT, x.shape[-1] // 10)
    network.train()
    for _ in range(steps):
        chosen = torch.multinomial(weights, BATCH, replacement=True)
        batch = _other_light(_parts(x[chosen])) if photos else _moved(x[chosen], shift, mirrored)
        logits = network(batch)
        if conditions.kind == "class":
            loss = F.cross_entropy(logits, c[chosen])
        else:
            loss = F.binary_cross_entropy_with_logits(logits, c[chosen].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return network.eval().requires_grad_(False)


def _moved(x: Tensor, shift: int, mirrored: bool) -> Tensor:
    """The pictures moved by up to `shift` pixels, half of them mirrored: by chance."""
    if mirrored:
        x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x, x.flip(3))
    if not shift:
        return x
    down, right = torch.randint(0, 2 * shift + 1, (2,)).tolist()
    padded = F.pad(x, (shift,) * 4, mode="replicate")
    return padded[..., down : down + x.shape[-2], right : right + x.shape[-1]]


def _parts(x: Tensor) -> Tensor:
    """Parts of pictures of AREA of them at least, enlarged to their size, half of them mirrored: by chance."""
    side = torch.empty(len(x)).uniform_(AREA, 1).sqrt()
    matrix = torch.zeros(len(x), 2, 3)
    matrix[:, 0, 0] = torch.where(torch.rand(len(x)) < 0.5, -side, side)
    matrix[:, 1, 1] = side
    matrix[:, :, 2] = (2 * torch.rand(len(x), 2) - 1) * (1 - side)[:, None]
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _other_light(x: Tensor) -> Tensor:
    """Pictures in another light, and with stronger, weaker or no colours: by chance."""

    def chance(low: float, high: float) -> Tensor:
        return torch.empty(len(x), 1, 1, 1).uniform_(low, high)

    grey = x.mean(1, keepdim=True)
    colours = torch.where(torch.rand(len(x), 1, 1, 1) < GREY, 0.0, chance(0.4, 1.4))
    x = grey + colours * (x - grey)
    middle = x.mean((1, 2, 3), keepdim=True)
    return ((x - middle) * chance(0.7, 1.3) + middle + chance(-0.3, 0.3)).clamp(-1, 1)


def _evenly(c: Tensor, conditions: Conditions) -> Tensor:
    """How often each picture is drawn: every class as often as any other."""
    if conditions.kind != "class":
        return torch.ones(len(c))
    return 1 / torch.bincount(c, minlength=conditions.count)[c].float()


@dataclass(frozen=True)
class FeatureReference:
    """Real pictures in a classifier's eyes, and how far others are from them: the Frechet distance of two Gaussians
    (Dowson, Landau 1982; Heusel et al. 2017, arXiv:1706.08500, Eq. 6), with this classifier in the place of Inception.
    It is no FID, and figures of two classifiers cannot be compared.
    """

    mean: Tensor
    covariance: Tensor
    root: Tensor  # of the covariance

    @classmethod
    def of(cls, features: Tensor) -> "FeatureReference":
        """Takes the features of real pictures, (N, m)."""
        features = features.double()
        covariance = torch.cov(features.T)
        values, vectors = torch.linalg.eigh(covariance)
        root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        return cls(features.mean(0), covariance, root)

    def distance(self, features: Tensor) -> Figure:
        """Returns the distance of pictures with features (N, m), lower is better. It falls with N, so rows of the same
        N alone can be compared."""
        features = features.double()

        def of(chosen: np.ndarray) -> float:
            mean, covariance = features[chosen].mean(0), torch.cov(features[chosen].T)
            # The trace of the root of A B is that of the root of A^(1/2) B A^(1/2), which is symmetric.
            root = torch.linalg.eigvalsh(self.root @ covariance @ self.root).clamp_min(0).sqrt().sum()
            return float((mean - self.mean).square().sum() + covariance.trace() + self.covariance.trace() - 2 * root)

        everyone = np.arange(len(features))
        each = (features - self.mean).norm(dim=1).float().numpy()
        return Figure(of(everyone), drawn(len(features), of, DRAWS), each)
