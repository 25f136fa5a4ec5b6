"""What the README tells people to type works, with overrides that only make it small."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documentation import ROOT, authors_server, blocks, furnish, lines, obey, quagga_lines, run_python
from PIL import Image

from quagga.cli.main import COMMANDS

README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with what the README takes for granted, which is the working directory."""
    monkeypatch.chdir(furnish(tmp_path))
    with authors_server(tmp_path, monkeypatch):
        yield tmp_path


def test_every_quagga_line_runs(home, capsys):
    typed = [line for line in quagga_lines("README.md") if not line.startswith("quagga demo")]
    assert len(typed) >= 12
    for line in typed:
        obey(line, capsys)
    assert (home / "datasets/horse2zebra/trainA").is_dir()
    assert Image.open("first_zebras/holiday.jpg").size == (30, 40)
    assert len(list((home / "first_zebras").rglob("*.png"))) == 4
    assert (home / "horses/stripes.png").exists()
    named = {"horses2zebras-cyclegan", "sketches2horses-pix2pix", "digits-conditional", "zebras-gan"}
    assert named <= {run.name for run in (home / "runs").iterdir()}


def test_the_python_lines_run(home):
    assert len(blocks("README.md", "python")) == 1
    run_python("README.md")
    assert Image.open("zebra.png").size == (30, 40)


def test_after_make_demo_the_next_line_is_known_to_the_shell(tmp_path):
    """As the README says before its first `quagga train`, and `make demo` at its end."""
    source = "source .venv/bin/activate"
    assert 0 < README.index(source) < README.index("\nquagga ")
    line = ["make", "--dry-run", "--no-print-directory", "demo", "VENV=.venv"]  # whatever `make test` was told
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    *_, before_last, last = done.stdout.splitlines()
    assert before_last.endswith("quagga demo") and source in last
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    command = tmp_path / ".venv/bin/quagga"
    command.touch(0o755)
    ran = subprocess.run(["bash", "-c", f"{source}; command -v quagga"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.strip() == str(command)


def test_every_command_that_is_named_exists():
    assert {line.split()[1] for line in quagga_lines("README.md")} <= COMMANDS.keys()
    assert {line.split()[1] for line in lines("README.md") if line.startswith("make ")} == {"demo", "test"}


def test_the_readme_is_read_in_one_go_and_names_every_page():
    assert len(README.splitlines()) <= 170
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in README, page.name
