"""`quagga demo`: from horses to zebras on the embedded set, on any machine, without a download.

It writes the embedded pictures into a folder, trains a small CycleGAN on them by the command a user would type,
translates horses it has never seen and says how far they are from the true zebras.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

import quagga
from quagga import BadInput
from quagga.data import embedded, translation_error
from quagga.data.preview import contact_sheet
from quagga.data.tensors import to_uint8
from quagga.pipelines import cyclegan, options, run, terminal
from quagga.pipelines.lock import locked
from quagga.pipelines.minimax import Images
from quagga.pipelines.printable import Drawn
from quagga.pipelines.resume import CONFIG
from quagga.pipelines.stop import Stopped
from quagga.pipelines.whole import check_folder

SIZE = 64
LEFT = ("pictures", "checkpoints", "model", "samples", "config.yaml", "zebras.png", "timelapse.png")  # by a demo
# Small enough for two CPU cores and four minutes; benchmarks/demo.py measures what it reaches.
RECIPE = {
    "load_size": SIZE,
    "crop_size": SIZE,
    "width": 16,
    "blocks": 3,
    "width_discriminator": 32,
    "layers": 2,
    # The background need not be learned, and no loss is needed to keep it: 0.171 after 2,400 images (seed 0), where the
    # paper's generator with the identity loss had 0.205 after 5,200. The two were not measured apart.
    "skip": True,
    "lambda_identity": 0.0,
    "batch_size": 4,
    "lr": 4e-4,
    "ema_halflife": 500,
    "log_every": 64,
    "sample_every": 320,
    "save_every": 3200,
    "examined": 16,
    "workers": 0,  # reading 64-pixel pictures is quicker than waking a worker on two cores
}


@dataclass(frozen=True)
class DemoOptions:
    """Train a CycleGAN on the embedded horses and zebras and translate horses it has never seen.

    Args:
        output: folder for the pictures, the run and its results; its content from an earlier demo is replaced.
        images: length of the training in images.
        animals: horses, and as many zebras, to train on.
        seed: of the pictures and of the training.
        device: auto takes a GPU if there is one.
    """

    output: str = "runs/demo"
    images: int = 6400
    animals: int = 400
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


def main(argv: list[str]) -> int:
    """Obeys `quagga demo ARGV...`."""
    takers = {"demo": DemoOptions}
    demo(DemoOptions(**options.split(options.parse("quagga demo", takers, argv), takers)["demo"]))
    return 0


def demo(chosen: DemoOptions) -> translation_error.TranslationError:
    """Runs the demo and returns the translation error it reached."""
    folder = Path(chosen.output)
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        if not left_by_a_demo(folder):
            raise BadInput(f"{folder} holds something that no demo has left: choose another --output")
        with locked(folder):  # not of a demo that is being played
            for old in (*folder.glob("events.*"), *(folder / name for name in LEFT)):
                if old.is_dir() and not old.is_symlink():
                    shutil.rmtree(old)
                else:  # of a link what it leads to stays
                    old.unlink(missing_ok=True)
    pictures = embedded.write(folder / "pictures", train=chosen.animals, size=SIZE, seed=chosen.seed)
    print(f"drew {chosen.animals} horses and {chosen.animals} other animals as zebras: {pictures}")
    words = [f"--{name}={value}" for name, value in recipe(chosen, pictures, folder).items()]
    print("quagga train cyclegan " + " ".join(words), flush=True)
    config, split = options.resolve("cyclegan", cyclegan.build, cyclegan.data, words, "quagga train cyclegan")
    film = Film(chosen.images)
    try:
        run.train("cyclegan", cyclegan.build, cyclegan.data, split, config, watch=film)
    except Stopped as stop:
        goes_on = f"quagga train cyclegan --config {folder / CONFIG}"
        where = str(stop).partition(":")[0]  # "stopped by SIGTERM at 4 of 9 images"
        raise Stopped(stop.code - 128, f"{where}: saved, `{goes_on}` goes on; the demo itself begins anew") from None
    film.save(folder / "timelapse.png")

    to_zebra, to_horse = quagga.load(folder, to="y"), quagga.load(folder, to="x")
    animals = translation_error.herd(8, SIZE, chosen.seed)
    zebras = to_zebra(animals.horse)
    columns = {"horse": animals.horse, "zebra": zebras, "the true zebra": animals.zebra, "back again": to_horse(zebras)}
    contact_sheet(columns, folder / "zebras.png")
    error = translation_error.measure(to_zebra, size=SIZE, seed=chosen.seed)
    untranslated, floor = translation_error.baselines(size=SIZE, seed=chosen.seed)
    print(f"""
translation error on 128 unseen horses: {error}
    an untranslated horse scores {untranslated.total:.3f}, true zebras among themselves {floor.total:.3f}
horse | zebra | the true zebra | back again: {folder / "zebras.png"}
a horse growing its stripes: {folder / "timelapse.png"}
watch what happened: tensorboard --samples_per_plugin images=200 --logdir {folder}
your own picture: quagga translate {folder} PICTURE --output zebras""")
    return error


def left_by_a_demo(folder: Path) -> bool:
    """Whether a folder holds a demo's pictures, and no run but of these."""
    if not (folder / "pictures" / embedded.CARD).is_file():
        return False
    if not (folder / CONFIG).exists():
        return not any((folder / name).exists() for name in LEFT[1:])
    root = Path(str(options.read_config(str(folder / CONFIG)).get("root")))  # as it was typed then, perhaps elsewhere
    return root.parts[-2:] in ((folder.absolute().name, "pictures"), ("pictures",))


def recipe(chosen: DemoOptions, pictures: Path, folder: Path) -> dict[str, object]:
    """The options of `quagga train cyclegan` that the demo plays with."""
    return {
        "root": pictures,
        "x_name": "horse",
        "y_name": "zebra",
        **RECIPE,
        "images": chosen.images,
        "seed": chosen.seed,
        "device": chosen.device,
        "output": folder,
    }


class Film:
    """Shows the first held-out horse beside what G makes of it, in place as it changes, and keeps the frames, of
    which the first is the horse itself."""

    def __init__(self, length: int):
        self.length = length
        self.frames: list[np.ndarray] = []
        self.height = 0

    def __call__(self, images_seen: int, strips: dict[str, Images]) -> None:
        images = strips["x to y"]
        horse, zebra = (to_uint8(images[name][0]) for name in ("x", "G(x)"))
        self.frames.append(zebra if images_seen else horse)
        terminal_width = shutil.get_terminal_size().columns
        colour = sys.stdout.isatty()
        if not colour and 0 < images_seen < self.length:  # a pipe gets the first and the last
            return
        drawn = terminal.lines([horse, zebra], min(SIZE, (terminal_width - 2) // 2, 40), colour)
        up = f"\033[{self.height}A" if colour and self.height else ""
        self.height = len(drawn)
        tqdm.write(Drawn(up + "\n".join(drawn)), file=sys.stdout)
        sys.stdout.flush()

    def save(self, path: Path, count: int = 8) -> None:
        """A strip of `count` frames, from the horse to the zebra."""
        chosen = np.stack([self.frames[round(i)] for i in np.linspace(0, len(self.frames) - 1, count)])
        contact_sheet({"": chosen}, path, abreast=count)
