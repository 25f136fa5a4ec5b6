"""A command line of words and options mixed: `quagga translate RUN photo.jpg --output DIR --overwrite`."""

from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

from quagga import BadInput
from quagga.pipelines.cli import HELP
from quagga.pipelines.options import parse, split

ALONE = ("-h", "--help", "--print_config")
Taker = TypeVar("Taker")


def read_line(
    argv: Sequence[str], prog: str, taker: type[Taker], flags: Sequence[str] = ()
) -> tuple[list[str], Taker | None]:
    """What was typed: the words that are no options, and the options; None after --print_config has printed them.

    Args:
        argv: What stands after the command.
        prog: What the user typed before it, for --help.
        taker: A dataclass of options.
        flags: Options that mean true where they stand without a value.

    Raises:
        BadInput: an option is unknown or not of its type.
    """
    words: list[str] = []
    options: list[str] = []
    rest = deque(argv)
    while rest:
        word = rest.popleft()
        if not word.startswith("-"):
            words.append(word)
        elif word in flags:
            options.append(f"{word}={rest.popleft() if rest and rest[0] in ('true', 'false') else 'true'}")
        elif "=" in word or word in ALONE or not rest:
            options.append(word)
        else:
            options += [word, rest.popleft()]  # with its value
    takers: dict[str, Any] = {prog.split()[1]: taker}
    config = parse(prog, takers, options)
    return words, taker(**split(config, takers)[prog.split()[1]]) if config else None


def words_first(usage_line: str, argv: list[str], least: int) -> tuple[list[str], list[str]]:
    """The word that stands before the options, if any, and the options."""
    if any(word in HELP for word in argv):
        return ["NAME"] * least, [word for word in argv if word in HELP]
    words = argv[:1] if argv and not argv[0].startswith("-") else []
    if len(words) < least:
        raise BadInput(f"a name is missing: {usage_line}; `quagga data list` shows them")
    return words, argv[len(words) :]


def obeyed(prog: str, taker: type[Taker], argv: Sequence[str]) -> Taker:
    """The options of a line without words."""
    return taker(**split(parse(prog, {"options": taker}, argv), {"options": taker})["options"])
