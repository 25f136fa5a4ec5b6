"""The laws of the authors' weights. Their names and shapes are written out here, and their networks as formulas."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_translator import leave_model, noise, pixels, refused
from torch import Tensor
from torch.nn import functional as F

import quagga
from quagga.cli.main import dispatch
from quagga.inference.model_files.model_folder import ModelFolder, read_model
from quagga.inference.model_files.state_dict_conversion import (
    architecture_of,
    from_reference,
    read_options,
    read_weights,
    to_reference,
)
from quagga.models import PatchGAN, PixelGAN, ResnetGenerator, UnetGenerator

State = dict[str, Tensor]

# Name of a convolution -> its weight's shape, and the layer of normalisation that follows, where one does.
RESNET_6 = {
    "model.1": ((4, 3, 7, 7), "model.2"),
    "model.4": ((8, 4, 3, 3), "model.5"),
    "model.7": ((16, 8, 3, 3), "model.8"),
    **{
        f"model.{b}.conv_block.{c}": ((16, 16, 3, 3), f"model.{b}.conv_block.{c + 1}")
        for b in range(10, 16)
        for c in (1, 5)
    },
    "model.16": ((16, 8, 3, 3), "model.17"),
    "model.19": ((8, 4, 3, 3), "model.20"),
    "model.23": ((3, 4, 7, 7), None),
}
INNER = "model.model.1.model"
UNET_128 = {
    "model.model.0": ((2, 3, 4, 4), None),
    f"{INNER}.1": ((4, 2, 4, 4), f"{INNER}.2"),
    f"{INNER}.3.model.1": ((8, 4, 4, 4), f"{INNER}.3.model.2"),
    f"{INNER}.3.model.3.model.1": ((16, 8, 4, 4), f"{INNER}.3.model.3.model.2"),
    f"{INNER}.3.model.3.model.3.model.1": ((16, 16, 4, 4), f"{INNER}.3.model.3.model.3.model.2"),
    f"{INNER}.3.model.3.model.3.model.3.model.1": ((16, 16, 4, 4), f"{INNER}.3.model.3.model.3.model.3.model.2"),
    f"{INNER}.3.model.3.model.3.model.3.model.3.model.1": ((16, 16, 4, 4), None),
    f"{INNER}.3.model.3.model.3.model.3.model.3.model.3": (
        (16, 16, 4, 4),
        f"{INNER}.3.model.3.model.3.model.3.model.3.model.4",
    ),
    f"{INNER}.3.model.3.model.3.model.3.model.5": ((32, 16, 4, 4), f"{INNER}.3.model.3.model.3.model.3.model.6"),
    f"{INNER}.3.model.3.model.3.model.5": ((32, 16, 4, 4), f"{INNER}.3.model.3.model.3.model.6"),
    f"{INNER}.3.model.3.model.5": ((32, 8, 4, 4), f"{INNER}.3.model.3.model.6"),
    f"{INNER}.3.model.5": ((16, 4, 4, 4), f"{INNER}.3.model.6"),
    f"{INNER}.5": ((8, 2, 4, 4), f"{INNER}.6"),
    "model.model.3": ((4, 3, 4, 4), None),
}
PATCH = {
    "model.0": ((4, 3, 4, 4), None),
    "model.2": ((8, 4, 4, 4), "model.3"),
    "model.5": ((16, 8, 4, 4), "model.6"),
    "model.8": ((32, 16, 4, 4), "model.9"),
    "model.11": ((1, 32, 4, 4), None),
}
PIXEL = {"net.0": ((4, 3, 1, 1), None), "net.2": ((8, 4, 1, 1), "net.3"), "net.5": ((1, 8, 1, 1), None)}
KINDS = {"resnet": RESNET_6, "unet": UNET_128, "patch": PATCH, "pixel": PIXEL}
ALWAYS_BIASED = {"model.23", "model.model.3", "model.0", "model.11", "net.0"}


def drawn(table: dict[str, Any], norm: str = "instance", seed: int = 0) -> State:
    """A state dict of theirs with random numbers."""
    draw = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, (shape, norm_layer) in table.items():
        outputs = shape[1] if transposed(name) else shape[0]
        state[f"{name}.weight"] = 0.3 * torch.randn(shape, generator=draw)
        if norm == "instance" or name in ALWAYS_BIASED:
            state[f"{name}.bias"] = 0.3 * torch.randn(outputs, generator=draw)
        if norm == "batch" and norm_layer:
            for end in ("weight", "bias", "running_mean"):
                state[f"{norm_layer}.{end}"] = 0.3 * torch.randn(outputs, generator=draw)
            state[f"{norm_layer}.running_var"] = 0.5 + torch.rand(outputs, generator=draw)
            state[f"{norm_layer}.num_batches_tracked"] = torch.tensor(7)
    return state


def transposed(name: str) -> bool:
    """Whether their convolution is a transposed one, whose shape states the inputs first."""
    if name.startswith("model.model"):
        return name.endswith((".3", ".5"))
    return name in ("model.16", "model.19")


def normalised(state: State, name: str | None, x: Tensor) -> Tensor:
    if name is None:
        return x
    if f"{name}.running_mean" in state:
        mean, variance, scale, shift = (
            state[f"{name}.{end}"].view(-1, 1, 1) for end in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift
    return F.instance_norm(x)


def resnet(state: State, norm: str, x: Tensor) -> Tensor:
    """Zhu et al. 2017, Sec. 7.2: c7s1-k, d2k, d4k, R4k x 6, u2k, uk, c7s1-3."""

    def layer(name: str, x: Tensor, convolve=F.conv2d, **how) -> Tensor:
        y = convolve(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **how)
        return normalised(state, RESNET_6[name][1] if norm != "none" else None, y)

    def mirrored(x: Tensor, pad: int) -> Tensor:
        return F.pad(x, (pad,) * 4, mode="reflect")

    x = F.relu(layer("model.1", mirrored(x, 3)))
    for name in ("model.4", "model.7"):
        x = F.relu(layer(name, x, stride=2, padding=1))
    for b in range(10, 16):
        inner = F.relu(layer(f"model.{b}.conv_block.1", mirrored(x, 1)))
        x = x + layer(f"model.{b}.conv_block.5", mirrored(inner, 1))
    for name in ("model.16", "model.19"):
        x = F.relu(layer(name, x, F.conv_transpose2d, stride=2, padding=1, output_padding=1))
    return torch.tanh(layer("model.23", mirrored(x, 3)))


def unet(state: State, norm: str, x: Tensor) -> Tensor:
    """Isola et al. 2017, Sec. 6.1.1: each block halves, calls the next, doubles, and lays its input beside."""
    how = {"stride": 2, "padding": 1}

    def layer(name: str, x: Tensor, convolve=F.conv2d) -> Tensor:
        y = convolve(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **how)
        return normalised(state, UNET_128[name][1] if norm != "none" else None, y)

    def block(prefix: str, x: Tensor) -> Tensor:
        inner = layer(f"{prefix}.1", F.leaky_relu(x, 0.2))
        innermost = f"{prefix}.5" not in UNET_128
        inner = inner if innermost else block(f"{prefix}.3.model", inner)
        outer = layer(f"{prefix}.3" if innermost else f"{prefix}.5", F.relu(inner), F.conv_transpose2d)
        return torch.cat([x, outer], dim=1)

    inner = block(INNER, layer("model.model.0", x))
    return torch.tanh(layer("model.model.3", F.relu(inner), F.conv_transpose2d))


def discriminator(state: State, norm: str, x: Tensor) -> Tensor:
    table = PATCH if "model.0.weight" in state else PIXEL
    for i, name in enumerate(table):
        how = {"stride": 2 if i < 3 else 1, "padding": 1} if table is PATCH else {}
        x = F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **how)
        x = normalised(state, table[name][1] if norm != "none" else None, x)
        x = F.leaky_relu(x, 0.2) if i < len(table) - 1 else x
    return x


FORMULAS: dict[str, Callable[[State, str, Tensor], Tensor]] = {
    "resnet": resnet,
    "unet": unet,
    "patch": discriminator,
    "pixel": discriminator,
}


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_their_weights_compute_the_same_in_our_networks(kind: str, norm: str):
    state = drawn(KINDS[kind], norm)
    architecture, network = from_reference(state)
    assert (architecture.kind, architecture.norm, architecture.inputs) == (kind, norm, 3)
    assert architecture.width == (2 if kind == "unet" else 4)
    assert architecture.depth == {"resnet": 6, "unet": 7, "patch": 3, "pixel": 0}[kind]
    doubled = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
    x = noise(2, 3, 128, 256).double()
    with torch.inference_mode():
        expected, given = FORMULAS[kind](doubled, norm, x), network.double()(x)
    assert given.shape == expected.shape
    assert (given - expected).abs().max() < 1e-10 * max(1, float(expected.abs().max()))


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_is_the_same_bit_for_bit(kind: str, norm: str):
    state = drawn(KINDS[kind], norm)
    _, back = to_reference(from_reference(state)[1])
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(
    "network",
    [
        lambda: ResnetGenerator(3, 1, width=4, blocks=9),
        lambda: ResnetGenerator(1, 3, width=4, blocks=6, norm="batch"),
        lambda: UnetGenerator(3, 3, width=4, depth=8, norm="instance"),
        lambda: UnetGenerator(3, 1, width=4, depth=7, norm="batch"),
        lambda: PatchGAN(6, width=4, layers=2),
        lambda: PixelGAN(3, width=4, norm="batch"),
    ],
)
def test_our_weights_come_back_from_theirs(network: Callable):
    own = network().eval()
    architecture, state = to_reference(own)
    assert architecture_of(state) == architecture
    back = from_reference(state)[1].state_dict()
    assert back.keys() == own.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in own.state_dict().items())


def test_what_wraps_and_shifts_their_names_is_undone(tmp_path: Path):
    state = drawn(RESNET_6)
    expected = from_reference(state)[1].state_dict()
    shifted = {name.replace(".conv_block.5.", ".conv_block.6."): value for name, value in state.items()}  # dropout
    old = state | {"model.2.running_mean": torch.zeros(4), "model.2.running_var": torch.ones(4)}  # before torch 0.4
    wrapped = {f"module._orig_mod.{name}": value for name, value in state.items()}
    halves = {name: value.half() for name, value in state.items()}
    for given in (shifted, old, wrapped):
        torch.save(given, tmp_path / "latest_net_G.pth")
        own = from_reference(read_weights(tmp_path / "latest_net_G.pth"))[1].state_dict()
        assert all(torch.equal(own[name], value) for name, value in expected.items())
    assert architecture_of(shifted).dropout and not architecture_of(state).dropout
    assert {value.dtype for value in from_reference(halves)[1].state_dict().values()} == {torch.float32}
    batch = drawn(RESNET_6, "batch")
    early = {name: value for name, value in batch.items() if not name.endswith("num_batches_tracked")}
    assert from_reference(early)[1].state_dict()["layers.1.num_batches_tracked"] == 0


class Payload:
    """What a hostile file holds: a call that would leave a mark."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def stored(value: object) -> bytes:
    packed = io.BytesIO()
    torch.save(value, packed)
    return packed.getvalue()


def compressed(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as after:
        for entry in before.infolist():
            after.writestr(entry.filename, before.read(entry))
    return packed.getvalue()


def attacks(mark: Path) -> dict[str, bytes]:
    state = drawn(RESNET_6)
    name = "model.4.weight"
    return {
        "a plain pickle": pickle.dumps(Payload(mark)),
        "a call among the weights": stored(state | {"x": Payload(mark)}),
        "an older format": pickle.dumps(0) + pickle.dumps(Payload(mark)),
        "a whole network": stored(ResnetGenerator(width=4, blocks=6)),
        "a list": stored([1, 2]),
        "a number by name": stored({"a": 1}),
        "nothing": stored({}),
        "a nested dictionary": stored({"model": state}),
        "empty": b"",
        "text": b"latest",
        "half a file": stored(state)[:3000],
        "compressed": compressed(stored(state)),
        "a view that claims more than there is": stored(state | {name: torch.zeros(1).expand(10**6, 10**6, 3, 3)}),
        "views that fit together": stored({key: torch.zeros(1).expand(value.shape) for key, value in state.items()}),
        "a sparse tensor": stored(state | {name: state[name].to_sparse()}),
        "complex numbers": stored(state | {name: state[name].to(torch.complex64)}),
        "another shape": stored(state | {name: torch.zeros(8, 4, 5, 5)}),
        "no number": stored(state | {name: torch.full((8, 4, 3, 3), torch.nan)}),
        "one more": stored(state | {"model.99.weight": torch.zeros(3)}),
        "one less": stored({key: value for key, value in state.items() if key != name}),
        "another program's": stored({"encoder.weight": torch.zeros(3)}),
        "a name of no number": stored({"model.one.weight": torch.zeros(3)}),
        "a name without places": stored({"model": torch.zeros(3)}),
        "a weight of no shape": stored(state | {"model.1.weight": torch.zeros(())}),
    }


@pytest.mark.parametrize("attack", attacks(Path("mark")))
def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path: Path, attack: str):
    mark, path = tmp_path / "mark", tmp_path / "latest_net_G.pth"
    path.write_bytes(attacks(mark)[attack])
    message = refused(dispatch, ["import", str(path), "--output", str(tmp_path / "run")])
    assert "latest_net_G.pth" in message
    assert not mark.exists() and not (tmp_path / "run").exists()


OPTIONS = """----------------- Options ---------------
               batch_size: 1                             
                crop_size: 64                            \t[default: 256]
                 dataroot: ./datasets/a: b               \t[default: None]
                direction: BtoA                          \t[default: AtoB]
                load_size: 72                            \t[default: 286]
               no_dropout: True                          
               preprocess: scale_width_and_crop          \t[default: resize_and_crop]
                   suffix:                               
----------------- End -------------------
"""  # noqa: W291


def checkpoints(folder: Path, *names: str, options: str | None = None) -> Path:
    folder.mkdir()
    for seed, name in enumerate(names):
        torch.save(drawn(RESNET_6, seed=seed), folder / f"{name}.pth")
    if options is not None:
        (folder / "train_opt.txt").write_text(options)
    return folder


def test_their_options_are_read_as_they_are_written(tmp_path: Path):
    said = read_options(checkpoints(tmp_path / "a", options=OPTIONS))
    assert (said["crop_size"], said["load_size"], said["direction"]) == ("64", "72", "BtoA")
    assert (said["dataroot"], said["suffix"], said["no_dropout"]) == ("./datasets/a: b", "", "True")
    assert read_options(tmp_path) == {}
    (tmp_path / "test_opt.txt").write_text("loadSize: 100\nwhich_direction: BtoA\n")
    assert read_options(tmp_path) == {"load_size": "100", "direction": "BtoA"}


def test_a_folder_of_theirs_becomes_a_run_that_translates_both_ways(tmp_path: Path, capsys):
    folder = checkpoints(tmp_path / "horse2zebra", "latest_net_G_A", "latest_net_G_B", "latest_net_D_A")
    run = tmp_path / "run"
    assert dispatch(["import", str(folder), "--output", str(run), "--x_name", "horse", "--y_name", "zebra"]) == 0
    assert "no train_opt.txt" in capsys.readouterr().out
    x = noise(1, 3, 64, 64)
    for seed, to in enumerate(("zebra", "horse")):
        translator = quagga.load(run, to=to, resolution="full", verify=True)
        assert translator.target == to
        torch.testing.assert_close(translator(x), resnet(drawn(RESNET_6, seed=seed), "instance", x), rtol=0, atol=1e-4)
    model = read_model(run)
    assert model.preprocessing == {"load_size": 286, "crop_size": 256, "fit": "squash"}
    assert dispatch(["verify", str(run)]) == 0
    assert "--existing overwrite" in refused(dispatch, ["import", str(folder), "--output", str(run)])
    assert dispatch(["import", str(folder), "--output", str(run), "--overwrite"]) == 0
    written = (run / "model" / "model.json").stat().st_mtime_ns
    assert dispatch(["import", str(folder), "--output", str(run), "--existing=skip"]) == 0
    assert (run / "model" / "model.json").stat().st_mtime_ns == written


def directions(model: ModelFolder) -> dict[str, tuple[str, str]]:
    return {name: (export.inputs[0].name, export.output.name) for name, export in model.exports.items()}


def test_one_file_becomes_a_run_of_one_direction(tmp_path: Path):
    folder = checkpoints(tmp_path / "a", "latest_net_G", "5_net_G_B", options=OPTIONS)
    assert dispatch(["import", str(folder), "--output", str(tmp_path / "one")]) == 0
    model = read_model(tmp_path / "one")
    assert directions(model) == {"G": ("x", "y")}
    assert [model.domains[side].name for side in "xy"] == ["B", "A"]  # they trained it backwards
    assert model.preprocessing == {"load_size": 72, "crop_size": 64, "fit": "width"}
    assert dispatch(["import", str(folder / "5_net_G_B.pth"), "--output", str(tmp_path / "two")]) == 0
    assert directions(read_model(tmp_path / "two")) == {"F": ("y", "x")}
    assert quagga.load(tmp_path / "two").source == "A"
    assert dispatch(["import", str(folder), "--epoch", "5", "--output", str(tmp_path / "three")]) == 0
    assert read_model(tmp_path / "three").files.keys() == read_model(tmp_path / "two").files.keys()


def test_a_pix2pix_generator_translates_with_its_averages_and_without_dropout(tmp_path: Path, capsys):
    state = drawn(UNET_128, "batch")
    torch.save(state, tmp_path / "latest_net_G.pth")
    assert dispatch(["import", str(tmp_path), "--output", str(tmp_path / "run")]) == 0
    assert "--eval" in capsys.readouterr().out
    x = noise(1, 3, 128, 128)
    translator = quagga.load(tmp_path / "run", resolution="full")
    torch.testing.assert_close(translator(x), unet(state, "batch", x), rtol=0, atol=1e-5)


def test_import_says_what_cannot_work(tmp_path: Path):
    folder = checkpoints(tmp_path / "a", "10_net_G_A", options="load_size: many\n")
    out = ["--output", str(tmp_path / "run")]
    assert "--epoch 10" in refused(dispatch, ["import", str(folder), *out])
    (folder / "5_net_G_A.pth").touch()
    assert "--epoch 5, 10" in refused(dispatch, ["import", str(folder), *out])
    assert "load_size" in refused(dispatch, ["import", str(folder), "--epoch", "10", *out])
    assert "no file or folder" in refused(dispatch, ["import", str(tmp_path / "b"), *out])
    assert "--output" in refused(dispatch, ["import", str(folder)])
    torch.save(drawn(PATCH), tmp_path / "latest_net_D.pth")
    assert "discriminator" in refused(dispatch, ["import", str(tmp_path / "latest_net_D.pth"), *out])
    two = checkpoints(tmp_path / "c", "latest_net_G_A")
    torch.save(drawn(UNET_128), two / "latest_net_G_B.pth")
    assert "differ" in refused(dispatch, ["import", str(two), *out])
    assert not (tmp_path / "run").exists()


def test_a_run_goes_there_and_back(tmp_path: Path, capsys):
    leave_model(tmp_path / "run", width=4, blocks=6, width_discriminator=4)
    out = tmp_path / "theirs" / "zebras"
    assert dispatch(["export", str(tmp_path / "run"), "--format", "reference", "--output", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"latest_net_G_A.pth", "latest_net_G_B.pth", "test_opt.txt"}
    typed = capsys.readouterr().out
    for words in ("--model cycle_gan", "--netG resnet_6blocks", "--ngf 4", "--norm instance", "--no_dropout"):
        assert words in typed
    said = read_options(out)
    assert (said["netG"], said["ngf"], said["no_dropout"]) == ("resnet_6blocks", "4", "True")
    assert dispatch(["import", str(out), "--output", str(tmp_path / "back")]) == 0
    for name in "GF":
        files = [tmp_path / run / "model" / f"{name}.safetensors" for run in ("run", "back")]
        assert files[0].read_bytes() == files[1].read_bytes()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "--existing overwrite" in refused(dispatch, ["export", str(tmp_path / "run"), "--output", str(out)])
    (out / "test_opt.txt").unlink()
    assert dispatch(["export", str(tmp_path / "run"), "--output", str(out), "--existing", "skip"]) == 0
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    assert all(type(value) is Tensor for value in torch.load(out / "latest_net_G_A.pth", weights_only=True).values())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"skip": True}, "skip"),
        ({"upsample": "resize"}, "resize"),
        ({"blocks": 3}, "3 residual blocks"),
        ({"norm": "none"}, "bias"),
        ({"generator": "unet", "blocks": 4}, "depth is 4"),
        ({"generator": "unet", "blocks": 7, "norm": "batch"}, "bias"),
    ],
    ids=str,
)
def test_what_theirs_cannot_hold_is_refused(tmp_path: Path, options: dict[str, Any], word: str):
    leave_model(tmp_path / "run", **{"width": 2, "blocks": 6, "lambda_identity": 0.0, **options})
    assert word in refused(dispatch, ["export", str(tmp_path / "run"), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_spectral_normalisation_cannot_be_held():
    assert "spectral" in refused(to_reference, ResnetGenerator(width=2, blocks=6, spectral=True))


def test_an_imported_run_takes_pictures_at_the_scale_they_were_trained_at(tmp_path: Path):
    folder = checkpoints(tmp_path / "a", "latest_net_G", options="load_size: 40\ncrop_size: 32\n")
    assert dispatch(["import", str(folder), "--output", str(tmp_path / "run")]) == 0
    translator = quagga.load(tmp_path / "run")
    array = pixels(120, 200)
    assert translator(array).shape == array.shape
    assert not np.array_equal(translator(array), quagga.load(tmp_path / "run", resolution="full")(array))
    card = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert card["pipeline"] == "cyclegan" and card["options"]["generator"] == "resnet"
