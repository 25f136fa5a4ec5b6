"""The help texts of commands, from the signatures and the `Args:` of the functions and classes that take the options.

`--help` shows the few options of `quagga.cli.options.short_list` with the first sentence of their text; `--help all`
shows all options with all of their text.
"""

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from quagga.cli.options.short_list import GROUPS, MOST, short_options
from quagga.cli.options.value_types import NOT_SET, default_in_words, placeholder
from quagga.option_groups import flat_parameters, groups_of, is_ours

Owners = Mapping[str, Callable[..., Any]]  # title of a group of options -> the function or class that takes them
WIDTH = 80  # columns
TEXT_COLUMN = 24  # where the text of an option begins
NOTE = 30  # letters below which the note on a default stays in one line
UNBROKEN = "\xa0"  # a space at which no line ends
MUST_BE_NAMED = "it must be named"  # of an option without a default that its command asks for itself
OWN_GROUP = "this pipeline's own"
NO_NAME = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Option(NamedTuple):
    """An option as a help text shows it.

    Attributes:
        name: without dashes.
        value: what stands for its value, such as PIXELS or {patch,pixel}.
        default: as text; None where a value must be given.
        about: its text in `Args:`, of one line.
    """

    name: str
    value: str
    default: str | None
    about: str


def hints_of(owner: Callable[..., Any]) -> dict[str, Any]:
    """Returns the types of the options that `owner` takes, by name."""
    return {name: parameter.annotation for name, parameter in flat_parameters(owner).items()}


def argument_texts(owner: Callable[..., Any]) -> dict[str, str]:
    """Returns the text of each option in the `Args:` of the docstrings of its group and of `owner`, each in one line.
    What `owner` says of an option of a group stands in place of what the group says, and what a class says in place of
    what those say from which it inherits."""
    texts: dict[str, str] = {}
    for documented in (*(group.type for group in groups_of(owner)), owner):
        for each in reversed(documented.__mro__) if inspect.isclass(documented) else (documented,):
            texts |= docstring_texts(each)
    return texts


def docstring_texts(owner: Callable[..., Any]) -> dict[str, str]:
    """Returns the text of each argument in the `Args:` of a docstring, each in one line."""
    block = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", inspect.getdoc(owner) or "", re.MULTILINE)
    parts = re.split(r"^ {4}(\w+)(?: \(.*?\))?: ", block[1] if block else "", flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def first_sentence(text: str) -> str:
    """Returns a text up to its first full stop or semicolon that stands in no brackets."""
    end = re.compile(r"\([^)]*\)|(?<!et al)(?<!e\.g)(?<!Eq)(?<!Sec)[.;](?: |$)")
    return next((text[: found.start()] for found in end.finditer(text) if found[0][0] != "("), text)


def about(owner: Callable[..., Any]) -> str:
    """Returns the first sentence of a docstring, in one line."""
    return first_sentence(" ".join((inspect.getdoc(owner) or "").partition("\n\n")[0].split()))


def options_of(owners: Owners, defaults: Mapping[str, Any]) -> dict[str, dict[str, Option]]:
    """Returns the options of each owner, by name; one that several take belongs to the first.

    Args:
        owners: Who takes options.
        defaults: Defaults that replace theirs.
    """
    seen: set[str] = set()
    found: dict[str, dict[str, Option]] = {}
    for title, owner in owners.items():
        texts = argument_texts(owner)
        found[title] = {}
        for name, parameter in flat_parameters(owner).items():
            if name not in seen:
                hint, value = parameter.annotation, defaults.get(name, parameter.default)
                default = None if value is inspect.Parameter.empty else default_in_words(value)
                is_file = hint is str and Path(default or "").suffix
                shown = "FILE" if is_file else placeholder(hint, name)
                found[title][name] = Option(name, shown, default, texts.get(name, ""))
        seen |= found[title].keys()
    return found


def short_help(prog: str, owners: Owners, defaults: Mapping[str, Any] | None = None) -> str:
    """Returns the text of `--help`: those of `SHORT_OPTIONS`, by their groups.

    A pipeline that a user has written shows its own options first, the first 12 of them.
    """
    options = options_of(owners, defaults or {})
    groups: dict[str, list[Option]] = {group: [] for group in (OWN_GROUP, *GROUPS)}
    for title in ("build", "data"):
        if title in owners and not is_ours(owners[title]):
            groups[OWN_GROUP] += options[title].values()
    del groups[OWN_GROUP][MOST:]
    for title, owner in owners.items():
        for group, names in short_options(owner).items():
            groups[group] += [options[title][name] for name in names if name in options[title]]
    main_owner = owners.get("build") or list(owners.values())[-1]
    lines = heading(prog, owners, about(main_owner))
    for group, members in groups.items():
        if members:
            lines += ["", f"{group}:"]
            for option in members:
                lines += lines_of_option(option, with_default(first_sentence(option.about), meaning(option)))
    count = sum(map(len, options.values()))
    rest = f"lists the rest, {count} options in all" if count > sum(map(len, groups.values())) else "says more of them"
    folder = "DIR alone means --root DIR. " if any("root" in members for members in options.values()) else ""
    notes = [f"{folder}Options can stand in a file too: --config FILE.yaml"]
    if "run" in owners:  # a training's
        notes.append("--recipe NAME takes those of a recipe: quagga list recipes")
    return "\n".join([*lines, "", *notes, f"`--help all` {rest}."])


def full_help(prog: str, owners: Owners, defaults: Mapping[str, Any] | None = None) -> str:
    """Returns the text of `--help all`: every option with all of its text, in a group for each of the owners."""
    general = {
        "help": Option("help", "[all]", None, "show the options that most users need, or all of them, and stop"),
        "config": Option("config", "FILE.yaml", None, "options from a file; what is typed beside it wins"),
        "recipe": Option(
            "recipe", "NAME", None, "options of a recipe, `quagga list recipes`; what is typed beside it wins"
        ),
        "print_config": Option("print_config", "", None, "print all options as such a file, and stop"),
    }
    if "run" not in owners:
        del general["recipe"]
    lines = [*heading(prog, owners), "", "options:"]
    for option in general.values():
        lines += lines_of_option(option, option.about)
    for title, options in options_of(owners, defaults or {}).items():
        text = about(owners[title])
        lines += ["", *textwrap.wrap(f"{title}: {text}" if text else f"{title}:", width())]
        for option in options.values():
            lines += lines_of_option(option, with_default(option.about, option.default))
    last = "Where a text says None, type null. --name VALUE and --name=VALUE mean the same."
    return "\n".join([*lines, "", *textwrap.wrap(last, width())])


def heading(prog: str, owners: Owners, text: str = "") -> list[str]:
    """Returns how the command is called, and what it does."""
    takes_root = "root" in {name for owner in owners.values() for name in hints_of(owner)}
    folder = " [DIR]" if takes_root and not prog.endswith("DIR") else ""
    usage = textwrap.wrap(f"usage: {prog}{folder} [OPTION ...]", width(), subsequent_indent="  ")
    return [*usage, "", *textwrap.wrap(f"{text}.", width())] if text else usage


def with_default(text: str, default: str | None) -> str:
    """Returns a text with "(default: 256)" behind it, or with "(required)" where there is no default."""
    note = "(required)" if default is None else f"(default: {default})"
    if len(note) < NOTE:
        note = note.replace(" ", UNBROKEN)
    return f"{text} {note}".strip()


def meaning(option: Option) -> str | None:
    """Returns the default of an option as the short help shows it.

    Where it is none, the option's text may say what that means, "None takes the folder's name", or that it must be
    named.
    """
    if MUST_BE_NAMED in option.about:
        return None
    said = re.search(r"\bNone(?::| takes) ([^.;,]+)", option.about)
    return said[1].replace("`", "") if option.default == NOT_SET and said else option.default


def lines_of_option(option: Option, text: str) -> Iterator[str]:
    """Returns the lines of one option: its name and value, and beside them its text, or below where they are long."""
    left = f"  --{option.name} {option.value}".rstrip()
    lines = textwrap.wrap(text, width() - TEXT_COLUMN, break_on_hyphens=False) or [""]
    if len(left) > width():  # many choices: a line ends behind a comma
        parts = textwrap.wrap(left.strip().replace(",", ", "), width(), initial_indent="  ", subsequent_indent=" " * 6)
        yield from (part.replace(", ", ",") for part in parts)
    elif len(left) > TEXT_COLUMN - 2:
        yield left
    else:
        yield f"{left:{TEXT_COLUMN}}{lines.pop(0)}".replace(UNBROKEN, " ").rstrip()
    for line in lines:
        yield f"{'':{TEXT_COLUMN}}{line}".replace(UNBROKEN, " ").rstrip()


def width() -> int:
    """Returns how many columns a help text fills: those of the terminal, at most 80."""
    return max(50, min(shutil.get_terminal_size().columns, WIDTH))
