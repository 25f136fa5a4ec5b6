"""Numbers of every kind go to [0, 1] by the range of their domain, and come back as they were."""

import numpy as np
import pytest

from quagga.data.io.pixel_format import (
    KINDS,
    NATURAL_RANGES,
    Native,
    PixelFormat,
    fitting_channels,
    from_unit,
    kind_for_range,
    to_domain_format,
    to_known_kind,
)
from quagga.data.io.tensors import to_pixel_format, to_tensor

RANGES = {"uint8": (0, 255), "uint16": (0, 65535), "int16": (-32768, 32767), "float32": (-1000.0, 3000.0)}


def pixels(kind: str, channels: int = 1, low: float | None = None, high: float | None = None) -> np.ndarray:
    bottom, top = RANGES[kind] if low is None or high is None else (low, high)
    ramp = np.linspace(bottom, top, 300 * channels)
    return (ramp if kind == "float32" else np.rint(ramp)).astype(kind).reshape(20, 15, channels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_values_in_the_range_survive_the_conversion_to_a_tensor_and_back(kind, share):
    low, high = (share * end for end in RANGES[kind])
    pixel_format = PixelFormat(1, kind, (low, high))
    values = pixels(kind, 1, *(np.array((low, high)) * 0.99))
    picture = to_domain_format(Native(values, False), pixel_format)
    assert picture.clipped == 0
    tensor = to_tensor(picture.pixels)
    assert tensor.min() >= -1 and tensor.max() <= 1
    back = to_pixel_format(tensor, pixel_format)
    assert back.dtype == kind and back.shape == values.shape
    assert np.abs(back.astype(float) - values).max() <= (0 if kind != "float32" else 1e-6 * (high - low))


def test_the_ends_of_the_range_are_black_and_white_and_what_lies_outside_is_counted():
    values = np.array([[-5, 0, 10, 20, 21, 30000]], np.int16)[..., None]
    picture = to_domain_format(Native(values, False), PixelFormat(1, "int16", (0, 20)))
    assert picture.pixels.ravel().tolist() == [0, 0, 0.5, 1, 1, 1] and picture.clipped == 3
    assert picture.pixels.dtype == np.float32
    assert from_unit(np.array([-1, 0, 0.5, 1, 2]), PixelFormat(1, "int16", (0, 20))).tolist() == [0, 0, 10, 20, 20]


def test_a_value_range_applies_to_8_bits_too():
    picture = to_domain_format(
        Native(np.array([[0, 50, 100, 200]], np.uint8)[..., None], False), PixelFormat(1, "uint8", (0, 100))
    )
    assert picture.pixels.ravel().tolist() == [0, 0.5, 1, 1] and picture.clipped == 1


def test_eight_bits_stay_bytes():
    values = pixels("uint8", 3)
    assert to_domain_format(Native(values, False), PixelFormat()).pixels is values
    assert to_domain_format(Native(values.astype(np.uint16) * 257, False), PixelFormat()).pixels.dtype == np.uint8


@pytest.mark.parametrize("kind", NATURAL_RANGES)
def test_another_kind_is_read_by_its_own_range(kind):
    """A few photos among 12-bit pictures are not nearly black."""
    low, high = NATURAL_RANGES[kind]
    values = np.array([[low, high]]).astype(kind)[..., None]
    for pixel_format in (PixelFormat(1, "uint16", (0, 4095)), PixelFormat(1, "float32", (-7, 7)), PixelFormat(1)):
        if not pixel_format.owns(kind):
            white = 255 if pixel_format.eight_bits else 1
            assert to_domain_format(Native(values, False), pixel_format).pixels.ravel().tolist() == [0, white]


def test_the_two_kinds_of_16_bits_are_read_alike():
    """Integers of more bits become the one or the other, by their values."""
    for pixel_format in (PixelFormat(1, "int16", (-1000, 3000)), PixelFormat(1, "uint16", (-1000, 3000))):
        for kind in ("uint16", "int16"):
            assert to_domain_format(Native(np.full((2, 2, 1), 1000, kind), False), pixel_format).pixels[0, 0, 0] == 0.5


def test_floats_beyond_0_to_1_and_values_that_are_not_finite_are_refused():
    deep = PixelFormat(1, "uint16", (0, 4095))
    for values, pixel_format, words in (
        ([0, 2], deep, "floats from 0 to 2"),
        ([0, np.nan], deep, "NaN or infinite"),
        ([0, np.inf], PixelFormat(1, "float32"), "NaN or infinite"),
        ([0, np.nan], PixelFormat(), "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=words):
            to_domain_format(Native(np.array([values], np.float32)[..., None], False), pixel_format)
    with pytest.raises(ValueError, match=r"int16 from -1 to 3.*state the value range"):
        to_domain_format(Native(np.array([[-1, 3]], np.int16)[..., None], False), PixelFormat(1))


def test_opacity_is_kept_if_it_is_counted_and_blended_with_white_otherwise():
    for kind in ("uint8", "uint16", "float32"):
        white = NATURAL_RANGES[kind][1]
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


def test_other_numbers_of_channels_are_not_converted():
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
        found = to_known_kind(given)
        assert str(found.dtype) == kind
        assert (found == (given * 255 if given.dtype == bool else given)).all()
    for values in ([0, 70000], [-1, 40000], [-40000, 0]):
        with pytest.raises(ValueError, match=r"scale them to 0\.\.65535"):
            to_known_kind(np.array(values))
    with pytest.raises(ValueError, match="not numbers of a picture"):
        to_known_kind(np.array([1j]))


def test_a_kind_that_cannot_hold_its_range_is_replaced():
    assert kind_for_range("uint16", (0, 4095)) == "uint16" and kind_for_range("uint8", (0, 255)) == "uint8"
    assert kind_for_range("uint16", (-1000, 3000)) == "int16" and kind_for_range("uint8", (0, 256)) == "int16"
    assert kind_for_range("uint16", (-1, 40000)) == "float32" and kind_for_range("float32", (0, 9)) == "float32"
