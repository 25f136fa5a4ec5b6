"""What a launcher leaves in the environment decides how many processes a run has, or is answered in one line."""

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.commands.launch import launch_command_parser
from accelerate.utils.launch import prepare_simple_launcher_cmd_env

from quagga.cli import main
from quagga.cli.main import command_line
from quagga.errors import BadInput
from quagga.training.hardware import device_setup, launcher
from quagga.training.reporting import start_lines

WORDS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def nobody_launched(monkeypatch):
    for name in [name for name in os.environ if name in WORDS or name.startswith("ACCELERATE_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ACCELERATE_MIXED_PRECISION": "fp8"}, "asks for fp8: say --mixed_precision no, bf16 or fp16"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed pairs one engine with one model"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "LOCAL_RANK": "0"}, "DeepSpeed pairs one engine with one model"),
        ({"ACCELERATE_USE_FSDP": "true"}, "FSDP pairs one engine with one model"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "Megatron-LM pairs one engine with one model"),
        ({"LOCAL_RANK": "1"}, "not RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT: start them with torchrun"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost"}, "not MASTER_PORT: start them with torchrun"),
        ({**dict.fromkeys(WORDS, "0"), "WORLD_SIZE": "two"}, "cannot begin (invalid literal for int()"),
    ],
)
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_what_cannot_work_is_one_line(environment, words, device, monkeypatch, capsys, tmp_path):
    """Also where DeepSpeed is not installed, and at once: nobody sleeps until other processes have spoken."""
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waits for processes that are not there"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(main, "exit_if_distributed", lambda code: code)  # which would end this process
    monkeypatch.chdir(tmp_path)
    assert command_line(["train", "cyclegan", "--root=nowhere", f"--device={device}"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_process_that_cannot_begin_leaves_nothing_half_made(monkeypatch):
    """As in a notebook, where the environment is mended and the next run begins in the same process."""
    with monkeypatch.context() as broken:
        for name, value in {**dict.fromkeys(WORDS, "0"), "WORLD_SIZE": "two"}.items():
            broken.setenv(name, value)
        with pytest.raises(BadInput, match="cannot begin"):
            device_setup.start_accelerator("auto", "no", deterministic=False)
    assert Accelerator(cpu=True).num_processes == 1


@pytest.mark.parametrize(
    "environment",
    [
        {"LOCAL_RANK": "-1"},  # as some trainers say that there is no launcher
        {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
        {"ACCELERATE_USE_DEEPSPEED": "false", "ACCELERATE_USE_FSDP": "false"},
        {"ACCELERATE_MIXED_PRECISION": ""},
        {"ACCELERATE_MIXED_PRECISION": "NO"},
    ],
)
def test_what_is_harmless_is_let_be(environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert device_setup.start_accelerator("cpu", None).num_processes == 1
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    assert device_setup.start_accelerator("cpu", "no").mixed_precision == "no"  # what is typed counts


def test_processes_that_would_each_train_alone_are_told(monkeypatch):
    """As on a device for which accelerate knows no group: an Apple GPU."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(device_setup, "check_launcher", lambda: None)
    monkeypatch.setattr(
        device_setup, "Accelerator", lambda **_: SimpleNamespace(num_processes=1, device=torch.device("mps"))
    )
    with pytest.raises(BadInput, match="2 processes were started, and on mps each would train alone"):
        device_setup.start_accelerator("auto", "no")


def environment_of(processes: int) -> dict[str, str]:
    """What `accelerate launch --cpu --num_processes N` gives to the one process that it starts."""
    words = f"--cpu --num_processes {processes} --num_machines 1 --mixed_precision no --dynamo_backend no"
    args = launch_command_parser().parse_args([*words.split(), "--num_cpu_threads_per_process=1", "-m", "quagga"])
    args.use_cpu = args.cpu  # as the command does where there is no saved config
    return prepare_simple_launcher_cmd_env(args)[1]


def accelerator(kind: str, processes: int = 1) -> Any:
    return SimpleNamespace(num_processes=processes, device=torch.device(kind))


def test_accelerate_launch_that_starts_fewer_than_it_was_asked_for_is_noticed(monkeypatch):
    for count, kind, expected in ((1, "cpu", None), (2, "cpu", "torchrun --standalone"), (2, "cuda", "has one GPU")):
        for name, value in environment_of(count).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        lines = start_lines.unused_processes_lines(accelerator(kind))
        assert len(lines) == bool(expected) and all(str(expected) in line for line in lines)
        assert start_lines.unused_processes_lines(accelerator(kind, processes=2)) == []


def test_who_speaks_for_the_run(monkeypatch):
    for count, rank, local, speaks, here in (
        *(("", "", "", True, True), ("1", "3", "3", True, True), ("", "x", "1", True, True)),
        *(("4", "0", "0", True, True), ("4", "2", "0", False, True), ("4", "3", "1", False, False)),
    ):
        for name, value in (("WORLD_SIZE", count), ("RANK", rank), ("LOCAL_RANK", local)):
            monkeypatch.setenv(name, value)
        assert (launcher.is_first_process(), launcher.is_first_on_machine()) == (speaks, here)
        assert launcher.is_distributed() == (count == "4") and launcher.launched_processes() == (
            4 if count == "4" else 1
        )
