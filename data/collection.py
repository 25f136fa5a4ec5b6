"""Pictures that are there, with the class each is of where that is known: in folders, in idx files."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quagga import BadInput
from quagga.data.conditions import name_of
from quagga.data.decode import SUFFIXES
from quagga.data.folders import find_all, fingerprint, held_out_count
from quagga.data.gallery import Joined
from quagga.data.idx import idx_files, idx_labels, idx_pictures
from quagga.names import stored

SPLITS = {  # how splits are called -> whether they are held out
    **dict.fromkeys(("train", "training"), False),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "dev", "eval", "held_out"), True),
}


Pictures = Sequence[Path] | np.ndarray | Joined  # files, uint8 (N, H, W, C), or datasets


class Collection(NamedTuple):
    """Pictures in one order, files or arrays, and what is known of them."""

    title: str
    pictures: Pictures
    labels: list[str] | None  # of each picture
    test: np.ndarray | None  # bool (N,): whether it is held out of training; None where nothing says
    notices: list[str]


def in_folder(root: str | Path) -> Collection:
    """The pictures of a folder: a folder for each class, perhaps below train and test; idx files; or any pictures.

    Raises:
        BadInput: the folder is missing, unreadable or without pictures, or its idx files are damaged.
    """
    folder = Path(root).expanduser()
    splits = idx_files(folder) if folder.is_dir() else {}
    if splits:
        pixels = {split: idx_pictures(files.images) for split, files in splits.items()}
        shapes = {split: array.shape[1:] for split, array in pixels.items()}
        if len(set(shapes.values())) > 1:
            raise BadInput(f"{folder}: pictures for training are {shapes['train']}, for the test {shapes['test']}")
        labelled = all(files.labels for files in splits.values())
        labels = [
            str(number)
            for split, files in splits.items()
            if labelled and files.labels
            for number in idx_labels(files.labels, len(pixels[split])).tolist()
        ]
        counts = [len(array) for array in pixels.values()]
        test = np.repeat([split == "test" for split in splits], counts) if len(splits) > 1 else None
        missing = next((files.images for files in splits.values() if not files.labels), None)
        notices = [] if labelled else [f"{missing} has no labels beside it: the classes are not known"]
        return Collection(title_of(folder), np.concatenate(list(pixels.values())), labels or None, test, notices)
    paths, left_out = find_all(folder)
    if not paths:
        raise BadInput(f"{folder} has 0 pictures: expected {', '.join(SUFFIXES)} in it and below, or idx files")
    parts = [path.relative_to(folder).parts[:-1] for path in paths]
    tops = {part[0].casefold() if part else "" for part in parts}
    test = None
    if tops <= SPLITS.keys() and {SPLITS[top] for top in tops} == {False, True}:
        test = np.array([SPLITS[part[0].casefold()] for part in parts])
        parts = [part[1:] for part in parts]
    labels = [name_of(part[0]) for part in parts] if all(parts) else None
    return Collection(title_of(folder), paths, labels, test, left_out)


def title_of(folder: Path) -> str:
    """What a set in a folder is called."""
    return folder.resolve().name or "pictures"


def in_order(labels: Iterable[str]) -> list[str]:
    """The different labels: whole numbers by their size, others by the alphabet."""
    different = set(labels)
    if all(label.isdecimal() for label in different):
        return sorted(different, key=lambda label: (int(label), label))
    return sorted(different)


def count_of(pictures: Pictures) -> int:
    """How many pictures there are."""
    return pictures.count() if isinstance(pictures, Joined) else len(pictures)


def taken(collection: Collection, chosen: np.ndarray) -> Collection:
    """The pictures of these numbers, with all that belongs to them."""
    pictures = collection.pictures
    if isinstance(pictures, np.ndarray):
        some: Pictures = pictures[chosen]
    else:
        some = pictures.only(chosen) if isinstance(pictures, Joined) else [pictures[int(number)] for number in chosen]
    labels = collection.labels and [collection.labels[number] for number in chosen]
    test = None if collection.test is None else collection.test[chosen]
    return collection._replace(pictures=some, labels=labels, test=test)


def held_out(keys: Sequence[bytes], classes: Sequence[Hashable]) -> np.ndarray:
    """Chooses 5 % (4 to 64, at most half) of pictures by their keys alone: bool (N,), True for those to test on.

    Adding pictures leaves the choice nearly as it was. What has the same key (a copy, another picture of the same
    patient) stays together, and no class gives away more than half of its pictures.
    """
    count = held_out_count(len(keys))
    together: dict[bytes, list[int]] = {}
    for number, key in enumerate(keys):
        together.setdefault(key, []).append(number)
    left = Counter({name: number // 2 for name, number in Counter(classes).items()})
    test = np.zeros(len(keys), bool)
    for _, numbers in sorted(together.items()):
        taken = Counter(classes[number] for number in numbers)
        if len(numbers) <= count and taken <= left:
            test[numbers] = True
            count -= len(numbers)
            left -= taken
    return test


def divided(
    collection: Collection, classes: Sequence[Hashable], groups: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str]]:
    """Which pictures are held out, bool (N,): those that are called so, or a share, see `held_out`; and a line on it.

    Args:
        collection: The pictures.
        classes: Of each picture.
        groups: Of each picture, what stays together. None: its copies.
    """
    if collection.test is not None:
        return collection.test, []
    keys = keys_of(collection.pictures)
    if groups is not None:
        keys = [hashlib.blake2b(stored(group), digest_size=16).digest() for group in groups]
    test = held_out(keys, classes)
    if not test.any():
        return test, ["too few different pictures to hold any out; the samples show training pictures"]
    by = "groups" if groups is not None else "pictures"
    return test, [
        f"no test set, so {test.sum()} of {len(test)} pictures are held out of training, by a hash of the {by}"
    ]


def keys_of(pictures: Pictures) -> list[bytes]:
    """A hash of each picture's file, or of its values; of a dataset's, not to read it all, of its number."""
    if isinstance(pictures, Joined):
        return [hashlib.blake2b(str(number).encode(), digest_size=16).digest() for number in range(pictures.count())]
    if isinstance(pictures, np.ndarray):
        return [hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in pictures]
    once = {path: fingerprint(path) for path in dict.fromkeys(pictures)}  # a picture with several captions is one
    return [once[path] for path in pictures]
