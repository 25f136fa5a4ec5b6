"""`quagga demo` reaches what it promises."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from quagga.cli.main import command_line
from quagga.cli.output import terminal_preview


def test_a_short_demo_leaves_what_it_names(tmp_path, capsys):
    words = ["--output", str(tmp_path / "demo"), "--images", "8", "--animals", "6", "--device", "cpu"]
    assert command_line(["demo", *words]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "demo" / "demo.html") in said
    page = (tmp_path / "demo" / "demo.html").read_text()
    assert all(text in page for text in ("true zebra", "Translation error", "Cycle loss"))
    for file in ("zebras.png", "timelapse.png"):
        assert str(tmp_path / "demo" / file) in said
        assert Image.open(tmp_path / "demo" / file).size[0] > 300
    assert re.search(r"translation error on 128 unseen horses: 0\.\d+", said)
    assert f"tensorboard --samples_per_plugin images=200 --logdir {tmp_path / 'demo'}" in said
    assert "\033" not in said  # plain text where nobody can see colours
    assert command_line(["demo", *words]) == 0  # a demo's folder may be used again


def test_a_folder_that_no_demo_left_is_left_alone(tmp_path, capsys):
    (tmp_path / "photo.jpg").write_bytes(b"dear")
    assert command_line(["demo", "--output", str(tmp_path)]) == 2
    assert "no demo has left" in capsys.readouterr().err
    assert (tmp_path / "photo.jpg").read_bytes() == b"dear"


def test_half_blocks_hold_two_pixels_each():
    picture = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    first, second = terminal_preview.picture_lines([picture], 2, color=True)
    assert first.startswith("\033[38;2;0;1;2;48;2;6;7;8m▀") and first.endswith("\033[0m")
    assert "38;2;15;16;17;48;2;21;22;23m▀" in second


def test_plain_pictures_are_letters_from_dark_to_light():
    picture = np.repeat(np.linspace(0, 255, 10).astype(np.uint8)[None, :, None], 3, axis=2).repeat(10, axis=0)
    assert terminal_preview.picture_lines([picture], 10, color=False)[0] == terminal_preview.SHADES


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_turns_horses_into_zebras(tmp_path):
    words = [sys.executable, "-m", "quagga", "demo", "--output", str(tmp_path / "demo"), "--device", "cpu"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    error = re.search(r"128 unseen horses: ([\d.]+) \(background ([\d.]+) \+ coat ([\d.]+)\)", said)
    assert error, said
    total, _background, _coat = map(float, error.groups())
    assert total <= 0.18
