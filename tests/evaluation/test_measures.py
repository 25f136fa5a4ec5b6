"""Measures order pictures as they must, and no picture judges itself."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from quagga.data.transforms.conditions import Conditions
from quagga.evaluation.measures import own_classifier, picture_distances
from quagga.evaluation.measures.own_classifier import NEVER, FeatureReference, train_judges
from quagga.evaluation.measures.patch_distance import PatchReference
from quagga.evaluation.measures.picture_distances import absolute, psnr, ssim

CHANCE = torch.Generator().manual_seed(0)


def textures(count: int, size: int = 32, frequency: float = 0.8) -> Tensor:
    """Stripes in random places, over a random shade."""
    phase, shade = torch.rand(2, count, 3, 1, 1, generator=CHANCE)
    stripes = torch.sin(torch.arange(size) * frequency + 6.28 * phase).expand(-1, -1, size, -1)
    return (0.5 * stripes + 0.5 * shade - 0.25).contiguous()


def diversity(*arguments: Tensor) -> float:
    found = picture_distances.diversity(*arguments)
    assert found
    return found.value


REAL = textures(48)
REFERENCE = PatchReference.of(REAL)


# -- patches ----------------------------------------------------------------------------------------------------------


def test_the_patches_of_the_reference_itself_are_at_no_distance_and_others_nearly():
    assert REFERENCE.distance(REAL).value < 1e-6
    assert REFERENCE.distance(textures(48)).value < 0.2


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda x: F.avg_pool2d(x, 5, 1, 2),  # soft
        lambda x: x + 0.3 * torch.randn(x.shape, generator=CHANCE),  # noisy
        lambda x: x * 0.3,  # washed out
        lambda x: x + torch.tensor([0.4, 0, -0.4])[:, None, None],  # of another colour
        lambda x: x + 0.3 * (torch.arange(32) % 2)[None, :] * (torch.arange(32) % 2)[:, None],  # checkerboard
    ],
)
def test_every_spoiling_is_further_away(spoiled):
    others = textures(48)
    fair, bad = REFERENCE.distance(others), REFERENCE.distance(spoiled(others))
    assert bad.value > 1.5 * fair.value
    assert np.mean(np.asarray(bad.each) > np.asarray(fair.each)) > 0.8  # also of single pictures


def test_the_more_it_is_spoiled_the_further_it_is_away():
    noise = torch.randn(REAL.shape, generator=CHANCE)
    distances = [REFERENCE.distance(REAL + share * noise).value for share in (0, 0.1, 0.2, 0.4)]
    assert distances == sorted(distances)


def test_a_shift_of_all_values_costs_its_size_in_deviations():
    flat = torch.rand(40, 1, 16, 16, generator=CHANCE)  # one level, deviation 0.29
    found = PatchReference.of(flat).distance(flat + 0.29 * 0.5).value
    # A direction of length one moves by its sum times the shift: of 49 numbers sqrt(2 / pi) sqrt(49) / sqrt(49) * ...
    directions = torch.randn(5000, 49, generator=CHANCE)
    expected = float((directions / directions.norm(dim=1, keepdim=True)).sum(1).abs().mean()) * 0.5 * 0.29 / flat.std()
    assert found == pytest.approx(float(expected), rel=0.2)


# -- pixels -----------------------------------------------------------------------------------------------------------


def test_pixels_of_the_same_pictures_and_of_shifted_ones():
    assert absolute(REAL, REAL).value == 0 and ssim(REAL, REAL).value == pytest.approx(1) and psnr(REAL, REAL) is None
    assert absolute(REAL, REAL + 2 / 255).value == pytest.approx(1, abs=1e-4)  # one level
    found = psnr(REAL, REAL + 0.2)
    assert found and found.value == pytest.approx(20, abs=1e-3)  # 10 log10(2^2 / 0.2^2)


def test_ssim_is_that_of_the_library():
    library = pytest.importorskip("torchmetrics.functional.image")
    noisy = (REAL + 0.2 * torch.randn(REAL.shape, generator=CHANCE)).clamp(-1, 1)
    light = ((x + 1) / 2 for x in (noisy, REAL))  # whose means are not negative: in [-1, 1] it would be another figure
    theirs = library.structural_similarity_index_measure(*light, data_range=1.0)
    # The library's windows stand at the borders too, over reflected pixels; the paper's lie within the picture.
    a, b = (F.pad(x, (5,) * 4, mode="reflect") for x in (noisy, REAL))
    assert ssim(a, b).value == pytest.approx(float(theirs), abs=1e-5)


def test_pictures_that_are_all_alike_have_no_diversity():
    assert diversity(REAL[:1].expand(20, -1, -1, -1)) == pytest.approx(0, abs=1e-4)
    assert diversity(REAL) > 20 and picture_distances.diversity(REAL[:1]) is None
    two = torch.cat([REAL[:1].expand(10, -1, -1, -1), -REAL[:1].expand(10, -1, -1, -1)])
    assert diversity(two, torch.arange(20) // 10) == pytest.approx(0, abs=1e-4)
    assert diversity(two) == pytest.approx(absolute(two[:1], two[-1:]).value * 10 / 19, rel=1e-4)


# -- a classifier of one's own ----------------------------------------------------------------------------------------


def test_no_picture_judges_itself(monkeypatch):
    """Labels are thrown: whoever has seen a picture knows its label, and who has not, cannot."""
    monkeypatch.setattr(own_classifier, "IMAGES", 3200)
    x = torch.randn(40, 3, 16, 16, generator=CHANCE)
    c = torch.arange(40) % 2
    judges = train_judges(x, c, torch.arange(40) // 20, 2, Conditions("class", ["a", "b"]))
    seen = judges.probabilities(x, 1 - torch.arange(40) // 20).argmax(1) == c
    judged = judges.probabilities(x, torch.arange(40) // 20).argmax(1) == c
    assert seen.float().mean() > 0.9 and judged.float().mean() < 0.8


def test_a_classifier_learns_what_tells_two_kinds_apart(monkeypatch):
    monkeypatch.setattr(own_classifier, "IMAGES", 1600)
    x = torch.cat([textures(40, 16), textures(40, 16, 2.0)])
    c, fold = torch.arange(80) // 40, torch.arange(80) % 2
    fold[::4] = NEVER
    judges = train_judges(x, c, fold, 1, Conditions("class", ["coarse", "fine"]))
    others = torch.cat([textures(20, 16), textures(20, 16, 2.0)])
    right = judges.probabilities(others, torch.zeros(40, dtype=torch.long)).argmax(1) == torch.arange(40) // 20
    assert right.float().mean() > 0.9


def test_the_distance_of_two_gaussians():
    a, b = torch.randn(4000, 3, generator=CHANCE), torch.randn(4000, 3, generator=CHANCE) * 2 + 1
    known = FeatureReference.of(a)
    assert known.distance(a).value == pytest.approx(0, abs=1e-6)
    # |mu|^2 + sum of (sigma_a - sigma_b)^2, of three independent directions
    assert known.distance(b).value == pytest.approx(3 * 1 + 3 * (2 - 1) ** 2, rel=0.1)


def test_training_a_judge_leaves_the_callers_random_numbers(monkeypatch):
    monkeypatch.setattr(own_classifier, "IMAGES", 64)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train_judges(REAL[:8], torch.arange(8) % 2, torch.full((8,), NEVER), 1, Conditions("class", ["a", "b"]))
    assert torch.equal(torch.rand(1), expected)
