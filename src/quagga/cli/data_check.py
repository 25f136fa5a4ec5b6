"""`quagga data check`: finds what is wrong with pictures, before training does."""

import json
import shlex
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from quagga.atomic import write_file
from quagga.cli.options.positional import parse_line
from quagga.errors import BadInput
from quagga.option_groups import call_flat, flat_parameters
from quagga.pipelines import PIPELINES

if TYPE_CHECKING:
    from quagga.data.checks.findings import Report
    from quagga.data.conditioned import Conditioned
    from quagga.data.images import Pictures


DOMAIN_OPTIONS = ("x", "y", "pairs", "paired", "side", "x_as", "labels", "crop_size", "strict", "list", "write")
TABLE_OPTIONS = ("pictures", "file", "label", "caption", "split", "group")
FLAGS = ("--paired", "--strict", "--list")  # mean true where they stand without a value


@dataclass(frozen=True)
class Check:
    """What is wrong with the pictures, before training finds it; ends with 2 where training would stop.

    Args:
        root: folder of pictures; it holds trainA and trainB, and optionally testA and testB; or it holds pictures
            alone, or a folder for each class. It may be typed without --root.
        x: folder of domain X, in place of root.
        y: folder of domain Y, in place of root.
        pairs: CSV or JSON list of pairs, in place of both.
        paired: take the pictures as pairs; of two folders, or of a root. A root whose train holds pictures twice as
            wide as high is taken so without it.
        side: half of a side-by-side picture that is x.
        x_as: what x of pairs is; edges and grey are made from y and need no pairs, --y DIR.
        labels: number of labels where their colours are noisy.
        crop_size: side of the crop that is trained on; in pixels.
        table: CSV, TSV or JSON table, in place of root; a line for each picture: pictures with conditions, or of two
            domains.
        pictures: folder of the table's files.
        condition: what the table says of a picture; None: classes where they are known, else nothing.
        names: classes, attributes or words to use.
        file: column of the table that names the file; None: one of the usual names. So are the following.
        label: column of the class.
        caption: column of the caption.
        split: column that says train or test.
        group: column of what must be in training or in the test as a whole.
        size: side of pictures with conditions; in pixels. None: their own, or near it.
        strict: end with exit code 2 for warnings too.
        list: name everything that is found, not three of each.
        write: CSV file to write, a list without faults; for training: without copies, leaks and what training would
            refuse.
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


# Of the path of a list: the arguments of `quagga train PIPELINE` for it, and what makes its dataset.
ForList = Callable[[str], tuple[str, Callable[[], object]]]


class CheckResult(NamedTuple):
    """The result of `check_pictures`."""

    report: "Report"
    dataset: type  # that reads these pictures
    known: Mapping[str, Any]  # options of a pipeline that follow from them
    arguments: str  # of `quagga train PIPELINE`, to train on them
    for_list: ForList


def check(argv: list[str]) -> None:
    """Runs `quagga data check ARGV...`. Raises BadInput where training would stop."""
    words, chosen = parse_line(argv, "quagga data check DIR", Check, FLAGS)
    if len(words) > 1 or (words and chosen.root is not None):
        raise BadInput("name one folder: quagga data check DIR")
    if words:
        chosen = replace(chosen, root=words[0])
    clean_list = None if chosen.write is None else new_csv_path(Path(chosen.write).expanduser())
    report, dataset, known, arguments, for_list = check_pictures(chosen)
    print("\n".join(report.in_full if chosen.list else report.lines), end="\n\n")
    if clean_list is not None:
        write_clean_list(report, clean_list)
        arguments, make_dataset = for_list(str(clean_list))
        remaining = [finding for finding in report.findings if not finding.fatal]
        report = with_refusal(report._replace(findings=remaining, refused=""), make_dataset)
    if report.fatal:
        raise BadInput(f"training would stop: {report.fatal}" + (", see above" if clean_list is None else ""))
    if report.warnings and chosen.strict:
        raise BadInput(f"{report.warnings} warnings, see above: without --strict they are no error")
    first, *others = pipelines_for(dataset, known)
    if others:
        print(f"they suit {', '.join([first, *others])}")
    print(f"training can start: quagga train {first} {arguments} {report.options}".rstrip())


def pipelines_for(dataset: type, known: Mapping[str, Any]) -> list[str]:
    """Returns the names of the pipelines that train on a dataset of this class, in the order of the table: those whose
    game can be made of what the data know, or if none can as it is, all.

    Args:
        dataset: The class.
        known: Options of a pipeline that follow from the data.
    """
    found = {name: import_module(module) for name, (module, _) in PIPELINES.items()}
    taking = {name: module.build for name, module in found.items() if module.data is dataset}
    return [name for name, build in taking.items() if can_be_made(build, known)] or [*taking]


def can_be_made(build: Callable[..., Any], known: Mapping[str, Any]) -> bool:
    """Returns whether a pipeline takes such data: one that takes classes may refuse captions."""
    import torch

    options = {name: value for name, value in known.items() if name in flat_parameters(build)}
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):  # networks without weights
            call_flat(build, **options)
    except BadInput:
        return False
    return True


def new_csv_path(path: Path) -> Path:
    """Returns the path. Raises BadInput if it exists, or is not named as a CSV file."""
    if path.suffix.lower() != ".csv":
        raise BadInput(f"--write {path}: a list is a CSV file, such as clean.csv")
    if path.exists() or path.is_symlink():
        raise BadInput(f"{path} exists: name another list with --write, or remove it")
    return path


def write_clean_list(report: "Report", path: Path) -> None:
    """Writes the list of the pictures without faults, and prints what it leaves out. Raises BadInput where it cannot be
    written."""
    from quagga.data.checks.clean_list import as_csv, clean, summary_line

    if report.entries is None:
        raise BadInput(f"these pictures are no files that {path} could list: leave out --write")
    cleaned = clean(report.entries)
    content = as_csv(cleaned.kept, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except OSError as error:
        raise BadInput(f"cannot write {path} ({error.strerror}): name another place with --write") from None
    print(summary_line(cleaned, path))


def check_pictures(chosen: Check) -> CheckResult:
    """Checks all pictures that the options name, with a bar. Returns the report, the words that train on them, and how
    a list of them is trained on. Raises BadInput where they name none that can be checked."""
    from tqdm import tqdm

    from quagga.data.checks.paired import check_pairs
    from quagga.data.checks.unpaired import check_unpaired
    from quagga.data.paired import Paired
    from quagga.data.sources.layout import are_pairs
    from quagga.data.sources.two_domain_table import domains_in_table, lists_sides
    from quagga.data.unpaired import Unpaired

    places = chosen.root, chosen.x, chosen.y
    given = {"root": chosen.root, "x": chosen.x, "y": chosen.y, "pairs": chosen.pairs}
    arguments = as_arguments(given)
    cut = f" --load_size {chosen.crop_size} --crop_size {chosen.crop_size}" if chosen.crop_size != 256 else ""
    with tqdm(unit="picture", disable=None, leave=False) as bar:
        if chosen.paired or chosen.pairs is not None or chosen.x_as != "picture" or are_pairs(chosen.root):
            kind = f" --x_as {chosen.x_as}" if chosen.x_as != "picture" else ""
            kind += f" --labels {chosen.labels}" if chosen.labels is not None else ""
            made_of_y = chosen.x_as in ("edges", "grey")
            report = check_pairs(*places, chosen.pairs, made_of_y, chosen.side, chosen.crop_size, bar.update, bar.reset)
            report = with_refusal(report, partial(make_pairs, chosen))

            def for_list_of_pairs(path: str) -> tuple[str, Callable[[], object]]:
                options = as_arguments({"pairs": path, **side_names(report)})
                only_list = replace(chosen, root=None, x=None, y=None, pairs=path)
                return f"{options}{cut}{kind}", partial(make_pairs, only_list)

            return CheckResult(report, Paired, {}, f"{arguments}{cut}{kind}", for_list_of_pairs)
        sides = chosen.table is not None and not (chosen.condition or chosen.label or chosen.caption)
        if have_conditions(chosen) and not (sides and lists_sides(chosen.table or "")):
            from quagga.data.checks.conditioned import check_rows

            dataset, arguments, make_dataset, for_list_of_rows = make_conditioned(chosen)
            report = with_refusal(check_rows(dataset, bar.update, bar.reset), make_dataset)
            return CheckResult(report, type(dataset), dataset.known(), arguments, for_list_of_rows)
        report = check_unpaired(*places, chosen.table, chosen.crop_size, bar.update, bar.reset)

        def for_list_of_sides(path: str) -> tuple[str, Callable[[], object]]:
            options = as_arguments({"table": path, **side_names(report)})
            return f"{options}{cut}", partial(domains_in_table, path)

        arguments = as_arguments({**given, "table": chosen.table})
        return CheckResult(report, Unpaired, {}, f"{arguments}{cut}", for_list_of_sides)


def as_arguments(options: dict[str, str | None]) -> str:
    """Returns options as they are typed; those that are None are left out."""
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in options.items() if value is not None)


def side_names(report: "Report") -> dict[str, str | None]:
    """Returns the options that name the sides, which a list does not."""
    return {f"{side}_name": name for side, name in report.names.items() if name != side}


def with_refusal(report: "Report", make_dataset: Callable[[], object]) -> "Report":
    """Makes the dataset as training does, which skips no file, and adds to the report why it is refused, if it is."""
    if not report.fatal:
        try:
            make_dataset()
        except BadInput as error:
            return report._replace(refused=str(error))
    return report


def make_pairs(chosen: Check) -> object:
    """Makes the dataset of pairs as training does."""
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


def have_conditions(chosen: Check) -> bool:
    """Whether these are pictures for a GAN, conditional or not, rather than two domains."""
    if chosen.x or chosen.y or (chosen.root is None and chosen.table is None):
        return False
    asked = chosen.table is not None or chosen.condition is not None
    return asked or not any((Path(chosen.root or "").expanduser() / name).exists() for name in ("trainA", "trainB"))


def make_conditioned(chosen: Check) -> tuple["Conditioned | Pictures", str, Callable[[], object], ForList]:
    """Makes the dataset of pictures for a GAN, in which files that cannot be read are skipped.

    Returns:
        The dataset; the arguments of `quagga train PIPELINE` for it; what makes it as training does, which skips no
        file; and the last two for a list of its files.
    """
    from quagga.data.conditioned import Conditioned
    from quagga.data.images import Pictures
    from quagga.data.sources.annotations import find_table, lists_files_only
    from quagga.data.sources.image_folder import collect_folder

    options = {name: value for name, value in vars(chosen).items() if value is not None and name not in DOMAIN_OPTIONS}

    def typed(options: dict[str, Any]) -> str:
        names = json.dumps(options["names"], ensure_ascii=False) if options.get("names") else None
        return as_arguments({**{name: str(value) for name, value in options.items()}, "names": names})

    def make(kind: type["Conditioned"] | type["Pictures"]) -> Any:
        others = {name: value for name, value in options.items() if name not in ("root", "table", *TABLE_OPTIONS)}

        def for_list(path: str) -> tuple[str, Callable[[], object]]:
            own = {"table": path, **others}
            return typed(own), partial(kind, **own, workers=0)

        dataset = kind(**options, unreadable="skip", workers=0)
        return dataset, typed(options), partial(kind, **options), for_list

    unnamed = not any(options.get(name) for name in ("condition", *TABLE_OPTIONS))
    if chosen.table is not None and unnamed and lists_files_only(chosen.table):
        return make(Pictures)
    if chosen.table is None and chosen.condition is None and chosen.root is not None:
        root = Path(chosen.root).expanduser()
        if find_table(root, "class") is None and len(set(collect_folder(root).labels or ())) < 2:
            for name in TABLE_OPTIONS:
                if name in options:
                    raise BadInput(f"--{name} says something of a table, and there is none: name it with --table FILE")
            return make(Pictures)
    return make(Conditioned)
