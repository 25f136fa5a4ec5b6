"""The package: what is installed, under which names, and how long one waits for `quagga --help`."""

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import quagga
from quagga.pipelines.cli import COMMANDS, PIPELINES

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipelines", "models", "data")


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["train", "--help"], ["train", "cycelgan"], ["trian"]])
def test_what_needs_no_torch_does_not_wait_for_it(argv, tmp_path):
    program = (
        "import sys; from quagga.pipelines.cli import command_line; code = command_line(sys.argv[1:]);"
        "heavy = {'torch', 'numpy', 'jsonargparse', 'albumentations'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    ran = python("-c", program, *argv, folder=tmp_path)
    assert ran.returncode == (0 if argv[-1].startswith("--") else 2), ran.stderr
    for name in {"--help": COMMANDS, "train --help": PIPELINES}.get(" ".join(argv), ()):
        assert name in ran.stdout


def test_python_m_quagga_is_the_command(tmp_path):
    ran = python("-m", "quagga", "--version", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, f"quagga {quagga.__version__}\n")
    ran = python("-m", "quagga", "train", "cycelgan", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1


def test_the_folders_are_imported_by_their_package_names_only(tmp_path):
    for folder in FOLDERS:
        assert find_spec(f"quagga.{folder}") is not None
        assert python("-I", "-c", f"import {folder}", folder=tmp_path).returncode != 0, f"`import {folder}` works"


def test_the_wheel_holds_every_module_and_owns_no_name_but_its_own(tmp_path):
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    hidden = shutil.ignore_patterns("__pycache__")
    for folder in ("quagga", *FOLDERS):
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=hidden)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    program = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    ran = python("-c", program, str(wheels), folder=source)
    assert ran.returncode == 0, ran.stderr
    [wheel] = wheels.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"quagga/{file.name}" for file in (ROOT / "quagga").glob("*.py")} | {"quagga/py.typed"}
    modules |= {f"quagga/{folder}/{file.name}" for folder in FOLDERS for file in (ROOT / folder).glob("*.py")}
    info = f"quagga-{quagga.__version__}.dist-info"
    assert {name for name in inside if not name.startswith(f"{info}/")} == modules
    assert f"{info}/licenses/LICENSE" in inside


def test_every_name_of_the_public_face_leads_somewhere():
    for name in dir(quagga):
        assert getattr(quagga, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'CycelGAN'"):
        _ = quagga.CycelGAN


def test_models_and_data_import_neither_each_other_nor_pipelines():
    for folder, foreign in (("models", ("data", "pipelines")), ("data", ("models", "pipelines"))):
        for file in (ROOT / folder).glob("*.py"):
            for other in foreign:
                assert f"quagga.{other}" not in file.read_text("utf-8"), f"{folder}/{file.name} knows quagga.{other}"


def test_no_pipeline_imports_another_pipeline():
    files = {name: module.removeprefix("quagga.pipelines.") for name, (module, _) in PIPELINES.items()}
    for file in files.values():
        text = (ROOT / "pipelines" / f"{file}.py").read_text("utf-8")
        for other in set(files.values()) - {file}:
            assert f"quagga.pipelines.{other}" not in text
