"""The findings of a check, and the report that is printed of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quagga.data.checks.clean_list import Entry

MOST_NAMED = 3  # names that a report shows of each finding, unless all are asked for


class Finding(NamedTuple):
    """A problem, where it occurs, and the next move."""

    what: str
    names: list[str]  # of the files, classes or attributes that have it
    advice: str
    fatal: bool = False  # whether training would refuse the set
    files: Sequence[Path] = ()  # the files that training would refuse


class Report(NamedTuple):
    """The result of a check."""

    head: list[str]  # lines of tables and notices
    findings: list[Finding]
    options: str  # options that training needs for these pictures; "": none
    entries: list[Entry] | None  # for a list of the pictures, see `clean_list`; None: they are not files
    names: Mapping[str, str]  # "x" and "y" -> the side's name; empty where the sides have no other names
    refused: str = ""  # why training would refuse the set, where no finding says so

    @property
    def lines(self) -> list[str]:
        """All lines, with the first MOST_NAMED names of each finding."""
        return [*self.head, *finding_lines(self.findings, MOST_NAMED)]

    @property
    def in_full(self) -> list[str]:
        """All lines, with all names."""
        return [*self.head, *finding_lines(self.findings)]

    @property
    def warnings(self) -> int:
        """The number of findings with which training would start."""
        return sum(not finding.fatal for finding in self.findings)

    @property
    def fatal(self) -> str:
        """Why training would refuse the set, in one line; "" if it would not."""
        return next((finding.what for finding in self.findings if finding.fatal), self.refused)


def finding_lines(findings: Iterable[Finding], shown: int | None = None) -> list[str]:
    """Returns the lines of findings, with at most `shown` names of each; None: all names."""
    lines = []
    for finding in findings:
        lines += ["", f"{'ERROR' if finding.fatal else 'warning'}: {finding.what}: {finding.advice}"]
        lines += [f"    {name}" for name in finding.names[:shown]]
        if shown is not None and len(finding.names) > shown:
            lines.append(f"    and {len(finding.names) - shown:,} more")
    return lines


def refused_files(findings: Iterable[Finding]) -> set[Path]:
    """Returns the files that training would refuse."""
    return {path for finding in findings for path in finding.files}


def missing_files(files: Sequence[str]) -> list[Finding]:
    """Returns the finding about files that a table names and that do not exist; [] if there are none."""
    if not files:
        return []
    what = f"{count_in_words(len(files))} of the table {'is' if len(files) == 1 else 'are'} not there"
    return [Finding(what, list(files), "mend the table, or train with --unreadable skip", fatal=True)]


def count_in_words(count: int) -> str:
    """Returns "1 picture", "2 pictures", ..."""
    return "1 picture" if count == 1 else f"{count:,} pictures"
