"""The networks. Each is an `nn.Module` that knows no optimiser, loss, device or logger; its arguments are plain values.

Generators map pictures to pictures of the same size, or noise (and a condition) to pictures; discriminators map
pictures to logits (no sigmoid), one for each patch or one for each picture.

A network that saved models shall describe remembers its arguments (`arguments.py`) and stands in the table of
the room `description`.
"""

from quagga.models.autoencoding import AreaDecoder, AreaEncoder, ConvEncoder, MLPDecoder, MLPEncoder, PosteriorMean
from quagga.models.blocks.composed import Composed
from quagga.models.blocks.encoders import encoder_of
from quagga.models.blocks.layers import Norm, Upsample, init_normal_
from quagga.models.classifier import CodeClassifier, ConvClassifier, DeepClassifier, Posterior
from quagga.models.dcgan import ConvDiscriminator, ConvGenerator
from quagga.models.inpainting import Composite, PartialUnet
from quagga.models.mlp import MaxoutDiscriminator, MLPDiscriminator, MLPGenerator
from quagga.models.patchgan import PatchGAN, PixelGAN
from quagga.models.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from quagga.models.resnet import ResnetGenerator
from quagga.models.stargan import StarDiscriminator, StarGenerator, StarJudges
from quagga.models.unet import UnetGenerator

__all__ = [
    "AreaDecoder",
    "AreaEncoder",
    "CodeClassifier",
    "Composed",
    "Composite",
    "ConvClassifier",
    "ConvDiscriminator",
    "ConvEncoder",
    "ConvGenerator",
    "DeepClassifier",
    "MLPDecoder",
    "MLPDiscriminator",
    "MLPEncoder",
    "MLPGenerator",
    "MaxoutDiscriminator",
    "Norm",
    "PartialUnet",
    "PatchGAN",
    "PixelGAN",
    "Posterior",
    "PosteriorMean",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "ResnetGenerator",
    "StarDiscriminator",
    "StarGenerator",
    "StarJudges",
    "UnetGenerator",
    "Upsample",
    "encoder_of",
    "init_normal_",
]
