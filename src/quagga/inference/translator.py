"""A trained model as a function from pictures to pictures.

>>> to_zebra = quagga.load("runs/zebras", to="zebra")
>>> to_zebra(Image.open("horse.jpg")).save("zebra.png")
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from quagga.data.io.metadata import metadata_of
from quagga.data.io.pixel_format import NATURAL_RANGES, Fitted, PixelFormat
from quagga.data.io.read import read_fitted, to_fitted, to_native
from quagga.data.io.tensors import to_pixel_format, to_tensor, to_uint8
from quagga.data.transforms.conditions import Conditions
from quagga.data.transforms.derived_inputs import DerivedInput, derive_input
from quagga.data.transforms.label_maps import label_indices, label_planes, label_values, read_label_values
from quagga.data.transforms.side_by_side import CUTS
from quagga.errors import BadInput
from quagga.fields import field_of
from quagga.inference.channels import array_to_channels, squeeze_channel, tensor_to_channels
from quagga.inference.device import TILE, explain_out_of_memory
from quagga.inference.finite_checks import check_finite_output
from quagga.inference.predictor import Precision as Precision
from quagga.inference.predictor import Predictor, encode_conditions
from quagga.inference.resolution import Resolution, at_network_size, network_size, translate_at_size
from quagga.inference.tiling import forward_in_strips, supports_strips

MAX_ABS_VALUE = 1.5  # bicubic resizing leaves [-1, 1] by a little; pictures in 0..255 leave it by a lot


@dataclass
class Translator:
    """Translates pictures of any width and height, each into one of the same size.

    Args:
        predictor: The export that translates, of pictures and perhaps a condition.
        source: Name of the domain it takes ("horse").
        target: Name of the domain it gives ("zebra").
        input_format: Channels, kind and value range of the pictures it takes; others are converted.
        output_format: Channels, kind and value range of the pictures it gives.
        resolution: At which size a picture goes through the network: "model" (the scale of training; the change is
            carried back to the picture's own size), "full" (its own), or the pixels of its shorter side.
        tile: A picture of more than tile x tile pixels goes through the network in strips, at the memory of one of that
            size; None: always whole.
        preprocessing: The `preprocessing` of model.json: the scale of training.
        input: How the network's input is made of the picture: a label map becomes one plane for each label.
        from_photo: Whether it takes photos of the target domain and draws their edges first.
        progress: Is called after each strip of a picture that goes in strips, with the share of the work that is done,
            0 to 1; None: nothing is called.
    """

    predictor: Predictor
    source: str
    target: str
    input_format: PixelFormat
    output_format: PixelFormat
    resolution: Resolution = "model"
    tile: int | None = TILE
    preprocessing: dict[str, Any] = field(default_factory=dict, repr=False)
    input: DerivedInput = field(default_factory=DerivedInput, repr=False)
    from_photo: bool = False
    progress: Callable[[float], object] | None = field(default=None, repr=False)

    @property
    def network(self) -> nn.Module:
        """The generator, in eval mode on `device`."""
        return self.predictor.network

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.predictor.device

    @property
    def channels(self) -> int:
        """Number of channels of the tensors it takes; a label map has a plane for each label."""
        return len(self.input.labels) or self.input_format.channels

    @cached_property
    def conditions(self) -> Conditions | None:
        """The conditions that a picture is translated to; None: it takes none."""
        found = field_of(self.predictor.inputs, "condition")
        return Conditions.of(found) if found else None

    @property
    def target_channels(self) -> int:
        """Number of channels of the pictures it gives."""
        return self.output_format.channels

    @overload
    def __call__(self, picture: Image.Image, condition: str | None = None) -> Image.Image: ...
    @overload
    def __call__(self, picture: np.ndarray, condition: str | None = None) -> np.ndarray: ...
    @overload
    def __call__(self, picture: Tensor, condition: str | None = None) -> Tensor: ...
    def __call__(self, picture, condition=None):
        """Returns the picture as it would look in the target domain, as the same kind of object.

        Args:
            picture: One of
                a PIL image of any mode, turned upright if its EXIF says how, and converted to sRGB by its profile; the
                    result holds both in its `info`, as Pillow does (`zebra.save(path, exif=zebra.info["exif"])`);
                an array `(H, W)` or `(H, W, C)`, of integers, or floating;
                a tensor `(C, H, W)` or `(N, C, H, W)`, floating in [-1, 1], on any device.
            condition: What it shall show, as text that `Conditions.encode` reads: "blond". None where the model takes
                no condition.

        Numbers of the source's own kind are read by its value range, others by that of their kind (uint8 0..255, uint16
        0..65535, floats 0..1). The result has the target's kind and value range; floats that are not the source's own
        kind become floats in [0, 1], as numpy's image libraries have them.

        Label maps are integers, or images, of the labels of training; tensors are their planes, 1 or -1.

        Raises:
            BadInput: the picture is none of these, its result fits no such object, it is too large for the memory, the
                condition is missing, unknown or one too many, or the network makes values that are not finite.
        """
        c = self.condition(condition)
        if isinstance(picture, Image.Image):
            return self._translate_image(picture, c)
        if isinstance(picture, np.ndarray):
            return self._translate_array(picture, c)
        if isinstance(picture, Tensor):
            return self._translate_batch(picture, c)
        raise BadInput(f"a picture is a PIL image, a numpy array or a tensor, not {type(picture).__name__}")

    def condition(self, text: str | None) -> Tensor | None:
        """Encodes a condition, (1, ...); None where the model takes none.

        Raises:
            BadInput: it is unknown, missing, or given to a model that takes none.
        """
        return encode_conditions(self.conditions, text, 1, f"{self.source} to {self.target}")

    def verify(self) -> float:
        """Replays the golden input, see `Predictor.verify`."""
        return self.predictor.verify()

    def translate(self, picture: Fitted, c: Tensor | None = None) -> np.ndarray:
        """Translates a picture that `read` has returned, with a condition that `condition` has -> (H, W, C) in
        `output_format`.

        Raises:
            BadInput: it holds labels that training has not seen, is too large for the memory, or the network makes
                values of it that are not finite.
        """
        return to_pixel_format(self._translate_tensor(*self._as_tensor(picture), c)[0], self.output_format)

    def network_input(self, picture: Fitted) -> Tensor:
        """Returns what the network is given of a picture that `read` has returned, (1, C, h, w) in [-1, 1], at the size
        at which it goes through the network. Raises BadInput as `translate` does."""
        x, prepare = self._as_tensor(picture)
        height, width = x.shape[-2:]
        size = network_size(self.resolution, height, width, self.preprocessing)
        return prepare(at_network_size(size, x, self.input.kind == "labels"))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Calls the network, in strips where the pictures are large: (N, C, H, W) in [-1, 1], and a condition for all,
        (1, ...) -> (N, C', H, W) in [-1, 1], on the device. Raises BadInput as `translate` does."""
        with explain_out_of_memory(x.shape[3], x.shape[2], self.device), torch.inference_mode():
            return self._forward(x, c)

    def _as_tensor(self, picture: Fitted) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Returns a picture as a tensor (1, C, H, W), and what makes the network's input of it, at the network's
        size."""
        if self.input.kind != "labels":
            return to_tensor(picture.pixels).unsqueeze(0), self._prepare
        try:
            indices = label_indices(picture.pixels, self.input)
        except ValueError as error:
            raise BadInput(f"this picture: {error}") from None
        return torch.from_numpy(indices).permute(2, 0, 1).unsqueeze(0).float(), self._label_planes

    def _prepare(self, x: Tensor) -> Tensor:
        """Draws the edges of photos, or does nothing."""
        return self._edges_of(x) if self.from_photo else x

    def read(self, path: Path, side: Literal["left", "right", "whole"] | None = None) -> Fitted:
        """Reads a file for `translate`.

        Args:
            path: The file.
            side: Which half of a pair side by side; "whole" and None read all of it.

        Raises:
            BadInput: it cannot be read, or cannot be converted to `input_format`.
        """
        if self.input.kind == "labels":
            return Fitted(read_label_values(path, CUTS[side]), 0)
        return read_fitted(path, self.input_format, cut=CUTS[side])

    def _to_fitted(self, picture: Image.Image | np.ndarray) -> Fitted:
        """Converts a picture in memory as `read` converts one in a file."""
        if self.input.kind != "labels":
            return to_fitted(picture, self.input_format)
        try:
            return Fitted(label_values(to_native(picture, as_stored=True)), 0)
        except ValueError as error:
            raise BadInput(f"this picture: {error}") from None

    def _translate_image(self, picture: Image.Image, c: Tensor | None) -> Image.Image:
        channels, kind = self.output_format.channels, self.output_format.kind
        if not (kind == "uint8" and channels in (1, 3, 4)) and channels != 1:
            raise BadInput(
                f"a PIL image cannot hold {self.target}, {channels} channels of {kind}: give an array or a tensor, or"
                " use `quagga translate`"
            )
        result = Image.fromarray(squeeze_channel(self.translate(self._to_fitted(picture), c)))
        result.info.update(metadata_of(picture).blocks_for(*result.size, result.mode != "L"))
        return result

    def _translate_array(self, picture: np.ndarray, c: Tensor | None) -> np.ndarray:
        if picture.ndim not in (2, 3) or 0 in picture.shape:
            raise BadInput(f"an array of shape {picture.shape} is no picture: expected (H, W) or (H, W, C)")
        kind = "float32" if picture.dtype.kind == "f" else str(picture.dtype.newbyteorder("="))
        if self.input.kind == "labels":
            result = self.translate(self._to_fitted(picture), c)
        elif kind == "float32" and not self.input_format.owns(kind):
            result = self._translate_unit_floats(picture, c)
        elif kind in NATURAL_RANGES or (kind == "int16" and self.input_format.kind != "uint8"):
            result = self.translate(self._to_fitted(picture), c)
        else:
            raise BadInput(
                f"an array of {picture.dtype} is not understood: give {self.input_format.kind} as the model's own"
                " pictures have, uint8 or uint16, or floating values in [0, 1]"
            )
        return squeeze_channel(result) if picture.ndim == 2 else result

    def _translate_unit_floats(self, picture: np.ndarray, c: Tensor | None) -> np.ndarray:
        """Floats in [0, 1], (H, W) or (H, W, C) -> (H, W, C') of the same type in [0, 1]"""
        if not (picture.min() >= 0 and picture.max() <= 1):
            raise BadInput(
                f"the array reaches from {picture.min():.4g} to {picture.max():.4g}: floating arrays are in [0, 1];"
                " give uint8 for 0..255, or a tensor for [-1, 1]"
            )
        pixels = array_to_channels(picture.astype(np.float32), self.channels)
        x = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0) * 2 - 1
        y = self._translate_tensor(x, self._prepare, c)[0]
        return ((y + 1) / 2).permute(1, 2, 0).cpu().numpy().astype(picture.dtype)

    def _translate_batch(self, picture: Tensor, c: Tensor | None) -> Tensor:
        if picture.ndim not in (3, 4) or 0 in picture.shape:
            raise BadInput(
                f"a tensor of shape {tuple(picture.shape)} is no picture: expected (C, H, W) or (N, C, H, W)"
            )
        if not picture.is_floating_point():
            raise BadInput(f"a tensor of {picture.dtype} is not understood: give floating values in [-1, 1]")
        largest = picture.detach().abs().max().item()
        if not largest <= MAX_ABS_VALUE:
            raise BadInput(
                f"the tensor reaches {largest:.4g}: tensors are in [-1, 1], for 0..255 give a numpy uint8 array"
            )
        x = tensor_to_channels(picture.detach(), self.channels)
        y = self._translate_tensor(x if x.ndim == 4 else x.unsqueeze(0), self._prepare, c)
        # The copy is an ordinary tensor, which may take part in a loss; one made in inference mode may not.
        return (y if x.ndim == 4 else y.squeeze(0)).to(picture.device, picture.dtype).clone()

    def _label_planes(self, x: Tensor) -> Tensor:
        return label_planes(x, len(self.input.labels))

    def _edges_of(self, x: Tensor) -> Tensor:
        """Photos (N, C, H, W) -> their edges (N, 1, H, W), as training drew them."""
        return torch.stack([to_tensor(derive_input(to_uint8(one), "edges")) for one in x])

    def _translate_tensor(self, x: Tensor, prepare: Callable[[Tensor], Tensor], c: Tensor | None) -> Tensor:
        """(N, C, H, W) in [-1, 1] and a condition for all, (1, ...) -> (N, C', H, W) in [-1, 1], float32 also within a
        caller's autocast. `prepare` turns the picture, at the network's size, into the network's input."""
        height, width = x.shape[-2:]
        size = network_size(self.resolution, height, width, self.preprocessing)
        add_change, labels = self.preprocessing.get("carry") is not False, self.input.kind == "labels"
        with explain_out_of_memory(width, height, self.device), torch.inference_mode():
            return translate_at_size(size, x, lambda small: self._forward(prepare(small), c), add_change, labels)

    def _forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """(N, C, H, W) and (1, ...) -> (N, C', H, W) on the device: calls the network, in strips where the picture is
        large."""
        takes_strips = c is None and supports_strips(self.predictor.in_mode)
        if takes_strips and self.tile and x.shape[2] * x.shape[3] > self.tile**2:
            strips = [self._forward_in_strips(one, self.tile, n, len(x)) for n, one in enumerate(x.split(1))]
            return check_finite_output(torch.cat(strips), self.predictor.title)
        inputs = {field.name: x for field in self.predictor.inputs if field.kind == "picture"}
        if c is not None:
            inputs |= {
                field.name: c.expand(len(x), *c.shape[1:])
                for field in self.predictor.inputs
                if field.kind == "condition"
            }
        y = self.predictor(**inputs)
        if y.shape[-2:] != x.shape[-2:]:
            raise BadInput(
                f"the network made {y.shape[-1]}x{y.shape[-2]} pixels of {x.shape[-1]}x{x.shape[-2]}:"
                " it must pad its input and crop its output itself"
            )
        return y

    def _forward_in_strips(self, x: Tensor, tile: int, number: int, count: int) -> Tensor:
        """Calls the network with picture `number` of `count`, (1, C, H, W) -> (1, C', H, W)."""

        def report(share: float) -> None:
            if self.progress:
                self.progress((number + share) / count)

        with torch.autocast(self.device.type, enabled=False):  # of the code that surrounds the call
            return forward_in_strips(self.predictor.in_mode, x, tile, report)
