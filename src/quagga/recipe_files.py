"""Recipes: configs that come with the package, each for something that people want to make.

A recipe is a YAML file of options that begins with a comment: what it is for, in a sentence or two, and after "Takes:"
how long on which machine. Its name is that of its file. `--recipe NAME` takes the options of NAME, or where there is
one of PIPELINE-NAME, as `--config` takes those of a file.
"""

from pathlib import Path
from typing import NamedTuple

from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput

FOLDER = Path(__file__).parent / "recipes"
TAKES = "Takes:"
HALF_HOUR = "half-hour"  # the recipe that takes so long on a CPU and needs no extra


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
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    purpose, _, takes = comment.partition(TAKES)
    [pipeline] = (line.removeprefix("pipeline:").strip() for line in lines if line.startswith("pipeline:"))
    return Recipe(file.stem, pipeline, purpose.strip(), takes.strip())


def half_hour_recipe(pipeline: object) -> str | None:
    """Returns the name of the recipe with which a pipeline takes half an hour on a CPU; None: it has none."""
    return HALF_HOUR if read_recipe(recipe_file(HALF_HOUR)).pipeline == pipeline else None
