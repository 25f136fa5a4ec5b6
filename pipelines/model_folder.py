"""The folder that a run leaves behind: weights, and everything needed to use them, in words.

    model/
      model.json           what played, with which options, between which domains; size and SHA-256 of each file below
      G.safetensors        the averaged weights of the generator G: X -> Y, float32
      F.safetensors        and of F: Y -> X
      golden.safetensors   a fixed input of each network and what the saved network made of it

A generator that makes pictures of noise, G(z) or G(z, c), is listed under "samples" instead of "translations".

Nothing in it is pickle and nothing in it is run: model.json is plain JSON of numbers, words and lists. The folder is
written beside its place, synced and renamed, so that a kill or a full disk leaves the model before it whole.
"""

import copy
import errno
import hashlib
import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from quagga import BadInput, __version__
from quagga.data.form import KINDS
from quagga.models.modes import Mode, used
from quagga.names import stored
from quagga.pipelines import whole

FORMAT = 1  # raised when an older Quagga could no longer read the folder
CARD = "model.json"
GOLDEN = "golden.safetensors"
MOST_CARD = 1 << 20  # bytes of a model.json; ours have 2,000
MOST_NAMES = 8192  # classes, attributes or words; so many of 12 letters make 130 KB
LONGEST = 64  # entries of any other list of an option
DEEPEST = 16  # lists and dictionaries within one another in an option; ours have 3
GOLDEN_SIZE = 64  # pixels a side: large enough for every layer to take part, small enough to replay in a blink


@dataclass(frozen=True)
class ModelFolder:
    """What model.json says, checked for shape but not yet for truth.

    Args:
        path: The folder it was read from.
        pipeline: The name of the pipeline whose `build` makes the networks.
        options: The resolved options of that `build`, by name.
        translations: Name of a network to (source, target), e.g. `{"G": ("x", "y"), "F": ("y", "x")}`.
        samples: Name of a network that makes pictures of noise to the domain it makes, e.g. `{"G": "x"}`.
        domains: Each letter's `name` ("horse"), number of `channels`, `value_range` [low, high] and `kind` of number
            ("uint8"); models of 8 bits may lack the last two.
        preprocessing: What training did to a picture before the network saw it.
        images_seen: How long the networks were trained, in images.
        versions: Of Quagga and torch, when it was written.
        files: Name of each file beside model.json to its SHA-256.
        bytes: And to its size; older models do not state it.
    """

    path: Path
    pipeline: str
    options: dict[str, Any]
    translations: dict[str, tuple[str, str]]
    domains: dict[str, dict[str, Any]]
    preprocessing: dict[str, Any]
    images_seen: int
    versions: dict[str, str]
    files: dict[str, str]
    samples: dict[str, str] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)

    @property
    def networks(self) -> list[str]:
        """Names of the networks it holds."""
        return [*self.translations, *self.samples]

    def tensors(self, file: str) -> dict[str, Tensor]:
        """The tensors of one of the folder's files, on the CPU. The bytes that are hashed are the bytes that are used.

        Raises:
            BadInput: the file is missing, or not what was written.
        """
        path = self.path / file
        if file not in self.files:
            raise BadInput(f"{self.path / CARD} lists no {file}: the model is incomplete, save or copy it again")
        try:
            content = _content(path, stated=self.bytes.get(file))
        except OSError as error:
            raise BadInput(f"cannot read {path} ({error.strerror}): the model is incomplete, copy it again") from None
        except MemoryError:
            size = path.stat().st_size
            raise BadInput(f"{path} has {size:,} bytes, more than the memory holds: copy the model again") from None
        if hashlib.sha256(content).hexdigest() != self.files[file]:
            raise BadInput(f"{path} is damaged, its SHA-256 is not the one in {CARD}: copy the model again")
        try:
            return safetensors.torch.load(content)
        except (SafetensorError, ValueError) as error:
            raise BadInput(f"{path} is not a safetensors file ({_line(error)}): copy the model again") from None


def save_model(
    folder: Path,
    *,
    pipeline: str,
    options: dict[str, Any],
    networks: Mapping[str, nn.Module],
    translations: Mapping[str, tuple[str, str]],
    domains: Mapping[str, dict[str, Any]],
    preprocessing: dict[str, Any],
    images_seen: int,
    golden: Mapping[str, tuple[Tensor, ...]] | None = None,
    samples: Mapping[str, str] | None = None,
) -> None:
    """Writes the model folder, in place of an older one.

    Args:
        folder: Where, usually `RUN/model`.
        pipeline: The name of the pipeline.
        options: The resolved options of its `build`: numbers, words, None, and lists and dictionaries of them.
        networks: The generators by name, on any device, in any mode; they are left as they are.
        translations: Name of a network to (source, target) domain.
        domains: `{"x": {"name": "horse", "channels": 3, "value_range": [0, 255], "kind": "uint8"}, "y": ...}`.
        preprocessing: What training did to a picture, e.g. `{"load_size": 286, "crop_size": 256}`.
        images_seen: How many images the networks were trained on.
        golden: For each network what it is called with: a picture `(1, C, H, W)` in [-1, 1] of a translation, z and
            perhaps c of a network that makes pictures of noise. None takes fixed noise of 64 x 64 pixels; not for the
            latter.
        samples: Name of a network that makes pictures of noise to its domain.

    Raises:
        BadInput: the folder cannot be written; an older model in its place is still there.
    """
    # Twins on the CPU in float32: what is replayed is what is stored, and the caller's networks keep device and mode.
    samples = dict(samples or {})
    twins = {name: copy.deepcopy(networks[name]).to("cpu", torch.float32).eval() for name in (*translations, *samples)}
    replay: dict[str, Tensor] = {}
    for name, twin in twins.items():
        inputs = golden[name] if golden else (golden_noise(domains[translations[name][0]]["channels"]),)
        inputs = [x.detach().cpu() for x in inputs]
        inputs = [x.float() if x.is_floating_point() else x for x in inputs]
        replay |= {f"{name}.{part}": x for part, x in zip(("input", "condition"), inputs, strict=False)}
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            [x, *condition] = inputs
            replay[f"{name}.output"] = twin(x, *condition) if name in samples else used(twin, x, mode_of(options))
    contents = {f"{name}.safetensors": _pack(twin.state_dict()) for name, twin in twins.items()}
    contents[GOLDEN] = _pack(replay)
    card = {
        "format": FORMAT,
        "pipeline": pipeline,
        "images_seen": images_seen,
        "translations": {name: list(ends) for name, ends in translations.items()},
        "samples": samples,
        "domains": dict(domains),
        "value_range": [-1.0, 1.0],  # of the tensors that the networks take and give
        "preprocessing": preprocessing,
        "options": options,
        "versions": {"quagga": __version__, "torch": torch.__version__},
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
        "bytes": {file: len(content) for file, content in contents.items()},
    }
    contents[CARD] = stored(json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def fill(draft: Path) -> None:
        for file, content in contents.items():
            (draft / file).write_bytes(content)

    try:
        whole.write_folder(folder, fill)
    except OSError as error:
        raise BadInput(
            f"cannot write the model to {folder} ({error.strerror}): free some space or choose another place"
        ) from None


def mode_of(options: Mapping[str, Any]) -> Mode:
    """How a pipeline uses its networks when they no longer learn, by its options; those without such use `eval()`."""
    running = options.get("test_statistics", "running") != "batch"
    return Mode(options.get("test_dropout") is True, "running" if running else "batch")


def read_model(run: Path) -> ModelFolder:
    """Reads model.json of a run folder or a model folder; the weights stay on disk.

    Raises:
        BadInput: there is no model, or a damaged one, or one of a newer Quagga.
    """
    folder = _find(run)
    path = folder / CARD
    try:
        card = json.loads(_content(path, MOST_CARD), object_pairs_hook=_once)
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): copy the model again") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON ({_line(error)}): copy the model again") from None
    if not isinstance(card, dict) or not _is_count(card.get("format")):
        raise BadInput(f"{path} is not Quagga's model.json: it states no format number")
    if card["format"] > FORMAT:
        versions = card.get("versions")
        author = versions.get("quagga") if isinstance(versions, dict) else None
        raise BadInput(
            f"{path} has format {card['format']}, written by Quagga {author if isinstance(author, str) else 'unknown'}:"
            f" Quagga {__version__} reads up to format {FORMAT}, install a newer one (pip install --upgrade quagga)"
        )
    for key, fits in SHAPE.items():
        if not fits(card.get(key, {} if key in LATER else None)):
            raise BadInput(f"{path} is damaged: '{key}' is missing or not what Quagga writes; copy the model again")
    translations: dict[str, tuple[str, str]] = {name: (a, b) for name, (a, b) in card["translations"].items()}
    samples: dict[str, str] = card.get("samples", {})
    if not translations and not samples:
        raise BadInput(f"{path} is damaged: it lists no network; copy the model again")
    for letter in {*(letter for ends in translations.values() for letter in ends), *samples.values()}:
        if letter not in card["domains"]:
            raise BadInput(f"{path} is damaged: the domain '{letter}' is made but not described")
    checked: dict[str, Any] = {key: card.get(key, {}) for key in SHAPE} | {"translations": translations}
    return ModelFolder(path=folder, **checked)


def golden_noise(channels: int) -> Tensor:
    """The same noise on every machine, `(1, C, 64, 64)` uniform in [-1, 1]."""
    draw = torch.Generator().manual_seed(0)
    return torch.rand(1, channels, GOLDEN_SIZE, GOLDEN_SIZE, generator=draw) * 2 - 1


def _content(path: Path, most: int | None = None, stated: int | None = None) -> bytes:
    """A file's bytes. A device or a pipe in its place would never end, and a file may be larger than the memory.

    Raises:
        OSError: it cannot be read, is no file, or has more than `most` bytes or others than the `stated` number.
        MemoryError: it is too large.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than Quagga writes")
    if stated is not None and status.st_size != stated:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, and {CARD} says {stated:,}")
    return path.read_bytes()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary of JSON, in which every key stands once: of two, readers differ in which they believe."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_options(value: object) -> bool:
    """Plain data, of lists that are no longer than any of ours; names may be many words."""
    if not isinstance(value, dict) or not _is_plain(value):
        return False
    names, others = value.get("names"), [other for key, other in value.items() if key != "names"]
    return (
        names is None
        or (isinstance(names, list) and len(names) <= MOST_NAMES and all(isinstance(name, str) for name in names))
    ) and all(len(other) <= LONGEST for other in others if isinstance(other, list | dict))


def _is_plain(value: object, depth: int = 0) -> bool:
    """Whether it is data only: for a parameter without a type, jsonargparse imports what {"class_path": ...} names."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return "class_path" not in value and depth < DEEPEST and all(_is_plain(each, depth + 1) for each in inner)


def _is_translations(value: object) -> bool:
    # A network's name becomes a file's name, so that it must not be able to climb out of the folder.
    return (
        isinstance(value, dict)
        and all(name.isidentifier() for name in value)
        and all(isinstance(v, list) and len(v) == 2 and all(isinstance(end, str) for end in v) for v in value.values())
    )


def _is_samples(value: object) -> bool:
    return _is_words(value) and isinstance(value, dict) and all(name.isidentifier() for name in value)


def _is_domains(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(v, dict)
        and isinstance(v.get("name"), str)
        and _is_count(v.get("channels"))
        and v["channels"] > 0
        and v.get("kind", "uint8") in KINDS
        and _is_range(v.get("value_range", [0, 255]))
        for v in value.values()
    )


def _is_range(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(end, int | float) and math.isfinite(end) for end in value)
        and value[0] < value[1]
    )


def _is_words(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


SHAPE = {  # key of model.json -> what its value must look like before anything is done with it
    "pipeline": lambda value: isinstance(value, str),
    "options": _is_options,
    "translations": _is_translations,
    "samples": _is_samples,
    "domains": _is_domains,
    "preprocessing": lambda value: isinstance(value, dict),
    "images_seen": _is_count,
    "versions": _is_words,
    "files": _is_words,
    "bytes": lambda value: isinstance(value, dict) and all(map(_is_count, value.values())),
}
LATER = ("samples", "bytes")  # what older models lack


def _find(run: Path) -> Path:
    """The model folder of a run, which may be given itself."""
    try:
        # The run first: beside the folder itself a longer name is looked for, which a disk may not allow.
        for folder in (run / "model", run):
            if (whole.found(folder) / CARD).is_file():
                return whole.found(folder)
        there = run.is_dir()
    except OSError as error:
        raise BadInput(f"there can be no folder {str(run)[:80]} ({error.strerror}): give that of a run") from None
    if not there:
        raise BadInput(f"there is no folder {run}: give the folder that `quagga train` wrote")
    inside = sorted(path.parent.parent for path in run.glob(f"*/model/{CARD}"))
    hint = f"did you mean {inside[0]}?" if inside else "`quagga train` writes it, the first time at its first save"
    raise BadInput(f"{run} holds no model, expected {run / 'model' / CARD}: {hint}")


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()})


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
