"""The check finds what would spoil a training, names it, and cries about nothing else."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quagga.cli.main import command_line
from quagga.data.checks import unpaired as module
from quagga.data.checks.unpaired import LOW_CONTRAST, THIN, check_unpaired, contrast_of
from quagga.data.transforms.augment import LARGEST_RATIO
from quagga.errors import BadInput

rng = np.random.default_rng(0)


def picture(path: Path, size: tuple[int, int] = (24, 20), channels: int = 3, kind: type = np.uint8) -> Path:
    """A picture of noise, (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, np.iinfo(kind).max, (size[1], size[0], channels), dtype=kind)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sides of four and two pictures each, with nothing wrong."""
    for side in "AB":
        for split, count in (("train", 4), ("test", 2)):
            for number in range(count):
                picture(tmp_path / "horse2zebra" / f"{split}{side}" / f"{number}.png")
    return tmp_path / "horse2zebra"


def report_of(root: Path, **options):
    return check_unpaired(str(root), crop_size=16, **options)


def report_text(root: Path) -> str:
    return "\n".join(report_of(root).lines)


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def test_good_folders_give_a_table_and_no_findings(root):
    report = report_of(root)
    assert (report.warnings, report.fatal) == (0, "")
    head, *rows = report.lines
    assert head.split() == ["pictures", "smallest", "median", "largest", "below", "16", "kinds"]
    assert [row.split() for row in rows] == [
        [side, split, count, "24x20", "24x20", "24x20", "-", "RGB"]
        for side in ("horse", "zebra")
        for split, count in (("train", "4"), ("test", "2"))
    ]
    assert len({row.index("24x20") for row in rows}) == 1  # aligned


def test_sizes_and_kinds_are_counted(root):
    picture(root / "trainA" / "wide.png", (40, 30))
    picture(root / "trainA" / "small.png", (20, 12))
    picture(root / "trainA" / "grey.png", channels=1)
    picture(root / "trainA" / "deep.png", channels=1, kind=np.uint16)
    report = report_of(root)
    row = report.lines[1]
    assert row.split()[2:7] == ["8", "20x12", "24x20", "40x30", "1"]
    assert row.endswith("RGB 6, I;16 (16 bits) 1, L 1")
    text = "\n".join(report.lines)
    assert "1 picture of horse train smaller than the cut of 16" in text and "trainA/small.png (20x12)" in text
    assert "2 pictures of horse train grey among coloured ones" in text
    assert report.warnings == 2


def test_an_entirely_grey_side_is_no_finding(root):
    for path in (root / "trainB").iterdir():
        picture(path, channels=1)
    assert report_of(root).warnings == 0


def test_unreadable_files_are_named_with_their_reason_and_are_fatal(root, capsys):
    (root / "trainB" / "0.png").write_bytes(b"")
    (root / "testA" / "0.png").write_bytes((root / "testA" / "0.png").read_bytes()[:200])
    (root / "trainA" / "9.png").symlink_to("nowhere.png")
    report = report_of(root)
    text = "\n".join(report.lines)
    assert (report.fatal, report.warnings) == ("3 pictures cannot be read", 0)
    assert "trainB/0.png (the file is empty)" in text and "trainA/9.png (No such file" in text
    assert "testA/0.png (cannot be read" in text
    assert "RGB 3, unreadable 1" in text
    assert command_line(["data", "check", str(root), "--crop_size=16"]) == 2
    out, err = capsys.readouterr()
    assert text in out and err == "quagga: error: training would stop: 3 pictures cannot be read, see above\n"


def test_a_picture_that_training_would_refuse_among_others_is_an_error(root):
    Image.fromarray(np.full((20, 24), 300.0, np.float32)).save(root / "trainA" / "0.tif")
    report = report_of(root)
    assert "    trainA/0.tif (grey (floats))" in report.lines
    assert report.fatal.startswith("1 picture of horse train of an unusual kind")


def test_unusual_pictures_train_with_options_that_are_named(root):
    for number in range(4):
        (root / "trainB" / f"{number}.png").unlink()
        np.save(
            root / "trainB" / f"{number}.npy",
            np.full((20, 24, 12), number - 2, np.int16) * np.arange(12, dtype=np.int16),
        )
    report = report_of(root)
    assert report.options == "--y_channels 12 --y_value_range '[-22, 11]'" and not report.fatal
    assert "train with --y_channels 12" in "\n".join(report.lines)


def test_copies_are_reported_by_where_they_are(root):
    copy(root / "trainA" / "0.png", root / "trainA" / "again.png")
    copy(root / "trainA" / "0.png", root / "trainA" / "thrice.png")
    copy(root / "trainA" / "1.png", root / "testA" / "leak.png")
    copy(root / "trainB" / "1.png", root / "testA" / "both.png")
    report = report_of(root)
    text = "\n".join(report.lines)
    assert "4 of 16 files are copies of others" in text
    assert "1 picture on both sides" in text and "testA/both.png = trainB/1.png" in text
    assert "1 picture both in training and in the test" in text and "trainA/1.png = testA/leak.png" in text
    assert "2 copies within horse train" in text and "trainA/0.png = trainA/thrice.png" in text
    assert report.warnings == 3
    assert text.index("on both sides") < text.index("in the test") < text.index("within")


def test_the_first_three_names_are_shown_and_the_rest_is_counted(root):
    for number in range(5):
        copy(root / "trainB" / "0.png", root / "trainB" / f"{number}again.png")
    lines = report_of(root).lines
    [start] = [number for number, line in enumerate(lines) if line.startswith("warning")]
    assert len(lines[start + 1 :]) == 4
    assert lines[-1] == "    and 2 more"


def test_low_contrast_is_found_in_every_depth(root):
    grey = rng.normal(0.5, 0.9 * LOW_CONTRAST / 255, (20, 24)).clip(0, 1)
    Image.fromarray(np.rint(grey * 255).astype(np.uint8)).convert("RGB").save(root / "trainA" / "flat.png")
    Image.fromarray(np.rint(grey * 65535).astype(np.uint16)).save(root / "trainA" / "deep.png")
    Image.fromarray(grey.astype(np.float32)).save(root / "trainA" / "float.tif")
    assert "3 pictures of horse train with a contrast below 5 of 255" in report_text(root)


def test_contrast_is_the_deviation_of_the_grey_values():
    halves = np.zeros((256, 256, 3), np.uint8)
    halves[:, 128:] = 200
    assert contrast_of(halves) == pytest.approx(100)
    assert contrast_of((halves / 255).astype(np.float32)) == pytest.approx(100, rel=1e-4)
    assert contrast_of(halves.astype(np.uint16) * 257) == pytest.approx(100, rel=1e-4)
    assert contrast_of(halves.astype(np.int16) - 100) == pytest.approx(127.5)  # no white of its own: its own range
    assert contrast_of(np.full((1, 1, 1), 7, np.uint8)) == contrast_of(np.full((9, 9, 1), -7, np.int16)) == 0
    invisible = np.concatenate([np.zeros_like(halves), halves[..., :1]], axis=-1)  # black where it is opaque
    assert contrast_of(invisible, alpha=True) == pytest.approx(100, rel=0.02)


def test_extreme_shapes_are_reported(root):
    picture(root / "testB" / "strip.png", (16 * 5, 16))
    assert "1 picture of zebra test more than 4 times as long as wide" in report_text(root)
    assert report_of(root).fatal == ""
    picture(root / "trainB" / "thread.png", (16 * 33, 16))
    assert report_of(root).fatal == "1 picture more than 32 times as long as wide"
    assert THIN == LARGEST_RATIO


def test_files_that_are_no_pictures_are_counted(root):
    (root / "trainA" / "notes.txt").write_text("a")
    (root / "trainB" / "Thumbs.db").write_text("b")
    (root / "trainB" / ".hidden").write_text("c")
    text = report_text(root)
    assert "1 .txt, 1 .db" in text and "hidden" not in text
    assert report_of(root).warnings == 0


def test_two_folders_without_a_test(root, capsys, tmp_path):
    (tmp_path / "horses").mkdir()
    for number in range(10):
        picture(tmp_path / "horses" / "in" / f"{number}.jpg")
    words = ["data", "check", "--x", str(tmp_path / "horses"), "--y", str(root / "trainB"), "--crop_size", "16"]
    assert command_line(words) == 0
    text = capsys.readouterr().out
    assert "4 of 10 pictures are held out" in text
    pictures = f"--x {tmp_path / 'horses'} --y {root / 'trainB'}"
    assert "they suit cyclegan, cut\n" in text
    assert text.endswith(f"training can start: quagga train cyclegan {pictures} --load_size 16 --crop_size 16\n")
    rows = [line.split()[:3] for line in text.splitlines()[1:5]]
    assert rows == [
        ["horses", "train", "6"],
        ["horses", "test", "4"],
        ["trainB", "train", "2"],
        ["trainB", "test", "2"],
    ]


def test_an_empty_side_is_an_error(root, capsys):
    for path in (root / "trainB").iterdir():
        path.unlink()
    assert command_line(["data", "check", str(root)]) == 2
    assert "trainB has 0 images" in capsys.readouterr().err


def test_warnings_are_errors_only_if_asked(root, capsys):
    copy(root / "trainA" / "0.png", root / "trainA" / "again.png")
    words = ["data", "check", str(root), "--crop_size=16"]
    assert command_line(words) == 0
    assert command_line([*words, "--strict", "true"]) == 2
    assert "1 warning" in capsys.readouterr().err
    with pytest.raises(BadInput, match="crop_size 0"):
        check_unpaired(str(root), crop_size=0)


def test_every_picture_is_inspected_once_whatever_the_chunk_size(root, monkeypatch):
    monkeypatch.setattr(module, "FILES_AT_ONCE", 3)
    seen, totals = [], []
    lines = report_of(root, on_picture=lambda: seen.append(1), on_count=totals.append).lines
    assert len(seen) == 12 and totals == [12]
    monkeypatch.undo()
    assert lines == report_of(root).lines
