"""The laws of translating at another size than the picture's."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_translator import TINY, leave_model, noise, pixels
from torch import Tensor, nn

from quagga.data.io.pixel_format import PixelFormat
from quagga.errors import BadInput
from quagga.fields import picture
from quagga.inference.load import load_translator as load
from quagga.inference.predictor import Predictor
from quagga.inference.resolution import MAX_ASPECT, NEAR, network_size, resized, translate_at_size
from quagga.inference.translator import Translator
from quagga.models import ResnetGenerator

TRAINED = {"load_size": 40, "crop_size": 32, "fit": "crop"}
sides = st.integers(1, 3000)


class Memory(list[Tensor]):
    """A list that a copied network shares with the original."""

    def __deepcopy__(self, _memo: object) -> "Memory":
        return self


class Painter(nn.Module):
    """A generator that adds what `paint` makes of a picture, and remembers what it was shown."""

    def __init__(self, paint=torch.zeros_like):
        super().__init__()
        self.paint, self.all_shown = paint, Memory()

    def forward(self, x: Tensor) -> Tensor:
        self.all_shown.append(x)
        return x + self.paint(x)


def translator(network: nn.Module, target_channels: int = 3, **settings: Any) -> Translator:
    settings = {"preprocessing": TRAINED, **settings}
    forms = PixelFormat(3), PixelFormat(target_channels)
    fields = (picture("x"),), picture("y")
    predictor = Predictor("horse to zebra", network, *fields, torch.device("cpu"), ({}, torch.empty(0)))
    return Translator(predictor, "horse", "zebra", *forms, **settings)


def squares(side: int, height: int, width: int) -> Tensor:
    """A checkerboard (3, H, W) of -0.5 and 0.5 with squares of so many pixels."""
    rows, columns = torch.arange(height)[:, None] // side, torch.arange(width) // side
    return (((rows + columns) % 2) - 0.5).expand(3, height, width).contiguous()


@given(height=sides, width=sides, size=st.integers(1, 600))
def test_crop_scales_the_shorter_side_and_keeps_the_shape(height: int, width: int, size: int):
    h, w = network_size("model", height, width, {"load_size": size, "fit": "crop"})
    if (h, w) == (height, width):
        thin = max(height, width) > MAX_ASPECT * size / 2
        assert thin or size / NEAR - 1 <= min(height, width) <= size * NEAR + 1
    elif max(height, width) <= MAX_ASPECT * min(height, width):
        assert min(h, w) == size
        assert abs(max(h, w) - max(height, width) * size / min(height, width)) <= 0.5
    assert max(h, w) <= max(MAX_ASPECT * size, height, width)


def test_a_thin_picture_is_not_enlarged_to_gigabytes():
    assert network_size("model", 1, 3000, {"load_size": 286, "fit": "crop"}) == (3, 32 * 286)


def test_a_picture_near_the_scale_of_training_is_left_at_its_own():
    for side in (256, 286, 320):
        assert network_size("model", side, 2 * side, {"load_size": 286, "fit": "crop"}) == (side, 2 * side)
    for side in (200, 253, 323, 3000):
        assert network_size("model", side, side, {"load_size": 286, "fit": "crop"}) == (286, 286)
    assert network_size("model", 256, 300, {"load_size": 286, "fit": "squash"}) == (256, 300)
    assert network_size("model", 256, 400, {"load_size": 286, "fit": "squash"}) == (286, 286)


def test_how_training_scaled_is_how_it_is_scaled():
    said = {"load_size": 100}
    assert network_size("model", 300, 600, said | {"fit": "crop"}) == (100, 200)
    assert network_size("model", 300, 600, said | {"fit": "squash"}) == (100, 100)
    assert network_size("model", 300, 600, said | {"fit": "width"}) == (50, 100)
    for unknown in (said | {"fit": "none"}, said, {}, {"fit": "crop"}, {"fit": "crop", "load_size": "100"}):
        assert network_size("model", 300, 600, unknown) == (300, 600)


def test_full_and_a_number_ask_no_training():
    for said in (TRAINED, {}, {"fit": "squash", "load_size": 9}):
        assert network_size("full", 300, 600, said) == (300, 600)
        assert network_size(150, 300, 600, said) == (150, 300)
        assert network_size(299, 300, 600, said) == (299, 598)


@pytest.mark.parametrize("size", [(40, 40), (43, 60), (36, 36)], ids=str)
def test_at_the_scale_of_training_it_is_the_network_bit_for_bit(tmp_path, size: tuple[int, int]):
    game = leave_model(tmp_path, **TINY)
    x = noise(1, 3, *size)
    loaded = load(tmp_path)
    loaded.preprocessing = TRAINED
    with torch.inference_mode():
        assert torch.equal(loaded(x), game.generators["G"].eval()(x))


@pytest.mark.parametrize("size", [(7, 9), (39, 250), (160, 90), (333, 401)], ids=str)
def test_what_does_not_change_keeps_every_bit(size: tuple[int, int]):
    painter = Painter()
    does_nothing = translator(painter)
    x, array = noise(2, 3, *size), pixels(*size)
    assert torch.equal(does_nothing(x), x)
    assert np.array_equal(does_nothing(array), array)
    assert painter.all_shown[-1].shape[2:] == network_size("model", *size, TRAINED)


def test_away_from_a_change_every_bit_is_kept_and_in_it_the_detail_stays():
    def left_half(x: Tensor) -> Tensor:
        return 0.25 * (torch.arange(x.shape[3]) < x.shape[3] // 2).expand_as(x)

    x = 0.5 * noise(3, 400, 400)
    y = translator(Painter(left_half))(x)
    reach = 3 * 10  # pixels of the small picture that bicubic enlarging mixes, at their size in the large one
    assert torch.equal(y[..., 200 + reach :], x[..., 200 + reach :])
    torch.testing.assert_close(y[..., : 200 - reach], x[..., : 200 - reach] + 0.25, rtol=0, atol=1e-5)


def test_the_change_lies_where_the_network_made_it():
    def stripes(x: Tensor) -> Tensor:  # at a place of the picture, not of the pixel grid
        places = (torch.arange(x.shape[-1]) + 0.5) / x.shape[-1]
        return (0.3 * torch.sin(12 * places)).expand_as(x)

    for size in ((90, 140), (400, 300), (64, 64), (20, 24)):
        x = 0.5 * noise(3, *size)
        y = translator(Painter(stripes))(x)
        assert (y - x - stripes(x)).abs()[..., 10:-10].max() < 0.01
        assert (y - x - stripes(x)).abs().max() < 0.06  # at the border enlarging repeats the last value


def test_the_network_sees_averages_over_areas():
    painter = Painter()
    translator(painter)(squares(1, 400, 400))  # each of its pixels covers 10 x 10: nothing but grey may be seen
    assert painter.all_shown[-1].abs().max() < 1e-6
    translator(painter)(squares(5, 400, 400))
    assert painter.all_shown[-1].abs().max() < 1e-6
    translator(painter)(squares(50, 400, 400))
    assert torch.equal(painter.all_shown[-1][0], squares(5, 40, 40))


def test_a_mean_is_kept_by_shrinking():
    x = noise(2, 3, 97, 131).double().float()
    torch.testing.assert_close(resized(x, 31, 44).mean((2, 3)), x.mean((2, 3)), rtol=0, atol=1e-4)


def test_nothing_leaves_the_range_and_the_given_is_left_alone():
    x = noise(3, 90, 90)
    before = x.clone()
    y = translator(Painter(lambda x: 1.5 * x.sign()))(x)
    assert y.abs().max() == 1
    assert torch.equal(x, before)


def test_where_channels_differ_the_small_result_is_enlarged():
    class Grey(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(1, keepdim=True)

    x = noise(1, 3, 90, 120)
    y = translator(Grey(), target_channels=1)(x)
    assert y.shape == (1, 1, 90, 120)
    small = resized(x, 40, 53).mean(1, keepdim=True)
    torch.testing.assert_close(y, resized(small, 90, 120).clamp(-1, 1))


def test_another_number_type_and_a_view_do_not_matter():
    network = Painter(lambda x: 0.25 * torch.ones_like(x))
    painter = translator(network)
    x = 0.5 * noise(3, 120, 90)
    torch.testing.assert_close(painter(x.double()), x.double() + 0.25, rtol=0, atol=1e-6)
    torch.testing.assert_close(network.all_shown[-1], resized(x[None], 53, 40))
    assert torch.equal(painter(x.transpose(1, 2)), painter(x.transpose(1, 2).contiguous()))


def test_the_resolution_may_be_chosen(tmp_path):
    game = leave_model(tmp_path, **TINY)
    x = noise(3, 90, 60)
    with torch.inference_mode():
        whole = game.generators["G"].eval()(x[None])[0]
        half = translate_at_size((45, 30), x[None], game.generators["G"])[0]
    assert torch.equal(load(tmp_path, resolution="full")(x), whole)
    assert torch.equal(load(tmp_path, resolution=30)(x), half)
    assert not torch.equal(half, whole)
    for wrong in (0, -1, "half"):
        with pytest.raises(BadInput, match="resolution"):
            load(tmp_path, resolution=wrong)  # pyright: ignore[reportArgumentType]


def test_a_network_sees_what_it_was_trained_on_also_where_a_picture_is_enlarged():
    """Bicubic enlarging goes beyond black and white at an edge; the skip's atanh is not a number there."""
    edge = torch.full((1, 3, 12, 12), -1.0)
    edge[..., 5:] = 1.0
    assert resized(edge, 48, 48).abs().max() > 1.05
    seen = []

    def watched(x):
        seen.append(x.clone())
        return x

    made = translate_at_size((48, 48), edge, watched)
    assert seen[0].abs().max() <= 1 and torch.equal(made, edge)
    torch.manual_seed(0)
    G = ResnetGenerator(width=4, blocks=1, skip=True).eval()
    with torch.no_grad():
        assert translate_at_size((48, 48), edge, G).isfinite().all()
