"""On a GPU that is only pretended, since none is at hand where these laws are proved.

A tensor there has a device, a shape and a type, and no content. What mixes devices fails as it would on a GPU, and so
does what asks for content between two logs, for which a real host would wait. Autograd's threads need a driver, so
nothing is differentiated: forward passes, losses, optimisers, averages, strips and translations are played.
"""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_laws import ADVERSARIAL, every_pipeline, game_of, rows_of
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.tensors import to_pixel_format
from quagga.errors import BadInput
from quagga.fields import picture
from quagga.inference.predictor import Predictor
from quagga.inference.translator import Translator
from quagga.models import ResnetGenerator, UnetGenerator
from quagga.pipelines.core.game_protocol import Batch, Draw
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.one_side import Player
from quagga.pipelines.core.schedule import Schedule
from quagga.training.hardware import device_setup
from quagga.training.hardware.acceleration import Acceleration, apply_acceleration

GRU = "aten::_thnn_fused_gru_cell"  # a step of a GRU on a GPU without cuDNN
GPU, APPLE = torch.device("cuda", 0), torch.device("mps", 0)
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by torch's own deepcopy


@pytest.fixture
def pretended(monkeypatch):
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    move, array, widened = Tensor.to, Tensor.numpy, Tensor.double

    def to(self: Tensor, *args, non_blocking=False, **kwargs):
        assert not (non_blocking and APPLE in args), "what is still copied there may be gone"
        real = not isinstance(self, FakeTensor) and self.device.type != "meta"
        return move(mode.from_tensor(self) if real else self, *args, **kwargs)

    def double(self: Tensor):
        assert self.device != APPLE, "it has no float64"
        return widened(self)

    def numpy(self: Tensor):
        if not isinstance(self, FakeTensor):
            return array(self)
        assert self.device.type == "cpu", "numpy cannot look into a GPU"
        return np.zeros(tuple(self.shape), str(self.dtype).removeprefix("torch."))

    def backward(self: Tensor):
        assert (self.device, self.shape, self.dtype) == (GPU, (), torch.float32)

    def grad(outputs: Tensor, inputs: Tensor, *_, **__):
        return (torch.ones_like(inputs),)

    monkeypatch.setattr(Tensor, "to", to)
    monkeypatch.setattr(Tensor, "numpy", numpy)
    monkeypatch.setattr(Tensor, "double", double)
    monkeypatch.setattr(Tensor, "backward", backward)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(torch.autograd, "grad", grad)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda number: None)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    with torch.library._scoped_library("aten", "IMPL") as library:
        if not torch._C._dispatch_has_kernel_for_dispatch_key(GRU, "Meta"):  # torch says what it gives from 2.15 on
            library.impl(GRU, gru_cell, "Meta")
        with torch.backends.cudnn.flags(enabled=False):  # whether it can would be asked of the driver
            yield mode


def gru_cell(of_input: Tensor, of_state: Tensor, state: Tensor, *_biases: Tensor | None) -> tuple[Tensor, Tensor]:
    """The next state, and what a backward pass would need of a cell: five tensors of the state's size."""
    return torch.empty_like(state), state.new_empty(state.shape[0], 5 * state.shape[1])


def moved(self: nn.Module, device: torch.device, *_) -> nn.Module:
    for module in self.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = nn.Parameter(p.detach().to(device), p.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    return self


def as_they_travel(name: str, start: int) -> Batch:
    batch = rows_of(name, dtype=torch.float32).batch(start, 2)
    return {key: (127.5 * (t + 1)).byte() if t.ndim == 4 else t for key, t in batch.items()}


def played(mode: FakeTensorMode, name: str, game: Any, precision: str = "bf16", **schedule) -> Trainer:
    """The trainer after three steps on the GPU."""
    there = SimpleNamespace(device=GPU, num_processes=1, process_index=0, mixed_precision=precision)
    there.autocast = lambda: torch.autocast("cuda", torch.bfloat16) if precision == "bf16" else nullcontext()
    settings = {"images": 6, "batch_size": 2, "clip_gradients": 1.0, **schedule}
    rows = [as_they_travel(name, start) for start in range(0, 40, 2)]
    with mode:
        trainer = Trainer(game, Schedule(**settings), settings["images"], there)  # pyright: ignore[reportArgumentType]
        for _ in trainer.play(iter(rows)):
            pass
    return trainer


@every_pipeline
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_step_stays_on_the_gpu_and_asks_it_nothing(pretended, name, precision):
    trainer = played(pretended, name, game_of(name, bare=False), precision)
    tensors = [
        *trainer.recorder.sums.values(),
        trainer.recorder.first_bad_row,
        *(p for side in trainer.sides.values() for p in side.parameters),
    ]
    assert trainer.images_seen == 6 and {tensor.device for tensor in tensors} == {GPU}
    assert {scalar.dtype for scalar in trainer.recorder.sums.values()} == {torch.float32}


@every_pipeline
def test_so_do_several_moves_micro_batches_and_other_optimisers(pretended, name):
    several = {"k": 2, "accumulation": 2, "head_start": 2, "clip_weights": 0.1, "optimizer": "rmsprop"}
    assert played(pretended, name, game_of(name, bare=False), **several).images_seen == 8


@pytest.mark.parametrize("penalty", ["r1", "gradient_penalty"])
@pytest.mark.parametrize("name", [name for name in ADVERSARIAL if "mlp" not in name and "pairs" not in name])
def test_so_do_penalties_and_augmentation(pretended, name, penalty):
    policies = ["color", "translation", "cutout"]
    game = game_of(name, bare=False, penalty=penalty, diffaugment=policies)
    assert played(pretended, name, game).images_seen == 6


@pytest.mark.parametrize("name", ["cyclegan", "cyclegan-pairs"])  # of others the look itself asks for statistics
def test_strips_come_back_from_the_gpu(pretended, name):
    trainer = played(pretended, name, game_of(name, bare=False))
    rows = as_they_travel(name, 0)
    with pretended, trainer.averaged([rows]):
        strips = trainer.visualize(rows)
    assert {picture.device.type for strip in strips.values() for picture in strip.values()} == {"cpu"}


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("tile", [None, 48])
@pytest.mark.parametrize("resolution", ["model", "full", 40])
def test_a_picture_is_translated_on_the_gpu(pretended, monkeypatch, resolution, tile, precision):
    for module in ("predictor", "translator"):  # there the host does wait
        monkeypatch.setattr(f"quagga.inference.{module}.check_finite_output", lambda made, *_: made)
    form, fields, nothing = PixelFormat(), ((picture("x"),), picture("y")), ({}, torch.empty(0))
    G = ResnetGenerator(width=4, blocks=1).eval().requires_grad_(False)
    with pretended:
        predictor = Predictor("G", G.to(GPU), *fields, GPU, nothing, mixed_precision=precision)
        trained = {"load_size": 32, "fit": "crop"}
        translator = Translator(predictor, "horse", "zebra", form, form, resolution, tile, trained)
        y = translator._translate_tensor(torch.zeros(1, 3, 96, 128), translator._prepare, None)
    assert (y.shape, y.dtype) == ((1, 3, 96, 128), torch.float32)


class Verdict:
    """Whether a gradient is bad, on an Apple GPU, whose fused kernels do not heed `found_inf`."""

    device = APPLE

    def __init__(self, bad: bool):
        self.item, self.float, self.isfinite = lambda: bad, lambda: torch.zeros(()), lambda: self

    def __invert__(self):
        return self


@pytest.mark.parametrize("bad", [True, False])
def test_on_an_apple_gpu_a_bad_gradient_is_looked_for_before_the_step(monkeypatch, bad):
    monkeypatch.setattr(torch.linalg, "vector_norm", lambda gradient: Verdict(bad))
    G = nn.Linear(2, 2)
    side, before = Player({"G": G}, "adam", 1.0, Schedule(), scale_loss=False), G.weight.detach().clone()
    side.gradient.fill_(1.0)
    side.step(SimpleNamespace(num_processes=1), 1.0, clip=None)  # pyright: ignore[reportArgumentType]
    assert torch.equal(G.weight, before) == bad and not side.gradient.any()


def test_on_an_apple_gpu_the_host_waits_for_its_copies(pretended):
    with pretended:
        assert Draw(0, [0, 1]).normal((3,), torch.zeros(2).to(APPLE)).device == APPLE
        trainer: Any = SimpleNamespace(accelerator=SimpleNamespace(device=APPLE))
        assert Trainer._to_device(trainer, {"x": torch.zeros(2, 3, 4, 4)})["x"].device == APPLE


def test_on_an_apple_gpu_pictures_of_16_bits_come_back(pretended):
    form = PixelFormat(3, "uint16")
    with pretended:
        assert to_pixel_format(torch.zeros(1, 3, 8, 8).to(APPLE), form).shape == (1, 8, 8, 3)


def test_on_an_apple_gpu_dropout_is_not_played_twice(pretended):
    with pretended:
        G = UnetGenerator(depth=6, width=4).to(APPLE)
        with pytest.raises(BadInput, match="--dropout 0"):
            apply_acceleration([G], Acceleration(gradient_checkpointing=True))
        none = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))
        apply_acceleration([none.to(APPLE)], Acceleration(gradient_checkpointing=True))
        apply_acceleration([UnetGenerator(depth=6, width=4).to(GPU)], Acceleration(gradient_checkpointing=True))


def test_the_pretence_notices_what_lies_elsewhere(pretended):
    game = game_of("cyclegan", bare=False)
    rule = game.generate
    game.generate = lambda batch, draw: {k: v + torch.zeros(1, 3, 16, 16) for k, v in rule(batch, draw).items()}
    with pytest.raises(RuntimeError, match=r"same device|different devices"):
        played(pretended, "cyclegan", game)


def test_the_pretence_notices_a_host_that_waits(pretended):
    game = game_of("cyclegan", bare=False)
    rule = game.generate
    game.generate = lambda batch, draw: rule(batch, draw) if batch["x"].max() < 2 else {}
    with pytest.raises(DataDependentOutputException):
        played(pretended, "cyclegan", game)


def test_a_second_run_of_a_process_may_be_on_another_device(monkeypatch):
    device_setup.start_accelerator("cpu", "no")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    with monkeypatch.context() as there_is:
        there_is.setattr(torch.cuda, "is_available", lambda: True)
        there_is.setattr(torch.cuda, "set_device", lambda device: None)
        assert device_setup.start_accelerator("cuda", "no").device.type == "cuda"
    assert device_setup.start_accelerator("cpu", "no").device.type == "cpu"
