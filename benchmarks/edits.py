"""Edits by hand and by arithmetic, measured: does a coat take the colour of a stroke, and hair that of a mean?

    python benchmarks/edits.py coats --minutes 10 --place runs/edits --output benchmarks/results/edits.txt
    python benchmarks/edits.py hair --faces FOLDER --minutes 8 --place runs/edits --output benchmarks/results/edits.txt
    python benchmarks/edits.py speed --output benchmarks/results/edits.txt

A model is trained by the command line, for so many minutes of CPU, one thread: on 2,000 horses of the embedded set, or
on faces.

coats: of each of 50 held-out horses, drawn in code, the same scene is drawn with another coat, at random. A stroke of
the colour that the trunk has there is painted on the trunk, `quagga.inference.editing` edits, and the edit is carried
back to the picture. "coat" is how far the animal came: the change, projected on the change that was asked for, as a
share of it, pixel by pixel, legs and mane too. "background" is the mean change of the pixels without any animal, as a
share of the mean change that was asked for in the animal. Both of the model's picture, and of the result; medians.
"sketch": the outline of another scene's animal is drawn; what is left of the distance between edges and lines.

hair: "A - B + C" with C a face, B the mean of those of 3,000 faces (or all) that have its colour of hair, A that of
another colour, drawn at random. A classifier, trained apart on the faces, says how often the result has the colour that
was asked for, beside how often the model's picture of the face itself has it, and its own. A GAN has no encoder: its
faces are samples, whose colours the classifier reads. (Faces held out of the classifier are not held out of the VAE.)

speed: how long one edit takes, search and way back apart.

Rows are appended; what is there is not made again. A sheet of pictures is drawn for both, to be looked at.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a CPU second is a second of one thread

import cv2
import numpy as np
import torch
from classifier import Classifier, accuracy, read
from real_minutes import play
from report import processor
from stargan import Faces, faces, judge
from torch import Tensor

import quagga
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.tensors import to_tensor
from quagga.data.synthetic import scenes
from quagga.data.synthetic.coat_and_stripes import HORSES, horse_palette
from quagga.inference.editing import Drawing, carry_back, edges_apart, edit, way
from quagga.inference.latent_space import latents, sum_of_means
from quagga.inference.model_files.model_saving import save_model
from quagga.inference.sampler import Sampler
from quagga.option_groups import call_flat
from quagga.pipelines import PIPELINES

SIZE, COUNT, SKETCHES = 64, 50, 20
COMMON = "--size {size} --workers 0 --cache ram --batch_size 32"
TRIES = {  # what is trained
    "vae": f"vae {COMMON} --width 16 --code_size 64 --sigma 0.1 --lr 2e-3 --ema_halflife 1000",
    "gan": f"gan {COMMON} --width 32 --width_discriminator 32 --lr 4e-4 --ema_halflife 2000",
}
SHOWN = 10  # rows of a sheet
MEANS, TESTED = 3000, 500  # faces of which means are made, and faces that are changed


class Wish(NamedTuple):
    """A horse, and the same with another coat: what is asked for."""

    x: Tensor  # (3, H, W) in [-1, 1]
    asked: Tensor  # (3, H, W) in [-1, 1]
    mask: Tensor  # (H, W) in [0, 1], the share of animal in each pixel
    drawing: Drawing


def wishes(count: int, size: int = SIZE) -> Iterator[Wish]:
    chance = np.random.default_rng(0)
    for index in scenes.held_out("horse", count):
        one = scenes.scene(index, size)
        coat = str(chance.choice([name for name in HORSES if name != one.coat]))
        with mock.patch.object(scenes, "horse_palette", lambda own, *light, coat=coat: horse_palette(coat, *light)):
            other = scenes.scene(index, size)
        assert np.array_equal(one.zebra, other.zebra) and one.coat == other.coat
        x, asked = to_tensor(one.horse), to_tensor(other.horse)
        mask = torch.from_numpy(one.mask)
        depth = cv2.distanceTransform((one.mask > 0.9).astype(np.uint8), cv2.DIST_L2, 5)
        brush = torch.from_numpy(depth > 0.55 * depth.max())  # along the trunk, away from its edges
        colour = asked[:, brush].mean(1)
        drawing = Drawing(colour[:, None, None].expand_as(x).contiguous(), brush[None].float())
        yield Wish(x, asked, mask, drawing)


class Moved(NamedTuple):
    """How far an edit came, as shares of what was asked for."""

    coat: float
    background: float


def moved(before: Tensor, after: Tensor, wish: Wish) -> Moved:
    coat, outside = wish.mask > 0.9, wish.mask == 0
    asked, change = (wish.asked - wish.x)[:, coat], (after - before)[:, coat]
    background = (after - before)[:, outside].abs().mean() / asked.abs().mean()
    return Moved(float((change * asked).sum() / asked.square().sum()), float(background))


def coats(sampler: Sampler, sheet: Path, count: int = COUNT, **options: float) -> Iterator[str]:
    """The rows of the table of coats."""
    G = sampler.generator()
    made, results, seconds, left = [], [], [], []
    shown: dict[str, list[Tensor]] = {}
    for wish in wishes(count):
        start = process_time()
        z_0, _, _ = sampler.invert(wish.x[None])
        z_1 = edit(G, z_0[0], wish.drawing, **options)  # pyright: ignore[reportArgumentType]
        frames = way(G, z_0[0], z_1)
        result = carry_back(wish.x, frames)
        seconds.append(process_time() - start)
        made.append(moved(frames[0], frames[-1], wish))
        results.append(moved(wish.x, result, wish))
        assert wish.drawing.colour is not None and wish.drawing.opacity is not None
        row = {
            "photo": wish.x,
            "G(z0)": frames[0],
            "stroke": torch.lerp(frames[0], wish.drawing.colour, wish.drawing.opacity),
            "G(z)": frames[-1],
            "result": result,
            "asked for": wish.asked,
        }
        for name, picture in row.items():
            shown.setdefault(name, []).append(picture)
    contact_sheet({name: torch.stack(pictures[:SHOWN]) for name, pictures in shown.items()}, sheet)
    for name, found in (("the model's picture", made), ("carried back", results)):
        coat, background = np.median(np.array(found), axis=0)
        yield f"  {name:<26}{coat:>8.2f}{background:>12.3f}"
    yield f"  one edit: {np.median(seconds):.1f} s of CPU, the search for z and the way back included"
    for n, wish in enumerate(wishes(SKETCHES)):
        other = scenes.scene(scenes.HELD_OUT + 2 * count + 2 * n, SIZE).mask > 0.5
        outline = cv2.morphologyEx(other.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
        lines = torch.from_numpy(outline)[None].float()
        z_0 = sampler.invert(wish.x[None])[0][0]
        z_1 = edit(G, z_0, Drawing(lines=lines), **options)  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            before, after = (float(edges_apart(G(z[None]), lines)) for z in (z_0, z_1))
        left.append(after / before)
    yield f"  {SKETCHES} sketches: {np.median(left):.2f} of the distance between edges and lines is left"


def speed() -> Iterator[str]:
    """The rows of the table of seconds: of untrained networks, as time does not depend on what they have learned."""
    yield f"one edit at {SIZE} pixels, untrained networks of default size, 100 steps; seconds of one thread"
    yield f"  {'':<26}{'search':>8}{'edit':>8}{'back':>8}"
    wish = next(wishes(1))
    with tempfile.TemporaryDirectory() as place:
        for name, code_size in (("gan", 100), ("vae", 16)):
            exports = call_flat(import_module(PIPELINES[name][0]).build, size=SIZE, x_channels=3).exports
            said: dict[str, Any] = {"domains": {"x": {"name": "horse", "channels": 3}}, "images_seen": 0}
            seen = {"load_size": SIZE, "crop_size": SIZE, "fit": "crop"}
            folder = Path(place) / name
            save_model(folder / "model", pipeline=name, options={}, exports=exports, preprocessing=seen, **said)
            sampler = quagga.load(folder, device="cpu")
            assert isinstance(sampler, Sampler) and sampler.z_size == code_size
            G, times = sampler.generator(), [process_time()]
            z_0 = sampler.invert(wish.x[None])[0][0]
            times.append(process_time())
            z_1 = edit(G, z_0, wish.drawing)
            times.append(process_time())
            carry_back(wish.x, way(G, z_0, z_1))
            times.append(process_time())
            yield f"  {name:<26}" + "".join(f"{after - before:>8.1f}" for before, after in pairwise(times))


def points(name: str, sampler: Sampler, own: Faces, network: Classifier) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z and colours of faces for the means, and of others to be changed."""
    if name == "vae":
        rows = [(~own.test).nonzero().flatten()[:MEANS], own.test.nonzero().flatten()[:TESTED]]
        z_train, z_test = (torch.cat([sampler.invert(part)[0] for part in own.x[some].split(500)]) for some in rows)
        return z_train, own.hair[rows[0]], z_test, own.hair[rows[1]]
    z = latents(range(MEANS + TESTED), sampler.z_size)
    colours = read(network, sampler.decode(z))[:, 0]
    return z[:MEANS], colours[:MEANS], z[MEANS:], colours[MEANS:]


def hair(name: str, sampler: Sampler, own: Faces, network: Classifier, sheet: Path) -> Iterator[str]:
    """The rows of the table of hair."""
    z, colours, z_own, own_colour = points(name, sampler, own, network)
    others = torch.randint(1, len(own.names), (len(z_own),), generator=torch.Generator().manual_seed(1))
    asked = (own_colour + others) % len(own.names)
    known = colours.unique().tolist()
    rows = [n for n in range(len(asked)) if int(asked[n]) in known and int(own_colour[n]) in known]
    of_colour = {colour: z[colours == colour] for colour in known}
    changed = torch.stack(
        [
            sum_of_means([(1, of_colour[int(asked[n])]), (-1, of_colour[int(own_colour[n])]), (1, z_own[n : n + 1])])
            for n in rows
        ]
    )
    before, after = sampler.decode(z_own[rows]), sampler.decode(changed)
    asked, own_colour = asked[rows], own_colour[rows]
    said_before, said_after = read(network, before)[:, 0], read(network, after)[:, 0]

    def share(said: Tensor, colour: Tensor) -> float:
        return float((said == colour).float().mean())

    yield f"  {len(rows)} faces; chance is {1 / len(own.names):.1%}"
    yield f"  {'as asked for, after':<26}{share(said_after, asked):>8.1%}"
    yield f"  {'as asked for, before':<26}{share(said_before, asked):>8.1%}"
    yield f"  {'their own colour, before':<26}{share(said_before, own_colour):>8.1%}"
    yield f"  {'their own colour, after':<26}{share(said_after, own_colour):>8.1%}"
    first = torch.stack([after[n] for n in range(SHOWN)])
    captions = [f"{own.names[int(own_colour[n])]} to {own.names[int(asked[n])]}" for n in range(SHOWN)]
    contact_sheet({f"G(z): {', '.join(captions)}": before[:SHOWN], "A - B + C": first}, sheet)


def trained(name: str, kind: str, folder: Path, place: Path, minutes: float) -> tuple[Sampler, str]:
    """The model, and the line that says how it was trained."""
    run = place / f"{kind}-{name}-{minutes:g}"
    images, taken = play(TRIES[name], folder, run, SIZE, 0, minutes)
    sampler = quagga.load(run, device="cpu")
    assert isinstance(sampler, Sampler)
    return sampler, f"{kind}, {name}, {images:,} images in {taken:.1f} minutes of one thread"


def report(kind: str, name: str, chosen: argparse.Namespace) -> Iterator[str]:
    if kind == "speed":
        yield from speed()
        return
    sheet = chosen.place / f"{kind}-{name}-{chosen.minutes:g}.png"
    if kind == "coats":
        folder = scenes.write(chosen.place / "horses", train=2000, test=60, size=SIZE) / "trainA"
        sampler, title = trained(name, kind, folder, chosen.place, chosen.minutes)
        yield title
        yield f"  {f'medians of {COUNT} edits':<26}{'coat':>8}{'background':>12}"
        yield from coats(sampler, sheet)
    else:
        own = faces(chosen.faces)
        network = judge(own, chosen.place / "hair.pt", epochs=2)
        sampler, title = trained(name, kind, chosen.faces / "images", chosen.place, chosen.minutes)
        [right] = accuracy(network, own.x[own.test], own.hair[own.test][:, None])
        yield f"{title}; the classifier is right on {right:.1%} of unseen faces"
        yield from hair(name, sampler, own, network, sheet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["coats", "hair", "speed"])
    parser.add_argument("--model", choices=list(TRIES), default="vae")
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="of CPU, of one thread")
    parser.add_argument("--place", type=Path, default=Path("runs/edits"), help="where runs and sheets are kept")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/edits.txt"))
    chosen = parser.parse_args()
    if chosen.kind == "hair" and chosen.faces is None:
        parser.error("hair needs --faces FOLDER")
    chosen.place.mkdir(parents=True, exist_ok=True)
    before = chosen.output.read_text() if chosen.output.exists() else ""
    title = "one edit at " if chosen.kind == "speed" else f"{chosen.kind}, {chosen.model}, "
    if title in before:
        print(f"{chosen.output} has this already: {title}...")
        return
    lines = [] if before else [f"{SIZE} pixels; {processor()}, torch {torch.__version__}", ""]
    for line in report(chosen.kind, chosen.model, chosen):
        print(line, flush=True)
        lines.append(line)
    chosen.output.write_text(before + "\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()
