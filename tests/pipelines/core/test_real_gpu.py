"""Laws on a real GPU, where there is one. Each is played on the CPU too, so that it is known to hold somewhere, but for
those that ask CUDA itself. Several GPUs are in tests/pipelines/core/test_several_processes.py."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from test_acceleration import furthest, losses_and_gradients
from test_laws import every_pipeline, game_of, rows_of
from test_train import pictures, train
from torch import Tensor
from toys import distance, weights

from quagga.cli.main import command_line
from quagga.pipelines.core.game_protocol import networks_of
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
from quagga.training.hardware import device_setup
from quagga.training.hardware.acceleration import Acceleration, apply_acceleration, missing_for_compile

assert pictures  # a fixture

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
GPU = pytest.param("cuda", marks=cuda)


@pytest.fixture(autouse=True)
def as_it_was():
    """Other tests of this process are of the CPU, and no run of theirs is to find what one on a GPU has set."""
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = benchmark
    device_setup.start_accelerator("cpu", "no")


def started(device: str) -> Accelerator:
    accelerator = device_setup.start_accelerator(device, "no")
    assert accelerator.device.type == device  # else a law would be proved of another one
    return accelerator


def played(name: str, device: str, steps: int) -> tuple[Any, Trainer]:
    """A game after so many steps, in float64."""
    game, schedule = game_of(name), Schedule(images=3 * steps, batch_size=3, ema_halflife=5)
    trainer = Trainer(game, schedule, 3 * steps, started(device))
    for _ in trainer.play(rows_of(name, 3).batches(trainer.row)):
        pass
    return game, trainer


def left_of(game: Any, trainer: Trainer) -> dict[str, Tensor]:
    averages = {name: dict(network.named_parameters()) for name, network in trainer.averages.items()}
    flat = {f"average {name} {key}": p for name, own in averages.items() for key, p in own.items()}
    return {key: p.detach().cpu() for key, p in {**weights(game), **flat}.items()}


@pytest.mark.parametrize("device", ["cpu", GPU])
@every_pipeline
def test_a_game_is_the_same_wherever_it_is_played(name, device):
    """Noise, pools, optimisers, averages: float64 leaves its last digits alone to the device."""
    assert distance(left_of(*played(name, "cpu", 4)), left_of(*played(name, device, 4))) < 1e-8


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), GPU])
@every_pipeline
def test_what_the_compiler_makes_gives_the_plain_losses_and_gradients(name, device):
    """Machine code, where tests/training/hardware/test_acceleration.py stops before it."""
    if why := missing_for_compile(torch.device(device)):
        pytest.skip(why)
    torch._dynamo.reset()
    batch = {key: value.to(device) for key, value in next(rows_of(name, 2).batches(0)).items()}
    plain, fast = game_of(name), game_of(name)
    for network in [*networks_of(plain), *networks_of(fast)]:
        network.to(device).train()
    apply_acceleration(networks_of(fast), Acceleration(compile=True, channels_last=device == "cuda"))
    assert furthest(losses_and_gradients(plain, batch), losses_and_gradients(fast, batch)) < 1e-11


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_run_is_trained_and_translates(pictures, tmp_path, device, monkeypatch, capsys):
    """With what is the default there: on a GPU bf16, if it has that, and compiled, if there is a compiler."""
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION")  # of tests/conftest.py
    out: Path = tmp_path / "run"
    assert train("--root", pictures, "--output", out, "--images=16", f"--device={device}") == 0
    assert f" x {device}, " in capsys.readouterr().out
    assert command_line(["translate", str(out), str(pictures / "testA"), f"--output={tmp_path / 'made'}"]) == 0
    assert len(list((tmp_path / "made").glob("[!.]*"))) == len(list((pictures / "testA").iterdir()))


@cuda
@every_pipeline
def test_the_host_waits_for_nothing_between_two_logs(name):
    """CUDA itself is asked; what a pretended GPU can say of it is in tests/pipelines/core/test_pretended_gpu.py."""
    trainer = Trainer(game_of(name), Schedule(images=30, batch_size=3), 30, started("cuda"))
    steps = trainer.play(rows_of(name, 3).batches(trainer.row))
    for _ in range(3):
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
