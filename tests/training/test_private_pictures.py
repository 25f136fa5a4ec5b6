"""No picture of the user's leaves with a model: no pixel that a run was trained on is in its model folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from quagga.cli.main import command_line

LEVEL = 77  # of 255, of every pixel of every picture
MARKER = np.float32(LEVEL) / np.float32(127.5) - np.float32(1)  # what networks are given of it
SMALL = "--images=4 --batch_size=2 --width=4 --width_discriminator=4 --workers=0 --device=cpu --examined=2 --samples=2"
TRANSLATION = "--load_size=16 --crop_size=16 --layers=1 --blocks=2"
TRAINED = {
    "cyclegan": f"cyclegan --root ROOT {TRANSLATION}",
    "pix2pix": f"pix2pix --x ROOT/trainA --y ROOT/trainB {TRANSLATION}",
    "labels": f"pix2pix --x ROOT/trainA --y ROOT/trainB --x_as labels {TRANSLATION}",
    "gan": "gan --root ROOT/trainA --size=16 --z_size=4",
    "class": "conditional --root ROOT/classes --size=16 --z_size=4",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for place in ("trainA", "trainB", "testA", "testB", "classes/horse", "classes/zebra"):
        (folder / place).mkdir(parents=True)
        for n in range(4):
            pixels = np.full((16, 16, 3), LEVEL, np.uint8)
            if place in ("trainA", "testA"):
                pixels[:8] = 9  # two labels
            Image.fromarray(pixels).save(folder / place / f"{n}.png")
    return folder


@pytest.mark.parametrize("name", TRAINED)
def test_no_pixel_of_the_data_is_in_a_saved_model(name, root, tmp_path):
    words = TRAINED[name].replace("ROOT", str(root)).split()
    assert command_line(["train", *words, *SMALL.split(), "--output", str(tmp_path)]) == 0
    found = {
        f"{file.name} {key}": tensor
        for file in (tmp_path / "model").glob("*.safetensors")
        for key, tensor in load_file(file).items()
    }
    assert len(found) > 5 and any(key.startswith("golden.safetensors G.inputs.") for key in found)
    assert [key for key, tensor in found.items() if np.isin(MARKER, tensor)] == []
    if name == "labels":
        planes = found["golden.safetensors G.inputs.x"]
        above, below = planes[..., :8, :], planes[..., 8:, :]
        assert above.std((2, 3)).min() > 0 and below.std((2, 3)).min() > 0  # in the pictures each half has one label
