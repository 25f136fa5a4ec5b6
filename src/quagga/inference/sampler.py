"""A trained model as a source of pictures: of noise, and of a condition where it was trained with one; or of codes.

>>> digits = quagga.load("runs/digits")
>>> digits.picture("7").save("seven.png")
>>> sheet = digits("7", count=16)  # uint8 (16, 28, 28, 1)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.tensors import to_pixel_format
from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.fields import Field, field_of
from quagga.inference import latent_space
from quagga.inference.predictor import Predictor, encode_conditions
from quagga.inference.square_reader import SquareReader
from quagga.models.blocks.encoders import Encoder, GivenVector
from quagga.models.network_mode import Mode, copy_in_mode

BATCH_SIZE = 64  # pictures that are made at a time


@dataclass
class Sampler:
    """Makes pictures of seeds, or of codes.

    Args:
        predictor: The export that makes them, of noise and perhaps a condition; or of codes.
        target: Name of the domain whose pictures it makes ("digits").
        output_format: Channels, kind and value range of its pictures.
        reader: Reads pictures of any size as the model would make them.
        encoder: The export that finds the z of a picture; None: the model has none, and z is found by descent.
    """

    predictor: Predictor
    target: str
    output_format: PixelFormat
    reader: SquareReader
    encoder: Predictor | None = None

    @property
    def network(self) -> nn.Module:
        """The generator, in eval mode on `device`."""
        return self.predictor.network

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.predictor.device

    @cached_property
    def noise(self) -> Field:
        """The input that is noise, or a code."""
        found = field_of(self.predictor.inputs, "noise") or field_of(self.predictor.inputs, "code")
        assert found is not None
        return found

    @cached_property
    def conditions(self) -> Conditions | None:
        """The conditions it was trained with; None: it has none."""
        found = field_of(self.predictor.inputs, "condition")
        return Conditions.of(found) if found else None

    @property
    def z_size(self) -> int:
        """Length of z."""
        assert self.noise.size is not None
        return self.noise.size

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its pictures."""
        height, width = self.predictor.golden[1].shape[-2:]
        return height, width

    @property
    def names(self) -> Sequence[str]:
        """Names of its classes or attributes, or the words that it knows; empty without a condition."""
        return self.conditions.names if self.conditions else ()

    def __call__(
        self,
        condition: str | Sequence[str] | None = None,
        *,
        count: int = 1,
        seed: int = 0,
        truncation: float | None = None,
    ) -> np.ndarray:
        """Makes pictures, `(count, H, W, C)` of the kind and value range it was trained on. Picture n has seed + n.

        Args:
            condition: Text as `Conditions.encode` reads it: a class, "smiling, blond", a caption; or one for each
                picture. None: classes take turns; a model without conditions takes only None.
            count: Number of pictures.
            seed: The same seed and condition make the same picture.
            truncation: See `latent_space.latents`.

        Raises:
            BadInput: the condition is unknown, missing, or given to a model without conditions; a number is out of
                range; or the network makes values that are not finite.
        """
        if count < 1:
            raise BadInput(f"count is {count}: ask for 1 picture or more")
        c = self.condition(condition, count)
        z = self.latents(range(seed, seed + count), truncation)
        return self.to_arrays(self.decode(z, c))

    def picture(self, condition: str | None = None, *, seed: int = 0, truncation: float | None = None) -> Image.Image:
        """Makes one picture, as `__call__` does. Raises BadInput also where a PIL image cannot hold it."""
        pixels = self(condition, seed=seed, truncation=truncation)[0]
        if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3, 4):
            what = f"{self.output_format.channels} channels of {self.output_format.kind}"
            raise BadInput(f"a PIL image cannot hold {what}: take an array")
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)

    def condition(self, text: str | Sequence[str] | None, count: int) -> Tensor | None:
        """Encodes a condition for each of `count` pictures, (count, ...); None where the model has none.

        Raises:
            BadInput: see `__call__`.
        """
        if text is None and self.conditions and self.conditions.kind == "class":
            return torch.arange(count) % len(self.names)
        return encode_conditions(self.conditions, text, count, self.target)

    def latents(self, seeds: Sequence[int], truncation: float | None = None) -> Tensor:
        """Returns one z a seed, (N, z_size), see `latent_space.latents`. Raises BadInput for numbers out of range, or
        where the model is made for codes: nobody knows which codes without a picture are pictures."""
        if self.noise.kind == "code":
            raise BadInput(
                "this model makes pictures of codes, and a seed is none: name pictures, '[one.png, two.png]'"
            )
        for seed in seeds:
            if not 0 <= seed < 1 << 63:
                raise BadInput(f"seed is {seed}: it must be 0 or more, and below 2**63")
        if truncation is not None and not truncation > 0:
            raise BadInput(f"truncation is {truncation}: it must be above 0, such as 0.7, or null for none")
        return latent_space.latents(seeds, self.z_size, truncation)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z (N, z_size) and encoded conditions (N, ...) -> pictures (N, C, H, W) in [-1, 1], float32 on the CPU. Raises
        BadInput where the network makes values that are not finite."""
        return torch.cat(list(self.decode_batches(z, c)))

    def decode_batches(self, z: Tensor, c: Tensor | None = None) -> Iterator[Tensor]:
        """Yields what `decode` returns in batches of 64 pictures or fewer, each made when it is asked for."""
        for start in range(0, len(z), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            yield self.predictor(**self._inputs(z[part], None if c is None else c[part])).cpu()

    def to_arrays(self, pictures: Tensor) -> np.ndarray:
        """(N, C, H, W) in [-1, 1] -> (N, H, W, C) of the kind and value range it was trained on."""
        return to_pixel_format(pictures, self.output_format)

    def generator(self, c: Tensor | None = None) -> Callable[[Tensor], Tensor]:
        """Returns G: z (N, z_size) -> pictures (N, C, H, W) in [-1, 1] on `device`, through which gradients go.

        Args:
            c: The encoded condition of all pictures, (1, ...); None where the model has none.
        """
        return lambda z: self.predictor.forward(
            **self._inputs(z, None if c is None else c.expand(len(z), *c.shape[1:]))
        )

    def walk(self, c: Tensor, frames: int) -> "tuple[Sampler, Tensor]":
        """Goes from condition to condition: c (P, ...), P at least 2 -> a sampler, and (frames, ...) for its `decode`.

        Attributes are numbers, and what lies between them is too. Between classes and captions lie the vectors that the
        network's encoder makes of them, and the sampler is one that takes these.

        Raises:
            BadInput: the network has no encoder of `quagga.models`.
        """
        if bool((c == c[:1]).all()):
            return self, c[:1].expand(frames, *c.shape[1:])
        if c.is_floating_point():
            return self, latent_space.interpolate(c, frames, straight=True)
        network = copy_in_mode(self.network, Mode())
        encoders = [(name, each) for name, each in network.named_modules() if isinstance(each, Encoder)]
        if len(encoders) != 1:
            raise BadInput("the network knows of nothing between two conditions: name one condition for the whole walk")
        [(name, encoder)] = encoders
        with torch.inference_mode():
            vectors = encoder(c.to(self.device)).float().cpu()
        network.set_submodule(name, GivenVector(encoder.width))
        taking_vectors = replace(self, predictor=replace(self.predictor, network=network))
        return taking_vectors, latent_space.interpolate(vectors, frames, straight=True)

    def invert(
        self,
        pictures: Tensor,
        condition: str | None = None,
        *,
        steps: int = 300,
        starts: int = 4,
        progress: Callable[[float], object] = lambda done: None,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Finds the z of pictures: what the encoder says where there is one; else the z whose pictures are nearest to
        them, by gradient descent.

        Args:
            pictures: (N, C, H, W) in [-1, 1], of the model's size.
            condition: What they show. None: with a model of classes, every class is tried.
            steps: Of the descent; an encoder takes none.
            starts: Number of z it starts from.
            progress: Is called after every step, with how many pictures are done, such as 1.25.

        Returns:
            z (N, z_size), c (N, ...) or None, and the distance of each, the mean of abs(G(z) - x), (N,).

        Raises:
            BadInput: the condition is missing or unknown, or the pictures are of another size.
        """
        expected = (self.output_format.channels, *self.size)
        if tuple(pictures.shape[1:]) != expected:
            raise BadInput(f"pictures of {tuple(pictures.shape[1:])} for a model of {expected}: make them fit first")
        if self.encoder is not None:
            z = torch.cat([self.encoder(**{self.encoder.inputs[0].name: x}).cpu() for x in pictures.split(BATCH_SIZE)])
            progress(len(pictures))
            return z, None, (self.decode(z) - pictures.cpu()).abs().flatten(1).mean(1)
        if self.conditions is None or condition is not None or self.conditions.kind != "class":
            candidates = self.condition(condition, 1)
        else:
            candidates = torch.arange(len(self.names))
        choices = [None] if candidates is None else list(candidates.to(self.device))

        def G(z: Tensor, choice: int) -> Tensor:
            c = choices[choice]
            return self.predictor.forward(**self._inputs(z, None if c is None else c.expand(len(z), *c.shape)))

        z, chosen, distance = latent_space.invert(
            G, pictures.to(self.device), self.z_size, steps, starts, len(choices), progress
        )
        return z.cpu(), None if candidates is None else candidates[chosen], distance

    def verify(self) -> float:
        """Replays the golden input, see `Predictor.verify`."""
        return self.predictor.verify()

    def _inputs(self, z: Tensor, c: Tensor | None) -> dict[str, Tensor]:
        """The export's inputs by name."""
        named = {self.noise.name: z}
        if (condition := field_of(self.predictor.inputs, "condition")) and c is not None:
            named[condition.name] = c
        return named
