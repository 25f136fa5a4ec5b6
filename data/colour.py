"""Colours as sRGB has them, whatever profile (ICC) a picture's file embeds.

A photo in Display P3 or Adobe RGB holds other numbers for the same colours. They are converted when a picture is read,
for training and translating alike, so that the networks see the colours that its author saw. Conversions are relative
colorimetric, with black point compensation: colours within sRGB are kept, what lies outside is clipped.

A profile is ignored, as browsers do, where it is damaged, or for another kind of colours than the picture's (one of RGB
in a grey picture). Littlecms behind Pillow converts 8 bits a channel: pictures of 16 bits and floats keep their
numbers.
"""

from functools import cache, lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's mode -> the kind of colours that a profile states
STEP = 15  # levels between the colours by which a profile is compared with sRGB
SAME = 1  # level; sRGB's own profiles, of which there are many, differ by rounding


def in_srgb(image: Image.Image, mode: str, profile: bytes | None) -> Image.Image:
    """The picture converted to one of the modes L, LA, RGB and RGBA, its colours to sRGB; opacity stays as it is.

    Args:
        image: Of any mode that Pillow converts to `mode`; or LAB, whose colours need no profile.
        mode: What it becomes.
        profile: The one that its file embeds; None: none, its numbers are taken for sRGB's.
    """
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image).convert(mode)
    source = "CMYK" if image.mode == "CMYK" else mode.removesuffix("A")
    transform = _transform(profile, source) if profile else None
    if transform is None:
        return image.convert(mode)
    plain = image if source == "CMYK" else image.convert(mode)
    converted = transform.apply(plain.convert(source))
    if source == "L":
        converted = converted.getchannel("G")  # grey became R = G = B
    if mode.endswith("A"):
        converted.putalpha(plain.getchannel("A"))
    return converted


@cache
def srgb_profile() -> bytes:
    """The profile of sRGB for files, always the same bytes."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = bytes((7, 234, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # its date, 1 January 2026; littlecms writes today's
    return bytes(made)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB's RGB; None where the numbers are sRGB's already, or the profile is of no use."""
    try:
        found = ImageCms.ImageCmsProfile(BytesIO(profile))
        if found.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            found,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode != "CMYK" and _keeps(transform, mode) else transform


def _keeps(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether no colour of a lattice moves. What a profile calls itself does not tell: there are many names for
    sRGB."""
    levels = np.arange(0, 256, STEP, dtype=np.uint8)
    colours = np.stack(np.meshgrid(*[levels] * len(mode), indexing="ij"), axis=-1).reshape(1, -1, len(mode))
    image = Image.fromarray(colours if mode == "RGB" else colours[..., 0])
    moved = np.asarray(transform.apply(image)).astype(int) - colours
    return bool(np.abs(moved).max() <= SAME)
