"""The rooms of the package: import-linter's contracts hold, and so they do for names that stand in tables as text."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import quagga
from quagga import data
from quagga.cli.main import COMMANDS
from quagga.pipelines import PIPELINES

ROOT = Path(__file__).parents[1]
ROOMS = [ROOT / "pipelines", ROOT / "models", ROOT / "data", ROOT / "src" / "quagga"]
LARGEST = 17  # files of a room
TABLES = {  # a table of modules' names -> what all of them begin with
    "PIPELINES": ([module for module, _ in PIPELINES.values()], "quagga.pipelines."),
    "COMMANDS": ([module for module, _ in COMMANDS.values()], "quagga.cli."),
    "quagga's lazy names": (list(quagga.FACE.values()), "quagga."),
    "quagga.data's lazy names": (list(data.FACE.values()), "quagga.data."),
}


def files() -> list[Path]:
    """Every file of the package, once: not through the links."""
    return [file for room in ROOMS for file in sorted(room.rglob("*.py")) if not linked(file, room)]


def linked(file: Path, room: Path) -> bool:
    return any(parent.is_symlink() for parent in file.parents if room in parent.parents)


def test_the_contracts_of_the_rooms_hold():
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_names_point_where_imports_may(table):
    names, begin = TABLES[table]
    assert names
    for name in names:
        assert name.startswith(begin) and find_spec(name) is not None, name


def test_names_of_modules_in_text_exist():
    """Such as in messages, docstrings and patches of tests."""
    texts = [*files(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"), *ROOT.glob("docs/*.md")]
    for file in [*texts, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        if file.name in ("renamed.py", "test_renamed.py") or "fixtures" in file.parts:
            continue
        for name in re.findall(
            r"\bquagga\.(?:data|models|pipelines|training|inference|cli)(?:\.\w+)+", file.read_text("utf-8")
        ):
            parts = name.split(".")
            known = next(n for n in range(len(parts), 0, -1) if module_exists(".".join(parts[:n])))
            assert known == len(parts) or hasattr(import_module(".".join(parts[:known])), parts[known]), (file, name)


def module_exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize(
    "room", sorted({file.parent for file in files()}), ids=lambda room: str(room.relative_to(ROOT))
)
def test_a_room_says_what_it_is_for_and_is_no_heap(room):
    assert len(list(room.glob("*.py"))) <= LARGEST
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8")))
    assert said and len(said) > 20, f"{room} does not say what it is for"


def test_every_file_says_what_it_is_for():
    for file in files():
        assert ast.get_docstring(ast.parse(file.read_text("utf-8"))), f"{file} has no docstring"
