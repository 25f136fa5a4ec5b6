"""Relativistic pairing in every pipeline: whom a generator is compared with, and what the other objectives save."""

import pytest
import torch
from test_laws import game_of, rows_of
from torch import Tensor
from torch.nn.functional import softplus

from quagga.pipelines.core.game_protocol import Batch, Draw, Images, Terms

DRAW, ROWS = Draw(0, [0, 1, 2]), 3
# pipeline -> discriminator -> the term of its generator, and the real and the fake pictures of a pair
PAIRS = {
    "cyclegan": {"D_Y": ("G", "y", "G(x)"), "D_X": ("F", "x", "F(y)")},
    "cyclegan-pairs": {"D_Y": ("G", "y", "G(x)"), "D_X": ("F", "x", "F(y)")},
    "pix2pix": {"D": ("G", "y", "G(x)")},
    "gan": {"D": ("G", "x", "G(z)")},
    "gan-mlp": {"D": ("G", "x", "G(z)")},
    "class": {"D": ("G", "x", "G(z,c)")},
    "attributes": {"D": ("G", "x", "G(z,c)")},
}
every_pipeline = pytest.mark.parametrize("name", PAIRS)


Passes = dict[str, list[tuple[Tensor, Tensor]]]  # of each discriminator: what it took and gave


def generators_move(name: str, **options) -> tuple[Passes, Terms, Batch, Images]:
    """Returns the discriminators' passes in the generators' loss, its terms, the batch and the fakes."""
    game, batch = game_of(name, **options), rows_of(name).batch(0, ROWS)
    passes: Passes = {key: [] for key in game.discriminators}
    fakes = game.generate(batch, DRAW)
    for key, D in game.discriminators.items():
        D.register_forward_hook(lambda _D, given, made, key=key: passes[key].append((given[0], made)))
    return passes, game.generator_loss(batch, fakes, Draw(0, [0, 1, 2], 1)).terms, batch, fakes


@every_pipeline
def test_a_relativistic_generator_is_compared_with_the_real_picture_of_its_row(name):
    passes, terms, batch, fakes = generators_move(name, objective="relativistic")
    for D, (term, real_name, fake_name) in PAIRS[name].items():
        (real, real_logits), (fake, fake_logits) = passes[D]
        channels = batch[real_name].shape[1]  # the last ones: pix2pix's D sees x before them
        assert torch.equal(real[:, -channels:], batch[real_name]) and torch.equal(fake[:, -channels:], fakes[fake_name])
        torch.testing.assert_close(terms[term], softplus(real_logits - fake_logits).mean())


@every_pipeline
def test_for_other_objectives_no_real_picture_passes_through_d(name):
    passes, _, _, fakes = generators_move(name, objective="hinge")
    for D, (_, _, fake_name) in PAIRS[name].items():
        [(fake, _)] = passes[D]
        channels = fakes[fake_name].shape[1]
        assert torch.equal(fake[:, -channels:], fakes[fake_name])


@pytest.mark.parametrize("name", ["pix2pix", "gan", "attributes"])
def test_of_the_same_numbers_both_moves_augment_alike(name):
    """First real, then fake, each with numbers of its own. (CycleGAN's discriminators see other fakes: old ones.)"""
    game = game_of(name, objective="relativistic", diffaugment=["translation", "cutout"])
    batch, shown = rows_of(name).batch(0, ROWS), []
    fakes = {key: fake.detach() for key, fake in game.generate(batch, DRAW).items()}
    game.D.register_forward_hook(lambda _D, given, _made: shown.append(given[0]))
    game.discriminator_loss(batch, fakes, Draw(0, [0, 1, 2], 1))
    in_its_own = torch.cat(shown)
    shown.clear()
    game.generator_loss(batch, fakes, Draw(0, [0, 1, 2], 1))
    assert torch.equal(torch.cat(shown), in_its_own)
    assert (in_its_own == 0).any()  # cut out
