"""The laws of one latent space for all: walks from condition to condition, and codes of pictures in place of noise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_sampler import pictures_in, refused
from torch import nn

import quagga
from quagga.cli import sample as sample_command
from quagga.cli.output.walk_files import points_of_walk
from quagga.data.transforms.conditions import Conditions
from quagga.fields import ConditionKind, Field, code, noise, picture
from quagga.inference.latent_space import latents
from quagga.inference.load import load_sampler
from quagga.inference.model_files.model_folder import read_whole
from quagga.inference.model_files.model_saving import save_model
from quagga.inference.sampler import Sampler
from quagga.models import ConvGenerator, MLPGenerator, PosteriorMean, encoder_of
from quagga.models.autoencoding import MLPDecoder, MLPEncoder
from quagga.models.description.export import Export

NAMES = {
    "class": ["horse", "quagga", "zebra"],
    "attributes": ["striped", "grazing"],
    "caption": ["zebra", "at", "night"],
}
SHAPE, CODE = (1, 8, 8), 5


def saved(folder: Path, exports: dict[str, Export]) -> Path:
    domains, seen = {"x": {"name": "animals", "channels": 1}}, {"fit": "crop", "load_size": 8, "crop_size": 8}
    said = {"domains": domains, "preprocessing": seen, "images_seen": 4}
    save_model(folder / "model", pipeline="mine", options={}, exports=exports, **said)
    return folder


def conditional(folder: Path, kind: ConditionKind, network: str = "conv") -> Path:
    """A run of untrained networks of a kind of condition."""
    torch.manual_seed(3)
    conditions = Conditions(kind, NAMES[kind], 3)
    encoder = encoder_of(kind, conditions.count, 8)
    G = (
        ConvGenerator(8, 1, 6, 4, encoder=encoder)
        if network == "conv"
        else MLPGenerator(SHAPE, 6, (9,), encoder=encoder)
    )
    for parameter in G.parameters():
        parameter.data = 0.5 * torch.randn_like(parameter)  # so that pictures differ visibly
    return saved(folder, {"G": Export(G.eval(), (noise("z", 6), conditions.field("c")), picture("x"))})


def coder(folder: Path, decoded: Field) -> Path:
    """A run of an untrained encoder and decoder, an autoencoder's or a VAE's."""
    torch.manual_seed(4)
    encoder: nn.Module = MLPEncoder(SHAPE, CODE)
    if decoded.kind == "noise":
        encoder = PosteriorMean(MLPEncoder(SHAPE, 2 * CODE, bounded=False))
    decoder = MLPDecoder(SHAPE, CODE)
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        parameter.data *= 3  # so that pictures differ visibly
    exports = {
        "Psi": Export(decoder, (decoded,), picture("x")),
        "Phi": Export(encoder, (picture("x"),), code("z", CODE)),
    }
    return saved(folder, exports)


def sampler_of(run: Path) -> Sampler:
    return read_whole(run, lambda model: load_sampler(model, next(iter(model.exports)), "cpu"))


def sample(run: Path, *words: str) -> int:
    return sample_command.main([str(run), *words, "--device=cpu"])


def photo(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


# -- from condition to condition --------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["conv", "mlp"])
@pytest.mark.parametrize("kind", NAMES)
def test_a_walk_of_conditions_begins_and_ends_with_them(tmp_path, kind, network):
    sampler = sampler_of(conditional(tmp_path, kind, network))
    words = {"class": ("horse", "zebra"), "attributes": ("striped", "grazing"), "caption": ("zebra at night", "zebra")}
    c = sampler.condition(words[kind], 2)
    assert c is not None
    z = latents([1], 6)
    walker, path = sampler.walk(c, 5)
    pictures = walker.decode(z.expand(5, -1), path)
    torch.testing.assert_close(pictures[[0, -1]], sampler.decode(z.expand(2, -1), c))
    steps, whole = (pictures[1:] - pictures[:-1]).abs().amax((1, 2, 3)), (pictures[-1] - pictures[0]).abs().max()
    assert float(steps.min()) > 0 and float(steps.max()) < float(whole)


def test_between_two_classes_lies_the_mean_of_their_vectors(tmp_path):
    sampler = sampler_of(conditional(tmp_path, "class"))
    z, c = latents([1], 6), torch.tensor([0, 2])
    before = sampler.decode(z, c[:1])
    walker, path = sampler.walk(c, 3)
    middle = walker.decode(z, path[1:2])
    assert torch.equal(sampler.decode(z, c[:1]), before)  # the model itself still takes classes
    with torch.no_grad():
        vectors = sampler.network.get_parameter("encoder.layer.weight")
        vectors[1] = (vectors[0] + vectors[2]) / 2
    torch.testing.assert_close(middle, sampler.decode(z, torch.tensor([1])))


def test_a_walk_of_one_condition_is_what_it_was(tmp_path):
    sampler = sampler_of(conditional(tmp_path, "class"))
    walker, path = sampler.walk(torch.tensor([1, 1, 1]), 4)
    assert walker is sampler and torch.equal(path, torch.tensor([1, 1, 1, 1]))


def test_points_and_conditions_pair_up(tmp_path):
    run = conditional(tmp_path / "run", "class")
    sampler = sampler_of(run)
    z, c = points_of_walk(sampler, [7], ["zebra", "horse"], 1, None)
    assert torch.equal(z, latents([7, 7], 6)) and c is not None and c.tolist() == [2, 0]
    z, c = points_of_walk(sampler, [7, 8], ["zebra", "horse"], 1, None)
    assert torch.equal(z, latents([7, 8], 6)) and c is not None and c.tolist() == [2, 0]
    out = [f"--output={tmp_path / 'out'}", "--frames=2"]
    assert "name one point, or one for each" in refused(sample, run, *out, "--walk=1,2,3", "--label=[zebra, horse]")
    assert sample(run, *out, "--walk=1", "--label=[zebra, horse, zebra]") == 0
    assert getattr(Image.open(tmp_path / "out" / "walk.gif"), "n_frames", 0) == 5 + 3  # there and back


def test_a_walk_between_pictures_of_two_classes_is_walked(tmp_path):
    run = conditional(tmp_path / "run", "class")
    sampler, files = sampler_of(run), []
    for name in ("horse", "zebra"):
        sampler.picture(name, seed=1).save(tmp_path / f"{name}.png")
        files.append(tmp_path / f"{name}.png")
    _, c = points_of_walk(sampler, files, [], 60, None)
    assert c is not None and c.tolist() == [0, 2]
    out = tmp_path / "out"
    assert sample(run, f"--output={out}", f"--invert={tmp_path}", "--steps=2", "--frames=2", "--film=none") == 0
    assert pictures_in(out) == ["inverted.png", "walk.png"]


# -- codes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoded", [code("z", CODE), noise("z", CODE)], ids=["autoencoder", "vae"])
def test_an_encoder_says_where_a_picture_lies(tmp_path, decoded):
    run = coder(tmp_path, decoded)
    sampler = sampler_of(run)
    x = torch.rand(3, *SHAPE) * 2 - 1
    z, c, distances = sampler.invert(x)
    assert c is None
    torch.testing.assert_close(z, quagga.load(run, to="Phi", device="cpu")(x=x))
    torch.testing.assert_close(distances, (sampler.decode(z) - x).abs().mean((1, 2, 3)))


def test_pictures_are_points_of_an_autoencoder_and_seeds_are_none(tmp_path, capsys):
    run, out = coder(tmp_path / "run", code("z", CODE)), tmp_path / "out"
    a, b = photo(tmp_path / "a.png", 1), photo(tmp_path / "b.png", 2)
    (tmp_path / "some").mkdir()
    c = photo(tmp_path / "some" / "c.png", 3)
    sampler = sampler_of(run)
    assert sample(run, f"--output={out}", f"--walk={a},{b}", "--frames=2") == 0
    frames = Image.open(out / "walk.gif")
    ends = []
    for number in (0, 2):
        frames.seek(number)
        ends.append(np.asarray(frames.convert("L"))[16::32, 16::32])
    x = torch.stack([torch.from_numpy(np.array(Image.open(path)))[None] / 127.5 - 1 for path in (a, b)])
    expected = sampler.to_arrays(sampler.decode(sampler.invert(x.float())[0]))[..., 0]
    assert np.abs(np.stack(ends).astype(int) - expected).max() <= 2  # a GIF has 256 colours
    z, _ = points_of_walk(sampler, [a, b, c], [], 1, None)
    assert sample(run, f"--output={out}", f"--arithmetic={a},{b} - {b} + {tmp_path / 'some'}") == 0
    assert "arithmetic.png" in pictures_in(out) and not bool((z[0] == z[1]).all())
    assert sample(run, f"--output={tmp_path / 'one'}", f"--invert={a}") == 0
    assert "off by 0." in (said := capsys.readouterr().out) and "any seed" not in said
    for words in (["--walk=1,2"], [f"--walk={a},1"], ["--arithmetic=1-2"]):
        assert "a seed is none: name pictures" in refused(sample, run, f"--output={tmp_path / 'no'}", *words)
    for words in ([], ["--grid"]):
        assert "quagga translate" in refused(sample, run, f"--output={tmp_path / 'no'}", *words)


def test_seeds_and_pictures_are_points_of_a_vae(tmp_path):
    run = coder(tmp_path / "run", noise("z", CODE))
    a = photo(tmp_path / "a.png", 1)
    sampler = sampler_of(run)
    z, _ = points_of_walk(sampler, [3, a, 4], [], 1, None)
    torch.testing.assert_close(z[[0, 2]], latents([3, 4], CODE))
    x = torch.from_numpy(np.array(Image.open(a)))[None, None] / 127.5 - 1
    torch.testing.assert_close(z[1:2], sampler.invert(x.float())[0])
    assert sample(run, f"--output={tmp_path / 'out'}", f"--walk=[3, {a}]", "--frames=2", "--straight") == 0
    assert "--straight is for --walk" in refused(sample, run, "--output=x", "--straight")
