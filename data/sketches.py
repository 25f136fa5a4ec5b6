"""The embedded set as pairs: a sketch and the horse that it shows.

The sketch is drawn with a pencil of the coat's colour on paper of the hour's: white by day, orange at sunset, blue at
night. So it says what the picture will be like, as far as that can be said in lines.
"""

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from quagga import BadInput
from quagga.data.coat import HORSES
from quagga.data.embedded import CARD, HELD_OUT, Scene, scene

PAPER = {"day": (255, 255, 255), "sunset": (255, 190, 120), "night": (120, 135, 190)}


def sketch(one: Scene) -> np.ndarray:
    """The outlines of a scene, uint8 (H, W, 3)."""
    ink = one.edges[..., None].astype(np.float32) / 255
    paper, pencil = np.array(PAPER[one.hour], np.float32), np.array(HORSES[one.coat][0], np.float32)
    return np.rint(paper * (1 - ink) + pencil * ink).astype(np.uint8)


def write(folder: str | Path, *, train: int = 400, test: int = 40, size: int = 64, seed: int = 0) -> Path:
    """Write train and test of side-by-side PNG files, the sketch left, the horse right; returns the folder.

    A set that is there already is left.

    Raises:
        BadInput: the folder holds something else.
    """
    folder = Path(folder)
    about = {"set": "quagga embedded", "kind": "pairs", "train": train, "test": test, "size": size, "seed": seed}
    if folder.is_dir() and any(folder.iterdir()):
        card = folder / CARD
        if card.is_file() and json.loads(card.read_text()) == about:
            return folder
        raise BadInput(f"{folder} holds other things: give a folder that is empty or does not exist")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file: give a folder that is empty or does not exist")
    unfinished = folder.with_name(folder.name + ".unfinished")  # renamed at the end, so that a stop leaves no half set
    if unfinished.exists():
        shutil.rmtree(unfinished)
    for name, first, count in (("train", 0, train), ("test", HELD_OUT, test)):
        (unfinished / name).mkdir(parents=True)
        for number in range(count):
            one = scene(first + number, size, seed)
            both = np.concatenate([sketch(one), one.horse], axis=1)
            Image.fromarray(both).save(unfinished / name / f"{number:04d}.png")
    (unfinished / CARD).write_text(json.dumps(about) + "\n")
    if folder.exists():
        folder.rmdir()
    return unfinished.rename(folder)
