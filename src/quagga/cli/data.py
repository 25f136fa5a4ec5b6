"""`quagga data`: gets pictures, checks them, shows what training will see."""

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from quagga.cli.data_check import check
from quagga.cli.options.config_file import config_arguments, extract_option, read_config
from quagga.cli.options.config_parser import parse, split_by_owner
from quagga.cli.options.help_text import hints_of
from quagga.cli.options.positional import first_words, parse_options
from quagga.cli.options.usage import asks_for_help, usage
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput, some
from quagga.option_groups import call_flat
from quagga.pipelines import PIPELINES


@dataclass(frozen=True)
class Preview:
    """A contact sheet of what training will see, after augmentation.

    Args:
        output: picture to write; another file of that name is not replaced, an older sheet is.
        count: rows of the run to show, from the first on.
    """

    output: str = "preview.png"
    count: int = 8


@dataclass(frozen=True)
class Embedded:
    """Horses and zebras drawn in code; no download.

    Args:
        output: folder to write.
        kind: what is drawn; unpaired: the folders trainA, trainB, testA and testB; pairs: a sketch and its horse side
            by side, in train and test; classes: a folder for each class, in train and test; attributes, captions:
            images and a table.csv of them.
        size: side of the pictures; in pixels.
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
        output: folder in which the set's folder is made.
        url: address of another zip, tar or tar.gz; NAME may then be any name for the folder.
        sha256: SHA-256 that the archive must have; in hexadecimal. None takes the published one, where there is one.
    """

    output: str = "datasets"
    url: str | None = None
    sha256: str | None = None


def main(argv: list[str]) -> int:
    """Runs `quagga data ARGV...`. Returns 0."""
    table = {
        "list": (__name__, "list the published CycleGAN and pix2pix sets"),
        "download": (__name__, "download one of them: quagga data download NAME"),
        "check": (__name__, "find what is wrong with your pictures: quagga data check DIR"),
        "preview": (__name__, "write a sheet of what training sees: quagga data preview DIR"),
        "embedded": (__name__, "write drawn horses and zebras into a folder"),
    }
    if not argv or asks_for_help(argv[0]):
        after = "`quagga data COMMAND --help` shows its main options, `--help all` the rest."
        print(usage("quagga data COMMAND [OPTION ...]", "commands", table, after))
        return 0
    command, *rest = argv
    if command not in table:
        raise BadInput(f"unknown command data {command}{did_you_mean(command, table)}")
    actions = {"list": show_list, "download": download, "check": check, "preview": preview, "embedded": embedded}
    actions[command](rest)
    return 0


def show_list(argv: list[str]) -> None:
    """Runs `quagga data list`: prints the published sets, and why some are not offered. Raises BadInput for options."""
    from quagga.data.download.published_sets import NOT_OFFERED, SETS

    if argv and asks_for_help(argv[0]):
        print("usage: quagga data list\n\nThe published CycleGAN and pix2pix sets: name, size, pictures, what, whose.")
        return
    if argv:
        raise BadInput(f"quagga data list takes no options, unlike {argv[0]}")
    name_width, about_width = max(map(len, SETS)), max(len(known.about) for known in SETS.values())
    titles = {"unpaired": "two folders, for quagga train cyclegan", "side by side": "pairs, side by side"}
    for kind, title in titles.items():
        print(f"{'name':{name_width}}      size  pictures  {title}")
        for name, known in SETS.items():
            if known.kind == kind:
                size = "?" if known.size is None else f"{known.size / 1e6:,.0f} MB"
                count = "?" if known.pictures is None else f"{known.pictures:,}"
                print(f"{name:{name_width}}  {size:>8}  {count:>8}  {known.about:{about_width}}  {known.rights}")
        print()
    for name, reason in NOT_OFFERED.items():
        print(f"not here: {name}, {reason}")
    print("?: not known before the download. next: quagga data download horse2zebra")


def download(argv: list[str]) -> None:
    """Runs `quagga data download ARGV...`: downloads an archive, or takes the one that exists, and unpacks it. What it
    has downloaded it removes, also if the archive is refused.

    Raises:
        BadInput: there is no such set, its folder exists, or the archive cannot be downloaded or is refused.
        OSError: the disk is full.
    """
    [name], options = first_words("quagga data download NAME", argv, 1)
    chosen = parse_options("quagga data download NAME", Download, options)

    from tqdm import tqdm

    from quagga.data.download.archive import unpack
    from quagga.data.download.http_transfer import digest, fetch
    from quagga.data.download.published_sets import NOT_OFFERED, SETS

    if name in NOT_OFFERED and not chosen.url:
        raise BadInput(f"{name} is not offered, {NOT_OFFERED[name]}")
    if name not in SETS and not chosen.url:
        raise BadInput(f"there is no published set {name}{did_you_mean(name, SETS)}; `quagga data list` shows them")
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
    archive = folder.with_name(archive_name(url, name))
    existed = archive.exists()  # downloaded by other means, or its unpacking was stopped: it is used, and stays
    if existed:
        sha256 = digest(archive)
        if expected and sha256 != expected.lower():
            raise BadInput(
                f"{archive} exists, and its SHA-256 is {sha256}, not {expected}: remove it to download it again"
            )
    else:
        print(url)
        sha256 = fetch(url, archive, known.size if known and expected == published else None, expected)
    proof = (
        "as published" if sha256 == published else "as asked" if expected else "none is published to compare it with"
    )
    print(f"SHA-256 {sha256}: {proof}")
    try:
        with tqdm(unit="B", unit_scale=True, desc="unpacking", disable=None) as bar:
            unpacked = unpack(archive, folder, on_bytes=bar.update)
    except BadInput:
        if not existed:
            archive.unlink(missing_ok=True)  # it would be refused again
        raise
    if not existed:
        archive.unlink()
    print(f"{unpacked.files:,} files: {folder}")
    print(command_after_download(folder))


def archive_name(url: str, name: str) -> str:
    """Returns the name of an archive on the disk: the last part of the URL, or one made of the set's name."""
    last = url.partition("?")[0].rpartition("/")[2]
    return last if re.fullmatch(r"\w[\w-]*(\.[\w-]+)+", last) else f"{name}.archive"


def command_after_download(folder: Path) -> str:
    """Returns the command that trains on a downloaded set."""
    subfolders = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if {"trainA", "trainB"} <= set(subfolders):
        return f"next: quagga train cyclegan --root {folder}"
    if "train" in subfolders:
        return f"next: quagga train pix2pix --root {folder} (--side right where x is the right half)"
    return f"no trainA and trainB in it, but {some(subfolders, 6) or 'no folder'}: name two with --x and --y"


def preview(argv: list[str]) -> None:
    """Runs `quagga data preview ARGV...`: saves a sheet of the run's first rows as the networks would see them.

    Raises:
        BadInput: options or data cannot work, a picture cannot be read, or the sheet cannot be written.
    """
    from quagga.cli.output.preview_file import PREVIEW, check_preview_file
    from quagga.data.io.contact_sheet import captioned_sheet, contact_sheet, stretch_columns
    from quagga.data.io.tensors import with_floats
    from quagga.data.paired import Paired  # torch: `quagga data embedded` need not wait for it
    from quagga.data.sources.layout import pipeline_of

    files, typed = extract_option(argv, "--config")
    name = typed.pop(0) if typed and typed[0] in PIPELINES else None
    if name is None and files:
        name = read_config(files[-1]).get("pipeline")
    if name is None:
        name = "cyclegan"
        roots, _ = extract_option(typed, "--root")
        if typed and not typed[0].startswith("-"):
            if not Path(typed[0]).expanduser().is_dir():
                raise BadInput(f"{typed[0]} is neither a pipeline nor a folder{did_you_mean(typed[0], PIPELINES)}")
            roots = [typed[0]]
        if roots and Path(roots[-1]).expanduser().is_dir():
            name = pipeline_of(Path(roots[-1]).expanduser())
    if name not in PIPELINES:
        raise BadInput(f"unknown pipeline {name}{did_you_mean(str(name), PIPELINES)}")
    kind = import_module(PIPELINES[name][0]).data
    owners = {"data": kind, "preview": Preview}
    # A training's config serves here too: what it says about data is taken, the rest is left.
    written = [argument for file in files for argument in config_arguments(file, hints_of(kind), None)]
    # Rows are the same for any number of workers, kept in memory or not: none is the quickest to start.
    arguments = [*written, *typed, "--workers=0", "--cache=none"]
    options = split_by_owner(parse("quagga data preview [PIPELINE]", owners, arguments), owners)
    chosen = Preview(**options["preview"])
    if chosen.count < 1:
        raise BadInput(f"--count is {chosen.count}: show 1 row or more")
    output = Path(chosen.output).expanduser()
    check_preview_file(output)
    rows = call_flat(kind, **options["data"])
    batch = with_floats(next(rows.batches(0, chosen.count)))
    deep = [side for side, pixel_format in rows.forms.items() if not pixel_format.eight_bits]
    if "c" in batch:
        described = [rows.conditions.describe(c) for c in batch["c"]]
        [shown] = stretch_columns({"x": batch["x"]}, deep).values()
        captioned_sheet(shown, described, output, software=PREVIEW)
    else:
        if isinstance(rows, Paired):
            batch = rows.for_display(batch)
        names = {side: f"{side}: {about['name']}" for side, about in rows.domains().items()}
        columns = {name: batch[side] for side, name in names.items()}
        contact_sheet(stretch_columns(columns, [names[side] for side in deep]), output, software=PREVIEW)
    for line in rows.notices:
        print(line)
    print(f"what training will see: {chosen.output}")


def embedded(argv: list[str]) -> None:
    """Runs `quagga data embedded ARGV...`: draws the set into a folder. Raises BadInput where that is impossible."""
    chosen = parse_options("quagga data embedded", Embedded, argv)

    from quagga.data.synthetic.scenes import write

    folder = write(chosen.output, **{name: value for name, value in vars(chosen).items() if name != "output"})
    partners = "sketches of them beside" if chosen.kind == "pairs" else "as many zebras"
    print(f"{chosen.train} + {chosen.test} horses and {partners}: {folder}")
    if chosen.kind in ("unpaired", "pairs"):
        pipeline = "pix2pix" if chosen.kind == "pairs" else "cyclegan"
        print(f"next: quagga train {pipeline} --root {folder} --load_size {chosen.size} --crop_size {chosen.size}")
    else:
        condition = {"classes": "", "attributes": " --condition attributes", "captions": " --condition caption"}
        print(f"next: quagga train conditional --root {folder}{condition[chosen.kind]}")
