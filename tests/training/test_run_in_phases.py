"""A run of several phases: what it reads, shows and saves at a border, and how it goes on from there."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import yaml
from tiny_run import another_second, differing, left, signalled

from quagga.cli import plan
from quagga.cli.main import command_line
from quagga.inference.model_files.model_folder import read_model
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training import checkpoint
from quagga.training.option_comparison import fixed_values

PHASES = "[{images: 8, size: 12, batch_size: 4}, {images: 6, batch_size: 2, lr: 0.002}, {size: 20, batch_size: 2}]"
SIZES = {0: 12, 8: 12, 14: 16, 24: 20}  # images seen at a border -> size of the phase before it


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_run.pictures(tmp_path_factory.mktemp("set"))


def train(root: Path, output: Path, *typed: str, phases: str = PHASES, **options: object) -> int:
    words = tiny_run.words(root, output, **{"images": 24, **options})
    return command_line([*words, "--phases", phases, *typed])


@pytest.fixture(scope="module")
def straight(root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "straight"
    assert train(root, folder) == 0
    return folder


def test_curves_and_checkpoints_count_images_as_ever(straight):
    found = left(straight)
    steps = [step for step, _ in found["curve/generators/G"]]
    assert steps == sorted(set(steps)) and steps[-1] == 24 and {4, 8, 14} <= set(steps)
    rates = dict(found["curve/rate/generators"])
    assert rates[4] == pytest.approx(0.001) and rates[8] == pytest.approx(0.002) and rates[14] < 0.001
    assert [path.name for path in checkpoint.list_saved(straight / "checkpoints")] == [
        "000000014",
        "000000022",
        "000000024",
    ]
    assert yaml.safe_load((straight / "config.yaml").read_text())["phases"] == yaml.safe_load(PHASES)


def test_the_config_repeats_the_run(straight, tmp_path):
    again = ["train", "--config", str(straight / "config.yaml"), "--output", str(tmp_path / "again")]
    assert command_line(again) == 0
    assert differing(left(straight), left(tmp_path / "again")) == 0


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6])
def test_a_run_stopped_near_a_border_is_the_run_that_never_was(root, straight, tmp_path, steps):
    """After 4, 8, 10, 14 and 16 images; 8 and 14 are the borders."""
    with signalled(signal.SIGTERM, steps):
        assert train(root, tmp_path / "run") == 143
    another_second()
    assert train(root, tmp_path / "run") == 0
    assert differing(left(straight), left(tmp_path / "run")) == 0


@pytest.mark.parametrize("typed", [["--workers=1"], ["--workers=2"], ["--cache=ram"], ["--cache=ram", "--workers=1"]])
def test_however_rows_are_read_they_are_the_same(root, straight, tmp_path, typed):
    assert train(root, tmp_path / "run", *typed) == 0
    assert differing(left(straight), left(tmp_path / "run")) == 0


def test_what_is_looked_at_has_the_size_that_was_trained(root, tmp_path, monkeypatch):
    sizes: list[tuple[str, int, int]] = []
    for name in ("examine", "visualize"):
        original = getattr(Trainer, name)

        def looking(trainer: Trainer, batch: Any, name=name, original=original) -> Any:
            sizes.append((name, trainer.images_seen, batch["x"].shape[-1]))
            return original(trainer, batch)

        monkeypatch.setattr(Trainer, name, looking)
    assert train(root, tmp_path / "run", sample_every=2) == 0
    for name in ("examine", "visualize"):
        found = {seen: size for kind, seen, size in sizes if kind == name}
        assert found.items() >= {seen: size for seen, size in SIZES.items() if seen or name == "visualize"}.items()
        assert all(size == (12 if seen <= 8 else 16 if seen <= 14 else 20) for seen, size in found.items())
    assert read_model(tmp_path / "run" / "model").preprocessing["crop_size"] == 20


def test_a_loss_behind_a_border_can_lead_back_before_it(root, tmp_path, monkeypatch, capsys):
    """The checkpoint is of 8 images, the end of the first phase; the rows of the step that failed are left out."""
    to_device, poisoned = Trainer._to_device, []

    def poison(trainer: Trainer, batch: Any) -> Any:
        batch = to_device(trainer, batch)
        if "row" in batch and int(batch["row"][0]) == 10 == trainer.row - trainer.minibatch and not poisoned:
            poisoned.append(batch["x"].shape[-1])
            batch["x"] = batch["x"] * float("nan")
        return batch

    monkeypatch.setattr(Trainer, "_to_device", poison)
    assert train(root, tmp_path / "run", "--on_nonfinite=rollback", save_every=8) == 0
    said = capsys.readouterr().out
    assert poisoned == [16] and "not finite after 10 images" in said and "Back to 000000008" in said
    state = checkpoint.load(checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1])
    assert state["counters"] == {"images_seen": 24, "row": 24 + 4, "minibatch": [4, 2, 2]}


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ("[{images: 6, batch_size: 4}, {}]", "phase 1 has 6 images, and its steps have 4"),
        ("[{images: 8, size: 5}, {}]", "cannot take pictures of 5 pixels: its PatchGAN takes 6 pixels or more"),
        ("[{images: 8, sise: 12}, {}]", "phase 1 has no sise: did you mean size?"),
        ("[{images: 8}, {size: 20000}]", "crop_size 20000"),
        ("[{images: 8}, {batch_size: 9}]", "fewer than a batch of 9"),
        ("[{images: 24}, {}]", "24 images are before phase 2"),
        ("{images: 8}", "--phases should be a list, each a dictionary or null"),
        ("[{images: many}]", "--phases should be a list, each a dictionary or null"),
    ],
)
def test_phases_that_cannot_be_are_refused_in_one_line_before_the_first_step(root, tmp_path, capsys, phases, said):
    assert train(root, tmp_path / "run", phases=phases) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("quagga: error: ") and said in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("pipeline", ["gan", "conditional"])
def test_a_game_of_one_size_takes_phases_of_batches_and_rates_only(root, tmp_path, capsys, pipeline):
    for name in "AB":
        shutil.copytree(root / f"train{name}", tmp_path / "classes" / name)
    small = ["--size=16", "--width=4", "--width_discriminator=4", "--z_size=8", "--device=cpu", "--workers=0"]
    words = ["train", pipeline, str(tmp_path / "classes"), *small, f"--output={tmp_path / 'run'}", "--images=8"]
    assert command_line([*words, "--phases=[{images: 4, batch_size: 2}, {size: 32, batch_size: 2}]"]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert f"{pipeline} is trained on pictures of one size: leave the sizes out of --phases" in line
    assert command_line([*words, "--phases=[{images: 4, batch_size: 2}, {batch_size: 4, lr: 0.001}]"]) == 0


def test_cached_on_the_device_pictures_have_one_size(root, tmp_path, capsys):
    words = ["train", "gan", str(root / "trainA"), "--size=16", "--cache=device", f"--output={tmp_path / 'run'}"]
    assert command_line([*words, "--phases=[{images: 64, size: 8}, {}]", "--device=cpu"]) == 2
    assert "--cache device keeps pictures of one size: take --cache ram" in capsys.readouterr().err


def test_a_run_that_goes_on_keeps_its_phases_but_not_its_length(root, straight, tmp_path, capsys):
    with signalled(signal.SIGTERM, 3):
        assert train(root, tmp_path / "run") == 143
    for other in (PHASES.replace("size: 12", "size: 8"), PHASES.replace("images: 8", "images: 4"), "null"):
        assert train(root, tmp_path / "run", phases=other) == 2
        assert "phases was [{" in capsys.readouterr().err
    assert train(root, tmp_path / "run", phases=PHASES.replace("batch_size: 4", "batch_size: 2")) == 2
    assert "was trained with [4, 2, 2] rows a step, not [2, 2, 2]" in capsys.readouterr().err
    another_second()
    assert train(root, tmp_path / "run", phases=PHASES.replace("{size: 20", "{images: 12, size: 20"), images=26) == 0
    assert checkpoint.list_saved(tmp_path / "run" / "checkpoints")[-1].name == "000000026"


def test_the_batches_of_phases_may_be_divided_otherwise():
    one, two = (
        [{"images": 8, "batch_size": 4}, {"images": 8, "size": 12}],
        [{"images": 8, "batch_size": 2}, {"size": 12}],
    )
    assert fixed_values(one) == fixed_values(two) != fixed_values([{"images": 4}, {"size": 12}])
    assert fixed_values(None) == fixed_values([{"images": 8}]) == fixed_values([{}])


def test_a_plan_leaves_phases_out_and_says_so(root, tmp_path, monkeypatch, capsys):
    jobs: list[Any] = []
    monkeypatch.setattr(plan, "plan_lines", lambda job, *_: jobs.append(job) or iter([]))
    words = tiny_run.words(root, tmp_path / "run", images=24)
    assert command_line(["plan", *words[1:], "--phases", PHASES]) == 0
    assert jobs[0].schedule.phases is None and "--phases are left out" in capsys.readouterr().out
