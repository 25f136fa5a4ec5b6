"""What a classifier reads in pictures, as a table of files: `quagga translate` of a model that makes no pictures."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from quagga import atomic
from quagga.cli.output.output_files import Existing, left_out, mark_output_folder, outputs_to_keep
from quagga.cli.output.progress_bar import Progress
from quagga.errors import BadInput

if TYPE_CHECKING:
    from quagga.inference.classifier import Classifier

TABLE = {"class": "classes.csv", "attributes": "attributes.csv"}


def check_names(pictures: Sequence[tuple[Path, Path]]) -> None:
    """Checks, before any work, that the table can tell pictures apart by their names. Raises BadInput."""
    named: dict[Path, Path] = {}
    for path, name in pictures:
        other = named.setdefault(name, path)
        if other.resolve() != path.resolve():
            raise BadInput(f"{other} and {path} would both be {name} in the table: read them separately")
        if name.as_posix().encode(errors="ignore").decode() != name.as_posix():
            raise BadInput(f"a table is UTF-8, and a name is not: rename {str(path)!a}")


def write_class_table(
    classifier: "Classifier", pictures: Sequence[tuple[Path, Path]], output: Path, existing: Existing
) -> int:
    """Writes a line for each picture: of classes `file,label,probability`, the most probable one; of attributes `file`
    and the probability of each. The table can be trained on: `quagga train conditional --table TABLE --pictures DIR`.

    Args:
        classifier: The model.
        pictures: The files, each with the name that stands in the table.
        output: The folder of the table.
        existing: What to do with a table that exists.

    Returns:
        The exit code: 0, or 2 when a picture was left out.

    Raises:
        BadInput: a table exists and `existing` is error, two files would have one name in it, a name is no valid text,
            or it cannot be written.
    """
    check_names(pictures)
    kind, names = classifier.conditions.kind, classifier.conditions.names
    table = output / TABLE[kind]
    if outputs_to_keep([table], existing):
        print(f"{table} exists and is kept")
        return 0
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["file", "label", "probability"] if kind == "class" else ["file", *names])
    failed, start = 0, perf_counter()
    with Progress(len(pictures), "picture") as progress:
        for number, (path, name) in enumerate(pictures):
            progress.reach(number)
            try:
                found = classifier.classify(classifier.read(path))
            except BadInput as error:
                failed += 1
                progress.print_line(left_out(path, error))
                continue
            best = max(found, key=found.__getitem__)
            values = [best, f"{found[best]:.4f}"] if kind == "class" else [f"{found[each]:.4f}" for each in names]
            lines.writerow([name.as_posix(), *values])
    mark_output_folder(output)
    try:
        atomic.write_file(table, text.getvalue().encode())
    except OSError as error:
        raise BadInput(f"cannot write {table} ({error.strerror}): free some space or choose another --output") from None
    done = len(pictures) - failed
    speed = done / (perf_counter() - start)
    print(f"{done} {'picture' if done == 1 else 'pictures'}, what they show: {table} ({speed:.3g} pictures/s)")
    if failed:
        print(f"quagga: error: {failed} of {len(pictures)} pictures could not be read, see above", file=sys.stderr)
    return 2 if failed else 0
