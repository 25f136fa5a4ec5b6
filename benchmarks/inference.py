"""Translation: pictures a second, and how long `quagga translate` takes beside the reference's test script.

    python benchmarks/inference.py --reference DIR --output benchmarks/results/inference.txt

A ResNet of 9 blocks with random weights, in float32, and with products in bf16 where there is hardware for it. First
whole processes, from the call to the end, by turns; then the rates of the bare network and of what `quagga.load` gives,
at batch 1 and at the batch that is best.

    quagga translate RUN PICTURES --output OUT [--mixed_precision bf16]
    python test.py --dataroot PICTURES --name N --model test --no_dropout --preprocess none

DIR is a checkout of junyanz/pytorch-CycleGAN-and-pix2pix; its weights are ours, by `quagga export`. It imports wandb
without using it: where that is not installed an empty module takes its place, which only helps it. Its `dominate` must
be installed. Promise: at most 0.67 x its time on a CPU of 2 cores.
"""

import argparse
import importlib.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from report import keep, processor
from stepping import milliseconds
from torch import Tensor
from whole_process import Command, by_turns, seconds, told, waited

import quagga
from quagga.data.synthetic import scenes
from quagga.inference.load import load_translator
from quagga.inference.model_files.model_saving import save_model
from quagga.inference.translator import Precision
from quagga.option_groups import call_flat
from quagga.pipelines.cyclegan import build
from quagga.training.hardware.device_setup import has_bf16

PROMISE = 0.67  # times the reference's time
BLOCKS = 9
OURS, NARROW, THEIRS = "quagga translate", "quagga translate, bf16", "reference's test.py"


def leave_model(run: Path, width: int = 64, blocks: int = BLOCKS) -> Path:
    """A run folder with a model of random weights; returns it."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"width": width, "blocks": blocks, "width_discriminator": 8}
    game = call_flat(build, **options)
    domains = {letter: {"name": name, "channels": 3} for letter, name in (("x", "horse"), ("y", "zebra"))}
    save_model(
        run / "model",
        pipeline="cyclegan",
        options=options,
        exports=game.exports,
        domains=domains,
        preprocessing={"load_size": 256, "crop_size": 256, "fit": "crop"},
        images_seen=0,
    )
    return run


def leave_pictures(folder: Path, count: int, size: int) -> Path:
    """A folder of so many drawn pictures; returns it."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as drawn:
        files = sorted((scenes.write(Path(drawn) / "set", train=count, test=1, size=size) / "trainA").iterdir())
        for number, file in enumerate(files[:count]):
            shutil.copy(file, folder / f"{number:03d}.png")
    return folder


# -- pictures a second -------------------------------------------------------------------------------------------------


def best_batch(translate: Callable[[Tensor], object], size: int, device: str, repeats: int) -> tuple[float, int, float]:
    """Pictures/s at batch 1; the batch at which they are most, and how many there. Batches grow until nothing is
    gained or the memory ends."""
    rates: dict[int, float] = {}
    for batch in (1, 4, 16, 64) if device.startswith("cuda") else (1, 2, 4):
        x = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        x = x.to(device)
        try:
            milliseconds(lambda x=x: translate(x), device)  # kernels are chosen and memory is taken
            taken = [milliseconds(lambda x=x: translate(x), device) for _ in range(repeats)]
        except (torch.OutOfMemoryError, quagga.BadInput):
            break
        rates[batch] = 1000 * batch / median(taken)
        if rates[batch] < 1.02 * max(rates.values()) and batch > 1:
            break
    best = max(rates, key=lambda batch: rates[batch])
    return rates[1], best, rates[best]


def rates(run: Path, sizes: list[int], device: str, repeats: int) -> Iterator[str]:
    """Of the bare network, and of the translator: a tensor, and one array of 8 bits as from a file."""
    precisions: list[Precision] = ["no", "bf16"] if has_bf16(device.startswith("cuda")) else ["no"]
    for precision in precisions:
        yield f"Rates, {'float32' if precision == 'no' else precision}"
        yield from rates_in(precision, run, sizes, device, repeats)


def rates_in(precision: Precision, run: Path, sizes: list[int], device: str, repeats: int) -> Iterator[str]:
    """A table of one precision."""
    # None in strips: those are for little memory, and in float32.
    to_zebra = load_translator(run, to="zebra", device=device, resolution="full", tile=None, mixed_precision=precision)
    network = to_zebra.predictor.network

    def bare(x: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            return network(x)

    yield f"{'pictures/s':<13}{'network':>9}{'best batch':>15}{'translator':>13}{'best batch':>15}{'of an array':>13}"
    for size in sizes:
        array = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
        to_zebra(array)
        one = 1000 / median(milliseconds(lambda a=array: to_zebra(a), device) for _ in range(repeats))
        cells = [best_batch(translate, size, device, repeats) for translate in (bare, to_zebra)]
        told = "".join(
            f"{first:>{width}.3g}{f'{rate:.3g} ({batch})':>15}"
            for (first, batch, rate), width in zip(cells, (9, 13), strict=True)
        )
        yield f"{f'{size}x{size}':<13}{told}{one:>13.3g}"


# -- whole processes ---------------------------------------------------------------------------------------------------


def processes(place: Path, run: Path, pictures: Path, reference: Path | None, width: int) -> dict[str, Command]:
    """Ours and the reference's way to translate a folder of pictures. place: an empty folder."""
    words = [sys.executable, "-m", "quagga", "translate", str(run), str(pictures), "--output", str(place / "ours")]
    words += ["--overwrite", "--device", "cpu"]
    commands = {OURS: Command(words)}
    if has_bf16(on_gpu=False):
        [at] = [number for number, word in enumerate(words) if word == str(place / "ours")]
        narrow = [*words[:at], str(place / "narrow"), *words[at + 1 :], "--mixed_precision", "bf16"]
        commands[NARROW] = Command(narrow)
    if reference is None:
        return commands
    weights = place / "checkpoints" / "theirs"
    seconds(Command([sys.executable, "-m", "quagga", "export", str(run), "--output", str(weights)]))
    shutil.copy(weights / "latest_net_G_A.pth", weights / "latest_net_G.pth")
    words = [sys.executable, "test.py", "--dataroot", str(pictures), "--name", "theirs", "--model", "test"]
    words += ["--checkpoints_dir", str(weights.parent), "--results_dir", str(place / "theirs"), "--ngf", str(width)]
    words += ["--no_dropout", "--preprocess", "none", "--num_test", "1000000"]
    more = {"CUDA_VISIBLE_DEVICES": ""}
    if importlib.util.find_spec("wandb") is None:
        (place / "stub").mkdir()
        (place / "stub/wandb.py").touch()
        more["PYTHONPATH"] = str(place / "stub")
    return {**commands, THEIRS: Command(words, reference.absolute(), more)}


def apart(made: Path, place: Path, pictures: Path) -> int:
    """The largest difference, of 255, between what the two programs have made of the pictures."""
    largest = 0
    for file in pictures.iterdir():
        ours = np.asarray(Image.open(made / file.name).convert("RGB"), np.int16)
        [theirs] = (place / "theirs").rglob(f"{file.stem}_fake.png")
        largest = max(largest, int(np.abs(ours - np.asarray(Image.open(theirs).convert("RGB"), np.int16)).max()))
    return largest


def whole(arguments: argparse.Namespace, run: Path, folder: Path) -> Iterator[str]:
    for count in arguments.pictures:
        place = folder / str(count)
        pictures = leave_pictures(place / "pictures", count, 256)
        commands = processes(place, run, pictures, arguments.reference, arguments.width)
        taken = by_turns(commands, arguments.rounds)
        yield f"{count} {'picture' if count == 1 else 'pictures'} of 256x256, CPU"
        for name, times in taken.items():
            yield f"{name:<23}{told(times)}"
        for name, folder_of in ((OURS, "ours"), (NARROW, "narrow")):
            if name in taken and THEIRS in taken:
                ratio = waited(taken[name]) / waited(taken[THEIRS])
                promised = f"; promise: at most {PROMISE}, {'kept' if ratio <= PROMISE else 'NOT KEPT'}"
                levels = apart(place / folder_of, place, pictures)
                yield f"{name} / reference: {ratio:.3f}{promised}; their pictures differ by {levels} of 255"
        yield ""


def report(arguments: argparse.Namespace) -> Iterator[str]:
    device = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else processor()
    yield f"Translation by a ResNet of {BLOCKS} blocks, width {arguments.width}"
    yield f"{device}, {torch.get_num_threads()} threads; Python {platform.python_version()}, torch {torch.__version__}"
    yield ""
    with tempfile.TemporaryDirectory() as folder:
        run = leave_model(Path(folder) / "run", arguments.width)
        yield f"Whole processes, {arguments.rounds} of each by turns: median (smallest to largest)"
        yield from whole(arguments, run, Path(folder))
        yield from rates(run, arguments.sizes, arguments.device, arguments.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="checkout of the reference implementation")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512, 1024], help="of the pictures, for the rates")
    parser.add_argument("--pictures", type=int, nargs="*", default=[1, 50], help="that a whole process translates")
    parser.add_argument("--rounds", type=int, default=5, help="whole processes of each")
    parser.add_argument("--repeats", type=int, default=5, help="of a rate")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--device", default="cpu", help="of the rates")
    parser.add_argument("--output", type=Path, help="text file to write the report to as well")
    arguments = parser.parse_args()
    keep(report(arguments), arguments.output)


if __name__ == "__main__":
    main()
