"""The laws of the model folder, of the translator it becomes, and of `quagga translate`."""

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import quagga
from quagga import fields
from quagga.cli.main import dispatch, dispatch_for
from quagga.cli.translate import main
from quagga.data.io.contact_sheet import CAPTION, GAP, MARGIN
from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.read import read_native, read_picture
from quagga.data.io.tensors import to_tensor, to_uint8
from quagga.errors import BadInput
from quagga.inference.model_files.model_folder import read_model
from quagga.inference.model_files.model_saving import save_model
from quagga.models import ResnetGenerator
from quagga.models.description.export import Export
from quagga.option_groups import call_flat
from quagga.pipelines import cyclegan

TINY: dict[str, Any] = {"width": 4, "blocks": 1, "width_discriminator": 4, "layers": 1, "crop_size": 16}
SIZES = [(1, 1), (1, 9), (2, 3), (7, 5), (16, 16), (33, 18)]  # (height, width)
FILES = ["model.json", "G.safetensors", "golden.safetensors"]


def leave_model(
    run: Path,
    build: Callable = cyclegan.build,
    pipeline: str = "cyclegan",
    seed: int = 0,
    names: tuple[str, str] = ("horse", "zebra"),
    kinds: dict[str, Any] | None = None,
    **options: Any,
):
    """Saves a small untrained model as a run would, and returns its game."""
    torch.manual_seed(seed)
    game = call_flat(build, **options)
    channels = {side: options.get(f"{side}_channels", 3) for side in "xy"}
    for network in game.generators.values():
        for weights in network.parameters():
            nn.init.normal_(weights, std=0.2)  # at their usual start, two networks hardly differ in 8 bits
    save_model(
        run / "model",
        pipeline=pipeline,
        options=options,
        exports=game.exports,
        domains={
            side: {"name": name, "channels": channels[side]}
            | ({"kind": kinds[side][0], "value_range": kinds[side][1]} if kinds else {})
            for side, name in zip("xy", names, strict=True)
        },
        preprocessing={"load_size": 286, "crop_size": 256, "fit": "none"},
        images_seen=12_000,
    )
    return game


def outside(*, width: int = 4):
    """A game that someone wrote elsewhere."""
    return game_of(Own(3, 3, width, 1), Own(3, 3, width, 1))


class Own(ResnetGenerator):
    """A network that is not one of `quagga.models`, so that only its `build` can make it."""


def game_of(G: nn.Module, F: nn.Module | None = None):
    """A game that translates x to y by G, and perhaps y to x by F."""
    generators = {"G": G} if F is None else {"G": G, "F": F}
    ends = {"G": ("x", "y"), "F": ("y", "x")}
    exports = {
        name: Export(network, (fields.picture(ends[name][0]),), fields.picture(ends[name][1]))
        for name, network in generators.items()
    }
    return SimpleNamespace(generators=generators, exports=exports)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("untouched")
    leave_model(run, **TINY)
    return run


@pytest.fixture
def run(untouched: Path, tmp_path: Path) -> Path:
    return shutil.copytree(untouched, tmp_path / "run")


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def pixels(height: int, width: int, channels: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}


def refused(*call) -> str:
    """What is said when the call is refused: always one line."""
    with pytest.raises(BadInput) as caught:
        call[0](*call[1:])
    message = str(caught.value)
    assert "\n" not in message
    return message


# The folder


@pytest.mark.parametrize(
    "options",
    [{}, {"generator": "unet", "blocks": 3}, {"norm": "batch"}, {"upsample": "resize"}, {"x_channels": 1}],
    ids=lambda options: "-".join(map(str, options.values())) or "default",
)
def test_a_loaded_network_gives_bit_for_bit_what_the_saved_one_gave(tmp_path: Path, options: dict):
    options = TINY | {"lambda_identity": 0.0} | options
    game = leave_model(tmp_path, **options)
    for name, to, side in (("G", "zebra", "x"), ("F", "horse", "y")):
        x = noise(2, options.get(f"{side}_channels", 3), 20, 13)
        with torch.inference_mode():
            expected = game.generators[name].eval()(x)
        assert torch.equal(quagga.load(tmp_path, to=to)(x), expected)
        assert torch.equal(quagga.load(tmp_path / "model", to=to)(x), expected)  # the model folder alone will do


def test_statistics_of_batch_norm_and_vectors_of_spectral_norm_are_part_of_the_model(tmp_path: Path):
    def build():
        return game_of(ResnetGenerator(3, 3, 4, 1, norm="batch", spectral=True))

    game = build()
    game.generators["G"].train()(noise(4, 3, 16, 16))  # moves both
    domains = {"x": {"name": "a", "channels": 3}, "y": {"name": "b", "channels": 3}}
    said = {"pipeline": "p", "options": {}, "domains": domains}
    save_model(tmp_path, exports=game.exports, preprocessing={}, images_seen=4, **said)
    x = noise(1, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(quagga.load(tmp_path, build=build)(x), game.generators["G"].eval()(x))


def test_saving_leaves_the_networks_as_they_were(tmp_path: Path):
    torch.manual_seed(0)
    game = outside()
    G = game.generators["G"].double().train()
    before = {name: value.clone() for name, value in G.state_dict().items()}
    random = torch.get_rng_state()
    domains = {side: {"name": side, "channels": 3} for side in "xy"}
    said = {"pipeline": "p", "options": {}, "domains": domains}
    save_model(tmp_path / "model", exports=game.exports, preprocessing={}, images_seen=0, **said)
    assert G.training
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())
    assert all(value.requires_grad for value in G.parameters())
    assert torch.equal(random, torch.get_rng_state())
    stored = load_file(tmp_path / "model" / "G.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}


def test_loading_draws_no_random_numbers(run: Path):
    random = torch.get_rng_state()
    quagga.load(run)
    assert torch.equal(random, torch.get_rng_state())


def test_the_folder_describes_itself(run: Path):
    assert sorted(path.name for path in run.rglob("*.*")) == sorted([*FILES, "F.safetensors"])
    card = json.loads((run / "model" / "model.json").read_text("utf-8"))
    assert card["domains"]["y"] == {"name": "zebra", "channels": 3}
    assert card["versions"] == {"quagga": quagga.__version__, "torch": torch.__version__}
    model = read_model(run)
    assert (model.pipeline, model.options, model.images_seen) == ("cyclegan", TINY, 12_000)
    assert {name: (export.inputs, export.output) for name, export in model.exports.items()} == {
        "G": ((fields.picture("x"),), fields.picture("y")),
        "F": ((fields.picture("y"),), fields.picture("x")),
    }
    assert {network["class"] for network in model.networks.values() if network} == {"ResnetGenerator"}
    assert model.preprocessing == {"load_size": 286, "crop_size": 256, "fit": "none"}


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "first bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "last bit": lambda content: content[:-2] + bytes([content[-2] ^ 128]) + content[-1:],
    "one byte more": lambda content: content + b"\xff",
    "another file": lambda content: b"\x80\x02}q\x00.",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named(run: Path, file: str, damage: str):
    path = run / "model" / file
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert file in refused(quagga.load, run)


@pytest.mark.parametrize("file", FILES[1:])
def test_a_missing_file_is_named(run: Path, file: str):
    (run / "model" / file).unlink()
    assert file in refused(quagga.load, run)


def test_swapped_weights_are_noticed(run: Path):
    G, F = (run / "model" / f"{name}.safetensors" for name in "GF")
    content = G.read_bytes()
    G.write_bytes(F.read_bytes())
    F.write_bytes(content)
    assert "G.safetensors" in refused(quagga.load, run)


def test_where_there_is_no_model_it_is_said_where_one_is_expected(run: Path):
    assert "there is no folder" in refused(quagga.load, run / "nowhere")
    assert f"did you mean {run}?" in refused(quagga.load, run.parent)
    shutil.rmtree(run / "model")
    assert "model.json" in refused(quagga.load, run)


def test_a_run_may_have_the_longest_name_that_a_disk_allows_and_no_longer(run: Path):
    long = run.rename(run.with_name("r" * 255))
    quagga.load(long)
    assert "File name too long" in refused(quagga.load, run.with_name("r" * 256))


def arguments(**changed: Any) -> Callable[[dict[str, Any]], object]:
    return lambda card: card["networks"]["G"]["arguments"].update(changed)


def described(name: str, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda card: card["networks"].update(G={"class": name, "arguments": values})


NESTED = json.loads("[" * 600 + '{"class_path": "this.thing"}' + "]" * 600)
HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a class to import": lambda card: card["options"].update(pool_size={"class_path": "this.thing"}),
    "a class in a list": lambda card: card["options"].update(diffaugment=[{"class_path": "this.thing"}]),
    "a class deep in lists": lambda card: card["options"].update(diffaugment=NESTED),
    "a class deep in arguments": arguments(width=NESTED),
    "a module as pipeline": lambda card: card.update(pipeline="this", networks={"G": None, "F": None}),
    "a pipeline of no type": lambda card: card.update(pipeline=["cyclegan"]),
    "a module as network": described("this"),
    "a network by its path": described("torch.nn.Conv2d", in_channels=3, out_channels=3, kernel_size=1),
    "a network outside": lambda card: [
        card[part].update({"../../G": card[part]["G"]}) for part in ("exports", "networks")
    ],
    "a network of the discriminators": described("PatchGAN", in_channels=3),
    "a network that is not there": lambda card: card.update(
        {part: {"D_X": card[part]["G"]} for part in ("exports", "networks")}
    ),
    "networks and exports that differ": lambda card: card["networks"].pop("G"),
    "an unknown domain": lambda card: card["exports"]["G"]["output"].update(name="z"),
    "a field of no kind": lambda card: card["exports"]["G"]["output"].update(kind="this"),
    "no inputs": lambda card: card["exports"]["G"].update(inputs=[]),
    "two inputs of one name": lambda card: card["exports"]["G"]["inputs"].append({"kind": "picture", "name": "x"}),
    "more inputs than the network's": lambda card: [
        export["inputs"].append({"kind": "mask", "name": "m"}) for export in card["exports"].values()
    ],
    "noise without end": lambda card: card["exports"]["G"].update(
        inputs=[{"kind": "noise", "name": "z", "size": 10**12}]
    ),
    "names without end": lambda card: card["exports"]["G"]["inputs"].append(
        {"kind": "condition", "name": "c", "condition": "class", "names": ["a"] * 100_000, "length": 16}
    ),
    "a mode of no kind": lambda card: card["exports"]["G"]["mode"].update(statistics="this"),
    "domains without a name": lambda card: card.update(domains={"x": {}, "y": {}}),
    "channels of no number": lambda card: card["domains"]["x"].update(channels="3"),
    "other channels than the network's": lambda card: card["domains"]["x"].update(channels=1),
    "an unknown kind": lambda card: card["domains"]["x"].update(kind="this"),
    "a kind of no name": lambda card: card["domains"]["x"].update(kind=["uint8"]),
    "a range of one number": lambda card: card["domains"]["x"].update(value_range=[0]),
    "a range upside down": lambda card: card["domains"]["x"].update(value_range=[255, 0]),
    "a range of words": lambda card: card["domains"]["x"].update(value_range=["0", "255"]),
    "a range without end": lambda card: card["domains"]["x"].update(value_range=[0, 1e999]),
    "labels without a plane": lambda card: card["domains"]["x"].update({"as": "labels", "labels": [[1], [2]]}),
    "a scale of 10**9": lambda card: card["preprocessing"].update(load_size=10**9),
    "a scale of 12000": lambda card: card["preprocessing"].update(load_size=12_000),
    "a scale of a half": lambda card: card["preprocessing"].update(load_size=0.5),
    "a list that is too deep": lambda card: card["preprocessing"].update(more=json.loads("[" * 900 + "]" * 900)),
    "a text without end": lambda card: card["options"].update(objective="a" * 100_000),
    "a number that is none": lambda card: card["options"].update(pool_size=float("nan")),
    "an unknown argument": arguments(__class__="this"),
    "enormous sizes": arguments(width=10**9, blocks=10**9),
    "blocks without end": arguments(blocks=10**9),
    "a U-Net without end": described("UnetGenerator", in_channels=3, out_channels=3, width=4, depth=10**9),
    "an argument of another type": arguments(width="wide"),
    "an argument out of range": arguments(width=-1),
    "another size": arguments(width=8),
    "another word": arguments(upsample="this"),
    "no options": lambda card: card.pop("options"),
    "no files": lambda card: card.update(files={}),
    "no format": lambda card: card.pop("format"),
    "a format of no number": lambda card: card.update(format="1"),
    "images of a negative number": lambda card: card.update(images_seen=-1),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_strangers_model_is_refused_and_runs_nothing(run: Path, attack: str):
    path = run / "model" / "model.json"
    card = json.loads(path.read_text())
    HOSTILE[attack](card)
    path.write_text(json.dumps(card))
    refused(quagga.load, run)
    assert "this" not in sys.modules  # the module that prints a poem when it is imported


HOSTILE_OF_0_1: dict[str, Callable[[dict[str, Any]], object]] = {
    "a class to import": lambda card: card["options"].update(pool_size={"class_path": "this.thing"}),
    "a class in a list": lambda card: card["options"].update(diffaugment=[{"class_path": "this.thing"}]),
    "a module as pipeline": lambda card: card.update(pipeline="this"),
    "a pipeline of no type": lambda card: card.update(pipeline=["cyclegan"]),
    "a network outside": lambda card: card["translations"].update({"../../G": ["x", "y"]}),
    "a network of the discriminators": lambda card: card.update(translations={"D_X": ["x", "y"]}),
    "an unknown domain": lambda card: card["translations"].update(G=["x", "z"]),
    "domains without a name": lambda card: card.update(domains={"x": {}, "y": {}}),
    "channels of no number": lambda card: card["domains"]["x"].update(channels="3"),
    "other channels than the network's": lambda card: card["domains"]["x"].update(channels=1),
    "an unknown kind": lambda card: card["domains"]["x"].update(kind="this"),
    "a kind of no name": lambda card: card["domains"]["x"].update(kind=["uint8"]),
    "a range of one number": lambda card: card["domains"]["x"].update(value_range=[0]),
    "a range upside down": lambda card: card["domains"]["x"].update(value_range=[255, 0]),
    "a range of words": lambda card: card["domains"]["x"].update(value_range=["0", "255"]),
    "a range without end": lambda card: card["domains"]["x"].update(value_range=[0, 1e999]),
    "a class deep in lists": lambda card: card["options"].update(
        diffaugment=json.loads("[" * 600 + '{"class_path": "this.thing"}' + "]" * 600)
    ),
    "a list that is too deep": lambda card: card["options"].update(diffaugment=json.loads("[" * 900 + "]" * 900)),
    "enormous sizes": lambda card: card["options"].update(width=10**9, blocks=10**9, layers=10**9),
    "blocks without end": lambda card: card["options"].update(blocks=10**9),
    "a U-Net without end": lambda card: card["options"].update(generator="unet", blocks=10**9),
    "an option of another type": lambda card: card["options"].update(width="wide"),
    "an option out of range": lambda card: card["options"].update(width=-1),
    "another size": lambda card: card["options"].update(width=8),
    "another word": lambda card: card["options"].update(generator="this"),
    "no options": lambda card: card.pop("options"),
    "no files": lambda card: card.update(files={}),
    "no format": lambda card: card.pop("format"),
    "a format of no number": lambda card: card.update(format="1"),
}


@pytest.mark.parametrize("attack", HOSTILE_OF_0_1)
def test_a_strangers_model_of_version_0_1_is_refused_and_runs_nothing(tmp_path: Path, attack: str):
    run = shutil.copytree(Path(__file__).parents[1] / "fixtures/0.1/runs/cyclegan", tmp_path / "run")
    path = run / "model" / "model.json"
    card = json.loads(path.read_text())
    HOSTILE_OF_0_1[attack](card)
    path.write_text(json.dumps(card))
    refused(quagga.load, run)
    assert "this" not in sys.modules


def test_what_is_refused_is_named_with_its_value_and_what_it_may_be(run: Path):
    path = run / "model" / "model.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"preprocessing": {"load_size": 12_000, "fit": "crop"}}))
    message = refused(quagga.load, run)
    assert "preprocessing.load_size is 12000" in message and "8192" in message and "copy the model again" in message
    card["domains"]["x"]["channels"] = "3"
    path.write_text(json.dumps(card))
    assert "domains.x.channels is '3'" in refused(quagga.load, run)


def test_a_strangers_model_imports_nothing_where_options_have_no_types(tmp_path: Path):
    def untyped(*, norm=None, **_rest):
        return outside()

    leave_model(tmp_path, build=untyped, pipeline="stripes", norm="none")
    path = tmp_path / "model" / "model.json"
    card = json.loads(path.read_text())
    for value in ({"class_path": "this.thing"}, [{"class_path": "this.thing"}], {"a": {"class_path": "this.thing"}}):
        path.write_text(json.dumps(card | {"options": {"norm": value}}))
        assert "options" in refused(quagga.load, tmp_path, None, "cpu", untyped)
    assert "this" not in sys.modules


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b"null", b"{}", b"\xff\xfe", b'{"format": NaN}', b"1e999"])
def test_what_is_not_a_card_is_refused(run: Path, content: bytes):
    (run / "model" / "model.json").write_bytes(content)
    assert "model.json" in refused(quagga.load, run)


def test_a_card_with_a_key_twice_or_of_a_size_that_is_none_is_refused(run: Path):
    path = run / "model" / "model.json"
    content = path.read_bytes()
    path.write_bytes(b'{"pipeline": "cyclegan",' + content.lstrip()[1:])
    assert "the key 'pipeline' stands twice" in refused(quagga.load, run)
    path.write_bytes(content + b" " * (2 << 20))
    assert "more than Quagga writes" in refused(quagga.load, run)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
def test_weights_that_would_never_end_are_refused(run: Path):
    path = run / "model" / "G.safetensors"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "it is no file" in refused(quagga.load, run)
    path.unlink()
    os.mkfifo(path)
    assert "it is no file" in refused(quagga.load, run)


def test_a_file_of_another_size_is_named_with_both_before_it_is_read(run: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("G.safetensors", "golden.safetensors"):
        path = run / "model" / name
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(1 << 40)  # sparse: a terabyte that takes no room
        message = refused(quagga.load, run)
        assert name in message and f"{1 << 40:,}" in message and f"{size:,}" in message and "model.json" in message
        with path.open("r+b") as file:
            file.truncate(size)
    assert quagga.load(run).verify() <= 1e-5


def test_a_model_that_states_no_sizes_loads_and_one_too_large_for_the_memory_is_named(run: Path, monkeypatch):
    card = run / "model" / "model.json"
    said = json.loads(card.read_text())
    assert said.pop("bytes").keys() == said["files"].keys()
    card.write_text(json.dumps(said))  # as models were written before
    assert quagga.load(run).verify() <= 1e-5
    read = Path.read_bytes

    def short_of_memory(path: Path) -> bytes:
        if path.name == "F.safetensors":
            raise MemoryError
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", short_of_memory)
    message = refused(quagga.load, run, "horse")
    assert "F.safetensors has " in message and " bytes" in message and "memory" in message


def test_a_newer_format_is_refused_in_words(run: Path):
    path = run / "model" / "model.json"
    card = json.loads(path.read_text()) | {"format": 3, "versions": {"quagga": "9.8"}, "options": "of a shape to come"}
    path.write_text(json.dumps(card))
    message = refused(quagga.load, run)
    assert "format 3" in message and "9.8" in message and "upgrade" in message


def test_the_golden_picture_is_replayed(run: Path):
    for to in "xy":
        assert quagga.load(run, to=to).verify() <= 1e-5
    inputs, _ = quagga.load(run).predictor.golden
    assert inputs["x"].shape == (1, 3, 256, 256) and 0.9 < inputs["x"].max() <= 1  # noise, of training's crop


def test_a_changed_weight_is_found_by_the_golden_picture(run: Path):
    translator = quagga.load(run)
    next(translator.predictor.network.parameters()).view(-1)[0] += 1
    assert "deviates" in refused(translator.verify)
    next(translator.predictor.network.parameters()).view(-1)[0] = float("nan")
    assert "NaN or infinite" in refused(translator.verify)

    # On disk as well, by someone who knows how to make the hashes fit.
    weights = load_file(run / "model" / "G.safetensors")
    weights["layers.0.weight"].view(-1)[0] += 1
    save_file(weights, run / "model" / "G.safetensors")
    card = json.loads((run / "model" / "model.json").read_text())
    card["files"]["G.safetensors"] = hashlib.sha256((run / "model" / "G.safetensors").read_bytes()).hexdigest()
    (run / "model" / "model.json").write_text(json.dumps(card))
    assert "deviates" in refused(quagga.load(run).verify)


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_a_save_that_fails_leaves_the_model_before_it(run: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    before = contents(run)
    owner, name = {"fsync": (os, "fsync"), "rename": (Path, "rename"), "mkdir": (Path, "mkdir")}[call]
    original, failures = getattr(owner, name), 0
    for broken in range(20):
        count = 0

        def breaks(*args, broken=broken, **kwargs):
            nonlocal count
            count += 1
            if count == broken + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, breaks)
            try:
                leave_model(run, seed=1, **TINY)
            except BadInput as error:
                failures += 1
                assert "No space left" in str(error)
            else:
                break  # as many calls as that there are not
        if contents(run) != before:  # what comes after the new model is in its place may fail and leave it there
            assert call != "mkdir" and quagga.load(run).verify() <= 1e-5
            leave_model(run, seed=0, **TINY)
    assert failures >= 2 or call == "mkdir"
    assert contents(run) != before and quagga.load(run).verify() <= 1e-5


def test_a_kill_between_the_two_renames_hides_no_model(run: Path, monkeypatch: pytest.MonkeyPatch):
    before = contents(run / "model")
    (run / "model").rename(run / ".model.previous")
    shutil.copytree(run / ".model.previous", run / ".model.draft")
    assert quagga.load(run).verify() <= 1e-5
    assert quagga.load(run / "model").verify() <= 1e-5

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left" in refused(lambda: leave_model(run, **TINY))
    assert contents(run / "model") == before
    leave_model(run, **TINY)
    assert contents(run / "model") == before
    assert [path.name for path in run.iterdir()] == ["model"]


def test_a_game_from_elsewhere_is_loaded_with_its_build(tmp_path: Path):
    game = leave_model(tmp_path, build=outside, pipeline="stripes", width=8)
    message = refused(quagga.load, tmp_path)
    assert "stripes" in message and "build=" in message
    x = noise(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(quagga.load(tmp_path, build=outside)(x), game.generators["G"].eval()(x))


def test_buffers_that_are_computed_and_not_saved_are_there_after_loading(tmp_path: Path):
    class Ramp(nn.Module):
        ramp: Tensor

        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))
            self.register_buffer("ramp", torch.linspace(0, 1, 3).view(1, 3, 1, 1), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.gain * self.ramp * x

    def build():
        return game_of(Ramp())

    domains = {side: {"name": side, "channels": 3} for side in "xy"}
    said = {"pipeline": "p", "options": {}, "domains": domains}
    save_model(tmp_path, exports=build().exports, preprocessing={}, images_seen=0, **said)
    assert quagga.load(tmp_path, build=build).verify() == 0


# The translator


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_kind_of_picture_comes_out_in_its_kind_and_size(run: Path, size: tuple[int, int]):
    translator = quagga.load(run)
    array = pixels(*size)
    image, tensor = translator(Image.fromarray(array)), translator(to_tensor(array))
    assert isinstance(image, Image.Image) and image.size == size[::-1] and image.mode == "RGB"
    assert tensor.shape == (3, *size) and tensor.dtype == torch.float32
    for given in (array, (array / 255).astype(np.float32), array / 255):
        made = translator(given)
        assert made.shape == given.shape and made.dtype == given.dtype
    batch = noise(2, 3, *size)
    assert translator(batch).shape == batch.shape
    assert translator(batch.double()).dtype == torch.float64
    assert translator(array[:, :, 0]).shape == (*size, 3)


def test_all_kinds_are_the_same_translation(run: Path):
    translator = quagga.load(run)
    array = pixels(19, 26)
    expected = to_uint8(translator(to_tensor(array)))
    assert np.array_equal(translator(array), expected)
    assert np.array_equal(np.asarray(translator(Image.fromarray(array))), expected)
    assert np.abs(translator((array / 255).astype(np.float32)) * 255 - expected).max() < 0.6
    two = torch.stack([to_tensor(array), to_tensor(pixels(19, 26, seed=2))])
    torch.testing.assert_close(translator(two)[0], translator(two[0]), rtol=0, atol=1e-5)


def test_a_grey_target_is_grey_in_every_kind(tmp_path: Path):
    leave_model(tmp_path, y_channels=1, lambda_identity=0.0, **TINY)
    to_grey, to_colour = quagga.load(tmp_path, to="y"), quagga.load(tmp_path, to="x")
    assert (to_grey.channels, to_grey.target_channels) == (3, 1)
    array = pixels(8, 9)
    assert to_grey(Image.fromarray(array)).mode == "L"
    assert to_grey(array).shape == (8, 9, 1)
    assert to_grey(array[:, :, 0]).shape == (8, 9)
    assert to_grey(noise(1, 8, 9)).shape == (1, 8, 9)
    assert to_colour(Image.fromarray(array)).mode == "RGB"
    assert to_colour(to_tensor(array)).shape == (3, 8, 9)
    assert np.array_equal(to_colour(array), to_colour(np.asarray(Image.fromarray(array).convert("L"))))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)], ids=str)
@pytest.mark.parametrize("resolution", ["model", "full"])
def test_an_image_without_pixels_is_refused(run: Path, size: tuple[int, int], resolution: Any):
    assert "it is empty" in refused(quagga.load(run, resolution=resolution), Image.new("RGB", size))


@pytest.mark.parametrize("kind", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "rotated"])
def test_an_open_image_is_taken_as_the_decoder_takes_its_file(run: Path, tmp_path: Path, kind: str):
    path = tmp_path / ("a.tif" if kind == "CMYK" else "a.png")
    array = pixels(6, 9, 4)
    if kind == "I;16":
        Image.fromarray(array[:, :, 0].astype(np.uint16) * 257).save(path)
    elif kind == "rotated":
        exif = Image.Exif()
        exif[274] = 6  # the camera was turned: what is 9 x 6 in the file is 6 x 9 to the eye
        Image.fromarray(array[:, :, :3]).save(path, exif=exif)
    else:
        Image.fromarray(array).convert("RGB" if kind == "CMYK" else "RGBA").convert(kind).save(path)
    translator = quagga.load(run)
    with Image.open(path) as image:
        made, twice = translator(image), translator(image)  # the given image is left as it is
    assert np.array_equal(np.asarray(made), translator(read_picture(path)))
    assert np.array_equal(np.asarray(made), np.asarray(twice))
    assert made.size == ((6, 9) if kind == "rotated" else (9, 6))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.full((4, 4, 3), 200.0), "[0, 1]"),
        (np.full((4, 4, 3), -0.5), "[0, 1]"),
        (np.full((4, 4, 3), np.nan), "[0, 1]"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((2, 4, 4, 3), np.uint8), "(2, 4, 4, 3)"),
        (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
        (np.zeros((4, 4, 5), np.uint8), "5 channels"),
        (torch.full((3, 4, 4), 200.0), "[-1, 1]"),
        (torch.full((3, 4, 4), torch.nan), "[-1, 1]"),
        (torch.zeros((3, 4, 4), dtype=torch.uint8), "uint8"),
        (torch.zeros((4, 4)), "(4, 4)"),
        (torch.zeros((4, 4, 3)), "4 channels"),
        (np.zeros((4, 4, 5)), "5 channels"),
        ("horse.jpg", "str"),
    ],
)
def test_what_is_no_picture_is_refused(run: Path, picture, words: str):
    assert words in refused(quagga.load(run), picture)


# Pictures of other kinds

CT = {"x": ("uint16", [0, 4095]), "y": ("int16", [-1000, 3000])}
HEIGHTS = {"x": ("float32", [-10, 90]), "y": ("uint8", [0, 255])}


def test_a_card_of_before_other_kinds_means_8_bits(run: Path):
    translator = quagga.load(run)
    assert translator.input_format == translator.output_format == PixelFormat(3, "uint8", (0, 255))


def test_numbers_are_read_by_the_source_s_range_and_written_in_the_target_s(tmp_path: Path):
    leave_model(tmp_path, x_channels=1, y_channels=1, kinds=CT, **TINY)
    translator, back = quagga.load(tmp_path), quagga.load(tmp_path, to="x")
    assert (translator.input_format, translator.output_format) == (
        PixelFormat(1, "uint16", (0, 4095)),
        PixelFormat(1, "int16", (-1000, 3000)),
    )
    values = np.random.default_rng(0).integers(0, 4096, (9, 12)).astype(np.uint16)
    tensor = torch.from_numpy(values / 4095).float()[None] * 2 - 1
    expected = (translator(tensor).double().numpy()[0] + 1) / 2 * 4000 - 1000
    made = translator(values)
    assert made.dtype == np.int16 and made.shape == (9, 12) and len(np.unique(made)) > 20
    assert np.abs(made - expected).max() <= 0.51
    assert np.array_equal(translator(values.astype(">u2")), made)
    assert np.array_equal(translator(values[..., None])[..., 0], made)
    again = back(made)
    assert again.dtype == np.uint16 and again.max() <= 4095
    # Other kinds by their own range: all of these are the same grey.
    greys = [np.full((5, 5), 51, np.uint8), np.full((5, 5), 819, np.uint16), np.full((5, 5), 0.2, np.float32)]
    made = [translator(grey) for grey in greys]
    assert [str(each.dtype) for each in made] == ["int16", "int16", "float32"]
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1
    assert np.abs(made[2] * 4000 - 1000 - made[1]).max() <= 1


def test_floats_may_be_a_kind_of_their_own(tmp_path: Path):
    leave_model(tmp_path, x_channels=12, kinds=HEIGHTS, lambda_identity=0.0, **TINY)
    translator, back = quagga.load(tmp_path), quagga.load(tmp_path, to="x")
    values = np.random.default_rng(0).uniform(-10, 90, (8, 9, 12))
    made = translator(values)
    assert made.dtype == np.uint8 and made.shape == (8, 9, 3)
    tensor = torch.from_numpy((values + 10) / 50 - 1).float().permute(2, 0, 1)
    assert np.abs(to_uint8(translator(tensor)).astype(int) - made).max() <= 1
    again = back(made)
    assert again.dtype == np.float32 and again.shape == (8, 9, 12) and -10 <= again.min() < again.max() <= 90
    assert "PIL image cannot hold horse, 12 channels of float32" in refused(back, Image.fromarray(made))
    assert "it has 3 channels, and 12 are asked for" in refused(translator, Image.fromarray(made))


@pytest.mark.parametrize(
    ("kind", "channels", "mode"),
    [("uint8", 4, "RGBA"), ("uint16", 1, "I;16"), ("int16", 1, "I"), ("float32", 1, "F"), ("uint8", 1, "L")],
)
def test_a_pil_image_is_given_back_where_pil_has_a_mode_for_it(tmp_path: Path, kind: str, channels: int, mode: str):
    value_range = [0, 100] if kind != "uint8" else [0, 255]
    kinds = {"x": ("uint8", [0, 255]), "y": (kind, value_range)}
    leave_model(tmp_path, y_channels=channels, kinds=kinds, lambda_identity=0.0, **TINY)
    array = pixels(6, 7)
    made = quagga.load(tmp_path)(Image.fromarray(array))
    assert made.mode == mode and made.size == (7, 6)
    values = quagga.load(tmp_path)(array)
    assert values.dtype == kind and np.array_equal(np.asarray(made).reshape(values.shape), values)


def test_a_fourth_channel_is_taken_as_it_is(tmp_path: Path):
    leave_model(tmp_path, x_channels=4, lambda_identity=0.0, **TINY)
    translator = quagga.load(tmp_path)
    clear, solid = pixels(6, 7, 4), pixels(6, 7, 4)
    solid[:3, :, 3] = 255  # no channel may be of one value: it would be normalised away
    assert not np.array_equal(translator(clear), translator(solid))
    assert np.array_equal(translator(clear), np.asarray(translator(Image.fromarray(clear))))
    assert np.array_equal(translator(clear), to_uint8(translator(to_tensor(clear))))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.complex64])
def test_integers_that_are_no_kind_of_the_model_s_are_refused(run: Path, dtype: type):
    assert np.dtype(dtype).name in refused(quagga.load(run), np.zeros((4, 4, 3), dtype))


def test_files_are_written_in_the_target_s_kind(tmp_path: Path, capsys):
    leave_model(tmp_path / "run", x_channels=1, y_channels=1, kinds=CT, **TINY)
    photos = tmp_path / "photos"
    photos.mkdir()
    values = np.random.default_rng(0).integers(0, 4096, (9, 12)).astype(np.uint16)
    values[0, :3] = 60_000
    Image.fromarray(values).save(photos / "a.png")
    Image.fromarray(values).save(photos / "b.TIF")
    np.save(photos / "c.npy", values)
    np.savez(photos / "d.npz", values)
    Image.fromarray((values // 16).astype(np.uint8)).save(photos / "e.jpg", quality=100)
    out = tmp_path / "out"
    assert translate(tmp_path / "run", photos, "--output", out, "--comparison") == 0
    assert contents(out).keys() == {"a.tif", "b.TIF", "c.npy", "d.npz", "e.tif", "comparison.png"}
    expected = quagga.load(tmp_path / "run")(values)
    for name in ("a.tif", "b.TIF", "c.npy", "d.npz"):
        assert np.array_equal(read_native(out / name).pixels[..., 0], expected)
    said = capsys.readouterr().out
    assert "horse: 12 of 540 values lay outside 0..4095 and were clipped" in said
    assert "horse (1st to 99th percentile) | zebra (1st to 99th percentile): " in said
    shown = read_picture(out / "comparison.png", 1)[-MARGIN - 128 : -MARGIN, -MARGIN - 128 : -MARGIN]
    assert np.ptp(shown) > 200  # stretched
    assert translate(tmp_path / "run", out / "c.npy", "--to", "x", "--output", tmp_path / "back") == 0
    assert read_native(tmp_path / "back" / "c.npy").pixels.dtype == np.uint16
    (photos / "a.tif").write_bytes((photos / "b.TIF").read_bytes())  # a.png becomes a.tif, too
    assert "would both become" in refused(translate, tmp_path / "run", photos, "--output", tmp_path / "other")


def test_pictures_that_cannot_be_read_here_are_counted(run: Path, photos: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr("quagga.data.sources.folders.UNREADABLE_SUFFIXES", {".heic": "pip install 'quagga[heic]'"})
    monkeypatch.setattr("quagga.data.sources.folders.SUFFIXES", (".png",))
    (photos / "a.heic").write_bytes(b"x")
    (photos / "sub" / "b.HEIC").write_bytes(b"x")
    assert translate(run, photos, "--output", tmp_path / "out") == 0
    assert "2 .heic files are left out: pip install 'quagga[heic]'" in capsys.readouterr().err
    alone = tmp_path / "alone"
    alone.mkdir()
    (photos / "a.heic").rename(alone / "a.heic")
    message = refused(translate, run, alone, "--output", tmp_path / "none")
    assert "1 .heic file is left out: pip install 'quagga[heic]'" in message


def test_what_surrounds_the_call_does_not_matter(run: Path):
    translator = quagga.load(run)
    x = noise(1, 3, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(translator(x), translator(x))
        inside = translator(x)
    assert torch.equal(inside, translator(x))
    weight = nn.Parameter(torch.ones(()))
    (weight * inside).sum().backward()  # a tensor made in inference mode would refuse
    assert weight.grad is not None


def test_products_in_16_bits_make_nearly_the_same_picture(run: Path, photos: Path, tmp_path: Path):
    """Not the same, so that the option does something; in the same kinds, and verified in float32."""
    plain, quick = (quagga.load(run, device="cpu", mixed_precision=precision) for precision in ("no", "bf16"))
    x = noise(2, 3, 20, 28)
    assert plain(x).dtype == quick(x).dtype == torch.float32
    apart = (plain(x) - quick(x)).abs()
    assert apart.max() > 1e-4 and apart.mean() < 0.02
    assert quick.verify() <= 1e-5 and quick.predictor.mixed_precision == "bf16"
    picture = pixels(20, 28)
    assert translate(run, photos / "a.png", "--output", tmp_path / "out", "--mixed_precision", "bf16") == 0
    assert np.array_equal(read_picture(tmp_path / "out" / "a.png"), quick(read_picture(photos / "a.png")))
    assert quick(picture).dtype == np.uint8
    quick.resolution = "full"  # straight out of the network
    assert quick((picture / 255).astype(np.float32)).dtype == np.float32
    assert "choose no or bf16" in refused(partial(quagga.load, run, mixed_precision="fp16"))


def test_strips_stay_in_float32(run: Path):
    x = noise(1, 3, 80, 80)
    plain, quick = (quagga.load(run, device="cpu", tile=32, mixed_precision=precision) for precision in ("no", "bf16"))
    assert torch.equal(plain(x), quick(x))


@pytest.mark.parametrize(
    ("to", "target"),
    [(to, "zebra") for to in (None, "zebra", "y", "AtoB", "atob")]
    + [(to, "horse") for to in ("horse", "Horse", "x", "BtoA")],
)
def test_directions_have_many_names(run: Path, to: str | None, target: str):
    translator = quagga.load(run, to=to)
    assert {translator.source, translator.target} == {"horse", "zebra"}
    assert translator.target == target
    expected = load_file(run / "model" / f"{'G' if target == 'zebra' else 'F'}.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in translator.predictor.network.state_dict().items())


def test_an_unknown_direction_shows_the_known_ones(run: Path):
    message = refused(quagga.load, run, "zebar")
    assert "did you mean zebra?" in message and "horse" in message


def test_domains_of_one_name_are_told_by_their_letters(tmp_path: Path):
    leave_model(tmp_path, names=("train", "train"), **TINY)
    x = noise(3, 8, 8)
    assert torch.equal(quagga.load(tmp_path, to="BtoA")(x), quagga.load(tmp_path, to="x")(x))
    assert not torch.equal(quagga.load(tmp_path, to="y")(x), quagga.load(tmp_path, to="x")(x))
    assert "train" in refused(quagga.load, tmp_path, "train")


@pytest.mark.parametrize("names", [("zebra", "Zebra"), ("Zebra", "zebra"), ("Y", "X"), ("AtoB", "atob")], ids=str)
def test_domains_that_differ_in_case_are_told_apart_by_it(tmp_path: Path, names: tuple[str, str]):
    leave_model(tmp_path, names=names, **TINY)
    x = noise(3, 8, 8)
    for letter, name in zip("xy", names, strict=True):
        if name != "AtoB":  # which means a direction in every model
            assert torch.equal(quagga.load(tmp_path, to=name)(x), quagga.load(tmp_path, to=letter)(x))
    if names[0].casefold() == names[1].casefold() == "zebra":
        message = refused(quagga.load, tmp_path, "ZEBRA")
        assert "zebra" in message and "Zebra" in message


def test_a_domain_is_called_in_any_form_of_unicode(tmp_path: Path):
    leave_model(tmp_path, names=("x", "Z\u00e9bre"), **TINY)
    assert quagga.load(tmp_path, to="ze\u0301bre").target == "Z\u00e9bre"


def test_a_domain_may_be_called_null(tmp_path: Path):
    leave_model(tmp_path / "run", names=("null", "true"), **TINY)
    Image.fromarray(pixels(8, 8)).save(tmp_path / "a.png")
    assert translate(tmp_path / "run", tmp_path / "a.png", "--to", "null", "--output", tmp_path / "out") == 0
    expected = quagga.load(tmp_path / "run", to="x")(pixels(8, 8))
    assert np.array_equal(read_picture(tmp_path / "out" / "a.png"), expected)


def test_a_device_that_is_not_there_is_refused(run: Path):
    assert "cpu" in refused(quagga.load, run, None, "cuda:99")
    assert "cpu" in refused(quagga.load, run, None, "warp")
    assert "cpu" in refused(quagga.load, run, None, "meta")


class Wasteful(nn.Module):
    def __init__(self, error: Exception | None = None):
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        if self.error:
            raise self.error
        return x.new_empty(2**60)


def test_too_large_a_picture_is_answered_with_what_to_do(run: Path):
    translator = quagga.load(run, device="cpu")
    errors = torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("MPS backend out of memory")
    for error in (None, *errors, RuntimeError("CUDNN_STATUS_ALLOC_FAILED")):
        translator.predictor = replace(translator.predictor, network=Wasteful(error))
        message = refused(translator, noise(3, 5, 7))
        assert "7x5" in message and "smaller" in message
    translator.predictor = replace(translator.predictor, network=Wasteful(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        translator(noise(3, 5, 7))


def test_a_network_that_changes_the_size_is_named(run: Path):
    translator = quagga.load(run)
    translator.predictor = replace(translator.predictor, network=nn.AvgPool2d(2))
    assert "pad" in refused(translator, noise(3, 8, 8))


# The command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number, name in enumerate(["a.png", "b.jpg", "sub/c.PNG", "sub/deep/ü ñ 馬.webp", "d.gif", "e.bmp", "f.tif"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(7 + number, 12, seed=number)).save(path)
    return folder


def translate(run: Path, *words: object) -> int:
    return main([str(run), *map(str, words)])


def test_files_keep_structure_name_size_and_format(run: Path, photos: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert translate(run, photos, "--output", out) == 0
    expected = {"a.png", "b.jpg", "sub/c.PNG", "sub/deep/ü ñ 馬.webp", "d.png", "e.bmp", "f.tif"}
    assert {path.relative_to(out).as_posix() for path in out.rglob("[!.]*") if path.is_file()} == expected
    for source in photos.rglob("*.*"):
        target = out / source.relative_to(photos)
        with (
            Image.open(source) as before,
            Image.open(target.with_suffix(".png") if before.format == "GIF" else target) as after,
        ):
            assert after.size == before.size
            assert after.format == ("PNG" if before.format == "GIF" else before.format)
    assert str(out) in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.png", "sub/c.PNG", "sub/deep/ü ñ 馬.webp", "e.bmp", "f.tif"])
def test_what_is_written_is_what_the_translator_gives(run: Path, photos: Path, tmp_path: Path, name: str):
    assert translate(run, photos / name, "--output", tmp_path / "out", "--to", "x") == 0
    expected = quagga.load(run, to="x")(read_picture(photos / name))
    assert np.array_equal(read_picture(tmp_path / "out" / Path(name).name), expected)


def test_a_photo_that_lies_on_its_side_comes_out_upright(run: Path, tmp_path: Path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels(6, 10)).save(tmp_path / "a.jpg", exif=exif)
    assert translate(run, tmp_path / "a.jpg", "--output", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.jpg") as after:
        assert after.size == (6, 10)
        assert 274 not in after.getexif()  # else a viewer would turn it again


def test_nothing_is_overwritten_unless_asked_for(run: Path, photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("mine")
    (out / "e.bmp").write_text("mine too")
    before = contents(out)
    message = refused(translate, run, photos, "--output", out)
    assert "2 of 7" in message and "a.png" in message and "--existing skip" in message
    assert contents(out) == before
    refused(translate, run, photos, "--output", out, "--overwrite=false")
    refused(translate, run, photos, "--output", out, "--overwrite", "false")
    assert contents(out) == before
    assert translate(run, photos, "--output", out, "--overwrite") == 0
    assert contents(out).keys() > before.keys()
    assert all(contents(out)[name] != before[name] for name in before)


def test_a_call_that_was_stopped_goes_on(run: Path, photos: Path, tmp_path: Path, monkeypatch, capsys):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert translate(run, photos, "--output", whole, "--comparison") == 0
    original = Image.Image.save

    def stopped(self, path, *args, **kwargs):
        original(self, path, *args, **kwargs)
        if self.size[1] == 10:  # the fourth, half of which is written
            Path(path).write_bytes(Path(path).read_bytes()[:20])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Image.Image, "save", stopped)
        translate(run, photos, "--output", out, "--comparison")
    first = {path: path.stat().st_mtime_ns for path in out.rglob("[!.]*") if path.is_file()}
    assert 0 < len(first) < 7 and all(read_picture(path).size for path in first)
    (out / "a.png").write_bytes(b"")  # as a power cut leaves it
    assert "--existing skip" in refused(translate, run, photos, "--output", out, "--comparison")
    capsys.readouterr()
    assert translate(run, photos, "--output", out, "--comparison", "--existing", "skip") == 0
    assert f"{len(first) - 1} of 7 pictures" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == when for path, when in first.items() if path.name != "a.png")
    made, expected = contents(out), contents(whole)
    sheets = [read_picture(folder / "comparison.png") for folder in (out, whole)]
    differing = np.flatnonzero((sheets[0] != sheets[1]).any((1, 2)))
    # b.jpg's rows, below a.png's, all enlarged 11 times: those of the first call are shown as their files have them.
    assert differing.min() > 7 * 11 and differing.max() - differing.min() < 8 * 11
    assert {**made, "comparison.png": b""} == {**expected, "comparison.png": b""}
    assert translate(run, photos, "--output", out, "--comparison", "--existing=skip") == 0
    assert contents(out) == made


def test_overwrite_is_the_older_name_of_existing(run: Path, photos: Path, tmp_path: Path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("mine")
    for value, words in (("true", 0), ("false", None)):
        (tmp_path / "options.yaml").write_text(f"overwrite: {value}\n")
        call = (translate, run, photos / "a.png", "--output", tmp_path / "out", "--config", tmp_path / "options.yaml")
        assert call[0](*call[1:]) == words if words == 0 else "exist" in refused(*call)
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "--existing {error,skip,overwrite}" in said and "--overwrite" not in said


def test_two_pictures_never_become_one(run: Path, photos: Path, tmp_path: Path):
    shutil.copy(photos / "a.png", photos / "d.png")  # beside d.gif, which becomes PNG
    out = tmp_path / "out"
    message = refused(translate, run, photos, "--output", out)
    assert "d.gif" in message and "d.png" in message
    other = tmp_path / "other"
    shutil.copytree(photos / "sub", other)
    assert "c.PNG" in refused(translate, run, photos / "sub", other, "--output", out)
    Image.fromarray(pixels(3, 3)).save(tmp_path / "comparison.png")
    assert "comparison.png" in refused(translate, run, tmp_path / "comparison.png", "--output", out, "--comparison")
    assert not out.exists()


def test_a_picture_that_is_named_twice_is_translated_once(run: Path, photos: Path, tmp_path: Path, capsys):
    relative = os.path.relpath(photos / "a.png")
    assert translate(run, photos / "a.png", relative, "--output", tmp_path / "out") == 0
    assert "1 picture," in capsys.readouterr().out


def test_originals_are_never_replaced(run: Path, photos: Path):
    before = contents(photos)
    assert "original" in refused(translate, run, photos, "--output", photos, "--overwrite")
    assert "original" in refused(translate, run, photos / "sub" / "c.PNG", "--output", photos / "sub", "--overwrite")
    assert contents(photos) == before


def test_an_output_inside_the_input_is_not_translated_again(run: Path, photos: Path):
    out = photos / "zebras"
    assert translate(run, photos, "--output", out) == 0
    first = contents(photos)
    assert translate(run, photos, "--output", out, "--overwrite") == 0
    assert contents(photos) == first


def test_an_unreadable_picture_costs_only_itself(run: Path, photos: Path, tmp_path: Path, capsys):
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:60])
    assert translate(run, photos, "--output", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert "broken.png" in said.err and "1 of 8" in said.err
    assert len(contents(tmp_path / "out")) == 7


def test_a_full_disk_leaves_no_half_written_picture(run: Path, photos: Path, tmp_path: Path, monkeypatch):
    original = Image.Image.save

    def runs_full(self, path, *args, **kwargs):
        original(self, path, *args, **kwargs)
        if self.size[1] == 9:  # the third
            Path(path).write_bytes(Path(path).read_bytes()[:20])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", runs_full)
    assert "No space left" in refused(translate, run, photos, "--output", tmp_path / "out")
    for path in (tmp_path / "out").rglob("[!.]*.*"):
        read_picture(path)


def test_the_comparison_shows_before_and_after(run: Path, tmp_path: Path):
    out, sources = tmp_path / "out", [tmp_path / "plain.png", tmp_path / "other.png"]
    for source, colour in zip(sources, ((200, 120, 40), (20, 30, 250)), strict=True):
        Image.new("RGB", (16, 16), colour).save(source)
    assert translate(run, "--comparison", *sources, "--output", out) == 0
    sheet = read_picture(out / "comparison.png")
    for row, source in enumerate(sources):  # enlarged eight times, below a line of headings
        for column, picture in enumerate((read_picture(source), read_picture(out / source.name))):
            top, left = MARGIN + CAPTION + row * (128 + GAP), MARGIN + column * (128 + GAP)
            assert np.array_equal(sheet[top : top + 128 : 8, left : left + 128 : 8], picture)


def test_options_may_stand_anywhere(run: Path, photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    a, b = photos / "a.png", photos / "b.jpg"
    for words in (
        [run, a, "--output", out, b],
        ["--overwrite", run, "--output", out, a, b],
        ["--overwrite", "true", "--to=zebra", f"--output={out}", run, a, b],
    ):
        assert main(list(map(str, words))) == 0
        assert contents(out).keys() == {"a.png", "b.jpg"}


def test_what_cannot_work_is_said_before_anything_is_done(run: Path, photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "did you mean --output?" in refused(translate, run, photos, "--outptu", out)
    assert "--output" in refused(translate, run, photos)
    assert "no pictures" in refused(translate, run, "--output", out)
    assert "no pictures" in refused(main, ["--output", str(out)])
    assert "nothing-here" in refused(translate, run, tmp_path / "nothing-here", "--output", out)
    assert "0 images" in refused(translate, run, empty, "--output", out)
    assert "did you mean zebra?" in refused(translate, run, photos, "--output", out, "--to", "zebr")
    assert "cpu" in refused(translate, run, photos, "--output", out, "--device", "cuda:99")
    assert "no folder" in refused(translate, tmp_path / "no-run", photos, "--output", out)
    assert not out.exists()
    out.write_text("a file")
    assert "is a file" in refused(translate, run, photos, "--output", out)
    assert out.read_text() == "a file"


def test_a_game_from_elsewhere_translates_too(tmp_path: Path, photos: Path):
    leave_model(tmp_path / "run", build=outside, pipeline="stripes", width=4)
    words = [str(tmp_path / "run"), str(photos / "a.png"), "--output", str(tmp_path / "out")]
    assert "stripes" in refused(main, words)
    assert main(words, build=outside) == 0
    assert (tmp_path / "out" / "a.png").is_file()


# Verification


def test_verify_says_a_line_for_each_translation(run: Path, capsys):
    assert dispatch(["verify", str(run)]) == 0
    *lines, verdict = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["horse to zebra", "zebra to horse"]
    assert all("as it was saved" in line and "allowed is 0.001" in line for line in lines)
    assert verdict.startswith("all is well with")


def test_verify_names_what_does_not_hold_and_goes_on(run: Path, capsys):
    path = run / "model" / "F.safetensors"
    path.write_bytes(path.read_bytes() + b"x")
    assert dispatch(["verify", str(run)]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("horse to zebra: as it was saved") and said.out.count("\n") == 1
    assert "zebra to horse" in said.err and "F.safetensors" in said.err


def spoilt(run: Path, by: float = 1.0, key: str = "layers.0.weight") -> None:
    """Changes a weight of G as someone would who makes the hashes fit."""
    path, card = run / "model" / "G.safetensors", run / "model" / "model.json"
    weights = load_file(path)
    weights[key].view(-1)[0] += by
    save_file(weights, path)
    said = json.loads(card.read_text())
    said["files"]["G.safetensors"] = hashlib.sha256(path.read_bytes()).hexdigest()
    card.write_text(json.dumps(said))


def test_every_loader_verifies_on_demand(run: Path, photos: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert translate(run, photos / "a.png", "--output", out, "--verify") == 0
    quagga.load(run, verify=True)
    spoilt(run)
    assert dispatch(["verify", str(run)]) == 2
    assert "deviates" in capsys.readouterr().err
    assert "deviates" in refused(lambda: quagga.load(run, verify=True))
    assert "deviates" in refused(translate, run, photos / "a.png", "--output", out, "--overwrite", "--verify")
    quagga.load(run)
    assert translate(run, photos / "a.png", "--output", out, "--overwrite") == 0
    quagga.load(run, to="horse", verify=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_their_layer(run: Path, photos: Path, tmp_path: Path, value: float):
    spoilt(run, value)
    for call in (lambda: quagga.load(run), lambda: translate(run, photos, "--output", tmp_path / "out")):
        message = refused(call)
        assert "G.safetensors: 1 of 588 values of weight in the layer layers.0 are NaN or infinite" in message
    assert not (tmp_path / "out").exists()
    assert dispatch(["verify", str(run)]) == 2
    quagga.load(run, to="horse")
    train = ["train", "cyclegan", "--root", str(tmp_path), "--init_from", str(run)]
    for side in "AB":
        shutil.copytree(photos, tmp_path / f"train{side}")
    small = [f"--{name}={value}" for name, value in TINY.items()]
    words = [*train, *small, "--load_size=16", "--workers=0", f"--output={tmp_path / 'new'}", "--device=cpu"]
    assert "layers.0" in refused(dispatch, words)
    assert not (tmp_path / "new" / "model").exists()


def test_averages_of_batch_norm_that_are_not_finite_are_refused_and_masks_are_not(tmp_path: Path):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x)

    def build():
        return game_of(Masked())

    domains = {side: {"name": side, "channels": 3} for side in "xy"}
    said = {"pipeline": "p", "options": {}, "domains": domains}
    for variance, expected in ((1.0, ""), (torch.inf, "running_var in the layer norm"), (torch.nan, "running_var")):
        game = build()
        game.generators["G"].norm.running_var.fill_(variance)
        save_model(tmp_path, exports=game.exports, preprocessing={}, images_seen=0, **said)
        if expected:
            assert expected in refused(lambda: quagga.load(tmp_path, build=build))
        else:
            assert quagga.load(tmp_path, build=build).verify() == 0


class Fails(nn.Module):
    """Makes NaN, or infinities, of pictures that are white in a corner."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[:, :, :1, :1] > 0.99, self.value, x)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("resolution", ["model", "full", 8])
def test_an_output_that_is_not_finite_is_an_error(run: Path, value: float, resolution: Any):
    translator = quagga.load(run, resolution=resolution, device="cpu")
    translator.predictor = replace(translator.predictor, network=Fails(value))
    white, black = np.full((12, 12, 3), 255, np.uint8), np.zeros((12, 12, 3), np.uint8)
    for picture in (white, Image.fromarray(white), white / 255, to_tensor(white), to_tensor(white)[None]):
        message = refused(translator, picture)
        assert "NaN or infinite" in message and "an earlier model" in message
    translator(black)
    translator.predictor = replace(translator.predictor, mixed_precision="bf16")
    assert "--mixed_precision no" in refused(translator, white)
    golden = {"x": to_tensor(white)[None]}, to_tensor(white)[None]
    translator.predictor = replace(translator.predictor, golden=golden)
    assert "NaN or infinite" in refused(translator.verify)


def test_of_an_output_that_is_not_finite_nothing_is_written(run: Path, tmp_path: Path, capsys, monkeypatch):
    folder = tmp_path / "two"
    folder.mkdir()
    for name, level in (("black.png", 0), ("white.png", 255)):
        Image.new("RGB", (12, 12), (level, level, level)).save(folder / name)
    monkeypatch.setattr("quagga.inference.predictor_loading.load_network", lambda *_: Fails(torch.nan))
    assert translate(run, folder, "--output", tmp_path / "out") == 2
    assert contents(tmp_path / "out").keys() == {"black.png"}
    said = capsys.readouterr().err
    assert "white.png" in said and "NaN or infinite" in said and "1 of 2 pictures could not be translated" in said


def test_verify_says_what_cannot_work(run: Path, tmp_path: Path):
    assert "one run" in refused(dispatch, ["verify"])
    assert "one run" in refused(dispatch, ["verify", str(run), str(run)])
    assert "no folder" in refused(dispatch, ["verify", str(tmp_path / "nowhere")])
    assert "did you mean --device?" in refused(dispatch, ["verify", str(run), "--devise", "cpu"])


def test_verify_knows_a_game_from_elsewhere(tmp_path: Path, capsys):
    leave_model(tmp_path / "run", build=outside, pipeline="stripes", width=4)
    assert dispatch(["verify", str(tmp_path / "run")]) == 2
    assert dispatch_for(outside, None, ["verify", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.count("deviates") == 2


def test_a_verification_replays_the_network_itself(run: Path):
    """The golden picture need not have the scale of training, and the change is not carried."""
    card = run / "model" / "model.json"
    said = json.loads(card.read_text())
    card.write_text(json.dumps(said | {"preprocessing": {"load_size": 300, "crop_size": 256, "fit": "crop"}}))
    translator = quagga.load(run, resolution=17)
    assert translator.verify() <= 1e-5
    inputs, output = translator.predictor.golden
    assert (translator(inputs["x"]) - output).abs().max() > 0.01


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["--resolution", "full"], {"resolution": "full"}),
        (["--resolution=12"], {"resolution": 12}),
        (["--resolution", "20", "--tile", "32"], {"resolution": 20, "tile": 32}),
        (["--resolution", "model", "--tile", "null"], {"tile": None}),
    ],
    ids=str,
)
def test_a_resolution_may_be_typed(run: Path, tmp_path: Path, words: list[str], settings: dict[str, Any]):
    card = run / "model" / "model.json"
    said = json.loads(card.read_text())
    card.write_text(json.dumps(said | {"preprocessing": {"load_size": 24, "crop_size": 16, "fit": "crop"}}))
    Image.fromarray(pixels(48, 40)).save(tmp_path / "a.png")
    assert translate(run, tmp_path / "a.png", "--output", tmp_path / "out", *words) == 0
    assert quagga.load(run).preprocessing["load_size"] == 24
    expected = quagga.load(run, **settings)(pixels(48, 40))
    assert np.array_equal(read_picture(tmp_path / "out" / "a.png"), expected)
    assert "resolution" in refused(translate, run, tmp_path / "a.png", "--output", tmp_path / "b", "--resolution", "0")
    assert "--tile" in refused(translate, run, tmp_path / "a.png", "--output", tmp_path / "b", "--tile", "wide")
