"""Does the heat map of `quagga translate --faithfulness` lie where a model is wrong? Of drawn pictures that is known.

    python benchmarks/faithfulness.py pairs bird --minutes 10 --place runs/faithfulness
    python benchmarks/faithfulness.py unpaired tree --minutes 60 --place runs/faithfulness

Trainings that teach a model to invent, by what distinguishes x from y beside the hour (Cohen et al. 2018, "Distribution
matching losses can hallucinate features in medical image translation", https://arxiv.org/abs/1805.08841):

    bird    x: horses by day. y: horses at sunset, and a large bird in every sky. A bird is added.
    tree    x: horses by day, before trees. y: horses at sunset, and never a tree. Trees are dropped.

pairs are pix2pix, of the same scenes, the bird always in one place; unpaired are cyclegan, of other scenes, the bird
anywhere. The hour is what is meant: the truth of x is the same scene at sunset, without a bird, and with its trees. All
colours change, so that the change |G(x) - x| does not tell what is wrong.

Each is trained by the command line for so many minutes of CPU, one thread. Of 128 scenes that no training has seen, in
blocks of 4 x 4 pixels: the area under the ROC curve of each map, and of their mean, for the blocks in which G(x)
differs from the truth by more than 0.1 of the range. 0.5 is chance, 1 a perfect map. Beside them stand the change, and
"place": the mean of all pictures' maps, which knows where models are wrong and nothing of the picture. "by picture" is
the rank correlation (Spearman's) of the number of a picture with how many of its blocks are wrong; "wrong" is the share
of such blocks. A sheet is drawn to be looked at. Rows are appended; what is there is not made again.
"""

import argparse
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import cv2
import numpy as np
import torch
from PIL import Image
from real_minutes import play
from report import processor
from scipy.stats import rankdata, spearmanr
from torch import Tensor
from torch.nn.functional import avg_pool2d

import quagga
from quagga.cli.output.faithfulness_maps import QUESTIONS, FaithfulnessMaps, heat
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.pixel_format import Fitted
from quagga.data.io.tensors import to_tensor
from quagga.data.synthetic.brush import fill
from quagga.data.synthetic.landscape import bird
from quagga.data.synthetic.scenes import HELD_OUT, scene
from quagga.evaluation.faithfulness import combined_map, difference, peak
from quagga.inference.translator import Translator

How = Literal["pairs", "unpaired"]
What = Literal["bird", "tree"]

SIZE, TRAINED, TESTED, SHOWN = 32, 400, 128, 8
BLOCK, WRONG = 4, 0.1  # pixels a side; of the range of pictures
COMMON = "--load_size {size} --crop_size {size} --batch_size 8 --workers 0 --cache ram --ema_halflife 400"
LINES: dict[How, str] = {
    "pairs": f"pix2pix {COMMON} --flip false --width 16 --blocks 4 --width_discriminator 16 --layers 2 --lr 1e-3"
    " --dropout 0",
    "unpaired": f"cyclegan {COMMON} --skip true --width 12 --blocks 2 --width_discriminator 16 --layers 2 --lr 1e-3"
    " --lambda_identity 0",
}
COLUMNS = (*QUESTIONS, "mean", "place", "change", "by picture", "wrong")


class Tested(NamedTuple):
    """Pictures (N, 3, H, W) in [-1, 1], and maps (N, 1, H, W) in [0, 1] by name."""

    x: Tensor
    y: Tensor
    truth: Tensor
    maps: dict[str, Tensor]


def with_bird(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """A picture (H, W, 3) with a large bird in its sky, at x, y in picture widths."""
    canvas = np.zeros((8 * len(picture), 8 * len(picture)), np.uint8)
    fill(canvas, bird(x, y, 0.15)[None], 255)
    share = cv2.resize(canvas, picture.shape[:2], interpolation=cv2.INTER_AREA)[..., None].astype(np.float32) / 255
    return np.rint(picture * (1 - share) + share * np.array((40, 36, 48), np.float32)).astype(np.uint8)


def scenes_with(trees: bool | None, first: int, count: int, seed: int) -> list[int]:
    """Numbers of scenes from `first` on, every other. trees: whether trees are in all of them, or in none; None: in
    some."""
    found = []
    while len(found) < count:
        if trees is None or scene(first, 16, seed, "day").attributes["trees"] == trees:
            found.append(first)
        first += 2
    return found


def write_set(folder: Path, how: How, what: What, seed: int) -> None:
    """Writes x into trainA and y into trainB; partners have the same name."""
    before_trees = True if what == "tree" else None
    x = scenes_with(before_trees, 0, TRAINED, seed)
    y = x if how == "pairs" else scenes_with(False if what == "tree" else None, 1, TRAINED, seed)
    places = np.random.default_rng(seed).uniform((0.2, 0.12), (0.8, 0.38), (TRAINED, 2)).tolist()
    for name in ("trainA", "trainB"):
        (folder / name).mkdir(parents=True)
    for count, (by_day, at_sunset) in enumerate(zip(x, y, strict=True)):
        made = scene(at_sunset, SIZE, seed, "sunset", trees=what == "bird").horse
        if what == "bird":
            made = with_bird(made, *((0.3, 0.2) if how == "pairs" else places[count]))
        Image.fromarray(scene(by_day, SIZE, seed, "day").horse).save(folder / "trainA" / f"{count:05d}.png")
        Image.fromarray(made).save(folder / "trainB" / f"{count:05d}.png")


def tested(run: Path, what: What, seed: int) -> Tested:
    translator = quagga.load(run, device="cpu")
    assert isinstance(translator, Translator)
    faithfulness = FaithfulnessMaps(str(run), None, translator, run).faithfulness
    numbers = scenes_with(True if what == "tree" else None, HELD_OUT, TESTED, seed)
    by_day, at_sunset = ([scene(n, SIZE, seed, hour).horse for n in numbers] for hour in ("day", "sunset"))
    made = [translator.translate(Fitted(picture, 0)) for picture in by_day]
    maps = [faithfulness.maps(Fitted(picture, 0)) for picture in by_day]
    x, y, truth = (to_tensor(np.stack(part)) for part in (by_day, made, at_sunset))
    found = {name: torch.cat([one[name] for one in maps]) for name in maps[0]}
    mean = combined_map(found)
    beside = {"place": mean.mean(0, keepdim=True).expand_as(mean), "change": difference(x, y)}
    return Tested(x, y, truth, {**found, "mean": mean, **beside})


def auroc(scores: Tensor, positive: Tensor) -> float:
    """Area under the ROC curve: how often a positive has the higher score of two, a tie counts half."""
    ranks = rankdata(scores.flatten().numpy())[positive.flatten().numpy()]
    count, others = int(positive.sum()), int((~positive).sum())
    return float((ranks.sum() - count * (count + 1) / 2) / (count * others))


def measured(own: Tested) -> dict[str, float]:
    wrong = avg_pool2d(difference(own.y, own.truth), BLOCK) > WRONG
    found = {name: auroc(avg_pool2d(one, BLOCK), wrong) for name, one in own.maps.items()}
    rank: Any = spearmanr(peak(own.maps["mean"]), wrong.flatten(1).sum(1))  # whose stubs name no statistic
    found["by picture"] = float(rank.statistic)
    return found | {"wrong": wrong.float().mean().item()}


def sheet(own: Tested, path: Path) -> None:
    def drawn(one: Tensor) -> np.ndarray:
        return np.stack([heat(each[0].numpy()) for each in one[:SHOWN]])

    columns = {"x": own.x[:SHOWN], "G(x)": own.y[:SHOWN], "truth": own.truth[:SHOWN]}
    maps = {name: drawn(own.maps[name]) for name in (*QUESTIONS, "mean") if name in own.maps}
    contact_sheet(columns | {"|G(x) - truth|": drawn(difference(own.y, own.truth))} | maps, path)


def row(first: str, cells: list[str]) -> str:
    return f"{first:<54}" + "".join(f"{cell:>11}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("how", choices=["pairs", "unpaired"])
    parser.add_argument("what", choices=["bird", "tree"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10, help="of CPU, of one thread")
    parser.add_argument("--place", type=Path, default=Path("runs/faithfulness"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/faithfulness.txt"))
    chosen = parser.parse_args()
    how, what, seed = chosen.how, chosen.what, chosen.seed
    title = f"{what}, {how}, seed {seed}, {chosen.minutes:g} minutes"
    text = chosen.output.read_text() if chosen.output.exists() else ""
    if f"{title}, " in text:
        print(f"{chosen.output} has this row already:\n{row('', list(COLUMNS))}")
        print(next(line for line in text.splitlines() if line.startswith(title)))
        return
    folder = chosen.place / f"{what}-{how}-{seed}"
    run = chosen.place / f"{what}-{how}-{seed}-{chosen.minutes:g}"
    if not folder.exists():
        write_set(folder, how, what, seed)
    if not run.exists():  # the first steps of a process take longer: no speed must be measured by them
        play(LINES[how], folder, chosen.place / f"warm-{run.name}", SIZE, seed, 0.02)
    images, _ = play(LINES[how], folder, run, SIZE, seed, chosen.minutes, keep=3)
    own = tested(run, what, seed)
    sheet(own, chosen.place / f"{run.name}.png")
    found = measured(own)
    lines = [
        f"AUROC of blocks that are wrong, {SIZE} pixels; one thread, {processor()}, torch {torch.__version__}",
        row("", list(COLUMNS)),
        row(f"{title}, {images:,} images", [f"{found[name]:.2f}" if name in found else "" for name in COLUMNS]),
    ]
    print("\n".join(lines))
    new = [line for line in lines if line not in text.splitlines()]
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(text + "\n".join(new) + "\n")


if __name__ == "__main__":
    main()
