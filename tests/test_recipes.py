"""Every recipe of docs/recipes trains for a few images, and each paper has its recipe."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from quagga.cli.main import command_line
from quagga.pipelines import PIPELINES

RECIPES = sorted((Path(__file__).parents[1] / "docs" / "recipes").glob("*.yaml"))
COLORS = {"aqua": (0, 200, 200), "red": (200, 0, 0)}
SMALL = {
    "conv": ["--size=16", "--width=4", "--width_discriminator=4"],
    "mlp": ["--size=8"],
    "cut": ["--load_size=16", "--crop_size=16", "--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1"],
    "all": ["--images=32", "--batch_size=16", "--examined=8", "--samples=2", "--workers=0", "--device=cpu"],
}


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
    if options["pipeline"] == "cut":
        source = [f"--x={pictures / 'aqua'}", f"--y={pictures / 'red'}"]
    kind = options.get("network", "cut" if options["pipeline"] == "cut" else "conv")
    small = [*SMALL[kind], *SMALL["all"]]
    assert command_line(["train", "--config", str(recipe), *source, *small, "--output", str(tmp_path / "run")]) == 0
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
        "conditional-mnist",
        "fastcut",
    }
