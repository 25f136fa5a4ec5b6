"""Standard streams may be closed, as those of daemons are: a command does its work and says nothing."""

import subprocess
import sys

import pytest
import tiny_run
import yaml
from inference import leave_model

from quagga.training import checkpoint


def ran(how: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Python with these words, and with streams closed as the shell writes it."""
    command = ["sh", "-c", f'"$@" {how}', "sh", sys.executable, *map(str, words)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)


PROGRAM = """
import os, subprocess, sys
from quagga.cli.main import command_line
code = command_line(["--version"])
print("nobody hears this, whatever its letters are: \\u732b \\udcff")
print("nor this: \\u732b \\udcff", file=sys.stderr, flush=True)
child = "import os; [os.fstat(number) for number in (0, 1, 2)]"
with open(sys.argv[1], "w") as file:
    os.write(1, b"as C libraries print")
    os.write(2, b"as C libraries print")
    code += subprocess.run([sys.executable, "-c", child]).returncode
    file.write(f"{file.fileno() > 2} {code} {sys.stdin.read()!r}")
"""


@pytest.mark.parametrize("how", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(how, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = ran(how, tmp_path / "program.py", tmp_path / "out")
    assert (done.returncode, (tmp_path / "out").read_text()) == (0, "True 0 ''"), done.stderr


def test_a_run_whose_streams_are_closed_is_played(tmp_path):
    words = tiny_run.words(tiny_run.pictures(tmp_path), tmp_path / "run", images=8, workers=1)
    assert ran("<&- >&- 2>&-", "-m", "quagga", *words).returncode == 0
    assert checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1].name == "000000008"
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["images"] == 8


def test_other_commands_whose_streams_are_closed_do_their_work(tmp_path):
    pictures, run = tiny_run.pictures(tmp_path), leave_model(tmp_path / "run", width=4, blocks=1)
    translate = ["translate", run, pictures / "testA", "--output", tmp_path / "made", "--device", "cpu"]
    for how, words, code in (
        (">&-", ["--help"], 0),
        ("2>&-", ["trian"], 2),
        ("2>&-", ["data", "check", pictures, "--crop_size=16"], 0),
        (">&- 2>&-", translate, 0),
    ):
        done = ran(how, "-m", "quagga", *words)
        assert done.returncode == code, (words, done.stderr)
    assert len(list((tmp_path / "made").glob("[!.]*"))) == 4
