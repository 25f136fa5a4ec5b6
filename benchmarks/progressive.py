"""Faces of 64 pixels: a GAN that grows beside a DCGAN, in the same minutes, by networks of the same multiply-adds.

    python benchmarks/progressive.py FOLDER real --place runs/grown --output benchmarks/results/progressive.txt
    python benchmarks/progressive.py FOLDER grown --seed 0 --minutes 30 --place runs/grown --output ...
    python benchmarks/progressive.py --step --output benchmarks/results/progressive.txt

FOLDER holds images/ and a table of captions, as in stargan.py. Each of `TRIES` is trained by the command line, with one
thread, for so many minutes of CPU; its length in images is fixed beforehand by its own speed. A forward pass of G or D
at 64 pixels takes as many multiply-adds in both.

The judge is a classifier of hair, trained apart (stargan.py). In its last hidden layer, 128 numbers: the Frechet
distance of as many samples as there are test faces to the training faces; precision, the share of samples that lie
among test faces, and recall, the share of test faces that lie among samples, each within the third nearest neighbour
(Kynkaanniemi et al. 2019, arXiv:1904.06991). The row `real` has as many training faces in place of samples.

With --step one training step of the paper's networks at 1,024 pixels, batch 1: seconds, and memory at its peak.

Rows are appended, and a try that is there is not played again.
"""

import argparse
import os
import resource
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a CPU second is a second of one thread

import torch
from accelerate import Accelerator
from digits import features, frechet
from report import processor
from stargan import faces
from stargan import judge as judge_of_hair
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import quagga
from quagga.cli.main import command_line
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.tensors import to_tensor
from quagga.inference.sampler import Sampler
from quagga.models import ConvGenerator, ProgressiveGenerator
from quagga.option_groups import call_flat
from quagga.pipelines import progressive
from quagga.pipelines.core import Schedule, Trainer

SIZE, NEIGHBOUR = 64, 3
COMMON = f"--size {SIZE} --workers 0 --cache ram --ema_halflife 2000"
GROWING = f"progressive --width 64 --wide_until 8 --batch_size 16 --lr 1e-3 {COMMON}"
R1 = "--objective non_saturating --penalty r1 --lambda_penalty 0.5"
TRIES = {
    "dcgan": f"gan --width 32 --width_discriminator 32 --batch_size 64 --lr 4e-4 {COMMON}",
    "grown": f"{GROWING} {R1}",
    "grown, wgan-gp": GROWING,
    "not grown": f"{GROWING} {R1} --phases null",
}
COLUMNS = ("try", "seed", "minutes", "images", "MMAC of G", "frechet", "precision", "recall")


def lengths(line: str, units: int) -> list[str]:
    """The options that make a training of so many units: 32 images; where it grows, for the first size, and twice as
    many for each of the others, as in the paper."""
    if not line.startswith("progressive") or "--phases" in line:
        return ["--images", str(64 * units)]
    each = [f"{{images: {32 * units}, size: 4}}", *(f"{{images: {64 * units}, size: {side}}}" for side in (8, 16, 32))]
    return ["--phases", f"[{', '.join(each)}, {{images: {64 * units}}}]"]


def play(line: str, folder: Path, run: Path, seed: int, minutes: float) -> tuple[int, float]:
    """Trains a try; the images seen, and the minutes of CPU it took. One that was stopped goes on, and so do they."""
    spent, length = run.parent / f"{run.name}.cpu", run.parent / f"{run.name}.units"
    often = ["--log_every", "2000", "--sample_every", "1000000", "--examined", "0", "--samples", "1", "--keep", "1"]
    words = ["train", *line.split(), "--root", str(folder), "--seed", str(seed), "--device", "cpu", *often]
    if not length.exists():
        seconds = []
        for units in (1, 4):
            start = process_time()
            place = run.parent / f"{run.name}.speed{units}"
            assert command_line([*words, *lengths(line, units), "--output", str(place)]) == 0
            seconds.append(process_time() - start)
        length.write_text(str(int(60 * minutes / ((seconds[1] - seconds[0]) / 3))))
    start = process_time() - (float(spent.read_text()) if spent.exists() else 0.0)
    code = command_line([*words, *lengths(line, int(length.read_text())), "--output", str(run)])
    spent.write_text(str(process_time() - start))
    assert code == 0, code
    shares = 9 if "{images" in lengths(line, 1)[1] else 2
    return 32 * shares * int(length.read_text()), (process_time() - start) / 60


def covered(a: Tensor, b: Tensor) -> float:
    """The share of `a` that lies among `b`, (N, features) each: no further from one of `b` than that one's third
    nearest neighbour in `b` is."""
    radii = torch.cdist(b, b).kthvalue(NEIGHBOUR + 1).values  # the nearest is itself
    return (torch.cdist(a, b) <= radii).any(1).float().mean().item()


def multiply_adds(network: torch.nn.Module, z_size: int) -> float:
    """Of one picture, in millions."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, z_size))
    return counter.get_total_flops() / 2e6


def row(cells: tuple[object, ...]) -> str:
    first, *others = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return f"{first:<20}" + "".join(f"{cell:>12}" for cell in others)


def measured(name: str, seed: int, minutes: float, folder: Path, place: Path) -> str:
    made: list[object] = ["-", "-", "-", "-"]
    run = place / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}-{minutes:g}"
    if name != "real":
        images, spent = play(TRIES[name], folder / "images", run, seed, minutes)
        sampler = quagga.load(run, device="cpu")
        assert isinstance(sampler, Sampler) and isinstance(sampler.network, ConvGenerator | ProgressiveGenerator)
        made = [seed, spent, images, multiply_adds(sampler.network, sampler.z_size)]
    found = faces(folder)
    train, test = found.x[~found.test], found.x[found.test]
    judge = judge_of_hair(found, place / "judge.pt", epochs=2)
    x = train[: len(test)] if name == "real" else to_tensor(sampler(count=len(test)))  # pyright: ignore
    contact_sheet({f"{name} {column + 1}": x[column:64:8] for column in range(8)}, place / f"{run.name}.png")
    own, known = features(judge, x), features(judge, test)
    scores = frechet(own, features(judge, train)), covered(own, known), covered(known, own)
    if name == "real":  # test faces, whose distance to the training faces is not that of some of these
        scores = frechet(known, features(judge, train)), *scores[1:]
    return row((name, *made, *scores))


def one_step() -> str:
    """One training step of the paper's networks at 1,024 pixels."""
    game = call_flat(progressive.build, size=1024, x_channels=3, width=512)
    count = sum(p.numel() for network in (game.G, game.D) for p in network.parameters())
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    trainer = Trainer(game, Schedule(images=1, batch_size=1, lr=1e-3, beta1=0.0, beta2=0.99), 1, accelerator)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    start = process_time()
    for _ in trainer.play(iter([{"x": torch.rand(1, 3, 1024, 1024) * 2 - 1, "row": torch.tensor([0])}])):
        trainer.readings()
    seconds, peak = process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f"one step at 1024 pixels, batch 1, {count / 1e6:.1f} M parameters, float32, {processor()}, one thread:"
        f" {seconds:.1f} s of CPU, {peak:.1f} GB at its peak ({before:.1f} before it)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("name", choices=["real", *TRIES], nargs="?")
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--place", type=Path, default=Path("runs/grown"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/progressive.txt"))
    chosen = parser.parse_args()
    before = chosen.output.read_text() if chosen.output.exists() else ""
    begins = "one step" if chosen.step else row(("real",) if chosen.name == "real" else (chosen.name, chosen.seed))
    if any(line.startswith(begins) for line in before.splitlines()):
        print(f"{chosen.output} has this row already: {begins}")
        return
    chosen.place.mkdir(parents=True, exist_ok=True)
    if chosen.step:
        line = one_step()
    else:
        assert chosen.folder and chosen.name, "name the folder and what is to be trained"
        line = measured(chosen.name, chosen.seed, chosen.minutes, chosen.folder, chosen.place)
    print(line)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    begun = chosen.output.exists()  # several tries may be played at once
    with chosen.output.open("a") as file:
        about = f"anime faces, {SIZE} pixels, one thread of {processor()}, torch {torch.__version__}"
        file.write(("" if begun else f"{about}\n{row(COLUMNS)}\n") + line + "\n")


if __name__ == "__main__":
    main()
