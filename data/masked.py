"""Pictures of which parts are missing."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quagga.data.images import Pictures
from quagga.data.sources.annotations import Labelled
from quagga.data.sources.folders import picture_folder, pictures_or_explain
from quagga.data.transforms.irregular_masks import draw_mask, read_mask, turned_mask
from quagga.errors import BadInput
from quagga.seeding import derive_seed

RATIOS = (0.01, 0.6)  # as the paper's masks have them


@dataclass(frozen=True)
class Masks:
    """The mask of each row: drawn, or one of some files.

    Args:
        seed: of all of them.
        ratios: least and largest share of holes of drawn ones.
        files: to choose from; none: masks are drawn.
    """

    seed: int
    ratios: tuple[float, float] = RATIOS
    files: tuple[Path, ...] = ()

    def __call__(self, stream: str, row: int, size: int) -> dict[str, Tensor]:
        """Returns {"m": float32 (1, size, size)}, 1 where a pixel is known and else 0: a function of seed, stream and
        row.

        Raises:
            BadInput: the row's file cannot be read.
        """
        rng = np.random.Generator(np.random.Philox(key=derive_seed(self.seed, "masks", stream, row)))
        if self.files:
            mask = turned_mask(rng, read_mask(self.files[int(rng.integers(len(self.files)))]), size)
        else:
            mask = draw_mask(rng, size, size, *self.ratios)
        return {"m": torch.from_numpy(mask.astype(np.float32))[None]}


@dataclass
class Masked(Pictures):
    """Rows of one picture, "x" (N, C, size, size) in [-1, 1], and its mask, "m" (N, 1, size, size), 1 where a pixel is
    known and 0 where it is missing. The picture is whole: it is for the game to hide what is missing.

    It takes the options of the classes from which it inherits too, see `quagga.data.options`.

    Args:
        masks: folder of masks, pictures in which white is what is missing; for each row one is chosen, turned and
            mirrored at random. None draws strokes and ellipses.
        hole_ratios: least and largest share of a picture that is missing; between them each is as likely. Of drawn
            masks only.

    Raises:
        BadInput: when made, if files or options cannot work; while reading, if a picture cannot be read.
    """

    masks: str | None = None
    hole_ratios: list[float] = field(default_factory=lambda: list(RATIOS))

    def _prepare(self, found: Labelled) -> None:
        masks = Masks(self.seed, self._ratios(), self._mask_files())  # before the pictures are read, which takes longer
        super()._prepare(found)
        self.dataset = replace(self.dataset, drawn=masks)

    def _ratios(self) -> tuple[float, float]:
        match self.hole_ratios:
            case [least, most] if 0 <= least <= most <= 1 and most > 0:
                return least, most
        raise BadInput(f"hole_ratios are {self.hole_ratios}: give the least and the largest share, such as [0.1, 0.5]")

    def _mask_files(self) -> tuple[Path, ...]:
        if self.masks is None:
            return ()
        if tuple(self.hole_ratios) != RATIOS:
            raise BadInput("masks of a folder have the holes that they have: leave out --hole_ratios, or --masks")
        return tuple(pictures_or_explain(picture_folder(Path(self.masks).expanduser()))[0])
