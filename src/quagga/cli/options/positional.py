"""A command line of words and options mixed: `quagga translate RUN photo.jpg --output DIR --verify`."""

from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

from quagga.cli.options.config_parser import parse, split_by_owner
from quagga.cli.options.usage import asks_for_help, join_help, requested_help
from quagga.errors import BadInput

OptionsT = TypeVar("OptionsT")


def parse_line(
    argv: Sequence[str], prog: str, options_class: type[OptionsT], flags: Sequence[str] = ()
) -> tuple[list[str], OptionsT]:
    """Returns the words that are no options, and the options.

    Args:
        argv: What stands after the command.
        prog: How the command is called, with its words, for the help: "quagga verify RUN".
        options_class: A dataclass of options.
        flags: Options that mean true where they stand without a value.

    Raises:
        BadInput: a word is empty, or an option is unknown or not of its type.
        SystemExit: --help or --print_config has printed what was asked for.
    """
    words: list[str] = []
    options: list[str] = []
    rest = deque(join_help(argv))
    while rest:
        word = rest.popleft()
        if not word.startswith("-"):
            words.append(word)
        elif word in flags:
            options.append(f"{word}={rest.popleft() if rest and rest[0] in ('true', 'false') else 'true'}")
        elif "=" in word or asks_for_help(word) or word == "--print_config" or not rest:
            options.append(word)
        else:
            options += [word, rest.popleft()]  # with its value
    refuse_empty_words(words, prog)
    return words, parse_options(prog, options_class, options)


def first_words(usage_line: str, argv: list[str], least: int) -> tuple[list[str], list[str]]:
    """Returns the word that stands before the options, if any, and the options.

    Args:
        usage_line: How the command is called, for messages.
        argv: What stands after the command.
        least: How many words there must be, 0 or 1. Where --help is asked for, NAME stands for one that is missing.

    Raises:
        BadInput: the word is empty or missing.
    """
    if requested_help(argv):
        return ["NAME"] * least, [word for word in join_help(argv) if asks_for_help(word)]
    words = argv[:1] if argv and not argv[0].startswith("-") else []
    refuse_empty_words(words, usage_line)
    if len(words) < least:
        raise BadInput(f"a name is missing: {usage_line}; `quagga data list` shows them")
    return words, argv[len(words) :]


def refuse_empty_words(words: Sequence[str], usage_line: str) -> None:
    """Raises BadInput where a word is empty: as a path it would mean the working directory."""
    if "" in words:
        raise BadInput(f"a name is empty (a variable that is not set?): {usage_line}; the folder you are in is .")


def parse_options(prog: str, options_class: type[OptionsT], argv: Sequence[str]) -> OptionsT:
    """Returns the options of a line without words. Raises what `quagga.cli.options.config_parser.parse` raises."""
    command = [word for word in prog.split() if word.islower()][-1]  # "check" of "quagga data check DIR"
    owners: dict[str, Any] = {command: options_class}
    return options_class(**split_by_owner(parse(prog, owners, argv), owners)[command])
