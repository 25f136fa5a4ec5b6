"""Before the first step all processes of a run hear whether all can play it, and whether all play the same."""

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import tiny_run

from quagga import __version__
from quagga.cli.main import command_line
from quagga.cli.train import parse_and_train
from quagga.data.synthetic import scenes
from quagga.data.unpaired import Unpaired
from quagga.pipelines import cyclegan
from quagga.training import process_agreement, train
from quagga.training.lock import hold_lock
from quagga.training.process_agreement import shared_settings

PLAYED_IN = "nothing, but another run is played in the folder"
CASES = {  # what is different about process 1 -> its options
    PLAYED_IN: [],
    "other pictures": ["--root=other"],
    "pictures of other names": ["--root=renamed"],
    "other options": ["--batch_size=1", "--log_every=5"],
    "another version": [],
    "no pictures": ["--root=nowhere"],
    "a bug": [],
}
PROGRAM = "from test_process_agreement import play; play()"


def typed(title: str, rank: int) -> list[str]:
    words = tiny_run.words(Path("pictures"), Path(f"runs/{title}"), images=8, batch_size=2)
    return [*words, *(CASES[title] if rank else [])]


def play() -> None:
    """On both processes: writes down what each case raises, then ends as the command line does."""
    rank, raised = int(os.environ["RANK"]), {}
    process_agreement.FAILURE_WAIT = 0
    for title in CASES:
        with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
            if title == PLAYED_IN and rank == 0:
                stack.enter_context(hold_lock(Path(f"runs/{title}")))
            if title == "another version" and rank == 1:
                patch.setattr(process_agreement, "__version__", "0.0.1")
            if title == "a bug" and rank == 1:
                patch.setattr(train, "load_rows", lambda *_: {}["the roof"])
            _, pipeline, *words = typed(title, rank)
            try:
                parse_and_train(pipeline, cyclegan.build, cyclegan.data, words, "quagga train cyclegan")
            except Exception as error:
                raised[title] = f"{type(error).__name__}: {error}"
        Path(f"raised{rank}.json").write_text(json.dumps(raised))
    command_line(typed("other options", rank))


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> tuple[list[dict[str, str]], list[int], list[str]]:
    """Of two processes without a launcher, which would end the second with the first: what each case raised, and the
    exit code and the last words of the command line."""
    home = tmp_path_factory.mktemp("two")
    tiny_run.pictures(home)
    scenes.write(home / "other", train=6, test=4, size=32)
    shutil.copytree(home / "pictures", home / "renamed")
    for path in [*(home / "renamed").rglob("*.png")]:
        path.rename(path.with_stem(f"a {path.stem}"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            cwd=home,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=200)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    raised = [json.loads((home / f"raised{rank}.json").read_text()) for rank in (0, 1)]
    kept = sorted(path.name for path in (home / "runs").iterdir())
    assert kept == [PLAYED_IN], "a run that is refused leaves nothing"
    return raised, [process.returncode for process in processes], said


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("other pictures", ["process 1 differs from process 0: the number of images in an epoch is 6, not 8"]),
        ("pictures of other names", ["the list of pictures is a horse_000"]),
        ("other options", ["--batch_size is 1, not 2", "--log_every is 5, not 3"]),
        ("another version", [f"the version of Quagga is 0.0.1, not {__version__}"]),
    ],
)
def test_a_process_that_differs_is_named_by_all_with_the_difference(ended, title, words):
    (first, second), _, _ = ended
    assert first[title] == second[title] and first[title].startswith("BadInput: process 1 differs from process 0: ")
    assert all(word in first[title] for word in words)


def test_an_error_of_one_process_is_heard_by_the_other(ended):
    (first, second), _, _ = ended
    assert second["no pictures"].startswith("BadInput: there is no folder nowhere")
    assert first["no pictures"] == second["no pictures"].replace(
        "BadInput: ", "BadInput: process 1 has failed before the first step: "
    )
    assert second["a bug"] == "KeyError: 'the roof'"
    assert first["a bug"] == "BadInput: process 1 has failed before the first step: KeyError"
    assert "is in use" in first[PLAYED_IN]
    assert second[PLAYED_IN] == first[PLAYED_IN].replace(
        "BadInput: ", "BadInput: process 0 has failed before the first step: "
    )


def test_the_command_ends_with_2_on_all_processes_and_one_line(ended):
    _, codes, said = ended
    assert codes == [2, 2]
    lines = [[line for line in text.splitlines() if "quagga: error" in line] for text in said]
    assert lines[0] == lines[1] and len(lines[0]) == 1 and "--batch_size is 1, not 2" in lines[0][0]


def test_the_same_pictures_may_lie_elsewhere(tmp_path):
    """As on machines with disks of their own, of which one has more room in memory."""
    here = tiny_run.pictures(tmp_path)
    there = shutil.copytree(here, tmp_path / "another disk" / "of that machine")

    def parts(top: Path, **more: Any) -> dict[str, Any]:
        rows: Any = Unpaired(root=str(top), load_size=20, crop_size=16, x_name="horse", y_name="zebra", workers=0)
        return shared_settings({"root": str(top), "batch_size": 2, **more}, rows, 8)

    assert parts(here, workers=0) == parts(there, workers=3, cache="ram")
    first = next((there / "trainA").iterdir())
    first.rename(first.with_stem("b"))
    assert parts(here)["the list of pictures"] != parts(there)["the list of pictures"]
