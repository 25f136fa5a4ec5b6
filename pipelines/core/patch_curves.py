"""How far the patches of what a game makes are from those of held-out pictures: a curve that every game has.

The sliced Wasserstein distance of Karras et al. 2018 (arXiv:1710.10196, Sec. 5). It needs no network and sees whether
textures and colours are right, at every scale. What a picture shows it does not see.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from quagga.fields import Field
from quagga.models.description.export import Export
from quagga.models.network_mode import network_in_mode
from quagga.patches import projections, pyramid
from quagga.pipelines.core.game_protocol import Batch, Draw, Terms
from quagga.pipelines.core.sample_metrics import pass_in_parts

PATCHES = 64  # of each picture and level
DIRECTIONS = 64
LEAST = 2  # pictures that make a distribution


def patch_curves(exports: Mapping[str, Export], batch: Batch, draw: Draw) -> Terms:
    """Returns for each kind of picture that a game makes, of pictures, masks, noise and conditions, the distance of
    what it makes from the held-out pictures of the batch: "patches_y" of those called y. Of two exports that make the
    same kind the first counts.

    Args:
        exports: of the game, in eval mode.
        batch: held-out rows; a picture that is there is (N, C, H, W) in [-1, 1].
        draw: as `Game.examine` gets it.
    """
    terms: Terms = {}
    for export in exports.values():
        name, real = f"patches_{export.output.name}", batch.get(export.output.name)
        if export.output.kind != "picture" or name in terms or real is None or len(real) < LEAST:
            continue
        inputs = [input_of(field, export, batch, draw) for field in export.inputs]
        known = [x for x in inputs if x is not None]
        if len(known) == len(inputs):
            made = pass_in_parts(network_in_mode(export.network, export.mode), *known)
            if made.shape[1:] == real.shape[1:]:  # a game that grows may make larger pictures than it sees yet
                terms[name] = patch_distance(made, real)
    return terms


def input_of(field: Field, export: Export, batch: Batch, draw: Draw) -> Tensor | None:
    """Returns what an export is given, (N, ...); None: the batch has none of it. A picture that is changed by a
    condition gets that of another row: by its own it would stay as it is."""
    if field.kind == "noise":
        assert field.size is not None
        return draw.normal((field.size,), like=batch[export.output.name])
    x = batch.get(field.name)
    of_pictures = any(other.kind == "picture" for other in export.inputs)
    return x.roll(1, 0) if x is not None and field.kind == "condition" and of_pictures else x


def patch_distance(made: Tensor, real: Tensor) -> Tensor:
    """Returns the sliced Wasserstein distance of two sets of pictures, (N, C, H, W) and (M, C, H, W) of one size: the
    mean over levels of a Laplacian pyramid and over directions, a scalar in deviations of the real patches; 0 where
    both sets are the same."""
    made, real = made.detach().float(), real.detach().float()
    distances = []
    for mine, theirs in zip(pyramid(made), pyramid(real), strict=True):
        deviation, mean = torch.std_mean(theirs, (0, 2, 3), keepdim=True)
        a, b = (
            projections((level - mean) / deviation.clamp(min=1e-3), PATCHES, DIRECTIONS).flatten(0, 1).sort(0).values
            for level in (mine, theirs)
        )
        count = max(len(a), len(b))
        distances.append((at_quantiles(a, count) - at_quantiles(b, count)).abs().mean())
    return torch.stack(distances).mean()


def at_quantiles(ascending: Tensor, count: int) -> Tensor:
    """Returns `count` quantiles of sorted samples, (n, K) -> (count, K), n at most `count`."""
    if len(ascending) == count:
        return ascending
    share = (torch.arange(count, device=ascending.device) + 0.5) / count
    return ascending[(share * len(ascending)).long().clamp(max=len(ascending) - 1)]
