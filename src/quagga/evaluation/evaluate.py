"""How good is it? Runs, and other programs' pictures, beside real pictures and beside doing nothing.

>>> import quagga
>>> print(quagga.evaluate("runs/zebras"))
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from quagga.boxed_models import PREFIX
from quagga.data.conditioned import Conditioned
from quagga.data.indexed_rows import IndexedRows
from quagga.data.io.read import read_header
from quagga.data.paired import Paired
from quagga.data.transforms.augment import Augment
from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput
from quagga.evaluation.benches.bench import Bench, condition_input, pass_through
from quagga.evaluation.benches.beside_truth import pair_bench, reconstruction_bench
from quagga.evaluation.benches.labelled import Labelled
from quagga.evaluation.benches.two_sides import TwoSides
from quagga.evaluation.fakes import Fakes
from quagga.evaluation.measures.figures import Figure
from quagga.evaluation.measures.measure import Shown
from quagga.evaluation.measures.pretrained_metrics import FeaturesOption
from quagga.evaluation.real_pictures import (
    Sets,
    config_of,
    fingerprint,
    open_pictures,
    open_two_folders,
    pools_of,
    run_folder,
)
from quagga.evaluation.settings import Settings
from quagga.evaluation.splits import Part
from quagga.evaluation.table import Block, Column, Evaluation
from quagga.fields import classifies, decodes, encodes, samples, translates
from quagga.inference.latent_space import latents
from quagga.inference.model_files.model_folder import ModelFolder, read_model, read_whole
from quagga.inference.predictor import Predictor
from quagga.inference.predictor_loading import load_predictor, picture_name

JUDGES_OTHERS = ("translation", "pairs", "samples")  # what another program's pictures may be
BEST = "best"  # folder of a run's best model
LARGEST = 256  # pixels a side, of another program's pictures without a run
SEED_ALONE = ("seed", "output", "resume", "device", "workers", "cache", "log_every", "sample_every", "save_every")


class Way(NamedTuple):
    """Something a run can do, of which a bench can judge.

    kind: which bench. exports: names of the export, and of the way back. source, target: letters of domains.
    conditional: whether it takes a condition.
    """

    kind: str
    exports: tuple[str, ...]
    source: str = "x"
    target: str = "x"
    conditional: bool = False


@dataclass(frozen=True, eq=False)
class Subject:
    """A run that is judged.

    Args:
        name: As it was typed.
        model: What it has left.
        rows: The pictures it is judged with.
        config: All of its options; None where they are not known.
    """

    name: str
    model: ModelFolder
    rows: Sets
    config: Mapping[str, Any] | None

    @property
    def checkpoint(self) -> str:
        """Which model is judged, and how it was chosen."""
        seen = f"{self.model.images_seen:,} images"
        config = self.config or {}
        total = config.get("images")
        if self.name.startswith(PREFIX):
            return f"{seen}, as it comes with Quagga"
        if Path(self.name).name == BEST and config.get("keep_best"):
            curve = config["keep_best"]
            own = ", of held-out pictures, of which some may be among these" if curve.startswith("held_out/") else ""
            return f"{seen}, chosen as the best by {curve}{own}"
        unfinished = f" of {total:,}: the run has not ended" if total and self.model.images_seen < total else ""
        return f"{seen}{unfinished}, the last one; it was not chosen"

    @property
    def apart_from_seed(self) -> str:
        """What runs have in common of which only the seed differs."""
        if self.config is None:
            return self.name
        return json.dumps({name: self.config[name] for name in self.config if name not in SEED_ALONE}, default=str)


def evaluate(
    *runs: str | Path,
    real: str | Path | None = None,
    fake: str | Path | None = None,
    pictures: int = 240,
    split: Part = "report",
    features: FeaturesOption = "none",
    device: str | None = None,
    progress: Callable[[str], object] = lambda doing: None,
) -> Evaluation:
    """Judges runs by held-out pictures, each between what real pictures score and what doing nothing does.

    Args:
        runs: Run folders, their model or best folders, or "box:NAME". None at all: `real` and `fake` are given.
        real: A data set, in the layout that the run's pipeline is trained on, in place of the run's own.
        fake: A folder of what another program has made of the same pictures; each is called as its source.
        pictures: Held-out pictures that are judged, at most.
        split: Of 60 held-out pictures or more: "report" judges the half that chooses no checkpoint, "choose" the other
            half, "all" both.
        features: A pretrained network in whose features distances are measured too; see docs/evaluate.md.
        device: "cuda", "mps", "cpu"; None takes the best there is.
        progress: Is called with what is being done.

    Raises:
        BadInput: a run has no model, its pictures are not where they were, or an argument cannot work.
    """
    if pictures < 1:
        raise BadInput(f"pictures is {pictures}: judge 1 or more")
    settings = Settings(pictures, split, features, device)
    other = Fakes(str(fake)) if fake is not None else None
    names = list(dict.fromkeys(str(run) for run in runs))
    if not names:
        return _without_run(str(real) if real is not None else None, other, settings, progress)
    subjects = [_subject(name, None if real is None else str(real)) for name in names]
    benches = Benches(settings, other, progress)
    judged: dict[str, list[tuple[Subject, Way]]] = {}
    for subject in subjects:
        found = ways_of(subject.model, subject.rows)
        if not found:
            raise BadInput(f"{subject.name}: nothing is known by which to judge what this model does")
        for way in found:
            judged.setdefault(benches.key(subject.rows, way), []).append((subject, way))
    blocks = []
    for key, members in judged.items():
        subject, way = members[0]
        if other and (way.kind not in JUDGES_OTHERS or (blocks and not other.says_direction)):
            continue
        bench = benches.bench(subject.rows, way)
        if bench is None:  # no picture of --fake is of this direction
            continue
        shown = {}
        for member, own in members:
            progress(f"{member.name}: {bench.title}")
            shown[member] = _made(member, own, bench, settings)
        blocks.append(_block(key, bench, shown, _fake_row(other, subject.rows, way, bench), str(fake), progress))
    if not blocks:
        assert other is not None
        if not any(way.kind in JUDGES_OTHERS for members in judged.values() for _, way in members):
            raise BadInput("--fake is for translations, pairs and pictures of noise: leave it out")
        names_of_sources = [pool.name(item) for pool in pools_of(subjects[0].rows).values() for item in pool.held_out]
        raise other.no_match(names_of_sources)
    return Evaluation(blocks)


def ways_of(model: ModelFolder, rows: Sets) -> list[Way]:
    """Returns what a model can do with such pictures, by its exports."""
    exports, found = model.exports, []
    for name, export in exports.items():
        inputs, output = export.inputs, export.output
        if translates(inputs, output):
            source, target = picture_name(inputs), output.name
            if condition_input(inputs):
                found += [Way("conditional", (name,))] if isinstance(rows, Conditioned) else []
            elif isinstance(rows, Paired):
                found.append(Way("pairs", (name,), source, target))
            elif isinstance(rows, Unpaired):
                back = [other for other, one in exports.items() if _leads(one, target, source)]
                found.append(Way("translation", (name, *back[:1]), source, target))
        elif samples(inputs, output) and isinstance(rows, IndexedRows):
            found.append(Way("samples", (name,), conditional=bool(condition_input(inputs))))
        elif classifies(inputs, output) and isinstance(rows, Conditioned):
            found.append(Way("answers", (name,)))
    encoder = next((name for name, one in exports.items() if encodes(one.inputs, one.output)), None)
    decoder = next((name for name, one in exports.items() if decodes(one.inputs, one.output)), None)
    if encoder and decoder and isinstance(rows, IndexedRows):
        found.append(Way("reconstruction", (encoder, decoder)))
    return found


def _leads(export: Any, source: str, target: str) -> bool:
    plain = translates(export.inputs, export.output) and not condition_input(export.inputs)
    return plain and picture_name(export.inputs) == source and export.output.name == target


class Benches:
    """The benches of an evaluation; runs on the same pictures share them, and what was read and learned for them."""

    def __init__(self, settings: Settings, fakes: Fakes | None, progress: Callable[[str], object]) -> None:
        self.settings, self.fakes, self.progress = settings, fakes, progress
        self.sets: dict[str, Any] = {}
        self.made: dict[str, Bench | None] = {}
        self.prints: dict[int, str] = {}

    def key(self, rows: Sets, way: Way) -> str:
        """What two runs have in common whose figures may stand side by side."""
        if id(rows) not in self.prints:
            self.prints[id(rows)] = fingerprint(rows)
        return f"{self.prints[id(rows)]} {way.kind} {way.source} {way.target} {way.conditional}"

    def bench(self, rows: Sets, way: Way) -> Bench | None:
        """Returns the bench for what a run does with these pictures; None where --fake holds none of its sources."""
        key = self.key(rows, way)
        if key not in self.made:
            self.progress("reading real pictures, training a classifier on them")
            self.made[key] = self._new(rows, way, self.prints[id(rows)])
        return self.made[key]

    def _new(self, rows: Sets, way: Way, key: str) -> Bench | None:
        fakes, settings = self.fakes, self.settings
        if isinstance(rows, Unpaired):
            pool = pools_of(rows)[way.source]
            if fakes and not any(fakes.known(way.target, pool.name(item)) for item in pool.held_out):
                return None
            known = (lambda letter, name: letter != way.source or fakes.known(way.target, name)) if fakes else None
            sides = TwoSides(rows, settings, known) if known else self.sets.setdefault(key, TwoSides(rows, settings))
            return sides.bench(way.source, way.target)
        if isinstance(rows, Paired):
            if not fakes:
                return pair_bench(rows, settings)
            pool = pools_of(rows)["x"]
            any_known = any(fakes.known("y", pool.name(pair)) for pair in pool.held_out)
            return pair_bench(rows, settings, lambda name: fakes.known("y", name)) if any_known else None
        if way.kind == "reconstruction":
            return reconstruction_bench(rows, settings)
        labelled = self.sets.setdefault(key, Labelled(rows, settings))
        match way.kind:
            case "samples":
                return labelled.samples(way.conditional)
            case "conditional":
                return labelled.translations()
            case _:
                return labelled.answers()


def _subject(name: str, real: str | None) -> Subject:
    model = read_model(Path(name).expanduser())
    return Subject(name, model, open_pictures(name, model, real), config_of(name))


def _made(subject: Subject, way: Way, bench: Bench, settings: Settings) -> Shown:
    """Returns what a run makes of a bench's sources."""

    def load(model: ModelFolder) -> list[Predictor]:
        return [load_predictor(model, name, settings.device) for name in way.exports]

    first, *rest = read_whole(subject.name, load)
    source = bench.source
    match way.kind:
        case "samples":
            z = next(field for field in first.inputs if field.kind == "noise")
            inputs = {z.name: latents(range(len(bench.names)), z.size or 1, None)}
            if (c := condition_input(first.inputs)) is not None:
                inputs[c] = source["c"]
            return bench.make(pass_through(first, inputs), None)
        case "reconstruction":
            [decoder] = rest
            codes = pass_through(first, {first.inputs[0].name: source["x"]})
            return bench.make(pass_through(decoder, {decoder.inputs[0].name: codes}), None)
        case "conditional":
            x, c = picture_name(first.inputs), condition_input(first.inputs) or "c"
            pictures = pass_through(first, {x: source["x"], c: source["c"]})
            return bench.make(pictures, pass_through(first, {x: pictures, c: source["own"]}))
    pictures = pass_through(first, {first.inputs[0].name: source[way.source if way.kind == "translation" else "x"]})
    back = pass_through(rest[0], {rest[0].inputs[0].name: pictures}) if rest else None
    return bench.make(pictures, back)


def _fake_row(fakes: Fakes | None, rows: Sets, way: Way, bench: Bench) -> Shown | None:
    """Returns what another program has made of a bench's sources."""
    if fakes is None:
        return None
    if isinstance(rows, Unpaired):
        augment, pixel_format = rows.augments[way.target], rows.forms[way.target]
    elif isinstance(rows, Paired):
        augment = Augment(rows.load_size, rows.crop_size, rows.fit, False, None, rows.forms["y"].channels)
        pixel_format = rows.forms["y"]
    else:
        dataset = rows.dataset
        return Shown(fakes.any(len(bench.names), dataset.store.pixel_format, dataset.augment))
    return bench.make(fakes.of(bench.names, way.target, pixel_format, augment), None)


def _without_run(
    real: str | None, fakes: Fakes | None, settings: Settings, progress: Callable[[str], object]
) -> Evaluation:
    if real is None or fakes is None:
        raise BadInput("name a run, or both --real DIR and --fake DIR: quagga evaluate RUN [RUN ...]")
    size = min(LARGEST, read_header(fakes.paths[0]).shorter)
    rows = open_two_folders(real, size)
    benches, blocks = Benches(settings, fakes, progress), []
    for way in (Way("translation", (), "x", "y"), Way("translation", (), "y", "x")):
        if bench := benches.bench(rows, way):
            fake = _fake_row(fakes, rows, way, bench)
            blocks.append(_block(benches.key(rows, way), bench, {}, fake, fakes.folder, progress))
            break  # pictures of one name on both sides are taken for translations from x to y
    if not blocks:
        raise fakes.no_match([path.name for path in rows.sides["x"].test])
    return Evaluation(blocks)


def _block(
    key: str,
    bench: Bench,
    made: Mapping[Subject, Shown],
    fake: Shown | None,
    fake_name: str,
    progress: Callable[[str], object],
) -> Block:
    def figures(shown: Shown) -> dict[str, list[Figure]]:
        with torch.inference_mode():
            found = {measure.title: measure.of(shown) for measure in bench.measures}
        return {title: [figure] for title, figure in found.items() if figure is not None}

    progress(f"measuring {bench.title}")
    columns = [Column(name, "real", figures(shown), shown) for name, shown in bench.real.items()]
    runs = {subject: Column(subject.name, "run", figures(shown), shown) for subject, shown in made.items()}
    columns += _seeds(runs)
    if fake is not None:
        columns.append(Column(fake_name, "fake", figures(fake), fake))
    columns += [Column(name, "nothing", figures(shown), shown) for name, shown in bench.nothing.items()]
    return Block(bench, columns, {subject.name: subject.checkpoint for subject in made}, key)


def _seeds(runs: Mapping[Subject, Column]) -> list[Column]:
    """Returns the columns of runs; those of which only the seed differs stand behind a column of their means."""
    groups: dict[str, list[Subject]] = {}
    for subject in runs:
        groups.setdefault(subject.apart_from_seed, []).append(subject)
    columns = []
    for members in groups.values():
        own = [runs[subject] for subject in members]
        if len(own) > 1 and len({(subject.config or {}).get("seed") for subject in members}) == len(own):
            titles = own[0].figures
            merged = {title: [one for column in own for one in column.figures.get(title, [])] for title in titles}
            name = f"mean of {len(own)} seeds, as {own[0].name}"
            columns.append(Column(name, "seeds", merged, members=tuple(column.name for column in own)))
        columns += own
    return columns


def folder_of_report(run: str) -> Path | None:
    """Returns the folder of a run, in which its report belongs; None of a model that comes with Quagga."""
    return None if run.startswith(PREFIX) else run_folder(run)
