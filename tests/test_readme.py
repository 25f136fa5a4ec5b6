"""What the README tells people to type works, with overrides that only make it small."""

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import quagga
from quagga.data import embedded
from quagga.data.published import SETS
from quagga.models import ResnetGenerator
from quagga.pipelines.cli import COMMANDS, command_line
from quagga.pipelines.reference import to_reference

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SMALL = [
    *("--load_size=20", "--crop_size=16", "--width=4", "--workers=0", "--device=cpu"),
    *("--images=4", "--batch_size=2", "--log_every=2", "--sample_every=4"),
]
CYCLEGAN = [*SMALL, "--blocks=1", "--width_discriminator=4", "--layers=1"]
NOISE = [
    "--size=16",
    "--width=4",
    "--width_discriminator=4",
    "--workers=0",
    "--device=cpu",
    "--images=4",
    "--batch_size=2",
]
TINY = {  # what makes a training small
    "cyclegan": CYCLEGAN,
    "pix2pix": [*SMALL, "--blocks=2", "--width_discriminator=4", "--layers=1"],
    "conditional": NOISE,
    "gan": NOISE,
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def lines() -> list[str]:
    """The commands of all shell blocks, one a line, without comments."""
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [line for raw in text.splitlines() if (line := raw.split(" #")[0].strip()) and not line.startswith("#")]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with what the README takes for granted."""
    folder = tmp_path_factory.mktemp("home")
    pictures = embedded.write(folder / "set", train=8, test=4, size=32)
    (folder / "photos").mkdir()
    shutil.copytree(pictures / "trainA", folder / "photos/horses")
    shutil.copytree(pictures / "trainB", folder / "photos/zebras")
    shutil.copytree(pictures / "testA", folder / "more_photos")
    shutil.copytree(pictures / "trainA", folder / "drawn")
    for name in ("holiday.jpg", "horse.jpg", "stripes.png", "drawing.png"):
        Image.fromarray(np.full((40, 30, 3), 120, np.uint8)).save(folder / name)
    (folder / "ct").mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 4300, (32, 32)).astype(np.uint16)
        Image.fromarray(pixels).save(folder / "ct" / f"{number}.png")
    conditions_in(folder)
    (folder / "checkpoints/horse2zebra").mkdir(parents=True)
    for name in ("G_A", "G_B"):
        _, weights = to_reference(ResnetGenerator(width=4))
        torch.save(weights, folder / f"checkpoints/horse2zebra/latest_net_{name}.pth")
    (folder / "refiner.py").write_text(refiner())
    return folder


def conditions_in(folder: Path) -> None:
    """Classes and a table, as the README names them."""
    (folder / "images").mkdir()
    lines = ["file,caption"]
    for number, path in enumerate(sorted((folder / "photos/horses").iterdir())):
        (folder / f"digits/{number % 2 + 6}").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"digits/{number % 2 + 6}/{path.name}")
        shutil.copy(path, folder / "images" / path.name)
        lines.append(f"{path.name},{('red', 'aqua')[number % 2]} hair red eyes")
    (folder / "tags.csv").write_text("\n".join(lines))


def refiner() -> str:
    [code] = [block for block in blocks("python") if block.startswith("# refiner.py")]
    return code


@pytest.fixture
def authors_server(home, monkeypatch) -> Iterator[None]:
    """horse2zebra.zip, small, on the loopback address."""
    with zipfile.ZipFile(home / "horse2zebra.zip", "w") as packed:
        for file in (home / "set").rglob("*.png"):
            packed.write(file, Path("horse2zebra") / file.relative_to(home / "set"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *words: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(home))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        content = (home / "horse2zebra.zip").read_bytes()
        small = SETS["horse2zebra"]._replace(
            url=f"http://127.0.0.1:{server.server_address[1]}/horse2zebra.zip",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        monkeypatch.setitem(SETS, "horse2zebra", small)
        yield
        server.shutdown()


def test_every_quagga_line_runs(home, authors_server, monkeypatch, capsys):
    monkeypatch.chdir(home)
    typed = [line for line in lines() if line.startswith("quagga ") and not line.startswith("quagga demo")]
    assert len(typed) >= 8
    for line in typed:
        line, _, into = line.partition(" > ")
        words = shlex.split(line)[1:]
        if words[0] in ("train", "plan"):
            words += TINY[words[1]] + (["--seconds=0.1"] if words[0] == "plan" else [])
        if words[0] in ("translate", "sample"):
            words += ["--device=cpu"]
        if "--invert" in words:
            words += ["--steps=3"]
        if words[0] == "export":  # what the small training has left has 1 residual block, and theirs have 6 or 9
            words[1] = "runs/imported"
        assert command_line(words) == 0, line
        said = capsys.readouterr()
        assert "error" not in said.err, line
        if into:
            Path(into).write_text(said.out)
    assert Image.open("zebras/holiday.jpg").size == (30, 40)
    assert len(list((home / "zebras").rglob("*.png"))) == 4
    assert (home / "datasets/horse2zebra/trainA").is_dir()
    assert (home / "runs/ct/model/model.json").exists()
    assert Image.open("large/holiday.jpg").size == (30, 40)
    assert {path.name for path in (home / "checkpoints/zebras").glob("*.pth")} == {
        "latest_net_G_A.pth",
        "latest_net_G_B.pth",
    }
    assert (home / "horses/stripes.png").exists() and (home / "preview.png").exists()


def test_the_python_lines_run(home, monkeypatch):
    monkeypatch.chdir(home)
    words = ["--x=photos/horses", "--y=photos/zebras", "--output=runs/zebras"]
    if not Path("runs/zebras/model").exists():
        assert command_line(["train", "cyclegan", *words, *CYCLEGAN]) == 0
    if not Path("runs/digits/model").exists():
        assert command_line(["train", "conditional", "--root=digits", "--output=runs/digits", *NOISE]) == 0
    for code in blocks("python"):
        if "quagga.load" in code:
            exec(code, {})
    assert Image.open("zebra.png").size == (30, 40) and Image.open("seven.png").size == (16, 16)


def test_a_pipeline_of_ones_own_runs(home):
    for line in lines():
        if line.startswith("python refiner.py"):
            words = shlex.split(line.replace("photos/ ", "photos/zebras ")) + (
                SMALL if " train " in line else ["--device=cpu"]
            )
            ran = subprocess.run([sys.executable, *words[1:]], cwd=home, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stderr[-2000:]
    assert len(list((home / "refined").glob("*.png"))) == 8
    assert quagga.load.__module__ == "quagga.pipelines.load"


def test_a_pipeline_of_ones_own_is_as_short_as_promised():
    code = [line for line in refiner().splitlines() if line.strip()]
    assert len(code) <= 48


@pytest.mark.slow
def test_the_line_for_several_gpus_runs_on_one_cpu(home):
    [line] = [line for line in lines() if line.startswith("accelerate launch --multi_gpu --num_processes 4")]
    words = shlex.split(
        line.replace("--multi_gpu --num_processes 4", "--cpu --num_processes 1").replace("runs/zebras", "runs/launched")
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch", *words[2:], *CYCLEGAN]
    ran = subprocess.run(launch, cwd=home, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (home / "runs/launched/model/model.json").exists()


def test_after_make_demo_the_next_line_is_known_to_the_shell(tmp_path):
    """As the README says before its first `quagga train`, and `make demo` at its end."""
    source = "source .venv/bin/activate"
    assert 0 < README.index(source) < README.index("\nquagga ")
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *_, before_last, last = done.stdout.splitlines()
    assert before_last.endswith("quagga demo") and source in last
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    command = tmp_path / ".venv/bin/quagga"
    command.touch(0o755)
    ran = subprocess.run(["bash", "-c", f"{source}; command -v quagga"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.strip() == str(command)


def test_every_command_and_file_that_is_named_exists():
    for name in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / name).exists(), name
    assert {line.split()[1] for line in lines() if line.startswith("quagga ")} <= COMMANDS.keys()
    assert {line.split()[1] for line in lines() if line.startswith("make ")} == {"demo", "test"}
