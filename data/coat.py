"""What the animal of the embedded set wears: colours of horses, and the stripes of zebras as polygons.

A picture of an animal is first painted with the materials below, then given colours: one drawing, two coats.
"""

from collections.abc import Callable
from enum import IntEnum

import cv2
import numpy as np

from quagga.data.animal import (
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
from quagga.data.limb import Frame, Limb

Draw = Callable[[np.ndarray, np.ndarray, int], None]  # paints a polygon in animal units: canvas, polygon, material


class Material(IntEnum):
    """What a point of the animal is made of. Those of the far side are FAR above the near ones."""

    NOTHING = 0
    COAT = 1
    SHANK = 2  # the lower legs, dark in bays
    MANE = 3  # stands up in both; striped in zebras
    LOCKS = 4  # hair that lies on a horse's neck; in zebras this is coat
    TAIL = 5  # its upper part: hair in horses, striped in zebras
    TUFT = 6
    HOOF = 7
    EYE = 8
    MUZZLE = 9
    BLAZE = 10
    EAR = 11  # the inside of an ear
    NOSTRIL = 12


FAR = 16
NEAR_STRIPE, FAR_STRIPE = 32, 64  # flags, added to the material where a stripe passes
BARRED = (Material.COAT, Material.SHANK, Material.MANE, Material.LOCKS, Material.TAIL, Material.BLAZE)

Colour = np.ndarray | tuple[float, float, float]

# body, shank, mane, muzzle
HORSES: dict[str, tuple[Colour, ...]] = {
    "bay": ((122, 66, 36), (44, 30, 26), (36, 25, 23), (66, 42, 32)),
    "brown": ((88, 54, 38), (52, 34, 28), (44, 30, 26), (60, 40, 32)),
    "black": ((50, 46, 52), (40, 37, 43), (28, 26, 31), (40, 36, 40)),
    "chestnut": ((172, 88, 42), (150, 76, 38), (142, 66, 30), (138, 84, 62)),
    "palomino": ((214, 162, 86), (206, 158, 92), (246, 230, 196), (150, 112, 88)),
    "buckskin": ((200, 158, 104), (70, 52, 42), (52, 40, 36), (98, 74, 60)),
    "grey": ((164, 163, 166), (122, 120, 126), (98, 96, 104), (92, 86, 90)),
}
DARK = ("bay", "brown", "black")


def palette(colours: list[np.ndarray], bars: np.ndarray | None, light: tuple[float, float, float]) -> np.ndarray:
    """Colours uint8 (256, 1, 3) of all that a canvas of materials and stripes can hold, in a coloured light.

    Args:
        colours: of each material.
        bars: colour of the stripes; None leaves them out.
    """
    near = np.array(colours, np.float32) * light
    far = near * (0.64, 0.62, 0.67)
    table = np.zeros((256, 3), np.float32)
    for flag in (0, NEAR_STRIPE, FAR_STRIPE):
        table[flag : flag + len(near)] = near
        table[flag + FAR : flag + FAR + len(near)] = far
    if bars is not None:
        for material in BARRED:
            table[NEAR_STRIPE + material] = np.array(bars) * light
            table[FAR_STRIPE + FAR + material] = np.array(bars) * light * 0.8
    return np.clip(table, 0, 255).astype(np.uint8)[:, None]


def horse_palette(coat: str, tint: np.ndarray, light: tuple[float, float, float]) -> np.ndarray:
    """A horse in its own tint (3,), a factor."""
    body, shank, mane, muzzle = (np.array(colour) for colour in HORSES[coat])
    own, legs, white = body * tint, shank * tint, np.array((240, 233, 220))
    hoof, eye = np.array((66, 56, 48)), np.array((22, 16, 14))
    near = [own * 0, own, legs, mane, mane, mane, mane, hoof, eye, muzzle, white, muzzle * 0.8, muzzle * 0.45]
    return palette(near, None, light)


def zebra_palette(light: tuple[float, float, float]) -> np.ndarray:
    """A zebra with its stripes, see `palette`; light is a factor for each channel."""
    white, black = np.array((252, 247, 236)), np.array((18, 15, 17))
    hoof, eye = np.array((52, 45, 42)), np.array((14, 11, 11))
    near = [white * 0, *[white] * 5, black * 1.3, hoof, eye, black * 1.8, white, black * 2.6, black * 0.6]
    return palette(near, black, light)


def ribbon(line: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Polygons (K, 2T, 2) around K lines (K, T, 2) that are half (K, T) to either side."""
    along = np.empty_like(line)
    along[:, 1:-1] = line[:, 2:] - line[:, :-2]
    along[:, 0], along[:, -1] = line[:, 1] - line[:, 0], line[:, -1] - line[:, -2]
    reach = half / np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)
    side = along[..., ::-1] * (-1, 1) * reach[..., None]
    return np.concatenate([line + side, (line - side)[:, ::-1]], 1)


def across(limb: Limb, s: np.ndarray, t: np.ndarray, half: np.ndarray, bow: float) -> np.ndarray:
    """Stripes (K, 2T, 2) across a limb at the places s (K,), from t[0] to t[-1] (T,), bowed by `bow` units."""
    return ribbon(limb.at(s[:, None] + bow / limb.length * (1 - t**2), t), half)


def spaced(start: float, stop: float, period: float, rng: np.random.Generator, jitter: float = 0.12) -> np.ndarray:
    """Places from start to stop, about a period apart, with a phase and a jitter of their own."""
    count = max(2, round(abs(stop - start) / period))
    places = start + (stop - start) * (np.arange(count) + rng.uniform(0.25, 0.75)) / count
    return places + rng.uniform(-jitter, jitter, count) * period


DOWN_TRUNK = np.linspace(1.5, -1.06, 12)
DOWN_THIGH = np.linspace(0.13, 0.60, 12)
DOWN_CHEEK = np.linspace(0.13, -0.125, 8)
AROUND_LEG = np.linspace(-1.15, 1.15, 6)


def trunk_stripes(body: Animal, period: float, duty: float, rng: np.random.Generator) -> np.ndarray:
    """From the loin to the poll: across the spine, pointed towards the belly, through the mane."""
    s, t = spaced(0.03, 1.0, period / body.spine.length, rng), DOWN_TRUNK
    neck = np.clip((s - NECK) / (1 - NECK), 0, 1)[:, None]
    taper = np.clip((t + 1.06) / 0.9, 0, 1) ** 0.6 * (1 - neck) + np.clip((t + 1.2) / 0.6, 0, 1) * neck
    half = period * duty / 2 * taper * (1 - 0.28 * neck) * rng.uniform(0.9, 1.1, (len(s), 1))
    return across(body.spine, s, t, half, rng.uniform(-0.02, 0.03))


def haunch_stripes(period: float, duty: float, rng: np.random.Generator) -> np.ndarray:
    """A fan around the flank: upright at the loin, lying back along the thigh."""
    angle, r = spaced(1.66, 3.42, period / 0.44, rng, 0.08)[:, None], DOWN_THIGH
    turn = angle - 0.55 * (r - 0.3) * np.clip(angle - 1.6, 0, 1.2)
    line = np.stack([-0.15 + r * np.cos(turn), 0.47 + r * np.sin(turn)], -1)
    half = 0.54 * period * duty * np.clip((r - 0.13) / 0.25, 0, 1) ** 0.7 * (0.7 + 0.8 * (r - 0.13))
    return ribbon(line, half)


def leg_stripes(leg: Leg, start: float, period: float, rng: np.random.Generator) -> np.ndarray:
    """Rings from s = start down, closer and thinner towards the hoof."""
    s = spaced(start, 0.9, 0.72 * period / leg.limb.length, rng)
    half = (0.2 * period * (1.15 - 0.45 * s))[:, None] * np.linspace(1.1, 0.8, 6)
    return across(leg.limb, s, AROUND_LEG, half, 0.02)


def face_stripes(head: Frame, period: float, rng: np.random.Generator) -> np.ndarray:
    """Fine arcs over forehead and cheek."""
    x, y = spaced(-0.02, 0.32, 0.55 * period, rng, 0.05)[:, None], DOWN_CHEEK
    line = np.stack(np.broadcast_arrays(x + 0.05 - 4.5 * (y + 0.01) ** 2 + 0.5 * x * y, y), -1)
    return ribbon(head(line), 0.145 * period * np.clip((y + 0.125) / 0.12, 0, 1))


def stripes(body: Animal, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The near side's stripes and the far legs': polygons (K, P, 2) in animal units, by part of the body."""
    period, duty = rng.uniform(0.138, 0.168), rng.uniform(0.46, 0.55)
    legs = [
        leg_stripes(leg, start, period, rng)
        for pair, starts in ((body.near, (0.26, 0.36)), (body.far, (0.16, 0.14)))
        for leg, start in zip(pair, starts, strict=True)
    ]
    coat = [trunk_stripes(body, period, duty, rng), haunch_stripes(period, duty, rng)]
    return [*coat, *legs[:2], face_stripes(body.head, period, rng)], legs[2:]


def paint_leg(canvas: np.ndarray, leg: Leg, side: int, draw: Draw) -> None:
    """Fill a leg: coat, shank from s = 0.53 down, hoof. side: 0 for a near leg, FAR for a far one."""
    draw(canvas, leg.limb.polygon(), side + Material.COAT)
    draw(canvas, leg.limb.polygon(0.53), side + Material.SHANK)
    draw(canvas, leg.hoof, side + Material.HOOF)


def paint_animal(canvas: np.ndarray, body: Animal, blaze: bool, draw: Draw) -> None:
    """Fill a canvas, uint8 (side, side), with the materials of an animal, from far to near."""
    for leg in body.far:
        paint_leg(canvas, leg, FAR, draw)
    draw(canvas, body.far_ear()(EAR), FAR + Material.COAT)
    draw(canvas, body.tail.polygon(), Material.TAIL)
    draw(canvas, body.tail.polygon(0.45), Material.TUFT)
    draw(canvas, body.trunk, Material.COAT)
    draw(canvas, body.spine.polygon(NECK - 0.1), Material.COAT)
    for leg in body.near:
        paint_leg(canvas, leg, 0, draw)
    draw(canvas, body.locks, Material.LOCKS)
    head = body.head(HEAD)
    face, part = np.zeros_like(canvas), np.zeros_like(canvas)
    draw(canvas, head, Material.COAT)
    draw(face, head, 255)
    if blaze:
        draw(part, body.head(BLAZE), Material.BLAZE)
    draw(part, body.head(MUZZLE), Material.MUZZLE)
    part &= face  # they end where the head does
    cv2.copyTo(part, part, canvas)
    draw(canvas, body.mane, Material.MANE)
    draw(canvas, body.head(FORELOCK), Material.MANE)
    draw(canvas, body.head(EAR), Material.COAT)
    draw(canvas, body.head(INNER_EAR), Material.EAR)
    draw(canvas, body.head(EYE), Material.EYE)
    draw(canvas, body.head(NOSTRIL), Material.NOSTRIL)
