"""Faults that are said as hints: nobody has measured how often they are found, and how often falsely."""

from itertools import pairwise
from statistics import median

from quagga.diagnoses.readings import MIN_POINTS, Diagnosis, Readings

GROWN = 30.0  # the gradient's norm, as a multiple of its median so far
GRID = 0.15  # share of the fine structure that repeats every so many pixels
LAG = 0.5  # difference of averaged and raw outputs, as a share of the change of the input
BY_HEART = 0.5  # of the distance of real from fake logits, by which held-out pictures seem less real than trained ones
SAME_FOR_ALL = 0.03  # difference of two conditions' outputs, as a share of that of two pictures
LEAST_CHANGE = 0.12  # of an input, as a share of what two inputs differ by
RIM = 2.0  # change in the frame around the middle half, as a multiple of that within it
LAYERS = {2: "the last layer that doubles the size", 4: "the layer before the last that doubles the size"}


def gradients_grow(readings: Readings) -> Diagnosis | None:
    """The gradient's norm rises from point to point, far above what it was: NaN is next."""
    for side, curve in readings.named("", "gradient/"):
        norms = [point.value for point in curve]
        if len(norms) < 2 * MIN_POINTS or curve[-MIN_POINTS].images < readings.opening(curve[-1].images):
            continue
        usual, newest = median(norms[:-MIN_POINTS]), norms[-MIN_POINTS:]
        if newest[-1] > GROWN * usual > 0 and all(a < b for a, b in pairwise(newest)):
            lr = readings.config.get("lr", 2e-4)
            evidence = f"the gradient of the {side} is {newest[-1]:.3g}, its median was {usual:.3g}, and it rises"
            remedies = readings.remedies(("clip_gradients", 1), ("lr", f"{lr / 2:g}"))
            return Diagnosis("gradients grow towards NaN", False, curve[-MIN_POINTS].images, evidence, remedies)
    return None


def checkerboard(readings: Readings) -> Diagnosis | None:
    """A pattern repeats every 2, 4 or 8 pixels: the stride of a layer is seen."""
    for title, curve in readings.named("/grid8", "strips/"):
        found = readings.lasting(curve, lambda share: share > GRID)
        if found is None:
            continue
        # What repeats every 2 pixels also does every 4 and 8: the least period that holds most of it is the layer's.
        shares = {period: readings.curves.get(f"strips/{title}/grid{period}", curve)[-1].value for period in (2, 4)}
        period = next((period for period, share in shares.items() if share > 0.6 * curve[-1].value), 8)
        layer = LAYERS.get(period, "an early layer that doubles the size")
        evidence = f"in the strip {title} {found[1]:.0%} of the fine structure repeats every {period} pixels: {layer}"
        remedies = readings.remedies(("upsample", "resize"))
        return Diagnosis("a checkerboard stays", False, found[0], evidence, remedies)
    return None


def averages_lag(readings: Readings) -> Diagnosis | None:
    """Averaged weights, with which pictures are translated, make other pictures than those that are trained."""
    for title, curve in readings.named("/lag", "strips/"):
        change = {point.images: point.value for point in readings.curves.get(f"strips/{title}/change", [])}
        shares = [
            point._replace(value=point.value / max(change[point.images], 0.2))
            for point in curve
            if point.images in change
        ]
        if found := readings.lasting(shares, lambda share: share > LAG):
            evidence = f"in the strip {title} averaged and raw weights differ by {found[1]:.0%} of what they change"
            remedies = readings.remedies(("ema_halflife", round(_number(readings, "ema_halflife") / 4)))
            return Diagnosis("averaged weights lag behind", False, found[0], evidence, remedies)
    return None


def learned_by_heart(readings: Readings) -> Diagnosis | None:
    """D calls pictures real that it was trained on, and others less so."""
    for name, held_out in readings.named("/real", "held_out/"):
        real, fake = (readings.curves.get(f"{name}/{which}", []) for which in ("real", "fake"))
        trained = {a.images: (a.value, b.value) for a, b in zip(real, fake, strict=False) if a.images == b.images}
        shares = [
            point._replace(value=(trained[point.images][0] - point.value) / (own[0] - own[1]))
            for point in held_out
            if (own := trained.get(point.images)) and own[0] - own[1] > 0.1
        ]
        if found := readings.lasting(shares, lambda share: share > BY_HEART):
            evidence = (
                f"{name} finds held-out pictures less real than trained ones, by {found[1]:.0%} of the distance to"
            )
            evidence += " fakes"
            remedies = readings.remedies(
                ("diffaugment", "'[translation, cutout]'"), ("penalty", "r1 --lambda_penalty 1")
            )
            return Diagnosis("D knows its pictures by heart", False, found[0], evidence, remedies)
    return None


def condition_ignored(readings: Readings) -> Diagnosis | None:
    """Whatever is asked for, the pictures are the same."""
    for title, curve in readings.named("/condition", "strips/"):
        if found := readings.lasting(curve, lambda share: share < SAME_FOR_ALL):
            evidence = (
                f"in the strip {title} pictures of two conditions differ by {found[1]:.1%} of what two inputs differ"
            )
            evidence += " by"
            cls = ("lambda_cls", f"{2 * _number(readings, 'lambda_cls'):g}")
            remedies = readings.remedies(cls, ("conditional_discriminator", "true"), ("mismatched", "true"))
            return Diagnosis("the condition is ignored", False, found[0], evidence, remedies)
    return None


def background_changes(readings: Readings) -> Diagnosis | None:
    """What stands in the middle stays, and what is around it changes."""
    for title, curve in readings.named("/rim", "strips/"):
        change = readings.curves.get(f"strips/{title}/change", [])
        if f"strips/{title}/gap" in readings.curves or not change or change[-1].value < LEAST_CHANGE:
            continue  # partners say what is to change; and of nearly nothing it does not matter where it is
        if found := readings.lasting(curve, lambda ratio: ratio > RIM):
            evidence = f"in the strip {title} the outer frame changes {found[1]:.1f} times as much as the middle"
            remedies = readings.remedies(("skip", "true"), ("lambda_identity", 1.0), ("lambda_Y", 2.0))
            name = "foreground and background are exchanged"
            return Diagnosis(name, False, found[0], evidence, remedies)
    return None


def _number(readings: Readings, name: str) -> float:
    value = readings.config.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
