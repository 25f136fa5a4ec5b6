"""Speed leaves the mathematics alone: the fast ways equal the plain one, loss by loss and gradient by gradient."""

import os
import platform
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_laws import PIPELINES, every_pipeline, game_of, rows_of
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils._python_dispatch import TorchDispatchMode
from toys import distance, trainer_of, weights

from quagga.models import PatchGAN, ResnetGenerator, UnetGenerator
from quagga.models import joint_pass as joining
from quagga.models.blocks.layers import InstanceNorm, MirroredConv2d
from quagga.models.joint_pass import has_independent_rows, joint_pass
from quagga.pipelines.core.game_protocol import Draw, networks_of
from quagga.pipelines.core.losses import OBJECTIVES, gradient_penalty
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training import checkpoint
from quagga.training.hardware import acceleration, device_setup
from quagga.training.hardware.acceleration import (
    Acceleration,
    acceleration_for,
    agree_on_acceleration,
    apply_acceleration,
    has_instance_norm,
)

WAYS = {
    "channels-last": Acceleration(channels_last=True),
    "checkpointing": Acceleration(gradient_checkpointing=True),
    "compiled": Acceleration(compile=True),
    "all": Acceleration(compile=True, channels_last=True, gradient_checkpointing=True),
}


def compiled_one(name: str, other: Any) -> Any:
    """A case of a law. To compile takes half a minute, so that `make test` does it for a game of each kind of networks,
    and `make slow` for the others."""
    quick = name in ("pix2pix", "gan", "class") or other in ("channels-last", "checkpointing")
    return pytest.param(name, other, marks=[] if quick else pytest.mark.slow)


@pytest.fixture(autouse=True)
def no_machine_code(monkeypatch):
    """Compiled is captured and differentiated ahead of time, but not turned into C++, which takes half a minute."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compile_ = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: compile_(self, backend="aot_eager", **how))
    yield
    torch._dynamo.reset()


def losses_and_gradients(game: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of both sides: every term and reading, and every weight's gradient."""
    found = {}
    for side in ("discriminator", "generator"):
        draw = Draw(0, batch["row"].tolist(), 1)
        torch.manual_seed(0)  # dropout
        fakes = game.generate(batch, draw)
        fakes = {name: fake.detach() for name, fake in fakes.items()} if side == "discriminator" else fakes
        if not getattr(game, f"{side}s"):
            continue
        loss = getattr(game, f"{side}_loss")(batch, fakes, draw)
        torch.stack([term.double() for term in loss.terms.values()]).sum().backward()
        found |= {f"{side} {name}": value.detach() for name, value in {**loss.terms, **loss.readings}.items()}
        for number, network in enumerate(networks_of(game)):
            for name, p in network.named_parameters():
                found[f"{side} {number} {name}"] = torch.zeros(()) if p.grad is None else p.grad
                p.grad = None
    return found


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest deviation, relative to the largest number that is compared."""
    assert one.keys() == other.keys()
    largest = max(float(value.abs().max()) for value in one.values())
    return max(float((one[name] - other[name]).abs().max()) for name in one) / largest


@every_pipeline
def test_passes_that_are_joined_give_what_they_give_apart(name, monkeypatch):
    batch = next(rows_of(name, 3).batches(0))
    joined = losses_and_gradients(game_of(name), batch)
    monkeypatch.setattr(joining, "has_independent_rows", lambda network: False)
    assert furthest(losses_and_gradients(game_of(name), batch), joined) < 1e-13


def passes_of(name: str, **options: Any) -> list[int]:
    """Passes of each network in one step, as both moves of a translation share their fakes."""
    game, count = game_of(name, **options), {}
    for number, network in enumerate(networks_of(game)):
        count[number] = 0
        network.register_forward_hook(lambda *_, number=number: count.update({number: count[number] + 1}))
    play = trainer_of(game, images=2, batch_size=2).play(rows_of(name, 2).batches(0))
    next(play)
    return list(count.values())


def test_a_step_makes_as_few_passes_as_it_can():
    assert passes_of("cyclegan") == [2, 2, 2, 2]  # G(x); G(F(y)) and G(y) together. D(y) and D(G(x)); D(G(x)) anew
    assert passes_of("cyclegan", lambda_identity=0.0) == [2, 2, 2, 2]
    assert passes_of("cyclegan", lambda_cycle=0.0) == [1, 1, 2, 2]
    assert passes_of("cyclegan", norm="batch") == [3, 3, 3, 3]  # whose rows meet
    assert passes_of("pix2pix") == [1, 2]
    assert passes_of("gan") == [2, 2]  # noise is drawn anew
    assert passes_of("class") == [2, 2]


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(3),
        nn.BatchNorm1d(3),
        nn.SyncBatchNorm(3),
        nn.Dropout(),
        nn.Dropout2d(),
        spectral_norm(nn.Conv2d(3, 3, 1)),
    ],
)
def test_networks_whose_rows_meet_are_passed_apart(layer):
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(layer))
    assert not has_independent_rows(network.train())
    assert has_independent_rows(network.eval())
    assert has_independent_rows(nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3), nn.GroupNorm(1, 3)).train())


def test_batches_of_several_tensors_and_sizes_come_back_as_they_went_in():
    network = nn.Bilinear(2, 3, 4)
    first, second = (torch.rand(5, 2), torch.rand(5, 3)), (torch.rand(1, 2), torch.rand(1, 3))
    one, other = joint_pass(network, first, second)
    assert torch.allclose(one, network(*first)) and torch.allclose(other, network(*second))


@pytest.mark.parametrize(("name", "way"), [compiled_one(name, way) for name in PIPELINES for way in WAYS])
def test_every_pace_gives_the_plain_losses_gradients_and_statistics(name, way):
    """Also with batch normalisation and dropout: what is played twice counts once."""
    bare = way in ("compiled", "all")  # compiled, dropout draws other numbers
    batch = next(rows_of(name, 2, dtype=torch.float64).batches(0))
    plain, fast = game_of(name, bare=bare), game_of(name, bare=bare)
    for game in (plain, fast):
        for network in networks_of(game):
            network.double().train()
    apply_acceleration(networks_of(fast), WAYS[way])
    assert furthest(losses_and_gradients(plain, batch), losses_and_gradients(fast, batch)) < 1e-12
    for one, other in zip(networks_of(plain), networks_of(fast), strict=True):
        for (key, here), (_, there) in zip(one.named_buffers(), other.named_buffers(), strict=True):
            assert torch.allclose(here, there, rtol=1e-9), key


def test_singular_vectors_improve_once_a_pass_where_passes_are_played_again():
    plain = PatchGAN(width=4, layers=1, spectral=True).double()
    fast = deepcopy(plain)
    apply_acceleration([fast], Acceleration(gradient_checkpointing=True))
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    for network in (plain, fast):
        (network(x) + network(-x)).sum().backward()
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None and torch.equal(one.grad, other.grad)
    for one, other in zip(plain.buffers(), fast.buffers(), strict=True):
        assert torch.equal(one, other)


def test_a_copy_of_a_checkpointed_network_calls_its_own_layers():
    network = ResnetGenerator(width=4, blocks=1)
    apply_acceleration([network], Acceleration(gradient_checkpointing=True))
    copy = deepcopy(network)
    for p in copy.parameters():
        p.data.zero_()
    assert copy(torch.rand(1, 3, 16, 16)).abs().max() == 0


def kept_for_the_gradient(network: nn.Module, x: Tensor) -> int:
    """Bytes that a pass keeps."""
    sizes = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(x)
    return sum(sizes)


def test_gradient_checkpointing_keeps_little():
    network, x = ResnetGenerator(width=4, blocks=3), torch.rand(1, 3, 32, 32)
    plain = kept_for_the_gradient(network, x)
    apply_acceleration([network], Acceleration(gradient_checkpointing=True))
    assert kept_for_the_gradient(network, x) < plain / 20


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(compiled_one(name, {}) for name in PIPELINES),
        ("gan", {"penalty": "r1"}),
        ("gan", {"penalty": "gradient_penalty"}),
    ],
    ids=str,
)
def test_a_compiled_game_plays_as_the_plain_one_and_is_compiled_in_its_first_steps_only(name, options):
    """With strips and held-out pictures in between, whose batches have other sizes."""
    games = []
    for compiled in (False, True):
        game = game_of(name, **options)
        apply_acceleration(networks_of(game), Acceleration(compile=compiled, channels_last=compiled))
        trainer = trainer_of(game, images=12, batch_size=2, optimizer="sgd")
        rows, graphs = rows_of(name, 2), []
        for _ in trainer.play(rows.batches(trainer.row)):
            with trainer.averaged():
                trainer.visualize(next(rows_of(name, 3).batches(0)))
                trainer.examine(next(rows_of(name, 5).batches(0)))
            graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
        assert graphs[1:] == graphs[1:2] * 5 and (graphs[0] > 0) == compiled
        games.append(weights(game))
    assert distance(*games) < 1e-12


@pytest.mark.parametrize("name", ["pix2pix", "gan", "class"])
def test_statistics_for_the_averages_leave_networks_compiled(name, monkeypatch):
    """Batch norm without a momentum is what a compiler gives up at, for good, where it meets it."""
    played: list[int] = []

    def counting(module: torch.fx.GraphModule, _inputs: Any) -> Any:
        calls = sum(node.op.startswith("call") for node in module.graph.nodes)

        def call(*inputs: Any) -> Any:
            played.append(calls)
            return module(*inputs)

        return call

    compile_ = torch.compile
    monkeypatch.setattr(
        nn.Module,
        "compile",
        lambda self, **how: setattr(self, "_compiled_call_impl", compile_(self._call_impl, backend=counting, **how)),
    )
    counts = []
    for look_at in ((), (0,), (2,), (0, 1, 2)):
        torch._dynamo.reset()
        game = game_of(name, bare=False)
        apply_acceleration(networks_of(game), Acceleration(compile=True))
        trainer = trainer_of(game, images=12, batch_size=2)
        rows = [next(rows_of(name, 2, dtype=torch.float32).batches(0))]
        steps = trainer.play(rows_of(name, 2, dtype=torch.float32).batches(trainer.row))
        for step in range(5):
            if step in look_at:
                with trainer.averaged(rows):
                    pass
            played.clear()
            next(steps)
        counts.append(sum(played))
    assert counts == counts[:1] * 4 and counts[0] > 0


def test_over_several_processes_networks_with_batch_norm_are_not_compiled():
    """A graph would be torn at every layer, each of which waits for the other processes."""
    plain, normed = nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    [line] = apply_acceleration([plain, normed], Acceleration(compile=True), processes=2)
    assert line == "not compiled: 1 of 2 networks, whose batch norm is one over all processes"
    assert plain._compiled_call_impl is not None and normed._compiled_call_impl is None
    assert apply_acceleration([normed], Acceleration(compile=True)) == [] and normed._compiled_call_impl is not None


@pytest.mark.parametrize("pair", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_run_goes_on_whatever_the_order_in_memory(pair, optimizer, tmp_path):
    """The optimiser's numbers lie as its weights do: fused kernels pair them by their place."""

    def fresh(channels_last: bool) -> Trainer:
        game = game_of("cyclegan")
        apply_acceleration(networks_of(game), Acceleration(channels_last=channels_last))
        return trainer_of(game, images=16, batch_size=2, optimizer=optimizer)

    straight, first, second = fresh(pair[1]), fresh(pair[0]), fresh(pair[1])
    assert list(straight.play(rows_of("cyclegan", 2).batches(straight.row)))[-1] == 16
    stopped_at = next(seen for seen in first.play(rows_of("cyclegan", 2).batches(first.row)) if seen == 8)
    second.load_state_dict(checkpoint.load(checkpoint.save(tmp_path, stopped_at, first.state_dict(), keep=1)))
    assert list(second.play(rows_of("cyclegan", 2).batches(second.row)))[-1] == 16
    assert distance(weights(second.game), weights(straight.game)) < 1e-9
    for side in second.sides.values():
        for p, numbers in side.optimizer.state.items():
            assert all(one.stride() == p.stride() for one in numbers.values() if one.shape == p.shape)


def test_a_compiled_network_has_no_second_derivative_and_a_penalty_takes_it_as_written():
    D, x = PatchGAN(width=4, layers=1).double(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    fast = deepcopy(D)
    apply_acceleration([fast], Acceleration(compile=True))
    fast(x)
    plain = gradient_penalty(D, x, -x, Draw(0, [0, 1]))
    assert torch.allclose(gradient_penalty(fast, x, -x, Draw(0, [0, 1])), plain)
    plain.backward()
    gradient_penalty(fast, x, -x, Draw(0, [0, 1])).backward()
    (one, *_), (other, *_) = D.parameters(), fast.parameters()
    assert one.grad is not None and other.grad is not None and torch.allclose(one.grad, other.grad)


WAITS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique2", "_unique2"}


class Waiting(TorchDispatchMode):
    """Notes every call for which a host would wait for its device."""

    def __init__(self):
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        if name in WAITS or (name.startswith("index") and any(_by_truth(a) for a in args[1:2])):
            self.calls.append(name)
        return func(*args, **(kwargs or {}))


def _by_truth(indices: Any) -> bool:
    return isinstance(indices, list | tuple) and any(
        isinstance(index, Tensor) and index.dtype is torch.bool for index in indices
    )


@every_pipeline
def test_nothing_waits_for_the_device_between_two_logs(name):
    game = game_of(name, bare=False)
    trainer = trainer_of(game, images=12, batch_size=2)
    steps = trainer.play(rows_of(name, 2, dtype=torch.float32).batches(trainer.row))
    next(steps)
    with Waiting() as waiting:
        for _ in range(4):
            next(steps)
        played = list(waiting.calls)
        trainer.readings()
    assert played == []
    assert waiting.calls  # readings do: the watch works


def test_the_spelled_out_instance_norm_is_the_kernel(monkeypatch):
    x = torch.randn(2, 5, 7, 9, dtype=torch.float64, requires_grad=True)
    layer = InstanceNorm(5)
    gradients = []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        y = layer(x)
        gradients.append((y, *torch.autograd.grad(y.square().sin().sum(), x)))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-12)
    wide = layer((x + 1000).float().bfloat16())  # whose mean 8 bits could not hold
    assert wide.dtype is torch.bfloat16 and wide.float().mean((2, 3)).abs().max() < 0.01


def test_mirrored_borders_are_those_of_conv2d_and_keep_the_precision():
    torch.manual_seed(0)
    ours = MirroredConv2d(3, 4, 7, padding=3)
    theirs = nn.Conv2d(3, 4, 7, padding=3, padding_mode="reflect")
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 3, 9, 8)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
    seen = []

    class Pads(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "reflection_pad2d" in func._schema.name:
                seen.append(args[0].dtype)
            return func(*args, **(kwargs or {}))

    with torch.autocast("cpu", torch.bfloat16), Pads():
        ours(x.bfloat16())
    assert seen == [torch.bfloat16]


def test_bf16_takes_losses_and_averages_in_float32_and_points_the_same_way():
    batch = next(rows_of("cyclegan", 2, dtype=torch.float32).batches(0))
    found = []
    for narrow in (False, True):
        game = game_of("cyclegan")
        for network in networks_of(game):
            network.float()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            gradients = losses_and_gradients(game, batch)
        found.append(gradients)
        assert all(value.dtype is torch.float32 for value in gradients.values())
    plain, narrow = (
        torch.cat([value.flatten() for name, value in sorted(gradients.items()) if "weight" in name])
        for gradients in found
    )
    assert nn.functional.cosine_similarity(plain, narrow, 0) > 0.97


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_widen_what_is_narrow(objective):
    logits = torch.linspace(-3, 3, 999)
    pair = OBJECTIVES[objective]
    for narrow in (torch.bfloat16, torch.float16):
        given = logits.to(narrow)
        assert pair.generator(given, -given) == pair.generator(given.float(), -given.float())
        assert pair.discriminator(given, -given) == pair.discriminator(given.float(), -given.float())


def test_without_a_compiler_it_is_said_in_a_line_and_played_as_written(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert acceleration_for(torch.device("cpu"), compile=True) == (
        Acceleration(),
        ["not compiled, and slower for it: there is no C compiler (Debian, Ubuntu: sudo apt install build-essential)"],
    )
    assert acceleration_for(torch.device("cpu")) == (Acceleration(), [])


@pytest.mark.parametrize(
    ("lacking", "line"),
    [
        ("triton", "torch came without Triton (Windows: pip install triton-windows)"),
        ("headers", "Python's headers are missing, which Triton needs (Debian, Ubuntu: sudo apt install python3-dev)"),
        ("capability", "the GPU is older than Triton knows"),
        ("nothing", None),
    ],
)
def test_what_a_compiler_needs_is_looked_for(lacking, line, monkeypatch, tmp_path):
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(acceleration.shutil, "which", lambda name: name)
    monkeypatch.setattr(acceleration.sys, "platform", "linux")
    monkeypatch.setattr(acceleration, "find_spec", lambda name: None if lacking == "triton" else name)
    monkeypatch.setattr(acceleration, "get_path", lambda _: str(tmp_path / "no" if lacking == "headers" else tmp_path))
    old = lacking == "capability"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1) if old else (7, 0))
    assert acceleration.missing_for_compile(torch.device("cuda")) == line


def test_processes_take_what_all_of_them_can():
    """Gradients are added place by place: they must lie in memory alike."""

    def beside(*other: bool) -> Any:
        def gather(own: Tensor) -> Tensor:
            return torch.cat([own, torch.tensor([other], dtype=own.dtype)])

        return SimpleNamespace(num_processes=2, device=torch.device("cpu"), gather=gather)

    mine = Acceleration(compile=True, channels_last=True, gradient_checkpointing=True)
    slower = ["not compiled, and slower for it: another process cannot"]
    assert agree_on_acceleration(mine, beside(True, True)) == (mine, [])
    assert agree_on_acceleration(mine, beside(False, True)) == (replace(mine, compile=False), slower)
    assert agree_on_acceleration(mine, beside(True, False)) == (replace(mine, channels_last=False), [])
    assert agree_on_acceleration(Acceleration(), beside(True, True)) == (
        Acceleration(),
        [],
    )  # which has said why itself
    assert agree_on_acceleration(mine, SimpleNamespace(num_processes=1)) == (mine, [])  # pyright: ignore[reportArgumentType]


def test_what_is_taken_unasked(monkeypatch):
    monkeypatch.setattr(acceleration, "missing_for_compile", lambda device: None)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert acceleration_for(cuda) == (Acceleration(compile=True, channels_last=True), [])
    assert acceleration_for(cuda, deterministic=True) == (Acceleration(), [])
    assert acceleration_for(cuda, compile=False) == (Acceleration(), [])
    assert acceleration_for(cuda, channels_last=False) == (Acceleration(compile=True), [])
    assert acceleration_for(cpu) == (Acceleration(), [])
    assert acceleration_for(cpu, precision="bf16") == (Acceleration(channels_last=True), [])
    assert acceleration_for(cpu, precision="bf16", channels_last=False) == (Acceleration(), [])
    assert acceleration_for(cuda, compile=False, precision="bf16") == (Acceleration(), [])
    assert acceleration_for(cpu, compile=True, gradient_checkpointing=True) == (
        Acceleration(compile=True, gradient_checkpointing=True),
        [],
    )


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("pix2pix", {"norm": "batch"}, 1),
        ("gan", {}, 1),
        ("class", {"norm": "conditional_batch"}, 1),
        ("cyclegan", {}, 0),
    ],
)
def test_channels_last_is_preferred_for_bf16_on_a_cpu_unless_maps_are_normalised_one_by_one(name, options, expected):
    game = game_of(name, bare=False, **options)
    for precision, last in (("bf16", bool(expected)), ("no", False)):
        assert acceleration_for(torch.device("cpu"), networks=networks_of(game), precision=precision) == (
            Acceleration(False, last),
            [],
        )
    assert has_instance_norm([nn.Sequential(nn.GroupNorm(1, 2))])


@pytest.mark.parametrize("unit", ["amx_bf16", "avx512_bf16", "avx512_f"])
def test_bf16_is_taken_unasked_on_cpus_with_units_for_it_only(unit, monkeypatch):
    known = ("amx_bf16", "avx512_bf16", "avx512_f")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: name == unit for name in known})
    asked = device_setup.start_accelerator(
        "cpu", None
    ).mixed_precision  # which `accelerate launch` says by the environment, as here
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION")
    unasked = device_setup.start_accelerator("cpu", None).mixed_precision
    assert (asked, unasked) == ("no", "bf16" if unit.endswith("bf16") else "no")
    assert device_setup.start_accelerator("cpu", "no").mixed_precision == "no"  # one process may play several runs


def test_a_small_u_net_is_joined_too():
    network = UnetGenerator(width=4, depth=3, norm="instance", dropout=0.0).double()
    x, y = torch.rand(2, 1, 3, 16, 16, dtype=torch.float64)
    one, other = joint_pass(network, x, y)
    assert torch.allclose(one, network(x)) and torch.allclose(other, network(y))


KEEPING = """
import os, psutil, torch
from quagga.training.hardware.device_setup import start_accelerator
start_accelerator("cpu", "no")
before = psutil.Process().memory_info().rss
large = torch.ones(1 << 26)
del large
print((psutil.Process().memory_info().rss - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_a_run_on_the_cpu_keeps_what_is_freed_unless_somebody_said_otherwise():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC", "GLIBC"))}
    kept = []
    for more in ({}, {"MALLOC_PERTURB_": "0"}, {"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}):
        ran = subprocess.run(
            [sys.executable, "-c", KEEPING], env=environment | more, capture_output=True, text=True, check=True
        )
        kept.append(int(ran.stdout))
    assert kept[0] > 200 and max(kept[1:]) < 50  # MiB, of 256


@pytest.mark.parametrize(("accepted", "keeps"), [(2**31, True), (2**25, True), (0, False)])
def test_where_glibc_takes_a_smaller_threshold_only_it_gets_that(accepted, keeps, monkeypatch):
    told = []

    def mallopt(name: int, value: int) -> int:
        told.append((name, value))
        return int(name == acceleration.M_TRIM_THRESHOLD or value <= accepted)

    for name in [name for name in os.environ if name.startswith(("MALLOC", "GLIBC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr(acceleration.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert acceleration.keep_freed_memory() is keeps
    assert (acceleration.M_TRIM_THRESHOLD, 2**31 - 1) in told
    assert [value for name, value in told if name == acceleration.M_MMAP_THRESHOLD][-1] == (
        2**31 - 1 if accepted > 2**25 else 2**25
    )
