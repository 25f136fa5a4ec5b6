"""What goes wrong in the night: numbers that are not finite, a full disk, a second run in the same folder."""

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nonfinite
import pytest
import survival
import tiny_run
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter
from tiny_run import words

from quagga.cli.main import command_line
from quagga.inference.model_files.model_folder import read_model
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training import checkpoint
from quagga.training.lock import hold_lock
from quagga.training.loop import TrainingLoop


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_run.pictures(tmp_path_factory.mktemp("set"))


def train(root: Path, output: Path, *typed: str, **options: object) -> int:
    return command_line([*words(root, output, **{"images": 24, **options}), *typed])


@pytest.fixture
def poisoned(monkeypatch):
    """Pictures of these rows are not finite; those that have been read."""
    rows, original = set(), Trainer._to_device
    read: list[int] = []

    def poison(trainer, batch):
        batch = original(trainer, batch)
        if "row" in batch and trainer.row:
            number = int(batch["row"][0])
            read.append(number)
            if number in rows and number == trainer.row - trainer.minibatch:  # not the strips'
                batch["x"] = batch["x"] * float("nan")
        return batch

    monkeypatch.setattr(Trainer, "_to_device", poison)
    return rows, read


def test_a_rollback_goes_on_after_the_rows_that_did_it(root, tmp_path, poisoned, capsys):
    rows, read = poisoned
    rows.add(16)
    assert train(root, tmp_path / "run", "--on_nonfinite=rollback") == 0
    said = capsys.readouterr().out
    assert "not finite after 16 images" in said and "horse_" in said and "Back to 000000014" in said
    assert read.count(16) == 1  # never read again
    state = checkpoint.load(checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1])
    assert state["counters"]["images_seen"] == 24 and state["counters"]["row"] == 24 + 17 - 14
    assert all(p.isfinite().all() for network in state["generators"].values() for p in network.values())
    events = EventAccumulator(str(tmp_path / "run"), size_guidance={"scalars": 0})
    events.Reload()
    steps = [point.step for point in events.Scalars("generators/G")]
    assert steps == sorted(set(steps)) and steps[-1] == 24


def test_a_rollback_before_the_first_save_goes_back_to_the_beginning(root, tmp_path, poisoned, capsys):
    rows, _ = poisoned
    rows.add(2)
    assert train(root, tmp_path / "run", "--on_nonfinite=rollback", images=9) == 0
    assert "Back to 000000000" in capsys.readouterr().out


def test_what_comes_back_each_time_stops_the_run(root, tmp_path, poisoned, capsys):
    rows, _ = poisoned
    rows.update(range(8, 1000))
    assert train(root, tmp_path / "run", "--on_nonfinite=rollback") == 2
    assert "after 3 returns to" in capsys.readouterr().err


def test_stopping_names_term_images_and_files(root, tmp_path, poisoned, capsys):
    rows, _ = poisoned
    rows.add(10)
    assert train(root, tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert "generators/cycle_x" in said and "not finite after 10 images" in said and "horse_" in said
    assert [path.name for path in checkpoint.list_saved(tmp_path / "run" / "checkpoints")] == ["000000007"]


def test_everything_planted_is_caught_and_nothing_else():
    outcome = nonfinite.planted()
    assert outcome == (20, 20, 0, 0)
    assert nonfinite.false_alarms(50) == 0


def full(*_arguments, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_and_the_run_goes_on(root, tmp_path, monkeypatch, capsys):
    save, calls = checkpoint.save_file, []

    def once(*arguments):
        calls.append(1)
        return full() if len(calls) == 2 else save(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", once)
    assert train(root, tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "could not save at 14 images" in said and "the last checkpoint is 000000007; the run goes on" in said
    names = [path.name for path in checkpoint.list_saved(tmp_path / "run" / "checkpoints")]
    assert names == ["000000007", "000000021", "000000024"]


def test_a_disk_that_is_full_to_the_end_is_an_error(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "save_file", full)
    assert train(root, tmp_path / "run", images=9) == 2
    assert "could not save at 9 images" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_curves_that_cannot_be_written_are_said_and_come_back(root, tmp_path, monkeypatch, capsys):
    write, calls = RecordWriter.write, []

    def sometimes(writer, data):
        calls.append(1)
        return full() if 20 <= len(calls) < 22 else write(writer, data)

    monkeypatch.setattr(RecordWriter, "write", sometimes)
    assert train(root, tmp_path / "run", images=60, log_every=1) == 0
    said = capsys.readouterr().out
    assert said.count("TensorBoard's file cannot be written") >= 1 and "the run goes on" in said
    events = EventAccumulator(str(tmp_path / "run"), size_guidance={"scalars": 0})
    events.Reload()
    assert events.Scalars("generators/G")[-1].step == 60


@contextmanager
def amid(images: int, action: Callable[[], object]) -> Iterator[None]:
    """Within, a run does something after so many images."""
    after_step = TrainingLoop.after_step

    def acting(play: TrainingLoop, seen: int) -> None:
        if seen == images:
            action()
        after_step(play, seen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLoop, "after_step", acting)
        yield


def names(run: Path) -> list[str]:
    return [path.name for path in checkpoint.list_saved(run / "checkpoints")]


def test_a_model_that_cannot_be_written_keeps_no_checkpoint_from_being_written(root, tmp_path, capsys):
    run = tmp_path / "run"
    with amid(3, lambda: (run / "model").symlink_to("/dev/null/model")):  # where nobody can make a folder
        assert train(root, run) == 2
    said = capsys.readouterr()
    assert "could not write the model at 7 images: " in said.out and "the next save tries again" in said.out
    assert "could not write the model at 24 images: " in said.err and "then the same command writes it" in said.err
    assert names(run) == ["000000014", "000000021", "000000024"]
    (run / "model").unlink()
    tiny_run.another_second()
    assert train(root, run) == 0  # nothing is left to play, but the model
    assert read_model(run).images_seen == 24


def test_a_signal_is_obeyed_where_the_model_cannot_be_written(root, tmp_path, capsys):
    run = tmp_path / "run"
    with amid(3, lambda: (run / "model").symlink_to("/dev/null/model")), tiny_run.signalled(signal.SIGTERM, 5):
        assert train(root, run) == 143
    assert "saved, and the same command goes on" in capsys.readouterr().err and names(run) == ["000000005"]


def broken(*_arguments, **_options):
    raise ZeroDivisionError("a bug")


@pytest.mark.parametrize(
    "place",
    [
        "pipelines.core.minimax_trainer.Trainer.examine",
        "training.loop.TrainingLoop.show_strips",
        "training.train.save_model",
        "training.reporting.tensorboard_logger.Logger.scalars",
    ],
)
def test_whatever_is_raised_between_a_due_save_and_the_save_it_saves_first(root, tmp_path, monkeypatch, capsys, place):
    run = tmp_path / "run"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # for the traceback
    with amid(12, lambda: monkeypatch.setattr(f"quagga.{place}", broken)):
        assert train(root, run, save_every=6, sample_every=6) == 1
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err
    assert names(run) == ["000000006", "000000012"]
    monkeypatch.undo()
    state = checkpoint.load(run / "checkpoints" / "000000012")
    assert state["counters"]["images_seen"] == 12 and state["owed"] == place.endswith("examine")


def test_samples_that_cannot_be_kept_do_not_end_a_run(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("quagga.training.loop.write_sample_sheets", full)
    assert train(root, tmp_path / "run", images=4) == 0
    assert "samples could not be kept" in capsys.readouterr().out


def test_a_second_run_in_the_same_folder_is_refused(root, tmp_path, capsys):
    with hold_lock(tmp_path / "run"):
        assert train(root, tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'run'} is in use by process {os.getpid()}" in said
    assert train(root, tmp_path / "run", images=2) == 0
    assert not (tmp_path / "run" / ".owner").exists()


@pytest.mark.parametrize("fate", ["deleted", "moved", "given to another run"])
def test_a_run_whose_folder_is_gone_stops_and_writes_nothing_more(root, tmp_path, capsys, fate):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    with ExitStack() as stack:

        def take() -> None:
            shutil.rmtree(run) if fate == "deleted" else run.rename(elsewhere)
            if fate == "given to another run":
                stack.enter_context(hold_lock(run))
                (run / "model").mkdir()

        with amid(10, take):
            assert train(root, run) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert f"{run} was deleted, moved or given to another run" in line
        there = sorted(path.name for path in run.rglob("*")) if run.exists() else []
        assert there == ([".lock", ".owner", "model"] if fate == "given to another run" else [])
        assert fate != "given to another run" or not list((run / "model").iterdir())
    if fate == "moved":
        assert names(elsewhere) == ["000000007"]
        elsewhere.rename(run)
        tiny_run.another_second()
        assert train(root, run) == 0
        assert names(run)[-1] == "000000024"


def test_the_best_by_another_curve_does_not_count(root, tmp_path, capsys):
    """Of a number near 0 the lowest is far lower than of one near 10."""
    run, other = tmp_path / "run", ["--keep_best=generators/total"]
    assert train(root, run, "--keep_best=speed/seconds_waiting_for_data", images=7, pool_size=0) == 0
    tiny_run.another_second()
    with tiny_run.signalled(signal.SIGTERM, 2):  # readings, but no score yet
        assert train(root, run, *other, images=14, pool_size=0) == 143
    stays = f"{run / 'best'} stays the model that was best by speed/seconds_waiting_for_data, until a checkpoint has a"
    assert f"{stays} score of generators/total" in capsys.readouterr().out
    assert read_model(run / "best").images_seen == 7
    tiny_run.another_second()
    assert train(root, run, *other, images=14, pool_size=0) == 0
    assert read_model(run / "best").images_seen == 14


def test_the_best_is_kept_and_has_a_model(root, tmp_path, capsys):
    import quagga

    assert train(root, tmp_path / "run", "--keep_best=gradient/generators", "--keep=1", images=42) == 0
    folder = tmp_path / "run" / "checkpoints"
    best = checkpoint.best(folder)
    kept = checkpoint.list_saved(folder)
    assert best in kept and kept[-1].name == "000000042" and len(kept) <= 2
    state = checkpoint.load(best)["averages"]["G"]
    weights = quagga.load(tmp_path / "run" / "best", to="y", device="cpu").network.state_dict()
    assert all(torch.equal(state[key], weights[key]) for key in weights)
    assert train(root, tmp_path / "other", "--keep_best=generators/cycel_x") == 2
    assert "did you mean generators/cycle_x?" in capsys.readouterr().err


def test_a_run_says_since_when_nothing_was_better_and_ends_there_if_asked(root, tmp_path, capsys):
    """By a curve that rises from the first checkpoint on: the passes through the data."""
    run, options = tmp_path / "run", {"save_every": 6, "images": 48}
    assert train(root, run, "--keep_best=speed/epoch", **options) == 0
    said = capsys.readouterr().out
    lowest = f"speed/epoch was lowest at 6 images, 12 ago: {run / 'best'} is that model"
    assert said.count(lowest) == 1 == said.count("was lowest at") and f"{lowest}; rates that fall" in said
    assert f"{run / 'best'} is the model of 6 images, when speed/epoch was lowest" in said
    assert read_model(run / "model").images_seen == 48
    picture = next((root / "testA").iterdir())
    lines = []
    for taken in (run, run / "best", run / "model"):
        assert command_line(["translate", str(taken), str(picture), f"--output={tmp_path / taken.name}"]) == 0
        lines += [line for line in capsys.readouterr().err.splitlines() if " is taken, " in line]
    [line] = lines  # nothing to say where one of the two is named
    assert f"of 48 images; {run / 'best'} is of 6, when speed/epoch was lowest: quagga translate {run / 'best'}" in line

    run = tmp_path / "ended"
    assert train(root, run, "--keep_best=speed/epoch", "--stop_when=no_better", **options) == 0
    assert "12 ago" in (said := capsys.readouterr().out) and "the run ends here, at 18 of 48" in said
    assert read_model(run / "model").images_seen == 18 and read_model(run / "best").images_seen == 6
    tiny_run.another_second()
    assert train(root, run, "--keep_best=speed/epoch", "--stop_when=no_better", **options) == 0
    assert "the run ends here, at 18 of 48" in capsys.readouterr().out  # by the same command, too
    assert read_model(run / "model").images_seen == 18
    assert train(root, tmp_path / "other", "--stop_when=no_better") == 2
    assert "by which curve? Say --keep_best held_out/patches_y" in capsys.readouterr().err


def test_a_worker_that_dies_costs_nothing_that_was_played(root, tmp_path, monkeypatch, capsys):
    from quagga.data.unpaired import Unpaired

    sample = Unpaired.sample

    def dying(source, row):
        if row == 12:
            os._exit(7)
        return sample(source, row)

    with monkeypatch.context() as patch:
        patch.setattr(Unpaired, "sample", dying)
        assert train(root, tmp_path / "run", workers=1) == 2
    said = capsys.readouterr().err
    assert "exited with code 7" in said and "row 12" in said and "horse_" in said and len(said.splitlines()) == 1
    # the worker was up to two rows ahead; the checkpoint before was that of 7 images
    assert 10 <= int(checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1].name) <= 12
    assert train(root, tmp_path / "run", workers=1) == 0


def test_a_held_out_picture_that_goes_keeps_no_run_from_saving(tmp_path, monkeypatch):
    root = tiny_run.pictures(tmp_path)
    from quagga.training.loop import TrainingLoop

    after_step = TrainingLoop.after_step

    def losing(play, seen):
        if seen == 3:
            for path in (root / "testA").iterdir():
                path.unlink()
        after_step(play, seen)

    monkeypatch.setattr(TrainingLoop, "after_step", losing)
    assert train(root, tmp_path / "run", images=16) == 0
    assert [path.name for path in checkpoint.list_saved(tmp_path / "run" / "checkpoints")][-1] == "000000016"


def test_a_branch_that_meets_nan_at_once_can_go_back_too(root, tmp_path, poisoned, capsys):
    assert train(root, tmp_path / "run", images=14) == 0
    rows, _ = poisoned
    rows.add(15)
    branch = ["--on_nonfinite=rollback", f"--resume={tmp_path / 'run'}"]
    assert train(root, tmp_path / "branch", *branch, images=18) == 0
    assert "Back to 000000014" in capsys.readouterr().out


def test_a_refused_demo_has_deleted_nothing(tmp_path, capsys):
    words = ["demo", "--output", str(tmp_path / "demo"), "--images", "2", "--animals", "6", "--device", "cpu"]
    assert command_line(words) == 0
    before = sorted(path.name for path in (tmp_path / "demo").iterdir() if not path.name.startswith("."))
    with hold_lock(tmp_path / "demo"):
        assert command_line(words) == 2
    assert before == sorted(path.name for path in (tmp_path / "demo").iterdir() if not path.name.startswith("."))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_false_alarm_in_ten_thousand_steps():
    assert nonfinite.false_alarms(10_000) == 0


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_hundred_kills(tmp_path):
    """`python benchmarks/survival.py` plays three hundred."""
    outcome = survival.kills(tmp_path, 100)
    assert outcome.unloadable == outcome.lost == 0 and outcome.saving > 15


def test_a_few_kills(tmp_path):
    amid_a_save = 0
    for attempt in range(6):  # on a busy machine a save may be over before it is killed
        (tmp_path / str(attempt)).mkdir()
        outcome = survival.kills(tmp_path / str(attempt), 6, seed=attempt)
        assert outcome.unloadable == outcome.lost == 0
        amid_a_save += outcome.saving
        if amid_a_save:
            break
    assert amid_a_save


def test_a_fault_at_any_call_of_a_save_leaves_the_checkpoint_before(tmp_path):
    outcome = survival.faults(tmp_path)
    assert outcome.unloadable == 0 and outcome.faults > 30


def test_damage_of_any_kind_is_detected_named_and_skipped(tmp_path):
    outcome = survival.damages(tmp_path)
    assert outcome.damages > 200 and outcome[1:] == (0, 0, 0)
