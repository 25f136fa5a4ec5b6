"""Checks pictures with conditions, or without, before training.

Each picture is read to its end, as by `quagga.data.checks.unpaired`. Errors without which there is no set at all (a
missing column, an empty caption) are raised by `Conditioned` when it is made.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from quagga.data.checks.clean_list import Entry
from quagga.data.checks.findings import Finding, Report, missing_files, refused_files
from quagga.data.checks.unpaired import (
    Inspected,
    Part,
    contrast_of,
    find_problems,
    inspect_files,
    overview,
    usable_digests,
)
from quagga.data.conditioned import Conditioned
from quagga.data.images import Pictures
from quagga.data.indexed import IndexedDataset
from quagga.data.sources.image_store import FileStore
from quagga.data.transforms.conditions import tokens

UNEVEN_FACTOR = 10  # a class is reported if the most frequent one has more than so many times its pictures
RARE_SHARE = 0.02  # an attribute is reported if less than this share of the pictures differs in it
MOST_LINES = 40  # lines of a table of classes or attributes; longer ones are cut in the middle
MOST_WORDS = 8  # words that a report names


def check_rows(
    rows: Conditioned | Pictures,
    on_picture: Callable[[], object] = lambda: None,
    on_count: Callable[[int], object] = lambda number: None,
) -> Report:
    """Checks all pictures of a set with conditions or without.

    Args:
        rows: the set, made with unreadable="skip", so that unreadable files are found here.
        on_picture: is called after each picture.
        on_count: is called with the number of pictures before the first one is read.

    Returns:
        The report; of pictures in files with the entries of a clean list.
    """
    dataset = rows.dataset
    numbers = {"train": dataset.train, "test": dataset.test}
    on_count(sum(map(len, numbers.values())))
    inspected = {
        split: inspect_pictures(dataset, split_numbers, on_picture) for split, split_numbers in numbers.items()
    }
    parts = [
        Part(f"{rows.title} {split}", rows.title, "x", pictures) for split, pictures in inspected.items() if pictures
    ]
    files = isinstance(dataset.store, FileStore)
    top = Path(os.path.commonpath([picture.path.absolute().parent for part in parts for picture in part.pictures]))
    problems = find_problems(parts, top if files else Path.cwd(), dataset.size, sizes="--size")
    findings = [*missing_files(rows.labelled.missing), *problems]
    lines = overview(parts, dataset.size)
    if isinstance(rows, Conditioned):
        overviews = {"class": class_overview, "attributes": attribute_overview, "caption": caption_overview}
        lines += ["", *overviews[rows.condition](rows)]
        if rows.condition == "class":
            findings += find_uneven_classes(rows.conditions.names, dataset.extras["c"].numpy()[dataset.train])
        elif rows.condition == "attributes":
            findings += find_constant_attributes(rows)
        if rows.condition != "caption":  # a picture may have several captions
            findings += find_contradictions(rows, inspected, numbers)
    elif rows.modes:
        lines += ["", *class_counts(rows.modes, dataset.extras["mode"].numpy(), dataset)]
    notices = [line for line in rows.notices if not line.endswith(": passed over")]  # of these there is a finding
    lines += ["", *notices] if notices else []
    options = " ".join(dict.fromkeys(part.options for part in parts if part.options))
    return Report(lines, findings, options, list_entries(rows, inspected, numbers, findings) if files else None, {})


def list_entries(
    rows: Conditioned | Pictures,
    inspected: dict[str, list[Inspected]],
    numbers: dict[str, np.ndarray],
    findings: Sequence[Finding],
) -> list[Entry]:
    """Returns the entries of a list of the pictures, in their order; a picture with several captions is one entry.

    Args:
        rows: the set, of pictures in files.
        inspected: split -> what was found out about its pictures.
        numbers: split -> the numbers of these pictures in the set, in the same order.
        findings: of the check; files that it found to be refused have no digests.
    """
    refused = refused_files(findings)
    kind = rows.condition if isinstance(rows, Conditioned) else None
    collection, groups = rows.labelled.collection, rows.labelled.groups
    entries: dict[Path, Entry] = {}
    numbered = [
        (number, picture, split)
        for split, pictures in inspected.items()
        for picture, number in zip(pictures, numbers[split].tolist(), strict=True)
    ]
    for number, picture, split in sorted(numbered, key=lambda item: item[0]):
        label = collection.labels[number] if collection.labels and kind else ""
        if kind == "caption" and picture.path in entries:
            entry = entries[picture.path]
            entries[picture.path] = entry._replace(captions=[*entry.captions, label])
            continue
        condition: dict[str, str] = {"label": label} if kind == "class" else {}
        if kind == "attributes":
            values = rows.labelled.values[number].tolist()
            condition = {name: f"{value:.9g}" for name, value in zip(rows.labelled.attributes, values, strict=True)}
        cells = {"file": picture.path, **condition, "group": groups[number] if groups else ""}
        captions = [label] if kind == "caption" else []
        entries[picture.path] = Entry(usable_digests([picture], refused), split, cells, repr(condition), captions)
    return list(entries.values())


def inspect_pictures(dataset: IndexedDataset, numbers: np.ndarray, on_picture: Callable[[], object]) -> list[Inspected]:
    """Inspects pictures of a set by their numbers, in that order; a file that occurs several times is read once."""
    store = dataset.store
    if isinstance(store, FileStore):
        paths = [store.paths[number] for number in numbers.tolist()]
        unique = list(dict.fromkeys(paths))
        by_path = dict(zip(unique, inspect_files(unique, on_picture), strict=True))
        return [by_path[path] for path in paths]
    inspected = []
    for number in numbers.tolist():
        pixels = store.read(number)
        size = (pixels.shape[1], pixels.shape[0])
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        kind = {1: "grey", 3: "RGB"}.get(pixels.shape[2], f"{pixels.shape[2]} channels")
        inspected.append(Inspected(Path(store.name(number)), digest, size, kind, contrast_of(pixels)))
        on_picture()
    return inspected


def class_counts(names: Sequence[str], numbers: np.ndarray, dataset: IndexedDataset) -> list[str]:
    """Returns lines of aligned columns: how many pictures of each class there are.

    Args:
        names: of the classes.
        numbers: the class of each picture, int (N,).
        dataset: says which of the pictures are for training and which for the test.
    """
    train, test = (np.bincount(numbers[split], minlength=len(names)) for split in (dataset.train, dataset.test))
    shares = train / max(1, len(dataset.train))
    rows = [
        (name, f"{train_count:,}", f"{test_count:,}", f"{share:.1%}")
        for name, train_count, test_count, share in zip(
            names, train.tolist(), test.tolist(), shares.tolist(), strict=True
        )
    ]
    return align_columns([("class", "train", "test", "share"), *rows])


def class_overview(rows: Conditioned) -> list[str]:
    """Returns lines with the number of pictures of each class, for training and for the test."""
    return class_counts(rows.conditions.names, rows.dataset.extras["c"].numpy(), rows.dataset)


def attribute_overview(rows: Conditioned) -> list[str]:
    """Returns lines with the mean and the range of each attribute in the pictures for training."""
    values = rows.dataset.extras["c"].numpy()[rows.dataset.train]
    lines = [("attribute", "mean", "smallest", "largest")]
    for name, column in zip(rows.conditions.names, values.T, strict=True):
        lines.append((name, f"{column.mean():.3g}", f"{column.min():g}", f"{column.max():g}"))
    return align_columns(lines)


def caption_overview(rows: Conditioned) -> list[str]:
    """Returns lines with the lengths of the captions for training, their most frequent words, and the words that only
    held-out captions have."""
    texts = rows.collection.labels or []
    captions = [tokens(texts[number]) for number in rows.dataset.train.tolist()]
    lengths = sorted(map(len, captions))
    frequent = Counter(word for words in captions for word in words).most_common(MOST_WORDS)
    unknown = Counter(word for number in rows.dataset.test.tolist() for word in rows.conditions.unknown(texts[number]))
    lines = [
        f"captions: {len(set(texts)):,} different ones of {len(texts):,}; {lengths[0]} to {lengths[-1]} words, half of"
        f" them up to {lengths[len(lengths) // 2]}; {rows.conditions.length} words count",
        f"words: {len(rows.conditions.names):,} known; the most frequent "
        + ", ".join(f"{word} {count:,}" for word, count in frequent),
    ]
    if unknown:
        examples = ", ".join(word for word, _ in unknown.most_common(MOST_WORDS))
        lines.append(f"unknown words in held-out captions: {len(unknown):,}, {examples}")
    return lines


def find_uneven_classes(names: Sequence[str], numbers: np.ndarray) -> Iterable[Finding]:
    """Yields the classes that have far fewer pictures than the most frequent one; `numbers` are the classes of the
    pictures, int (N,)."""
    counts = np.bincount(numbers, minlength=len(names))
    ascending = np.argsort(counts, kind="stable").tolist()
    rare = [number for number in ascending if counts[number] * UNEVEN_FACTOR < counts.max()]
    if rare:
        most = names[int(counts.argmax())]
        yield Finding(
            f"{len(rare)} {'class has' if len(rare) == 1 else 'classes have'} less than a tenth of the pictures of"
            f" {most} ({counts.max():,})",
            [f"{names[number]} ({counts[number]:,})" for number in rare],
            "they are seen seldom and learned last, add pictures, or leave them out with --names",
        )


def find_constant_attributes(rows: Conditioned) -> Iterable[Finding]:
    """Yields the attributes that have the same value in nearly all pictures for training."""
    values = rows.dataset.extras["c"].numpy()[rows.dataset.train]
    constant = []
    for name, column in zip(rows.conditions.names, values.T, strict=True):
        share = max(Counter(column.tolist()).values()) / len(column)
        if share > 1 - RARE_SHARE:
            constant.append(f"{name} ({share:.1%} alike)")
    if constant:
        yield Finding(
            f"{len(constant)} {'attribute is' if len(constant) == 1 else 'attributes are'} the same in nearly all"
            " pictures",
            constant,
            "too little to learn from, leave them out with --names",
        )


def find_contradictions(
    rows: Conditioned, inspected: dict[str, list[Inspected]], numbers: dict[str, np.ndarray]
) -> Iterable[Finding]:
    """Yields files with the same bytes and different conditions; the arguments are those of `list_entries`."""
    conditions: dict[bytes, dict[str, str]] = {}  # digest of a file -> condition -> name of the first file that has it
    for split, pictures in inspected.items():
        for picture, number in zip(pictures, numbers[split].tolist(), strict=True):
            if picture.digest:
                condition = rows.conditions.describe(rows.dataset.extras["c"][number])
                conditions.setdefault(picture.digest, {}).setdefault(condition, picture.path.name)
    ambiguous = [
        " = ".join(f"{name} ({condition[:40]})" for condition, name in names.items())
        for names in conditions.values()
        if len(names) > 1
    ]
    if ambiguous:
        yield Finding(
            f"{len(ambiguous)} {'picture has' if len(ambiguous) == 1 else 'pictures have'} several conditions, in"
            " copies",
            ambiguous,
            "what is two things teaches neither, keep one of the copies",
        )


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows as lines, the first column aligned to the left, the others to the right. More than MOST_LINES rows
    are cut in the middle."""
    if len(rows) > MOST_LINES:
        rows = [*rows[: MOST_LINES - 5], [f"... {len(rows) - MOST_LINES} more", *[""] * (len(rows[0]) - 1)], *rows[-5:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
