"""`quagga translate --faithfulness`: beside each translation a heat map of where it may be invented, and a table."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from quagga import atomic
from quagga.cli.output.output_files import write_picture
from quagga.data.io.pixel_format import Fitted
from quagga.errors import BadInput
from quagga.evaluation.faithfulness import Faithfulness, combined_map, peak, with_weights
from quagga.fields import translates
from quagga.filenames import escape_surrogates
from quagga.inference.load import chosen_export, load_translation
from quagga.inference.model_files.model_folder import ModelFolder, read_whole
from quagga.inference.predictor_loading import picture_name
from quagga.inference.resolution import resized
from quagga.inference.translator import Translator
from quagga.training import checkpoint

TABLE = "faithfulness.csv"
BRIGHTEST = 0.25  # of the range of pictures: from there on a heat map is at its brightest
SHOWN = 3  # pictures that the terminal names, the most doubtful ones
QUESTIONS = ("way_back", "weights", "moved")  # as `Faithfulness.maps` calls them


def map_path(target: Path) -> Path:
    """Returns where the heat map of a translation is written."""
    return target.with_name(f"{target.name}.faithfulness.png")


class FaithfulnessMaps:
    """Writes heat maps, and collects the table.

    Args:
        run: Run, model folder or "box:NAME" that the translator was loaded from.
        to: Which translation, as `quagga.load` was told.
        translator: It.
        output: Folder of the table.
        build: Makes the game, for a network from outside Quagga.
        settings: Those of `load_translation` that the way back shares.

    Raises:
        BadInput: the way back or a checkpoint cannot be read.
    """

    def __init__(
        self,
        run: str,
        to: str | None,
        translator: Translator,
        output: Path,
        build: Callable[..., Any] | None = None,
        **settings: Any,
    ):
        self.output = output
        self.rows: list[tuple[str, dict[str, float]]] = []
        self.compared: list[str] = []
        self.left_out: list[str] = []
        self.faithfulness = read_whole(run, lambda model: self._find(model, to, translator, build, settings))

    def _find(
        self,
        model: ModelFolder,
        to: str | None,
        translator: Translator,
        build: Callable[..., Any] | None,
        settings: dict[str, Any],
    ) -> Faithfulness:
        """Finds what the translator can be compared with, and says what there is and what there is not."""
        self.compared, self.left_out = [], []
        name, back = chosen_export(model, to), None
        others: tuple[Translator, ...] = ()
        if undoes := way_back(model, name):
            back = load_translation(model, undoes, translator.device, build, **settings)
            self.compared.append(f"its way back to {translator.source}")
        else:
            self.left_out.append("the way back, which this model has not learned")
        found = other_weights(model.path.parent / "checkpoints", name, translator)
        if found:
            images, others = zip(*found, strict=True)
            self.compared.append(f"weights as they were after {', '.join(f'{n:,}' for n in images)} images")
        else:
            self.left_out.append(f"other weights, as no checkpoint beside {model.path} has any of this network")
        self.compared.append("the translations of the picture mirrored and shifted")
        return Faithfulness(translator, back, others)

    def add(self, target: Path, picture: Fitted, result: np.ndarray, c: Tensor | None) -> None:
        """Writes the heat map of a picture.

        Args:
            target: Where its translation has been written.
            picture: As it was read.
            result: Its translation, (H, W, C).
            c: The condition; None where the model takes none.

        Raises:
            BadInput: the map cannot be made or written.
        """
        maps = self.faithfulness.maps(picture, c)
        maps = {"doubt": combined_map(maps), **maps}
        write_picture(map_path(target), heat(resized(maps["doubt"], *result.shape[:2])[0, 0].numpy()))
        name = escape_surrogates(target.relative_to(self.output).as_posix())
        self.rows.append((name, {key: peak(one).item() for key, one in maps.items()}))

    def finish(self) -> list[str]:
        """Writes the table. Returns lines for the user; none if no picture was translated.

        Raises:
            BadInput: it cannot be written.
        """
        if not self.rows:
            return []
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        columns = ("doubt", *QUESTIONS)
        table.writerow(["file", *columns])
        for name, numbers in self.rows:
            table.writerow([name, *(f"{numbers[key]:.4f}" if key in numbers else "" for key in columns)])
        path = self.output / TABLE
        try:
            atomic.write_file(path, text.getvalue().encode())
        except OSError as error:
            raise BadInput(
                f"cannot write {path} ({error.strerror}): free some space or choose another --output"
            ) from None
        return [*_summary([(name, numbers["doubt"]) for name, numbers in self.rows], path), *self._comparisons()]

    def _comparisons(self) -> list[str]:
        left_out = f"; left out: {', and '.join(self.left_out)}" if self.left_out else ""
        return [f"compared with {', '.join(self.compared)}{left_out}"]


def _summary(doubts: Sequence[tuple[str, float]], table: Path) -> list[str]:
    mean = sum(number for _, number in doubts) / len(doubts)
    most = sorted(doubts, key=lambda each: -each[1])[:SHOWN]
    named = ", ".join(f"{name} {number:.3f}" for name, number in most)
    return [f"doubt {mean:.3f} of the range of pictures, most in {named}: {table}"]


def way_back(model: ModelFolder, name: str) -> str | None:
    """Returns the name of the export that undoes the one called `name`, from another domain and without a condition;
    None if none does."""
    there = model.exports[name]
    ends = picture_name(there.inputs), there.output.name
    for other, export in model.exports.items():
        plain = translates(export.inputs, export.output) and len(export.inputs) == 1
        if plain and ends == (export.output.name, picture_name(export.inputs)) and len(set(ends)) == 2:
            return other
    return None


def other_weights(folder: Path, name: str, translator: Translator) -> list[tuple[int, Translator]]:
    """Returns the translator with the weights of each checkpoint in a folder, as they were trained and not averaged,
    with the images seen, oldest first. Damaged checkpoints, and weights that are the translator's own, are left out."""
    found: list[tuple[int, Translator]] = []
    own = translator.network.state_dict()
    for path in checkpoint.list_saved(folder):
        try:
            weights = checkpoint.load(path)["generators"].get(name, {})
        except (BadInput, KeyError):
            continue
        other = with_weights(translator, weights)
        if other and any(not torch.equal(own[key].cpu(), weights[key].cpu()) for key in own):
            found.append((checkpoint.images_seen_at(path), other))
    return found


def heat(doubt: np.ndarray) -> np.ndarray:
    """Draws a map (H, W) in [0, 1] -> uint8 (H, W, 3): black at 0, over red and orange, bright yellow from 0.25 on."""
    levels = np.rint(np.clip(doubt / BRIGHTEST, 0, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
