"""Pictures of every kind are read rightly, and damaged ones give a line with their path.

    python benchmarks/pictures.py --output benchmarks/results/pictures.txt

1. The golden table: each kind is written by the library named beside it, read by `read_native`, and compared with the
   numbers that were written, in levels of 8 bits (deeper kinds: in units of what is stored).
2. EXIF: pictures stored in each of the eight orientations are read upright.
3. Damage: 500 files, read by one process that has to survive. A flipped byte among the pixels may leave a picture:
   those are counted apart.
"""

import argparse
import io
import json
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms
from PIL import __version__ as PILLOW
from report import keep

from quagga.data.io.pixel_format import kind_of
from quagga.data.io.read import AVIF, HEIC, ORIENTATION_TURNS, read_header, read_native
from quagga.errors import BadInput

HEIGHT, WIDTH = 48, 32
DAMAGED, CHILD_MIB = 500, 512  # files; how much memory above its start the reading process may take
AVIF_444: dict[str, Any] = {"quality": 100, "subsampling": "4:4:4"}
HEIC_444: dict[str, Any] = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
chance = np.random.default_rng(0)


def uniform(low: float, high: float, channels: int, kind: str) -> np.ndarray:
    """(HEIGHT, WIDTH, channels) of noise; every row and column is another."""
    return (chance.random((HEIGHT, WIDTH, channels)) * (high - low) + low).astype(kind)


GREY, COLOUR, CLEAR = uniform(0, 256, 1, "uint8"), uniform(0, 256, 3, "uint8"), uniform(0, 256, 1, "uint8")
RGBA, LA = np.dstack([COLOUR, CLEAR]), np.dstack([GREY, CLEAR])
BITS = (GREY > 127) * np.uint8(255)
DEEP, SIGNED, FLOAT = uniform(0, 65536, 12, "uint16"), uniform(-3000, 3000, 12, "int16"), uniform(-2, 2, 12, "float32")
BYTES = uniform(0, 256, 12, "uint8")
PATCHES = np.kron(chance.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3)), np.ones((16, 16, 1), int)).astype(np.uint8)
INDEXED = Image.frombytes("P", (WIDTH, HEIGHT), (GREY % 16).tobytes())
PALETTE = chance.integers(0, 256, (16, 3), dtype=np.uint8)
INDEXED.putpalette(PALETTE.tobytes())
SEEN = PALETTE[GREY[..., 0] % 16]
HOLE = np.dstack([SEEN, np.where(GREY[..., 0] % 16 == 3, 0, 255).astype(np.uint8)])
CMYK = Image.fromarray(COLOUR).convert("CMYK")
LAB_PROFILE, SRGB = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")


class Kind(NamedTuple):
    """One kind of file."""

    write: Callable[[Path], Any]
    stored: np.ndarray  # (H, W, C) of what was written
    by: str


def pillow(image: Image.Image | np.ndarray, stored: np.ndarray, **how: Any) -> Kind:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(np.squeeze(image))
    return Kind(lambda path: picture.save(path, **how), stored, "Pillow")


def opencv(pixels: np.ndarray) -> Kind:
    order = [2, 1, 0, 3][: pixels.shape[2]] if pixels.shape[2] > 1 else [0]
    return Kind(lambda path: cv2.imwrite(str(path), pixels[..., order]), pixels, "OpenCV")


def tiff(pixels: np.ndarray, stored: np.ndarray | None = None, **how: Any) -> Kind:
    """By tifffile: channels last, in planes with planarconfig="separate"."""
    channels = pixels.shape[2]
    plain = pixels[..., 0] if channels == 1 else pixels
    plain = np.moveaxis(pixels, -1, 0) if how.get("planarconfig") == "separate" else plain
    how = {"photometric": "rgb" if channels in (3, 4) else "minisblack", **how}
    if channels > 1:
        how.setdefault("planarconfig", "contig")
    return Kind(lambda path: tifffile.imwrite(path, plain, **how), pixels if stored is None else stored, "tifffile")


def stack(array: np.ndarray, stored: np.ndarray) -> Kind:
    return Kind(lambda path: tifffile.imwrite(path, array, photometric="minisblack"), stored, "tifffile")


def array(values: np.ndarray, stored: np.ndarray) -> Kind:
    return Kind(lambda path: np.save(path, values), stored, "numpy")


def arrays(stored: np.ndarray, **values: np.ndarray) -> Kind:
    named: dict[str, Any] = values
    return Kind(lambda path: np.savez_compressed(path, **named), stored, "numpy")


def as_opencv(pixels: np.ndarray) -> np.ndarray:
    """What OpenCV reads of an AVIF of these pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "AVIF", **AVIF_444)
    return np.asarray(cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED))[..., 2::-1]


def lab() -> Kind:
    transform = ImageCms.buildTransform(SRGB, LAB_PROFILE, "RGB", "LAB")
    image = ImageCms.applyTransform(Image.fromarray(PATCHES), transform)
    assert image is not None
    back = ImageCms.applyTransform(image, ImageCms.buildTransform(LAB_PROFILE, SRGB, "LAB", "RGB"))
    return pillow(image, np.asarray(back))


def kinds() -> dict[str, Kind]:
    """Name of a file -> what it is. One of each goes into the golden table."""
    video = Image.fromarray(COLOUR).convert("YCbCr")
    rgb: dict[str, Any] = {"subsampling": 0, "quality": 100}
    found = {
        "one bit.png": pillow(BITS[..., 0] > 0, BITS),
        "grey.png": pillow(GREY, GREY),
        "grey and opacity.png": pillow(LA, LA),
        "indexed.png": pillow(INDEXED, SEEN),
        "indexed, one clear.png": pillow(INDEXED, HOLE, transparency=3),
        "colour.png": pillow(COLOUR, COLOUR),
        "colour and opacity.png": pillow(RGBA, RGBA),
        "16 bits grey.png": opencv(DEEP[..., :1]),
        "16 bits.png": opencv(DEEP[..., :3]),
        "16 bits and opacity.png": opencv(DEEP[..., :4]),
        "grey.bmp": pillow(GREY, GREY),
        "colour.bmp": pillow(COLOUR, COLOUR),
        "indexed.bmp": pillow(INDEXED, SEEN),
        "indexed.gif": pillow(INDEXED, SEEN),
        "indexed, one clear.gif": pillow(INDEXED, HOLE, transparency=3),
        "colour.webp": pillow(COLOUR, COLOUR, lossless=True),
        "colour and opacity.webp": pillow(RGBA, RGBA, lossless=True, exact=True),
        "grey.jpg": pillow(PATCHES[..., 0], PATCHES[..., :1], quality=100),
        "colour.jpg": pillow(PATCHES, PATCHES, **rgb),
        "print.jpg": pillow(Image.fromarray(PATCHES).convert("CMYK"), PATCHES, **rgb),
        "one bit.tif": pillow(BITS[..., 0] > 0, BITS),
        "grey.tif": pillow(GREY, GREY),
        "indexed.tif": pillow(INDEXED, SEEN),
        "colour.tif": pillow(COLOUR, COLOUR),
        "colour, LZW.tif": pillow(COLOUR, COLOUR, compression="tiff_lzw"),
        "colour, deflate.tif": pillow(COLOUR, COLOUR, compression="tiff_adobe_deflate"),
        "colour, PackBits.tif": pillow(COLOUR, COLOUR, compression="packbits"),
        "colour in planes.tif": tiff(COLOUR, planarconfig="separate"),
        "colour and opacity.tif": pillow(RGBA, RGBA),
        "colour and more.tif": tiff(RGBA, extrasamples=["unspecified"]),
        "print.tif": pillow(CMYK, np.asarray(CMYK.convert("RGB"))),
        **({"video.tif": pillow(video, np.asarray(video.convert("RGB")))} if PILLOW >= "13" else {}),
        "Lab.tif": lab(),
        "white is 0.tif": tiff(255 - GREY, GREY, photometric="miniswhite"),
        "12 channels.tif": tiff(BYTES),
        "16 bits grey.tif": tiff(DEEP[..., :1]),
        "16 bits, white is 0.tif": tiff(65535 - DEEP[..., :1], DEEP[..., :1], photometric="miniswhite"),
        "16 bits.tif": tiff(DEEP[..., :3], compression="zlib"),
        "16 bits, LZW.tif": opencv(DEEP[..., :3]),
        "16 bits and opacity.tif": tiff(DEEP[..., :4]),
        "16 bits, 2 channels.tif": tiff(DEEP[..., :2]),
        "16 bits in planes.tif": tiff(DEEP[..., :3], planarconfig="separate"),
        "16 bits, 12 channels in tiles.tif": tiff(DEEP, tile=(16, 16), compression="zlib"),
        "big TIFF.tif": tiff(DEEP[..., :5], bigtiff=True),
        "big endian.tif": tiff(DEEP[..., :3], byteorder=">"),
        "signed grey.tif": tiff(SIGNED[..., :1]),
        "signed.tif": tiff(SIGNED[..., :3]),
        "signed, 5 channels in planes.tif": tiff(SIGNED[..., :5], planarconfig="separate"),
        "floats grey.tif": pillow(FLOAT[..., 0], FLOAT[..., :1]),
        "floats.tif": tiff(FLOAT[..., :3]),
        "floats, 4 channels.tif": tiff(FLOAT[..., :4], extrasamples=["unspecified"]),
        "floats, 12 channels.tif": tiff(FLOAT, compression="zlib", predictor=False),
        "half floats.tif": tiff(FLOAT[..., :1].astype(np.float16), FLOAT[..., :1].astype(np.float16)),
        "double floats.tif": tiff(FLOAT[..., :3].astype(np.float64)),
        "pages of channels.tif": stack(np.moveaxis(FLOAT, -1, 0), FLOAT),
        "pages of rows.tif": stack(FLOAT, FLOAT),
        "bytes.npy": array(GREY[..., 0], GREY),
        "colour.npy": array(COLOUR, COLOUR),
        "channels first.npy": array(np.moveaxis(DEEP, -1, 0), DEEP),
        "big endian.npy": array(SIGNED[..., :3].astype(">i2"), SIGNED[..., :3]),
        "columns first.npy": array(np.asfortranarray(FLOAT), FLOAT),
        "double floats.npy": array(FLOAT.astype(np.float64), FLOAT),
        "yes and no.npy": array(BITS[..., 0] > 0, BITS),
        "long integers.npy": array(SIGNED[..., :1].astype(np.int64), SIGNED[..., :1]),
        "one.npz": arrays(SIGNED, anything=SIGNED),
        "image.npz": arrays(FLOAT, image=FLOAT, label=np.zeros(3)),
        "a PNG called.jpg": pillow(COLOUR, COLOUR, format="PNG"),
    }
    if AVIF:
        # Its YCbCr of 8 bits is up to 3 levels off, so that what OpenCV reads is what is stored.
        found["colour.avif"] = pillow(PATCHES, as_opencv(PATCHES), **AVIF_444)
    if HEIC:
        found["colour.heic"] = pillow(PATCHES, PATCHES, **HEIC_444)
    return found


def golden(folder: Path) -> Iterator[tuple[str, str, float | str]]:
    """(file, who wrote it, the largest deviation in levels, or what is wrong) for each kind."""
    for name, (write, stored, by) in kinds().items():
        write(folder / name)
        try:
            pixels, header = read_native(folder / name).pixels, read_header(folder / name)
        except BadInput as error:
            yield name, by, str(error)
            continue
        if pixels.shape != stored.shape or str(pixels.dtype) != kind_of(stored.dtype):
            yield name, by, f"{pixels.dtype} {pixels.shape}, not {stored.dtype} {stored.shape}"
        elif header[:3] != (*sorted(stored.shape[:2]), stored.shape[2]) or (
            header.kind != str(pixels.dtype) and "long" not in name
        ):
            yield name, by, f"its header is said to be {header}"
        else:
            yield name, by, float(np.abs(pixels.astype(float) - stored.astype(float)).max())


def exif(folder: Path) -> Iterator[tuple[str, int]]:
    """(kind, how many of the eight orientations are read upright)."""

    def by_pillow(path: Path, pixels: np.ndarray, orientation: int, **how: Any) -> None:
        block = Image.Exif()
        block[274] = orientation
        Image.fromarray(np.squeeze(pixels)).save(path, exif=block, **how)

    def by_tifffile(path: Path, pixels: np.ndarray, orientation: int, **how: Any) -> None:
        rgb: dict[str, Any] = {"photometric": "rgb" if pixels.shape[2] == 3 else "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(path, pixels, extratags=[(274, 3, 1, orientation, True)], **(rgb | how))

    exact = {"subsampling": 0, "quality": 100}
    ways: dict[str, tuple[Callable[..., None], np.ndarray, dict[str, Any]]] = {
        "a.jpg": (by_pillow, PATCHES, exact),
        "a.png": (by_pillow, PATCHES, {}),
        "a.webp": (by_pillow, PATCHES, {"lossless": True}),
        "8 bits.tif": (by_tifffile, PATCHES, {}),
        "16 bits.tif": (by_tifffile, DEEP[..., :3], {}),
        "signed.tif": (by_tifffile, SIGNED[..., :3], {}),
        "floats, 12 channels.tif": (by_tifffile, FLOAT, {}),
    }
    if AVIF:
        ways["a.avif"] = (by_pillow, PATCHES, AVIF_444)
    # HEIC states its rotation elsewhere than in EXIF, and its library has applied it.
    for name, (write, upright, how) in ways.items():
        right = 0
        for orientation in range(1, 9):
            inverse = ORIENTATION_TURNS.get({6: 8, 8: 6}.get(orientation, orientation), lambda a: a)
            write(folder / name, np.ascontiguousarray(inverse(upright)), orientation, **how)
            pixels = read_native(folder / name).pixels
            levels = 3 if name.endswith("avif") else 1
            right += pixels.shape == upright.shape and bool(np.abs(pixels.astype(float) - upright).max() <= levels)
        yield name, right


# -- damage -----------------------------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes, bytes, np.random.Generator], bytes]] = {  # (file, another, chance) -> what is left
    "cut off": lambda file, _, draw: file[: int(len(file) * draw.uniform(0.02, 0.9))],
    "bytes flipped": lambda file, _, draw: overwritten(file, draw.integers(0, len(file), 8), draw.bytes(8)),
    "a block of zeros": lambda file, _, draw: zeroed(file, draw),
    "a wrong header": lambda file, _, draw: overwritten(file, draw.integers(0, min(120, len(file)), 6), draw.bytes(6)),
    "another's header": lambda file, other, draw: other[: (n := int(draw.integers(8, 64)))] + file[n:],
    "another's suffix": lambda file, _, draw: file,
}


def overwritten(file: bytes, places: Any, values: bytes) -> bytes:
    content = bytearray(file)
    for place, value in zip(places, values, strict=True):
        content[place] = value
    return bytes(content)


def zeroed(file: bytes, draw: np.random.Generator) -> bytes:
    length = max(8, len(file) // 8)
    start = int(draw.integers(0, max(1, len(file) - length)))
    return file[:start] + bytes(length) + file[start + length :]


def damage(folder: Path, count: int, seed: int = 0) -> list[tuple[Path, str]]:
    """Writes `count` damaged files of all kinds in turn; (file, damage)."""
    whole = folder / "whole"
    whole.mkdir()
    contents = {}
    for name, kind in kinds().items():
        if "called" not in name:
            kind.write(whole / name)
            contents[name] = (whole / name).read_bytes()
    names = list(contents)
    done = []
    for number in range(count):
        name, draw = names[number % len(names)], np.random.default_rng((seed, number))
        what = list(DAMAGES)[(number // len(names) + number) % len(DAMAGES)]
        other = names[int(draw.integers(len(names)))]
        suffix = Path(other if what == "another's suffix" else name).suffix
        path = folder / f"{number:03d} {Path(name).stem}{suffix}"
        path.write_bytes(DAMAGES[what](contents[name], contents[other], draw))
        done.append((path, what))
    return done


CHILD = """
import json, re, sys, time
from quagga import BadInput
from quagga.data.io.read import read_header, read_native
import tifffile

def peak():  # MiB; ru_maxrss would begin with that of the parent
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024

start = peak()
for line in sys.stdin:
    path, answers = line.strip(), []
    begin = time.perf_counter()
    for read in (read_header, read_native):
        try:
            read(path)
            answers.append("a picture")
        except BadInput as error:
            said = str(error)
            answers.append("a line" if said.startswith(path + ": ") and "\\n" not in said else "no path: " + said)
        except BaseException as error:
            answers.append(f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - begin
    print(json.dumps({"answers": answers, "mib": peak() - start, "seconds": seconds}), flush=True)
"""


class Survived(NamedTuple):
    """How a process took damaged files."""

    answers: list[tuple[Path, str, str]]  # file, damage, "a line", "a picture" or what else `read_native` did
    wrong: list[str]  # what neither reading nor the header's may do
    crashes: int
    mib: int  # the peak of its memory above its start, which is about 100 MiB
    slowest: float  # seconds


def survive(files: list[tuple[Path, str]]) -> Survived:
    """Has one process read all files; where it dies, another goes on behind the file."""
    answers, wrong, crashes, mib, slowest, rest = [], [], 0, 0, 0.0, list(files)
    while rest:
        text = "".join(f"{path}\n" for path, _ in rest)
        ran = subprocess.run([sys.executable, "-c", CHILD], input=text, capture_output=True, text=True, timeout=600)
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        for (path, what), line in zip(rest, lines, strict=False):
            answers.append((path, what, line["answers"][1]))
            wrong += [f"{path.name}: {answer}" for answer in line["answers"] if answer not in ("a line", "a picture")]
            mib, slowest = max(mib, line["mib"]), max(slowest, line["seconds"])
        if len(lines) < len(rest):
            path, what = rest[len(lines)]
            answers.append((path, what, f"the process died ({ran.returncode})"))
            crashes += 1
        rest = rest[len(lines) + 1 :]
    return Survived(answers, wrong, crashes, mib, slowest)


def report(count: int) -> Iterator[str]:
    yield f"{processor()}, no GPU; Python {platform.python_version()}, numpy {np.__version__}"
    yield f"Pillow {PILLOW}, OpenCV {cv2.__version__}, tifffile {tifffile.__version__}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        yield "\n1. Golden table: largest deviation in levels (promise: 1)"
        rows = list(golden(folder))
        for name, by, deviation in rows:
            yield f"{name:<36}{by:<10}{deviation if isinstance(deviation, str) else format(deviation, 'g')}"
        right = sum(not isinstance(deviation, str) and deviation <= 1 for _, _, deviation in rows)
        yield f"{right} of {len(rows)} kinds right to one level"
        yield "\n2. EXIF: orientations read upright (promise: 8 of 8)"
        for name, upright in exif(folder):
            yield f"{name:<36}{upright} of 8"
    with tempfile.TemporaryDirectory() as temporary:
        files = damage(Path(temporary), count)
        begin = perf_counter()
        survived = survive(files)
        seconds = perf_counter() - begin
    formats = {path.suffix for path, _ in files}
    yield f"\n3. {len(files)} damaged files of {len(kinds()) - 1} kinds in {len(formats)} formats, read by one process"
    yield f"{'damage':<20}{'files':>7}{'a line with its path':>22}{'still a picture':>17}{'other':>7}"
    for what in DAMAGES:
        found = Counter(answer for _, each, answer in survived.answers if each == what)
        other = found.total() - found["a line"] - found["a picture"]
        yield f"{what:<20}{found.total():>7}{found['a line']:>22}{found['a picture']:>17}{other:>7}"
    yield f"crashes of the process: {survived.crashes} (promise: 0)"
    yield f"errors that are no line with the path: {len(survived.wrong)} (promise: 0)"
    yield from survived.wrong[:20]
    yield f"peak memory of the process above its start: {survived.mib} MiB (promise: below {CHILD_MIB})"
    yield f"slowest file: {survived.slowest:.2f} s; all: {seconds:.0f} s"


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=DAMAGED, help="damaged files")
    parser.add_argument("--output", type=Path, help="a text file for the result")
    chosen = parser.parse_args()
    keep(report(chosen.count), chosen.output)


if __name__ == "__main__":
    main()
