"""`quagga data check`: what is wrong with pictures, before training finds it."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from quagga import BadInput
from quagga.pipelines.whole import write_file
from quagga.pipelines.words import read_line

if TYPE_CHECKING:
    from quagga.data.conditioned import Conditioned
    from quagga.data.findings import Report
    from quagga.data.pictures import Pictures


OF_DOMAINS = ("x", "y", "pairs", "paired", "side", "x_as", "labels", "crop_size", "strict", "list", "write")
OF_A_TABLE = ("pictures", "file", "label", "caption", "split", "group")
FLAGS = ("--paired", "--strict", "--list")  # mean true where they stand without a value


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
        table: pictures with conditions, or of two domains: a CSV, TSV or JSON file with a line for each.
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
        list: name everything that is found, not three of each.
        write: a CSV file that is written, a list for training without copies, leaks and what training would refuse.
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
    list: bool = False
    write: str | None = None


Listed = Callable[[str], tuple[str, Callable[[], object]]]  # a list's name -> the words after `quagga train` that train
# on it, and what makes its data


class Looked(NamedTuple):
    """What `looked_through` has found."""

    report: "Report"
    command: str  # the words after `quagga train` that train on these pictures
    listed: Listed


def check(argv: list[str]) -> None:
    """Obeys `quagga data check ARGV...`. Raises BadInput where training would stop."""
    words, chosen = read_line(argv, "quagga data check ROOT", Check, FLAGS)
    if chosen is None:
        return
    if len(words) > 1 or (words and chosen.root is not None):
        raise BadInput("name one folder: quagga data check ROOT")
    if words:
        chosen = replace(chosen, root=words[0])
    clean = None if chosen.write is None else free(Path(chosen.write).expanduser())
    report, command, listed = looked_through(chosen)
    print("\n".join(report.in_full if chosen.list else report.lines), end="\n\n")
    if clean is not None:
        write(report, clean)
        command, again = listed(str(clean))
        report = tried(report._replace(findings=[one for one in report.findings if not one.fatal], refused=""), again)
    if report.fatal:
        raise BadInput(f"training would stop: {report.fatal}" + (", see above" if clean is None else ""))
    if report.warnings and chosen.strict:
        raise BadInput(f"{report.warnings} warnings, see above: without --strict they are no error")
    print(f"training can start: quagga train {command} {report.options}".rstrip())


def free(path: Path) -> Path:
    """A place for a list. Raises BadInput where there is something already, or its name is not that of a CSV file."""
    if path.suffix.lower() != ".csv":
        raise BadInput(f"--write {path}: a list is a CSV file, such as clean.csv")
    if path.exists() or path.is_symlink():
        raise BadInput(f"{path} exists: name another list with --write, or remove it")
    return path


def write(report: "Report", path: Path) -> None:
    """Writes the list of what stays, and says what does not. Raises BadInput where nothing can be written."""
    from quagga.data.clean import as_csv, cleaned, told

    if report.entries is None:
        raise BadInput(f"these pictures are no files that {path} could list: leave out --write")
    clean = cleaned(report.entries)
    content = as_csv(clean.kept, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except OSError as error:
        raise BadInput(f"cannot write {path} ({error.strerror}): name another place with --write") from None
    print(told(clean, path))


def looked_through(chosen: Check) -> Looked:
    """Looks at all pictures."""
    from tqdm import tqdm

    from quagga.data.check import check as look
    from quagga.data.check_pairs import check_pairs
    from quagga.data.recognise import are_pairs
    from quagga.data.sides import lists_sides, sides_in_table

    places = chosen.root, chosen.x, chosen.y
    given = {"root": chosen.root, "x": chosen.x, "y": chosen.y, "pairs": chosen.pairs}
    words = said(given)
    cut = f" --load_size {chosen.crop_size} --crop_size {chosen.crop_size}" if chosen.crop_size != 256 else ""
    with tqdm(unit="picture", disable=None, leave=False) as bar:
        if chosen.paired or chosen.pairs is not None or chosen.x_as != "picture" or are_pairs(chosen.root):
            made = f" --x_as {chosen.x_as}" if chosen.x_as != "picture" else ""
            made += f" --labels {chosen.labels}" if chosen.labels is not None else ""
            of_y = chosen.x_as in ("edges", "grey")
            report = check_pairs(*places, chosen.pairs, of_y, chosen.side, chosen.crop_size, bar.update, bar.reset)
            report = tried(report, partial(pairs_of, chosen))

            def pairs_listed(path: str) -> tuple[str, Callable[[], object]]:
                only = replace(chosen, root=None, x=None, y=None, pairs=path)
                return f"pix2pix {said({'pairs': path, **named(report)})}{cut}{made}", partial(pairs_of, only)

            return Looked(report, f"pix2pix {words}{cut}{made}", pairs_listed)
        sides = chosen.table is not None and not (chosen.condition or chosen.label or chosen.caption)
        if conditioned(chosen) and not (sides and lists_sides(chosen.table or "")):
            from quagga.data.check_conditions import check_rows

            rows, command, again, rows_listed = rows_of(chosen)
            return Looked(tried(check_rows(rows, bar.update, bar.reset), again), command, rows_listed)
        report = look(*places, chosen.table, chosen.crop_size, bar.update, bar.reset)

        def sides_listed(path: str) -> tuple[str, Callable[[], object]]:
            return f"cyclegan {said({'table': path, **named(report)})}{cut}", partial(sides_in_table, path)

        return Looked(report, f"cyclegan {said({**given, 'table': chosen.table})}{cut}", sides_listed)


def said(options: dict[str, str | None]) -> str:
    """Options as they are typed; those that are None are left out."""
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in options.items() if value is not None)


def named(report: "Report") -> dict[str, str | None]:
    """What the sides are called, which a list does not say, as options."""
    return {f"{side}_name": name for side, name in report.names.items() if name != side}


def tried(report: "Report", again: Callable[[], object]) -> "Report":
    """The report, after the pictures have been taken as training takes them, which passes over nothing."""
    if not report.fatal:
        try:
            again()
        except BadInput as error:
            return report._replace(refused=str(error))
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


def rows_of(chosen: Check) -> tuple["Conditioned | Pictures", str, Callable[[], object], Listed]:
    """The pictures, the words after `quagga train` that train on them, what makes them as training does, which passes
    over nothing, and the same for a list of them."""
    from quagga.data.collection import in_folder
    from quagga.data.conditioned import Conditioned, table_of
    from quagga.data.labels import lists_files_only
    from quagga.data.pictures import Pictures

    options = {name: value for name, value in vars(chosen).items() if value is not None and name not in OF_DOMAINS}
    reading = {"unreadable": "skip", "workers": 0}

    def words_of(options: dict[str, Any]) -> str:
        names = json.dumps(options["names"], ensure_ascii=False) if options.get("names") else None
        return said({**{name: str(value) for name, value in options.items()}, "names": names})

    def of(kind: type["Conditioned"] | type["Pictures"], pipeline: str) -> Any:
        kept = {name: value for name, value in options.items() if name not in ("root", "table", *OF_A_TABLE)}

        def listed(path: str) -> tuple[str, Callable[[], object]]:
            own = {"table": path, **kept}
            return f"{pipeline} {words_of(own)}", partial(kind, **own, workers=0)

        return kind(**options, **reading), f"{pipeline} {words_of(options)}", partial(kind, **options), listed

    unnamed = not any(options.get(name) for name in ("condition", *OF_A_TABLE))
    if chosen.table is not None and unnamed and lists_files_only(chosen.table):
        return of(Pictures, "gan")
    if chosen.table is None and chosen.condition is None and chosen.root is not None:
        root = Path(chosen.root).expanduser()
        if table_of(root, "class") is None and len(set(in_folder(root).labels or ())) < 2:
            for name in OF_A_TABLE:
                if name in options:
                    raise BadInput(f"--{name} says something of a table, and there is none: name it with --table FILE")
            return of(Pictures, "gan")
    return of(Conditioned, "conditional")
