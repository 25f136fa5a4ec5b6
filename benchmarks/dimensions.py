"""What pictures keep as 2, 16 and 64 numbers: autoencoders beside principal components, on pictures that none has seen.

    python benchmarks/dimensions.py digits --mnist FOLDER --images 1000000 --place runs/dimensions \\
        --output benchmarks/results/dimensions.txt
    python benchmarks/dimensions.py animals --images 1000000 --place runs/dimensions \\
        --output benchmarks/results/dimensions.txt

FOLDER holds MNIST's four idx files; the animals are drawn. Each autoencoder is trained by the command line for so many
images, with one thread, on the training pictures, of which the principal components are those too. E is the sum of
squares over a picture in [-1, 1], the mean over the test pictures; the share is that of the mean training picture,
which is 0 numbers. A sheet of test pictures and what each made of them is drawn to be looked at. Rows are appended;
what is there is not made again.
"""

import argparse
import os
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import torch
from digits import QUIET, real
from report import processor
from torch import Tensor

from quagga.cli.main import command_line
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.read import read_picture
from quagga.data.io.tensors import to_tensor
from quagga.data.synthetic import scenes
from quagga.inference.coder import load_coder
from quagga.pipelines.autoencoder import squared_error

NUMBERS = (2, 16, 64)
COMPONENTS = "principal components"
NETWORKS = {
    "mlp": "--network mlp --widths [512,128] --activation relu",
    "conv": "--network conv --width 32",
}
COMMON = "--batch_size 64 --lr 1e-3 --cache ram --ema_halflife 2000"


def animals(folder: Path) -> tuple[Tensor, Tensor]:
    """The drawn animals, 32 x 32: those to train on and those to test with, (N, 3, 32, 32) in [-1, 1]."""
    place = scenes.write(folder, kind="classes", train=1500, test=150, size=32)
    train, test = (
        torch.stack([to_tensor(read_picture(path)) for path in sorted((place / split).rglob("*.png"))])
        for split in ("train", "test")
    )
    return train, test


def components(train: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (n,) and principal components, the most important first, (n, n)."""
    x = train.flatten(1).double().numpy()
    return torch.from_numpy(x.mean(0)), torch.from_numpy(np.linalg.svd(np.cov(x.T), hermitian=True)[2])


def again_by_components(x: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """What pictures become whose code is their part in the space of a basis (m, n)."""
    centred = x.flatten(1).double() - mean
    return (centred @ basis.T @ basis + mean).view_as(x)


@torch.inference_mode()
def again_by_coder(run: Path, x: Tensor) -> Tensor:
    coder = load_coder(run, "cpu")
    assert coder is not None
    return torch.cat([coder.decoder(z=coder.encoder(x=part)) for part in x.split(500)])


def trained(options: str, folder: Path, run: Path) -> float:
    """Trains an autoencoder, unless it is there. Returns the minutes of CPU that it took."""
    spent = run.parent / f"{run.name}.cpu"
    if not (run / "model").exists():
        start = process_time()
        words = ["train", "autoencoder", *options.split(), *COMMON.split(), *QUIET.split()]
        assert command_line([*words, "--root", str(folder), "--output", str(run)]) == 0
        spent.write_text(str((process_time() - start) / 60))
    return float(spent.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", choices=("digits", "animals"))
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--place", type=Path, default=Path("runs/dimensions"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/dimensions.txt"))
    chosen = parser.parse_args()
    name = chosen.pictures
    folder = chosen.mnist if name == "digits" else chosen.place / "animals"
    train, test = (split.x for split in real(folder)) if name == "digits" else animals(folder)
    before = chosen.output.read_text() if chosen.output.exists() else ""
    if not before:
        before = f"{processor()}, torch {torch.__version__}, one thread\n"
        before += f"{'pictures':<10}{'method':<24}{'numbers':>8}{'E':>10}{'share':>8}{'images':>12}{'minutes':>10}\n"
    mean, basis = components(train)
    nothing, sheet = float(squared_error(test, again_by_components(test, mean, basis[:0]))), {"x": test[::41][:8]}
    for method in (COMPONENTS, *chosen.networks):
        images = f"{chosen.images:,}" if method != COMPONENTS else ""
        for m in NUMBERS:
            cost = ""
            if method == COMPONENTS:
                again = again_by_components(test, mean, basis[:m])
            else:
                run = chosen.place / f"{name}-{method}-{m}-{chosen.images}"
                size = f"--size {test.shape[-1]} --images {chosen.images}"
                cost = f"{trained(f'{NETWORKS[method]} --code_size {m} {size}', folder, run):.1f}"
                again = again_by_coder(run, test)
            sheet[f"{m}, {method}"] = again[::41][:8].float().clamp(-1, 1)
            error = float(squared_error(test, again))
            row = f"{name:<10}{method:<24}{m:>8}{error:>10.1f}{error / nothing:>8.3f}{images:>12}"
            if row.rstrip() not in before:
                before += f"{row}{cost:>10}".rstrip() + "\n"
                print(before.splitlines()[-1], flush=True)
                chosen.output.write_text(before)
    contact_sheet(sheet, chosen.place / f"{name}.png")


if __name__ == "__main__":
    main()
