"""What `data check --write` lists is what training then sees, without copies and leaks; groups are on one side."""

import csv
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quagga.cli.main import command_line
from quagga.data.checks.clean_list import as_csv, clean
from quagga.data.checks.conditioned import check_rows
from quagga.data.checks.paired import check_pairs
from quagga.data.checks.unpaired import check_unpaired
from quagga.data.conditioned import Conditioned
from quagga.data.images import Pictures
from quagga.data.paired import Paired
from quagga.data.sources.folders import find_pictures
from quagga.data.sources.pairs import find_pairs
from quagga.data.sources.two_domain_table import domains_in_table
from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput

MISLEADING = ("copies", "copy", "both", "more than once", "several conditions", "cannot be read")
SIZES: Any = {"load_size": 8, "crop_size": 8, "workers": 0}


def picture(path: Path, number: int, size: tuple[int, int] = (8, 8)) -> Path:
    """Noise that is one for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def listed(report: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_csv(clean(report.entries).kept, path))
    return path


def misleading(report: Any) -> list[str]:
    return [one.what for one in report.findings if any(word in one.what for word in MISLEADING)]


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same(paths: Any, others: Any) -> bool:
    return [Path(path).resolve() for path in paths] == [Path(path).resolve() for path in others]


# -- two domains ------------------------------------------------------------------------------------------------------

PARTS = ("trainA", "testA", "trainB", "testB")


@given(st.fixed_dictionaries({part: st.lists(st.integers(0, 9), min_size=1, max_size=6) for part in PARTS}))
@settings(max_examples=25)
def test_training_on_the_list_sees_what_the_check_has_kept(content):
    with TemporaryDirectory() as place:
        root = Path(place) / "set"
        for part, numbers in content.items():
            for at, number in enumerate(numbers):
                picture(root / part / f"{at}.png", number)
        (root / "trainA" / "torn.png").write_bytes(b"torn")
        a, b = ({n for part in (f"train{side}", f"test{side}") for n in content[part]} for side in "AB")
        wanted: dict[str, list[Path]] = {}
        for part, numbers in content.items():
            tests = content[f"test{part[-1]}"] if part.startswith("train") else []
            first = {number: at for at, number in reversed(list(enumerate(numbers)))}
            stay = sorted(first[number] for number in first if number not in a & b and number not in tests)
            wanted[part] = [root / part / f"{at}.png" for at in stay]
        report = check_unpaired(str(root), crop_size=8)
        path = Path(place) / "lists" / "clean.csv"
        if not wanted["trainA"] and not wanted["trainB"]:
            with pytest.raises(BadInput, match="nothing is left to train on"):
                listed(report, path)
            return
        listed(report, path)
        if not wanted["trainA"] or not wanted["trainB"]:  # a side has nothing left
            with pytest.raises(BadInput, match=r"both sides need some|leave some to train on"):
                domains_in_table(path)
            return
        found = domains_in_table(path)
        if wanted["testA"] or wanted["testB"]:
            for letter, side in (("A", found.x), ("B", found.y)):
                assert same(side.train, wanted[f"train{letter}"]) and same(side.test, wanted[f"test{letter}"])
        else:  # none says what is held out: training does so itself
            for letter, side in (("A", found.x), ("B", found.y)):
                assert same(sorted([*side.train, *side.test]), wanted[f"train{letter}"])
        assert misleading(check_unpaired(table=str(path), crop_size=8)) == []


names = st.sampled_from(["", "anna", "bert", "cora", "dora", "emil"])


@given(st.lists(st.tuples(st.sampled_from("xy"), names), min_size=2, max_size=30))
@settings(max_examples=25)
def test_a_group_is_on_one_side_of_the_split_in_both_domains(rows):
    rows = [*rows, ("x", ""), ("y", "")]
    with TemporaryDirectory() as place:
        top = Path(place)
        lines = []
        for number, (side, group) in enumerate(rows):
            (top / f"{number}.png").write_bytes(b"%d" % number)
            lines.append(f"{side},{number}.png,{group}")
        (top / "t.csv").write_text("\n".join(["side,file,group", *lines]))
        found = domains_in_table(top / "t.csv")
        of = {f"{number}.png": group for number, (_, group) in enumerate(rows) if group}
        train, test = (
            {of.get(path.name, path.name) for side in (found.x, found.y) for path in part(side)}
            for part in (lambda side: side.train, lambda side: side.test)
        )
        assert not train & test
        for letter, side in (("x", found.x), ("y", found.y)):
            total = sum(one == letter for one, _ in rows)
            assert len(side.train) + len(side.test) == total and len(side.test) <= total / 2


def test_a_group_in_training_and_held_out_is_refused(tmp_path):
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
    rows = ["x,0.png,anna,train", "x,1.png,bert,test", "y,2.png,anna,test", "y,3.png,cora,train"]
    (tmp_path / "t.csv").write_text("\n".join(["side,file,group,split", *rows]))
    with pytest.raises(BadInput, match="1 groups are both in training and held out, first anna"):
        domains_in_table(tmp_path / "t.csv")


def test_without_groups_a_list_holds_out_what_folders_do_and_its_rows_are_the_same(tmp_path):
    for number in range(40):
        picture(tmp_path / "x" / f"{number:02d}.png", number)
        picture(tmp_path / "y" / f"{number:02d}.png", 100 + number)
    lines = [f"{side},{side}/{path.name}" for side in "xy" for path in find_pictures(tmp_path / side)]
    (tmp_path / "t.csv").write_text("\n".join(["side,file", *lines]))
    folders = Unpaired(x=str(tmp_path / "x"), y=str(tmp_path / "y"), **SIZES)
    table = Unpaired(table=str(tmp_path / "t.csv"), **SIZES)
    assert [folders.files(row) for row in range(100)] == [table.files(row) for row in range(100)]
    assert folders.sides == table.sides and table.title == "x2y"
    assert Unpaired(table=str(tmp_path / "t.csv"), x_name="horse", y_name="zebra", **SIZES).title == "horse2zebra"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file,label,age\n0.png,x,1\n1.png,y,2", "no column 'side'"),
        ("side,file\nx,0.png\nhorse,1.png", "'horse' in the column side is no side: write x or y"),
        ("side,file\nx,0.png\nx,1.png", "no picture of the side y"),
        ("side,file\nx,0.png\ny,9.png", "1 of 2 files of .* are not in .*: 9.png: mend the table"),
        ("side,file,split\nx,0.png,test\ny,1.png,train", "holds out all pictures of the side x"),
        ("side,file,split\nx,0.png,later\ny,1.png,train", "'later' in the column split is no split"),
        ("side,file\nx,0.png\ny,0.png\ny,1.png", "1 picture stands twice .*'x' and 'y'"),
    ],
)
def test_a_contradictory_list_is_refused(tmp_path, text, why):
    for number in range(2):
        picture(tmp_path / f"{number}.png", number)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadInput, match=why) as caught:
        Unpaired(table=str(tmp_path / "t.csv"), **SIZES)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="leave out --root, --x and --y"):
        Unpaired(table=str(tmp_path / "t.csv"), root=str(tmp_path), **SIZES)


# -- pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [True, False])
def test_pairs_are_listed_once_and_on_one_side(tmp_path, beside):
    root = tmp_path / "set"
    content = {"train": [0, 1, 1, 2, 3], "test": [4, 5], "val": [5, 6]}
    for part, numbers in content.items():
        for at, number in enumerate(numbers):
            if beside:
                picture(root / part / f"{at}.png", number, (16, 8))
            else:
                picture(root / f"{part}A" / f"{at}.png", number)
                picture(root / f"{part}B" / f"{at}.png", 100 + number)
    leak = "train/4.png" if beside else "trainB/4.png"  # of one side alone it is one, too
    shutil.copy(root / leak.replace("train", "test").replace("4", "0"), root / leak)
    path = listed(check_pairs(str(root), crop_size=8), tmp_path / "clean.csv")
    before, found = find_pairs(root=str(root)), find_pairs(pairs=str(path))
    assert [pair.y for pair in found.train] == [before.train[at].y for at in (0, 1, 3)]
    assert [pair.y for pair in found.test] == [pair.y for pair in before.test]
    assert [pair.y for pair in found.unused] == [before.unused[1].y]
    assert found.side_by_side == beside
    assert misleading(check_pairs(pairs=str(path), crop_size=8)) == []
    one, other = Paired(root=str(root), **SIZES), Paired(pairs=str(path), **SIZES)
    assert (other.without_chance(found.train[0])["x"] == one.without_chance(before.train[0])["x"]).all()


def test_lists_of_pairs_keep_their_groups_and_those_of_y_alone_have_no_x(tmp_path):
    rows = ["x,y,group"]
    for number in range(12):
        picture(tmp_path / "x" / f"{number}.png", number)
        picture(tmp_path / "y" / f"{number}.png", 100 + number)
        rows.append(f"x/{number}.png,y/{number}.png,{'anna' if number % 2 else 'bert'}")
    (tmp_path / "list.csv").write_text("\n".join([*rows, rows[1]]))
    path = listed(check_pairs(pairs=str(tmp_path / "list.csv"), crop_size=8), tmp_path / "clean.csv")
    assert sorted(line["group"] for line in lines_of(path)) == ["anna"] * 6 + ["bert"] * 6
    found, before = find_pairs(pairs=str(path)), find_pairs(pairs=str(tmp_path / "list.csv"))
    assert {pair.group for pair in found.test} == {pair.group for pair in before.test}
    path = listed(check_pairs(y=str(tmp_path / "y"), of_y=True, crop_size=8), tmp_path / "of_y.csv")
    assert lines_of(path)[0].keys() == {"y", "split"}
    pairs = Paired(pairs=str(path), x_as="edges", **SIZES)
    assert len(pairs.train) + len(pairs.test) == 12


def test_files_of_both_kinds_in_one_list_of_pairs_are_refused(tmp_path):
    picture(tmp_path / "a.png", 0, (16, 8))
    picture(tmp_path / "b.png", 1)
    (tmp_path / "list.csv").write_text("x,y\na.png,a.png\nb.png,a.png")
    with pytest.raises(BadInput, match="1 of 2 pairs name one file for x and y"):
        find_pairs(pairs=str(tmp_path / "list.csv"))


# -- conditions, and pictures alone -----------------------------------------------------------------------------------


def test_classes_of_folders_are_listed_without_files_of_two_classes(tmp_path):
    for at in range(12):
        for kind, first in (("cat", 0), ("dog", 100)):
            picture(tmp_path / "set" / kind / f"{at:02d}.png", first + at)
    shutil.copy(tmp_path / "set/cat/03.png", tmp_path / "set/cat/copy.png")
    shutil.copy(tmp_path / "set/cat/04.png", tmp_path / "set/dog/torn.png")
    rows = Conditioned(root=str(tmp_path / "set"), size=8, workers=0)
    path = listed(check_rows(rows), tmp_path / "clean.csv")
    again = Conditioned(table=str(path), size=8, workers=0)
    gone = {"copy.png", "torn.png"}
    kept = [p for p in find_pictures(tmp_path / "set") if p.name not in gone and "cat/04" not in str(p)]
    assert same(again.collection.pictures, kept)
    assert again.collection.labels == [path.parent.name for path in kept]
    held = {rows.dataset.store.name(number) for number in rows.dataset.test.tolist()}
    assert {str(Path(again.dataset.store.name(n)).resolve()) for n in again.dataset.test.tolist()} <= {
        str(Path(name).resolve()) for name in held
    }
    assert misleading(check_rows(again)) == []


@pytest.mark.parametrize("condition", ["attributes", "caption"])
def test_attributes_and_captions_come_back_as_they_were(tmp_path, condition):
    rows = ["file,smiling,age,patient" if condition == "attributes" else "file,text,patient"]
    for at in range(12):
        picture(tmp_path / "in" / f"{at}.png", at)
        values = [f"{at % 2},{at / 7}"] if condition == "attributes" else ["a, b", f'"thing {at}, ""so""\nto say"']
        rows += [f"{at}.png,{one if one != 'a, b' else chr(34) + one + chr(34)},p{at // 3}" for one in values]
    (tmp_path / "in" / "t.csv").write_text("\n".join(rows))
    options: Any = {"condition": condition, "size": 8, "workers": 0}
    first = Conditioned(table=str(tmp_path / "in" / "t.csv"), group="patient", **options)
    report = check_rows(first)
    assert misleading(report) == []
    again = Conditioned(table=str(listed(report, tmp_path / "out" / "clean.csv")), **options)
    assert same(again.collection.pictures, first.collection.pictures)
    assert again.collection.labels == first.collection.labels
    assert (again.labelled.values == first.labelled.values).all() and again.labelled.groups == first.labelled.groups
    assert again.dataset.test.tolist() == first.dataset.test.tolist()


def test_pictures_alone_are_listed_too(tmp_path, capsys):
    for at in range(30):
        picture(tmp_path / "set" / f"{at:02d}.png", at % 28)
    words = ["data", "check", str(tmp_path / "set"), "--size=8", "--write", str(tmp_path / "clean.csv")]
    assert command_line(words) == 0
    assert f"quagga train gan --table {tmp_path / 'clean.csv'} --size 8\n" in capsys.readouterr().out
    assert command_line(["data", "check", "--table", str(tmp_path / "clean.csv"), "--size=8"]) == 0
    assert "quagga train gan --table" in capsys.readouterr().out
    rows: Any = Pictures(table=str(tmp_path / "clean.csv"), size=8, workers=0)
    assert same(sorted(rows.collection.pictures), find_pictures(tmp_path / "set")[:28])
    lines = [f"{at:02d}.png,p{at // 5}" for at in range(30)]
    (tmp_path / "set" / "t.csv").write_text("\n".join(["file,group", *lines]))
    rows = Pictures(table=str(tmp_path / "set" / "t.csv"), size=8, workers=0)
    assert (
        len({number // 5 for number in rows.dataset.test.tolist()} & {n // 5 for n in rows.dataset.train.tolist()}) == 0
    )


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, first in (("trainA", 0), ("trainB", 50)):
        for at in range(10):
            picture(tmp_path / "a2b" / part / f"{at}.png", first + at)
    return tmp_path / "a2b"


def test_the_option_list_names_all_files(root, capsys):
    for at in range(20):
        shutil.copy(root / "trainA" / "0.png", root / "trainA" / f"again {at}.png")
    words = ["data", "check", str(root), "--crop_size=8"]
    assert command_line(words) == 0
    assert "    and 17 more\n" in capsys.readouterr().out
    assert command_line([*words, "--list"]) == 0
    output = capsys.readouterr().out
    assert all(f"again {at}.png" in output for at in range(20)) and " more" not in output


def test_missing_files_of_a_table_or_a_list_are_named(root, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(
        "\n".join(
            ["side,file", *(f"{side},a2b/train{letter}/{at}.png" for side, letter in ("xA", "yB") for at in range(16))]
        )
    )
    assert command_line(["data", "check", "--table", str(tmp_path / "t.csv"), "--crop_size=8", "--list"]) == 2
    output = capsys.readouterr().out
    assert "12 pictures of the table are not there" in output and " more" not in output
    assert all(f"    a2b/train{letter}/{at}.png\n" in output for letter in "AB" for at in range(10, 16))


def test_the_command_writes_a_list_that_training_takes_and_replaces_nothing(root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (root / "trainA" / "torn.png").write_bytes(b"torn")
    shutil.copy(root / "trainB" / "0.png", root / "trainB" / "more.png")
    words = ["data", "check", "a2b", "--crop_size=8"]
    assert command_line(words) == 2
    capsys.readouterr()
    assert command_line([*words, "--write", "lists/clean.csv"]) == 0  # what would stop a training is not in it
    output = capsys.readouterr().out
    assert "lists/clean.csv lists 20, without 2 (1 that training would refuse, 1 that are there already)" in output
    command = output.strip().splitlines()[-1].removeprefix("training can start: quagga ")
    assert command.startswith("train cyclegan --table lists/clean.csv --x_name a --y_name b ")
    small = ["--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1", "--images=1", "--device=cpu"]
    small[:0] = ["--load_size=16", "--crop_size=16", "--workers=0", "--output=run"]
    assert command_line([*command.split()[:-4], *small]) == 0
    before = Path("lists/clean.csv").read_bytes()
    capsys.readouterr()
    assert command_line([*words, "--write", "lists/clean.csv"]) == 2
    assert "lists/clean.csv exists" in capsys.readouterr().err and Path("lists/clean.csv").read_bytes() == before
    assert command_line([*words, "--write", "clean.json"]) == 2
    assert "a list is a CSV file, such as clean.csv" in capsys.readouterr().err


def test_the_list_of_each_kind_is_taken_by_its_command(tmp_path, capsys):
    def suggested(*words: object) -> str:
        assert command_line(["data", "check", *map(str, words)]) == 0, words
        return capsys.readouterr().out.strip().splitlines()[-1].removeprefix("training can start: quagga train ")

    for at in range(12):
        picture(tmp_path / "pairs" / "train" / f"{at}.png", at, (16, 8))
        for kind in ("cat", "dog"):
            picture(tmp_path / "classes" / kind / f"{at}.png", 100 + at + 50 * (kind == "dog"))
    wide = ["--crop_size=8", "--side=right"]
    clean = tmp_path / "pairs.csv"
    pairs = f"pix2pix --pairs {clean} --x_name A --y_name B --load_size 8 --crop_size 8 --side right"
    assert suggested(tmp_path / "pairs", *wide, "--write", clean) == pairs
    assert suggested("--pairs", clean, *wide) == pairs.replace(" --x_name A --y_name B", "")
    clean = tmp_path / "edges.csv"
    edges = f"pix2pix --pairs {clean} --y_name cat --load_size 8 --crop_size 8 --x_as edges"
    assert suggested("--y", tmp_path / "classes/cat", "--x_as=edges", "--crop_size=8", "--write", clean) == edges
    clean = tmp_path / "classes.csv"
    classes = f'conditional --table {clean} --names \'["dog", "cat"]\' --size 8'
    words = ["--size=8", "--names=[dog, cat]"]
    assert suggested(tmp_path / "classes", *words, "--write", clean) == classes
    assert suggested("--table", clean, *words) == classes


def test_files_with_unusual_names_are_read_from_the_list(tmp_path):
    odd = [" a.png", "~b.png", "c,d;e.png", 'f"g".png', "h\ni.png", "日本\\語.png", "images.png"]
    for at, name in enumerate(odd):
        picture(tmp_path / "x" / name, at)
        picture(tmp_path / "y" / name, 50 + at)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "blob.png").write_bytes(picture(tmp_path / "new.png", 99).read_bytes())
    (tmp_path / "x" / "link.png").symlink_to(tmp_path / "store" / "blob.png")
    picture(tmp_path / "images" / "images.png", 77)  # where a table beside it looks first
    report = check_unpaired(x=str(tmp_path / "x"), y=str(tmp_path / "y"), crop_size=8)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere" / "deep")
    for place in ("x/clean.csv", "clean.csv", "linked/clean.csv", "lists/clean.csv"):
        found = domains_in_table(listed(report, tmp_path / place))
        assert same(sorted([*found.x.train, *found.x.test]), sorted((tmp_path / "x").glob("*.png")))
        assert same(sorted([*found.y.train, *found.y.test]), sorted((tmp_path / "y").glob("*.png")))
    picture(tmp_path / "new.png", 98).rename(tmp_path / "y" / "k\udcff.png")
    report = check_unpaired(x=str(tmp_path / "x"), y=str(tmp_path / "y"), crop_size=8)
    with pytest.raises(BadInput, match=r"a name is not: rename .*k\\udcff.png"):
        listed(report, tmp_path / "more.csv")
