import pytest
import torch

from quagga.data.synthetic.translation_error import (
    baselines,
    coat_distance,
    herd,
    measure,
    translation_error,
)

HERD = herd(32)
OTHERS = herd(32, start=32)


def error(translated):
    return translation_error(HERD.horse, translated, HERD.mask, HERD.zebra, HERD.mask)


def test_herds_are_tensors_in_the_range_of_networks():
    assert HERD.horse.shape == HERD.zebra.shape == (32, 3, 64, 64)
    assert HERD.mask.shape == (32, 1, 64, 64)
    assert HERD.horse.dtype == HERD.mask.dtype == torch.float32
    assert HERD.horse.min() >= -1 and HERD.horse.max() <= 1 and HERD.horse.min() < -0.8
    outside = (HERD.mask == 0).expand_as(HERD.horse)
    assert torch.equal(HERD.horse[outside], HERD.zebra[outside])


def test_the_truth_has_no_error_and_the_untranslated_horse_that_of_its_coat():
    assert error(HERD.zebra).total == 0
    assert error(HERD.horse).background == 0
    assert error(HERD.horse).coat > 0.3
    assert error(HERD.horse).total == error(HERD.horse).coat


def test_the_order_of_animals_does_not_matter():
    order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
    shuffled = coat_distance(HERD.horse[order], HERD.mask[order], HERD.zebra, HERD.mask)
    assert shuffled == pytest.approx(coat_distance(HERD.horse, HERD.mask, HERD.zebra, HERD.mask), abs=1e-6)


def test_herds_of_different_size_can_be_compared():
    twice, mask = torch.cat([HERD.zebra, HERD.zebra]), torch.cat([HERD.mask, HERD.mask])
    assert coat_distance(twice, mask, HERD.zebra, HERD.mask) < 0.001


def test_distance_is_symmetric():
    distance = coat_distance(HERD.horse, HERD.mask, OTHERS.zebra, OTHERS.mask)
    assert distance == pytest.approx(coat_distance(OTHERS.zebra, OTHERS.mask, HERD.horse, HERD.mask), abs=1e-6)


def test_better_stripes_have_a_smaller_error():
    draw = torch.Generator().manual_seed(0)
    floor = coat_distance(HERD.zebra, HERD.mask, OTHERS.zebra, OTHERS.mask)
    noisy = error(HERD.zebra + 0.3 * torch.randn(HERD.zebra.shape, generator=draw) * HERD.mask)
    blurred = error(torch.lerp(HERD.zebra, torch.nn.functional.avg_pool2d(HERD.zebra, 3, 1, 1), HERD.mask))
    speckled = error(torch.lerp(HERD.horse, torch.rand(HERD.horse.shape, generator=draw).round() * 2 - 1, HERD.mask))
    assert floor < 0.04 < noisy.coat < error(HERD.horse).coat
    assert floor < 0.04 < blurred.coat < error(HERD.horse).coat
    assert 5 * floor < speckled.coat


def test_the_error_of_an_offset_is_about_the_offset():
    for offset in (0.05, 0.2):
        assert coat_distance(HERD.zebra + offset, HERD.mask, HERD.zebra, HERD.mask) == pytest.approx(offset, rel=0.1)


def test_a_changed_background_adds_its_change_and_the_animal_does_not_count():
    sunk = HERD.horse - 0.3 * (HERD.mask == 0)
    assert error(sunk).background == pytest.approx(0.3, rel=0.05)
    assert error(torch.zeros_like(HERD.horse)).background > 0.15
    assert error(HERD.horse + 0.5 * (HERD.mask == 1)).background == 0


def test_measure_translates_held_out_horses_in_batches_without_gradients():
    net = torch.nn.Conv2d(3, 3, 1)
    sizes = []

    def translate(x):
        sizes.append(len(x))
        y = net(x)
        assert not y.requires_grad
        return x

    figure = measure(translate, count=20, batch=8)
    assert sizes == [8, 8, 4]
    assert figure == baselines(count=20).untranslated


def test_without_any_animal_there_is_nothing_to_measure():
    empty = torch.zeros_like(HERD.mask)
    with pytest.raises(ValueError, match="inside an animal"):
        coat_distance(HERD.horse, empty, HERD.zebra, HERD.mask)
