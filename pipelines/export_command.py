"""`quagga export`: a run's generators as files that the CycleGAN and pix2pix authors' program loads."""

import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quagga import BadInput
from quagga.names import shown
from quagga.pipelines.existing import Existing, kept
from quagga.pipelines.words import read_line

NAMES = {6: "resnet_6blocks", 9: "resnet_9blocks", 7: "unet_128", 8: "unet_256"}  # blocks or depth -> netG


@dataclass(frozen=True)
class ExportOptions:
    """Write a run's generators as weights for another program.

    Args:
        output: folder for the files, which must be named.
        format: reference is github.com/junyanz/pytorch-CycleGAN-and-pix2pix.
        existing: what becomes of files that are there already: error refuses, skip leaves them and writes the others,
            overwrite replaces them.
    """

    output: str | None = None
    format: Literal["reference"] = "reference"
    existing: Existing = "error"


def main(argv: Sequence[str]) -> int:
    """Obeys `quagga export RUN --format reference --output DIR`; returns 0."""
    words, chosen = read_line(argv, "quagga export RUN", ExportOptions, ["--overwrite"])
    if chosen is None:
        return 0
    if len(words) != 1 or chosen.output is None:
        raise BadInput("name the run and a folder for the files: quagga export RUN --format reference --output DIR")
    import torch

    from quagga.pipelines.model_folder import read_model
    from quagga.pipelines.reference import to_reference
    from quagga.pipelines.translator import load_translation

    folder, output = read_model(Path(words[0]).expanduser()), Path(chosen.output).expanduser()
    ways = folder.translations
    if not ways:
        raise BadInput(f"{words[0]} makes pictures of noise; the reference implementation has no such model")
    contents: dict[str, bytes] = {}
    options: dict[str, Any] = {}
    for name, ends in ways.items():
        theirs = "net_G" if len(ways) == 1 else {("x", "y"): "net_G_A", ("y", "x"): "net_G_B"}.get(ends)
        if theirs is None or f"latest_{theirs}.pth" in contents:
            raise BadInput(f"the reference implementation knows x to y and y to x, not the translation {name}")
        architecture, state = to_reference(load_translation(folder, name, "cpu", None).network)
        packed = io.BytesIO()
        torch.save(state, packed)
        contents[f"latest_{theirs}.pth"] = packed.getvalue()
        options = options or options_of(architecture, folder.preprocessing, output, len(ways))
    contents["test_opt.txt"] = shown(as_text(options)).encode()
    write(output, contents, chosen.existing)
    print(f"{', '.join(contents)} in {output}; its test.py wants:")
    switches = {key: value for key, value in options.items() if value != "False"}
    typed = [f"--{key}" if value == "True" else f"--{key} {shlex.quote(value)}" for key, value in switches.items()]
    print("python test.py --dataroot DIR " + " ".join(typed))
    return 0


def options_of(one: Any, preprocessing: dict[str, Any], output: Path, ways: int) -> dict[str, str]:
    """What their test.py must be told. Like it by default, at the size of the crop: theirs do not pad, and 286 pixels
    are no multiple of 4. Our scaling of the shorter side has no equal there and becomes the square."""
    size = str(preprocessing.get("crop_size", 256))
    scaled = {"crop": "resize_and_crop", "squash": "resize_and_crop", "width": "scale_width"}
    return {
        "checkpoints_dir": str(output.parent),
        "name": output.name,
        "model": "cycle_gan" if ways == 2 else "test",
        "netG": NAMES[one.depth],
        "ngf": str(one.width),
        "norm": one.norm,
        "no_dropout": "True",
        "input_nc": str(one.inputs),
        "output_nc": str(one.outputs),
        "load_size": size,
        "crop_size": size,
        "preprocess": scaled.get(preprocessing.get("fit", ""), "none"),
        "eval": str(one.norm == "batch"),
    }


def as_text(options: dict[str, str]) -> str:
    """The options as their program writes them beside a training."""
    rows = "".join(f"{key:>25}: {value:<30}\n" for key, value in sorted(options.items()))
    return f"----------------- Options ---------------\n{rows}----------------- End -------------------\n"


def write(output: Path, contents: dict[str, bytes], existing: Existing) -> None:
    """Writes each file under another name first.

    Raises:
        BadInput: one is there already, or cannot be written.
    """
    from quagga.data.write import draft_of

    made = kept([output / name for name in contents], existing)
    for name, content in contents.items():
        if output / name not in made:
            with draft_of(output / name) as draft:
                draft.write_bytes(content)
