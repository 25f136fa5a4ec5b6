"""What a look at a set has found, and how it is told."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quagga.data.clean import Entry

SHOWN = 3  # names of each finding, where not all are asked for


class Finding(NamedTuple):
    """Something to know, and what to do."""

    what: str
    names: list[str]
    advice: str
    fatal: bool = False  # a training would stop
    files: Sequence[Path] = ()  # that it would stop at


class Report(NamedTuple):
    """What there is to say of a set."""

    head: list[str]  # tables and notices
    findings: list[Finding]
    options: str  # that training needs for these pictures
    entries: list[Entry] | None  # what a list of them would hold, see `quagga.data.clean`; None: they are no files
    names: Mapping[str, str]  # of the sides, "x" and "y", where that is more than their letters
    refused: str = ""  # why a training would stop, where no finding tells

    @property
    def lines(self) -> list[str]:
        """All of it, of each finding the first three names."""
        return [*self.head, *stated(self.findings, SHOWN)]

    @property
    def in_full(self) -> list[str]:
        """All of it, with all names."""
        return [*self.head, *stated(self.findings)]

    @property
    def warnings(self) -> int:
        """How many findings would not stop a training."""
        return sum(not finding.fatal for finding in self.findings)

    @property
    def fatal(self) -> str:
        """One line that says why a training would stop, or nothing."""
        return next((finding.what for finding in self.findings if finding.fatal), self.refused)


def stated(findings: Iterable[Finding], shown: int | None = None) -> list[str]:
    """What was found, in lines; of each finding so many names, or all."""
    lines = []
    for finding in findings:
        lines += ["", f"{'ERROR' if finding.fatal else 'warning'}: {finding.what}: {finding.advice}"]
        lines += [f"    {name}" for name in finding.names[:shown]]
        if shown is not None and len(finding.names) > shown:
            lines.append(f"    and {len(finding.names) - shown:,} more")
    return lines


def useless_files(findings: Iterable[Finding]) -> set[Path]:
    """The files that a training would stop at."""
    return {path for finding in findings for path in finding.files}


def not_there(files: Sequence[str]) -> list[Finding]:
    """What is to be said of files that a table names and that are not there."""
    if not files:
        return []
    what = f"{pictures(len(files))} of the table {'is' if len(files) == 1 else 'are'} not there"
    return [Finding(what, list(files), "mend the table, or train with --unreadable skip", fatal=True)]


def pictures(count: int) -> str:
    """So many pictures, in words."""
    return "1 picture" if count == 1 else f"{count:,} pictures"
