"""The GAN plays Goodfellow's objective, Eq. 1, with any networks and objective, and says what it leaves out."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import Rows, distance, trainer_of, weights

from quagga.errors import BadInput
from quagga.option_groups import call_flat
from quagga.pipelines import gan
from quagga.pipelines.core import Adversary
from quagga.pipelines.core.game_protocol import Batch, Draw
from quagga.pipelines.core.losses import OBJECTIVES, ObjectiveName, PenaltyName
from quagga.pipelines.core.sample_metrics import pairwise_distances
from quagga.pipelines.gan import GAN

SMALL: dict[str, Any] = {"size": 8, "x_channels": 3, "z_size": 5, "width": 4, "width_discriminator": 4}


class Paint(nn.Module):
    """z (N, 3) -> (N, 3, 8, 8), each channel of one colour."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return (self.factor * z)[..., None, None].expand(-1, -1, 8, 8)


class Judge(nn.Module):
    """The picture's mean, and more."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x.mean((1, 2, 3))[:, None] + 0.1


def game(**options) -> GAN:
    return GAN(Paint(), Judge(), z_size=3, **options)


def batch_of(count: int = 4, dtype: torch.dtype = torch.float64) -> Batch:
    return next(Rows(count, size=8, dtype=dtype).batches(0))


def draw_of(batch: Batch) -> Draw:
    return Draw(0, batch["row"].tolist())


def test_both_objectives_are_the_papers():
    play, batch = game(), batch_of()
    z = draw_of(batch).normal((3,), like=batch["x"])
    fake = 0.5 * z.mean(1)
    D_x, D_z = (1 / (1 + torch.exp(-2 * mean - 0.1)) for mean in (batch["x"].mean((1, 2, 3)), fake))
    fakes = play.generate(batch, draw_of(batch))
    terms, read = play.discriminator_loss(batch, fakes, draw_of(batch))
    expected = -(D_x.log().mean() + (1 - D_z).log().mean())  # minus the value of Eq. 1, not halved
    assert set(terms) == {"D"} and float(terms["D"].detach()) == pytest.approx(float(expected), rel=1e-12)
    assert float(read["D/real"]) == pytest.approx(float((2 * batch["x"].mean((1, 2, 3)) + 0.1).mean()))
    assert float(read["D/fake"]) == pytest.approx(float((2 * fake + 0.1).mean()))
    terms, _ = play.generator_loss(batch, fakes, draw_of(batch))
    assert set(terms) == {"G"}
    assert float(terms["G"].detach()) == pytest.approx(float(-D_z.log().mean()), rel=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_any_objective_is_played(objective: ObjectiveName):
    play, batch = game(adversary=Adversary(objective)), batch_of()
    fakes = play.generate(batch, draw_of(batch))
    real, fake = play.D(batch["x"]), play.D(fakes["G(z)"])
    terms, _ = play.discriminator_loss(batch, fakes, draw_of(batch))
    assert torch.equal(terms["D"], OBJECTIVES[objective].discriminator(real, fake))
    terms, _ = play.generator_loss(batch, fakes, draw_of(batch))
    assert torch.equal(terms["G"], OBJECTIVES[objective].generator(fake, real))


def test_penalties_are_weighted_and_join_the_discriminators_terms():
    batch, slope = batch_of(), 2 / (3 * 8 * 8) ** 0.5  # the norm of the gradient of `Judge`
    expected: dict[PenaltyName, float | None]
    expected = {"none": None, "r1": 7 * slope**2, "r1_r2": 14 * slope**2, "gradient_penalty": 7 * (slope - 1) ** 2}
    for name, value in expected.items():
        play = game(adversary=Adversary(penalty=name, lambda_penalty=7.0))
        terms, _ = play.discriminator_loss(batch, play.generate(batch, draw_of(batch)), draw_of(batch))
        assert set(terms) == ({"D"} if value is None else {"D", "D_penalty"})
        assert value is None or float(terms["D_penalty"].detach()) == pytest.approx(value, rel=1e-9)


def test_all_that_the_discriminator_sees_is_augmented():
    play, batch = game(adversary=Adversary(diffaugment=["cutout"])), batch_of()
    seen: list[Tensor] = []
    play.D.register_forward_hook(lambda _module, given, _result: seen.append(given[0]))
    fakes = {"G(z)": torch.ones_like(batch["x"])}
    play.discriminator_loss(batch | {"x": torch.ones_like(batch["x"])}, fakes, draw_of(batch))
    play.generator_loss(batch, fakes, draw_of(batch))
    real, fake, again = torch.cat(seen).split(len(batch["x"]))
    assert all((x == 0).any() and (x == 1).any() for x in (real, fake, again))
    assert not torch.equal(real, fake)  # each with chance of its own


def test_noise_is_of_the_row_and_drawn_anew_for_the_generator():
    play, seen = game(), []
    play.G.register_forward_hook(lambda _module, given, _result: seen.append(given[0]))
    for _ in trainer_of(play, images=8, batch_size=4, lr=0.0).play(Rows(4, size=8).batches(0)):
        pass
    whole = torch.cat(seen)
    assert whole.shape == (16, 3) and len(torch.unique(whole, dim=0)) == 16
    again: list[Tensor] = []
    other = game()
    other.G.register_forward_hook(lambda _module, given, _result: again.append(given[0]))
    for _ in trainer_of(other, images=8, batch_size=2, accumulation=2, lr=0.0).play(Rows(2, size=8).batches(0)):
        pass
    assert torch.equal(torch.cat(again), whole)


@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_the_idle_side_holds_still(network):
    for rates, moved in (({"lr": 0.0, "lr_discriminator": 0.1}, "D"), ({"lr": 0.1, "lr_discriminator": 0.0}, "G")):
        play = call_flat(gan.build, network=network, **SMALL)
        before = weights(play)
        for _ in trainer_of(play, batch_size=4, **rates).play(Rows(4, size=8, dtype=torch.float32).batches(0)):
            pass
        changed = {name[0] for name, weight in weights(play).items() if not torch.equal(weight, before[name])}
        assert changed == {moved}


@pytest.mark.parametrize("network", ["conv", "mlp"])
@pytest.mark.parametrize("penalty", ["none", "gradient_penalty"])
def test_two_micro_batches_are_one_large(network, penalty):
    """Without batch norm, which sees a batch at a time."""
    ends = []
    for batch_size, accumulation in ((4, 1), (2, 2)):
        torch.manual_seed(0)
        options = {**SMALL, "network": network, "norm": "none", "norm_discriminator": "layer", "penalty": penalty}
        play = call_flat(gan.build, **options)
        play.G.double()
        play.D.double()
        trainer = trainer_of(play, images=8, batch_size=batch_size, accumulation=accumulation, lr=0.1)
        for _ in trainer.play(Rows(batch_size, size=8).batches(trainer.row)):
            pass
        ends.append(weights(play))
    assert distance(*ends) < 1e-12


def test_samples_are_compared_with_held_out_pictures():
    play, batch = game(names=["cat", "dog", "owl"]), batch_of(6)
    batch["x"] = torch.tensor([-1.0, -0.9, 0.0, 0.1, 0.9, 1.0], dtype=torch.float64).view(6, 1, 1, 1).expand(6, 3, 8, 8)
    batch["mode"] = torch.tensor([0, 0, 1, 1, 2, 2])

    def examined(samples: Tensor) -> dict[str, float]:
        play.G.forward = lambda z: samples  # pyright: ignore[reportAttributeAccessIssue]
        return {name: float(value.detach()) for name, value in play.examine(batch, draw_of(batch)).items()}

    same = examined(batch["x"])
    assert same == pytest.approx(
        {"D/real": 2 * 0.1 / 6 + 0.1, "diversity": 1, "share/cat": 1 / 3, "share/dog": 1 / 3, "share/owl": 1 / 3}
    )
    collapsed = examined(batch["x"][:1].expand(6, -1, -1, -1))
    assert (collapsed["diversity"], collapsed["share/cat"], collapsed["share/dog"]) == (0, 1, 0)
    del batch["mode"]
    assert set(examined(batch["x"])) == {"D/real", "diversity"}


def test_distances_are_means_over_pixels_of_all_pairs():
    x = torch.rand(4, 2, 3, 3, dtype=torch.float64)
    pairs = [(x[i] - x[j]).abs().mean() for i in range(4) for j in range(i)]
    assert float(pairwise_distances(x).mean()) == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-6)


def test_a_sheet_of_25_shows_the_same_noise_every_time():
    play = call_flat(gan.build, **SMALL)
    play.G.eval()
    sheets = []
    for batch in (batch_of(1, torch.float32), batch_of(4, torch.float32)):
        strips = play.visualize(batch, draw_of(batch))
        assert list(strips) == ["samples", "held out"] and len(strips["samples"]) == 5
        assert {column.shape for column in strips["samples"].values()} == {(5, 3, 8, 8)}
        assert torch.equal(strips["held out"]["x"], batch["x"])
        sheets.append(torch.cat(list(strips["samples"].values())))
    assert torch.equal(*sheets) and len(torch.unique(sheets[0].flatten(1), dim=0)) == 25


def test_the_default_is_dcgan():
    with torch.device("meta"):
        play = call_flat(gan.build, size=64, x_channels=3)
    millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (play.G, play.D)]
    assert millions == pytest.approx([3.577, 2.766], abs=1e-3)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in play.D.modules())
    assert (play.adversary.objective, play.z_size, play.adversary.penalty) == ("non_saturating", 100, "none")


def test_networks_are_as_asked_for():
    def units(network: nn.Module) -> list[int]:
        return [layer.out_features for layer in network.modules() if isinstance(layer, nn.Linear)]

    plain = call_flat(
        gan.build,
        size=28,
        x_channels=1,
        network="mlp",
        widths=[128],
        widths_discriminator=[100],
        slope=0.0,
        norm="none",
    )
    assert (units(plain.G), units(plain.D)) == ([128, 784], [100, 1])
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.LeakyReLU) for layer in plain.G.modules())
    taught = call_flat(gan.build, size=28, x_channels=1, network="mlp")
    assert (units(taught.G), units(taught.D)) == ([256, 512, 1024, 784], [512, 256, 1])
    critic = call_flat(gan.build, penalty="gradient_penalty", objective="wasserstein", **SMALL)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in critic.D.modules())  # None takes layer norm
    assert any(
        isinstance(layer, nn.GroupNorm)
        for layer in call_flat(gan.build, size=16, x_channels=1, penalty="r1").D.modules()
    )


def test_what_the_papers_forbid_is_refused():
    for penalty in ("gradient_penalty", "r1"):
        with pytest.raises(BadInput, match="take --norm_discriminator layer"):
            call_flat(gan.build, penalty=penalty, norm_discriminator="batch", **SMALL)
    with pytest.raises(BadInput, match="say --size 64 --x_channels 3"):
        call_flat(gan.build, x_channels=3)
    with pytest.raises(BadInput, match="pictures of 100 pixels"):
        call_flat(gan.build, size=100, x_channels=3)
    for name, value in (("width", 0), ("z_size", 10**9), ("widths", [0]), ("widths_discriminator", [10**9])):
        with pytest.raises(BadInput, match=f"{name} is"):
            call_flat(gan.build, **{**SMALL, name: value})


def test_a_critic_without_bounds_is_warned_of():
    with pytest.warns(UserWarning, match="Lipschitz"):
        call_flat(gan.build, objective="wasserstein", **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_flat(gan.build, objective="wasserstein", clip_weights=0.01, **SMALL)
        call_flat(gan.build, objective="wasserstein", spectral=True, **SMALL)
        call_flat(gan.build, objective="wasserstein", penalty="gradient_penalty", **SMALL)
