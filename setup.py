"""Which folders make up the package; everything else of the build is in pyproject.toml.

`src/quagga` holds links to the rooms `pipelines`, `models` and `data`, so that a checkout is the package as it is
imported: an editable install is one path, and a folder called `quagga` in the working directory (the parent of a clone)
does not hide it. A checkout without links (Git on Windows writes text files in their place) is mapped room by room; its
editable install finds them by `__path__`, see `src/quagga/__init__.py`.
"""

import sys
from pathlib import Path

from setuptools import find_packages, setup

ROOMS = ("pipelines", "models", "data")

if all(Path("src/quagga", room).is_dir() for room in ROOMS) or "editable_wheel" in sys.argv:
    setup(package_dir={"": "src"}, packages=find_packages("src"))
else:
    rooms = {f"quagga.{room}": room for room in ROOMS}
    nested = [f"{name}.{inner}" for name, room in rooms.items() for inner in find_packages(room)]
    setup(package_dir={"quagga": "src/quagga", **rooms}, packages=[*find_packages("src"), *rooms, *nested])
