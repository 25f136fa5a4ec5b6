"""CycleGAN plays the paper's objective, Eq. 3, term by term."""

import pytest
import torch
from torch import nn
from toys import Rows

from quagga.errors import BadInput
from quagga.option_groups import call_flat
from quagga.pipelines import cyclegan
from quagga.pipelines.core import Adversary
from quagga.pipelines.core.game_protocol import Draw
from quagga.pipelines.cyclegan import CycleGAN


class Times(nn.Module):
    """A network that multiplies by one number."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def forward(self, x):
        return self.factor * x


def game(**options) -> CycleGAN:
    return CycleGAN(G=Times(0.5), F=Times(3.0), D_X=Times(0.7), D_Y=Times(0.2), **options)


def test_the_generators_objective_is_the_papers():
    play, batch = game(), next(Rows(2).batches(0))
    x, y = batch["x"], batch["y"]
    draw = Draw(0, [0, 1])
    terms, _ = play.generator_loss(batch, play.generate(batch, draw), draw)
    expected = {
        "G": ((0.2 * 0.5 * x - 1) ** 2).mean(),  # least squares against the label 1, Sec. 4
        "F": ((0.7 * 3.0 * y - 1) ** 2).mean(),
        "cycle_x": 10 * (3.0 * 0.5 * x - x).abs().mean(),
        "cycle_y": 10 * (0.5 * 3.0 * y - y).abs().mean(),
        "identity_y": 5 * (0.5 * y - y).abs().mean(),
        "identity_x": 5 * (3.0 * x - x).abs().mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(float(value), rel=1e-12), name


def test_the_discriminators_objective_is_halved():
    play, batch = game(pool_size=0), next(Rows(2).batches(0))
    x, y = batch["x"], batch["y"]
    terms, readings = play.discriminator_loss(batch, {"G(x)": 0.5 * x, "F(y)": 3 * y}, Draw(0, [0, 1]))
    assert float(terms["D_Y"].detach()) == pytest.approx(
        float(((0.2 * y - 1) ** 2).mean() + ((0.1 * x) ** 2).mean()) / 2
    )
    assert float(terms["D_X"].detach()) == pytest.approx(
        float(((0.7 * x - 1) ** 2).mean() + ((2.1 * y) ** 2).mean()) / 2
    )
    assert float(readings["D_Y/real"].detach()) == pytest.approx(float(0.2 * y.mean()))
    assert float(readings["D_Y/fake"].detach()) == pytest.approx(float(0.1 * x.mean()))


def test_no_weight_no_pass():
    play, batch = game(lambda_cycle=0), next(Rows(2).batches(0))
    draw = Draw(0, [0, 1])
    assert set(play.generator_loss(batch, play.generate(batch, draw), draw).terms) == {"G", "F"}


def test_penalties_join_the_discriminators_terms():
    batch = next(Rows(2).batches(0))
    for penalty in ("r1", "gradient_penalty"):
        play = game(adversary=Adversary("least_squares", penalty, lambda_penalty=2.0))
        terms, _ = play.discriminator_loss(batch, {"G(x)": batch["x"], "F(y)": batch["y"]}, Draw(0, [0, 1]))
        assert set(terms) == {"D_Y", "D_X", "D_Y_penalty", "D_X_penalty"}


def test_the_discriminators_see_old_fakes_and_the_generators_do_not():
    play, rows = game(pool_size=1), Rows(1).batches(0)
    batch = next(rows)
    shown = []
    play.D_Y.register_forward_hook(lambda _module, given, _result: shown.append(given[0][-1:]))  # after the real one
    fakes = []
    for n in range(40):
        batch = next(rows)
        fakes.append(0.5 * batch["x"])
        play.discriminator_loss(batch, {"G(x)": fakes[-1], "F(y)": batch["y"]}, Draw(0, [n], minibatch=1))
    old = sum(not torch.equal(seen, fake) for seen, fake in zip(shown, fakes, strict=True))
    assert 10 <= old <= 30  # half of 39, give or take
    shown.clear()
    play.generator_loss(batch, {"G(x)": fakes[-1], "F(y)": batch["y"]}, Draw(0, [40]))
    assert torch.equal(shown[0], fakes[-1])


def test_the_defaults_are_the_papers():
    with torch.device("meta"):
        play = call_flat(cyclegan.build)
        small = call_flat(cyclegan.build, crop_size=128)
    millions = {
        name: sum(p.numel() for p in n.parameters()) / 1e6
        for name, n in [*play.generators.items(), *play.discriminators.items()]
    }
    assert millions == pytest.approx({"G": 11.378, "F": 11.378, "D_X": 2.765, "D_Y": 2.765}, abs=1e-3)
    assert sum(p.numel() for p in small.G.parameters()) / 1e6 == pytest.approx(7.837, abs=1e-2)  # 6 blocks
    assert (play.lambda_cycle, play.lambda_identity, play.pool_size) == (10, 0.5, 50)
    assert play.adversary.objective == "least_squares"


def test_unequal_channels_leave_the_identity_loss_out_and_say_so():
    with pytest.warns(UserWarning, match="identity loss is left out"):
        play = call_flat(cyclegan.build, x_channels=1, width=4, blocks=1, width_discriminator=4, layers=1, crop_size=16)
    batch = {"x": torch.zeros(1, 1, 16, 16), "y": torch.zeros(1, 3, 16, 16)}
    fakes = play.generate(batch, Draw(0, [0]))
    assert fakes["G(x)"].shape == (1, 3, 16, 16) and fakes["F(y)"].shape == (1, 1, 16, 16)
    assert "identity_x" not in play.generator_loss(batch, fakes, Draw(0, [0])).terms


@pytest.mark.parametrize("generator", ["resnet", "unet"])
@pytest.mark.parametrize("discriminator", ["patch", "pixel"])
def test_any_network_plays(generator, discriminator):
    play = call_flat(
        cyclegan.build,
        generator=generator,
        discriminator=discriminator,
        width=4,
        blocks=2,
        width_discriminator=4,
        layers=1,
    )
    batch = {"x": torch.zeros(1, 3, 19, 22), "y": torch.zeros(1, 3, 19, 22)}
    strips = play.visualize(batch, Draw(0, [0]))
    assert [list(images) for images in strips.values()] == [["x", "G(x)", "F(G(x))"], ["y", "F(y)", "G(F(y))"]]
    assert {image.shape for images in strips.values() for image in images.values()} == {(1, 3, 19, 22)}
    play.discriminator_loss(batch, play.generate(batch, Draw(0, [0])), Draw(0, [0]))


def test_a_skip_that_cannot_be_is_refused():
    with pytest.raises(BadInput, match="skip needs"):
        call_flat(cyclegan.build, skip=True, generator="unet")
    with pytest.raises(BadInput, match="skip needs"):
        call_flat(cyclegan.build, skip=True, x_channels=1)
