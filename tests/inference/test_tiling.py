"""The laws of pictures that go through a network in strips: the result is that of the whole picture."""

import errno
import os
import runpy
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_translator import TINY, leave_model, noise
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from quagga.errors import BadInput
from quagga.inference import translator as translator_module
from quagga.inference.load import load_translator as load
from quagga.inference.tiling import NUMBERS_PER_PIXEL, forward_in_strips, supports_strips
from quagga.models import ResnetGenerator, UnetGenerator
from quagga.models.blocks.layer_chain import Step, chain_output
from quagga.models.blocks.layers import InstanceNorm, pad_to_multiple
from quagga.models.resnet import ResidualBlock

NETWORKS: dict[str, Any] = {
    "resnet": lambda: ResnetGenerator(width=4, blocks=2),
    "resize": lambda: ResnetGenerator(width=4, blocks=1, upsample="resize", spectral=True),
    "skip": lambda: ResnetGenerator(width=4, blocks=1, skip=True),
    "batch": lambda: ResnetGenerator(width=4, blocks=1, norm="batch"),
    "no norm, grey": lambda: ResnetGenerator(3, 1, width=4, blocks=1, norm="none"),
    "wide": lambda: ResnetGenerator(width=16, blocks=1),
    "unet": lambda: UnetGenerator(width=4, depth=4, norm="instance"),
    "deep unet": lambda: UnetGenerator(width=2, depth=7, norm="instance", dropout=0.5),
    "unet, batch": lambda: UnetGenerator(width=4, depth=3, norm="batch", upsample="resize"),
    "unet of one layer": lambda: UnetGenerator(width=4, depth=1, norm="instance"),
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    made = NETWORKS[name]().double()
    for value in made.parameters():
        nn.init.normal_(value, std=0.3)
    for name, value in made.named_buffers():
        if "running" in name:
            nn.init.uniform_(value, 0.5, 1.5)
    return made.eval().requires_grad_(False)


def picture(height: int, width: int) -> Tensor:
    """Left of it is dark and calm, right of it bright and wild: no part has the statistics of the whole."""
    wild = noise(1, 3, height, width).double() * torch.linspace(0, 1, width, dtype=torch.float64)
    return 0.5 * wild + torch.linspace(-0.5, 0.5, height, dtype=torch.float64)[:, None]


@pytest.mark.parametrize("name", NETWORKS)
@given(height=st.integers(1, 70), width=st.integers(1, 70), tile=st.integers(1, 24))
def test_in_strips_it_is_the_whole_picture(name: str, height: int, width: int, tile: int):
    G, x = network(name), picture(height, width)
    y = G(x)
    made = forward_in_strips(G, x, tile)
    assert made.shape == y.shape and made.dtype == y.dtype
    # Maps of a few pixels are nearly constant, and normalisation divides by almost nothing.
    assert (made - y).abs().max() < (1e-9 if min(height, width) > 16 else 1e-5)


def test_a_blank_picture_stays_blank():
    G, x = network("resnet").float(), torch.full((1, 3, 60, 48), 0.3)
    with torch.inference_mode():
        assert (forward_in_strips(G, x, 8) - G(x)).abs().max() < 1e-3


class Watch(TorchDispatchMode):
    """Of the tensors that are made inside: how many numbers the largest has, but for those of the shape of the picture,
    and how many numbers convolutions have made."""

    def __init__(self, *shape: int):
        super().__init__()
        self.shape, self.largest, self.convolved = shape, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.convolved += made.numel() if "convolution" in str(func) else 0
            if tuple(made.shape) != self.shape:
                self.largest = max(self.largest, made.numel())
        return made


@pytest.mark.parametrize("name", ["resnet", "skip", "unet", "wide"])
def test_memory_does_not_grow_with_the_picture_and_little_is_computed_twice(name: str):
    G = network(name)
    for height in (128, 512):
        x = picture(height, 64)
        with Watch(*x.shape) as whole:
            G(x)
        with Watch(*x.shape) as strips:
            forward_in_strips(G, x, 32)
        assert strips.largest <= 3 * 32 * 32 * NUMBERS_PER_PIXEL
        assert strips.convolved <= 2.5 * whole.convolved


def test_no_temporary_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    forward_in_strips(network("unet"), picture(40, 30), 8)
    assert list(tmp_path.iterdir()) == []
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    for _ in range(3):
        forward_in_strips(network("resnet"), picture(40, 30), 8)
    after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208
    assert after <= before


@pytest.mark.parametrize(("name", "files"), [("resnet", 3), ("unet", 5)])
def test_temporary_files_are_written_again_when_their_maps_have_been_read(name: str, files: int, monkeypatch):
    """A ResNet needs those of a block's input, of one layer in it and of the next, however many blocks it has; a U-Net
    those that its skips keep and one more."""
    opened, original = [], tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **how: opened.append(how) or original(**how))
    G = ResnetGenerator(width=4, blocks=6).double().eval() if name == "resnet" else network(name)
    forward_in_strips(G.requires_grad_(False), picture(40, 30), 8)
    assert len(opened) <= files


def test_temporary_files_take_no_more_of_the_disk_than_is_said(monkeypatch):
    """320 bytes a pixel for a ResNet of width 64, as `forward_in_strips` says."""
    opened, original = [], tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **how: opened.append(original(**how)) or opened[-1])
    forward_in_strips(ResnetGenerator(width=4, blocks=9).eval().requires_grad_(False), noise(1, 3, 64, 64), 16)
    assert sum(os.fstat(file.fileno()).st_size for file in opened) == 320 * 4 / 64 * 64 * 64


@pytest.mark.parametrize("name", ["resnet", "skip", "unet", "deep unet"])
def test_how_much_of_the_work_is_done_is_told_after_every_strip(name: str):
    G, x = network(name), picture(256, 64)
    told, convolved = [], []

    def tell(share: float) -> None:
        told.append(share)
        convolved.append(watch.convolved)

    with Watch(*x.shape) as watch:
        made = forward_in_strips(G, x, 16, tell)
    assert told == sorted(told) and told[-1] == 1 and len(told) > 50
    assert max(b - a for a, b in zip([0, *told], told, strict=False)) < 0.05
    assert 0.2 < convolved[next(n for n, share in enumerate(told) if share >= 0.5)] / watch.convolved < 0.8
    assert torch.equal(made, forward_in_strips(G, x, 16))


def test_a_full_disk_is_answered_with_what_to_do(monkeypatch):
    class Full:
        def seek(self, _place):
            pass

        def write(self, _content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(BadInput, match="TMPDIR") as caught:
        forward_in_strips(network("resnet"), picture(40, 30), 8)
    assert "30x40" in str(caught.value) and "\n" not in str(caught.value)


def test_a_write_or_a_reading_in_pieces_is_whole(monkeypatch):
    original = tempfile.TemporaryFile

    class Piecemeal:
        def __init__(self, **kwargs):
            self.file = original(**kwargs)
            self.seek = self.file.seek

        def write(self, content):
            return self.file.write(content[:1000])

        def readinto(self, content):
            return self.file.readinto(content[:1000])

    monkeypatch.setattr(tempfile, "TemporaryFile", Piecemeal)
    G, x = network("resnet"), picture(40, 30)
    assert (forward_in_strips(G, x, 8) - G(x)).abs().max() < 1e-9


def test_the_translator_cuts_what_is_larger_than_a_tile(tmp_path, monkeypatch):
    leave_model(tmp_path, **TINY)
    cut = []

    def counted(network, x, tile, progress):
        cut.append((tuple(x.shape), tile))
        return forward_in_strips(network, x, tile, progress)

    monkeypatch.setattr(translator_module, "forward_in_strips", counted)
    x = noise(2, 3, 70, 60)
    whole = load(tmp_path, tile=None)(x)
    assert not cut
    assert torch.equal(load(tmp_path)(x), whole) and not cut
    torch.testing.assert_close(load(tmp_path, tile=64)(x), whole, rtol=0, atol=1e-4)
    assert cut == [((1, 3, 70, 60), 64)] * 2
    outside = load(tmp_path, tile=32)
    outside.predictor = replace(outside.predictor, network=nn.Identity())
    assert torch.equal(outside(x), x) and len(cut) == 2
    with pytest.raises(BadInput, match="tile"):
        load(tmp_path, tile=8)


def test_the_translator_tells_how_far_it_is_where_it_is_asked_to(tmp_path, capfd):
    leave_model(tmp_path, **TINY)
    translator, x = load(tmp_path, tile=32), noise(2, 3, 70, 60)
    silent = translator(x)
    told: list[float] = []
    translator.progress = told.append
    assert torch.equal(translator(x), silent)
    assert told == sorted(told) and 0 < told[0] < 0.1 and 0.5 in told and told[-1] == 1
    told.clear()
    translator(x[..., :20, :20])  # which goes in one piece
    assert not told
    assert capfd.readouterr() == ("", "")


class Sketched(nn.Module):
    """A generator of somebody else's, whose two scales are joined twice: it names its steps, and no more."""

    def __init__(self, middle: nn.Module):
        super().__init__()
        self.first, self.down = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 4, stride=2, padding=1)
        self.middle, self.up = middle, nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1)
        self.between, self.last = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 3, 5, padding=2)

    def pad(self, x: Tensor) -> Tensor:
        return pad_to_multiple(x, 2)

    def steps(self) -> list[Step]:
        outer = [Step(self.first, "keep"), Step(nn.Identity(), "keep"), Step(nn.Sequential(self.down, nn.ReLU()))]
        return [*outer, Step(self.middle), Step(self.up, "join"), Step(self.between, "join"), Step(self.last)]

    def finish(self, y: Tensor, x: Tensor) -> Tensor:
        return (x + y).clamp(-1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return chain_output(self, x)


def test_a_generator_that_names_its_steps_is_cut():
    torch.manual_seed(0)
    middles = [InstanceNorm(6), ResidualBlock(6, "instance", bias=True), nn.InstanceNorm2d(6, affine=True)]
    for middle in middles:
        G, x = Sketched(middle).double().eval().requires_grad_(False), picture(33, 21)
        assert supports_strips(G)
        assert (forward_in_strips(G, x, 5) - G(x)).abs().max() < 1e-9


@pytest.mark.parametrize(
    "layer",
    [
        nn.GroupNorm(2, 6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2),
        nn.Conv2d(6, 6, 3, padding=1, groups=2),
        nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(6, 6, 3, padding="same"),
        nn.Conv2d(6, 6, (3, 1), padding=(1, 0)),
        nn.Sequential(nn.ConvTranspose2d(6, 6, 3, padding=1), nn.ReLU()),
        nn.InstanceNorm2d(6, track_running_stats=True),
        nn.AvgPool2d(3, 1, 1),
    ],
    ids=lambda layer: str(layer),
)
def test_a_layer_of_another_kind_is_not_cut(layer):
    G, x = Sketched(layer).double().eval().requires_grad_(False), picture(16, 16)
    assert G(x).shape == x.shape
    assert not supports_strips(G)
    with pytest.raises(TypeError, match="Sketched cannot be cut"):
        forward_in_strips(G, x, 8)


def test_a_network_that_does_not_name_its_steps_is_not_cut():
    assert not supports_strips(nn.Identity())
    with pytest.raises(TypeError, match="Conv2d cannot be cut"):
        forward_in_strips(nn.Conv2d(3, 3, 3), picture(8, 8), 8)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_benchmark_keeps_its_promises(tmp_path):
    """Not its seconds, which depend on who else is at work."""
    benchmark = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "large_pictures.py"))
    strips, whole, apart = benchmark["strips_and_whole"](16, 2048)
    assert apart < benchmark["LEVELS"]
    assert strips.gigabytes < whole.gigabytes
    benchmark["photo"](tmp_path / "photo.jpg")
    benchmark["paper_model"](tmp_path / "run")
    spent = benchmark["translate"](tmp_path / "run", tmp_path / "photo.jpg", tmp_path / "out")
    assert spent.gigabytes < benchmark["GIGABYTES"]
