"""A figure and how far it may be from the truth: bootstrap over pictures, and the spread between seeds.

The bootstrap is Efron's (1979, "Bootstrap methods: another look at the jackknife"): the pictures are drawn again with
replacement, and how much the figure varies is its standard error. All rows of a table draw the same pictures, so that
what two rows have in common cancels out of their difference.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import stdtrit

DRAWS = 200  # of the pictures, with replacement
Z = 1.959964  # of an interval of 95 %


@dataclass(frozen=True)
class Figure:
    """A figure of one row.

    Args:
        value: The figure.
        draws: What the bootstrap gives, (DRAWS,); None: not known.
        each: A figure of each picture, (N,), by which the best and the worst are found; None: there is none.
        share: Of how many pictures `value` is a share; None: it is none.
        bounds: Its interval, where it is known otherwise than by the bootstrap.
    """

    value: float
    draws: np.ndarray | None = None
    each: np.ndarray | None = None
    share: int | None = None
    bounds: tuple[float, float] | None = None

    @property
    def error(self) -> float | None:
        """The standard error over pictures."""
        return None if self.draws is None else float(self.draws.std(ddof=1))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of what the figure may be with other pictures; of a share Wilson's (1927), which also of "all of 60"
        says that it may be fewer. None: not known."""
        if self.bounds is not None:
            return self.bounds
        if self.share is not None:
            return wilson(self.value, self.share)
        return None if self.error is None else (self.value - Z * self.error, self.value + Z * self.error)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The score interval of 95 % of a share of `count`."""
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


@cache
def counts(pictures: int, draws: int = DRAWS) -> np.ndarray:
    """How often each picture is in each draw, float32 (draws, pictures); for the same number always the same."""
    chance = np.random.default_rng(pictures)
    return chance.multinomial(pictures, np.full(pictures, 1 / pictures), size=draws).astype(np.float32)


def mean_of(each: np.ndarray) -> Figure:
    """The mean over pictures of a figure of each, (N,)."""
    return Figure(float(each.mean()), counts(len(each)) @ each / len(each), each)


def share_of(true: np.ndarray, each: np.ndarray | None = None) -> Figure:
    """The share of pictures of which something is true, bool (N,); `each` orders them from worst to best."""
    found = mean_of(true.astype(np.float32))
    return Figure(found.value, found.draws, found.each if each is None else each, len(true))


def drawn(pictures: int, figure: Callable[[np.ndarray], float], draws: int) -> np.ndarray:
    """A figure of each of so many draws, for figures that are no sums over pictures: `figure` takes the numbers of the
    pictures that were drawn."""
    return np.array([figure(np.repeat(np.arange(pictures), row.astype(int))) for row in counts(pictures, draws)])


# -- several seeds ----------------------------------------------------------------------------------------------------


def over_seeds(figures: Sequence[Figure]) -> tuple[Figure, tuple[float, float] | None]:
    """The mean over runs of which only the seed differs, and its interval of 95 %: Student's of the seeds and the
    pictures' error, which all runs share, in quadrature."""
    if len(figures) == 1:
        return figures[0], figures[0].interval
    mean = float(np.mean([one.value for one in figures]))
    draws = _mean_draws(figures)
    half = _half([_values(figures)], draws)
    low, high = (mean - half, mean + half)
    if all(one.share is not None for one in figures):
        low, high = max(0.0, low), min(1.0, high)
    return Figure(mean, draws), (low, high)


def difference(a: Sequence[Figure], b: Sequence[Figure]) -> tuple[float, float] | None:
    """The mean of runs `a` less that of runs `b`, and half of its interval of 95 %; None: not known."""
    mine, theirs = _mean_draws(a), _mean_draws(b)
    if mine is None or theirs is None:
        return None
    return float(_values(a).mean() - _values(b).mean()), _half([_values(a), _values(b)], mine - theirs)


def _values(figures: Sequence[Figure]) -> np.ndarray:
    return np.array([one.value for one in figures])


def _mean_draws(figures: Sequence[Figure]) -> np.ndarray | None:
    """What the bootstrap gives of the mean of several runs; None where it is not known of one."""
    known = [one.draws for one in figures if one.draws is not None]
    return np.mean(known, axis=0) if len(known) == len(figures) else None


def _half(groups: Sequence[np.ndarray], draws: np.ndarray | None) -> float:
    """Half an interval of 95 % of a sum or difference of means over seeds."""
    pictures = 0.0 if draws is None else Z * float(draws.std(ddof=1))
    several = [group for group in groups if len(group) > 1]
    if not several:
        return pictures
    freedom = sum(len(group) - 1 for group in several)
    # A group of one seed is taken to vary as the other does.
    spread = sum(((group - group.mean()) ** 2).sum() for group in several) / freedom
    seeds = float(stdtrit(freedom, 0.975)) * math.sqrt(spread * sum(1 / len(group) for group in groups))
    return math.hypot(pictures, seeds)
