"""Layers and functions that networks share: normalisation, upsampling, initialisation, spectral norm, padding."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Norm = Literal["instance", "batch", "none"]
Upsample = Literal["transposed", "resize"]

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class InstanceNorm(nn.InstanceNorm2d):
    """Normalises every channel of every picture to mean 0 and variance 1, unscaled (Ulyanov et al. 2016,
    arXiv:1607.08022).

    The same function as `nn.InstanceNorm2d`; mean and variance are taken in float32 at least. On the CPU it uses the
    kernel of group normalisation with one channel a group, which measured 2 to 4 times as fast there (and 20 times as
    slow backward in bfloat16 in channels-last); elsewhere autocast would widen that one to float32. A compiler gets the
    formula, of which it makes two passes over memory, whatever the memory format.
    """

    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        """(N, C, H, W) of any range -> the same shape, in training and in eval mode alike."""
        if torch.compiler.is_compiling():
            x = input.to(torch.promote_types(input.dtype, torch.float32))
            variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
            return ((x - mean) * torch.rsqrt(variance + self.eps)).to(input.dtype)
        if input.device.type == "cpu":
            return torch.group_norm(input, self.num_features, eps=self.eps)
        return super().forward(input)


class MirroredConv2d(nn.Conv2d):
    """A convolution whose borders are mirrored: `padding` pixels, the outermost of them not repeated.

    The same function as `nn.Conv2d` with padding_mode "reflect". On the CPU autocast widens the padded pixels to
    float32 and the convolution narrows them again, which took 7 % of a training step in bfloat16; here pixels keep
    their dtype.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=padding, padding_mode="reflect", bias=bias)
        self.border = [padding] * 4

    def forward(self, input: Tensor) -> Tensor:  # (N, inputs, H, W) -> (N, outputs, H, W)
        """(N, inputs, H, W) -> (N, outputs, H, W); H and W must be larger than the padding."""
        with torch.autocast(input.device.type, enabled=False):
            input = F.pad(input, self.border, mode="reflect")
        return F.conv2d(input, self.weight, self.bias)


def normalization(kind: Norm, channels: int) -> nn.Module:
    """Returns the layer that normalises `channels` maps; "none" leaves them as they are."""
    match kind:
        case "instance":
            return InstanceNorm(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()
        case _:
            raise ValueError(f"norm {kind!r} is unknown: expected instance, batch or none")


def upsampling(kind: Upsample, inputs: int, outputs: int, kernel: Literal[3, 4], bias: bool = True) -> nn.Module:
    """Returns a layer (N, inputs, H, W) -> (N, outputs, 2H, 2W).

    "transposed" is the papers' transposed convolution of stride 2, with a kernel of 3 (CycleGAN) or 4 (pix2pix).
    "resize" repeats each pixel 2 x 2 and convolves 3 x 3: every output pixel has seen equally many inputs, so there is
    no checkerboard (Odena et al. 2016, distill.pub/2016/deconv-checkerboard).
    """
    match kind:
        case "transposed":
            return nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1, output_padding=4 - kernel, bias=bias)
        case "resize":
            return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
        case _:
            raise ValueError(f"upsample {kind!r} is unknown: expected transposed or resize")


def init_normal_(network: nn.Module, std: float = 0.02) -> None:
    """Initialises a network as the papers do (Isola et al. 2017, Sec. 6.2; Zhu et al. 2017, Sec. 7.1), in place.

    Weights of convolutions and linear layers are drawn from N(0, std^2), scales of batch normalisation from
    N(1, std^2); biases are zero. The numbers come from torch's global generator. The networks here call it in
    their constructors; on the device "meta" it does nothing.
    """
    for layer in network.modules():
        if any(parameter.is_meta for parameter in layer.parameters(recurse=False)):
            continue  # torch would import its compiler, only to find that there is nothing to draw: a second
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, WEIGHTED):
            for parameter in layer.parameters():  # not .weight: under spectral norm that is only a quotient
                if parameter.ndim > 1:
                    nn.init.normal_(parameter, 0.0, std)
                else:
                    nn.init.zeros_(parameter)


def spectral_norm_(network: nn.Module) -> None:
    """Divides the weight of every convolution, linear layer and embedding by its largest singular value, in place
    (Miyato et al. 2018, Eq. 8).

    The singular vectors are buffers; each forward pass in training improves them by a power iteration (Algorithm 1).
    """
    for layer in list(network.modules()):
        if isinstance(layer, (*WEIGHTED, nn.Embedding)):
            spectral_norm(layer)


def pad_to_multiple(x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Pads (N, C, H, W) on all sides until height and width are multiples of `multiple` and no smaller than `least`.

    The picture stays in the middle (an odd pixel goes to the bottom and the right). It is mirrored at its border; if it
    is too small for that, its border is repeated. Undone by `crop_middle`.
    """
    for axis in (2, 3):
        size = x.shape[axis]
        missing = max(-(-size // multiple), -(-least // multiple)) * multiple - size
        if missing:
            before, after = missing // 2, missing - missing // 2
            pad = (0, 0, before, after) if axis == 2 else (before, after, 0, 0)
            x = F.pad(x, pad, mode="reflect" if after < size else "replicate")
    return x


def crop_middle(x: Tensor, height: int, width: int) -> Tensor:
    """Returns the middle (N, C, height, width) of (N, C, H, W), a view: it cuts off what `pad_to_multiple` has
    added."""
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]
