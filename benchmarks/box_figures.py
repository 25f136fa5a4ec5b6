"""How good the models are that come with Quagga: the figures of their cards.

    python benchmarks/box_figures.py --horse2zebra FOLDER --mnist FOLDER --place runs/box \\
        --output benchmarks/results/box.txt

Horses of testA become zebras at 128 pixels; shrunk to 96 they are judged as in benchmarks/real_minutes.py. Drawn horses
have their truth. Digits are read by the classifier of benchmarks/digits.py. A folder that is not given leaves its part
out.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch
from digits import features, frechet, judge, obedience, read, real
from real_minutes import changes, share_of_zebras, verdict
from real_minutes import judge as judge_of_zebras
from real_minutes import read as read_pictures
from report import keep, processor

import quagga
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.synthetic.translation_error import baselines, measure
from quagga.inference.translator import Translator

SIZE, JUDGED = 128, 96


def photos(folder: Path, place: Path) -> Iterator[str]:
    to_zebra, found = quagga.load("box:horse2zebra", device="cpu"), judge_of_zebras(folder, place, JUDGED)
    assert isinstance(to_zebra, Translator)
    large = read_pictures(folder / "testA", SIZE)
    made = to_zebra(large)
    shrunk = torch.nn.functional.interpolate(made, (JUDGED, JUDGED), mode="area")
    horses, zebras, train = (read_pictures(folder / part, JUDGED) for part in ("testA", "testB", "trainB"))
    of_train = verdict(found, train)[1]
    for name, x in (("horses as they are", horses), ("box:horse2zebra", shrunk), ("zebras of testB", zebras)):
        p, hidden = verdict(found, x)
        yield f"{name:<24}called zebra {share_of_zebras(p):>7.1%}   Frechet distance {frechet(hidden, of_train):>9.1f}"
    yield "mean |G(x) - x| in the middle {:.3f}, in the frame {:.3f}, of a range of 2".format(*changes(large, made))
    columns = {}
    for first in (0, 5, 10):
        some = torch.arange(first, len(large), 15)
        columns |= {f"x {first}": large[some], f"G(x) {first}": made[some]}
    contact_sheet(columns, place / "box_horse2zebra.png")


def drawings() -> Iterator[str]:
    to_zebra = quagga.load("box:animals", device="cpu")
    assert isinstance(to_zebra, Translator)
    untranslated, floor = baselines()
    yield f"box:animals             translation error {measure(to_zebra)}"
    yield f"                        a horse as it is {untranslated.total:.3f}, true zebras {floor.total:.3f}"


def numbers(folder: Path) -> Iterator[str]:
    train, test = real(folder)
    network = judge(train)
    right = float((read(network, test.x)[:, 0] == test.y).float().mean())
    found = obedience(Path("box:digits"), network, train, test)
    least, share = found.worst
    yield f"box:digits              obeyed in {found.obeyed:.1%} of 2,000, {least} least, in {share:.1%}"
    yield f"                        diversity within a digit {found.features:.1%} of the real digits'"
    floor = frechet(features(network, test.x), features(network, train.x))
    yield f"                        Frechet distance {found.frechet:.2f}, of the test set {floor:.2f}"
    yield f"                        the judge reads {right:.2%} of the test set"


def report(horse2zebra: Path | None, mnist: Path | None, place: Path) -> Iterator[str]:
    yield f"{processor()}, torch {torch.__version__}"
    if horse2zebra:
        yield from photos(horse2zebra, place)
    yield from drawings()
    if mnist:
        yield from numbers(mnist)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--horse2zebra", type=Path)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--place", type=Path, default=Path("runs/box"), help="where the judge and a sheet are kept")
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    keep(report(chosen.horse2zebra, chosen.mnist, chosen.place), chosen.output)


if __name__ == "__main__":
    main()
