"""The networks of the CycleGAN and pix2pix authors' PyTorch program, under its names and under ours.

https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix saves each network as a file `latest_net_G_A.pth`: a state dict,
whose names count the places in its `nn.Sequential`s. The networks compute the same as ours, so that a table of names
turns one into the other. What the tensors do not say stands in `train_opt.txt` or `test_opt.txt` beside them: at which
size the pictures were trained, and which of the two kinds was the input.

Their files are pickles. They are read with torch's `weights_only`, which builds tensors and refuses all else.
"""

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from quagga.errors import BadInput
from quagga.models import Norm, PatchGAN, PixelGAN, ResnetGenerator, UnetGenerator
from quagga.models.blocks.layers import InstanceNorm

UNUSED = ("running_mean", "running_var", "num_batches_tracked")  # instance norm's in files before torch 0.4; not used
OPTION_FILES = ("train_opt.txt", "test_opt.txt")
OPTION = re.compile(r"\s*(\w+): (.*?)\s*(?:\[default: .*\])?\s*")
OLD_OPTION_NAMES = {
    "loadSize": "load_size",
    "fineSize": "crop_size",
    "resize_or_crop": "preprocess",
    "which_direction": "direction",
}


class Architecture(NamedTuple):
    """The architecture of a network, as far as its state dict shows it.

    Args:
        kind: Which of our networks it is.
        inputs: Channels of the input.
        outputs: Channels of the output.
        width: Channels after the first layer.
        depth: Blocks of a ResNet, halvings of a U-Net, strided layers of a PatchGAN; a PixelGAN has 0.
        norm: Their "syncbatch" is "batch".
        dropout: Whether the ResNet's blocks have a dropout, which shifts the names. A U-Net's names do not tell.
    """

    kind: Literal["resnet", "unet", "patch", "pixel"]
    inputs: int
    outputs: int
    width: int
    depth: int
    norm: Norm
    dropout: bool = False

    def __str__(self) -> str:
        generators = {"resnet": f"ResNet of {self.depth} blocks", "unet": f"U-Net of depth {self.depth}"}
        name = generators.get(self.kind, f"discriminator of {self.depth} layers")
        return f"{name}, width {self.width}, norm {self.norm}, {self.inputs} to {self.outputs} channels"


class Layer(NamedTuple):
    """One layer with weights, under both names."""

    theirs: str
    ours: str
    always_biased: bool = False  # other convolutions have a bias in theirs only with instance norm


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a .pth or .pt file of another program, on the CPU, and strips the prefix of a wrapper.

    Raises:
        BadInput: it cannot be read, or holds anything but tensors by name. Nothing in it is run.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                # Torch compresses nothing: a small file that unpacks to gigabytes is a trap.
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise BadInput(f"{path} is compressed, as torch never does: it is refused")
        with warnings.catch_warnings(action="ignore"):  # of odd pickles, which are refused or are not
            state = torch.load(path, map_location="cpu", weights_only=True)
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror or error}): give a .pth file of weights") from None
    except Exception as error:  # whatever a damaged or hostile file leads to
        reason = "it holds more than tensors, which could be code" if "eights only" in str(error) else "it is damaged"
        raise BadInput(f"{path} is refused: {reason}; ask for a plain state dict of its tensors") from None
    if not isinstance(state, Mapping) or not state or not all(map(_is_plain, state.keys(), state.values())):
        raise BadInput(f"{path} is no state dict of tensors: give a file such as latest_net_G_A.pth")
    names = {name: re.sub(r"^(module\.|_orig_mod\.)+", "", name) for name in state}
    return {short: state[name].detach() for name, short in names.items()}


def read_options(folder: Path) -> dict[str, str]:
    """Reads the options of the training from their opt file; {} where there is none."""
    for name in OPTION_FILES:
        if (folder / name).is_file():
            lines = (folder / name).read_text("utf-8", errors="replace").splitlines()
            options = [match.groups() for line in lines if (match := OPTION.fullmatch(line))]
            return {OLD_OPTION_NAMES.get(key, key): value for key, value in options}
    return {}


def from_reference(state: Mapping[str, Tensor], path: object = "the file") -> tuple[Architecture, nn.Module]:
    """Returns our network with the weights of a state dict of theirs, in eval mode.

    Biases that theirs lack are zero. Dropout has no weights, and is left out: it does nothing when translating.

    Raises:
        BadInput: it is no network of theirs, or its tensors do not fit together.
    """
    architecture = architecture_of(state, path)
    with torch.device("meta"):
        network = build_network(architecture)
    weights, known = {}, set()
    for ours, theirs, _ in _tensors(network, architecture):
        like = network.state_dict()[ours]
        if theirs in state:
            known.add(theirs)
            if state[theirs].shape != like.shape:
                raise BadInput(
                    f"{path}: {theirs} has the shape {tuple(state[theirs].shape)}, expected {tuple(like.shape)} in a"
                    f" {architecture}: this is no network of the reference implementation"
                )
            weights[ours] = state[theirs].to(like.dtype).clone(memory_format=torch.contiguous_format)
        elif ours.endswith((".bias", "num_batches_tracked")):
            weights[ours] = torch.zeros(like.shape, dtype=like.dtype)
        else:
            raise BadInput(f"{path} lacks {theirs} of a {architecture}: copy it again")
    unknown = [name for name in state if name not in known and not name.endswith(UNUSED)]
    if unknown:
        raise BadInput(
            f"{path} holds {unknown[0]}, which a {architecture} does not have: it is of another program or version"
        )
    if not all(torch.isfinite(value).all() for value in weights.values()):
        raise BadInput(f"{path} holds weights that are not finite: its training has failed, take an earlier epoch")
    network.load_state_dict(weights, assign=True)
    return architecture, network.eval().requires_grad_(False)


def to_reference(network: nn.Module) -> tuple[Architecture, dict[str, Tensor]]:
    """Returns the state dict of theirs that computes what our network does; a ResNet's is the one of --no_dropout.

    Raises:
        BadInput: their networks cannot hold it.
    """
    architecture = _architecture_of_network(network)
    state = network.state_dict()
    converted = {}
    for ours, theirs, in_theirs in _tensors(network, architecture):
        if in_theirs:
            converted[theirs] = state[ours].detach().cpu().clone()
        elif state[ours].any():
            raise BadInput(
                f"the reference implementation cannot hold this network: with norm {architecture.norm} its layer"
                f" {theirs.removesuffix('.bias')} has no bias, and ours is not zero; train with --norm instance"
            )
    return architecture, converted


def build_network(architecture: Architecture) -> nn.Module:
    """Builds our network of an architecture, without trained weights."""
    kind, inputs, outputs, width, depth, norm, _ = architecture
    match kind:
        case "resnet":
            return ResnetGenerator(inputs, outputs, width, depth, norm)
        case "unet":
            return UnetGenerator(inputs, outputs, width, depth, norm, dropout=0.0)
        case "patch":
            return PatchGAN(inputs, width, depth, norm)
        case "pixel":
            return PixelGAN(inputs, width, norm)


def architecture_of(state: Mapping[str, Tensor], path: object = "the file") -> Architecture:
    """Tells by names and shapes which network of theirs a state dict belongs to.

    Raises:
        BadInput: to none of theirs.
    """

    def norm(convolution: str, following: str) -> Norm:
        return "batch" if f"{following}.weight" in state else "instance" if f"{convolution}.bias" in state else "none"

    try:
        if any(".conv_block." in name for name in state):
            blocks = len({name.split(".")[1] for name in state if ".conv_block." in name})
            first, last = state["model.1.weight"].shape, state[f"model.{17 + blocks}.weight"].shape
            dropout = "model.10.conv_block.6.weight" in state and state["model.10.conv_block.6.weight"].ndim == 4
            return Architecture("resnet", first[1], last[0], first[0], blocks, norm("model.1", "model.2"), dropout)
        if "model.model.0.weight" in state:
            depth = next(i for i in range(2, 32) if state.get(f"{_nested(i - 1)}3.weight") is not None)
            first, last = state["model.model.0.weight"].shape, state["model.model.3.weight"].shape
            outer = _nested(1)
            return Architecture("unet", first[1], last[1], first[0], depth, norm(f"{outer}1", f"{outer}2"))
        if "net.0.weight" in state:
            first = state["net.0.weight"].shape
            return Architecture("pixel", first[1], 1, first[0], 0, norm("net.2", "net.3"))
        layers = (max(int(name.split(".")[1]) for name in state) - 2) // 3
        first = state["model.0.weight"].shape
        return Architecture("patch", first[1], 1, first[0], layers, norm("model.2", "model.3"))
    except (KeyError, IndexError, ValueError, StopIteration):
        raise BadInput(
            f"{path} is no network of the reference implementation: expected its ResNet, U-Net or PatchGAN"
        ) from None


def _nested(i: int) -> str:
    """Returns the prefix of the i-th block of their U-Net, counted from outside."""
    return "model.model." + ("1.model." if i else "") + "3.model." * (i - 1)


def _layers(architecture: Architecture) -> Iterator[Layer]:
    """Yields the layers with weights of an architecture, under both names."""
    n = architecture.depth
    match architecture.kind:
        case "resnet":  # theirs count a padding before the first and the last convolution
            yield from (Layer(f"model.{i + 1}", f"layers.{i}") for i in (0, 1, 3, 4, 6, 7))
            shift = 1 if architecture.dropout else 0
            for b in range(n):
                inner = ((1, 0), (2, 1), (5 + shift, 3), (6 + shift, 4))
                yield from (Layer(f"model.{10 + b}.conv_block.{i}", f"layers.{9 + b}.layers.{j}") for i, j in inner)
            yield from (Layer(f"model.{10 + n + i}", f"layers.{9 + n + i}") for i in (0, 1, 3, 4))
            yield Layer(f"model.{17 + n}", f"layers.{15 + n}", always_biased=True)
        case "unet":
            yield Layer("model.model.0", "encoder.0.0")
            for i in range(1, n - 1):
                places = ((1, f"encoder.{i}.1"), (2, f"encoder.{i}.2"))
                places += ((5, f"decoder.{n - 1 - i}.1"), (6, f"decoder.{n - 1 - i}.2"))
                yield from (Layer(f"{_nested(i)}{place}", ours) for place, ours in places)
            innermost = ((1, f"encoder.{n - 1}.1"), (3, "decoder.0.1"), (4, "decoder.0.2"))
            yield from (Layer(f"{_nested(n - 1)}{place}", ours) for place, ours in innermost)
            yield Layer("model.model.3", "head.1", always_biased=True)
        case "patch":
            yield Layer("model.0", "layers.0", always_biased=True)
            for i in range(1, n + 1):
                yield from (Layer(f"model.{place}", f"layers.{place}") for place in (3 * i - 1, 3 * i))
            yield Layer(f"model.{3 * n + 2}", f"layers.{3 * n + 2}", always_biased=True)
        case "pixel":
            yield Layer("net.0", "layers.0", always_biased=True)
            yield from (Layer(f"net.{place}", f"layers.{place}") for place in (2, 3, 5))


def _tensors(network: nn.Module, architecture: Architecture) -> Iterator[tuple[str, str, bool]]:
    """Yields for every tensor of our network its name, its name in theirs, and whether theirs have it."""
    table = {layer.ours: layer for layer in _layers(architecture)}
    for name in network.state_dict():
        prefix, _, suffix = name.rpartition(".")
        layer = table[prefix]
        is_norm = isinstance(network.get_submodule(prefix), nn.BatchNorm2d)
        in_theirs = suffix != "bias" or is_norm or layer.always_biased or architecture.norm == "instance"
        yield name, f"{layer.theirs}.{suffix}", in_theirs


def _architecture_of_network(network: nn.Module) -> Architecture:
    """Returns the architecture of one of our networks. Raises BadInput where theirs cannot hold it."""
    names = network.state_dict()
    cannot = "the reference implementation cannot hold this network: "
    if any("parametrizations" in name for name in names):
        raise BadInput(cannot + "it has spectral normalisation")
    if any(isinstance(layer, nn.Upsample) for layer in network.modules()):
        raise BadInput(cannot + "it enlarges by --upsample resize, theirs by transposed convolutions")
    norms = {type(layer) for layer in network.modules()} & {nn.BatchNorm2d, InstanceNorm}
    norm: Norm = "none" if not norms else "batch" if nn.BatchNorm2d in norms else "instance"
    match network:
        case ResnetGenerator():
            blocks = len({name.split(".")[1] for name in names if name.count(".layers.")})
            first, last = names["layers.0.weight"].shape, names[f"layers.{15 + blocks}.weight"].shape
            if network.skip:
                raise BadInput(cannot + "with --skip it adds its input, which theirs do not")
            if blocks not in (6, 9):
                raise BadInput(cannot + f"it has {blocks} residual blocks, theirs 6 or 9")
            return Architecture("resnet", first[1], last[0], first[0], blocks, norm)
        case UnetGenerator():
            first, last = names["encoder.0.0.weight"].shape, names["head.1.weight"].shape
            if network.depth not in (7, 8):
                raise BadInput(cannot + f"its depth is {network.depth}, theirs 7 (unet_128) or 8 (unet_256)")
            return Architecture("unet", first[1], last[1], first[0], network.depth, norm)
        case PatchGAN():
            first = names["layers.0.weight"].shape
            return Architecture("patch", first[1], 1, first[0], network.least.bit_length() - 2, norm)
        case PixelGAN():
            first = names["layers.0.weight"].shape
            return Architecture("pixel", first[1], 1, first[0], 0, norm)
    raise BadInput(cannot + f"it is a {type(network).__name__}")


def _is_plain(name: object, value: object) -> bool:
    """Whether it is a named tensor that holds all its numbers: a view can claim more than its file holds."""
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and (value.is_floating_point() or value.dtype == torch.int64)
        and value.untyped_storage().nbytes() >= value.numel() * value.element_size()
    )
