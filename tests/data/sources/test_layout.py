"""A folder that a pipeline cannot take is answered with the one that can, in words that can be typed."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quagga.cli.main import command_line
from quagga.data.sources.layout import pipeline_of
from quagga.data.sources.two_folders import two_folders
from quagga.errors import BadInput
from quagga.training import train

SIDE = 8


def fill(folder: Path, width: int = SIDE, count: int = 4) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A folder of each layout."""
    for part in ("trainA", "trainB"):
        fill(tmp_path / "domains" / part)
    for part in ("train", "val"):
        fill(tmp_path / "pairs" / part, 2 * SIDE)
    fill(tmp_path / "loose pairs", 2 * SIDE)
    for name in ("cat", "dog", "horse"):
        fill(tmp_path / "three" / name)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            fill(tmp_path / "two" / part / name)
    fill(tmp_path / "one")
    fill(tmp_path / "table" / "images", count=8)
    rows = "".join(f"{number}.png,{'ab'[number % 2]}\n" for number in range(8))
    (tmp_path / "table" / "list.csv").write_text(f"file,label\n{rows}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "packed").mkdir()
    for archive in ("packed/set.zip", "set.tar.gz"):
        (tmp_path / archive).write_bytes(b"")
    shutil.copytree(tmp_path / "domains", tmp_path / "nested" / "domains")
    return tmp_path


LAYOUTS = {  # layout -> what cyclegan says of it, {} being the folder
    "pairs": "quagga train pix2pix --root {}",
    "loose pairs": "quagga train pix2pix --root {}",
    "three": "--x {}/cat --y {}/dog, or all by their class, quagga train conditional --root {}",
    "two": "Did you mean --x {}/train/cat --y {}/train/dog?",
    "one": "quagga train gan --root {}",
    "table": "quagga train conditional --root {}",
    "empty": "It holds 0 images: put pictures there",
    "packed": "It holds 0 images: unpack set.zip first",
    "set.tar.gz": "is an archive: unpack it",
    "nested": "Did you mean --root {}/domains?",
    "domains/trainA": "Did you mean --root {up}?",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_error_about_a_folder_without_two_domains_names_what_takes_it(sets, layout):
    place = sets / layout
    with pytest.raises(BadInput) as caught:
        two_folders(root=str(place))
    expected = LAYOUTS[layout].format(*[place] * 3, up=place.parent)
    plain = " ".join(shlex.split(str(caught.value)))
    assert expected in plain and "\n" not in plain


def test_advised_commands_train(sets, monkeypatch):
    """As far as the pictures are read: the advice is typed as it stands."""
    made = []
    monkeypatch.setattr(train, "train", lambda name, build, data, options, config: made.append(data(**options["data"])))
    small = ["--crop_size=8", "--load_size=8"]
    for layout in ("pairs", "loose pairs", "three", "one", "table", "two", "nested"):
        with pytest.raises(BadInput) as caught:
            two_folders(root=str(sets / layout))
        words = shlex.split(str(caught.value).rstrip("?"))
        if "quagga" in words:
            [*_, start] = (place for place, word in enumerate(words) if word == "quagga")
            line = words[start + 1 :]
        else:
            line = ["train", "cyclegan", *words[words.index("mean") + 1 :]]
        more = small if line[1] in ("cyclegan", "pix2pix") else []
        assert command_line([*line, *more, "--workers=0"]) == 0, line
    assert len(made) == 7


def test_the_pipeline_is_recognised_by_the_layout(sets):
    expected = {"domains": "cyclegan", "pairs": "pix2pix", "three": "conditional", "two": "conditional", "one": "gan"}
    for layout, name in (expected | {"table": "conditional"}).items():
        assert pipeline_of(sets / layout) == name


def test_the_preview_of_a_folder_uses_the_pipeline_of_its_layout(sets, capsys):
    sizes = {}
    for layout, more in {"domains": ["--crop_size=8"], "pairs": ["--crop_size=8"], "three": [], "one": []}.items():
        sheet = sets / "sheets" / f"{layout}.png"
        assert command_line(["data", "preview", str(sets / layout), *more, "--count=2", f"--output={sheet}"]) == 0
        sizes[layout] = Image.open(sheet).size
    assert sizes["domains"] == sizes["pairs"] and sizes["one"] != sizes["pairs"]
    capsys.readouterr()
    for word, expected in (
        (str(sets / "no such"), "neither a pipeline nor a folder"),
        ("pix3pix", "did you mean pix2"),
    ):
        assert command_line(["data", "preview", word]) == 2
        assert expected in capsys.readouterr().err


def test_a_folder_may_be_given_without_root(sets, monkeypatch, capsys):
    taken = []
    monkeypatch.setattr(train, "train", lambda name, build, data, options, config: taken.append((name, config["root"])))
    domains, three = str(sets / "domains"), str(sets / "three")
    for words in ([domains], ["--crop_size", "8", domains], [domains, "--flip", "false"], [f"--root={domains}"]):
        assert command_line(["train", "cyclegan", *words]) == 0
    assert command_line(["train", "gan", three]) == 0
    assert taken == [("cyclegan", domains)] * 4 + [("gan", three)]
    for words, expected in (
        (["cyclegan", domains, three], f"--x {domains} --y {three}"),
        (["gan", domains, three], "one too many"),
        (["gan", domains, "--root", three], "one too many"),
        (["gan", domains, "-r", three], "options begin with --, unlike -r"),
        ([three], f"name the pipeline too: quagga train conditional {three}"),
    ):
        assert command_line(["train", *words]) == 2
        assert expected in capsys.readouterr().err
    assert command_line(["plan", "cyclegan", str(sets / "pairs")]) == 2
    assert re.search("quagga train pix2pix --root .*pairs", capsys.readouterr().err)
