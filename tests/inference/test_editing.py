"""The laws of edits: what is drawn is obeyed, what is not drawn on stays, and a photo keeps its own detail."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_latent_faces import coder, conditional, sample, sampler_of
from test_sampler import pictures_in, refused
from torch import Tensor
from torch.nn.functional import normalize

from quagga.fields import noise
from quagga.inference.editing import Drawing, carry_back, edges, edit, way

SIDE = 16


def quarters(z: Tensor) -> Tensor:
    """(N, 4) -> (N, 3, 16, 16): each number is the grey of a quarter."""
    tiles = torch.tanh(z).view(-1, 1, 2, 2).repeat_interleave(SIDE // 2, 2).repeat_interleave(SIDE // 2, 3)
    return tiles.expand(-1, 3, -1, -1)


def edge_at(z: Tensor) -> Tensor:
    """(N, 1) -> (N, 1, 32, 32): dark on the left of column 16 + 8 z, light on the right of it."""
    columns = torch.arange(32.0) - (16 + 8 * z)
    return torch.tanh(columns / 3)[:, None, None, :].expand(-1, 1, 32, -1)


def stroke(value: float) -> Drawing:
    """A stroke on the upper left quarter."""
    opacity = torch.zeros(1, SIDE, SIDE)
    opacity[:, 2:5, 2:5] = 1
    return Drawing(torch.full((3, SIDE, SIDE), value), opacity)


# -- the objective ----------------------------------------------------------------------------------------------------


def test_a_colour_is_reached_where_it_is_painted_and_only_there():
    z_0 = torch.tensor([0.3, -0.2, 0.5, -0.6])
    z = edit(quarters, z_0, stroke(0.7), smoothness=0, keep=0)
    assert float(torch.tanh(z[0])) == pytest.approx(0.7, abs=0.01)
    torch.testing.assert_close(z[1:], z_0[1:])


def test_the_smoother_the_nearer_to_the_beginning():
    z_0 = torch.zeros(4)
    moved = [float(edit(quarters, z_0, stroke(0.7), smoothness=weight, keep=0)[0]) for weight in (0, 1, 10, 1000)]
    assert moved == sorted(moved, reverse=True) and moved[-1] < 0.01 < moved[0] / 10


def test_what_is_not_drawn_on_stays_where_it_can():
    """One number moves all the picture, another one a quarter: strokes on the quarter need the second alone."""

    def entangled(z: Tensor) -> Tensor:
        own = torch.zeros(4)
        own[0] = 1.0
        return quarters(z[:, :1] + z[:, 1:] * own)

    free, kept = (edit(entangled, torch.zeros(2), stroke(0.7), smoothness=0, keep=weight) for weight in (0, 0.2))
    assert float(free[0]) > 0.3 > 0.05 > abs(float(kept[0]))
    assert float(torch.tanh(kept.sum())) > 0.6  # and the stroke is obeyed


def test_half_an_opacity_is_half_a_wish():
    """Of two strokes over one region, the more opaque one wins: the mean, weighted by both."""
    drawing = Drawing(torch.full((3, SIDE, SIDE), 0.6), torch.zeros(1, SIDE, SIDE))
    assert drawing.colour is not None and drawing.opacity is not None
    drawing.opacity[:, :4, :4], drawing.opacity[:, 4:8, :4] = 1.0, 0.5
    drawing.colour[:, 4:8, :4] = -0.6
    z = edit(quarters, torch.zeros(4), drawing, smoothness=0, keep=0)
    assert float(torch.tanh(z[0])) == pytest.approx((0.6 - 0.5 * 0.6) / 1.5, abs=0.01)


def test_an_edge_comes_to_the_line():
    lines = torch.zeros(1, 32, 32)
    lines[:, :, 20] = 1
    z_0 = torch.tensor([0.0])
    z = edit(edge_at, z_0, Drawing(lines=lines), smoothness=0, keep=0)
    assert abs(16 + 8 * float(z) - 20) < 1.5
    flat = edit(edge_at, z_0, Drawing(lines=lines.mT.contiguous()), smoothness=0, keep=0)
    assert abs(float(flat)) < abs(float(z))  # no edge of that direction can be made


def test_every_step_is_told():
    told = []
    z_0 = torch.zeros(4)
    z = edit(quarters, z_0, stroke(0.7), steps=7, progress=lambda step, z, x: told.append((step, z.clone(), x)))
    assert [step for step, _, _ in told] == list(range(1, 8))
    torch.testing.assert_close(told[0][2], quarters(z_0[None])[0])
    assert torch.equal(told[-1][1], z)


def test_what_is_no_drawing_is_refused():
    z = torch.zeros(4)
    for nothing in (
        Drawing(),
        Drawing(lines=torch.zeros(1, SIDE, SIDE)),
        stroke(0.5)._replace(opacity=torch.zeros(1, SIDE, SIDE)),
    ):
        assert "nothing is drawn" in refused(edit, quarters, z, nothing)
    assert "make it (1, 16, 16)" in refused(edit, quarters, z, Drawing(lines=torch.ones(1, 8, 8)))


def test_edges_have_a_direction_and_no_sign_and_hardly_a_contrast():
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    found = edges(x)
    torch.testing.assert_close(edges(-x), found)
    torch.testing.assert_close(normalize(edges(0.5 * x)), normalize(found))
    quarter_turn = edges(x.mT)  # which mirrors directions at the diagonal: k -> 4 - k of 8
    torch.testing.assert_close(quarter_turn.mT, found[:, [(4 - k) % 8 for k in range(8)]], atol=1e-5, rtol=1e-4)
    assert float(edges(torch.full((1, 3, 32, 32), 0.3)).norm(dim=1).max()) < 0.01
    strong = edges(edge_at(torch.zeros(1, 1)))[0, :, 15, 15]
    assert int(strong.argmax()) == 0 and float(strong.norm()) > 0.9


# -- the way, and back to the photo -----------------------------------------------------------------------------------


def test_the_way_is_straight():
    z_0, z_1 = torch.zeros(4), torch.tensor([1.0, -1.0, 0.0, 2.0])
    frames = way(quarters, z_0, z_1, 5)
    torch.testing.assert_close(frames, quarters(torch.stack([z_1 * share for share in (0, 0.25, 0.5, 0.75, 1)])))


def scenery(height: int, width: int) -> Tensor:
    """(3, H, W): a blurred disc on a slope of colours."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    disc = torch.exp(-4 * (x.square() + y.square()))
    return torch.stack([disc - 0.5, 0.5 * x - 0.2 * disc, 0.4 * y])


def test_what_does_not_change_stays():
    photo = scenery(70, 70) * 0.8 + 0.1 * torch.rand(3, 70, 70)
    torch.testing.assert_close(carry_back(photo, scenery(32, 32).expand(3, -1, -1, -1)), photo, atol=1e-4, rtol=0)


def test_a_change_of_colour_keeps_the_photos_detail():
    small, photo = scenery(32, 32) * 0.6, scenery(96, 96) * 0.6
    detail = 0.05 * torch.sin(torch.arange(96.0))[None, None] * torch.ones(3, 96, 1)
    shift = torch.tensor([0.2, -0.1, 0.05])[:, None, None]
    result = carry_back(photo + detail, torch.stack([small + share * shift for share in (0, 0.5, 1)]))
    torch.testing.assert_close(result, photo + detail + shift, atol=0.02, rtol=0)


def test_what_moves_takes_its_detail_along():
    """A disc goes 6 of 64 pixels to the right: in a photo of twice the size, with a dot on the disc, 12."""

    def disc(side: int, at: float) -> Tensor:
        y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
        inside = torch.sigmoid((0.22 - ((x - at).square() + (y - 0.5).square()).sqrt()) * 40)
        texture = 0.3 * torch.sin(25 * (x - at)) * torch.sin(25 * (y - 0.5)) * inside
        return (1.2 * inside - 0.6 + texture).expand(3, -1, -1)

    frames = torch.stack([disc(64, 0.45 + 6 / 64 * share) for share in torch.linspace(0, 1, 7).tolist()])
    photo = disc(128, 0.45).clone()
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    dot = torch.exp(-((x - 57.6).square() + (y - 64).square()) / 8)
    result = carry_back(photo + 0.4 * dot, frames) - carry_back(photo, frames)
    weight = result.mean(0).clamp(min=0)
    assert float((weight * x).sum() / weight.sum()) == pytest.approx(57.6 + 12, abs=2)
    assert float((weight * y).sum() / weight.sum()) == pytest.approx(64, abs=1)


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return coder(tmp_path / "run", noise("z", 5))


def paint(path: Path, width: int, height: int, opaque: bool = False) -> Path:
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[height // 3 : height // 2, width // 3 : width // 2] = (255, 255, 255, 255)
    if opaque:
        pixels[..., 3] = 255
    Image.fromarray(pixels).save(path)
    return path


def test_a_photo_of_any_size_keeps_what_the_model_does_not_see(run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    strokes, lines = paint(tmp_path / "strokes.png", 30, 20), paint(tmp_path / "lines.png", 60, 40)
    out = tmp_path / "out"
    words = [f"--from={tmp_path / 'photo.png'}", f"--colour={strokes}", f"--sketch={lines}", "--steps=30", "--frames=3"]
    assert sample(run, f"--output={out}", *words) == 0
    assert pictures_in(out) == ["edit.gif", "edit.png", "edited.png"]
    edited = np.asarray(Image.open(out / "edited.png"))
    assert edited.shape == (20, 30)
    assert np.array_equal(edited[:, :5], pixels[:, :5]) and np.array_equal(edited[:, 25:], pixels[:, 25:])
    assert not np.array_equal(edited[:, 5:25], pixels[:, 5:25])
    assert getattr(Image.open(out / "edit.gif"), "n_frames", 0) == 4 + 2
    assert "--existing skip" in refused(sample, run, f"--output={out}", *words)
    before = (out / "edited.png").read_bytes()
    (out / "edit.gif").unlink()
    assert sample(run, f"--output={out}", *words, "--existing=skip") == 0
    assert (out / "edited.png").read_bytes() == before and (out / "edit.gif").exists()


@pytest.mark.parametrize("kind", ["vae", "conditional"])
def test_an_edit_of_a_seed_comes_nearer_to_its_strokes(kind, tmp_path, capsys):
    run = coder(tmp_path / "run", noise("z", 5)) if kind == "vae" else conditional(tmp_path / "run", "class")
    strokes, out = paint(tmp_path / "strokes.png", 8, 8), tmp_path / "out"
    label = ["--label=zebra"] if kind == "conditional" else []
    sampler = sampler_of(run)
    before = np.asarray(sampler.picture("zebra" if label else None, seed=5))
    for weight, nearer in (("0", True), ("1e6", False)):
        words = [
            f"--output={out / weight}",
            "--edit=5",
            f"--colour={strokes}",
            f"--smoothness={weight}",
            "--keep=0",
            "--film=none",
        ]
        assert sample(run, *words, *label) == 0
        after = np.asarray(Image.open(out / weight / "edited.png")).astype(int)
        assert (after[2:4, 2:4].mean() > before[2:4, 2:4].mean() + 5) == nearer
        assert nearer or np.abs(after - before).max() <= 1


def test_drawings_that_do_not_fit_are_refused(run, tmp_path):
    strokes, wide = paint(tmp_path / "strokes.png", 8, 8), paint(tmp_path / "wide.png", 16, 8)
    opaque, empty = paint(tmp_path / "opaque.png", 8, 8, opaque=True), tmp_path / "empty.png"
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(empty)
    out = [f"--output={tmp_path / 'out'}", "--edit=5"]
    for words, said in (
        ([f"--colour={wide}"], "make it the same shape"),
        ([f"--colour={opaque}"], "paint strokes on a transparent picture"),
        ([f"--colour={empty}"], "draw something on it"),
        ([f"--sketch={empty}"], "draw something on it"),
        ([], "an edit needs something drawn"),
        ([f"--colour={strokes}", "--smoothness=-1"], "smoothness is -1"),
        ([f"--colour={strokes}", "--keep=-1"], "keep is -1"),
        ([f"--colour={strokes}", "--count=3"], "--count has no effect on --edit"),
    ):
        assert said in refused(sample, run, *out, *words)
    assert "--colour is for --edit" in refused(sample, run, "--output=x", f"--colour={strokes}")
    assert "one at a time" in refused(sample, run, "--output=x", "--edit=5,6", f"--colour={strokes}")
    assert not (tmp_path / "out").exists()
