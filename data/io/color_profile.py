"""Converts colours to sRGB by the colour profile (ICC) that a picture's file embeds.

A photo in Display P3 or Adobe RGB holds other numbers for the same colours. They are converted when the picture is
read, for training and for translating, so that the networks see the colours that its author saw. Conversions are
relative colorimetric, with black point compensation: colours within sRGB are kept, colours outside are clipped.

A profile is ignored, as browsers do, if it is damaged or belongs to another colour space than the picture (RGB in a
grey picture). Littlecms, which Pillow calls, converts 8 bits a channel: pictures of 16 bits and floats keep their
numbers.
"""

from functools import cache, lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

COLOR_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's mode -> the colour space that a profile states
LATTICE_STEP = 15  # levels between the sample colours by which a profile is compared with sRGB
SAME_WITHIN = 1  # level; there are many profiles of sRGB, which differ by rounding


def in_srgb(image: Image.Image, mode: str, profile: bytes | None) -> Image.Image:
    """Returns the picture in one of the modes L, LA, RGB and RGBA, with its colours converted to sRGB.

    Args:
        image: of any mode that Pillow converts to `mode`; or LAB, whose colours need no profile.
        mode: of the result.
        profile: the ICC profile that the file embeds; None: its numbers are sRGB's already.
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
    """Returns the ICC profile of sRGB, for files; always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes((7, 234, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # its date, 1 January 2026; littlecms writes today's
    return bytes(profile)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns the conversion from a profile to sRGB; None if it would change nothing, or the profile is ignored."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        color_space = source.profile.xcolor_space.strip()  # pyright: ignore[reportAttributeAccessIssue]
        if color_space != COLOR_SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode != "CMYK" and _is_identity(transform, mode) else transform


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Returns whether a conversion changes no colour of a lattice. The name of a profile cannot be used: profiles of
    sRGB have many names."""
    levels = np.arange(0, 256, LATTICE_STEP, dtype=np.uint8)
    colours = np.stack(np.meshgrid(*[levels] * len(mode), indexing="ij"), axis=-1).reshape(1, -1, len(mode))
    image = Image.fromarray(colours if mode == "RGB" else colours[..., 0])
    change = np.asarray(transform.apply(image)).astype(int) - colours
    return bool(np.abs(change).max() <= SAME_WITHIN)
