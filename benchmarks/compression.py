"""What a small autoencoder keeps of pictures, beside principal components and JPEG of the same size.

    python benchmarks/compression.py TRAIN TEST --name horses --place runs/coded \\
        --output benchmarks/results/compression.txt

TRAIN and TEST are folders of pictures. They become grey, 64 x 64. The autoencoder is `--recipe areas`: each area of
8 x 8 is coded by 16 numbers, and a number is stored in 8 bits. Beside it: the 16 principal components of areas of the
same pictures, each in units of its deviation, stored in the same way; and JPEG at the highest quality whose file is not
larger than the autoencoder's. Sizes are those of whole files, with their headers; PSNR has a peak of 255. Means over
the test pictures. What is there already is not made again.
"""

import argparse
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import torch
from PIL import Image
from report import keep, processor

from quagga.cli.main import command_line
from quagga.cli.output.code_files import code_file
from quagga.data.io.read import SUFFIXES
from quagga.inference.coder import Code, load_coder

SIZE, AREA, NUMBERS = 64, 8, 16
AREAS = 100_000  # that principal components are found of


def grey(folder: Path) -> np.ndarray:
    """The pictures of a folder, uint8 (N, SIZE, SIZE), the middle square of each."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    squares = []
    for file in files:
        picture = Image.open(file).convert("L")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.BOX)
        squares.append(np.asarray(picture))
    return np.stack(squares)


def areas(pictures: np.ndarray) -> np.ndarray:
    """(N, SIZE, SIZE) -> (N * 64, 64), the areas of 8 x 8, row by row."""
    count = SIZE // AREA
    return pictures.reshape(-1, count, AREA, count, AREA).swapaxes(2, 3).reshape(-1, AREA * AREA)


def pictures_of(parts: np.ndarray) -> np.ndarray:
    """The way back of `areas`."""
    count = SIZE // AREA
    return parts.reshape(-1, count, count, AREA, AREA).swapaxes(2, 3).reshape(-1, SIZE, SIZE)


def psnr(x: np.ndarray, again: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.square(x.astype(float) - again).mean())))


def components(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (64,) and the first principal components (16, 64) of areas drawn at random, as in training; each as long as
    its deviation."""
    rng = np.random.default_rng(0)
    number, i, j = rng.integers(len(train), size=AREAS), *rng.integers(SIZE - AREA + 1, size=(2, AREAS))
    rows = np.arange(AREA)
    cut = (
        train[number[:, None, None], i[:, None, None] + rows[:, None], j[:, None, None] + rows].reshape(AREAS, -1) / 1.0
    )
    mean = cut.mean(0)
    return mean, np.linalg.svd(np.cov((cut - mean).T))[2][:NUMBERS]


def jpeg(picture: np.ndarray, most: int) -> tuple[int, np.ndarray]:
    """Bytes and pixels of the JPEG of highest quality that has at most so many bytes; of the lowest if none has."""
    best = None
    for quality in range(1, 101):
        file = BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
        if best is None or file.tell() <= most:
            best = file
    assert best is not None
    return best.tell(), np.asarray(Image.open(best))


def report(train: Path, test: Path, name: str, run: Path) -> Iterator[str]:
    if not (run / "model").exists():
        line = ["train", "--recipe", "areas", "--root", str(train), "--output", str(run), "--device", "cpu"]
        assert command_line([*line, "--workers", "0", "--cache", "ram", "--examined", "16"]) == 0
    coder = load_coder(run, "cpu")
    assert coder is not None
    x = grey(test)
    mean, basis = components(grey(train))
    rows: dict[str, list[tuple[int, float]]] = {"autoencoder": [], "principal components": [], "JPEG": []}
    for picture in x:
        kept = coder.encode(picture)
        size = len(code_file(kept))
        rows["autoencoder"].append((size, psnr(picture, coder.decode(kept)[..., 0])))
        stored = Code.of(((areas(picture[None]) - mean) @ np.linalg.pinv(basis)).astype(np.float32).reshape(-1))
        again = pictures_of(stored.values().reshape(-1, NUMBERS) @ basis + mean)[0].clip(0, 255).round()
        rows["principal components"].append((len(code_file(stored)), psnr(picture, again)))
        bytes_taken, pixels = jpeg(picture, size)
        rows["JPEG"].append((bytes_taken, psnr(picture, pixels)))
    yield f"{name}: {len(x)} test pictures of {SIZE} x {SIZE}, grey; {processor()}, torch {torch.__version__}"
    yield f"{'':<24}{'bytes':>10}{'bits a pixel':>16}{'PSNR, dB':>12}"
    for method, found in rows.items():
        size, quality = np.mean(found, axis=0)
        yield f"{method:<24}{size:>10,.0f}{8 * size / SIZE**2:>16.2f}{quality:>12.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--name", required=True, help="of the pictures, in the table")
    parser.add_argument("--place", type=Path, default=Path("runs/coded"))
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    before = chosen.output.read_text() if chosen.output and chosen.output.exists() else ""
    if f"{chosen.name}: " in before:
        print(f"{chosen.output} has {chosen.name} already")
        return
    lines = report(chosen.train, chosen.test, chosen.name, chosen.place / chosen.name)
    keep(lines, chosen.output, before + "\n" if before else "")


if __name__ == "__main__":
    main()
