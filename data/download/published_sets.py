"""The table of the sets that the authors of CycleGAN and of pix2pix published.

Sources, as of 2026:

- Names and contents: the page docs/datasets.md of the authors' repository junyanz/pytorch-CycleGAN-and-pix2pix.
- Sizes and SHA-256 of the zips, and their numbers of pictures: TensorFlow Datasets (cycle_gan), which downloaded them
  from the authors' former address.
- Sizes of two tars: published logs of wget with the answers of the authors' server.

No published SHA-256 of the tars is known. None means not known.
"""

from typing import Literal, NamedTuple

CYCLEGAN = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
PIX2PIX = "https://efrosgans.eecs.berkeley.edu/pix2pix/datasets"

IMAGENET = "ImageNet: for non-commercial research"
FLICKR = "Flickr: the photographers' rights"
WIKIART = "WikiArt and Flickr: their owners' rights"
GOOGLE = "Google Maps: Google's rights"
FACADES = "CMP Facades, Tylecek and Sara 2013"


class Published(NamedTuple):
    """A set that can be downloaded.

    Args:
        kind: "unpaired" unpacks to trainA, trainB, testA, testB; "side by side" to train and val, of two pictures in
            one file each.
        url: address of the archive, a zip or a tar.gz.
        size: of the archive, in bytes.
        sha256: of the archive, in hexadecimal.
        pictures: number of files in trainA, trainB, testA and testB together; of pairs, in train, val and test.
        about: what the pictures show.
        rights: where the set is from, and what its users must observe.
    """

    kind: Literal["unpaired", "side by side"]
    url: str
    size: int | None
    sha256: str | None
    pictures: int | None
    about: str
    rights: str


def _zip(name: str, size: int | None, sha256: str | None, pictures: int | None, about: str, rights: str) -> Published:
    return Published("unpaired", f"{CYCLEGAN}/{name}.zip", size, sha256, pictures, about, rights)


def _tar(name: str, size: int | None, pictures: int | None, about: str, rights: str) -> Published:
    return Published("side by side", f"{PIX2PIX}/{name}.tar.gz", size, None, pictures, about, rights)


SETS = {  # name of a set, and of its folder -> the set; two sets of pairs are published under names of unpaired sets
    "apple2orange": _zip(
        "apple2orange",
        78_456_409,
        "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
        2528,
        "apples | oranges",
        IMAGENET,
    ),
    "horse2zebra": _zip(
        "horse2zebra",
        116_867_962,
        "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
        2661,
        "horses | zebras",
        IMAGENET,
    ),
    "summer2winter_yosemite": _zip(
        "summer2winter_yosemite",
        132_640_856,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
        2740,
        "Yosemite in summer | in winter",
        FLICKR,
    ),
    "monet2photo": _zip(
        "monet2photo",
        305_231_073,
        "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
        8231,
        "Monet | landscapes",
        WIKIART,
    ),
    "cezanne2photo": _zip(
        "cezanne2photo",
        279_885_071,
        "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
        7621,
        "Cezanne | landscapes",
        WIKIART,
    ),
    "ukiyoe2photo": _zip(
        "ukiyoe2photo",
        292_946_532,
        "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
        7863,
        "Ukiyo-e | landscapes",
        WIKIART,
    ),
    "vangogh2photo": _zip(
        "vangogh2photo",
        306_590_349,
        "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
        7838,
        "Van Gogh | landscapes",
        WIKIART,
    ),
    "iphone2dslr_flower": _zip(
        "iphone2dslr_flower",
        339_964_458,
        "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
        6186,
        "flowers, by phone | by camera",
        FLICKR,
    ),
    "maps": _zip(
        "maps",
        1_476_754_427,
        "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
        4388,
        "aerial photos | maps",
        GOOGLE,
    ),
    "facades": _zip(
        "facades",
        35_135_868,
        "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
        1012,
        "photos of facades | their labels",
        FACADES,
    ),
    "ae_photos": _zip("ae_photos", None, None, None, "photos to try the painters on", FLICKR),
    "facades_pairs": _tar("facades", 30_168_306, 606, "photo of a facade | its labels", FACADES),
    "maps_pairs": _tar("maps", 250_242_400, 2194, "aerial photo | map", GOOGLE),
    "edges2shoes": _tar("edges2shoes", None, None, "edges | shoe", "UT Zappos50K: for academic use, cite it"),
    "edges2handbags": _tar("edges2handbags", None, None, "edges | handbag", "iGAN project, from Amazon: their rights"),
    "night2day": _tar("night2day", None, None, "night | day", "Transient Attributes, Laffont et al. 2014"),
}
NOT_OFFERED = {  # name -> why, and where to get it
    "cityscapes": "its licence asks everyone to register: download it from https://www.cityscapes-dataset.com",
}
