"""The conditional GAN plays Mirza & Osindero's objective, Eq. 2: both players see the condition, whatever its kind."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import Rows, distance, trainer_of, weights

from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.models import MaxoutDiscriminator, MLPDiscriminator
from quagga.models.blocks.encoders import TransformerEncoder
from quagga.models.dcgan import ConditionalBatchNorm
from quagga.option_groups import call_flat
from quagga.pipelines import conditional
from quagga.pipelines.conditional import Conditional, rows_differ
from quagga.pipelines.core import Adversary
from quagga.pipelines.core.game_protocol import Batch, Draw
from quagga.pipelines.core.losses import PenaltyName

KINDS = ("class", "attributes", "caption")
NAMES = ["red", "green", "blue"]
SMALL: dict[str, Any] = {
    "names": NAMES,
    "caption_length": 4,
    "size": 8,
    "x_channels": 3,
    "z_size": 5,
    "width": 4,
    "width_discriminator": 4,
    "width_condition": 8,
}


def condition(kind: str, row: int) -> Tensor:
    """That of row n, a function of n."""
    if kind == "class":
        return torch.tensor(row % 3)
    if kind == "attributes":
        return torch.tensor([row % 2, row % 3 == 0, 1.0])
    return torch.tensor([2 + row % 3, 2 + row % 2, 0 if row % 3 else 3, 0])


class Asked(Rows):
    """Random pictures and what is said of them."""

    def __init__(self, kind: str, batch_size: int = 4, dtype: torch.dtype = torch.float64):
        super().__init__(batch_size, 8, dtype)
        self.kind = kind

    def row(self, n: int) -> dict[str, Tensor]:
        own = {"c": condition(self.kind, n), "other": condition(self.kind, n ^ 1)}
        own = {name: c.to(self.dtype) if c.is_floating_point() else c for name, c in own.items()}
        return {**super().row(n), **own}


def batch_of(kind: str = "class", count: int = 4, dtype: torch.dtype = torch.float64) -> Batch:
    return next(Asked(kind, count, dtype).batches(0))


def draw_of(batch: Batch) -> Draw:
    return Draw(0, batch["row"].tolist())


class Paint(nn.Module):
    """z (N, 3), a class -> (N, 3, 8, 8) of one colour."""

    def __init__(self):
        super().__init__()
        self.colours = nn.Parameter(torch.tensor([-0.5, 0.1, 0.6], dtype=torch.float64))

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return (self.colours[c][:, None] + 0.01 * z)[..., None, None].expand(-1, -1, 8, 8)


class Judge(nn.Module):
    """The picture's mean times a number of its class."""

    def __init__(self):
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor([2.0, -3.0, 0.5], dtype=torch.float64))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return (self.slopes[c] * x.mean((1, 2, 3)))[:, None]


def game(**options) -> Conditional:
    return Conditional(Paint(), Judge(), Conditions("class", NAMES), z_size=3, **options)


def test_both_objectives_are_the_papers():
    play, batch = game(), batch_of()
    x, c = batch["x"], batch["c"]
    z = draw_of(batch).normal((3,), like=x)
    slope = torch.tensor([2.0, -3.0, 0.5], dtype=torch.float64)[c]
    fake = torch.tensor([-0.5, 0.1, 0.6], dtype=torch.float64)[c] + 0.01 * z.mean(1)
    D_x, D_z = (1 / (1 + torch.exp(-slope * mean)) for mean in (x.mean((1, 2, 3)), fake))
    fakes = play.generate(batch, draw_of(batch))
    terms, read = play.discriminator_loss(batch, fakes, draw_of(batch))
    expected = -(D_x.log().mean() + (1 - D_z).log().mean())  # minus the value of Eq. 2
    assert set(terms) == {"D"} and float(terms["D"].detach()) == pytest.approx(float(expected), rel=1e-12)
    assert "D/mismatched" not in read
    terms, _ = play.generator_loss(batch, fakes, draw_of(batch))
    assert set(terms) == {"G"}
    assert float(terms["G"].detach()) == pytest.approx(float(-D_z.log().mean()), rel=1e-12)


def test_the_wrong_condition_is_half_of_what_is_false():
    """Reed et al. 2016, Algorithm 1: log s_r + (log(1 - s_w) + log(1 - s_f)) / 2."""
    play, batch = game(mismatched=True), batch_of()
    batch["c"] = torch.tensor([0, 1, 2, 2])
    batch["other"] = torch.tensor([1, 0, 2, 2])  # rows 2 and 3 have got their own: it is not wrong
    mean = batch["x"].mean((1, 2, 3))
    fakes = play.generate(batch, draw_of(batch))
    slope = torch.tensor([2.0, -3.0, 0.5], dtype=torch.float64)
    real = torch.sigmoid(slope[batch["c"]] * mean)
    fake = torch.sigmoid(slope[batch["c"]] * fakes["G(z,c)"].detach().mean((1, 2, 3)))
    wrong = torch.sigmoid(slope[torch.tensor([1, 0, 2, 2])] * mean)
    wrong[2:] = fake[2:]
    expected = -(real.log() + ((1 - wrong).log() + (1 - fake).log()) / 2).mean()
    terms, read = play.discriminator_loss(batch, fakes, draw_of(batch))
    assert float(terms["D"].detach()) == pytest.approx(float(expected), rel=1e-12)
    assert "D/mismatched" in read


def test_a_relativistic_real_is_compared_with_its_conditions_fake_and_with_itself_beside_the_wrong_condition():
    play, batch = game(adversary=Adversary("relativistic"), mismatched=True), batch_of()
    batch["c"] = torch.tensor([0, 1, 2, 2])
    batch["other"] = torch.tensor([1, 0, 2, 2])  # rows 2 and 3 have got their own: their fakes replace them
    mean = batch["x"].mean((1, 2, 3))
    fakes = play.generate(batch, draw_of(batch))
    slope = torch.tensor([2.0, -3.0, 0.5], dtype=torch.float64)
    real = slope[batch["c"]] * mean
    fake = slope[batch["c"]] * fakes["G(z,c)"].detach().mean((1, 2, 3))
    wrong = torch.cat([slope[[1, 0]] * mean[:2], fake[2:]])
    expected = -(torch.sigmoid(real - fake).log() + torch.sigmoid(real - wrong).log()).mean() / 2
    terms, read = play.discriminator_loss(batch, fakes, draw_of(batch))
    assert float(terms["D"].detach()) == pytest.approx(float(expected), rel=1e-12)
    assert float(read["D/accuracy"]) == pytest.approx(float((real > fake).double().mean()))
    terms, _ = play.generator_loss(batch, fakes, draw_of(batch))
    assert float(terms["G"].detach()) == pytest.approx(float(-torch.sigmoid(fake - real).log().mean()), rel=1e-12)


def test_conditions_differ_where_any_of_their_numbers_does():
    assert rows_differ(torch.tensor([5, 6, 7]), torch.tensor([5, 7, 6])).tolist() == [False, True, True]
    captions = torch.tensor([[2, 3], [2, 4], [2, 3]])
    assert rows_differ(captions, captions.roll(1, 0)).tolist() == [False, True, True]


def test_captions_are_mismatched_and_others_when_asked():
    assert [call_flat(conditional.build, condition=kind, **SMALL).mismatched for kind in KINDS] == [False, False, True]
    assert call_flat(conditional.build, mismatched=True, **SMALL).mismatched
    assert not call_flat(conditional.build, condition="caption", mismatched=False, **SMALL).mismatched


def test_penalties_are_taken_at_the_pictures_own_conditions():
    batch = batch_of()
    batch["other"] = torch.zeros_like(batch["c"])
    norms = torch.tensor([2.0, 3.0, 0.5], dtype=torch.float64)[batch["c"]] / (3 * 8 * 8) ** 0.5
    expected: dict[PenaltyName, torch.Tensor] = {"r1": norms**2, "gradient_penalty": (norms - 1) ** 2}
    for name, value in expected.items():
        play = game(adversary=Adversary(penalty=name, lambda_penalty=7.0), mismatched=True)
        terms, _ = play.discriminator_loss(batch, play.generate(batch, draw_of(batch)), draw_of(batch))
        assert set(terms) == {"D", "D_penalty"}
        assert float(terms["D_penalty"].detach()) == pytest.approx(7 * float(value.mean()), rel=1e-9)


NETWORKS = [
    {"network": "mlp"},
    {"network": "mlp", "widths": [16], "widths_discriminator": [16]},
    {},
    {"norm": "conditional_batch", "joining": "projection", "spectral": True},
    {"norm": "conditional_batch", "text": "transformer", "norm_discriminator": "layer", "upsample": "resize"},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("networks", NETWORKS)
def test_the_condition_changes_what_is_made_and_what_is_thought_of_it(kind, networks):
    torch.manual_seed(0)
    play = call_flat(conditional.build, condition=kind, **SMALL, **networks)
    play.G.eval()
    play.D.eval()
    batch = batch_of(kind, 2, torch.float32)
    c, others = batch["c"], batch["c"].flip(0)
    z = torch.randn(2, 5)
    assert (play.G(z, c) - play.G(z, others)).abs().amax((1, 2, 3)).min() > 1e-5
    assert (play.D(batch["x"], c) - play.D(batch["x"], others)).abs().min() > 1e-7


def test_each_side_has_an_encoder_of_its_own():
    for networks in NETWORKS:
        play = call_flat(conditional.build, condition="caption", **SMALL, **networks)
        ours = {id(p) for p in play.G.parameters()}
        assert all(id(p) not in ours for p in play.D.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_the_idle_side_holds_still(kind):
    for rates, moved in (({"lr": 0.0, "lr_discriminator": 0.1}, "D"), ({"lr": 0.1, "lr_discriminator": 0.0}, "G")):
        play = call_flat(conditional.build, condition=kind, norm="conditional_batch", **SMALL)
        before = weights(play)
        for _ in trainer_of(play, batch_size=4, **rates).play(Asked(kind, dtype=torch.float32).batches(0)):
            pass
        changed = {name[0] for name, weight in weights(play).items() if not torch.equal(weight, before[name])}
        assert changed == {moved}
        assert any("encoder" in name for name, weight in weights(play).items() if not torch.equal(weight, before[name]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", ["none", "r1", "gradient_penalty"])
def test_two_micro_batches_are_one_large(kind, penalty):
    """Without batch norm, which sees a batch at a time; with wrong conditions too."""
    ends = []
    for batch_size, accumulation in ((4, 1), (2, 2)):
        torch.manual_seed(0)
        options = {"norm": "none", "norm_discriminator": "layer", "joining": "projection", "penalty": penalty}
        play = call_flat(conditional.build, condition=kind, mismatched=True, **options, **SMALL)
        play.G.double()
        play.D.double()
        trainer = trainer_of(play, images=8, batch_size=batch_size, accumulation=accumulation, lr=0.1)
        for _ in trainer.play(Asked(kind, batch_size).batches(trainer.row)):
            pass
        ends.append(weights(play))
    assert distance(*ends) < 1e-12


def test_held_out_pictures_tell_of_matching_variety_and_obedience():
    play, batch = game(), batch_of(count=6)
    batch["x"] = torch.tensor([-0.6, 0.0, 0.5, -0.4, 0.2, 0.7], dtype=torch.float64).view(6, 1, 1, 1).expand(6, 3, 8, 8)

    def examined(samples: Tensor) -> dict[str, float]:
        play.G.forward = lambda z, c: samples  # pyright: ignore[reportAttributeAccessIssue]
        return {name: float(value.detach()) for name, value in play.examine(batch, draw_of(batch)).items()}

    same = examined(batch["x"])
    slope, mean = torch.tensor([2.0, -3.0, 0.5, 2.0, -3.0, 0.5]), torch.tensor([-0.6, 0.0, 0.5, -0.4, 0.2, 0.7])
    assert same["D/matching"] == pytest.approx(float((slope * mean).mean()), rel=1e-6)
    assert same["D/mismatching"] == pytest.approx(float((slope[[1, 0, 3, 2, 5, 4]] * mean).mean()), rel=1e-6)
    assert (same["diversity"], same["obeyed"]) == (pytest.approx(1), 1)
    batch["other"][0] = batch["c"][0]  # no mismatch
    left = (slope[[1, 0, 3, 2, 5, 4]] * mean)[1:].mean()
    assert examined(batch["x"])["D/mismatching"] == pytest.approx(float(left), rel=1e-6)
    half = torch.tensor([-0.55, 0.05, 0.55, -0.45, 0.15, 0.65], dtype=torch.float64).view(6, 1, 1, 1).expand(6, 3, 8, 8)
    assert examined(half)["diversity"] == pytest.approx(0.5)  # between classes they differ as before
    assert examined(batch["x"][[0, 0, 0, 3, 3, 3]])["obeyed"] == pytest.approx(1 / 3)


def test_where_no_two_share_a_caption_all_pairs_are_compared():
    play = call_flat(conditional.build, condition="caption", **SMALL)
    batch = batch_of("caption", 2, torch.float32)
    play.G.forward = lambda z, c: batch["x"] / 2  # pyright: ignore[reportAttributeAccessIssue]
    read = play.examine(batch, draw_of(batch))
    assert set(read) == {"D/matching", "D/mismatching", "diversity"}
    assert float(read["diversity"]) == pytest.approx(0.5)
    batch["other"] = batch["c"] = batch["c"][:1].expand(2, -1)  # then no condition is wrong
    assert set(play.examine(batch, draw_of(batch))) == {"D/matching", "diversity"}
    alone = batch_of("caption", 1, torch.float32)
    assert set(play.examine(alone, draw_of(alone))) == {"D/matching", "D/mismatching"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_grid_is_of_conditions_and_noise(kind):
    play = call_flat(conditional.build, condition=kind, norm="conditional_batch", **SMALL)
    play.G.eval()
    batch = batch_of(kind, 2, torch.float32)
    [columns] = play.visualize(batch, draw_of(batch)).values()
    said = [play.conditions.describe(c) for c in batch["c"]]
    expected = NAMES if kind == "class" else said  # of classes, those without a picture too
    assert [name.replace("\n", " ") for name in columns] == expected
    assert {column.shape for column in columns.values()} == {(1 + conditional.SAMPLES_PER_CONDITION, 3, 8, 8)}
    z = draw_of(batch).normal((conditional.SAMPLES_PER_CONDITION, 5), like=batch["x"])[0]
    for name, x, c in zip(columns, batch["x"], batch["c"], strict=False):
        assert torch.equal(columns[name][0], x)
        torch.testing.assert_close(columns[name][1:], play.G(z, c.expand(conditional.SAMPLES_PER_CONDITION, *c.shape)))
    if kind == "class":
        assert not columns["blue"][0].any()
    again = batch_of(kind, 1, torch.float32)
    [fewer] = play.visualize(again, draw_of(again)).values()
    torch.testing.assert_close(fewer[next(iter(fewer))], columns[next(iter(columns))])


def test_a_caption_that_comes_twice_has_one_column():
    play = call_flat(conditional.build, condition="caption", **SMALL)
    batch = batch_of("caption", 8, torch.float32)  # six captions occur
    assert len(next(iter(play.visualize(batch, draw_of(batch)).values()))) == 6


def test_networks_are_as_asked_for():
    paper = call_flat(conditional.build, names=[str(n) for n in range(10)], size=28, x_channels=1, network="mlp")
    assert isinstance(paper.D, MaxoutDiscriminator)
    assert [layer.out_features for layer in paper.G.modules() if isinstance(layer, nn.Linear)] == [1000, 200, 1200, 784]
    assert isinstance(call_flat(conditional.build, **SMALL, **NETWORKS[1]).D, MLPDiscriminator)
    play = call_flat(conditional.build, condition="caption", **SMALL, **NETWORKS[4])
    assert any(isinstance(layer, ConditionalBatchNorm) for layer in play.G.modules())
    assert any(isinstance(layer, TransformerEncoder) for layer in play.D.modules())
    assert any(isinstance(layer, nn.Upsample) for layer in play.G.modules())
    critic = call_flat(conditional.build, penalty="r1", **SMALL)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in critic.D.modules())


def refusals() -> Iterator[tuple[dict[str, Any], str]]:
    yield {"names": None}, "say --names, --size and --x_channels"
    yield {"size": None}, "say --names, --size and --x_channels"
    yield {"names": []}, "name one or more"
    yield {"names": ["red", "red"]}, "stands twice"
    yield {"size": 100}, "pictures of 100 pixels"
    yield {"penalty": "r1", "norm_discriminator": "batch"}, "take --norm_discriminator layer"
    yield {"condition": "caption", "text": "transformer", "width_condition": 12}, "expected a multiple of 8"
    yield {"width": 0}, "width is 0"
    yield {"widths": [10**9]}, "widths is 1000000000"


@pytest.mark.parametrize(("options", "words"), refusals())
def test_what_cannot_be_is_refused_in_one_line(options, words):
    with pytest.raises(BadInput, match=words) as said:
        call_flat(conditional.build, **{**SMALL, **options})
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("network", [{}, {"network": "mlp"}, {"network": "mlp", "widths_discriminator": [8]}])
def test_a_discriminator_may_be_blind_to_the_condition(network):
    play = call_flat(conditional.build, conditional_discriminator=False, condition="caption", **network, **SMALL)
    play.D.eval()
    batch = batch_of("caption", dtype=torch.float32)
    assert not play.mismatched and torch.equal(play.D(batch["x"], batch["c"]), play.D(batch["x"], batch["other"]))
    with pytest.raises(BadInput, match="mismatched"):
        call_flat(conditional.build, conditional_discriminator=False, mismatched=True, **SMALL)
