"""The space a generator draws from: points, paths, sums and the way back from a picture.

z is (N, z_size), normal: mean 0 and variance 1 in every direction. Almost all of its points are about sqrt(z_size) away
from 0, so paths keep to that distance, and what is far from it is no picture the generator has learned.
"""

import re
from collections.abc import Callable, Sequence
from math import pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from quagga import BadInput

SPREAD = 0.25  # Radford et al. 2016, Fig. 7: what is added to a sum to see its surroundings, uniform in +-0.25


def latents(seeds: Sequence[int], z_size: int, truncation: float | None = None) -> Tensor:
    """(N, z_size): one point a seed, the same on every machine.

    Args:
        seeds: from 0 on.
        z_size: numbers of a point.
        truncation: no number is further from 0 than this: more typical pictures, less diverse ones (Brock et al. 2019,
            Sec. 3.1, https://arxiv.org/abs/1809.11096). Numbers are squeezed where the paper draws those outside anew:
            the same distribution, and a seed keeps its picture's looks. None leaves them as they are.
    """
    drawn = [np.random.Generator(np.random.Philox(key=seed)).standard_normal(z_size) for seed in seeds]
    z = torch.from_numpy(np.stack(drawn))
    if truncation is not None:
        low = torch.special.ndtr(torch.tensor(-truncation, dtype=torch.float64))
        z = torch.special.ndtri(low + torch.special.ndtr(z) * (1 - 2 * low)).clamp(-truncation, truncation)
    return z.float()


def walk(points: Tensor, frames: int) -> Tensor:
    """(P, z_size), P at least 2 -> (frames, z_size): from the first point to the last, past all of them.

    Great circles (Shoemake 1985), as White 2016 proposes (https://arxiv.org/abs/1609.04468): on a straight line the
    middle would be too near to 0.
    """
    steps = torch.linspace(0, len(points) - 1, frames, dtype=torch.float64)
    on_the_way = []
    for step in steps.tolist():
        left = min(int(step), len(points) - 2)
        on_the_way.append(between(points[left], points[left + 1], step - left))
    return torch.stack(on_the_way)


def between(a: Tensor, b: Tensor, share: float) -> Tensor:
    """The point at `share` (0 to 1) of the arc from a to b, (z_size,); a straight line where they lie on one."""
    p, q = a.double(), b.double()
    cosine = torch.dot(p / p.norm().clamp(min=1e-12), q / q.norm().clamp(min=1e-12)).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if not 1e-4 < float(angle) < pi - 1e-4:
        return (p + share * (q - p)).to(a.dtype)
    weights = torch.sin((1 - share) * angle), torch.sin(share * angle)
    return ((weights[0] * p + weights[1] * q) / torch.sin(angle)).to(a.dtype)


class Term(NamedTuple):
    """One mean of a sum: whether it is added or taken away, 1 or -1, and the seeds of its points."""

    sign: int
    seeds: list[int]


def terms(text: str) -> list[Term]:
    """ "1,4,9 - 2,3 + 7" -> the seeds of each term of a sum, and its sign.

    Raises:
        BadInput: it is no such sum.
    """
    one = r"\d{1,18}(\s*,\s*\d{1,18})*"
    if not re.fullmatch(rf"\s*{one}(\s*[-+]\s*{one})*\s*", text):
        raise BadInput(f"{text!r} is no sum of seeds: write such as '1,4,9 - 2,3,5 + 7,8,11'")
    found = re.findall(r"([-+]?)\s*(\d+(?:\s*,\s*\d+)*)", text)
    return [Term(-1 if sign == "-" else 1, [int(seed) for seed in seeds.split(",")]) for sign, seeds in found]


def total(summands: Sequence[Term], z_size: int) -> Tensor:
    """(z_size,): the sum of the terms' means, A - B + C (Radford et al. 2016, Sec. 6.3.2,
    https://arxiv.org/abs/1511.06434): single points are unstable, means of three are not."""
    return torch.stack([term.sign * latents(term.seeds, z_size).mean(0) for term in summands]).sum(0)


def around(z: Tensor, count: int = 9) -> Tensor:
    """(z_size,) -> (count, z_size): the point itself, then its surroundings as in the paper's figure."""
    rng = np.random.Generator(np.random.Philox(key=0))
    noise = torch.from_numpy(rng.uniform(-SPREAD, SPREAD, (count - 1, len(z)))).to(z)
    return torch.cat([z[None], z + noise])


def invert(
    G: Callable[[Tensor, int], Tensor],
    pictures: Tensor,
    z_size: int,
    steps: int,
    starts: int,
    kinds: int = 1,
    progress: Callable[[float], object] = lambda done: None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The points whose pictures come nearest to given ones, by gradient (Zhu et al. 2016, Sec. 3.1,
    https://arxiv.org/abs/1609.03552).

    Args:
        G: (N, z_size) and the number of a kind of condition -> pictures (N, C, H, W) in [-1, 1].
        pictures: (N, C, H, W) in [-1, 1].
        z_size: numbers of a point.
        steps: of Adam.
        starts: points to begin from, for each kind, as most ways down end elsewhere than at the bottom.
        kinds: conditions to be tried, 1 where there is nothing to try.
        progress: is called after every step, with how many pictures are done, such as 1.25.

    Returns:
        z (N, z_size); which kind each came out best under, int64 (N,); and how far each picture is off: the mean of
        abs(G(z) - x), (N,).
    """
    best = [[torch.empty(0)] * kinds for _ in pictures]
    off = torch.full((len(pictures), kinds), torch.inf)
    begin = latents(range(starts), z_size).to(pictures.device)
    for number, x in enumerate(pictures):
        for kind in range(kinds):
            z = begin.clone().requires_grad_()
            optimizer = torch.optim.Adam([z], lr=0.1)
            for step in range(steps):
                optimizer.param_groups[0]["lr"] = 0.1 * min(1.0, 2 * (1 - step / steps))
                with torch.enable_grad():
                    loss = _apart(G(z, kind), x.expand(starts, -1, -1, -1)).sum() + 1e-3 * z.square().mean(1).sum()
                    (z.grad,) = torch.autograd.grad(loss, z)
                optimizer.step()
                progress(number + (kind + (step + 1) / steps) / kinds)
            found = z.detach()
            distance = (G(found, kind) - x).abs().flatten(1).mean(1)
            nearest = int(distance.argmin())
            best[number][kind], off[number, kind] = found[nearest], float(distance[nearest])
    kind_of = off.argmin(1)
    return torch.stack([best[n][int(k)] for n, k in enumerate(kind_of)]), kind_of, off.min(1).values


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """(N, C, H, W) twice -> (N,): mean squares, also of the pictures made coarser, whose slopes reach further."""
    apart = (a - b).square().flatten(1).mean(1)
    while min(a.shape[-2:]) > 7:
        kernel = tuple(min(2, side) for side in a.shape[-2:])
        a, b = avg_pool2d(a, kernel, ceil_mode=True), avg_pool2d(b, kernel, ceil_mode=True)
        apart = apart + (a - b).square().flatten(1).mean(1)
    return apart
