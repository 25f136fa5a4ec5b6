"""`quagga data`: look at what training will see; write the embedded pictures as files."""

from dataclasses import dataclass

from quagga import BadInput
from quagga.pipelines.cli import HELP, suggestion, usage
from quagga.pipelines.options import hints_of, parse, split, taken_out, tokens_of


@dataclass(frozen=True)
class Preview:
    """A contact sheet of what training will see, after augmentation.

    Args:
        output: the picture that is written.
        count: rows of the run that are shown, from the first on.
    """

    output: str = "preview.png"
    count: int = 8


@dataclass(frozen=True)
class Embedded:
    """Horses and zebras drawn in code, as the folders trainA, trainB, testA and testB; no download.

    Args:
        output: the folder that is written.
        size: side of the pictures in pixels.
        train: horses to train on, and as many zebras.
        test: horses to test on, and as many zebras.
        seed: another seed draws other animals.
    """

    output: str = "datasets/embedded"
    size: int = 64
    train: int = 400
    test: int = 40
    seed: int = 0


def main(argv: list[str]) -> int:
    """Obeys `quagga data ARGV...`."""
    table = {
        "preview": (__name__, "a contact sheet of what training will see, after augmentation"),
        "embedded": (__name__, "write the embedded horses and zebras into a folder"),
    }
    if not argv or argv[0] in HELP:
        after = "`quagga data COMMAND --help` lists its options."
        print(usage("quagga data COMMAND [OPTION ...]", "commands", table, after))
        return 0
    command, *rest = argv
    if command not in table:
        raise BadInput(f"unknown command data {command}{suggestion(command, table)}")
    if command == "preview":
        preview(rest)
    else:
        embedded(rest)
    return 0


def preview(argv: list[str]) -> None:
    from quagga.data.preview import contact_sheet, windowed  # torch: `quagga data embedded` need not wait for it
    from quagga.data.unpaired import Unpaired

    takers = {"data": Unpaired, "preview": Preview}
    # A training's config serves here too: what it says about data is taken, the rest is left.
    files, typed = taken_out(argv, "--config")
    written = [token for file in files for token in tokens_of(file, hints_of(Unpaired), None)]
    # Rows are the same for any number of workers: none is the quickest to start.
    options = split(parse("quagga data preview", takers, [*written, *typed, "--workers=0"]), takers)
    chosen = Preview(**options["preview"])
    if chosen.count < 1:
        raise BadInput(f"--count is {chosen.count}: show 1 row or more")
    rows = Unpaired(**options["data"])
    batch = next(rows.batches(0, chosen.count))
    columns = {f"{side}: {name}": batch[side] for side, name in rows.names.items()}
    deep = [f"{side}: {rows.names[side]}" for side, form in rows.forms.items() if not form.eight_bits]
    contact_sheet(windowed(columns, deep), chosen.output)
    for line in rows.notices:
        print(line)
    print(f"what training will see: {chosen.output}")


def embedded(argv: list[str]) -> None:
    takers = {"embedded": Embedded}
    chosen = Embedded(**split(parse("quagga data embedded", takers, argv), takers)["embedded"])

    from quagga.data.embedded import write

    folder = write(chosen.output, train=chosen.train, test=chosen.test, size=chosen.size, seed=chosen.seed)
    print(f"{chosen.train} + {chosen.test} horses and as many zebras: {folder}")
    print(f"next: quagga train cyclegan --root {folder} --load_size {chosen.size} --crop_size {chosen.size}")
