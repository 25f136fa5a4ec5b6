"""Imported once by the process from which runs are forked: one tiny run, since torch imports a second and a half of
itself when it is first used."""

import contextlib
import io
import tempfile
from pathlib import Path

from tiny_run import command_line, pictures, words

with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
    command_line(words(pictures(Path(place)), Path(place) / "run", images=1))
