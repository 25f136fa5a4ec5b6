"""One option that makes a known failure happen, for each pipeline, on the embedded set: the pictures of docs/.

    python benchmarks/break_it.py --output docs

Every game is played as it should be and broken, by the same recipe, seed and number of images.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import quagga
from quagga.cli.main import command_line
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.tensors import to_uint8
from quagga.data.paired import Paired
from quagga.data.synthetic import scenes
from quagga.data.synthetic.translation_error import herd

SIZE, SHOWN = 64, 6
NETS = {"width": 16, "width_discriminator": 24, "batch_size": 4, "lr": 4e-4, "ema_halflife": 500, "workers": 0}
PICTURES = {"load_size": SIZE, "crop_size": SIZE, "layers": 2}
QUIET = {"device": "cpu", "log_every": 400, "sample_every": 10**6, "save_every": 10**6, "examined": 0}


class Page(NamedTuple):
    """What is played: a kind of the embedded set, the recipe, and what breaks it, option by option."""

    kind: scenes.Set
    recipe: dict[str, Any]
    broken: list[dict[str, Any]]


PAGES = {
    "cyclegan": Page(
        "unpaired",
        {**NETS, **PICTURES, "blocks": 3, "images": 3600, "flip": True},
        [{"lambda_cycle": 0}, {"lambda_identity": 0}, {"k": 8, "lr_discriminator": 2e-3}],
    ),
    "pix2pix": Page(
        "pairs",
        {**NETS, **PICTURES, "images": 2800},
        [{"lambda_gan": 0}, {"lambda_L1": 0}, {"conditional_discriminator": False}],
    ),
    "conditional": Page(
        "classes",
        {**NETS, "size": 32, "batch_size": 32, "width": 24, "images": 32_000},
        [{"conditional_discriminator": False}, {"k": 10, "lr_discriminator": 2e-3}],
    ),
    "gan": Page(
        "classes",
        {**NETS, "size": 32, "batch_size": 32, "width": 24, "images": 32_000},
        [{"norm": "none", "norm_discriminator": "none"}, {"objective": "minimax", "lr_discriminator": 4e-3}],
    ),
}


def called(options: dict[str, Any]) -> str:
    return " ".join(f"--{name} {value}" for name, value in options.items()) or "as it should be"


def play(pipeline: str, root: Path, folder: Path, options: dict[str, Any]) -> Path:
    words = {**QUIET, **PAGES[pipeline].recipe, "root": root, **options, "output": folder}
    assert command_line(["train", pipeline, *(f"--{name}={value}" for name, value in words.items())]) == 0
    return folder


def unseen(pipeline: str, root: Path) -> dict[str, Tensor]:
    """What the games are shown: pictures that none was trained on, (N, C, H, W)."""
    if pipeline == "cyclegan":
        return {"horse": herd(SHOWN, SIZE).horse}
    if pipeline == "pix2pix":
        batch = Paired(root=str(root), load_size=SIZE, crop_size=SIZE, workers=0).held_out(SHOWN)
        return {"x": batch["x"], "y": batch["y"]}
    return {}


def made(pipeline: str, run: Path, given: dict[str, Tensor], title: str) -> dict[str, Tensor]:
    """Columns of what a run makes."""
    if pipeline == "cyclegan":
        to_zebra, to_horse = quagga.load(run, to="y", device="cpu"), quagga.load(run, to="x", device="cpu")
        zebra = to_zebra(given["horse"])
        return {f"G(x)\n{title}": zebra, "F(G(x))": to_horse(zebra)}
    if pipeline == "pix2pix":
        return {f"G(x)\n{title}": quagga.load(run, device="cpu")(given["x"])}
    sampler = quagga.load(run, device="cpu")
    z = sampler.latents(range(SHOWN))
    if pipeline == "gan":
        return {f"G(z)\n{title}": sampler.decode(z), " ": sampler.decode(sampler.latents(range(SHOWN, 2 * SHOWN)))}
    names = sampler.names[:3]
    columns = {f"{name}": sampler.decode(z, sampler.condition(name, SHOWN)) for name in names}
    first = next(iter(columns))
    return {f"{first}\n{title}" if name == first else f"{name}\n ": column for name, column in columns.items()}


def page(pipeline: str, output: Path, images: int | None) -> Path:
    about = PAGES[pipeline]
    with tempfile.TemporaryDirectory() as temporary:
        root = scenes.write(Path(temporary) / about.kind, kind=about.kind, size=about.recipe.get("size", SIZE))
        given = unseen(pipeline, root)
        columns: dict[str, Tensor] = dict(given)
        for number, broken in enumerate([{}, *about.broken]):
            torch.manual_seed(0)
            run = play(pipeline, root, Path(temporary) / str(number), broken | ({"images": images} if images else {}))
            for name, column in made(pipeline, run, given, called(broken)).items():
                columns[name + " " * number] = column  # a space more: names of columns differ
        path = output / f"broken_{pipeline}.png"
        contact_sheet({name: to_uint8(column) for name, column in columns.items()}, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pages", nargs="+", default=list(PAGES), choices=list(PAGES))
    parser.add_argument("--images", type=int, help="of each game, in place of the recipe's, to try the script")
    parser.add_argument("--output", type=Path, default=Path("docs"))
    chosen = parser.parse_args()
    for pipeline in chosen.pages:
        print(page(pipeline, chosen.output, chosen.images))


if __name__ == "__main__":
    main()
