"""The networks are the papers' (parameter counts, receptive fields) and take pictures of any size and channels."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from quagga.models import PatchGAN, PixelGAN, ResnetGenerator, UnetGenerator, init_normal_
from quagga.models.blocks.layers import InstanceNorm, crop_middle, pad_to_multiple
from quagga.models.resnet import ResidualBlock

NORMS = ("instance", "batch", "none")
UPSAMPLES = ("transposed", "resize")


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def picture(*shape: int) -> Tensor:
    return torch.rand(shape) * 2 - 1


def test_parameter_counts_of_the_papers():
    with torch.device("meta"):
        assert round(size(ResnetGenerator(blocks=9)) / 1e6, 3) == 11.378
        assert round(size(ResnetGenerator(blocks=6)) / 1e6, 3) == 7.838
        assert round(size(UnetGenerator(depth=8)) / 1e6, 2) == 54.41
        assert round(size(PatchGAN()) / 1e6, 3) == 2.765


def seen_by_one_logit(network: nn.Module, side: int) -> tuple[int, int]:
    """Height and width of the box of pixels that the middle logit's gradient reaches."""
    x = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    logits = network.double()(x)
    (gradient,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], x)
    seen = gradient[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_receptive_field_of_the_patchgan(layers: int, field: int):
    # normalisation over the picture would let a logit see all of it
    assert seen_by_one_logit(PatchGAN(width=2, layers=layers, norm="none"), 128) == (field, field)


def test_receptive_field_of_the_pixelgan():
    assert seen_by_one_logit(PixelGAN(width=2, norm="none"), 16) == (1, 1)


def test_one_logit_a_patch():
    for layers, (height, width) in itertools.product((1, 2, 3), ((24, 24), (31, 50), (256, 70))):
        logits = PatchGAN(width=2, layers=layers)(picture(1, 3, height, width))
        assert logits.shape == (1, 1, height // 2**layers - 2, width // 2**layers - 2)
    assert PixelGAN(width=2)(picture(2, 3, 5, 9)).shape == (2, 1, 5, 9)


def test_the_patchgan_refuses_pictures_below_its_minimum():
    for layers in (1, 2, 3):
        least = 3 * 2**layers
        network = PatchGAN(width=2, layers=layers)
        assert network(picture(1, 3, least, least)).shape == (1, 1, 1, 1)
        for shape in ((least - 1, least), (least, least - 1)):
            with pytest.raises(ValueError, match=f"expected {least} x {least} or more"):
                network(picture(1, 3, *shape))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("spectral", [False, True])
def test_every_generator_trains(norm, upsample, spectral: bool):
    options = {"norm": norm, "upsample": upsample, "spectral": spectral}
    for network in (
        ResnetGenerator(3, 2, width=4, blocks=2, **options),
        UnetGenerator(3, 2, width=4, depth=5, **options),
        UnetGenerator(3, 2, width=4, depth=1, **options),
    ):
        y = network(picture(2, 3, 32, 32))
        assert y.shape == (2, 2, 32, 32)
        assert y.abs().max() <= 1
        assert_every_parameter_learns(network, y)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("spectral", [False, True])
def test_every_discriminator_trains(norm, spectral: bool):
    for network in (
        PatchGAN(5, width=4, layers=2, norm=norm, spectral=spectral),
        PixelGAN(5, width=4, norm=norm, spectral=spectral),
    ):
        assert_every_parameter_learns(network, network(picture(2, 5, 24, 24)))


def assert_every_parameter_learns(network: nn.Module, output: Tensor) -> None:
    (output - picture(*output.shape)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # the shift of a convolution's bias is taken out again by instance normalisation: exactly, or up to rounding
        assert parameter.ndim < 4 or parameter.grad.abs().max() > 0, name


def test_spectral_norm_makes_the_largest_singular_value_one():
    for network in (
        PatchGAN(width=4, layers=2, spectral=True),
        PixelGAN(width=4, spectral=True),
        ResnetGenerator(width=4, blocks=1, spectral=True),
        UnetGenerator(width=4, depth=3, spectral=True),
    ):
        for _ in range(30):  # power iterations
            network(picture(1, 3, 16, 16))
        network.eval()
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
                assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 3), (30, 45), (64, 33)])
def test_a_generator_returns_the_size_it_was_given(shape: tuple[int, int]):
    for network in (ResnetGenerator(3, 1, width=2, blocks=1), UnetGenerator(3, 1, width=2, depth=5, norm="instance")):
        y = network(picture(1, 3, *shape))
        assert y.shape == (1, 1, *shape)
        assert y.isfinite().all()


def test_an_odd_picture_is_padded_and_cut_back():
    # 30 x 45 is 32 x 48 with one row above and below, one column left and two right, all mirrored
    x = picture(1, 3, 30, 45)
    for network in (ResnetGenerator(width=2, blocks=1), UnetGenerator(width=2, depth=4, dropout=0)):
        rows = torch.tensor([1, *range(30), 28])
        columns = torch.tensor([1, *range(45), 43, 42])
        by_hand = x[:, :, rows][:, :, :, columns]
        assert torch.equal(network(x), network(by_hand)[:, :, 1:31, 1:46])


def test_a_block_adds_to_what_it_is_given():
    block = ResidualBlock(4, norm="none", bias=True)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = picture(1, 4, 6, 6)
    assert torch.equal(block(x), x)


def test_padding_mirrors_where_it_can_and_repeats_where_it_cannot():
    row = torch.arange(5.0).reshape(1, 1, 1, 5)
    padded = pad_to_multiple(row, 8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [1, 0, 1, 2, 3, 4, 3, 2]
    assert (padded == padded[:, :, :1]).all()
    assert torch.equal(crop_middle(padded, 1, 5), row)
    assert pad_to_multiple(row, 1) is row


def test_a_network_leaves_its_input_alone():
    x = picture(1, 3, 32, 32)
    before = x.clone()
    for network in (
        ResnetGenerator(width=2, blocks=1),
        UnetGenerator(width=2, depth=3),
        PatchGAN(width=2),
        PixelGAN(width=2),
    ):
        network(x)
        assert torch.equal(x, before)


def test_instance_norm_is_that_of_torch_in_value_and_in_both_derivatives():
    ours, theirs = InstanceNorm(3).double(), nn.InstanceNorm2d(3).double()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn_like(x)

    def derivatives(layer: nn.Module) -> list[Tensor]:
        y = layer(x)
        (first,) = torch.autograd.grad((y.square() * weight).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return [y, first, second]

    for a, b in zip(derivatives(ours), derivatives(theirs), strict=True):
        torch.testing.assert_close(a, b)


def test_the_u_net_drops_in_the_three_innermost_layers_and_only_in_training():
    with torch.device("meta"):
        drops = {
            depth: [m for m in UnetGenerator(depth=depth).modules() if isinstance(m, nn.Dropout)]
            for depth in range(1, 10)
        }
        assert not [m for m in UnetGenerator(dropout=0).modules() if isinstance(m, nn.Dropout)]
    assert {depth: len(layers) for depth, layers in drops.items()} == {
        1: 0,
        2: 0,
        3: 0,
        4: 0,
        5: 1,
        6: 2,
        7: 3,
        8: 3,
        9: 3,
    }
    network, x = UnetGenerator(width=2, depth=6, norm="instance"), picture(1, 3, 64, 64)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_the_u_nets_skips_carry_what_the_bottleneck_cannot():
    network = UnetGenerator(1, 1, width=4, depth=4, norm="none", dropout=0)
    x = picture(1, 1, 16, 16).requires_grad_()
    (whole,) = torch.autograd.grad(network(x)[0, 0, 8, 8], x)
    assert whole.count_nonzero() > 100
    with torch.no_grad():  # behind a dead bottleneck only the skips are left, whose fields are small
        network.decoder[0][1].weight.zero_()  # type: ignore[index, union-attr]
    (near,) = torch.autograd.grad(network(x)[0, 0, 0, 0], x)
    assert near[0, 0, 0, 0] != 0
    assert near.count_nonzero() < 256


def test_initialisation():
    torch.manual_seed(0)
    for network in (
        ResnetGenerator(width=16, blocks=2),
        UnetGenerator(width=16, depth=5),
        PatchGAN(width=32, norm="batch"),
    ):
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        weights = torch.cat([m.weight.detach().flatten() for m in convolutions])
        assert abs(weights.mean()) < 4 * 0.02 / weights.numel() ** 0.5  # four standard errors
        assert weights.std().item() == pytest.approx(0.02, rel=0.02)
        assert all((m.bias == 0).all() for m in convolutions if m.bias is not None)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        if norms:
            scales = torch.cat([m.weight.detach() for m in norms])
            assert scales.mean().item() == pytest.approx(1, abs=0.01)
            assert scales.std().item() == pytest.approx(0.02, rel=0.3)
            assert all((m.bias == 0).all() for m in norms)


def test_initialisation_reaches_below_spectral_norm():
    network = PatchGAN(width=16, spectral=True)
    init_normal_(network, std=0.5)
    weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim == 4])
    assert weights.std().item() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("spectral", [False, True])
def test_a_network_built_on_meta_takes_saved_weights(spectral: bool):
    def build() -> list[nn.Module]:
        return [
            ResnetGenerator(width=2, blocks=1, spectral=spectral),
            UnetGenerator(width=2, depth=3, spectral=spectral),
            PatchGAN(width=2, spectral=spectral),
            PixelGAN(width=2, spectral=spectral),
        ]

    with torch.device("meta"):
        empty = build()
    x = picture(1, 3, 24, 24)
    for network, shell in zip(build(), empty, strict=True):
        assert {t.device.type for t in shell.state_dict().values()} == {"meta"}
        shell.load_state_dict(network.state_dict(), assign=True)
        assert torch.equal(shell.eval()(x), network.eval()(x))


def test_networks_compile_as_one_graph():
    x = picture(2, 3, 24, 24)
    for network in (
        ResnetGenerator(width=2, blocks=1),
        UnetGenerator(width=2, depth=3),
        PatchGAN(width=2, layers=1, spectral=True),
    ):
        network.eval()
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), network(x))


def test_networks_survive_layouts_and_precisions():
    x = picture(2, 3, 24, 24)
    for network in (
        ResnetGenerator(width=4, blocks=1),
        UnetGenerator(width=4, depth=3, norm="instance"),
        PatchGAN(width=4, spectral=True),
        PixelGAN(width=4, norm="batch"),
    ):
        network.eval()
        y = network(x)
        last = x.contiguous(memory_format=torch.channels_last)
        there: nn.Module = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch < 2.14
        torch.testing.assert_close(there(last), y, rtol=1e-3, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
        half.float().mean().backward()
        torch.testing.assert_close(half.float(), y, rtol=0.05, atol=0.05)
        assert network.double()(x.double()).dtype == torch.float64


def test_a_misspelt_choice_is_named():
    with pytest.raises(ValueError, match="'layer' is unknown"):
        ResnetGenerator(width=2, norm="layer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'bilinear' is unknown"):
        UnetGenerator(width=2, depth=2, upsample="bilinear")  # type: ignore[arg-type]


def test_with_the_skip_a_generator_starts_near_the_identity():
    torch.manual_seed(0)
    network = ResnetGenerator(width=4, blocks=1, skip=True)
    x = torch.rand(2, 3, 13, 18) * 2 - 1
    assert 4 * (network(x) - x).abs().mean() < (ResnetGenerator(width=4, blocks=1)(x) - x).abs().mean()
    for p in network.layers[-1].parameters():
        torch.nn.init.zeros_(p)
    assert torch.allclose(network(x), 0.98 * x, atol=1e-6)
    assert network(torch.ones(1, 3, 8, 8)).isfinite().all()
    with pytest.raises(ValueError, match="cannot be added"):
        ResnetGenerator(3, 1, skip=True)
