"""File names that are not valid text.

A file's name need not be UTF-8 (old zips), and under LC_ALL=C only ASCII can be decoded. Python then represents each
undecodable byte as a lone surrogate, U+DC80 to U+DCFF ("surrogateescape"), and gives the same bytes back to the system.
So names pass through Python unchanged; surrogates are written as escapes, `\\udce4`, only where a name is printed or
stored as text.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def escape_surrogates(text: str) -> str:
    """Returns text with surrogates as escapes, so that it can be printed and written to any UTF-8 stream."""
    return text.encode("utf-8", "backslashreplace").decode()


def encode_utf8(text: str) -> bytes:
    """Returns text as the bytes of a UTF-8 file, with surrogates as escapes. In JSON the escape of a surrogate means
    that surrogate, so `json.loads` restores the text. (PyYAML writes and reads these escapes by itself.)"""
    return text.encode("utf-8", "backslashreplace")


TO_PRIVATE_USE = {0xDC80 + byte: 0x10DC80 + byte for byte in range(128)}  # a private-use plane of Unicode
FROM_PRIVATE_USE = {private_use: surrogate for surrogate, private_use in TO_PRIVATE_USE.items()}


def hide_surrogates(text: str) -> str:
    """Returns text with private-use characters for surrogates, for parsers that refuse surrogates. Undone by
    `restore_surrogates`."""
    return text.translate(TO_PRIVATE_USE)


def restore_surrogates(value: Any) -> Any:
    """Returns the text that `hide_surrogates` was given; works on all strings within lists, tuples and dictionaries."""
    if isinstance(value, str):
        return value.translate(FROM_PRIVATE_USE)
    if isinstance(value, list | tuple):
        return type(value)(map(restore_surrogates, value))
    if isinstance(value, dict):
        return {restore_surrogates(key): restore_surrogates(item) for key, item in value.items()}
    return value


def utf8_to_system(text: str) -> str:
    """Converts a file name read from a UTF-8 file to the form in which this system's calls find the file, also under
    LC_ALL=C."""
    try:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    except UnicodeError:  # half a surrogate pair, possible in JSON: no file has that name
        return text


def system_to_utf8(name: str) -> str:
    """Converts a file name of this system to what a UTF-8 file calls it: the inverse of `utf8_to_system`."""
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeError:  # not a name of this system
        return name


@contextmanager
def utf8_alias(path: Path) -> Iterator[str]:
    """Yields a name in UTF-8 under which an existing file or folder can be opened within the block, for libraries that
    take UTF-8 only. (Systems that allow other names have /proc.)"""
    name = str(path)
    if escape_surrogates(name) == name:
        yield name
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
