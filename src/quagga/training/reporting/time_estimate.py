"""Measures how fast a run trains and estimates how long it will take."""

from collections.abc import Mapping
from typing import Any

from quagga.recipe_files import half_hour_recipe

UNMEASURED_STEPS = 2  # not measured: networks are compiled, memory is allocated, algorithms are tried
SETTLED_SECONDS = 10.0  # of steps after those, from which on the speed is reliable
SPEED_WINDOW = 30.0  # seconds of steps over which speed is measured: at least this, at most twice as many
LONG_RUN = 43_200.0  # seconds of a run on a CPU, from which on a shorter run is suggested
SHORT_RUN = 1800.0  # seconds of the suggested run
SMALL_SIZE = 64  # pixels of its pictures, if they are larger
MIN_IMAGES = 100  # a run of fewer images shows nothing


class SpeedMeter:
    """Measures the images per second of a run's last steps."""

    def __init__(self):
        self.steps, self.was_reported = 0, False
        # Each is (images seen, seconds of steps). The next window begins at `next_start`.
        self.window_start, self.next_start, self.latest = (0, 0.0), (0, 0.0), (0, 0.0)

    def update(self, seen: int, train_seconds: float) -> None:
        """Notes that a step has ended, after so many images and seconds of steps."""
        self.steps, self.latest = self.steps + 1, (seen, train_seconds)
        if self.steps <= UNMEASURED_STEPS or seen < self.next_start[0]:  # the latter: the run was rolled back
            self.window_start = self.next_start = self.latest
        elif train_seconds - self.next_start[1] >= SPEED_WINDOW:
            self.window_start, self.next_start = self.next_start, self.latest

    @property
    def images_per_second(self) -> float | None:
        """Images per second; None: not known yet."""
        images, seconds = self.latest[0] - self.window_start[0], self.latest[1] - self.window_start[1]
        return images / seconds if images > 0 and seconds > 0 else None

    def settled_speed(self) -> float | None:
        """Returns `images_per_second` once, as soon as it is reliable; None before and afterwards."""
        seconds = self.latest[1] - self.window_start[1]
        if self.was_reported or self.steps <= UNMEASURED_STEPS or seconds < SETTLED_SECONDS:
            return None
        self.was_reported = True
        return self.images_per_second


def time_estimate_line(
    per_second: float, seen: int, length: int, config: Mapping[str, Any], device: str, processes: int, begins: bool
) -> str:
    """Returns a line that says how long a run takes at this speed; if that is days on a CPU, the line also suggests a
    run of half an hour.

    Args:
        per_second: images per second.
        seen: images so far.
        length: images of the run.
        config: all options.
        device: torch's device type.
        processes: number of processes that train.
        begins: whether this start is the run's first; otherwise only the rest is estimated.
    """
    size_option = next((name for name in ("crop_size", "size") if config.get(name)), None)
    has_phases = config.get("phases") is not None  # each has a speed of its own
    pixels = f" at {config[size_option]} pixels" if size_option and not has_phases else ""
    hardware = f"{processes} x {device}" if processes > 1 else "this CPU" if device == "cpu" else "this GPU"
    seconds = (length if begins else length - seen) / per_second
    part = "the whole run" if begins else "what is left"
    line = f"at this speed ({per_second:.3g} images/s{pixels} on {hardware}) {part} takes about"
    line = f"{line} {format_duration(seconds)}"
    if has_phases:
        return f"{line}, and another time where a phase has another size or batch"
    if device != "cpu" or not begins or seconds < LONG_RUN:
        return line
    if recipe := half_hour_recipe(config.get("pipeline")):
        return f"{line}. `quagga train --recipe {recipe}`, with the same pictures, takes about half an hour"
    size = config[size_option] if size_option else SMALL_SIZE
    smaller = min(size, SMALL_SIZE)
    images = round(per_second * (size / smaller) ** 2 * SHORT_RUN)  # the time of a step grows with its pixels
    images = round(images, 2 - len(str(images)))
    if images < MIN_IMAGES:
        return line
    changes = {**(scaled_sizes(smaller, size, size_option, config) if size_option else {}), "images": images}
    arguments = " ".join(f"--{option} {value}" for option, value in changes.items())
    return f"{line}. With {arguments}, and another --output, it takes about half an hour"


def scaled_sizes(size: int | None, own: int | None, name: str, config: Mapping[str, Any]) -> dict[str, int]:
    """Returns the options for another size: that of the crop and, in the same ratio, that of what it is cut from.

    Args:
        size: the new size in pixels.
        own: the size so far.
        name: the option that holds it.
        config: all options.
    """
    if size is None or own is None or size == own:
        return {}
    load_size = (
        {"load_size": round(config["load_size"] * size / own)} if name == "crop_size" and "load_size" in config else {}
    )
    return {name: size, **load_size}


def format_duration(seconds: float) -> str:
    """Returns a time in its two largest units: "2 d 3 h", "3 h 12 min", "5 min 10 s"."""
    for length, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} {seconds % length // smaller:.0f} {name}"
    return f"{seconds:.0f} s"
