"""The groups of options check themselves once for all pipelines, and build what their options say."""

import warnings
from importlib import import_module
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from quagga.errors import BadInput
from quagga.models import PixelGAN, UnetGenerator
from quagga.option_groups import flat_parameters
from quagga.pipelines import PIPELINES
from quagga.pipelines.core import Adversary, Draw, Partners, PerceptualLoss, SamplingNetworks, TranslationNetworks
from quagga.pipelines.core.losses import OBJECTIVES, ObjectiveName, gradient_penalty
from quagga.pipelines.core.options.partners import held_out_distances, unpaired_distance
from quagga.pipelines.core.sample_metrics import distance_in_parts, diversity, pass_in_parts

ROWS = list(range(5))


def pictures(seed: int, count: int = 5) -> Tensor:
    return torch.rand(count, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def D(x: Tensor) -> Tensor:
    return (x**2).mean((1, 2, 3), keepdim=True) + x.mean((1, 2, 3), keepdim=True)


# -- the adversary ----------------------------------------------------------------------------------------------------


ALONE = ("autoencoder", "classifier", "vae")  # no discriminator plays against them


@pytest.mark.parametrize("pipeline", [name for name in PIPELINES if name not in ALONE])
def test_every_pipeline_with_a_discriminator_takes_all_options_of_the_adversary(pipeline):
    taken = flat_parameters(import_module(PIPELINES[pipeline][0]).build)
    for name, parameter in flat_parameters(Adversary).items():
        if name == "discriminator":  # its own is called by what it judges where there is a choice
            assert {"projected", "both"} < set(get_args(taken[name].annotation)) < set(get_args(parameter.annotation))
        else:
            assert taken[name].annotation == parameter.annotation, name


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_generators_loss_is_the_objectives_on_augmented_pictures(objective: ObjectiveName):
    adversary, real, fake = Adversary(objective, diffaugment=["cutout"], spectral=True), pictures(0), pictures(1)
    loss = adversary.generator_loss(D, real, fake, Draw(0, ROWS))
    draw = Draw(0, ROWS)
    real_logits = D(adversary.augment(real, draw)) if OBJECTIVES[objective].relativistic else None
    cut = adversary.augment(fake, draw)
    assert (cut == 0).any() and torch.equal(loss, OBJECTIVES[objective].generator(D(cut), real_logits))


def test_a_penalty_is_weighted_and_called_as_its_discriminator():
    real, fake = pictures(0), pictures(1)
    terms = Adversary(penalty="gradient_penalty", lambda_penalty=3.0).penalty_term("D_X", D, real, fake, Draw(0, ROWS))
    assert terms.keys() == {"D_X_penalty"}
    torch.testing.assert_close(terms["D_X_penalty"], 3 * gradient_penalty(D, real, fake, Draw(0, ROWS)))
    assert Adversary().penalty_term("D_X", D, real, fake, Draw(0, ROWS)) == {}
    assert Adversary().readings("D_X", D(real), D(fake)).keys() == {"D_X/real", "D_X/fake", "D_X/accuracy"}


def test_a_critic_that_nothing_constrains_is_warned_of():
    with pytest.warns(UserWarning, match="Lipschitz"):
        Adversary("wasserstein")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Adversary("wasserstein", clip_weights=0.01)


# -- networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "options", "words"),
    [
        (TranslationNetworks, {"width": 0}, "width is 0"),
        (TranslationNetworks, {"generator": "unet", "blocks": 13}, "blocks is 13"),
        (TranslationNetworks, {"layers": 11}, "layers is 11"),
        (SamplingNetworks, {"z_size": 0}, "z_size is 0"),
        (SamplingNetworks, {"widths": [1] * 17}, "widths has 17 layers"),
        (SamplingNetworks, {"size": 2000}, "size is 2000"),
    ],
)
def test_sizes_are_refused_before_anything_is_built(group, options: dict[str, Any], words):
    with pytest.raises(BadInput, match=words):
        group(**options)


def test_patches_that_are_larger_than_the_crop_are_refused_and_single_pixels_are_not():
    networks = TranslationNetworks(crop_size=16)
    with pytest.raises(BadInput, match="need a --crop_size of 24 or more, not 16"):
        networks.make_discriminator(3, Adversary())
    networks.make_discriminator(3, Adversary(discriminator="pixel"))


def test_what_no_network_can_be_is_refused():
    networks = TranslationNetworks(width=4)
    for arguments, words in (({"skip": True, "y_channels": 1}, "--skip needs"), ({"dropout": -0.1}, "dropout is -0.1")):
        with pytest.raises(BadInput, match=words):
            networks.make_generator(**{"x_channels": 3, "y_channels": 3, **arguments})
    with pytest.raises(BadInput, match="y_channels is 0"):
        networks.make_generator(3, 0)
    with pytest.raises(BadInput, match="pictures of 100 pixels"):
        SamplingNetworks(size=100, x_channels=3).make_generator()
    with pytest.raises(BadInput, match="say --size 64 --x_channels 3"):
        SamplingNetworks(size=64).make_discriminator(Adversary())


@pytest.mark.parametrize(
    ("crop_size", "pads", "depth"), [(96, False, 5), (96, True, 6), (64, False, 6), (512, True, 8)]
)
def test_a_unet_is_as_deep_as_the_crop_allows(crop_size, pads, depth):
    with torch.device("meta"):
        G = TranslationNetworks("unet", crop_size=crop_size).make_generator(3, 1, pads=pads)
    assert isinstance(G, UnetGenerator) and G.depth == depth


@pytest.mark.parametrize("kind", ["patch", "pixel"])
def test_under_a_penalty_no_discriminator_mixes_its_rows(kind):
    networks = TranslationNetworks(norm="batch", width_discriminator=4)
    mixes = networks.make_discriminator(3, Adversary(spectral=True, discriminator=kind))
    assert isinstance(mixes, PixelGAN) == (kind == "pixel")
    with pytest.warns(UserWarning, match="instance norm"):
        apart = networks.make_discriminator(3, Adversary(penalty="r1", discriminator=kind))
    for D, mixed in ((mixes, True), (apart, False)):
        assert any(isinstance(layer, nn.BatchNorm2d) for layer in D.modules()) == mixed
        assert any(hasattr(layer, "parametrizations") for layer in D.modules()) == mixed  # spectral norm


# -- losses and measures ----------------------------------------------------------------------------------------------


def test_rows_with_partners_are_compared_with_these_and_the_others_not():
    fake, y, paired = pictures(0), pictures(1), torch.tensor([True, False, True, True, False])
    batch = {"paired": paired}
    each = (fake - y).abs().mean((1, 2, 3))
    terms = Partners(2.0).terms(batch, paired_y=(fake, y))
    assert terms.keys() == {"paired_y"} and torch.allclose(terms["paired_y"], 2 * each[paired].mean())
    assert torch.allclose(unpaired_distance(fake, y, batch), each[~paired].mean())
    read = held_out_distances(batch, paired_y=(torch.neg, -fake, y))
    assert torch.allclose(read["paired_y"], each[paired].mean())
    assert Partners().terms({}, paired_y=(fake, y)) == held_out_distances({}, paired_y=(torch.neg, -fake, y)) == {}
    assert torch.allclose(unpaired_distance(fake, y, {}), each.mean())
    assert unpaired_distance(fake, y, {"paired": torch.ones(5, dtype=torch.bool)}) == 0


def test_a_perceptual_loss_of_weight_0_needs_no_weights_of_vgg():
    PerceptualLoss().check_channels(4)
    assert PerceptualLoss().terms(pictures(0), pictures(1)) == {}
    with pytest.raises(BadInput, match="VGG-16 takes 1 or 3 channels and y has 4"):
        PerceptualLoss(0.1).check_channels(4)


def test_a_few_rows_at_a_time_give_the_same():
    x, y, seen = pictures(0), pictures(1), []

    def network(*inputs: Tensor) -> Tensor:
        seen.append(len(inputs[0]))
        return sum(inputs, torch.zeros(()))

    assert torch.equal(pass_in_parts(network, x, y, rows=2), x + y)
    assert torch.allclose(distance_in_parts(network, x, y, rows=3), (x - y).abs().mean())
    assert seen == [2, 2, 1, 3, 2]


def test_diversity_compares_rows_of_one_condition_if_two_share_one():
    x, c = pictures(0, 3), torch.tensor([0, 1, 0])
    samples = x.clone()
    samples[1] = -9  # whoever compares it with others sees it
    assert diversity(samples, x, c) == pytest.approx(1)
    assert diversity(samples, x) > 2
    assert diversity(samples, x, torch.tensor([0, 1, 2])) == pytest.approx(float(diversity(samples, x)))
