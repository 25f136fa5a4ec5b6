"""Names of files and a user's text cannot steer the terminal."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from quagga.cli.main import command_line, run_explaining_errors
from quagga.escapes import TerminalText, escaping_output, printable

NAME = "\x1b]0;owned\x07\u202e\x9b2J"
STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be there")


def test_every_control_character_is_shown_as_an_escape():
    for code in (*range(0x110), *range(0x2000, 0x2070)):
        shown = printable(f"a{chr(code)}b")
        assert shown == f"a{chr(code)}b" or shown == f"a{ascii(chr(code))[1:-1]}b"
        assert shown.isprintable() or not STEERING.search(shown)
    assert printable("one\ntwo\r\t") == r"one\ntwo\r\t"
    assert printable("ü 馬 🦓") == "ü 馬 🦓"


@pytest.fixture
def photos(tmp_path) -> Path:
    """A set whose folder and pictures have such names, one of them damaged."""
    folder = tmp_path / NAME
    for side in ("trainA", "trainB"):
        (folder / side).mkdir(parents=True)
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / side / f"{NAME}{number}.png")
    (folder / "trainA" / f"{NAME} broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


TRAINED = [
    *("--load_size=20", "--crop_size=16", "--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1"),
    *("--images=4", "--workers=0", "--device=cpu", "--log_every=2"),
]


def test_no_command_lets_one_through(photos, tmp_path, capfd):
    root, run = str(photos), str(tmp_path / f"run {NAME}")
    quiet = f"--x_name={NAME}"
    for words, code in (
        (["data", "check", root], 2),
        (["data", "preview", "--root", root, "--output", str(tmp_path / f"{NAME}.png")], 0),
        (["train", "cyclegan", "--root", root, "--output", run, quiet, "--unreadable=skip", *TRAINED], 0),
        (["translate", run, root, "--output", str(tmp_path / f"out {NAME}"), "--comparison"], 2),
        (["translate", run, root, "--output", str(tmp_path / f"out {NAME}")], 2),
        (["translate", run, NAME, "--output", str(tmp_path / "other")], 2),
        (["train", "cyclegan", f"--{NAME}", "1"], 2),
        ([NAME], 2),
    ):
        assert command_line(words) == code, words
        out, err = capfd.readouterr()
        assert not STEERING.search(out + err)
        assert r"\x1b]0;owned\x07" in out + err


def test_a_complaint_is_one_line_whatever_it_names(capsys):
    assert command_line(["data", "check", "one\nquagga: all is well\r"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "\r" not in said and r"one\nquagga: all is well\r" in said


def test_what_is_meant_passes(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    with escaping_output():
        tqdm.write(TerminalText("\x1b[31mred\x1b[0m"), file=sys.stdout)
        print("a\tb", "c\x1b[31m", sep="\n")
        with tqdm(total=2, ncols=20) as outer, tqdm(total=2, ncols=20) as inner:  # a bar below another
            inner.update()
            outer.update()
    assert sys.stdout is sys.stderr is screen
    shown = screen.getvalue()
    assert shown.startswith("\x1b[31mred\x1b[0m\n" + "a\tb\nc\\x1b[31m\n")
    assert "\x1b[A" in shown and r"\x1b[A" not in shown and "\r" in shown


def test_a_stream_that_is_not_there_stays_so(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with escaping_output():
        assert sys.stderr is None


def test_streams_come_back_after_an_error(capsys):
    before = sys.stdout, sys.stderr
    with pytest.raises(ZeroDivisionError):
        run_explaining_errors(lambda: 1 // 0, own_code=False)
    assert (sys.stdout, sys.stderr) == before
