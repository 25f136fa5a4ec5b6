"""The body of an animal of the embedded set, in side view, as polygons. Horses and zebras have the same body.

Lengths are in animal units: the withers are one unit above the ground. The animal faces +x, y points up, and the origin
lies on the ground below the middle of its trunk. `quagga.data.synthetic.shading` places it in a picture.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from quagga.data.synthetic.limb import Frame, Limb, outline

Pose = Literal["standing", "walking", "grazing"]


@dataclass(frozen=True)
class Leg:
    """A leg, in animal units."""

    limb: Limb  # down to the end of the pastern
    hoof: np.ndarray  # polygon (4, 2)
    knee: float  # coordinate s of the knee or hock along the limb


@dataclass(frozen=True)
class Animal:
    """The parts of an animal in its pose. Polygons are (P, 2), in animal units."""

    pose: Pose
    trunk: np.ndarray
    spine: Limb  # from the loin to the poll; the part from s = NECK on is the neck
    head: Frame
    near: tuple[Leg, Leg]  # foreleg and hind leg on the viewer's side
    far: tuple[Leg, Leg]  # foreleg and hind leg on the other side
    tail: Limb
    mane: np.ndarray  # the crest, which is upright
    locks: np.ndarray  # the hair of a horse's mane that lies on the neck
    folds: list[Limb]  # thin lines at folds of the skin and ends of muscles

    def far_ear(self) -> Frame:
        """Returns the frame of the far ear: a little ahead of the near one's, higher, smaller and tilted forward."""
        return Frame(self.head.origin + np.array([0.035, 0.015]), self.head.angle - 0.14, 0.96)

    def points(self) -> np.ndarray:
        """Returns the points (K, 2) of all parts, whose extremes bound the animal."""
        legs = [part for leg in (*self.near, *self.far) for part in (leg.hoof, leg.limb.polygon())]
        ears = [self.head(EAR), self.far_ear()(EAR)]
        return np.concatenate([self.trunk, self.head(HEAD), *ears, self.tail.polygon(), self.mane, *legs])


NECK = 0.34  # coordinate s of the spine at which the neck begins

HEAD = outline(
    [
        *((-0.04, 0.07), (0.05, 0.105), (0.15, 0.095), (0.27, 0.065), (0.38, 0.06), (0.45, 0.04), (0.475, -0.01)),
        *((0.455, -0.06), (0.41, -0.085), (0.34, -0.075), (0.24, -0.095), (0.13, -0.15), (0.02, -0.15), (-0.07, -0.06)),
    ],
    56,
)
MUZZLE = outline([(0.37, 0.1), (0.5, 0.1), (0.52, -0.1), (0.36, -0.12), (0.35, -0.06), (0.375, 0.0)], 24)
EAR = outline([(-0.035, 0.06), (-0.06, 0.14), (-0.05, 0.235), (0.0, 0.16), (0.02, 0.085)], 24)
INNER_EAR = outline([(-0.035, 0.09), (-0.046, 0.14), (-0.043, 0.205), (-0.018, 0.155), (-0.012, 0.10)], 16)
FORELOCK = outline([(-0.075, 0.05), (-0.05, 0.125), (0.02, 0.145), (0.09, 0.12), (0.115, 0.085), (0.04, 0.075)], 24)
EYE = outline([(0.125, 0.045), (0.145, 0.06), (0.168, 0.05), (0.15, 0.03)], 12)
NOSTRIL = outline([(0.42, 0.03), (0.44, 0.02), (0.435, -0.002), (0.418, 0.008)], 12)
BLAZE = outline([(0.06, 0.13), (0.14, 0.13), (0.3, 0.1), (0.4, 0.09), (0.39, 0.045), (0.27, 0.05), (0.13, 0.065)], 28)


def bend(hip: tuple[float, float], foot: tuple[float, float], upper: float, lower: float, side: int) -> tuple:
    """Computes the joint between two bones by the law of cosines.

    Args:
        hip: upper end of the upper bone.
        foot: where the lower bone shall end.
        upper: length of the upper bone.
        lower: length of the lower bone.
        side: 1 puts the joint before the line from hip to foot (a knee), -1 behind it (a hock).

    Returns:
        The joint, and the foot; it is nearer to the hip than asked for if the bones do not reach so far.
    """
    dx, dy = foot[0] - hip[0], foot[1] - hip[1]
    distance = (dx * dx + dy * dy) ** 0.5
    reach = min(distance, 0.995 * (upper + lower))
    ux, uy = dx / distance, dy / distance
    along = (upper**2 - lower**2 + reach**2) / (2 * reach)
    out = side * max(upper**2 - along**2, 0.0) ** 0.5
    joint = (hip[0] + along * ux - out * uy, hip[1] + along * uy + out * ux)
    return joint, (hip[0] + reach * ux, hip[1] + reach * uy)


def hoof(fetlock: tuple[float, float], tilt: float) -> tuple[tuple[float, float], np.ndarray]:
    """Returns the end of the pastern and the hoof (4, 2) below it; in a lifted foot, tilt (radians) turns both."""
    c, s = np.cos(tilt), np.sin(tilt)
    shape = np.array([(0.0, -0.045), (0.065, -0.035), (0.1, -0.095), (-0.02, -0.095)])
    turn = np.array([[c, s], [-s, c]])
    end = np.array([0.028, -0.05]) @ turn + np.array(fetlock)
    return (float(end[0]), float(end[1])), shape @ turn + np.array(fetlock)


def foreleg(step: float, lift: float, thick: float) -> Leg:
    """Returns a foreleg whose foot is `step` ahead of the shoulder and lifted by `lift`; `thick` scales its width."""
    elbow = (0.285 + 0.12 * step, 0.53)
    knee, fetlock = bend(elbow, (0.30 + step, 0.095 + lift), 0.245, 0.215, 1)
    end, shape = hoof(fetlock, -4.0 * lift)
    (ex, ey), (kx, ky), (fx, fy) = elbow, knee, fetlock
    knots = [
        (0.33, 0.70, 0.13),
        (ex + 0.005, ey + 0.03, 0.098 * thick),
        ((ex + kx) / 2, (ey + ky) / 2, 0.070 * thick),
        (kx, ky, 0.048 * thick),
        ((kx + fx) / 2, (ky + fy) / 2, 0.034 * thick),
        (fx, fy, 0.042 * thick),
        (*end, 0.036 * thick),
    ]
    return Leg(Limb.through(knots), shape, 0.5)


def hindleg(step: float, lift: float, thick: float) -> Leg:
    """Returns a hind leg whose foot is `step` ahead of its rest position and lifted by `lift`; `thick` scales its
    width."""
    stifle = (-0.33 + 0.35 * step + 0.6 * lift, 0.585 + 0.2 * lift)
    hock, fetlock = bend(stifle, (-0.465 + step, 0.095 + lift), 0.315, 0.235, -1)
    end, shape = hoof(fetlock, -4.0 * lift)
    (sx, sy), (hx, hy), (fx, fy) = stifle, hock, fetlock
    knots = [
        (-0.36 + 0.1 * step, 0.74, 0.17),
        (sx - 0.03, sy - 0.01, 0.135 * thick),
        ((sx + hx) / 2, (sy + hy) / 2 + 0.01, 0.085 * thick),
        (hx, hy, 0.052 * thick),
        ((hx + fx) / 2, (hy + fy) / 2, 0.036 * thick),
        (fx, fy, 0.043 * thick),
        (*end, 0.037 * thick),
    ]
    return Leg(Limb.through(knots), shape, 0.5)


def stride(phase: float, reach: float, high: float) -> tuple[float, float]:
    """Returns step and lift of a walking foot: on the ground for 62 % of a stride, moving back; then up and forward.

    Args:
        phase: of the stride, a period is 1.
        reach: largest step.
        high: largest lift.
    """
    phase %= 1.0
    if phase < 0.62:
        return reach * (1 - 2 * phase / 0.62), 0.0
    swing = (phase - 0.62) / 0.38
    return -reach * np.cos(np.pi * swing), high * np.sin(np.pi * swing) ** 1.5


def animal(rng: np.random.Generator) -> Animal:
    """Draws a random animal: its pose, its build and the position of its head."""
    pose: Pose = ("standing", "walking", "grazing")[rng.choice(3, p=[0.34, 0.33, 0.33])]
    belly, thick, crest, raise_, nod, phase, sway = rng.uniform(-1, 1, 7)
    jitter = rng.uniform(-1, 1, 4)
    thick = 1.05 + 0.08 * thick
    low = 0.02 * belly
    trunk = outline(
        [
            *(
                (-0.545, 0.76),
                (-0.52, 0.88),
                (-0.43, 0.965),
                (-0.28, 0.995),
                (-0.12, 0.96),
                (0.05, 0.945),
                (0.22, 0.99),
            ),
            *((0.36, 0.99), (0.49, 0.86), (0.50, 0.70), (0.42, 0.56), (0.28, 0.475), (0.10, 0.445 - low)),
            *((-0.08, 0.45 - low), (-0.22, 0.51 - low / 2), (-0.36, 0.54), (-0.49, 0.62)),
        ],
        80,
    )
    if pose == "grazing":
        poll, angle = np.array([0.80 + 0.03 * raise_, 0.47]), -1.13 + 0.10 * nod
        knots = [(0.38, 0.755, 0.225), (0.60, 0.665, 0.15)]
    else:
        poll, angle = np.array([0.70 + 0.03 * nod, 1.30 + 0.07 * raise_]), -0.62 + 0.14 * nod
        knots = [(0.39, 0.84, 0.225), (0.545, 1.05 + 0.03 * raise_, 0.16)]
    spine = Limb.through(
        [(-0.13, 0.70, 0.25), (0.05, 0.70, 0.235), (0.22, 0.735, 0.25), *knots, (*poll, 0.108)],
        48,
    )
    head = Frame(poll, angle, 1.0)
    s = np.linspace(NECK + 0.04, 0.97, 22)
    height = (0.066 + 0.014 * crest) * np.sin(np.pi * np.linspace(0.0, 0.8, 22)) ** 0.6
    out = spine.at(s, np.full(22, 1.0)) - spine.at(s, np.zeros(22))
    up = out / np.hypot(out[:, 0], out[:, 1])[:, None]
    root = spine.at(s, np.full(22, 0.94))
    between = head(np.array([(-0.05, 0.145), (0.02, 0.145), (0.05, 0.09), (-0.03, 0.045)]))  # the ears
    mane = np.concatenate([root + up * height[:, None], between, (root - up * height[:, None])[::-1]])
    wave = 0.5 + 0.5 * np.sin(np.linspace(0, 9 * np.pi, 22) + 3 * sway)
    fall = (0.11 + 0.035 * wave) * np.sin(np.pi * np.linspace(0.02, 0.8, 22)) ** 0.7
    locks = np.concatenate([root + up * 0.5 * height[:, None], (root - up * fall[:, None] - [0.02, 0.0])[::-1]])

    if pose == "walking":
        beats = ((0.25, 0.11), (0.0, 0.075), (0.75, 0.11), (0.5, 0.075))  # near fore, near hind, far fore, far hind
        steps = [stride(phase + beat, 0.17, high) for beat, high in beats]
    else:
        spread = np.array([0.02, -0.03, 0.10, 0.09]) if pose == "standing" else np.array([0.14, -0.05, -0.06, 0.10])
        steps = [(float(step), 0.0) for step in spread * (0.8 + 0.2 * sway) + 0.025 * jitter]
    near = (foreleg(*steps[0], thick), hindleg(*steps[1], thick))
    far = (foreleg(*steps[2], 0.94 * thick), hindleg(*steps[3], 0.94 * thick))
    swing = 0.05 * sway
    tail = Limb.through(
        [
            *((-0.49, 0.90, 0.035), (-0.575, 0.84, 0.036), (-0.625 - swing, 0.68, 0.052)),
            *(
                (-0.64 - 1.6 * swing, 0.50, 0.062),
                (-0.63 - 2.2 * swing, 0.36, 0.045),
                (-0.615 - 2.4 * swing, 0.27, 0.006),
            ),
        ],
    )
    shoulder = [(0.30, 0.93, 0.002), (0.40, 0.80, 0.010), (0.44, 0.68, 0.010), (0.40, 0.60, 0.002)]
    elbow = [(0.20, 0.60, 0.002), (0.205, 0.54, 0.012), (0.24, 0.50, 0.010), (0.27, 0.47, 0.002)]
    thigh = [(-0.20, 0.74, 0.002), (-0.185, 0.64, 0.010), (-0.205, 0.555, 0.014), (-0.25, 0.50, 0.004)]
    jaw = head(np.array([(0.02, -0.145), (0.065, -0.105), (0.07, -0.05), (0.05, 0.0)]))
    cheek = [(x, y, w) for (x, y), w in zip(jaw.tolist(), (0.007, 0.009, 0.007, 0.002), strict=True)]
    folds = [Limb.through(knots, 16) for knots in (shoulder, elbow, thigh, cheek)]
    return Animal(pose, trunk, spine, head, near, far, tail, mane, locks, folds)
