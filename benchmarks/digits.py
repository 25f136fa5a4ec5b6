"""Handwritten digits: are they the ones asked for, as various as real ones, and does a GAN make all ten?

    python benchmarks/digits.py --mnist DIR --output benchmarks/results/digits.txt

DIR holds MNIST's four idx files. Games are trained by the command line with recipes; a classifier,
trained apart on the real digits, reads what they make. About a quarter of an hour on two idle cores.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from classifier import Classifier, read, trained
from report import keep, processor
from torch import Tensor

import quagga
from quagga.cli.main import command_line
from quagga.data.io.mnist_files import idx_files, idx_labels, idx_pictures
from quagga.data.io.tensors import to_tensor

RECIPES = Path(__file__).parents[1] / "src" / "quagga" / "recipes"
DIGITS = [str(digit) for digit in range(10)]
QUIET = "--device cpu --workers 0 --sample_every 1000000 --save_every 1000000 --log_every 10000 --examined 0"
OBEYED, DIVERSE, MINUTES, READS = 0.98, 0.85, 10.0, 0.99  # what is promised


class Set(NamedTuple):
    """Pictures (N, 1, 28, 28) in [-1, 1], and which digits they are, int64 (N,)."""

    x: Tensor
    y: Tensor


def real(folder: Path) -> tuple[Set, Set]:
    """MNIST to train on, and to test with."""
    splits = idx_files(folder)
    sets = []
    for split in ("train", "test"):
        pictures = idx_pictures(splits[split].images)
        labels = splits[split].labels
        assert labels is not None
        sets.append(Set(to_tensor(pictures), torch.from_numpy(idx_labels(labels, len(pictures)).astype("int64"))))
    return sets[0], sets[1]


def judge(train: Set, epochs: int = 4) -> Classifier:
    """Reads digits; takes no part in any game."""
    return trained(train.x, train.y[:, None], epochs=epochs, width=16)


def features(network: Classifier, x: Tensor) -> Tensor:
    """(N, 128)"""
    with torch.no_grad():
        return torch.cat([network.features(part) for part in x.split(500)])


def within(vectors: Tensor, y: Tensor, each: int = 200) -> float:
    """How far apart two of one digit are: the Euclidean distance, mean over pairs of up to `each` of a digit, and over
    digits."""
    return float(
        torch.stack([torch.pdist(vectors[y == digit][:each].flatten(1)).mean() for digit in y.unique()]).mean()
    )


def frechet(a: Tensor, b: Tensor) -> float:
    """|mu_a - mu_b|^2 + tr(A + B - 2 (A B)^(1/2)) of vectors (N, features): the distance of two Gaussians with their
    means and covariances (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500, with another network)."""
    a, b = a.double(), b.double()
    A, B = torch.cov(a.T), torch.cov(b.T)
    root = torch.linalg.eigvals(A @ B).real.clamp(min=0).sqrt().sum()  # trace of the root of A B
    return float((a.mean(0) - b.mean(0)).square().sum() + A.trace() + B.trace() - 2 * root)


class Game(NamedTuple):
    name: str
    recipe: str
    options: str = ""  # beyond the recipe


CONDITIONAL = Game("conditional", "digits")
PLAIN = [
    Game("MLP GAN", "gan-mlp", "--images 300000"),
    Game("WGAN-GP", "wgan-gp", "--width 32 --width_discriminator 32 --images 60000"),
]


def play(game: Game, mnist: Path, run: Path) -> float:
    """Trains it by the command line; returns the minutes that it took."""
    config = str(RECIPES / f"{game.recipe}.yaml")
    words = ["train", "--config", config, "--root", str(mnist), "--output", str(run)]
    start = perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        code = command_line([*words, *QUIET.split(), *game.options.split()])
    assert code == 0
    return (perf_counter() - start) / 60


class Obedience(NamedTuple):
    """Of 2,000 samples, 200 of each digit."""

    obeyed: float  # share in which the classifier reads the digit that was asked for
    worst: tuple[str, float]  # the digit that is read least often
    pixels: float  # mean distance of two samples of one digit, as a share of that of two real ones
    features: float  # the same in the classifier's features
    frechet: float  # distance of the samples' features to those of the training set


def obedience(run: Path, network: Classifier, train: Set, test: Set, count: int = 2000) -> Obedience:
    asked = torch.arange(count) % 10
    x = to_tensor(quagga.load(run)([DIGITS[digit] for digit in asked.tolist()], count=count))
    right = read(network, x)[:, 0] == asked
    shares = {DIGITS[digit]: float(right[asked == digit].float().mean()) for digit in range(10)}
    seen, known = features(network, x), features(network, test.x)
    return Obedience(
        float(right.float().mean()),
        min(shares.items(), key=lambda item: item[1]),
        within(x, asked) / within(test.x, test.y),
        within(seen, asked) / within(known, test.y),
        frechet(seen, features(network, train.x)),
    )


def shares(run: Path, network: Classifier, count: int = 1000) -> list[float]:
    """How often each digit is among the samples of a game without a condition."""
    x = to_tensor(quagga.load(run)(count=count))
    return (torch.bincount(read(network, x)[:, 0], minlength=10) / count).tolist()


def report(mnist: Path, plain: bool = True) -> Iterator[str]:
    yield f"{processor()}, no GPU, {torch.get_num_threads()} threads; torch {torch.__version__}"
    train, test = real(mnist)
    start = perf_counter()
    network = judge(train)
    minutes = (perf_counter() - start) / 60
    reads = float((read(network, test.x)[:, 0] == test.y).float().mean())
    yield f"classifier: reads {reads:.2%} of the test set (promised: {READS:.0%}), trained in {minutes:.1f} minutes"
    yield ""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "conditional"
        minutes = play(CONDITIONAL, mnist, run)
        found = obedience(run, network, train, test)
        floor = frechet(features(network, test.x), features(network, train.x))
        yield f"conditional --recipe {CONDITIONAL.recipe}"
        yield f"minutes of training                         {minutes:>7.1f}  (promised: at most {MINUTES:.0f})"
        yield f"obeyed, of 2,000 samples                    {found.obeyed:>7.1%}  (promised: {OBEYED:.0%})"
        yield f"  the least obeyed digit, {found.worst[0]}                 {found.worst[1]:>7.1%}"
        yield f"diversity within a digit, pixels            {found.pixels:>7.1%}  (promised: {DIVERSE:.0%})"
        yield f"diversity within a digit, features          {found.features:>7.1%}  (promised: {DIVERSE:.0%})"
        yield f"Frechet distance to the training set        {found.frechet:>7.2f}"
        yield f"  of the real test set                      {floor:>7.2f}"
        yield ""
        if plain:
            yield f"{'share of 1,000 samples, %':28}" + "".join(f"{digit:>6}" for digit in DIGITS) + "   minutes"
            real_shares = (torch.bincount(train.y) / len(train.y)).tolist()
            yield f"{'training set':28}" + "".join(f"{share:>6.1%}"[:-1].rjust(6) for share in real_shares)
            for game in PLAIN:
                run = Path(place) / game.recipe
                minutes = play(game, mnist, run)
                found_shares = "".join(f"{share:>6.1%}"[:-1].rjust(6) for share in shares(run, network))
                yield f"{game.name:28}{found_shares}{minutes:>10.1f}"
            yield ""
    yield "diversity: mean Euclidean distance of two pictures of one digit, up to 200 of each, samples / real test set"
    yield "features: the classifier's last hidden layer, 128 numbers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True, help="the folder with the four idx files")
    parser.add_argument("--conditional_only", action="store_true", help="leave out the games without a condition")
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    keep(report(arguments.mnist, not arguments.conditional_only), arguments.output)


if __name__ == "__main__":
    main()
