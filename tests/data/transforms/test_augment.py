"""What is cut, mirrored and changed, and that nothing else is."""

import os

import numpy as np
import pytest

from quagga.data.transforms.augment import Augment
from quagga.errors import BadInput

# Red counts the columns and green the rows, so that a pixel tells where it comes from.
PLAN = np.zeros((100, 200, 3), np.uint8)
PLAN[..., 0], PLAN[..., 1] = np.arange(200)[None], np.arange(100)[:, None]


def places(cut: np.ndarray) -> tuple[int, int, bool]:
    """(left, top, mirrored) of a cut through PLAN."""
    mirrored = bool(cut[0, 0, 0] > cut[0, -1, 0])
    return int(min(cut[0, 0, 0], cut[0, -1, 0])), int(cut[0, 0, 1]), mirrored


def test_a_picture_is_a_function_of_file_and_seed():
    declared = {"ColorJitter": {"p": 1.0}, "GaussNoise": {"p": 0.5}, "Affine": {"rotate": [-10, 10], "p": 0.5}}
    one, other = (Augment(40, 32, declared=declared) for _ in range(2))
    results = {seed: one(PLAN, seed) for seed in range(8)}
    for seed in reversed(range(8)):
        assert np.array_equal(other(PLAN, seed), results[seed])
    assert len({result.tobytes() for result in results.values()}) == 8


def test_cut_and_mirror_are_even_and_independent():
    augment = Augment(crop_size=50, fit="none")
    left, top, mirrored = np.array([places(augment(PLAN, seed)) for seed in range(2000)]).T
    assert (left.min(), left.max(), top.min(), top.max()) == (0, 150, 0, 50)
    assert abs(mirrored.mean() - 0.5) < 0.04
    correlation = np.corrcoef([left, top, mirrored]) - np.eye(3)
    assert np.abs(correlation).max() < 0.08


def test_cut_pixels_are_the_picture_s_own_and_without_flip_never_mirrored():
    augment = Augment(crop_size=50, fit="none", flip=False)
    for seed in range(50):
        left, top, mirrored = places(cut := augment(PLAN, seed))
        assert not mirrored and np.array_equal(cut, PLAN[top : top + 50, left : left + 50])


def test_shapes_are_kept_unless_squashing_is_asked_for():
    height, width = PLAN.shape[:2]
    disc = ((np.mgrid[:height, :width] - np.array([49.5, 99.5])[:, None, None]) ** 2).sum(0) < 30**2
    picture = np.repeat(disc[..., None], 3, axis=2).astype(np.uint8) * 255

    def axes(cut: np.ndarray) -> tuple[int, int]:
        white = cut[..., 0] > 127
        return int(white.any(axis=1).sum()), int(white.any(axis=0).sum())

    tall, wide = axes(Augment(80, 80, "crop").without_chance(picture))
    assert tall == wide and abs(tall - 60 * 0.8) <= 1
    tall, wide = axes(Augment(80, 80, "squash").without_chance(picture))
    assert abs(tall - 60 * 0.8) <= 1 and abs(wide - 60 * 0.4) <= 1
    tall, wide = axes(Augment(7, 80, "none").without_chance(picture))
    assert tall == wide == 60
    tall, wide = axes(Augment(7, 300, "none").without_chance(picture))
    assert tall == wide and abs(tall - 180) <= 2


@pytest.mark.parametrize("fit", ["crop", "squash", "none"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (31, 33), (32, 32), (500, 40), (33, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_becomes_the_cut(fit, shape, channels):
    augment = Augment(40, 32, fit, channels=channels)
    picture = np.full((*shape, channels), 77, np.uint8)
    for result in (augment(picture, 1), augment.without_chance(picture)):
        assert result.shape == (32, 32, channels) and result.dtype == np.uint8 and (result == 77).all()


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 12])
def test_floats_of_any_channels_are_scaled_cut_and_mirrored_as_bytes_are(channels):
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    floats = (picture / np.float32(255))[..., np.arange(channels) % 3]
    for load_size, crop_size in ((40, 32), (90, 60), (50, 40)):
        bytes_ = Augment(load_size, crop_size)
        real = Augment(load_size, crop_size, channels=channels, kind="float32")
        for seed in range(6):
            expected, found = bytes_(picture, seed), real(floats, seed)
            assert found.dtype == np.float32 and found.shape == (crop_size, crop_size, channels)
            assert found.min() >= 0 and found.max() <= 1
            assert np.abs(found * 255 - expected[..., np.arange(channels) % 3]).max() <= 1.01
        assert (
            np.abs(
                real.without_chance(floats) * 255 - bytes_.without_chance(picture)[..., np.arange(channels) % 3]
            ).max()
            <= 1.01
        )


def test_a_picture_is_scaled_one_way_and_the_other_whatever_its_channels():
    """OpenCV refuses to average over areas where one side shrinks and the other grows, of more than 4 channels."""
    result = Augment(40, 40, "squash", channels=7, kind="float32").without_chance(np.full((20, 90, 7), 0.3, np.float32))
    assert result.shape == (40, 40, 7) and np.allclose(result, 0.3)


@pytest.mark.parametrize(("fit", "shape"), [("crop", (320, 320)), ("squash", (320, 20)), ("squash", (20, 320))])
def test_shrinking_averages_and_does_not_alias(fit, shape):
    lines = np.zeros((*shape, 1), np.uint8)
    lines[(slice(None), slice(None, None, 2)) if shape[1] > 20 else (slice(None, None, 2),)] = 255
    result = Augment(40, 40, fit, channels=1).without_chance(lines)
    assert np.abs(result.astype(int) - 127).max() <= 2


def test_still_shows_the_middle_at_the_scale_of_training():
    assert places(Augment(crop_size=50, fit="none").without_chance(PLAN)) == (75, 25, False)
    played, still = Augment(50, 50, flip=False)(PLAN[:, 50:150], 3), Augment(50, 50).without_chance(PLAN[:, 50:150])
    assert np.array_equal(played, still)


def test_declared_transforms_are_applied_in_order():
    picture = np.full((32, 32, 3), 200, np.uint8)
    inverted = Augment(32, 32, declared={"InvertImg": {"p": 1.0}})(picture, 0)
    assert (inverted == 55).all()
    one = {"InvertImg": {"p": 1.0}, "Solarize": {"threshold_range": [0.5, 0.5], "p": 1.0}}
    other = dict(reversed(one.items()))
    assert (Augment(32, 32, declared=one)(picture, 0) == 55).all()
    assert (Augment(32, 32, declared=other)(picture, 0) == 200).all()


@pytest.mark.parametrize(
    ("declared", "line"),
    [
        ({"ColourJitter": {}}, "no transform 'ColourJitter': did you mean ColorJitter?"),
        ({"Lambda": {}}, "no transform 'Lambda'"),
        ({"os.system": {}}, "no transform"),
        ({"GaussianBlur": {"blur_limits": 3}}, "no argument 'blur_limits': did you mean blur_limit?"),
        ({"GaussianBlur": {"strict": True}}, "no argument 'strict'"),
        ({"GaussianBlur": {"p": 2.0}}, "GaussianBlur: p: .*less than or equal to 1, not 2.0"),
        ({"ColorJitter": {"brightness": "much"}}, "ColorJitter: brightness: "),
        ({"RandomCrop": {}}, "RandomCrop: height: "),
        ({"Resize": {"height": 10, "width": 10}}, "Resize makes uint8 .10, 10, 3. of uint8 .32, 32, 3."),
        ({"ToFloat": {}}, "ToFloat makes float32"),
        ({"MaskDropout": {"p": 1.0}}, "MaskDropout does not work on pictures"),
    ],
)
def test_a_wrong_declaration_is_refused_before_training(declared, line):
    with pytest.raises(BadInput, match=line) as caught:
        Augment(40, 32, declared=declared)
    assert "\n" not in str(caught.value)


def test_declared_transforms_see_floats_and_must_keep_to_their_range():
    half = np.full((32, 32, 5), 0.25, np.float32)
    declared = {"InvertImg": {"p": 1.0}}
    assert np.allclose(Augment(32, 32, declared=declared, channels=5, kind="float32")(half, 0), 0.75)
    for declared, line in (
        ({"Equalize": {}}, r"Equalize does not work on pictures of float32 .32, 32, 5."),
        ({"FromFloat": {}}, "FromFloat makes uint8"),
        ({"Normalize": {"mean": 0.5, "std": 0.5}}, "Normalize "),
    ):
        with pytest.raises(BadInput, match=line):
            Augment(32, 32, declared=declared, channels=5, kind="float32")


def test_what_needs_colour_is_refused_for_grey():
    with pytest.raises(BadInput, match=r"HueSaturationValue does not work on pictures of .32, 32, 1."):
        Augment(40, 32, declared={"HueSaturationValue": {}}, channels=1)


def test_sizes_that_do_not_fit_are_refused():
    for sizes, line in (
        ((10, 20), "load_size 10 is smaller than crop_size 20"),
        ((10, 0), "crop_size 0"),
        ((10**9, 10**9), "no more than"),
    ):
        with pytest.raises(BadInput, match=line):
            Augment(*sizes)
    with pytest.raises(BadInput, match="1000 x 4 pixels are too thin"):
        Augment(40, 32)(np.zeros((4, 1000, 3), np.uint8), 0)


def test_the_library_is_told_not_to_call_home():
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
