"""The landscapes of the embedded set: sky, hills, trees and grass, in the light of an hour.

Coordinates are in picture widths: (0, 0) is the upper left corner, (1, 1) the lower right one, y points down.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np

from quagga.data.synthetic.brush import CIRCLE, Colour, ellipses, fill, lit, mix

Hour = Literal["day", "sunset", "night"]
Land = Literal["savanna", "meadow"]


class Light(NamedTuple):
    """The colours of an hour."""

    sky: tuple[Colour, Colour, Colour]  # at the top, in between, at the horizon
    disc: Colour  # of sun or moon
    radius: float  # of the disc
    glow: float  # strength of the glow around the disc, 0 to 1
    haze: Colour  # into which distant things fade
    mist: float  # share of the haze in the ground's colour
    cloud: float  # share of the disc's colour in the clouds'
    ground: Colour  # factors of the land's colours
    animal: Colour  # factors of the animal's colours


LIGHTS: dict[Hour, Light] = {
    "day": Light(
        sky=((84, 160, 212), (154, 208, 226), (248, 236, 208)),
        disc=(255, 250, 226),
        radius=0.042,
        glow=0.30,
        haze=(170, 198, 208),
        mist=0.0,
        cloud=0.74,
        ground=(1.0, 1.0, 1.0),
        animal=(1.0, 0.985, 0.95),
    ),
    "sunset": Light(
        sky=((98, 84, 144), (232, 130, 108), (255, 212, 134)),
        disc=(255, 242, 196),
        radius=0.085,
        glow=0.62,
        haze=(202, 118, 120),
        mist=0.0,
        cloud=0.38,
        ground=(0.95, 0.73, 0.62),
        animal=(1.0, 0.91, 0.80),
    ),
    "night": Light(
        sky=((20, 28, 66), (42, 62, 110), (112, 132, 164)),
        disc=(250, 246, 226),
        radius=0.046,
        glow=0.26,
        haze=(54, 76, 126),
        mist=0.34,
        cloud=0.14,
        ground=(0.34, 0.46, 0.74),
        animal=(0.84, 0.90, 1.0),
    ),
}
GRASS: dict[Land, tuple[Colour, Colour]] = {  # far, near
    "savanna": ((230, 196, 118), (186, 132, 62)),
    "meadow": ((166, 192, 106), (84, 130, 64)),
}
LEAVES: dict[Land, Colour] = {"savanna": (86, 92, 54), "meadow": (62, 108, 62)}
FLOWERS: tuple[Colour, ...] = ((250, 240, 214), (248, 206, 92), (228, 128, 118))

TONES = 5  # bands of grass, from far to near
# The ellipses of a cloud, for a width of 1: x, y and the two radii.
PUFFS = np.array([(0, 0, 0.5, 0.19), (-0.42, 0.025, 0.3, 0.114), (0.38, 0.035, 0.36, 0.137), (0.08, -0.1, 0.27, 0.103)])


@dataclass(frozen=True)
class Landscape:
    """A landscape before it is painted. Polygons are (P, 2); coordinates and lengths are in picture widths."""

    hour: Hour
    land: Land
    horizon: float
    side: float  # from which the light comes: -1 is left, 1 is right
    disc: tuple[float, float]  # centre of sun or moon
    hills: list[np.ndarray]  # from far to near
    trees: list[tuple[float, list[np.ndarray]]]  # nearness in [0, 1], polygons
    clouds: np.ndarray  # (K, 3): x, y, width
    birds: list[np.ndarray]
    stars: np.ndarray  # (K, 3): x, y, radius
    patches: np.ndarray  # (K, 4): x, depth from the horizon (0) to the front (1), width, tone in [-1, 1]
    tufts: np.ndarray  # (K, P, 2), from far to near
    tones: np.ndarray  # (K,), of the tufts, in [-1, 1]
    flowers: np.ndarray  # (K, 3): x, y, and a number whose integer part is the index of FLOWERS
    front: np.ndarray  # (K, P, 2), tufts in front of the animal's feet


def ridge(rng: np.random.Generator, base: float, height: float, rough: float) -> np.ndarray:
    """Draws a chain of hills, up to about `height` above y = base, as a polygon that ends at y = 1; `rough` is the
    number of its longest waves."""
    x = np.linspace(-0.02, 1.02, 48)
    k = np.array([[1.0], [1.9], [3.7]])
    wave = rng.uniform(0.4, 1.0, (3, 1)) / k * np.sin(2 * np.pi * (rough * k * x + rng.uniform(0, 1, (3, 1))))
    y = base - height * (0.55 + 0.35 * wave.sum(0))
    return np.concatenate([np.stack([x, y], 1), [[1.02, 1.0], [-0.02, 1.0]]])


def acacia(rng: np.random.Generator, x: float, y: float, size: float) -> list[np.ndarray]:
    """Draws a tree with an umbrella of leaves on a forked trunk, as polygons; x, y is the foot of the trunk."""
    lean = rng.uniform(-0.08, 0.08)
    left = [(-0.04, 0.02), (-0.02, -0.35), (-0.24 + lean, -0.74), (-0.18 + lean, -0.76), (0.0, -0.45)]
    right = [(0.04, 0.02), (0.015, -0.35), (0.22 + lean, -0.78), (0.16 + lean, -0.8), (-0.02, -0.42), (-0.035, 0.02)]
    parts = [np.array(left), np.array(right)]
    crown = CIRCLE * np.where(CIRCLE[:, 1:] > 0, (1, 0.55), 1.0)  # flat below
    for (cx, cy, rx), grow in zip(
        ((0.0, -0.84, 0.58), (-0.27, -0.77, 0.37), (0.31, -0.79, 0.33)), rng.uniform(0.9, 1.1, 3), strict=True
    ):
        parts.append(crown * (rx * grow, 0.17) + (cx + lean, cy))
    return [part * size + (x, y) for part in parts]


def broadleaf(rng: np.random.Generator, x: float, y: float, size: float) -> list[np.ndarray]:
    """Draws a tree with a round crown of a few lobes, as polygons; x, y is the foot of the trunk."""
    parts = [np.array([(-0.05, 0.02), (0.05, 0.02), (0.025, -0.5), (-0.025, -0.5)])]
    lobes = ((0.0, -0.74, 0.29), (-0.21, -0.58, 0.22), (0.21, -0.56, 0.22), (0.02, -0.50, 0.22))
    for (cx, cy, r), grow in zip(lobes, rng.uniform(0.88, 1.12, 4), strict=True):
        parts.append(CIRCLE * (r * grow) + (cx, cy))
    return [part * size + (x, y) for part in parts]


def tuft(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, tall: np.ndarray) -> np.ndarray:
    """Draws tufts of five blades (K, 11, 2) with their roots at x, y and the heights tall, (K,) each."""
    lean = rng.uniform(-0.35, 0.35, len(x)) * tall
    out = np.array([-1.0, -0.95, -0.5, -0.5, -0.15, 0.05, 0.2, 0.6, 0.5, 1.0, 1.0])
    up = np.array([0.0, 0.62, 0.15, 0.9, 0.2, 1.0, 0.2, 0.85, 0.15, 0.55, 0.0])
    rough = rng.uniform(0.8, 1.2, (len(x), 11))
    px = x[:, None] + 0.42 * tall[:, None] * out * (0.55 + 0.6 * up) + lean[:, None] * up
    return np.stack([px, y[:, None] - tall[:, None] * up * rough], -1)


def bird(x: float, y: float, size: float) -> np.ndarray:
    """Returns a bird with its wings spread, (8, 2), 2 * size wide, with its centre at x, y."""
    wing = np.array(
        [(-1, -0.32), (-0.5, -0.42), (0, 0.02), (0.5, -0.42), (1, -0.32), (0.5, -0.26), (0, 0.2), (-0.5, -0.26)]
    )
    return wing * size + (x, y)


def landscape(rng: np.random.Generator, hour: Hour, open_side: float) -> Landscape:
    """Draws a random landscape. Sun or moon are on the open side (-1 is left), where no head hides them."""
    land: Land = ("savanna", "meadow")[rng.choice(2)]
    has_hills, has_trees = rng.random(2) < 0.5
    horizon = rng.uniform(0.50, 0.62)
    height = rng.uniform(0, 1)
    low = horizon - 0.04 - 0.08 * height if hour == "sunset" else 0.10 + 0.08 * height
    disc = (0.5 + open_side * rng.uniform(0.28, 0.40), low)
    hills = [ridge(rng, horizon, 0.25, 0.9), ridge(rng, horizon + 0.02, 0.13, 1.3)]
    hills = hills if has_hills else [hills[1] * (1, 0.2) + (0, 0.8 * horizon)]
    first, apart, third = rng.uniform((0.06, 0.50, 0.40), (0.24, 0.64, 0.60))
    sizes = np.array([0.42, 0.30, 0.2]) * rng.uniform(0.85, 1.15, 3)
    grow = acacia if land == "savanna" else broadleaf
    trees = [
        (float(size) / 0.48, grow(rng, x, horizon + 0.01 + 0.14 * size, size))
        for x, size in zip((third, first + apart, first), sizes[::-1], strict=True)
    ]
    clouds = rng.uniform((0.0, 0.05, 0.13), (1.0, horizon - 0.2, 0.27), (3, 3))
    flock = rng.uniform((0.2, 0.14), (0.8, 0.3), 2) + rng.uniform((-0.07, -0.04), (0.07, 0.04), (4, 2))
    birds = [bird(x, y, size) for (x, y), size in zip(flock.tolist(), rng.uniform(0.012, 0.02, 4), strict=True)]
    stars = rng.uniform((0, 0, 0.0012), (1, horizon - 0.08, 0.0034), (34, 3))
    patches = rng.uniform((0, 0, 0.2, -1), (1, 1, 0.5, 1), (7, 4))
    depth = np.sort(rng.uniform(0, 1, 90) ** 0.8)
    y = horizon + 0.05 + (1.02 - horizon) * depth
    tufts = tuft(rng, rng.uniform(-0.02, 1.02, 90), y, (0.014 + 0.036 * depth) * rng.uniform(0.7, 1.3, 90))
    flowers = rng.uniform((0, horizon + 0.1, 0), (1, 1, 3), (16 if land == "meadow" else 0, 3))
    near = rng.uniform(0, 1, 9)
    front = tuft(rng, rng.uniform(0, 1, 9), 0.955 + 0.07 * near, 0.05 + 0.035 * near)
    return Landscape(
        *(hour, land, horizon, open_side, disc, hills, trees if has_trees else [], clouds),
        *(birds if hour != "night" and rng.random() < 0.5 else [], stars, patches, tufts, rng.uniform(-1, 1, 90)),
        *(flowers, front),
    )


def ground_colours(place: Landscape) -> tuple[Colour, Colour]:
    """Returns the colours of the ground far away and near."""
    light = LIGHTS[place.hour]
    far, near = (mix(lit(grass, light.ground), light.haze, light.mist) for grass in GRASS[place.land])
    return far, near


def paint_landscape(place: Landscape, side: int) -> np.ndarray:
    """Paints the landscape without the animal and the tufts in front of it: uint8 (side, side, 3)."""
    light = LIGHTS[place.hour]
    far, near = ground_colours(place)
    y = (np.arange(side) + 0.5) / side
    stops = (0.0, 0.55 * place.horizon, place.horizon)
    column = np.stack([np.interp(y, stops, band) for band in zip(*light.sky, strict=True)], 1)
    canvas = cv2.repeat(column.astype(np.uint8)[:, None], 1, side)
    if place.hour == "night":
        fill(canvas, ellipses(place.stars[:, [0, 1, 2, 2]]), (214, 220, 232))
    fill(canvas, ellipses([(*place.disc, light.radius, light.radius)]), light.disc)
    for x, up, wide in place.clouds.tolist():
        puffs = ellipses(PUFFS * wide + (x, up, 0, 0))
        fill(canvas, puffs, mix(sky_at(place, up), light.disc, light.cloud))
    fill(canvas, place.birds, mix(light.sky[1], (40, 36, 48), 0.75))
    for k, hill in enumerate(place.hills):
        fill(canvas, hill[None], mix(light.haze, lit(far, (0.80, 0.86, 0.86)), 0.08 + 0.36 * k))

    rows = y >= place.horizon + 0.02
    ground = np.stack([np.interp(y[rows], (place.horizon, 1.0), band) for band in zip(far, near, strict=True)], 1)
    canvas[rows] = cv2.repeat(ground.astype(np.uint8)[:, None], 1, side)
    for x, depth, wide, tone in place.patches.tolist():
        down = place.horizon + 0.06 + (0.98 - place.horizon) * depth
        shade = lit(mix(far, near, depth), (1, 1, 1), 1 + 0.055 * tone)
        fill(canvas, ellipses([(x, down, wide, 0.03 + 0.05 * depth)]), shade)
    for nearness, parts in place.trees:
        fill(canvas, parts, mix(light.haze, lit(LEAVES[place.land], light.ground), 0.35 + 0.6 * nearness))
        sunny = [lit_side(part, place.side) for part in parts[-3:]]
        fill(canvas, sunny, mix(light.haze, lit(LEAVES[place.land], light.ground, 1.22), 0.35 + 0.6 * nearness))
    bands = zip(np.split(place.tufts, TONES), np.split(place.tones, TONES), strict=True)
    for k, (tufts, tones) in enumerate(bands):
        base = mix(far, near, (k + 0.5) / TONES)
        fill(canvas, tufts[tones < 0.2], lit(base, (0.84, 0.86, 0.84)), at_once=True)
        fill(canvas, tufts[tones >= 0.2], lit(base, (1.10, 1.09, 1.04)), at_once=True)
    for k, colour in enumerate(FLOWERS):
        flowers = place.flowers[place.flowers[:, 2].astype(int) == k]
        size = 0.004 + 0.008 * (flowers[:, 1] - place.horizon)
        fill(canvas, ellipses(np.stack([flowers[:, 0], flowers[:, 1], size, size], 1)), lit(colour, light.ground))
    return canvas


def lit_side(lobe: np.ndarray, side: float) -> np.ndarray:
    """Returns a smaller lobe within that of a tree, where the light falls on it."""
    return lobe * (0.72, 0.6) + lobe.mean(0) * (0.28, 0.4) + (0.012 * side, -0.006)


def sky_at(place: Landscape, y: float) -> Colour:
    """Returns the colour of the clear sky at y, from 0 to the horizon."""
    (top, middle, low), f = LIGHTS[place.hour].sky, y / place.horizon
    return mix(top, middle, f / 0.55) if f < 0.55 else mix(middle, low, (f - 0.55) / 0.45)


def add_glow_and_haze(place: Landscape, picture: np.ndarray) -> np.ndarray:
    """Returns the painted landscape, float32 (size, size, 3), with the glow around sun or moon and the haze at the
    horizon."""
    light, size = LIGHTS[place.hour], len(picture)
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size  # of each pixel
    sky = np.where(centre < place.horizon + 0.02, np.float32(1), np.float32(0.3))
    across, down = (np.exp(-(((centre - c) / (3.4 * light.radius)) ** 2)) for c in place.disc)
    glow = light.glow * np.outer(down * sky, across)[..., None]
    haze = (0.34 * sky * np.exp(-(((centre - place.horizon) / 0.07) ** 2)))[:, None, None]
    picture = picture + haze * (np.array(light.sky[2], np.float32) - picture)
    return picture + glow * (np.array(light.disc, np.float32) - picture)


def landscape_parts(place: Landscape, side: int) -> np.ndarray:
    """Returns a number for each pixel, uint8 (side, side), of the part of the landscape it shows: the outlines of a
    picture run where these change."""
    canvas = np.zeros((side, side), np.uint8)
    radius = LIGHTS[place.hour].radius
    fill(canvas, ellipses([(*place.disc, radius, radius)]), 200)
    for k, hill in enumerate(place.hills):
        fill(canvas, hill[None], 201 + k)
    canvas[(np.arange(side) + 0.5) / side >= place.horizon + 0.02] = 203
    for k, (_, parts) in enumerate(place.trees):
        fill(canvas, parts, 204 + k)
    return canvas
