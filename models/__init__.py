"""The networks. Each is an `nn.Module` that knows no optimiser, loss, device or logger; its arguments are plain values.

Generators map pictures to pictures of the same size; discriminators map pictures to logits (no sigmoid), one a patch.
"""

from quagga.models.layers import Norm, Upsample, init_normal_
from quagga.models.patchgan import PatchGAN, PixelGAN
from quagga.models.resnet import ResnetGenerator
from quagga.models.unet import UnetGenerator

__all__ = ["Norm", "PatchGAN", "PixelGAN", "ResnetGenerator", "UnetGenerator", "Upsample", "init_normal_"]
