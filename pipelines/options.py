"""`quagga train`: one flat list of options, gathered from the signatures of those who take them.

An option is stated once, where it is used: as a field of the data's class, of `Schedule` or of `RunOptions`, or as a
parameter of the pipeline's `build`, with its type, its default and its line of help (Google's `Args:`). A name that
several of them state (`crop_size`, `seed`) is one option, and its value goes to all. A pipeline whose paper is played
otherwise names other `defaults`. Values are numbers, words, None, and lists and dictionaries of them, so that a
stranger's config can run no code.
"""

import inspect
import json
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from quagga import BadInput
from quagga.names import given_back, private
from quagga.pipelines.cli import HELP, PIPELINES, suggestion
from quagga.pipelines.printable import Drawn

Takers = Mapping[str, Callable[..., Any]]  # who takes options, and what the group is called
ALIASES = {  # what other trainers call an option, and what it was called -> our name, or name and value
    "--resume_from_checkpoint": "--resume",
    "--overwrite=true": "--existing=overwrite",
    "--overwrite=false": "--existing=error",
}
MAY_BE_EMPTY = ("attributes", "caption")  # of a picture
LONGEST = 1 << 19  # bytes of a config; ours have 2,000, with a vocabulary of 8,192 words up to 300,000
DEEPEST = 16  # lists and dictionaries within one another in a config; ours have 3
NAMED = ("label", "attributes", "caption", "to")  # what is called as users call it: null is a name like any other
WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", types.NoneType: "null"}


def main(argv: list[str]) -> int:
    """Obeys `quagga train ARGV...`. The first word names the pipeline; without it a saved config does."""
    return for_a_pipeline(argv, "train", train)


def for_a_pipeline(argv: list[str], command: str, obey: Callable[..., int]) -> int:
    """Calls `obey` as `train` is called, for the pipeline that the first word names, or else a saved config.

    Raises:
        BadInput: neither names one, or what `obey` raises.
    """
    if argv[0].startswith("-"):
        files, _ = taken_out(argv, "--config")
        if not files:
            raise BadInput(
                f"name a pipeline, as `quagga {command} {next(iter(PIPELINES))} ...`, or give a saved --config"
            )
        name, rest = str(read_config(files[-1]).get("pipeline")), argv
        if name not in PIPELINES:
            raise BadInput(f"{files[-1]} should say `pipeline: NAME`{suggestion(name, PIPELINES)}")
    else:
        name, *rest = argv
    module = import_module(PIPELINES[name][0])
    return obey(name, module.build, module.data, rest, f"quagga {command} {name}", module.defaults)


def train(
    name: str,
    build: Callable[..., Any],
    data: Callable[..., Any],
    argv: Sequence[str],
    prog: str,
    defaults: Mapping[str, Any] | None = None,
) -> int:
    """Trains the game of `build` on `data` as `argv` says; `prog` is what the user typed before it, `defaults` is what
    the pipeline prefers where a taker states another default."""
    from quagga.pipelines import run  # torch: `quagga data embedded` need not wait for it

    config, options = resolve(name, build, data, argv, prog, defaults)
    run.train(name, build, data, options, config)
    return 0


def resolve(
    name: str,
    build: Callable[..., Any],
    data: Callable[..., Any],
    argv: Sequence[str],
    prog: str,
    defaults: Mapping[str, Any] | None = None,
    more: Takers | None = None,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The config of a training, flat, `pipeline` first, and the same options as the keyword arguments of each taker;
    `more`: takers beside those of a training."""
    takers = {**takers_of(build, data), **(more or {})}
    config = parse(prog, takers, argv, pipeline=name, defaults=defaults)
    options = split(config, takers)
    try:
        takers["schedule"](**options["schedule"])
    except ValueError as error:  # the core of the game knows of no command line
        raise BadInput(str(error)) from None
    return config, options


def takers_of(build: Callable[..., Any], data: Callable[..., Any]) -> Takers:
    """Who takes the options of a training.

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
    from quagga.pipelines.run_options import RunOptions
    from quagga.pipelines.schedule import Schedule

    return {"data": data, "build": build, "schedule": Schedule, "run": RunOptions}


def parser_for(prog: str, takers: Takers, defaults: Mapping[str, Any] | None = None) -> ArgumentParser:
    """A parser of all that the takers take, in groups of these names; `defaults` replace theirs.

    Raises:
        BadInput: an option's type can hold more than plain values, or two takers disagree on an option. (Where both are
            ours, our bug.)
    """
    usage = f"{prog} [--config FILE.yaml] [OPTION ...]"
    parser = ArgumentParser(prog=prog, usage=usage, exit_on_error=False, allow_abbrev=False, print_config=None)
    parser.add_argument("--config", metavar="FILE.yaml", help="options from a file; what is typed beside it wins")
    parser.add_argument("--print_config", action="store_true", help="print all options as such a file, and stop")
    seen: set[str] = set()
    stated: dict[str, tuple[Any, Any, str]] = {}  # option -> its type, its default, and who states them
    for title, taker in takers.items():
        own = inspect.signature(taker).parameters
        for name, hint in hints_of(taker).items():
            if own[name].kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
                raise BadInput(
                    f"option {name} of {taker.__name__} has no name on a command line: state each by its own"
                )
            if not plain(hint):
                raise BadInput(
                    f"option {name} of {taker.__name__} has no type of plain values: state one, such as int, str or"
                    " list[str] | None"
                )
            hint_before, default_before, where = stated.setdefault(name, (hint, own[name].default, taker.__name__))
            if (hint, own[name].default) != (hint_before, default_before):
                raise BadInput(
                    f"option {name} of {where} has another type or default than in {taker.__name__}, {own[name]}:"
                    " state it alike in both"
                )
        paragraph = " ".join((inspect.getdoc(taker) or "").partition("\n\n")[0].split())
        about = re.split(r"(?<!et al)\. ", paragraph)[0].rstrip(".")
        group = parser.add_argument_group(f"{title}: {about}" if about else title)
        skip: set[str | int] = {name for name in own if name in seen}
        if isinstance(taker, type):
            group.add_class_arguments(taker, as_group=False, skip=skip)
        else:
            group.add_function_arguments(taker, as_group=False, skip=skip)
        seen |= own.keys()
    parser.set_defaults(dict(defaults or {}))
    return parser


def parse(
    prog: str,
    takers: Takers,
    argv: Sequence[str],
    pipeline: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All options and their values, flat, after the pipeline's name if there is one.

    Raises:
        BadInput: an option or a key is unknown, a value is not of its type, or a config is for another pipeline.
        SystemExit: --help or --print_config has printed what was asked for.
    """
    hints = {name: hint for taker in takers.values() for name, hint in hints_of(taker).items()}
    files, typed = taken_out(argv, "--config")
    options = [f"--{name}" for name in (*hints, "config", "print_config", "help")]
    typed = [renamed(argument, hints) for argument in typed]
    for argument in typed:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in options:
            raise BadInput(f"unknown option {name}{suggestion(name, options)}")
    tokens = [token for file in files for token in tokens_of(file, hints, pipeline)]
    words, texts, others = apart([private(token) for token in (*tokens, *typed)], hints)
    if words:
        texts["root"] = the_folder(given_back(words), typed, hints)
    try:
        config = given_back(parser_for(prog, takers, defaults).parse_args(others).as_dict() | texts)
    except ArgumentError as error:
        raise BadInput(given_back(in_one_line(str(error), hints))) from None
    printing = config.pop("print_config")
    config.pop("config")
    for name, value in config.items():
        if value == "" and name not in MAY_BE_EMPTY:
            raise BadInput(f"--{name} is empty (a variable that is not set?): give it a value, or leave it out")
        if not measured(value):
            raise BadInput(f"--{name} should be {described(hints[name])} that is finite and below 2**63, not {value}")
        if zeros(value):  # which YAML can write, and no file, folder or class is called
            raise BadInput(f"--{name} holds a zero byte: leave it out")
    if pipeline:
        config = {"pipeline": pipeline, **config}
    if printing:
        # YAML has escapes of its own, and may go into a file.
        sys.stdout.write(Drawn(yaml.safe_dump(config, sort_keys=False, allow_unicode=True)))
        raise SystemExit(0)
    return config


def apart(argv: Sequence[str], hints: Mapping[str, Any]) -> tuple[list[str], dict[str, str | None], list[str]]:
    """The words that belong to no option; the options that are text or null; and the other arguments, in which lists of
    text are put in quotes. As YAML, which the others are read as, a class called null or true would be no text, and a
    folder called #1 would be null."""
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
                texts[name] = None if value == "null" and name not in NAMED else value
            else:
                others.append(f"--{name}={in_quotes(value) if list[str] in (hint, *kinds) else value}")
    return words, texts, others


def the_folder(words: Sequence[str], typed: Sequence[str], hints: Mapping[str, Any]) -> str:
    """The one word that may stand without an option, the folder of the pictures.

    Raises:
        BadInput: there are more, --root names one too, or the pictures have no root.
    """
    if "root" not in hints:
        raise BadInput(f"options begin with --, unlike {words[0]}")
    if len(words) == 2 and {"x", "y"} <= hints.keys():
        raise BadInput(f"two folders are named so: --x {words[0]} --y {words[1]}")
    if len(words) > 1 or any(argument.partition("=")[0] == "--root" for argument in typed):
        raise BadInput(f"one folder can be named without an option: {words[-1]} is one too many; options begin with --")
    return words[0]


def in_quotes(text: str) -> str:
    """A list in brackets with each of its texts in quotation marks: `[7, null]` becomes `["7", "null"]`."""
    try:
        found = yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError:
        return text
    plain_list = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return as_yaml(found) if plain_list else text


def renamed(argument: str, known: Iterable[str]) -> str:
    """The argument, with our name where it has another trainer's or an older one: `--resume_from_checkpoint` becomes
    `--resume`, where there is such an option."""
    name, equals, value = argument.partition("=")
    ours = ALIASES.get(argument) or ALIASES.get(name, name) + equals + value
    return ours if ours.partition("=")[0].removeprefix("--") in known else argument


def split(config: Mapping[str, Any], takers: Takers) -> dict[str, dict[str, Any]]:
    """The keyword arguments of each taker."""
    return {title: {name: config[name] for name in hints_of(taker)} for title, taker in takers.items()}


def hints_of(taker: Callable[..., Any]) -> dict[str, Any]:
    """The types of what it takes, by name."""
    hints = get_type_hints(taker)
    return {name: hints.get(name, Any) for name in inspect.signature(taker).parameters}


def taken_out(argv: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """The values of an option, and what is left of `argv` without them."""
    values, rest, arguments = [], [], iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name != option:
            rest.append(argument)
        elif equals:
            values.append(value)
        else:
            value = next(arguments, None)
            if value is None or value.startswith("--"):
                raise BadInput(f"{option} needs a value: {option} FILE.yaml")
            values.append(value)
    return values, rest


def read_config(file: str) -> dict[str, Any]:
    """The keys and values of a YAML file. YAML makes False of `no` and text of `1e-4`: a scalar stays as written, in a
    list too.

    Anchors (`&a`, `*a`), by which ten lines can stand for gigabytes, are refused, and so is what is longer or deeper
    than any config.
    """
    try:
        with Path(file).open("rb") as stream:
            text = stream.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise BadInput(f"{file} is longer than {LONGEST:,} bytes: it is no config")
        look_through(text)
        values, written = yaml.safe_load(text), yaml.load(text, Loader=yaml.BaseLoader)
    except OSError as error:
        raise BadInput(f"cannot read the config {file}: {error.strerror}") from None
    except BadInput as error:
        raise BadInput(str(error) if file in str(error) else f"{file} {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, a day that is none, too long a number
        raise BadInput(f"{file} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(values, dict):
        raise BadInput(f"{file} holds no options: expected lines such as `batch_size: 4`")
    if len(values) != len(written):
        raise BadInput(f"{file} states a key twice: leave one of them out")
    pairs = zip(values.values(), written.items(), strict=True)
    return {key: value if value is None else as_written(value, raw) for value, (key, raw) in pairs}


def as_written(value: Any, raw: Any) -> Any:
    """What stands in a file, where it is a scalar or a list of such; else its value."""
    flat = isinstance(raw, list) and all(isinstance(one, str) for one in raw)
    return raw if isinstance(raw, str) or flat else value


def look_through(text: bytes) -> None:
    """Raises BadInput for YAML with anchors, too deep, or with a key twice, of which yaml would keep the last."""
    keys: list[set[str] | None] = []  # of each mapping we are in; None for a list
    key_is_next: list[bool] = []
    for event in yaml.parse(text):
        if isinstance(event, yaml.AliasEvent):
            raise BadInput("uses an anchor of YAML (&a, *a): write it out")
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            keys.pop()
            key_is_next.pop()
        elif isinstance(event, yaml.NodeEvent):
            if keys and keys[-1] is not None:
                if key_is_next[-1] and isinstance(event, yaml.ScalarEvent):
                    if event.value in keys[-1]:
                        raise BadInput(f"states the key {event.value[:40]} twice: leave one of them out")
                    keys[-1].add(event.value)
                key_is_next[-1] = not key_is_next[-1]
            if isinstance(event, yaml.CollectionStartEvent):
                keys.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
                key_is_next.append(True)
                if len(keys) > DEEPEST:
                    raise BadInput(f"is more than {DEEPEST} lists and dictionaries deep: it is no config")


def tokens_of(file: str, known: Iterable[str], pipeline: str | None) -> list[str]:
    """A config as one would type it: a line `key: value` means `--key=value`. A command that is no pipeline reads every
    pipeline's config, and takes the keys that it knows."""
    config = {key: value for key, value in read_config(file).items() if value is not None or key not in NAMED}
    owner = config.pop("pipeline", pipeline)
    if pipeline is None and owner:
        config = {key: value for key, value in config.items() if key in known}
    elif owner != pipeline:
        raise BadInput(f"{file} is for {owner}; run `quagga train {owner} --config {file}`")
    typed = {key: value if isinstance(value, str) else as_yaml(value) for key, value in config.items()}
    tokens = [renamed(f"--{key}={value}", known) for key, value in typed.items()]
    for key, token in zip(config, tokens, strict=True):
        if token.partition("=")[0].removeprefix("--") not in known:
            raise BadInput(f"unknown key {key} in {file}{suggestion(key, known)}")
    return tokens


def as_yaml(value: Any) -> str:
    """JSON that is YAML as well: that knows no letters of two escapes, and takes some separators for ends of lines."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "\x7f\x85\u2028\u2029\ufeff"})


def plain(hint: Any) -> bool:
    """Whether every value of this type is made of numbers, words, None, lists and dictionaries."""
    if get_origin(hint) is Literal or hint in WORDS:
        return True
    composed = get_origin(hint) in (list, tuple, dict, Union, types.UnionType)
    return composed and all(plain(inner) for inner in get_args(hint) if inner is not ...)


def measured(value: Any) -> bool:
    """Whether every number in it is one that can be counted with: not NaN, not infinite, of no more than 63 bits."""
    if isinstance(value, list | tuple | dict):
        return all(map(measured, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or abs(value) < 2**63  # False for NaN


def zeros(value: Any) -> bool:
    """Whether a text in it holds a zero byte."""
    if isinstance(value, list | tuple | dict):
        return any(map(zeros, [*value, *value.values()] if isinstance(value, dict) else value))
    return isinstance(value, str) and "\0" in value


def described(hint: Any) -> str:
    """What a type accepts, in words."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(described(inner) for inner in get_args(hint))
    if get_origin(hint) in (list, tuple):
        return f"a list, each {described(get_args(hint)[0])}"
    return WORDS.get(hint, "a dictionary")


def in_one_line(message: str, hints: Mapping[str, Any]) -> str:
    """jsonargparse's report of a bad value as one line in our words; any other report in its own words."""
    key = re.match(r'Parser key "(\w+)"', message)
    values = re.split(r"(?:Got value|Given value): ", message)[1:]  # the last is all of it, those before are parts
    if key and values:
        value, wanted = " ".join(values[-1].split()), described(hints[key[1]])
        return f"--{key[1]} should be {wanted}, not {value}"
    if lone := re.match(r"argument --(\w+): expected one argument", message):
        return f"--{lone[1]} needs a value: {described(hints.get(lone[1], str))}"
    return " ".join(re.sub("[Uu]nrecognized arguments:", "options begin with --, unlike", message).split())
