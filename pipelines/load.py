"""What a run left behind, as a function: from pictures to pictures, or from noise and a condition to pictures."""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from quagga import BadInput
from quagga.models.modes import Mode, Statistics
from quagga.pipelines.cli import suggestion
from quagga.pipelines.model_folder import ModelFolder, read_model
from quagga.pipelines.resolution import Resolution
from quagga.pipelines.sampler import Sampler, load_sampler
from quagga.pipelines.translator import BYTES_PER_PIXEL, LEAST_TILE, TILE, Precision, Translator, load_translation


def load(
    run: str | Path,
    to: str | None = None,
    device: str | torch.device | None = None,
    build: Callable[..., Any] | None = None,
    *,
    resolution: Resolution = "model",
    tile: int | Literal["auto"] | None = "auto",
    verify: bool = False,
    dropout: bool | None = None,
    statistics: Statistics | None = None,
    seed: int = 0,
    from_photo: bool = False,
    mixed_precision: Precision = "no",
) -> Translator | Sampler:
    """Loads what a run left behind, a `Translator` of pictures or a `Sampler` of noise and conditions; nothing that
    training was told has to be told again.

    Args:
        run: The run folder, or the model folder in it.
        to: What pictures shall become, of a model that translates (as all below but `verify`): a domain's name
            ("zebra"), its letter ("y"), or "AtoB" and "BtoA". None takes the model's first translation, from x to y.
        device: "cuda", "cuda:1", "mps", "cpu"; None takes the first of CUDA, MPS and the CPU that is there.
        build: Makes the game from its options; only for a game written outside Quagga, whose models do not name it.
        resolution: "model" translates at the scale of training and carries the change to the picture's own size, so
            that what does not change stays sharp; "full" translates at the picture's own size; a number of pixels is
            the size of the shorter side.
        tile: Pictures of more than tile x tile pixels go through the network in strips, with the same result at the
            memory of one tile. "auto": 1024, or on a CUDA GPU what half its free memory holds. None: always whole.
        verify: Whether the golden picture is replayed at once.
        dropout: Whether dropout stays on. None: as the model says; pix2pix's does, as its paper's.
        statistics: What batch normalisation takes: "batch", the statistics of each picture itself, or "running", the
            averages of training. None: as the model says; pix2pix's takes the picture's, as its paper's.
        seed: Of the dropout; each picture begins from it.
        from_photo: Of a model that takes edges: give it photos, whose edges are drawn as they were for training.
        mixed_precision: "bf16" computes products in 16 bits, faster on GPUs and on CPUs with AMX; colours then differ
            by a level of 255, single pixels by more. "no": float32 throughout.

    Raises:
        BadInput: no model, a damaged or newer one, weights that are not finite, an unknown direction, a device that is
            not there, or weights that no longer give what they gave.
    """
    if run == "":
        raise BadInput("the name of the run is empty: give the folder that `quagga train` wrote")
    folder = read_model(Path(run).expanduser())
    if folder.samples:
        said = {"to": to, "dropout": dropout, "statistics": statistics, "from_photo": from_photo or None}
        said["mixed_precision"] = None if mixed_precision == "no" else mixed_precision
        if given := [name for name, value in said.items() if value is not None]:
            raise BadInput(f"{run} makes pictures of noise: leave out {', '.join(given)}")
        sampler = load_sampler(folder, next(iter(folder.samples)), device, build)
        if verify:
            sampler.verify()
        return sampler
    translator = load_translation(folder, _direction(folder, to), device, build)
    if resolution not in ("model", "full") and (type(resolution) is not int or resolution < 1):
        raise BadInput(f"resolution is {resolution}: choose model, full, or the pixels of the shorter side")
    if tile is not None and tile != "auto" and (type(tile) is not int or tile < LEAST_TILE):
        raise BadInput(f"tile is {tile}: it must be {LEAST_TILE} pixels or more, auto, or null for the whole picture")
    if from_photo:
        if translator.input.kind != "edges":
            raise BadInput("from_photo draws edges, and this model takes none: leave it out")
        translator.takes, translator.from_photo = translator.gives, True
    if mixed_precision not in get_args(Precision):
        raise BadInput(f"mixed_precision is {mixed_precision}: choose no or bf16")
    if not 0 <= seed < 1 << 63:
        raise BadInput(f"seed is {seed}: it must be 0 or more, and below 2**63")
    own = translator.own_mode
    translator.mode = Mode(own.dropout if dropout is None else dropout, statistics or own.statistics, seed)
    translator.resolution, translator.mixed_precision = resolution, mixed_precision
    translator.tile = largest_tile(translator.device) if tile == "auto" else tile
    if verify:
        translator.verify()
    return translator


def load_translator(run: str | Path, *words: Any, **settings: Any) -> Translator:
    """As `load`, of a run that translates. Raises BadInput also for another."""
    loaded = load(run, *words, **settings)
    if not isinstance(loaded, Translator):
        raise BadInput(f"{run} makes pictures of noise, it translates none: quagga sample {run}")
    return loaded


def largest_tile(device: torch.device) -> int:
    """Side in pixels of what goes through a network whole: on a CUDA GPU, what half its free memory holds."""
    if device.type != "cuda":
        return TILE
    free, _ = torch.cuda.mem_get_info(device)
    return max(TILE, int((free / 2 / BYTES_PER_PIXEL) ** 0.5))


def folded(name: str) -> str:
    """A name without its case, and in one form of Unicode."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _direction(folder: ModelFolder, to: str | None) -> str:
    """The name of the network that translates in the direction that is asked for; case counts where it tells two
    domains apart."""
    if to is None:
        return next(iter(folder.translations))
    choices: dict[str, str] = {}
    for name, (source, target) in folder.translations.items():
        choices[target] = name
        if {source, target} == {"x", "y"}:  # the letters that other tools use
            choices["AtoB" if source == "x" else "BtoA"] = name
    called = [folder.domains[target]["name"] for _, target in folder.translations.values()]
    for name, domain in zip(folder.translations, called, strict=True):
        if called.count(domain) == 1:  # of two domains of one name the letters still tell
            choices.setdefault(domain, name)
    if to in choices:
        return choices[to]
    alike = {choice: name for choice, name in choices.items() if folded(choice) == folded(to)}
    if len(set(alike.values())) == 1:
        return next(iter(alike.values()))
    if alike:
        raise BadInput(f"'{to}' may be {' or '.join(alike)}, which differ in case alone: write it as it stands here")
    raise BadInput(f"the model does not translate to '{to}'{suggestion(to, choices)} (it can: {', '.join(choices)})")
