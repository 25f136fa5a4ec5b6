"""The option `--recipe`, which stands for a file that comes with the package."""

from collections.abc import Sequence

from quagga.errors import BadInput
from quagga.recipe_files import recipe_file


def with_recipes(argv: Sequence[str], pipeline: str | None = None) -> list[str]:
    """Returns the arguments with `--config FILE` in place of each `--recipe NAME`. Raises BadInput as `recipe_file`
    does, or where a recipe has no name."""
    arguments, found = iter(argv), []
    for argument in arguments:
        option, equals, name = argument.partition("=")
        if option != "--recipe":
            found.append(argument)
            continue
        name = name if equals else next(arguments, "--")
        if not name or name.startswith("--"):
            raise BadInput("--recipe needs a name: `quagga list recipes` shows all")
        found.append(f"--config={recipe_file(name, pipeline)}")
    return found
