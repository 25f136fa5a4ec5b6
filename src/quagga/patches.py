"""Patches of pictures at every scale, projected onto directions: what sliced Wasserstein distances compare.

Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and Variation, ICLR 2018
(arXiv:1710.10196), Sec. 5: patches of 7 x 7 pixels of the levels of a Laplacian pyramid.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from quagga.seeding import derive_seed

PATCH = 7  # pixels a side
SMALLEST = 16  # pixels of the shorter side of the coarsest level


def pyramid(x: Tensor) -> list[Tensor]:
    """(N, C, H, W) -> the details of each scale, finest first, and last a picture of SMALLEST to 2 SMALLEST pixels."""
    levels = []
    while min(x.shape[2:]) // 2 >= SMALLEST:
        small = F.interpolate(x, size=[side // 2 for side in x.shape[2:]], mode="area")
        levels.append(x - F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False))
        x = small
    return [*levels, x]


def projections(level: Tensor, patches: int, directions: int) -> Tensor:
    """(N, C, H, W) -> (N, patches, directions): patches at the same random places of every picture, always the same of
    a size, projected onto the same random directions of length 1."""
    channels, height, width = level.shape[1:]
    chance = torch.Generator().manual_seed(derive_seed(0, "patches", height, width) >> 1)
    tall, wide = min(PATCH, height), min(PATCH, width)
    top = torch.randint(0, height - tall + 1, (patches,), generator=chance)
    left = torch.randint(0, width - wide + 1, (patches,), generator=chance)
    rows = (top[:, None, None] + torch.arange(tall)[:, None]).to(level.device)
    columns = (left[:, None, None] + torch.arange(wide)).to(level.device)
    onto = torch.randn(directions, channels * tall * wide, generator=chance)
    onto = (onto / onto.norm(dim=1, keepdim=True)).to(level)
    return level[:, :, rows, columns].movedim(1, 2).flatten(2) @ onto.T
