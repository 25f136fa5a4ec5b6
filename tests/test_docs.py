"""What docs/gan.md and docs/conditional.md tell people to type works, with overrides that only make it small; what
docs/many_gpus.md does is understood."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import yaml
from accelerate.commands.launch import launch_command_parser
from PIL import Image
from test_conditioned import digits as idx_digits
from torch.distributed.run import get_args_parser as torchrun_parser

from quagga.data import embedded
from quagga.data.pictures import Pictures
from quagga.pipelines import checkpoint, cli, gan
from quagga.pipelines.cli import command_line

DOCS = Path(__file__).parents[1] / "docs"
SMALL = {
    "train": ["--size=16", "--width=4", "--width_discriminator=4", "--workers=0", "--device=cpu", "--images=4"],
    "sample": ["--device=cpu"],
    "data": [],
}
SMALL["train"] += ["--batch_size=2", "--log_every=2", "--sample_every=4"]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


def lines(page: str) -> list[str]:
    """The commands of all shell blocks."""
    return [line.split(" #")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A folder with what the pages take for granted, in which one stands."""
    (tmp_path / "docs").symlink_to(DOCS)
    rng = np.random.default_rng(0)
    tables = {
        "faces.csv": ["file,smiling,age"],
        "birds.csv": ["file,caption"],
        "list.tsv": ["photo\tspecies\tpart"],
    }
    for folder in ("photos/faces", "images", "animals/horse", "animals/zebra"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(16):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / folder / f"{number}.png")
    for number in range(16):
        tables["faces.csv"].append(f"{number}.png,{number % 2},0.{number % 10}")
        tables["birds.csv"].append(f"{number},a bird with {('red', 'blue')[number % 2]} eyes")
        tables["list.tsv"].append(f"{number}.png\t{(3, 7)[number % 2]}\t{('train', 'test')[number > 11]}")
    for name, table in tables.items():
        (tmp_path / name).write_text("\n".join(table))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def obeyed(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in lines(page):
        if not line.startswith("quagga "):
            continue
        words = shlex.split(line)[1:]
        words += SMALL[words[0]]
        if "--invert" in words:
            words += ["--steps=3"]
        assert command_line(words) == 0, line
        assert "error" not in capsys.readouterr().err, line


def test_the_page_of_the_plain_gan(home, capsys):
    obeyed("gan.md", capsys)
    assert len(list((home / "four").glob("[!.]*"))) == 4
    made = {
        path.relative_to(home).as_posix() for name in ("walk", "sum", "found") for path in (home / name).glob("[!.]*")
    }
    assert made == {
        *("walk/walk.png", "walk/walk.mp4", "sum/arithmetic.png"),
        *("found/inverted.png", "found/walk.png", "found/walk.gif"),
    }


def test_the_page_of_conditions(home, capsys):
    obeyed("conditional.md", capsys)
    assert len(list((home / "threes_and_sevens").glob("[!.]*"))) == 8
    assert (home / "classes/grid.png").exists() and (home / "eyes/grid.png").exists()


def test_the_launchers_and_quagga_know_what_the_page_of_many_gpus_types(capsys):
    text = "\n".join(blocks("many_gpus.md", "sh")).replace("\\\n", " ")
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
    [line] = [line for line in lines("many_gpus.md") if "--nproc_per_node 2 " in line]
    launcher, typed = line.split(" -m quagga train cyclegan ")
    assert launcher.split()[0] == "torchrun" and "--device" not in typed
    small = tiny_run.words(embedded.write(tmp_path / "set", train=8, test=4, size=32), tmp_path / "run", images=8)
    words = [sys.executable, "-m", "torch.distributed.run", *launcher.split()[1:], "-m", "quagga", *small]
    words = [word for word in words if word != "--device=cpu"]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=200)
    assert "playing 8 images on 2 x cpu" in done.stdout, done.stderr
    saved = checkpoint.load(checkpoint.saved(tmp_path / "run" / "checkpoints")[-1])
    assert saved["counters"] == {"images_seen": 8, "row": 8, "minibatch": 2}


def test_any_dataset(home, monkeypatch, capsys):
    """The page's script with torchvision's MNIST on a few digits, from its command line."""
    idx_digits(home / "mnist/MNIST/raw", packed=False)
    [code] = blocks("conditional.md", "python")
    (home / "digits.py").write_text(code)
    typed = [shlex.split(line)[1:] for line in lines("conditional.md") if line.startswith("python digits.py")]
    assert [words[1] for words in typed] == ["train", "sample"]
    monkeypatch.setattr(sys, "argv", ["digits.py", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path("digits.py", run_name="__main__")
    assert "usage: python digits.py COMMAND" in capsys.readouterr().out
    for words in typed:
        monkeypatch.setattr(sys, "argv", [*words, *SMALL[words[1]], *(["--seed=5"] if words[1] == "train" else [])])
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
        cli.main(gan.build, noise, ["train", "--output=runs/noise", *SMALL["train"]], gan.defaults)
    assert end.value.code == 0
    assert command_line(["sample", "runs/noise", "--count=2", "--output=more", "--device=cpu"]) == 0
    assert len(list((home / "more").glob("[!.]*"))) == 2


def test_a_function_that_gives_no_rows_or_decides_what_is_typed_is_told(home, capsys):
    def nothing(workers: int = 2) -> list[int]:
        return [1]

    def small(workers: int = 2) -> Pictures:
        return Pictures.of(list(np.zeros((20, 16, 16, 3), np.uint8)), workers=workers)

    typed = ["train", "--output=runs/none", *(word for word in SMALL["train"] if "size" not in word)]
    for data, more, words in (
        (nothing, [], "gives list, no rows"),
        (small, ["--size=32"], "--size is decided by the data"),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(gan.build, data, [*typed, *more], gan.defaults)
        assert end.value.code == 2 and words in capsys.readouterr().err
    assert not (home / "runs").exists()
