"""A run that was stopped is the run that never was; what cannot go on is refused in words."""

import shutil
import signal
from pathlib import Path

import pytest
import resume as measured
import tiny_run
from tiny_run import another_second, differing, left, signalled, words

from quagga.cli.main import command_line
from quagga.option_groups import call_flat
from quagga.training import checkpoint
from quagga.training.option_comparison import abbreviate, changed_options


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_run.pictures(tmp_path_factory.mktemp("set"))


def train(root: Path, output: Path, *typed: str, **options: object) -> int:
    return command_line([*words(root, output, **{"images": 24, **options}), *typed])


@pytest.fixture(scope="module")
def straight(root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "straight"
    assert train(root, folder) == 0
    return folder


def test_a_run_stopped_again_and_again_is_the_run_that_never_was(root, straight, tmp_path):
    for steps in (1, 4, 2, 6):
        with signalled(signal.SIGTERM, steps):
            assert train(root, tmp_path / "run") == 143
        another_second()
    assert train(root, tmp_path / "run") == 0
    assert differing(left(straight), left(tmp_path / "run")) == 0


def test_what_differs_is_counted(straight):
    whole = left(straight)
    assert any(name.startswith("state/optimizers") for name in whole)
    assert {"state/counters/row", "curve/generators/G", "model/G.safetensors"} <= whole.keys()
    for name, value in whole.items():
        changed = {**whole, name: value[:-1] if isinstance(value, bytes | list) and value else object()}
        assert differing(whole, changed) > 0


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(root, straight, tmp_path, capsys, harm):
    with signalled(signal.SIGINT, 17):
        assert train(root, tmp_path / "run") == 130
    newest = checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1]
    assert newest.name == "000000017"
    tensors = newest / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-9]) if harm == "cut" else tensors.unlink()
    another_second()
    capsys.readouterr()
    assert train(root, tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert str(newest) in said and "going on from the one before" in said and "going on from 14 of 24" in said
    assert differing(left(straight), left(tmp_path / "run")) == 0


def test_where_no_checkpoint_is_whole_nothing_is_touched(root, tmp_path, capsys):
    assert train(root, tmp_path / "run", images=4) == 0
    (only,) = checkpoint.list_saved(tmp_path / "run" / "checkpoints")
    (only / "state.json").write_text("{}")
    assert train(root, tmp_path / "run") == 2
    assert f"{only / 'state.json'} is damaged" in capsys.readouterr().err
    assert train(root, tmp_path / "run", "--resume", str(only)) == 2
    assert "is damaged" in capsys.readouterr().err
    assert (only / "state.json").read_text() == "{}"


def test_other_data_in_the_same_place_are_told(root, tmp_path, capsys):
    home = tmp_path / "set"
    shutil.copytree(root, home)
    assert train(home, tmp_path / "run", images=4) == 0
    another_second()
    shutil.copy(next((home / "trainA").iterdir()), home / "trainA" / "another.png")
    capsys.readouterr()
    assert train(home, tmp_path / "run", images=8) == 0
    assert "the data are others: " in capsys.readouterr().out
    another_second()
    assert train(home, tmp_path / "run", images=10) == 0
    assert "the data are others" not in capsys.readouterr().out


def test_what_a_signal_at_the_very_last_step_has_cut_off_is_made_up(root, tmp_path, capsys):
    run = tmp_path / "run"
    with signalled(signal.SIGTERM, 12):
        assert train(root, run, batch_size=2, sample_every=24) in (0, 143)
    another_second()
    assert train(root, run, batch_size=2, sample_every=24) == 0
    assert "held_out/cycle_x" in str(left(run).keys())


def test_a_value_that_is_as_long_as_a_vocabulary_is_shortened():
    assert abbreviate([1, 2]) == "[1, 2]"
    long = abbreviate([f"word{number}" for number in range(4096)])
    assert len(long) < 80 and long.startswith("['word0', 'word1'") and "(4,096 in all)" in long


def test_a_named_checkpoint_is_gone_back_to_and_later_ones_are_set_aside(root, straight, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(root, run) == 0
    another_second()
    assert train(root, run, "--resume_from_checkpoint", str(run / "checkpoints" / "000000014")) == 0
    said = capsys.readouterr().out
    assert "set aside" in said and "000000021" in said and "going on from 14 of 24" in said
    assert sorted(path.name for path in (run / "checkpoints" / "aside").iterdir()) == ["000000021", "000000024"]
    assert differing(left(straight), left(run)) == 0


def test_going_back_twice_loses_nothing_and_what_is_aside_can_be_taken(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the folder and the checkpoint spelled differently
    assert train(root, Path("run")) == 0
    aside = tmp_path / "run" / "checkpoints" / "aside"
    for _ in range(2):
        another_second()
        assert train(root, Path("run"), f"--resume={tmp_path / 'run' / 'checkpoints' / '000000014'}") == 0
    assert {path.name for path in aside.iterdir()} == {"000000021", "000000024", "000000021.1", "000000024.1"}
    another_second()
    assert train(root, Path("run"), f"--resume={aside / '000000021'}") == 0
    assert train(root, tmp_path / "branch", f"--resume={aside / '000000021'}") == 0


def test_the_config_goes_on_with_the_run_and_editing_it_changes_nothing(root, tmp_path, capsys):
    run = tmp_path / "run"
    with signalled(signal.SIGTERM, 3):
        assert train(root, run) == 143
    config = run / "config.yaml"
    assert command_line(["train", "--config", str(config), "--images=6"]) == 0
    config.write_text(config.read_text().replace("lr: 0.001", "lr: 0.01"))
    assert command_line(["train", "--config", str(config)]) == 2
    assert "lr was 0.001, not 0.01" in capsys.readouterr().err
    config.write_text("lrr: 1")
    assert train(root, run, images=8) == 0


def test_another_folder_goes_on_from_a_run(root, straight, tmp_path):
    assert train(root, tmp_path / "branch", "--resume", str(straight), images=30) == 0
    assert checkpoint.list_saved(tmp_path / "branch" / "checkpoints")[-1].name == "000000030"
    assert train(root, straight, "--resume", "latest") == 0  # it has nothing left to do


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--resume", "nowhere"], "no checkpoint and no run"),
        (["--resume", "never"], "holds a run already"),
        (["--width_discriminator=8"], "width_discriminator was 4, not 8"),
        (["--accumulation=2"], "1 rows a step, not 2"),
        (["--lr_rule=sqrt"], "lr_rule was none, not sqrt"),
        (["--lr_batch=2"], "lr_batch was 1, not 2"),
        (["--warmup=2"], "warmup was 0, not 2"),
    ],
)
def test_what_cannot_go_on_is_refused(root, straight, typed, message, capsys):
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*") if not path.name.startswith(".")}
    assert train(root, straight, *typed) == 2
    assert message in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_run_of_before_an_option_was_known_goes_on(root, straight, tmp_path, capsys):
    old, run = checkpoint.list_saved(straight / "checkpoints")[-1], tmp_path / "run"
    state = checkpoint.load(old)
    for option in ("lr_rule", "lr_batch", "warmup", "compile", "cache"):
        del state["config"][option]
    state["precision"] = "bf16"  # of another machine, which chose it
    del state["intervals"]
    checkpoint.save(run / "checkpoints", int(old.name), state, keep=1)
    assert train(root, run, "--resume=auto", "--gradient_checkpointing=true", images=26) == 0
    said = capsys.readouterr().out
    assert "gradient_checkpointing: True, until now False" in said and "lr_rule" not in said and "lr_batch" not in said
    assert "products are in float32, until now bf16: --mixed_precision bf16 keeps that" in said
    assert train(root, run, "--lr_batch=2", images=28) == 2


def test_an_option_that_means_nothing_without_another_is_not_said_of_a_run_of_before():
    now = {"lr_rule": "none", "lr_batch": 64}
    assert changed_options({"lr": 0.1}, now) == {}
    assert changed_options({"lr": 0.1}, {**now, "lr_rule": "sqrt"}) == {
        "lr_rule": ("none", "sqrt"),
        "lr_batch": (1, 64),
    }
    assert changed_options({"lr_batch": 1}, now) == {"lr_batch": (1, 64)}


def test_a_run_that_is_over_says_so_and_may_be_longer(root, tmp_path, capsys):
    assert train(root, tmp_path / "run", images=8) == 0
    assert train(root, tmp_path / "run", images=8) == 0
    assert "has seen its 8 images: raise --images" in capsys.readouterr().out
    assert train(root, tmp_path / "run", images=12) == 0
    assert "images: 12, until now 8" in capsys.readouterr().out


def test_dropout_is_the_same_after_a_stop(root, tmp_path):
    """It draws from torch's own generator, not from the rows'."""
    import torch
    from torch import nn

    from quagga.pipelines import cyclegan

    def build(*, width: int = 4):
        game = call_flat(cyclegan.build, width=width, blocks=1, width_discriminator=4, layers=1)
        game.G.layers.append(nn.Dropout2d(0.5))  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
        return game

    import quagga

    def play(folder: Path) -> int:
        argv = ["train", f"--root={root}", f"--output={folder}", "--images=9", "--load_size=16", "--crop_size=16"]
        with pytest.raises(SystemExit) as end:
            quagga.main(build, argv=[*argv, "--workers=0", "--device=cpu", "--log_every=3"])
        return int(end.value.code or 0)

    assert play(tmp_path / "straight") == 0
    with signalled(signal.SIGTERM, 4):
        assert play(tmp_path / "stopped") == 143
    torch.rand(5)
    another_second()
    assert play(tmp_path / "stopped") == 0
    assert differing(left(tmp_path / "straight"), left(tmp_path / "stopped")) == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("workers", "accumulation"), measured.CASES)
def test_stops_all_over_a_run_of_24_steps_are_exact(tmp_path, workers, accumulation):
    # `python benchmarks/resume.py` stops after every step. Each stop is a run of its own, which takes seconds.
    stops = range(1, measured.STEPS, 5 if workers or accumulation > 1 else 2)
    assert measured.one_process(tmp_path, workers, accumulation, list(stops)) == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("workers", "accumulation", "stop"), [(0, 1, 5), (0, 2, 11), (1, 1, 7)])
def test_two_processes_go_on_exactly(tmp_path, workers, accumulation, stop):
    assert measured.two_processes(tmp_path, workers, accumulation, stop) == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("legs", [[(1, 10), (2, 24)], [(2, 10), (1, 24)], [(1, 6), (2, 14), (1, 24)]])
def test_another_number_of_processes_goes_on_exactly(tmp_path, legs):
    assert measured.other_numbers_of_processes(tmp_path, legs) < 1e-12
