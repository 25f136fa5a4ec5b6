"""A description makes the same network again, bit for bit; a stranger's is checked before anything is built."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quagga.models import (
    CodeClassifier,
    Composed,
    ConvGenerator,
    MLPDecoder,
    MLPDiscriminator,
    PartialUnet,
    ResnetGenerator,
    UnetGenerator,
)
from quagga.models.arguments import remembers_arguments
from quagga.models.blocks.encoders import ClassEncoder, Encoder
from quagga.models.description import described
from quagga.models.description.described import NETWORKS, build_described, describe, with_weights
from quagga.models.network_mode import Mode, copy_in_mode
from quagga.option_groups import call_flat
from quagga.pipelines import (
    autoencoder,
    classifier,
    conditional,
    cyclegan,
    gan,
    inpainting,
    pix2pix,
    progressive,
    stargan,
    vae,
)
from quagga.pipelines.core.game_protocol import networks_of
from quagga.pipelines.core.sync_batchnorm import synchronize_batch_norm

SMALL = {"width": 2, "width_discriminator": 2}
TRANSLATION = SMALL | {"crop_size": 16, "layers": 1}
NOISE = SMALL | {"size": 8, "x_channels": 1, "z_size": 3}
CONDITION = NOISE | {"condition": "class", "names": ["a", "b", "c"], "width_condition": 8}
LAYERS = {"blocks": (None, 1), "norm": ("instance", "batch", "none"), "upsample": ("transposed", "resize")}
CONDITIONS = {"condition": ("class", "attributes", "caption"), "text": ("gru", "transformer")}
PIPELINES: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, tuple[Any, ...]]]] = {
    # build, options, and the choices of which every combination is tried
    "resnet": (cyclegan.build, TRANSLATION | {"generator": "resnet"}, LAYERS),
    "resnet with a skip": (cyclegan.build, TRANSLATION | {"skip": True}, {}),
    "unet": (cyclegan.build, TRANSLATION | {"generator": "unet"}, {**LAYERS, "blocks": (None, 1, 3)}),
    "from grey": (pix2pix.build, TRANSLATION | {"x_channels": 1, "blocks": 1}, {"discriminator": ("patch", "pixel")}),
    "pix2pix": (
        pix2pix.build,
        TRANSLATION | {"blocks": 5},
        {"generator": ("unet", "resnet"), "dropout": (0.0, 0.5), "norm": ("batch", "none")},
    ),
    "gan conv": (
        gan.build,
        NOISE,
        {
            "norm": ("batch", "none"),
            "upsample": ("transposed", "resize"),
            "norm_discriminator": ("batch", "instance", "layer", "none"),
        },
    ),
    "gan conv with max-pooling": (
        gan.build,
        NOISE | {"downsample": "max"},
        {"norm_discriminator": ("batch", "none")},
    ),
    "gan mlp": (
        gan.build,
        NOISE | {"network": "mlp", "widths_discriminator": [4]},
        {"widths": ([], [5], [5, 4]), "slope": (0, 0.2), "norm": ("batch", "none")},
    ),
    "conditional conv": (
        conditional.build,
        CONDITION,
        CONDITIONS | {"norm": ("batch", "conditional_batch", "none"), "joining": ("concat", "projection")},
    ),
    "conditional mlp": (
        conditional.build,
        CONDITION | {"network": "mlp", "widths": [4]},
        {"condition": CONDITIONS["condition"], "widths_discriminator": (None, [4])},
    ),
    "D without the condition": (
        conditional.build,
        CONDITION | {"conditional_discriminator": False, "widths": [4]},
        {"network": ("conv", "mlp")},
    ),
    "stargan": (
        stargan.build,
        SMALL | {"size": 8, "x_channels": 1, "names": ["a", "b", "c"], "blocks": 1},
        {"condition": ("class", "attributes"), "skip": (False, True), "upsample": ("transposed", "resize")},
    ),
    "classifier": (
        classifier.build,
        {"width": 2, "x_channels": 1, "names": ["a", "b", "c"]},
        {"condition": ("class", "attributes"), "norm": ("batch", "instance", "none"), "network": ("small", "deep")},
    ),
    "classifier of codes": (
        classifier.build,
        {"width": 2, "size": 8, "x_channels": 1, "names": ["a", "b", "c"], "network": "encoder", "code_size": 3},
        {"norm": ("batch", "none")},
    ),
    "autoencoder": (
        autoencoder.build,
        {"size": 16, "x_channels": 1, "width": 2, "code_size": 3},
        {"network": ("conv", "mlp"), "area": (None, 8), "activation": ("tanh", "linear"), "norm": ("batch", "none")},
    ),
    "vae": (vae.build, {"size": 8, "x_channels": 1, "width": 2, "code_size": 3}, {"network": ("conv", "mlp")}),
    "progressive": (
        progressive.build,
        {"size": 8, "x_channels": 1, "width": 3, "z_size": 4},
        {"wide_until": (4, 8), "group": (1, 4)},
    ),
    "inpainting": (
        inpainting.build,
        SMALL | {"size": 16, "x_channels": 1, "depth": 2, "loss_features": "none", "lambda_gan": 1.0, "layers": 1},
        {"norm": ("batch", "none")},
    ),
    # Spectral normalisation takes a second on the device "meta".
    "spectral": (conditional.build, CONDITION | {"spectral": True}, {"joining": ("concat", "projection")}),
    "spectral mlp": (gan.build, NOISE | {"network": "mlp", "spectral": True}, {}),
    "spectral patch": (cyclegan.build, TRANSLATION | {"spectral": True, "blocks": 1}, {}),
}


def drawn(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def inputs_of(network: nn.Module, options: dict[str, Any]) -> tuple[Tensor, ...]:
    """Two rows of what a network of a pipeline takes."""
    arguments: Any = network.constructor_arguments
    c = {
        "class": torch.tensor([0, 2]),
        "attributes": drawn(2, 3),
        "caption": torch.tensor([[2, 4, 0], [3, 1, 2]]),
    }.get(options.get("condition", ""))
    if "in_channels" in arguments:
        return (drawn(2, arguments["in_channels"], 16, 16),)
    if isinstance(network, PartialUnet):
        return drawn(2, 1, 16, 16), (drawn(2, 1, 16, 16) > 0).float()
    if isinstance(network, MLPDecoder | CodeClassifier):
        return (drawn(2, arguments["code_size"]),)
    side = options.get("area") or options.get("size", 8)
    x = drawn(2, arguments["z_size"]) if "z_size" in arguments else drawn(2, 1, side, side)
    takes_c = "kind" in arguments or arguments.get("encoder") is not None
    return (x, c) if c is not None and takes_c else (x,)


def with_running_statistics(network: nn.Module) -> nn.Module:
    """In eval mode, with running statistics and parameters that are not those of a new network."""
    torch.manual_seed(2)
    for name, value in network.named_buffers():
        if "running" in name:
            nn.init.uniform_(value, 0.5, 1.5)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_described_network_gives_the_same_bits(name):
    build, options, choices = PIPELINES[name]
    for values in product(*choices.values()):
        chosen = options | dict(zip(choices, values, strict=True))
        game = call_flat(build, **chosen)
        for network in map(with_running_statistics, networks_of(game)):
            description = describe(network)
            assert description is not None, chosen
            assert json.loads(json.dumps(description)) == description
            rebuilt = with_weights(
                lambda: build_described(json.loads(json.dumps(description))),  # noqa: B023
                {name: value.clone() for name, value in network.state_dict().items()},
            )
            rebuilt.eval().requires_grad_(False)  # kernels for the gradient are others
            inputs = inputs_of(network, chosen)
            torch.testing.assert_close(rebuilt(*inputs), network(*inputs), rtol=0, atol=0)
            assert describe(rebuilt) == description


def test_every_class_of_the_table_is_reached_by_a_pipeline():
    """So that the law above is one of all of them."""
    reached = set()
    for build, options, choices in PIPELINES.values():
        for values in product(*choices.values()):
            with torch.device("meta"):
                game = call_flat(build, **options | dict(zip(choices, values, strict=True)))
            for network in (*networks_of(game), *(export.network for export in game.exports.values())):
                reached |= {type(layer) for layer in network.modules()} & set(NETWORKS.values())
    assert reached | {Composed} == set(NETWORKS.values())  # which the law of an autoencoder saves and loads


def test_to_describe_and_to_build_for_loading_draw_nothing():
    G = UnetGenerator(width=2, depth=2)
    state = torch.get_rng_state()
    description = describe(G)
    with_weights(lambda: build_described(description), G.state_dict())
    assert torch.equal(torch.get_rng_state(), state)
    with torch.device("meta"):
        assert all(tensor.is_meta for tensor in build_described(description).state_dict().values())


def test_loaded_weights_are_not_copied():
    G = UnetGenerator(width=2, depth=2)
    weights = G.state_dict()
    loaded = with_weights(lambda: build_described(describe(G)), weights)
    assert all(value.data_ptr() == weights[name].data_ptr() for name, value in loaded.state_dict().items())
    with pytest.raises(RuntimeError, match="size mismatch"):
        with_weights(lambda: UnetGenerator(width=3, depth=2), weights)


@remembers_arguments
class Blur(nn.Module):
    """A network with a buffer that is computed, not saved."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("kernel", torch.full((1, 1, size, size), size**-2.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * nn.functional.conv2d(x, self.get_buffer("kernel"))


def test_a_buffer_that_is_not_saved_is_computed(monkeypatch):
    monkeypatch.setitem(described.NETWORKS, "Blur", Blur)
    network, x = Blur(5), drawn(1, 1, 8, 8)
    nn.init.constant_(network.weight, 2.0)
    description = describe(network)
    assert description == {"class": "Blur", "arguments": {"size": 5}}
    loaded = with_weights(lambda: build_described(description), network.state_dict())
    assert torch.equal(loaded(x), network(x))


class OwnEncoder(Encoder):
    """Of a user's own file."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 2


def test_a_network_that_its_description_would_not_make_has_none():
    resnet = ResnetGenerator(width=2, blocks=1)
    assert describe(resnet)
    resnet.layers[2] = nn.Tanh()  # no weight tells this from the ReLU that was there
    assert describe(resnet) is None
    own = type("ResnetGenerator", (ResnetGenerator,), {"forward": lambda self, x: x})
    assert describe(own(width=2, blocks=1)) is None
    assert describe(nn.Linear(1, 1)) is None
    assert describe(ConvGenerator(8, encoder=OwnEncoder())) is None
    assert describe(ResnetGenerator(width=1, blocks=300)) is None  # one that `build_described` refuses
    unet = UnetGenerator(width=2, depth=5)
    assert describe(unet) and describe(copy_in_mode(unet, Mode(dropout=True))) is None


def test_batch_norm_over_several_processes_is_batch_norm():
    G = UnetGenerator(width=2, depth=3)
    description = describe(G)
    synchronize_batch_norm(G)
    assert describe(G) == description


def test_a_whole_number_is_a_valid_share():
    G = build_described({"class": "UnetGenerator", "arguments": {"width": 2, "depth": 2, "dropout": 0}})
    assert describe(G) == describe(UnetGenerator(width=2, depth=2, dropout=0.0))


RESNET_OF = {"class": "ResnetGenerator"}
DEEP: dict[str, Any] = {"class": "ClassEncoder", "arguments": {"classes": 2, "width": 2}}
for _ in range(20):
    DEEP = {"class": "ConvGenerator", "arguments": {"size": 8, "encoder": DEEP}}


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("ResnetGeneratr", {}, "there is no network 'ResnetGeneratr': did you mean ResnetGenerator?"),
        ("os.system", {}, "there is no network 'os.system': there are "),
        ("\x1b[2J\n" * 9999, {}, "there is no network '\\x1b[2J\\n"),
        ("ResnetGenerator", {"widht": 2}, "ResnetGenerator: got an unexpected keyword argument 'widht'"),
        ("ResnetGenerator", {"self": 2}, "ResnetGenerator: got an unexpected keyword argument 'self'"),
        ("ConvGenerator", {}, "ConvGenerator: missing a required argument: 'size'"),
        ("ResnetGenerator", {"width": "64"}, "ResnetGenerator: width is '64': Input should be a valid integer"),
        ("ResnetGenerator", {"width": 64.0}, "ResnetGenerator: width is 64.0: Input should be a valid integer"),
        ("ResnetGenerator", {"width": True}, "ResnetGenerator: width is True: Input should be a valid integer"),
        ("ResnetGenerator", {"width": None}, "ResnetGenerator: width is None: Input should be a valid integer"),
        ("ResnetGenerator", {"skip": 1}, "ResnetGenerator: skip is 1: Input should be a valid boolean"),
        ("ResnetGenerator", {"width": 0}, "ResnetGenerator: width is 0: Input should be greater than or equal to 1"),
        ("ResnetGenerator", {"width": 4097}, "width is 4097: Input should be less than or equal to 4096"),
        ("ResnetGenerator", {"width": 10**400}, "Input should be less than or equal to 4096"),
        ("ResnetGenerator", {"blocks": 257}, "blocks is 257: Input should be less than or equal to 256"),
        ("ResnetGenerator", {"norm": "layer"}, "norm is 'layer': Input should be 'instance', 'batch' or 'none'"),
        ("ResnetGenerator", {"norm": "x" * 9999}, "xxx...: Input should be 'instance', 'batch' or 'none'"),
        ("ResnetGenerator", {"skip": True, "out_channels": 1}, "3 and 1 channels cannot be added"),
        ("UnetGenerator", {"depth": 13}, "depth is 13: Input should be less than or equal to 12"),
        ("UnetGenerator", {"dropout": 1.5}, "dropout is 1.5: Input should be less than or equal to 1"),
        ("UnetGenerator", {"dropout": float("nan")}, "dropout is nan: Input should be a finite number"),
        ("MLPGenerator", {"shape": [3, 8]}, "MLPGenerator: shape is (3, 8): "),
        ("MLPGenerator", {"shape": [3, 8, 1025]}, "shape is (3, 8, 1025): Input should be less than or equal to 1024"),
        ("MLPGenerator", {"shape": [1, 8, 8], "widths": [4] * 17}, "at most 16 items"),
        ("MLPGenerator", {"shape": [1, 8, 8], "widths": [4, 0]}, "Input should be greater than or equal to 1"),
        ("MLPGenerator", {"shape": [1, 8, 8], "widths": "44"}, "MLPGenerator: widths is '44': "),
        ("MLPGenerator", {"shape": [1, 8, 8], "slope": 10**400}, "MLPGenerator: slope is 1000"),
        ("MLPGenerator", {"shape": [1, 8, 8], "slope": float("inf")}, "slope is inf: Input should be a finite number"),
        ("ConvGenerator", {"size": 17}, "pictures of 17 pixels cannot be halved"),
        ("ConvGenerator", {"size": 8, "encoder": RESNET_OF | {"arguments": {}}}, "should be an instance of Encoder"),
        ("ConvGenerator", {"size": 8, "encoder": {"classes": 2}}, "described by its class and arguments, not by"),
        ("ConvGenerator", {"size": 8, "encoder": "ClassEncoder"}, "should be an instance of Encoder"),
        ("ConvGenerator", {"size": 8, "encoder": DEEP}, "8 levels deep at most"),
        ("ConvGenerator", {"size": [[[[[[[[[8]]]]]]]]]}, "8 levels deep at most"),
        ("TransformerEncoder", {"tokens": 9, "width": 6}, "a width of 6 cannot be shared by 4 heads"),
    ],
)
def test_what_a_class_does_not_take_is_refused_in_one_line(name, arguments, message):
    with torch.device("meta"), pytest.raises(ValueError) as refusal:
        build_described({"class": name, "arguments": arguments})
    said = str(refusal.value)
    assert message in said and said.isprintable() and len(said) < 400, said


@pytest.mark.parametrize(
    "description",
    [
        *(None, [], "ResnetGenerator", RESNET_OF, {"arguments": {}}, RESNET_OF | {"arguments": []}, {"class": 1}),
        RESNET_OF | {"arguments": {}, "weights": "/etc/passwd"},
        {"class": ["ResnetGenerator"], "arguments": {}},
    ],
)
def test_what_is_no_description_is_refused(description):
    with pytest.raises(ValueError, match="a network is described by its class and arguments, not by"):
        build_described(description)


def test_the_largest_sizes_cost_no_memory():
    """Under the device "meta": a stranger's model is refused for its weights, not built first."""
    largest: list[tuple[str, dict[str, Any]]] = [
        ("UnetGenerator", {"in_channels": 4096, "out_channels": 4096, "width": 4096, "depth": 12}),
        ("MLPGenerator", {"shape": [4096, 1024, 1024], "widths": [16384] * 16}),
        ("ConvGenerator", {"size": 960, "channels": 4096, "z_size": 4096, "width": 4096}),
        ("GRUEncoder", {"tokens": 16384, "width": 4096}),
    ]
    for name, arguments in largest:
        with torch.device("meta"):
            network = build_described({"class": name, "arguments": arguments})
        assert sum(parameter.numel() for parameter in network.parameters()) > 10**8
        with pytest.raises(RuntimeError):
            with_weights(lambda: build_described({"class": name, "arguments": arguments}), {})  # noqa: B023


def test_networks_are_imported_without_the_library_that_checks_descriptions():
    program = "import sys, quagga.models, quagga.models.description.described; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_constructor_says_what_it_takes():
    """To `help` and to tools: the decorator hides nothing."""
    assert list(inspect.signature(MLPDiscriminator).parameters)[:2] == ["shape", "widths"]
    assert ClassEncoder(3, 2).constructor_arguments == {"classes": 3, "width": 2, "hot": False}
