"""`quagga data`: get pictures, check them, look at what training will see."""

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from quagga import BadInput
from quagga.pipelines.check_command import check
from quagga.pipelines.cli import HELP, PIPELINES, suggestion, usage
from quagga.pipelines.options import hints_of, parse, read_config, split, taken_out, tokens_of
from quagga.pipelines.words import obeyed, words_first


@dataclass(frozen=True)
class Preview:
    """A contact sheet of what training will see, after augmentation.

    Args:
        output: the picture that is written; one that is no such sheet is not replaced.
        count: rows of the run that are shown, from the first on.
    """

    output: str = "preview.png"
    count: int = 8


@dataclass(frozen=True)
class Embedded:
    """Horses and zebras drawn in code; no download.

    Args:
        output: the folder that is written.
        kind: unpaired: the folders trainA, trainB, testA and testB; pairs: a sketch and its horse side by side, in
            train and test; classes: a folder for each, below train and test; attributes, captions: images and a
            table.csv of them.
        size: side of the pictures in pixels.
        train: horses to train on, and as many zebras.
        test: horses to test on, and as many zebras.
        seed: another seed draws other animals.
    """

    output: str = "datasets/embedded"
    kind: Literal["unpaired", "pairs", "classes", "attributes", "captions"] = "unpaired"
    size: int = 64
    train: int = 400
    test: int = 40
    seed: int = 0


@dataclass(frozen=True)
class Download:
    """One of the sets that `quagga data list` names, into a folder of its name; what was stopped goes on.

    Args:
        output: the folder in which the set's folder is made.
        url: another address of a zip, tar or tar.gz; NAME may then be any name for the folder.
        sha256: what the archive's SHA-256 must be, in hexadecimal; None takes the published one, where there is one.
    """

    output: str = "datasets"
    url: str | None = None
    sha256: str | None = None


def main(argv: list[str]) -> int:
    """Obeys `quagga data ARGV...`."""
    table = {
        "list": (__name__, "the published CycleGAN and pix2pix sets"),
        "download": (__name__, "download one of them: quagga data download NAME"),
        "check": (__name__, "find what is wrong with your pictures: quagga data check ROOT, or --x DIR --y DIR"),
        "preview": (__name__, "a contact sheet of what training will see: quagga data preview [PIPELINE] DIR"),
        "embedded": (__name__, "write the embedded horses and zebras into a folder"),
    }
    if not argv or argv[0] in HELP:
        after = "`quagga data COMMAND --help` lists its options."
        print(usage("quagga data COMMAND [OPTION ...]", "commands", table, after))
        return 0
    command, *rest = argv
    if command not in table:
        raise BadInput(f"unknown command data {command}{suggestion(command, table)}")
    actions = {"list": show_list, "download": download, "check": check, "preview": preview, "embedded": embedded}
    actions[command](rest)
    return 0


def show_list(argv: list[str]) -> None:
    """Obeys `quagga data list`: prints the published sets, and why some are not offered. Raises BadInput for words."""
    from quagga.data.published import NOT_OFFERED, SETS

    if argv and argv[0] in HELP:
        print("usage: quagga data list\n\nThe published CycleGAN and pix2pix sets: name, size, pictures, what, whose.")
        return
    if argv:
        raise BadInput(f"quagga data list takes no options, unlike {argv[0]}")
    width, wide = max(map(len, SETS)), max(len(known.about) for known in SETS.values())
    titles = {"unpaired": "two folders, for quagga train cyclegan", "side by side": "pairs, side by side"}
    for kind, title in titles.items():
        print(f"{'name':{width}}      size  pictures  {title}")
        for name, known in SETS.items():
            if known.kind == kind:
                size = "?" if known.size is None else f"{known.size / 1e6:,.0f} MB"
                count = "?" if known.pictures is None else f"{known.pictures:,}"
                print(f"{name:{width}}  {size:>8}  {count:>8}  {known.about:{wide}}  {known.rights}")
        print()
    for name, why in NOT_OFFERED.items():
        print(f"not here: {name}, {why}")
    print("?: not known before the download. next: quagga data download horse2zebra")


def download(argv: list[str]) -> None:
    """Obeys `quagga data download ARGV...`: fetches an archive, or takes the one that lies there, and unpacks it. One
    that it has fetched is removed, also where it is refused.

    Raises:
        BadInput: there is no such set, its folder exists, or the archive cannot be fetched or is refused.
        OSError: the disk is full.
    """
    [name], options = words_first("quagga data download NAME", argv, 1)
    chosen = obeyed("quagga data download NAME", Download, options)

    from tqdm import tqdm

    from quagga.data.archive import unpack
    from quagga.data.download import digest, fetch
    from quagga.data.published import NOT_OFFERED, SETS

    if name in NOT_OFFERED and not chosen.url:
        raise BadInput(f"{name} is not offered, {NOT_OFFERED[name]}")
    if name not in SETS and not chosen.url:
        raise BadInput(f"there is no published set {name}{suggestion(name, SETS)}; `quagga data list` shows them")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise BadInput(f"{name!r} is no name for a folder: take letters and digits; --output says where it is made")
    if chosen.sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", chosen.sha256):
        raise BadInput(f"--sha256 {chosen.sha256} is no SHA-256: it has 64 hexadecimal digits")
    known = SETS.get(name)
    published = known.sha256 if known else None
    url, expected = chosen.url or (known.url if known else ""), chosen.sha256 or published
    folder = Path(chosen.output).expanduser() / name
    if folder.exists():
        raise BadInput(f"{folder} exists already: remove it, or choose another --output")
    if known:
        print(f"{name}: {known.about}; {known.rights}")
    archive = folder.with_name(file_of(url, name))
    there = archive.exists()  # downloaded by other means, or its unpacking was stopped: it is used, and stays
    if there:
        found = digest(archive)
        if expected and found != expected.lower():
            raise BadInput(
                f"{archive} exists, and its SHA-256 is {found}, not {expected}: remove it to download it again"
            )
    else:
        print(url)
        found = fetch(url, archive, known.size if known and expected == published else None, expected)
    proof = "as published" if found == published else "as asked" if expected else "none is published to compare it with"
    print(f"SHA-256 {found}: {proof}")
    try:
        with tqdm(unit="B", unit_scale=True, desc="unpacking", disable=None) as bar:
            unpacked = unpack(archive, folder, told=bar.update)
    except BadInput:
        if not there:
            archive.unlink(missing_ok=True)  # it would be refused again
        raise
    if not there:
        archive.unlink()
    print(f"{unpacked.files:,} files: {folder}")
    print(next_move(folder))


def file_of(url: str, name: str) -> str:
    """What an archive is called on the disk."""
    last = url.partition("?")[0].rpartition("/")[2]
    return last if re.fullmatch(r"\w[\w-]*(\.[\w-]+)+", last) else f"{name}.archive"


def next_move(folder: Path) -> str:
    """What to type, now that the pictures are there."""
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if {"trainA", "trainB"} <= set(inside):
        return f"next: quagga train cyclegan --root {folder}"
    if "train" in inside:
        return f"next: quagga train pix2pix --root {folder} (--side right where x is the right half)"
    return f"no trainA and trainB in it, but {', '.join(inside[:6]) or 'no folder'}: name two with --x and --y"


def preview(argv: list[str]) -> None:
    """Obeys `quagga data preview ARGV...`: saves a sheet of the run's first rows as the networks would see them.

    Raises:
        BadInput: options or data cannot work, a picture cannot be read, or the sheet cannot be written.
    """
    from quagga.data.paired import Paired  # torch: `quagga data embedded` need not wait for it
    from quagga.data.preview import captioned_sheet, contact_sheet, windowed
    from quagga.data.recognise import pipeline_of
    from quagga.data.tensors import with_floats
    from quagga.pipelines.overwrite import PREVIEW, check_sheet

    files, typed = taken_out(argv, "--config")
    name = typed.pop(0) if typed and typed[0] in PIPELINES else None
    if name is None and files:
        name = read_config(files[-1]).get("pipeline")
    if name is None:
        name = "cyclegan"
        roots, _ = taken_out(typed, "--root")
        if typed and not typed[0].startswith("-"):
            if not Path(typed[0]).expanduser().is_dir():
                raise BadInput(f"{typed[0]} is neither a pipeline nor a folder{suggestion(typed[0], PIPELINES)}")
            roots = [typed[0]]
        if roots and Path(roots[-1]).expanduser().is_dir():
            name = pipeline_of(Path(roots[-1]).expanduser())
    if name not in PIPELINES:
        raise BadInput(f"unknown pipeline {name}{suggestion(str(name), PIPELINES)}")
    kind = import_module(PIPELINES[name][0]).data
    takers = {"data": kind, "preview": Preview}
    # A training's config serves here too: what it says about data is taken, the rest is left.
    written = [token for file in files for token in tokens_of(file, hints_of(kind), None)]
    # Rows are the same for any number of workers, kept in memory or not: none is the quickest to start.
    options = split(parse("quagga data preview", takers, [*written, *typed, "--workers=0", "--cache=none"]), takers)
    chosen = Preview(**options["preview"])
    if chosen.count < 1:
        raise BadInput(f"--count is {chosen.count}: show 1 row or more")
    output = Path(chosen.output).expanduser()
    check_sheet(output)
    rows = kind(**options["data"])
    batch = with_floats(next(rows.batches(0, chosen.count)))
    deep = [side for side, form in rows.forms.items() if not form.eight_bits]
    if "c" in batch:
        described = [rows.conditions.describe(c) for c in batch["c"]]
        [shown] = windowed({"x": batch["x"]}, deep).values()
        captioned_sheet(shown, described, output, software=PREVIEW)
    else:
        if isinstance(rows, Paired):
            batch = rows.for_the_eye(batch)
        names = {side: f"{side}: {about['name']}" for side, about in rows.domains().items()}
        columns = {name: batch[side] for side, name in names.items()}
        contact_sheet(windowed(columns, [names[side] for side in deep]), output, software=PREVIEW)
    for line in rows.notices:
        print(line)
    print(f"what training will see: {chosen.output}")


def embedded(argv: list[str]) -> None:
    """Obeys `quagga data embedded ARGV...`: draws the set into a folder. Raises BadInput where that cannot be."""
    takers = {"embedded": Embedded}
    chosen = Embedded(**split(parse("quagga data embedded", takers, argv), takers)["embedded"])

    from quagga.data.embedded import write

    folder = write(chosen.output, **{name: value for name, value in vars(chosen).items() if name != "output"})
    beside = "sketches of them beside" if chosen.kind == "pairs" else "as many zebras"
    print(f"{chosen.train} + {chosen.test} horses and {beside}: {folder}")
    if chosen.kind in ("unpaired", "pairs"):
        pipeline = "pix2pix" if chosen.kind == "pairs" else "cyclegan"
        print(f"next: quagga train {pipeline} --root {folder} --load_size {chosen.size} --crop_size {chosen.size}")
    else:
        condition = {"classes": "", "attributes": " --condition attributes", "captions": " --condition caption"}
        print(f"next: quagga train conditional --root {folder}{condition[chosen.kind]}")
