"""What a photo's file says beside its pixels, and goes into the file of the picture that is made of it.

EXIF (date, camera, exposure, place, author) stays byte for byte, the maker's notes included, which hold offsets that
writing it anew would break. But for what would be false of the new picture: it stands upright, has a size of its own,
is in sRGB where it was converted, and its thumbnail would show the old one. TIFFs have no such block, but tags: of them
those stay that tell of the photo and not of the file.
"""

import struct
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from quagga.data.colour import srgb_profile
from quagga.data.decode import FORMATS, deep

PREFIX = b"Exif\0\0"
ORIENTATION, PHOTO, INTEROPERABILITY = 274, 34665, 40965  # the last two point to further directories
COLOUR_SPACE, WIDTH, HEIGHT = 40961, 40962, 40963  # of the directory PHOTO
THUMBNAIL, THUMBNAIL_LENGTH = 513, 514  # of the second directory
SRGB, SRGB_RULES, SHORT, LONG = 1, b"R98\0", 3, 4  # values and types
GPS = 34853
# Make, model, resolution, software, date, artist, computer, copyright. Not the description, by which some TIFFs state
# the shape of an array.
TELLING = (271, 272, 282, 283, 296, 305, 306, 315, 316, 33432)
MOST_IN_JPEG = 65533  # bytes of a segment


class Metadata(NamedTuple):
    """What goes from a file into another."""

    exif: bytes = b""  # the block as JPEGs have it, from "Exif" on; empty: none
    profiled: bool = False  # whether it was read by a colour profile, so that the picture made of it gets sRGB's

    def told(self, width: int, height: int, colour: bool = True) -> dict[str, bytes]:
        """`exif` and `icc_profile`, as far as there are such, as Pillow's `Image.save` takes them.

        Args:
            width: Of the new picture, in pixels.
            height: Likewise.
            colour: Whether it has colours: sRGB's profile is none for grey.
        """
        told = {}
        with suppress(struct.error, IndexError, ValueError, KeyError):  # a damaged block is left out
            if corrected := _corrected(self.exif.removeprefix(PREFIX), width, height, self.profiled):
                told["exif"] = PREFIX + corrected
        if self.profiled and colour:
            told["icc_profile"] = srgb_profile()
        return told


NOTHING = Metadata()


def read_metadata(path: str | Path) -> Metadata:
    """What a picture's file says; nothing where it is of another kind or damaged."""
    with suppress(Exception), warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
        return metadata_of(image)
    return NOTHING


def metadata_of(image: Image.Image) -> Metadata:
    """What a PIL image says; without EXIF where that is damaged."""
    exif, profiled = b"", bool(image.info.get("icc_profile")) and not deep(image)
    with suppress(Exception), warnings.catch_warnings(action="ignore"):  # tags of any kind, from anywhere
        if image.format == "PNG" and "exif" not in image.info:
            image.load()  # it may come after the pixels
        exif = _block(_telling(image.getexif())) if image.format == "TIFF" else image.info.get("exif", b"")
    return Metadata(exif, profiled)


def options_of(suffix: str, told: dict[str, bytes]) -> dict[str, Any]:
    """What `Metadata.told` gives, as the kind of file that a suffix stands for can hold it."""
    options: dict[str, Any] = dict(told)
    exif = options.pop("exif", b"")
    if suffix in (".tif", ".tiff"):
        with suppress(Exception), warnings.catch_warnings(action="ignore"):  # of tags that Pillow does not understand
            tags = Image.Exif()
            tags.load(exif)
            if telling := _telling(tags):  # libtiff, which compresses, writes no directories of EXIF
                return {**options, "tiffinfo": telling, "compression": None}
        return options
    if not exif or (suffix in (".jpg", ".jpeg") and len(exif) > MOST_IN_JPEG):
        return options
    return {**options, "exif": exif}


def _telling(tags: Image.Exif) -> dict[int, Any]:
    """The tags that tell of the photo, and the directories of its exposure and its place."""
    telling: dict[int, Any] = {}
    for tag in TELLING:
        if tag in tags:
            value = tags[tag]  # as bytes, since of text Pillow writes "?" for "ü"
            telling[tag] = value.encode("latin-1", "replace") if isinstance(value, str) else value
    return telling | {directory: found for directory in (PHOTO, GPS) if (found := tags.get_ifd(directory))}


def _block(telling: dict[int, Any]) -> bytes:
    """Such tags as JPEGs have them; empty where there are none."""
    exif = Image.Exif()
    for tag, value in telling.items():
        if isinstance(value, dict):
            exif.get_ifd(tag).update(value)
        else:
            exif[tag] = value
    return exif.tobytes() if telling else b""


def _corrected(block: bytes, width: int, height: int, srgb: bool) -> bytes:
    """A block, from its byte order on, as it holds for an upright picture of that size, perhaps in sRGB; empty where it
    said no more than how the camera was held.

    Raises:
        struct.error, IndexError, ValueError, KeyError: it is damaged.
    """
    exif = bytearray(block)
    order = {b"II": "<", b"MM": ">"}[block[:2]]

    def number(at: int, kind: str = "I") -> int:
        return struct.unpack_from(order + kind, exif, at)[0]

    def directory(at: int) -> tuple[dict[int, int], int]:
        """Tag -> where its value, or the pointer to it, lies; and where the pointer to the next directory lies."""
        count = number(at, "H")
        return {number(at + 2 + 12 * n, "H"): at + 10 + 12 * n for n in range(count)}, at + 2 + 12 * count

    def state(places: dict[int, int], tag: int, value: int, kind: int = SHORT) -> None:
        if tag in places:
            filled = struct.pack(order + ("I" if kind == LONG else "Hxx"), value)
            struct.pack_into(f"{order}HI4s", exif, places[tag] - 6, kind, 1, filled)

    first, following = directory(number(4))
    if first.keys() <= {ORIENTATION}:
        return b""
    state(first, ORIENTATION, 1)
    if PHOTO in first:
        photo, _ = directory(number(first[PHOTO]))
        state(photo, WIDTH, width, LONG)
        state(photo, HEIGHT, height, LONG)
        if srgb:
            state(photo, COLOUR_SPACE, SRGB)
            if INTEROPERABILITY in photo:
                rules, _ = directory(number(photo[INTEROPERABILITY]))
                if 1 in rules:
                    struct.pack_into("4s", exif, rules[1], SRGB_RULES)
    if second := number(following):
        struct.pack_into("I", exif, following, 0)
        with suppress(struct.error, KeyError):  # of a damaged thumbnail nobody sees anything
            places, _ = directory(second)
            start, length = number(places[THUMBNAIL]), number(places[THUMBNAIL_LENGTH])
            exif[start : start + length] = bytes(len(exif[start : start + length]))
    return bytes(exif)
