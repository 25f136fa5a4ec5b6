"""What a run left behind, as a function: from pictures to pictures, from noise and a condition to pictures, or from
pictures to what they show."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from quagga.did_you_mean import nearest
from quagga.errors import BadInput, one_line
from quagga.fields import Field, classifies, encodes, fills, samples, translates
from quagga.inference.classifier import Classifier
from quagga.inference.device import largest_tile
from quagga.inference.inpainter import Inpainter
from quagga.inference.model_files.model_folder import GOLDEN, ModelFolder, read_whole
from quagga.inference.predictor import Precision, Predictor
from quagga.inference.predictor_loading import load_predictor, picture_name
from quagga.inference.resolution import Resolution
from quagga.inference.sampler import Sampler
from quagga.inference.square_reader import SquareReader, reader_for
from quagga.inference.translator import Translator
from quagga.models.network_mode import Statistics

MIN_TILE = 32  # pixels a side


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
) -> Translator | Inpainter | Sampler | Classifier | Predictor:
    """Loads what a run left behind, by what it takes and gives: a `Translator` of pictures, an `Inpainter` that fills
    what is missing in them, a `Sampler` that makes pictures of noise and conditions, a `Classifier` that says what
    pictures show, or for anything else a `Predictor`, a function of tensors. All options of the training are in the
    model.

    Args:
        run: The run folder, the model folder in it, or "box:NAME" for a model that comes with Quagga, such as
            "box:horse2zebra".
        to: What pictures shall become, for a model that translates (as all below but `verify`): a domain's name
            ("zebra"), its letter ("y"), or "AtoB" and "BtoA"; or for any model the name of an export ("E"). None takes
            the model's first translation, from x to y; if it has none, the first that makes pictures of noise; else its
            first export.
        device: "cuda", "cuda:1", "mps", "cpu"; None takes the first of CUDA, MPS and the CPU that this machine has.
        build: Makes the game from its options; only for networks of your own, which a model cannot describe.
        resolution: "model" translates at the scale of training and carries the change to the picture's own size, so
            that what does not change stays sharp; "full" translates at the picture's own size; a number of pixels is
            the size of the shorter side.
        tile: Pictures of more than tile x tile pixels go through the network in strips, with the same result at the
            memory of one tile. "auto": 1024, or on a CUDA GPU what half its free memory holds. None: always whole.
        verify: Whether the golden input is replayed at once.
        dropout: Whether dropout stays on. None: as the model says; pix2pix's does, as its paper's.
        statistics: What batch normalisation uses: "batch", the statistics of each picture itself, or "running", the
            averages of training. None: as the model says; pix2pix's uses the picture's, as its paper's.
        seed: Of the dropout; each picture starts from it.
        from_photo: For a model that takes edges: give it photos, and their edges are drawn as they were for training.
        mixed_precision: "bf16" computes products in 16 bits, faster on GPUs and on CPUs with AMX; colours then differ
            by a level of 255, single pixels by more. "no": float32 throughout.

    Raises:
        BadInput: no model, a damaged or newer one, weights that are not finite, an unknown direction, a device that is
            not on this machine, or, with verify, an output that is not what it was when the model was saved.
    """
    if run == "":
        raise BadInput("the name of the run is empty: give the folder that `quagga train` wrote")

    def read(model: ModelFolder) -> Translator | Inpainter | Sampler | Classifier | Predictor:
        name = chosen_export(model, to)
        export = model.exports[name]
        if translates(export.inputs, export.output):
            return load_translation(
                model,
                name,
                device,
                build,
                resolution=resolution,
                tile=tile,
                dropout=dropout,
                statistics=statistics,
                seed=seed,
                from_photo=from_photo,
                mixed_precision=mixed_precision,
            )
        useless: dict[str, object] = {"to": None if to == name else to, "from_photo": from_photo or None}
        if samples(export.inputs, export.output):
            useless |= {"dropout": dropout, "statistics": statistics}
            useless["mixed_precision"] = None if mixed_precision == "no" else mixed_precision
            _refuse(useless, f"{run} makes pictures of noise")
            return load_sampler(model, name, device, build)
        _refuse(useless, f"{run} translates no pictures")
        predictor = load_predictor(
            model,
            name,
            device,
            build,
            dropout=dropout,
            statistics=statistics,
            seed=seed,
            mixed_precision=mixed_precision,
        )
        if fills(export.inputs, export.output):
            return inpainter_of(model, predictor, resolution)
        return classifier_of(model, predictor) if classifies(export.inputs, export.output) else predictor

    loaded = read_whole(run, read)
    if verify:
        loaded.verify()
    return loaded


def classifier_of(model: ModelFolder, predictor: Predictor) -> Classifier:
    """Returns an export that says what a picture shows as a function of pictures."""
    domain = model.domains[picture_name(predictor.inputs)]
    return Classifier(predictor, domain.name, reader_for(model, predictor))


def inpainter_of(model: ModelFolder, predictor: Predictor, resolution: Resolution) -> Inpainter:
    """Returns an export that fills pictures as a function of pictures. Raises BadInput for an unknown resolution."""
    check_resolution(resolution)
    domain = model.domains[picture_name(predictor.inputs)]
    return Inpainter(predictor, domain.name, domain.pixel_format, resolution, model.preprocessing)


def check_resolution(resolution: Resolution) -> None:
    """Raises BadInput if pictures cannot go through a network at such a size."""
    if resolution not in ("model", "full") and (type(resolution) is not int or resolution < 1):
        raise BadInput(f"resolution is {resolution}: choose model, full, or the pixels of the shorter side")


def load_translator(run: str | Path, *arguments: Any, **settings: Any) -> Translator:
    """Loads a run that translates, as `load` does. Raises BadInput also for a run that makes pictures of noise."""
    loaded = load_reader_of_pictures(run, *arguments, **settings)
    if isinstance(loaded, Inpainter):
        raise BadInput(f"{run} fills what is missing in pictures: quagga translate {run} PICTURE --mask DIR")
    if not isinstance(loaded, Translator):
        raise BadInput(f"{run} says what pictures show and makes none: quagga translate {run} writes a table of it")
    return loaded


def load_reader_of_pictures(run: str | Path, *arguments: Any, **settings: Any) -> Translator | Inpainter | Classifier:
    """Loads a run that takes pictures, as `load` does. Raises BadInput also for a run that takes noise or tensors."""
    loaded = load(run, *arguments, **settings)
    if isinstance(loaded, Sampler):
        raise BadInput(f"{run} makes pictures of noise and translates none: quagga sample {run}")
    if not isinstance(loaded, Translator | Inpainter | Classifier):
        codes = loaded.output.kind == "code"
        move = "say --to code or points, or --to picture for codes" if codes else "load it in Python, with quagga.load"
        raise BadInput(f"{run} makes no pictures of pictures: {move}")
    return loaded


def load_translation(
    model: ModelFolder,
    name: str,
    device: str | torch.device | None = None,
    build: Callable[..., Any] | None = None,
    *,
    resolution: Resolution = "model",
    tile: int | Literal["auto"] | None = "auto",
    dropout: bool | None = None,
    statistics: Statistics | None = None,
    seed: int = 0,
    from_photo: bool = False,
    mixed_precision: Precision = "no",
) -> Translator:
    """Loads the translation whose network is called `name`; see `quagga.load` for the settings.

    Raises:
        BadInput: as `quagga.load` does.
    """
    export = model.exports[name]
    source, target = model.domains[picture_name(export.inputs)], model.domains[export.output.name]
    derived_input = source.derived_input
    check_resolution(resolution)
    if tile is not None and tile != "auto" and (type(tile) is not int or tile < MIN_TILE):
        raise BadInput(f"tile is {tile}: it must be {MIN_TILE} pixels or more, auto, or null for the whole picture")
    if from_photo and derived_input.kind != "edges":
        raise BadInput("from_photo draws edges, and this model takes none: leave it out")
    predictor = load_predictor(
        model,
        name,
        device,
        build,
        dropout=dropout,
        statistics=statistics,
        seed=seed,
        mixed_precision=mixed_precision,
    )
    if from_photo:
        input_format = target.pixel_format
    else:
        input_format = derived_input.pixel_format if derived_input.kind == "labels" else source.pixel_format
    return Translator(
        predictor=predictor,
        source=source.name,
        target=target.name,
        input_format=input_format,
        output_format=target.pixel_format,
        resolution=resolution,
        tile=largest_tile(predictor.device) if tile == "auto" else tile,
        preprocessing=model.preprocessing,
        input=derived_input,
        from_photo=from_photo,
    )


def load_sampler(
    model: ModelFolder,
    name: str,
    device: str | torch.device | None = None,
    build: Callable[..., Any] | None = None,
) -> Sampler:
    """Loads the export called `name` of a model that makes pictures of noise or codes, and its encoder.

    Raises:
        BadInput: as `load` does.
    """
    domain = model.domains[model.exports[name].output.name]
    predictor = load_predictor(model, name, device, build)
    inputs, output = predictor.golden
    try:
        with torch.inference_mode():
            made = predictor.forward(**{key: part[:1] for key, part in inputs.items()})
        if made.shape[1:] != output.shape[1:]:
            raise ValueError(f"it makes {tuple(made.shape[1:])}, not {tuple(output.shape[1:])}")
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise BadInput(
            f"{model.path}: the network {name} does not take {GOLDEN} ({one_line(error)}); copy it again"
        ) from None
    height, width = output.shape[-2:]
    fit = model.preprocessing.get("fit") or "crop"
    size = predictor.inputs[0].size
    encoder = next(
        (key for key, e in model.exports.items() if encodes(e.inputs, e.output) and e.output.size == size), None
    )
    return Sampler(
        predictor=predictor,
        target=domain.name,
        output_format=domain.pixel_format,
        reader=SquareReader(domain.pixel_format, min(height, width), fit),
        encoder=load_predictor(model, encoder, device, build) if encoder and len(predictor.inputs) == 1 else None,
    )


def first_export(model: ModelFolder, does: Callable[[Sequence[Field], Field], bool]) -> str | None:
    """Returns the name of the first export that does what a function of `quagga.fields` says, such as `samples`; None
    if none does."""
    return next((name for name, export in model.exports.items() if does(export.inputs, export.output)), None)


def _refuse(settings: Mapping[str, object], because: str) -> None:
    """Raises BadInput where one of the settings is given."""
    if given := [name for name, value in settings.items() if value is not None]:
        raise BadInput(f"{because}: leave out {', '.join(given)}")


def chosen_export(model: ModelFolder, to: str | None) -> str:
    """Returns the name of the export that makes pictures of a domain, or that is called so. Case counts only where it
    tells two domains apart.

    Raises:
        BadInput: no export does, or several names match.
    """
    translations = {
        name: (picture_name(export.inputs), export.output.name)
        for name, export in model.exports.items()
        if translates(export.inputs, export.output)
    }
    if to is None or (not translations and to not in model.exports):
        return first_export(model, translates) or first_export(model, samples) or next(iter(model.exports))
    choices: dict[str, str] = {}
    for name, (source, target) in translations.items():
        choices.setdefault(target, name)
        if {source, target} == {"x", "y"}:  # the letters that other tools use
            choices["AtoB" if source == "x" else "BtoA"] = name
    domain_names = [model.domains[target].name for _, target in translations.values()]
    for name, domain in zip(translations, domain_names, strict=True):
        if domain_names.count(domain) == 1:  # two domains of one name are told apart by their letters
            choices.setdefault(domain, name)
    for name in model.exports.keys() - translations.keys():
        choices.setdefault(name, name)
    if to in choices or to in model.exports:
        return choices.get(to, to)
    matches = {choice: name for choice, name in choices.items() if _casefolded(choice) == _casefolded(to)}
    if len(set(matches.values())) == 1:
        return next(iter(matches.values()))
    if matches:
        raise BadInput(f"'{to}' may be {' or '.join(matches)}, which differ in case alone: write it as it stands here")
    close = nearest(to, choices)
    hint = f": did you mean {close}?" if close else ""
    raise BadInput(f"the model does not translate to '{to}'{hint} (it can: {', '.join(choices)})")


def _casefolded(name: str) -> str:
    """A name without its case, and in one form of Unicode."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
