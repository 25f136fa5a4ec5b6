"""The model folder of a run: weights, and what is needed to use them, as text.

    model/
      model.json           what the model can do, and with which networks; size and SHA-256 of each file below
      G.safetensors        the averaged weights of the export G, float32 (float16 in models that come with Quagga)
      F.safetensors        and of F
      golden.safetensors   an input of each export that was drawn, and the saved network's output for it

Nothing in it is pickle and nothing in it is run: model.json is plain JSON of numbers, text and lists, which
`model_schema` describes. `model_saving` writes the folder; here it is read.
"""

import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from quagga import __version__, atomic
from quagga.boxed_models import boxed_model_folder
from quagga.errors import BadInput, one_line
from quagga.fields import Field
from quagga.inference.model_files.legacy import to_format_2
from quagga.inference.model_files.model_schema import FORMAT, Domain, field_from, mode_from, validated
from quagga.models.network_mode import Mode

MODEL_JSON = "model.json"
GOLDEN = "golden.safetensors"
MAX_JSON_BYTES = 2 << 20  # of a model.json; ours have 2,000
MAX_GOLDEN_BYTES = 1 << 26  # of a golden.safetensors of pictures of noise; ours have 100,000
PAUSES = (0.0, 0.002, 0.01, 0.05)  # seconds between looks for a model, which is away while a run replaces it
MAX_TRIES = 50  # of reading a model that is replaced while it is read

T = TypeVar("T")


class Replaced(BadInput):
    """Another model was saved in the place of the one that was being read."""


@dataclass(frozen=True)
class SavedExport:
    """What a saved model can do: an `Export` without its network.

    Args:
        inputs: What its network takes, in order.
        output: What it gives.
        mode: How the network is used.
    """

    inputs: tuple[Field, ...]
    output: Field
    mode: Mode


@dataclass(frozen=True)
class ModelFolder:
    """The content of model.json. It fits the schema; whether it is true of the weights is not checked.

    Args:
        path: The folder it was read from.
        pipeline: The name of the pipeline that was trained.
        options: The resolved options of its `build`, by name.
        networks: Name of an export to its network's class and arguments, for `build_described`; None: the network is
            a user's own, which the pipeline's `build` makes.
        exports: Name to what it takes and gives.
        domains: Name of a picture field to what its pictures are called, and how they are read and written.
        preprocessing: What training did to a picture before the network saw it.
        images_seen: How long the networks were trained, in images.
        versions: Versions of Quagga and torch that wrote it.
        files: Name of each file beside model.json to its SHA-256.
        bytes: Name of each file to its size; older models do not state it.
        stamp: Tells this model.json from one that has replaced it.
    """

    path: Path
    pipeline: str
    options: dict[str, Any]
    networks: dict[str, dict[str, Any] | None]
    exports: dict[str, SavedExport]
    domains: dict[str, Domain]
    preprocessing: dict[str, Any]
    images_seen: int
    versions: dict[str, str]
    files: dict[str, str]
    bytes: dict[str, int]
    stamp: tuple[int, ...]

    def tensors(self, file: str) -> dict[str, Tensor]:
        """Reads the tensors of one of the folder's files, on the CPU. The bytes that are hashed are those in use.

        Raises:
            BadInput: the file is missing, or not what was written.
            Replaced: it is so because another model was saved in this one's place; `read_whole` then begins anew.
        """
        path = self.path / file
        if file not in self.files:
            raise BadInput(f"{self.path / MODEL_JSON} lists no {file}: the model is incomplete, save or copy it again")
        try:
            content, _ = _read_bytes(path, expected=self.bytes.get(file))
        except OSError as error:
            self._check_unchanged()
            raise BadInput(f"cannot read {path} ({error.strerror}): the model is incomplete, copy it again") from None
        except MemoryError:
            size = path.stat().st_size
            raise BadInput(f"{path} has {size:,} bytes, more than the memory holds: copy the model again") from None
        if hashlib.sha256(content).hexdigest() != self.files[file]:
            self._check_unchanged()
            raise BadInput(f"{path} is damaged, its SHA-256 is not the one in {MODEL_JSON}: copy the model again")
        try:
            return safetensors.torch.load(content)
        except (SafetensorError, ValueError) as error:
            raise BadInput(f"{path} is not a safetensors file ({one_line(error)}): copy the model again") from None

    def _check_unchanged(self) -> None:
        try:
            stamp = _stamp((self.path / MODEL_JSON).stat())
        except OSError:
            stamp = ()
        if stamp != self.stamp:
            raise Replaced(f"the model in {self.path} was replaced while it was read: try again")


def read_whole(run: str | Path, use: Callable[[ModelFolder], T]) -> T:
    """Reads model.json and gives it to `use`, which reads the files beside it: what is returned is of one moment, also
    while a run saves into the folder. Where it was replaced in between, both are done again.

    Raises:
        BadInput: as `read_model` and `use` do.
    """
    for _ in range(MAX_TRIES - 1):
        with suppress(Replaced):
            return use(read_model(Path(run).expanduser()))
    return use(read_model(Path(run).expanduser()))


def read_model(run: Path) -> ModelFolder:
    """Reads model.json of a run folder, a model folder or "box:NAME"; the weights stay on disk.

    Raises:
        BadInput: there is no model, or a damaged one, or one of a newer Quagga.
    """
    path, content, stamp = _read_model_json(run)
    try:
        parsed = json.loads(content, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON ({one_line(error)}): copy the model again") from None
    if not isinstance(parsed, dict) or type(parsed.get("format")) is not int or parsed["format"] < 0:
        raise BadInput(f"{path} is not Quagga's model.json: it states no format number")
    if parsed["format"] > FORMAT:
        versions = parsed.get("versions")
        author = versions.get("quagga") if isinstance(versions, dict) else None
        author = author if isinstance(author, str) else "unknown"
        raise BadInput(
            f"{path} has format {parsed['format']}, written by Quagga {author}:"
            f" Quagga {__version__} reads up to format {FORMAT}, install a newer one (pip install --upgrade quagga)"
        )
    try:
        if parsed["format"] < FORMAT:
            parsed = to_format_2(parsed, _golden_shapes(path.parent / GOLDEN) if parsed.get("samples") else None)
        model = validated(parsed)
        exports = {
            name: SavedExport(tuple(map(field_from, entry.inputs)), field_from(entry.output), mode_from(entry.mode))
            for name, entry in model.exports.items()
        }
    except (ValueError, RecursionError) as error:  # a SchemaError, or of format 1 what version 0.1 did not write
        raise BadInput(f"{path} is damaged: {one_line(error)}; copy the model again") from None
    return ModelFolder(
        path=path.parent,
        pipeline=model.pipeline,
        options=model.options,
        networks={name: entry and entry.model_dump(by_alias=True) for name, entry in model.networks.items()},
        exports=exports,
        domains=model.domains,
        preprocessing=model.preprocessing.model_dump(exclude_unset=True),
        images_seen=model.images_seen,
        versions=model.versions,
        files=model.files,
        bytes=model.bytes,
        stamp=stamp,
    )


def _read_model_json(run: Path) -> tuple[Path, bytes, tuple[int, ...]]:
    """Returns the path of a run's model.json, its content, and what tells it from one that replaces it."""
    path = _find_model_folder(run) / MODEL_JSON
    for _ in range(MAX_TRIES):
        try:
            content, status = _read_bytes(path, MAX_JSON_BYTES)
            return path, content, _stamp(status)
        except FileNotFoundError:  # it was replaced since it was found
            path = _find_model_folder(run) / MODEL_JSON
        except OSError as error:
            raise BadInput(f"cannot read {path} ({error.strerror}): copy the model again") from None
    raise BadInput(f"cannot read {path}, which is replaced again and again: copy the model first")


def _golden_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the golden tensors of a model of format 1, which alone say how long its noise is where a
    user's own pipeline made it; none where they cannot be read, which is said when they are needed."""
    try:
        content, _ = _read_bytes(path, MAX_GOLDEN_BYTES)
        return {name: tuple(tensor.shape) for name, tensor in safetensors.torch.load(content).items()}
    except (OSError, SafetensorError, ValueError):
        return {}


def _read_bytes(path: Path, most: int | None = None, expected: int | None = None) -> tuple[bytes, os.stat_result]:
    """Reads a file, and what it was before. A device or a pipe in its place would never end, and a file may be larger
    than the memory.

    Raises:
        OSError: it cannot be read, is no file, has more than `most` bytes, or not the `expected` number.
        MemoryError: it is too large.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than Quagga writes")
    if expected is not None and status.st_size != expected:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, and {MODEL_JSON} says {expected:,}")
    return path.read_bytes(), status


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """What tells a file from another that has taken its name."""
    return status.st_ino, status.st_mtime_ns


def _find_model_folder(run: Path) -> Path:
    """Returns the model folder of a run folder, the model folder itself, or that of "box:NAME"."""
    if boxed := boxed_model_folder(run):
        return boxed
    try:
        for pause in PAUSES:
            time.sleep(pause)
            # The run first: beside the folder itself a longer name is looked for, which a disk may not allow.
            for folder in (run / "model", run):
                if ((existing := atomic.existing_folder(folder)) / MODEL_JSON).is_file():
                    return existing
        exists = run.is_dir()
    except OSError as error:
        raise BadInput(f"there can be no folder {str(run)[:80]} ({error.strerror}): give that of a run") from None
    if not exists:
        raise BadInput(f"there is no folder {run}: give the folder that `quagga train` wrote")
    inside = sorted(path.parent.parent for path in run.glob(f"*/model/{MODEL_JSON}"))
    hint = f"did you mean {inside[0]}?" if inside else "`quagga train` writes it, the first time at its first save"
    raise BadInput(f"{run} holds no model, expected {run / 'model' / MODEL_JSON}: {hint}")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes a dictionary of JSON pairs. Raises ValueError for a key that stands twice: readers differ in which of the
    two they take."""
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {one_line(twice, 80)!r} stands twice")
    return result
