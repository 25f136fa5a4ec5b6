"""A run's report holds all that it shows, and works in a browser."""

import re
import subprocess
from pathlib import Path

import pytest
from documentation import TINY
from test_training_page import BROWSER, data_of

from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.errors import BadInput
from quagga.evaluation.evaluate import evaluate
from quagga.evaluation.measures import own_classifier
from quagga.evaluation.page.report import REPORT, write_report


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reported")
    scenes.write(folder / "set", train=16, test=16, size=16)
    words = ["train", "cyclegan", "--root", str(folder / "set"), *TINY["cyclegan"], "--sample_every=2"]
    assert command_line([*words, "--y_name=<b>zebra</b>", "--output", str(folder / "run")]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_classifier, "IMAGES", 320)
        found = evaluate(folder / "run")
        for _ in range(2):  # it replaces its own
            write_report(folder / "run", str(folder / "run"), found, "hint: <b>")
    return folder / "run"


def test_nothing_is_fetched_and_no_name_becomes_code(run):
    text = (run / REPORT).read_text()
    assert set(re.findall(r"https?://[^\"' <)]+", text)) == {"http://www.w3.org/2000/svg"}  # a name, no address
    assert not re.search(r"<(link|iframe|script[^>]+src)", text)
    assert set(re.findall(r"<img [^>]*src=\"(.{10})", text)) == {"data:image"}
    assert "<b>" not in text and "&lt;b&gt;zebra" in text and "<li>hint: &lt;b&gt;</li>" in text


def test_it_holds_strips_over_time_curves_and_the_table(run):
    data, text = data_of(run / REPORT), (run / REPORT).read_text()
    assert [frame["seen"] for frame in data["frames"]] == [0, 2, 4]
    assert all(len(frame["columns"]) == 2 for frame in data["frames"])  # there, and back
    assert {curve["title"].partition("/")[0] for curve in data["curves"]} >= {"generators", "discriminators"}
    assert text.count('<table class="figures">') == 2 and "way back" in text
    assert "Best by patch distance" in text and "Worst by cycle error" in text


@pytest.mark.skipif(BROWSER is None, reason="no browser here to open it")
def test_a_browser_draws_it(run):
    line = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", (run / REPORT).as_uri()]
    shown = subprocess.run(line, capture_output=True, text=True, timeout=120).stdout
    assert (
        "4 images</output>" in shown and shown.count("<polyline") > 3 and "error" not in shown.split("<script")[0][:500]
    )


def test_another_file_of_that_name_is_left_alone(run, tmp_path):
    (tmp_path / REPORT).write_text("my own report")
    with pytest.raises(BadInput, match="move it away"):
        write_report(tmp_path, str(run), evaluate_nothing(), "")
    assert (tmp_path / REPORT).read_text() == "my own report"


def evaluate_nothing():
    from quagga.evaluation.table import Evaluation

    return Evaluation([])
