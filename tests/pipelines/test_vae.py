"""The bound of a VAE is its formula, and what it has learned makes pictures and codes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toys import Rows

import quagga
from quagga.cli.main import command_line
from quagga.errors import BadInput
from quagga.option_groups import call_flat
from quagga.pipelines import vae
from quagga.pipelines.core.game_protocol import Draw
from quagga.pipelines.vae import VAE, kl

SMALL = {"size": 16, "x_channels": 3, "width": 4, "code_size": 5, "norm": "none"}


def game(**options) -> VAE:
    torch.manual_seed(0)
    made = call_flat(vae.build, **{**SMALL, **options})
    for network in made.generators.values():
        network.double()
        for p in network.parameters():
            p.data.mul_(3)
    return made


def draw(count: int) -> Draw:
    return Draw(0, range(count))


def test_the_divergence_is_that_of_two_gaussians():
    mu, log_var = torch.randn(6, 4).double(), torch.randn(6, 4).double()
    q = torch.distributions.Normal(mu, (log_var / 2).exp())
    p = torch.distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    torch.testing.assert_close(kl(mu, log_var), torch.distributions.kl_divergence(q, p).sum(1).mean())


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_loss_is_the_formula(likelihood):
    play, batch = game(likelihood=likelihood, sigma=0.3, beta=4.0), Rows(4).batch(0, 4)
    x = batch["x"]
    fakes = play.generate(batch, draw(4))
    loss = play.generator_loss(batch, fakes, draw(4))
    mean = fakes["G(z)"]
    if likelihood == "gaussian":
        log_p = torch.distributions.Normal(mean, 0.3).log_prob(x)
    else:
        log_p = (x + 1) / 2 * ((mean + 1) / 2).log() + (1 - x) / 2 * ((1 - mean) / 2).log()
    expected = -log_p.flatten(1).sum(1).mean()
    torch.testing.assert_close(loss.terms["reconstruction"], expected)
    divergence = kl(*play.E(x).chunk(2, 1))
    torch.testing.assert_close(loss.terms["KL"], 4 * divergence)
    torch.testing.assert_close(loss.readings["ELBO"], -(expected + divergence))  # whatever beta is


def test_codes_are_drawn_of_their_distribution():
    play, count = game(), 4000
    play.E.get_parameter("layers.5.bias").data[5:] = 2.0  # log variances far from 0, where all powers of e are alike
    batch = {"x": Rows(1).batch(0, 1)["x"].expand(count, -1, -1, -1)}
    seen = []
    play.G.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        fakes = play.generate(batch, draw(count))
    deviation = (fakes["log_var"][0] / 2).exp()
    z = (seen[0] - fakes["mu"]) / deviation
    assert z.mean(0).abs().max() < 5 / count**0.5 and (z.std(0) - 1).abs().max() < 0.06


def test_held_out_pictures_are_measured_with_the_mean_of_their_codes():
    play, batch = game(), Rows(3).batch(0, 3)
    terms = play.examine(batch, draw(3))
    mu, log_var = play.E(batch["x"]).chunk(2, 1)
    torch.testing.assert_close(terms["KL"], kl(mu, log_var))
    torch.testing.assert_close(terms["reconstruction"], play.surprise(batch["x"], play.G(mu)))
    torch.testing.assert_close(terms["ELBO"], -terms["KL"] - terms["reconstruction"])
    assert terms["diversity"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"sigma": 0.0}, "sigma is 0.0"), ({"beta": -1.0}, "beta is -1.0"), ({"x_channels": None}, "say --size 64")],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        game(**options)


def test_a_trained_one_makes_pictures_and_codes(tmp_path: Path):
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(tmp_path / "pictures" / f"{number}.png")
    run = tmp_path / "run"
    line = [
        "train",
        "vae",
        "--root",
        str(tmp_path / "pictures"),
        "--output",
        str(run),
        "--network=mlp",
        "--widths=[20]",
    ]
    line += ["--code_size=4", "--images=16", "--batch_size=4", "--workers=0", "--device=cpu"]
    assert command_line(line) == 0
    assert command_line(["sample", str(run), "--count", "2", "--output", str(tmp_path / "made"), "--device=cpu"]) == 0
    assert len(list((tmp_path / "made").glob("*.png"))) >= 2
    assert command_line(["sample", str(run), "--walk", "3,4", "--frames", "3", "--output", str(tmp_path / "walk")]) == 0
    mean = quagga.load(run, to="E", device="cpu")(x=torch.rand(2, 1, 16, 16) * 2 - 1)
    assert mean.shape == (2, 4)
