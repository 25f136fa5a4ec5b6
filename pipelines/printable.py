"""What is printed cannot steer the terminal: control characters in names of files and in a user's text are shown as
escapes, `\\x1b` for ESC. Standard library only, see `cli`."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# C0 and C1, the two further ends of a line, and what turns the direction of writing around, by which a name can pose as
# another. Streams are also given ends of lines, tabs, and "\r" at a beginning, with which tqdm redraws its bar.
CONTROL = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
IN_A_LINE, IN_A_STREAM = re.compile(f"[{CONTROL}]"), re.compile(rf"(?!\n|\t|\A\r|\r\n)[{CONTROL}]")
MOVES = re.compile(r"(\n|\x1b\[A)+")  # all of what tqdm writes to come to a bar above another


class Drawn(str):
    """Text whose control characters are meant, such as a picture in colours. (`print` forgets that: `write` it.)"""

    __slots__ = ()


def printable(text: str) -> str:
    """The text in one line, every control character as an escape."""
    return IN_A_LINE.sub(_escape, text)


@contextmanager
def escaping() -> Iterator[None]:
    """Within, what goes to stdout and stderr is escaped but for what lays out lines, whoever prints it."""
    os.environ.setdefault("PYTHON_COLORS", "0")  # from 3.14 on, Python would colour --help
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Escaping(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Escaping:
    """A stream of text that escapes what is written to it, and is the stream in all else."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        meant = isinstance(text, Drawn) or MOVES.fullmatch(text)
        return self._stream.write(text if meant else IN_A_STREAM.sub(_escape, text))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
