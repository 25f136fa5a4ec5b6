"""Measures the error of a translator of horses into zebras, on animals that were not in its training set.

The error is the sum of two figures, both in units of pixel values in [-1, 1]:

- *background*: the mean absolute difference between G(x) and x outside the animal, where nothing may change.
- *coat*: the sliced Wasserstein distance (Rabin et al. 2011, "Wasserstein barycenter and its application to texture
  mixing") between the 7x7 patches inside the animals of G(x) and those of the true zebras. It compares the textures of
  the coats, not the positions of stripes, which no translator can know.

Normalisation: each of the 256 directions has length one in the 147 numbers of a patch, and the distance along it is
divided by sqrt(2 / pi). The mean of |direction . v| over directions is sqrt(2 / pi) |v| / sqrt(147), so a coat whose
patches all differ from the truth by the same v has the error sqrt(mean of v^2): 0.1 in every pixel costs 0.1.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from quagga.data.synthetic.scenes import held_out, scene

PATCH = 7  # side of a patch in pixels
DIRECTIONS = 256  # onto which patches are projected
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
    """Errors to compare a translator's error with."""

    untranslated: TranslationError  # of the horses themselves, as from a translator that changes nothing
    floor: TranslationError  # of true zebras compared with other true zebras, as from a perfect translator


class Animals(NamedTuple):
    """The same animals in both coats: float32 (N, 3, H, W) in [-1, 1]; mask (N, 1, H, W) in [0, 1]."""

    horse: Tensor
    zebra: Tensor
    mask: Tensor


def background_error(horse: Tensor, translated: Tensor, mask: Tensor) -> float:
    """Returns the mean absolute difference over the pixels without any animal; the true zebra has 0."""
    outside = mask == 0
    return float(((translated - horse).abs() * outside).sum() / (outside.sum() * horse.shape[1]).clamp_min(1))


def projections(images: Tensor, mask: Tensor) -> Tensor:
    """Projects the patches inside the animals onto the directions. Returns (DIRECTIONS, number of patches), each row
    sorted in ascending order.

    A patch is inside if nine tenths of it are animal. Patches are taken on a grid of about 32 x 32 positions, whatever
    the size of the pictures.

    Args:
        images: (N, C, H, W) in [-1, 1].
        mask: (N, 1, H, W) in [0, 1], the share of animal in each pixel.

    Raises:
        ValueError: there is no such patch.
    """
    channels, stride = images.shape[1], max(1, images.shape[2] // 32)
    generator = torch.Generator().manual_seed(0)  # the same directions in every measurement
    directions = torch.randn(DIRECTIONS, channels, PATCH, PATCH, generator=generator)
    directions /= directions.flatten(1).norm(dim=1)[:, None, None, None] * math.sqrt(2 / math.pi)
    inside = F.avg_pool2d(mask, PATCH, stride)[:, 0] >= 0.9
    if not inside.any():
        raise ValueError("no 7x7 patch lies inside an animal: the masks are empty, or the pictures are too small")
    projected = [
        F.conv2d(batch, directions, stride=stride).movedim(1, 0)[:, batch_inside]
        for batch, batch_inside in zip(images.split(16), inside.split(16), strict=True)
    ]
    return torch.cat(projected, 1).sort(1).values


def at_levels(ascending: Tensor) -> Tensor:
    """Returns the quantiles (DIRECTIONS, LEVELS) of sorted samples (DIRECTIONS, n), by linear interpolation."""
    n = ascending.shape[1]
    position = ((torch.arange(LEVELS) + 0.5) / LEVELS * n - 0.5).clamp(0, n - 1)
    below = position.floor().long()
    above = (below + 1).clamp_max(n - 1)
    return torch.lerp(ascending[:, below], ascending[:, above], (position - below).expand(len(ascending), -1))


def coat_distance(images: Tensor, mask: Tensor, zebra: Tensor, zebra_mask: Tensor) -> float:
    """Returns the sliced Wasserstein-1 distance between the patches inside two herds, whose sizes may differ."""
    mine, theirs = at_levels(projections(images, mask)), at_levels(projections(zebra, zebra_mask))
    return float((mine - theirs).abs().mean())


def translation_error(
    horse: Tensor, translated: Tensor, mask: Tensor, zebra: Tensor, zebra_mask: Tensor
) -> TranslationError:
    """Computes the error of a translation.

    Args:
        horse: (N, 3, H, W) in [-1, 1], what was translated.
        translated: (N, 3, H, W), G(horse).
        mask: (N, 1, H, W) in [0, 1], the share of animal in each pixel of both.
        zebra: (M, 3, H, W) in [-1, 1], true zebras.
        zebra_mask: (M, 1, H, W) in [0, 1], theirs.
    """
    horse, translated, mask, zebra, zebra_mask = (
        tensor.detach().float().cpu() for tensor in (horse, translated, mask, zebra, zebra_mask)
    )
    return TranslationError(
        background_error(horse, translated, mask), coat_distance(translated, mask, zebra, zebra_mask)
    )


def herd(count: int = 128, size: int = 64, seed: int = 0, start: int = 0) -> Animals:
    """Draws `count` held-out animals from number `start` on, which no training set contains."""
    scenes = [scene(index, size, seed) for index in held_out("horse", start + count)[start:]]
    horse, zebra = (
        torch.stack([torch.from_numpy(picture) for picture in pictures]).permute(0, 3, 1, 2).float() / 127.5 - 1
        for pictures in ([s.horse for s in scenes], [s.zebra for s in scenes])
    )
    return Animals(horse, zebra, torch.stack([torch.from_numpy(s.mask) for s in scenes])[:, None])


def measure(
    translate: Callable[[Tensor], Tensor], count: int = 128, size: int = 64, seed: int = 0, batch: int = 16
) -> TranslationError:
    """Measures the translation error on held-out horses, by comparison with the same animals as zebras.

    Args:
        translate: (N, 3, H, W) in [-1, 1], on the CPU -> the translation, of the same shape, on any device. It is
            called without gradients, and must set its network to evaluation mode itself.
        count: number of horses.
        size: side of the pictures in pixels.
        seed: of the set.
        batch: horses in a call, at most.
    """
    animals = herd(count, size, seed)
    with torch.no_grad():
        translated = torch.cat([translate(horses).float().cpu() for horses in animals.horse.split(batch)])
    return translation_error(animals.horse, translated, animals.mask, animals.zebra, animals.mask)


def baselines(count: int = 128, size: int = 64, seed: int = 0) -> Baselines:
    """Measures the errors of a translator that changes nothing, and of one that draws perfect zebras; the arguments are
    those of `measure`."""
    these, others = herd(count, size, seed), herd(count, size, seed, start=count)
    return Baselines(
        translation_error(these.horse, these.horse, these.mask, these.zebra, these.mask),
        TranslationError(0.0, coat_distance(these.zebra, these.mask, others.zebra, others.mask)),
    )
