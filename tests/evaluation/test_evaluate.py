"""Every kind of run is judged between its floor and its ceiling, and bad input has a line that says what to do."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from documentation import TINY
from PIL import Image

import quagga
from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.errors import BadInput
from quagga.evaluation.benches import two_sides
from quagga.evaluation.benches.two_sides import TwoSides
from quagga.evaluation.evaluate import evaluate
from quagga.evaluation.measures import own_classifier
from quagga.evaluation.measures.measure import Measure
from quagga.evaluation.page import report
from quagga.evaluation.real_pictures import open_two_folders
from quagga.evaluation.settings import Settings
from quagga.evaluation.table import Block, Evaluation

SET = {"train": 24, "test": 8, "size": 16}
GAME = {  # pipeline -> the embedded set that it takes
    "cyclegan": "unpaired",
    "cut": "unpaired",
    "pix2pix": "pairs",
    "stargan": "classes",
    "conditional": "classes",
    "classifier": "classes",
    "gan": "classes",
    "vae": "classes",
    "autoencoder": "classes",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(own_classifier, "IMAGES", 320)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    for kind in ("unpaired", "pairs", "classes"):
        scenes.write(folder / kind, **SET, kind=kind)
    return folder


@pytest.fixture(scope="module")
def trained(home):
    """Trains a pipeline, once, and returns its run."""

    def run(pipeline: str, name: str = "", *options: str) -> str:
        output = home / "runs" / f"{pipeline}{name}"
        if not output.exists():
            words = ["train", pipeline, "--root", str(home / GAME[pipeline]), *TINY[pipeline], *options]
            assert command_line([*words, "--output", str(output)]) == 0
        return str(output)

    return run


def value(block: Block, title: str, kind: str, number: int = 0) -> Any:
    """A figure of the first column of a kind."""
    columns = [column for column in block.columns if column.kind == kind]
    found = columns[number].summary(next(m for m in block.bench.measures if m.title.startswith(title)))
    return found and found[0]


def titles(block: Block) -> list[str]:
    return [measure.title.partition(",")[0] for measure in block.bench.measures]


# -- what is judged, of each kind of run ------------------------------------------------------------------------------


def test_a_translation_both_ways(trained):
    found = evaluate(trained("cyclegan"))
    assert [block.bench.title for block in found.blocks] == ["A to B", "B to A"]
    first, second = found.blocks
    assert titles(first) == ["passes for B", "patch distance", "cycle error", "change", "diversity"]
    assert titles(second) == ["passes for A", "patch distance", "cycle error", "change", "diversity"]
    for block in found.blocks:
        assert value(block, "change", "nothing") == 0 and value(block, "cycle", "run") > 0
        assert value(block, "patch", "real") < value(block, "patch", "nothing")
    assert "8 of 8 held-out A" in first.protocol["pictures"]


def test_the_truth_of_drawn_animals(tmp_path, monkeypatch):
    """A perfect translator makes no error, a copy that of doing nothing."""
    monkeypatch.setattr(two_sides, "TRUTH_DRAWS", 2)
    root = scenes.write(tmp_path / "set", train=4, test=6, size=48)
    sides = TwoSides(open_two_folders(str(root), 48), Settings())
    bench = sides.bench("x", "y")
    truth: Any = next(measure for measure in bench.measures if measure.title == "truth error")
    perfect = torch.stack([sides._drawn(root / "truth" / name) for name in bench.names])
    [floor], [nothing] = ([truth.of(shown).value for shown in row.values()] for row in (bench.real, bench.nothing))
    assert truth.of(bench.make(perfect, None)).value < 1e-3 < floor < nothing
    assert nothing == pytest.approx(truth.of(bench.make(bench.source["x"], None)).value)


def test_the_judge_tells_the_kinds_apart(trained, monkeypatch):
    monkeypatch.setattr(own_classifier, "IMAGES", 1600)
    [block] = evaluate(trained("cut")).blocks
    assert value(block, "passes", "real") > value(block, "passes", "nothing")
    assert value(block, "cycle", "run") is None  # there is no way back


def test_pairs_beside_their_truth(trained):
    [block] = evaluate(trained("pix2pix")).blocks
    assert titles(block) == ["L1", "PSNR", "SSIM", "patch distance", "diversity"]
    assert value(block, "L1", "real") == 0 and value(block, "SSIM", "real") == pytest.approx(1)
    assert value(block, "L1", "nothing") > 0
    assert [c.name for c in block.columns if c.kind == "nothing"][:2] == ["another B", "the mean picture"]


def test_conditions_that_are_asked_for(trained):
    [block] = evaluate(trained("conditional")).blocks
    assert titles(block)[0] == "conditions obeyed"
    assert {column.name for column in block.columns if column.kind == "nothing"} == {"real, of others", "noise"}
    assert value(block, "diversity", "real") > 0


def test_pictures_with_another_condition(trained):
    [block] = evaluate(trained("stargan")).blocks
    assert {"conditions obeyed", "cycle error", "change"} <= set(titles(block))
    assert value(block, "change", "nothing") == 0 and value(block, "cycle", "run") > 0


def test_samples_of_known_classes(trained):
    [block] = evaluate(trained("gan")).blocks
    assert titles(block)[0] == "classes out of balance"
    assert value(block, "patch", "real") < value(block, "patch", "nothing")  # noise


def test_codes(trained):
    samples, made_again = evaluate(trained("vae")).blocks
    assert titles(samples)[0] == "classes out of balance" and titles(made_again)[0] == "L1"
    [block] = evaluate(trained("autoencoder")).blocks
    assert value(block, "L1", "real") == 0 < value(block, "L1", "run")


def test_what_a_classifier_says(trained):
    [block] = evaluate(trained("classifier")).blocks
    assert titles(block) == ["right answers"] and value(block, "right", "real") == 1
    assert 0 <= value(block, "right", "run") <= 1 and 0.2 < value(block, "right", "nothing") < 0.5


# -- several runs, other programs -------------------------------------------------------------------------------------


def test_seeds_are_one_column_and_other_runs_another(trained):
    a, b = trained("cyclegan"), trained("cyclegan", "-1", "--seed=1")
    other = trained("cut")
    found = evaluate(a, b, other)
    block = found.blocks[0]
    assert [column.kind for column in block.columns] == ["real", "seeds", "run", "run", "run", "nothing"]
    mean = np.mean([value(block, "patch", "run", number) for number in (0, 1)])
    assert value(block, "patch", "seeds") == pytest.approx(mean)
    said = "\n".join(block.comparisons())
    assert "with 8 pictures and one seed each" in said  # the other has one
    assert str(found).count("\npatch distance") >= 2  # more columns than a terminal is wide


def test_a_run_beside_its_own_copy_cannot_be_told_apart(trained, tmp_path):
    run = trained("cut")
    shutil.copytree(run, tmp_path / "copy")
    [block] = evaluate(run, tmp_path / "copy").blocks
    said = [line for line in block.comparisons() if "cannot be told apart" in line]
    assert len(said) == 1 and "passes for B" in said[0] and "patch distance" in said[0]


def test_another_program_that_does_nothing_scores_what_doing_nothing_does(home, trained, tmp_path):
    shutil.copytree(home / "unpaired" / "testA", tmp_path / "fakes")
    [block] = evaluate(trained("cut"), fake=tmp_path / "fakes").blocks
    for title in ("passes", "patch", "change", "diversity"):
        assert value(block, title, "fake") == pytest.approx(value(block, title, "nothing"), abs=1e-6)
    [alone] = evaluate(real=home / "unpaired", fake=tmp_path / "fakes").blocks
    assert value(alone, "patch", "fake") == pytest.approx(value(alone, "patch", "nothing"))
    assert [column.kind for column in alone.columns] == ["real", "fake", "nothing"]


def test_the_names_of_other_programs_are_understood(home, trained, tmp_path):
    for path in sorted((home / "unpaired" / "testA").iterdir())[:5]:
        for mark in ("real_A", "fake_B", "rec_A"):
            picture = Image.new("RGB", (16, 16), "red" if mark == "fake_B" else "blue")
            picture.save(tmp_path / f"{path.stem}_{mark}.png")
    [block] = evaluate(trained("cyclegan"), fake=tmp_path).blocks
    column: Any = next(column for column in block.columns if column.kind == "fake")
    own: Any = next(column for column in block.columns if column.kind == "run")
    assert len(block.bench.names) == 5 and torch.equal(column.shown.pictures[:, 0], torch.ones(5, 16, 16))
    assert len(own.shown.pictures) == 5  # judged on the same ones


def test_a_model_without_its_pictures_is_judged_by_others(home, trained, tmp_path):
    shutil.copytree(Path(trained("cut")) / "model", tmp_path / "alone" / "model")
    with pytest.raises(BadInput, match="--real DIR"):
        evaluate(tmp_path / "alone")
    shutil.copytree(home / "unpaired" / "testA", tmp_path / "only" / "testA")
    shutil.copytree(home / "unpaired" / "testB", tmp_path / "only" / "testB")
    [block] = evaluate(tmp_path / "alone", real=tmp_path / "only").blocks
    assert "4 of 8" in block.protocol["pictures"] or "8 of 8" in block.protocol["pictures"]
    assert {column.kind for column in block.columns} == {"real", "run", "nothing"}


# -- bad input --------------------------------------------------------------------------------------------------------


def test_pictures_that_cannot_be_read_are_left_out_and_named(home, trained, tmp_path):
    shutil.copytree(home / "unpaired", tmp_path / "damaged")
    next((tmp_path / "damaged" / "testA").iterdir()).write_bytes(b"no picture")
    [block] = evaluate(trained("cut"), real=tmp_path / "damaged").blocks
    assert len(block.bench.names) == 7 and any("cannot be read" in line for line in block.bench.notices)


def test_three_pictures_of_several_sizes(trained, tmp_path):
    for letter in "AB":
        for number, size in enumerate(((16, 16), (40, 24), (17, 90))):
            path = tmp_path / f"train{letter}" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            noise = np.random.default_rng(number).integers(0, 255, (*size[::-1], 3), np.uint8)
            Image.fromarray(noise).save(path)
    [block] = evaluate(trained("cut"), real=tmp_path).blocks
    assert any(line.startswith("only 1 held-out") for line in block.bench.notices)
    assert value(block, "diversity", "run") is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a run"),
        (["{cut}", "--fake", "{empty}"], "0 images"),
        (["{cut}", "--fake", "{others}"], "call each result as its source"),
        (["{cut}", "--real", "{missing}"], "--real DIR names anew"),
        (["{cut}", "--pictures", "0"], "judge 1 or more"),
        (["{empty}"], "holds no model"),
        (["{classifier}", "--fake", "{others}"], "leave it out"),
    ],
)
def test_bad_input_has_a_line(arguments, said, home, trained, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    shutil.copytree(home / "unpaired" / "trainB", tmp_path / "others")
    places = {name: str(tmp_path / name) for name in ("empty", "others", "missing")}
    places |= {"cut": trained("cut"), "classifier": trained("classifier")}
    capsys.readouterr()
    assert command_line(["evaluate", *(word.format(**places) for word in arguments)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("quagga: error:") and said in error


def test_a_run_that_has_not_ended_is_judged_and_says_so(trained, tmp_path):
    shutil.copytree(trained("cut"), tmp_path / "half")
    config = tmp_path / "half" / "config.yaml"
    config.write_text(config.read_text().replace("images: 4", "images: 4000"))
    [block] = evaluate(tmp_path / "half").blocks
    assert "of 4,000: the run has not ended" in str(block.to_text())


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_command_prints_the_table_and_writes_json_and_the_report(trained, tmp_path, capsys):
    run = trained("cyclegan")
    capsys.readouterr()
    line = ["evaluate", run, "--json", str(tmp_path / "all.json")]
    assert command_line(line) == 0
    said = capsys.readouterr()
    assert "passes for B, %" in said.out and "horse, unchanged" not in said.out and "A, unchanged" in said.out
    found = json.loads((tmp_path / "all.json").read_text())
    [first, _] = found["blocks"]
    assert {column["kind"] for column in first["columns"]} == {"real", "run", "nothing"}
    assert {"pictures", "size", "classifier", "quagga"} <= set(first["protocol"])
    assert (Path(run) / report.REPORT).is_file()
    assert command_line(line) == 2 and "--existing" in capsys.readouterr().err


def test_twice_the_same_is_the_same(trained):
    first, second = (evaluate(trained("cut")).to_json() for _ in range(2))
    assert first == second


def test_the_public_name():
    assert quagga.evaluate is evaluate and str(Evaluation([])) == "" and Measure
