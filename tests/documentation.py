"""What the README and the pages of docs/ tell people to type, and a folder in which that can be typed.

Every command runs as it stands, with options after it that only make it small.
"""

import hashlib
import re
import shlex
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from quagga.cli.main import command_line
from quagga.data.download.published_sets import SETS
from quagga.data.synthetic import scenes
from quagga.inference.model_files.state_dict_conversion import to_reference
from quagga.models import ResnetGenerator
from quagga.recipe_files import recipe_file

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))]
SMALL = ["--workers=0", "--device=cpu", "--images=4", "--batch_size=2", "--log_every=2", "--sample_every=4"]
TRANSLATION = [*SMALL, "--load_size=20", "--crop_size=16", "--width=4"]
CYCLEGAN = [*TRANSLATION, "--blocks=1", "--width_discriminator=4", "--layers=1"]
NOISE = [*SMALL, "--size=16", "--width=4", "--width_discriminator=4"]
TINY = {  # pipeline -> options that make its training small
    "cyclegan": CYCLEGAN,
    "cut": CYCLEGAN,
    "pix2pix": [*TRANSLATION, "--blocks=2", "--width_discriminator=4", "--layers=1"],
    "conditional": NOISE,
    "stargan": [*NOISE, "--blocks=1"],
    "gan": NOISE,
    "classifier": [*SMALL, "--size=16", "--width=4"],
    "progressive": [*SMALL, "--size=16", "--width=4", "--phases=[{images: 2, size: 8}, {images: 2}]"],
    "autoencoder": [*SMALL, "--size=16", "--width=4"],
    "vae": [*SMALL, "--size=16", "--width=4"],
    "inpainting": [*SMALL, "--size=16", "--width=4"],
}
RUNS = {  # a run that pages take for granted -> the command that has left it
    "runs/zebras": "train cyclegan --x photos/horses --y photos/zebras",
    "runs/cut": "train cut --x photos/horses --y photos/zebras",
    "runs/sketches": "train pix2pix --root datasets/sketches",
    "runs/faces": "train gan --root photos/faces",
    "runs/digits": "train conditional --root digits",
    "runs/seen": "train classifier --root digits",
    "runs/coded": "train autoencoder --root photos/faces",
    "runs/vae": "train vae --root photos/faces",
    "runs/grown": "train progressive --root photos/faces",
    "runs/filled": "train inpainting --root photos/horses",
    "runs/animals": "train stargan --root animals",
    "runs/species": "train conditional --table list.tsv --file photo --label species --split part",
    "runs/people": "train conditional --table people.csv --condition attributes",
    "runs/tags": "train conditional --table tags.csv --condition caption",
}

DATA = {  # pictures that pages take for granted -> the command that has written them
    "datasets/horse2zebra": "data download horse2zebra",
    "datasets/sketches": "data embedded --kind pairs --train 8 --test 4 --size 32 --output datasets/sketches",
}


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page, such as "docs/gan.md", that are marked with a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def lines(page: str) -> list[str]:
    """The commands of all shell blocks, one a line, without comments."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    return [line for raw in text.splitlines() if (line := raw.split(" #")[0].strip()) and not line.startswith("#")]


def quagga_lines(page: str) -> list[str]:
    """Those that begin with `quagga`, and those that stand alone in the cell of a table."""
    in_tables = re.findall(r"\| `(quagga \w+ \w+ -[^`]+)` \|", (ROOT / page).read_text("utf-8"))
    return [line for line in [*lines(page), *in_tables] if line.startswith("quagga ")]


def obey(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs a `quagga ...` line in the working directory, made small. Fails where it does not end well."""
    line, _, into = line.partition(" > ")
    words = shlex.split(line)[1:]
    if words[:2] != ["data", "embedded"]:
        need_data(line)
    if words[0] in ("translate", "sample", "verify", "export"):
        need(words[1])
    if words[0] in ("train", "plan"):
        words += TINY[_pipeline(words)]
    words += {"plan": ["--seconds=0.1"], "translate": ["--device=cpu"], "sample": ["--device=cpu"]}.get(words[0], [])
    if words[0] == "evaluate":
        for word in words[1:]:
            need(word)
        words += ["--device=cpu", "--pictures=4"]
    if {"--invert", "--edit", "--from"} & set(words):
        words += ["--steps=3"]
    if "--phases" in words:
        words += ["--phases=[{images: 2, size: 8}, {}]"]
    if "--warmup" in words:
        words += ["--warmup=2"]
    if words[0] == "export":  # a small training has 1 residual block; the authors' program takes 6 or 9
        words[1] = "runs/imported"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quagga.evaluation.measures.own_classifier.IMAGES", 64)
        assert command_line(words) == 0, line
    said = capsys.readouterr()
    assert "error" not in said.err, line
    if into:
        Path(into).write_text(said.out)


def need(run: str) -> None:
    """Trains a run that a page takes for granted, where none of the page's own lines has."""
    if run in RUNS and not Path(run, "model").exists():
        words = shlex.split(RUNS[run])
        need_data(RUNS[run])
        assert command_line([*words, *TINY[words[1]], f"--output={run}"]) == 0


def run_python(page: str) -> None:
    """Runs the Python blocks of a page, each by itself, with the runs that they load."""
    for code in blocks(page, "python"):
        for run in re.findall(r'quagga\.load\("([^"]+)"', code):
            need(run)
        exec(compile(code, page, "exec"), {})


class Part(NamedTuple):
    """A Python block of a page, and the text block below it."""

    code: str
    said: str  # what it prints, as the page says; "" where no text block follows
    printed: str  # what it prints


def run_as_one(page: str, folder: Path) -> tuple[dict[str, Any], list[Part]]:
    """Runs the Python blocks of a page one after the other, as one program, which draws into a folder.

    Returns what the program has defined, and its parts."""
    text = (ROOT / page).read_text("utf-8")
    names: dict[str, Any] = {"__name__": "page"}
    parts: list[Part] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MPLBACKEND", "agg")  # no window
        for code, said in re.findall(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", text, re.DOTALL):
            with redirect_stdout(StringIO()) as printed:
                exec(compile(code, page, "exec"), names)
            parts.append(Part(code, said, printed.getvalue()))
    assert [part.said for part in parts if part.said] == blocks(page, "text"), "a text block below no Python block"
    drawn = set(re.findall(r"!\[[^]]*\]\((\w+\.png)\)", text))
    assert drawn == {path.name for path in folder.iterdir()}  # the page shows what it draws
    return names, parts


def assert_printed_as_said(parts: list[Part]) -> None:
    """Words alike; numbers alike but for what another processor may do to a training: 2 % or 0.002."""
    number = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?")
    for _, said, printed in parts:
        assert number.sub("#", printed).split() == number.sub("#", said).split()
        numbers = [float(n) for n in number.findall(said)]
        assert [float(n) for n in number.findall(printed)] == pytest.approx(numbers, rel=0.02, abs=0.002)


def need_data(line: str) -> None:
    """Gets the published or drawn pictures that a line names, where they are not there yet."""
    for place, command in DATA.items():
        if place in line and not Path(place).exists():
            assert command_line(shlex.split(command)) == 0


def _pipeline(words: list[str]) -> str:
    """Which pipeline `train ...` trains; a recipe names its own."""
    if not words[1].startswith("-"):
        return words[1]
    recipe = "--recipe" in words
    value = words[words.index("--recipe" if recipe else "--config") + 1]
    file = recipe_file(value) if recipe else Path(value)
    [named] = re.findall(r"^pipeline: (\w+)", file.read_text(), re.MULTILINE)
    return named


def furnish(folder: Path) -> Path:
    """Fills a folder with the pictures and tables that the pages take for granted."""
    pictures = scenes.write(folder / "set", train=8, test=4, size=32)
    (folder / "docs").symlink_to(ROOT / "docs")
    for name, source in (
        *(("photos/horses", "trainA"), ("photos/zebras", "trainB"), ("more_photos", "testA")),
        *(("drawn", "trainA"), ("sketches", "trainA")),
    ):
        shutil.copytree(pictures / source, folder / name)
    (folder / "masks").mkdir()
    for path in (folder / "photos/horses").iterdir():
        Image.fromarray(np.uint8(255) * (np.indices((32, 32)).sum(0) % 9 < 3)).save(folder / "masks" / path.name)
    for name in ("holiday.jpg", "horse.jpg", "stripes.png", "drawing.png"):
        Image.fromarray(np.full((40, 30, 3), 120, np.uint8)).save(folder / name)
    for name, shape in (("strokes.png", (40, 30)), ("lines.png", (64, 64))):  # on a transparent ground
        drawn = np.zeros((*shape, 4), np.uint8)
        drawn[12:20, 8:22] = (110, 60, 30, 255)
        Image.fromarray(drawn).save(folder / name)
    horses, zebras = (sorted((folder / "photos" / name).iterdir()) for name in ("horses", "zebras"))
    pairs = [f"photos/horses/{x.name},photos/zebras/{y.name}" for x, y in zip(horses, zebras, strict=True)]
    (folder / "some.csv").write_text("\n".join(["x,y", *pairs[:4]]))
    rng = np.random.default_rng(0)
    (folder / "ct").mkdir()
    for number in range(6):
        pixels = rng.integers(0, 4300, (32, 32)).astype(np.uint16)
        Image.fromarray(pixels).save(folder / "ct" / f"{number}.png")
    _write_conditions(folder, rng)
    (folder / "checkpoints/horse2zebra").mkdir(parents=True)
    for name in ("G_A", "G_B"):
        _, weights = to_reference(ResnetGenerator(width=4))
        torch.save(weights, folder / f"checkpoints/horse2zebra/latest_net_{name}.pth")
    code, *_ = blocks("docs/your_own_pipeline.md", "python")
    (folder / "refiner.py").write_text(code)
    return folder


def _write_conditions(folder: Path, rng: np.random.Generator) -> None:
    """Classes as folders, and tables of attributes, captions and classes."""
    for name in ("photos/faces", "images", "animals/horse", "animals/zebra", "digits/3", "digits/7"):
        (folder / name).mkdir(parents=True)
        for number in range(16):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name / f"{number}.png")
    tables = {
        "people.csv": ["file,smiling,age", *(f"{n}.png,{n % 2},0.{n % 10}" for n in range(16))],
        "tags.csv": ["file,caption", *(f"{n},{('red', 'aqua')[n % 2]} hair red blue eyes" for n in range(16))],
        "list.tsv": [
            "photo\tspecies\tpart",
            *(f"{n}.png\t{(3, 7)[n % 2]}\t{('train', 'test')[n > 11]}" for n in range(16)),
        ],
    }
    for name, table in tables.items():
        (folder / name).write_text("\n".join(table))


@contextmanager
def authors_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within, horse2zebra.zip is downloaded from the loopback address; it holds the small set of `furnish`."""
    with zipfile.ZipFile(folder / "horse2zebra.zip", "w") as packed:
        for file in (folder / "set").rglob("*.png"):
            packed.write(file, Path("horse2zebra") / file.relative_to(folder / "set"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *words: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        content = (folder / "horse2zebra.zip").read_bytes()
        small = SETS["horse2zebra"]._replace(
            url=f"http://127.0.0.1:{server.server_address[1]}/horse2zebra.zip",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        monkeypatch.setitem(SETS, "horse2zebra", small)
        yield
        server.shutdown()
