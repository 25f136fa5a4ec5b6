"""Pictures in, batches out: the datasets, each a file here, and the rooms in which their work is done.

unpaired: two folders of pictures    paired: pictures that belong together
images: pictures alone               conditioned: pictures with a class, attributes or a caption
masked: pictures of which parts are missing
indexed, indexed_rows: what the last two share    options: which options the datasets share

io: files <-> arrays <-> tensors            sources: which pictures there are, which are held out
loading: the order of rows, workers, caches  transforms: cutting, mirroring, inputs, conditions
checks: what spoils a training               synthetic: the drawn horses and zebras
download: published sets

Names are loaded when they are first used, as `Augment` takes a second or two to import.
"""

import warnings
from importlib import import_module
from typing import Any

FACE = {  # name -> module that defines it
    "Augment": "quagga.data.transforms.augment",
    "Conditioned": "quagga.data.conditioned",
    "Conditions": "quagga.data.transforms.conditions",
    "Masked": "quagga.data.masked",
    "PixelFormat": "quagga.data.io.pixel_format",
    "Paired": "quagga.data.paired",
    "Pictures": "quagga.data.images",
    "Rows": "quagga.data.loading.row_order",
    "Sample": "quagga.data.loading.row_order",
    "Unpaired": "quagga.data.unpaired",
    "contact_sheet": "quagga.data.io.contact_sheet",
    "find_pictures": "quagga.data.sources.folders",
    "read_picture": "quagga.data.io.read",
    "to_tensor": "quagga.data.io.tensors",
    "with_floats": "quagga.data.io.tensors",
    "to_uint8": "quagga.data.io.tensors",
}


def __getattr__(name: str) -> Any:
    if name == "Form":
        warnings.warn(
            "quagga.data.Form is PixelFormat now; the old name goes with Quagga 0.3", FutureWarning, stacklevel=2
        )
        name = "PixelFormat"
    if name not in FACE:
        raise AttributeError(f"module 'quagga.data' has no attribute {name!r}")
    return getattr(import_module(FACE[name]), name)
