"""Six faults whose detection is measured by benchmarks/diagnoses.py, on planted faults and on healthy runs."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from quagga.diagnoses.readings import MIN_POINTS, Diagnosis, Point, Readings

# Fixed on seeds 0 and 1 of benchmarks/diagnoses.py; what its results report is of other seeds.
COPY_CHANGE = 0.12  # G(x) - x, as a share of the difference of two inputs: below it G copies
SEEN_THROUGH = 0.75  # accuracy of D of late: above it D sees that nothing was translated
D_WON = 0.985  # accuracy of D; small GANs that learn well come above it too, so
LOSS_LEFT = 0.04  # D's loss must also be below this share of its highest, that of a D that guesses
NO_VARIETY = 0.25  # difference of two outputs, as a share of that of two pictures
DROPPED = 0.2  # share of a kind among the samples, as a part of what it would be if all kinds were equally frequent
INVERTED = -0.3  # correlation of light and dark
NO_CONTRAST, NO_SATURATION = 0.4, 0.35  # as shares of those of real pictures
RICHER = 1.4  # compressed size of x as a multiple of that of y
TWINS = 0.5  # share of inputs that are also on the other side
STARVED = 0.3  # of the time between two points is spent waiting for pictures


def copies(readings: Readings) -> Diagnosis | None:
    """G gives back what it is given, and D is not fooled by it."""
    for title, curve in readings.named("/change", "strips/"):
        found = readings.lasting(curve, lambda change: change < COPY_CHANGE, may_mend=True)
        if found is None or not _seen_through(readings, title):
            continue
        since, change = found
        evidence = (
            f"in the strip {title} the output differs from its input by {change:.0%} of what two inputs differ by"
        )
        weights = ("lambda_identity", "lambda_X", "lambda_cycle", "lambda_rec")  # what holds G to its input
        set_high = [(name, readings.config.get(name)) for name in weights]
        lower = [(name, f"{value / 4:g}") for name, value in set_high if isinstance(value, int | float) and value > 0]
        remedies = readings.remedies(*lower[:1], ("lr", f"{2 * readings.config.get('lr', 2e-4):g}"))
        return Diagnosis("G copies its input", True, since, evidence, remedies)
    return None


def _seen_through(readings: Readings, title: str) -> bool:
    """Whether something says that a copy is not what was asked for: of partners their distance, which is no smaller
    than without G; else D, which tells the copies from real pictures."""
    partners = readings.curves.get(f"strips/{title}/gap")
    if partners:
        return readings.lasting(partners, lambda gap: gap > 0.8) is not None
    judge = f"D_{title.split()[-1].upper()}/accuracy"
    newest = (readings.curves.get(judge) or readings.curves.get("D/accuracy", []))[-MIN_POINTS:]
    return sum(point.value for point in newest) > SEEN_THROUGH * max(len(newest), 1)


def discriminator_has_won(readings: Readings) -> Diagnosis | None:
    """D decides rightly all the time: what it tells G has no slope left, or G cannot follow."""
    for name, curve in readings.named("/accuracy"):
        loss = readings.curves.get(f"discriminators/{name}", [])
        highest = max((point.value for point in loss), default=0.0)
        found = readings.lasting(loss, lambda value, highest=highest: value < LOSS_LEFT * highest)
        sure = readings.lasting(curve, lambda accuracy: accuracy > D_WON)
        if found is None or sure is None:
            continue
        since, accuracy = max(found[0], sure[0]), sure[1]
        real, fake = (readings.curves.get(f"{name}/{which}", []) for which in ("real", "fake"))
        logits = f", its mean logit is {real[-1].value:.2g} for real and {fake[-1].value:.2g} for fake" if fake else ""
        lr = readings.config.get("lr_discriminator") or readings.config.get("lr", 2e-4)
        remedies = readings.remedies(("lr_discriminator", f"{lr / 4:g}"), ("penalty", "r1 --lambda_penalty 1"))
        evidence = f"{name} is right in {accuracy:.1%} of its decisions, its loss is {found[1] / highest:.1%} of its"
        return Diagnosis("D has won", True, since, f"{evidence} highest{logits}", remedies)
    return None


def modes_collapse(readings: Readings) -> Diagnosis | None:
    """What G makes is one picture, or few; or kinds of pictures are never made."""
    remedies = readings.remedies(
        ("penalty", "r1 --lambda_penalty 1"), ("diffaugment", "'[translation, cutout]'"), ("lr", _part(readings, "lr"))
    )
    for name, curve in _varieties(readings):
        if found := readings.lasting(curve, lambda variety: variety < NO_VARIETY, may_mend=True):
            what = f"in the strip {name} two outputs" if name else "two samples"
            evidence = f"{what} differ by {found[1]:.0%} of what two held-out pictures differ by"
            return Diagnosis("modes have collapsed", True, found[0], evidence, remedies)
    kinds = list(readings.named("", "held_out/share/"))
    for name, curve in kinds:
        had = max((p.value for p in curve if p.images >= readings.opening(curve[-1].images)), default=0.0)
        if len(kinds) < 2 or had < 1 / (
            2 * len(kinds)
        ):  # young samples resemble no kind: what was never made, may come
            continue
        if found := readings.lasting(curve, lambda share: share < DROPPED / len(kinds), may_mend=True):
            evidence = (
                f"{found[1]:.1%} of the samples are nearest to {name}, one of {len(kinds)} kinds; it was {had:.0%}"
            )
            return Diagnosis("modes have been dropped", True, found[0], evidence, remedies)
    return None


def _varieties(readings: Readings) -> Iterator[tuple[str, list[Point]]]:
    """Yields strips' titles and how much their outputs vary; if there is no such strip, "" and the held-out curve. Of
    pale pictures two differ less: that is no fault of their variety, which counts as a share of their contrast."""
    strips = list(readings.named("/variety", "strips/"))
    for title, curve in strips:
        contrast = {point.images: point.value for point in readings.curves.get(f"strips/{title}/contrast", [])}
        of_contrast = [(point, min(1.0, max(contrast.get(point.images, 1.0), 0.01))) for point in curve]
        yield title, [Point(point.images, point.value / most) for point, most in of_contrast]
    if not strips:
        yield from readings.named("diversity", "held_out/")


def sides_exchanged(readings: Readings) -> Diagnosis | None:
    """Both sides hold the same pictures; or in pairs the drawing is the target, and the photo what it is made of."""
    for _, curve in readings.named("/same", "strips/"):
        if curve[-1].value >= TWINS:
            evidence = (
                f"of the held-out pictures of x, {curve[-1].value:.0%} are also pictures of y: there is nothing to"
            )
            evidence += " translate. Give each side its own folder with --x and --y"
            return Diagnosis("both sides hold the same pictures", True, curve[0].images, evidence)
    for title, curve in readings.named("/detail", "strips/"):
        if f"strips/{title}/gap" in readings.curves and curve[-1].value > RICHER:
            evidence = (
                f"x holds {curve[-1].value:.1f} times the detail of y, its partner: G learns to make the drawing of"
            )
            evidence += " the photo"
            side = {"left": "right", "right": "left"}.get(str(readings.config.get("side")))
            remedies = readings.remedies(("side", side)) if side else ()
            evidence += "" if remedies else ". Exchange the folders of --x and --y, if you meant the other way"
            return Diagnosis("the sides are exchanged", True, curve[0].images, evidence, remedies)
    return None


def colours_wrong(readings: Readings) -> Diagnosis | None:
    """Light is dark in what G makes, or it is grey, or pale."""
    identity = ("lambda_identity", max(1.0, 2 * _number(readings, "lambda_identity")))
    one_way = ("lambda_Y", max(1.0, 2 * _number(readings, "lambda_Y")))
    for title, own in readings.named("/light", "strips/"):
        partners = readings.curves.get(f"strips/{title}/light_y")
        found = readings.lasting(partners or own, lambda light: light < INVERTED, may_mend=True)
        if found is None:
            continue
        beside = "its partner" if partners else "its input"
        evidence = f"in the strip {title} light and dark of an output and {beside} have a correlation of {found[1]:.2f}"
        remedies = readings.remedies(identity, one_way, ("skip", "true"))
        return Diagnosis("colours are inverted", True, found[0], evidence, remedies)
    for end, least in (("contrast", NO_CONTRAST), ("saturation", NO_SATURATION)):
        for title, curve in readings.named(f"/{end}", "strips/"):
            if found := readings.lasting(curve, lambda share, least=least: share < least, may_mend=True):
                evidence = f"in the strip {title} the {end} is {found[1]:.0%} of that of real pictures"
                seen = ("diffaugment", "'[translation, cutout]'") if "color" in _augmented(readings) else identity
                remedies = readings.remedies(seen, ("lambda_gan", max(1.0, 2 * _number(readings, "lambda_gan"))))
                return Diagnosis("colours are washed out", True, found[0], evidence, remedies)
    return None


def data_starve(readings: Readings) -> Diagnosis | None:
    """The device waits for pictures."""
    found = readings.lasting(waiting_share(readings), lambda share: share > STARVED)
    if found is None:
        return None
    workers = int(_number(readings, "workers"))
    evidence = f"{found[1]:.0%} of the time is spent waiting for pictures"
    remedies = readings.remedies(("workers", max(2, 2 * workers)), ("cache", "ram"))
    return Diagnosis("data starve the device", True, found[0], evidence, remedies)


def waiting_share(readings: Readings) -> list[Point]:
    """Returns the share of the time between two points that was spent waiting for data. The first is left out: there
    workers start, and caches fill."""
    waited = readings.curves.get("speed/seconds_waiting_for_data", [])
    speed = {point.images: point.value for point in readings.curves.get("speed/images_per_second", [])}
    return [
        Point(point.images, point.value * speed[point.images] / (point.images - before.images))
        for before, point in pairwise(waited)
        if point.images in speed
    ]


def _augmented(readings: Readings) -> Sequence[str]:
    policies = readings.config.get("diffaugment")
    return policies if isinstance(policies, list | tuple) else ()


def _number(readings: Readings, name: str) -> float:
    value = readings.config.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _part(readings: Readings, name: str) -> str:
    return f"{_number(readings, name) / 2:g}"
