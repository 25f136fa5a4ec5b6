"""A run from the command line to a translated picture, on pictures drawn in code."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageDraw
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import quagga
from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.training import checkpoint
from quagga.training import train as run_module
from quagga.training.hardware.acceleration import Acceleration

TINY = [
    *("--load_size=20", "--crop_size=16", "--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1"),
    *("--workers=0", "--device=cpu", "--log_every=4", "--sample_every=8", "--save_every=8", "--lr=0.001"),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return scenes.write(tmp_path_factory.mktemp("set") / "pictures", train=8, test=4, size=32)


def train(*words: object) -> int:
    return command_line(["train", "cyclegan", *TINY, *map(str, words)])


def events(folder: Path) -> EventAccumulator:
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    read.Reload()
    return read


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve but those of the clock."""
    read = events(folder)
    tags = [tag for tag in read.Tags()["scalars"] if not tag.startswith("speed/")]
    return {tag: [(point.step, point.value) for point in read.Scalars(tag)] for tag in tags}


def model(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{to}.{key}": p for to in ("x", "y") for key, p in quagga.load(folder, to=to).network.state_dict().items()}


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "zebras"
    assert train("--root", pictures, "--output", folder, "--images=24", "--x_name=horse", "--y_name=zebra") == 0
    return folder


def test_a_warm_up_ends_before_the_run_does(pictures, tmp_path, capsys):
    where = ("--root", pictures, "--output", tmp_path / "run", "--x_name=horse", "--y_name=zebra")
    assert train(*where, "--epochs=2", "--warmup=16") == 2
    assert "warmup is 16 of 16 images: it must end before the run does" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_networks_get_the_acceleration_that_all_processes_can_have(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(
        run_module, "agree_on_acceleration", lambda wanted, accelerator: (Acceleration(channels_last=True), [])
    )
    where = ("--root", pictures, "--output", tmp_path / "run", "--x_name=horse", "--y_name=zebra")
    given: list[Acceleration] = []
    monkeypatch.setattr(
        run_module, "apply_acceleration", lambda networks, common, processes: given.append(common) or []
    )
    assert train(*where, "--images=4") == 0
    assert given == [Acceleration(channels_last=True)]


def test_a_run_folder_holds_everything(run):
    assert {path.name for path in run.iterdir() if not path.name.startswith(("events", "."))} == {
        "config.yaml", "samples", "checkpoints", "model"
    }  # fmt: skip
    assert [path.name for path in checkpoint.list_saved(run / "checkpoints")] == ["000000008", "000000016", "000000024"]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["pipeline"] == "cyclegan" and config["width"] == 4 and config["lambda_cycle"] == 10


def test_tensorboard_shows_every_curve_and_strip(run):
    read = events(run)
    names = set(read.Tags()["scalars"])
    assert names >= {
        f"generators/{term}" for term in ("G", "F", "cycle_x", "cycle_y", "identity_x", "identity_y", "total")
    }
    assert names >= {f"{D}/{what}" for D in ("D_X", "D_Y") for what in ("real", "fake", "accuracy")}
    assert names >= {f"{what}/{side}" for what in ("gradient", "rate") for side in ("generators", "discriminators")}
    assert names >= {"speed/images_per_second", "speed/seconds_waiting_for_data", "speed/epoch"}
    assert [point.step for point in read.Scalars("generators/G")] == [4, 8, 12, 16, 20, 24]
    strips = {f"{strip}/{which}" for strip in ("x to y", "y to x") for which in ("raw", "averaged")}
    assert set(read.Tags()["images"]) == strips
    assert next(image.step for image in read.Images("x to y/averaged")) == 0
    assert read.Tensors("config/text_summary")
    [said] = read.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val
    assert all(name.encode() in said for name in ("generators/G", "D_Y/real", "held_out/cycle_x"))


def test_strips_carry_the_names_of_the_sides(pictures, tmp_path, monkeypatch):
    written, draw = [], ImageDraw.ImageDraw.text

    def text(self, at, words, *more, **named):
        written.append(words)
        draw(self, at, words, *more, **named)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    words = ("--root", pictures, "--output", tmp_path / "run", "--images=4")
    assert train(*words, "--x_name=horse", "--y_name=zebra") == 0
    assert written[:6] == ["horse", "x", "zebra", "G(x)", "horse again", "F(G(x))"]
    assert written[6:12] == ["zebra", "y", "horse", "F(y)", "zebra again", "G(F(y))"]
    assert set(written) == set(written[:12])


def test_the_config_repeats_the_run(run, tmp_path):
    assert command_line(["train", "--config", str(run / "config.yaml"), "--output", str(tmp_path / "again")]) == 0
    assert curves(run) == curves(tmp_path / "again")
    first, second = model(run), model(tmp_path / "again")
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_that_was_stopped_goes_on_as_if_it_never_was(run, pictures, tmp_path):
    names = ["--x_name=horse", "--y_name=zebra", "--root", pictures, "--output", tmp_path / "stopped", "--images=24"]

    class Stop(BaseException):
        pass

    from quagga.training import train as running

    save = running.checkpoint.save
    with pytest.MonkeyPatch.context() as patch:  # a stop at 12 images, after the checkpoint at 8 and a point beyond it
        patch.setattr(running.Logger, "scalars", stop_at(12, running.Logger.scalars, Stop))
        with pytest.raises(Stop):
            train(*names)
    assert save is running.checkpoint.save
    assert [path.name for path in checkpoint.list_saved(tmp_path / "stopped" / "checkpoints")] == ["000000008"]
    a_second_later()
    assert train(*names) == 0
    assert curves(run) == curves(tmp_path / "stopped")
    first, second = model(run), model(tmp_path / "stopped")
    assert all(torch.equal(first[key], second[key]) for key in first)


def a_second_later() -> None:
    """TensorBoard puts event files in order by the second in their names; two starts of a run are further apart."""
    time.sleep(1.1)


def stop_at(images: int, scalars, Stop):
    def stopping(log, values, images_seen):
        scalars(log, values, images_seen)
        if images_seen == images:
            log.flush()
            raise Stop

    return stopping


def test_a_folder_that_holds_a_run_is_left_alone_when_asked(run, pictures, capsys):
    before = sorted(path for path in run.rglob("*"))
    assert train("--root", pictures, "--output", run, "--resume=never") == 2
    assert "holds a run already" in capsys.readouterr().err
    assert before == sorted(path for path in run.rglob("*"))


def test_another_run_in_the_same_folder_is_refused_with_the_difference(run, pictures, capsys):
    before = (run / "config.yaml").read_text()
    words = ["--root", pictures, "--output", run, "--x_name=horse", "--y_name=zebra", "--images=24"]
    assert train(*words, "--width=8", "--lambda_cycle=5") == 2
    said = capsys.readouterr().err
    assert "width was 4, not 8" in said and "lambda_cycle was 10.0, not 5.0" in said
    assert train(*words, "--batch_size=2") == 2
    assert (run / "config.yaml").read_text() == before


def test_a_start_over_before_the_first_checkpoint_doubles_no_curve(pictures, tmp_path):
    class Stop(BaseException):
        pass

    from quagga.training import train as running

    words = ["--root", pictures, "--output", tmp_path / "run", "--images=8"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running.Logger, "scalars", stop_at(4, running.Logger.scalars, Stop))
        with pytest.raises(Stop):
            train(*words)
    a_second_later()
    assert train(*words) == 0
    assert [step for step, _ in curves(tmp_path / "run")["generators/G"]] == [4, 8]


def test_the_result_translates_by_name(run, tmp_path):
    photo = tmp_path / "horse.png"
    Image.fromarray(np.full((21, 34, 3), 90, np.uint8)).save(photo)
    for words in (["--to", "zebra"], ["--to", "horse"], ["--to", "AtoB"]):
        out = tmp_path / words[-1]
        assert command_line(["translate", str(run), str(photo), "--output", str(out), "--device", "cpu", *words]) == 0
        assert Image.open(out / "horse.png").size == (34, 21)


def test_workers_change_nothing(run, pictures, tmp_path):
    words = ["--x_name=horse", "--y_name=zebra", "--workers=2", "--images=24"]
    assert train("--root", pictures, "--output", tmp_path / "two", *words) == 0
    assert curves(run) == curves(tmp_path / "two")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--root=nowhere"], "nowhere"),
        (["--batch_size=9"], "fewer than a batch"),
        (["--width=wide"], "whole number"),
        (["--bathc_size=2"], "did you mean --batch_size"),
        (["--accumulation=0"], "1 or more"),
        (["--device=cuda"], "no CUDA GPU"),
        (["--mixed_precision=fp16"], "fp16 needs a CUDA GPU"),
        (["--load_size=8"], "smaller than crop_size"),
        (["--save_every=0"], "save_every is 0"),
        (["--samples=0"], "samples is 0"),
        (["--images=0"], "images is 0"),
        (["--width=0"], "width is 0"),
        (["--blocks=0"], "blocks is 0"),
        (["--beta1=1.5"], "beta1 is 1.5"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(pictures, tmp_path, capsys, words, message):
    if words == ["--device=cuda"] and torch.cuda.is_available():
        pytest.skip("a GPU is there")
    assert train("--root", pictures, "--output", tmp_path / "run", *words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("quagga: error: ") and message in said[0]
    assert not (tmp_path / "run").exists()


def test_what_is_not_finite_stops_the_run_and_names_term_and_files(pictures, tmp_path, capsys):
    assert train("--root", pictures, "--output", tmp_path / "run", "--lr=1e18", "--images=64", "--save_every=4") == 2
    said = capsys.readouterr().err
    assert "not finite after" in said and "horse_" in said and "gradient/generators" in said
    for path in checkpoint.list_saved(tmp_path / "run" / "checkpoints"):
        state = checkpoint.load(path)
        assert all(p.isfinite().all() for network in state["generators"].values() for p in network.values())
