"""One export of a saved model: its network is made as model.json describes it, and gets its weights.

A network of `quagga.models` is made without the game it was trained in: no pipeline, no data set, no other network.
Only a network of a user's own needs the function that built its game.
"""

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, get_args

import torch
from torch import Tensor, nn

from quagga.errors import BadInput, one_line
from quagga.fields import Field, field_of, samples, translates
from quagga.inference.device import choose_device
from quagga.inference.finite_checks import check_weights
from quagga.inference.model_files.model_folder import GOLDEN, ModelFolder
from quagga.inference.predictor import Precision, Predictor
from quagga.models.description.described import build_described, with_weights
from quagga.models.description.export import exports_of
from quagga.models.network_mode import Mode, Statistics
from quagga.option_groups import add_arguments, call_flat, flat_parameters
from quagga.pipelines import PIPELINES


def load_predictor(
    model: ModelFolder,
    name: str,
    device: str | torch.device | None = None,
    build: Callable[..., Any] | None = None,
    *,
    dropout: bool | None = None,
    statistics: Statistics | None = None,
    seed: int = 0,
    mixed_precision: Precision = "no",
) -> Predictor:
    """Loads the export called `name`, of any kind, as a function of tensors; see `quagga.load` for the settings.

    Raises:
        BadInput: as `quagga.load` does.
    """
    if mixed_precision not in get_args(Precision):
        raise BadInput(f"mixed_precision is {mixed_precision}: choose no or bf16")
    if not 0 <= seed < 1 << 63:
        raise BadInput(f"seed is {seed}: it must be 0 or more, and below 2**63")
    chosen_device, export = choose_device(device), model.exports[name]
    saved = export.mode
    network = load_network(model, name, build)
    return Predictor(
        title=title_of(model, name),
        network=network.to(chosen_device),
        inputs=export.inputs,
        output=export.output,
        device=chosen_device,
        golden=_golden(model, name),
        mode=Mode(saved.dropout if dropout is None else dropout, statistics or saved.statistics, seed),
        saved_mode=saved,
        mixed_precision=mixed_precision,
    )


def load_network(model: ModelFolder, name: str, build: Callable[..., Any] | None = None) -> nn.Module:
    """Makes the network of the export called `name`, loads its weights and returns it in eval mode, on the CPU, without
    gradients.

    Args:
        model: The model folder, as read.
        name: Such as "G".
        build: Makes the game from its options, for a network from outside Quagga; None takes the model's pipeline.

    Raises:
        BadInput: the description and the weights do not make the network, or the weights are not finite.
    """
    weights, description = model.tensors(f"{name}.safetensors"), model.networks[name]
    make = _maker_of_own(model, name, build) if description is None else lambda: build_described(description)
    try:
        network = with_weights(make, weights)
    except BadInput:
        raise
    except Exception as error:  # whatever a wrong size leads to, or a user's own code
        what = "description" if description else "options"
        reason = one_line(error)
        raise BadInput(f"{model.path}: weights and {what} do not make the network {name} ({reason})") from error
    network = network.to(torch.float32).eval().requires_grad_(False)
    check_weights(network, model.path / f"{name}.safetensors")
    return network


def _maker_of_own(model: ModelFolder, name: str, build: Callable[..., Any] | None) -> Callable[[], nn.Module]:
    """Returns a function that makes a network of a user's own by the options of its pipeline."""
    import jsonargparse  # half a second that described networks need not wait for

    if build is None and model.pipeline not in PIPELINES:  # the only way from a name to code, which runs no stranger's
        raise BadInput(
            f"{model.path} was trained by the pipeline '{model.pipeline}', which is not one of Quagga's"
            f" ({', '.join(PIPELINES)}): use the file that trained it, `python FILE.py sample RUN ...`, or load it in"
            " Python, with quagga.load(run, build=...)"
        )
    make_game: Callable[..., Any] = build or import_module(PIPELINES[model.pipeline][0]).build

    def make() -> nn.Module:
        parser = jsonargparse.ArgumentParser(exit_on_error=False)
        add_arguments(parser, flat_parameters(make_game))
        # Names were checked when the folder was read: for a vocabulary of 4,096 words jsonargparse takes 8 s.
        names = {"names": model.options["names"]} if "names" in model.options else {}
        options = parser.parse_object(model.options | dict.fromkeys(names)).as_dict() | names
        with warnings.catch_warnings(action="ignore"):  # what is worth saying was said when the training began
            game = call_flat(make_game, **options)
        return exports_of(game)[name].network

    return make


def title_of(model: ModelFolder, name: str) -> str:
    """Returns what an export makes of what, in words: "horse to zebra", "digits", or its name and fields."""
    export = model.exports[name]
    if translates(export.inputs, export.output):
        return f"{model.domains[picture_name(export.inputs)].name} to {model.domains[export.output.name].name}"
    if samples(export.inputs, export.output):
        return model.domains[export.output.name].name
    return f"{name}, {' and '.join(field.name for field in export.inputs)} to {export.output.name}"


def picture_name(inputs: Sequence[Field]) -> str:
    """Returns the name of the picture that an export takes."""
    picture = field_of(inputs, "picture")
    assert picture is not None
    return picture.name


def _golden(model: ModelFolder, name: str) -> tuple[dict[str, Tensor], Tensor]:
    """Returns the golden inputs of an export by name, and their output; all fit their fields. Raises BadInput."""
    tensors, export = model.tensors(GOLDEN), model.exports[name]
    keys = [f"{name}.inputs.{field.name}" for field in export.inputs]
    if f"{name}.input" in tensors:  # as format 1 called them
        keys = [f"{name}.input", f"{name}.condition"][: len(keys)]
    *inputs, output = (tensors.get(key, torch.empty(0)) for key in (*keys, f"{name}.output"))
    fields = (*export.inputs, export.output)
    parts = dict(zip(keys, inputs, strict=True)) | {f"{name}.output": output}
    fit = len(parts) == len(fields) and all(
        len(part) == len(output) > 0 and _fits(field, part, model)
        for field, part in zip(fields, parts.values(), strict=True)
    )
    of_other_size = translates(export.inputs, export.output) and any(
        part.ndim == 4 and part.shape[2:] != output.shape[2:] for part in inputs
    )
    if not fit or of_other_size:
        shapes = ", ".join(f"{key} {tuple(part.shape)}" for key, part in parts.items())
        channels = {field.name: model.domains[field.name].channels for field in fields if field.kind == "picture"}
        expected = " and ".join(f"{count} channels of {letter}" for letter, count in channels.items())
        raise BadInput(
            f"{model.path / GOLDEN} does not fit model.json: it holds {shapes}, expected"
            f" {expected or 'what the fields say'}; copy the model again"
        )
    return dict(zip((field.name for field in export.inputs), inputs, strict=True)), output


def _fits(field: Field, tensor: Tensor, model: ModelFolder) -> bool:
    """Whether a tensor (N, ...) is one of a field's."""
    if field.kind == "picture":
        return tensor.ndim == 4 and tensor.shape[1] == model.domains[field.name].channels
    if field.kind == "mask":
        return tensor.ndim == 4 and tensor.shape[1] == 1
    return field.kind == "condition" or (tensor.ndim == 2 and tensor.shape[1] == field.size)
