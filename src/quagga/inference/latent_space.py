"""The latent space of a generator: sampling z, interpolation, sums, and the inversion of pictures.

z is (N, z_size), standard normal. Almost all of its points are about sqrt(z_size) away from 0, so interpolation keeps
to that distance: of a point far from it the generator has learned no picture.
"""

import re
from collections.abc import Callable, Sequence
from math import pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from quagga.errors import BadInput

NEIGHBOR_RANGE = 0.25  # Radford et al. 2016, Fig. 7: neighbors of a sum differ from it by uniform noise in +-0.25


def latents(seeds: Sequence[int], z_size: int, truncation: float | None = None) -> Tensor:
    """Draws one z for each seed, (N, z_size), the same on every machine.

    Args:
        seeds: from 0 on.
        z_size: length of z.
        truncation: no number is further from 0 than this: more typical pictures, less diverse ones (Brock et al. 2019,
            Sec. 3.1, https://arxiv.org/abs/1809.11096). All numbers are rescaled, where the paper draws those outside
            again: the same distribution, and the picture of a seed still looks alike. None leaves them as they are.
    """
    normal = [np.random.Generator(np.random.Philox(key=seed)).standard_normal(z_size) for seed in seeds]
    z = torch.from_numpy(np.stack(normal))
    if truncation is not None:
        low = torch.special.ndtr(torch.tensor(-truncation, dtype=torch.float64))
        z = torch.special.ndtri(low + torch.special.ndtr(z) * (1 - 2 * low)).clamp(-truncation, truncation)
    return z.float()


def interpolate(points: Tensor, frames: int, straight: bool = False) -> Tensor:
    """Interpolates from the first point to the last through all of them: (P, z_size), P at least 2 -> (frames, z_size).

    Args:
        points: of the walk.
        frames: points of the result.
        straight: on straight lines: right for codes and for the vectors of conditions, of which no distance from 0 is
            the usual one. Otherwise on great circles (Shoemake 1985), as White 2016 proposes for noise
            (https://arxiv.org/abs/1609.04468): on a straight line the middle would be too near to 0.
    """
    steps = torch.linspace(0, len(points) - 1, frames, dtype=torch.float64)
    path, between = [], torch.lerp if straight else slerp
    for step in steps.tolist():
        left = min(int(step), len(points) - 2)
        path.append(between(points[left], points[left + 1], step - left))
    return torch.stack(path)


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Returns the point at `share` (0 to 1) of the arc from a to b, (z_size,); of the straight line where a and b point
    in the same or in opposite directions."""
    p, q = a.double(), b.double()
    cosine = torch.dot(p / p.norm().clamp(min=1e-12), q / q.norm().clamp(min=1e-12)).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if not 1e-4 < float(angle) < pi - 1e-4:
        return (p + share * (q - p)).to(a.dtype)
    weights = torch.sin((1 - share) * angle), torch.sin(share * angle)
    return ((weights[0] * p + weights[1] * q) / torch.sin(angle)).to(a.dtype)


class Term(NamedTuple):
    """One mean of a sum: its sign, 1 or -1, and its points: seeds, and names of pictures or folders of them."""

    sign: int
    points: list[int | str]


def parse_sum(text: str) -> list[Term]:
    """Parses a sum of means such as "1,4,9 - 2,3 + 7", or "blond - brown + me.png" with spaces around the signs.

    Raises:
        BadInput: it is no such sum.
    """
    # A name may hold a minus or a plus, such as my-photo.png: there a sign stands between spaces. Seeds need none.
    only_seeds = re.fullmatch(r"[\s\d,+-]+", text)
    first, *others = re.split(r"([-+])" if only_seeds else r"\s([-+])\s", text)
    signs = [1, *(-1 if sign == "-" else 1 for sign in others[::2])]
    terms = [Term(sign, parse_points(part)) for sign, part in zip(signs, [first, *others[1::2]], strict=True)]
    if not all(point != "" for term in terms for point in term.points):
        raise BadInput(f"{text!r} is no sum of seeds: write it as '1,4,9 - 2,3,5 + 7,8,11'")
    return terms


def parse_points(text: str) -> list[int | str]:
    """Parses "3, 17, photo.png": a number below 2**63 is a seed, anything else the name of a picture."""
    parts = [part.strip() for part in text.split(",")]
    return [int(part) if re.fullmatch(r"\d{1,18}", part) else part for part in parts]


def sum_of_means(terms: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Adds up means of points, each with its sign: (1 or -1, (N, z_size)) each -> (z_size,), such as A - B + C (Radford
    et al. 2016, Sec. 6.3.2, https://arxiv.org/abs/1511.06434): single points are unstable, means of three are not."""
    return torch.stack([sign * points.mean(0) for sign, points in terms]).sum(0)


def with_neighbors(z: Tensor, count: int = 9) -> Tensor:
    """(z_size,) -> (count, z_size): the point itself, then random neighbors as in the paper's Fig. 7."""
    rng = np.random.Generator(np.random.Philox(key=0))
    noise = torch.from_numpy(rng.uniform(-NEIGHBOR_RANGE, NEIGHBOR_RANGE, (count - 1, len(z)))).to(z)
    return torch.cat([z[None], z + noise])


def invert(
    G: Callable[[Tensor, int], Tensor],
    pictures: Tensor,
    z_size: int,
    steps: int,
    starts: int,
    conditions: int = 1,
    progress: Callable[[float], object] = lambda done: None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Finds the z whose pictures are nearest to given ones, by gradient descent (Zhu et al. 2016, Sec. 3.1,
    https://arxiv.org/abs/1609.03552).

    Args:
        G: (N, z_size) and the index of a condition -> pictures (N, C, H, W) in [-1, 1].
        pictures: (N, C, H, W) in [-1, 1].
        z_size: length of z.
        steps: of Adam.
        starts: number of z to start from for each condition, since most descents end in a local minimum.
        conditions: number of conditions that are tried; 1 where there is nothing to try.
        progress: is called after every step, with how many pictures are done, such as 1.25.

    Returns:
        z (N, z_size); the index of the condition that came nearest, int64 (N,); and the distance of each picture, the
        mean of abs(G(z) - x), (N,).
    """
    best = [[torch.empty(0)] * conditions for _ in pictures]
    distances = torch.full((len(pictures), conditions), torch.inf)
    initial = latents(range(starts), z_size).to(pictures.device)
    for number, x in enumerate(pictures):
        for condition in range(conditions):
            z = initial.clone().requires_grad_()
            optimizer = torch.optim.Adam([z], lr=0.1)
            for step in range(steps):
                optimizer.param_groups[0]["lr"] = 0.1 * min(1.0, 2 * (1 - step / steps))
                with torch.enable_grad():
                    loss = (
                        _multiscale_distance(G(z, condition), x.expand(starts, -1, -1, -1)).sum()
                        + 1e-3 * z.square().mean(1).sum()
                    )
                    (z.grad,) = torch.autograd.grad(loss, z)
                optimizer.step()
                progress(number + (condition + (step + 1) / steps) / conditions)
            z = z.detach()
            distance = (G(z, condition) - x).abs().flatten(1).mean(1)
            nearest = int(distance.argmin())
            best[number][condition], distances[number, condition] = z[nearest], float(distance[nearest])
    chosen = distances.argmin(1)
    return torch.stack([best[n][int(k)] for n, k in enumerate(chosen)]), chosen, distances.min(1).values


def _multiscale_distance(a: Tensor, b: Tensor) -> Tensor:
    """(N, C, H, W) twice -> (N,): mean squared errors, added up over coarser and coarser scales, whose gradients reach
    further."""
    distance = (a - b).square().flatten(1).mean(1)
    while min(a.shape[-2:]) > 7:
        kernel = tuple(min(2, side) for side in a.shape[-2:])
        a, b = avg_pool2d(a, kernel, ceil_mode=True), avg_pool2d(b, kernel, ceil_mode=True)
        distance = distance + (a - b).square().flatten(1).mean(1)
    return distance
