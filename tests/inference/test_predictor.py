"""The laws of an export as a function of tensors, of models that do neither translate nor sample, and of conditions."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import quagga
from quagga.cli import sample, verify
from quagga.cli import translate as translate_command
from quagga.errors import BadInput
from quagga.fields import Field, code, condition, mask, noise, picture
from quagga.inference.inpainter import Inpainter
from quagga.inference.model_files.model_folder import read_model, read_whole
from quagga.inference.model_files.model_saving import describe_model, draw_inputs, save_model
from quagga.inference.predictor import Predictor
from quagga.inference.predictor_loading import load_predictor
from quagga.inference.translator import Translator
from quagga.models import ResnetGenerator
from quagga.models.description.export import Export

SIZE = 8
NAMES = {"class": ("black", "blond", "brown"), "attributes": ("smiling", "blond"), "caption": ("blond", "hair")}
DOMAINS = {side: {"name": name, "channels": 3} for side, name in (("x", "faces"), ("y", "drawings"))}


class Encode(nn.Module):
    """Pictures (N, 3, 8, 8) -> codes (N, 5)."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * SIZE**2, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


class Decode(nn.Module):
    """Codes (N, 5) -> pictures (N, 3, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3 * SIZE**2)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.layer(z)).view(-1, 3, SIZE, SIZE)


class Fill(nn.Module):
    """Puts the known pixels back: pictures and masks, 1 where they are known -> pictures."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        return m * x + (1 - m) * self.level


class Tint(nn.Module):
    """Pictures (N, 3, H, W) and a condition -> pictures, darker by a level of the condition's own."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.levels = nn.Parameter(torch.linspace(0.1, 0.5, 4))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        level = c @ self.levels[: c.shape[1]] if self.kind == "attributes" else self.levels[c].view(len(c), -1).mean(1)
        return x * (1 - level)[:, None, None, None]


class Pour(nn.Module):
    """Noise, a condition and a code -> pictures."""

    def __init__(self, tint: nn.Module):
        super().__init__()
        self.tint = tint

    def forward(self, z: Tensor, c: Tensor, u: Tensor) -> Tensor:
        return self.tint((z.mean(1) + u.mean(1)).view(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE), c)


def autoencoder() -> SimpleNamespace:
    E, D, I = Encode(), Decode(), Fill()  # noqa: E741
    exports = {
        "E": Export(E, (picture("x"),), code("z", 5)),
        "D": Export(D, (code("z", 5),), picture("x")),
        "reconstruction": Export(nn.Sequential(E, D), (picture("x"),), picture("x")),
        "I": Export(I, (picture("x"), mask("m")), picture("x")),
    }
    return SimpleNamespace(exports=exports)


def tint(kind: str = "class") -> SimpleNamespace:
    c = condition("c", kind, NAMES[kind], 4)  # pyright: ignore[reportArgumentType]
    return SimpleNamespace(exports={"G": Export(Tint(kind), (picture("x"), c), picture("x"))})


def leave(run: Path, game: SimpleNamespace, pipeline: str = "toy", **options: Any) -> None:
    about = {"domains": DOMAINS, "preprocessing": {"crop_size": SIZE}, "images_seen": 4}
    save_model(run / "model", pipeline=pipeline, options=options, exports=game.exports, **about)


def refused(call, *words, **options) -> str:
    with pytest.raises(BadInput) as caught:
        call(*words, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pictures(count: int = 2, side: int = SIZE) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(2)) * 2 - 1


# -- whatever an export takes and gives -------------------------------------------------------------------------------


def test_every_kind_of_export_is_saved_loaded_and_verified(tmp_path, capsys):
    game, x = autoencoder(), pictures()
    leave(tmp_path, game)
    m = (torch.rand(2, 1, SIZE, SIZE) < 0.5).float()
    inputs = {"E": {"x": x}, "D": {"z": torch.randn(2, 5)}, "reconstruction": {"x": x}, "I": {"x": x, "m": m}}
    for name, given in inputs.items():
        predictor = load_predictor(read_model(tmp_path), name, "cpu", autoencoder)
        with torch.no_grad():
            assert torch.equal(predictor(**given), game.exports[name].network(*given.values()))
        assert predictor.verify() == 0
    assert verify.main([str(tmp_path), "--device=cpu"], autoencoder) == 0
    assert "I, x and m to x: as it was saved" in capsys.readouterr().out
    assert isinstance(quagga.load(tmp_path, build=autoencoder), Translator)  # the first of them that translates
    encoder = quagga.load(tmp_path, to="E", build=autoencoder)
    assert isinstance(encoder, Predictor) and encoder(x=x).shape == (2, 5)


def test_inputs_that_do_not_fit_are_refused(tmp_path):
    leave(tmp_path, autoencoder())
    fill = load_predictor(read_model(tmp_path), "I", "cpu", autoencoder)
    assert "takes x, m, not x" in refused(fill, x=pictures())
    assert "takes x, m, not nothing" in refused(fill)
    assert "x 2, m 1: give as many" in refused(fill, x=pictures(), m=torch.ones(1, 1, SIZE, SIZE))
    assert "NaN or infinite" in refused(fill, x=pictures() / 0, m=torch.ones(2, 1, SIZE, SIZE))
    assert "leave out from_photo" in refused(quagga.load, tmp_path, "E", "cpu", autoencoder, from_photo=True)
    encode = load_predictor(read_model(tmp_path), "E", "cpu", autoencoder)
    assert "takes x, by name: x=..." in refused(encode, pictures())
    assert "x is a tensor with a row for each, not Image" in refused(encode, x=Image.new("RGB", (8, 8)))
    assert "takes x of [3, 8, 8] in a row, and not of [3, 16, 8]" in refused(encode, x=torch.zeros(1, 3, 16, 8))


def test_a_picture_of_a_size_that_a_network_does_not_take_is_refused_in_a_line(tmp_path, capsys):
    leave(tmp_path / "run", autoencoder())
    Image.new("RGB", (30, 20)).save(tmp_path / "large.png")
    line = [str(tmp_path / "run"), str(tmp_path / "large.png"), f"--output={tmp_path / 'out'}", "--device=cpu"]
    assert translate_command.main([*line, "--resolution=full"], autoencoder) == 2
    assert "takes x of [3, 8, 8] in a row, and not of [3, 20, 30]" in capsys.readouterr().err


def test_any_export_is_loaded_by_its_name(tmp_path):
    """Also where several give pictures of one domain."""
    game, x = autoencoder(), pictures()
    leave(tmp_path, game)
    for name in game.exports:
        found = quagga.load(tmp_path, to=name, device="cpu", build=autoencoder)
        network = found.predictor.network if isinstance(found, Translator | Inpainter) else found.network  # pyright: ignore
        assert type(network) is type(game.exports[name].network)
    translated = quagga.load(tmp_path, to="reconstruction", device="cpu", build=autoencoder)(x)  # pyright: ignore
    with torch.no_grad():
        assert torch.equal(translated, game.exports["reconstruction"].network(x))


def test_noise_and_more_than_a_condition_is_said_where_sample_is_asked(tmp_path):
    G = Tint("class")
    inputs = (noise("z", 5), condition("c", "class", NAMES["class"]), code("u", 2))
    leave(tmp_path, SimpleNamespace(exports={"G": Export(Pour(G), inputs, picture("x"))}))
    said = refused(sample.main, [str(tmp_path), f"--output={tmp_path / 'out'}"])
    assert "the noise z and the condition c and the code u" in said and "quagga.load" in said


def test_another_output_than_the_saved_one_is_found(tmp_path):
    leave(tmp_path, autoencoder())
    predictor = load_predictor(read_model(tmp_path), "E", "cpu", autoencoder)
    inputs, output = predictor.golden
    assert "deviates" in refused(replace(predictor, golden=(inputs, output + 0.1)).verify)
    assert "deviates" in refused(replace(predictor, golden=(inputs, output[:, :2])).verify)


@pytest.mark.parametrize(
    "change", [{"name": "1"}, {"kind": "noise"}, {"kind": "code", "size": 0}, {"kind": "condition"}]
)
def test_a_field_that_is_none_is_refused(change: dict[str, Any]):
    refused(Field, **{"kind": "picture", "name": "x", **change})


def test_an_export_names_its_inputs(tmp_path):
    assert "name one input or more, each once" in refused(Export, Encode(), (), code("z", 5))
    assert "name one input or more, each once" in refused(Export, Encode(), (picture("x"), mask("x")), code("z", 5))


def test_golden_inputs_are_drawn_by_their_kinds():
    labels = {"name": "x", "channels": 3, "as": "labels", "labels": [[1], [5], [9]]}
    _, model = describe_model("p", {}, autoencoder().exports, DOMAINS | {"x": labels}, {})
    fields = [picture("x"), picture("y"), mask("m"), noise("z", 7), code("e", 5)]
    fields += [condition("c", kind, names, 4) for kind, names in NAMES.items()]  # pyright: ignore[reportArgumentType]
    planes, noisy, masked, z, e, label, attributes, caption = draw_inputs(fields, model.domains, 16)
    assert planes.shape == noisy.shape == (1, 3, 16, 16) and masked.shape == (1, 1, 16, 16)
    assert set(planes.unique().tolist()) == {-1, 1} and (planes.sum(1) == -1).all()  # one label at each pixel
    assert set(masked.unique().tolist()) == {0, 1} and z.shape == (1, 7) and e.shape == (1, 5)
    assert label.shape == (1,) and label.dtype == torch.int64 and attributes.shape == (1, 2)
    assert caption.shape == (1, 4) and caption.max() < 4
    assert torch.equal(draw_inputs(fields, model.domains, 16)[1], noisy)


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    about = {"domains": DOMAINS, "options": {}, "images_seen": 0, "pipeline": "p"}
    save = {"exports": autoencoder().exports, "preprocessing": {"crop_size": SIZE}} | about
    save_model(tmp_path / "model", **save)
    before = (tmp_path / "model" / "model.json").read_bytes()
    for change, expected in (
        ({"preprocessing": {"load_size": 12_000}}, "preprocessing.load_size is 12000"),
        ({"options": {"lambda": float("inf")}}, "not JSON compliant"),
        ({"domains": {}}, "which is none of the domains"),
        ({"exports": {"../E": autoencoder().exports["E"]}}, "a name like a variable's"),
    ):
        message = refused(save_model, tmp_path / "model", **save | change)
        assert "could not be loaded" in message and expected in message
    assert (tmp_path / "model" / "model.json").read_bytes() == before


# -- while a run saves ------------------------------------------------------------------------------------------------


def test_a_model_is_loaded_whole_while_a_run_saves_it(tmp_path):
    """Two models take turns in one folder: 500 loads give the one or the other, and none fails."""
    games = [SimpleNamespace(exports={"G": Export(network(seed), (picture("x"),), picture("y"))}) for seed in (0, 1)]
    x = pictures()
    with torch.no_grad():
        known = [game.exports["G"].network(x) for game in games]
    leave(tmp_path, games[0])
    over, saves = threading.Event(), 0

    def keep_saving() -> None:
        nonlocal saves
        while not over.is_set():
            saves += 1
            leave(tmp_path, games[saves % 2])

    run = threading.Thread(target=keep_saving)
    run.start()
    try:
        made = [quagga.load(tmp_path, device="cpu")(x) for _ in range(500)]  # pyright: ignore
    finally:
        over.set()
        run.join()
    which = [[torch.equal(each, output) for output in known] for each in made]
    assert all(sum(same) == 1 for same in which) and saves > 20
    assert {same.index(True) for same in which} == {0, 1}


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return ResnetGenerator(width=4, blocks=1).eval()


def test_what_is_damaged_or_gone_is_still_said(tmp_path):
    leave(tmp_path, SimpleNamespace(exports={"G": Export(network(0), (picture("x"),), picture("y"))}))
    weights = tmp_path / "model" / "G.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert "is damaged" in refused(quagga.load, tmp_path)
    weights.unlink()
    assert "G.safetensors" in refused(quagga.load, tmp_path)
    calls = []

    def use(model):
        calls.append(model)
        shutil.rmtree(tmp_path / "model")
        return model.tensors("G.safetensors")

    assert "holds no model" in refused(read_whole, tmp_path, use)
    assert len(calls) == 1


# -- pictures and a condition -----------------------------------------------------------------------------------------


@pytest.fixture
def tinted(tmp_path) -> Path:
    leave(tmp_path / "run", tint(), kind="class")
    return tmp_path / "run"


def test_a_condition_decides_what_a_picture_becomes(tinted):
    translator = quagga.load(tinted, device="cpu", build=tint)
    assert isinstance(translator, Translator) and translator.conditions
    assert translator.conditions.names == NAMES["class"]
    x, levels = pictures(3), Tint("class").levels.tolist()
    for number, name in enumerate(NAMES["class"]):
        torch.testing.assert_close(translator(x, condition=name), x * (1 - levels[number]))
    array = np.full((6, 7, 3), 200, np.uint8)
    brown = translator(array, "brown")
    assert brown.shape == (6, 7, 3) and translator(array, "black").max() != brown.max()
    assert np.array_equal(np.asarray(translator(Image.fromarray(array), "brown")), brown)
    assert np.array_equal(translator(array / 255, "brown").shape, array.shape)


@pytest.mark.parametrize(("kind", "text"), [("attributes", "smiling, blond=0.5"), ("caption", "Blond hair!")])
def test_other_kinds_of_conditions(tmp_path, kind, text):
    def build(kind: str = kind) -> SimpleNamespace:
        return tint(kind)

    leave(tmp_path, tint(kind), kind=kind)
    translator = quagga.load(tmp_path, device="cpu", build=build)
    x, levels = pictures(1), Tint(kind).levels
    expected = levels[0] + 0.5 * levels[1] if kind == "attributes" else levels[torch.tensor([2, 3, 0, 0])].mean()
    torch.testing.assert_close(translator(x, condition=text), x * (1 - expected.detach()))  # pyright: ignore


def test_a_condition_that_does_not_fit_is_refused(tinted, tmp_path):
    translator: Any = quagga.load(tinted, device="cpu", build=tint)
    assert "--label 'TEXT': the model knows the classes black, blond, brown" in refused(translator, pictures())
    assert "did you mean blond" in refused(translator, pictures(), condition="blnd")
    assert "give a string" in refused(translator, pictures(), condition=1)
    leave(tmp_path / "plain", autoencoder())
    plain: Any = quagga.load(tmp_path / "plain", device="cpu", build=autoencoder)
    assert "without a condition" in refused(plain, pictures(), condition="blond")


def test_a_condition_is_typed(tinted, tmp_path, capsys):
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    Image.fromarray(np.full((6, 7, 3), 200, np.uint8)).save(photo)

    def typed(run: Path, *words: str, build: Any = tint) -> int:
        return translate_command.main([str(run), str(photo), "--output", str(out), "--device=cpu", *words], build)

    assert typed(tinted, "--label", "blond", "--comparison") == 0
    translator: Any = quagga.load(tinted, device="cpu", build=tint)
    assert np.array_equal(np.asarray(Image.open(out / "photo.png")), translator(np.asarray(Image.open(photo)), "blond"))
    shutil.rmtree(out)
    assert "name what to show, --label" in refused(typed, tinted)
    assert "did you mean blond" in refused(typed, tinted, "--label=blnd")
    assert "--attributes does not fit: the model takes --label" in refused(typed, tinted, "--attributes=smiling")
    leave(tmp_path / "plain", autoencoder())
    assert "trained without a condition" in refused(typed, tmp_path / "plain", "--label=blond", build=autoencoder)
    leave(tmp_path / "smiling", tint("attributes"), kind="attributes")
    assert typed(tmp_path / "smiling", "--attributes", "smiling,blond") == 0
