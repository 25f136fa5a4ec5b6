"""Copies a photo's metadata into the file of the picture that is made of it.

EXIF (date, camera, exposure, place, author) is copied byte for byte, since the maker's notes hold offsets that
re-encoding would break. Only what would be false of the new picture is overwritten: its orientation, its size, its
colour space if it was converted to sRGB, and the thumbnail, which shows the old picture. TIFFs have tags in place of
such a block; of these the tags about the photo are copied, and not those about the file.
"""

import struct
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from quagga.data.io.color_profile import srgb_profile
from quagga.data.io.read import FORMATS, is_deep

PREFIX = b"Exif\0\0"
ORIENTATION, PHOTO, INTEROPERABILITY = 274, 34665, 40965  # the last two point to further directories
COLOUR_SPACE, WIDTH, HEIGHT = 40961, 40962, 40963  # of the directory PHOTO
THUMBNAIL, THUMBNAIL_LENGTH = 513, 514  # of the second directory
SRGB, SRGB_RULES, SHORT, LONG = 1, b"R98\0", 3, 4  # values and types
GPS = 34853
# Make, model, resolution, software, date, artist, computer, copyright. Not the description, by which some TIFFs state
# the shape of an array.
PHOTO_TAGS = (271, 272, 282, 283, 296, 305, 306, 315, 316, 33432)
MOST_IN_JPEG = 65533  # bytes of a JPEG's segment, which EXIF must fit


class Metadata(NamedTuple):
    """The metadata of a picture's file that are copied into another one."""

    exif: bytes = b""  # the block of EXIF as JPEGs have it, from "Exif" on; empty: none
    profiled: bool = False  # whether a colour profile was applied, so that the new picture gets the profile of sRGB

    def blocks_for(self, width: int, height: int, colour: bool = True) -> dict[str, bytes]:
        """Returns the arguments `exif` and `icc_profile` of Pillow's `Image.save` for a new picture; a missing one is
        left out.

        Args:
            width: of the new picture, in pixels.
            height: of the new picture, in pixels.
            colour: whether it has colours: the profile of sRGB does not fit grey.
        """
        blocks = {}
        with suppress(struct.error, IndexError, ValueError, KeyError):  # a damaged block is left out
            if corrected := _corrected(self.exif.removeprefix(PREFIX), width, height, self.profiled):
                blocks["exif"] = PREFIX + corrected
        if self.profiled and colour:
            blocks["icc_profile"] = srgb_profile()
        return blocks


NO_METADATA = Metadata()


def read_metadata(path: str | Path) -> Metadata:
    """Returns the metadata of a picture's file; NO_METADATA if Pillow cannot read it."""
    with suppress(Exception), warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
        return metadata_of(image)
    return NO_METADATA


def metadata_of(image: Image.Image) -> Metadata:
    """Returns the metadata of a PIL image, without EXIF if that is damaged."""
    exif, profiled = b"", bool(image.info.get("icc_profile")) and not is_deep(image)
    with suppress(Exception), warnings.catch_warnings(action="ignore"):  # damaged tags raise nearly anything
        if image.format == "PNG" and "exif" not in image.info:
            image.load()  # the block may follow the pixels
        exif = _exif_block(_photo_tags(image.getexif())) if image.format == "TIFF" else image.info.get("exif", b"")
    return Metadata(exif, profiled)


def save_options(suffix: str, blocks: dict[str, bytes]) -> dict[str, Any]:
    """Returns arguments of Pillow's `Image.save` that write metadata.

    Args:
        suffix: of the file's format, such as ".jpg"; what it cannot hold is left out.
        blocks: of `Metadata.blocks_for`.
    """
    options: dict[str, Any] = dict(blocks)
    exif = options.pop("exif", b"")
    if suffix in (".tif", ".tiff"):
        with suppress(Exception), warnings.catch_warnings(action="ignore"):  # of tags that Pillow does not understand
            tags = Image.Exif()
            tags.load(exif)
            if photo_tags := _photo_tags(
                tags
            ):  # uncompressed: libtiff, which compresses, writes no directories of EXIF
                return {**options, "tiffinfo": photo_tags, "compression": None}
        return options
    if not exif or (suffix in (".jpg", ".jpeg") and len(exif) > MOST_IN_JPEG):
        return options
    return {**options, "exif": exif}


def _photo_tags(tags: Image.Exif) -> dict[int, Any]:
    """Returns the tags about the photo, and the directories of its exposure and its place."""
    photo_tags: dict[int, Any] = {}
    for tag in PHOTO_TAGS:
        if tag in tags:
            value = tags[tag]  # as bytes, since Pillow would write the text "ü" as "?"
            photo_tags[tag] = value.encode("latin-1", "replace") if isinstance(value, str) else value
    return photo_tags | {directory: tags_in for directory in (PHOTO, GPS) if (tags_in := tags.get_ifd(directory))}


def _exif_block(photo_tags: dict[int, Any]) -> bytes:
    """Returns the tags of `_photo_tags` as the block of EXIF that JPEGs have; empty if there are none."""
    exif = Image.Exif()
    for tag, value in photo_tags.items():
        if isinstance(value, dict):
            exif.get_ifd(tag).update(value)
        else:
            exif[tag] = value
    return exif.tobytes() if photo_tags else b""


def _corrected(block: bytes, width: int, height: int, srgb: bool) -> bytes:
    """Returns a block of EXIF with the values of the new picture; empty if it held the orientation only.

    Args:
        block: from its byte order on, without PREFIX.
        width: of the new picture, which is upright, in pixels.
        height: of the new picture, in pixels.
        srgb: whether the new picture was converted to sRGB.

    Raises:
        struct.error, IndexError, ValueError, KeyError: the block is damaged.
    """
    exif = bytearray(block)
    order = {b"II": "<", b"MM": ">"}[block[:2]]

    def number(at: int, kind: str = "I") -> int:
        return struct.unpack_from(order + kind, exif, at)[0]

    def directory(at: int) -> tuple[dict[int, int], int]:
        """Returns tag -> offset of its value, or of the pointer to it; and the offset of the pointer to the next
        directory."""
        count = number(at, "H")
        return {number(at + 2 + 12 * n, "H"): at + 10 + 12 * n for n in range(count)}, at + 2 + 12 * count

    def overwrite(offsets: dict[int, int], tag: int, value: int, kind: int = SHORT) -> None:
        if tag in offsets:
            packed = struct.pack(order + ("I" if kind == LONG else "Hxx"), value)
            struct.pack_into(f"{order}HI4s", exif, offsets[tag] - 6, kind, 1, packed)

    first, following = directory(number(4))
    if first.keys() <= {ORIENTATION}:
        return b""
    overwrite(first, ORIENTATION, 1)
    if PHOTO in first:
        photo, _ = directory(number(first[PHOTO]))
        overwrite(photo, WIDTH, width, LONG)
        overwrite(photo, HEIGHT, height, LONG)
        if srgb:
            overwrite(photo, COLOUR_SPACE, SRGB)
            if INTEROPERABILITY in photo:
                rules, _ = directory(number(photo[INTEROPERABILITY]))
                if 1 in rules:
                    struct.pack_into("4s", exif, rules[1], SRGB_RULES)
    if second := number(following):
        struct.pack_into("I", exif, following, 0)
        with suppress(struct.error, KeyError):  # nothing points to the thumbnail any more, even if it is damaged
            offsets, _ = directory(second)
            start, length = number(offsets[THUMBNAIL]), number(offsets[THUMBNAIL_LENGTH])
            exif[start : start + length] = bytes(len(exif[start : start + length]))
    return bytes(exif)
