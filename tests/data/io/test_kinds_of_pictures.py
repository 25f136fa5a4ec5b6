"""Pictures of any kind through the command line: trained on, translated, written back, looked at."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import quagga
from quagga.cli.main import command_line
from quagga.data.io.contact_sheet import CAPTION, GAP, LINE, MARGIN, strips_for_display
from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.read import read_fitted, read_native, read_picture

TINY = [
    *("--load_size=20", "--crop_size=16", "--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1"),
    *("--workers=0", "--device=cpu", "--images=2", "--log_every=2", "--sample_every=2"),
]
SIDE = 24


def smooth(seed: int, channels: int) -> np.ndarray:
    """(SIDE, SIDE, channels) in [0, 1], as soft as a photo."""
    coarse = np.random.default_rng(seed).random((5, 5, channels))
    planes = [cv2.resize(coarse[..., c], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for c in range(channels)]
    return np.clip(np.stack(planes, axis=-1), 0, 1)


def ct(path: Path, seed: int) -> None:
    """12 bits in 16, a few values above."""
    values = (smooth(seed, 1)[..., 0] * 4095).astype(np.uint16)
    values[0, :3] = 4096 + seed
    Image.fromarray(values).save(path)


def photo(path: Path, seed: int) -> None:
    Image.fromarray((smooth(seed, 3) * 255).astype(np.uint8)).save(path)


def satellite(path: Path, seed: int) -> None:
    tifffile.imwrite(path, (smooth(seed, 12) * 0.4).astype(np.float32), planarconfig="contig", photometric="minisblack")


def height(path: Path, seed: int) -> None:
    np.save(path, (smooth(seed, 1)[..., 0] * 3000 - 1000).astype(np.int16))


def coloured(path: Path, seed: int) -> None:
    Image.fromarray((smooth(seed, 4) * 255).astype(np.uint8)).save(path)


def deep_colour(path: Path, seed: int) -> None:
    cv2.imwrite(str(path), (smooth(seed, 3) * 65535).astype(np.uint16))


WRITERS = {
    "ct": (ct, ".png", 1, [0, 4095]),
    "photo": (photo, ".png", 3, None),
    "satellite": (satellite, ".tif", 12, [0, 0.4]),
    "height": (height, ".npy", 1, [-1000, 2000]),
    "coloured": (coloured, ".png", 4, None),
    "deep": (deep_colour, ".png", 3, None),
}
FORMS = {
    "ct": PixelFormat(1, "uint16", (0, 4095)),
    "photo": PixelFormat(3, "uint8", (0, 255)),
    "satellite": PixelFormat(12, "float32", (0, 0.4)),
    "height": PixelFormat(1, "int16", (-1000, 2000)),
    "coloured": PixelFormat(4, "uint8", (0, 255)),
    "deep": PixelFormat(3, "uint16", (0, 65535)),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("kinds")
    for name, (writer, suffix, _, _) in WRITERS.items():
        (top / name).mkdir()
        for seed in range(6):
            writer(top / name / f"{seed}{suffix}", seed)
    return top


def options(x: str, y: str) -> list[str]:
    words = []
    for side, name in (("x", x), ("y", y)):
        _, _, channels, value_range = WRITERS[name]
        words.append(f"--{side}_channels={channels}")
        words += [f"--{side}_value_range={json.dumps(value_range)}"] if value_range else []
    return words


PAIRS = [("ct", "photo"), ("satellite", "height"), ("deep", "coloured")]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_any_two_kinds_are_trained_on_and_translated_into_one_another(pair, home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    run = home / "runs" / "-".join(pair)
    words = [f"--x={pair[0]}", f"--y={pair[1]}", *options(*pair), f"--output={run}"]
    assert command_line(["train", "cyclegan", *TINY, *words]) == 0
    said = capsys.readouterr().out
    card = json.loads((run / "model/model.json").read_text())
    for side, name in zip("xy", pair, strict=True):
        pixel_format = FORMS[name]
        assert card["domains"][side] == {
            "name": name,
            "channels": pixel_format.channels,
            "value_range": list(pixel_format.value_range),
            "kind": pixel_format.kind,
        }
        assert (f"{name}: " in said.replace(f"{name}: no test", "")) == (not pixel_format.eight_bits)
    if pair[0] == "ct":  # 3 pictures to train on, of each 3 values are too high
        assert f"ct: 9 of {3 * SIDE**2:,} values (0.52 %) lie outside 0..4095 and are clipped" in said
    for to, source, target in zip("yx", pair, reversed(pair), strict=True):
        out = home / f"{run.name} to {target}"
        assert command_line(["translate", str(run), source, "--to", to, "--output", str(out), "--comparison"]) == 0
        translator = quagga.load(run, to=to, device="cpu")
        assert (translator.input_format, translator.output_format) == (FORMS[source], FORMS[target])
        for path in Path(source).iterdir():
            found = read_native(out / path.name).pixels
            assert found.shape == (SIDE, SIDE, FORMS[target].channels) and found.dtype == FORMS[target].kind
            assert np.array_equal(found, translator.translate(read_fitted(path, FORMS[source])))
            low, high = FORMS[target].value_range
            assert found.min() >= low and found.max() <= high and len(np.unique(found)) > 20
        assert read_picture(out / "comparison.png").std() > 20
    assert ("were clipped" in capsys.readouterr().out) == (pair[0] == "ct")
    for path in (run / "samples").glob("*.png"):  # pictures of 128 pixels below captions of so many further lines:
        # G(x), that it is stretched, and which channels are shown
        rest = (read_picture(path).shape[0] - 2 * MARGIN - CAPTION + GAP) % (128 + GAP)
        assert rest == LINE * (3 if "satellite" in pair else 2)
    assert command_line(["data", "preview", *words[:-1], *TINY[:2], f"--output={run}.png"]) == 0
    assert (home / "runs" / f"{run.name}.png").is_file() and list((run / "samples").glob("*.png"))


def test_columns_are_stretched_where_their_side_is_not_of_8_bits():
    """F(G(x)) is of X, as F translates to it."""
    output_sides, pixel_formats = {"G": "y", "F": "x"}, {"x": FORMS["ct"], "y": FORMS["photo"]}
    strips = {"there": ("x", "G(x)", "F(G(x))"), "back": ("y", "F(y)", "G(F(y))")}
    empty = {name: dict.fromkeys(columns, torch.zeros(1, 1, 4, 4)) for name, columns in strips.items()}
    shown = strips_for_display(empty, output_sides, pixel_formats, {"x": "head", "y": "photo"})
    stretched = {caption.split("\n")[1] for columns in shown.values() for caption in columns if "percentile" in caption}
    assert stretched == {"x", "F(G(x))", "F(y)"}
    assert {name: [caption.split("\n")[1] for caption in columns] for name, columns in shown.items()} == {
        name: list(columns) for name, columns in strips.items()
    }


def test_a_preview_of_the_data_stretches_them_too(home, monkeypatch):
    monkeypatch.chdir(home)
    captions = []
    monkeypatch.setattr(
        "quagga.data.io.contact_sheet.contact_sheet", lambda columns, path, software: captions.extend(columns)
    )
    words = ["--x=ct", "--y=photo", *options("ct", "photo"), *TINY[:2]]
    assert command_line(["data", "preview", *words]) == 0
    assert captions == ["x: ct\n1st to 99th percentile", "y: photo"]
