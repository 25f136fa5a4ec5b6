"""The check and the preview of pictures with conditions, through the command line, and every bad input in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_conditioned import SIDE, digits, save

from quagga.cli.main import command_line
from quagga.data.checks.conditioned import align_columns, check_rows
from quagga.data.conditioned import Conditioned
from quagga.data.images import Pictures

rng = np.random.default_rng(0)


def noise(path: Path, side: int = SIDE) -> Path:
    return save(path, rng.integers(0, 255, (side, side, 3), dtype=np.uint8))


def folders(top: Path, **counts: int) -> Path:
    for kind, count in counts.items():
        for number in range(count):
            noise(top / kind / f"{number}.png")
    return top


def table(top: Path, rows: list[str], header: str = "file,label") -> str:
    for row in rows:
        noise(top / "images" / row.split(",")[0])
    (top / "t.csv").write_text("\n".join([header, *rows]), "utf-8")
    return str(top / "t.csv")


def report_text(rows: Conditioned | Pictures) -> str:
    return "\n".join(check_rows(rows).lines)


def test_a_good_set_gives_two_tables_and_no_findings(tmp_path):
    report = check_rows(Conditioned(root=str(folders(tmp_path, cat=8, dog=12)), workers=0))
    assert (report.warnings, report.fatal, report.options) == (0, "", "")
    lines = [line.split() for line in report.lines]
    assert lines[0] == ["pictures", "smallest", "median", "largest", "below", str(SIDE), "kinds"]
    assert lines[1][1:3] == ["train", "16"] and lines[2][1:3] == ["test", "4"]
    assert lines[4] == ["class", "train", "test", "share"]
    counts = {line[0]: (int(line[1]), int(line[2])) for line in lines[5:7]}
    assert sum(counts["cat"]) == 8 and sum(counts["dog"]) == 12
    assert lines[5][3] == f"{counts['cat'][0] / 16:.1%}"


def test_copies_with_different_conditions_and_across_splits_are_found(tmp_path):
    top = folders(tmp_path, cat=4, dog=4)
    (top / "dog" / "copy.png").write_bytes((top / "cat" / "0.png").read_bytes())
    text = report_text(Conditioned(root=str(top), workers=0))
    assert "1 picture has several conditions, in copies" in text
    assert "0.png (cat) = copy.png (dog)" in text or "copy.png (dog) = 0.png (cat)" in text
    for split in ("train", "test"):
        folders(tmp_path / "s" / split, cat=3, dog=3)
    (tmp_path / "s" / "test" / "cat" / "0.png").write_bytes((tmp_path / "s/train/cat/1.png").read_bytes())
    text = report_text(Conditioned(root=str(tmp_path / "s"), workers=0))
    assert "1 picture both in training and in the test" in text and "several conditions" not in text


def test_uneven_classes_are_reported(tmp_path):
    text = report_text(Conditioned(root=str(folders(tmp_path, cat=60, dog=4, emu=30)), workers=0))
    assert "1 class has less than a tenth of the pictures of cat" in text and "dog (" in text and "emu (" not in text


def test_attributes_are_shown_with_their_means_and_constant_ones_are_reported(tmp_path):
    rows = [f"{n}.png,{n % 2},{int(n == 0)},{n / 10}" for n in range(80)]
    text = report_text(
        Conditioned(table=table(tmp_path, rows, "file,even,rare,age"), condition="attributes", workers=0)
    )
    assert "1 attribute is the same in nearly all pictures" in text and "rare (" in text
    row = next(line.split() for line in text.splitlines() if line.startswith("even"))
    assert 0.4 < float(row[1]) < 0.6 and row[2:] == ["0", "1"]


def test_captions_are_counted_in_words(tmp_path):
    rows = [f"{n}.png,a {'big ' if n % 2 else ''}thing{n}" for n in range(20)]
    text = report_text(Conditioned(table=table(tmp_path, rows, "file,caption"), condition="caption", workers=0))
    assert "20 different ones of 20; 2 to 3 words" in text
    assert "known; the most frequent a 16, big " in text
    assert "unknown words in held-out captions: 4, thing" in text


def test_an_unreadable_file_is_an_error_and_the_others_are_checked(tmp_path):
    top = folders(tmp_path, cat=5, dog=5)
    torn = top / "cat" / "2.png"
    torn.write_bytes(torn.read_bytes()[:50])
    report = check_rows(Conditioned(root=str(top), unreadable="skip", workers=0))
    assert report.fatal == "1 picture cannot be read" and any("2.png" in line for line in report.lines)


def test_sets_in_memory_are_checked_too(tmp_path):
    calls = []
    rows = Pictures(root=str(digits(tmp_path)))
    report = check_rows(rows, on_picture=lambda: calls.append(1), on_count=calls.append)
    assert calls == [50] + [1] * 50
    assert [line.split()[:3] for line in report.lines if line[:1].isdigit() and "pictures" not in line] == [
        [str(n), "4", "1"] for n in range(10)
    ]
    assert "picture" in "\n".join(report_text(rows).splitlines())


def test_long_tables_are_cut_in_the_middle():
    rows = [("class", "train"), *((f"kind {n}", str(n)) for n in range(100))]
    lines = align_columns(rows)
    assert len(lines) == 41 and lines[-1].split() == ["kind", "99", "99"] and "61 more" in "\n".join(lines)
    assert align_columns(rows[:40])[-1].split() == ["kind", "38", "38"]


# -- the command line -------------------------------------------------------------------------------------------------


def test_check_says_what_to_type_next(tmp_path, capsys):
    top = folders(tmp_path / "c", cat=8, dog=8)
    assert command_line(["data", "check", str(top)]) == 0
    said = capsys.readouterr().out
    assert f"training can start: quagga train conditional --root {top}\n" in said
    assert "they suit conditional, stargan, classifier\n" in said
    path = table(tmp_path, [f"{n}.png,cat {n % 3}" for n in range(9)], "file,what")
    assert command_line(["data", "check", "--table", path, "--condition", "caption", "--caption", "what"]) == 0
    out = capsys.readouterr().out
    assert f"quagga train conditional --table {path} --condition caption --caption what\n" in out
    assert "they suit" not in out  # the others refuse captions
    assert command_line(["data", "check", str(digits(tmp_path / "d"))]) == 0
    assert "quagga train conditional --root" in capsys.readouterr().out
    assert command_line(["data", "check", str(tmp_path / "images")]) == 0
    assert f"quagga train gan --root {tmp_path / 'images'}\n" in capsys.readouterr().out


def test_check_ends_with_2_where_training_would_stop(tmp_path, capsys):
    top = folders(tmp_path, cat=8, dog=60)
    (top / "cat" / "0.png").write_bytes(b"no picture")
    assert command_line(["data", "check", str(top)]) == 2
    assert "training would stop: 1 picture cannot be read" in capsys.readouterr().err
    (top / "cat" / "0.png").unlink()
    for number in range(1, 5):
        (top / "cat" / f"{number}.png").unlink()
    assert command_line(["data", "check", str(top)]) == 0
    assert command_line(["data", "check", str(top), "--strict", "true"]) == 2


def test_preview_shows_each_picture_with_its_condition(tmp_path, capsys):
    top = folders(tmp_path / "c", cat=8, dog=8)
    out = tmp_path / "sheet.png"
    words = ["--output", str(out), "--count", "5"]
    assert command_line(["data", "preview", "conditional", "--root", str(top), *words]) == 0
    with Image.open(out) as sheet:
        with_captions = sheet.size
    assert "what training will see" in capsys.readouterr().out
    assert command_line(["data", "preview", "gan", "--root", str(top), *words]) == 0
    with Image.open(out) as sheet:
        assert sheet.size[1] > 4 * 120 > with_captions[1]  # one below the other; five abreast
    assert command_line(["data", "preview", "conditionl", "--root", str(top)]) == 2
    assert "conditionl is neither a pipeline nor a folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["train", "conditional"], ["data", "check"], ["data", "preview", "conditional"]])
def test_bad_input_is_one_line_and_2(tmp_path, capsys, command):
    def refused(line: str, *words: str) -> None:
        output = ["--output", str(tmp_path / "run")] if command[0] == "train" or command[1] == "preview" else []
        assert command_line([*command, *words, *output]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("quagga: error: ") and line in error

    rows = [f"{n}.png,{'cat' if n % 2 else 'dog'}" for n in range(8)]
    path = table(tmp_path / "a", rows)
    refused("is of the class 'cta': did you mean cat?", "--table", path, "--names", '["cta", "dog"]')
    refused("has one class only, dog", "--table", path, "--names", '["dog"]')
    refused("no column 'what' (--label): there are file, label", "--table", path, "--label", "what")
    refused("is no number in the column label", "--table", path, "--condition", "attributes")
    refused(
        "no attribute 'lable': did you mean label?", "--table", path, "--condition", "attributes", "--names=[lable]"
    )
    Path(tmp_path / "a" / "images" / "3.png").unlink()
    if command[0] == "train":  # the check goes on without them, and says so
        refused("1 of 8 files of", "--table", path)
    path = table(tmp_path / "b", [*rows, "9.png,emu"])
    refused("class 'emu' has 1 picture to train on", "--table", path)
    path = table(tmp_path / "c", [*rows, "1.png,dog"])
    refused("1 picture stands twice with different conditions", "--table", path)
    path = table(tmp_path / "d", [*rows[:3], "3.png,..."], "file,caption")
    refused("line 5: the caption of 3.png is empty", "--table", path, "--condition", "caption")
    top = digits(tmp_path / "idx")
    file = top / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    refused("train-images-idx3-ubyte.gz: ", "--root", str(top))
    refused("there is no folder", "--root", str(tmp_path / "no"))
    assert not (tmp_path / "run").exists()
