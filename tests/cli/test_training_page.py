"""The page of a training holds all that it shows, and works in a browser."""

import json
import re
import shutil
import subprocess
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quagga.cli.output.demo_page import read_curves
from quagga.evaluation.page.training_page import Curve, Frame, write_training_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
TITLE = "Grass & <b>horses</b> </script><script>alert(1)</script>"


def flat(level: int) -> np.ndarray:
    return np.full((2, 16, 16, 3), level, np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    frames = [Frame(seen, {TITLE: flat(seen // 10)}) for seen in (0, 800, 1600)]
    curves = [Curve("Error", "How far.", [(0, 0.5), (800, 0.25), (1600, 0.125)]), Curve("Never read", "", [])]
    write_training_page(path, TITLE, "A text.", {"before": flat(50)}, frames, {"after": flat(200)}, curves)
    return path


def data_of(page: Path) -> dict:
    [text] = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page.read_text(), re.S)
    return json.loads(text)


def test_the_pictures_are_in_the_page(page):
    data = data_of(page)
    for level, [column] in ((50, data["before"]), (160, data["frames"][2]["columns"]), (200, data["after"])):
        kind, _, content = column["picture"].partition(",")
        assert kind == "data:image/jpeg;base64"
        picture = np.asarray(Image.open(BytesIO(b64decode(content))))
        assert picture.shape == (32, 16, 3) and abs(int(picture.mean()) - level) <= 2
    assert [frame["seen"] for frame in data["frames"]] == [0, 800, 1600]
    assert data["curves"][0]["points"] == [[0, 0.5], [800, 0.25], [1600, 0.125]]


def test_nothing_is_fetched_and_no_name_becomes_code(page):
    text = page.read_text()
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}  # a name, no address
    assert not re.search(r"<(link|iframe|img|script[^>]+src)", text)
    assert text.count("</script>") == 2 and "<b>" not in text
    assert data_of(page)["frames"][0]["columns"][0]["title"] == TITLE


@pytest.mark.skipif(BROWSER is None, reason="no browser here to open it")
def test_a_browser_draws_it(page):
    line = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()]
    shown = subprocess.run(line, capture_output=True, text=True, timeout=120).stdout
    assert "1,600 images</output>" in shown  # the last frame
    assert "<h2>Error: 0.125</h2>" in shown and "Never read:" not in shown
    assert shown.count("<figcaption>") == 3 and shown.count("<polyline") == 1


def test_a_curve_that_a_run_has_not_is_empty(tmp_path):
    assert set(map(len, read_curves(tmp_path).values())) == {0}
