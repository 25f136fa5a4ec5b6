"""The embedded set: horses and zebras drawn in code, with the truth.

Every scene knows its animal in both coats, in the same place, light and pose. So a translator trained on unpaired
pictures of horses and zebras can be scored against the answer, which real photographs never have.

    >>> one = scene(7, size=128)
    >>> one.sentence("horse")
"""

import csv
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from quagga import BadInput
from quagga.data.animal import animal
from quagga.data.brush import fill, lit
from quagga.data.coat import (
    DARK,
    FAR_STRIPE,
    HORSES,
    NEAR_STRIPE,
    horse_palette,
    paint_animal,
    stripes,
    zebra_palette,
)
from quagga.data.landscape import LIGHTS, Hour, air, ground_colours, landscape, paint, skyline
from quagga.data.shading import outlines, shade, shadow, stand
from quagga.data.sketches import sketch

Coat = Literal["horse", "zebra"]
Set = Literal["unpaired", "pairs", "classes", "attributes", "captions"]

COATS: tuple[Coat, ...] = ("horse", "zebra")

CARD = "embedded.json"  # what a written set holds
GOLDEN = (5**0.5 - 1) / 2  # its multiples fill [0, 1) evenly: hours take turns, so every herd has its share of each
HELD_OUT = 1_000_000_000  # scenes from here on are for tests: no training set of ours reaches them


@dataclass(frozen=True, eq=False)
class Scene:
    """One animal somewhere, in both coats.

    horse, zebra: uint8 (H, W, 3); equal wherever mask is 0. mask: float32 (H, W) in [0, 1], how much of a pixel is
    animal. edges: uint8 (H, W), 255 on the outlines of animal and landscape, which do not know the coat. attributes:
    what can be seen (`dark_coat` and `coat` speak of the horse).
    """

    horse: np.ndarray
    zebra: np.ndarray
    mask: np.ndarray
    edges: np.ndarray
    pose: str
    coat: str
    hour: str
    attributes: dict[str, bool]

    def wearing(self, coat: Coat) -> np.ndarray:
        """The picture of the animal in this coat."""
        return self.horse if coat == "horse" else self.zebra

    def seen(self, coat: Coat) -> dict[str, bool]:
        """The attributes of that picture: a zebra has no dark coat."""
        dark = coat == "horse" and self.attributes["dark_coat"]
        return {"zebra": coat == "zebra", **self.attributes, "dark_coat": dark}

    def kind(self, coat: Coat) -> str:
        """Its class: "horse", "grazing horse", "zebra" or "grazing zebra"."""
        return f"grazing {coat}" if self.pose == "grazing" else coat

    def sentence(self, coat: Coat) -> str:
        """What one sees, in words: "a bay horse grazing at sunset, facing left, on a meadow with trees"."""
        who = f"a {self.coat} horse" if coat == "horse" else "a zebra"
        when = {"day": "by day", "sunset": "at sunset", "night": "at night"}[self.hour]
        looks = "left" if self.attributes["facing_left"] else "right"
        land = "on a meadow" if self.attributes["meadow"] else "in the savanna"
        things = [thing for thing in ("trees", "hills") if self.attributes[thing]]
        return f"{who} {self.pose} {when}, facing {looks}, {land}" + (f" with {' and '.join(things)}" if things else "")


def scene(index: int, size: int = 64, seed: int = 0) -> Scene:
    """Draw scene `index` of the set `seed`; `size` (pixels, at least 16) only changes how finely it is drawn."""
    rng = np.random.default_rng((seed, index))
    facing = float(rng.choice((-1.0, 1.0)))
    turn = (GOLDEN * index + np.random.default_rng(seed).random()) % 1
    hour: Hour = "day" if turn < 0.42 else "sunset" if turn < 0.74 else "night"
    place = landscape(rng, hour, open_side=-facing)
    body = animal(rng)
    near_stripes, far_stripes = stripes(body, rng)
    coat = str(rng.choice(list(HORSES)))
    tint = rng.uniform(0.92, 1.1) * rng.uniform(0.96, 1.04, 3)
    blaze = bool(rng.random() < 0.4)
    to_picture = stand(body, facing, rng)

    def draw(canvas: np.ndarray, polygon: np.ndarray, value: int) -> None:
        fill(canvas, to_picture(polygon)[None], value)

    side = size * max(2, round(256 / size))  # drawn finer, then averaged: smooth edges

    def shrink(canvas: np.ndarray) -> np.ndarray:
        return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)

    material = np.zeros((side, side), np.uint8)
    paint_animal(material, body, blaze, draw)
    bars = np.zeros_like(material)
    for polygons in far_stripes:
        fill(bars, to_picture(polygons), FAR_STRIPE)
    for polygons in near_stripes:
        fill(bars, to_picture(polygons), NEAR_STRIPE)
    grass, folds = np.zeros_like(material), np.zeros_like(material)
    fill(grass, place.front, 255)
    fill(folds, [to_picture(fold.polygon()) for fold in body.folds], 255)

    light = LIGHTS[place.hour]
    mask = shrink(np.where(material > 0, np.uint8(255), np.uint8(0))).astype(np.float32)[..., None] / 255
    before = shrink(grass).astype(np.float32)[..., None] / 255
    bright, rim = shade(mask[..., 0], shrink(folds).astype(np.float32) / 255, place.side, size)
    land = air(place, shrink(paint(place, side)).astype(np.float32))
    land *= shadow(body, place.side, to_picture, size)
    land *= 1 - mask
    grass_colour = np.array(lit(ground_colours(place)[1], (0.80, 0.86, 0.76)), np.float32)

    def picture(colours: np.ndarray, canvas: np.ndarray) -> np.ndarray:
        wearing = shrink(cv2.applyColorMap(canvas, colours)).astype(np.float32) * bright
        whole = land + wearing * (1 + rim) + rim * np.array(light.disc, np.float32) * 0.6
        whole += before * (grass_colour - whole)
        return np.clip(whole + 0.5, 0, 255).astype(np.uint8)

    attributes = {
        "facing_left": facing < 0,
        "grazing": body.pose == "grazing",
        "walking": body.pose == "walking",
        "sunset": place.hour == "sunset",
        "night": place.hour == "night",
        "meadow": place.land == "meadow",
        "hills": len(place.hills) > 1,
        "trees": len(place.trees) > 0,
        "dark_coat": coat in DARK,
    }
    return Scene(
        horse=picture(horse_palette(coat, tint, light.animal), material),
        zebra=picture(zebra_palette(light.animal), material | bars),
        mask=(mask * (1 - before))[..., 0],
        edges=outlines(material, folds, skyline(place, side), shrink),
        pose=body.pose,
        coat=coat,
        hour=place.hour,
        attributes=attributes,
    )


def training(coat: Coat, count: int) -> list[int]:
    """Indices of the scenes that show training animals in this coat: no animal is in both lists, nor held out."""
    return list(range(coat == "zebra", 2 * count, 2))


def held_out(coat: Coat, count: int) -> list[int]:
    """Indices of the scenes that show test animals in this coat."""
    return [HELD_OUT + index for index in training(coat, count)]


def write(
    folder: str | Path, *, train: int = 400, test: int = 40, size: int = 64, seed: int = 0, kind: Set = "unpaired"
) -> Path:
    """Write a set as PNG files; returns the folder. A set that is there already is left.

    All animals are different: `train` horses and as many zebras to train on, `test` of each to test on.

    unpaired: trainA and testA hold horses, trainB and testB zebras. truth/ holds the animals of testA as zebras and
    mask/ where they are (255 is animal), under the same file names.
    pairs: train/ and test/ hold horses on the right half of a picture, sketches of them on the left.
    classes: train/ and test/, in each a folder for horses, grazing horses, zebras and grazing zebras.
    attributes, captions: images/ and table.csv, with the columns file, split, and one for each attribute or caption.

    Raises:
        BadInput: the folder holds something else.
    """
    if not 16 <= size <= 1024:
        raise BadInput(f"size {size}: animals are drawn from 16 to 1024 pixels")
    if train < 1 or test < 0:
        raise BadInput(f"train {train}, test {test}: draw 1 animal or more to train on, and 0 or more to test on")
    folder = Path(folder)
    about: dict[str, object] = {"set": "quagga embedded", "train": train, "test": test, "size": size, "seed": seed}
    if kind != "unpaired":
        about["kind"] = kind
    if folder.is_dir() and any(folder.iterdir()):
        card = folder / CARD
        if card.is_file() and json.loads(card.read_text()) == about:
            return folder
        raise BadInput(f"{folder} holds other things: give a folder that is empty or does not exist")
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        what = "a file" if folder.exists() else f"a link to {folder.readlink()}, which is not there"
        raise BadInput(f"{folder} is {what}: give a folder that is empty or does not exist")
    place = Path(os.path.realpath(folder))  # a link stays, and what it leads to is replaced
    unfinished = place.with_name(f".{place.name}.draft")  # renamed at the end, so that a stop leaves no half set
    if unfinished.exists():
        shutil.rmtree(unfinished)
    if kind == "unpaired":
        write_unpaired(unfinished, train, test, size, seed)
    elif kind == "pairs":
        write_pairs(unfinished, train, test, size, seed)
    else:
        write_conditioned(unfinished, train, test, size, seed, kind)
    (unfinished / CARD).write_text(json.dumps(about) + "\n")
    if place.exists():
        place.rmdir()
    unfinished.rename(place)
    return folder


def write_unpaired(folder: Path, train: int, test: int, size: int, seed: int) -> None:
    """trainA, trainB, testA, testB, truth and mask, see `write`."""
    for name in ("trainA", "trainB", "testA", "testB", "truth", "mask"):
        (folder / name).mkdir(parents=True)
    for name, coat, indices in (
        ("trainA", "horse", training("horse", train)),
        ("trainB", "zebra", training("zebra", train)),
        ("testA", "horse", held_out("horse", test)),
        ("testB", "zebra", held_out("zebra", test)),
    ):
        for number, index in enumerate(indices):
            one = scene(index, size, seed)
            file = f"{coat}_{number:04d}.png"
            pictures = {name: one.wearing(coat)}
            if name == "testA":
                pictures |= {"truth": one.zebra, "mask": np.rint(one.mask * 255).astype(np.uint8)}
            for where, picture in pictures.items():
                Image.fromarray(picture).save(folder / where / file)


def write_pairs(folder: Path, train: int, test: int, size: int, seed: int) -> None:
    """train and test of sketches beside horses, see `write`."""
    for name, indices in (("train", training("horse", train)), ("test", held_out("horse", test))):
        (folder / name).mkdir(parents=True)
        for number, index in enumerate(indices):
            one = scene(index, size, seed)
            both = np.concatenate([sketch(one.edges, one.hour, one.coat), one.horse], axis=1)
            Image.fromarray(both).save(folder / name / f"horse_{number:04d}.png")


def write_conditioned(folder: Path, train: int, test: int, size: int, seed: int, kind: Set) -> None:
    """Folders of classes, or images and a table of attributes or captions, see `write`."""
    (folder / ("train" if kind == "classes" else "images")).mkdir(parents=True)
    rows: list[list[str | int]] = []
    for split, choose, count in (("train", training, train), ("test", held_out, test)):
        for coat in COATS:
            for number, index in enumerate(choose(coat, count)):
                one = scene(index, size, seed)
                if kind == "classes":
                    place = folder / split / one.kind(coat) / f"{coat}_{number:04d}.png"
                    place.parent.mkdir(parents=True, exist_ok=True)
                else:
                    place = folder / "images" / f"{split}_{coat}_{number:04d}.png"
                    said = [one.sentence(coat)] if kind == "captions" else [int(v) for v in one.seen(coat).values()]
                    rows.append([place.name, split, *said])
                Image.fromarray(one.wearing(coat)).save(place)
    if kind != "classes":
        names = ["caption"] if kind == "captions" else list(scene(0, 16, seed).seen("horse"))
        with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["file", "split", *names], *rows])
