"""Escapes control characters in output, so that file names and a user's text cannot control the terminal: ESC is
printed as `\\x1b`. This module imports the standard library only, see `quagga.cli`."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# C0 and C1, Unicode's two line separators, and the characters that change the direction of writing, which can disguise
# a name. Streams may also receive line ends, tabs, and a leading "\r", with which tqdm redraws its bar.
CONTROL = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
CONTROL_IN_LINE, CONTROL_IN_STREAM = re.compile(f"[{CONTROL}]"), re.compile(rf"(?!\n|\t|\A\r|\r\n)[{CONTROL}]")
CURSOR_MOVES = re.compile(r"(\n|\x1b\[A)+")  # tqdm writes these to move to another bar


class TerminalText(str):
    """Text whose control characters are intended, such as a picture in colours, and are not escaped. Pass it to a
    stream's `write`: `print` would turn it into a plain `str`."""

    __slots__ = ()


def printable(text: str) -> str:
    """Returns the text as one line, with every control character escaped."""
    return CONTROL_IN_LINE.sub(_escape_match, text)


@contextmanager
def escaping_output() -> Iterator[None]:
    """Escapes what anything writes to stdout and stderr within the block, except for line ends, tabs and tqdm's
    moves."""
    os.environ.setdefault("PYTHON_COLORS", "0")  # from 3.14 on, Python would colour --help
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _EscapingStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _EscapingStream:
    """Wraps a text stream and escapes what is written to it."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        intended = isinstance(text, TerminalText) or CURSOR_MOVES.fullmatch(text)
        return self._stream.write(text if intended else CONTROL_IN_STREAM.sub(_escape_match, text))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def _escape_match(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
