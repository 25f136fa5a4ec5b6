"""What the pages of docs/ tell people to type works, with overrides that only make it small; what docs/many_gpus.md
types is understood; and links lead somewhere."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run
import yaml
from accelerate.commands.launch import launch_command_parser
from documentation import (
    CYCLEGAN,
    NOISE,
    PAGES,
    ROOT,
    TRANSLATION,
    authors_server,
    blocks,
    furnish,
    lines,
    obey,
    quagga_lines,
    run_python,
)
from PIL import Image
from tensorboard.program import TensorBoard
from test_conditioned import digits as idx_digits
from torch.distributed.run import get_args_parser as torchrun_parser

import quagga
from quagga.cli import main
from quagga.cli.main import command_line
from quagga.data.images import Pictures
from quagga.data.synthetic import scenes
from quagga.models import PatchGAN, ResnetGenerator
from quagga.option_groups import call_flat
from quagga.pipelines import gan
from quagga.pipelines.core import Adversary, options
from quagga.renamed import MODULES, NAMES
from quagga.training import checkpoint

TYPED = [page for page in PAGES if page != "README.md" and quagga_lines(page)]
PROGRAMS = {  # what a line of a shell block begins with, beside `quagga`; the Slurm script is a block of its own
    *("make", "python", "source", "pip", "uv", "git", "tensorboard", "accelerate", "torchrun", "srun"),
}
LEFT = {  # page -> what its lines leave behind: a pattern, and how many files it finds
    "docs/pictures.md": {"preview.png": 1, "pairs.png": 1, "preview_digits.png": 1, "clean.csv": 1, "runs/ct/model": 1},
    "docs/translate.md": {
        "zebras/*.jpg": 1,
        "zebras/*.png": 4,
        "horses/stripes.png": 1,
        "large/holiday.jpg": 1,
        "doubted/holiday.jpg*": 2,
        "doubted/faithfulness.csv": 1,
    },
    "docs/autoencoder.md": {
        "runs/areas/model": 1,
        "codes/*.png": 8,
        "again/*.png": 8,
        "between/walk.gif": 1,
        "points/codes.csv": 1,
        "points/projector/projector_config.pbtxt": 1,
    },
    "docs/as_printed.md": {"runs/first/model": 1, "runs/second/model": 1},
    "docs/vae.md": {"new/*.png": 4, "means/*.png": 8},
    "docs/classifier.md": {
        "runs/seen-before/model": 1,
        "runs/seen/model": 1,
        "read/classes.csv": 1,
        "runs/had/model": 1,
    },
    "docs/progressive.md": {"runs/grown/model": 1, "new_faces/*.png": 4},
    "docs/inpainting.md": {"runs/filled/model": 1, "filled/*.png": 8},
    "docs/evaluate.md": {"figures.json": 1, "runs/zebras/report.html": 1},
    "docs/cut.md": {"runs/cut/model": 1, "runs/fastcut/model": 1, "zebras/*.png": 8},
    "docs/pix2pix.md": {"drawn_by_G/drawing.png": 1, "redrawn/holiday.jpg": 1},
    "docs/stargan.md": {
        "as_zebra/horse.jpg": 1,
        "smiling/holiday.jpg": 1,
        "more_smiles/*.png": 5,
        "runs/species/model": 1,
    },
    "docs/gan.md": {"runs/faces-gp/model": 1, "faces/grid.png": 1},
    "docs/conditional.md": {"runs/species/model": 1, "nine_sevens/[!.]*": 9},
    "docs/sampling.md": {
        "four/[!.]*": 4,
        "sevens/[!.]*": 4,
        "threes_and_sevens/[!.]*": 8,
        "aqua/[!.]*": 16,
        "sheet/grid.png": 1,
        "sheets/grid.png": 1,
        "eyes/grid.png": 1,
        "sum/arithmetic.png": 1,
        "walk/walk.png": 1,
        "walk/walk.mp4": 1,
        "walk_of_threes/walk.gif": 1,
        "three_to_seven/walk.gif": 1,
        "from_photo_to_photo/walk.gif": 1,
        "striped/arithmetic.png": 1,
        "found/inverted.png": 1,
        "found/walk.png": 1,
        "found/walk.gif": 1,
    },
    "docs/edits.md": {"brown/edited.png": 1, "brown/edit.gif": 1, "wider/edited.png": 1},
    "docs/reference_weights.md": {"runs/imported/model": 1, "checkpoints/zebras/latest_net_G_[AB].pth": 2},
}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with what the pages take for granted, which is the working directory."""
    monkeypatch.chdir(furnish(tmp_path))
    with authors_server(tmp_path, monkeypatch):
        yield tmp_path


@pytest.mark.parametrize("page", TYPED)
def test_every_quagga_line_of_a_page_runs(page, home, capsys):
    for line in quagga_lines(page):
        obey(line, capsys)
    for pattern, count in LEFT.get(page, {}).items():
        assert len(list(home.glob(pattern))) == count, pattern


def test_pages_type_no_program_that_is_not_known():
    assert LEFT.keys() <= set(TYPED)
    for page in PAGES:
        for line in lines(page):
            assert page == "docs/runs.md" or line.split()[0] in {*PROGRAMS, "quagga"}, (page, line)


def test_the_python_line_of_the_classifier_says_what_it_read(home, capsys):
    run_python("docs/classifier.md")
    [said] = capsys.readouterr().out.splitlines()[-1:]
    assert set(literal_eval(said)) == {path.name for path in (home / "digits").iterdir()}


@pytest.mark.parametrize("page", ["docs/translate.md", "docs/stargan.md", "docs/sampling.md"])
def test_the_python_lines_of_a_page_run(page, home):
    run_python(page)
    name, size = ("seven.png", (16, 16)) if page == "docs/sampling.md" else ("zebra.png", (30, 40))
    assert Image.open(name).size == size


def test_the_python_lines_of_inpainting_fill_a_picture(home):
    run_python("docs/inpainting.md")
    assert (np.asarray(Image.open("filled.png")) != np.asarray(Image.open("holiday.jpg"))).any(-1).sum() > 50


def test_a_pipeline_of_ones_own_runs(home):
    for line in lines("docs/your_own_pipeline.md"):
        words = shlex.split(line.replace("photos/ ", "photos/zebras "))
        assert words[:2] == ["python", "refiner.py"]
        words += TRANSLATION if words[2] == "train" else ["--device=cpu"]
        ran = subprocess.run([sys.executable, *words[1:]], cwd=home, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-2000:]
    assert len(list((home / "refined").glob("*.png"))) == 8
    refiner = runpy.run_path("refiner.py")["refiner"]
    assert quagga.load("runs/refined", device="cpu", build=refiner)


def test_a_pipeline_of_ones_own_is_short():
    code, *_ = blocks("docs/your_own_pipeline.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 48


def test_a_pipeline_of_ones_own_takes_the_groups_of_options():
    _, code = blocks("docs/your_own_pipeline.md", "python")
    names: dict[str, Any] = {"Refiner": lambda *parts: parts}
    exec(compile(code, "refiner.py", "exec"), names)
    R, D, adversary, lambda_near = call_flat(names["refiner"], width=4, width_discriminator=4, objective="hinge")
    assert (type(R), type(D), lambda_near) == (ResnetGenerator, PatchGAN, 3.0)
    assert adversary == Adversary("hinge", diffaugment=["translation"])
    page = (ROOT / "docs/your_own_pipeline.md").read_text("utf-8")
    groups = [name for name in options.__all__ if isinstance(getattr(options, name), type)]
    assert "Adversary" in groups and all(f"`{group}`" in page for group in groups)


def test_code_of_the_pages_imports_public_names_only():
    """Those of the package, of its networks and data, of the core of the game, and the pipelines as modules."""
    public = {"quagga", "quagga.fields", "quagga.models", "quagga.data", "quagga.pipelines.core", "quagga.pipelines"}
    for page in PAGES:
        for code in blocks(page, "python"):
            named = re.findall(r"^(?:from|import) (quagga[\w.]*)", code, re.MULTILINE)
            assert set(named) <= public, page


def test_links_lead_somewhere():
    for page in [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"]:
        text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if link.startswith("https://"):
                continue
            path, _, anchor = link.partition("#")
            target = ROOT / page if not path else (ROOT / page).parent / path
            assert target.exists(), (page, link)
            assert not anchor or anchor in anchors(target), (page, link)


def test_functions_of_the_walks_are_where_they_are_said_to_be():
    """The tables of CONTRIBUTING.md: file(s), function(s), what happens."""
    rows = re.findall(r"^\| (`[^|]+`) \| (`[^|]+`) \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    assert len(rows) >= 14
    for files, names in rows:
        modules = [
            import_module("quagga." + file.removeprefix("src/quagga/").removesuffix(".py").replace("/", "."))
            for file in re.findall(r"`([^`]+)`", files)
        ]
        for name in re.findall(r"`([^`]+)`", names):
            first, *rest = name.split(".")
            [owner] = [module for module in modules if hasattr(module, first)]
            place = getattr(owner, first)
            for part in rest:
                place = getattr(place, part)
            assert getattr(place, "__module__", owner.__name__) == owner.__name__, (files, name)


def test_the_changelog_names_what_was_renamed():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    for old, new in MODULES.items():
        assert f"| `{old}` | {', '.join(f'`{place}`' for place in new)} |" in text
    for old, new in NAMES.items():
        assert f"| `{old}` | `{new}` |" in text


def test_tensorboard_knows_the_lines_that_open_it():
    typed = {line for page in PAGES for line in lines(page) if line.startswith("tensorboard ")}
    typed |= {line for page in PAGES for line in re.findall(r"`(tensorboard [^`]+)`", (ROOT / page).read_text("utf-8"))}
    assert typed
    for line in typed:
        board = TensorBoard()
        board.configure(argv=shlex.split(line))
        known = vars(board.flags)
        expected = ("points/projector", {}) if "projector" in line else ("runs", {"images": 200})
        assert (known["logdir"], known["samples_per_plugin"]) == expected


def anchors(page: Path) -> set[str]:
    """What follows `#` in links to the headings of a page, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    plain = (re.sub(r"[^\w\- ]", "", line.lower()) for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE))
    return {line.replace(" ", "-") for line in plain}


@pytest.mark.slow
def test_the_line_for_several_gpus_runs_on_one_cpu(home):
    [line] = [line for line in lines("docs/many_gpus.md") if "--multi_gpu --num_processes 8" in line]
    words = shlex.split(
        line.replace("--multi_gpu --num_processes 8", "--cpu --num_processes 1").replace("datasets/horse2zebra", "set")
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch", *words[2:], *CYCLEGAN]
    ran = subprocess.run(launch, cwd=home, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (home / "runs/zebras/model/model.json").exists()


def test_the_launchers_and_quagga_know_what_the_page_of_many_gpus_types(capsys):
    text = "\n".join(blocks("docs/many_gpus.md", "sh")).replace("\\\n", " ")
    launched = [line for line in text.splitlines() if " -m quagga " in line]
    assert len(launched) == 5
    for line in launched:
        launcher, typed = line.split(" -m quagga ")
        words = [*shlex.split(launcher), "-m", "quagga", "train"]
        if words[0] == "torchrun":
            known = torchrun_parser().parse_args(words[1:])
            assert known.module and known.training_script == "quagga"
        else:
            known = launch_command_parser().parse_args(words[2:])
            assert known.module and known.training_script == "quagga" and known.num_processes in (8, 16)
        assert command_line([*shlex.split(typed), "--print_config"]) == 0
        assert "pipeline: cyclegan" in capsys.readouterr().out


def test_the_line_for_two_processes_on_a_cpu_starts_two_that_train_together(tmp_path):
    """Judged by what they wrote: gloo's processes may abort after their work is done."""
    [line] = [line for line in lines("docs/many_gpus.md") if "--nproc_per_node 2 " in line]
    launcher, typed = line.split(" -m quagga train cyclegan ")
    assert launcher.split()[0] == "torchrun" and "--device" not in typed
    small = tiny_run.words(scenes.write(tmp_path / "set", train=8, test=4, size=32), tmp_path / "run", images=8)
    words = [sys.executable, "-m", "torch.distributed.run", *launcher.split()[1:], "-m", "quagga", *small]
    words = [word for word in words if word != "--device=cpu"]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=200)
    assert "training on 8 images, 2 x cpu" in done.stdout, done.stderr
    saved = checkpoint.load(checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1])
    assert saved["counters"] == {"images_seen": 8, "row": 8, "minibatch": 2}


def test_any_dataset(home, monkeypatch, capsys):
    """The page's script with torchvision's MNIST on a few digits, from its command line."""
    idx_digits(home / "mnist/MNIST/raw", packed=False)
    [code] = blocks("docs/conditional.md", "python")
    (home / "digits.py").write_text(code)
    typed = [shlex.split(line)[1:] for line in lines("docs/conditional.md") if line.startswith("python digits.py")]
    assert [words[1] for words in typed] == ["train", "sample"]
    monkeypatch.setattr(sys, "argv", ["digits.py", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path("digits.py", run_name="__main__")
    assert "usage: python digits.py COMMAND" in capsys.readouterr().out
    for words in typed:
        monkeypatch.setattr(sys, "argv", [*words, *([*NOISE, "--seed=5"] if words[1] == "train" else ["--device=cpu"])])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(words[0], run_name="__main__")
        assert end.value.code == 0, capsys.readouterr().err
    config = yaml.safe_load((home / "runs/mnist/config.yaml").read_text())
    assert config["names"] == [str(n) for n in range(10)] and (config["seed"], config["size"]) == (5, 16)
    assert config["batch_size"] == 2 and config["condition"] == "class"
    sevens = sorted((home / "sevens").glob("[!.]*"))
    assert len(sevens) == 4 and Image.open(sevens[0]).size == (16, 16)
    shutil.rmtree(home / "sevens")
    assert command_line(["sample", "runs/mnist", "--label=7", "--output=sevens", "--device=cpu"]) == 0


def test_any_dataset_without_a_condition(home):
    drawn = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)

    def noise(seed: int = 0, workers: int = 2, size: int | None = None) -> Pictures:
        return Pictures.of(list(drawn), seed=seed, workers=workers, size=size)

    with pytest.raises(SystemExit) as end:
        main.main(gan.build, noise, ["train", "--output=runs/noise", *NOISE], gan.defaults)
    assert end.value.code == 0
    assert command_line(["sample", "runs/noise", "--count=2", "--output=more", "--device=cpu"]) == 0
    assert len(list((home / "more").glob("[!.]*"))) == 2


def test_a_function_that_gives_no_rows_or_decides_what_is_typed_is_told(home, capsys):
    def nothing(workers: int = 2) -> list[int]:
        return [1]

    def small(workers: int = 2) -> Pictures:
        return Pictures.of(list(np.zeros((20, 16, 16, 3), np.uint8)), workers=workers)

    typed = ["train", "--output=runs/none", *(word for word in NOISE if "size" not in word)]
    for data, more, words in (
        (nothing, [], "returns list, no data set"),
        (small, ["--size=32"], "--size is determined by the data"),
    ):
        with pytest.raises(SystemExit) as end:
            main.main(gan.build, data, [*typed, *more], gan.defaults)
        assert end.value.code == 2 and words in capsys.readouterr().err
    assert not (home / "runs").exists()
