"""Holes in held-out pictures, filled by a short training and by methods that learn nothing: how near is what they make?

    python benchmarks/inpainting.py --embedded --minutes 60 --place runs/holes
    python benchmarks/inpainting.py --facades FOLDER --horses FOLDER --minutes 60 --place runs/holes

The first FOLDER holds train and test, in which each photo is the left half of a file, the other one trainA and testA.
Each training is that of the recipe `holes`, at 64 pixels, for so many minutes of CPU, one thread; options after `--`
change it. Beside it stand the mean colour of what is known, OpenCV's Telea (2004) and Navier-Stokes (Bertalmio et al.
2001), and patches copied from the rest of the picture (after Criminisi et al. 2004). Masks are drawn in code, other
ones than those of the training, 10 % of holes at a time as in the paper. Of filled pictures: the mean difference in %
of the range, PSNR in decibels and SSIM (Wang et al. 2004), means over the pictures; what is known counts too, as in the
paper's Table 1. A sheet is drawn to be looked at. Rows are appended; a set that is there is not made again.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import cv2
import numpy as np
import torch
from PIL import Image
from real_minutes import play
from report import processor
from torch import nn

import quagga
from quagga.cli.main import command_line
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.read import read_picture
from quagga.data.io.tensors import to_tensor
from quagga.data.transforms.irregular_masks import draw_mask
from quagga.evaluation.measures.picture_distances import ssim
from quagga.inference.inpainter import Inpainter
from quagga.pipelines.core.game_protocol import Draw
from quagga.pipelines.core.options import FeatureLosses
from quagga.pipelines.inpainting import Inpainting
from quagga.recipe_files import recipe_file

SIZE = 64
BUCKETS = ((0.01, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6))  # shares of holes
PATCHES = (9, 5, 3)  # pixels a side: smaller ones where no larger one is known
SHOWN = 6  # rows of the sheet

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]  # uint8 (H, W, 3), holes bool (H, W) -> uint8 (H, W, 3)


class Pictures(NamedTuple):
    """A set, as square PNGs."""

    name: str
    train: Path
    test: Path


def squares(files: list[Path], folder: Path, left: bool) -> Path:
    """Writes pictures as squares of 64 pixels, cut from the middle; of pairs side by side the left half."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for file in files:
            pixels = read_picture(file)
            pixels = pixels[:, : pixels.shape[1] // 2] if left else pixels
            side = min(pixels.shape[:2])
            top, begin = ((length - side) // 2 for length in pixels.shape[:2])
            square = pixels[top : top + side, begin : begin + side]
            Image.fromarray(cv2.resize(square, (SIZE, SIZE), interpolation=cv2.INTER_AREA)).save(
                folder / f"{file.stem}.png"
            )
    return folder


def sets(chosen: argparse.Namespace) -> Iterator[Pictures]:
    if chosen.embedded:
        place = chosen.place / "embedded"
        if not place.exists():
            words = f"data embedded --train 1000 --test 100 --size {SIZE} --output {place}"
            assert command_line(words.split()) == 0
        yield Pictures("embedded horses", place / "trainA", place / "testA")
    for name, folder, train, test in (
        ("facades", chosen.facades, "train", "test"),
        ("horses", chosen.horses, "trainA", "testA"),
    ):
        if folder:
            files = [sorted((folder / part).iterdir()) for part in (train, test)]
            made = [squares(each, chosen.place / name / part, name == "facades") for each, part in zip(files, "ab")]  # noqa: B905
            yield Pictures(name, *made)


def mean_fill(pixels: np.ndarray, holes: np.ndarray) -> np.ndarray:
    filled = pixels.copy()
    filled[holes] = np.rint(pixels[~holes].mean(0))
    return filled


def by_opencv(method: int) -> Fill:
    return lambda pixels, holes: cv2.inpaint(pixels, holes.astype(np.uint8), 3, method)


def patch_fill(pixels: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Fills from the border of a hole inwards: the patch there of which most is known is completed by the patch of the
    picture that is nearest to what is known of it."""
    filled, missing, known_at_first = pixels.copy(), holes.copy(), (~holes).astype(np.uint8)
    sources = {}
    for side in PATCHES:
        whole = cv2.erode(
            known_at_first, np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        half = side // 2
        sources[side] = whole[half : len(whole) - half, half : len(whole) - half]
    side = next((side for side in PATCHES if sources[side].any()), None)
    if side is None:
        return mean_fill(pixels, holes)
    half = side // 2
    height, width = holes.shape
    while missing.any():
        confidence = cv2.blur((~missing).astype(np.float32), (side, side), borderType=cv2.BORDER_CONSTANT)
        row, column = np.unravel_index(np.where(missing, confidence, -1).argmax(), holes.shape)
        row, column = np.clip(row, half, height - half - 1), np.clip(column, half, width - half - 1)
        window = np.s_[row - half : row + half + 1, column - half : column + half + 1]
        seen = np.repeat((~missing[window]).astype(np.float32)[..., None], 3, 2)
        template = filled[window].astype(np.float32) * seen
        distances = cv2.matchTemplate(pixels.astype(np.float32), template, cv2.TM_SQDIFF, mask=seen)
        distances[sources[side] == 0] = np.inf
        top, left = np.unravel_index(distances.argmin(), distances.shape)
        patch = pixels[top : top + side, left : left + side]
        filled[window] = np.where(missing[window][..., None], patch, filled[window])
        missing[window] = False
    return filled


def scores(filled: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    error = np.abs(filled.astype(np.float64) - true)
    similarity = ssim(to_tensor(filled)[None], to_tensor(true)[None]).value
    return float(error.mean() / 2.55), float(10 * np.log10(255**2 / max((error**2).mean(), 1e-3))), similarity


def masks(number: int, bucket: int) -> np.ndarray:
    """The holes of a test picture, bool (H, W): apart from those of the training, whose generator is another one."""
    return ~draw_mask(np.random.default_rng([number, bucket, 2018]), SIZE, SIZE, *BUCKETS[bucket])


def terms(true: list[np.ndarray], bucket: int) -> str:
    """The terms of Eq. 7, with the paper's weights on EfficientNet-Lite's features, of what Telea's method makes."""
    holes = [masks(number, bucket) for number in range(len(true))]
    filled = [by_opencv(cv2.INPAINT_TELEA)(*each) for each in zip(true, holes, strict=True)]
    x, out = to_tensor(np.stack(true)), to_tensor(np.stack(filled))
    batch = {"x": x, "m": torch.from_numpy(~np.stack(holes))[:, None].float()}
    game = Inpainting(nn.Identity(), losses=FeatureLosses())
    found = game.generator_loss(batch, {"out": out, "comp": out}, Draw(0, range(len(x)))).terms
    least, most = (100 * share for share in BUCKETS[bucket])
    return f"Eq. 7 of Telea's, {least:.0f}-{most:.0f} %: " + ", ".join(
        f"{key} {term:.3f}" for key, term in found.items()
    )


def header(own: Pictures, minutes: float, more: list[str]) -> tuple[str, str]:
    """How the first line of a set's rows begins, and how it ends."""
    return (
        f"{own.name}, {SIZE} pixels, ",
        f" images in {minutes:g} minutes of one thread{''.join(f' {o}' for o in more)}",
    )


def report(own: Pictures, minutes: float, place: Path, count: int, more: list[str]) -> Iterator[str]:
    recipe = f"--config {recipe_file('holes')} --workers 0 --cache ram"
    line = " ".join(["inpainting", recipe, "--batch_size 8", *more])
    name = "-".join([own.name.replace(" ", "_"), f"{minutes:g}", *more]).replace(" ", "")
    run = place / name
    images, _ = play(line, own.train, run, SIZE, 0, minutes)
    inpainter = quagga.load(run, device="cpu")
    assert isinstance(inpainter, Inpainter)
    fills: dict[str, Fill] = {
        "mean": mean_fill,
        "Telea": by_opencv(cv2.INPAINT_TELEA),
        "Navier-Stokes": by_opencv(cv2.INPAINT_NS),
        "patches": patch_fill,
        "inpainting": inpainter,
    }
    test = [read_picture(file) for file in sorted(own.test.iterdir())[:count]]
    begin, end = header(own, minutes, more)
    yield f"{begin}{len(test)} held out; {images:,}{end}"
    yield f"{processor()}, torch {torch.__version__}"
    yield terms(test[:32], 3)
    yield f"{'holes':<10}{'':<16}{'L1 %':>8}{'PSNR':>8}{'SSIM':>8}"
    shown: dict[str, list[np.ndarray]] = {"holes": [], **{key: [] for key in fills}, "true": []}
    for bucket, (least, most) in enumerate(BUCKETS):
        found: dict[str, list[tuple[float, float, float]]] = {key: [] for key in fills}
        for number, true in enumerate(test):
            holes = masks(number, bucket)
            emptied = true.copy()
            emptied[holes] = 0
            filled = {key: fill(emptied, holes) for key, fill in fills.items()}
            for key, made in filled.items():
                found[key].append(scores(made, true))
            if bucket >= 1 and number == bucket:
                emptied[holes] = 128
                for key, made in {"holes": emptied, **filled, "true": true}.items():
                    shown[key].append(made)
        for key, each in found.items():
            l1, psnr, similar = np.mean(each, 0)
            share = f"{100 * least:.0f}-{100 * most:.0f} %" if key == "mean" else ""
            yield f"{share:<10}{key:<16}{l1:>8.2f}{psnr:>8.2f}{similar:>8.3f}"
    contact_sheet({key: to_tensor(np.stack(each)) for key, each in shown.items()}, place / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedded", action="store_true")
    parser.add_argument("--facades", type=Path)
    parser.add_argument("--horses", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pictures", type=int, default=100, help="held-out pictures of each set")
    parser.add_argument("--place", type=Path, default=Path("runs/holes"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/inpainting.txt"))
    parser.add_argument("more", nargs="*", help="options of `quagga train inpainting`, after --")
    chosen = parser.parse_args()
    chosen.place.mkdir(parents=True, exist_ok=True)
    before = chosen.output.read_text() if chosen.output.exists() else ""
    for own in sets(chosen):
        begin, end = header(own, chosen.minutes, chosen.more)
        if any(line.startswith(begin) and line.endswith(end) for line in before.splitlines()):
            continue
        for line in report(own, chosen.minutes, chosen.place, chosen.pictures, chosen.more):
            print(line, flush=True)
            before += line + "\n"
        before += "\n"
        chosen.output.write_text(before)


if __name__ == "__main__":
    main()
