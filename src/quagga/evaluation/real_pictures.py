"""The real pictures with which a run is judged: those it was trained on and held out, or those of another folder."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from quagga.boxed_models import PREFIX
from quagga.data.indexed_rows import IndexedRows
from quagga.data.io.read import read_fitted
from quagga.data.io.tensors import floats, to_row, to_tensor
from quagga.data.paired import Paired
from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput, one_line
from quagga.inference.model_files.model_folder import ModelFolder
from quagga.option_groups import flat_parameters
from quagga.pipelines import PIPELINES

CONFIG = "config.yaml"
READERS = 4  # threads: decoders leave Python's lock alone
OF_PLACES = ("root", "x", "y", "table", "pairs", "pictures")  # options that say where pictures are
Sets = Unpaired | Paired | IndexedRows


@dataclass(frozen=True)
class Pool:
    """The real pictures of one side.

    Args:
        title: What they are called, such as zebra.
        train: Those that were trained on: paths, pairs, or numbers.
        held_out: Those that were not.
        read: Reads one: its pictures, (C, S, S) in [-1, 1], and what belongs to them. Raises BadInput.
        key: The name of one, or of its group, by which it is split.
        name: What one is called in messages, and by which another program's output is found.
        left_out: Lines on pictures that could not be read, for the user.
    """

    title: str
    train: Sequence[Any]
    held_out: Sequence[Any]
    read: Callable[[Any], dict[str, Tensor]]
    key: Callable[[Any], str]
    name: Callable[[Any], str]
    left_out: list[str] = field(default_factory=list)

    def read_all(self, items: Sequence[Any]) -> tuple[dict[str, Tensor], list[Any]]:
        """Returns the pictures stacked, and the items that could be read.

        Raises:
            BadInput: none can be.
        """

        def attempt(item: Any) -> dict[str, Tensor] | BadInput:
            try:
                return self.read(item)
            except BadInput as error:
                return error

        with ThreadPoolExecutor(READERS) as threads:
            found = list(threads.map(attempt, items))
        rows = [(one, item) for one, item in zip(found, items, strict=True) if isinstance(one, dict)]
        failed = [one for one in found if isinstance(one, BadInput)]
        if not rows:
            raise failed[0] if failed else BadInput(f"there are no pictures of {self.title} to judge with")
        if failed:
            line = f"{len(failed)} pictures of {self.title} cannot be read and are left out: {one_line(failed[0])}"
            self.left_out.append(line)
        return {name: torch.stack([one[name] for one, _ in rows]) for name in rows[0][0]}, [item for _, item in rows]


def pools_of(rows: Sets) -> dict[str, Pool]:
    """Returns the pictures of each side, "x" and "y"; of pairs and of pictures by number there is only "x"."""
    if isinstance(rows, Unpaired):
        return {side: _unpaired_pool(rows, side) for side in rows.sides}
    if isinstance(rows, Paired):
        return {
            "x": Pool(
                rows.names["y"],
                rows.train,
                rows.test,
                rows.without_chance,
                lambda pair: pair.group or pair.name,
                lambda pair: Path(pair.name).name,
            )
        }
    return {"x": _indexed_pool(rows)}


def _unpaired_pool(rows: Unpaired, side: str) -> Pool:
    domain = rows.sides[side]

    def read(path: Path) -> dict[str, Tensor]:
        pixels = read_fitted(path, rows.forms[side], side).pixels
        return {"x": to_tensor(np.ascontiguousarray(rows.augments[side].without_chance(pixels)))}

    def key(path: Path) -> str:
        return rows.groups.get(path) or path.name

    return Pool(domain.name, domain.train, domain.test, read, key, lambda path: path.name)


def _indexed_pool(rows: IndexedRows) -> Pool:
    dataset, groups = rows.dataset, rows.labelled.groups

    def read(number: int) -> dict[str, Tensor]:
        pixels = dataset.augment.without_chance(dataset.stored.read(number))
        extras = {name: values[number] for name, values in dataset.extras.items()}
        return {"x": floats(to_row(np.ascontiguousarray(pixels))), **extras}

    def name(number: int) -> str:
        return Path(dataset.stored.name(number)).name

    def key(number: int) -> str:
        return groups[number] if groups else dataset.stored.name(number).rpartition("/")[2] + f" {number}"

    return Pool(rows.title, dataset.train.tolist(), dataset.test.tolist(), read, key, name)


def open_pictures(run: str, model: ModelFolder, real: str | None) -> Sets:
    """Opens the pictures of a run, by its options, or those of `real` in their place.

    Raises:
        BadInput: they are not where they were, or nothing says where they are.
    """
    if model.pipeline not in PIPELINES:
        raise BadInput(
            f"{run} was trained by the pipeline '{model.pipeline}', which is not one of Quagga's: its pictures can be"
            " judged with `quagga evaluate --real DIR --fake DIR`"
        )
    data = import_module(PIPELINES[model.pipeline][0]).data
    config = config_of(run)
    if config is None and real is None:
        what = f"{run} comes with no pictures" if run.startswith(PREFIX) else f"{run} has no {CONFIG}"
        raise BadInput(f"{what}: name a data set as it is trained on, --real DIR")
    chosen = options_of(model) | {name: value for name, value in (config or {}).items() if value is not None}
    if real is not None:
        chosen = {name: value for name, value in chosen.items() if name not in OF_PLACES}
    rows = _opened(data, chosen, real, model.preprocessing.get("crop_size"))
    if (
        isinstance(rows, Paired)
        and rows.x_as == "labels"
        and rows.input.labels != model.domains["x"].derived_input.labels
    ):
        raise BadInput(
            f"the label maps to judge with hold other labels than {run} has learned: --real DIR with the same"
        )
    return rows


def open_two_folders(real: str, size: int) -> Unpaired:
    """Opens the pictures of two domains, for another program's output of `size` pixels a side. Raises BadInput."""
    opened = _opened(Unpaired, {"load_size": size, "crop_size": size}, real, size)
    assert isinstance(opened, Unpaired)
    return opened


def _opened(data: Any, chosen: dict[str, Any], real: str | None, size: int | None) -> Sets:
    chosen = chosen | {"workers": 0, "cache": "none", "augment": {}, "unreadable": "skip", "unmatched": "skip"}
    trained = True
    if real is not None:
        folder, tests = Path(real).expanduser(), [Path(real).expanduser() / name for name in ("testA", "testB")]
        trained = not (data is Unpaired and all(map(Path.is_dir, tests)) and not (folder / "trainA").exists())
        chosen |= {"root": str(folder)} if trained else {"x": str(tests[0]), "y": str(tests[1])}
    takes = flat_parameters(data)
    try:
        rows = data(**{name: value for name, value in chosen.items() if name in takes})
    except BadInput as error:
        raise BadInput(f"{error} (of the pictures to judge with, which --real DIR names anew)") from None
    if not isinstance(rows, Unpaired | Paired | IndexedRows):
        raise BadInput(f"rows of {type(rows).__name__} cannot be judged with: --real DIR")
    if size and size != (rows.dataset.size if isinstance(rows, IndexedRows) else rows.crop_size):
        rows = rows.at_size(size)  # the last phase of a run, whose size the model has
    if isinstance(rows, Unpaired) and not trained:
        # Of folders without a part to train on, the rows have held some pictures out: none was trained on.
        rows.sides = {
            letter: side._replace(train=[], test=[*side.train, *side.test]) for letter, side in rows.sides.items()
        }
    return rows


def options_of(model: ModelFolder) -> dict[str, Any]:
    """Returns the options of a data set that a model knows: how its pictures are scaled, read and called."""
    found: dict[str, Any] = {
        name: value
        for name, value in model.preprocessing.items()
        if name in ("load_size", "crop_size", "fit", "side") and value is not None
    }
    found |= {"size": found.get("crop_size")}
    found |= {name: model.options[name] for name in ("names", "condition", "caption_length") if name in model.options}
    for letter, domain in model.domains.items():
        found |= {f"{letter}_name": domain.name, f"{letter}_channels": domain.channels}
        if domain.kind != "uint8":
            found[f"{letter}_value_range"] = list(domain.value_range)
        if letter == "x" and domain.made_as != "picture":
            found |= {"x_as": domain.made_as, "x_channels": None}
    return {name: value for name, value in found.items() if value is not None}


def run_folder(run: str) -> Path:
    """Returns the folder with the config of a run, of which `run` may name the model."""
    path = Path(run).expanduser()
    return path if (path / CONFIG).is_file() or not (path.parent / CONFIG).is_file() else path.parent


def config_of(run: str) -> dict[str, Any] | None:
    """Returns all options of a run; None where they are not known. Raises BadInput where they cannot be read."""
    path = run_folder(run) / CONFIG
    if run.startswith(PREFIX) or not path.is_file():
        return None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read ({one_line(error)}): --real DIR names the pictures instead") from None
    if not isinstance(found, Mapping):
        raise BadInput(f"{path} holds no options: --real DIR names the pictures instead")
    return dict(found)


def fingerprint(rows: Sets) -> str:
    """Returns what two data sets have in common if the figures of one may stand beside those of the other: the same
    pictures, held out alike, read and cut alike."""
    pools = {
        side: [sorted(str(Path(str(item)).absolute()) for item in part) for part in (pool.train, pool.held_out)]
        for side, pool in pools_of(rows).items()
    }
    titles = (
        (rows.title, *(str(getattr(rows, name, None)) for name in OF_PLACES)) if isinstance(rows, IndexedRows) else ""
    )
    return hashlib.sha256(repr((pools, titles, rows.preprocessing(), rows.forms)).encode()).hexdigest()
