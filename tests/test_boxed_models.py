"""Models that come with the package: each works, says what it is, and stands wherever a run is named."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image
from tiny_run import pictures, words

import quagga
from quagga.boxed_models import FOLDER, PREFIX, all_boxed_models
from quagga.cli.main import command_line
from quagga.data.synthetic.scenes import scene
from quagga.fields import picture
from quagga.inference.model_files.model_saving import save_model
from quagga.inference.sampler import Sampler
from quagga.inference.translator import Translator
from quagga.models import ResnetGenerator
from quagga.models.description.export import Export

MODELS = {model.name: model for model in all_boxed_models()}
MOST_BYTES = 5 << 20  # of a model, all its files
HEADINGS = ("How it was made", "Data and terms", "How good it is", "What it cannot do")


def test_every_folder_in_the_box_is_a_model_with_a_card():
    assert MODELS and set(MODELS) == {folder.name for folder in FOLDER.iterdir()}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_what_it_gave_when_it_was_saved(name, capsys):
    assert command_line(["verify", f"{PREFIX}{name}", "--device", "cpu"]) == 0, capsys.readouterr().err
    folder = FOLDER / name
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MOST_BYTES
    listed = json.loads((folder / "model.json").read_text())["files"]
    assert {file.name for file in folder.iterdir()} == {"model.json", "README.md", *listed}
    for file in set(listed) - {"golden.safetensors"}:
        types = {str(tensor.dtype) for tensor in safetensors.numpy.load_file(folder / file).values()}
        assert types <= {"float16", "int64"}


@pytest.mark.parametrize("name", MODELS)
def test_a_card_says_what_a_stranger_must_know(name):
    text = MODELS[name].card.read_text()
    front = text.split("---")[1]
    assert all(re.search(rf"^{key}:", front, re.M) for key in ("license", "library_name", "pipeline_tag"))
    assert [heading for heading in HEADINGS if f"\n## {heading}\n" not in text] == []
    assert MODELS[name].purpose.endswith(".") and f"{PREFIX}{name}" in MODELS[name].command


def test_the_list_shows_each_with_a_line_that_uses_it(capsys):
    assert command_line(["list", "models"]) == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines() if "/" not in line) <= 100
    for name, model in MODELS.items():
        assert f"{PREFIX}{name} " in shown and model.command in shown and str(model.card) in shown


def test_photos_and_drawings_become_zebras(tmp_path):
    photo = tmp_path / "horse.png"
    Image.fromarray(np.asarray(scene(3, 96).horse)).save(photo)
    for name, model in MODELS.items():
        loaded = quagga.load(f"{PREFIX}{name}", device="cpu")
        if isinstance(loaded, Translator):
            line = model.command.split()[1:]
            line[2] = str(photo)
            line[line.index("--output") + 1] = str(tmp_path / name)
            assert command_line(line) == 0
            made = np.asarray(Image.open(tmp_path / name / "horse.png"), dtype=float)
            assert made.shape == (96, 96, 3) and np.abs(made - np.asarray(Image.open(photo), dtype=float)).mean() > 2
        else:
            assert isinstance(loaded, Sampler)
            x = loaded(loaded.conditions.names[0] if loaded.conditions else None, count=2)
            assert x.shape[0] == 2 and x.std() > 0.1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            ["translate", "box:horse2zebr", "a.png", "--output", "out"],
            "did you mean horse2zebra? (`quagga list models`",
        ),
        (["translate", "box:", "a.png", "--output", "out"], "quagga list models"),
        (["translate", "box:../box/horse2zebra", "a.png", "--output", "out"], "quagga list models"),
        (["verify", "box:nothing-like-it"], "quagga list models"),
        (["list", "model"], "did you mean models?"),
    ],
)
def test_what_is_not_in_the_box_is_one_line(line, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("a.png")
    assert command_line(line) == 2
    [error] = capsys.readouterr().err.strip().splitlines()
    assert said in error


def test_a_run_can_begin_with_a_model_of_the_box(tmp_path, capsys):
    root = pictures(tmp_path / "set")
    fits = {"width": 24, "blocks": 4, "skip": "true", "images": 2}
    line = words(root, tmp_path / "child", **fits)
    assert command_line([*line, "--init_from=box:horse2zebra"]) == 0
    said = capsys.readouterr().out
    [(taken, of)] = re.findall(r"^G: (\d+) of (\d+) layers taken from box:horse2zebra$", said, re.M)
    assert taken == of != "0"
    # Other options change what the same layers mean, which is said; and where none fits, the card is named.
    line = words(root, tmp_path / "another", **{**fits, "skip": "false"})
    assert command_line([*line, "--init_from=box:horse2zebra"]) == 0
    assert "layers taken from box:horse2zebra (skip True there, False here)" in capsys.readouterr().out
    line = words(root, tmp_path / "third", **{**fits, "width": 4})
    assert command_line([*line, "--init_from=box:horse2zebra"]) == 2
    assert f"give the options of its card, {FOLDER / 'horse2zebra' / 'README.md'}" in capsys.readouterr().err


def test_weights_in_16_bits_are_half_as_large_and_replayed_as_they_are_stored(tmp_path):
    torch.manual_seed(0)
    G = ResnetGenerator(width=8, blocks=1)
    domains = {name: {"name": name, "channels": 3, "value_range": [0, 255], "kind": "uint8"} for name in "xy"}
    sizes = {}
    for dtype in (torch.float32, torch.float16):
        save_model(
            tmp_path / str(dtype),
            pipeline="cut",
            options={},
            exports={"G": Export(G, (picture("x"),), picture("y"))},
            domains=domains,
            preprocessing={"load_size": 32, "crop_size": 32},
            images_seen=1,
            dtype=dtype,
        )
        quagga.load(tmp_path / str(dtype), device="cpu", verify=True)
        sizes[dtype] = (tmp_path / str(dtype) / "G.safetensors").stat().st_size
    assert sizes[torch.float16] < 0.6 * sizes[torch.float32]
    assert all(p.dtype == torch.float32 for p in G.parameters())  # what was saved is left as it was


def test_the_list_needs_no_torch():
    program = "import sys; from quagga.cli.main import command_line; command_line(['list', 'models'])"
    program += "; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ))
    assert ran.stdout.splitlines()[-1] == "False"
