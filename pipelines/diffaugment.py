"""Differentiable augmentation of what the discriminator sees, real and fake alike: for training from few pictures.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020, Sec. 3.2 (arXiv:2006.10738).
The gradient passes through it to the generator, and D cannot learn the few pictures by heart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from quagga.pipelines.losses import Uniform

Policy = Literal["color", "translation", "cutout"]


@dataclass(frozen=True)
class DiffAugment:
    """(N, C, H, W) around [-1, 1] -> the same shape, each row changed by its own chance. Without policies, identity.

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
        # bfloat16 has 8 bits: too few to say where in a picture of 256 pixels the cutout lies
        images = images.to(torch.promote_types(images.dtype, torch.float32))
        # Every policy has numbers of its own, whether it is played or not: leaving one out does not change the others.
        u = draw.uniform((7, 1, 1, 1), like=images).unbind(1)  # each (N, 1, 1, 1)
        if "color" in self.policies:
            images = color(images, *u[0:3])
        if "translation" in self.policies:
            images = translation(images, *u[3:5])
        if "cutout" in self.policies:
            images = cutout(images, *u[5:7])
        return images


def color(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Shift, scale about the grey of each pixel (the mean of its channels), then about the mean of the picture."""
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)


def translation(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move by whole pixels; what comes into view is blank."""
    for axis, u in ((2, down), (3, right)):
        size = images.shape[axis]
        most = int(size / 8 + 0.5)
        shift = torch.floor(u * (2 * most + 1)).long() - most  # (N, 1, 1, 1) in -most ... most
        source = _index(images, axis) - shift  # (N, 1, H, 1) or (N, 1, 1, W)
        # Go round and blank what came round: each pixel is read once, so its gradient hangs on no order of sums.
        images = images.gather(axis, (source % size).expand(images.shape)) * ((source >= 0) & (source < size))
    return images


def cutout(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Blank a rectangle whose centre lies anywhere in the picture."""
    inside = torch.ones((), dtype=torch.bool, device=images.device)
    for axis, u in ((2, y), (3, x)):
        size = images.shape[axis]
        hole = int(size / 2 + 0.5)
        start = torch.floor(u * (size + 1 - hole % 2)).long() - hole // 2  # (N, 1, 1, 1)
        index = _index(images, axis)
        inside = inside & (index >= start) & (index < start + hole)  # (N, 1, H, W) in the end
    return images * ~inside


def _index(images: Tensor, axis: int) -> Tensor:
    """0, 1, ... along that axis of (1, 1, H, 1) or (1, 1, 1, W)."""
    index = torch.arange(images.shape[axis], device=images.device)
    return index[:, None] if axis == 2 else index
