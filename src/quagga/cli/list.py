"""`quagga list`: what comes with the package."""

import textwrap

from quagga.boxed_models import PREFIX, all_boxed_models
from quagga.cli.options.usage import asks_for_help
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput
from quagga.recipe_files import all_recipes

LISTS = ("recipes", "models")
USAGE = """usage: quagga list recipes|models

recipes  options for something that people want to make. `quagga train PIPELINE --recipe NAME` takes them, what is typed
         beside them wins, and --print_config shows the result. Of several recipes the later wins.
models   trained models that come with Quagga. box:NAME stands wherever a run is named."""
WIDTH = 100  # columns


def main(argv: list[str]) -> int:
    """Runs `quagga list ARGV...`. Returns 0. Raises BadInput if there is no such list."""
    if any(map(asks_for_help, argv)):
        print(USAGE)
        return 0
    if len(argv) != 1 or argv[0] not in LISTS:
        wrong, lists = " ".join(argv), " or ".join(f"quagga list {name}" for name in LISTS)
        raise BadInput(f"there is no list of {wrong or 'nothing'}{did_you_mean(wrong, LISTS)}: {lists}")
    if argv[0] == "models":
        for model in all_boxed_models():
            print_entry(
                f"{PREFIX}{model.name}", model.command, model.purpose, f"Its data, terms and limits: {model.card}"
            )
        return 0
    for recipe in all_recipes():
        command = f"quagga train {recipe.pipeline} --recipe {short_name(recipe.name, recipe.pipeline)}"
        print_entry(recipe.name, command, recipe.purpose, f"Takes {recipe.takes}" if recipe.takes else "")
    return 0


def print_entry(name: str, command: str, *texts: str) -> None:
    """Prints an entry of a list: its name beside the command that uses it, and below them what is said of it."""
    print(f"{name:<22}{command}")
    for text in texts:
        for line in textwrap.wrap(text, WIDTH - 4, break_long_words=False, break_on_hyphens=False):
            print(f"    {line}")


def short_name(name: str, pipeline: str) -> str:
    """Returns the name of a recipe without that of its pipeline, which `--recipe` then adds."""
    return name.removeprefix(f"{pipeline}-")
