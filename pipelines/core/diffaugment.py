"""Differentiable augmentation of the discriminator's input, real and fake alike: for training from few pictures.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020, Sec. 3.2 (arXiv:2006.10738).
The gradient passes through it to the generator, and D cannot memorize the few pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from quagga.pipelines.core.losses import Uniform

Policy = Literal["color", "translation", "cutout"]


@dataclass(frozen=True)
class DiffAugment:
    """(N, C, H, W) around [-1, 1] -> the same shape, each row changed by its own random numbers. Without policies, the
    identity.

    Args:
        policies: "color" shifts brightness by up to 0.5 and scales saturation by 0 to 2 and contrast by 0.5 to 1.5,
            "translation" moves by up to 1/8 of each side, "cutout" blanks a rectangle of half the height and half the
            width, part of which may lie outside the picture. Blank is 0, the middle grey. They act in this order,
            whatever order they are given in.
    """

    policies: Sequence[Policy] = ()

    def __call__(self, images: Tensor, draw: Uniform) -> Tensor:
        if not self.policies:
            return images
        # bfloat16 has 8 bits: too few for the place of the cutout in a picture of 256 pixels.
        images = images.to(torch.promote_types(images.dtype, torch.float32))
        # Every policy has its own numbers, also if it is not used: leaving one out does not change the others.
        u = draw.uniform((7, 1, 1, 1), like=images).unbind(1)  # each (N, 1, 1, 1)
        if "color" in self.policies:
            images = color(images, *u[0:3])
        if "translation" in self.policies:
            images = translation(images, *u[3:5])
        if "cutout" in self.policies:
            images = cutout(images, *u[5:7])
        return images


def augment_pairs(
    policies: Sequence[Policy], x: Tensor, y: Tensor, fake: Tensor, draw: Uniform
) -> tuple[Tensor, Tensor, Tensor]:
    """Augments pairs (x, y) and (x, fake), of which a discriminator judges whether they match. Colours change in y and
    fake only; the geometry changes in all three alike, so that they still match.

    Args:
        policies: as of `DiffAugment`.
        x: (N, C, H, W).
        y: (N, C', H, W).
        fake: (N, C', H, W).
        draw: the random numbers of the rows.

    Returns:
        x, y and fake, augmented.
    """
    if not policies:
        return x, y, fake
    in_color = DiffAugment([policy for policy in policies if policy == "color"])
    y, fake = in_color(y, draw), in_color(fake, draw)
    in_geometry = DiffAugment([policy for policy in policies if policy != "color"])
    all_three = in_geometry(torch.cat([x, y, fake], dim=1), draw)
    x, y, fake = all_three.split([x.shape[1], y.shape[1], fake.shape[1]], dim=1)
    return x, y, fake


def color(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Shifts, scales about the grey of each pixel (the mean of its channels), then about the mean of the picture."""
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)


def translation(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Moves pictures by whole pixels; the uncovered part is blank."""
    for axis, u in ((2, down), (3, right)):
        size = images.shape[axis]
        most = int(size / 8 + 0.5)
        shift = torch.floor(u * (2 * most + 1)).long() - most  # (N, 1, 1, 1) in -most ... most
        source = _index(images, axis) - shift  # (N, 1, H, 1) or (N, 1, 1, W)
        # Wraps around, then blanks the wrapped part: each pixel is read once, so its gradient needs no sum.
        images = images.gather(axis, (source % size).expand(images.shape)) * ((source >= 0) & (source < size))
    return images


def cutout(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Blanks a rectangle whose centre lies anywhere in the picture."""
    inside = torch.ones((), dtype=torch.bool, device=images.device)
    for axis, u in ((2, y), (3, x)):
        size = images.shape[axis]
        hole = int(size / 2 + 0.5)
        start = torch.floor(u * (size + 1 - hole % 2)).long() - hole // 2  # (N, 1, 1, 1)
        index = _index(images, axis)
        inside = inside & (index >= start) & (index < start + hole)  # (N, 1, H, W) in the end
    return images * ~inside


def _index(images: Tensor, axis: int) -> Tensor:
    """Returns 0, 1, ... along that axis of (1, 1, H, 1) or (1, 1, 1, W)."""
    index = torch.arange(images.shape[axis], device=images.device)
    return index[:, None] if axis == 2 else index
