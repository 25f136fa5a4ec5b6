"""What is wrong with pictures and their conditions, found before a training finds it.

Every picture is read whole, as by `quagga.data.check`. What keeps a set from being a set at all (a missing column, an
empty caption) `Conditioned` says when it is made.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from quagga.data.check import Look, Part, contrast_of, digests_of, find, look_at, overview
from quagga.data.clean import Entry
from quagga.data.conditioned import Conditioned
from quagga.data.conditions import tokens
from quagga.data.deck import Deck
from quagga.data.findings import Finding, Report, not_there, useless_files
from quagga.data.gallery import Files
from quagga.data.pictures import Pictures

UNEVEN = 10  # times as many pictures as the rarest class has, above which the most frequent one is told
RARE = 0.02  # share of pictures below which an attribute is hardly ever there, or hardly ever not
ROWS = 40  # lines of a table of classes or attributes
FREQUENT = 8  # words of the captions that are shown


def check_rows(
    rows: Conditioned | Pictures,
    told: Callable[[], object] = lambda: None,
    counted: Callable[[int], object] = lambda number: None,
) -> Report:
    """Looks at all pictures of a set with conditions or without.

    Args:
        rows: The set, made with unreadable="skip", so that what cannot be read is found here.
        told: Is called after each picture.
        counted: Is given the number of pictures before the first.
    """
    deck = rows.deck
    numbers = {"train": deck.train, "test": deck.test}
    counted(sum(map(len, numbers.values())))
    looks = {split: looked_at(deck, some, told) for split, some in numbers.items()}
    parts = [Part(f"{rows.title} {split}", rows.title, "x", some) for split, some in looks.items() if some]
    files = isinstance(deck.gallery, Files)
    top = Path(os.path.commonpath([look.path.absolute().parent for part in parts for look in part.looks]))
    findings = list(find(parts, top if files else Path.cwd(), deck.size, sizes="--size"))
    findings[:0] = not_there(rows.labelled.missing)
    lines = overview(parts, deck.size)
    if isinstance(rows, Conditioned):
        lines += ["", *{"class": of_classes, "attributes": of_attributes, "caption": of_captions}[rows.condition](rows)]
        if rows.condition == "class":
            findings += uneven(rows.conditions.names, deck.more["c"].numpy()[deck.train])
        elif rows.condition == "attributes":
            findings += rare(rows)
        if rows.condition != "caption":  # of which a picture may have several
            findings += contradicting(rows, looks, numbers)
    elif rows.modes:
        lines += ["", *counts_of(rows.modes, deck.more["mode"].numpy(), deck)]
    notices = [line for line in rows.notices if not line.endswith(": passed over")]  # a finding says so
    lines += ["", *notices] if notices else []
    options = " ".join(dict.fromkeys(part.options for part in parts if part.options))
    return Report(lines, findings, options, entries_of(rows, looks, numbers, findings) if files else None, {})


def entries_of(
    rows: Conditioned | Pictures,
    looks: dict[str, list[Look]],
    numbers: dict[str, np.ndarray],
    findings: Sequence[Finding],
) -> list[Entry]:
    """What a list of the pictures would hold, in their order; a picture with several captions is one entry."""
    useless = useless_files(findings)
    kind = rows.condition if isinstance(rows, Conditioned) else None
    collection, groups = rows.labelled.collection, rows.labelled.groups
    entries: dict[Path, Entry] = {}
    of_all = [
        (number, look, split)
        for split, some in looks.items()
        for look, number in zip(some, numbers[split].tolist(), strict=True)
    ]
    for number, look, split in sorted(of_all, key=lambda one: one[0]):
        label = collection.labels[number] if collection.labels and kind else ""
        if kind == "caption" and look.path in entries:
            before = entries[look.path]
            entries[look.path] = before._replace(captions=[*before.captions, label])
            continue
        said: dict[str, str] = {"label": label} if kind == "class" else {}
        if kind == "attributes":
            values = rows.labelled.values[number].tolist()
            said = {name: f"{value:.9g}" for name, value in zip(rows.labelled.attributes, values, strict=True)}
        cells = {"file": look.path, **said, "group": groups[number] if groups else ""}
        captions = [label] if kind == "caption" else []
        entries[look.path] = Entry(digests_of([look], useless), split, cells, repr(said), captions)
    return list(entries.values())


def looked_at(deck: Deck, numbers: np.ndarray, told: Callable[[], object]) -> list[Look]:
    """What each picture is, in the order of the numbers."""
    gallery = deck.gallery
    if isinstance(gallery, Files):
        paths = [gallery.paths[number] for number in numbers.tolist()]
        once = dict(zip(dict.fromkeys(paths), look_at(dict.fromkeys(paths), told), strict=True))
        return [once[path] for path in paths]
    looks = []
    for number in numbers.tolist():
        pixels = gallery.read(number)
        size = (pixels.shape[1], pixels.shape[0])
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        kind = {1: "grey", 3: "RGB"}.get(pixels.shape[2], f"{pixels.shape[2]} channels")
        looks.append(Look(Path(gallery.name(number)), digest, size, kind, contrast_of(pixels)))
        told()
    return looks


def counts_of(names: Sequence[str], numbers: np.ndarray, deck: Deck) -> list[str]:
    """Aligned columns, a row for each class: how many pictures of it there are."""
    train, test = (np.bincount(numbers[part], minlength=len(names)) for part in (deck.train, deck.test))
    shares = train / max(1, len(deck.train))
    rows = [
        (name, f"{one:,}", f"{other:,}", f"{share:.1%}")
        for name, one, other, share in zip(names, train.tolist(), test.tolist(), shares.tolist(), strict=True)
    ]
    return aligned([("class", "train", "test", "share"), *rows])


def of_classes(rows: Conditioned) -> list[str]:
    """How many pictures each class has, to train on and held out."""
    return counts_of(rows.conditions.names, rows.deck.more["c"].numpy(), rows.deck)


def of_attributes(rows: Conditioned) -> list[str]:
    """The mean and the range of each attribute among the pictures to train on."""
    values = rows.deck.more["c"].numpy()[rows.deck.train]
    lines = [("attribute", "mean", "smallest", "largest")]
    for name, column in zip(rows.conditions.names, values.T, strict=True):
        lines.append((name, f"{column.mean():.3g}", f"{column.min():g}", f"{column.max():g}"))
    return aligned(lines)


def of_captions(rows: Conditioned) -> list[str]:
    """How long captions are, their most frequent words, and held-out words that no picture to train on has."""
    texts = rows.collection.labels or []
    words = [tokens(texts[number]) for number in rows.deck.train.tolist()]
    lengths = sorted(map(len, words))
    frequent = Counter(word for some in words for word in some).most_common(FREQUENT)
    unknown = Counter(word for number in rows.deck.test.tolist() for word in rows.conditions.unknown(texts[number]))
    lines = [
        f"captions: {len(set(texts)):,} different ones of {len(texts):,}; {lengths[0]} to {lengths[-1]} words, half of"
        f" them up to {lengths[len(lengths) // 2]}; {rows.conditions.length} words count",
        f"words: {len(rows.conditions.names):,} known; the most frequent "
        + ", ".join(f"{word} {count:,}" for word, count in frequent),
    ]
    if unknown:
        some = ", ".join(word for word, _ in unknown.most_common(FREQUENT))
        lines.append(f"unknown words in held-out captions: {len(unknown):,}, {some}")
    return lines


def uneven(names: Sequence[str], numbers: np.ndarray) -> Iterable[Finding]:
    """Classes of which there are far fewer pictures than of others."""
    counts = np.bincount(numbers, minlength=len(names))
    few = [at for at in np.argsort(counts, kind="stable").tolist() if counts[at] * UNEVEN < counts.max()]
    if few:
        most = names[int(counts.argmax())]
        yield Finding(
            f"{len(few)} {'class has' if len(few) == 1 else 'classes have'} less than a tenth of the pictures of {most}"
            f" ({counts.max():,})",
            [f"{names[at]} ({counts[at]:,})" for at in few],
            "they are seen seldom and learned last, add pictures, or leave them out with --names",
        )


def rare(rows: Conditioned) -> Iterable[Finding]:
    """Attributes that hardly ever change."""
    values = rows.deck.more["c"].numpy()[rows.deck.train]
    few = []
    for name, column in zip(rows.conditions.names, values.T, strict=True):
        share = max(Counter(column.tolist()).values()) / len(column)
        if share > 1 - RARE:
            few.append(f"{name} ({share:.1%} alike)")
    if few:
        yield Finding(
            f"{len(few)} {'attribute is' if len(few) == 1 else 'attributes are'} the same in nearly all pictures",
            few,
            "too little to learn from, leave them out with --names",
        )


def contradicting(rows: Conditioned, looks: dict[str, list[Look]], numbers: dict[str, np.ndarray]) -> Iterable[Finding]:
    """Files of the same bytes that are said to be different things."""
    said: dict[bytes, dict[str, str]] = {}
    for split, some in looks.items():
        for look, number in zip(some, numbers[split].tolist(), strict=True):
            if look.digest:
                what = rows.conditions.describe(rows.deck.more["c"][number])
                said.setdefault(look.digest, {}).setdefault(what, look.path.name)
    torn = [
        " = ".join(f"{name} ({what[:40]})" for what, name in different.items())
        for different in said.values()
        if len(different) > 1
    ]
    if torn:
        yield Finding(
            f"{len(torn)} {'picture has' if len(torn) == 1 else 'pictures have'} several conditions, in copies",
            torn,
            "what is two things teaches neither, keep one of the copies",
        )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right; of many rows the first and the last."""
    if len(rows) > ROWS:
        rows = [*rows[: ROWS - 5], [f"... {len(rows) - ROWS} more", *[""] * (len(rows[0]) - 1)], *rows[-5:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
