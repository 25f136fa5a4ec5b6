"""One flat list of options for a command, gathered from the signatures of the functions and classes that take them.

An option is stated once, where it is used: as a field of the data's class, of `Schedule` or of `RunOptions`, or as a
parameter of the pipeline's `build` or a field of a group that it takes (`quagga.option_groups`), with its type, its
default and its help text (Google's `Args:`). A name that several of them state (`crop_size`, `seed`) is one option, and
its value goes to all. A pipeline whose paper needs another schedule names its defaults as `defaults`. Values are
numbers, texts, None, and lists and dictionaries of them, so that a stranger's config can run no code.
"""

import inspect
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import yaml

from quagga.cli.options.config_file import (
    NULL_IS_A_NAME,
    check_removed,
    config_arguments,
    extract_configs,
    extract_option,
    without_alias,
)
from quagga.cli.options.help_text import NO_NAME, Owners, full_help, hints_of, short_help
from quagga.cli.options.other_trainers import suggestion
from quagga.cli.options.usage import HELP, join_help, requested_help
from quagga.cli.options.value_types import as_yaml, has_zero_byte, is_finite, is_plain_type, type_in_words
from quagga.errors import BadInput, one_line
from quagga.escapes import TerminalText
from quagga.filenames import hide_surrogates, restore_surrogates
from quagga.option_groups import add_arguments, flat_parameters
from quagga.renamed import REMOVED_OPTIONS

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

MAY_BE_EMPTY = ("attributes", "caption")  # of a picture


def resolve(
    name: str,
    build: Callable[..., Any],
    data: Callable[..., Any],
    argv: Sequence[str],
    prog: str,
    defaults: Mapping[str, Any] | None = None,
    more: Owners | None = None,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Returns the config of a training, flat, `pipeline` first, and the same options as keyword arguments of each
    owner.

    Args:
        name: The pipeline's name.
        build: Makes its game.
        data: Makes its rows.
        argv: What was typed after `prog`.
        prog: How the command is called, for the help.
        defaults: Defaults that replace those of the owners.
        more: Owners of options beside those of a training.

    Raises:
        BadInput: as `parse`, or the schedule cannot work.
    """
    owners = {**training_owners(build, data), **(more or {})}
    config = parse(prog, owners, argv, pipeline=name, defaults=defaults)
    options = split_by_owner(config, owners)
    try:
        owners["schedule"](**options["schedule"])
    except ValueError as error:  # pipelines.core knows of no command line and raises no BadInput
        raise BadInput(str(error)) from None
    return config, options


def training_owners(build: Callable[..., Any], data: Callable[..., Any]) -> Owners:
    """Returns who takes the options of a training.

    Raises:
        BadInput: `data` is neither a function nor a class, or its types name what is not there.
    """
    if not (inspect.isclass(data) or inspect.isfunction(data)):
        kind = "a method" if inspect.ismethod(data) else f"of type {type(data).__name__}"
        raise BadInput(
            f"data is {kind}: give a function or a class with typed keywords, such as"
            " def digits(seed: int = 0): return Conditioned.of(dataset, seed=seed)"
        )
    try:
        hints_of(data)
    except NameError as error:
        raise BadInput(f"the types of {data.__name__}: {error}: import it, or leave that type out") from None
    from quagga.pipelines.core.schedule import Schedule
    from quagga.training.run_options import RunOptions

    return {"data": data, "build": build, "schedule": Schedule, "run": RunOptions}


def check_owners(owners: Owners) -> None:
    """Refuses options that cannot be typed, and owners that disagree on one.

    Raises:
        BadInput: an option has no name, its type can hold more than plain values, or two owners state another type or
            default for it. (Where both are ours, that is our bug.)
    """
    stated: dict[str, tuple[Any, Any, str]] = {}  # option -> its type, its default, and who states them
    for owner in owners.values():
        for name, parameter in flat_parameters(owner).items():
            if parameter.kind in NO_NAME:
                raise BadInput(
                    f"option {name} of {owner.__name__} has no name on a command line: state each by its own"
                )
            hint, default = parameter.annotation, parameter.default
            if not is_plain_type(hint):
                raise BadInput(
                    f"option {name} of {owner.__name__} has no type of plain values: state one, such as int, str or"
                    " list[str] | None"
                )
            hint_before, default_before, where = stated.setdefault(name, (hint, default, owner.__name__))
            if (hint, default) != (hint_before, default_before):
                before = parameter.replace(annotation=hint_before, default=default_before)
                raise BadInput(
                    f"option {name} of {where} has another type or default than in {owner.__name__}: {before} there,"
                    f" {parameter} here; state it alike in both"
                )


def parser_for(owners: Owners, defaults: Mapping[str, Any] | None = None) -> "ArgumentParser":
    """Returns a parser of all options of the owners; `defaults` replace theirs.

    Raises:
        BadInput: see `check_owners`.
    """
    from jsonargparse import ArgumentParser  # a tenth of a second that --help need not wait for

    check_owners(owners)
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, print_config=None)
    parser.add_argument("--config")
    parser.add_argument("--print_config", action="store_true")
    seen: set[str] = set()
    for owner in owners.values():
        own = flat_parameters(owner)
        add_arguments(parser, {name: parameter for name, parameter in own.items() if name not in seen})
        seen |= own.keys()
    parser.set_defaults(dict(defaults or {}))
    return parser


def parse(
    prog: str,
    owners: Owners,
    argv: Sequence[str],
    pipeline: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns all options and their values, flat, after the pipeline's name if there is one.

    Raises:
        BadInput: an option or a key is unknown, a value is not of its type, or a config is for another pipeline.
        SystemExit: --help or --print_config has printed what was asked for.
    """
    argv = join_help(argv)
    hints = {name: hint for owner in owners.values() for name, hint in hints_of(owner).items()}
    say = lambda line: print(f"quagga: {line}", file=sys.stderr)  # noqa: E731  --print_config goes to a file
    files, typed = extract_configs(argv, pipeline, say) if pipeline else extract_option(argv, "--config")
    known = [f"--{name}" for name in (*hints, "config", "print_config", "help", *(["recipe"] if pipeline else []))]
    typed = [without_alias(argument, hints) for argument in typed]
    defaults = dict(defaults or {})
    for option in REMOVED_OPTIONS.keys() - hints.keys():
        values, typed = extract_option(typed, f"--{option}")
        for value in [*values, *([defaults.pop(option)] if option in defaults else [])]:
            check_removed(option, value, f"--{option}")
    for name in defaults.keys() - hints.keys():
        raise BadInput(f"defaults name {name}, which is no option{suggestion(name, hints)}")
    for argument in typed:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in known:
            raise BadInput(f"unknown option {name}{suggestion(name, known)}")
    if requested := requested_help(typed):
        check_owners(owners)
        print((short_help if requested == "short" else full_help)(prog, owners, defaults))
        raise SystemExit(0)
    arguments = [argument for file in files for argument in config_arguments(file, hints, pipeline)]
    words, texts, others = separate_arguments([hide_surrogates(argument) for argument in (*arguments, *typed)], hints)
    if words:
        texts["root"] = folder_of(restore_surrogates(words), typed, hints)
    config = restore_surrogates(parse_values(owners, defaults, others, hints) | texts)
    printing = config.pop("print_config")
    config.pop("config")
    for name, value in config.items():
        check_value(name, value, hints[name])
    if pipeline:
        config = {"pipeline": pipeline, **config}
    if printing:
        # YAML has escapes of its own, and may go into a file.
        sys.stdout.write(TerminalText(yaml.safe_dump(config, sort_keys=False, allow_unicode=True)))
        raise SystemExit(0)
    return config


def parse_values(
    owners: Owners, defaults: Mapping[str, Any] | None, argv: Sequence[str], hints: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the values that jsonargparse reads in `argv`, and the defaults of all other options.

    Raises:
        BadInput: a value is not of its type, or one is missing.
    """
    from jsonargparse import ArgumentError

    try:
        return parser_for(owners, defaults).parse_args(argv).as_dict()
    except ArgumentError as error:
        raise BadInput(restore_surrogates(explain_parse_error(str(error), hints))) from None


def check_value(name: str, value: Any, hint: Any) -> None:
    """Refuses what a type allows and no option can mean.

    Raises:
        BadInput: the value is an empty text, a number that is not finite or too large, or holds a zero byte.
    """
    if value == "" and name not in MAY_BE_EMPTY:
        raise BadInput(f"--{name} is empty (a variable that is not set?): give it a value, or leave it out")
    if not is_finite(value):
        raise BadInput(f"--{name} should be {type_in_words(hint)} that is finite and below 2**63, not {value}")
    if has_zero_byte(value):  # YAML can write one; no file, folder or class has such a name
        raise BadInput(f"--{name} holds a zero byte: leave it out")


def separate_arguments(
    argv: Sequence[str], hints: Mapping[str, Any]
) -> tuple[list[str], dict[str, str | None], list[str]]:
    """Returns the words that belong to no option, the options that are text or null, and the other arguments.

    The parser reads the others as YAML. There a class called null or true would be no text, and a folder called #1
    would be null: options of text are taken as they are, and lists of text are put in quotes.

    Raises:
        BadInput: an argument begins with a single dash.
    """
    words: list[str] = []
    texts: dict[str, str | None] = {}
    others: list[str] = []
    rest = deque(argv)
    while rest:
        argument = rest.popleft()
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("-"):
            words.append(argument)
        elif not argument.startswith("--") and argument not in HELP:
            raise BadInput(f"options begin with --, unlike {argument}")
        elif name not in hints or not (equals or (rest and not re.fullmatch("-[^0-9 ][^ ]*", rest[0]))):
            others.append(argument)  # the parser says what is wrong with it: no option, or no value
        else:
            value, hint = value if equals else rest.popleft(), hints.get(name)
            kinds = set(get_args(hint))
            if kinds == {str, types.NoneType}:
                texts[name] = None if value == "null" and name not in NULL_IS_A_NAME else value
            else:
                others.append(f"--{name}={quote_items(value) if list[str] in (hint, *kinds) else value}")
    return words, texts, others


def folder_of(words: Sequence[str], typed: Sequence[str], hints: Mapping[str, Any]) -> str:
    """Returns the one word that may stand without an option, the folder of the pictures.

    Raises:
        BadInput: there are more words, --root names a folder too, or the command takes no root.
    """
    if "root" not in hints:
        raise BadInput(f"options begin with --, unlike {words[0]}")
    if len(words) == 2 and {"x", "y"} <= hints.keys():
        raise BadInput(f"two folders are named so: --x {words[0]} --y {words[1]}")
    if len(words) > 1 or any(argument.partition("=")[0] == "--root" for argument in typed):
        raise BadInput(f"one folder can be named without an option: {words[-1]} is one too many; options begin with --")
    return words[0]


def quote_items(text: str) -> str:
    """Returns a list in brackets with each of its texts in quotation marks: `[7, null]` becomes `["7", "null"]`."""
    try:
        found = yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError:
        return text
    flat_list = isinstance(found, list) and all(isinstance(item, str) for item in found)
    return as_yaml(found) if flat_list else text


def split_by_owner(config: Mapping[str, Any], owners: Owners) -> dict[str, dict[str, Any]]:
    """Returns the keyword arguments of each owner."""
    return {title: {name: config[name] for name in hints_of(owner)} for title, owner in owners.items()}


def explain_parse_error(message: str, hints: Mapping[str, Any]) -> str:
    """Returns jsonargparse's report of a bad value as one line in our words; any other report in its own words."""
    key = re.match(r'Parser key "(\w+)"', message)
    values = re.split(r"(?:Got value|Given value): ", message)[1:]  # the last is all of it, those before are parts
    if key and values:
        value, wanted = one_line(values[-1], None), type_in_words(hints[key[1]])
        return f"--{key[1]} should be {wanted}, not {value}"
    if missing := re.match(r"argument --(\w+): expected one argument", message):
        return f"--{missing[1]} needs a value: {type_in_words(hints.get(missing[1], str))}"
    return one_line(re.sub("[Uu]nrecognized arguments:", "options begin with --, unlike", message), None)
