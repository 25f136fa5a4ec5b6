"""How a command is called, and whether its help was asked for. Standard library only, see `quagga.cli.main`."""

from collections.abc import Sequence
from typing import Literal

HELP = ("-h", "--help")


def usage(line: str, title: str, table: dict[str, tuple[str, str]], after: str) -> str:
    """Returns the text of a --help: how to call it, name and help line of each entry of a table, and a last line."""
    width = max(map(len, table))
    rows = [f"  {name:{width}}  {text}" for name, (_, text) in table.items()]
    about = "Quagga teaches one kind of picture to become another."
    return "\n".join([f"usage: {line}", "", about, "", f"{title}:", *rows, "", after])


def asks_for_help(argument: str) -> bool:
    """Returns whether an argument is `-h`, `--help` or `--help=all`."""
    return argument in (*HELP, "--help=all")


def join_help(argv: Sequence[str]) -> list[str]:
    """Returns the arguments with `--help all` as one of them, `--help=all`."""
    joined: list[str] = []
    for argument in argv:
        if argument == "all" and joined and joined[-1] in HELP:
            joined[-1] = "--help=all"
        else:
            joined.append(argument)
    return joined


def requested_help(argv: Sequence[str]) -> Literal["short", "all"] | None:
    """Returns which help the arguments ask for; None where they ask for none."""
    asked = [argument for argument in join_help(argv) if asks_for_help(argument)]
    return None if not asked else "all" if "--help=all" in asked else "short"
