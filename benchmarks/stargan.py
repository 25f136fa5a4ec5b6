"""Does StarGAN give a face the hair that is asked for? Faces of 64 pixels, whose class is the colour of their hair.

    python benchmarks/stargan.py FOLDER --minutes 30 --place runs/hair --output benchmarks/results/stargan.txt

FOLDER holds images/ and a table of files and captions such as "aqua hair red eyes". StarGAN is trained by the command
line on nine tenths of the faces, for so many minutes of CPU; a classifier, trained apart on the same faces, is the
judge. Of 500 of the other faces each is translated to another colour, drawn at random. How often the judge reads the
colour that is asked for stands beside how often it does in the same faces untouched, and beside chance.

What is in --place already, judge and run, is not made again. A training that is stopped (Ctrl-C, SIGTERM) is judged as
it is, and goes on when the script is called again. The report of a whole training is not written twice. Options of
`quagga train stargan` that are to be otherwise come last.
"""

import argparse
import csv
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a CPU second is a second of one thread

import numpy as np
import torch
from classifier import Classifier, accuracy, read, trained
from report import keep, processor
from torch import Tensor

import quagga
from quagga.cli.main import command_line
from quagga.data.conditioned import Conditioned
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.tensors import to_tensor
from quagga.inference.translator import Translator
from quagga.training import checkpoint

TRAINING = (
    "--width 16 --blocks 3 --skip true --width_discriminator 32 --layers 4 --batch_size 8 --k 1 --lr 4e-4"
    " --ema_halflife 500 --cache ram --workers 0"
)
RATE = 11  # images that one CPU sees in a second, about: so long is the run that is asked for by minutes
STOPPED = 130, 143  # exit codes of Ctrl-C and SIGTERM
COUNT, PROMISE = 500, 3.0  # faces; how often the hair that is asked for is read, as a multiple of chance


class Faces(NamedTuple):
    """Faces and the colour of their hair."""

    files: list[Path]
    x: Tensor  # (N, 3, 64, 64) in [-1, 1]
    hair: Tensor  # int64 (N,): places in `names`
    names: list[str]
    test: Tensor  # bool (N,): a tenth, which neither StarGAN nor the judge is trained on


def faces(folder: Path) -> Faces:
    """All faces of the folder that are different, byte for byte: copies would be in training and test."""
    rows = Conditioned(root=str(folder), condition="caption", workers=0)
    pictures: Any = rows.collection.pictures  # files, here
    pixels = [rows.dataset.store.read(number) for number in range(len(rows.collection.labels or []))]
    first: dict[bytes, int] = {}
    for number, picture in enumerate(pixels):
        first.setdefault(picture.tobytes(), number)
    kept = sorted(first.values())
    said = [(rows.collection.labels or [])[number].split()[0] for number in kept]
    names = sorted(set(said))
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(0))
    return Faces(
        [Path(pictures[number]).resolve() for number in kept],
        to_tensor(np.stack([pixels[number] for number in kept])),
        torch.tensor([names.index(one) for one in said]),
        names,
        order.argsort() < len(kept) // 10,
    )


def judge(found: Faces, weights: Path, width: int = 16, epochs: int = 4) -> Classifier:
    """A classifier of hair, trained on the faces that StarGAN is trained on too; kept in a file."""
    network = Classifier(3, [len(found.names)], width)
    if weights.exists():
        network.load_state_dict(torch.load(weights, weights_only=True))
        return network.eval()
    train = ~found.test
    network = trained(found.x[train], found.hair[train][:, None], epochs=epochs, width=width)
    torch.save(network.state_dict(), weights)
    return network


def play(found: Faces, place: Path, training: str, images: int) -> tuple[int, float]:
    """Trains StarGAN; the images seen, and the seconds of CPU it took. A run that is there already goes on, and so do
    its seconds."""
    table, spent, run = place / "hair.csv", place / "cpu_seconds.txt", place / "run"
    with table.open("w", newline="") as file:
        rows = zip(found.files, found.hair.tolist(), found.test.tolist(), strict=True)
        lines = [(path, found.names[colour], "test" if test else "train") for path, colour, test in rows]
        csv.writer(file).writerows([("file", "label", "split"), *lines])
    start = process_time() - (float(spent.read_text()) if spent.exists() else 0.0)
    words = ["train", "stargan", "--table", str(table), "--output", str(run), "--device", "cpu"]
    often = ["--log_every=200", "--sample_every=5000", "--save_every=1000"]
    code = command_line([*words, *training.split(), *often, "--images", str(images)])
    assert code in (0, *STOPPED), code
    spent.write_text(str(process_time() - start))
    return checkpoint.images_seen_at(checkpoint.list_saved(run / "checkpoints")[-1]), process_time() - start


def translated(found: Faces, run: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Faces that are not trained on (N, 3, 64, 64), the colour that is asked for, never their own (N,), and what
    StarGAN makes of them."""
    some = found.test.nonzero().flatten()[:COUNT]
    x, own = found.x[some], found.hair[some]
    others = torch.randint(1, len(found.names), (len(some),), generator=torch.Generator().manual_seed(1))
    asked = (own + others) % len(found.names)
    translator = quagga.load(run, device="cpu")
    assert isinstance(translator, Translator)
    made = torch.empty_like(x)
    for colour, name in enumerate(found.names):
        if (rows := asked == colour).any():
            made[rows] = translator(x[rows], name)
    return x, asked, made


def draw(found: Faces, run: Path, sheet: Path, count: int = 8) -> None:
    """Draws some faces that are not trained on beside their translations to every colour."""
    x = found.x[found.test][:count]
    translator = quagga.load(run, device="cpu")
    assert isinstance(translator, Translator)
    contact_sheet({"x": x, **{name: translator(x, name) for name in found.names}}, sheet)


def report(found: Faces, place: Path, training: str, images: int, sheet: Path) -> Iterator[str]:
    network = judge(found, place / "judge.pt")
    [own] = accuracy(network, found.x[found.test], found.hair[found.test][:, None])
    seen, seconds = play(found, place, training, images)
    yield title_of(training, seen, images)
    yield f"{len(found.x):,} different faces of 64 pixels, {len(found.names)} colours of hair; {seconds:,.0f} s of CPU"
    yield f"{processor()}, one thread; torch {torch.__version__}"
    yield f"the judge reads the hair of {int(found.test.sum()):,} faces that it has not seen: {own:.1%}"
    x, asked, made = translated(found, place / "run")
    before, after = ((read(network, shown)[:, 0] == asked).float().mean().item() for shown in (x, made))
    chance = 1 / len(found.names)
    yield f"{f'of {len(x)} such faces':40}{'untouched':>12}{'translated':>12}"
    yield f"{'the hair that is asked for is read':40}{before:>12.1%}{after:>12.1%}"
    yield f"{f'as a multiple of chance, {chance:.1%}':40}{before / chance:>12.1f}{after / chance:>12.1f}"
    yield f"{'mean |G(x, c) - x|, in a range of 2':40}{0:>12.3f}{(made - x).abs().mean().item():>12.3f}"
    yield f"promise: {PROMISE:.0f} times chance, {'kept' if after / chance >= PROMISE else 'BROKEN'}"
    draw(found, place / "run", sheet)


def title_of(training: str, seen: int, images: int) -> str:
    return f"quagga train stargan {training}: {seen:,} of {images:,} images"


def with_options(training: str, more: list[str]) -> str:
    """A training with some options otherwise, each a name and a value."""
    words = [*training.split(), *more]
    return " ".join(f"{name} {value}" for name, value in dict(zip(words[::2], words[1::2], strict=True)).items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=30, help="of CPU that the training may take, about")
    parser.add_argument("--images", type=int, help="instead of --minutes, as many images")
    parser.add_argument("--place", type=Path, help="where judge and run are kept; they go on if they are there")
    parser.add_argument("--sheet", type=Path, default=Path("hair.png"))
    parser.add_argument("--output", type=Path, help="a text file to which the report is added")
    chosen, more = parser.parse_known_args()
    training = with_options(TRAINING, more)
    images = chosen.images or int(60 * chosen.minutes * RATE)
    if chosen.output and chosen.output.exists() and title_of(training, images, images) in chosen.output.read_text():
        print(f"{chosen.output} has the report of this already: {title_of(training, images, images)}")
        return
    before = chosen.output.read_text() + "\n" if chosen.output and chosen.output.exists() else ""
    with tempfile.TemporaryDirectory() as temporary:
        place = chosen.place or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        keep(report(faces(chosen.folder), place, training, images, chosen.sheet), chosen.output, before)


if __name__ == "__main__":
    main()
