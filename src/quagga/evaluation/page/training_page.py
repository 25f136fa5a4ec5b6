"""A page that shows a training: pictures over time with a slider, and curves beside them.

It is one file: pictures and numbers are in it, and nothing is fetched from anywhere.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from quagga import atomic

QUALITY = 90  # of the pictures, which are JPEGs
TEMPLATE = Path(__file__).with_name("training_page.html")

Pictures = np.ndarray  # uint8 (N, H, W, 3)


@dataclass(frozen=True)
class Frame:
    """A moment of a training. pictures: title of a column -> its pictures then, uint8 (N, H, W, 3)."""

    images_seen: int
    pictures: Mapping[str, Pictures]


@dataclass(frozen=True)
class Curve:
    """A curve and what it says in a sentence. points: (images seen, value), in order."""

    title: str
    text: str
    points: Sequence[tuple[int, float]]


def write_training_page(
    path: Path,
    title: str,
    text: str,
    before: Mapping[str, Pictures],
    frames: Sequence[Frame],
    after: Mapping[str, Pictures],
    curves: Sequence[Curve],
    sections: str = "",
) -> None:
    """Writes the page.

    Args:
        path: the HTML file.
        title: heading of the page.
        text: a paragraph below it.
        before: columns that stay as they are, to the left of those that change; all columns have as many rows.
        frames: what changes, in order of time; all with the same columns. None: there is no slider.
        after: columns that stay, to the right.
        curves: beside the pictures; below them where sections follow.
        sections: HTML that follows.
    """
    data = {
        "before": columns(before),
        "frames": [{"seen": frame.images_seen, "columns": columns(frame.pictures)} for frame in frames],
        "after": columns(after),
        "stacked": bool(sections),
        "curves": [{"title": c.title, "text": c.text, "points": list(c.points)} for c in curves],
    }
    page = TEMPLATE.read_text(encoding="utf-8")
    values = {"TITLE": escape(title), "TEXT": escape(text), "DATA": json_for_script(data), "SECTIONS": sections}
    page = re.sub("%(TITLE|TEXT|DATA|SECTIONS)%", lambda match: values[match[1]], page)
    atomic.write_file(path, page.encode())


def columns(pictures: Mapping[str, Pictures]) -> list[dict[str, str | bool]]:
    """Returns columns as the page's script reads them: a title, and one picture of all rows, as a data address."""
    return [
        {"title": title, "picture": data_address(np.concatenate(rows)), "wide": is_wide(rows)}
        for title, rows in pictures.items()
    ]


def is_wide(rows: Pictures) -> bool:
    """Returns whether a column is a sheet of its own, which needs the width of the page."""
    return rows.shape[2] > 1.5 * rows.shape[1]


def data_address(picture: np.ndarray) -> str:
    """Returns a picture, uint8 (H, W, 3), as an address that holds it."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def json_for_script(data: Any) -> str:
    """Returns JSON that may stand in a script of a page: nothing in it ends the script."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")
