"""Pictures in, batches out. Each module is one concept:

form: channels, kind and value range of a domain   decode: files -> arrays, every mode by a table
colour: into sRGB, by the profile of a file        metadata: EXIF, from a photo to what is made of it
tensors: numbers <-> values in [-1, 1]             arrays, tiff: what Pillow and OpenCV do not read; write: files
folders: which pictures are there, held-out ones   look: what is to be known of them before training
rows: what a run sees, in which order              feed: rows in batches, by workers or a thread
augment: scale, cut, mirror, and what is declared
unpaired: two folders of pictures                  preview: contact sheets
conditioned: pictures with a condition each        pictures: pictures alone
conditions: classes, attributes, captions as numbers
collection, idx, table, labels, dataset: where pictures and their conditions are found
gallery: pictures by number                        deck: the rows drawn from them
embedded: horses and zebras drawn in code, with the truth
published: the sets of the papers' authors         download, archive: a file from a server, unpacked with distrust
check: what is wrong with a set of pictures

Names are loaded when they are first used, as `augment` takes a second or two to import.
"""

from importlib import import_module
from typing import Any

FACE = {  # name -> module that defines it
    "Augment": "quagga.data.augment",
    "Conditioned": "quagga.data.conditioned",
    "Conditions": "quagga.data.conditions",
    "Form": "quagga.data.form",
    "Pictures": "quagga.data.pictures",
    "Unpaired": "quagga.data.unpaired",
    "contact_sheet": "quagga.data.preview",
    "find_pictures": "quagga.data.folders",
    "read_picture": "quagga.data.decode",
    "to_tensor": "quagga.data.tensors",
    "with_floats": "quagga.data.tensors",
    "to_uint8": "quagga.data.tensors",
}


def __getattr__(name: str) -> Any:
    if name not in FACE:
        raise AttributeError(f"module 'quagga.data' has no attribute {name!r}")
    return getattr(import_module(FACE[name]), name)
