"""A trained model as a function from pictures to pictures.

>>> to_zebra = quagga.load("runs/zebras", to="zebra")
>>> to_zebra(Image.open("horse.jpg")).save("zebra.png")
"""

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, overload

import jsonargparse
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from quagga import BadInput
from quagga.data.decode import read_fitted, to_fitted, to_native
from quagga.data.form import NATURAL, Fitted, Form, Native, fitting_channels
from quagga.data.inputs import CUTS, Input, indices, input_of, label_values, made_of, planes, values_in
from quagga.data.metadata import metadata_of
from quagga.data.tensors import to_form, to_tensor, to_uint8
from quagga.models.modes import Mode, in_mode, used
from quagga.pipelines.cli import PIPELINES
from quagga.pipelines.finite import checked, sound
from quagga.pipelines.model_folder import CARD, GOLDEN, ModelFolder, mode_of
from quagga.pipelines.resolution import Resolution, size_for, translated_at
from quagga.pipelines.tiles import can_be_cut, in_strips

GOLDEN_TOLERANCE = 1e-3  # of a range of 2; other processors differ by about 1e-5, a damaged weight by far more
TILE = 1024  # pixels a side; a picture of so many takes a ResNet of width 64 about 1 GB, in strips as one piece
LEAST_TILE = 32
BYTES_PER_PIXEL = 1000  # of such a ResNet's maps: 0.94 GB at 1024 x 1024
PLAIN = Mode()
Precision = Literal["no", "bf16"]
OVERSHOOT = 1.5  # bicubic resizing leaves [-1, 1] by a little; pictures in 0..255 leave it by a lot


@dataclass
class Translator:
    """Translates pictures of any width and height, each into one of the same size.

    Args:
        network: The generator, in eval mode on `device`.
        source: Name of the domain it takes ("horse").
        target: Name of the domain it gives ("zebra").
        takes: Channels, kind and value range of the pictures it takes; others are converted.
        gives: Channels, kind and value range of the pictures it gives.
        device: Where it runs.
        golden: An input `(N, C, H, W)` and what the network gave for it when it was saved.
        resolution: At which size a picture goes through the network: "model" (the scale of training; the change is
            carried back to the picture's own size), "full" (its own), or the pixels of its shorter side.
        tile: A picture of more than tile x tile pixels goes through the network in strips, at the memory of one of that
            size; None: always whole.
        preprocessing: What model.json says of the scale of training.
        input: What the pictures it takes are made of: of a label map its planes are given to the network.
        mode: Whether dropout is on, and which statistics batch normalisation takes.
        own_mode: What the model says of that, with which its golden picture was made.
        from_photo: Whether it takes photos of the target domain and draws their edges first.
        mixed_precision: "bf16": products in 16 bits, but for pictures that go in strips; "no": all in float32.
        progress: Is told, after each strip of a picture that goes in strips, what share of the work is done, 0 to 1;
            None: nobody is.
    """

    network: nn.Module = field(repr=False)
    source: str
    target: str
    takes: Form
    gives: Form
    device: torch.device
    golden: tuple[Tensor, Tensor] = field(repr=False)
    resolution: Resolution = "model"
    tile: int | None = TILE
    preprocessing: dict[str, Any] = field(default_factory=dict, repr=False)
    input: Input = field(default_factory=Input, repr=False)
    mode: Mode = PLAIN
    own_mode: Mode = PLAIN
    from_photo: bool = False
    mixed_precision: Precision = "no"
    progress: Callable[[float], object] | None = field(default=None, repr=False)

    @property
    def channels(self) -> int:
        """Of the tensors it takes; a label map has a plane for each label."""
        return len(self.input.labels) or self.takes.channels

    @property
    def target_channels(self) -> int:
        """Of the pictures it gives."""
        return self.gives.channels

    @overload
    def __call__(self, picture: Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, picture: np.ndarray) -> np.ndarray: ...
    @overload
    def __call__(self, picture: Tensor) -> Tensor: ...
    def __call__(self, picture):
        """The picture as it would look in the target domain, as the same kind of object.

        Args:
            picture: One of
                a PIL image of any mode, turned upright if it says how, and converted to sRGB by its profile; what is
                    made of it holds both in its `info`, as Pillow does (`made.save(path, exif=made.info["exif"])`);
                an array `(H, W)` or `(H, W, C)`, of integers, or floating;
                a tensor `(C, H, W)` or `(N, C, H, W)`, floating in [-1, 1], on any device.

        Numbers of the source's own kind are read by its value range, others by that of their kind (uint8 0..255, uint16
        0..65535, floats 0..1). What comes out is of the target's kind and value range; floats that are not the source's
        own kind become floats in [0, 1], as numpy's image libraries have them.

        Label maps are integers, or images, of the labels of training; tensors are their planes, 1 or -1.

        Raises:
            BadInput: not such a picture, none that can be given back as such an object, or too large for the memory; or
                the network makes values of it that are not finite.
        """
        if isinstance(picture, Image.Image):
            return self._image(picture)
        if isinstance(picture, np.ndarray):
            return self._array(picture)
        if isinstance(picture, Tensor):
            return self._tensor(picture)
        raise BadInput(f"a picture is a PIL image, a numpy array or a tensor, not {type(picture).__name__}")

    def verify(self) -> float:
        """Replays the golden input. Returns the largest deviation from the golden output, in a range of 2.

        Raises:
            BadInput: it deviates by more than 0.001: weights, code or machine are not what they were.
        """
        x, expected = self.golden
        # TensorFloat-32 alone would deviate by more than a damaged weight does.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            as_saved = replace(self, mode=self.own_mode, mixed_precision="no")
            deviation = (as_saved._run(x, "full", _as_it_is).cpu() - expected).abs().max().item()
        if not deviation <= GOLDEN_TOLERANCE:
            raise BadInput(
                f"the model {self.source} to {self.target} no longer gives what it gave when it was saved: it deviates"
                f" by {deviation:.2g}, allowed is {GOLDEN_TOLERANCE}; copy the model again or use the Quagga it is from"
            )
        return deviation

    def translated(self, picture: Fitted) -> np.ndarray:
        """A picture in the source's form, as `read` gives it -> (H, W, C) in the target's form.

        Raises:
            BadInput: it holds labels that training has not seen, is too large for the memory, or the network makes
                values of it that are not finite.
        """
        if self.input.kind != "labels":
            return to_form(self._run(to_tensor(picture.pixels).unsqueeze(0))[0], self.gives)
        try:
            places = indices(picture.pixels, self.input)
        except ValueError as error:
            raise BadInput(f"this picture: {error}") from None
        x = torch.from_numpy(places).permute(2, 0, 1).unsqueeze(0).float()
        return to_form(self._run(x, prepare=self._planes)[0], self.gives)

    def read(self, path: Path, side: Literal["left", "right", "whole"] | None = None) -> Fitted:
        """The picture in a file as `translated` takes it, or of a pair side by side the one on a side. "whole" and None
        take all of it.

        Raises:
            BadInput: it cannot be read, or not as a picture of the source.
        """
        if self.input.kind == "labels":
            return Fitted(values_in(path, CUTS[side]), 0)
        return read_fitted(path, self.takes, cut=CUTS[side])

    def _fitted(self, picture: Image.Image | np.ndarray) -> Fitted:
        """A picture that is in memory already, as `read` has one of a file."""
        if self.input.kind != "labels":
            return to_fitted(picture, self.takes)
        try:
            return Fitted(label_values(to_native(picture, as_stored=True)), 0)
        except ValueError as error:
            raise BadInput(f"this picture: {error}") from None

    def _image(self, picture: Image.Image) -> Image.Image:
        channels, kind = self.gives.channels, self.gives.kind
        if not (kind == "uint8" and channels in (1, 3, 4)) and channels != 1:
            raise BadInput(
                f"a PIL image cannot hold {self.target}, {channels} channels of {kind}: give an array or a tensor, or"
                " use `quagga translate`"
            )
        made = Image.fromarray(_without_single_channel(self.translated(self._fitted(picture))))
        made.info.update(metadata_of(picture).told(*made.size, made.mode != "L"))
        return made

    def _array(self, picture: np.ndarray) -> np.ndarray:
        if picture.ndim not in (2, 3) or 0 in picture.shape:
            raise BadInput(f"an array of shape {picture.shape} is no picture: expected (H, W) or (H, W, C)")
        kind = "float32" if picture.dtype.kind == "f" else str(picture.dtype.newbyteorder("="))
        if self.input.kind == "labels":
            result = self.translated(self._fitted(picture))
        elif kind == "float32" and not self.takes.owns(kind):
            result = self._unit(picture)
        elif kind in NATURAL or (kind == "int16" and self.takes.kind != "uint8"):
            result = self.translated(self._fitted(picture))
        else:
            raise BadInput(
                f"an array of {picture.dtype} is not understood: give {self.takes.kind} as the model's own pictures"
                " have, uint8 or uint16, or floating values in [0, 1]"
            )
        return _without_single_channel(result) if picture.ndim == 2 else result

    def _unit(self, picture: np.ndarray) -> np.ndarray:
        """Floats in [0, 1], (H, W) or (H, W, C) -> (H, W, C') of the same type in [0, 1]"""
        if not (picture.min() >= 0 and picture.max() <= 1):
            raise BadInput(
                f"the array reaches from {picture.min():.4g} to {picture.max():.4g}: floating arrays are in [0, 1];"
                " give uint8 for 0..255, or a tensor for [-1, 1]"
            )
        pixels = _float_to_channels(picture.astype(np.float32), self.channels)
        y = self._run(torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0) * 2 - 1)[0]
        return ((y + 1) / 2).permute(1, 2, 0).cpu().numpy().astype(picture.dtype)

    def _tensor(self, picture: Tensor) -> Tensor:
        if picture.ndim not in (3, 4) or 0 in picture.shape:
            raise BadInput(
                f"a tensor of shape {tuple(picture.shape)} is no picture: expected (C, H, W) or (N, C, H, W)"
            )
        if not picture.is_floating_point():
            raise BadInput(f"a tensor of {picture.dtype} is not understood: give floating values in [-1, 1]")
        reach = picture.detach().abs().max().item()
        if not reach <= OVERSHOOT:
            raise BadInput(
                f"the tensor reaches {reach:.4g}: tensors are in [-1, 1], for 0..255 give a numpy uint8 array"
            )
        x = _tensor_to_channels(picture.detach(), self.channels)
        y = self._run(x if x.ndim == 4 else x.unsqueeze(0))
        # The copy is an ordinary tensor, which may take part in a loss; one made in inference mode may not.
        return (y if x.ndim == 4 else y.squeeze(0)).to(picture.device, picture.dtype).clone()

    def _planes(self, x: Tensor) -> Tensor:
        return planes(x, len(self.input.labels))

    def _edges(self, x: Tensor) -> Tensor:
        """Photos (N, C, H, W) -> their edges (N, 1, H, W), as training drew them."""
        return torch.stack([to_tensor(made_of(to_uint8(one), "edges")) for one in x])

    def _run(
        self,
        x: Tensor,
        resolution: Resolution | None = None,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> (N, C', H, W) in [-1, 1], float32 whatever surrounds the call. What is to be done
        at the size of the network, `prepare` does."""
        prepare = prepare or (self._edges if self.from_photo else _as_it_is)
        carry, labels = self.preprocessing.get("carry") is not False, self.input.kind == "labels"
        height, width = x.shape[-2:]
        size = size_for(resolution or self.resolution, height, width, self.preprocessing)
        plainly = torch.autocast(self.device.type, enabled=False)  # whatever surrounds the call
        ends, narrow = f"{self.source} to {self.target}", self.mixed_precision == "bf16"

        def through(small: Tensor) -> Tensor:
            return checked(self._through(prepare(small)), ends, narrow)

        with _memory_in_words(width, height, self.device), torch.inference_mode(), plainly:
            return translated_at(size, x, through, carry, labels)

    def _through(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W) on the device: the network itself, in strips where the picture is large."""
        if self.tile and x.shape[2] * x.shape[3] > self.tile**2 and can_be_cut(self.network):
            return torch.cat([self._in_strips(one, self.tile, n, len(x)) for n, one in enumerate(x.split(1))])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision == "bf16"):
            y = used(self.network, x.to(self.device, torch.float32), self.mode).float()
        if y.shape[-2:] != x.shape[-2:]:
            raise BadInput(
                f"the network made {y.shape[-1]}x{y.shape[-2]} pixels of {x.shape[-1]}x{x.shape[-2]}:"
                " it must pad its input and crop its output itself"
            )
        return y

    def _in_strips(self, x: Tensor, tile: int, number: int, count: int) -> Tensor:
        """Picture `number` of `count`, (1, C, H, W) -> (1, C', H, W)."""

        def tell(share: float) -> None:
            if self.progress:
                self.progress((number + share) / count)

        with in_mode(self.network, self.mode):
            return in_strips(self.network, x, tile, tell)


def load_translation(
    folder: ModelFolder, name: str, device: str | torch.device | None, build: Callable[..., Any] | None
) -> Translator:
    """The translation whose network is called `name`. Raises BadInput as `load` does."""
    place = pick_device(device)
    source, target = (folder.domains[letter] for letter in folder.translations[name])
    made = input_of(source, folder.path / CARD)
    network = generator_of(folder, name, build).to(place)
    return Translator(
        network=network,
        source=source["name"],
        target=target["name"],
        takes=made.form if made.kind == "labels" else form_of(source),
        gives=form_of(target),
        device=place,
        golden=_golden(folder, name, source["channels"], target["channels"]),
        preprocessing=folder.preprocessing,
        input=made,
        mode=mode_of(folder.options),
        own_mode=mode_of(folder.options),
    )


def _as_it_is(x: Tensor) -> Tensor:
    return x


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device that is asked for, or the best there is.

    Raises:
        BadInput: it is not there.
    """
    if device is None:
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        place = torch.device(device)
    except RuntimeError:
        raise BadInput(f"device '{device}' is unknown: choose cuda, cuda:0, mps or cpu") from None
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (place.index or 0) >= counts.get(place.type, 0):
        there = ", ".join(f"{kind} ({count})" for kind, count in counts.items() if count)
        raise BadInput(f"device '{device}' is not on this machine, which has {there}: choose one, or none for the best")
    return place


def form_of(domain: dict[str, Any]) -> Form:
    """Of a domain in model.json; those of before other kinds were known say no more than their channels."""
    low, high = domain.get("value_range", (0, 255))
    return Form(domain["channels"], domain.get("kind", "uint8"), (float(low), float(high)))


def _golden(folder: ModelFolder, name: str, channels: int, target_channels: int) -> tuple[Tensor, Tensor]:
    """The fixed input of a translation and its output, which also show whether model.json states the channels right."""
    tensors = folder.tensors(GOLDEN)
    x, y = (tensors.get(f"{name}.{end}", torch.empty(0)) for end in ("input", "output"))
    if x.ndim != 4 or y.shape != (x.shape[0], target_channels, *x.shape[2:]) or x.shape[1] != channels:
        raise BadInput(
            f"{folder.path / GOLDEN} does not fit model.json: it holds {tuple(x.shape)} to {tuple(y.shape)} for {name},"
            f" expected {channels} and {target_channels} channels; copy the model again"
        )
    return x, y


def _builder(folder: ModelFolder) -> Callable[..., Any]:
    if folder.pipeline not in PIPELINES:  # the only way from a name to code, so that a stranger's model cannot run any
        raise BadInput(
            f"{folder.path} was trained by the pipeline '{folder.pipeline}', which is not one of Quagga's"
            f" ({', '.join(PIPELINES)}): load it in Python, with quagga.load(run, build=...)"
        )
    return import_module(PIPELINES[folder.pipeline][0]).build


def generator_of(folder: ModelFolder, name: str, build: Callable[..., Any] | None = None) -> nn.Module:
    """The network called `name`, with its weights, in eval mode on the CPU; `build` of a game outside Quagga. Raises
    BadInput where they do not make it, or are not finite."""
    build = build or _builder(folder)
    weights = folder.tensors(f"{name}.safetensors")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(build, fail_untyped=False)
    names = {"names": folder.options["names"]} if "names" in folder.options else {}
    try:
        # Names are checked when the folder is read: for a vocabulary of 4,096 words jsonargparse takes 8 s.
        options = parser.parse_object(folder.options | dict.fromkeys(names)).as_dict() | names
        with torch.device("meta"):  # shapes without values: no time is lost on weights that are replaced at once
            network = _network(build, options, name)
        network.load_state_dict(weights, assign=True)
        if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
            with torch.random.fork_rng(devices=[]):  # buffers that are computed, not saved, need the real thing
                network = _network(build, options, name)
            network.load_state_dict(weights)
    except BadInput:
        raise
    except Exception as error:  # whatever a wrong option leads to
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{folder.path}: weights and options do not make the network {name} ({reason})") from error
    return sound(network.to(torch.float32).eval().requires_grad_(False), folder.path / f"{name}.safetensors")


def _network(build: Callable[..., Any], options: dict[str, Any], name: str) -> nn.Module:
    with warnings.catch_warnings(action="ignore"):  # what is worth saying about training was said when it began
        return build(**options).generators[name]


@contextmanager
def _memory_in_words(width: int, height: int, device: torch.device):
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch has a class of its own only for CUDA
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not any(
            words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")
        ):
            raise
        elsewhere = "" if device.type == "cpu" else " or translate it on the CPU (--device cpu)"
        raise BadInput(
            f"{width}x{height} pixels are too many for the memory of {device}: take another --resolution, make the"
            f" picture smaller{elsewhere}"
        ) from None


def _tensor_to_channels(x: Tensor, channels: int) -> Tensor:
    """(..., C, H, W) -> (..., channels, H, W): grey is repeated, colour weighted as the decoder does (ITU-R 601-2)."""
    given = x.shape[-3]
    if given == channels:
        return x
    if given == 1 and channels == 3:
        return x.expand(*x.shape[:-3], channels, *x.shape[-2:])
    if given == 3 and channels == 1:
        weights = x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        return (x * weights).sum(dim=-3, keepdim=True)
    raise BadInput(f"the picture has {given} channels, the model takes {channels}: convert it first")


def _float_to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """float32 (H, W) or (H, W, C) in [0, 1] -> (H, W, channels): the decoder's rules without 8 bits."""
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    try:
        return fitting_channels(Native(pixels, alpha=pixels.shape[2] in (2, 4)), channels)
    except ValueError as error:
        raise BadInput(f"this picture: {error}") from None


def _without_single_channel(array: np.ndarray) -> np.ndarray:
    return array[:, :, 0] if array.shape[2] == 1 else array
