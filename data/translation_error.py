"""How far a translator of horses into zebras is from the truth, on animals it has never seen.

Two figures, both in units of pixel values in [-1, 1], and the error is their sum:

- *background*: the mean absolute difference of G(x) from x outside the animal. Nothing may change there.
- *coat*: the sliced Wasserstein distance (Rabin et al. 2011, "Wasserstein barycenter and its application to texture
  mixing") between the 7x7 patches inside the animals of G(x) and those of the true zebras. It compares how the
  coats look, not where each stripe falls, which no translator can know.

Normalisation: each of the 256 directions has length one in the 147 numbers of a patch, and the distance along it is
divided by sqrt(2 / pi). The mean of |direction . v| over directions is sqrt(2 / pi) |v| / sqrt(147), so a coat whose
patches are all off by the same v costs the root mean square of v: off by 0.1 in every pixel costs 0.1.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from quagga.data.embedded import held_out, scene

PATCH = 7
DIRECTIONS = 256
LEVELS = 2048  # quantiles at which two distributions are compared


class TranslationError(NamedTuple):
    """The two figures, in units of pixel values in [-1, 1]; lower is better."""

    background: float
    coat: float

    @property
    def total(self) -> float:
        """The error: the sum of both."""
        return self.background + self.coat

    def __str__(self) -> str:
        return f"{self.total:.3f} (background {self.background:.3f} + coat {self.coat:.3f})"


class Baselines(NamedTuple):
    """What an error is to be compared with."""

    untranslated: TranslationError  # the horse itself: what a translator that does nothing gets
    floor: TranslationError  # true zebras against other true zebras: what is left to chance


class Animals(NamedTuple):
    """The same animals in both coats: float32 (N, 3, H, W) in [-1, 1]; mask (N, 1, H, W) in [0, 1]."""

    horse: Tensor
    zebra: Tensor
    mask: Tensor


def background_error(horse: Tensor, translated: Tensor, mask: Tensor) -> float:
    """Mean absolute difference over the pixels that hold nothing of the animal (so the truth scores 0)."""
    outside = mask == 0
    return float(((translated - horse).abs() * outside).sum() / (outside.sum() * horse.shape[1]).clamp_min(1))


def projections(images: Tensor, mask: Tensor) -> Tensor:
    """What the directions say of the patches that lie inside the animals, (DIRECTIONS, number of patches), ascending.

    A patch lies inside where nine tenths of it are animal. Patches are taken on a grid of about 32 places each way,
    whatever the size of the pictures.
    """
    channels, stride = images.shape[1], max(1, images.shape[2] // 32)
    draw = torch.Generator().manual_seed(0)  # the same directions in every measurement
    directions = torch.randn(DIRECTIONS, channels, PATCH, PATCH, generator=draw)
    directions /= directions.flatten(1).norm(dim=1)[:, None, None, None] * math.sqrt(2 / math.pi)
    inside = F.avg_pool2d(mask, PATCH, stride)[:, 0] >= 0.9
    if not inside.any():
        raise ValueError("no 7x7 patch lies inside an animal: the masks are empty, or the pictures are too small")
    seen = [
        F.conv2d(some, directions, stride=stride).movedim(1, 0)[:, there]
        for some, there in zip(images.split(16), inside.split(16), strict=True)
    ]
    return torch.cat(seen, 1).sort(1).values


def at_levels(ascending: Tensor) -> Tensor:
    """Quantiles (DIRECTIONS, LEVELS) of samples (DIRECTIONS, n), by linear interpolation."""
    n = ascending.shape[1]
    place = ((torch.arange(LEVELS) + 0.5) / LEVELS * n - 0.5).clamp(0, n - 1)
    below = place.floor().long()
    above = (below + 1).clamp_max(n - 1)
    return torch.lerp(ascending[:, below], ascending[:, above], (place - below).expand(len(ascending), -1))


def coat_distance(images: Tensor, mask: Tensor, zebra: Tensor, zebra_mask: Tensor) -> float:
    """Sliced Wasserstein-1 distance between patches inside two herds, which need not be of the same size."""
    mine, theirs = at_levels(projections(images, mask)), at_levels(projections(zebra, zebra_mask))
    return float((mine - theirs).abs().mean())


def translation_error(
    horse: Tensor, translated: Tensor, mask: Tensor, zebra: Tensor, zebra_mask: Tensor
) -> TranslationError:
    """Score a translation.

    Args:
        horse: (N, 3, H, W) in [-1, 1], what was translated.
        translated: (N, 3, H, W), G(horse).
        mask: (N, 1, H, W) in [0, 1], where the animal is in both.
        zebra: (M, 3, H, W), true zebras.
        zebra_mask: (M, 1, H, W).
    """
    horse, translated, mask, zebra, zebra_mask = (
        each.detach().float().cpu() for each in (horse, translated, mask, zebra, zebra_mask)
    )
    return TranslationError(
        background_error(horse, translated, mask), coat_distance(translated, mask, zebra, zebra_mask)
    )


def herd(count: int = 128, size: int = 64, seed: int = 0, start: int = 0) -> Animals:
    """Held-out animals `start` to `start + count` as tensors; no training set holds them."""
    scenes = [scene(index, size, seed) for index in held_out("horse", start + count)[start:]]
    horse, zebra = (
        torch.stack([torch.from_numpy(one) for one in pictures]).permute(0, 3, 1, 2).float() / 127.5 - 1
        for pictures in ([s.horse for s in scenes], [s.zebra for s in scenes])
    )
    return Animals(horse, zebra, torch.stack([torch.from_numpy(s.mask) for s in scenes])[:, None])


def measure(
    translate: Callable[[Tensor], Tensor], count: int = 128, size: int = 64, seed: int = 0, batch: int = 16
) -> TranslationError:
    """The translation error of `translate`, (N, 3, H, W) in [-1, 1] to the same, on `count` held-out horses.

    They are compared with the truth: the same animals as zebras. `translate` is called on batches on the CPU, without
    gradients; setting it to evaluation and moving tensors to its device is its own affair.
    """
    animals = herd(count, size, seed)
    with torch.no_grad():
        translated = torch.cat([translate(some).float().cpu() for some in animals.horse.split(batch)])
    return translation_error(animals.horse, translated, animals.mask, animals.zebra, animals.mask)


def baselines(count: int = 128, size: int = 64, seed: int = 0) -> Baselines:
    """What the error would be for a translator that does nothing, and for one that draws perfect zebras."""
    these, others = herd(count, size, seed), herd(count, size, seed, start=count)
    return Baselines(
        translation_error(these.horse, these.horse, these.mask, these.zebra, these.mask),
        TranslationError(0.0, coat_distance(these.zebra, these.mask, others.zebra, others.mask)),
    )
