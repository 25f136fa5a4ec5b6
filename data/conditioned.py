"""Pictures with a condition each: a class, attributes, or a caption."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from quagga.data.indexed_rows import IndexedRows
from quagga.data.sources.annotations import Columns, Labelled, collect_table, find_table
from quagga.data.sources.argument_checks import check_names, check_workers
from quagga.data.sources.image_folder import collect_folder, sorted_labels, split_collection, subset
from quagga.data.sources.map_style import collect_dataset, without_init
from quagga.data.transforms.conditions import MAX_NAMES, PLURAL, Conditions, name_of, tokens, vocabulary
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput, some


@dataclass
class Conditioned(IndexedRows):
    """Rows of one picture, "x" (N, C, size, size) in [-1, 1], and its condition, "c": int64 (N,) the number of a class,
    float32 (N, A) attributes, or int64 (N, caption_length) the words of a caption.

    It takes the options of the classes from which it inherits too, see `quagga.data.options`.

    Args:
        root: folder with a folder for each class; these may be in train and test. Or a folder with MNIST's idx files,
            or with a table.
        table: CSV, TSV or JSON table, in place of root; it has a line for each picture.
        pictures: folder of the table's files. None: the folder images beside the table, or the table's own folder.
        condition: what the table says of a picture; attributes and captions need a table.
        names: classes, attributes or words to use, in order; pictures of other classes are left out. None: all there
            are; of words the most frequent, as many as vocabulary says.
        file: column of the table that names the file. None: file, filename, file_name, image, path or image_id.
        label: column of the class. None: label or class.
        caption: column of the caption. None: caption, text or tags.
        split: column that says train or test. None: split; without that column 5 % are held out.
        group: column of what must be in training or in the test as a whole, such as a patient or a scene. None: group.
        caption_length: words of a caption that are read; the rest is cut off.
        vocabulary: most words of the captions that are known; the others count as unknown.
        flip: mirror half of the pictures, left to right; not for digits, nor where left and right are conditions.
        unreadable: what to do with a damaged or missing picture: "error" stops, "skip" takes the next one and counts.

    Raises:
        BadInput: when made, if files, table or options cannot work; while reading, if a picture cannot be read.
    """

    root: str | None = None
    table: str | None = None
    pictures: str | None = None
    condition: Literal["class", "attributes", "caption"] = "class"
    names: list[str] | None = None
    file: str | None = None
    label: str | None = None
    caption: str | None = None
    split: str | None = None
    group: str | None = None
    caption_length: int = 16
    vocabulary: int = 4096

    def __post_init__(self) -> None:
        self._prepare(self._find_pictures())

    @classmethod
    def of(cls, dataset: Any, test: Any = None, conditions: Sequence[Any] | None = None, **options: Any) -> Self:
        """The rows of any map-style dataset of (picture, condition), e.g. of torchvision.

            def digits(seed: int = 0, workers: int = 2) -> Conditioned:
                train, test = (MNIST("mnist", train=part) for part in (True, False))
                return Conditioned.of(train, test=test, seed=seed, workers=workers)

            quagga.main(conditional.build, data=digits, defaults=conditional.defaults)

        What such a function takes is an option of its `train`; what it takes under the name of another option, that.

        Args:
            dataset: `len(dataset)` pairs. Pictures are PIL images, arrays (H, W) or (H, W, C) of uint8, uint16 or
                floats in [0, 1], or tensors (C, H, W) of uint8 or in [-1, 1]. A condition is a class (its name, or a
                number into `names` or `dataset.classes`), attributes (numbers in the order of `names`, or name ->
                number), or a caption.
            test: Such a dataset too, held out. None: 5 % of the first.
            conditions: The conditions of all pictures, those of `test` last, so that the datasets need not be read
                for them, e.g. `dataset.targets`.
            options: As of the class, but for those of files and tables.

        Raises:
            BadInput: as of the class; what is in it is not understood.
        """
        rows = without_init(cls, options)
        check_names(rows.names)
        rows._prepare(collect_dataset(dataset, test, conditions, rows.condition, rows.names))
        return rows

    def known(self) -> dict[str, Any]:
        """Returns the options of the pipeline that follow from the data."""
        return {
            "condition": self.condition,
            "names": list(self.conditions.names),
            "caption_length": self.caption_length,
            **super().known(),
        }

    def _find_pictures(self) -> Labelled:
        check_names(self.names)
        if (self.root is None) == (self.table is None):
            raise BadInput("name the pictures: --root DIR with a folder for each class, or --table FILE.csv")
        table = self.table
        if table is None and self.root is not None:
            table = find_table(Path(self.root).expanduser(), self.condition)
        if table is not None:
            columns = Columns(self.file, self.label, self.caption, self.split, self.group)
            names = self.names if self.condition == "attributes" else None
            return collect_table(table, self.pictures, self.condition, names, columns, self.unreadable == "skip")
        if self.condition != "class":
            raise BadInput(f"condition {self.condition} needs a table of files and {self.condition}: --table FILE.csv")
        assert self.root is not None
        collection = collect_folder(self.root)
        if {"trainA", "trainB"} <= set(collection.labels or ()):
            raise BadInput(
                f"{self.root} holds trainA and trainB, as quagga train cyclegan takes: make a folder a class"
            )
        if collection.labels is None:
            raise BadInput(
                f"the classes of {self.root} are not known: put every picture into a folder of its class, or give a"
                " table, --table FILE.csv; without condition: quagga train gan"
            )
        return Labelled(collection, [], np.zeros((len(collection.labels), 0), np.float32), None)

    def _prepare(self, found: Labelled) -> None:
        check_workers(self.workers, self.worker_timeout)
        if not 1 <= self.vocabulary <= MAX_NAMES:
            raise BadInput(f"vocabulary {self.vocabulary}: it must be from 1 to {MAX_NAMES:,} words")
        self.notices = list(found.collection.notices)
        names: Sequence[str] = []
        if self.condition == "class":
            found, names = self._chosen_classes(found)
        collection = found.collection
        labels = collection.labels or []
        strata = labels if self.condition == "class" else [""] * len(found.values)
        test, lines = split_collection(collection, strata, found.groups)
        self.notices += lines
        if self.condition == "class":
            self.conditions = Conditions("class", names)
            c = torch.tensor([self.conditions.number(label) for label in labels])
            self._check_class_sizes(c, test)
            classes = c.tolist()
        elif self.condition == "attributes":
            self.conditions = Conditions("attributes", found.attributes)
            c, classes = torch.from_numpy(found.values), [0] * len(found.values)
        else:
            train_captions = [text for text, held in zip(labels, test.tolist(), strict=True) if not held]
            names = vocabulary(train_captions, self.vocabulary) if self.names is None else self.names
            self.conditions = Conditions("caption", names, self.caption_length)
            c, classes = torch.stack([self.conditions.encode(text) for text in labels]), [0] * len(labels)
            self.notices += caption_notices(labels, self.conditions)
        self._open(found, test, {"c": c}, classes, PLURAL[self.condition], self.conditions.names)

    def _chosen_classes(self, found: Labelled) -> tuple[Labelled, list[str]]:
        """Returns the pictures of the classes that are asked for, and these classes in order."""
        collection = found.collection
        labels = collection.labels or []
        known = sorted_labels(labels)
        names = known if self.names is None else list(dict.fromkeys(map(name_of, self.names)))
        for name in names:
            if name not in known:
                raise BadInput(f"no picture of {collection.title} is of the class {name!r}{did_you_mean(name, known)}")
        if len(names) < 2:
            raise BadInput(
                f"{collection.title} has one class only, {names[0]}: a condition needs two; without: quagga train gan"
            )
        chosen = np.flatnonzero(np.isin(labels, names))
        if len(chosen) < len(labels):
            others = [name for name in known if name not in names]
            count = len(labels) - len(chosen)
            self.notices.append(f"{count} pictures of other classes are left out: {some(others, 6)}")
            groups = found.groups and [found.groups[number] for number in chosen]
            found = found._replace(collection=subset(collection, chosen), values=found.values[chosen], groups=groups)
        return found, names

    def _check_class_sizes(self, c: Tensor, test: np.ndarray) -> None:
        """Raises BadInput where a class has fewer than two pictures to train on."""
        counts = np.bincount(c.numpy()[~test], minlength=self.conditions.count)
        few = [name for name, count in zip(self.conditions.names, counts, strict=True) if count < 2]
        if few:
            name = few[0]
            has = {0: "no picture", 1: "1 picture"}[int(counts[self.conditions.number(name)])]
            more = f" (and {len(few) - 1} more classes)" if len(few) > 1 else ""
            sentences = 2 * sum(len(tokens(one)) > 2 for one in few) > self.conditions.count
            advice = "if these are captions, --condition caption; else " if sentences else ""
            raise BadInput(
                f"class {name!r} has {has} to train on{more}: {advice}add pictures, or leave it out with --names"
                " '[...]'"
            )


def caption_notices(texts: Sequence[str], conditions: Conditions) -> list[str]:
    """Says how many words there are, and how many captions are cut or hold unknown words."""
    lengths = Counter(len(tokens(text)) for text in texts)
    lines = [f"a vocabulary of {len(conditions.names)} words; the longest of {len(texts)} captions has {max(lengths)}"]
    if cut := sum(count for length, count in lengths.items() if length > conditions.length):
        lines.append(
            f"{cut} captions are longer than {conditions.length} words and are cut: --caption_length keeps more"
        )
    if unknown := sum(bool(conditions.unknown(text)) for text in texts):
        lines.append(f"{unknown} captions hold words that the vocabulary lacks")
    return lines
