"""The classifier: its loss is the papers' formula, it learns what there is to see, and a saved one says it."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from toys import CONDITIONS, Rows

import quagga
from quagga.cli.main import command_line
from quagga.errors import BadInput
from quagga.inference.classifier import Classifier
from quagga.models import ConvClassifier, DeepClassifier, Posterior
from quagga.option_groups import call_flat
from quagga.pipelines import classifier
from quagga.pipelines.core.game_protocol import Draw

COLORS = {"aqua": (0, 200, 200), "red": (200, 0, 0), "white": (250, 250, 250)}
TINY = ["--width=4", "--images=240", "--batch_size=12", "--size=16", "--workers=0", "--device=cpu", "--lr=0.01"]


def game(condition: str, **options):
    torch.manual_seed(0)
    names = CONDITIONS[condition][0]
    return call_flat(classifier.build, condition=condition, names=names, x_channels=3, width=4, **options)


def terms_of(condition: str, row: int = 0):
    play = game(condition)
    play.C.double().eval()
    batch = Rows(4, condition=condition).batch(row, 4)
    fakes = play.generate(batch, Draw(0, range(4)))
    return play, batch, fakes["C(x)"].detach(), play.generator_loss(batch, fakes, Draw(0, range(4)))


def test_the_loss_of_classes_is_the_cross_entropy():
    _, batch, logits, loss = terms_of("class")
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    expected = -p[torch.arange(4), batch["c"]].log().mean()  # Eq. 4.108
    assert float(loss.terms["C"].detach()) == pytest.approx(float(expected), rel=1e-10)
    assert float(loss.readings["C/accuracy"]) == float((p.argmax(1) == batch["c"]).float().mean())


def test_the_loss_of_attributes_is_that_of_each():
    _, batch, logits, loss = terms_of("attributes")
    c, y = batch["c"], 1 / (1 + (-logits).exp())
    expected = -(c * y.log() + (1 - c) * (1 - y).log()).mean()  # Eq. 4.90
    assert float(loss.terms["C"].detach()) == pytest.approx(float(expected), rel=1e-10)
    assert float(loss.readings["C/accuracy"]) == pytest.approx(float(((y > 0.5) == (c > 0.5)).float().mean()))


def test_no_discriminator_plays():
    assert game("class").discriminators == {}


@pytest.mark.parametrize("kind", ["class", "attributes"])
def test_the_posterior_is_a_probability(kind):
    p = Posterior(ConvClassifier(3, 5, 4).eval(), kind)(torch.randn(6, 3, 16, 16))
    assert p.min() >= 0 and p.max() <= 1
    if kind == "class":
        torch.testing.assert_close(p.sum(1), torch.ones(6))


def test_an_encoder_comes_from_its_autoencoder_with_init_from(tmp_path, capsys):
    """All of its layers, under a new head; and what the encoder gives is what the head reads."""
    rng = np.random.default_rng(0)
    for name in COLORS:
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    common = [f"--root={tmp_path / 'pictures'}", "--width=4", "--code_size=5", "--size=16", "--images=8"]
    common += ["--batch_size=4", "--workers=0", "--device=cpu"]
    assert command_line(["train", "autoencoder", *common, f"--output={tmp_path / 'coded'}"]) == 0
    read = ["train", "classifier", "--network=encoder", *common]
    assert command_line([*read, f"--init_from={tmp_path / 'coded'}", "--lr=0", f"--output={tmp_path / 'read'}"]) == 0
    said = capsys.readouterr().out
    assert "Phi: 4 of 4 layers taken" in said and "C: begins anew" in said
    Phi: Any = quagga.load(tmp_path / "coded", to="Phi", device="cpu")
    classifier: Any = quagga.load(tmp_path / "read", device="cpu")
    encoder, head = classifier.predictor.network.logits.networks
    x = torch.rand(3, 3, 16, 16) * 2 - 1
    convolution = "layers.0.weight"  # the others follow the running statistics, which go on
    assert torch.equal(encoder.state_dict()[convolution], Phi.network.state_dict()[convolution])
    torch.testing.assert_close(classifier.predictor(x=x), head(encoder(x)).softmax(1))

    mlp = ["train", "autoencoder", "--network=mlp", *common, f"--output={tmp_path / 'flat'}"]
    assert command_line(mlp) == 0
    capsys.readouterr()
    assert command_line([*read, f"--init_from={tmp_path / 'flat'}", f"--output={tmp_path / 'none'}"]) == 2
    assert "fits these networks" in capsys.readouterr().err


def test_an_encoder_has_the_options_of_an_autoencoder():
    for options, message in (({}, "say --size 64"), ({"size": 16, "norm": "instance"}, "has no instance norm")):
        with pytest.raises(BadInput, match=message):
            game("class", network="encoder", **options)


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (64, 64)])
@pytest.mark.parametrize("make", [ConvClassifier, DeepClassifier])
def test_pictures_of_any_size_are_read(make, size):
    network = make(3, 5, 4).eval()
    x = torch.randn(2, 3, *size)
    assert network(x).shape == (2, 5)
    last = network.head[-1]
    torch.testing.assert_close(last(network.hidden(x)), network(x))  # what the last layer sees, dropout aside


def test_a_place_of_the_deep_network_sees_91_pixels():
    maps = DeepClassifier(1, 2, 2, norm="none").body[:-2]
    x = torch.zeros(1, 1, 256, 256, requires_grad=True)
    maps(x + 1)[0, :, 8, 8].sum().backward()
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero()
    assert ((seen.max(0).values - seen.min(0).values + 1) <= 91).all() and seen.numel()
    assert DeepClassifier.__doc__ is not None and "91 x 91" in DeepClassifier.__doc__


def test_the_deep_network_is_chosen_by_name():
    known = {"names": ["horse", "zebra"], "x_channels": 3}
    assert isinstance(classifier.build(**known, network="deep", width=4).C, DeepClassifier)
    assert isinstance(classifier.build(**known, width=4).C, ConvClassifier)


def test_a_strip_shows_each_picture_in_the_column_of_what_was_read():
    play, batch = game("class"), Rows(6, condition="class", dtype=torch.float32).batch(0, 6)
    play.C.eval()
    [(name, columns)] = play.visualize(batch, Draw(0, range(6))).items()
    assert name == "read as" and list(columns)[-1] == "another"
    assert torch.equal(torch.stack([*columns.values()]).sum(0), batch["x"])  # once each, grey elsewhere
    read = play.C(batch["x"]).argmax(1)
    for number, label in enumerate(CONDITIONS["class"][0]):
        if label in columns:
            assert torch.equal(columns[label].flatten(1).any(1), read == number)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"condition": "caption"}, "a caption is no class"),
        ({"names": None}, "say --names and --x_channels"),
        ({"width": 0}, "width is 0"),
        ({"dropout": 1.0}, "dropout is 1"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        call_flat(classifier.build, **{"names": ["a", "b"], "x_channels": 3, **options})


# -- a saved one ------------------------------------------------------------------------------------------------------


def paint(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (16, 16), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 30, (*size[::-1], 3))
    Image.fromarray(np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("classes")
    for name, color in COLORS.items():
        for number in range(20):
            paint(root / "set" / name / f"{number}.png", color, seed=number)
    words = ["train", "classifier", str(root / "set"), f"--output={root / 'run'}", *TINY]
    assert command_line(words) == 0
    return root / "run"


def test_what_is_seen_is_said(run):
    what = quagga.load(run, device="cpu", verify=True)
    assert isinstance(what, Classifier) and what.conditions.names == ("aqua", "red", "white")
    for name, color in COLORS.items():
        said = what(Image.new("RGB", (50, 30), color))
        assert sum(said.values()) == pytest.approx(1, abs=1e-5) and max(said, key=said.__getitem__) == name
        array = np.full((30, 50, 3), color, np.uint8)
        assert what(array) == said


def test_translate_writes_a_table_that_can_be_trained_on(run, tmp_path, capsys):
    for number, (name, color) in enumerate(3 * [*COLORS.items()]):
        paint(tmp_path / "new" / name / f"{number}.png", color, (40, 25), seed=90 + number)
    (tmp_path / "new" / "broken.png").write_bytes(b"not a picture")
    line = ["translate", str(run), str(tmp_path / "new"), f"--output={tmp_path / 'said'}", "--device=cpu"]
    assert command_line(line) == 2
    assert "left out" in capsys.readouterr().err
    with (tmp_path / "said/classes.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["file"]: line["label"] for line in lines} == {f"{n}/{i}.png": n for i, n in enumerate(3 * [*COLORS])}
    assert all(0.34 < float(line["probability"]) <= 1 for line in lines)
    table = [f"--table={tmp_path / 'said/classes.csv'}", f"--pictures={tmp_path / 'new'}"]
    assert command_line(["data", "check", *table]) == 0


def test_a_table_is_not_replaced_unasked(run, tmp_path, capsys):
    paint(tmp_path / "a.png", COLORS["red"])
    line = ["translate", str(run), str(tmp_path / "a.png"), f"--output={tmp_path / 'said'}", "--device=cpu"]
    assert command_line(line) == 0
    before = (tmp_path / "said/classes.csv").read_bytes()
    assert command_line(line) == 2 and "--existing skip" in capsys.readouterr().err
    assert command_line([*line, "--existing=skip"]) == 0
    assert (tmp_path / "said/classes.csv").read_bytes() == before
    assert command_line([*line, "--existing=overwrite"]) == 0


def test_pictures_that_a_table_could_not_tell_apart_are_refused(run, tmp_path, capsys):
    for folder in "ab":
        paint(tmp_path / folder / "1.png", COLORS["red"])
    line = ["translate", str(run), str(tmp_path / "a"), str(tmp_path / "b"), f"--output={tmp_path / 'said'}"]
    assert command_line([*line, "--device=cpu"]) == 2
    assert "would both be 1.png in the table" in capsys.readouterr().err and not (tmp_path / "said").exists()


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
def test_a_name_that_is_no_text_is_refused_before_any_work(run, tmp_path, capsys):
    paint(tmp_path / "set" / os.fsdecode(b"\xff.png"), COLORS["red"])
    line = ["translate", str(run), str(tmp_path / "set"), f"--output={tmp_path / 'said'}", "--device=cpu"]
    assert command_line(line) == 2
    assert "a table is UTF-8, and a name is not: rename" in capsys.readouterr().err and not (tmp_path / "said").exists()


def test_half_precision_is_widened_for_the_loss():
    play = game("class")
    logits, c = torch.tensor([[9.0, 1.0, 2.0]]).bfloat16(), torch.tensor([1])
    assert play.cross_entropy(logits, c).dtype == torch.float32
    assert float(play.cross_entropy(logits, c)) == pytest.approx(float(-logits.double().log_softmax(1)[0, 1]), rel=1e-6)


@pytest.mark.parametrize(
    "option", ["--label=red", "--comparison", "--faithfulness", "--resolution=full", "--side=left", "--from_photo"]
)
def test_options_that_only_pictures_have_are_refused(run, tmp_path, capsys, option):
    paint(tmp_path / "a.png", COLORS["red"])
    line = ["translate", str(run), str(tmp_path / "a.png"), f"--output={tmp_path / 'said'}", option, "--device=cpu"]
    assert command_line(line) == 2
    assert option.partition("=")[0].removeprefix("--") in capsys.readouterr().err
    assert not (tmp_path / "said").exists()


def test_loading_one_does_not_import_albumentations(run):
    code = f"import quagga, sys; quagga.load({str(run)!r}, device='cpu'); print('albumentations' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "False", ran.stderr[-2000:]
