"""How points of a latent space are typed: seeds, and pictures whose code or noise is looked for."""

from collections.abc import Sequence
from pathlib import Path

from quagga.cli.options.positional import refuse_empty_words
from quagga.errors import BadInput


def parse_list(option: str, text: str | None) -> list[str]:
    """Reads the value of an option: one text, or several in brackets, of which every one is text, also 7 and yes.

    Raises:
        BadInput: there are brackets and no list of texts in them.
    """
    if text is None or not text.lstrip().startswith("["):
        return [] if text is None else [text]
    import yaml

    try:
        entries = yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError:
        entries = None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
        raise BadInput(f"{option} {text!r} is no list: write '[one, two]', and texts with : or , in quotation marks")
    return entries


def parse_walk(text: str, least: int, option: str = "--walk") -> list[int | Path]:
    """Reads points such as "3,17,42", "one.png,two.png" or "[one.png, 3]": seeds, and files of pictures.

    Args:
        text: as it was typed.
        least: points that there must be.
        option: whose value it is, for messages.

    Raises:
        BadInput: there are fewer than `least`, or there is no such file.
    """
    from quagga.inference.latent_space import parse_points  # torch: a misspelt option need not wait for it

    parts = [point for part in parse_list(option, text) for point in parse_points(part)]
    points = [point for part in parts for point in ([part] if isinstance(part, int) else pictures_named([part]))]
    if len(points) < least:
        raise BadInput(f"{text!r}: name {least} or more seeds, such as 3,17,42, or pictures")
    return points


def pictures_named(names: Sequence[str], usage: str = "one.png") -> list[Path]:
    """Returns files, and the pictures in folders. Raises BadInput for a folder without pictures, and for a name of
    nothing; a file that is no picture is refused when it is read."""
    from quagga.data.sources.folders import find_all

    refuse_empty_words(names, usage)
    pictures: list[Path] = []
    for path in (Path(name).expanduser() for name in names):
        if not path.exists():
            raise BadInput(f"there is no picture {path}: name files or folders of pictures, or seeds such as 3,17,42")
        inside = find_all(path)[0] if path.is_dir() else [path]
        if not inside:
            raise BadInput(f"{path} has 0 images: name pictures, or a folder of them")
        pictures += inside
    return pictures
