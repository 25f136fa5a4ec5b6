"""Augmentation of what the discriminator sees: differentiable, keyed by row, and the one of the paper."""

import pytest
import torch
from torch import Tensor

from quagga.pipelines.core.diffaugment import DiffAugment, Policy
from quagga.pipelines.core.game_protocol import Draw

ALL: list[Policy] = ["color", "translation", "cutout"]


class Given:
    """A draw of seven given numbers for every row: brightness, saturation, contrast, down, right, y, x."""

    def __init__(self, *numbers: float):
        self.numbers = numbers

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.tensor(self.numbers).to(like).reshape(shape).expand(len(like), *shape)


def test_without_policies_nothing_happens():
    x = torch.rand(2, 3, 8, 8)
    draw = Draw(0, [0, 1])
    assert DiffAugment()(x, draw) is x
    assert draw.calls == 0


@pytest.mark.parametrize("policies", [["color"], ["translation"], ["cutout"], ALL])
def test_the_gradient_passes(policies: list[Policy]):
    x = torch.rand(2, 2, 8, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: DiffAugment(policies)(x, Draw(3, [5, 6])), (x,))
    assert torch.autograd.gradgradcheck(lambda x: DiffAugment(policies)(x, Draw(3, [5, 6])).square(), (x,))


def test_a_row_does_not_depend_on_the_batch_it_is_in():
    augment, x = DiffAugment(ALL), torch.rand(5, 3, 32, 24)
    together = augment(x, Draw(1, range(10, 15)))
    for i in range(5):
        assert torch.equal(augment(x[i : i + 1], Draw(1, [10 + i])), together[i : i + 1])
    same = augment(x[:1].expand(5, -1, -1, -1), Draw(1, range(10, 15)))
    assert all(not torch.equal(same[0], other) for other in same[1:])


def test_half_of_every_range_leaves_the_picture_as_it_is():
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(DiffAugment(["color", "translation"])(x, Given(*[0.5] * 7)), x)


def test_color():
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(DiffAugment(["color"])(x, Given(0.75, 0.5, 0.5, 0, 0, 0, 0)), x + 0.25)
    grey = DiffAugment(["color"])(x, Given(0.5, 0, 0.5, 0, 0, 0, 0))
    torch.testing.assert_close(grey, x.mean(1, keepdim=True).expand_as(x))
    flat = DiffAugment(["color"])(x, Given(0.5, 0.5, 0, 0, 0, 0, 0))
    mean = x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(flat, mean + (x - mean) / 2)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels(channels: int):
    x = torch.rand(3, channels, 8, 8)
    y = DiffAugment(ALL)(x, Draw(0, range(3)))
    assert y.shape == x.shape
    if channels == 1:  # a grey picture has no saturation
        torch.testing.assert_close(DiffAugment(["color"])(x, Given(0.5, 0.1, 0.5, 0, 0, 0, 0)), x)


def test_translation_moves_by_up_to_an_eighth_and_keeps_the_values():
    x = torch.rand(1, 3, 16, 32)
    most_up_left = DiffAugment(["translation"])(x, Given(0, 0, 0, 0, 0, 0, 0))
    assert torch.equal(most_up_left[:, :, :-2, :-4], x[:, :, 2:, 4:])
    assert (most_up_left[:, :, -2:] == 0).all()
    assert (most_up_left[:, :, :, -4:] == 0).all()
    most_down_right = DiffAugment(["translation"])(x, Given(0, 0, 0, 0.999, 0.999, 0, 0))
    assert torch.equal(most_down_right[:, :, 2:, 4:], x[:, :, :-2, :-4])
    assert (most_down_right[:, :, :2] == 0).all()
    assert (most_down_right[:, :, :, :4] == 0).all()


def test_cutout_blanks_half_by_half():
    x = torch.rand(1, 3, 16, 32) + 1
    for (v, u), share in (((0.5, 0.5), 1 / 4), ((0, 0), 1 / 16), ((0, 0.5), 1 / 8), ((0.999, 0.5), 1 / 8)):
        y = DiffAugment(["cutout"])(x, Given(0, 0, 0, 0, 0, v, u))
        kept = y != 0
        assert 1 - kept.float().mean() == share
        assert torch.equal(y[kept], x[kept])
        assert (kept == kept[:, :1]).all()  # in all channels alike
    middle = DiffAugment(["cutout"])(x, Given(0, 0, 0, 0, 0, 0.5, 0.5))
    assert (middle[:, :, 4:12, 8:24] == 0).all()


def test_policies_act_in_the_papers_order_and_leave_each_other_alone():
    x, numbers = torch.rand(1, 3, 16, 16), Given(0.9, 0.2, 0.7, 0.1, 0.8, 0.3, 0.6)
    one_by_one = x
    for policy in ALL:
        one_by_one = DiffAugment([policy])(one_by_one, numbers)
    assert torch.equal(DiffAugment(list(reversed(ALL)))(x, numbers), one_by_one)


def test_half_precision_is_widened():
    assert DiffAugment(ALL)(torch.rand(1, 3, 8, 8).bfloat16(), Draw(0, [0])).dtype == torch.float32
