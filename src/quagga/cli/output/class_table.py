"""What a classifier reads in pictures, as a table of files: `quagga translate` of a model that makes no pictures."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quagga import atomic
from quagga.cli.output.output_files import Existing, mark_output_folder, outputs_to_keep
from quagga.cli.output.progress_bar import for_each_file
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

    def write_line(picture: tuple[Path, Path]) -> None:
        path, name = picture
        found = classifier.classify(classifier.read(path))
        best = max(found, key=found.__getitem__)
        values = [best, f"{found[best]:.4f}"] if kind == "class" else [f"{found[each]:.4f}" for each in names]
        lines.writerow([name.as_posix(), *values])

    outcome = for_each_file(pictures, lambda picture: picture[0], write_line)
    mark_output_folder(output)
    try:
        atomic.write_file(table, text.getvalue().encode())
    except OSError as error:
        raise BadInput(f"cannot write {table} ({error.strerror}): free some space or choose another --output") from None
    what = "picture" if outcome.done == 1 else "pictures"
    print(f"{outcome.done} {what}, what they show: {table} ({outcome.speed:.3g} pictures/s)")
    return outcome.exit_code("pictures could not be read")
