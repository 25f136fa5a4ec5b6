"""Two kinds of pictures, unpaired: what a translation from one to the other is judged by."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from quagga.data.io.read import read_picture
from quagga.data.io.tensors import to_tensor
from quagga.data.synthetic.scenes import CARD
from quagga.data.synthetic.translation_error import Animals, baselines, translation_error
from quagga.data.transforms.conditions import Conditions
from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput
from quagga.evaluation.benches.bench import Bench
from quagga.evaluation.measures import own_measures as measures
from quagga.evaluation.measures.figures import Figure, drawn
from quagga.evaluation.measures.measure import Measure, Shown
from quagga.evaluation.measures.own_classifier import NEVER, FeatureReference, Judges, small, train_judges
from quagga.evaluation.measures.patch_distance import PatchReference
from quagga.evaluation.measures.pretrained_metrics import pretrained_measures
from quagga.evaluation.real_pictures import Pool, pools_of
from quagga.evaluation.settings import REFERENCE, Settings
from quagga.evaluation.splits import LEAST, ordered, split
from quagga.inference.channels import tensor_to_channels

LEARNED = 800  # real pictures of a side that a classifier learns
SURE = 0.95  # share of real pictures on which a classifier is right that is not easily fooled
ENOUGH = 4  # times as many pictures to learn as to judge: then those that are judged are not learned at all
TRUTH_DRAWS = 10  # of the pictures, for the truth error, which takes seconds


class Side(NamedTuple):
    """One kind of pictures, read.

    judged: those that are translated, then others of this kind that are shown as real ones; (J, C, S, S) in [-1, 1].
    sources: how many of these are translated. names: of each. reference: others, which no row shows. learned: others,
    small, which a classifier may learn. title: "zebra". held_out: how many there are.
    """

    title: str
    judged: Tensor
    sources: int
    names: list[str]
    reference: Tensor
    learned: Tensor
    held_out: int
    tested: bool  # whether all that are judged are held out
    left_out: list[str]  # lines on pictures that cannot be read


@dataclass
class TwoSides:
    """The real pictures of both kinds, which both directions share, and so do all runs on them.

    Args:
        rows: The data set.
        settings: What was asked for.
        known: Names of pictures that another program has translated, by side; None: all of them.
    """

    rows: Unpaired
    settings: Settings
    known: "Callable[[str, str], bool] | None" = None

    @cached_property
    def sides(self) -> dict[str, Side]:
        """Both kinds."""
        pools, sources = pools_of(self.rows), {}
        for letter, pool in pools.items():
            found = split(pool.held_out, pool.key, self.settings.part)
            if self.known:
                found = [item for item in found if self.known(letter, pool.name(item))]
            sources[letter] = found[: self.settings.pictures]
        return {
            letter: self._read(pool, sources[letter], len(sources["y" if letter == "x" else "x"]))
            for letter, pool in pools.items()
        }

    def _read(self, pool: Pool, sources: list[Path], others: int) -> Side:
        """Reads one kind: those to be translated, as many real ones as the other kind has to be translated, and the
        rest."""
        taken = set(sources)
        rest = [item for item in split(pool.held_out, pool.key, self.settings.part) if item not in taken]
        unseen = {*sources, *rest}
        rest += ordered([item for item in pool.held_out if item not in unseen], pool.key)
        held_out = len(sources) + len(rest)
        everyone = [*sources, *rest, *ordered(pool.train, pool.key)]
        if len(everyone) < 2:
            raise BadInput(f"{pool.title} has {len(everyone)} pictures to judge with: give two or more")
        real = min(others, len(everyone) // 2)  # what is left to compare them with is no less
        judged = max(len(sources), real)
        if judged >= len(everyone):  # nothing else of this kind: half of those that are translated are the reference
            judged = max(real, 1)
        tensors, read = pool.read_all(everyone[:judged])
        reference = everyone[judged:][:REFERENCE]
        learned = everyone[judged:][REFERENCE:][:LEARNED]
        kept = pool.read_all(reference)[0]["x"]
        return Side(
            pool.title,
            tensors["x"],
            sum(item in taken for item in read),
            [pool.name(item) for item in read],
            kept,
            small(pool.read_all(learned)[0]["x"]) if learned else small(kept)[:0],
            len(pool.held_out),
            judged <= held_out,
            pool.left_out,
        )

    @cached_property
    def independent(self) -> bool:
        """Whether there are enough pictures to learn, beside those that are judged or compared with."""
        return all(len(side.learned) >= ENOUGH * len(side.judged) for side in self.sides.values())

    @cached_property
    def judges(self) -> Judges:
        """The classifiers of the two kinds, in the channels of y."""
        channels = self.sides["y"].judged.shape[1]
        pictures, labels, folds = [], [], []
        for number, side in enumerate(self.sides.values()):
            # The reference is learned too where pictures are few: then nothing is measured in this classifier's eyes.
            parts = [(side.judged, self.fold(len(side.judged))), (side.learned, None)]
            parts += [] if self.independent else [(side.reference, None)]
            for part, fold in parts:
                pictures.append(tensor_to_channels(small(part), channels))
                labels += [number] * len(part)
                folds.append(torch.full((len(part),), NEVER) if fold is None else fold)
        x, c, fold = torch.cat(pictures), torch.tensor(labels), torch.cat(folds)
        return train_judges(x, c, fold, self.folds, self.conditions, photos=channels in (1, 3))

    @cached_property
    def right(self) -> float:
        """How often the classifiers are right on the real pictures that they judge, as a mean of both kinds."""
        channels, shares = self.sides["y"].judged.shape[1], []
        for number, side in enumerate(self.sides.values()):
            pictures = tensor_to_channels(side.judged, channels)
            verdicts = self.judges.probabilities(pictures, self.fold(len(pictures))).argmax(1)
            shares.append((verdicts == number).float().mean().item())
        return sum(shares) / len(shares)

    @property
    def comparable(self) -> bool:
        """Whether a picture of one kind can be shown as one of the other: as many channels, or grey and colour."""
        channels = {side.judged.shape[1] for side in self.sides.values()}
        return len(channels) == 1 or channels == {1, 3}

    @property
    def folds(self) -> int:
        """How many classifiers there are."""
        return 1 if self.independent else 2

    def fold(self, count: int) -> Tensor:
        """Which classifier judges each of the judged pictures."""
        return torch.arange(count) % self.folds

    @property
    def conditions(self) -> Conditions:
        """The two kinds as classes."""
        x, y = (side.title for side in self.sides.values())
        return Conditions("class", [x, y] if x != y else [f"{x} (x)", f"{y} (y)"])

    def bench(self, source: str, target: str) -> Bench:
        """What a translation from one side to the other is judged by."""
        x, y = self.sides[source], self.sides[target]
        n = x.sources
        if n < 1:
            raise BadInput(f"no picture of {x.title} is held out of training: --real DIR names others to judge with")
        sources, real = x.judged[:n], y.judged[: min(n, len(y.judged))]
        channels = real.shape[1]
        listed = [measures.patches(PatchReference.of(y.reference), y.title)]
        if self.comparable:
            judges = self.judges
            listed.insert(0, measures.passes(judges, judges.conditions.names[0 if target == "x" else 1]))
            if self.independent and len(y.reference) >= measures.LEAST_FOR_FEATURES:
                known = FeatureReference.of(judges.features(y.reference))
                listed.append(measures.own_features(judges, known, y.title))
        more, about = pretrained_measures(self.settings.features, self.settings.device, y.reference)
        listed += more
        truth = self._truth(source, x.names[:n])
        listed += [truth] if truth else []
        listed += [measures.cycle(x.title), measures.change(x.title), measures.various(y.title)]
        fold = self.fold(n)

        def make(pictures: Tensor, back: Tensor | None) -> Shown:
            return Shown(pictures, fold, source=sources, back=back)

        nothing = {}
        if self.comparable:
            nothing[f"{x.title}, unchanged"] = make(tensor_to_channels(sources, channels), None)
        return Bench(
            title=f"{x.title} to {y.title}",
            measures=listed,
            real={f"real {y.title}": Shown(real, self.fold(len(real)))},
            nothing=nothing,
            source={source: sources},
            names=x.names[:n],
            make=make,
            protocol=self._protocol(x, y) | about,
            notices=self._notices(x, y),
            before={x.title: sources},
        )

    def _protocol(self, x: Side, y: Side) -> dict[str, str]:
        split_text = self.settings.split_text(x.held_out)
        size = self.rows.crop_size
        scale = {
            "crop": f"the shorter side scaled to {self.rows.load_size} pixels",
            "squash": f"both sides scaled to {self.rows.load_size} pixels",
            "none": "not scaled",
        }[self.rows.fit]
        real, others = min(x.sources, len(y.judged)), len(y.reference)
        how = (
            f"learned {len(x.learned)} other {x.title} and {len(y.learned)} other {y.title}"
            if self.independent
            else "one of two (cross-validation), each of which has learned all pictures but those that it judges"
        )
        sure = f"; right on {self.right:.0%} of real pictures" if self.comparable else ""
        return {
            "pictures": f"{x.sources} of {x.held_out} held-out {x.title}, {split_text}; {real} real {y.title}",
            "distances": f"from {others} other real {y.title}",
            "size": f"{scale}, {size} x {size} cut from the middle",
            "classifier": f"{how}; at {small(x.judged).shape[-1]} pixels{sure}",
        }

    def _notices(self, x: Side, y: Side) -> list[str]:
        lines = [*x.left_out, *y.left_out]
        if self.comparable and self.right < SURE:
            lines.append(
                f"the classifier is right on {self.right:.0%} of real pictures: it can be fooled, and its features too;"
                " believe your eyes before you believe it"
            )
        if x.sources < 20:
            lines.append(f"only {x.sources} held-out pictures of {x.title}: the intervals say how little that is")
        if not y.tested:
            lines.append(f"some of the real {y.title} were trained on, as too few are held out; no row judges itself")
        if x.held_out < LEAST:
            lines.append(
                f"{x.held_out} held-out {x.title}, fewer than {LEAST}: one set serves both, choosing a checkpoint and"
                " reporting on it"
            )
        return lines

    # -- the embedded set, whose truth is known ---------------------------------------------------------------------

    def _truth(self, source: str, names: list[str]) -> Measure | None:
        """The translation error, where the horses are drawn ones whose zebras are known."""
        root = Path(self.rows.root or "").expanduser()
        card = root / CARD
        if source != "x" or not self.rows.root or not card.is_file() or not (root / "truth").is_dir():
            return None
        seed, size = json.loads(card.read_text())["seed"], self.rows.crop_size
        if any(not (root / "truth" / name).is_file() for name in names):
            return None
        zebra, mask = (
            torch.stack([self._drawn(root / folder / name) for name in names]) for folder in ("truth", "mask")
        )
        known = Animals(self.sides["x"].judged[: len(names)], zebra, (mask[:, :1] + 1) / 2)
        try:
            floor = baselines(len(names), size, seed).floor.total
        except ValueError:  # pictures so small that no patch lies within an animal
            return None

        def of(shown: Shown) -> Figure:
            if shown.source is None:
                return Figure(floor)

            def error(chosen: np.ndarray) -> float:
                at = torch.from_numpy(chosen)
                masks = known.mask[at]
                return translation_error(known.horse[at], shown.pictures[at], masks, known.zebra, known.mask).total

            apart = ((shown.pictures - known.horse).abs() * (known.mask == 0)).flatten(1).mean(1).numpy()
            return Figure(error(np.arange(len(names))), drawn(len(names), error, TRUTH_DRAWS), apart)

        text = "how far they are from the true zebras, which are known of drawn ones: background plus coat"
        return Measure("truth error", text, "lower", of)

    def _drawn(self, path: Path) -> Tensor:
        pixels = self.rows.augments["x"].without_chance(read_picture(path))
        return to_tensor(np.ascontiguousarray(pixels))
