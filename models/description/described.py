"""Networks as plain data: the name of a class, and the arguments of its constructor.

    {"class": "ConvGenerator", "arguments": {"size": 64, "z_size": 100, ...,
        "encoder": {"class": "ClassEncoder", "arguments": {"classes": 10, "width": 64, "hot": false}}}}

A saved model describes its networks in this way, and can be loaded without the pipeline that trained it. A description
may come from a stranger, so it names a class of a fixed table, and the type and the bounds of every argument are
checked before a class is called. Constructors take tuples where JSON has lists.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from quagga.did_you_mean import did_you_mean
from quagga.errors import one_line
from quagga.models.autoencoding import AreaDecoder, AreaEncoder, ConvEncoder, MLPDecoder, MLPEncoder, PosteriorMean
from quagga.models.blocks.composed import Composed
from quagga.models.blocks.encoders import AttributesEncoder, ClassEncoder, GRUEncoder, TransformerEncoder
from quagga.models.classifier import CodeClassifier, ConvClassifier, DeepClassifier, Posterior
from quagga.models.dcgan import ConvDiscriminator, ConvGenerator
from quagga.models.inpainting import Composite, PartialUnet
from quagga.models.mlp import MaxoutDiscriminator, MLPDiscriminator, MLPGenerator
from quagga.models.patchgan import PatchGAN, PixelGAN
from quagga.models.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from quagga.models.resnet import ResnetGenerator
from quagga.models.stargan import StarDiscriminator, StarGenerator
from quagga.models.unet import UnetGenerator

# Name in a description -> class, decorated with `remembers_arguments`. Models name these: a name stays when a class is
# renamed, and so do the names and the meaning of a class's arguments.
NETWORKS: dict[str, type[nn.Module]] = {
    "AreaDecoder": AreaDecoder,
    "AreaEncoder": AreaEncoder,
    "AttributesEncoder": AttributesEncoder,
    "ClassEncoder": ClassEncoder,
    "CodeClassifier": CodeClassifier,
    "Composed": Composed,
    "Composite": Composite,
    "ConvClassifier": ConvClassifier,
    "ConvDiscriminator": ConvDiscriminator,
    "ConvEncoder": ConvEncoder,
    "ConvGenerator": ConvGenerator,
    "DeepClassifier": DeepClassifier,
    "GRUEncoder": GRUEncoder,
    "MLPDecoder": MLPDecoder,
    "MLPDiscriminator": MLPDiscriminator,
    "MLPEncoder": MLPEncoder,
    "MLPGenerator": MLPGenerator,
    "MaxoutDiscriminator": MaxoutDiscriminator,
    "PartialUnet": PartialUnet,
    "PatchGAN": PatchGAN,
    "PixelGAN": PixelGAN,
    "Posterior": Posterior,
    "PosteriorMean": PosteriorMean,
    "ProgressiveDiscriminator": ProgressiveDiscriminator,
    "ProgressiveGenerator": ProgressiveGenerator,
    "ResnetGenerator": ResnetGenerator,
    "StarDiscriminator": StarDiscriminator,
    "StarGenerator": StarGenerator,
    "TransformerEncoder": TransformerEncoder,
    "UnetGenerator": UnetGenerator,
}
MAX_NESTING = 8  # networks and lists within one another; ours have 2


def describe(network: nn.Module) -> dict[str, Any] | None:
    """Returns a network's class and arguments as plain data, of which `build_described` makes the same network.

    None if it would not be the same: its class or that of an argument is not in `NETWORKS`, an argument is out of
    bounds, or the network's layers have been changed since it was made. (Batch normalisation over several processes
    counts as batch normalisation, which it is when the training is over.)
    """
    try:
        description = _described(network)
        with torch.device("meta"):
            rebuilt = build_described(description)
    except ValueError:
        return None
    return description if _layers(rebuilt) == _layers(network) else None


def build_described(description: object) -> nn.Module:
    """Makes the network of a description, with new weights; under `torch.device("meta")` with none, which costs no
    memory whatever the sizes.

    Args:
        description: As `describe` returns it, or as JSON has it. Arguments that are missing take their defaults.

    Raises:
        ValueError: it is no description, names no class of `NETWORKS`, or an argument is unknown, missing, of another
            type or out of bounds. One line.
    """
    return _built(description, MAX_NESTING)


def with_weights(make: Callable[[], nn.Module], weights: Mapping[str, Tensor]) -> nn.Module:
    """Makes a network and gives it weights, without the time and memory of the weights that it would begin with.

    Args:
        make: Makes the network, twice if it has buffers that are computed instead of saved.
        weights: Its state dict. The network's tensors are these, not copies, unless it was made twice.

    Raises:
        RuntimeError: names or shapes of the weights are not those of the network.
    """
    with torch.device("meta"):  # shapes without values
        network = make()
    network.load_state_dict(weights, assign=True)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        with torch.random.fork_rng(devices=[]):
            network = make()
        network.load_state_dict(weights)
    return network


def _described(value: object) -> Any:
    """A network, or a value among its arguments, as JSON has it. Raises ValueError where JSON has no such thing."""
    match value:
        case nn.Module():
            name = next((name for name, known in NETWORKS.items() if type(value) is known), None)
            if name is None:
                raise ValueError(f"{type(value).__name__} is not in the table of networks")
            arguments: dict[str, Any] = value.constructor_arguments  # pyright: ignore[reportAssignmentType]
            return {"class": name, "arguments": {argument: _described(each) for argument, each in arguments.items()}}
        case list() | tuple():
            return [_described(each) for each in value]
        case None | bool() | int() | float() | str():
            return value
    raise ValueError(f"{type(value).__name__} is no plain data")


def _layers(network: nn.Module) -> str:
    """The names, classes and settings of all layers, as text. Batch normalisation is the same over any number of
    processes."""
    return re.sub(r"\w*BatchNorm\w*", "BatchNorm", repr(network))


def _built(description: object, levels: int) -> nn.Module:
    match description:
        case {"class": str(name), "arguments": dict(arguments), **others} if not others:
            pass
        case _:
            raise ValueError(f"a network is described by its class and arguments, not by {_short(description)}")
    if name not in NETWORKS:
        raise ValueError(f"there is no network {_short(name)}{did_you_mean(name[:60], NETWORKS)}")
    values = {argument: _value(value, levels - 1) for argument, value in arguments.items()}
    return NETWORKS[name](**_checked(name, values))


def _value(value: object, levels: int) -> object:
    """The value of an argument: of a description the network, of a list a tuple."""
    if not levels:
        raise ValueError(f"networks and lists within one another are {MAX_NESTING} levels deep at most")
    if isinstance(value, dict):
        return _built(value, levels)
    return tuple(_value(each, levels - 1) for each in value) if isinstance(value, list | tuple) else value


def _checked(name: str, arguments: dict[str, object]) -> dict[str, Any]:
    """The arguments of a class, if they are of the types and within the bounds of its constructor's annotations. A
    whole number is a valid float."""
    import pydantic  # here, since importing it takes longer than importing all networks

    network = NETWORKS[name]
    try:
        inspect.signature(network).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {one_line(error, 100)}") from None
    types = get_type_hints(network.__init__, include_extras=True)
    config = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    checked = {}
    for argument, value in arguments.items():
        try:
            checked[argument] = pydantic.TypeAdapter(types[argument], config=config).validate_python(value)
        except pydantic.ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise ValueError(f"{name}: {argument} is {_short(value)}: {reason}") from None
    return checked


def _short(value: object) -> str:
    """A stranger's value in a message: on one line, without control characters, cut."""
    text = one_line(repr(value), None)
    return text if len(text) <= 80 else text[:80] + "..."
