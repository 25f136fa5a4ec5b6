"""Every recipe trains for a few images, and each paper has its recipe."""

import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from quagga.cli.main import command_line
from quagga.cli.train import parse_and_train
from quagga.errors import BadInput
from quagga.pipelines import PIPELINES, gan
from quagga.recipe_files import FOLDER, MODULES, WITHOUT, all_recipes, read_comment, recipe_file

RECIPES = sorted(FOLDER.glob("*.yaml"))
COLORS = {"aqua": (0, 200, 200), "red": (200, 0, 0)}
SMALL = {
    "conv": ["--size=16", "--width=4", "--width_discriminator=4"],
    "mlp": ["--size=8"],
    "translates": ["--load_size=16", "--crop_size=16", "--width=4", "--width_discriminator=4", "--layers=1"],
    "classifier": ["--size=16", "--width=4"],
    "autoencoder": ["--size=16"],
    "vae": ["--size=16"],
    "progressive": ["--size=16", "--width=4", "--phases=[{images: 16, size: 8}, {}]"],
    "inpainting": ["--size=16", "--width=4"],
    "stargan": ["--size=16", "--width=4", "--width_discriminator=4", "--k=1"],
    "all": ["--images=32", "--batch_size=16", "--examined=8", "--samples=2", "--workers=0", "--device=cpu"],
}
TRANSLATES = ("cyclegan", "cut", "pix2pix")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder for each class, and a table of captions."""
    root = tmp_path_factory.mktemp("pictures")
    rng, lines = np.random.default_rng(0), ["file,caption"]
    for name, color in COLORS.items():
        (root / "classes" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(np.array(color) + rng.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "classes" / name / f"{number}.png")
            lines.append(f"{name}/{number}.png,{name} picture")
    (root / "classes" / "captions.csv").write_text("\n".join(lines) + "\n")
    return root / "classes"


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.stem for recipe in RECIPES])
def test_every_recipe_trains(recipe: Path, pictures: Path, tmp_path: Path):
    options = yaml.safe_load(recipe.read_text())
    assert options["pipeline"] in PIPELINES
    captions = options.get("condition") == "caption"
    source = ["--table", str(pictures / "captions.csv"), "--pictures", str(pictures)]
    source = source if captions else ["--root", str(pictures)]
    pipeline = options["pipeline"]
    if pipeline in TRANSLATES:
        source = [f"--x={pictures / 'aqua'}", f"--y={pictures / 'red'}"]
    translates = [*SMALL["translates"], f"--blocks={2 if pipeline == 'pix2pix' else 1}"]
    small = translates if pipeline in TRANSLATES else SMALL.get(pipeline, SMALL[options.get("network", "conv")])
    small = [*small, *SMALL["all"]]
    line = ["train", "--recipe", recipe.stem, *source, *small, "--output", str(tmp_path / "run")]
    assert command_line(line) == 0
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    changed = {option.partition("=")[0].removeprefix("--") for option in small}
    for key, value in options.items():
        if key not in changed:
            assert written[key] == (float(value) if isinstance(value, str) and "e-" in value else value), key
    assert (tmp_path / "run/model/model.json").exists()
    assert list((tmp_path / "run/samples").glob("*.png"))


def test_each_paper_has_its_recipe():
    names = {recipe.stem for recipe in RECIPES}
    assert names >= {
        "gan-mlp",
        "gan-plain",
        "dcgan",
        "wgan",
        "wgan-gp",
        "conditional-paper",
        "digits",
        "fastcut",
    }


def test_a_recipe_is_found_by_its_name_alone_or_behind_its_pipelines():
    assert recipe_file("wgan").name == recipe_file("wgan", "gan").name == "wgan.yaml"
    assert recipe_file("paper", "conditional").name == "conditional-paper.yaml"
    assert recipe_file("conditional-paper", "conditional").name == "conditional-paper.yaml"
    for name in ("wgam", "../recipes/wgan", "", "wgan.yaml", "*"):
        with pytest.raises(BadInput, match="quagga list recipes"):
            recipe_file(name, "gan")


def printed_config(capsys, *words: str) -> dict[str, Any]:
    with pytest.raises(SystemExit):
        parse_and_train("gan", gan.build, gan.data, [*words, "--print_config"], "quagga train gan", gan.defaults)
    return yaml.safe_load(capsys.readouterr().out)


def test_of_several_recipes_the_later_wins_and_what_is_typed_wins_over_all(capsys, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("lr: 0.5\n")
    assert printed_config(capsys, "--recipe", "wgan-gp")["lr"] == 1e-4
    assert printed_config(capsys, "--recipe", "wgan-gp", "--recipe=dcgan")["lr"] == 2e-4
    both = printed_config(capsys, "--beta1", "0.25", "--recipe", "dcgan", "--recipe", "wgan-gp")
    assert (both["lr"], both["beta1"], both["width"]) == (1e-4, 0.25, 128)  # the width of dcgan alone
    assert printed_config(capsys, "--recipe", "dcgan", "--config", str(own))["lr"] == 0.5
    assert printed_config(capsys, "--config", str(own), "--recipe", "dcgan")["lr"] == 2e-4


def test_without_its_extra_a_recipe_has_a_substitute_and_says_so(capsys, monkeypatch):
    def pipeline_of(*words: str) -> tuple[str, str]:
        with suppress(SystemExit):
            assert command_line(["train", *words, "--recipe", "half-hour", "--print_config"]) == 0
        said = capsys.readouterr()
        return yaml.safe_load(said.out)["pipeline"], said.err

    assert pipeline_of() == ("cut", "")
    monkeypatch.setattr("quagga.recipe_files.find_spec", lambda name: None)
    pipeline, line = pipeline_of()
    assert pipeline == "cyclegan"
    assert line.startswith("quagga: the recipe half-hour-plain in place of half-hour") and line.count("\n") == 1
    assert "pip install 'quagga[features]'" in line
    assert pipeline_of("cyclegan")[0] == "cyclegan"
    assert pipeline_of("cut") == ("cut", "")  # who names the pipeline is told what it lacks when it is built


def test_an_extra_of_a_recipe_is_known():
    extras = tomllib.loads((FOLDER.parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found = [match.groups() for recipe in RECIPES if (match := WITHOUT.search(read_comment(recipe)))]
    assert found
    for extra, other in found:
        assert recipe_file(other) and MODULES[extra].replace("_", "-") in " ".join(extras[extra])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["train", "gan", "--recipe", "digits"],
            "the recipe digits is for conditional; run `quagga train conditional --recipe digits`",
        ),
        (["train", "gan", "--recipe"], "--recipe needs a value: --recipe NAME"),
        (["train", "gan", "--recipe", "--size", "8"], "--recipe needs a value: --recipe NAME"),
        (["train", "--recipe", "half-our"], "did you mean half-hour?"),
        (["train", "cyclegan", "--recipe", "smalest"], "did you mean smallest? ("),
        (["list"], "quagga list recipes"),
        (["list", "recipe"], "did you mean recipes?"),
    ],
)
def test_what_is_no_recipe_is_one_line(words, said, capsys):
    assert command_line(words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_list_shows_each_with_what_it_is_for_and_a_line_that_works(capsys):
    assert command_line(["list", "recipes"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    for recipe in all_recipes():
        assert recipe.purpose and recipe.pipeline in PIPELINES
        line = next(line for line in shown.splitlines() if line.startswith(f"{recipe.name} "))
        *_, pipeline, _, name = line.split()
        assert recipe_file(name, pipeline).stem == recipe.name
        for text in re.findall(r"benchmarks/results/\w+\.txt", recipe.takes):
            assert (FOLDER.parents[2] / text).exists()
    named = {name for name in {recipe.pipeline for recipe in all_recipes()} if recipe_file("smallest", name)}
    assert named == set(PIPELINES)
