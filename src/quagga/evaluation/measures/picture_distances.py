"""How far pictures are from others, pixel by pixel: from the truth, from what they were made of, from one another.

Pictures are (N, C, S, S) in [-1, 1]. Distances are in levels of 255.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quagga.evaluation.measures.figures import Figure, counts, mean_of

LEVELS = 127.5  # of a range of 2
WINDOW, SIGMA = 11, 1.5  # pixels, of SSIM


def absolute(a: Tensor, b: Tensor) -> Figure:
    """The mean absolute difference, in levels of 255."""
    return mean_of((a - b).abs().flatten(1).mean(1).numpy() * LEVELS)


def psnr(a: Tensor, b: Tensor) -> Figure | None:
    """The peak signal-to-noise ratio of each picture, in dB, and their mean; None where pictures are the same."""
    error = (a - b).square().flatten(1).mean(1)
    return None if (error == 0).any() else mean_of((10 * torch.log10(4 / error)).numpy())


def ssim(a: Tensor, b: Tensor) -> Figure:
    """The structural similarity, at most 1: Wang, Bovik, Sheikh, Simoncelli: Image quality assessment, IEEE TIP 2004,
    Eq. 13, with its Gaussian window of 11 pixels and K = (0.01, 0.03), where the window lies within the picture."""
    parts = zip(a.split(16), b.split(16), strict=True)
    return mean_of(torch.cat([_ssim(one, other) for one, other in parts]).numpy())


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    a, b = (a + 1) / 2, (b + 1) / 2  # the means of Eq. 13 are those of light, which is never negative
    channels = a.shape[1]
    place = torch.arange(min(WINDOW, a.shape[-1])) - (min(WINDOW, a.shape[-1]) - 1) / 2
    window = torch.exp(-place.square() / (2 * SIGMA**2))
    window = (window / window.sum()).expand(channels, 1, 1, -1)

    def blurred(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, window, groups=channels), window.transpose(2, 3), groups=channels)

    mu_a, mu_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mu_a**2, blurred(b * b) - mu_b**2
    covariance = blurred(a * b) - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mu_a * mu_b + c1) * (2 * covariance + c2)
    return (similarity / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))).flatten(1).mean(1)


def diversity(pictures: Tensor, group: Tensor | None = None) -> Figure | None:
    """The mean absolute difference of two pictures, in levels of 255; 0 where all are the same. None where there are no
    two.

    Args:
        pictures: (N, C, S, S), shrunk ones do.
        group: int64 (N,); only pictures of the same group are compared. None: all are.
    """
    apart = torch.cdist(pictures.flatten(1), pictures.flatten(1), p=1).numpy() * LEVELS / pictures[0].numel()
    compared = ~np.eye(len(apart), dtype=bool)
    if group is not None:
        compared &= (group[:, None] == group).numpy()
    if not compared.any():
        return None
    drawn = counts(len(apart))
    sums = np.einsum("rn,rn->r", drawn @ (apart * compared), drawn)
    pairs = np.einsum("rn,rn->r", drawn @ compared.astype(np.float32), drawn)
    each = (apart * compared).sum(1) / compared.sum(1).clip(1)
    return Figure(float((apart * compared).sum() / compared.sum()), sums / pairs.clip(1), each)
