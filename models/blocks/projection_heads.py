"""Heads that turn feature maps into vectors which can be compared, as contrastive losses need them.

Park, Efros, Zhang, Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation", 2020, Sec. 3
(arXiv:2007.15651), after Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020
(arXiv:2002.05709).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from quagga.models.blocks.layers import init_normal_

EPS = 1e-6  # shorter vectors are only multiplied: a place at which all units are 0 would get an endless gradient


class ProjectionHeads(nn.Module):
    """H_l of the paper, one for each layer l: two fully connected layers, applied to the maps at single places.

    Args:
        channels: of the maps of each layer.
        width: units of each layer, and length of the vectors.
    """

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(inplace=True), nn.Linear(width, width))
            for inputs in channels
        )
        init_normal_(self)

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Returns for each layer vectors (N, S, width) of length 1, in float32 at least.

        Args:
            maps: for each layer maps (N, c, h, w) of any range.
            places: for each layer int64 (N, S) in [0, h w): which S places of each row, counted line by line.
        """
        vectors = []
        for head, h, chosen in zip(self.heads, maps, places, strict=True):
            at_places = h.flatten(2).gather(2, chosen[:, None].expand(-1, h.shape[1], -1)).transpose(1, 2)  # (N, S, c)
            z = head(at_places)
            vectors.append(normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=2, eps=EPS))
        return vectors
