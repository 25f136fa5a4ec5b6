"""What is said while a run trains is read of its folder too, and saying it changes nothing."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_run
from tiny_run import left, words

from quagga.cli.main import command_line
from quagga.diagnoses import proven, readings
from quagga.errors import BadInput
from quagga.evaluation.run_diagnoses import NOTHING, diagnose, diagnosis_text, read_readings
from quagga.training.reporting import diagnosis_watch

LONG = {"images": 30, "sample_every": 3, "lr": 1e-9, "lr_discriminator": 0.02, "batch_size": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_run.pictures(tmp_path_factory.mktemp("set"))


def quick(patch: pytest.MonkeyPatch) -> None:
    """Lets verdicts come within a tiny run."""
    patch.setattr(readings, "PATIENCE_STEPS", 6)
    patch.setattr(readings, "OPENING_STEPS", 3)


def test_a_fault_is_said_once_and_read_again_and_changes_no_number(root, tmp_path, monkeypatch, capsys):
    assert command_line([*words(root, tmp_path / "quiet", **LONG)]) == 0
    assert "diagnosis:" not in capsys.readouterr().out  # so short a run is judged by nobody
    quick(monkeypatch)
    monkeypatch.setattr(proven, "D_WON", 0.6)
    monkeypatch.setattr(proven, "LOSS_LEFT", 1.1)
    monkeypatch.setattr(proven, "COPY_CHANGE", -1)
    assert command_line([*words(root, tmp_path / "said", **LONG)]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "D has won" in line]
    assert len(said) == 1 and "--lr_discriminator 0.005" in said[0]
    [fault] = [fault for fault in diagnose(tmp_path / "said") if fault.name == "D has won"]
    assert fault.line().partition(":")[0] == "diagnosis" and fault.line() in diagnosis_text(tmp_path / "said")
    assert left(tmp_path / "quiet").keys() == left(tmp_path / "said").keys()
    assert tiny_run.differing(left(tmp_path / "quiet"), left(tmp_path / "said")) == 0


def test_a_run_that_is_watched_is_the_run_that_is_not(root, tmp_path, monkeypatch):
    assert command_line([*words(root, tmp_path / "watched", images=12)]) == 0
    monkeypatch.setattr(diagnosis_watch.DiagnosisWatch, "add_strips", lambda *_, **__: None)
    monkeypatch.setattr(diagnosis_watch.DiagnosisWatch, "say", lambda *_: None)
    assert command_line([*words(root, tmp_path / "not", images=12)]) == 0
    assert tiny_run.differing(left(tmp_path / "watched"), left(tmp_path / "not")) == 0


def test_what_is_read_is_what_was_watched(root, tmp_path, monkeypatch):
    watched = []

    def kept(self: diagnosis_watch.DiagnosisWatch, seen: int) -> None:
        watched.append(self.readings)

    monkeypatch.setattr(diagnosis_watch.DiagnosisWatch, "say", kept)
    assert command_line([*words(root, tmp_path / "run", images=12)]) == 0
    read = read_readings(tmp_path / "run")
    assert read.minibatch == watched[-1].minibatch and read.curves.keys() == watched[-1].curves.keys()
    assert "strips/x to y/change" in read.curves
    for name, curve in read.curves.items():
        for one, other in zip(curve, watched[-1].curves[name], strict=True):
            assert one.images == other.images and one.value == pytest.approx(other.value, rel=1e-5, abs=1e-5)
    assert diagnosis_text(tmp_path / "run") == NOTHING


def test_a_long_run_is_looked_at_a_few_hundred_times(monkeypatch):
    looks = []
    monkeypatch.setattr(diagnosis_watch, "find_faults", lambda readings: looks.append(readings) or [])
    watch = diagnosis_watch.DiagnosisWatch(SimpleNamespace(say=print), {}, 1)  # pyright: ignore[reportArgumentType]
    for images in range(100, 1_000_001, 100):
        watch.say(images)
    assert 200 < len(looks) < 600
    watch.rewind(500_000)
    watch.say(500_100)
    assert len(looks) < 600 and watch.next_look < 520_000


def test_what_is_no_run_is_refused_in_a_line(tmp_path):
    with pytest.raises(BadInput, match="is no run"):
        diagnose(tmp_path)
    (tmp_path / "config.yaml").write_text("lr: 1")
    with pytest.raises(BadInput, match="has no event files"):
        diagnose(tmp_path)
