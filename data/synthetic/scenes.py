"""The embedded set: horses and zebras drawn in code, with the true translation of each picture.

Every scene has its animal in both coats, in the same place, light and pose. So a translator that was trained on
unpaired pictures of horses and zebras can be compared with the right answer, which photographs do not have.

    >>> one = scene(7, size=128)
    >>> one.sentence("horse")
"""

import csv
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from quagga.data.synthetic.animal import animal
from quagga.data.synthetic.brush import fill, lit
from quagga.data.synthetic.coat_and_stripes import (
    DARK,
    FAR_STRIPE,
    HORSES,
    NEAR_STRIPE,
    horse_palette,
    paint_animal,
    stripes,
    zebra_palette,
)
from quagga.data.synthetic.landscape import (
    LIGHTS,
    Hour,
    add_glow_and_haze,
    ground_colours,
    landscape,
    landscape_parts,
    paint_landscape,
)
from quagga.data.synthetic.shading import outlines, place_animal, shade, shadow
from quagga.data.synthetic.sketches import sketch
from quagga.errors import BadInput

Coat = Literal["horse", "zebra"]
Set = Literal["unpaired", "pairs", "classes", "attributes", "captions"]

COATS: tuple[Coat, ...] = ("horse", "zebra")

CARD = "embedded.json"  # file that describes a written set
GOLDEN_RATIO = (5**0.5 - 1) / 2  # its multiples fill [0, 1) evenly, so that every herd has its share of each hour
HELD_OUT = 1_000_000_000  # number of the first scene for tests; no training set goes so far


@dataclass(frozen=True, eq=False)
class Scene:
    """One animal in a landscape, in both coats."""

    horse: np.ndarray  # picture, uint8 (H, W, 3)
    zebra: np.ndarray  # picture, uint8 (H, W, 3), equal to the horse's where the mask is 0
    mask: np.ndarray  # float32 (H, W) in [0, 1], the share of animal in each pixel
    edges: np.ndarray  # uint8 (H, W), 255 on the outlines of animal and landscape, which are the same for both coats
    pose: str  # standing, walking or grazing
    coat: str  # the horse's, one of HORSES
    hour: str  # day, sunset or night
    attributes: dict[str, bool]  # name -> whether the horse's picture has it

    def wearing(self, coat: Coat) -> np.ndarray:
        """Returns the picture of the animal in this coat."""
        return self.horse if coat == "horse" else self.zebra

    def seen(self, coat: Coat) -> dict[str, bool]:
        """Returns the attributes of the picture in this coat; a zebra has no dark coat."""
        dark = coat == "horse" and self.attributes["dark_coat"]
        return {"zebra": coat == "zebra", **self.attributes, "dark_coat": dark}

    def kind(self, coat: Coat) -> str:
        """Returns the class in this coat: "horse", "grazing horse", "zebra" or "grazing zebra"."""
        return f"grazing {coat}" if self.pose == "grazing" else coat

    def sentence(self, coat: Coat) -> str:
        """Returns a caption: "a bay horse grazing at sunset, facing left, on a meadow with trees"."""
        animal = f"a {self.coat} horse" if coat == "horse" else "a zebra"
        hour = {"day": "by day", "sunset": "at sunset", "night": "at night"}[self.hour]
        side = "left" if self.attributes["facing_left"] else "right"
        land = "on a meadow" if self.attributes["meadow"] else "in the savanna"
        things = [thing for thing in ("trees", "hills") if self.attributes[thing]]
        background = f" with {' and '.join(things)}" if things else ""
        return f"{animal} {self.pose} {hour}, facing {side}, {land}{background}"


def scene(index: int, size: int = 64, seed: int = 0, hour: Hour | None = None, trees: bool = True) -> Scene:
    """Draws scene number `index` of the set `seed`.

    Args:
        index: of the scene.
        size: side in pixels, at least 16; it changes the resolution only.
        seed: of the set.
        hour: another hour than the number says; day and sunset have the same animal in the same place. None: its own.
        trees: whether its trees are drawn, if it has any.
    """
    rng = np.random.default_rng((seed, index))
    facing = float(rng.choice((-1.0, 1.0)))
    share_of_day = (GOLDEN_RATIO * index + np.random.default_rng(seed).random()) % 1
    hour = hour or ("day" if share_of_day < 0.42 else "sunset" if share_of_day < 0.74 else "night")
    place = landscape(rng, hour, open_side=-facing)
    place = place if trees else replace(place, trees=[])
    body = animal(rng)
    near_stripes, far_stripes = stripes(body, rng)
    coat = str(rng.choice(list(HORSES)))
    tint = rng.uniform(0.92, 1.1) * rng.uniform(0.96, 1.04, 3)
    blaze = bool(rng.random() < 0.4)
    to_picture = place_animal(body, facing, rng)

    def paint(canvas: np.ndarray, polygon: np.ndarray, value: int) -> None:
        fill(canvas, to_picture(polygon)[None], value)

    side = size * max(2, round(256 / size))  # the canvases are larger, and then averaged, for smooth edges

    def shrink(canvas: np.ndarray) -> np.ndarray:
        return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)

    material = np.zeros((side, side), np.uint8)
    paint_animal(material, body, blaze, paint)
    stripe_flags = np.zeros_like(material)
    for polygons in far_stripes:
        fill(stripe_flags, to_picture(polygons), FAR_STRIPE)
    for polygons in near_stripes:
        fill(stripe_flags, to_picture(polygons), NEAR_STRIPE)
    grass, folds = np.zeros_like(material), np.zeros_like(material)
    fill(grass, place.front, 255)
    fill(folds, [to_picture(fold.polygon()) for fold in body.folds], 255)

    light = LIGHTS[place.hour]
    mask = shrink(np.where(material > 0, np.uint8(255), np.uint8(0))).astype(np.float32)[..., None] / 255
    front = shrink(grass).astype(np.float32)[..., None] / 255
    brightness, rim = shade(mask[..., 0], shrink(folds).astype(np.float32) / 255, place.side, size)
    land = add_glow_and_haze(place, shrink(paint_landscape(place, side)).astype(np.float32))
    land *= shadow(body, place.side, to_picture, size)
    land *= 1 - mask
    grass_colour = np.array(lit(ground_colours(place)[1], (0.80, 0.86, 0.76)), np.float32)

    def picture(palette: np.ndarray, canvas: np.ndarray) -> np.ndarray:
        coloured = shrink(cv2.applyColorMap(canvas, palette)).astype(np.float32) * brightness
        pixels = land + coloured * (1 + rim) + rim * np.array(light.disc, np.float32) * 0.6
        pixels += front * (grass_colour - pixels)
        return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)

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
        zebra=picture(zebra_palette(light.animal), material | stripe_flags),
        mask=(mask * (1 - front))[..., 0],
        edges=outlines(material, folds, landscape_parts(place, side), shrink),
        pose=body.pose,
        coat=coat,
        hour=place.hour,
        attributes=attributes,
    )


def training(coat: Coat, count: int) -> list[int]:
    """Returns the numbers of the scenes for training in this coat. No animal is used in both coats, or held out."""
    return list(range(coat == "zebra", 2 * count, 2))


def held_out(coat: Coat, count: int) -> list[int]:
    """Returns the numbers of the scenes for tests in this coat."""
    return [HELD_OUT + index for index in training(coat, count)]


def write(
    folder: str | Path, *, train: int = 400, test: int = 40, size: int = 64, seed: int = 0, kind: Set = "unpaired"
) -> Path:
    """Writes a set as PNG files, unless the folder holds this set already. Returns the folder.

    unpaired: trainA and testA hold horses, trainB and testB zebras. truth/ holds the animals of testA as zebras and
    mask/ their masks (255 is animal), under the same file names.
    pairs: train/ and test/ hold horses in the right half of a picture, sketches of them in the left.
    classes: train/ and test/ hold a folder each for horses, grazing horses, zebras and grazing zebras.
    attributes, captions: images/ and table.csv, with the columns file, split, and one for each attribute or caption.

    Args:
        folder: is made if it does not exist.
        train: horses for training, and as many zebras; all animals of a set differ.
        test: horses for tests, and as many zebras.
        size: side of the pictures in pixels, 16 to 1024.
        seed: of the set.
        kind: of the set, see above.

    Raises:
        BadInput: the folder holds something else, or a number is out of range.
    """
    if not 16 <= size <= 1024:
        raise BadInput(f"size {size}: animals are drawn from 16 to 1024 pixels")
    if train < 1 or test < 0:
        raise BadInput(f"train {train}, test {test}: draw 1 animal or more to train on, and 0 or more to test on")
    folder = Path(folder)
    description: dict[str, object] = {
        "set": "quagga embedded",
        "train": train,
        "test": test,
        "size": size,
        "seed": seed,
    }
    if kind != "unpaired":
        description["kind"] = kind
    if folder.is_dir() and any(folder.iterdir()):
        card = folder / CARD
        if card.is_file() and json.loads(card.read_text()) == description:
            return folder
        raise BadInput(f"{folder} holds other things: give a folder that is empty or does not exist")
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        what = "a file" if folder.exists() else f"a link to {folder.readlink()}, which is not there"
        raise BadInput(f"{folder} is {what}: give a folder that is empty or does not exist")
    target = Path(os.path.realpath(folder))  # if the folder is a link, its target is replaced
    draft = target.with_name(f".{target.name}.draft")  # renamed at the end, so that a stop leaves no half set
    if draft.exists():
        shutil.rmtree(draft)
    if kind == "unpaired":
        write_unpaired(draft, train, test, size, seed)
    elif kind == "pairs":
        write_pairs(draft, train, test, size, seed)
    else:
        write_conditioned(draft, train, test, size, seed, kind)
    (draft / CARD).write_text(json.dumps(description) + "\n")
    if target.exists():
        target.rmdir()
    draft.rename(target)
    return folder


def write_unpaired(folder: Path, train: int, test: int, size: int, seed: int) -> None:
    """Writes trainA, trainB, testA, testB, truth and mask, see `write`."""
    for name in ("trainA", "trainB", "testA", "testB", "truth", "mask"):
        (folder / name).mkdir(parents=True)
    parts: tuple[tuple[str, Coat, list[int]], ...] = (
        ("trainA", "horse", training("horse", train)),
        ("trainB", "zebra", training("zebra", train)),
        ("testA", "horse", held_out("horse", test)),
        ("testB", "zebra", held_out("zebra", test)),
    )
    for name, coat, indices in parts:
        for number, index in enumerate(indices):
            one = scene(index, size, seed)
            file = f"{coat}_{number:04d}.png"
            pictures = {name: one.wearing(coat)}
            if name == "testA":
                pictures |= {"truth": one.zebra, "mask": np.rint(one.mask * 255).astype(np.uint8)}
            for subfolder, picture in pictures.items():
                Image.fromarray(picture).save(folder / subfolder / file)


def write_pairs(folder: Path, train: int, test: int, size: int, seed: int) -> None:
    """Writes train and test, of sketches beside horses, see `write`."""
    for name, indices in (("train", training("horse", train)), ("test", held_out("horse", test))):
        (folder / name).mkdir(parents=True)
        for number, index in enumerate(indices):
            one = scene(index, size, seed)
            both = np.concatenate([sketch(one.edges, one.hour, one.coat), one.horse], axis=1)
            Image.fromarray(both).save(folder / name / f"horse_{number:04d}.png")


def write_conditioned(folder: Path, train: int, test: int, size: int, seed: int, kind: Set) -> None:
    """Writes folders of classes, or images and a table of attributes or captions, see `write`."""
    (folder / ("train" if kind == "classes" else "images")).mkdir(parents=True)
    rows: list[list[str | int]] = []
    for split, indices_of, count in (("train", training, train), ("test", held_out, test)):
        for coat in COATS:
            for number, index in enumerate(indices_of(coat, count)):
                one = scene(index, size, seed)
                if kind == "classes":
                    file = folder / split / one.kind(coat) / f"{coat}_{number:04d}.png"
                    file.parent.mkdir(parents=True, exist_ok=True)
                else:
                    file = folder / "images" / f"{split}_{coat}_{number:04d}.png"
                    cells = [one.sentence(coat)] if kind == "captions" else [int(v) for v in one.seen(coat).values()]
                    rows.append([file.name, split, *cells])
                Image.fromarray(one.wearing(coat)).save(file)
    if kind != "classes":
        names = ["caption"] if kind == "captions" else list(scene(0, 16, seed).seen("horse"))
        with (folder / "table.csv").open("w", encoding="utf-8", newline="") as table:
            csv.writer(table, lineterminator="\n").writerows([["file", "split", *names], *rows])
