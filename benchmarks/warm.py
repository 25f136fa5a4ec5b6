"""Imported once by the process from which runs are forked: one tiny run, since torch imports a second and a half of
itself when it is first used."""

import contextlib
import io
import os
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a process that has computed with several threads cannot be forked

from tiny_run import command_line, pictures, words

with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
    command_line(words(pictures(Path(place)), Path(place) / "run", images=1))
