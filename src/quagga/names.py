"""Names as the system has them.

A file's name need not be UTF-8 (old zips), and under LC_ALL=C nothing but ASCII is. Python then keeps each foreign byte
as a lone surrogate, U+DC80 to U+DCFF ("surrogateescape"), and gives the same bytes back to the system. So a name is
never changed on its way; only where it leaves Python as text are surrogates written as escapes, `\\udce4`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def shown(text: str) -> str:
    """The text for people, and for files of text: every stream of UTF-8 takes it."""
    return text.encode("utf-8", "backslashreplace").decode()


def stored(text: str) -> bytes:
    """Text as the bytes of a UTF-8 file. Of JSON `json.loads` reads it back as it was: there, the escape of a surrogate
    stands in a string and means the surrogate. (PyYAML writes and reads these escapes by itself.)"""
    return text.encode("utf-8", "backslashreplace")


PRIVATE = {0xDC80 + byte: 0x10DC80 + byte for byte in range(128)}  # Unicode gives these to nobody
FOREIGN = {private: foreign for foreign, private in PRIVATE.items()}


def private(text: str) -> str:
    """For readers that refuse surrogates: letters of Unicode's private use in their place, until `given_back`."""
    return text.translate(PRIVATE)


def given_back(value: Any) -> Any:
    """The text that `private` was given; likewise all texts of lists and dictionaries."""
    if isinstance(value, str):
        return value.translate(FOREIGN)
    if isinstance(value, list | tuple):
        return type(value)(map(given_back, value))
    if isinstance(value, dict):
        return {given_back(key): given_back(item) for key, item in value.items()}
    return value


def of_system(text: str) -> str:
    """A name that stands in a file of UTF-8, as this system has it: under LC_ALL=C, too, it then finds its file."""
    try:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    except UnicodeError:  # of half a letter, which JSON can say: no file's name
        return text


def of_utf8(name: str) -> str:
    """The other way round: what a file of UTF-8 says where it means a name of this system."""
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeError:  # this system cannot have it
        return name


@contextmanager
def for_libraries(path: Path) -> Iterator[str]:
    """Within, a file or folder that exists has this name too, for libraries that take UTF-8 only. Systems on which a
    name can be anything else have /proc."""
    name = str(path)
    if shown(name) == name:
        yield name
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
