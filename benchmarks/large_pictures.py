"""Large pictures: seconds, memory, and what becomes of detail and stripes.

python benchmarks/large_pictures.py --run runs/demo --output benchmarks/results/large_pictures.txt

RUN is what `quagga demo` leaves. Promises: a photo of 4000 x 3000 pixels on 2 cores in under 20 s and 4 GB with the
paper's network; in strips as whole within 1/255 at 2048 x 2048, at a memory that does not grow with the picture.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from quagga.data.io.read import read_picture
from quagga.data.synthetic.scenes import Scene, held_out, scene
from quagga.inference.device import TILE
from quagga.inference.load import load_translator as load
from quagga.inference.model_files.model_saving import save_model
from quagga.inference.tiling import forward_in_strips
from quagga.models import ResnetGenerator
from quagga.option_groups import call_flat
from quagga.pipelines import cyclegan

SECONDS, GIGABYTES, LEVELS = 20, 4, 1  # promised
HEAD = f"{'seconds':>9}{'of a core':>11}{'GB':>7}"
# A process begins with the largest memory of the one that starts it, which is why a small one does.
STARTER = """
import os, sys, time
start = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet), 0)
print(status, time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


class Cost(NamedTuple):
    seconds: float  # of the whole process, with its start
    busy: float  # of one core
    gigabytes: float  # of memory it held at most


def cost(command: Sequence[str]) -> Cost:
    """Runs a process to its end."""
    ran = subprocess.run([sys.executable, "-c", STARTER, *command], stdout=subprocess.PIPE, text=True, check=True)
    status, seconds, busy, held = map(float, ran.stdout.split())
    assert status == 0, command
    return Cost(seconds, busy, held * (1 if sys.platform == "darwin" else 1024) / 1e9)  # bytes there, else KiB


def photo(path: Path, height: int = 3000, width: int = 4000) -> Scene:
    """A drawn horse with the grain of a camera, as a JPEG of that size; the scene fills its middle."""
    drawn = scene(held_out("horse", 3)[2], height)
    around = (width - height) // 2
    grain = np.random.default_rng(0).normal(0, 8, (height, width, 1))
    pixels = cv2.copyMakeBorder(drawn.horse, 0, 0, around, around, cv2.BORDER_REFLECT) + grain
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=95)
    return drawn


def paper_model(run: Path) -> None:
    """A run with the paper's generators, untrained."""
    torch.manual_seed(0)
    game = call_flat(cyclegan.build)
    save_model(
        run / "model",
        pipeline="cyclegan",
        options={},
        exports=game.exports,
        domains={side: {"name": side, "channels": 3} for side in "xy"},
        preprocessing={"load_size": 286, "crop_size": 256, "fit": "crop"},
        images_seen=0,
    )


def translate(run: Path, picture: Path, output: Path, *options: str) -> Cost:
    words = ["translate", str(run), str(picture), "--output", str(output), "--device", "cpu", *options]
    return cost([sys.executable, "-m", "quagga", *words])


def kept(before: np.ndarray, after: np.ndarray, drawn: Scene) -> dict[str, float]:
    """What of a photo is left where nothing had to change, and what has become of the coat.

    sharpness: how strong the finest detail (the Laplacian) is away from the animal, of 1 before. background: the PSNR
    there in dB. stripes: the contrast (standard deviation) inside the animal, of 1 in the true zebra.
    """
    side, around = drawn.mask.shape[0], (before.shape[1] - drawn.mask.shape[1]) // 2
    before, after = before[:, around : around + side], after[:, around : around + side]
    away = cv2.dilate(drawn.mask, np.ones((side // 16, side // 16))) == 0
    inside = cv2.erode(drawn.mask, np.ones((side // 64, side // 64))) == 1
    fine = [cv2.Laplacian(p.mean(2), cv2.CV_64F)[away].std() for p in (before, after)]
    error = np.square(after.astype(float) - before)[away].mean()
    contrast = [p.mean(2)[inside].std() for p in (after, drawn.zebra)]
    return {
        "sharpness": fine[1] / fine[0],
        "background": 10 * np.log10(255**2 / max(error, 1e-9)),
        "stripes": contrast[0] / contrast[1],
    }


def random_network(width: int) -> nn.Module:
    torch.manual_seed(0)
    return ResnetGenerator(width=width).eval().requires_grad_(False)


def once(width: int, size: int, tile: int | None, output: Path) -> None:
    """One picture through a ResNet of 9 blocks, in this process."""
    network = random_network(width)
    x = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        y = forward_in_strips(network, x, tile) if tile else network(x)
    torch.save(y.clone(), output)


def strips_and_whole(width: int, size: int) -> tuple[Cost, Cost, float]:
    """The costs of both ways, and the largest difference of their results in levels of 255."""
    with tempfile.TemporaryDirectory() as folder:
        made = {tile: Path(folder) / f"{tile}.pt" for tile in (TILE, 0)}
        me = [sys.executable, __file__, "--once", str(width), str(size)]
        strips, whole = (cost([*me, str(tile), str(path)]) for tile, path in made.items())
        a, b = (torch.load(path, weights_only=True) for path in made.values())
    return strips, whole, float((a - b).abs().max()) * 127.5


class Given(nn.Module):
    """Instance normalisation with statistics from the pass before; it measures those for the next."""

    def __init__(self) -> None:
        super().__init__()
        self.use: tuple[Tensor, Tensor] | None = None
        self.measured: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        self.measured = mean, variance
        mean, variance = self.use or self.measured
        return (x - mean) / (variance + 1e-5).sqrt()


def passes(network: nn.Module, x: Tensor, count: int) -> list[float]:
    """The other way to share statistics, by passes through the whole network, each with the statistics that the one
    before has measured, the first with those of the picture at half its size: errors after each pass, in levels."""
    with torch.inference_mode():
        expected = network(x)
        layers = []
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.InstanceNorm2d):
                    layers.append(Given())
                    setattr(parent, name, layers[-1])
        network(nn.functional.interpolate(x, scale_factor=0.5, mode="area"))
        errors = []
        for _ in range(count):
            for layer in layers:
                layer.use = layer.measured
            errors.append(float((network(x) - expected).abs().max()) * 127.5)
    return errors


def report(run: Path, widths: list[int], sizes: list[int]) -> list[str]:
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        drawn = photo(folder / "photo.jpg")
        paper_model(folder / "paper")
        lines += [f"quagga translate, 4000 x 3000 JPEG; promise: {SECONDS} s, {GIGABYTES} GB", ""]
        lines.append(f"{'':<44}{HEAD}")
        for _ in range(3):
            spent = translate(folder / "paper", folder / "photo.jpg", folder / "out", "--overwrite")
            columns = f"{spent.seconds:>9.1f}{spent.busy:>11.1f}{spent.gigabytes:>7.2f}"
            lines.append(f"{'network of the paper, --resolution model':<44}{columns}")
            print(lines[-1], flush=True)
        lines += ["", f"{'network of the demo (64 pixels)':<32}{'sharpness':>11}{'background':>12}{'stripes':>9}"]
        before = read_picture(folder / "photo.jpg", 3)
        small = cv2.resize(before, None, fx=64 / 3000, fy=64 / 3000, interpolation=cv2.INTER_AREA)
        made = load(run, to="y", device="cpu")(small)
        results = {"its small result, enlarged": cv2.resize(made, (4000, 3000), interpolation=cv2.INTER_CUBIC)}
        for resolution in ("model", "256", "full"):
            translate(run, folder / "photo.jpg", folder / resolution, "--to", "y", "--resolution", resolution)
            results[f"--resolution {resolution}"] = read_picture(folder / resolution / "photo.jpg", 3)
        for name, after in results.items():
            said = kept(before, after, drawn)
            lines.append(f"{name:<32}{said['sharpness']:>11.2f}{said['background']:>9.1f} dB{said['stripes']:>9.2f}")
            print(lines[-1], flush=True)
    lines += ["", "sharpness: finest detail away from the animal, of 1 in the photo; background: PSNR there;"]
    lines += ["stripes: contrast inside the animal, of 1 in the true zebra", ""]
    lines += [
        f"ResNet of 9 blocks, random weights, in strips (--tile {TILE}) and whole; promise: {LEVELS} of 255 levels"
    ]
    lines += [
        "",
        f"{'':<13}{'in strips':^27}{'whole':^27}",
        f"{'width':<7}{'size':>6}" + 2 * HEAD + f"{'difference':>12}",
    ]
    for width in widths:
        for size in sizes:
            *costs, apart = strips_and_whole(width, size)
            columns = "".join(f"{one.seconds:>9.1f}{one.busy:>11.1f}{one.gigabytes:>7.2f}" for one in costs)
            lines.append(f"{width:<7}{size:>6}{columns}{apart:>12.5f}")
            print(lines[-1], flush=True)
    lines += ["", "The way that was not taken: passes through the whole network, each with the statistics of the last."]
    lines += ["Error in levels of 255 after each pass, at 256 x 256:"]
    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1
    horse = torch.from_numpy(scene(held_out("horse", 1)[0], 256).horse).movedim(2, 0)[None] / 127.5 - 1
    demo = load(run, to="y", device="cpu").network
    for name, network, picture in (("random, width 16", random_network(16), x), ("the demo's", demo, horse)):
        errors = passes(network, picture, 26)
        lines.append(f"{name:<18}" + " ".join(f"{error:.2g}" for error in errors))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="what `quagga demo` has left")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--output", type=Path, help="a text file for the tables")
    parser.add_argument("--once", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.once:
        width, size, tile = map(int, chosen.once[:3])
        return once(width, size, tile or None, Path(chosen.once[3]))
    lines = [f"{torch.get_num_threads()} threads, CPU, torch {torch.__version__}", ""]
    text = "\n".join(lines + report(chosen.run, chosen.widths, chosen.sizes)) + "\n"
    print(text)
    if chosen.output:
        chosen.output.write_text(text)
    return None


if __name__ == "__main__":
    main()
