"""The EXIF of a photo goes into the picture that is made of it, as far as it is true of that."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from quagga.data.io.color_profile import srgb_profile
from quagga.data.io.metadata import NO_METADATA, Metadata, read_metadata
from quagga.data.io.read import read_picture
from quagga.data.io.write import save

Base, Photo = ExifTags.Base, ExifTags.IFD.Exif
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
NOTE = b"\xff\xd8 the maker's own words" * 20
TAKEN = "2024:05:06 07:08:09"


def photo_exif(**more: object) -> Image.Exif:
    exif = Image.Exif()
    exif.update({Base.Make: "Camera", Base.Artist: "Ä. Jäger".encode("latin-1"), Base.Orientation: 6})
    exif[Base.DateTime] = TAKEN
    exif.get_ifd(Photo).update(
        {
            Base.DateTimeOriginal: TAKEN,
            Base.ExposureTime: 0.004,
            Base.MakerNote: NOTE,
            Base.ExifImageWidth: 4000,
            Base.ExifImageHeight: 3000,
            Base.ColorSpace: 65535,
        }
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (47.0, 22.0, 1.5)})
    return exif


def with_thumbnail(block: bytes, thumbnail: bytes) -> bytes:
    """The block with a second directory, whose thumbnail lies at the end."""
    tiff = bytearray(block.removeprefix(b"Exif\0\0"))
    order = "little" if tiff[:2] == b"II" else "big"
    first = int.from_bytes(tiff[4:8], order)
    following = first + 2 + 12 * int.from_bytes(tiff[first : first + 2], order)
    assert not any(tiff[following : following + 4])
    tiff[following : following + 4] = len(tiff).to_bytes(4, order)
    start = len(tiff) + 2 + 2 * 12 + 4
    entry = lambda tag, value: b"".join(n.to_bytes(size, order) for n, size in ((tag, 2), (4, 2), (1, 4), (value, 4)))  # noqa: E731
    tiff += (2).to_bytes(2, order) + entry(513, start) + entry(514, len(thumbnail)) + bytes(4) + thumbnail
    return b"Exif\0\0" + bytes(tiff)


def photo(path: Path, exif: bytes) -> Path:
    Image.fromarray(PIXELS).save(path, exif=exif)
    return path


SUFFIXES = (".jpg", ".png", ".webp", ".tif")


@pytest.mark.parametrize("source", [*SUFFIXES, ".heic", ".avif"])
@pytest.mark.parametrize("target", SUFFIXES)
def test_metadata_of_a_photo_are_copied(source, target, tmp_path):
    if source == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if source == ".tif":  # of which Pillow itself writes neither directories nor umlauts
        save(tmp_path / "photo.tif", PIXELS, ".tif", Metadata(photo_exif().tobytes()))
    else:
        photo(tmp_path / f"photo{source}", photo_exif().tobytes())
    metadata = read_metadata(tmp_path / f"photo{source}")
    save(tmp_path / f"copy{target}", PIXELS, target, metadata)
    with Image.open(tmp_path / f"copy{target}") as written:
        exif = written.getexif()
        assert (exif[Base.Make], exif[Base.DateTime]) == ("Camera", TAKEN)
        assert exif[Base.Artist] == "Ä. Jäger" or source == ".avif"  # for which Pillow writes "?"
        inner = exif.get_ifd(Photo)
        assert (inner[Base.DateTimeOriginal], float(inner[Base.ExposureTime])) == (TAKEN, 0.004)
        assert inner[Base.MakerNote] == NOTE
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (47.0, 22.0, 1.5)
        # What would be false of the new picture.
        assert exif.get(Base.Orientation, 1) == 1
        assert (inner.get(Base.ExifImageWidth, 40), inner.get(Base.ExifImageHeight, 30)) == (40, 30)
        assert inner[Base.ColorSpace] == 65535  # it had no profile: nothing was converted
    if target != ".jpg":
        assert np.array_equal(read_picture(tmp_path / f"copy{target}"), PIXELS)


def test_the_old_thumbnail_is_removed(tmp_path):
    small = io.BytesIO()
    Image.fromarray(PIXELS[:8, :8]).save(small, "JPEG")
    source = photo(tmp_path / "a.jpg", with_thumbnail(photo_exif().tobytes(), small.getvalue()))
    with Image.open(source) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
    save(tmp_path / "b.jpg", PIXELS, ".jpg", read_metadata(source))
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.getexif()[Base.Make] == "Camera" and not written.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert small.getvalue()[20:] not in written.info["exif"]


def test_a_converted_picture_is_tagged_as_srgb():
    exif = photo_exif()
    exif.get_ifd(Photo)[40965] = {1: "R03"}  # the rules of Adobe RGB
    blocks = Metadata(exif.tobytes(), profiled=True).blocks_for(40, 30)
    found = Image.Exif()
    found.load(blocks["exif"])
    assert found.get_ifd(Photo)[Base.ColorSpace] == 1
    assert b"R03" not in blocks["exif"]


def test_exif_with_the_orientation_only_is_not_copied():
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    assert Metadata(exif.tobytes()).blocks_for(40, 30) == {}
    assert NO_METADATA.blocks_for(40, 30) == {}


def test_damaged_exif_is_left_out(tmp_path):
    whole = photo_exif().tobytes()
    chance = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in chance.integers(6, len(whole), 6):
            damaged[at] = chance.integers(0, 256)
        source = photo(tmp_path / "a.jpg", bytes(damaged))
        for suffix in (".jpg", ".png", ".tif"):
            save(tmp_path / f"b{suffix}", PIXELS, suffix, read_metadata(source))
            assert read_picture(tmp_path / f"b{suffix}").shape == (30, 40, 3)
    for cut in range(6, 40):
        assert Metadata(whole[:cut]).blocks_for(40, 30).keys() <= {"exif"}


def test_exif_that_is_too_long_for_a_jpeg_is_left_out(tmp_path):
    exif = photo_exif()
    exif.get_ifd(Photo)[Base.UserComment] = bytes(80_000)
    metadata = read_metadata(photo(tmp_path / "a.png", exif.tobytes()))
    for suffix, expected in ((".jpg", False), (".png", True)):
        save(tmp_path / f"b{suffix}", PIXELS, suffix, metadata)
        with Image.open(tmp_path / f"b{suffix}") as written:
            assert (written.getexif().get(Base.Make) == "Camera") == expected


def test_files_without_exif_have_no_metadata(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", PIXELS)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    for name in ("a.png", "a.npy", "a.jpg", "nowhere.png"):
        assert read_metadata(tmp_path / name) == NO_METADATA


def test_only_what_was_converted_is_tagged_and_grey_is_not(tmp_path):
    deep = (PIXELS[..., 0].astype(np.uint16)) * 257
    Image.fromarray(PIXELS).save(tmp_path / "a.png", icc_profile=srgb_profile())
    Image.fromarray(deep).save(tmp_path / "deep.png", icc_profile=srgb_profile())
    assert read_metadata(tmp_path / "a.png").profiled and not read_metadata(tmp_path / "deep.png").profiled
    for channels, tagged in ((3, True), (1, False)):
        save(tmp_path / "b.png", PIXELS[..., :channels], ".png", read_metadata(tmp_path / "a.png"))
        with Image.open(tmp_path / "b.png") as written:
            assert ("icc_profile" in written.info) == tagged
