"""`quagga demo`: from horses to zebras on the embedded set, on any machine, without a download.

It writes the embedded pictures to a folder, trains a small CycleGAN on them with the command that a user would type,
translates horses that it has not seen, and prints how far the results are from the true zebras. A page, demo.html,
shows the training from the first picture to the last.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

import quagga
from quagga.atomic import check_folder
from quagga.cli.options import config_parser
from quagga.cli.options.config_file import read_config
from quagga.cli.options.positional import parse_options
from quagga.cli.output import terminal_preview
from quagga.cli.output.demo_page import write_demo_page
from quagga.data.io.contact_sheet import contact_sheet
from quagga.data.io.tensors import to_uint8
from quagga.data.synthetic import scenes, translation_error
from quagga.errors import BadInput
from quagga.escapes import TerminalText
from quagga.pipelines import cyclegan
from quagga.pipelines.core.game_protocol import Images
from quagga.training import train
from quagga.training.lock import hold_lock
from quagga.training.resume import CONFIG
from quagga.training.signals import Stopped

SIZE = 64  # pixels a side
# What a demo writes.
OUTPUTS = ("pictures", "checkpoints", "model", "samples", "config.yaml", "zebras.png", "timelapse.png", "demo.html")
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
        output: folder for pictures and run; what an earlier demo left in it is replaced.
        images: length of the training in images.
        animals: horses to train on, and as many zebras.
        seed: seed of the pictures and of the training.
        device: where to train; auto takes a GPU if there is one.
    """

    output: str = "runs/demo"
    images: int = 6400
    animals: int = 400
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


def main(argv: list[str]) -> int:
    """Runs `quagga demo ARGV...`. Returns 0."""
    demo(parse_options("quagga demo", DemoOptions, argv))
    return 0


def demo(chosen: DemoOptions) -> translation_error.TranslationError:
    """Runs the demo, and returns the translation error that it reached."""
    folder = Path(chosen.output)
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        if not is_demo_folder(folder):
            raise BadInput(f"{folder} holds something that no demo has left: choose another --output")
        with hold_lock(folder):  # fails while a demo is running there
            for old in (*folder.glob("events.*"), *(folder / name for name in OUTPUTS)):
                if old.is_dir() and not old.is_symlink():
                    shutil.rmtree(old)
                else:  # of a link, its target stays
                    old.unlink(missing_ok=True)
    pictures = scenes.write(folder / "pictures", train=chosen.animals, size=SIZE, seed=chosen.seed)
    print(f"drew {chosen.animals} horses and {chosen.animals} other animals as zebras: {pictures}")
    arguments = [f"--{name}={value}" for name, value in training_options(chosen, pictures, folder).items()]
    print("quagga train cyclegan " + " ".join(arguments), flush=True)
    config, options = config_parser.resolve(
        "cyclegan", cyclegan.build, cyclegan.data, arguments, "quagga train cyclegan"
    )
    timelapse = Timelapse(chosen.images)
    try:
        train.train("cyclegan", cyclegan.build, cyclegan.data, options, config, on_strips=timelapse)
    except Stopped as stop:
        command = f"quagga train cyclegan --config {folder / CONFIG}"
        where = str(stop).partition(":")[0]  # "stopped by SIGTERM at 4 of 9 images"
        raise Stopped(stop.code - 128, f"{where}: saved, `{command}` goes on; the demo itself begins anew") from None
    timelapse.save(folder / "timelapse.png")
    write_demo_page(folder, timelapse.shown, translation_error.herd(size=SIZE, seed=chosen.seed))

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
the whole training, to leaf through in a browser: {folder / "demo.html"}
watch what happened: tensorboard --samples_per_plugin images=200 --logdir {folder}
your own picture: quagga translate {folder} PICTURE --output zebras""")
    return error


def is_demo_folder(folder: Path) -> bool:
    """Whether a folder holds a demo's pictures, and no run on other pictures."""
    if not (folder / "pictures" / scenes.CARD).is_file():
        return False
    if not (folder / CONFIG).exists():
        return not any((folder / name).exists() for name in OUTPUTS[1:])
    root = Path(str(read_config(str(folder / CONFIG)).get("root")))  # as it was typed then, perhaps elsewhere
    return root.parts[-2:] in ((folder.absolute().name, "pictures"), ("pictures",))


def training_options(chosen: DemoOptions, pictures: Path, folder: Path) -> dict[str, object]:
    """Returns the options of `quagga train cyclegan` for the demo."""
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


class Timelapse:
    """Shows the first held-out horse beside its translation during a training, and collects the translations as frames;
    the first frame is the horse itself.

    Args:
        length: of the training, in images.
    """

    def __init__(self, length: int):
        self.length = length
        self.frames: list[np.ndarray] = []
        self.shown: list[tuple[int, Images]] = []  # images seen, and the strip
        self.height = 0

    def __call__(self, images_seen: int, strips: dict[str, Images]) -> None:
        images = strips["x to y"]
        self.shown.append((images_seen, images))
        horse, zebra = (to_uint8(images[name][0]) for name in ("x", "G(x)"))
        self.frames.append(zebra if images_seen else horse)
        terminal_width = shutil.get_terminal_size().columns
        color = sys.stdout.isatty()
        if not color and 0 < images_seen < self.length:  # a pipe gets the first and the last
            return
        lines = terminal_preview.picture_lines([horse, zebra], min(SIZE, (terminal_width - 2) // 2, 40), color)
        move_up = f"\033[{self.height}A" if color and self.height else ""
        self.height = len(lines)
        tqdm.write(TerminalText(move_up + "\n".join(lines)), file=sys.stdout)
        sys.stdout.flush()

    def save(self, path: Path, count: int = 8) -> None:
        """Writes a strip of `count` frames, from the horse to the zebra."""
        chosen = np.stack([self.frames[round(i)] for i in np.linspace(0, len(self.frames) - 1, count)])
        contact_sheet({"": chosen}, path, abreast=count)
