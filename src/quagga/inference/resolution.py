"""The size at which a picture goes through the network, and how the change comes back to the picture's own size.

A model that was trained on pictures of 256 pixels knows animals of that size. In a photo of 12 megapixels it finds
none: there a tuft of hair is as large as a stripe. So the picture is shrunk to the scale of training, translated, and
the *change* is enlarged and added to the picture:

    y = x + up(G(down(x)) - down(x))

Where nothing changes, the photo keeps its own detail.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

Resolution = Literal["model", "full"] | int
NEAR = 1.125  # a picture whose scale differs from that of training by at most this factor is not resized: 256 for 286
MAX_ASPECT = 32  # the longer side of a picture is enlarged to at most so many times the shorter side of training


def network_size(resolution: Resolution, height: int, width: int, preprocessing: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the (height, width) at which a picture of `height` x `width` pixels goes through the network.

    Args:
        resolution: "full" is the picture's own size, a number N scales its shorter side to N, "model" takes the scale
            of training.
        height: pixels
        width: pixels
        preprocessing: of model.json: `fit` "crop" (the shorter side becomes `load_size`), "squash" (both), "width" (the
            width, as other programs do) or "none" (as it is). Without them the scale of training is unknown, and the
            picture keeps its own.
    """
    size = resolution if isinstance(resolution, int) else preprocessing.get("load_size")
    fit = "crop" if isinstance(resolution, int) else preprocessing.get("fit")
    if resolution == "full" or fit not in ("crop", "squash", "width") or not isinstance(size, int) or size < 1:
        return height, width
    if fit == "squash":
        scales = size / height, size / width
    else:
        scale = min(size / (width if fit == "width" else min(height, width)), MAX_ASPECT * size / max(height, width))
        scales = scale, scale
    if resolution == "model" and all(1 / NEAR <= scale <= NEAR for scale in scales):
        return height, width
    return max(1, round(height * scales[0])), max(1, round(width * scales[1]))


def translate_at_size(
    size: tuple[int, int],
    x: Tensor,
    translate: Callable[[Tensor], Tensor],
    add_change: bool = True,
    labels: bool = False,
) -> Tensor:
    """Translates pictures at another size than theirs.

    Args:
        size: (height, width) for the network; pictures of this size are given to it as they are.
        x: (N, C, H, W) in [-1, 1].
        translate: (N, C, h, w) to (N, C', h, w), both in [-1, 1].
        add_change: Whether y is x with a change, which is resized and added to x; else y itself is resized.
        labels: Whether x holds labels or their planes, which must not be interpolated.

    Returns:
        (N, C', H, W) in [-1, 1], on the CPU where it was resized. Where C' is not C there is nothing to which a change
        could be added: y itself is resized, and has the detail of the small picture.
    """
    height, width = x.shape[2:]
    if size == (height, width):
        return translate(x)
    x = x.to("cpu", torch.float32)
    small = at_network_size(size, x, labels)
    y = translate(small).cpu()
    if y.shape[1] != x.shape[1] or not add_change:
        return resized(y, height, width).clamp_(-1, 1)
    # Of the embedded horses, translated at 64 pixels and brought to 2048, bicubic carrying keeps 0.79 of the stripes'
    # contrast, as much as the small result has; bilinear 0.71. Guides that follow the photo's edges gained nothing: the
    # guided filter (He et al. 2013) lost the stripes (0.47), and with what it left out added again was bicubic's equal;
    # joint bilateral weights (Kopf et al. 2007) bled as much around the animal at the same contrast.
    return resized(y - small, height, width).add_(x).clamp_(-1, 1)


def at_network_size(size: tuple[int, int], x: Tensor, labels: bool = False) -> Tensor:
    """Returns pictures (N, C, H, W) in [-1, 1] as they go through the network: (N, C, *size), on the CPU where they are
    resized. labels: see `translate_at_size`."""
    if size == x.shape[2:]:
        return x
    x = x.to("cpu", torch.float32)
    # Enlarged, bicubic, an edge goes beyond black and white, which no picture of the training did.
    return interpolate(x, size, mode="nearest-exact") if labels else resized(x, *size).clamp_(-1, 1)


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Resizes (N, C, H, W) -> (N, C, height, width), float32 on the CPU: first shrinks by areas, as training does, so
    that nothing aliases; then enlarges, bicubic."""
    for interpolation, limit in ((cv2.INTER_AREA, min), (cv2.INTER_CUBIC, max)):
        size = limit(height, x.shape[2]), limit(width, x.shape[3])
        if size != x.shape[2:]:
            planes = x.flatten(0, 1).numpy()
            output = np.empty((len(planes), *size), np.float32)
            for plane, destination in zip(planes, output, strict=True):
                cv2.resize(plane, size[::-1], dst=destination, interpolation=interpolation)
            x = torch.from_numpy(output).unflatten(0, x.shape[:2])
    return x
