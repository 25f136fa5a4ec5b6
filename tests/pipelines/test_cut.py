"""CUT plays the paper's objective, Eq. 5, term by term."""

from math import log

import pytest
import torch
from toys import Rows

from quagga.errors import BadInput
from quagga.models import ResnetGenerator
from quagga.models.blocks.projection_heads import ProjectionHeads
from quagga.option_groups import call_flat
from quagga.pipelines import cut
from quagga.pipelines.core.game_protocol import Draw
from quagga.pipelines.core.losses import patch_nce
from quagga.pipelines.cut import CUT

SMALL = {"width": 4, "width_discriminator": 4, "blocks": 2, "crop_size": 16, "layers": 1, "width_heads": 32}


def game(**options) -> CUT:
    torch.manual_seed(0)
    play = call_flat(cut.build, **{**SMALL, "patches": 12, **options})
    for network in [*play.generators.values(), *play.discriminators.values()]:
        network.double()
    return play


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def test_patch_nce_is_the_papers_formula():
    q, k, tau = unit(2, 5, 7), unit(2, 5, 7), 0.3
    each = []
    for row in range(2):
        for s in range(5):
            positive = (q[row, s] @ k[row, s] / tau).exp()
            negatives = sum((q[row, s] @ k[row, other] / tau).exp() for other in range(5) if other != s)
            each.append(-(positive / (positive + negatives)).log())  # Eq. 2
    assert float(patch_nce(q, k, tau)) == pytest.approx(float(torch.stack(each).mean()), rel=1e-12)


def test_patch_nce_is_low_where_places_are_found_again_and_log_s_where_all_look_alike():
    k = unit(1, 64, 256)
    assert float(patch_nce(k, k)) < 1e-3
    assert float(patch_nce(k, k.roll(1, 1))) > 10
    assert float(patch_nce(k, k[:, :1].expand(-1, 64, -1))) == pytest.approx(log(64))


def test_heads_read_the_places_they_are_given():
    heads, maps = ProjectionHeads([3, 6], 8).double(), [torch.randn(2, 3, 4, 5), torch.randn(2, 6, 2, 2)]
    maps = [h.double() for h in maps]
    places = [torch.tensor([[0, 19, 7], [4, 4, 11]]), torch.tensor([[3], [0]])]
    pixels, coarse = heads(maps, places)
    assert pixels.shape == (2, 3, 8) and coarse.shape == (2, 1, 8)
    expected = heads.heads[0](maps[0][1, :, 2, 1])  # place 11 of lines of 5
    torch.testing.assert_close(pixels[1, 2], expected / expected.norm())
    torch.testing.assert_close(coarse.norm(dim=2), torch.ones(2, 1).double())


def test_the_generators_objective_is_the_papers():
    """With every place compared, whatever is drawn, the terms follow from G, H and D alone."""
    play = game(patches=256, lambda_X=2.0, lambda_Y=3.0)
    batch = next(Rows(2).batches(0))
    x, y = batch["x"], batch["y"]
    fakes = play.generate(batch, Draw(0, [0, 1]))
    terms, _ = play.generator_loss(batch, fakes, Draw(0, [0, 1]))

    def nce(source, translation):
        each = []
        for n, layer in enumerate([None, *play.layers]):
            maps = [h if layer is None else play.G.features(h, [layer])[0] for h in (source, translation)]
            k, q = (unit_of(play.H.heads[n](h.flatten(2).transpose(1, 2))) for h in maps)
            each.append(patch_nce(q, k))
        return torch.stack(each).mean()

    expected = {
        "G": ((play.D(fakes["G(x)"]) - 1) ** 2).mean(),
        "NCE_X": 2 * nce(x, fakes["G(x)"]),
        "NCE_Y": 3 * nce(y, play.G(y)),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(float(value.detach()), rel=1e-10), name


def unit_of(z: torch.Tensor) -> torch.Tensor:
    return z / z.norm(dim=2, keepdim=True)


def test_the_discriminators_objective_is_halved():
    play, batch = game(), next(Rows(2).batches(0))
    y, fake = batch["y"], torch.zeros_like(batch["x"])
    terms, readings = play.discriminator_loss(batch, {"G(x)": fake}, Draw(0, [0, 1]))
    expected = (((play.D(y) - 1) ** 2).mean() + (play.D(fake) ** 2).mean()) / 2
    assert float(terms["D"].detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    assert float(readings["D/real"]) == pytest.approx(float(play.D(y).mean().detach()), rel=1e-6)


def test_no_weight_no_term_and_no_pass():
    play, batch = game(lambda_X=0.0, lambda_Y=0.0), next(Rows(2).batches(0))
    passes = []
    fakes = play.generate(batch, Draw(0, [0, 1]))
    play.G.register_forward_hook(lambda *_: passes.append(1))
    assert set(play.generator_loss(batch, fakes, Draw(0, [0, 1])).terms) == {"G"} and not passes


def test_inputs_give_no_gradient():
    """What is to be found again is fixed: else both encodings could meet where nothing is told apart."""
    play = game()
    x, fake = (torch.rand(2, 3, 16, 16, dtype=torch.float64, requires_grad=True) for _ in range(2))
    play.patch_nce(x, fake, Draw(0, [0, 1])).backward()
    assert x.grad is None and fake.grad is not None and fake.grad.abs().max() > 0


def test_places_are_drawn_for_each_row_and_are_the_same_in_both_pictures():
    play, seen = game(), []
    play.H.register_forward_hook(lambda _module, given, _result: seen.append(given[1]))
    x, fake = (torch.rand(2, 3, 16, 16, dtype=torch.float64) for _ in range(2))
    play.patch_nce(x, fake, Draw(0, [0, 1]))
    keys, queries = seen
    for a, b in zip(keys, queries, strict=True):
        assert torch.equal(a, b)
        assert all(len(set(row)) == len(row) == 12 for row in a.tolist())  # without repetition
        assert a[0].tolist() != a[1].tolist()


def test_the_layers_are_the_papers():
    play = call_flat(cut.build)
    shapes = [tuple(h.shape[1:]) for h in play.G.features(torch.zeros(1, 3, 32, 32), play.layers)]
    assert shapes == [(128, 16, 16), (256, 8, 8), (256, 8, 8), (256, 8, 8)]
    assert play.layers == [3, 6, 9, 13]  # d128, d256, the first residual block, the fifth
    heads = sum(p.numel() for p in play.H.parameters())
    assert heads == sum((c + 1) * 256 + 257 * 256 for c in (3, 128, 256, 256, 256))
    assert (play.lambda_X, play.lambda_Y, play.tau, play.patches) == (1, 1, 0.07, 256)
    assert play.adversary.objective == "least_squares" and cut.defaults == {"epochs": 400}


@pytest.mark.parametrize(("blocks", "layers"), [(1, [3, 6, 9]), (2, [3, 6, 9, 10]), (6, [3, 6, 9, 12])])
def test_small_networks_have_layers_to_compare(blocks, layers):
    play = game(blocks=blocks)
    assert play.layers == layers and isinstance(play.G, ResnetGenerator)
    batch = next(Rows(1).batches(0))
    assert play.generator_loss(batch, play.generate(batch, Draw(0, [0])), Draw(0, [0])).terms["NCE_X"] > 0


def test_pairs_are_compared_with_their_partners():
    play, batch = game(lambda_paired=5.0), next(Rows(4, paired_every=2).batches(0))
    fakes = play.generate(batch, Draw(0, range(4)))
    terms, _ = play.generator_loss(batch, fakes, Draw(0, range(4)))
    rows = batch["paired"]
    expected = 5 * (fakes["G(x)"] - batch["y"]).abs()[rows].mean()
    assert float(terms["paired_y"].detach()) == pytest.approx(float(expected.detach()), rel=1e-10)
    assert "paired_y" in play.examine(batch, Draw(0, range(4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x_channels": 1}, "X has 1 channels and Y 3.*--x_channels 3"),
        ({"tau": 0.0}, "tau is 0"),
        ({"patches": 0}, "patches is 0"),
        ({"width_heads": 0}, "width_heads is 0"),
        ({"blocks": 0}, "blocks is 0"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        game(**options)
