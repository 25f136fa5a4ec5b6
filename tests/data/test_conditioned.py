"""Pictures with conditions: every form in which they are kept, the same rows whoever reads them, and bad input."""

import contextlib
import gzip
import json
import pickle
import struct
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from quagga.data.conditioned import Conditioned
from quagga.data.io.tensors import with_floats
from quagga.data.loading.data_workers import batches
from quagga.data.loading.row_order import candidate_indices, row_indices
from quagga.data.sources.default_size import default_size
from quagga.data.sources.held_out import display_order
from quagga.data.sources.image_folder import choose_held_out, sorted_labels
from quagga.errors import BadInput

SIDE = 12
COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


CLASSES = {"condition": "class", "caption_length": 16}  # what is known of the kind of condition


def picture(kind: str, number: int, side: int = SIDE) -> np.ndarray:
    """uint8 (side, side, 3): one of the colours, and in its corner a level that tells the number."""
    pixels = np.full((side, side, 3), COLOURS[kind], np.uint8)
    pixels[:3, :3] = 4 * number
    return pixels


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def class_folders(top: Path, count: int = 8, side: int = SIDE) -> Path:
    for kind in COLOURS:
        for number in range(count):
            save(top / kind / f"{number}.png", picture(kind, number, side))
    return top


def pictures_of(top: Path, count: int = 4) -> list[tuple[str, str]]:
    """Files images/<kind><number>.png below a folder: (file, kind)."""
    listed = []
    for kind in COLOURS:
        for number in range(count):
            save(top / "images" / f"{kind}{number}.png", picture(kind, number))
            listed.append((f"{kind}{number}.png", kind))
    return listed


def colour(x: torch.Tensor) -> str:
    """Which of the colours a picture (3, H, W) is."""
    return list(COLOURS)[int(x[:, -1, -1].argmax())]


def idx(path: Path, values: np.ndarray, packed: bool = True) -> Path:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def digits(top: Path, train: int = 40, test: int = 10, side: int = 8, packed: bool = True) -> Path:
    """Pictures of label k are grey with 20 k in the first pixel; the second tells the number."""
    for name, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 10
        pixels = np.full((count, side, side), 100, np.uint8)
        pixels[:, 0, 0], pixels[:, 0, 1] = 20 * labels, np.arange(count)
        suffix = ".gz" if packed else ""
        idx(top / f"{name}-images-idx3-ubyte{suffix}", pixels, packed)
        idx(top / f"{name}-labels-idx1-ubyte{suffix}", labels, packed)
    return top


def some(data: Conditioned, batch_size: int, count: int, from_row: int = 0, **place_: int) -> dict[str, torch.Tensor]:
    with contextlib.closing(data.batches(from_row, batch_size, **place_)) as rows:
        found = list(islice(rows, count))
    return with_floats({name: torch.cat([batch[name] for batch in found]) for name in found[0]})


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- folders of classes -----------------------------------------------------------------------------------------------


def test_a_folder_for_each_class(tmp_path):
    data = Conditioned(root=str(class_folders(tmp_path / "colours")), workers=0)
    assert data.title == "colours"
    assert data.known() == {**CLASSES, "names": ["blue", "green", "red"], "size": SIDE, "x_channels": 3}
    batch = some(data, 5, 8)
    assert batch["x"].shape == (40, 3, SIDE, SIDE) and batch["x"].dtype == torch.float32
    assert batch["c"].shape == (40,) and batch["c"].dtype == torch.int64
    assert batch["row"].tolist() == list(range(40))
    for x, c in zip(batch["x"], batch["c"], strict=True):
        assert colour(x) == data.conditions.describe(c)
    assert data.files(3)[0].endswith(".png") and colour(batch["x"][3]) in data.files(3)[0]


def test_a_pass_shows_every_training_picture_once_and_none_that_is_held_out(tmp_path):
    data = Conditioned(root=str(class_folders(tmp_path)), workers=0)
    size = data.images_per_epoch
    seen = {tuple(x.flatten().tolist()) for x in some(data, 1, size)["x"]}
    held = {tuple(x.flatten().tolist()) for x in data.held_out(1000)["x"]}
    assert len(seen) == size and len(held) == 24 - size == 4 and not seen & held
    assert any("held out" in line for line in data.notices)


def test_a_row_brings_the_condition_of_another_picture(tmp_path):
    data = Conditioned(root=str(class_folders(tmp_path)), workers=0)
    rows = some(data, 30, 20)
    assert rows["other"].dtype == rows["c"].dtype and same(rows, some(data, 5, 120))
    together = [((rows["c"] == c) & (rows["other"] == o)).float().mean() for c in range(3) for o in range(3)]
    assert min(together) > 0.06 and max(together) < 0.17  # of one ninth each: they are independent
    held = data.held_out(4)
    assert torch.equal(held["other"], held["c"][[3, 0, 1, 2]])


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "val")])
def test_train_and_test_folders_are_heeded(tmp_path, train, test):
    class_folders(tmp_path / train, 4)
    for kind in COLOURS:
        save(tmp_path / test / kind / "9.png", picture(kind, 9))
    data = Conditioned(root=str(tmp_path), workers=0)
    assert data.images_per_epoch == 12
    held = data.held_out(10)
    assert sorted(held["c"].tolist()) == [0, 1, 2] and held["row"].tolist() == [0, 1, 2]
    assert ((held["x"][:, 0, 0, 0] + 1) * 127.5).round().tolist() == [36] * 3


def test_names_restrict_and_order_the_classes(tmp_path):
    data = Conditioned(root=str(class_folders(tmp_path)), names=["red", "blue"], workers=0)
    assert data.known()["names"] == ["red", "blue"]
    batch = some(data, 4, 8)
    assert {colour(x) for x in batch["x"]} == {"red", "blue"}
    assert all(colour(x) == ["red", "blue"][c] for x, c in zip(batch["x"], batch["c"].tolist(), strict=True))
    assert any("8 pictures of other classes are left out: green" in line for line in data.notices)


def test_what_is_known_gives_the_same_rows_again(tmp_path):
    """As a run does that is repeated from its config, in which what was known has been written down."""
    sets: list[dict[str, Any]] = [{"root": str(class_folders(tmp_path / "a"))}, {"root": str(digits(tmp_path / "b"))}]
    for options in sets:
        data = Conditioned(**options, workers=0)
        again = Conditioned(**{**options, **data.known()}, workers=0)
        assert again.known() == data.known()
        assert same(some(again, 3, 4), some(data, 3, 4)) and same(again.held_out(9), data.held_out(9))


def test_classes_that_are_numbers_are_sorted_as_numbers():
    assert sorted_labels(["10", "9", "0", "9"]) == ["0", "9", "10"]
    assert sorted_labels(["b", "10", "a"]) == ["10", "a", "b"]


def test_sizes_and_channels_follow_from_the_pictures(tmp_path):
    assert [default_size([(side, side)] * 3) for side in (28, 96, 100, 250, 500)] == [28, 96, 64, 128, 256]
    assert default_size([(70, 90), (80, 200), (33, 99)]) == 64 and default_size([(20, 30)]) == 32
    for kind in ("a", "b"):
        for number in range(6):
            save(tmp_path / "grey" / kind / f"{number}.png", np.full((40, 70), 10 * number, np.uint8))
    data = Conditioned(root=str(tmp_path / "grey"), workers=0)
    assert data.known() == {**CLASSES, "names": ["a", "b"], "size": 32, "x_channels": 1}
    assert some(data, 2, 2)["x"].shape == (4, 1, 32, 32)
    asked = Conditioned(root=str(tmp_path / "grey"), size=16, x_channels=3, flip=True, workers=0)
    assert some(asked, 2, 2)["x"].shape == (4, 3, 16, 16) and asked.forms["x"].channels == 3


# -- idx files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files(tmp_path, packed):
    data = Conditioned(root=str(digits(tmp_path, packed=packed)))
    assert data.known() == {**CLASSES, "names": [str(n) for n in range(10)], "size": 8, "x_channels": 1}
    assert data.images_per_epoch == 40 and len(data.notices) == 1 and "40 pictures of" in data.notices[0]
    batch = some(data, 8, 5)
    assert ((batch["x"][:, 0, 0, 0] + 1) * 127.5).round().tolist() == [20 * c for c in batch["c"].tolist()]
    assert len({round(float(value)) for value in (batch["x"][:, 0, 0, 1] + 1) * 127.5}) == 40
    assert sorted(data.held_out(10)["c"].tolist()) == list(range(10))


def test_whole_batches_are_the_rows_one_by_one(tmp_path):
    """The quick way of sets in memory and the long way of all others."""
    data = Conditioned(root=str(digits(tmp_path)), seed=5)
    for process, processes in ((0, 1), (1, 3)):
        quick = some(data, 7, 13, 4, process=process, processes=processes)
        with contextlib.closing(batches(data, 4, 7, process, processes)) as rows:
            slow = list(islice(rows, 13))
        assert same(quick, with_floats({name: torch.cat([batch[name] for batch in slow]) for name in slow[0]}))


def test_idx_pictures_are_brought_to_a_size_and_to_channels(tmp_path):
    data = Conditioned(root=str(digits(tmp_path)), size=32, x_channels=3)
    assert some(data, 4, 1)["x"].shape == (4, 3, 32, 32)
    assert data.held_out(2)["x"].shape == (2, 3, 32, 32)


@given(st.integers(0, 5), st.integers(0, 300), st.integers(1, 40), st.integers(1, 60))
def test_row_indices_are_the_first_candidates(seed, start, count, size):
    rows = np.arange(start, start + count)
    assert row_indices(seed, "x", rows, size).tolist() == [
        next(candidate_indices(seed, "x", int(row), size)) for row in rows
    ]


# -- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"flip": True, "size": 10}])
def test_row_n_is_the_same_for_any_number_of_workers_and_processes(tmp_path, options):
    top = class_folders(tmp_path, side=15)
    one = Conditioned(root=str(top), workers=0, size=options.pop("size", 15), **options)
    whole = some(one, 12, 3)
    two = pickle.loads(pickle.dumps(one))
    two.workers = 2
    assert same(some(two, 12, 3), whole)
    halves = [some(one, 6, 3, process=process, processes=2) for process in (0, 1)]
    for name, value in whole.items():
        parts = [half[name].unflatten(0, (3, 6)) for half in halves]
        assert torch.equal(torch.cat(parts, 1).flatten(0, 1), value)
    assert same(some(one, 12, 2, from_row=12), {name: value[12:] for name, value in whole.items()})


def test_another_seed_is_another_order_but_holds_out_the_same(tmp_path):
    top = str(class_folders(tmp_path))
    one, other = (Conditioned(root=top, seed=seed, workers=0) for seed in (0, 1))
    assert not torch.equal(some(one, 8, 2)["x"], some(other, 8, 2)["x"])
    assert same(one.held_out(9), other.held_out(9))


def test_nothing_is_mirrored_unless_asked(tmp_path):
    top = str(class_folders(tmp_path))
    corner = {flip: some(Conditioned(root=top, flip=flip, workers=0), 10, 4)["x"] for flip in (False, True)}
    level = [{(round(float(x[0, 0, 0])), round(float(x[0, 0, -1]))) for x in pictures} for pictures in corner.values()]
    assert len(level[1]) > len(level[0])
    plain, mirrored = corner[False], corner[True]
    assert all(torch.equal(a, b) or torch.equal(a, b.flip(-1)) for a, b in zip(plain, mirrored, strict=True))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=2, max_size=80))
def test_what_is_held_out_keeps_keys_together_and_leaves_half_of_every_class(listed):
    keys, classes = [bytes([number]) for _, number in listed], [kind for kind, _ in listed]
    test = choose_held_out(keys, classes)
    assert test.sum() <= len(listed) // 2
    for key in set(keys):
        assert len({bool(test[n]) for n, other in enumerate(keys) if other == key}) == 1
    for kind in set(classes):
        assert sum(bool(test[n]) for n, other in enumerate(classes) if other == kind) <= classes.count(kind) // 2


def test_what_is_held_out_hardly_changes_when_pictures_come():
    keys = [str(number).encode() for number in range(400)]
    before = choose_held_out(keys, ["a"] * 400)
    after = choose_held_out([*keys, b"new", b"newer"], ["a"] * 402)
    assert before.sum() == 20 and (before != after[:400]).sum() <= 3


def test_any_beginning_of_what_is_shown_has_all_classes_alike():
    classes = [0] * 50 + [1] * 3 + [2] * 20
    held = display_order(np.arange(73), classes)
    assert sorted(held.tolist()) == list(range(73))
    assert sorted(classes[n] for n in held[:6]) == [0, 0, 1, 1, 2, 2]


# -- tables -----------------------------------------------------------------------------------------------------------

FORMS = {
    "commas": ("t.csv", "file,label\n{}", ",", "utf-8", "\n"),
    "semicolons": ("t.csv", "file;label\n{}", ";", "utf-8", "\n"),
    "tabs": ("t.tsv", "file\tlabel\n{}", "\t", "utf-8", "\n"),
    "tabs in a csv": ("t.csv", "file\tlabel\n{}", "\t", "utf-8", "\r\n"),
    "byte order mark": ("t.csv", "file,label\n{}", ",", "utf-8-sig", "\r\n"),
    "Excel's Unicode text": ("t.csv", "file\tlabel\n{}", "\t", "utf-16", "\r\n"),
    "other names": ("t.csv", "class;filename\n{}", ";", "utf-8", "\n"),
    "no header": ("t.csv", "{}", ",", "utf-8", "\n"),
    "empty lines": ("t.csv", "file,label\n\n{}\n\n", ",", "utf-8", "\n"),
    "an empty line first": ("t.csv", "\n  \nfile;label\n{}", ";", "utf-8", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_is_the_same_set(tmp_path, form):
    name, template, separator, encoding, newline = FORMS[form]
    listed = pictures_of(tmp_path)
    lines = [separator.join(pair[::-1] if form == "other names" else pair) for pair in listed]
    content = template.format("\n".join(lines)).replace("\n", newline)
    (tmp_path / name).write_bytes(content.encode(encoding))
    data = Conditioned(table=str(tmp_path / name), workers=0)
    assert data.known()["names"] == ["blue", "green", "red"] and len(data.dataset.train) + len(data.dataset.test) == 12
    batch = some(data, 4, 4)
    assert all(colour(x) == data.conditions.describe(c) for x, c in zip(batch["x"], batch["c"], strict=True))


@pytest.mark.parametrize("form", ["list", "lines", "object", "objects"])
def test_json_is_a_table_too(tmp_path, form):
    listed = pictures_of(tmp_path)
    entries = [{"file": file, "label": kind} for file, kind in listed]
    content = {
        "list": json.dumps(entries),
        "lines": "\n".join(map(json.dumps, entries)),
        "object": json.dumps(dict(listed)),
        "objects": json.dumps({file: {"label": kind} for file, kind in listed}),
    }[form]
    path = tmp_path / ("t.jsonl" if form == "lines" else "t.json")
    path.write_text(content)
    data = Conditioned(table=str(path), workers=0)
    batch = some(data, 4, 4)
    assert all(colour(x) == data.conditions.describe(c) for x, c in zip(batch["x"], batch["c"], strict=True))


def test_a_folder_that_holds_one_table_stands_for_it(tmp_path):
    lines = [f"{file.removesuffix('.png')},a {kind} square" for file, kind in pictures_of(tmp_path)]
    (tmp_path / "tags.csv").write_text("\n".join(lines))
    data = Conditioned(root=str(tmp_path), condition="caption", workers=0)
    assert any("no header" in line for line in data.notices) and data.title == tmp_path.name
    batch = some(data, 4, 4)
    assert all(colour(x) in data.conditions.describe(c) for x, c in zip(batch["x"], batch["c"], strict=True))


def captions(tmp_path: Path, text: str = "a {} square, number {}") -> str:
    listed = pictures_of(tmp_path)
    lines = [f'{file},"{text.format(kind, number)}"' for number, (file, kind) in enumerate(listed)]
    (tmp_path / "t.csv").write_text("file,caption\n" + "\n".join(lines), "utf-8")
    return str(tmp_path / "t.csv")


def test_captions_become_the_numbers_of_their_words(tmp_path):
    data = Conditioned(table=captions(tmp_path), condition="caption", caption_length=6, workers=0)
    assert data.known()["names"][:3] == ["a", "number", "square"]
    batch = some(data, 4, 4)
    assert batch["c"].shape == (16, 6) and batch["c"].dtype == torch.int64
    for x, c in zip(batch["x"], batch["c"], strict=True):
        words = data.conditions.describe(c).split()
        assert words[:2] == ["a", colour(x)] and c[len(words) :].eq(0).all()


def test_the_vocabulary_is_learned_from_training_captions_alone(tmp_path):
    data = Conditioned(table=captions(tmp_path), condition="caption", workers=0)
    assert (some(data, 1, data.images_per_epoch)["c"] != 1).all()
    assert (data.held_out(9)["c"] == 1).any(1).all()  # every number stands in one caption only
    assert any("words that the vocabulary lacks" in line for line in data.notices)


def test_a_small_vocabulary_and_long_captions_are_told(tmp_path):
    data = Conditioned(table=captions(tmp_path), condition="caption", vocabulary=2, caption_length=3, workers=0)
    assert data.known()["names"] == ["a", "number"]
    assert any("12 captions are longer than 3 words" in line for line in data.notices)
    assert set(some(data, 4, 4)["c"].flatten().tolist()) == {1, 2}


def test_a_picture_may_have_several_captions_which_stay_on_one_side(tmp_path):
    listed = pictures_of(tmp_path, 8)
    lines = [f"{file},{words} {kind}" for file, kind in listed for words in ("a", "one", "the")]
    (tmp_path / "t.csv").write_text("file,caption\n" + "\n".join(lines))
    data = Conditioned(table=str(tmp_path / "t.csv"), condition="caption", workers=0)
    sides = [{data.dataset.store.name(int(n)) for n in part} for part in (data.dataset.train, data.dataset.test)]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 24
    assert len(data.dataset.train) == 3 * len(sides[0])


def attributes(tmp_path: Path, separator: str = ";", header: str = "file;smiling;age;Ünïcode") -> str:
    lines = [
        separator.join(
            [
                file,
                str(int(kind == "red")),
                f"0{',' if separator == ';' else '.'}{number}",
                "-1" if kind == "blue" else "1",
            ]
        )
        for number, (file, kind) in enumerate(pictures_of(tmp_path))
    ]
    (tmp_path / "t.csv").write_text(header.replace(";", separator) + "\n" + "\n".join(lines), "utf-8-sig")
    return str(tmp_path / "t.csv")


@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_attributes_are_all_other_columns(tmp_path, separator):
    data = Conditioned(table=attributes(tmp_path, separator), condition="attributes", workers=0)
    assert data.known()["names"] == ["smiling", "age", "Ünïcode"]
    batch = some(data, 4, 4)
    assert batch["c"].shape == (16, 3) and batch["c"].dtype == torch.float32
    for x, c in zip(batch["x"], batch["c"], strict=True):
        assert bool(c[0]) == (colour(x) == "red") and bool(c[2]) == (colour(x) != "blue")
        assert 0 <= float(c[1]) < 1
    assert len(set(batch["c"][:, 1].tolist())) > 4
    assert any("-1 and 1, which become 0 and 1" in line for line in data.notices)


def test_named_attributes_are_taken_in_this_order(tmp_path):
    data = Conditioned(table=attributes(tmp_path), condition="attributes", names=["age", "smiling"], workers=0)
    assert data.known()["names"] == ["age", "smiling"] and some(data, 2, 1)["c"].shape == (2, 2)


def test_columns_can_be_named(tmp_path):
    listed = pictures_of(tmp_path)
    content = "where,what,file,label\n" + "\n".join(f"{file},{kind},x,y" for file, kind in listed)
    (tmp_path / "t.csv").write_text(content)
    data = Conditioned(table=str(tmp_path / "t.csv"), file="where", label="what", workers=0)
    assert data.known()["names"] == ["blue", "green", "red"]


def test_the_split_column_is_heeded_and_groups_stay_together(tmp_path):
    listed = pictures_of(tmp_path)
    content = "file,label,split\n" + "\n".join(
        f"{file},{kind},{'VAL' if file.endswith('0.png') else 'train'}" for file, kind in listed
    )
    (tmp_path / "t.csv").write_text(content)
    data = Conditioned(table=str(tmp_path / "t.csv"), workers=0)
    assert data.images_per_epoch == 9 and data.held_out(9)["x"].shape[0] == 3
    assert all("0.png" in data.dataset.store.name(int(n)) for n in data.dataset.test)
    grouped = "file,label,patient\n" + "\n".join(f"{file},{kind},{file[-5]}" for file, kind in listed)
    (tmp_path / "g.csv").write_text(grouped)
    data = Conditioned(table=str(tmp_path / "g.csv"), group="patient", workers=0)
    patients = [{data.dataset.store.name(int(n))[-5] for n in part} for part in (data.dataset.train, data.dataset.test)]
    assert patients[1] and not patients[0] & patients[1]


def test_names_of_files_are_found_in_any_spelling(tmp_path):
    save(tmp_path / "images" / "sub" / "cafe\u0301.png", picture("red", 1))
    for number in range(3):
        save(tmp_path / "images" / f"{number}.jpg", picture("green", number))
        save(tmp_path / "images" / f"r{number}.PNG", picture("red", number))
    lines = ["sub\\café.png,red", "./0.jpg,green", "1,green", "2,green", "r0,red", "r1.PNG,red", "images/r2.PNG,red"]
    (tmp_path / "t.csv").write_text("file,label\n" + "\n".join(lines), "utf-8")
    data = Conditioned(table=str(tmp_path / "t.csv"), workers=0)
    assert len(data.dataset.train) + len(data.dataset.test) == 7


# -- datasets ---------------------------------------------------------------------------------------------------------


class Dataset:
    classes = ("red", "green", "blue")

    def __init__(self, give: Any, count: int = 12, condition: Any = lambda kind, number: number):
        self.give, self.count, self.condition = give, count, condition

    def __len__(self) -> int:
        return 3 * self.count

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, kind = divmod(index, 3)
        return self.give(picture(self.classes[kind], number)), self.condition(self.classes[kind], kind)


AS = {
    "PIL": Image.fromarray,
    "array": lambda pixels: pixels,
    "float array": lambda pixels: pixels.astype(np.float32) / 255,
    "tensor": lambda pixels: torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 127.5 - 1,
    "uint8 tensor": lambda pixels: torch.from_numpy(pixels.transpose(2, 0, 1).copy()),
}


@pytest.mark.parametrize("form", AS)
def test_any_dataset_of_pictures_and_classes(form):
    data = Conditioned.of(Dataset(AS[form]), test=Dataset(AS[form], 2), workers=0)
    assert data.known() == {**CLASSES, "names": ["blue", "green", "red"], "size": SIDE, "x_channels": 3}
    assert data.images_per_epoch == 36 and len(data.held_out(100)["x"]) == 6
    batch = some(data, 6, 6)
    assert all(colour(x) == data.conditions.describe(c) for x, c in zip(batch["x"], batch["c"], strict=True))
    assert torch.allclose(batch["x"].amax(dim=(1, 2, 3)), torch.tensor(200 / 127.5 - 1), atol=1e-5)


def test_datasets_with_attributes_and_captions():
    said = Dataset(AS["array"], condition=lambda kind, number: f"a {kind} square")
    data = Conditioned.of(said, condition="caption", caption_length=5, workers=0)
    assert data.known()["condition"] == "caption" and data.known()["caption_length"] == 5
    batch = some(data, 6, 2)
    assert all(colour(x) in data.conditions.describe(c) for x, c in zip(batch["x"], batch["c"], strict=True))
    mapped = Dataset(AS["array"], condition=lambda kind, number: {"red": kind == "red", "number": number / 2})
    data = Conditioned.of(mapped, condition="attributes", workers=0)
    assert data.known()["names"] == ["red", "number"] and some(data, 6, 2)["c"].dtype == torch.float32
    vector = Dataset(AS["array"], condition=lambda kind, number: torch.tensor([number, 1.0]))
    data = Conditioned.of(vector, condition="attributes", names=["number", "one"], workers=0)
    assert set(some(data, 6, 6)["c"][:, 0].tolist()) == {0, 1, 2}


def test_conditions_can_be_given_apart_so_that_no_picture_is_read_for_them():
    def refuse(kind: str, number: int) -> None:
        raise AssertionError

    pictures = [picture("red", number) for number in range(20)]
    data = Conditioned.of(pictures, conditions=["a", "b"] * 10, size=SIDE, workers=0)
    assert data.known()["names"] == ["a", "b"] and data.title == "list"


# -- bad input --------------------------------------------------------------------------------------------------------


def refused(match: str, **options: Any) -> None:
    with pytest.raises(BadInput, match=match) as told:
        Conditioned(**options)
    assert "\n" not in str(told.value)


def table(tmp_path: Path, content: str, name: str = "t.csv") -> str:
    if not (tmp_path / "images").exists():
        pictures_of(tmp_path)
    (tmp_path / name).write_text(content, "utf-8")
    return str(tmp_path / name)


ROWS = "red0.png,red\nred1.png,red\nred2.png,red\nblue0.png,blue\nblue1.png,blue\nblue2.png,blue\n"


def test_what_is_not_there(tmp_path):
    class_folders(tmp_path / "c")
    refused("name the pictures: --root DIR")
    refused("name the pictures", root=str(tmp_path), table="t.csv")
    refused("there is no folder", root=str(tmp_path / "no"))
    refused("there is no table .*no.csv", table=str(tmp_path / "no.csv"))
    refused("condition caption needs a table", root=str(tmp_path / "c"), condition="caption")
    (tmp_path / "empty").mkdir()
    refused("has 0 pictures", root=str(tmp_path / "empty"))
    save(tmp_path / "c" / "loose.png", picture("red", 1))
    refused("put every picture into a folder of its class", root=str(tmp_path / "c"))
    for name in ("trainA", "trainB"):
        save(tmp_path / "h2z" / name / "1.png", picture("red", 1))
    refused("as quagga train cyclegan takes", root=str(tmp_path / "h2z"))


def test_a_decimal_comma_is_read_where_it_can_be_nothing_else(tmp_path):
    lines = [f'{line.split(",")[0]},"0,{number}",{number % 2}' for number, line in enumerate(ROWS.split())]
    path = table(tmp_path, "file,age,odd\n" + "\n".join(lines))
    rows = Conditioned(table=path, condition="attributes", workers=0)
    ages = {round(float(age), 6) for age in rows.dataset.extras["c"][:, rows.conditions.number("age")]}
    assert ages == {float(f"0.{number}") for number in range(len(lines))}
    path = table(tmp_path, "file,age,odd\n" + "\n".join(lines).replace('"0,1"', '"1,500"'))
    refused("'1,500' is no number", table=path, condition="attributes")


def test_classes_that_cannot_be_learned(tmp_path):
    top = class_folders(tmp_path)
    refused("has one class only, red", root=str(top), names=["red"])
    refused("is of the class 'rad': did you mean red\\?", root=str(top), names=["rad", "blue"])
    save(top / "violet" / "1.png", picture("red", 1))
    refused("class 'violet' has 1 picture to train on: add pictures, or leave it out with --names", root=str(top))
    assert Conditioned(root=str(top), names=["red", "blue"], workers=0).known()["names"] == ["red", "blue"]
    class_folders(tmp_path / "s" / "train")
    save(tmp_path / "s" / "test" / "violet" / "1.png", picture("red", 1))
    refused("class 'violet' has no picture to train on", root=str(tmp_path / "s"))


def test_tables_with_a_wrong_column(tmp_path):
    path = table(tmp_path, "file,colour,more\n" + ROWS.replace("\n", ",1\n"))
    refused("no column 'label'; its columns are file, colour, more: say which one it is, --label COLUMN", table=path)
    refused("--label COLUMN, or --condition attributes, if the others hold numbers", table=path)
    spoken = table(tmp_path, "file,caption,more\n" + ROWS.replace("\n", ",1\n"), "spoken.csv")
    refused("--label COLUMN, or --condition caption", table=spoken)
    captions = table(tmp_path, "file,caption\n" + ROWS, "captions.csv")
    refused("--label COLUMN, or --condition caption", table=captions)
    assert Conditioned(table=captions, label="caption", workers=0).known()["names"]  # if that is what is meant
    sentences = "".join(f"{line.split(',')[0]},a {number} sentence\n" for number, line in enumerate(ROWS.split()))
    refused("if these are captions, --condition caption; else add", table=table(tmp_path, sentences, "bare.csv"))
    refused("no column 'colr' \\(--label\\): did you mean colour\\?", table=path, label="colr")
    refused("no attribute 'moer': did you mean more\\?", table=path, condition="attributes", names=["moer"])
    refused("line 2: 'red' is no number in the column colour", table=path, condition="attributes")
    path = table(tmp_path, "bild,label\n" + ROWS)
    refused("no column 'file'; its columns are bild, label", table=path)
    refused("two columns 'label'", table=table(tmp_path, "file,label,label\n" + ROWS.replace("\n", ",a\n")))
    refused("one column only", table=table(tmp_path, "file\nred0.png\n"))
    refused("no line below", table=table(tmp_path, "file,label\n"))
    refused("is empty", table=table(tmp_path, " \n"))
    refused("line 3 has 3 cells and the first line 2", table=table(tmp_path, "file,label\nred0.png,a\nred1.png,b,c\n"))
    refused("no header, and 3 columns", table=table(tmp_path, "red0.png,0,1\nred1.png,1,1\n"), condition="attributes")
    (tmp_path / "latin.csv").write_bytes("file,label\nred0.png,grün\n".encode("latin-1"))
    refused("line 2 is not UTF-8", table=str(tmp_path / "latin.csv"))
    refused("a quotation mark not closed", table=table(tmp_path, 'file,label\nred0.png,"' + "x" * 200_000 + "\n"))


def test_tables_with_missing_files(tmp_path):
    path = table(tmp_path, "file,label\n" + ROWS + "a.png,red\nb.png,red\nc.png,red\nd.png,red\n")
    refused("4 of 10 files of .* are not in .*images: a.png, b.png, c.png and 1 more: name their folder", table=path)
    data = Conditioned(table=path, unreadable="skip", workers=0)
    assert len(data.dataset.train) + len(data.dataset.test) == 6 and any("passed over" in line for line in data.notices)


def test_empty_and_doubtful_conditions(tmp_path):
    path = table(tmp_path, "file,caption\nred0.png,a\nred1.png,...\nred2.png,b\n")
    refused("t.csv, line 3: the caption of red1.png is empty", table=path, condition="caption")
    refused("line 3: red1.png has no label", table=table(tmp_path, "file,label\nred0.png,a\nred1.png,\n"))
    path = table(tmp_path, "file,label\n" + ROWS + "red0.png,blue\n")
    refused(r"1 picture stands twice .* first red0.png \('red' and 'blue', lines 2 and 8\): keep one", table=path)
    path = table(tmp_path, "file,label\n" + ROWS + "red0.png,red\n")
    data = Conditioned(table=path, workers=0)
    assert any("1 lines of" in line for line in data.notices) and len(data.dataset.train) + len(data.dataset.test) == 6
    for cell, why in (
        ("x", "'x' is no number"),
        ("", "there is no number"),
        ("nan", "'nan' is no"),
        ("1e39", "'1e39' is no number"),
    ):
        path = table(tmp_path, f"file,smiling\nred0.png,1\nred1.png,{cell}\n")
        refused(f"line 3: {why}", table=path, condition="attributes")


def test_splits_that_are_none(tmp_path):
    lines = [line.split(",") for line in ROWS.split()]
    path = table(tmp_path, "file,label,split\n" + "\n".join(f"{file},{kind},trian" for file, kind in lines))
    refused("line 2: 'trian' in the column split is no split", table=path)
    path = table(tmp_path, "file,label,split\n" + "\n".join(f"{file},{kind},train" for file, kind in lines))
    refused("6 pictures to train on and 0 held out", table=path)
    rows = [f"{file},{kind},{['train', 'test'][at % 2]},p" for at, (file, kind) in enumerate(lines)]
    refused(
        "1 groups are both in training and held out, first p",
        table=table(tmp_path, "file,label,split,group\n" + "\n".join(rows)),
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1, 2]", "expected a list of objects"),
        ('[{"file": "a", "label": "b"}, {"file": "c"}]', "entry 2 has no 'label'"),
        ('[{"file": "a", "label": ["b"]}]', "entry 1: 'label' is a list"),
    ],
)
def test_json_that_is_no_table(tmp_path, content, why):
    refused(why, table=table(tmp_path, content, "t.json"))


def test_idx_files_that_are_damaged(tmp_path):
    def broken(**files: bytes) -> str:
        top = digits(tmp_path / str(len(list(tmp_path.iterdir()))))
        for name, content in files.items():
            (top / f"train-{name}-idx{3 if name == 'images' else 1}-ubyte.gz").write_bytes(content)
        return str(top)

    whole = gzip.decompress((digits(tmp_path / "whole") / "train-images-idx3-ubyte.gz").read_bytes())
    refused("is cut off: 2,460 of 2,560", root=broken(images=gzip.compress(whole[:-100])))
    refused("cut off within its header", root=broken(images=gzip.compress(whole[:10])))
    refused("no idx file of bytes", root=broken(images=gzip.compress(b"\x89PNG" + whole)))
    refused("no idx file of bytes", root=broken(images=b""))
    refused("it holds more than the 2,560 values", root=broken(images=gzip.compress(whole + b"\0")))
    packed = gzip.compress(whole)
    refused("images-idx3-ubyte.gz: .*: get it again", root=broken(images=packed[: len(packed) // 2]))
    refused("CRC", root=broken(images=packed[:-8] + b"\0" * 8))
    refused("get it again", root=broken(images=packed[:15] + b"\xff" * 9 + packed[24:]))
    refused("are more than 1024 MiB", root=broken(images=gzip.compress(whole[:4] + b"\xff" * 12 + whole[16:])))
    labels = struct.pack(">HBBI", 0, 8, 1, 39) + bytes(39)
    refused("39 labels for 40 pictures", root=broken(labels=gzip.compress(labels)))
    top = digits(tmp_path / "other")
    idx(top / "emnist-train-images-idx3-ubyte.gz", np.zeros((2, 8, 8)))
    refused("idx files of 2 sets", root=str(top))
    (tmp_path / "alone").mkdir()
    (top / "t10k-images-idx3-ubyte.gz").rename(tmp_path / "alone" / "t10k-images-idx3-ubyte.gz")
    refused("no train-images-idx3-ubyte", root=str(tmp_path / "alone"))
    (tmp_path / "alone" / "t10k-images-idx3-ubyte.gz").rename(tmp_path / "alone" / "train-images-idx3-ubyte.gz")
    refused("the classes of .* are not known", root=str(tmp_path / "alone"))


def test_a_bomb_is_not_unpacked(tmp_path):
    """A .gz of 1 MB that would become 1 GB: no more is unpacked than the header says."""
    import tracemalloc

    top = digits(tmp_path)
    header = struct.pack(">HBBIII", 0, 8, 3, 2, 8, 8)
    with gzip.open(top / "train-images-idx3-ubyte.gz", "wb", 1) as file:
        file.write(header)
        for _ in range(200):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    refused("it holds more than the 128 values", root=str(top))
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_pictures_that_cannot_be_read(tmp_path):
    top = class_folders(tmp_path)
    torn = sorted((top / "red").iterdir())[2]
    torn.write_bytes(torn.read_bytes()[:60])
    with pytest.raises(BadInput, match=str(torn)):
        some(Conditioned(root=str(top), workers=0), 4, 12)
    data = Conditioned(root=str(top), unreadable="skip", workers=0)
    batch = some(data, 4, 12)
    assert all(colour(x) == data.conditions.describe(c) for x, c in zip(batch["x"], batch["c"], strict=True))
    assert any(str(torn) in line for line in data.skipped)


def test_options_that_cannot_work(tmp_path):
    top = str(class_folders(tmp_path / "c"))
    refused("size 0", root=top, size=0)
    refused("x_channels 0", root=top, x_channels=0)
    refused("x_channels 3", root=top, x_channels=7)
    refused("x_value_range", root=top, x_value_range=[1.0, 0.0])
    refused("workers -1", root=top, workers=-1)
    refused("vocabulary 0", root=top, vocabulary=0)
    refused("names is an empty list", root=top, names=[])
    refused("from 1 to 1024", root=top, size=100_000)
    refused("x_value_range is for pictures in files", root=str(digits(tmp_path / "d")), x_value_range=[0.0, 9.0])
    refused("its pictures|it has 1 channels", root=str(digits(tmp_path / "e")), x_channels=2)
    data = Conditioned(root=top, workers=0)
    with pytest.raises(BadInput, match="fewer than a batch of 21"):
        data.check(21)
    data.check(20)


def test_datasets_that_are_none():
    def of(match: str, *given: Any, **options: Any) -> None:
        with pytest.raises(BadInput, match=match) as told:
            Conditioned.of(*given, **{"workers": 0, **options})
        assert "\n" not in str(told.value)

    pixels = picture("red", 1)
    of("no map-style dataset", iter([]))
    of("no map-style dataset", [])
    of("item 0 is no pair", [pixels] * 9)
    of("3 conditions for 9 pictures", [pixels] * 9, conditions=["a"] * 3)
    of("class 7 lies outside the 3 names", Dataset(AS["array"], condition=lambda kind, number: 7))
    of("is no class", Dataset(AS["array"], condition=lambda kind, number: None))
    of("picture 0: the caption '' is empty", Dataset(AS["array"], condition=lambda *_: ""), condition="caption")
    of("attributes have no names", Dataset(AS["array"], condition=lambda *_: [1]), condition="attributes")
    of(
        "expected 2 finite attributes",
        Dataset(AS["array"], condition=lambda *_: [1]),
        condition="attributes",
        names=["a", "b"],
    )
    of("has no attribute 'b'", Dataset(AS["array"], condition=lambda *_: {"a": 1}), condition="attributes", names=["b"])
    of("names is an empty list", Dataset(AS["array"]), names=[])
    of("never below 0", Dataset(lambda pixels: torch.rand(3, 8, 8)))
    of("it is a str", Dataset(lambda pixels: "a picture"))
    with pytest.raises(TypeError, match="no option sise: did you mean size"):
        Conditioned.of(Dataset(AS["array"]), sise=3)
