"""RUN/report.html: a run's settings, curves, strips over time, pictures, and the table that says how good it is."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from quagga.data.io.tensors import to_uint8
from quagga.errors import BadInput
from quagga.evaluation.measures.measure import Measure
from quagga.evaluation.page.training_page import Curve, Frame, data_address, write_training_page
from quagga.evaluation.real_pictures import config_of
from quagga.evaluation.table import Block, Column, Evaluation, shown_figure

REPORT = "report.html"
MARK = b'<meta name="generator" content="quagga">'  # of the pages that Quagga has written, and may write anew
SIDE = 160  # pixels of a picture
EXAMPLES, EXTREMES = 8, 4  # pictures that are shown; of the best and of the worst
FRAMES, FRAME_WIDTH, FRAME_HEIGHT = 24, 1400, 1000  # strips over time, and pixels of one
POINTS = 300  # of a curve
CURVES = ("generators/", "discriminators/", "held_out/")


def write_report(folder: Path, run: str, found: Evaluation, wrong: str) -> Path:
    """Writes the report of a run into its folder. Returns the file.

    Args:
        folder: Of the run.
        run: As it was named for the evaluation.
        found: The evaluation, of this run and perhaps others.
        wrong: What is wrong with the run, as `diagnosis_text` says it.

    Raises:
        BadInput: the folder holds a report.html that is none of Quagga's, or it cannot be written.
    """
    path = folder / REPORT
    if path.exists() and MARK not in path.read_bytes()[:1024]:
        raise BadInput(f"{path} is no report of Quagga's: move it away, or --report false")
    blocks = [block for block in found.blocks if own_column(block, run)]
    lines = "".join(f"<li>{escape(line)}</li>" for line in wrong.splitlines())
    faults = f"<section><h2>What is wrong</h2><ul>{lines}</ul></section>"
    text = "How the run's held-out pictures changed while it trained, and how good they are at the end."
    sections = "".join([*(_block(block, run) for block in blocks), faults, _settings(config_of(run) or {})])
    try:
        write_training_page(path, run, text, {}, strips(folder), {}, curves(folder), sections)
    except OSError as error:
        raise BadInput(f"cannot write {path} ({error.strerror}): --report false leaves it out") from None
    return path


def own_column(block: Block, run: str) -> Column | None:
    """Returns the column of one run; None where it has none in this block."""
    return next((column for column in block.columns if column.kind == "run" and column.name == run), None)


# -- what the run has left -------------------------------------------------------------------------------------------


def strips(folder: Path) -> list[Frame]:
    """Returns the strips that a run has drawn, spread over its time: those moments that have all kinds of strips."""
    by_time: dict[int, dict[str, Path]] = {}
    for path in sorted((folder / "samples").glob("*.png")):
        seen, _, title = path.stem.partition(" ")
        if seen.isdigit() and title:
            by_time.setdefault(int(seen), {})[title] = path
    most = max(map(len, by_time.values()), default=0)
    moments = sorted(seen for seen, found in by_time.items() if len(found) == most)
    chosen = sorted({moments[round(n)] for n in np.linspace(0, len(moments) - 1, min(FRAMES, len(moments)))})
    return [Frame(seen, {title: _sheet(path)[None] for title, path in by_time[seen].items()}) for seen in chosen]


def _sheet(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        picture = image.convert("RGB")
        picture.thumbnail((FRAME_WIDTH, FRAME_HEIGHT))
        return np.asarray(picture)


def curves(folder: Path) -> list[Curve]:
    """Returns the curves of a run's TensorBoard files, thinned."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": POINTS, "images": 1})
    events.Reload()
    names = [name for begin in CURVES for name in sorted(events.Tags()["scalars"]) if name.startswith(begin)]
    found = []
    for name in names:
        points = [(point.step, point.value) for point in events.Scalars(name) if np.isfinite(point.value)]
        found.append(Curve(name, "", points))
    return found


def _settings(config: Mapping[str, Any]) -> str:
    if not config:
        return ""
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in config.items()
    )
    return f"<section><details><summary>Settings</summary><table>{rows}</table></details></section>"


# -- how good it is --------------------------------------------------------------------------------------------------


def _block(block: Block, run: str) -> str:
    column = own_column(block, run)
    assert column is not None
    protocol = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in block.protocol.items())
    lines = [*block.bench.notices, *block.comparisons()]
    said = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f"<section><h2>{escape(block.bench.title)}</h2>{_table(block)}<ul>{said}</ul>"
        f"<details><summary>How it was done</summary><dl>{protocol}</dl></details>{_pictures(block, column)}</section>"
    )


def _table(block: Block) -> str:
    head = "".join(f"<th>{escape(column.name)}</th>" for column in block.columns)
    rows = []
    for measure in block.measured:
        cells = [shown_figure(measure, column.summary(measure)) for column in block.columns]
        title = f'<th title="{escape(measure.text)}">{escape(measure.title)}{_arrow(measure)}</th>'
        rows.append(f"<tr>{title}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    said = "".join(f"<li>{escape(measure.title)}: {escape(measure.text)}</li>" for measure in block.measured)
    return (
        f'<div class="wide"><table class="figures"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
        f"<p>In brackets: intervals of 95 %. &uarr; higher is better, &darr; lower is better.</p>"
        f"<details><summary>What the figures say</summary><ul>{said}</ul></details>"
    )


def _arrow(measure: Measure) -> str:
    return {"higher": " &uarr;", "lower": " &darr;", "": ""}[measure.better]


def _pictures(block: Block, column: Column) -> str:
    columns = picture_columns(block, column)
    count = len(next(iter(columns.values())))
    spread = sorted({round(n) for n in np.linspace(0, count - 1, min(EXAMPLES, count))})
    parts = ["<h3>Pictures</h3>", _figures(columns, spread)]
    for measure in block.bench.measures:
        found = column.figures.get(measure.title)
        each = found[0].each if found else None
        if each is None or len(each) != count or count < 2 * EXTREMES or not measure.better:
            continue
        order = np.argsort(each if measure.better == "lower" else -each, kind="stable")
        for title, chosen in (("Best", order[:EXTREMES]), ("Worst", order[-EXTREMES:][::-1])):
            parts += [f"<h3>{title} by {escape(measure.title)}</h3>", _figures(columns, chosen.tolist())]
    return "".join(parts)


def picture_columns(block: Block, column: Column) -> dict[str, Tensor]:
    """Returns what is shown side by side: before, after, the way back, the truth; (N, C, S, S) each."""
    shown = column.shown
    assert shown is not None
    columns = {**block.bench.before, column.name: shown.pictures}
    columns |= {"way back": shown.back} if shown.back is not None else {}
    return columns | dict(block.bench.after)


def _figures(columns: Mapping[str, Tensor], chosen: Sequence[int]) -> str:
    """What is shown of each source, in groups beside one another."""
    boxes = []
    for group in ([number] for number in chosen):
        figures = "".join(
            f'<figure><figcaption>{escape(title)}</figcaption><img alt="{escape(title)}" src="{picture}"></figure>'
            for title, picture in _addresses(columns, group)
        )
        boxes.append(f'<div class="pictures">{figures}</div>')
    return f'<div class="groups">{"".join(boxes)}</div>'


def _addresses(columns: Mapping[str, Tensor], chosen: Sequence[int]) -> Iterator[tuple[str, str]]:
    for title, pictures in columns.items():
        part = _visible(pictures[torch.tensor(chosen)])
        if part.shape[-1] > SIDE:
            part = F.interpolate(part, size=SIDE, mode="area")
        yield title, data_address(np.concatenate(to_uint8(part)))


def _visible(pictures: Tensor) -> Tensor:
    """(N, C, S, S) -> (N, 3, S, S): grey as colours, the first three of many channels."""
    return pictures[:, :3] if pictures.shape[1] >= 3 else pictures[:, :1].expand(-1, 3, -1, -1)
