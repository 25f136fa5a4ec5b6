"""A trained model as a source of pictures: of noise, and of a condition where it was trained with one.

>>> digits = quagga.load("runs/digits")
>>> digits.picture("7").save("seven.png")
>>> sheet = digits("7", count=16)  # uint8 (16, 28, 28, 1)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from quagga import BadInput
from quagga.data.conditions import Conditions, tokens
from quagga.data.form import Form
from quagga.data.tensors import to_form
from quagga.pipelines import latent
from quagga.pipelines.finite import checked
from quagga.pipelines.model_folder import GOLDEN, ModelFolder
from quagga.pipelines.translator import GOLDEN_TOLERANCE, form_of, generator_of, pick_device


@dataclass
class Sampler:
    """Makes pictures of seeds.

    Args:
        network: The generator, in eval mode on `device`: G(z), or G(z, c).
        target: Name of what it makes ("digits").
        gives: Channels, kind and value range of its pictures.
        device: Where it runs.
        golden: What it was called with when it was saved, z and perhaps c, and what it gave.
        conditions: What it can be asked for, by name; None: it has no condition.
    """

    network: nn.Module = field(repr=False)
    target: str
    gives: Form
    device: torch.device
    golden: tuple[tuple[Tensor, ...], Tensor] = field(repr=False)
    conditions: Conditions | None = None

    @property
    def z_size(self) -> int:
        """Numbers of a point of the space it draws from."""
        return self.golden[0][0].shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its pictures."""
        height, width = self.golden[1].shape[-2:]
        return height, width

    @property
    def names(self) -> Sequence[str]:
        """Its classes, its attributes, or the words that it knows; none without a condition."""
        return self.conditions.names if self.conditions else ()

    def __call__(
        self,
        condition: str | Sequence[str] | None = None,
        *,
        count: int = 1,
        seed: int = 0,
        truncation: float | None = None,
    ) -> np.ndarray:
        """Pictures, `(count, H, W, C)` of the kind and value range it was trained on. Picture n is of seed + n.

        Args:
            condition: In words, as `Conditions.encode` reads them: a class, "smiling, blond", a caption; or one for
                each picture. None: classes take turns; where there is no condition nothing else is possible.
            count: How many.
            seed: The same seed and condition make the same picture.
            truncation: See `latent.latents`.

        Raises:
            BadInput: an unknown condition, one that is missing or not asked for, numbers that cannot be, or a network
                that makes values that are not finite.
        """
        if count < 1:
            raise BadInput(f"count is {count}: ask for 1 picture or more")
        c = self.condition(condition, count)
        z = self.latents(range(seed, seed + count), truncation)
        return self.shown(self.decode(z, c))

    def picture(self, condition: str | None = None, *, seed: int = 0, truncation: float | None = None) -> Image.Image:
        """One picture, as `__call__` makes it. Raises BadInput also where a PIL image cannot hold it."""
        pixels = self(condition, seed=seed, truncation=truncation)[0]
        if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3, 4):
            what = f"{self.gives.channels} channels of {self.gives.kind}"
            raise BadInput(f"a PIL image cannot hold {what}: take an array")
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)

    def condition(self, words: str | Sequence[str] | None, count: int) -> Tensor | None:
        """A raw condition for each of `count` pictures, (count, ...); None where the model has none.

        Raises:
            BadInput: see `__call__`.
        """
        if self.conditions is None:
            if words is not None:
                raise BadInput(f"the model of {self.target} was trained without a condition: leave it out")
            return None
        if words is None:
            if self.conditions.kind != "class":
                some = ", ".join(self.names[:12]) + (", ..." if len(self.names) > 12 else "")
                option = "caption" if self.conditions.kind == "caption" else "attributes"
                known = KINDS[self.conditions.kind]
                raise BadInput(f"say what to show, --{option} 'TEXT': the model knows {known} {some}")
            return torch.arange(count) % len(self.names)
        if not isinstance(words, str | list | tuple):
            raise BadInput(f"a condition is text, such as '{self.names[0]}', not {type(words).__name__}: write it so")
        texts = [words] * count if isinstance(words, str) else list(words)
        if len(texts) != count:
            raise BadInput(f"{len(texts)} conditions for {count} pictures: give one, or one for each")
        for text in dict.fromkeys(texts):
            words_of = set(tokens(text)) if self.conditions.kind == "caption" else set()
            if words_of and len(self.conditions.unknown(text)) == len(words_of):
                some = ", ".join(self.names[:12])
                raise BadInput(f"the model knows none of the words of {text!r}; it has read {some}, ...")
        return torch.stack([self.conditions.encode(text) for text in texts])

    def latents(self, seeds: Sequence[int], truncation: float | None = None) -> Tensor:
        """(N, z_size), a point a seed; see `latent.latents`. Raises BadInput for numbers that cannot be."""
        for seed in seeds:
            if not 0 <= seed < 1 << 63:
                raise BadInput(f"seed is {seed}: it must be 0 or more, and below 2**63")
        if truncation is not None and not truncation > 0:
            raise BadInput(f"truncation is {truncation}: it must be above 0, such as 0.7, or null for none")
        return latent.latents(seeds, self.z_size, truncation)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """(N, z_size), and raw conditions (N, ...) -> pictures (N, C, H, W) in [-1, 1], float32 on the CPU. Raises
        BadInput where the network makes values that are not finite."""
        return torch.cat(list(self.portions(z, c)))

    @torch.inference_mode()
    def portions(self, z: Tensor, c: Tensor | None = None) -> Iterator[Tensor]:
        """What `decode` gives, 64 pictures or fewer at a time, each portion made when it is asked for."""
        conditions = [None] * -(-len(z) // PORTION) if c is None else c.to(self.device).split(PORTION)
        for part in zip(z.to(self.device).split(PORTION), conditions, strict=True):
            yield checked(self._through(*part).cpu(), self.target)

    def shown(self, pictures: Tensor) -> np.ndarray:
        """(N, C, H, W) in [-1, 1] -> (N, H, W, C) of the kind and value range it was trained on."""
        return to_form(pictures, self.gives)

    def invert(
        self,
        pictures: Tensor,
        condition: str | None = None,
        *,
        steps: int = 300,
        starts: int = 4,
        progress: Callable[[float], object] = lambda done: None,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """The points whose pictures come nearest to given ones, so that these can be walked between.

        Args:
            pictures: (N, C, H, W) in [-1, 1], of the model's size.
            condition: What they show. None: of a model of classes every class is tried.
            steps: Of the search.
            starts: Points it begins from.
            progress: Is called after every step, with how many pictures are done, such as 1.25.

        Returns:
            z (N, z_size), c (N, ...) or None, and how far each is off, the mean of abs(G(z) - x), (N,).

        Raises:
            BadInput: the condition is missing or unknown, or the pictures are of another size.
        """
        expected = (self.gives.channels, *self.size)
        if tuple(pictures.shape[1:]) != expected:
            raise BadInput(f"pictures of {tuple(pictures.shape[1:])} for a model of {expected}: make them fit first")
        if self.conditions is None or condition is not None or self.conditions.kind != "class":
            tried = self.condition(condition, 1)
        else:
            tried = torch.arange(len(self.names))
        choices = [None] if tried is None else list(tried.to(self.device))

        def G(z: Tensor, kind: int) -> Tensor:
            c = choices[kind]
            return self._through(z, None if c is None else c.expand(len(z), *c.shape))

        z, kinds, off = latent.invert(G, pictures.to(self.device), self.z_size, steps, starts, len(choices), progress)
        return z.cpu(), None if tried is None else tried[kinds], off

    def verify(self) -> float:
        """Replays the golden input. Returns the largest deviation from the golden output, in a range of 2.

        Raises:
            BadInput: it deviates by more than 0.001: weights, code or machine are not what they were.
        """
        inputs, expected = self.golden
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            deviation = (self.decode(*inputs) - expected).abs().max().item()
        if not deviation <= GOLDEN_TOLERANCE:
            raise BadInput(
                f"the model of {self.target} no longer gives what it gave when it was saved: it deviates by"
                f" {deviation:.2g}, allowed is {GOLDEN_TOLERANCE}; copy the model again or use the Quagga it is from"
            )
        return deviation

    def _through(self, z: Tensor, c: Tensor | None) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return self.network(z) if c is None else self.network(z, c)


PORTION = 64  # pictures that are made at a time
KINDS = {"class": "the classes", "attributes": "the attributes", "caption": "the words"}


def load_sampler(
    folder: ModelFolder, name: str, device: str | torch.device | None, build: Callable[..., Any] | None
) -> Sampler:
    """The network called `name` of a model that makes pictures of noise. Raises BadInput as `quagga.load` does."""
    place = pick_device(device)
    domain = folder.domains[folder.samples[name]]
    inputs, output = _golden(folder, name, domain["channels"])
    network = generator_of(folder, name, build).to(place)  # first: it checks the types of all options
    try:
        with torch.inference_mode():
            made = network(*(part[:1].to(place) for part in inputs))
        if made.shape[1:] != output.shape[1:]:
            raise ValueError(f"it makes {tuple(made.shape[1:])}, not {tuple(output.shape[1:])}")
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{folder.path}: the network {name} does not take {GOLDEN} ({reason}); copy it again") from None
    conditions = None
    if len(inputs) == 2:
        kind, names = folder.options.get("condition", "class"), folder.options.get("names") or []
        conditions = Conditions(kind, names, folder.options.get("caption_length", 16))
    return Sampler(
        network=network,
        target=domain["name"],
        gives=form_of(domain),
        device=place,
        golden=(inputs, output),
        conditions=conditions,
    )


def _golden(folder: ModelFolder, name: str, channels: int) -> tuple[tuple[Tensor, ...], Tensor]:
    tensors = folder.tensors(GOLDEN)
    z, y = (tensors.get(f"{name}.{end}", torch.empty(0)) for end in ("input", "output"))
    if z.ndim != 2 or y.ndim != 4 or len(y) != len(z) or y.shape[1] != channels:
        raise BadInput(
            f"{folder.path / GOLDEN} does not fit model.json: it holds {tuple(z.shape)} to {tuple(y.shape)} for {name},"
            f" expected pictures of {channels} channels; copy the model again"
        )
    c = tensors.get(f"{name}.condition")
    return (z,) if c is None else (z, c), y
