"""What is true on one process is true on several: every pipeline with accumulation and k = 2, every one with batch
normalisation, what they say to one another in a step, and rows without overlap or gap for every kind of data."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from filelock import FileLock
from PIL import Image
from test_laws import PIPELINES, game_of, rows_of
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from toys import distance, weights

from quagga.data.conditioned import Conditioned
from quagga.data.images import Pictures
from quagga.data.paired import Paired
from quagga.data.synthetic import scenes
from quagga.data.unpaired import Unpaired
from quagga.models.network_mode import Mode, in_mode
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
from quagga.pipelines.core.sync_batchnorm import SyncBatchNorm, local_statistics, synchronize_batch_norm
from quagga.training.hardware.acceleration import Acceleration, apply_acceleration

BATCH = {"norm": "batch", "norm_discriminator": "batch"}
PARTS = {"k": 2, "accumulation": 2}
# a game's name -> its pipeline, options on top of those that keep rows apart, and its schedule
GAMES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    **{f"{name} in parts": (name, {}, PARTS) for name in PIPELINES},
    "cyclegan with batch norm": ("cyclegan", {"norm": "batch"}, {}),
    "cyclegan with batch norm and a penalty": ("cyclegan", {"norm": "batch", "penalty": "r1"}, {}),
    "cyclegan-pairs with batch norm": ("cyclegan-pairs", {"norm": "batch"}, {}),
    "pix2pix with batch norm": ("pix2pix", {"norm": "batch"}, PARTS),
    "gan with batch norm": ("gan", BATCH, PARTS),
    "gan-mlp with batch norm": ("gan-mlp", {"norm": "batch"}, {}),
    "class with batch norm": ("class", {**BATCH, "norm": "conditional_batch"}, {}),
    "attributes with batch norm": ("attributes", BATCH, {}),
    "caption with batch norm": ("caption", BATCH, {}),
    "pix2pix played again with batch norm": ("pix2pix", {"norm": "batch"}, {}),
}
IMAGES = 16
CLOSE = {"cpu": 1e-12, "cuda": 1e-9}  # a GPU computes another batch by another algorithm


def play_all(out: Path) -> None:
    """On every process: plays all games at 4 rows a micro-batch and step; the first writes what is left of them."""
    accelerator, left = Accelerator(cpu=os.environ["DEVICES"] == "cpu"), {}
    processes, rank = accelerator.num_processes, accelerator.process_index
    assert processes == int(os.environ["EXPECTED"]), processes
    said = counted()
    for title, (name, options, more) in GAMES.items():
        game = game_of(name, seed=rank, **options)  # the first process's weights are broadcast
        networks = [*game.generators.values(), *game.discriminators.values()]
        apply_acceleration(networks, Acceleration(gradient_checkpointing="played again" in title))
        batch_size = 4 // processes
        schedule = Schedule(images=IMAGES, batch_size=batch_size, optimizer="sgd", lr=0.01, decay=0.0, **more)
        trainer = Trainer(game, schedule, IMAGES, accelerator)
        said.clear()
        for _ in trainer.play(rows_of(name, batch_size, (rank, processes)).batches(trainer.row)):
            pass
        words, readings, state = dict(said), trainer.readings(), trainer.state_dict()
        kept = flat({**state["generators"], **state["discriminators"]})
        played = weights(game)
        if accelerator.is_main_process:  # the main process alone saves and draws strips: nobody may wait for the others
            with trainer.averaged([rows_of(name, 4).batch(0, 4)]):
                left[title] = {
                    "weights": played,
                    "readings": readings,
                    "words": words,
                    "memory": state["memory"],
                    "state": kept,
                    "averaged": flat({key: network.state_dict() for key, network in game.generators.items()}),
                }
    if accelerator.is_main_process:
        torch.save(left, out)


def flat(states: dict[str, dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {f"{network}.{key}": value.clone() for network, state in states.items() for key, value in state.items()}


def counted() -> dict[str, int]:
    """From now on, how often this process calls each collective of torch."""
    said: dict[str, int] = {}
    kinds = ("all_", "gather", "scatter", "reduce", "broadcast", "barrier", "send", "recv", "isend", "irecv", "batch_")

    def counting(name, collective):
        def call(*arguments, **more):
            said[name] = said.get(name, 0) + 1
            return collective(*arguments, **more)

        return call

    for name in dir(dist):
        if name.startswith(kinds) and callable(collective := getattr(dist, name)):
            setattr(dist, name, counting(name, collective))
    return said


def on_processes(count: int, devices: str, out: Path) -> dict[str, dict[str, Any]]:
    """What all games left behind. gloo's processes may abort after their work is done, so they are judged by what they
    wrote."""
    script = out.with_suffix(".py")
    script.write_text(
        f"from pathlib import Path\nfrom test_several_processes import play_all\nplay_all(Path({str(out)!r}))\n"
    )
    env = os.environ | {"EXPECTED": str(count), "DEVICES": devices, "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    ran = subprocess.run([*launcher, str(script)], env=env, capture_output=True, text=True, timeout=280)
    assert out.exists(), ran.stderr[-2000:]
    return torch.load(out, weights_only=True, map_location="cpu")


def once_for_all_workers(count: int, devices: str, factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """As `on_processes`, but pytest's workers share it: playing all games takes a minute."""
    base = factory.getbasetemp()
    folder = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base  # of this run of pytest alone
    out = folder / f"left_on_{count}_{devices}.pt"
    with FileLock(f"{out}.lock"):
        if out.exists():
            return torch.load(out, weights_only=True, map_location="cpu")
        return on_processes(count, devices, out)


several = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA GPUs")


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=several)])
def devices(request) -> str:
    """Of both, so that on GPUs as well one process is compared with two."""
    return request.param


@pytest.fixture(scope="module")
def one(devices, tmp_path_factory) -> dict[str, dict[str, Any]]:
    return once_for_all_workers(1, devices, tmp_path_factory)


@pytest.fixture(scope="module")
def two(devices, tmp_path_factory) -> dict[str, dict[str, Any]]:
    return once_for_all_workers(2, devices, tmp_path_factory)


every_game = pytest.mark.parametrize("title", GAMES)


@every_game
def test_one_process_equals_two(devices, one, two, title):
    ours, theirs = one[title], two[title]
    assert distance(ours["weights"], theirs["weights"]) < CLOSE[devices]
    assert ours["readings"] == pytest.approx(theirs["readings"], rel=1e-5, abs=1e-5)
    assert ours["memory"].keys() == theirs["memory"].keys()
    for pool, lanes in ours["memory"].items():
        assert lanes.keys() == theirs["memory"][pool].keys()
        numbers = {name: value for name, value in lanes.items() if not isinstance(value, str)}
        assert not numbers or distance(numbers, theirs["memory"][pool]) < CLOSE[devices]
        for name in lanes.keys() - numbers.keys():  # such as the hash of features
            assert lanes[name] == theirs["memory"][pool][name]


@every_game
def test_statistics_of_batches_are_those_of_all_processes_under_the_same_names(devices, one, two, title):
    assert distance(one[title]["state"], two[title]["state"]) < CLOSE[devices]
    assert distance(one[title]["averaged"], two[title]["averaged"]) < CLOSE[devices]
    assert "norm" not in title or any("running_mean" in key for key in two[title]["state"])


@pytest.mark.parametrize("name", PIPELINES)
def test_a_step_takes_one_reduction_a_side_and_no_other_word(one, two, name):
    steps = IMAGES // (4 * PARTS["accumulation"])
    moves = (PARTS["k"] if game_of(name).discriminators else 0) + 1  # k of D, one of G
    assert two[f"{name} in parts"]["words"] == {"all_reduce": steps * moves}
    assert one[f"{name} in parts"]["words"] == {}


# -- batch normalisation over all processes ---------------------------------------------------------------------------


@pytest.fixture
def group(tmp_path):
    """A group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, momentum=0.3)])
def test_of_one_process_it_is_torchs_own_with_both_derivatives(group, layer):
    own = nn.Sequential(layer.double())
    shared = nn.Sequential(type(layer)(3, momentum=layer.momentum, affine=layer.affine).double())
    shared.load_state_dict(own.state_dict())
    parameters = dict(shared.named_parameters())
    synchronize_batch_norm(shared)
    assert isinstance(shared[0], SyncBatchNorm) and shared.state_dict().keys() == own.state_dict().keys()
    assert all(parameters[name] is p for name, p in shared.named_parameters())
    x = torch.randn(5, 3, *([] if isinstance(layer, nn.BatchNorm1d) else [4, 2]), dtype=torch.float64) + 2
    found = []
    for network in (own, shared):
        at = x.clone().requires_grad_()
        y = network(at)
        (first,) = torch.autograd.grad((y**3).sum(), at, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), at)
        found.append({"y": y, "first": first, "second": second, **network.state_dict()})
    assert distance(*found) < 1e-9
    with local_statistics([shared]):
        assert shared[0].is_local
        torch.testing.assert_close(shared(x), own(x))
    assert not shared[0].is_local  # afterwards the processes meet again
    torch.testing.assert_close(shared.eval()(x), own.eval()(x))
    with in_mode(shared, Mode(statistics="batch")), in_mode(own, Mode(statistics="batch")):
        torch.testing.assert_close(shared(x), own(x))


def test_statistics_are_taken_in_float32_and_the_result_keeps_its_dtype(group):
    network = nn.Sequential(nn.BatchNorm2d(2))
    synchronize_batch_norm(network)
    with torch.autocast("cpu", torch.bfloat16):
        made = network((torch.randn(4, 2, 8, 8) + 301).bfloat16())
    assert made.dtype == torch.bfloat16
    assert abs(float(made.detach().float().mean())) < 0.05  # 301 itself is no bfloat16
    assert float(made.detach().float().std()) == pytest.approx(1, abs=0.05)
    assert isinstance(network[0], SyncBatchNorm) and network[0].running_mean is not None
    assert network[0].running_mean.dtype == torch.float32


def test_a_game_of_one_process_keeps_torchs_layers():
    game = game_of("pix2pix", norm="batch")
    Trainer(game, Schedule(images=1), 1, Accelerator(cpu=True))
    norms = [type(layer) for layer in game.G.modules() if isinstance(layer, _BatchNorm)]
    assert norms and set(norms) == {nn.BatchNorm2d}


# -- rows -------------------------------------------------------------------------------------------------------------


def data_of(kind: str, folder: Path) -> Any:
    """Each class of data, on 12 pictures or pairs."""
    small: dict[str, Any] = {"load_size": 12, "crop_size": 8, "workers": 0}
    if kind == "paired":
        return Paired(root=str(scenes.write(folder / "set", train=12, test=2, size=16, kind="pairs")), **small)
    if kind.startswith("unpaired"):
        top = scenes.write(folder / "set", train=12, test=2, size=16)
        if kind == "unpaired":
            return Unpaired(root=str(top), **small)
        sides = (sorted((top / side).iterdir()) for side in ("trainA", "trainB"))
        pairs = [f"set/trainA/{a.name},set/trainB/{b.name}" for a, b in zip(*sides, strict=True)]
        (folder / "pairs.csv").write_text("\n".join(["x,y", *pairs[:4]]))
        return Unpaired(root=str(top), pairs=str(folder / "pairs.csv"), **small)
    for number in range(12):
        (folder / f"top/{number % 2}").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"top/{number % 2}/{number}.png")
    if kind == "conditioned":
        return Conditioned(root=str(folder / "top"), size=16, workers=0)
    return Pictures(root=str(folder / "top"), size=16, workers=0)


@pytest.mark.parametrize("kind", ["unpaired", "unpaired with pairs", "paired", "conditioned", "pictures"])
def test_rows_have_no_overlap_and_no_gap_over_processes_and_steps(tmp_path, kind):
    data = data_of(kind, tmp_path)
    start, steps, batch_size = 6, 3, 2
    for processes in (1, 3):
        count = start + processes * steps * batch_size
        shares = [
            list(islice(data.batches(start, batch_size, process, processes), steps)) for process in range(processes)
        ]
        dealt = [shares[process][step] for step in range(steps) for process in range(processes)]
        together = {name: torch.cat([batch[name] for batch in dealt]) for name in dealt[0]}
        assert together["row"].tolist() == list(range(start, count))
        for place, row in enumerate(range(start, count)):
            read = data.sample(row).tensors
            assert all(torch.equal(torch.as_tensor(value), together[name][place]) for name, value in read.items())
