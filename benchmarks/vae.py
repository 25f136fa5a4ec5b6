"""What a VAE makes beside what a GAN makes, of the same pictures in the same minutes: how sharp, how true, how varied.

    python benchmarks/vae.py --mnist FOLDER --minutes 4 --place runs/vae --output benchmarks/results/vae.txt
    python benchmarks/vae.py --faces FOLDER --minutes 10 --place runs/vae --output benchmarks/results/vae.txt

Each is trained by the command line for so many minutes of CPU, one thread. Of 2,000 samples: the variance of the
Laplacian, as a share of that of real test pictures (1 is as sharp as those, a blur has less); the Frechet distance in
the features of a classifier that was trained apart on the training pictures, beside that of real test pictures; and
the mean difference of two samples, as a share of that of two test pictures. For the VAE also how sharp test pictures
are that it has coded and made again. Rows are appended; what is there is not made again.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import cv2
import numpy as np
import torch
from classifier import Classifier
from digits import features, frechet, real
from digits import judge as judge_of_digits
from real_minutes import play
from report import processor
from stargan import faces
from stargan import judge as judge_of_hair
from torch import Tensor

import quagga
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.tensors import to_tensor
from quagga.inference.coder import load_coder
from quagga.inference.sampler import Sampler
from quagga.pipelines.core.sample_metrics import diversity

SAMPLES = 2000
COMMON = "--batch_size 64 --workers 0 --cache ram --ema_halflife 2000"
TRIES = {  # name -> a training, by the side of the pictures
    "vae": f"vae --size {{size}} --width 32 --code_size 16 --lr 1e-3 {COMMON}",
    "gan": f"gan --size {{size}} --width 32 --width_discriminator 32 --lr 4e-4 {COMMON}",
}


class Pictures(NamedTuple):
    """Pictures in [-1, 1], and a judge that reads them."""

    name: str
    folder: Path  # for --root
    train: Tensor
    test: Tensor
    judge: Classifier


def sharpness(x: Tensor) -> float:
    """Variance of the Laplacian of grey pictures (N, C, H, W), the mean over them."""
    grey = x.mean(1).cpu().numpy().astype(np.float32)
    return float(np.mean([cv2.Laplacian(picture, cv2.CV_32F).var() for picture in grey]))


def measured(name: str, x: Tensor, own: Pictures) -> str:
    sharp, far = sharpness(x) / sharpness(own.test), frechet(features(own.judge, x), features(own.judge, own.train))
    return f"{name:<28}{sharp:>12.2f}{far:>12.2f}{float(diversity(x[:500], own.test[:500])):>12.2f}"


def report(own: Pictures, minutes: float, place: Path) -> Iterator[str]:
    size, sheet = own.test.shape[-1], {"real": own.test[:8]}
    yield f"{own.name}, {size} pixels, {minutes:g} minutes of one thread each; {processor()}, torch {torch.__version__}"
    yield f"{'':<28}{'sharpness':>12}{'Frechet':>12}{'diversity':>12}"
    yield measured("real test pictures", own.test, own)
    for name, line in TRIES.items():
        run = place / f"{own.name.replace(' ', '_')}-{name}-{minutes:g}"
        images, _ = play(line, own.folder, run, size, 0, minutes)
        sampler = quagga.load(run, device="cpu")
        assert isinstance(sampler, Sampler)
        x = to_tensor(sampler(count=SAMPLES))
        yield measured(f"{name}, {images:,} images", x, own)
        sheet[name] = x[:8]
        if coder := load_coder(run, "cpu"):
            with torch.inference_mode():
                again = coder.decoder(z=coder.encoder(x=own.test[:SAMPLES]))
            yield measured("  coded and made again", again, own)
            sheet["made again"] = again[:8]
    contact_sheet(sheet, place / f"{own.name.replace(' ', '_')}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--place", type=Path, default=Path("runs/vae"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/vae.txt"))
    chosen = parser.parse_args()
    chosen.place.mkdir(parents=True, exist_ok=True)
    before = chosen.output.read_text() if chosen.output.exists() else ""
    found: list[Pictures] = []
    if chosen.mnist and "digits, " not in before:
        train, test = real(chosen.mnist)
        found.append(Pictures("digits", chosen.mnist, train.x, test.x[:SAMPLES], judge_of_digits(train)))
    if chosen.faces and "anime faces, " not in before:
        all_faces = faces(chosen.faces)
        train, test = all_faces.x[~all_faces.test], all_faces.x[all_faces.test]
        judge = judge_of_hair(all_faces, chosen.place / "hair.pt")
        found.append(Pictures("anime faces", chosen.faces / "images", train, test[:SAMPLES], judge))
    for own in found:
        for line in report(own, chosen.minutes, chosen.place):
            print(line, flush=True)
            before += line + "\n"
        before += "\n"
        chosen.output.write_text(before)


if __name__ == "__main__":
    main()
