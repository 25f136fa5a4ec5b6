"""Masks have the share of holes that is asked for, and are a function of seed and row, drawn or from a folder."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from quagga.data import Masked
from quagga.data.transforms.irregular_masks import draw_mask, read_mask
from quagga.errors import BadInput


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("masked") / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def rows(pictures: Path, **options) -> Masked:
    return Masked(root=str(pictures), **{"size": 16, "workers": 0, **options})


@pytest.mark.parametrize(("least", "most"), [(0.01, 0.1), (0.1, 0.2), (0.3, 0.4), (0.5, 0.6), (0.9, 1.0), (0.25, 0.25)])
def test_a_drawn_mask_has_the_share_of_holes_that_is_asked_for(least, most):
    shares = []
    for n in range(20):
        m = draw_mask(np.random.default_rng(n), 40, 56, least, most)
        assert m.shape == (40, 56) and m.dtype == bool
        shares.append(float((~m).mean()))
    pixel = 1 / (40 * 56)
    assert least - pixel <= min(shares) and max(shares) <= most + pixel
    assert least == most or max(shares) - min(shares) > 0.4 * (most - least)


def test_shares_are_spread_over_the_whole_range():
    shares = [1 - draw_mask(np.random.default_rng(n), 32, 32, 0.01, 0.61).mean() for n in range(120)]
    assert all(count >= 8 for count in np.histogram(shares, 6, (0.01, 0.61))[0])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["none", "ram", "device"])
def test_masks_are_a_function_of_seed_and_row(pictures, workers, cache):
    one = rows(pictures, workers=workers, cache=cache)
    if cache == "device":
        one.move_to(torch.device("cpu"))
    batches = list(islice(one.batches(0, 3), 2))
    assert batches[0]["m"].shape == (3, 1, 16, 16) and batches[0]["m"].dtype == torch.float32
    plain = rows(pictures)
    for batch in batches:
        for n, row in enumerate(batch["row"].tolist()):
            assert torch.equal(batch["m"][n], plain.sample(row).tensors["m"])
    drawn = torch.cat([batch["m"] for batch in batches])
    assert len(drawn.unique(dim=0)) == 6 and set(drawn.unique().tolist()) == {0.0, 1.0}
    later = next(islice(rows(pictures).batches(3, 3), 1))  # as after a stop
    assert torch.equal(later["m"], batches[1]["m"])
    assert not torch.equal(rows(pictures, seed=1).sample(0).tensors["m"], plain.sample(0).tensors["m"])


def test_held_out_pictures_have_masks_of_their_own_which_stay(pictures):
    held_out, again = (rows(pictures).held_out(1) for _ in range(2))
    assert torch.equal(held_out["m"], again["m"])
    assert not torch.equal(held_out["m"][0], rows(pictures).sample(0).tensors["m"])
    assert rows(pictures).at_size(8).held_out(1)["m"].shape == (1, 1, 8, 8)


def test_masks_of_a_folder_are_missing_where_they_are_white(pictures, tmp_path):
    pixels = np.zeros((32, 32), np.uint8)
    pixels[:8, :16] = 255  # an eighth of the picture, in a corner
    Image.fromarray(pixels).save(tmp_path / "corner.png")
    assert (read_mask(tmp_path / "corner.png") == (pixels == 0)).all()
    batch = next(rows(pictures, masks=str(tmp_path)).batches(0, 64))
    assert ((1 - batch["m"]).sum((1, 2, 3)) == 32).all()
    assert len(batch["m"].unique(dim=0)) == 8  # turned and mirrored


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hole_ratios": [0.6, 0.1]}, "hole_ratios are"),
        ({"hole_ratios": [0.5]}, "hole_ratios are"),
        ({"hole_ratios": [0.0, 1.5]}, "hole_ratios are"),
        ({"masks": "nowhere"}, "there is no folder nowhere"),
        ({"masks": ".", "hole_ratios": [0.1, 0.2]}, "leave out --hole_ratios, or --masks"),
    ],
)
def test_what_cannot_work_is_refused(pictures, options, message):
    with pytest.raises(BadInput, match=message):
        rows(pictures, **options)
