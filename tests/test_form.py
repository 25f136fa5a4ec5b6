"""Numbers of every kind go to [0, 1] by the range of their domain, and come back as they were."""

import numpy as np
import pytest

from quagga.data.form import KINDS, NATURAL, Form, Native, depth_kept, fitted, fitting_channels, from_unit, holding
from quagga.data.tensors import to_form, to_tensor

RANGES = {"uint8": (0, 255), "uint16": (0, 65535), "int16": (-32768, 32767), "float32": (-1000.0, 3000.0)}


def pixels(kind: str, channels: int = 1, low: float | None = None, high: float | None = None) -> np.ndarray:
    bottom, top = RANGES[kind] if low is None or high is None else (low, high)
    ramp = np.linspace(bottom, top, 300 * channels)
    return (ramp if kind == "float32" else np.rint(ramp)).astype(kind).reshape(20, 15, channels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_what_is_in_the_range_survives_the_way_to_the_network_and_back(kind, share):
    low, high = (share * end for end in RANGES[kind])
    form = Form(1, kind, (low, high))
    values = pixels(kind, 1, *(np.array((low, high)) * 0.99))
    picture = fitted(Native(values, False), form)
    assert picture.clipped == 0
    tensor = to_tensor(picture.pixels)
    assert tensor.min() >= -1 and tensor.max() <= 1
    back = to_form(tensor, form)
    assert back.dtype == kind and back.shape == values.shape
    assert np.abs(back.astype(float) - values).max() <= (0 if kind != "float32" else 1e-6 * (high - low))


def test_the_ends_of_the_range_are_black_and_white_and_what_lies_outside_is_counted():
    values = np.array([[-5, 0, 10, 20, 21, 30000]], np.int16)[..., None]
    picture = fitted(Native(values, False), Form(1, "int16", (0, 20)))
    assert picture.pixels.ravel().tolist() == [0, 0, 0.5, 1, 1, 1] and picture.clipped == 3
    assert picture.pixels.dtype == np.float32
    assert from_unit(np.array([-1, 0, 0.5, 1, 2]), Form(1, "int16", (0, 20))).tolist() == [0, 0, 10, 20, 20]


def test_a_range_within_8_bits_holds_for_them_too():
    picture = fitted(Native(np.array([[0, 50, 100, 200]], np.uint8)[..., None], False), Form(1, "uint8", (0, 100)))
    assert picture.pixels.ravel().tolist() == [0, 0.5, 1, 1] and picture.clipped == 1


def test_eight_bits_stay_bytes():
    values = pixels("uint8", 3)
    assert fitted(Native(values, False), Form()).pixels is values
    assert fitted(Native(values.astype(np.uint16) * 257, False), Form()).pixels.dtype == np.uint8


@pytest.mark.parametrize("kind", NATURAL)
def test_another_kind_is_read_by_its_own_range(kind):
    """A few photos among 12-bit pictures are not nearly black."""
    low, high = NATURAL[kind]
    values = np.array([[low, high]]).astype(kind)[..., None]
    for form in (Form(1, "uint16", (0, 4095)), Form(1, "float32", (-7, 7)), Form(1)):
        if not form.owns(kind):
            white = 255 if form.eight_bits else 1
            assert fitted(Native(values, False), form).pixels.ravel().tolist() == [0, white]


def test_the_two_kinds_of_16_bits_are_read_alike():
    """Integers of more bits become the one or the other, by their values."""
    for form in (Form(1, "int16", (-1000, 3000)), Form(1, "uint16", (-1000, 3000))):
        for kind in ("uint16", "int16"):
            assert fitted(Native(np.full((2, 2, 1), 1000, kind), False), form).pixels[0, 0, 0] == 0.5


def test_floats_of_no_stated_range_and_values_that_are_none_are_refused():
    deep = Form(1, "uint16", (0, 4095))
    for values, form, words in (
        ([0, 2], deep, "floats from 0 to 2"),
        ([0, np.nan], deep, "NaN or infinite"),
        ([0, np.inf], Form(1, "float32"), "NaN or infinite"),
        ([0, np.nan], Form(), "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=words):
            fitted(Native(np.array([values], np.float32)[..., None], False), form)
    with pytest.raises(ValueError, match=r"int16 from -1 to 3.*state the value range"):
        fitted(Native(np.array([[-1, 3]], np.int16)[..., None], False), Form(1))


def test_opacity_is_kept_where_it_is_counted_and_laid_on_white_elsewhere():
    for kind in ("uint8", "uint16", "float32"):
        white = NATURAL[kind][1]
        clear = np.zeros((2, 2, 4), kind)
        assert (fitting_channels(Native(clear, True), 3) == white).all()
        assert (fitting_channels(Native(clear, True), 1) == white).all()
        assert fitting_channels(Native(clear, True), 4) is clear
        assert fitting_channels(Native(clear[..., :2], True), 2).shape[-1] == 2


def test_a_fourth_channel_of_no_stated_meaning_is_kept_or_dropped():
    four = np.random.default_rng(0).integers(0, 255, (2, 2, 4), dtype=np.uint8)
    assert fitting_channels(Native(four, False, spare=True), 4) is four
    assert np.array_equal(fitting_channels(Native(four, False, spare=True), 3), four[..., :3])
    with pytest.raises(ValueError, match="it has 4 channels, and 3 are asked for"):
        fitting_channels(Native(four, False), 3)


def test_other_channels_never_become_one_another():
    for has, wanted in ((12, 3), (3, 4), (1, 2), (5, 1), (3, 12)):
        with pytest.raises(
            ValueError, match=rf"it has {has} channels, and {wanted} are asked for: say --x_channels {has}, as only"
        ):
            fitting_channels(Native(np.zeros((2, 2, has), np.uint16), False), wanted, "x")


@pytest.mark.parametrize("kind", KINDS)
def test_grey_and_colour_become_each_other(kind):
    grey = pixels(kind)
    colour = fitting_channels(Native(grey, False), 3)
    assert colour.dtype == kind and (colour == grey).all()
    assert np.abs(fitting_channels(Native(colour, False), 1).astype(float) - grey).max() <= 1e-3
    mixed = np.zeros((1, 1, 3), kind)
    mixed[..., 1] = 100
    assert abs(float(fitting_channels(Native(mixed, False), 1)[0, 0, 0]) - 58.7) < 0.5


def test_numbers_of_other_types_become_one_of_the_kinds():
    for given, kind in (
        (np.array([0, 1], bool), "uint8"),
        (np.array([0, 1], np.float16), "float32"),
        (np.array([0, 1], np.float64), "float32"),
        (np.array([-3, 1], np.int8), "int16"),
        (np.array([0, 40000], np.int64), "uint16"),
        (np.array([-1, 300], np.int32), "int16"),
        (np.array([-1, 300], ">i2"), "int16"),
        (np.array([1, 300], ">u2"), "uint16"),
    ):
        found = depth_kept(given)
        assert str(found.dtype) == kind
        assert (found == (given * 255 if given.dtype == bool else given)).all()
    for values in ([0, 70000], [-1, 40000], [-40000, 0]):
        with pytest.raises(ValueError, match=r"scale them to 0\.\.65535"):
            depth_kept(np.array(values))
    with pytest.raises(ValueError, match="not numbers of a picture"):
        depth_kept(np.array([1j]))


def test_a_kind_that_cannot_hold_its_range_gives_way():
    assert holding("uint16", (0, 4095)) == "uint16" and holding("uint8", (0, 255)) == "uint8"
    assert holding("uint16", (-1000, 3000)) == "int16" and holding("uint8", (0, 256)) == "int16"
    assert holding("uint16", (-1, 40000)) == "float32" and holding("float32", (0, 9)) == "float32"
