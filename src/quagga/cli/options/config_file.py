"""Reads a config, a YAML file of options, as if its lines had been typed on the command line."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from quagga.cli.options.other_trainers import suggestion
from quagga.cli.options.value_types import as_yaml
from quagga.errors import BadInput, one_line
from quagga.recipe_files import FOLDER as RECIPES
from quagga.recipe_files import recipe_or_its_substitute
from quagga.renamed import REMOVED_BECAUSE, REMOVED_OPTIONS

ALIASES = {  # an option's name in other trainers, or in older versions of ours -> our name, or name and value
    "--resume_from_checkpoint": "--resume",
    "--from": "--edit",  # which no field of a dataclass can be called
    "--overwrite=true": "--existing=overwrite",
    "--overwrite=false": "--existing=error",
}
NULL_IS_A_NAME = ("label", "attributes", "caption", "to")  # users name these things: one may be called null
MAX_BYTES = 1 << 19  # of a config; ours have 2,000, with a vocabulary of 8,192 words up to 300,000
MAX_DEPTH = 16  # lists and dictionaries within one another in a config; ours have 3


def read_config(file: str) -> dict[str, Any]:
    """Returns the keys and values of a YAML file.

    YAML makes False of `no` and text of `1e-4`: scalars, also those in a list, stay as they are written. Anchors
    (`&a`, `*a`), by which ten lines can stand for gigabytes, are refused.

    Raises:
        BadInput: the file cannot be read, is no YAML, holds no options, states a key twice, holds an anchor, or is
            longer or deeper than any config.
    """
    try:
        with Path(file).open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise BadInput(f"{file} is longer than {MAX_BYTES:,} bytes: it is no config")
        check_structure(text)
        values, written = yaml.safe_load(text), yaml.load(text, Loader=yaml.BaseLoader)
    except OSError as error:
        raise BadInput(f"cannot read the config {file}: {error.strerror}") from None
    except BadInput as error:
        raise BadInput(str(error) if file in str(error) else f"{file} {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, a date that does not exist, a huge number
        raise BadInput(f"{file} is not YAML: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise BadInput(f"{file} holds no options: expected lines such as `batch_size: 4`")
    if len(values) != len(written):
        raise BadInput(f"{file} states a key twice: leave one of them out")
    pairs = zip(values.values(), written.items(), strict=True)
    return {key: value if value is None else with_scalars_as_text(value, raw) for value, (key, raw) in pairs}


def with_scalars_as_text(value: Any, raw: Any) -> Any:
    """Returns `raw`, the text that stands in the file, where it is a scalar or a list of scalars; else `value`."""
    flat_list = isinstance(raw, list) and all(isinstance(item, str) for item in raw)
    return raw if isinstance(raw, str) or flat_list else value


def check_structure(text: bytes) -> None:
    """Refuses YAML that has anchors, is too deep, or states a key twice, of which yaml would keep the last.

    Raises:
        BadInput: it does.
    """
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
                if len(keys) > MAX_DEPTH:
                    raise BadInput(f"is more than {MAX_DEPTH} lists and dictionaries deep: it is no config")


def config_arguments(file: str, known: Iterable[str], pipeline: str | None) -> list[str]:
    """Returns the lines of a config as arguments: `key: value` becomes `--key=value`.

    Args:
        file: The config.
        known: Names of the options of the command.
        pipeline: The pipeline that is trained. None: the command is not about one; it reads the config of any pipeline
            and leaves out the keys that it does not know.

    Raises:
        BadInput: the file cannot be read, is for another pipeline, or has a key that is unknown.
    """
    config = {key: value for key, value in read_config(file).items() if value is not None or key not in NULL_IS_A_NAME}
    owner = config.pop("pipeline", pipeline)
    if pipeline is None and owner:
        config = {key: value for key, value in config.items() if key in known}
    elif owner != pipeline:
        here, option = Path(file), f"--config {file}"
        if here.parent == RECIPES:
            file, option = f"the recipe {here.stem}", f"--recipe {here.stem}"
        raise BadInput(f"{file} is for {owner}; run `quagga train {owner} {option}`")
    for key in REMOVED_OPTIONS.keys() & config.keys() - set(known):
        check_removed(key, config.pop(key), f"{key} in {file}")
    texts = {key: value if isinstance(value, str) else as_yaml(value) for key, value in config.items()}
    arguments = [without_alias(f"--{key}={value}", known) for key, value in texts.items()]
    for key, argument in zip(config, arguments, strict=True):
        if argument.partition("=")[0].removeprefix("--") not in known:
            raise BadInput(f"unknown key {key} in {file}{suggestion(key, known)}")
    return arguments


def without_alias(argument: str, known: Iterable[str]) -> str:
    """Returns the argument with our name of an option in place of another trainer's or an older one.

    `--resume_from_checkpoint` becomes `--resume` where the command has such an option.
    """
    name, equals, value = argument.partition("=")
    ours = ALIASES.get(argument) or ALIASES.get(name, name) + equals + value
    return ours if ours.partition("=")[0].removeprefix("--") in known else argument


def extract_option(argv: Iterable[str], option: str) -> tuple[list[str], list[str]]:
    """Returns the values of an option, which may be stated several times, and the other arguments.

    Raises:
        BadInput: the option has no value.
    """
    found, rest = extract_options(argv, {option: "FILE.yaml"})
    return [value for _, value in found], rest


def extract_configs(
    argv: Iterable[str], pipeline: str | None = None, say: Callable[[str], object] | None = None
) -> tuple[list[str], list[str]]:
    """Returns the files that a training's --config and --recipe name, in the order in which they were typed, and the
    other arguments.

    Args:
        argv: As typed.
        pipeline: The pipeline that is trained, if it is known.
        say: Is told where another recipe takes the place of one; None: nobody is.

    Raises:
        BadInput: one has no value, or there is no such recipe.
    """
    found, rest = extract_options(argv, {"--config": "FILE.yaml", "--recipe": "NAME, of `quagga list recipes`"})
    files = []
    for option, value in found:
        file, line = (value, "") if option == "--config" else recipe_or_its_substitute(value, pipeline)
        files.append(str(file))
        if line and say:
            say(line)
    return files, rest


def extract_options(argv: Iterable[str], options: Mapping[str, str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Returns what is stated of some options, (option, value) in order, and the other arguments.

    Args:
        argv: As typed.
        options: Option -> what its value is, for the error.

    Raises:
        BadInput: one of the options has no value.
    """
    found, rest, arguments = [], [], iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name not in options:
            rest.append(argument)
            continue
        if not equals:
            value = next(arguments, None)
            if value is None or value.startswith("--"):
                raise BadInput(f"{name} needs a value: {name} {options[name]}")
        found.append((name, value))
    return found, rest


def check_removed(option: str, value: Any, shown: str) -> None:
    """Raises BadInput where an option of version 0.1 is given another value than what it stands for since then.

    Args:
        option: One of `REMOVED_OPTIONS`.
        value: Its value, as text where it was typed or stands in a config.
        shown: What the error calls it, such as "--ema_ramp".
    """
    with suppress(yaml.YAMLError):  # then it is another value
        value = yaml.safe_load(value) if isinstance(value, str) else value
    if value != REMOVED_OPTIONS[option]:
        raise BadInput(f"{shown}: Quagga 0.1 had this option, and now {REMOVED_BECAUSE[option]}: leave it out")
