"""How far the patches of some pictures are from those of real ones, at every scale: fine texture, coarse colour.

The sliced Wasserstein distance of Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs for Improved Quality,
Stability, and Variation, ICLR 2018 (arXiv:1710.10196), Sec. 5. Patches of 7 x 7 pixels of a Laplacian pyramid are
projected onto random directions; along each, the distance of two sets of numbers is the area between their distribution
functions. The levels' mean is the figure, in standard deviations of the real pictures' patches.

It needs no network, sees what a network that shrinks pictures does not, and of a picture that is not there, nothing.

What is different here: the levels of both sets are divided by the deviations of the real set, so that washed out or
exchanged colours cost; and a distribution function is a histogram of BINS, so that the pictures can be drawn again and
again (the bootstrap) without sorting.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quagga.evaluation.measures.figures import Figure, counts
from quagga.patches import projections, pyramid

PATCHES = 64  # of each picture, at each level
DIRECTIONS = 128
BINS, RANGE = 128, 6.0  # of a histogram, over [-RANGE, RANGE] standard deviations


@dataclass(frozen=True)
class PatchReference:
    """Real pictures, as distributions of their patches.

    Args:
        means, deviations: Of each level's channels, (C, 1, 1) each.
        shares: Of all their patches, the share below the upper edge of each bin, (levels x DIRECTIONS x BINS,).
        pictures: How many they are.
    """

    means: list[Tensor]
    deviations: list[Tensor]
    shares: np.ndarray
    pictures: int

    @classmethod
    def of(cls, pictures: Tensor) -> "PatchReference":
        """Takes the patches of real pictures (N, C, S, S) in [-1, 1]."""
        sums: list[list[Tensor]] = []
        for part in pictures.split(16):
            sums.append([torch.stack([level.sum((0, 2, 3)), level.square().sum((0, 2, 3))]) for level in pyramid(part)])
        sizes = [level.shape[-1] for level in pyramid(pictures[:1])]
        means, deviations = [], []
        for size, level in zip(sizes, zip(*sums, strict=True), strict=True):
            first, second = torch.stack(level).sum(0).double() / (len(pictures) * size**2)
            means.append(first.float()[:, None, None])
            deviations.append((second - first**2).clamp_min(1e-6).sqrt().float()[:, None, None])
        blank = cls(means, deviations, np.zeros(0), len(pictures))
        total = sum(part.sum(0) for part in blank._shares_of(pictures))
        return cls(means, deviations, np.asarray(total) / len(pictures), len(pictures))

    def distance(self, pictures: Tensor) -> Figure:
        """Returns the distance of pictures (N, C, S, S) in [-1, 1] of the same size from the real ones, lower is
        better; `each` is that of each picture by itself."""
        parts = list(self._shares_of(pictures))
        shares = np.concatenate(parts)
        drawn = counts(len(shares)) @ shares / len(shares)
        return Figure(float(self._areas(shares.mean(0))), self._areas(drawn), self._areas(shares))

    def _areas(self, shares: np.ndarray) -> np.ndarray:
        """(..., levels x DIRECTIONS x BINS) -> (...): the area between distribution functions and the reference's."""
        return np.abs(shares - self.shares).mean(-1) * 2 * RANGE

    def _shares_of(self, pictures: Tensor) -> Iterable[np.ndarray]:
        """Yields, of some pictures at a time, the share of each one's patches below the upper edge of each bin, float32
        (n, levels x DIRECTIONS x BINS)."""
        for part in pictures.split(16):
            levels = []
            for level, mean, deviation in zip(pyramid(part), self.means, self.deviations, strict=True):
                places = projections((level - mean) / deviation, PATCHES, DIRECTIONS)  # (n, PATCHES, DIRECTIONS)
                bins = ((places + RANGE) * (BINS / (2 * RANGE))).long().clamp_(0, BINS - 1)
                n, patches, directions = bins.shape
                histogram = torch.zeros(n, directions, BINS)
                histogram.scatter_add_(2, bins.movedim(1, 2), torch.ones(n, directions, patches))
                levels.append(histogram.cumsum(2).flatten(1) / patches)
            yield torch.cat(levels, 1).numpy()
