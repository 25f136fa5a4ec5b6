"""The types that an option can have, and how they are called in help texts and error messages.

A value is made of numbers, texts, None, lists and dictionaries, so that a config of a stranger can run no code.
"""

import json
import types
from typing import Any, Literal, Union, get_args, get_origin

TYPE_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", types.NoneType: "null"}
NOT_SET = "not set"  # how help shows the default None
PLACEHOLDERS = {str: "TEXT", int: "INT", float: "FLOAT", bool: "{true,false}"}
NAMED_PLACEHOLDERS = {  # for options whose name says more than their type
    str: {
        **dict.fromkeys(("root", "x", "y", "pictures", "masks", "output", "real", "fake"), "DIR"),
        **dict.fromkeys(("table", "pairs", "write", "json"), "FILE"),
        **dict.fromkeys(("init_from", "invert"), "PATH"),
        **dict.fromkeys(("x_name", "y_name", "to"), "NAME"),
        **dict.fromkeys(("file", "split", "group"), "COLUMN"),
        "device": "DEVICE",
        "url": "URL",
        "walk": "SEEDS",
    },
    int: dict.fromkeys(("load_size", "crop_size", "size"), "PIXELS"),
    float: {"seconds": "SECONDS", "worker_timeout": "SECONDS"},
}


def is_plain_type(hint: Any) -> bool:
    """Returns whether every value of this type is made of numbers, texts, None, lists and dictionaries."""
    if get_origin(hint) is Literal or hint in TYPE_WORDS:
        return True
    composed = is_union(hint) or get_origin(hint) in (list, tuple, dict)
    return composed and all(is_plain_type(inner) for inner in get_args(hint) if inner is not ...)


def is_union(hint: Any) -> bool:
    """Returns whether a type is written `A | B`, `Union[A, B]` or `Optional[A]`."""
    return get_origin(hint) in (Union, types.UnionType)


def type_in_words(hint: Any) -> str:
    """Returns what a type accepts, for error messages: "a whole number or null"."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if is_union(hint):
        return " or ".join(type_in_words(inner) for inner in get_args(hint))
    if get_origin(hint) in (list, tuple):
        return f"a list, each {type_in_words(get_args(hint)[0])}"
    return TYPE_WORDS.get(hint, "a dictionary")


def placeholder(hint: Any, name: str = "") -> str:
    """Returns what stands for the value in a help text: "PIXELS", "FLOAT", "{patch,pixel}", "[TEXT, ...]".

    Args:
        hint: Type of the option. None as a possible value is left out.
        name: Name of the option, which may say more than its type.
    """
    if is_union(hint):
        hints = [inner for inner in get_args(hint) if inner is not types.NoneType]
        if len(hints) == 1:
            return placeholder(hints[0], name)
        return "{" + ",".join(placeholder(inner).strip("{}") for inner in hints) + "}"
    if get_origin(hint) is Literal:
        return "{" + ",".join(map(str, get_args(hint))) + "}"
    if get_origin(hint) in (list, tuple):
        return f"[{placeholder(get_args(hint)[0])}, ...]"
    return NAMED_PLACEHOLDERS.get(hint, {}).get(name) or PLACEHOLDERS.get(hint, "DICT")


def default_in_words(value: Any) -> str:
    """Returns a default as a help text shows it: None as `NOT_SET`, since some options have a value "none", the others
    as they are typed."""
    if value is None:
        return NOT_SET
    return str(value) if isinstance(value, str) else as_yaml(value)


def is_finite(value: Any) -> bool:
    """Returns whether no number in a value is NaN, infinite, or longer than 63 bits."""
    if isinstance(value, list | tuple | dict):
        return all(map(is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or abs(value) < 2**63  # False for NaN


def has_zero_byte(value: Any) -> bool:
    """Returns whether a text in a value holds a zero byte."""
    if isinstance(value, list | tuple | dict):
        return any(map(has_zero_byte, [*value, *value.values()] if isinstance(value, dict) else value))
    return isinstance(value, str) and "\0" in value


def as_yaml(value: Any) -> str:
    """Returns a value as JSON that is valid YAML too.

    YAML does not know JSON's escape of two surrogates, and takes some separators for the end of a line: letters stay as
    they are, and those separators are escaped.
    """
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "\x7f\x85\u2028\u2029\ufeff"})
