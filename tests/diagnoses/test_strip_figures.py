"""Figures of strips say what was done to the pictures."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate

from quagga.diagnoses import strip_figures
from quagga.diagnoses.figures import spread


def pictures(seed: int = 0, count: int = 4, channels: int = 3, size: int = 32) -> Tensor:
    """Smooth pictures, (N, C, H, W) in [-1, 1]."""
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 5, 5, generator=source) * 1.6 - 0.8
    return interpolate(coarse, size=(size, size), mode="bilinear").clamp(-1, 1)


def of(out: Tensor, x: Tensor | None = None, y: Tensor | None = None, raw: Tensor | None = None) -> dict[str, float]:
    x, y = pictures(0) if x is None else x, pictures(1) if y is None else y
    strips = {"x to y": {"x": x, "G(x)": out}, "y to x": {"y": y, "F(y)": y}}
    drawn = None if raw is None else {"x to y": {"x": x, "G(x)": raw}}
    found = strip_figures(strips, drawn)
    return {name.removeprefix("x to y/"): value for name, value in found.items() if name.startswith("x to y/")}


def test_a_copy_changes_nothing_and_a_negative_turns_light_to_dark():
    x = pictures(0)
    assert of(x)["change"] == 0 and of(x)["light"] == pytest.approx(1)
    assert of(-x)["light"] == pytest.approx(-1) and of(-x)["change"] > 0.5


def test_distances_are_shares_of_what_two_pictures_differ_by():
    x = pictures(0)
    assert of(x)["variety"] == pytest.approx(1)
    assert of(x[:1].expand_as(x))["variety"] == 0
    assert of(x + 0.1)["change"] == pytest.approx(0.1 / spread(x), rel=1e-4)
    assert of(x, raw=x + 0.1)["lag"] == pytest.approx(0.1 / spread(x), rel=1e-4)


def test_pale_and_grey_pictures_are_told_apart():
    x, y = pictures(0), pictures(1)
    pale, grey = of(0.3 * y, x, y), of(y.mean(1, keepdim=True).expand_as(y), x, y)
    assert pale["contrast"] == pytest.approx(0.3, rel=1e-3)
    assert grey["saturation"] == pytest.approx(0, abs=1e-6) and grey["contrast"] > 0.4


def test_partners_are_compared():
    x, y = pictures(0), pictures(1)
    strips = {"x to y": {"x": x, "G(x)": x, "y": y}}
    copied = strip_figures(strips)
    assert copied["x to y/gap"] == pytest.approx(1) and "x to y/same" not in copied
    assert strip_figures({"x to y": {"x": x, "G(x)": y, "y": y}})["x to y/gap"] == 0


def test_the_same_pictures_on_both_sides_are_seen():
    x = pictures(0)
    assert of(x, x, x.roll(1, 0))["same"] == 1 and of(x, x, pictures(1))["same"] == 0


def test_a_drawing_holds_less_than_a_photo():
    photo, drawing = torch.rand(4, 3, 32, 32) * 2 - 1, torch.ones(4, 3, 32, 32)
    drawing[:, :, 10:12] = -1
    assert of(photo, photo, drawing)["detail"] > 10


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_checkerboard_is_seen_at_its_period_and_above(period):
    y = pictures(1)
    board = torch.zeros(32, 32)
    board[::period, ::period] = 0.5
    found = of(y + board, pictures(0), y)
    for other in (2, 4, 8):
        assert (found[f"grid{other}"] > 0.3) == (other >= period), other


def test_where_it_changes():
    x = pictures(0)
    frame = x.clone()
    frame[:, :, :6] += 0.5
    assert of(frame)["rim"] > 100
    middle = x.clone()
    middle[:, :, 12:20, 12:20] += 0.5
    assert of(middle)["rim"] < 0.01


def test_samples_and_conditions():
    x, samples = pictures(0, 6), pictures(1, 10)
    found = strip_figures({"samples": {"G(z 1)": samples[:5], "G(z 2)": samples[5:]}, "held out": {"x": x}})
    assert 0.5 < found["samples/variety"] < 2 and 0.5 < found["samples/contrast"] < 2
    columns = {"horse": torch.cat([x[:1], samples[:5]]), "zebra": torch.cat([x[1:2], samples[:5]])}
    assert strip_figures({"real, and samples": columns})["real, and samples/condition"] == 0
    columns["zebra"] = torch.cat([x[1:2], samples[5:]])
    assert strip_figures({"real, and samples": columns})["real, and samples/condition"] > 0.3
    star = {"x": x, "G(x, horse)": x, "G(x, zebra)": -x}
    assert strip_figures({"x to c": star})["x to c/condition"] > 0.3


@given(
    count=st.integers(0, 3),
    channels=st.tuples(*[st.sampled_from([1, 2, 3, 5])] * 3),
    sides=st.tuples(*[st.sampled_from([1, 3, 8, 17, 32])] * 2),
    other=st.integers(0, 3),
    title=st.sampled_from(["x to y", "y to y", "samples", "real, and samples", "x to c", "again"]),
)
def test_strips_of_any_form_give_finite_figures_or_none(count, channels, sides, other, title):
    x, y, out = (torch.rand(count, c, *sides) for c in channels)
    strips = {
        title: {"x": x, "G(x)": out, "y": y, "G(x, a)": out},
        "held out": {"x": torch.rand(other, channels[0], 8, 8)},
        "more": {"y": torch.rand(other, channels[1], *sides), "G(z 1)": out, "G(z 2)": out},
    }
    figures = strip_figures(strips, strips)
    assert all(torch.tensor(list(figures.values())).isfinite())
