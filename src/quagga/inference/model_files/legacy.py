"""Format 1 of model.json, which version 0.1 wrote, as format 2.

Format 1 names a pipeline and the options of its `build`; format 2 describes networks and what they take and give. Here
is what the four pipelines of 0.1 made of their options. It is frozen: today's pipelines may make something else of
options of the same name. Every argument is written out, since a constructor's default may change too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Description = dict[str, Any]  # of a network, see quagga.models.description.described
REPLACED = ("format", "translations", "samples")  # keys of format 1 that format 2 does not have as they are
CONDITIONS = ("class", "attributes", "caption")

DEFAULTS: dict[str, dict[str, Any]] = {  # of the options that make the generators: not every model states all of them
    "cyclegan": {
        "x_channels": 3,
        "y_channels": 3,
        "generator": "resnet",
        "width": 64,
        "blocks": None,
        "norm": "instance",
        "upsample": "transposed",
        "skip": False,
        "crop_size": 256,
    },
    "pix2pix": {
        "x_channels": None,
        "y_channels": 3,
        "generator": "unet",
        "width": 64,
        "blocks": None,
        "dropout": 0.5,
        "norm": "batch",
        "upsample": "transposed",
        "crop_size": 256,
    },
    "gan": {
        "size": None,
        "x_channels": None,
        "network": "conv",
        "z_size": 100,
        "width": 64,
        "widths": None,
        "slope": 0.2,
        "norm": "batch",
        "upsample": "transposed",
    },
    "conditional": {
        "condition": "class",
        "names": None,
        "caption_length": 16,
        "size": None,
        "x_channels": None,
        "network": "conv",
        "z_size": 100,
        "width": 64,
        "width_condition": 64,
        "widths": None,
        "text": "gru",
        "norm": "batch",
        "upsample": "transposed",
    },
}


def to_format_2(content: Mapping[str, Any], golden_shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, Any]:
    """Returns the content of a model.json of format 1 as format 2 has it. The networks of a pipeline that is not one of
    0.1's four are None: only its `build` knows them.

    Args:
        content: As JSON has it, unchecked. Keys that format 2 has too are passed on as they are.
        golden_shapes: The shapes of the tensors in golden.safetensors, by name. For networks that make pictures of
            noise in other pipelines: their options need not state the length of z, nor whether there is a condition.

    Raises:
        ValueError: a key that is read here is missing, or not what 0.1 wrote. One line.
    """
    pipeline, options = _checked(content, "pipeline", str), _checked(content, "options", dict)
    translations = _checked(content, "translations", dict)
    samples = _checked({"samples": {}} | dict(content), "samples", dict)
    if any(not isinstance(ends, list) or list(map(type, ends)) != [str, str] for ends in translations.values()):
        raise ValueError("'translations' names no source and target")
    if not all(isinstance(target, str) for target in samples.values()):
        raise ValueError("'samples' names no target")
    build = GENERATORS.get(pipeline)
    networks: dict[str, Description | None] = dict.fromkeys((*translations, *samples))
    if build is not None:
        options = DEFAULTS[pipeline] | options
        generators = build(options)
        for name in networks:
            if name not in generators:
                raise ValueError(f"'{pipeline}' has no network {name!r:.60}")
            networks[name] = generators[name]
    statistics = "batch" if options.get("test_statistics") == "batch" else "running"
    mode = {"dropout": options.get("test_dropout") is True, "statistics": statistics}
    exports = {name: _export([_picture(source)], target, mode) for name, (source, target) in translations.items()}
    plain = {"dropout": False, "statistics": "running"}
    for name, target in samples.items():
        exports[name] = _export(_noise_and_condition(name, options, golden_shapes or {}), target, plain)
    unchanged = {key: value for key, value in content.items() if key not in REPLACED}
    return {"format": 2, "bytes": {}} | unchanged | {"networks": networks, "exports": exports}  # the first had no bytes


def _cyclegan(options: Mapping[str, Any]) -> dict[str, Description]:
    x, y = options["x_channels"], options["y_channels"]

    def generator(inputs: object, outputs: object) -> Description:
        crop_size = _count(options, "crop_size")
        if _choice(options, "generator", "resnet", "unet") == "resnet":
            return _resnet(options, inputs, outputs, options["skip"])
        depth = max(2, min(8, (crop_size & -crop_size).bit_length() - 1))  # how often 2 divides the crop
        return _unet(options, inputs, outputs, depth, 0.0)

    return {"G": generator(x, y), "F": generator(y, x)}


def _pix2pix(options: Mapping[str, Any]) -> dict[str, Description]:
    x, y = options["x_channels"] or 3, options["y_channels"]
    if _choice(options, "generator", "resnet", "unet") == "resnet":
        return {"G": _resnet(options, x, y, False)}
    depth = max(2, min(8, _count(options, "crop_size").bit_length() - 1))
    return {"G": _unet(options, x, y, depth, options["dropout"])}


def _gan(options: Mapping[str, Any]) -> dict[str, Description]:
    if _choice(options, "network", "conv", "mlp") == "conv":
        return {"G": _conv(options, None)}
    widths = [256, 512, 1024] if options["widths"] is None else options["widths"]
    return {"G": _mlp(options, widths, options["slope"], options["norm"] == "batch", None, None)}


def _conditional(options: Mapping[str, Any]) -> dict[str, Description]:
    if _choice(options, "network", "conv", "mlp") == "conv":
        return {"G": _conv(options, _encoder(options, options["width_condition"], False))}
    widths = [1200] if options["widths"] is None else options["widths"]
    return {"G": _mlp(options, widths, 0.0, False, _encoder(options, 1000, True), 200)}


GENERATORS: dict[str, Callable[[Mapping[str, Any]], dict[str, Description]]] = {  # of each pipeline of 0.1, by name
    "cyclegan": _cyclegan,
    "pix2pix": _pix2pix,
    "gan": _gan,
    "conditional": _conditional,
}


def _resnet(options: Mapping[str, Any], inputs: object, outputs: object, skip: object) -> Description:
    blocks = 9 if _count(options, "crop_size") >= 256 else 6
    return _described(
        "ResnetGenerator",
        in_channels=inputs,
        out_channels=outputs,
        width=options["width"],
        blocks=blocks if options["blocks"] is None else options["blocks"],
        norm=options["norm"],
        upsample=options["upsample"],
        spectral=False,
        skip=skip,
    )


def _unet(options: Mapping[str, Any], inputs: object, outputs: object, depth: int, dropout: object) -> Description:
    return _described(
        "UnetGenerator",
        in_channels=inputs,
        out_channels=outputs,
        width=options["width"],
        depth=depth if options["blocks"] is None else options["blocks"],
        norm=options["norm"],
        dropout=dropout,
        upsample=options["upsample"],
        spectral=False,
    )


def _conv(options: Mapping[str, Any], encoder: Description | None) -> Description:
    return _described(
        "ConvGenerator",
        size=options["size"],
        channels=options["x_channels"],
        z_size=options["z_size"],
        width=options["width"],
        norm=options["norm"],
        upsample=options["upsample"],
        spectral=False,
        encoder=encoder,
    )


def _mlp(
    options: Mapping[str, Any],
    widths: object,
    slope: object,
    batch_norm: bool,
    encoder: Description | None,
    z_width: int | None,
) -> Description:
    return _described(
        "MLPGenerator",
        shape=[options["x_channels"], options["size"], options["size"]],
        z_size=options["z_size"],
        widths=widths,
        slope=slope,
        batch_norm=batch_norm,
        encoder=encoder,
        z_width=z_width,
    )


def _encoder(options: Mapping[str, Any], width: object, hot: bool) -> Description:
    count = len(_checked(options, "names", list))
    match _choice(options, "condition", *CONDITIONS):
        case "class":
            return _described("ClassEncoder", classes=count, width=width, hot=hot)
        case "attributes":
            return _described("AttributesEncoder", attributes=count, width=width)
    tokens = count + 2  # padding and the unknown word
    if _choice(options, "text", "gru", "transformer") == "gru":
        return _described("GRUEncoder", tokens=tokens, width=width)
    return _described("TransformerEncoder", tokens=tokens, width=width, layers=2, heads=4)


def _described(name: str, **arguments: object) -> Description:
    return {"class": name, "arguments": arguments}


def _export(inputs: list[dict[str, Any]], target: str, mode: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": inputs, "output": _picture(target), "mode": mode}


def _picture(letter: str) -> dict[str, Any]:
    return {"kind": "picture", "name": letter}


def _noise_and_condition(
    network: str, options: Mapping[str, Any], golden_shapes: Mapping[str, Sequence[int]]
) -> list[dict[str, Any]]:
    """What a network that makes pictures of noise takes: z, and c where there is a condition."""
    shape = golden_shapes.get(f"{network}.input", ())
    if "z_size" not in options and len(shape) != 2:
        raise ValueError(f"'options' has no z_size for the network {network!r:.60}")
    inputs = [{"kind": "noise", "name": "z", "size": options["z_size"] if "z_size" in options else shape[1]}]
    if options.get("condition") in CONDITIONS or f"{network}.condition" in golden_shapes:
        condition = options.get("condition", "class")
        names, length = options.get("names") or [], options.get("caption_length", 16)
        inputs.append({"kind": "condition", "name": "c", "condition": condition, "names": names, "length": length})
    return inputs


def _checked(content: Mapping[str, Any], key: str, kind: type) -> Any:
    if not isinstance(content.get(key), kind):
        raise ValueError(f"'{key}' is missing or not what Quagga writes")
    return content[key]


def _count(options: Mapping[str, Any], name: str) -> int:
    value = options[name]
    if type(value) is not int or value < 1:
        raise ValueError(f"the option {name} is {value!r:.60}, not a number of 1 or more")
    return value


def _choice(options: Mapping[str, Any], name: str, *choices: str) -> str:
    if options[name] not in choices:
        raise ValueError(f"the option {name} is {options[name]!r:.60}: it is {' or '.join(choices)}")
    return options[name]
