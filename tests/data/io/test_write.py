"""What is written is read back to the last digit, whatever the kind."""

from pathlib import Path

import numpy as np
import pytest

from quagga.data.io.pixel_format import KINDS, PixelFormat, fitting_channels
from quagga.data.io.read import read_header, read_native, read_picture
from quagga.data.io.write import save, suffix_for

SUFFIXES = (".png", ".PNG", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".TIFF", ".gif", ".avif", ".heic", ".npy", ".npz")


def noise(kind: str, channels: int, size: tuple[int, int] = (17, 13)) -> np.ndarray:
    draw = np.random.default_rng(channels)
    if kind == "float32":
        return draw.normal(0, 100, (*size, channels)).astype(kind)
    bounds = np.iinfo(kind)
    return draw.integers(bounds.min, bounds.max + 1, (*size, channels)).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_reading_gives_back_what_was_written(kind, channels, tmp_path):
    pixels = noise(kind, channels)
    for suffix in {suffix_for(suffix, PixelFormat(channels, kind)) for suffix in SUFFIXES}:
        if suffix.lower() in (".jpg", ".jpeg"):
            continue
        path = tmp_path / f"a{suffix}"
        save(path, pixels, suffix)
        native = read_native(path)
        found = fitting_channels(native, channels)
        assert found.dtype == kind and np.array_equal(found, pixels), suffix
        assert read_header(path)[:4] == (13, 17, native.pixels.shape[2], kind)  # WebP has no grey


def test_a_suffix_changes_only_where_it_cannot_hold_the_kind():
    suffixes = {suffix for suffix in SUFFIXES if suffix not in (".gif", ".avif", ".heic")}
    for pixel_format, fitting, otherwise in (
        (PixelFormat(3), suffixes, ".png"),
        (PixelFormat(1), suffixes, ".png"),
        (PixelFormat(3, "uint8", (0, 100)), suffixes, ".png"),
        (PixelFormat(4), {".png", ".PNG", ".tif", ".TIFF", ".npy", ".npz"}, ".png"),
        (PixelFormat(1, "uint16", (0, 4095)), {".png", ".PNG", ".tif", ".TIFF", ".npy", ".npz"}, ".png"),
        (PixelFormat(4, "uint16"), {".png", ".PNG", ".tif", ".TIFF", ".npy", ".npz"}, ".png"),
        (PixelFormat(2), {".tif", ".TIFF", ".npy", ".npz"}, ".tif"),
        (PixelFormat(1, "int16"), {".tif", ".TIFF", ".npy", ".npz"}, ".tif"),
        (PixelFormat(3, "float32"), {".tif", ".TIFF", ".npy", ".npz"}, ".tif"),
        (PixelFormat(12, "uint16"), {".tif", ".TIFF", ".npy", ".npz"}, ".tif"),
    ):
        for suffix in SUFFIXES:
            assert suffix_for(suffix, pixel_format) == (suffix if suffix in fitting else otherwise), (
                suffix,
                pixel_format,
            )


def test_a_jpeg_is_close_to_the_original(tmp_path):
    pixels = np.full((16, 16, 3), (200, 80, 40), np.uint8)
    save(tmp_path / "a.part", pixels, ".jpg")
    assert np.abs(read_picture(tmp_path / "a.part").astype(int) - pixels).max() <= 3


def test_large_pictures_are_compressed(tmp_path: Path):
    for suffix in (".tif", ".npz"):
        save(tmp_path / f"a{suffix}", np.zeros((200, 200, 12), np.float32), suffix)
        assert (tmp_path / f"a{suffix}").stat().st_size < 20_000


def test_an_array_whose_rows_would_be_taken_for_channels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="rows as channels"):
        save(tmp_path / "a.npy", noise("float32", 12, (4, 30)), ".npy")
    save(tmp_path / "a.tif", noise("float32", 12, (4, 30)), ".tif")
    assert read_native(tmp_path / "a.tif").pixels.shape == (4, 30, 12)
