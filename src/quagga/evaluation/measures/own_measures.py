"""The measures that need no weights from elsewhere, by which pictures are judged."""

import torch
from torch import Tensor

from quagga.evaluation.measures.figures import Figure, counts, mean_of, share_of
from quagga.evaluation.measures.measure import Measure, Shown
from quagga.evaluation.measures.own_classifier import FeatureReference, Judges, small
from quagga.evaluation.measures.patch_distance import PatchReference
from quagga.evaluation.measures.picture_distances import absolute, diversity, psnr, ssim

LEAST_FOR_FEATURES = 16  # pictures whose covariance says anything


def passes(judges: Judges, name: str) -> Measure:
    """How often pictures pass for the class `name`."""

    def of(shown: Shown) -> Figure:
        likely = judges.probabilities(shown.pictures, shown.folds())[:, judges.conditions.number(name)].numpy()
        return share_of(likely > 0.5, likely)

    text = f"how often the classifier, which has learned the real pictures, takes one for {name}"
    return Measure(f"passes for {name}, %", text, "higher", of, 1, percent=True)


def obeyed(judges: Judges) -> Measure:
    """How often the classifier reads what was asked for."""

    def of(shown: Shown) -> Figure | None:
        if shown.asked is None:
            return None
        return answered(judges.probabilities(shown.pictures, shown.folds()), shown.asked, judges.conditions.kind)

    text = "how often the classifier, which has learned the real pictures, reads what was asked for"
    return Measure("conditions obeyed, %", text, "higher", of, 1, percent=True)


def right_answers(kind: str) -> Measure:
    """How often a run that is itself a classifier is right."""

    def of(shown: Shown) -> Figure | None:
        if shown.answers is None or shown.asked is None:
            return None
        return answered(shown.answers, shown.asked, kind)

    return Measure("right answers, %", "how often what it says is true", "higher", of, 1, percent=True)


def answered(probabilities: Tensor, asked: Tensor, kind: str) -> Figure:
    """The share of right answers: of classes that of pictures, of attributes that of all attributes of all pictures."""
    if kind == "class":
        likely = probabilities[torch.arange(len(asked)), asked].numpy()
        return share_of((probabilities.argmax(1) == asked).numpy(), likely)
    right = ((probabilities > 0.5) == (asked > 0.5)).float().mean(1).numpy()
    found = mean_of(right)
    return Figure(found.value, found.draws, found.each)


def patches(reference: PatchReference, title: str) -> Measure:
    """The sliced Wasserstein distance of patches."""
    text = f"how far textures and colours are from those of real {title}, at every scale (sliced Wasserstein distance)"
    return Measure("patch distance", text, "lower", lambda shown: reference.distance(shown.pictures))


def own_features(judges: Judges, reference: FeatureReference, title: str) -> Measure:
    """The Frechet distance in the classifier's features."""

    def of(shown: Shown) -> Figure | None:
        enough = len(shown.pictures) >= LEAST_FOR_FEATURES
        return reference.distance(judges.features(shown.pictures)) if enough else None

    text = f"how far they are from real {title} in the classifier's eyes (Frechet distance of its features; no FID)"
    return Measure("feature distance", text, "lower", of, 2)


def various(title: str, within: bool = False) -> Measure:
    """How different pictures are from one another; `within`: from others that show the same."""

    def of(shown: Shown) -> Figure | None:
        group = shown.asked if within and shown.asked is not None and shown.asked.ndim == 1 else None
        return diversity(small(shown.pictures), group)

    of_what = " that were asked for alike" if within else ""
    text = f"how far apart two of them{of_what} are; far below that of real {title} they are all alike"
    return Measure("diversity, levels", text, "", of, 1)


def class_balance(judges: Judges, c: Tensor) -> Measure:
    """How far the shares of the classes are from those of the real pictures, int64 (N,)."""
    shares = (torch.bincount(c, minlength=judges.conditions.count) / len(c)).numpy()

    def of(shown: Shown) -> Figure:
        read = judges.probabilities(shown.pictures, shown.folds()).argmax(1)
        one_hot = torch.nn.functional.one_hot(read, judges.conditions.count).numpy().astype("float32")
        drawn = counts(len(read)) @ one_hot / len(read)
        return Figure(float(abs(one_hot.mean(0) - shares).sum() / 2), abs(drawn - shares).sum(1) / 2)

    text = "what share of them would have to show another class to have the real pictures' shares; 0: none is missing"
    return Measure("classes out of balance, %", text, "lower", of, 1, percent=True)


def cycle(source: str) -> Measure:
    """What the way back leaves of a picture."""

    def of(shown: Shown) -> Figure | None:
        return None if shown.back is None or shown.source is None else absolute(shown.back, shown.source)

    text = f"how far a {source} is from itself after the way there and back"
    return Measure("cycle error, levels", text, "lower", of, 1)


def change(source: str) -> Measure:
    """How much a translation changes."""

    def of(shown: Shown) -> Figure | None:
        return None if shown.source is None else absolute(shown.pictures, shown.source)

    text = f"how far the pictures are from the {source} they were made of; 0: it copies"
    return Measure("change, levels", text, "", of, 1)


def against_truth() -> list[Measure]:
    """How far pictures are from what they should be."""

    def l1(shown: Shown) -> Figure | None:
        return None if shown.target is None else absolute(shown.pictures, shown.target)

    def signal(shown: Shown) -> Figure | None:
        return None if shown.target is None else psnr(shown.pictures, shown.target)

    def similarity(shown: Shown) -> Figure | None:
        return None if shown.target is None else ssim(shown.pictures, shown.target)

    return [
        Measure("L1, levels", "the mean difference from the true picture, of 255; blur does well", "lower", l1, 1),
        Measure("PSNR, dB", "the same squared, as signal to noise; blur does well", "higher", signal, 2),
        Measure("SSIM", "how alike contrasts and structures are, at most 1 (Wang et al. 2004)", "higher", similarity),
    ]
