"""Pages whose Python is one program, whose claims it asserts, and which draws its own picture.

docs/games.md is another one: tests/pipelines/test_tiny_games.py.
"""

import pytest
from documentation import ROOT, assert_printed_as_said, run_as_one


@pytest.mark.parametrize("page", ["docs/distances.md", "docs/classify_or_generate.md", "docs/tips.md"])
def test_a_page_prints_what_it_says(page, tmp_path):
    _, parts = run_as_one(page, tmp_path)
    assert_printed_as_said(parts)
    [drawn] = tmp_path.iterdir()
    assert (ROOT / "docs" / drawn.name).exists()
