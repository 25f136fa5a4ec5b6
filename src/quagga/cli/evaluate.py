"""`quagga evaluate`: how good runs are, beside real pictures and beside doing nothing."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quagga.cli.options.positional import parse_line
from quagga.cli.output.output_files import Existing, outputs_to_keep
from quagga.errors import BadInput


@dataclass(frozen=True)
class EvaluateOptions:
    """Say how good runs are: held-out pictures, between what real ones score and what doing nothing does.

    Args:
        real: data set to judge with, in the layout that the run was trained on; None: the run's own, of which it judges
            by what was held out.
        fake: folder of what another program has made of the same pictures, each called as its source, to be judged
            beside the runs.
        pictures: held-out pictures that are judged, at most.
        split: half of the held-out pictures that is judged, where they are 60 or more; report: the half that chooses no
            checkpoint; choose: the other half; all: both.
        features: also measure distances in the features of a network that knows photos; lite0 comes with the extras
            metrics and features; inception (FID), dinov2 and clip need metrics, and download their weights once.
        json: file for all figures with their intervals and how they were made.
        report: whether RUN/report.html is written, a page with curves, pictures and the table.
        existing: what to do with a file --json that exists; error refuses before any work.
        device: cuda, cuda:1, mps or cpu; None takes the best there is.
    """

    real: str | None = None
    fake: str | None = None
    pictures: int = 240
    split: Literal["report", "choose", "all"] = "report"
    features: Literal["none", "lite0", "inception", "dinov2", "clip"] = "none"
    json: str | None = None
    report: bool = True
    existing: Existing = "error"
    device: str | None = None


def main(argv: Sequence[str]) -> int:
    """Runs `quagga evaluate ARGV...`. Returns 0."""
    runs, chosen = parse_line(argv, "quagga evaluate RUN [RUN ...]", EvaluateOptions)
    if not runs and not (chosen.real and chosen.fake):
        raise BadInput("name a run, or both --real DIR and --fake DIR: quagga evaluate RUN [RUN ...]")
    file = None if chosen.json is None else Path(chosen.json).expanduser()
    if file and outputs_to_keep([file], chosen.existing):
        print(f"{file} exists and is kept")
        file = None
    # Torch takes two seconds, which a misspelt option need not wait for.
    from quagga.atomic import write_file
    from quagga.evaluation.evaluate import evaluate, folder_of_report
    from quagga.evaluation.page.report import write_report
    from quagga.evaluation.run_diagnoses import diagnosis_text

    found = evaluate(
        *runs,
        real=chosen.real,
        fake=chosen.fake,
        pictures=chosen.pictures,
        split=chosen.split,
        features=chosen.features,
        device=chosen.device,
        progress=lambda doing: print(f"{doing} ...", file=sys.stderr, flush=True),
    )
    print(found)
    if file:
        write_file(file, json.dumps(found.to_json(), indent=2).encode())
        print(f"\nall figures: {file}")
    for run in runs:
        if (folder := folder_of_report(run)) is not None:
            wrong = diagnosis_text(folder)
            print("", *(f"{run}: {line}" for line in wrong.splitlines()), sep="\n")
            if chosen.report:
                print(f"the report, to open in a browser: {write_report(folder, run, found, wrong)}")
    return 0
