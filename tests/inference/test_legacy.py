"""A model of format 1 says in format 2 what it was: its networks by class and arguments, what they take and give."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from quagga.inference.model_files.legacy import DEFAULTS, to_format_2
from quagga.models.description.described import build_described, with_weights
from quagga.models.network_mode import Mode, network_in_mode

RUNS = Path(__file__).parents[1] / "fixtures" / "0.1" / "runs"
DESCRIBED = sorted(run.name for run in RUNS.iterdir() if run.name != "refined")  # that one is a user's own pipeline


def content_of(run: str) -> dict[str, Any]:
    return json.loads((RUNS / run / "model" / "model.json").read_text("utf-8"))


def content(pipeline: str, **options: object) -> dict[str, Any]:
    """Of a model with these options, all others being the pipeline's."""
    one = {"gan": {"size": 16, "x_channels": 1}, "conditional": {"size": 16, "x_channels": 1, "names": ["a", "b", "c"]}}
    makes = {"translations": {"G": ["x", "y"]}} if pipeline in ("cyclegan", "pix2pix") else {"samples": {"G": "x"}}
    return {"pipeline": pipeline, "options": one.get(pipeline, {}) | options, "translations": {}} | makes


def arguments_of_G(pipeline: str, **options: object) -> dict[str, Any]:
    return to_format_2(content(pipeline, **options))["networks"]["G"]["arguments"]


def test_the_kinds_of_models_are_eleven():
    assert len(DESCRIBED) == 11


@pytest.mark.parametrize("run", DESCRIBED)
def test_a_described_network_is_the_one_that_was_saved(run):
    """Its weights have the names and shapes of the network, and it gives the golden output."""
    described = json.loads(json.dumps(to_format_2(content_of(run))))
    golden = load_file(RUNS / run / "model" / "golden.safetensors")
    assert described["networks"].keys() == described["exports"].keys()
    for name, export in described["exports"].items():
        weights = load_file(RUNS / run / "model" / f"{name}.safetensors")
        network = with_weights(lambda name=name: build_described(described["networks"][name]), weights)
        assert {key: value.shape for key, value in network.state_dict().items()} == {
            key: value.shape for key, value in weights.items()
        }
        inputs = [golden[f"{name}.{part}"] for part in ("input", "condition") if f"{name}.{part}" in golden]
        assert len(inputs) == len(export["inputs"])
        with torch.inference_mode():
            made = network_in_mode(network, Mode(**export["mode"]))(*inputs)
        assert (made - golden[f"{name}.output"]).abs().max() < 1e-5


def test_what_a_network_takes_and_gives_is_stated():
    x, y = {"kind": "picture", "name": "x"}, {"kind": "picture", "name": "y"}
    eval_mode = {"dropout": False, "statistics": "running"}
    assert to_format_2(content_of("cyclegan"))["exports"] == {
        "G": {"inputs": [x], "output": y, "mode": eval_mode},
        "F": {"inputs": [y], "output": x, "mode": eval_mode},
    }
    assert to_format_2(content_of("pix2pix"))["exports"]["G"]["mode"] == {"dropout": True, "statistics": "batch"}
    z = {"kind": "noise", "name": "z", "size": 4}
    assert to_format_2(content_of("gan"))["exports"] == {"G": {"inputs": [z], "output": x, "mode": eval_mode}}
    words = ["one", "zebra", "a", "horse", "striped"]
    c = {"kind": "condition", "name": "c", "condition": "caption", "names": words, "length": 4}
    assert to_format_2(content_of("caption"))["exports"]["G"]["inputs"] == [z, c]


def test_all_else_is_passed_on():
    before = content_of("pix2pix-edges")
    now = to_format_2(before)
    assert now["format"] == 2
    assert {key: value for key, value in now.items() if key not in ("format", "networks", "exports")} == {
        key: value for key, value in before.items() if key not in ("format", "translations", "samples")
    }
    oldest = {key: value for key, value in before.items() if key not in ("samples", "bytes")}
    assert to_format_2(oldest) == now | {"bytes": {}}


def test_of_a_pipeline_of_ones_own_only_its_build_knows_the_networks():
    refined = to_format_2(content_of("refined"))
    assert refined["networks"] == {"R": None} and refined["pipeline"] == "refiner"
    assert refined["exports"]["R"]["inputs"] == [{"kind": "picture", "name": "x"}]
    own = content("mine", width=4) | {"samples": {"G": "x"}, "translations": {}}
    with pytest.raises(ValueError, match="has no z_size for the network 'G'"):
        to_format_2(own)
    [z] = to_format_2(own, {"G.input": (1, 7)})["exports"]["G"]["inputs"]
    assert z == {"kind": "noise", "name": "z", "size": 7}
    _, c = to_format_2(own, {"G.input": (1, 7), "G.condition": (1,)})["exports"]["G"]["inputs"]
    assert c == {"kind": "condition", "name": "c", "condition": "class", "names": [], "length": 16}


@pytest.mark.parametrize("pipeline", DEFAULTS)
def test_an_option_that_a_model_does_not_state_has_0_1s_default(pipeline):
    """As `quagga train NAME --print_config` of 0.1 printed it."""
    printed = yaml.safe_load((RUNS.parent / "config" / f"{pipeline}.yaml").read_text("utf-8"))
    assert {name: printed[name] for name in DEFAULTS[pipeline]} == DEFAULTS[pipeline]


def test_a_size_that_the_options_leave_open_is_the_one_of_0_1():
    assert arguments_of_G("cyclegan")["blocks"] == 9 and arguments_of_G("cyclegan", crop_size=255)["blocks"] == 6
    assert arguments_of_G("cyclegan", crop_size=128, blocks=2)["blocks"] == 2
    depths = {crop: arguments_of_G("cyclegan", generator="unet", crop_size=crop)["depth"] for crop in (512, 96, 25)}
    assert depths == {512: 8, 96: 5, 25: 2}
    depths = {crop: arguments_of_G("pix2pix", crop_size=crop)["depth"] for crop in (512, 96, 3)}
    assert depths == {512: 8, 96: 6, 3: 2}
    assert arguments_of_G("pix2pix", x_channels=None)["in_channels"] == 3
    assert arguments_of_G("gan", network="mlp")["widths"] == [256, 512, 1024]
    assert arguments_of_G("conditional", network="mlp")["widths"] == [1200]
    encoder = arguments_of_G("conditional", condition="caption", text="transformer")["encoder"]
    assert encoder["arguments"] == {"tokens": 5, "width": 64, "layers": 2, "heads": 4}


CHOICES: dict[str, dict[str, tuple[object, ...]]] = {
    "cyclegan": {"generator": ("resnet", "unet"), "skip": (False,), "blocks": (None, 3)},
    "pix2pix": {"generator": ("resnet", "unet"), "dropout": (0.0, 0.5), "x_channels": (None, 1), "blocks": (None, 3)},
    "gan": {"network": ("conv", "mlp"), "widths": (None, [5]), "slope": (0.0, 0.2), "norm": ("batch", "none")},
    "conditional": {
        "condition": ("class", "attributes", "caption"),
        "network": ("conv", "mlp"),
        "text": ("gru", "transformer"),
        "norm": ("batch", "conditional_batch", "none"),
    },
}


@pytest.mark.parametrize("pipeline", CHOICES)
def test_every_combination_of_options_makes_a_network(pipeline):
    choices = CHOICES[pipeline]
    for values in product(*choices.values()):
        options = dict(zip(choices, values, strict=True))
        small = {"width": 4} | ({"crop_size": 32} if "crop_size" in DEFAULTS[pipeline] else {})
        with torch.device("meta"):
            build_described(to_format_2(content(pipeline, **options, **small))["networks"]["G"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"pipeline": None}, "'pipeline' is missing or not what Quagga writes"),
        ({"options": []}, "'options' is missing"),
        ({"translations": {"G": ["x"]}}, "'translations' names no source and target"),
        ({"translations": {"G": "xy"}}, "'translations' names no source and target"),
        ({"translations": {"H": ["x", "y"]}}, "'cyclegan' has no network 'H'"),
        ({"samples": {"G": 1}}, "'samples' names no target"),
        ({"options": {"generator": "vit"}}, "the option generator is 'vit': it is resnet or unet"),
        ({"options": {"generator": ["resnet"]}}, "the option generator is .'resnet'.: it is resnet or unet"),
        ({"options": {"crop_size": "256"}}, "the option crop_size is '256', not a number of 1 or more"),
        ({"options": {"crop_size": True}}, "the option crop_size is True"),
    ],
)
def test_what_0_1_did_not_write_is_refused_in_one_line(change, message):
    with pytest.raises(ValueError, match=message) as refusal:
        to_format_2(content_of("cyclegan") | change)
    assert "\n" not in str(refusal.value)
