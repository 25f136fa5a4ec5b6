"""Checkpoints: a nested state on disk, written atomically and without pickle.

RUN/checkpoints/000012000/state.json           the nesting, numbers and strings
                          tensors.safetensors  the tensors that state.json names
                          manifest.json        the score and of which curve, and a SHA-256 of each file and of itself
"""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from quagga import atomic
from quagga.errors import BadInput, one_line
from quagga.filenames import utf8_alias

FORMAT = 1
MANIFEST = "manifest.json"
FILES = ("state.json", "tensors.safetensors")


class Damaged(BadInput):
    """A checkpoint's files are missing or not what was written."""


def save(
    folder: Path,
    images_seen: int,
    state: dict[str, Any],
    keep: int,
    score: float | None = None,
    curve: str | None = None,
) -> Path:
    """Writes folder/<images_seen> atomically, and only then removes all but the newest `keep` and the best one, see
    `best`.

    Args:
        folder: The run's checkpoints.
        images_seen: Images that the run has seen.
        state: What `load` returns.
        keep: How many of the newest stay.
        score: Mean of a curve since the checkpoint before, the lower the better; None if there is none.
        curve: The name of that curve.

    Raises:
        OSError: it cannot be written; the older checkpoints are unchanged.
    """
    restore_interrupted(folder)
    atomic.remove_stale_drafts(folder)
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(_pack(state, tensors))

    def fill(draft: Path) -> None:
        (draft / FILES[0]).write_text(text)
        try:
            save_file(tensors, draft / FILES[1])
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error), str(draft / FILES[1])) from error
        digests = {name: _file_digest(draft / name) for name in FILES}
        manifest = {"format": FORMAT, "score": score, "curve": curve, "sha256": digests}
        (draft / MANIFEST).write_text(json.dumps({**manifest, "self": manifest_digest(manifest)}, indent=1))

    target = folder / f"{images_seen:09d}"
    atomic.write_folder(target, fill)
    protected = (best(folder, curve), target)
    for old in list_saved(folder)[:-keep]:
        if old not in protected:
            atomic.remove_folder(old)
    return target


def list_saved(folder: Path) -> list[Path]:
    """Returns the checkpoints in a folder, oldest first, damaged ones included: `load` checks them."""
    paths = [path for path in folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir()]
    return sorted(paths, key=images_seen_at)  # as text, 1000000000 would come before 999999999


def images_seen_at(path: Path) -> int:
    """Returns the images that the run had seen at a checkpoint, from its name."""
    return int(path.name)


def restore_interrupted(folder: Path) -> None:
    """Gives checkpoints back the name that a kill between the two renames of `atomic.write_folder` has taken from them.
    Only the process that holds the run's lock may call it: another would interfere with a save."""
    for backup in folder.glob(".*.previous"):
        path = folder / backup.name.removeprefix(".").removesuffix(".previous")
        if not path.exists():
            backup.rename(path)


def best(folder: Path, curve: str | None = None) -> Path | None:
    """Returns the checkpoint with the lowest score of a curve; if none has a score of this curve, or None is given, of
    the curve that was scored last. None if no checkpoint has a score."""
    known = scores(folder, curve) or scores(folder)
    return min(known, key=known.__getitem__) if known else None


def scores(folder: Path, curve: str | None = None) -> dict[Path, float]:
    """Returns checkpoint -> score for a curve, the newest first, back to the last checkpoint with a score of another
    curve: scores of two curves cannot be compared. curve: None takes the curve that was scored last."""
    known: dict[Path, float] = {}
    for path in reversed(list_saved(folder)):
        try:
            score, scored = _score_and_curve(path)
        except BadInput:
            continue
        if score is None:
            continue
        curve = scored if curve is None else curve
        if scored != curve:
            break
        known[path] = score
    return known


def _score_and_curve(path: Path) -> tuple[float | None, str | None]:
    """Returns the score of a checkpoint and the name of its curve."""
    manifest = _read_manifest(path)
    if manifest["score"] is None or "curve" in manifest:
        return manifest["score"], manifest.get("curve")
    try:  # Quagga 0.1 wrote the curve among the options alone
        options = dict(dict(json.loads((path / FILES[0]).read_text())["dict"])["config"]["dict"])
    except (OSError, LookupError, TypeError, ValueError, RecursionError):
        options = {}
    return manifest["score"], options.get("keep_best")


def load(path: Path) -> dict[str, Any]:
    """Returns the state that `save` was given.

    Raises:
        Damaged: a file is missing, or not what was written.
        BadInput: a newer Quagga has written it.
    """
    try:
        manifest = _read_manifest(path)
        for name in FILES:
            if _file_digest(path / name) != manifest["sha256"][name]:
                raise Damaged(f"{path / name} is damaged: its content is not what was written")
        with utf8_alias(path / FILES[1]) as file:
            tensors = load_file(file)
        return _unpack(json.loads((path / FILES[0]).read_text()), tensors)
    except BadInput:
        raise
    except OSError as error:
        raise Damaged(f"{path} is incomplete: {error.strerror or error}") from error
    except (LookupError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise Damaged(f"{path} is damaged: {one_line(error)}") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        own = manifest.pop("self")
        if own != manifest_digest(manifest):
            raise Damaged(f"{path / MANIFEST} is damaged: its content is not what was written")
    except OSError as error:
        raise Damaged(f"{path} is incomplete: {error.strerror or error}: {MANIFEST}") from error
    except Damaged:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise Damaged(f"{path / MANIFEST} is damaged: {one_line(error)}") from error
    if manifest["format"] > FORMAT:
        raise BadInput(
            f"{path} has format {manifest['format']}, newer than this quagga reads ({FORMAT}): update quagga"
        )
    return manifest


def manifest_digest(manifest: dict[str, Any]) -> str:
    """Returns the SHA-256 of a manifest without its own digest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Returns a nested value as JSON, and adds its tensors to `tensors`. Dictionaries become lists of pairs, since JSON
    would turn their numeric keys (the optimisers') into strings."""
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
