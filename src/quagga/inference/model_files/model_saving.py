"""Writes the model folder that `model_folder` reads, with an input of each export that is drawn, and its output.

The folder is written beside its place, synced and renamed, so that a kill or a full disk leaves the previous model
intact. No picture of the user's is in it: the golden inputs are noise, or drawn by their fields' kinds.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from quagga import __version__, atomic
from quagga.data.transforms.conditions import Conditions
from quagga.data.transforms.label_maps import label_planes
from quagga.errors import BadInput, one_line
from quagga.fields import Field
from quagga.filenames import encode_utf8
from quagga.inference.model_files.model_folder import GOLDEN, MAX_JSON_BYTES, MODEL_JSON
from quagga.inference.model_files.model_schema import FORMAT, Domain, ModelDescription, SchemaError, validated
from quagga.models.description.described import describe
from quagga.models.description.export import Export
from quagga.models.network_mode import network_in_mode

FILES_BYTES = 1 << 16  # that the sizes and hashes of the files take in a model.json, at most
GOLDEN_SIZE = 64  # pixels a side of a golden picture, where nothing says how large those of training were


def save_model(
    folder: Path,
    *,
    pipeline: str,
    options: Mapping[str, Any],
    exports: Mapping[str, Export],
    domains: Mapping[str, Mapping[str, Any]],
    preprocessing: Mapping[str, Any],
    images_seen: int,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes the model folder, in place of an older one.

    Args:
        folder: Where, usually `RUN/model`.
        pipeline: The name of the pipeline.
        options: The resolved options of its `build`: numbers, text, None, and lists and dictionaries of them.
        exports: What the game can do, by name. Their networks are on any device and in any mode, and are left as they
            are.
        domains: `{"x": {"name": "horse", "channels": 3, "value_range": [0, 255], "kind": "uint8"}, "y": ...}`.
        preprocessing: What training did to a picture, e.g. `{"load_size": 286, "crop_size": 256}`.
        images_seen: How many images the networks were trained on.
        dtype: In which weights are stored; float16 takes half the space, and single values change by 1 / 2,048.

    Raises:
        BadInput: the folder cannot be written, or the model could not be read again; an older model in its place is
            still there.
    """
    description, model = describe_model(pipeline, options, exports, domains, preprocessing, images_seen)
    contents: dict[str, bytes] = {}
    golden: dict[str, Tensor] = {}
    for name, export in exports.items():
        # A copy on the CPU in float32: what is replayed is what is stored, and the game's keeps device and mode.
        network = copy.deepcopy(export.network).to("cpu", dtype).eval()
        contents[f"{name}.safetensors"] = _pack(network.state_dict())
        network.to(torch.float32)
        inputs = draw_inputs(export.inputs, model.domains, model.preprocessing.crop_size)
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            output = network_in_mode(network, export.mode)(*inputs)
        golden |= {f"{name}.inputs.{field.name}": x for field, x in zip(export.inputs, inputs, strict=True)}
        golden[f"{name}.output"] = output
    contents[GOLDEN] = _pack(golden)
    description["files"] = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    description["bytes"] = {file: len(content) for file, content in contents.items()}
    contents[MODEL_JSON] = _to_json(description)

    def write_files(draft: Path) -> None:
        for file, content in contents.items():
            (draft / file).write_bytes(content)

    try:
        atomic.write_folder(folder, write_files)
    except OSError as error:
        raise BadInput(
            f"cannot write the model to {folder} ({error.strerror}): free some space or choose another place"
        ) from None


def describe_model(
    pipeline: str,
    options: Mapping[str, Any],
    exports: Mapping[str, Export],
    domains: Mapping[str, Mapping[str, Any]],
    preprocessing: Mapping[str, Any],
    images_seen: int = 0,
) -> tuple[dict[str, Any], ModelDescription]:
    """Returns the content of a model.json but for its files, as written and as read; see `save_model`.

    Raises:
        BadInput: it could not be read again.
    """
    described = {
        name: {
            "inputs": [field.to_json() for field in export.inputs],
            "output": export.output.to_json(),
            "mode": {"dropout": export.mode.dropout, "statistics": export.mode.statistics},
        }
        for name, export in exports.items()
    }
    description = {
        "format": FORMAT,
        "pipeline": pipeline,
        "images_seen": images_seen,
        "exports": described,
        "networks": {name: describe(export.network) for name, export in exports.items()},
        "domains": dict(domains),
        "value_range": [-1.0, 1.0],  # of the pictures that networks take and give
        "preprocessing": dict(preprocessing),
        "options": dict(options),
        "versions": {"quagga": __version__, "torch": torch.__version__},
        "files": {},
        "bytes": {},
    }
    try:
        text = _to_json(description)
        model = validated(json.loads(text))
    except (SchemaError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"a model of {pipeline} could not be loaded: {one_line(error)}; change that first") from None
    if len(text) > MAX_JSON_BYTES - FILES_BYTES:
        raise BadInput(f"what model.json would say of {pipeline} takes {len(text):,} bytes: give it fewer names")
    return description, model


def draw_inputs(inputs: Sequence[Field], domains: Mapping[str, Domain], size: int | None) -> tuple[Tensor, ...]:
    """Draws a golden row of inputs, the same on every machine.

    Args:
        inputs: Of the export.
        domains: Of its pictures, by name.
        size: Pixels a side of the pictures; None takes 64. The crop of training is a size that every network takes.
    """
    source, side = torch.Generator().manual_seed(0), size or GOLDEN_SIZE
    return tuple(_draw(field, domains, side, source) for field in inputs)


def _draw(field: Field, domains: Mapping[str, Domain], side: int, source: torch.Generator) -> Tensor:
    """Draws one input, (1, ...)."""
    if field.kind == "picture":
        domain = domains[field.name]
        if domain.made_as == "labels":
            return label_planes(torch.randint(domain.channels, (1, 1, side, side), generator=source), domain.channels)
        return torch.rand(1, domain.channels, side, side, generator=source) * 2 - 1
    if field.kind == "mask":
        return (torch.rand(1, 1, side, side, generator=source) < 0.5).float()
    if field.kind == "condition":
        conditions = Conditions.of(field)
        if conditions.kind == "attributes":
            return torch.randint(2, (1, conditions.count), generator=source).float()
        shape = (1, conditions.length) if conditions.kind == "caption" else (1,)
        return torch.randint(conditions.count, shape, generator=source)
    assert field.size is not None
    return torch.randn(1, field.size, generator=source)


def _to_json(description: Mapping[str, Any]) -> bytes:
    return encode_utf8(json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()})
