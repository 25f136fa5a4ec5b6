"""Pictures that another program has made: which of them belongs to which source, by their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quagga.data.io.pixel_format import PixelFormat
from quagga.data.io.read import read_fitted
from quagga.data.io.tensors import to_tensor
from quagga.data.sources.folders import find_pictures
from quagga.data.transforms.augment import Augment
from quagga.errors import BadInput, some
from quagga.evaluation.splits import ordered

# What the authors' programs, and others, put behind the name of a source; real_A and rec_A lie beside fake_B there.
ENDINGS = r"_fake_A|_fake_B|_fake|_synthesized_image|_translated|_output|-outputs"


@dataclass(frozen=True)
class Fakes:
    """The pictures in a folder.

    Args:
        folder: As it was typed.
    """

    folder: str

    @cached_property
    def paths(self) -> list[Path]:
        """All of them. Raises BadInput where there is none."""
        found = find_pictures(Path(self.folder).expanduser())
        if not found:
            raise BadInput(f"--fake {self.folder} has 0 images: name the folder of what another program has made")
        return found

    def by_source(self, target: str) -> dict[str, Path]:
        """Returns the pictures by the stem of the source that each is of. Where a program has marked its pictures,
        such as horse_fake_B.png, the others are left out, and those of the other direction too.

        Args:
            target: The letter of what they shall be, "x" or "y".
        """
        other = "_fake_A" if target == "y" else "_fake_B"
        if not self._marked:
            return {path.stem: path for path in self.paths}
        return {match[1]: path for path, match in self._marked.items() if match[2] != other}

    @cached_property
    def _marked(self) -> dict[Path, re.Match[str]]:
        return {path: match for path in self.paths if (match := re.fullmatch(rf"(.+?)({ENDINGS})", path.stem))}

    @property
    def says_direction(self) -> bool:
        """Whether the names say which of two directions a picture is of."""
        return any(match[2] in ("_fake_A", "_fake_B") for match in self._marked.values())

    def known(self, target: str, name: str) -> bool:
        """Whether there is one of the source called `name`."""
        return Path(name).stem in self._stems[target]

    @cached_property
    def _stems(self) -> dict[str, dict[str, Path]]:
        return {letter: self.by_source(letter) for letter in "xy"}

    def no_match(self, names: Sequence[str]) -> BadInput:
        """Returns the error that no picture is of any of these sources."""
        theirs, ours = some([path.name for path in self.paths], 3), some(list(names), 3)
        return BadInput(
            f"--fake {self.folder} holds {theirs}, and the pictures to be translated are {ours}: call each result as"
            " its source"
        )

    def of(self, names: Sequence[str], target: str, pixel_format: PixelFormat, augment: Augment) -> Tensor:
        """Reads the pictures of these sources, cut as real ones are. Raises BadInput where one is missing or cannot be
        read."""
        paths = self._stems[target]
        return torch.stack([_read(paths[Path(name).stem], pixel_format, augment) for name in names])

    def any(self, count: int, pixel_format: PixelFormat, augment: Augment) -> Tensor:
        """Reads up to so many pictures. Raises BadInput where one cannot be read."""
        chosen = ordered(self.paths, lambda path: path.name)[:count]
        return torch.stack([_read(path, pixel_format, augment) for path in chosen])


def _read(path: Path, pixel_format: PixelFormat, augment: Augment) -> Tensor:
    pixels = augment.without_chance(read_fitted(path, pixel_format).pixels)
    return to_tensor(np.ascontiguousarray(pixels))
