"""`quagga export`: writes a run's generators as files that the CycleGAN and pix2pix authors' program loads."""

import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quagga.cli.options.positional import parse_line
from quagga.cli.output.output_files import Existing, outputs_to_keep
from quagga.errors import BadInput
from quagga.filenames import escape_surrogates

if TYPE_CHECKING:
    from quagga.inference.model_files.state_dict_conversion import Architecture

NET_G = {6: "resnet_6blocks", 9: "resnet_9blocks", 7: "unet_128", 8: "unet_256"}  # blocks or depth -> netG


@dataclass(frozen=True)
class ExportOptions:
    """Write a run's generators as weights for another program.

    Args:
        output: folder for the files; it must be named.
        format: program to write for; reference is github.com/junyanz/pytorch-CycleGAN-and-pix2pix.
        existing: what to do with files that exist; error refuses, skip keeps them and writes the others, overwrite
            replaces them.
    """

    output: str | None = None
    format: Literal["reference"] = "reference"
    existing: Existing = "error"


def main(argv: Sequence[str]) -> int:
    """Runs `quagga export RUN --format reference --output DIR`. Returns 0."""
    words, chosen = parse_line(argv, "quagga export RUN", ExportOptions, ["--overwrite"])
    if len(words) != 1 or chosen.output is None:
        raise BadInput("name the run and a folder for the files: quagga export RUN --format reference --output DIR")
    import torch

    from quagga.inference.model_files.model_folder import read_model
    from quagga.inference.model_files.state_dict_conversion import to_reference
    from quagga.inference.predictor_loading import load_network

    model, output = read_model(Path(words[0]).expanduser()), Path(chosen.output).expanduser()
    translations = {
        name: (export.inputs[0].name, export.output.name)
        for name, export in model.exports.items()
        if [field.kind for field in (*export.inputs, export.output)] == ["picture", "picture"]
    }
    if not translations:
        raise BadInput(
            f"{words[0]} makes no pictures of pictures alone; the reference implementation has no such model"
        )
    contents: dict[str, bytes] = {}
    options: dict[str, str] = {}
    for name, direction in translations.items():
        names = {("x", "y"): "net_G_A", ("y", "x"): "net_G_B"}
        theirs = "net_G" if len(translations) == 1 else names.get(direction)
        if theirs is None or f"latest_{theirs}.pth" in contents:
            raise BadInput(f"the reference implementation knows x to y and y to x, not the translation {name}")
        architecture, state = to_reference(load_network(model, name))
        file = io.BytesIO()
        torch.save(state, file)
        contents[f"latest_{theirs}.pth"] = file.getvalue()
        options = options or test_options(architecture, model.preprocessing, output, len(translations))
    contents["test_opt.txt"] = escape_surrogates(options_text(options)).encode()
    write_files(output, contents, chosen.existing)
    print(f"{', '.join(contents)} in {output}; its test.py wants:")
    switches = {key: value for key, value in options.items() if value != "False"}
    arguments = [f"--{key}" if value == "True" else f"--{key} {shlex.quote(value)}" for key, value in switches.items()]
    print("python test.py --dataroot DIR " + " ".join(arguments))
    return 0


def test_options(
    architecture: "Architecture", preprocessing: dict[str, Any], output: Path, directions: int
) -> dict[str, str]:
    """Returns the options for their test.py. As by its defaults, pictures have the size of the crop: their networks do
    not pad, and 286 pixels are no multiple of 4. They cannot scale the shorter side: it becomes the square."""
    size = str(preprocessing.get("crop_size", 256))
    scaled = {"crop": "resize_and_crop", "squash": "resize_and_crop", "width": "scale_width"}
    return {
        "checkpoints_dir": str(output.parent),
        "name": output.name,
        "model": "cycle_gan" if directions == 2 else "test",
        "netG": NET_G[architecture.depth],
        "ngf": str(architecture.width),
        "norm": architecture.norm,
        "no_dropout": "True",
        "input_nc": str(architecture.inputs),
        "output_nc": str(architecture.outputs),
        "load_size": size,
        "crop_size": size,
        "preprocess": scaled.get(preprocessing.get("fit", ""), "none"),
        "eval": str(architecture.norm == "batch"),
    }


def options_text(options: dict[str, str]) -> str:
    """Returns the options as their program writes them to a file."""
    rows = "".join(f"{key:>25}: {value:<30}\n" for key, value in sorted(options.items()))
    return f"----------------- Options ---------------\n{rows}----------------- End -------------------\n"


def write_files(output: Path, contents: dict[str, bytes], existing: Existing) -> None:
    """Writes files by name, each under another name first.

    Raises:
        BadInput: one exists already, or cannot be written.
    """
    from quagga.data.io.write import draft_of

    kept = outputs_to_keep([output / name for name in contents], existing)
    for name, content in contents.items():
        if output / name not in kept:
            with draft_of(output / name) as draft:
                draft.write_bytes(content)
