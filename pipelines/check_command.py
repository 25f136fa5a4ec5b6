"""`quagga data check`: what is wrong with pictures, before training finds it."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quagga import BadInput
from quagga.pipelines.words import read_line

if TYPE_CHECKING:
    from quagga.data.check import Report
    from quagga.data.conditioned import Conditioned
    from quagga.data.pictures import Pictures


OF_DOMAINS = ("x", "y", "pairs", "paired", "side", "x_as", "labels", "crop_size", "strict")
FLAGS = ("--paired", "--strict")  # mean true where they stand without a value


@dataclass(frozen=True)
class Check:
    """What is wrong with the pictures, before training finds it; ends with 2 where training would stop.

    Args:
        root: a folder that holds trainA and trainB, perhaps testA and testB; or any that `quagga train conditional` or
            `quagga train gan` takes; it may be typed without --root.
        x: instead of root, the folder of domain X.
        y: instead of root, the folder of domain Y.
        pairs: instead of both, a list of pairs, CSV or JSON.
        paired: take the pictures of two folders, or of a root, as pairs; a root whose train holds pictures twice as
            wide as high is taken so by itself.
        side: which half of side-by-side pictures is x.
        x_as: what x of pairs is: a picture, labels, or made of y, edges and grey, which need no pairs, --y DIR.
        labels: how many labels there are where their colours are noisy.
        crop_size: pixels a side that training will cut out.
        table: pictures with conditions: a CSV, TSV or JSON file with a line for each.
        pictures: the folder of the table's files.
        condition: what its pictures are conditioned on; None: classes where they are known, else nothing.
        names: the classes, attributes or words that count.
        file: column of the table that names the file, if not by a usual name; so are the following.
        label: column of the class.
        caption: column of the caption.
        split: column that says train or test.
        group: column of what stays on one side of the split.
        size: side in pixels to which these pictures are brought; None: their own, or near it.
        strict: also end with 2 where there are warnings.
    """

    root: str | None = None
    x: str | None = None
    y: str | None = None
    pairs: str | None = None
    paired: bool = False
    side: Literal["left", "right"] = "left"
    x_as: Literal["picture", "labels", "edges", "grey"] = "picture"
    labels: int | None = None
    crop_size: int = 256
    table: str | None = None
    pictures: str | None = None
    condition: Literal["class", "attributes", "caption"] | None = None
    names: list[str] | None = None
    file: str | None = None
    label: str | None = None
    caption: str | None = None
    split: str | None = None
    group: str | None = None
    size: int | None = None
    strict: bool = False


def check(argv: list[str]) -> None:
    """Obeys `quagga data check ARGV...`. Raises BadInput where training would stop."""
    words, chosen = read_line(argv, "quagga data check ROOT", Check, FLAGS)
    if chosen is None:
        return
    if len(words) > 1 or (words and chosen.root is not None):
        raise BadInput("name one folder: quagga data check ROOT")
    if words:
        chosen = replace(chosen, root=words[0])
    report, command = looked_through(chosen)
    print("\n".join(report.lines), end="\n\n")
    if report.fatal:
        raise BadInput(f"training would stop: {report.fatal}, see above")
    if report.warnings and chosen.strict:
        raise BadInput(f"{report.warnings} warnings, see above: without --strict they are no error")
    print(f"training can start: quagga train {command} {report.options}".rstrip())


def looked_through(chosen: Check) -> tuple["Report", str]:
    """What is found, and the words after `quagga train` that train on these pictures."""
    from tqdm import tqdm

    from quagga.data.check import check as look
    from quagga.data.check_pairs import check_pairs
    from quagga.data.recognise import are_pairs

    places = chosen.root, chosen.x, chosen.y
    given = {"root": chosen.root, "x": chosen.x, "y": chosen.y, "pairs": chosen.pairs}
    words = " ".join(f"--{name} {shlex.quote(value)}" for name, value in given.items() if value)
    cut = f" --load_size {chosen.crop_size} --crop_size {chosen.crop_size}" if chosen.crop_size != 256 else ""
    with tqdm(unit="picture", disable=None, leave=False) as bar:
        if chosen.paired or chosen.pairs is not None or chosen.x_as != "picture" or are_pairs(chosen.root):
            made = f" --x_as {chosen.x_as}" if chosen.x_as != "picture" else ""
            made += f" --labels {chosen.labels}" if chosen.labels is not None else ""
            if chosen.x_as in ("edges", "grey") and chosen.y is not None and chosen.x is None:
                from quagga.data.check_conditions import check_rows
                from quagga.data.pictures import Pictures

                photos = Pictures(root=chosen.y, size=chosen.crop_size, unreadable="skip", workers=0)
                report = check_rows(photos, bar.update, bar.reset)
            else:
                report = check_pairs(*places, chosen.pairs, chosen.side, chosen.crop_size, bar.update, bar.reset)
            return tried(report, partial(pairs_of, chosen)), f"pix2pix {words}{cut}{made}"
        if conditioned(chosen):
            from quagga.data.check_conditions import check_rows

            rows, command, again = rows_of(chosen)
            return tried(check_rows(rows, bar.update, bar.reset), again), command
        return look(*places, chosen.crop_size, bar.update, bar.reset), f"cyclegan {words}{cut}"


def tried(report: "Report", again: Callable[[], object]) -> "Report":
    """The report, after the pictures have been taken as training takes them, which passes over nothing."""
    if not report.fatal:
        try:
            again()
        except BadInput as error:
            return report._replace(fatal=str(error))
    return report


def pairs_of(chosen: Check) -> object:
    """The pairs as training makes them."""
    from quagga.data.paired import Paired

    return Paired(
        root=chosen.root,
        x=chosen.x,
        y=chosen.y,
        pairs=chosen.pairs,
        side=chosen.side,
        x_as=chosen.x_as,
        labels=chosen.labels,
        load_size=chosen.crop_size,
        crop_size=chosen.crop_size,
        workers=0,
    )


def conditioned(chosen: Check) -> bool:
    """Whether these are pictures for a game with conditions, or of noise, and not two domains."""
    if chosen.x or chosen.y or (chosen.root is None and chosen.table is None):
        return False
    asked = chosen.table is not None or chosen.condition is not None
    return asked or not any((Path(chosen.root or "").expanduser() / name).exists() for name in ("trainA", "trainB"))


def rows_of(chosen: Check) -> tuple["Conditioned | Pictures", str, Callable[[], object]]:
    """The pictures, the words after `quagga train` that train on them, and what makes them as training does, which
    passes over nothing."""
    from quagga.data.collection import in_folder
    from quagga.data.conditioned import Conditioned, table_of
    from quagga.data.pictures import Pictures

    options = {name: value for name, value in vars(chosen).items() if value is not None and name not in OF_DOMAINS}
    words = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if name != "names")
    if chosen.names:
        words += f" --names {shlex.quote(json.dumps(chosen.names, ensure_ascii=False))}"
    reading = {"unreadable": "skip", "workers": 0}
    if chosen.table is None and chosen.condition is None and chosen.root is not None:
        root = Path(chosen.root).expanduser()
        if table_of(root, "class") is None and len(set(in_folder(root).labels or ())) < 2:
            for name in ("pictures", "file", "label", "caption", "split", "group"):
                if name in options:
                    raise BadInput(f"--{name} says something of a table, and there is none: name it with --table FILE")
            return Pictures(**options, **reading), f"gan {words}", partial(Pictures, **options)
    return Conditioned(**options, **reading), f"conditional {words}", partial(Conditioned, **options)
