"""The check of pairs finds what would spoil a training, names it, and cries about nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from quagga.cli.main import command_line
from quagga.data.checks.paired import check_pairs
from quagga.data.sources.layout import are_pairs
from quagga.data.synthetic import scenes

rng = np.random.default_rng(0)


def scene(height: int = 64, width: int = 64) -> np.ndarray:
    """Rectangles of any colours, uint8."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    for _ in range(12):
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        pixels[top : top + rng.integers(6, 30), left : left + rng.integers(6, 30)] = rng.integers(0, 256, 3)
    return pixels


def partner(x: np.ndarray) -> np.ndarray:
    """Another look of the same outlines."""
    return 255 - cv2.GaussianBlur(x, (0, 0), 0.7)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def side_by_side(tmp_path: Path) -> Path:
    for name, count in (("train", 8), ("test", 3)):
        for number in range(count):
            x = scene()
            save(tmp_path / "a2b" / name / f"{number}.png", np.concatenate([x, partner(x)], 1))
    return tmp_path / "a2b"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for number in range(12):
        x = scene()
        save(tmp_path / "x" / f"{number}.png", x)
        save(tmp_path / "y" / f"{number}.png", partner(x))
    return tmp_path / "x", tmp_path / "y"


def report(folders: tuple[Path, Path]):
    return check_pairs(None, str(folders[0]), str(folders[1]), crop_size=16)


def report_text(folders: tuple[Path, Path]) -> str:
    return "\n".join(report(folders).lines)


def test_good_pairs_give_no_findings(side_by_side, folders):
    for found in (check_pairs(str(side_by_side), crop_size=16), report(folders)):
        assert (found.warnings, found.fatal) == (0, ""), found.lines


def test_side_by_side_sets_are_recognised_by_their_shape(side_by_side, folders, tmp_path):
    assert are_pairs(str(side_by_side))
    assert not are_pairs(str(folders[0])) and not are_pairs(None)
    for number in range(3):
        save(tmp_path / "classes/train" / f"{number}.png", scene())
    assert not are_pairs(str(tmp_path / "classes"))


def test_unmatched_unequal_and_unreadable_files_are_fatal(folders):
    save(folders[0] / "lonely.png", scene())
    assert "1 pictures without a partner" in report(folders).fatal and "lonely.png" in report_text(folders)
    (folders[0] / "lonely.png").unlink()
    save(folders[1] / "3.png", scene(32, 32))
    assert report(folders).fatal == "1 pairs differ in size" and "3 (64x64 and 32x32)" in report_text(folders)
    (folders[1] / "3.png").write_bytes(b"no picture")
    assert "cannot be read" in report(folders).fatal


def test_an_odd_width_is_fatal(side_by_side):
    save(side_by_side / "train/odd.png", scene(64, 127))
    found = check_pairs(str(side_by_side), crop_size=16)
    assert "odd width" in found.fatal and "odd (127x64)" in "\n".join(found.lines)


def test_leaks_copies_and_one_x_with_several_y_are_found(side_by_side, folders):
    (side_by_side / "test/leak.png").write_bytes((side_by_side / "train/2.png").read_bytes())
    lines = "\n".join(check_pairs(str(side_by_side), crop_size=16).lines)
    assert "both in training and in the test" in lines and "2.png = test: leak.png" in lines
    for side in folders:
        (side / "again.png").write_bytes((side / "5.png").read_bytes())
    assert "there more than once" in report_text(folders) and "5 = again" in report_text(folders)
    save(folders[1] / "again.png", scene())
    assert "belong to several of y" in report_text(folders)


def test_a_leak_of_one_side_alone_is_a_leak(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        for number in range(count):
            for letter in "AB":
                save(tmp_path / f"{part}{letter}" / f"{number}.png", scene())
    (tmp_path / "testA/0.png").write_bytes((tmp_path / "trainA/3.png").read_bytes())
    lines = "\n".join(check_pairs(str(tmp_path), crop_size=16).lines)
    assert "1 pictures both in training and in the test" in lines


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -4), (5, 2)])
def test_a_shift_between_partners_is_found(folders, right, down):
    for path in folders[1].iterdir():
        pixels = np.asarray(Image.open(path))
        save(path, np.roll(pixels, (down, right), (0, 1)))
    lines = report_text(folders)
    assert f"{abs(right)}.0 pixels" in lines and f"{abs(down)}.0" in lines
    assert ("right and" in lines) == (right > 0) or right == 0
    assert report(folders).fatal == ""  # a hint


def test_pairs_with_nothing_in_common_are_not_called_shifted(folders):
    for path in folders[1].iterdir():
        save(path, scene())
    assert "pixels left" not in report_text(folders) and "pixels right" not in report_text(folders)


def test_the_command_recognises_pairs_and_exits_with_2_on_fatal_findings(side_by_side, folders, capsys, tmp_path):
    assert command_line(["data", "check", str(side_by_side), "--crop_size=16", "--side=right"]) == 0
    out = capsys.readouterr().out
    assert f"quagga train pix2pix --root {side_by_side} --load_size 16 --crop_size 16 --side right" in out
    words = ["data", "check", f"--x={folders[0]}", f"--y={folders[1]}", "--crop_size=16"]
    assert command_line([*words, "--paired=true"]) == 0 and "train pix2pix" in capsys.readouterr().out
    assert command_line(words) == 0 and "train cyclegan" in capsys.readouterr().out
    (folders[0] / "0.png").unlink()
    assert command_line([*words, "--paired=true"]) == 2
    rows = "\n".join(f"x/{n}.png,y/{n}.png" for n in range(1, 12))
    (tmp_path / "list.csv").write_text("x,y\n" + rows)
    assert command_line(["data", "check", f"--pairs={tmp_path / 'list.csv'}", "--crop_size=16"]) == 0
    assert f"train pix2pix --pairs {tmp_path / 'list.csv'}" in capsys.readouterr().out


def test_pictures_of_which_x_is_made_are_checked_as_training_reads_them(folders, tmp_path, capsys):
    x, y = folders
    assert command_line(["data", "check", "--y", str(y), "--x_as", "edges", "--crop_size=16"]) == 0
    assert f"quagga train pix2pix --y {y} --load_size 16 --crop_size 16 --x_as edges" in capsys.readouterr().out
    pairs = ["--x", str(x), "--y", str(y), "--crop_size=16", "--paired"]
    assert command_line(["data", "check", *pairs]) == 0
    save(x / "0.png", rng.integers(0, 256, (64, 64, 3), np.uint8))  # as many colours as no label map has
    assert command_line(["data", "check", *pairs, "--x_as=labels"]) == 2
    assert "training would stop" in capsys.readouterr().err


def test_the_preview_shows_both_sides_as_training_sees_them(side_by_side, tmp_path, capsys):
    for kind in ("picture", "edges"):
        sheet = tmp_path / f"{kind}.png"
        words = [
            "data",
            "preview",
            "pix2pix",
            f"--root={side_by_side}",
            f"--x_as={kind}",
            "--load_size=20",
            "--crop_size=16",
        ]
        assert command_line([*words, "--count=2", f"--output={sheet}"]) == 0
        assert Image.open(sheet).width > 2 * 128
    assert command_line(["data", "preview", "pix3pix", f"--root={side_by_side}"]) == 2
    assert "did you mean pix2pix" in capsys.readouterr().err


def test_the_embedded_pairs_are_sketches_beside_their_horses(tmp_path, capsys):
    words = ["data", "embedded", "--kind=pairs", "--train=4", "--test=3", "--size=32", f"--output={tmp_path / 'set'}"]
    assert command_line(words) == 0 and "train pix2pix" in capsys.readouterr().out
    assert are_pairs(str(tmp_path / "set"))
    for part, indices in (("train", scenes.training("horse", 4)), ("test", scenes.held_out("horse", 3))):
        files = sorted((tmp_path / "set" / part).iterdir())
        assert len(files) == len(indices)
        for path, index in zip(files, indices, strict=True):
            one, pixels = scenes.scene(index, 32), np.asarray(Image.open(path))
            assert (pixels[:, 32:] == one.horse).all()
            lines = (pixels[:, :32] != pixels[0, 0]).any(-1)
            assert (lines == (one.edges != one.edges[0, 0])).mean() > 0.97
