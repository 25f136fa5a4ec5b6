"""`quagga import`: weights of the CycleGAN and pix2pix authors' program become a run that translates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quagga import BadInput
from quagga.pipelines.existing import Existing, kept
from quagga.pipelines.words import read_line

BOTH, ONE = {"G": "G_A", "F": "G_B"}, {"G": "G"}  # our name -> theirs, of a CycleGAN and of one direction alone
FITS = {"resize_and_crop": "squash", "scale_width": "width", "scale_width_and_crop": "width"}  # else no scaling


@dataclass(frozen=True)
class ImportOptions:
    """Make a run of weights that were trained with github.com/junyanz/pytorch-CycleGAN-and-pix2pix.

    Args:
        output: folder for the run, which must be named.
        x_name: what the pictures show that its first generator takes, such as horse; None takes A, as there.
        y_name: what it makes of them, such as zebra; None takes B.
        epoch: which of the files in a folder to take, as in latest_net_G_A.pth.
        existing: what becomes of a model that is in the output folder: error refuses, skip leaves it, overwrite
            replaces it.
    """

    output: str | None = None
    x_name: str | None = None
    y_name: str | None = None
    epoch: str = "latest"
    existing: Existing = "error"


def main(argv: Sequence[str]) -> int:
    """Obeys `quagga import WEIGHTS --output RUN`, WEIGHTS being a .pth file or a folder of them; returns 0."""
    words, chosen = read_line(argv, "quagga import WEIGHTS", ImportOptions, ["--overwrite"])
    if chosen is None:
        return 0
    if len(words) != 1 or chosen.output is None:
        raise BadInput("name the weights and the run they become: quagga import FILE_OR_FOLDER --output RUN")
    from quagga.pipelines.finite import sound
    from quagga.pipelines.model_folder import save_model  # torch: a misspelt option need not wait for it
    from quagga.pipelines.reference import from_reference, read_options, read_weights

    place, run = Path(words[0]).expanduser(), Path(chosen.output).expanduser()
    if kept([run / "model"], chosen.existing):
        print(f"{run} holds a model, which stays as it is")
        return 0
    files = find(place, chosen.epoch)
    loaded = {name: from_reference(read_weights(path), path) for name, path in files.items()}
    for name, (_, network) in loaded.items():
        sound(network, files[name])
    said = read_options(place if place.is_dir() else place.parent)
    backwards = said.get("direction") == "BtoA"
    names = {"x": chosen.x_name or "AB"[backwards], "y": chosen.y_name or "BA"[backwards]}
    options, channels = options_of({name: architecture for name, (architecture, _) in loaded.items()})
    preprocessing = scale_of(said)
    save_model(
        run / "model",
        pipeline="cyclegan",
        options={**options, "crop_size": preprocessing["crop_size"]},
        networks={name: network for name, (_, network) in loaded.items()},
        translations={name: ("x", "y") if name == "G" else ("y", "x") for name in loaded},
        domains={side: {"name": names[side], "channels": channels[side]} for side in "xy"},
        preprocessing=preprocessing,
        images_seen=0,  # their files do not tell
    )
    for name, (architecture, _) in loaded.items():
        ends = "xy" if name == "G" else "yx"
        print(f"{names[ends[0]]} to {names[ends[1]]}: {architecture} ({files[name]})")
    if not said:
        print("no train_opt.txt beside it: taken as trained at their default, 286 x 286; --resolution N says otherwise")
    if options["norm"] == "batch" or said.get("no_dropout") == "False":
        print("it translates as theirs with --eval: no dropout, and the averages of batch norm from training")
    print(f"next: quagga translate {run} PICTURE --output DIR")
    return 0


def find(place: Path, epoch: str) -> dict[str, Path]:
    """Our names of the generators to the files that hold them.

    Raises:
        BadInput: there are none.
    """
    if place.is_file():
        return {"F" if place.stem.endswith("net_G_B") else "G": place}
    for names in (BOTH, ONE):
        paths = {ours: place / f"{epoch}_net_{theirs}.pth" for ours, theirs in names.items()}
        there = {ours: path for ours, path in paths.items() if path.is_file()}
        if there:
            return there
    if not place.is_dir():
        raise BadInput(f"there is no file or folder {place}: give a .pth file, or the folder of a training")
    epochs = {path.name.partition("_net_")[0] for path in place.glob("*_net_G*.pth")}
    epochs = sorted(epochs, key=lambda epoch: (len(epoch), epoch))  # 5 before 10
    hint = f"it has --epoch {', '.join(epochs)}" if epochs else "give a .pth file of weights itself"
    raise BadInput(f"{place} holds no {epoch}_net_G_A.pth and no {epoch}_net_G.pth: {hint}")


def options_of(found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """The options of CycleGAN's `build` that make these networks, and the channels of x and y.

    Raises:
        BadInput: they are no generators, or not of one kind.
    """
    if any(one.kind not in ("resnet", "unet") for one in found.values()):
        raise BadInput("this is a discriminator, which translates nothing: give a file such as latest_net_G_A.pth")
    ends = {name: (one.inputs, one.outputs)[:: 1 if name == "G" else -1] for name, one in found.items()}
    if len({(one.kind, one.width, one.depth, one.norm, ends[name]) for name, one in found.items()}) > 1:
        raise BadInput(f"the two generators differ ({', '.join(map(str, found.values()))}): import each file by itself")
    [(name, one), *_] = found.items()
    x, y = ends[name]
    options = {"x_channels": x, "y_channels": y, "generator": one.kind, "width": one.width, "blocks": one.depth}
    return {**options, "norm": one.norm, "upsample": "transposed", "skip": False}, {"x": x, "y": y}


def scale_of(said: dict[str, str]) -> dict[str, Any]:
    """The preprocessing of model.json that their options describe; their defaults where they do not say."""
    sizes = {}
    for key, default in (("load_size", "286"), ("crop_size", "256")):
        size = said.get(key, default)
        if not size.isdecimal() or not 0 < int(size) < 2**16:
            raise BadInput(f"their opt file says {key}: {size[:40]}, expected pixels; mend or remove the file")
        sizes[key] = int(size)
    return {**sizes, "fit": FITS.get(said.get("preprocess", "resize_and_crop"), "none")}
