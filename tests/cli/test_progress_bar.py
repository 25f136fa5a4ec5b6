"""How far a command has come: a bar on a terminal, a line now and then elsewhere, silence where it is quick."""

import io
import itertools
import re

import pytest
from PIL import Image
from test_translator import TINY, leave_model, pixels

from quagga.cli.main import command_line
from quagga.cli.output import progress_bar as progress_module
from quagga.cli.output.progress_bar import LINE_INTERVAL, Progress


class Terminal(io.StringIO):
    """A stderr with somebody before it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [0.0]
    monkeypatch.setattr(progress_module, "perf_counter", lambda: now[0])
    return now


def test_where_nobody_watches_a_line_comes_by_time_and_none_of_what_is_quick(clock, capsys):
    with Progress(400, "picture") as progress:
        for done in range(400):
            progress.reach(done)
            clock[0] += LINE_INTERVAL / 100
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0] == "100 of 400 pictures, 25%, 01:30 left"
    with Progress(400, "picture") as progress:
        for done in range(400):
            progress.reach(done)
    assert capsys.readouterr() == ("", "")


def test_one_large_picture_is_told_of_too(clock, capsys):
    with Progress(1, "picture") as progress:
        for share in (0.1, 0.2, 0.4):
            clock[0] += LINE_INTERVAL
            progress.reach(share)
    assert capsys.readouterr().err.splitlines()[-1] == "0 of 1 picture, 40%, 02:15 left"


def test_on_a_terminal_a_bar_moves_and_leaves_nothing_behind(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(2, "picture") as progress:
        progress.bar.mininterval = 0  # it draws ten times a second at most
        for done in (0.25, 0.5):
            progress.reach(done)
        progress.print_line("quagga: left out: broken.png")
        progress.reach(1.75)
    drawn = terminal.getvalue()
    shares = [int(share) for share in re.findall(r"(\d+)%", drawn)]
    assert shares == sorted(shares) and 25 in shares and shares[-1] == 88
    assert "1 of 2 pictures" in drawn
    screen = ""
    for part in re.split(r"(\r|\n)", drawn):  # what a terminal makes of it, one line at a time
        screen = screen[: screen.rfind("\n") + 1] if part == "\r" else screen + part
    assert [line for line in screen.splitlines() if line.strip()] == ["quagga: left out: broken.png"]


def test_translate_tells_how_far_it_is_within_a_picture(tmp_path, monkeypatch, capsys):
    leave_model(tmp_path / "run", **TINY)
    for name in "ab":
        Image.fromarray(pixels(70, 60)).save(tmp_path / f"{name}.png")
    words = [tmp_path / "run", tmp_path / "a.png", tmp_path / "b.png", "--output", tmp_path / "out"]
    words = ["translate", *map(str, words), "--resolution", "full", "--tile", "32"]
    assert command_line(words) == 0
    assert capsys.readouterr().err == ""  # it took no half minute
    seconds = itertools.count(step=int(LINE_INTERVAL))
    monkeypatch.setattr(progress_module, "perf_counter", lambda: next(seconds))
    assert command_line([*words, "--overwrite"]) == 0
    said = [re.fullmatch(r"(\d) of 2 pictures, (\d+)%, .* left", line) for line in capsys.readouterr().err.splitlines()]
    assert all(said) and len(said) > 20
    numbers = [(int(line[1]), int(line[2])) for line in said if line]
    assert numbers == sorted(numbers) and {done for done, _ in numbers} == {0, 1}
    assert len({share for _, share in numbers}) > 20
