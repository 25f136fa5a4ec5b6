"""What pix2pix learns: sketches become horses, label maps facades, beside what is known without learning.

    python benchmarks/pairs.py sketches --output benchmarks/results/sketches.txt
    python benchmarks/pairs.py facades --root DIR --size 128 --images 20000 --output benchmarks/results/facades.txt

sketches: on unseen sketches of the embedded set the error of G is at most half of that of the mean picture, and half of
that of the sketch itself. It takes less than 5 minutes of one CPU core. The horse of the nearest sketch is beside it.

facades: the error and the structural similarity of G with the adversary, without it (--lambda_gan 0) and of the mean
picture; and how much of the label map a network that learned to name the parts of real facades finds in what they made.
There the adversary must win: the mean of all that may be there has the lower error, but no windows.
"""

import argparse
import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import torch
from report import keep, processor
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, l1_loss

from quagga.cli.main import command_line
from quagga.data.paired import Paired
from quagga.data.synthetic import scenes
from quagga.inference.load import load_translator
from quagga.models import UnetGenerator

Pictures = Tensor  # (N, C, H, W) in [-1, 1]


def trained(output: Path, words: list[str]) -> tuple[float, float]:
    """Trains pix2pix; returns the seconds on the clock and of the processor. A run that is there goes on, and so do its
    seconds."""
    spent = output / "seconds.txt"
    before = [float(part) for part in spent.read_text().split()] if spent.exists() else [0.0, 0.0]
    clock, work = perf_counter() - before[0], process_time() - before[1]
    with contextlib.redirect_stdout(io.StringIO()):
        code = command_line(["train", "pix2pix", f"--output={output}", "--workers=0", *words])
    if code:
        raise SystemExit(code)
    spent.write_text(f"{perf_counter() - clock} {process_time() - work}")
    return perf_counter() - clock, process_time() - work


def made(run: Path, x: Pictures) -> Pictures:
    """What a run's G makes of x, with dropout and the statistics of each picture, as `quagga translate` does."""
    translator = load_translator(run, resolution="full")
    return torch.cat([translator(one) for one in x.split(1)])


def similarity(a: Pictures, b: Pictures) -> float:
    """Mean structural similarity (Wang et al. 2004, Eq. 13) of grey values, in Gaussian windows of 11 x 11 pixels."""
    weights = a.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    a, b = ((x * weights).sum(1, keepdim=True) for x in (a, b))
    line = torch.exp(-(torch.arange(-5, 6, dtype=a.dtype) ** 2) / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2)[None, None]
    mean_a, mean_b = conv2d(a, window), conv2d(b, window)
    var_a, var_b = conv2d(a * a, window) - mean_a**2, conv2d(b * b, window) - mean_b**2
    both = conv2d(a * b, window) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    map_ = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(map_.mean())


def training_pairs(rows: Paired) -> dict[str, Tensor]:
    """All of them, from the middle, not augmented."""
    pairs = [rows.without_chance(pair) for pair in rows.train]
    return {side: torch.stack([pair[side] for pair in pairs]) for side in "xy"}


# -- sketches ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sketches:
    """Mean |difference| on unseen sketches, in a range of 2; and what it took."""

    error: float
    mean_picture: float
    sketch: float
    nearest: float
    seconds: float  # of the processor

    @property
    def kept(self) -> bool:
        return self.error <= min(self.mean_picture, self.sketch) / 2 and self.seconds < 300


def sketches(folder: Path, images: int = 4000, seed: int = 0, size: int = 64, more: tuple[str, ...] = ()) -> Sketches:
    root = scenes.write(folder / "sketches", train=800, test=64, size=size, kind="pairs")
    words = [f"--root={root}", f"--load_size={size}", f"--crop_size={size}", f"--images={images}", f"--seed={seed}"]
    words += ["--width=16", "--width_discriminator=16", "--layers=2", "--batch_size=4", "--lr=1e-3", "--device=cpu"]
    _, seconds = trained(folder / "run", [*words, f"--sample_every={images}", f"--save_every={images}", *more])
    rows = Paired(root=str(root), load_size=size, crop_size=size, workers=0)
    test, known = rows.held_out(len(rows.test)), training_pairs(rows)
    near = torch.cdist(blurred(test["x"]), blurred(known["x"])).argmin(1)
    y = test["y"]
    return Sketches(
        error=float(l1_loss(made(folder / "run", test["x"]), y)),
        mean_picture=float(l1_loss(known["y"].mean(0).expand_as(y), y)),
        sketch=float(l1_loss(test["x"], y)),
        nearest=float(l1_loss(known["y"][near], y)),
        seconds=seconds,
    )


def blurred(x: Pictures) -> Tensor:
    """(N, features): where lines lie, roughly."""
    return torch.nn.functional.avg_pool2d(x, 4).flatten(1)


def sketches_report(images: int, seeds: list[int]) -> list[str]:
    lines = [f"pix2pix on 800 sketches and horses of 64 pixels, {images:,} images", machine(), ""]
    lines.append(f"{'seed':<6}{'error':>8}{'mean picture':>14}{'sketch':>8}{'nearest':>9}{'CPU seconds':>13}  promise")
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            got = sketches(Path(folder), images, seed)
        lines.append(
            f"{seed:<6}{got.error:>8.3f}{got.mean_picture:>14.3f}{got.sketch:>8.3f}{got.nearest:>9.3f}"
            f"{got.seconds:>13.0f}  {'kept' if got.kept else 'BROKEN'}"
        )
    promise = "the error is at most half of the mean picture's and of the sketch's, in under 300 seconds"
    return [*lines, "", f"promise: {promise}"]


# -- facades ----------------------------------------------------------------------------------------------------------


def judge_of(known: dict[str, Tensor], labels: int, images: int, width: int, device: str) -> UnetGenerator:
    """A network that names the parts of real facades: photo -> logits of each label, by cross-entropy."""
    torch.manual_seed(0)
    depth = max(2, min(6, (known["y"].shape[-1] & -known["y"].shape[-1]).bit_length() - 2))
    judge = UnetGenerator(3, labels, width=width, depth=depth, norm="instance", dropout=0.0).to(device)
    optimizer = torch.optim.Adam(judge.parameters(), 5e-4)
    named = known["x"].argmax(1)
    for first in range(0, images, 4):
        some = torch.randint(len(named), (4,))
        y, target = known["y"][some].to(device), named[some].to(device)
        if torch.rand(()) < 0.5:
            y, target = y.flip(3), target.flip(2)
        y = (y + 0.1 * torch.randn_like(y)).clamp(-1, 1)  # else it names the grain of the camera
        for group in optimizer.param_groups:
            group["lr"] = 5e-4 * (1 - first / images)
        optimizer.zero_grad()
        cross_entropy(8 * judge(y), target).backward()  # after tanh: logits from -8 to 8
        optimizer.step()
    return judge.eval().requires_grad_(False)


def accuracy(judge: UnetGenerator, y: Pictures, named: Tensor, device: str) -> float:
    """The share of pixels of which the judge names the label that is asked for."""
    found = torch.cat([judge(one.to(device)).argmax(1).cpu() for one in y.split(1)])
    return float((found == named).float().mean())


def facades_report(
    root: str, size: int, images: int, width: int, judge_images: int, keep: Path, device: str
) -> list[str]:
    load = round(size * 286 / 256)
    data = {"root": root, "side": "right", "x_as": "labels", "labels": 12, "load_size": load, "crop_size": size}
    words = [*(f"--{name}={value}" for name, value in data.items()), f"--images={images}", f"--width={width}"]
    words += [f"--width_discriminator={width}", f"--device={device}", f"--layers={3 if size >= 128 else 2}"]
    rows = Paired(**{**data, "load_size": size}, workers=0)  # the whole facade, not a cut of it
    test, known = rows.held_out(len(rows.test)), training_pairs(rows)
    on = "cuda" if device in ("auto", "cuda") and torch.cuda.is_available() else "cpu"
    judge = judge_of(known, test["x"].shape[1], judge_images, 32, on)
    named, y = test["x"].argmax(1), test["y"]
    found = {"real photos": (y, 0.0), "mean picture": (known["y"].mean(0).expand_as(y), 0.0)}
    for name, more in (("adversary and L1", []), ("L1 alone", ["--lambda_gan=0"])):
        seconds, _ = trained(keep / name.replace(" ", "_"), [*words, *more])
        found[name] = made(keep / name.replace(" ", "_"), test["x"]), seconds
    title = f"facades, label map -> photo at {size} pixels, {images:,} images, width {width}; judge {judge_images:,}"
    lines = [title, machine(), "", f"{'':<18}{'L1':>8}{'SSIM':>8}{'labels found':>14}{'minutes':>9}"]
    scores = {}
    for name, (pictures, seconds) in found.items():
        scores[name] = accuracy(judge, pictures, named, on)
        lines.append(
            f"{name:<18}{float(l1_loss(pictures, y)):>8.3f}{similarity(pictures, y):>8.3f}{scores[name]:>14.3f}"
            f"{seconds / 60:>9.1f}"
        )
    won = scores["adversary and L1"] > scores["L1 alone"]
    return [*lines, "", f"promise: the adversary makes more labels be found: {'kept' if won else 'BROKEN'}"]


def machine() -> str:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{torch.get_num_threads()} cores of an {processor()}, {gpu}, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["sketches", "facades"])
    parser.add_argument("--images", type=int, help="pictures trained on; 4,000 sketches, 20,000 facades")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of sketches")
    parser.add_argument("--root", help="the folder of the facades: train and test, photo left, labels right")
    parser.add_argument("--size", type=int, default=128, help="pixels of a facade")
    parser.add_argument("--width", type=int, default=32, help="of both networks")
    parser.add_argument("--judge_images", type=int, default=8000, help="photos that the judge is trained on")
    parser.add_argument("--keep", type=Path, help="a folder for the runs on facades; else they are removed")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu, for the facades")
    parser.add_argument("--output", type=Path, help="a text file for the table")
    chosen = parser.parse_args()
    if chosen.which == "sketches":
        lines = sketches_report(chosen.images or 4000, chosen.seeds)
    else:
        if not chosen.root:
            parser.error("facades needs --root DIR")
        with tempfile.TemporaryDirectory() as folder:
            options = chosen.size, chosen.images or 20_000, chosen.width, chosen.judge_images
            lines = facades_report(chosen.root, *options, chosen.keep or Path(folder), chosen.device)
    keep(lines, chosen.output)


if __name__ == "__main__":
    main()
