"""Checkpoints: a nested state on disk, complete or not there at all, and without pickle.

RUN/checkpoints/000012000/state.json           the nesting, numbers and strings
                          tensors.safetensors  the tensors that state.json names
                          manifest.json        a SHA-256 of each file
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from quagga import BadInput

FORMAT = 1


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON for a nested value. Dictionaries become lists of pairs, since JSON turns the optimisers' numbers into
    strings."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_pack(item, tensors) for item in value]}
    return value


def _unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders, and keeps their names safe by itself
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(folder: Path, images_seen: int, state: dict[str, Any], keep: int) -> Path:
    """Writes folder/<images_seen> under another name, renames it when it is whole, and only then removes all but the
    newest `keep`."""
    target, draft = folder / f"{images_seen:09d}", folder / f".{images_seen:09d}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    tensors: dict[str, torch.Tensor] = {}
    (draft / "state.json").write_text(json.dumps(_pack(state, tensors)))
    save_file(tensors, draft / "tensors.safetensors")
    files = {file.name: _digest(file) for file in sorted(draft.iterdir())}
    (draft / "manifest.json").write_text(json.dumps({"format": FORMAT, "sha256": files}, indent=1))
    for file in draft.iterdir():
        _sync(file)
    if target.exists():  # the same moment of the same run, left by an earlier start
        shutil.rmtree(target)
    draft.rename(target)
    _sync(folder)
    for old in saved(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def saved(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir()) if folder.is_dir() else []


def load(path: Path) -> dict[str, Any]:
    """The state that `save` was given. Raises BadInput, naming the file, for a checkpoint that is damaged or too
    new."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        if manifest["format"] > FORMAT:
            raise BadInput(f"{path} has format {manifest['format']}, newer than this quagga reads: update quagga")
        for name in ("state.json", "tensors.safetensors"):
            if _digest(path / name) != manifest["sha256"][name]:
                raise BadInput(f"{path / name} is damaged: its content is not what was written")
        tensors = load_file(path / "tensors.safetensors")
        return _unpack(json.loads((path / "state.json").read_text()), tensors)
    except (OSError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise BadInput(f"{path} is not a whole checkpoint ({error}): remove it to go on from the one before") from error
