"""Checkpoints: a nested state on disk, complete or not there at all, and without pickle.

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

from quagga import BadInput
from quagga.names import for_libraries
from quagga.pipelines import whole

FORMAT = 1
MANIFEST = "manifest.json"
FILES = ("state.json", "tensors.safetensors")


class Damaged(BadInput):
    """A checkpoint is not what was written."""


def save(
    folder: Path,
    images_seen: int,
    state: dict[str, Any],
    keep: int,
    score: float | None = None,
    curve: str | None = None,
) -> Path:
    """Writes folder/<images_seen> under another name, renames it when it is whole, and only then removes all but the
    newest `keep` and the best one, see `best`.

    Args:
        folder: The run's checkpoints.
        images_seen: Where the run stands.
        state: What `load` gives back.
        keep: How many of the newest stay.
        score: Mean of a curve since the checkpoint before, the lower the better; None where there is none.
        curve: The name of that curve.

    Raises:
        OSError: it cannot be written; the checkpoints before it are as they were.
    """
    mend(folder)
    whole.sweep(folder)
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(_pack(state, tensors))

    def fill(draft: Path) -> None:
        (draft / FILES[0]).write_text(text)
        try:
            save_file(tensors, draft / FILES[1])
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error), str(draft / FILES[1])) from error
        digests = {name: _digest(draft / name) for name in FILES}
        manifest = {"format": FORMAT, "score": score, "curve": curve, "sha256": digests}
        (draft / MANIFEST).write_text(json.dumps({**manifest, "self": own_digest(manifest)}, indent=1))

    target = folder / f"{images_seen:09d}"
    whole.write_folder(target, fill)
    kept = (best(folder, curve), target)
    for old in saved(folder)[:-keep]:
        if old not in kept:
            whole.remove(old)
    return target


def saved(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first; whether they are whole, `load` tells."""
    found = [path for path in folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=images_of)  # as text, 1000000000 would come before 999999999


def images_of(path: Path) -> int:
    """The images that the run of a checkpoint had seen, by its name."""
    return int(path.name)


def mend(folder: Path) -> None:
    """Puts back what a kill between two renames has left under its second name (see `whole`). Only for the process that
    holds the run's lock: in another's hands it would come between the renames of a save."""
    for hidden in folder.glob(".*.previous"):
        place = folder / hidden.name.removeprefix(".").removesuffix(".previous")
        if not place.exists():
            hidden.rename(place)


def best(folder: Path, curve: str | None = None) -> Path | None:
    """The checkpoint with the lowest score of a curve; of the curve that was scored last, where none has a score of
    this one, or None is asked for. None where no checkpoint has a score."""
    found = scores(folder, curve) or scores(folder)
    return min(found, key=found.__getitem__) if found else None


def scores(folder: Path, curve: str | None = None) -> dict[Path, float]:
    """The scores of the checkpoints that have one of this curve, the newest first, back to the last one that has a
    score of another curve: the two cannot be compared. None: of the curve that was scored last."""
    found = {}
    for path in reversed(saved(folder)):
        try:
            score, scored = _score(path)
        except BadInput:
            continue
        if score is None:
            continue
        curve = scored if curve is None else curve
        if scored != curve:
            break
        found[path] = score
    return found


def _score(path: Path) -> tuple[float | None, str | None]:
    """The score of a checkpoint and the name of its curve."""
    manifest = _manifest(path)
    if manifest["score"] is None or "curve" in manifest:
        return manifest["score"], manifest.get("curve")
    try:  # Quagga 0.1 wrote the curve among the options alone
        options = dict(dict(json.loads((path / FILES[0]).read_text())["dict"])["config"]["dict"])
    except (OSError, LookupError, TypeError, ValueError, RecursionError):
        options = {}
    return manifest["score"], options.get("keep_best")


def load(path: Path) -> dict[str, Any]:
    """The state that `save` was given.

    Raises:
        Damaged: a file is missing, or not what was written.
        BadInput: a newer Quagga has written it.
    """
    try:
        manifest = _manifest(path)
        for name in FILES:
            if _digest(path / name) != manifest["sha256"][name]:
                raise Damaged(f"{path / name} is damaged: its content is not what was written")
        with for_libraries(path / FILES[1]) as file:
            tensors = load_file(file)
        return _unpack(json.loads((path / FILES[0]).read_text()), tensors)
    except BadInput:
        raise
    except OSError as error:
        raise Damaged(f"{path} is not whole: {error.strerror or error}") from error
    except (LookupError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise Damaged(f"{path} is damaged: {' '.join(str(error).split())[:200]}") from error


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        own = manifest.pop("self")
        if own != own_digest(manifest):
            raise Damaged(f"{path / MANIFEST} is damaged: its content is not what was written")
    except OSError as error:
        raise Damaged(f"{path} is not whole: {error.strerror or error}: {MANIFEST}") from error
    except Damaged:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise Damaged(f"{path / MANIFEST} is damaged: {' '.join(str(error).split())[:200]}") from error
    if manifest["format"] > FORMAT:
        raise BadInput(
            f"{path} has format {manifest['format']}, newer than this quagga reads ({FORMAT}): update quagga"
        )
    return manifest


def own_digest(manifest: dict[str, Any]) -> str:
    """The SHA-256 of all that a manifest says but this."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
