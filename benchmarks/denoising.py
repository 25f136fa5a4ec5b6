"""What a denoising autoencoder takes away, on drawn animals: the picture of docs/autoencoder.md, and a table.

    python benchmarks/denoising.py --images 1000000 --place runs/denoising \\
        --output benchmarks/results/denoising.txt --picture docs/denoised.png

Two autoencoders are trained by the command line for so many images, with one thread, alike but for --noise. Test
pictures, which neither has seen, are given noise of the same deviation. PSNR, with a peak of 2, of the noisy pictures;
of those blurred by the Gaussian that is best for the test pictures; and of what each autoencoder makes of the noisy
ones, and of the clean ones. Rows are appended; what is there is left out.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import cv2
import numpy as np
import torch
from dimensions import again_by_coder, animals, trained
from report import keep, processor
from torch import Tensor

from quagga.data.io.contact_sheet import contact_sheet

NOISE, SHOWN = 0.4, 6
OPTIONS = "--size 32 --network conv --width 32"
BLURS = [0.3 + 0.05 * step for step in range(25)]  # deviations in pixels


def psnr(x: Tensor, again: Tensor) -> float:
    """In decibels, with a peak of 2: the mean over the pictures (N, C, H, W)."""
    return float((10 * (4 / (x - again).square().flatten(1).mean(1)).log10()).mean())


def blurred(x: Tensor, deviation: float) -> Tensor:
    pictures = x.permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.stack([cv2.GaussianBlur(one, (0, 0), deviation) for one in pictures])).permute(
        0, 3, 1, 2
    )


def report(images: int, code_size: int, place: Path, picture: Path | None) -> Iterator[str]:
    _, test = animals(place / "animals")
    noisy = test + NOISE * torch.randn(test.shape, generator=torch.Generator().manual_seed(0))
    best = max(BLURS, key=lambda deviation: psnr(test, blurred(noisy, deviation)))
    minutes, again, words = {}, {}, f"--code_size {code_size} --images {images}"
    for noise in (0.0, NOISE):
        run = place / f"noise-{noise}-{images}-{code_size}"
        minutes[noise] = trained(f"{OPTIONS} {words} --noise {noise}", place / "animals", run)
        again[noise] = [again_by_coder(run, x) for x in (noisy, test)]
    spent = f"{minutes[0.0]:.1f} and {minutes[NOISE]:.1f} minutes of one thread"
    yield f"codes of {code_size}, {images:,} images each, {spent};"
    yield f"{processor()}, torch {torch.__version__}; {len(test)} test pictures, 32 x 32, noise of {NOISE}; PSNR, dB"
    yield f"{'':<36}{'of noisy ones':>16}{'of clean ones':>16}"
    yield f"{'as they are':<36}{psnr(test, noisy):>16.1f}"
    yield f"{f'blurred, {best:.2f} pixels':<36}{psnr(test, blurred(noisy, best)):>16.1f}"
    for noise, made in again.items():
        name = f"autoencoder, --noise {noise}" if noise else "autoencoder, trained without noise"
        yield f"{name:<36}" + "".join(f"{psnr(test, one):>16.1f}" for one in made)
    rows = slice(None, None, len(test) // SHOWN)
    shown = {
        "x": test[rows],
        "x with noise": noisy[rows],
        "blurred": blurred(noisy, best)[rows],
        "trained\nwithout noise": again[0.0][0][rows],
        "trained\nwith noise": again[NOISE][0][rows],
    }
    contact_sheet({name: x[:SHOWN].clamp(-1, 1) for name, x in shown.items()}, picture or place / "denoised.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--code_size", type=int, default=512)
    parser.add_argument("--place", type=Path, default=Path("runs/denoising"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/denoising.txt"))
    parser.add_argument("--picture", type=Path, help="where the sheet goes; none: into PLACE")
    chosen = parser.parse_args()
    chosen.place.mkdir(parents=True, exist_ok=True)
    before = chosen.output.read_text() if chosen.output.exists() else ""
    if f"codes of {chosen.code_size}, {chosen.images:,} images each" in before:
        print(f"{chosen.output} has codes of {chosen.code_size} and {chosen.images:,} images already")
        return
    lines = report(chosen.images, chosen.code_size, chosen.place, chosen.picture)
    keep(lines, chosen.output, before + "\n" if before else "")


if __name__ == "__main__":
    main()
