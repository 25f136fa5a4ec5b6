"""A photo is read in the colours that its profile means, by numbers; and what is made of it says so."""

import struct
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from torch import nn

import quagga
from quagga.cli.translate import main
from quagga.data.io.color_profile import srgb_profile
from quagga.data.io.read import read_header, read_native, read_picture, to_channels
from quagga.data.transforms.label_maps import read_label_values
from quagga.data.transforms.side_by_side import CUTS
from quagga.fields import picture
from quagga.inference.model_files.model_saving import save_model
from quagga.models.description.export import Export

# Linear RGB -> XYZ under D50, as the profiles of Apple (Display P3) and HP (sRGB IEC61966-2.1) state them.
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
WHITE = (0.9642, 1.0, 0.8249)
rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


CURVE = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
GAMMA = b"curv" + bytes(4) + struct.pack(">IH", 1, round(1.8 * 256))  # 1.8, as Macs once had


def profile(space: str = "RGB ", matrix: np.ndarray = P3, curve: bytes = CURVE, name: str = "Display P3") -> bytes:
    """A profile of matrix and curves, or of a grey's curve, by the ICC's specification."""
    words = name.encode("utf-16-be")
    text = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(words), 28) + words
    tags = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ " + bytes(4) + fixed(*WHITE)}
    if space == "GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {f"{c}XYZ".encode(): b"XYZ " + bytes(4) + fixed(*matrix[:, n]) for n, c in enumerate("rgb")}
        tags |= {f"{c}TRC".encode(): curve for c in "rgb"}
    return assembled(tags, b"mntr", space.encode(), b"XYZ ")


def assembled(tags: dict[bytes, bytes], kind: bytes, space: bytes, between: bytes) -> bytes:
    """The file of a profile: a header, a table of contents, the tags."""
    table, body, begin = b"", b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + struct.pack(">II", begin + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4xI", begin + len(body), 0x04300000) + kind + space + between
    head += struct.pack(">6H", 2022, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(*WHITE)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def inks(paper: np.ndarray, full: np.ndarray) -> bytes:
    """A profile of CMYK: a table of Lab at every corner, which are between the paper and full ink as they hold it."""
    corners = np.stack(np.meshgrid(*[(0, 1)] * 4, indexing="ij"), axis=-1).reshape(16, 4).mean(1)
    lab = (lab_of(paper) + (lab_of(full) - lab_of(paper)) * corners[:, None]) * (2.55, 1, 1) + (0, 128, 128)
    straight = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += 4 * straight + np.rint(lab).astype(np.uint8).tobytes() + 3 * straight
    text = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", 8, 28) + "inks".encode("utf-16-be")
    tags = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ " + bytes(4) + fixed(*WHITE), b"A2B0": table, b"A2B1": table}
    return assembled(tags, b"prtr", b"CMYK", b"Lab ")


def lab_of(levels: np.ndarray) -> np.ndarray:
    """sRGB, (3,) in 0..255 -> CIELAB under D50."""
    f = np.cbrt(SRGB @ linear(levels.astype(float)) / WHITE)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def linear(levels: np.ndarray) -> np.ndarray:
    v = levels / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def levels(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def as_srgb(pixels: np.ndarray) -> np.ndarray:
    """Display P3 -> sRGB, (..., 3) in 0..255: both have sRGB's curve, between them lies a matrix."""
    return levels(linear(pixels.astype(float)) @ (np.linalg.inv(SRGB) @ P3).T)


def off(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.astype(float) - expected).max())


FORMATS = {
    "photo.png": ({}, 1.1),
    "photo.tif": ({}, 1.1),
    "photo.webp": ({"lossless": True}, 1.1),
    "photo.jpg": ({"quality": 95, "subsampling": 0}, 4),
    "photo.avif": ({"quality": 100, "subsampling": "4:4:4"}, 6),
    "photo.heic": ({"quality": 100, "chroma": 444}, 6),
}
FLAT = np.full((16, 16, 3), (60, 160, 90), np.uint8)


@pytest.mark.parametrize("name", FORMATS)
def test_a_display_p3_photo_is_read_as_the_srgb_that_it_is(name, tmp_path):
    options, tolerance = FORMATS[name]
    if name.endswith("heic"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    pixels = PIXELS if tolerance < 2 else FLAT
    Image.fromarray(pixels).save(tmp_path / name, icc_profile=profile(), **options)
    assert off(as_srgb(pixels), pixels) > 20  # there is something to convert
    found = read_picture(tmp_path / name)
    assert off(found, as_srgb(pixels)) <= tolerance
    with Image.open(tmp_path / name) as image:
        assert np.array_equal(to_channels(image, 3), found)
    assert read_header(tmp_path / name)[:3] == (16, 16, 3)


def test_opacity_and_palettes_stay_as_they_are(tmp_path):
    alpha = rng.integers(0, 256, (16, 16, 1), dtype=np.uint8)
    Image.fromarray(np.dstack([PIXELS, alpha])).save(tmp_path / "a.png", icc_profile=profile())
    native = read_native(tmp_path / "a.png")
    assert native.alpha and np.array_equal(native.pixels[..., 3:], alpha)
    assert off(native.pixels[..., :3], as_srgb(PIXELS)) <= 1.1
    indexed = Image.fromarray(PIXELS).quantize(16)
    indexed.save(tmp_path / "p.png", icc_profile=profile())
    assert off(read_picture(tmp_path / "p.png"), as_srgb(np.asarray(indexed.convert("RGB")))) <= 1.1


def test_grey_is_brought_to_the_curve_of_srgb(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png", icc_profile=profile("GRAY", curve=GAMMA))
    native = read_native(tmp_path / "a.png")
    assert native.pixels.shape == (16, 16, 1)
    assert off(native.pixels[..., 0], levels((GREY / 255) ** 1.8)) <= 2
    Image.fromarray(np.dstack([GREY, GREY])).save(tmp_path / "b.png", icc_profile=profile("GRAY", curve=GAMMA))
    assert np.array_equal(read_native(tmp_path / "b.png").pixels, np.dstack([native.pixels, GREY]))


@pytest.mark.parametrize("name", ["print.tif", "print.jpg"])
def test_cmyk_is_converted_by_its_profile(name, tmp_path):
    paper, full = np.array([255, 255, 255]), np.array([40, 60, 50])
    how: dict[str, Any] = {"quality": 95} if name.endswith("jpg") else {}
    for cover, expected in ((0, paper), (255, full)):
        image = Image.new("CMYK", (16, 16), (cover,) * 4)
        image.save(tmp_path / name, icc_profile=inks(paper, full), **how)
        assert off(read_picture(tmp_path / name), expected) <= 4
    Image.new("CMYK", (16, 16), (0, 255, 0, 255)).save(tmp_path / name, icc_profile=inks(paper, full))
    half = read_picture(tmp_path / name)[0, 0].astype(int)
    Image.new("CMYK", (16, 16), (0, 255, 0, 255)).save(tmp_path / name)
    assert 40 < half[0] < 200 and off(half, read_picture(tmp_path / name)[0, 0]) > 40  # without one, black is black


def test_a_damaged_or_foreign_profile_is_ignored(tmp_path):
    """Profiles of sRGB by whatever name, of other kinds of colours, and damaged ones leave every number as it is."""
    whole = profile()
    broken = [b"junk", whole[:140], whole[:-300], whole[:300] + b"\xff" * 200, whole.replace(b"rXYZ", b"none")]
    same = [srgb_profile(), profile(matrix=SRGB, name="c2"), profile("GRAY", curve=GAMMA), *broken]
    many = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    with warnings.catch_warnings(action="ignore"):
        for icc in same:
            Image.fromarray(many).save(tmp_path / "a.png", icc_profile=icc)
            assert np.array_equal(read_picture(tmp_path / "a.png"), many)
    Image.fromarray(GREY).save(tmp_path / "g.png", icc_profile=whole)
    assert np.array_equal(read_native(tmp_path / "g.png").pixels[..., 0], GREY)
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "d.tif", icc_profile=profile("GRAY", curve=GAMMA))
    assert np.array_equal(read_native(tmp_path / "d.tif").pixels[..., 0], GREY.astype(np.uint16) * 257)


def test_label_maps_are_not_converted(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "map.png", icc_profile=profile())
    assert np.array_equal(read_label_values(tmp_path / "map.png", CUTS[None]), PIXELS)


def test_a_picture_without_a_profile_is_not_converted(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    monkeypatch.setattr(ImageCms, "buildTransform", None)
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", None)
    assert np.array_equal(read_picture(tmp_path / "a.png"), PIXELS)


def test_a_conversion_is_built_once_for_each_profile(tmp_path, monkeypatch):
    build, built = ImageCms.buildTransform, []
    monkeypatch.setattr(ImageCms, "buildTransform", lambda *words: built.append(1) or build(*words))
    for number in range(4):
        Image.fromarray(PIXELS).save(tmp_path / f"{number}.png", icc_profile=profile(name="seen by this test alone"))
        read_picture(tmp_path / f"{number}.png")
    assert len(built) == 1


# Through `quagga translate`, with a network that changes nothing


class Nothing(nn.Module):
    """A generator that gives back its picture."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(nn.init.ones_(nn.Conv2d(1, 1, 1, bias=False).weight))

    def forward(self, x):
        return x * self.weight


def unchanging():
    return SimpleNamespace(exports={"G": Export(Nothing(), (picture("x"),), picture("y"))})


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_model(
        folder / "model",
        pipeline="unchanging",
        options={},
        exports=unchanging().exports,
        domains={side: {"name": side, "channels": 3} for side in "xy"},
        preprocessing={},
        images_seen=0,
    )
    return folder


def translated(run: Path, photo: Path, out: Path) -> Path:
    assert main([str(run), str(photo), "--output", str(out), "--device", "cpu"], unchanging) == 0
    return out / photo.name


@pytest.mark.parametrize("name", [name for name in FORMATS if name[-4:] not in ("avif", "heic")])
def test_a_display_p3_photo_comes_out_right(run, name, tmp_path):
    options, tolerance = FORMATS[name]
    pixels = PIXELS if tolerance < 2 else FLAT
    Image.fromarray(pixels).save(tmp_path / name, icc_profile=profile(), **options)
    with Image.open(translated(run, tmp_path / name, tmp_path / "out")) as output:
        assert off(np.asarray(output.convert("RGB")), as_srgb(pixels)) <= tolerance + 2
        assert output.info["icc_profile"] == srgb_profile()
    with Image.open(tmp_path / name) as photo:
        shown = quagga.load(run, build=unchanging)(photo)
    assert off(np.asarray(shown), as_srgb(pixels)) <= tolerance
    assert shown.info["icc_profile"] == srgb_profile()


def test_a_picture_without_a_profile_gets_none(run, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    with Image.open(translated(run, tmp_path / "a.png", tmp_path / "out")) as output:
        assert "icc_profile" not in output.info and "exif" not in output.info
        assert np.array_equal(np.asarray(output), PIXELS)


def test_exif_is_copied_and_the_picture_is_upright(run, tmp_path):
    exif = Image.Exif()
    exif.update({271: "Camera", 274: 6})
    exif.get_ifd(34665).update({36867: "2024:05:06 07:08:09", 40962: 4000, 40963: 3000, 40961: 65535})
    Image.fromarray(PIXELS[:10]).save(tmp_path / "a.jpg", exif=exif, icc_profile=profile())
    with Image.open(tmp_path / "a.jpg") as photo:
        shown = quagga.load(run, build=unchanging)(photo)
    shown.save(tmp_path / "b.jpg", exif=shown.info["exif"])
    for path in (translated(run, tmp_path / "a.jpg", tmp_path / "out"), tmp_path / "b.jpg"):
        with Image.open(path) as output:
            assert output.size == (10, 16)
            found = output.getexif()
            assert (found[271], found[274]) == ("Camera", 1)
            inner = found.get_ifd(34665)
            assert (inner[36867], inner[40962], inner[40963], inner[40961]) == ("2024:05:06 07:08:09", 10, 16, 1)
