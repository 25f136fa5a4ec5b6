"""Distances in pretrained features are the libraries' own, and are called by their names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from quagga.errors import BadInput
from quagga.evaluation.measures import pretrained_metrics
from quagga.evaluation.measures.measure import Shown
from quagga.evaluation.measures.pretrained_metrics import Features, distances, load_features, pretrained_measures

CHANCE = torch.Generator().manual_seed(0)
COUNT = 6  # pictures of a set; Inception takes a second for each


def pictures(count: int, shade: float = 0.0) -> Tensor:
    x = torch.rand(count, 3, 40, 40, generator=CHANCE) * 2 - 1
    return ((x * 0.5 + shade + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1  # the levels of files


def by_title(listed, shown: Shown) -> dict[str, float]:
    return {measure.title.split(",")[0]: found.value for measure in listed if (found := measure.of(shown))}


def mean_colour(levels: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 6): a network of which the distances are known."""
    x = levels.float() / 255
    return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pretrained_metrics, "find_spec", lambda name: None)
    load_features.cache_clear()
    for name in ("lite0", "inception", "clip", "dinov2"):
        with pytest.raises(BadInput, match=r"pip install 'quagga\[metrics\]'"):
            pretrained_measures(name, None, pictures(2))
    assert pretrained_measures("none", None, pictures(2)) == ([], {})


def test_no_distance_is_called_fid_but_that_of_inception():
    pytest.importorskip("torch_fidelity")
    real = mean_colour(torch.randint(0, 255, (30, 3, 8, 8), generator=CHANCE))
    for is_fid, expected in ((True, "FID"), (False, "Frechet distance, Colours")):
        titles = [measure.title for measure in distances(Features("Colours, of a test", mean_colour, "", is_fid), real)]
        assert titles[0] == expected and ("FID" in " ".join(titles)) is is_fid


def test_further_pictures_are_further_away():
    pytest.importorskip("torch_fidelity")
    network = Features("Colours", mean_colour, "", False)
    real = pretrained_metrics.features_of(network, pictures(60))
    listed = distances(network, real)
    near, far = (by_title(listed, Shown(pictures(60, shade))) for shade in (0.0, 0.3))
    assert near["Frechet distance"] < far["Frechet distance"] and near["kernel distance"] < far["kernel distance"]
    assert near["precision"] > far["precision"] and near["recall"] > far["recall"]
    kernel: Any = next(measure for measure in listed if measure.title.startswith("kernel"))
    low, high = kernel.of(Shown(pictures(60))).interval
    assert low < 0 < high  # it is unbiased, so that of equal sets is about 0


@pytest.fixture
def random_inception(tmp_path, monkeypatch) -> Path:
    """Weights of Inception's shape in the cache of torch's hub, so that nothing is downloaded."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    saved = {}
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *a, **k: saved["weights"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        monkeypatch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, weights: None)
        saved["weights"] = {}
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    file = tmp_path / "hub" / "checkpoints" / pretrained_metrics.FILES["inception"]
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    return file


@pytest.mark.slow
def test_the_path_of_inception_is_torch_fidelitys_own_function(random_inception, tmp_path):
    torch_fidelity = pytest.importorskip("torch_fidelity")
    load_features.cache_clear()
    sets = {"mine": pictures(COUNT, 0.1), "real": pictures(COUNT)}
    for name, x in sets.items():
        (tmp_path / name).mkdir()
        for number, one in enumerate(((x + 1) * 127.5).round().to(torch.uint8).movedim(1, -1).numpy()):
            Image.fromarray(np.ascontiguousarray(one)).save(tmp_path / name / f"{number}.png")
    theirs = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "mine"),
        input2=str(tmp_path / "real"),
        feature_extractor="inception-v3-compat",  # of precision and recall it would take VGG
        feature_extractor_weights_path=str(random_inception),
        cuda=False,
        fid=True,
        kid=True,
        prc=True,
        cache=False,
        verbose=False,
        kid_subsets=pretrained_metrics.KID_SUBSETS,
        kid_subset_size=COUNT // 2,
    )
    listed, protocol = pretrained_measures("inception", None, sets["real"])
    mine = by_title(listed, Shown(sets["mine"]))
    frechet = next(value for title, value in mine.items() if title.startswith("Frechet"))  # random weights: no FID
    assert frechet == pytest.approx(theirs["frechet_inception_distance"], abs=1e-5, rel=1e-5)
    assert mine["kernel distance"] == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-5)
    assert mine["precision"] == pytest.approx(theirs["precision"]) and mine["recall"] == pytest.approx(theirs["recall"])
    assert "other weights than FID's" in protocol["features"] and "SHA-256" in protocol["features"]
    load_features.cache_clear()


def test_a_file_that_would_run_code_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("torch_fidelity")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / pretrained_metrics.FILES["inception"]
    file.parent.mkdir()
    torch.save({"weights": test_a_file_that_would_run_code_is_refused}, file)
    load_features.cache_clear()
    with pytest.raises(BadInput, match="more than tensors"):
        load_features("inception")


def test_efficientnet_brings_its_own_weights():
    pytest.importorskip("torch_fidelity")
    load_features.cache_clear()
    try:
        listed, protocol = pretrained_measures("lite0", None, pictures(8))
    except BadInput as error:
        pytest.skip(str(error))
    assert listed[0].title.startswith("Frechet distance, EfficientNet-Lite0") and "SHA-256" in protocol["features"]
    assert by_title(listed, Shown(pictures(8)))["Frechet distance"] > 0
