"""The coats of the animals of the embedded set: the colours of horses, and the stripes of zebras as polygons.

A picture of an animal is first painted with the numbers of the materials below; palettes then map these to the colours
of a horse or a zebra. So both coats come from one drawing.
"""

from collections.abc import Callable
from enum import IntEnum

import cv2
import numpy as np

from quagga.data.synthetic.animal import (
    BLAZE,
    EAR,
    EYE,
    FORELOCK,
    HEAD,
    INNER_EAR,
    MUZZLE,
    NECK,
    NOSTRIL,
    Animal,
    Leg,
)
from quagga.data.synthetic.brush import Colour
from quagga.data.synthetic.limb import Frame, Limb

PolygonPainter = Callable[[np.ndarray, np.ndarray, int], None]  # of canvas, polygon (P, 2) in animal units, material


class Material(IntEnum):
    """The materials of an animal's parts. FAR is added to those of the far side."""

    NOTHING = 0
    COAT = 1
    SHANK = 2  # the lower legs, dark in bays
    MANE = 3  # upright in both animals; striped in zebras
    LOCKS = 4  # hair that lies on a horse's neck; coat in zebras
    TAIL = 5  # its upper part: hair in horses, striped in zebras
    TUFT = 6  # the lower part of the tail
    HOOF = 7
    EYE = 8
    MUZZLE = 9
    BLAZE = 10
    EAR = 11  # the inside of an ear
    NOSTRIL = 12


FAR = 16
NEAR_STRIPE, FAR_STRIPE = 32, 64  # flags that are added to the material under a stripe
STRIPED = (Material.COAT, Material.SHANK, Material.MANE, Material.LOCKS, Material.TAIL, Material.BLAZE)

HORSES: dict[str, tuple[Colour, ...]] = {  # colours of body, shank, mane, muzzle
    "bay": ((122, 66, 36), (44, 30, 26), (36, 25, 23), (66, 42, 32)),
    "brown": ((88, 54, 38), (52, 34, 28), (44, 30, 26), (60, 40, 32)),
    "black": ((50, 46, 52), (40, 37, 43), (28, 26, 31), (40, 36, 40)),
    "chestnut": ((172, 88, 42), (150, 76, 38), (142, 66, 30), (138, 84, 62)),
    "palomino": ((214, 162, 86), (206, 158, 92), (246, 230, 196), (150, 112, 88)),
    "buckskin": ((200, 158, 104), (70, 52, 42), (52, 40, 36), (98, 74, 60)),
    "grey": ((164, 163, 166), (122, 120, 126), (98, 96, 104), (92, 86, 90)),
}
DARK = ("bay", "brown", "black")


def palette(colours: list[np.ndarray], stripe_colour: np.ndarray | None, light: Colour) -> np.ndarray:
    """Returns the colours, uint8 (256, 1, 3), of all numbers on a canvas: materials with FAR and the stripes' flags.

    Args:
        colours: of the materials, (3,) each, in their order.
        stripe_colour: (3,); None: no stripes.
        light: factors of the channels.
    """
    near = np.array(colours, np.float32) * light
    far = near * (0.64, 0.62, 0.67)
    table = np.zeros((256, 3), np.float32)
    for flag in (0, NEAR_STRIPE, FAR_STRIPE):
        table[flag : flag + len(near)] = near
        table[flag + FAR : flag + FAR + len(near)] = far
    if stripe_colour is not None:
        for material in STRIPED:
            table[NEAR_STRIPE + material] = np.array(stripe_colour) * light
            table[FAR_STRIPE + FAR + material] = np.array(stripe_colour) * light * 0.8
    return np.clip(table, 0, 255).astype(np.uint8)[:, None]


def horse_palette(coat: str, tint: np.ndarray, light: Colour) -> np.ndarray:
    """Returns the palette of a horse with one of the coats HORSES, whose body is tinted by factors (3,)."""
    body, shank, mane, muzzle = (np.array(colour) for colour in HORSES[coat])
    own, legs, white = body * tint, shank * tint, np.array((240, 233, 220))
    hoof, eye = np.array((66, 56, 48)), np.array((22, 16, 14))
    near = [own * 0, own, legs, mane, mane, mane, mane, hoof, eye, muzzle, white, muzzle * 0.8, muzzle * 0.45]
    return palette(near, None, light)


def zebra_palette(light: Colour) -> np.ndarray:
    """Returns the palette of a zebra."""
    white, black = np.array((252, 247, 236)), np.array((18, 15, 17))
    hoof, eye = np.array((52, 45, 42)), np.array((14, 11, 11))
    near = [white * 0, *[white] * 5, black * 1.3, hoof, eye, black * 1.8, white, black * 2.6, black * 0.6]
    return palette(near, black, light)


def ribbon(line: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Returns polygons (K, 2T, 2) around K lines (K, T, 2), which extend by half (K, T) to either side."""
    along = np.empty_like(line)
    along[:, 1:-1] = line[:, 2:] - line[:, :-2]
    along[:, 0], along[:, -1] = line[:, 1] - line[:, 0], line[:, -1] - line[:, -2]
    reach = half / np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)
    side = along[..., ::-1] * (-1, 1) * reach[..., None]
    return np.concatenate([line + side, (line - side)[:, ::-1]], 1)


def across(limb: Limb, s: np.ndarray, t: np.ndarray, half: np.ndarray, bow: float) -> np.ndarray:
    """Returns stripes (K, 2T, 2) across a limb.

    Args:
        limb: whose coordinates s and t are.
        s: (K,), where the stripes cross the limb.
        t: (T,), from one edge to the other.
        half: (K, T), half the width of the stripes in animal units.
        bow: by how much the middle of a stripe is ahead of its ends, in animal units.
    """
    return ribbon(limb.at(s[:, None] + bow / limb.length * (1 - t**2), t), half)


def spaced(start: float, stop: float, period: float, rng: np.random.Generator, jitter: float = 0.12) -> np.ndarray:
    """Returns numbers (K,) from start to stop, about a period apart, with a random phase and a random jitter."""
    count = max(2, round(abs(stop - start) / period))
    regular = start + (stop - start) * (np.arange(count) + rng.uniform(0.25, 0.75)) / count
    return regular + rng.uniform(-jitter, jitter, count) * period


DOWN_TRUNK = np.linspace(1.5, -1.06, 12)
DOWN_THIGH = np.linspace(0.13, 0.60, 12)
DOWN_CHEEK = np.linspace(0.13, -0.125, 8)
AROUND_LEG = np.linspace(-1.15, 1.15, 6)


def trunk_stripes(body: Animal, period: float, duty: float, rng: np.random.Generator) -> np.ndarray:
    """Returns the stripes from the loin to the poll: across the spine, pointed towards the belly, through the mane.
    `duty` is the share of a period that is black."""
    s, t = spaced(0.03, 1.0, period / body.spine.length, rng), DOWN_TRUNK
    neck = np.clip((s - NECK) / (1 - NECK), 0, 1)[:, None]
    taper = np.clip((t + 1.06) / 0.9, 0, 1) ** 0.6 * (1 - neck) + np.clip((t + 1.2) / 0.6, 0, 1) * neck
    half = period * duty / 2 * taper * (1 - 0.28 * neck) * rng.uniform(0.9, 1.1, (len(s), 1))
    return across(body.spine, s, t, half, rng.uniform(-0.02, 0.03))


def haunch_stripes(period: float, duty: float, rng: np.random.Generator) -> np.ndarray:
    """Returns a fan of stripes around the flank, from upright at the loin to nearly level along the thigh."""
    angle, r = spaced(1.66, 3.42, period / 0.44, rng, 0.08)[:, None], DOWN_THIGH
    turn = angle - 0.55 * (r - 0.3) * np.clip(angle - 1.6, 0, 1.2)
    line = np.stack([-0.15 + r * np.cos(turn), 0.47 + r * np.sin(turn)], -1)
    half = 0.54 * period * duty * np.clip((r - 0.13) / 0.25, 0, 1) ** 0.7 * (0.7 + 0.8 * (r - 0.13))
    return ribbon(line, half)


def leg_stripes(leg: Leg, start: float, period: float, rng: np.random.Generator) -> np.ndarray:
    """Returns rings around a leg from s = start down, closer and thinner towards the hoof."""
    s = spaced(start, 0.9, 0.72 * period / leg.limb.length, rng)
    half = (0.2 * period * (1.15 - 0.45 * s))[:, None] * np.linspace(1.1, 0.8, 6)
    return across(leg.limb, s, AROUND_LEG, half, 0.02)


def face_stripes(head: Frame, period: float, rng: np.random.Generator) -> np.ndarray:
    """Returns fine arcs over forehead and cheek."""
    x, y = spaced(-0.02, 0.32, 0.55 * period, rng, 0.05)[:, None], DOWN_CHEEK
    line = np.stack(np.broadcast_arrays(x + 0.05 - 4.5 * (y + 0.01) ** 2 + 0.5 * x * y, y), -1)
    return ribbon(head(line), 0.145 * period * np.clip((y + 0.125) / 0.12, 0, 1))


def stripes(body: Animal, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draws random stripes. Returns those of the near side and those of the far legs, each for one part of the body:
    polygons (K, P, 2) in animal units."""
    period, duty = rng.uniform(0.138, 0.168), rng.uniform(0.46, 0.55)
    legs = [
        leg_stripes(leg, start, period, rng)
        for pair, starts in ((body.near, (0.26, 0.36)), (body.far, (0.16, 0.14)))
        for leg, start in zip(pair, starts, strict=True)
    ]
    coat = [trunk_stripes(body, period, duty, rng), haunch_stripes(period, duty, rng)]
    return [*coat, *legs[:2], face_stripes(body.head, period, rng)], legs[2:]


def paint_leg(canvas: np.ndarray, leg: Leg, side: int, paint: PolygonPainter) -> None:
    """Paints a leg: coat, shank from s = 0.53 down, hoof. `side` is 0 for a near leg, FAR for a far one."""
    paint(canvas, leg.limb.polygon(), side + Material.COAT)
    paint(canvas, leg.limb.polygon(0.53), side + Material.SHANK)
    paint(canvas, leg.hoof, side + Material.HOOF)


def paint_animal(canvas: np.ndarray, body: Animal, blaze: bool, paint: PolygonPainter) -> None:
    """Paints the materials of an animal on a canvas, uint8 (side, side), from far to near."""
    for leg in body.far:
        paint_leg(canvas, leg, FAR, paint)
    paint(canvas, body.far_ear()(EAR), FAR + Material.COAT)
    paint(canvas, body.tail.polygon(), Material.TAIL)
    paint(canvas, body.tail.polygon(0.45), Material.TUFT)
    paint(canvas, body.trunk, Material.COAT)
    paint(canvas, body.spine.polygon(NECK - 0.1), Material.COAT)
    for leg in body.near:
        paint_leg(canvas, leg, 0, paint)
    paint(canvas, body.locks, Material.LOCKS)
    head = body.head(HEAD)
    face, part = np.zeros_like(canvas), np.zeros_like(canvas)
    paint(canvas, head, Material.COAT)
    paint(face, head, 255)
    if blaze:
        paint(part, body.head(BLAZE), Material.BLAZE)
    paint(part, body.head(MUZZLE), Material.MUZZLE)
    part &= face  # they end where the head does
    cv2.copyTo(part, part, canvas)
    paint(canvas, body.mane, Material.MANE)
    paint(canvas, body.head(FORELOCK), Material.MANE)
    paint(canvas, body.head(EAR), Material.COAT)
    paint(canvas, body.head(INNER_EAR), Material.EAR)
    paint(canvas, body.head(EYE), Material.EYE)
    paint(canvas, body.head(NOSTRIL), Material.NOSTRIL)
