"""Finds pictures in folders and idx files, with the class of each where it is known, and holds some out."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quagga.data.io.mnist_files import idx_files, idx_labels, idx_pictures
from quagga.data.io.read import SUFFIXES
from quagga.data.sources.folders import find_all
from quagga.data.sources.held_out import fingerprint, held_out_count
from quagga.data.sources.image_store import JoinedDatasets
from quagga.data.transforms.conditions import name_of
from quagga.errors import BadInput
from quagga.filenames import encode_utf8

SPLITS = {  # how splits are called -> whether they are held out
    **dict.fromkeys(("train", "training"), False),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "dev", "eval", "held_out"), True),
}


PictureSource = Sequence[Path] | np.ndarray | JoinedDatasets  # files, uint8 (N, H, W, C), or datasets


class Collection(NamedTuple):
    """Pictures in a fixed order, files or arrays, and what is known of each."""

    title: str
    pictures: PictureSource
    labels: list[str] | None  # of each picture
    test: np.ndarray | None  # bool (N,): whether it is held out of training; None where nothing says
    notices: list[str]


def collect_folder(root: str | Path) -> Collection:
    """Finds the pictures of a folder: a folder for each class, perhaps below train and test; idx files; or any
    pictures.

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
    """Returns what a set in a folder is called."""
    return folder.resolve().name or "pictures"


def sorted_labels(labels: Iterable[str]) -> list[str]:
    """Returns the different labels, sorted: whole numbers by their size, others by the alphabet."""
    different = set(labels)
    if all(label.isdecimal() for label in different):
        return sorted(different, key=lambda label: (int(label), label))
    return sorted(different)


def picture_count(pictures: PictureSource) -> int:
    """Returns how many pictures there are."""
    return pictures.count() if isinstance(pictures, JoinedDatasets) else len(pictures)


def subset(collection: Collection, chosen: np.ndarray) -> Collection:
    """Returns the pictures of these numbers, with all that belongs to them."""
    pictures = collection.pictures
    if isinstance(pictures, np.ndarray):
        selected: PictureSource = pictures[chosen]
    else:
        selected = (
            pictures.only(chosen)
            if isinstance(pictures, JoinedDatasets)
            else [pictures[int(number)] for number in chosen]
        )
    labels = collection.labels and [collection.labels[number] for number in chosen]
    test = None if collection.test is None else collection.test[chosen]
    return collection._replace(pictures=selected, labels=labels, test=test)


def choose_held_out(keys: Sequence[bytes], classes: Sequence[Hashable]) -> np.ndarray:
    """Chooses 5 % (4 to 64, at most half) of pictures by their keys alone: bool (N,), True for held-out ones.

    Adding pictures leaves the choice nearly as it was. What has the same key (a copy, another picture of the same
    patient) stays together, and no class gives away more than half of its pictures.
    """
    count = held_out_count(len(keys))
    same_key: dict[bytes, list[int]] = {}
    for number, key in enumerate(keys):
        same_key.setdefault(key, []).append(number)
    remaining = Counter({name: number // 2 for name, number in Counter(classes).items()})
    test = np.zeros(len(keys), bool)
    for _, numbers in sorted(same_key.items()):
        classes_of_group = Counter(classes[number] for number in numbers)
        if len(numbers) <= count and classes_of_group <= remaining:
            test[numbers] = True
            count -= len(numbers)
            remaining -= classes_of_group
    return test


def split_collection(
    collection: Collection, classes: Sequence[Hashable], groups: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str]]:
    """Decides which pictures are held out: those that the collection says, or a share, see `choose_held_out`.

    Args:
        collection: The pictures.
        classes: The class of each picture.
        groups: The group of each picture, which stays together. None: copies stay together.

    Returns:
        bool (N,), True for held-out pictures, and lines for the user.
    """
    if collection.test is not None:
        return collection.test, []
    keys = picture_keys(collection.pictures)
    if groups is not None:
        keys = [hashlib.blake2b(encode_utf8(group), digest_size=16).digest() for group in groups]
    test = choose_held_out(keys, classes)
    if not test.any():
        return test, ["too few different pictures to hold any out; the samples show training pictures"]
    by = "groups" if groups is not None else "pictures"
    return test, [
        f"no test set, so {test.sum()} of {len(test)} pictures are held out of training, by a hash of the {by}"
    ]


def picture_keys(pictures: PictureSource) -> list[bytes]:
    """Returns a hash of each picture's file, or of its values; of a dataset's picture only of its number, as hashing
    values would read the whole dataset."""
    if isinstance(pictures, JoinedDatasets):
        return [hashlib.blake2b(str(number).encode(), digest_size=16).digest() for number in range(pictures.count())]
    if isinstance(pictures, np.ndarray):
        return [hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in pictures]
    prints = {path: fingerprint(path) for path in dict.fromkeys(pictures)}  # with several captions it is listed often
    return [prints[path] for path in pictures]
