"""The result of an evaluation: blocks of figures that may be compared, as text and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from quagga import __version__
from quagga.evaluation.benches.bench import Bench
from quagga.evaluation.measures.figures import Figure, difference, over_seeds
from quagga.evaluation.measures.measure import Measure, Shown

COLUMNS = 4  # beside one another, in a terminal
MOST_COMPARED = 6  # pairs of runs that are compared in words

ColumnKind = Literal["real", "run", "seeds", "fake", "nothing"]


@dataclass(frozen=True)
class Column:
    """One thing that is judged: real pictures, a run, runs of several seeds, another program, or doing nothing.

    Args:
        name: As the table calls it.
        kind: What it is.
        figures: Title of a measure -> its figures, one for each seed.
        shown: Its pictures; of several seeds None.
        members: Names of the runs of several seeds.
    """

    name: str
    kind: ColumnKind
    figures: dict[str, list[Figure]]
    shown: Shown | None = None
    members: tuple[str, ...] = ()

    def summary(self, measure: Measure) -> tuple[float, tuple[float, float] | None] | None:
        """Returns a figure and its interval of 95 %; None where it does not apply."""
        found = self.figures.get(measure.title)
        if not found:
            return None
        figure, interval = over_seeds(found)
        return figure.value, interval


@dataclass(frozen=True)
class Block:
    """Figures of one protocol.

    Args:
        bench: By which they were made.
        columns: Real pictures first, doing nothing last.
        checkpoints: Name of a run -> which of its models was judged, and how it was chosen.
        key: What figures of other blocks have not in common with these.
    """

    bench: Bench
    columns: list[Column]
    checkpoints: dict[str, str]
    key: str = ""

    @property
    def protocol(self) -> dict[str, str]:
        """How it was done."""
        chosen = {f"checkpoint of {name}": text for name, text in self.checkpoints.items()}
        return dict(self.bench.protocol) | chosen | VERSIONS

    @property
    def measured(self) -> list[Measure]:
        """The measures that some column has a figure of."""
        return [one for one in self.bench.measures if any(one.title in column.figures for column in self.columns)]

    def comparisons(self) -> list[str]:
        """Returns what can be told apart, in sentences."""
        lines = []
        runs = [column for column in self.columns if column.kind in ("run", "seeds", "fake")]
        in_seeds = {name for column in runs for name in column.members}
        runs = [column for column in runs if column.kind != "run" or column.name not in in_seeds]
        for column in runs:
            for other in self.columns:
                if other.kind in ("real", "nothing") and (line := self._untold(column, other)):
                    lines.append(line)
        pairs = [(a, b) for n, a in enumerate(runs) for b in runs[n + 1 :]][:MOST_COMPARED]
        return lines + [line for a, b in pairs for line in self._compared(a, b)]

    def _untold(self, column: Column, other: Column) -> str | None:
        same = [measure.title for measure, told in self._told(column, other) if told is None]
        if not same:
            return None
        return f"{column.name} cannot be told from {other.name} by: {'; '.join(same)}"

    def _compared(self, a: Column, b: Column) -> list[str]:
        told = self._told(a, b)
        seeds = [len(next(iter(column.figures.values()), [])) for column in (a, b)]
        pictures = len(self.bench.names)
        with_what = f"with {pictures} pictures and {_seeds_in_words(min(seeds))} each"
        lines = []
        for first, second, wanted in ((a, b, True), (b, a, False)):
            if better := [measure.title for measure, is_first in told if is_first is wanted]:
                lines.append(f"{first.name} scores better than {second.name} by: {'; '.join(better)} ({with_what})")
        if same := [measure.title for measure, is_first in told if is_first is None]:
            lines.append(f"{a.name} and {b.name} cannot be told apart {with_what} by: {'; '.join(same)}")
        if lines and max(seeds) == 1:
            lines.append("how much another seed changes is not known of one run each: train both with a second --seed")
        return lines

    def _told(self, a: Column, b: Column) -> list[tuple[Measure, bool | None]]:
        """Of each measure with a better side: whether `a` is the better one; None where nobody knows."""
        found = []
        for measure in self.bench.measures:
            mine, theirs = a.figures.get(measure.title), b.figures.get(measure.title)
            if not measure.better or not mine or not theirs:
                continue
            if (apart := difference(mine, theirs)) is None:
                continue
            value, half = apart
            better = None if abs(value) <= half else (value > 0) == (measure.better == "higher")
            found.append((measure, better))
        return found

    def to_json(self) -> dict[str, Any]:
        """Returns the block as plain data."""
        return {
            "title": self.bench.title,
            "protocol": self.protocol,
            "notices": list(self.bench.notices),
            "measures": [
                {"title": measure.title, "better": measure.better or None, "text": measure.text}
                for measure in self.bench.measures
            ],
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "figures": {
                        measure.title: _figure_json(column.summary(measure)) for measure in self.bench.measures
                    },
                }
                for column in self.columns
            ],
            "comparisons": self.comparisons(),
        }

    def to_text(self) -> str:
        """Returns the block as lines for a terminal."""
        middle = [column for column in self.columns if column.kind in ("run", "seeds", "fake")]
        edges = [column for column in self.columns if column.kind in ("real", "nothing")]
        room = max(1, COLUMNS - len(edges))
        lines = [self.bench.title, ""]
        for start in range(0, max(1, len(middle)), room):
            part = middle[start : start + room]
            columns = [c for c in self.columns if c in part or c in edges]
            lines += [*_grid(self.measured, columns), ""]
        lines += [f"  {measure.title}: {measure.text}{_better(measure)}" for measure in self.measured]
        lines += ["", "In brackets: 95 % intervals. How it was done:"]
        lines += [f"  {name}: {text}" for name, text in self.protocol.items()]
        lines += [f"  {line}" for line in self.bench.notices]
        if told := self.comparisons():
            lines += ["", *told]
        return "\n".join(lines)


VERSIONS = {"quagga": f"{__version__}, torch {torch.__version__}; seed 0 of classifiers, patches and intervals"}


@dataclass(frozen=True)
class Evaluation:
    """What `quagga.evaluate` returns.

    Args:
        blocks: Figures that may be compared stand in one block.
    """

    blocks: list[Block]

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as plain data."""
        return {"blocks": [block.to_json() for block in self.blocks]}

    def __str__(self) -> str:
        texts = [block.to_text() for block in self.blocks]
        if len({block.key for block in self.blocks}) > 1:
            texts.append(
                "Figures of different blocks cannot be compared: their pictures, sizes or directions are not the same."
            )
        return "\n\n".join(texts)


def shown_figure(measure: Measure, summary: tuple[float, tuple[float, float] | None] | None) -> str:
    """Returns a figure with its interval as text: "41.3 (30.0 to 53.2)"; "-" where it does not apply."""
    if summary is None:
        return "-"
    factor = 100 if measure.percent else 1
    value, interval = summary

    def text(number: float) -> str:
        return f"{round(number * factor, measure.digits) + 0.0:.{measure.digits}f}"  # not -0.0

    if interval is None:
        return text(value)
    low = max(interval[0], 0.0) if measure.never_negative else interval[0]
    return f"{text(value)} ({text(low)} to {text(interval[1])})"


def _grid(measures: Sequence[Measure], columns: Sequence[Column]) -> list[str]:
    cells = [["", *(column.name for column in columns)]]
    for measure in measures:
        cells.append([measure.title, *(shown_figure(measure, column.summary(measure)) for column in columns)])
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _better(measure: Measure) -> str:
    return f"; {measure.better} is better" if measure.better else ""


def _seeds_in_words(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _figure_json(summary: tuple[float, tuple[float, float] | None] | None) -> dict[str, float] | None:
    if summary is None:
        return None
    value, interval = summary
    return {"value": value} | ({"low": interval[0], "high": interval[1]} if interval else {})
