"""The file of `quagga data preview`: it replaces only an earlier preview."""

import os
from pathlib import Path

from quagga.data.io.contact_sheet import software_of
from quagga.errors import BadInput

PREVIEW = "Quagga data preview"  # the software that is named in the file


def check_preview_file(path: Path) -> None:
    """Raises BadInput for a folder, and for a file that is no preview."""
    if path.is_dir():
        raise BadInput(f"--output {path} is a folder: name a picture, such as {path / 'preview.png'}")
    if os.path.lexists(path) and software_of(path) != PREVIEW:
        raise BadInput(f"{path} exists, and is no sheet of quagga data preview: choose another --output, or remove it")
