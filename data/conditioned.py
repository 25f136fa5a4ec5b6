"""Pictures with a condition each: a class, attributes, or a caption."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from quagga import BadInput
from quagga.data.cache import CacheOrDevice, Shelf
from quagga.data.collection import divided, in_folder, in_order, taken
from quagga.data.conditions import MOST, PLURAL, Conditions, Kind, did_you_mean, name_of, tokens, vocabulary
from quagga.data.dataset import in_dataset, unprepared
from quagga.data.deck import deck_of, wanted_of
from quagga.data.folders import subfolders
from quagga.data.form import Form
from quagga.data.labels import Columns, Labelled, in_table
from quagga.data.rows import Batch, Batches, Sample
from quagga.data.stated import check_names, check_workers
from quagga.data.table import SUFFIXES


@dataclass
class Conditioned:
    """Rows of one picture, "x" (N, C, size, size) in [-1, 1], and its condition, "c": int64 (N,) the number of a class,
    float32 (N, A) attributes, or int64 (N, caption_length) the words of a caption.

    Args:
        root: A folder with a folder for each class, perhaps below train and test; or with MNIST's idx files; or with a
            table.
        table: Instead of root, a CSV, TSV or JSON file with a line for each picture.
        pictures: The folder of the table's files. None: the folder images beside it, or its own.
        condition: What a picture is conditioned on. Attributes and captions need a table.
        names: The classes or attributes, in order, or the words of the vocabulary; pictures of other classes are left
            out. None: all there are; of words the most frequent, as many as vocabulary says.
        file: Column of the table that names the file. None: file, filename, file_name, image, path or image_id.
        label: Column of the class. None: label or class.
        caption: Column of the caption. None: caption, text or tags.
        split: Column that says train or test. None: split; without it 5 % are held out.
        group: Column of what must stay on one side of the split, a patient or a scene. None: group.
        caption_length: Words of a caption that count; longer ones are cut.
        vocabulary: Words of the captions that are known at most; the others count as unknown.
        size: Side of the square pictures in pixels. None: that of the pictures, or 32, 64, 128 or 256.
        fit: "crop" scales the shorter side to size and cuts a square at random; "squash" scales both.
        flip: Whether every second picture is mirrored; not for digits, nor where left and right are conditions.
        augment: Transforms of albumentations after the cut, e.g. {"ColorJitter": {"brightness": 0.1, "p": 0.5}}.
        unreadable: What to do with a damaged or missing picture: "error" stops, "skip" takes the next one and counts.
        cache: "ram" reads all pictures before the first row, scaled to size, and keeps them in memory, for all passes
            and workers; how much they take is told. Of several processes each keeps its own. "device" keeps them on the
            GPU, for sets that are neither cut, mirrored nor otherwise changed. "none" reads them when they are due.
        workers: Processes that read ahead, for each process of training. 0: none. Sets in memory need none.
        x_channels: Channels into which pictures are converted: 1 (grey) or 3, or as many as they have. None: grey
            where all are grey, else 3.
        x_value_range: The stored values that become black and white, e.g. [0, 4095]. None: the range of their kind.
        seed: Of the order, the cuts and all other augmentation.
        worker_timeout: Seconds without a batch after which a worker counts as hanging.

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
    size: int | None = None
    fit: Literal["crop", "squash"] = "crop"
    flip: bool = False
    augment: dict[str, dict[str, bool | int | float | str | list[float] | None]] = field(default_factory=dict)
    unreadable: Literal["error", "skip"] = "error"
    cache: CacheOrDevice = "none"
    workers: int = 2
    x_channels: int | None = None
    x_value_range: list[float] | None = None
    seed: int = 0
    worker_timeout: float = 300.0

    def __post_init__(self) -> None:
        self._prepare(self._found())

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
        made = unprepared(cls, options)
        check_names(made.names)
        made._prepare(in_dataset(dataset, test, conditions, made.condition, made.names))
        return made

    @property
    def title(self) -> str:
        """What the folder, table or dataset is called."""
        return self.collection.title

    @property
    def images_per_epoch(self) -> int:
        """Pictures to train on."""
        return len(self.deck.train)

    def check(self, global_batch: int) -> None:
        """Raises BadInput where there are fewer pictures than one batch (rows of all processes together)."""
        self.deck.check(global_batch)
        self.notices += self.deck.cost()

    def batches(self, from_row: int, batch_size: int, process: int = 0, processes: int = 1) -> Batches:
        """Endless batches from a row on: {"x", "c", "other": the condition of another picture, "row": (N,) int64}."""
        return self.deck.batches(
            from_row, batch_size, process, processes, self.workers, self.worker_timeout, self.skipped.update
        )

    @property
    def kept(self) -> list[Shelf]:
        """Where pictures stay in memory; empty where they do not."""
        return [self.deck.shelf] if self.deck.shelf else []

    def on(self, device: torch.device) -> None:
        """Puts the pictures onto the device, where `cache` is "device"; `batches` then come from there."""
        self.deck.on(device)

    def sample(self, row: int) -> Sample:
        """A row: "x" (C, size, size), bytes or floats in [-1, 1]; "c", its condition, and "other", that of another
        picture, both without N.

        Raises:
            BadInput: the picture cannot be read, or with unreadable "skip" none can.
        """
        return self.deck.sample(row)

    def files(self, row: int) -> list[str]:
        """The files of a row, for messages."""
        return self.deck.files(row)

    def held_out(self, count: int) -> Batch:
        """Up to `count` rows that training never sees, spread over the classes, cut from the middle."""
        return self.deck.held_out(count)

    def preprocessing(self) -> dict[str, Any]:
        """What was done to the pictures, for the model to carry along (JSON)."""
        return self.deck.preprocessing(self.fit)

    def domains(self) -> dict[str, dict[str, Any]]:
        """What the pictures are called and how they are read and written, for the model to carry along (JSON)."""
        return self.deck.domains(self.title)

    def known(self) -> dict[str, Any]:
        """Options of the pipeline that follow from the data."""
        return {
            "condition": self.condition,
            "names": list(self.conditions.names),
            "caption_length": self.caption_length,
            "size": self.deck.size,
            "x_channels": self.deck.gallery.form.channels,
        }

    def _found(self) -> Labelled:
        check_names(self.names)
        if (self.root is None) == (self.table is None):
            raise BadInput("name the pictures: --root DIR with a folder for each class, or --table FILE.csv")
        table = self.table
        if table is None and self.root is not None:
            table = table_of(Path(self.root).expanduser(), self.condition)
        if table is not None:
            columns = Columns(self.file, self.label, self.caption, self.split, self.group)
            names = self.names if self.condition == "attributes" else None
            return in_table(table, self.pictures, self.condition, names, columns, self.unreadable == "skip")
        if self.condition != "class":
            raise BadInput(f"condition {self.condition} needs a table of files and {self.condition}: --table FILE.csv")
        assert self.root is not None
        collection = in_folder(self.root)
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
        if not 1 <= self.vocabulary <= MOST:
            raise BadInput(f"vocabulary {self.vocabulary}: it must be from 1 to {MOST:,} words")
        self.notices = list(found.collection.notices)
        if self.condition == "class":
            found, names = self._classes(found)
        collection = self.collection = found.collection
        self.labelled = found  # what the table or the folders say of each picture
        labels = collection.labels or []
        strata = labels if self.condition == "class" else [""] * len(found.values)
        test, lines = divided(collection, strata, found.groups)
        self.notices += lines
        if self.condition == "class":
            self.conditions = Conditions("class", names)
            c = torch.tensor([self.conditions.number(label) for label in labels])
            self._learnable(c, test)
            ranks = c.tolist()
        elif self.condition == "attributes":
            self.conditions = Conditions("attributes", found.attributes)
            c, ranks = torch.from_numpy(found.values), [0] * len(found.values)
        else:
            learned = [text for text, held in zip(labels, test.tolist(), strict=True) if not held]
            names = vocabulary(learned, self.vocabulary) if self.names is None else self.names
            self.conditions = Conditions("caption", names, self.caption_length)
            c, ranks = torch.stack([self.conditions.encode(text) for text in labels]), [0] * len(labels)
            self.notices += told_of_captions(labels, self.conditions)
        self.deck, lines = deck_of(collection, test, {"c": c}, ranks, wanted_of(self))
        self.notices = [self.deck.summary(PLURAL[self.condition], self.conditions.names), *self.notices, *lines]
        self.forms: dict[str, Form] = {"x": self.deck.gallery.form}
        self.skipped: Counter[str] = Counter()  # "path: why" -> how often another took its place

    def _classes(self, found: Labelled) -> tuple[Labelled, list[str]]:
        """The pictures of the classes that are wanted, and these classes in order."""
        collection = found.collection
        labels = collection.labels or []
        there = in_order(labels)
        names = there if self.names is None else list(dict.fromkeys(map(name_of, self.names)))
        for name in names:
            if name not in there:
                raise BadInput(f"no picture of {collection.title} is of the class {name!r}{did_you_mean(name, there)}")
        if len(names) < 2:
            raise BadInput(
                f"{collection.title} has one class only, {names[0]}: a condition needs two; without: quagga train gan"
            )
        chosen = np.flatnonzero(np.isin(labels, names))
        if len(chosen) < len(labels):
            others = [name for name in there if name not in names]
            some = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
            self.notices.append(f"{len(labels) - len(chosen)} pictures of other classes are left out: {some}")
            groups = found.groups and [found.groups[number] for number in chosen]
            found = found._replace(collection=taken(collection, chosen), values=found.values[chosen], groups=groups)
        return found, names

    def _learnable(self, c: Tensor, test: np.ndarray) -> None:
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


def told_of_captions(texts: Sequence[str], conditions: Conditions) -> list[str]:
    """How many words there are, and of how many captions something is lost."""
    lengths = Counter(len(tokens(text)) for text in texts)
    lines = [f"a vocabulary of {len(conditions.names)} words; the longest of {len(texts)} captions has {max(lengths)}"]
    if cut := sum(count for length, count in lengths.items() if length > conditions.length):
        lines.append(
            f"{cut} captions are longer than {conditions.length} words and are cut: --caption_length keeps more"
        )
    if strange := sum(bool(conditions.unknown(text)) for text in texts):
        lines.append(f"{strange} captions hold words that the vocabulary lacks")
    return lines


def table_of(root: Path, condition: Kind) -> str | None:
    """The one table that lies in a folder without class folders; not .json, which may hold anything."""
    if not root.is_dir():
        return None
    inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    tables = [path for path in inside if path.suffix.lower() in SUFFIXES and path.suffix.lower() != ".json"]
    if not tables or (condition == "class" and set(subfolders(root)) - {"images"}):
        return None
    if len(tables) > 1:
        raise BadInput(
            f"{root} holds {len(tables)} tables, {', '.join(path.name for path in tables[:4])}: name one, --table"
        )
    return str(tables[0])
