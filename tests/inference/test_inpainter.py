"""Filled pictures: what is known comes back to the bit, at any size and depth, and what is missing changes nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import quagga
from quagga.cli.main import command_line
from quagga.data.io.read import read_native
from quagga.errors import BadInput
from quagga.inference.inpainter import Inpainter, resized_known


def pixels(height: int, width: int, channels: int = 3, dtype: type[np.integer] = np.uint8, seed: int = 0) -> np.ndarray:
    """Nowhere black or white."""
    most = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(most // 8, most - most // 8, (height, width, channels)).astype(dtype)


def some_holes(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + 50).random((height, width)) < 0.4


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("filling")
    (place / "pictures").mkdir()
    for number in range(8):
        Image.fromarray(pixels(16, 16, seed=number)).save(place / "pictures" / f"{number}.png")
    line = ["train", "inpainting", "--root", str(place / "pictures"), "--output", str(place / "run"), "--width=4"]
    line += ["--images=8", "--batch_size=4", "--workers=0", "--loss_features=none", "--device=cpu"]
    assert command_line(line) == 0
    return place / "run"


@pytest.fixture(scope="module")
def inpainter(run) -> Inpainter:
    found = quagga.load(run, device="cpu", verify=True)
    assert isinstance(found, Inpainter)
    return found


def translate(run: Path | str, *words: object) -> int:
    return command_line(["translate", str(run), *map(str, words), "--device=cpu"])


@pytest.mark.parametrize(("height", "width"), [(16, 16), (1, 2), (9, 40), (50, 33)])
@pytest.mark.parametrize("resolution", ["model", "full"])
def test_any_size_comes_back_with_its_known_pixels_and_nothing_of_the_missing_ones(run, height, width, resolution):
    fill = quagga.load(run, device="cpu", resolution=resolution)
    x, holes = pixels(height, width), some_holes(height, width)
    holes[0, 0], holes[-1, -1] = True, False
    filled = fill(x, holes)
    assert filled.shape == x.shape and filled.dtype == x.dtype and (filled[~holes] == x[~holes]).all()
    other = np.where(holes[..., None], 255 - x, x).astype(np.uint8)
    assert (fill(other, holes) == filled).all()


def test_pil_images_and_grey_arrays_are_filled_too(inpainter):
    x, holes = pixels(20, 12), some_holes(20, 12)
    image = inpainter(Image.fromarray(x), Image.fromarray(holes))
    assert image.mode == "RGB" and (np.asarray(image) == inpainter(x, holes)).all()
    grey = inpainter(x[..., 0], holes)
    assert grey.shape == (20, 12) and (grey[~holes] == x[..., 0][~holes]).all()


def test_shrinking_takes_the_mean_of_what_is_known():
    x, m = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    x[..., :2, :2] = torch.tensor([[0.5, 0.1], [0.3, torch.nan]])
    m[..., 1, 1] = 0
    m[..., 2:, 2:] = 0
    small, known = resized_known(x, m, (2, 2))
    torch.testing.assert_close(small, torch.tensor([[[[0.3, 0.0], [0.0, 0.0]]]]))
    assert known.flatten().tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("kind", ["rgb8", "rgb16", "grey8", "grey16", "rgba8", "jpeg", "tiff16"])
def test_files_keep_their_depth_and_every_known_pixel(run, tmp_path, kind, capsys):
    dtype = np.uint16 if "16" in kind else np.uint8
    channels = {"grey": 1, "rgba": 4}.get(kind[:4], 3)
    x, holes = pixels(24, 30, channels, dtype), some_holes(24, 30)
    suffix = {"jpeg": ".jpg", "tiff16": ".tiff"}.get(kind, ".png")
    (tmp_path / "in").mkdir()
    (tmp_path / "masks").mkdir()
    source = tmp_path / "in" / f"one{suffix}"
    ordered = np.ascontiguousarray(x[..., [2, 1, 0, 3][:channels]] if channels > 1 else x)
    assert cv2.imwrite(str(source), ordered)
    Image.fromarray(np.uint8(255) * holes).save(tmp_path / "masks" / "one.png")
    assert translate(run, tmp_path / "in", "--mask", tmp_path / "masks", "--output", tmp_path / "out") == 0
    assert "1 picture filled" in capsys.readouterr().out
    before = read_native(source)
    after = read_native(tmp_path / "out" / ("one.png" if kind == "jpeg" else source.name))
    assert after.pixels.dtype == before.pixels.dtype == dtype and after.pixels.shape == before.pixels.shape
    assert (after.pixels[~holes] == before.pixels[~holes]).all()
    assert (after.pixels[holes] != before.pixels[holes]).any()
    if channels == 4:
        assert (after.pixels[holes][:, 3] == 255).all()


def test_white_and_transparent_pixels_are_missing(run, tmp_path):
    x, holes = pixels(20, 20), some_holes(20, 20)
    white, clear = x.copy(), np.dstack([x, np.where(holes, 0, 255).astype(np.uint8)])
    white[holes] = 255
    Image.fromarray(white).save(tmp_path / "white.png")
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert translate(run, tmp_path / "white.png", "--mask", "white", "--output", tmp_path / "out") == 0
    assert translate(run, tmp_path / "clear.png", "--mask=alpha", "--output", tmp_path / "out") == 0
    filled, cleared = (np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in ("white", "clear"))
    assert (filled == cleared).all() and cleared.shape == (20, 20, 3)  # what stood there changes nothing
    assert (filled[~holes] == x[~holes]).all()


def test_masks_are_found_by_name_in_folders_too_and_others_are_kept(run, tmp_path, capsys):
    for folder, suffix in (("in", "png"), ("masks", "bmp")):
        for name in ("a", "deep/a"):
            path = tmp_path / folder / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            holes = np.zeros((16, 16), np.uint8)
            holes[(0 if name == "a" else 8) :][:4] = 255
            Image.fromarray(pixels(16, 16) if folder == "in" else holes).save(path)
    words = tmp_path / "in", "--mask", tmp_path / "masks", "--output", tmp_path / "out"
    assert translate(run, *words) == 0
    changed = [
        (np.asarray(Image.open(tmp_path / "out" / f"{n}.png")) != pixels(16, 16)).any((1, 2)) for n in ("a", "deep/a")
    ]
    assert changed[0][:4].any() and not changed[0][4:].any() and changed[1][8:12].any() and not changed[1][:8].any()
    assert translate(run, *words) == 2 and "outputs exist" in capsys.readouterr().err
    assert translate(run, *words, "--existing=skip") == 0
    assert "2 of 2 pictures exist" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("plain.png", [], "say what is missing in the pictures: --mask DIR"),
        ("plain.png", ["--mask=white"], "no pixel of it is pure white"),
        ("plain.png", ["--mask=alpha"], "it has no opacity"),
        ("plain.png", ["--mask=nowhere"], "there is no folder nowhere"),
        ("plain.png", ["--mask=in"], "all of it is missing"),
        ("plain.png", ["--mask=black"], "nothing is missing in it"),
        ("plain.png", ["--mask=small"], "its mask has 8x8 pixels, the picture 16x16"),
        ("plain.png", ["--mask=others"], "1 of 1 pictures have no mask in others (plain.png)"),
        ("plain.png", ["--mask=twice"], "plain.png has several masks"),
        ("plain.png", ["--mask=white", "--label=blond"], "leave out --label"),
        ("plain.png", ["--mask=white", "--comparison"], "leave out --comparison"),
    ],
)
def test_what_cannot_be_filled_is_one_line(run, tmp_path, monkeypatch, capsys, name, words, said):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pixels(16, 16)).save(name)
    for folder, file, size, level in (
        ("in", "plain.png", 16, 255),
        ("black", "plain.png", 16, 0),
        ("small", "plain.png", 8, 255),
        ("others", "other.png", 16, 255),
        ("twice", "plain.png", 16, 255),
        ("twice", "plain.bmp", 16, 255),
    ):
        Path(folder).mkdir(exist_ok=True)
        Image.fromarray(np.full((size, size), level, np.uint8)).save(Path(folder, file))
    assert translate(run, name, *words, "--output=out") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if said in line]
    assert len(lines) == 1 and not list(Path().glob("out/*.png"))


def test_a_model_that_translates_takes_no_mask(tmp_path, capsys):
    assert translate("box:horse2zebra", tmp_path, "--mask=white", "--output", tmp_path / "out") == 2
    Image.fromarray(pixels(16, 16)).save(tmp_path / "one.png")
    assert translate("box:horse2zebra", tmp_path, "--mask=white", "--output", tmp_path / "out") == 2
    assert "fills nothing in: leave out --mask" in capsys.readouterr().err


def test_what_is_no_picture_and_a_wrong_resolution_are_refused(run, inpainter):
    with pytest.raises(BadInput, match="a picture is a PIL image or a numpy array, not str"):
        inpainter("one.png", np.zeros((2, 2)))
    with pytest.raises(BadInput, match="what is missing is a PIL image or a numpy array, not Tensor"):
        inpainter(pixels(2, 2), torch.zeros(2, 2))
    with pytest.raises(BadInput, match="resolution is 0"):
        quagga.load(run, device="cpu", resolution=0)
    with pytest.raises(BadInput, match="leave out to"):
        quagga.load(run, to="zebras", device="cpu")
