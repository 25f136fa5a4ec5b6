"""Names of files that are not UTF-8, and names where the system knows only ASCII: all commands go through to the end,
nothing is renamed, and what is printed has escapes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_train import TINY, curves

import quagga
from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.filenames import (
    encode_utf8,
    escape_surrogates,
    hide_surrogates,
    restore_surrogates,
    system_to_utf8,
    utf8_alias,
    utf8_to_system,
)
from quagga.training import checkpoint

LATIN = os.fsdecode(b"pferd_\xe4")  # as a zip of the nineties has it
ZEBRA = "zebra \U0001f993"
NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SMALL = [*("--width=4", "--width_discriminator=4", "--workers=0", "--device=cpu", "--batch_size=2")]


def only_where_any_name_can_be(folder: Path) -> None:
    try:
        (folder / LATIN).touch()
    except OSError:
        pytest.skip("names are UTF-8 on this disk")
    (folder / LATIN).unlink()


def renamed(pictures: Path, folder: Path, word: str) -> Path:
    """A copy of a set in a folder of that name, each of its pictures called so, too."""
    shutil.copytree(pictures, place := folder / f"set {word}")
    for file in [path for path in place.glob("*/*") if path.is_file()]:
        file.rename(file.with_name(word + file.name))
    return place


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return scenes.write(tmp_path_factory.mktemp("plain") / "pictures", train=6, test=2, size=24)


def said(capsys) -> str:
    """Both streams; all that was said so far could be written as UTF-8."""
    out = "".join(capsys.readouterr())
    out.encode()
    return out


def test_a_run_and_its_use_go_through(pictures, tmp_path, capsys):
    only_where_any_name_can_be(tmp_path)
    root, output = renamed(pictures, tmp_path, LATIN), tmp_path / f"run {LATIN}"
    sheet, translated = tmp_path / f"{LATIN}.png", tmp_path / f"out {LATIN}"
    assert command_line(["data", "check", str(root)]) == 0
    assert command_line(["data", "preview", "--root", str(root), "--output", str(sheet)]) == 0 and sheet.is_file()
    typed = ["train", "cyclegan", *TINY, "--root", str(root), f"--x_name={LATIN}", "--output", str(output)]
    assert command_line([*typed, "--images=8"]) == 0
    assert command_line([*typed, "--images=16"]) == 0
    assert command_line(["train", "--config", str(output / "config.yaml"), "--images=24"]) == 0
    assert (
        command_line(["translate", str(output), str(root / "testA"), "--output", str(translated), "--comparison"]) == 0
    )
    assert command_line(["verify", str(output)]) == 0
    assert "pferd_\\udce4" in said(capsys)
    # what was written holds the names as they are
    assert [path.name for path in checkpoint.list_saved(output / "checkpoints")][-1] == "000000024"
    assert yaml.safe_load((output / "config.yaml").read_text("utf-8"))["root"] == str(root)
    assert json.loads((output / "model/model.json").read_text("utf-8"))["domains"]["x"]["name"] == LATIN
    assert {path.name for path in translated.iterdir()} > {path.name for path in (root / "testA").iterdir()}
    assert not list(tmp_path.rglob("*udce4*"))
    with utf8_alias(output) as place:
        assert [step for step, _ in curves(Path(place))["generators/total"]] == [4, 8, 12, 16, 20, 24]


def test_the_names_change_nothing_of_a_run(pictures, tmp_path):
    only_where_any_name_can_be(tmp_path)
    networks = []
    for word in ("plain", LATIN):
        root, output = renamed(pictures, tmp_path, word), tmp_path / f"run {word}"
        assert command_line(["train", "cyclegan", *TINY, f"--root={root}", f"--output={output}", "--images=8"]) == 0
        networks.append(quagga.load(output).network.state_dict())
    assert all((networks[0][key] == networks[1][key]).all() for key in networks[0])


def test_damage_is_told_by_name(pictures, tmp_path, capsys):
    only_where_any_name_can_be(tmp_path)
    root = renamed(pictures, tmp_path, LATIN)
    (root / "trainA" / f"{LATIN}.png").write_bytes(b"no picture")
    assert command_line(["data", "check", str(root)]) == 2
    assert command_line(["train", "cyclegan", *TINY, f"--root={root}", f"--output={tmp_path / 'run'}"]) == 2
    assert said(capsys).count("pferd_\\udce4.png") >= 2


@pytest.fixture
def classes(tmp_path) -> Path:
    """Two classes, one of them of a foreign name, and a table of all pictures."""
    only_where_any_name_can_be(tmp_path)
    rng, lines = np.random.default_rng(0), []
    for name in (ZEBRA, LATIN):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for number in range(6):
            file = Path(name) / f"{name} {number}.png"
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "classes" / file)
            lines.append({"file": str(file), "caption": f"a {name} by night", "group": name + str(number)})
    (tmp_path / "classes.json").write_text(json.dumps(lines), "utf-8")
    return tmp_path / "classes"


def test_a_class_may_be_called_so(classes, tmp_path, capsys):
    output, samples = tmp_path / LATIN, tmp_path / f"samples {LATIN}"
    typed = [*SMALL, "--size=16", "--images=8", "--output", str(output)]
    assert command_line(["data", "check", str(classes), "--condition=class"]) == 0
    assert command_line(["train", "conditional", f"--root={classes}", *typed]) == 0
    assert command_line(["train", "--config", str(output / "config.yaml"), "--images=16"]) == 0
    for words in (
        ["--grid", "true"],
        [f"--label={LATIN}", "--count=2"],
        [f"--label={LATIN}", "--walk=1,2", "--film=mp4"],
    ):
        assert command_line(["sample", str(output), *words, "--output", str(samples)]) == 0
    assert (samples / "walk.mp4").stat().st_size > 0
    assert LATIN in json.loads((output / "model/model.json").read_text("utf-8"))["options"]["names"]
    said(capsys)


def test_a_table_may_say_so(classes, tmp_path, capsys):
    source = [f"--table={classes.with_suffix('.json')}", f"--pictures={classes}", "--condition=caption"]
    typed = [*SMALL, "--size=16", "--images=8", "--output", str(tmp_path / "run")]
    assert command_line(["train", "conditional", *source, "--group=group", *typed]) == 0
    assert command_line(["sample", str(tmp_path / "run"), f"--caption=a {LATIN}", f"--output={tmp_path / 'out'}"]) == 0
    said(capsys)


def test_pairs_may_be_called_so(tmp_path, capsys):
    only_where_any_name_can_be(tmp_path)
    pairs = scenes.write(tmp_path / "plain", train=6, test=2, size=24, kind="pairs")
    root = renamed(pairs, tmp_path, LATIN)
    small = [*SMALL, "--crop_size=16", "--load_size=16", "--layers=1", "--images=4"]
    assert command_line(["data", "check", str(root)]) == 0
    assert command_line(["train", "pix2pix", f"--root={root}", *small, f"--output={tmp_path / LATIN}"]) == 0
    said(capsys)


def test_where_the_system_knows_only_ascii(pictures, tmp_path):
    """Ordinary names, in a process whose locale is said to have no letters but ASCII."""
    root, output = renamed(pictures, tmp_path, "pférd"), tmp_path / "rün"
    train = ["train", "cyclegan", *TINY, "--root", str(root), "--output", str(output)]
    preview = ["data", "preview", "--root", str(root), "--output", str(tmp_path / "preview ü.png")]
    translate = ["translate", str(output), str(root / "testA"), "--output", str(tmp_path / "öut")]
    words = [["data", "check", str(root)], preview, [*train, "--images=8"], [*train, "--images=16"], translate]
    program = f"import os, sys; from quagga.cli.main import command_line\nfor argv in {words!a}:\n    "
    program += "code = command_line([os.fsdecode(word.encode()) for word in argv])\n    assert code == 0, (code, argv)"
    ran = subprocess.run([sys.executable, "-c", program], env=os.environ | NO_UTF8, capture_output=True, timeout=200)
    assert ran.returncode == 0, ran.stderr.decode(errors="replace")[-2000:]
    assert ran.stdout.isascii() and b"r\\udcc3\\udcbcn" in ran.stdout
    assert {path.name for path in (tmp_path / "öut").glob("[!.]*")} == {
        path.name for path in (root / "testA").iterdir()
    }
    assert (tmp_path / "preview ü.png").is_file()


# -- the mechanism -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=40))
def test_no_byte_of_a_name_is_lost(name: bytes):
    text = name.decode("utf-8", "surrogateescape")
    assert json.loads(encode_utf8(json.dumps({"name": text}, ensure_ascii=False)))["name"] == text
    assert yaml.safe_load(yaml.safe_dump({"name": text}, allow_unicode=True).encode())["name"] == text
    escape_surrogates(text).encode()
    assert system_to_utf8(utf8_to_system(text)) == text
    hide_surrogates(text).encode()
    assert restore_surrogates({"names": [hide_surrogates(text)]}) == {"names": [text]}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_other_names_stay_as_they_are(text: str):
    assert (
        escape_surrogates(text) == text == utf8_to_system(text) == system_to_utf8(text)
        and encode_utf8(text) == text.encode()
    )


def test_half_a_letter_is_no_name():
    assert utf8_to_system("\ud800") == "\ud800" and escape_surrogates("\ud800") == "\\ud800"


def test_a_name_for_libraries_is_the_same_file(tmp_path):
    only_where_any_name_can_be(tmp_path)
    for name in ("plain", LATIN):
        (tmp_path / name).write_text(name.encode("utf-8", "surrogateescape").hex())
        with utf8_alias(tmp_path / name) as other:
            other.encode()
            assert Path(other).read_text() == (tmp_path / name).read_text()
