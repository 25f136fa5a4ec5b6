"""What pictures are judged by that are made of noise or by a condition, and those in which a run reads one."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from quagga.data.conditioned import Conditioned
from quagga.data.indexed_rows import IndexedRows
from quagga.data.transforms.conditions import Conditions
from quagga.evaluation.benches.bench import Bench
from quagga.evaluation.benches.beside_truth import Read, read_pool
from quagga.evaluation.measures import own_measures as measures
from quagga.evaluation.measures.measure import Measure, Shown
from quagga.evaluation.measures.own_classifier import NEVER, SIDE, FeatureReference, Judges, small, train_judges
from quagga.evaluation.measures.patch_distance import PatchReference
from quagga.evaluation.measures.pretrained_metrics import pretrained_measures
from quagga.evaluation.real_pictures import pools_of
from quagga.evaluation.settings import REFERENCE, Settings
from quagga.evaluation.splits import LEAST

LEARNED = 6000  # real pictures that a classifier learns at most
LEARNED_PIXELS = 2000 * SIDE**2  # of all of them together
FEW = 10  # times as many pictures to learn as there are classes, at least


@dataclass
class Labelled:
    """The real pictures, and a classifier of what they show where that is known.

    Args:
        rows: The data set.
        settings: What was asked for.
    """

    rows: IndexedRows
    settings: Settings

    @cached_property
    def conditions(self) -> Conditions | None:
        """What is known of each picture, as a class or attributes; None: nothing that a classifier can learn."""
        if isinstance(self.rows, Conditioned):
            return None if self.rows.conditions.kind == "caption" else self.rows.conditions
        modes = getattr(self.rows, "modes", [])
        return Conditions("class", modes) if modes else None

    @property
    def label(self) -> str:
        """The name of what is known, in a row of the data."""
        return "c" if isinstance(self.rows, Conditioned) else "mode"

    @cached_property
    def read(self) -> Read:
        """The pictures: those that are judged, then the reference, then those that a classifier learns."""
        side = min(self.rows.dataset.size, SIDE)
        learned = min(LEARNED, LEARNED_PIXELS // side**2) if self.conditions else 0
        return read_pool(pools_of(self.rows)["x"], self.settings, REFERENCE + learned)

    @property
    def reference(self) -> Tensor:
        """Real pictures that no row shows and no classifier learns, where there are others to learn."""
        return self.read.others["x"][:REFERENCE]

    @cached_property
    def independent(self) -> bool:
        """Whether there are enough pictures to learn beside those that are judged or compared with."""
        enough = max(len(self.reference), FEW * (self.conditions.count if self.conditions else 1))
        return len(self.read.others["x"]) - len(self.reference) >= enough

    @cached_property
    def judges(self) -> Judges | None:
        """Classifiers of what the pictures show."""
        if self.conditions is None:
            return None
        judged, others = self.read.judged, self.read.others
        start = REFERENCE if self.independent else 0
        x = torch.cat([small(judged["x"]), small(others["x"][start:])])
        c = torch.cat([judged[self.label], others[self.label][start:]])
        fold = torch.cat([self.fold, torch.full((len(c) - len(self.fold),), NEVER)])
        return train_judges(x, c, fold, 1 if self.independent else 2, self.conditions)

    @property
    def fold(self) -> Tensor:
        """Which classifier judges each of the judged pictures."""
        return torch.arange(len(self.read.names)) % (1 if self.independent else 2)

    def _common(self, within: bool) -> tuple[list[Measure], dict[str, str]]:
        """Measures that both kinds of runs have, after those of their own, and the protocol."""
        more, about = pretrained_measures(self.settings.features, self.settings.device, self.reference)
        listed = [measures.patches(PatchReference.of(self.reference), self.rows.title)]
        if self.judges and self.independent and len(self.reference) >= measures.LEAST_FOR_FEATURES:
            known = FeatureReference.of(self.judges.features(self.reference))
            listed.append(measures.own_features(self.judges, known, self.rows.title))
        listed += [*more, measures.various(self.rows.title, within)]
        side, held_out = self.rows.dataset.size, self.read.held_out
        protocol = {
            "pictures": f"{len(self.read.names)} of {held_out} held-out, {self.settings.split_text(held_out)}",
            "distances": f"from {len(self.reference)} other real pictures",
            "size": f"{side} x {side} pixels",
        }
        if self.judges:
            protocol["classifier"] = (
                "learned others" if self.independent else "one of two (cross-validation), which has not learned it"
            ) + f"; at {min(side, SIDE)} pixels"
        return listed, protocol | about

    def _notices(self) -> list[str]:
        if self.read.held_out >= LEAST:
            return self.read.left_out
        return [
            *self.read.left_out,
            f"{self.read.held_out} held-out pictures, fewer than {LEAST}: one set serves both, choosing a checkpoint"
            " and reporting on it",
        ]

    def _real(self) -> dict[str, Shown]:
        known = self.read.judged.get(self.label)
        asked = known if self.judges else None
        return {f"real {self.rows.title}": Shown(self.read.judged["x"], self.fold, asked=asked)}

    def samples(self, takes_condition: bool) -> Bench:
        """What pictures of noise are judged by; those with a condition are asked for what the real ones show."""
        x = self.read.judged["x"]
        c = self.read.judged.get(self.label)
        listed, protocol = self._common(within=takes_condition)
        if self.judges and takes_condition:
            listed.insert(0, measures.obeyed(self.judges))
        elif self.judges and self.judges.conditions.kind == "class":
            listed.insert(0, measures.class_balance(self.judges, self.read.judged[self.label]))
        mean, deviation = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
        noise = (mean + deviation * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
        asked = c if takes_condition and self.judges else None

        def make(pictures: Tensor, back: Tensor | None) -> Shown:
            return Shown(pictures, torch.zeros(len(pictures), dtype=torch.long), asked=asked)

        nothing = {"noise": make(noise, None)}
        if asked is not None:
            nothing = {"real, of others": Shown(x, self.fold, asked=_others(asked)), **nothing}
        return Bench(
            title=f"{self.rows.title}, made of noise",
            measures=listed,
            real=self._real(),
            nothing=nothing,
            source={"c": c} if takes_condition and c is not None else {},
            names=self.read.names,
            make=make,
            protocol=protocol,
            notices=self._notices(),
            before={f"real {self.rows.title}": x},
        )

    def translations(self) -> Bench:
        """What pictures are judged by that are to show what another picture shows."""
        x, c = self.read.judged["x"], self.read.judged[self.label]
        asked = _others(c)
        listed, protocol = self._common(within=False)
        if self.judges:
            listed.insert(0, measures.obeyed(self.judges))
        name = self.rows.title
        listed[-1:-1] = [measures.cycle(name), measures.change(name)]
        fold = self.fold

        def make(pictures: Tensor, back: Tensor | None) -> Shown:
            return Shown(pictures, fold, source=x, back=back, asked=asked)

        return Bench(
            title=f"{name}, to another condition",
            measures=listed,
            real=self._real(),
            nothing={f"{name}, unchanged": make(x, None)},
            source={"x": x, "c": asked, "own": c},
            names=self.read.names,
            make=make,
            protocol=protocol,
            notices=self._notices(),
            before={name: x},
        )

    def answers(self) -> Bench:
        """What a run is judged by that says what pictures show."""
        x, c = self.read.judged["x"], self.read.judged[self.label]
        assert self.conditions is not None
        kind = self.conditions.kind
        learned = self.read.others[self.label]
        if kind == "class":
            usual = torch.bincount(learned, minlength=self.conditions.count).float()
            usual = torch.nn.functional.one_hot(usual.argmax(), self.conditions.count).float()
            perfect = torch.nn.functional.one_hot(c, self.conditions.count).float()
        else:
            usual, perfect = learned.float().mean(0), c.float()

        def make(pictures: Tensor, back: Tensor | None) -> Shown:
            return Shown(x, asked=c, answers=pictures)

        held_out = self.read.held_out
        count = f"{len(x)} of {held_out} held-out, {self.settings.split_text(held_out)}"
        side = self.rows.dataset.size
        return Bench(
            title=f"what is read in {self.rows.title}",
            measures=[measures.right_answers(kind)],
            real={"the truth": make(perfect, None)},
            nothing={"always the usual": make(usual.expand(len(x), -1), None)},
            source={"x": x},
            names=self.read.names,
            make=make,
            protocol={"pictures": count, "size": f"{side} x {side} pixels"},
            notices=self._notices(),
        )


def _others(c: Tensor) -> Tensor:
    """What another picture shows, and not this one, wherever there is such a one."""
    result = c.roll(1, 0)
    for step in range(2, len(c)):
        same = (result == c).flatten(1).all(1) if c.ndim > 1 else result == c
        if not same.any():
            break
        result = torch.where(same.view(-1, *[1] * (c.ndim - 1)), c.roll(step, 0), result)
    return result
