"""Every kind of file becomes the picture that its author saw, or one line that says why not."""

import io
import runpy
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL import __version__ as PILLOW

from quagga.data.io import read
from quagga.data.io.pixel_format import fitting_channels
from quagga.data.io.read import MAX_PIXELS, ORIENTATION_TURNS, read_header, read_native, read_picture, to_channels
from quagga.data.io.tensors import to_tensor, to_uint8
from quagga.errors import BadInput

BENCHMARK = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "pictures.py"))
HEIGHT, WIDTH = 6, 4
rng = np.random.default_rng(0)
COLOUR = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GREY = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
ALPHA = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
DEEP = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)


def three(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def laid_on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    a = alpha[..., None] / 255
    return np.rint(colour * a + 255 * (1 - a))


def palette(transparent: int | None) -> tuple[Image.Image, np.ndarray]:
    """A picture of 16 indexed colours, and how it looks."""
    colours = rng.integers(0, 256, (16, 3), dtype=np.uint8)
    numbers = (np.arange(HEIGHT * WIDTH, dtype=np.uint8) % 16).reshape(HEIGHT, WIDTH)
    image = Image.frombytes("P", (WIDTH, HEIGHT), numbers.tobytes())
    image.putpalette(colours.tobytes())
    seen = colours[numbers]
    if transparent is not None:
        image.info["transparency"] = transparent
        seen[numbers == transparent] = 255
    return image, seen


def lab_tiff(path: Path) -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.new("RGB", (WIDTH, HEIGHT), (200, 80, 40)), to_lab)
    assert lab is not None
    lab.save(path)


def opencv(path: Path, pixels: np.ndarray) -> None:
    order = [2, 1, 0, 3][: pixels.shape[-1]] if pixels.ndim == 3 else ...
    cv2.imwrite(str(path), pixels[..., order] if pixels.ndim == 3 else pixels)


def pil(array: np.ndarray, mode: str | None = None) -> Image.Image:
    image = Image.fromarray(array)
    return image if mode is None else image.convert(mode)


RGBA, LA = np.dstack([COLOUR, ALPHA]), np.dstack([GREY, ALPHA])
DEEP_ALPHA = np.dstack([DEEP, ALPHA.astype(np.uint16) * 257])
BITS = GREY > 127
INDEXED, INDEXED_SEEN = palette(None)
HOLED, HOLED_SEEN = palette(3)
UNIFORM = np.full((HEIGHT, WIDTH, 3), (200, 80, 40), np.uint8)

KINDS = {  # file name -> (who writes it, what must be seen, levels of tolerance)
    "one bit.png": (lambda path: Image.fromarray(BITS).save(path), three(BITS * 255), 0),
    "grey.png": (lambda path: pil(GREY).save(path), three(GREY), 0),
    "grey.bmp": (lambda path: pil(GREY).save(path), three(GREY), 0),
    "grey.tif": (lambda path: pil(GREY).save(path), three(GREY), 0),
    "grey one transparent.png": (
        lambda path: pil(GREY).save(path, transparency=int(GREY[0, 0])),
        three(np.where(GREY[0, 0] == GREY, 255, GREY)),
        0,
    ),
    "grey and alpha.png": (lambda path: pil(LA).save(path), laid_on_white(three(GREY), ALPHA), 1),
    "indexed.png": (lambda path: INDEXED.save(path), INDEXED_SEEN, 0),
    "indexed.gif": (lambda path: INDEXED.save(path), INDEXED_SEEN, 0),
    "indexed with a hole.png": (lambda path: HOLED.save(path), HOLED_SEEN, 0),
    "indexed with a hole.gif": (lambda path: HOLED.save(path), HOLED_SEEN, 0),
    "two frames.gif": (
        lambda path: pil(three(GREY)).save(path, save_all=True, append_images=[pil(three(255 - GREY))]),
        three(GREY),
        0,
    ),
    "colour.png": (lambda path: pil(COLOUR).save(path), COLOUR, 0),
    "colour.bmp": (lambda path: pil(COLOUR).save(path), COLOUR, 0),
    "colour.TIFF": (lambda path: pil(COLOUR).save(path, compression="tiff_lzw"), COLOUR, 0),
    "colour.webp": (lambda path: pil(COLOUR).save(path, lossless=True), COLOUR, 0),
    "colour.jpg": (lambda path: pil(UNIFORM).save(path, quality=95), UNIFORM, 3),
    "grey.jpeg": (lambda path: pil(UNIFORM, "L").save(path, quality=95), three(np.asarray(pil(UNIFORM, "L"))), 2),
    "alpha.png": (lambda path: pil(RGBA).save(path), laid_on_white(COLOUR, ALPHA), 1),
    "alpha.tif": (lambda path: pil(RGBA).save(path), laid_on_white(COLOUR, ALPHA), 1),
    "alpha.webp": (
        lambda path: pil(RGBA).save(path, lossless=True, exact=True),
        laid_on_white(COLOUR, ALPHA),
        1,
    ),
    "print.tif": (lambda path: pil(COLOUR, "CMYK").save(path), COLOUR, 1),
    "print.jpg": (lambda path: pil(UNIFORM, "CMYK").save(path, quality=95), UNIFORM, 5),
    # Pillow before 13 cannot read the YCbCr TIFFs that it writes.
    **({"video.tif": (lambda path: pil(COLOUR, "YCbCr").save(path), COLOUR, 3)} if PILLOW >= "13" else {}),
    "lab.tif": (lab_tiff, UNIFORM, 3),
    "16 bits grey.png": (lambda path: opencv(path, DEEP[..., 0]), three(np.rint(DEEP[..., 0] / 257)), 0),
    "16 bits grey.tif": (lambda path: opencv(path, DEEP[..., 0]), three(np.rint(DEEP[..., 0] / 257)), 0),
    "16 bits.png": (lambda path: opencv(path, DEEP), np.rint(DEEP / 257), 0),
    "16 bits.tif": (lambda path: opencv(path, DEEP), np.rint(DEEP / 257), 0),
    "16 bits alpha.png": (lambda path: opencv(path, DEEP_ALPHA), laid_on_white(DEEP / 257, ALPHA), 1),
    "32 bits.tif": (
        lambda path: Image.fromarray(DEEP[..., 0].astype(np.int32)).save(path),
        three(np.rint(DEEP[..., 0] / 257)),
        0,
    ),
    "floats grey.tif": (lambda path: Image.fromarray((GREY / 255).astype(np.float32)).save(path), three(GREY), 0),
    "floats.tif": (lambda path: opencv(path, (COLOUR / 255).astype(np.float32)), COLOUR, 0),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_read_as_it_looks(name, tmp_path):
    write, seen, tolerance = KINDS[name]
    write(tmp_path / name)
    pixels = read_picture(tmp_path / name)
    assert pixels.dtype == np.uint8 and pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(pixels.astype(int) - np.asarray(seen)).max() <= tolerance
    grey = read_picture(tmp_path / name, channels=1)
    assert grey.shape == (HEIGHT, WIDTH, 1)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - luma).max() <= 1.5
    assert read_header(tmp_path / name)[:2] == (WIDTH, HEIGHT)


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera held this way stores what is seen: the inverse of turning it upright."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    return np.ascontiguousarray(ORIENTATION_TURNS[inverse](upright) if inverse in ORIENTATION_TURNS else upright)


def tiff(path: Path, pixels: np.ndarray, orientation: int) -> None:
    """A plain TIFF of any depth (uint8, uint16, float32), written by hand as few writers know the orientation."""
    height, width, channels = pixels.shape
    raw, kind = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes(), 3 if pixels.dtype.kind == "f" else 1
    bits, kinds = [struct.pack("<3H", *[value] * 3) for value in (8 * pixels.itemsize, kind)]
    body = 8 + 2 + 11 * 12 + 4  # where the entries end
    entries = [
        (256, 4, 1, struct.pack("<I", width)),
        (257, 4, 1, struct.pack("<I", height)),
        (258, 3, channels, bits[:2] if channels == 1 else struct.pack("<I", body)),
        (259, 3, 1, b"\1\0"),
        (262, 3, 1, b"\1\0" if channels == 1 else b"\2\0"),
        (273, 4, 1, struct.pack("<I", body + 12)),
        (274, 3, 1, struct.pack("<H", orientation)),
        (277, 3, 1, struct.pack("<H", channels)),
        (278, 4, 1, struct.pack("<I", height)),
        (279, 4, 1, struct.pack("<I", len(raw))),
        (339, 3, channels, kinds[:2] if channels == 1 else struct.pack("<I", body + 6)),
    ]
    directory = b"".join(struct.pack("<HHI4s", tag, kind, count, value) for tag, kind, count, value in entries)
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", 11) + directory + bytes(4) + bits + kinds + raw)


def deep_png(path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    png = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(png[:33] + whole + png[33:])


def jpeg(path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(path, quality=100, subsampling=0, exif=exif)


GRADIENT = np.outer(np.linspace(0, 200, 24), np.linspace(0.2, 1, 16)).astype(np.uint8)
HELD = {
    "photo.jpg": (jpeg, three(GRADIENT)),
    "deep.png": (deep_png, DEEP),
    "grey.tif": (tiff, GREY[..., None]),
    "colour.tif": (tiff, COLOUR),
    "deep grey.tif": (tiff, DEEP[..., :1]),
    "deep.tif": (tiff, DEEP),
    "floats grey.tif": (tiff, (GREY / 255).astype(np.float32)[..., None]),
    "floats.tif": (tiff, (COLOUR / 255).astype(np.float32)),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", HELD)
def test_pictures_stand_upright_however_the_camera_was_held(name, orientation, tmp_path):
    write, upright = HELD[name]
    write(tmp_path / name, stored(upright, orientation), orientation)
    pixels = read_native(tmp_path / name).pixels
    assert pixels.shape == upright.shape and pixels.dtype == upright.dtype
    assert np.abs(pixels.astype(float) - upright).max() <= (3 if name.endswith("jpg") else 0)
    assert read_header(tmp_path / name)[:2] == tuple(sorted(upright.shape[:2]))


def test_sixteen_bits_are_rounded_not_cut():
    levels = np.arange(256, dtype=np.uint32) * 257
    for off in (-128, 0, 128):
        values = np.clip(levels.astype(int) + off, 0, 65535).astype(np.uint16)[None]
        assert (to_channels(values, 1).ravel() == np.arange(256)).all()


def test_a_picture_in_memory_is_treated_as_one_in_a_file(tmp_path):
    for name in ("alpha.png", "indexed with a hole.png", "print.tif", "16 bits grey.png", "one bit.png"):
        KINDS[name][0](tmp_path / name)
        for channels in (1, 3):
            with Image.open(tmp_path / name) as image:
                assert np.array_equal(to_channels(image, channels), read_picture(tmp_path / name, channels))
    assert np.array_equal(to_channels(RGBA, 3), to_channels(Image.fromarray(RGBA), 3))
    assert np.array_equal(to_channels(GREY, 3), three(GREY))


def test_modes_of_images_in_memory():
    assert np.abs(to_channels(pil(RGBA).convert("RGBa"), 3) - laid_on_white(COLOUR, ALPHA)).max() <= 2
    assert np.abs(to_channels(pil(LA).convert("La"), 3) - laid_on_white(three(GREY), ALPHA)).max() <= 2
    assert np.array_equal(to_channels(Image.frombytes("RGBX", (WIDTH, HEIGHT), RGBA.tobytes()), 3), COLOUR)
    big_endian = Image.frombytes("I;16B", (WIDTH, HEIGHT), DEEP[..., 0].astype(">u2").tobytes())
    assert np.array_equal(to_channels(big_endian, 1)[..., 0], np.rint(DEEP[..., 0] / 257))
    half_clear = pil(LA).convert("PA")
    assert np.array_equal(to_channels(half_clear, 3), to_channels(half_clear.convert("RGBA"), 3))
    hues = pil(COLOUR).convert("HSV")
    assert np.array_equal(to_channels(hues, 3), np.asarray(hues.convert("RGB")))


@pytest.mark.parametrize("empty", [Image.new("RGB", (0, 0)), Image.new("L", (5, 0)), np.zeros((0, 4, 3), np.uint8)])
def test_a_picture_without_pixels_is_refused(empty):
    with pytest.raises(BadInput, match="it is empty"):
        to_channels(empty, 3)


def test_floats_outside_their_range_are_refused_with_the_range(tmp_path):
    for low, high in ((0, 255), (-1, 1), (0, float("nan"))):
        path = tmp_path / "floats.tif"
        Image.fromarray(np.array([[low, high]], np.float32)).save(path)
        with pytest.raises(BadInput, match=f"from {'nan' if high != high else low} to {high:g}: scale them"):
            read_picture(path)


def assert_refused(path: Path, why: str = "") -> None:
    with pytest.raises(BadInput) as caught:
        read_picture(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and why in line


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_off_file_is_refused_by_name(name, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = tmp_path / name
    if whole.suffix in (".jpg", ".jpeg", ".webp") or name in ("colour.png", "colour.TIFF", "colour.bmp"):
        Image.fromarray(noise).save(whole)
    else:
        KINDS[name][0](whole)
    encoded = whole.read_bytes()
    path = tmp_path / f"cut {name}"
    for length in (10, len(encoded) // 3, len(encoded) // 2):
        path.write_bytes(encoded[:length])
        assert_refused(path)


def test_what_is_no_picture_is_refused_by_name(tmp_path):
    (tmp_path / "empty.jpg").touch()
    assert_refused(tmp_path / "empty.jpg", "empty")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    assert_refused(tmp_path / "page.jpg", "not a picture")
    (tmp_path / "folder.png").mkdir()
    assert_refused(tmp_path / "folder.png")
    assert_refused(tmp_path / "nowhere.png", "no such file")
    (tmp_path / "fake.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    assert_refused(tmp_path / "fake.tif")


def test_a_flipped_bit_gives_a_picture_or_a_line_never_another_error(tmp_path):
    chance = np.random.default_rng(2)
    for name in ("colour.png", "colour.webp", "colour.jpg", "indexed.gif", "16 bits.png", "16 bits.tif", "floats.tif"):
        KINDS[name][0](tmp_path / name)
        encoded = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        for _ in range(25):
            damaged = encoded.copy()
            damaged[chance.integers(0, len(damaged), 3)] = chance.integers(0, 256, 3)
            (tmp_path / f"x{name}").write_bytes(damaged.tobytes())
            try:
                read_picture(tmp_path / f"x{name}")
            except BadInput as error:
                assert str(error).startswith(str(tmp_path / f"x{name}: "))


def test_decompression_bombs_are_refused_by_their_header(tmp_path, monkeypatch):
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    for side in (14_000, 30_000):  # above our limit, and above the point where Pillow itself stops
        assert side**2 > MAX_PIXELS
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        path = tmp_path / f"{side}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        for pillows_own_limit in (Image.MAX_IMAGE_PIXELS, None):
            with monkeypatch.context() as patch:
                patch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_own_limit)
                assert_refused(path, "cut or shrink it first")
    path = tmp_path / "floats.tif"
    tiff(path, np.zeros((1, 1, 3), np.float32), 1)
    encoded = path.read_bytes()
    path.write_bytes(
        encoded[:18] + struct.pack("<I", 60_000) + encoded[22:30] + struct.pack("<I", 60_000) + encoded[34:]
    )
    assert_refused(path, "cut or shrink it first")


def test_a_picture_with_damaged_exif_is_read_and_rotated(tmp_path):
    lying = b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"  # orientation 6
    damaged = b"\x05\xa0\x07\0\x01\0\0\0abcd"  # a pointer that is none
    words = b"\x12\x01\x02\0\x04\0\0\0abcd"  # an orientation that is none
    for entries, shape in (([damaged, lying], (WIDTH, HEIGHT)), ([words], (HEIGHT, WIDTH)), ([b""], (HEIGHT, WIDTH))):
        exif = b"Exif\0\0II*\0\x08\0\0\0" + bytes([len(entries), 0]) + b"".join(entries)
        Image.fromarray(UNIFORM).save(tmp_path / "x.jpg", exif=exif, quality=95)
        pixels = read_picture(tmp_path / "x.jpg")
        assert pixels.shape == (*shape, 3) and np.abs(pixels[0, 0].astype(int) - UNIFORM[0, 0]).max() <= 3


# -- every kind of file, and damaged ones: benchmarks/pictures.py ------------------------------------------------------


def test_each_kind_in_the_golden_table_is_read_to_one_level(tmp_path):
    rows = list(BENCHMARK["golden"](tmp_path))
    assert len(rows) >= 60
    assert not [row for row in rows if isinstance(row[2], str) or row[2] > 1]


def test_every_kind_that_can_lie_on_its_side_is_read_upright_in_all_eight_ways(tmp_path):
    found = dict(BENCHMARK["exif"](tmp_path))
    assert len(found) >= 7 and set(found.values()) == {8}


def survived(folder: Path, count: int, seed: int):
    """How one process took damaged files, of which those that are cut off are no pictures any more."""
    files = BENCHMARK["damage"](folder, count, seed)
    found = BENCHMARK["survive"](files)
    assert (len(found.answers), found.crashes, found.wrong) == (count, 0, [])
    assert found.mib < BENCHMARK["CHILD_MIB"]
    assert {answer for _, what, answer in found.answers if what == "cut off"} == {"a line"}
    assert {answer for _, what, answer in found.answers if what == "another's suffix"} == {"a picture"}
    return files


def test_damaged_pictures_give_a_line_with_their_path_and_never_a_crash(tmp_path):
    files = survived(tmp_path, 150, seed=1)
    assert len({what for _, what in files}) == 6


@pytest.mark.slow
def test_of_many_damaged_pictures_none_crashes_the_process(tmp_path):
    files = survived(tmp_path, 3000, seed=2)
    assert len({path.name.partition(" ")[2] for path, _ in files}) >= 60


@contextmanager
def memory_below(limit: float) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


# -- numpy's files ----------------------------------------------------------------------------------------------------


def npy_header(shape: tuple[int, ...], descr: str = "<f4", version: bytes = b"\1\0") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_the_header_of_an_array_is_checked_before_it_is_loaded(tmp_path):
    whole = npy_header((2, 3)) + bytes(24)
    for content, why in (
        (npy_header((2, 3)) + bytes(23), "cut off"),
        (npy_header((2, 3)) + bytes(25), "more than its header says"),
        (npy_header((100_000, 100_000)), "cut or shrink it first"),
        (npy_header((10_000, 10_000, 9)), "more than 1024 MiB"),
        (npy_header((9000, 9000, 3)), "cut off"),
        (npy_header((2, 0)), "empty"),
        (npy_header((2, 3, 4, 5)), "a picture is (H, W), (H, W, C) or (C, H, W)"),
        (npy_header((6,)), "a picture is (H, W)"),
        (npy_header((2, 3), "<c8"), "not numbers of a picture"),
        (npy_header((2, 3), "|O"), "not numbers of a picture"),
        (npy_header((2, 3), "<U6"), "not numbers of a picture"),
        (npy_header((2, 3), version=b"\7\0"), "format 7.0"),
        (whole[:9], "cannot be read"),
        (whole[:40], "cannot be read"),
        (b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 31) + b"{" * 100, "cannot be read"),
    ):
        (tmp_path / "a.npy").write_bytes(content)
        zipped(tmp_path / "a.npz", image=content)
        with memory_below(20e6):
            assert_refused(tmp_path / "a.npy", why)
            assert_refused(tmp_path / "a.npz", why)


def test_of_a_zip_the_only_array_or_the_one_called_image_is_read(tmp_path):
    one, other = (npy_header((2, 3)) + bytes([value]) * 24 for value in (0, 1))
    assert read_native(zipped(tmp_path / "a.npz", anything=one)).pixels.max() == 0
    assert read_native(zipped(tmp_path / "b.npz", other=other, image=one, more=other)).pixels.max() == 0
    assert_refused(zipped(tmp_path / "c.npz", left=one, right=other), "it holds left, right: expected one array")
    assert_refused(zipped(tmp_path / "d.npz"))


def test_a_zip_bomb_is_refused_by_its_declared_and_by_its_real_size(tmp_path, monkeypatch):
    bomb = zipped(tmp_path / "a.npz", image=npy_header((3000, 4000)) + bytes(48_000_000))
    assert bomb.stat().st_size < 100_000
    # The header is small, the rest is not.
    small = zipped(tmp_path / "b.npz", image=npy_header((3, 4)) + bytes(48_000_000))
    content = bytearray(zipped(tmp_path / "c.npz", image=npy_header((3, 4)) + bytes(48)).read_bytes())
    offset = content.rindex(b"PK\1\2") + 24  # the length in the directory, which is now too small
    content[offset : offset + 4] = struct.pack("<I", 60)
    (tmp_path / "c.npz").write_bytes(content)
    with memory_below(20e6):
        assert_refused(small, "more than its header says")
        assert_refused(tmp_path / "c.npz")
        monkeypatch.setattr("quagga.data.io.numpy_files.MAX_BYTES", 1_000_000)
        assert_refused(bomb, "cut or shrink it first")
        assert_refused(small, "cut or shrink it first")


def test_channels_are_the_last_axis_unless_the_first_is_the_shortest(tmp_path):
    for shape, (height, width, channels) in (
        ((20, 30), (20, 30, 1)),
        ((20, 30, 12), (20, 30, 12)),
        ((12, 20, 30), (20, 30, 12)),
        ((3, 20, 30), (20, 30, 3)),
        ((20, 30, 20), (20, 30, 20)),
        ((5, 5, 5), (5, 5, 5)),
    ):
        values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        np.save(tmp_path / "a.npy", values)
        found = read_native(tmp_path / "a.npy").pixels
        assert found.shape == (height, width, channels)
        assert read_header(tmp_path / "a.npy")[:4] == (*sorted((height, width)), channels, "float32")
        assert found[2, 1, -1] == (
            values[-1, 2, 1] if shape[0] == channels < 5 or shape[0] == 12 else values[2, 1].flat[-1]
        )


def test_nothing_is_unpickled(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.save(file, np.array([print, 1], dtype=object), allow_pickle=True)
    assert_refused(tmp_path / "a.npy", "not numbers of a picture")


# -- TIFFs that only tifffile reads ------------------------------------------------------------------------------------


def many(path: Path, **how) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 60000, (40, 30, 12), dtype=np.uint16)
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig", **how)
    return pixels


def retagged(path: Path, tag: int, value: int) -> None:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags[tag].overwrite(value)


def test_a_tiff_whose_tags_promise_too_much_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "a.tif"
    for compression in (None, "zlib"):
        for tag, value, why in (
            (256, 100_000, "cut off"),
            (257, 30_000_000, "cut or shrink it first"),
            (257, 100_000, "cut off"),
            (277, 30_000, ""),
            (273, 1 << 30, "cut off"),
            (279, 1 << 30, "cut off"),
            (279, 0, "cut off"),
        ):
            many(path, compression=compression)
            retagged(path, tag, value)
            with memory_below(30e6):
                assert_refused(path, why)


def test_a_deflated_strip_that_becomes_too_large_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    many(path, compression="zlib")
    bomb = zlib.compress(bytes(64_000_000))
    with path.open("r+b") as file, tifffile.TiffFile(path) as tiff:
        at = file.seek(0, io.SEEK_END)
        file.write(bomb)
        assert len(tiff.pages.first.dataoffsets) == 1
    retagged(path, 273, at)
    retagged(path, 279, len(bomb))
    monkeypatch.setattr("quagga.data.io.tiff.MAX_BYTES", 1_000_000)
    with memory_below(20e6):
        assert_refused(path, "more than its tags say")


def test_compressions_without_a_decoder_are_refused_with_advice(tmp_path):
    many(tmp_path / "a.tif")
    retagged(tmp_path / "a.tif", 259, 5)
    assert_refused(tmp_path / "a.tif", "" if read.tiff.CODECS else "pip install 'quagga[tiff]'")


def test_colours_that_need_a_conversion_are_refused_beyond_8_bits(tmp_path):
    inks = np.zeros((8, 8, 4), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", planarconfig="contig")
    assert_refused(tmp_path / "a.tif", "CMYK")


def test_infrared_beside_red_green_and_blue_is_kept_where_four_are_asked_for(tmp_path):
    four = np.dstack([COLOUR, GREY])
    how = {"photometric": "rgb", "planarconfig": "contig", "extrasamples": ["unspecified"]}
    tifffile.imwrite(tmp_path / "a.tif", four, **how)
    native = read_native(tmp_path / "a.tif")
    assert np.array_equal(fitting_channels(native, 4), four)
    assert np.array_equal(read_picture(tmp_path / "a.tif"), COLOUR)
    assert read_header(tmp_path / "a.tif").channels == 4


# -- formats that may be missing ---------------------------------------------------------------------------------------


def test_heic_is_read_with_its_extra(tmp_path):
    pytest.importorskip("pillow_heif")
    Image.fromarray(UNIFORM).save(tmp_path / "a.heic", quality=-1)
    assert np.abs(read_picture(tmp_path / "a.heic").astype(int) - UNIFORM).max() <= 3
    assert ".heic" in read.SUFFIXES


def test_without_the_extra_a_heic_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    monkeypatch.setattr(read, "FORMATS", ("JPEG", "PNG"))
    monkeypatch.setattr(read, "UNREADABLE_SUFFIXES", {".heic": "pip install 'quagga[heic]'"})
    assert_refused(tmp_path / "a.HEIC", "HEIC is not read here: pip install 'quagga[heic]'")


def test_bytes_survive_the_conversion_to_a_tensor_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    tensor = to_tensor(levels)
    assert tensor.shape == (1, 1, 16, 16) and tensor.is_contiguous()
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert np.array_equal(to_uint8(tensor), levels)
    assert np.array_equal(to_uint8(tensor[0]), levels[0])
    assert to_uint8(3 * tensor).min() == 0 and to_uint8(3 * tensor).max() == 255
    assert np.array_equal(to_uint8(to_tensor(COLOUR)), COLOUR)
