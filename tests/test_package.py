"""The package: what is installed, under which names, and how long one waits for `quagga --help`."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import quagga
from quagga.cli.main import COMMANDS
from quagga.pipelines import PIPELINES

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipelines", "models", "data")
DATA = ("evaluation/page/*.html", "recipes/*.yaml", "box/*/*")  # files of the package that are no modules


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["train", "--help"], ["train", "cycelgan"], ["trian"]])
def test_what_needs_no_torch_does_not_wait_for_it(argv, tmp_path):
    program = (
        "import sys; from quagga.cli.main import command_line; code = command_line(sys.argv[1:]);"
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


def checkout(folder: Path, links: bool) -> Path:
    """What a build reads of the tree. links: whether the rooms in src/quagga are links, or text files as Git writes
    them where there are none."""
    hidden = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", *FOLDERS):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=hidden)
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, folder)
    for room in FOLDERS if not links else ():
        link = folder / "src" / "quagga" / room
        text = link.readlink().as_posix()
        link.unlink()
        link.write_text(text)
    return folder


def built(kind: str, source: Path, to: Path) -> Path:
    """What setuptools makes of a checkout. kind: wheel, editable or sdist."""
    to.mkdir()
    program = f"import sys; from setuptools.build_meta import build_{kind} as build; build(sys.argv[1])"
    ran = python("-c", program, str(to), folder=source)
    assert ran.returncode == 0, ran.stderr
    [made] = to.iterdir()
    return made


def modules() -> set[str]:
    """The paths in a wheel of every module of the tree, of recipes and of models."""
    package = ROOT / "src" / "quagga"
    data = {f"quagga/{file.relative_to(package)}" for pattern in DATA for file in package.glob(pattern)}
    assert data
    own = {"quagga/py.typed", *data, *(f"quagga/{file.name}" for file in package.glob("*.py"))}
    for room in package.iterdir():
        if not room.is_symlink():  # the links are counted as what they lead to
            own |= {f"quagga/{file.relative_to(package)}" for file in room.rglob("*.py")}
    return own | {f"quagga/{file.relative_to(ROOT)}" for room in FOLDERS for file in (ROOT / room).rglob("*.py")}


with_and_without_links = pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])


@with_and_without_links
def test_the_wheel_holds_every_module_and_owns_no_name_but_its_own(links, tmp_path):
    wheel = built("wheel", checkout(tmp_path / "source", links), tmp_path / "wheels")
    inside = set(zipfile.ZipFile(wheel).namelist())
    info = f"quagga-{quagga.__version__}.dist-info"
    assert {name for name in inside if not name.startswith(f"{info}/")} == modules()
    assert f"{info}/licenses/LICENSE" in inside


@with_and_without_links
def test_the_sdist_makes_the_same_wheel(links, tmp_path):
    sdist = built("sdist", checkout(tmp_path / "source", links), tmp_path / "sdists")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    wheel = built("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "wheels")
    assert {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("quagga/")} == modules()


@with_and_without_links
@pytest.mark.parametrize("kind", ["editable", "wheel"])
def test_a_folder_called_quagga_where_one_stands_does_not_hide_the_package(kind, links, tmp_path):
    """Such as the clone, seen from the folder that it was cloned into."""
    source = checkout(tmp_path / "quagga", links)
    place = tmp_path / "site-packages"
    with zipfile.ZipFile(built(kind, source, tmp_path / "wheels")) as wheel:
        wheel.extractall(place)
    # A Python of its own, with what was just installed, and of this one's packages all but quagga's path.
    program = (
        "import site, sys; sys.path.insert(0, ''); site.addsitedir(sys.argv[1]); sys.path.append(sys.argv[2]);"
        "import quagga.__main__, quagga.models.blocks.layers, quagga.data.sources.folders, quagga.cli.main;"
        "assert all(sys.argv[3] in module.__file__ for name, module in sys.modules.items() if 'quagga' in name);"
        "from runpy import run_module; sys.argv = ['quagga', '--version']; run_module('quagga', run_name='__main__')"
    )
    ours = str(source if kind == "editable" else place)
    ran = python("-S", "-E", "-c", program, str(place), sysconfig.get_path("purelib"), ours, folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, f"quagga {quagga.__version__}\n"), ran.stderr


def test_every_name_of_the_public_face_leads_somewhere():
    for name in dir(quagga):
        assert getattr(quagga, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'CycelGAN'"):
        _ = quagga.CycelGAN


def test_models_and_data_import_neither_each_other_nor_pipelines():
    for folder, foreign in (("models", ("data", "pipelines")), ("data", ("models", "pipelines"))):
        for file in (ROOT / folder).rglob("*.py"):
            for other in foreign:
                assert f"quagga.{other}" not in file.read_text("utf-8"), f"{folder}/{file.name} knows quagga.{other}"


def test_no_pipeline_imports_another_pipeline():
    files = {name: module.removeprefix("quagga.pipelines.") for name, (module, _) in PIPELINES.items()}
    for file in files.values():
        text = (ROOT / "pipelines" / f"{file}.py").read_text("utf-8")
        for other in set(files.values()) - {file}:
            assert f"quagga.pipelines.{other}" not in text
