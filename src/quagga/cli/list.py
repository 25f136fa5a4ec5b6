"""`quagga list`: what comes with the package."""

import textwrap

from quagga.cli.options.usage import asks_for_help
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput
from quagga.recipe_files import all_recipes

LISTS = ("recipes",)
USAGE = """usage: quagga list recipes

Shows the recipes: options for something that people want to make. `quagga train PIPELINE --recipe NAME` takes them,
what is typed beside them wins, and --print_config shows the result. Of several recipes the later wins."""
WIDTH = 100  # columns


def main(argv: list[str]) -> int:
    """Runs `quagga list ARGV...`. Returns 0. Raises BadInput if there is no such list."""
    if any(map(asks_for_help, argv)):
        print(USAGE)
        return 0
    if len(argv) != 1 or argv[0] not in LISTS:
        wrong = " ".join(argv)
        raise BadInput(f"there is no list of {wrong or 'nothing'}{did_you_mean(wrong, LISTS)}: quagga list recipes")
    for recipe in all_recipes():
        print(f"{recipe.name:<22}quagga train {recipe.pipeline} --recipe {short_name(recipe.name, recipe.pipeline)}")
        for text in (recipe.purpose, f"Takes {recipe.takes}" if recipe.takes else ""):
            for line in textwrap.wrap(text, WIDTH - 4):
                print(f"    {line}")
    return 0


def short_name(name: str, pipeline: str) -> str:
    """Returns the name of a recipe without that of its pipeline, which `--recipe` then adds."""
    return name.removeprefix(f"{pipeline}-")
