"""`quagga import`: makes a run of weights from the CycleGAN and pix2pix authors' program."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quagga.cli.options.positional import parse_line
from quagga.cli.output.output_files import Existing, outputs_to_keep
from quagga.errors import BadInput

if TYPE_CHECKING:
    from quagga.inference.model_files.state_dict_conversion import Architecture

BOTH, ONE = {"G": "G_A", "F": "G_B"}, {"G": "G"}  # our name -> theirs, of a CycleGAN and of a single direction
FITS = {"resize_and_crop": "squash", "scale_width": "width", "scale_width_and_crop": "width"}  # others do not scale


@dataclass(frozen=True)
class ImportOptions:
    """Make a run of weights that were trained with github.com/junyanz/pytorch-CycleGAN-and-pix2pix.

    Args:
        output: folder for the run; it must be named.
        x_name: what the first generator takes, such as horse; None takes A, as there.
        y_name: what it makes, such as zebra; None takes B.
        epoch: which files of a folder to take; latest takes latest_net_G_A.pth.
        existing: what to do with a model that exists; error refuses, skip keeps it, overwrite replaces it.
    """

    output: str | None = None
    x_name: str | None = None
    y_name: str | None = None
    epoch: str = "latest"
    existing: Existing = "error"


def main(argv: Sequence[str]) -> int:
    """Runs `quagga import WEIGHTS --output RUN`, where WEIGHTS is a .pth file or a folder of them. Returns 0."""
    words, chosen = parse_line(argv, "quagga import WEIGHTS", ImportOptions, ["--overwrite"])
    if len(words) != 1 or chosen.output is None:
        raise BadInput("name the weights and the run they become: quagga import FILE_OR_FOLDER --output RUN")
    from quagga.fields import picture
    from quagga.inference.finite_checks import check_weights
    from quagga.inference.model_files.model_saving import save_model  # torch: a misspelt option need not wait for it
    from quagga.inference.model_files.state_dict_conversion import from_reference, read_options, read_weights
    from quagga.models.description.export import Export

    place, run = Path(words[0]).expanduser(), Path(chosen.output).expanduser()
    if outputs_to_keep([run / "model"], chosen.existing):
        print(f"{run} holds a model, which is kept")
        return 0
    files = find_weights(place, chosen.epoch)
    loaded = {name: from_reference(read_weights(path), path) for name, path in files.items()}
    for name, (_, network) in loaded.items():
        check_weights(network, files[name])
    theirs = read_options(place if place.is_dir() else place.parent)
    backwards = theirs.get("direction") == "BtoA"
    names = {"x": chosen.x_name or "AB"[backwards], "y": chosen.y_name or "BA"[backwards]}
    options, channels = build_options({name: architecture for name, (architecture, _) in loaded.items()})
    preprocessing = preprocessing_of(theirs)
    directions = {name: ("x", "y") if name == "G" else ("y", "x") for name in loaded}
    save_model(
        run / "model",
        pipeline="cyclegan",
        options={**options, "crop_size": preprocessing["crop_size"]},
        exports={
            name: Export(loaded[name][1], inputs=(picture(source),), output=picture(target))
            for name, (source, target) in directions.items()
        },
        domains={side: {"name": names[side], "channels": channels[side]} for side in "xy"},
        preprocessing=preprocessing,
        images_seen=0,  # their files do not state it
    )
    for name, (architecture, _) in loaded.items():
        source, target = directions[name]
        print(f"{names[source]} to {names[target]}: {architecture} ({files[name]})")
    if not theirs:
        print("there is no train_opt.txt beside it: their default, 286 x 286, is assumed; --resolution N changes it")
    if options["norm"] == "batch" or theirs.get("no_dropout") == "False":
        print("it translates as theirs with --eval: without dropout, with the averages of batch norm from training")
    print(f"next: quagga translate {run} PICTURE --output DIR")
    return 0


def find_weights(place: Path, epoch: str) -> dict[str, Path]:
    """Finds the files of the generators in a file or folder. Returns our name of each to its file.

    Raises:
        BadInput: there are none.
    """
    if place.is_file():
        return {"F" if place.stem.endswith("net_G_B") else "G": place}
    for names in (BOTH, ONE):
        paths = {ours: place / f"{epoch}_net_{theirs}.pth" for ours, theirs in names.items()}
        present = {ours: path for ours, path in paths.items() if path.is_file()}
        if present:
            return present
    if not place.is_dir():
        raise BadInput(f"there is no file or folder {place}: give a .pth file, or the folder of a training")
    epochs = {path.name.partition("_net_")[0] for path in place.glob("*_net_G*.pth")}
    epochs = sorted(epochs, key=lambda epoch: (len(epoch), epoch))  # 5 before 10
    hint = f"it has --epoch {', '.join(epochs)}" if epochs else "give a .pth file of weights itself"
    raise BadInput(f"{place} holds no {epoch}_net_G_A.pth and no {epoch}_net_G.pth: {hint}")


def build_options(architectures: dict[str, "Architecture"]) -> tuple[dict[str, Any], dict[str, int]]:
    """Returns the options of CycleGAN's `build` that make these networks, and the channels of x and y.

    Raises:
        BadInput: they are no generators, or not of one kind.
    """
    if any(one.kind not in ("resnet", "unet") for one in architectures.values()):
        raise BadInput("this is a discriminator, which translates nothing: give a file such as latest_net_G_A.pth")
    channels = {name: (one.inputs, one.outputs)[:: 1 if name == "G" else -1] for name, one in architectures.items()}
    if len({(one.kind, one.width, one.depth, one.norm, channels[name]) for name, one in architectures.items()}) > 1:
        both = ", ".join(map(str, architectures.values()))
        raise BadInput(f"the two generators differ ({both}): import each file by itself")
    [(name, one), *_] = architectures.items()
    x, y = channels[name]
    options = {"x_channels": x, "y_channels": y, "generator": one.kind, "width": one.width, "blocks": one.depth}
    return {**options, "norm": one.norm, "upsample": "transposed", "skip": False}, {"x": x, "y": y}


def preprocessing_of(theirs: dict[str, str]) -> dict[str, Any]:
    """Returns the preprocessing of model.json for their options, or for their defaults where an option is missing."""
    sizes = {}
    for key, default in (("load_size", "286"), ("crop_size", "256")):
        size = theirs.get(key, default)
        if not size.isdecimal() or not 0 < int(size) < 2**16:
            raise BadInput(f"their opt file says {key}: {size[:40]}, expected pixels; correct or remove the file")
        sizes[key] = int(size)
    return {**sizes, "fit": FITS.get(theirs.get("preprocess", "resize_and_crop"), "none")}
